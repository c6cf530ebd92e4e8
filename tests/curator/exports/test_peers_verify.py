"""The tools themselves read what we wrote: every row of an export goes in, and what they train is what preview shows.

Each tool runs in a place of its own, since their versions exclude each other; `make verify` makes these places. A test
whose tool is absent is skipped, with the reason. What of a tool runs is said in its driver in tests/peers/.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Home, Result, rows
from outgoing_fixtures import BASE_MODELS, make_tokenizer

pytestmark = pytest.mark.verify
Curate = Callable[..., Result]
PEERS = {
    "trl": "", "llama-factory": ".venv-llama-factory", "axolotl": ".venv-axolotl", "mlx": ".venv-mlx",
    "torchtune": ".venv-torchtune",
}  # fmt: skip
# Those that a tool can take at all; what it refuses, its own tests name.
FAMILIES = {
    "trl": ("qwen", "qwen2.5", "qwen3", "llama2", "llama3", "phi3", "phi4", "gemma", "mistral", "gptj"),
    "llama-factory": ("qwen", "llama2", "llama3", "phi3", "phi4", "gemma", "mistral", "gptj"),
    "axolotl": ("qwen", "qwen2.5", "qwen3", "llama2", "llama3", "phi3", "phi4", "gemma", "mistral", "gptj"),
    "mlx": ("qwen", "llama2", "llama3", "phi3", "phi4", "gemma", "mistral"),
    "torchtune": ("llama2", "llama3"),
}


PUBLISHED = {"gemma": "gemma2", "mistral": "mistral-v0.3"}


def interpreter(tool: str) -> str:
    """The Python that has the tool; the test is skipped where there is none."""
    if not PEERS[tool]:
        pytest.importorskip(tool, reason=f"needs {tool}: make verify installs it")
        return sys.executable
    variable = "PERSONA_" + tool.replace("-", "_").upper()
    path = os.environ.get(variable) or str(ROOT / PEERS[tool] / "bin" / "python")
    if not Path(path).is_file():
        pytest.skip(f"needs {tool} in {PEERS[tool]} (make verify makes it), or its Python named by {variable}")
    return path


def published(name: str) -> str | None:
    """The chat template that the family's models carry; None where there is none, and the family's own is taken."""
    path = ROOT / "tests" / "contract" / "chat_templates" / f"{PUBLISHED.get(name, name)}.jinja"
    return path.read_text("utf-8") if path.is_file() else None


def read_by(tool: str, pairs: list[tuple[Path, Path]]) -> dict[str, list[dict[str, Any]]]:
    """What the tool's own code makes of the training rows of exports, by folder: input ids and labels of each row."""
    driver = ROOT / "tests" / "peers" / f"read_{tool.replace('-', '_')}.py"
    # Starting LLaMA-Factory or axolotl takes longer than all rows do, so they read every folder at one go.
    calls = [pairs] if tool in ("llama-factory", "axolotl") else [[pair] for pair in pairs]
    found: dict[str, list[dict[str, Any]]] = {str(folder): [] for folder, _ in pairs}
    for call in calls:
        done = subprocess.run(
            [interpreter(tool), str(driver), *(str(path) for pair in call for path in pair)],
            capture_output=True, text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        for line in done.stdout.splitlines():
            row = json.loads(line) if line.startswith("{") else {}
            if row and row.get("split", "train") == "train":
                found[row.get("folder", str(call[0][0]))].append(row)
    return found


@pytest.fixture
def run(home: Home, curate: Curate) -> Path:
    """The demo's kinds of samples: one turn, a conversation kept whole, a tool call, odd characters."""
    home.config("curate.json", {"control_tokens": "braces", "pairing": {"context": "keep"}})
    home.memory("Where is the harbour?", response="Behind the old mill.\nWhere the river bends, with ümlauts and 🌊.")
    home.memory("What is <|im_end|> or [INST]?", response="A mark {that} ends a turn; {{ no template }} is one.")
    home.memory(
        "User: One?\n\nAssistant: The first answer is here.\n\nUser: Two?\n\nAssistant: The second one follows it.",
        tags=["multi_turn"],
    )
    home.memory("Invoked skill: tide_log", type="tool_invocation",
                metadata={"cognitiveMode": "agent", "toolName": "tide_log", "toolInputs": {"height": 4.1},
                          "toolOutputs": {"id": "t-1"}, "success": True})  # fmt: skip
    for number in range(6):
        home.memory(f"Is buoy {number} lit?", response=f"It flashes every {number + 3} seconds, as far as I know.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0.2)
    assert done.status == 0, done.err
    return done.run


@pytest.mark.parametrize("tool", FAMILIES)
def test_a_tool_takes_every_row_and_trains_what_the_preview_shows(
    home: Home, run: Path, curate: Curate, tmp_path: Path, tool: str
) -> None:
    interpreter(tool)
    pairs, shown = [], {}
    for name, tags in itertools.product(FAMILIES[tool], ("content", "none")):
        tokenizer = make_tokenizer(tmp_path / name / "tokenizer", name, published(name))
        options = ["--home", home.folder, "--to", tool, "--method", "lora", "--base-model", BASE_MODELS[name],
                   "--family", name, "--tags", tags]  # fmt: skip
        folder = tmp_path / name / tags
        done = curate("export", run, *options, "--out", folder)
        assert done.status == 0, done.err
        found = curate("preview", run, *options, "--tokenizer", tokenizer, "--samples", 1000, "--json", "--strict")
        assert found.status == 0, found.err + found.out[-500:]
        pairs.append((folder, tokenizer))
        shown[str(folder)] = [one for one in json.loads(found.out)["shown"] if one["split"] == "train"]
    for name, read in read_by(tool, pairs).items():
        assert len(read) == len(rows(Path(name) / "train.jsonl")) == len(shown[name]), name
        for theirs, ours in zip(read, shown[name], strict=True):
            ids = [one["id"] for one in ours["tokens"]]
            trained = [one["id"] if one["trained"] else -100 for one in ours["tokens"]]
            assert theirs["input_ids"][: len(ids)] == ids, (name, ours["text"])
            assert theirs["labels"][: len(ids)] == trained, (name, ours["text"])
            assert set(theirs["labels"][len(ids) :]) <= {-100}, "a tool may pad behind, and nothing else"

"""What MLX-LM and torchtune themselves make of our exports: every row, what they learn of it, and a short training.

Each needs an interpreter of its own: .venv-mlx or .venv-torchtune beside this checkout's .venv, or the one that
PERSONA_MLX or PERSONA_TORCHTUNE names. MLX runs on Linux as well (read_mlx.py says what to install), torchtune's
recipes on a CPU. The tokenizers are made on the spot; their chat templates are the published ones (chat_templates/).
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import ROOT
from outgoing_fixtures import BASE_MODELS, conversation, family, job, make_tokenizer

from curator.exports.conversations import last_replies, system_in_user_turn
from curator.hooks import Exporter, ExportJob
from curator.records import Conversation

pytestmark = pytest.mark.verify

PUBLISHED: Final = ROOT / "tests" / "contract" / "chat_templates"
# Published templates and the family that each stands for; for torchtune those of models that it has.
MLX: Final = {
    "gemma2": "gemma", "gemma3": "gemma", "gemma4": "gemma4", "llama2": "llama2", "llama3": "llama3",
    "llama3.1": "llama3.1", "llama3.2": "llama3.1", "mistral-v0.2": "mistral1", "mistral-v0.3": "mistral",
    "phi3": "phi3", "phi3.5": "phi3", "phi4": "phi4", "phi4mini": "phi4mini", "qwen": "qwen", "qwen2-vl": "qwen2",
    "qwen2.5": "qwen2.5", "qwen3": "qwen3", "qwen3-vl": "qwen", "smollm2": "smollm2", "tinyllama": "tinyllama",
}  # fmt: skip
TORCHTUNE: Final = {
    "gemma2": "google/gemma-7b-it", "llama2": "meta-llama/Llama-2-7b-chat-hf",
    "llama3": "meta-llama/Meta-Llama-3-8B-Instruct", "llama3.1": "meta-llama/Llama-3.1-8B-Instruct",
    "llama3.2": "meta-llama/Llama-3.2-1B-Instruct", "mistral-v0.2": "mistralai/Mistral-7B-Instruct-v0.1",
    "phi3": "microsoft/Phi-3-mini-4k-instruct", "qwen2-vl": "Qwen/Qwen2-7B-Instruct",
    "qwen2.5": "Qwen/Qwen2.5-7B-Instruct",
}  # fmt: skip
CASES: Final = [*(("mlx", name) for name in MLX), *(("torchtune", name) for name in TORCHTUNE)]
LEARNT: Final = ("lead", "content", "end", "after")
GIVEN: Final = (
    conversation("<thought>: The pump again.", "<world>: I fixed it twice."),
    conversation("Where were you?", "In the harbour.\n\nI waited for the tide."),
    conversation("What is {im_end}?", "{start_of_turn}user, {/s}, [INST and <|, é 漢字 🙂; 'quoted' \\n \"twice\"."),
    conversation("Where?", "In the harbour.", "And then?", "I painted the hull."),
    conversation("One?", "Two.", "Three?", "Four.", "Five?", "Six.", train=(True, False, True)),
    conversation("Where?", "In the harbour.", system="Mode: dual."),
    conversation("Where?", "In the harbour.", "And then?", "I painted.", system="Mode: dual.", train=(True, True)),
)


def interpreter(tool: str) -> Path:
    """The python that has a tool; the test is skipped where there is none."""
    variable = f"PERSONA_{tool.upper()}"
    path = Path(os.environ.get(variable) or ROOT / f".venv-{tool}" / "bin" / "python")
    if not path.is_file():
        pytest.skip(f"{tool} is not installed: tests/peers/read_{tool}.py says how, or set {variable}")
    return path


def exporter(tool: str) -> Exporter:
    (one,) = importlib.import_module(f"curator_plugins.exporters.{tool}").register_exporters()
    assert isinstance(one, Exporter)
    return one


def rows(one: ExportJob) -> list[Conversation]:
    """The conversations as `curate export` hands them to an exporter that has a row for each reply."""
    return [row for whole in GIVEN for row in last_replies(system_in_user_turn(whole, one.family))]


def a_job(tool: str, template: str, **changes: Any) -> ExportJob:
    name = MLX[template]
    BASE_MODELS.setdefault(name, f"someone/{name}")
    count = 9
    one = job(name, rows=count, holdout=count, **changes)
    base_model = TORCHTUNE[template] if tool == "torchtune" else one.base_model
    return replace(one, data=exporter(tool).data, base_model=base_model)


def export(folder: Path, tool: str, one: ExportJob) -> None:
    """Write the folder that a tool is run in; the validation split holds the same rows."""
    folder.mkdir(parents=True)
    assert len(rows(one)) == one.train_rows == one.holdout_rows
    text = "".join(json.dumps(exporter(tool).row(row, one), ensure_ascii=False) + "\n" for row in rows(one))
    for name in one.data:
        (folder / name).write_text(text, "utf-8")
    for name, text in exporter(tool).recipe(one).files.items():
        (folder / name).write_text(text, "utf-8")


def run(command: list[str], folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=folder, env=os.environ | quiet)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


def published(folder: Path, template: str) -> Path:
    """Make a tokenizer with a published template, and with the eos_token that the template has in mind."""
    made = make_tokenizer(folder, MLX[template], (PUBLISHED / f"{template}.jinja").read_text("utf-8"))
    if end := family(MLX[template]).document_end:
        config = json.loads((made / "tokenizer_config.json").read_text("utf-8"))
        (made / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": end}), "utf-8")
    return made


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What a tool reads of all exports, in one go, since importing it takes longer than reading."""

    @cache
    def of(tool: str) -> dict[str, Any]:
        python, home = interpreter(tool), tmp_path_factory.mktemp(tool)
        paths: dict[Path, str] = {}
        for template in dict.fromkeys(name for one, name in CASES if one == tool):
            export(home / template / "export", tool, a_job(tool, template))
            paths[home / template / "export"] = template
        pairs = [str(path) for folder in paths for path in (folder, published(folder.parent / "base", paths[folder]))]
        done = run([str(python), str(ROOT / "tests" / "peers" / f"read_{tool}.py"), *pairs], home)
        found: dict[str, Any] = {name: {"train": [], "validation": []} for name in paths.values()}
        for line in done.stdout.splitlines():
            row = json.loads(line)
            found[paths[Path(row["folder"])]][row["split"]].append(row)
        return found | {"home": home}

    return of


def texts(home: Path, template: str, row: dict[str, Any]) -> tuple[str, str]:
    """A row's whole text, and what of it is learnt, which is one stretch up to its end."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(home / template / "base" / "tokenizer.json"))
    numbers, labels = row["input_ids"], row["labels"]
    start = next(place for place, label in enumerate(labels) if label != -100)
    assert labels == [-100] * start + numbers[start:]
    whole, learnt = (str(tokenizer.decode(ids, skip_special_tokens=False)) for ids in (numbers, numbers[start:]))
    return whole, learnt


@pytest.mark.parametrize(("tool", "template"), CASES)
def test_each_row_is_read_and_its_last_reply_is_learnt(
    tool: str, template: str, read: Callable[[str], dict[str, Any]]
) -> None:
    found, one = read(tool), a_job(tool, template)
    for split in ("train", "validation"):
        assert len(found[template][split]) == len(rows(one)), "rows in, rows out"
        for row, given in zip(found[template][split], rows(one), strict=True):
            pieces, last = list(one.chat_format.segments(given.messages)), len(given.messages) - 1
            whole, learnt = texts(found["home"], template, row)
            assert learnt == "".join(piece.text for piece in pieces if piece.message == last and piece.part in LEARNT)
            assert given.messages[-1].content in learnt
            whole = re.sub(r"Today Date: .*", "Today Date: 26 Jul 2024", whole)  # Llama 3.2 writes that of today
            if template != "gemma4":  # MLX-LM renders it with thinking on; a note of the export says so
                assert whole == one.family.bos_token + "".join(piece.text for piece in pieces)


def test_mlx_learns_one_token_behind_a_row(read: Callable[[str], dict[str, Any]]) -> None:
    """What the export's notes say of it (ml-explore/mlx-lm#1697); where this fails, it is mended and they can go."""
    found = read("mlx")
    assert {row["beyond"] for template in MLX for row in found[template]["train"]} == {0}


def rope(base: float, **scaled: float) -> dict[str, Any]:
    kind = (
        {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0} if scaled else {"rope_type": "default"}
    )
    return {"rope_parameters": {**kind, "rope_theta": base, **scaled}}


def published_shapes() -> dict[str, tuple[str, dict[str, Any]]]:
    """What the published config.json files say besides sizes, for each of torchtune's builders that is exported to."""
    old = 8192
    llama, qwen = {"model_type": "llama", "rms_norm_eps": 1e-5}, {"model_type": "qwen2", **rope(1e6)}
    gemma = {"model_type": "gemma", "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh", **rope(1e4)}
    scaled = llama | rope(5e5, factor=8.0, original_max_position_embeddings=old)
    found: dict[str, tuple[str, dict[str, Any]]] = {
        **{f"llama2.llama2_{size}": ("LLAMA2", llama | rope(1e4)) for size in ("7b", "13b", "70b")},
        **{f"llama3.llama3_{size}": ("LLAMA3", llama | rope(5e5)) for size in ("8b", "70b")},
        **{f"llama3_1.llama3_1_{size}": ("LLAMA3", scaled) for size in ("8b", "70b", "405b")},
        "llama3_3.llama3_3_70b": ("LLAMA3", scaled),
        "mistral.mistral_7b": ("MISTRAL", {"model_type": "mistral", "rms_norm_eps": 1e-5, **rope(1e4)}),
        **{f"gemma.gemma_{size}": ("GEMMA", gemma) for size in ("2b", "7b")},
        "phi3.phi3_mini": ("PHI3_MINI", {"model_type": "phi3", "rms_norm_eps": 1e-5, **rope(1e4)}),
    }
    tied = llama | rope(5e5, factor=32.0, original_max_position_embeddings=old) | {"tie_word_embeddings": True}
    found |= {f"llama3_2.llama3_2_{size}": ("LLAMA3_2", tied) for size in ("1b", "3b")}
    for size in ("0_5b", "1_5b", "7b"):
        found[f"qwen2.qwen2_{size}"] = ("QWEN2", qwen | {"rms_norm_eps": 1e-6, "tie_word_embeddings": size != "7b"})
    for size in ("0_5b", "3b", *(f"{size}_{kind}" for size in ("1_5b", "7b", "14b", "32b", "72b")
                                 for kind in ("base", "instruct"))):  # fmt: skip
        eps = 1e-5 if size in ("14b_base", "32b_base", "72b_base") else 1e-6
        tie = size.startswith(("0_5b", "1_5b", "3b"))
        found[f"qwen2_5.qwen2_5_{size}"] = ("QWEN2", qwen | {"rms_norm_eps": eps, "tie_word_embeddings": tie})
    return found


def test_torchtunes_models_are_the_published_ones(tmp_path: Path) -> None:
    """Not so for Gemma 2, Phi-4 and Code Llama with LoRA, which the export refuses for that."""
    shapes = published_shapes()
    command = [str(interpreter("torchtune")), str(ROOT / "tests" / "peers" / "read_torchtune.py"), "--models"]
    wrong = {
        "gemma2.gemma2_2b": ("GEMMA2", {"model_type": "gemma2", "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 32}),
        "phi4.phi4_14b": (
            "PHI4",
            {"model_type": "phi3", "rms_norm_eps": 1e-5, "sliding_window": None, **rope(250_000)},
        ),
        "code_llama2.code_llama2_13b": ("LLAMA2", {"model_type": "llama", "rms_norm_eps": 1e-5, **rope(1e6)}),
    }
    done = run(command, tmp_path, json.dumps(shapes | wrong))
    found = json.loads(done.stdout)
    assert {name: far for name, far in found.items() if max(far) > 1e-4}.keys() == wrong.keys()
    assert found["code_llama2.code_llama2_13b"][0] < 1e-4, "without LoRA it is right"
    from curator_plugins.exporters.torchtune import _MODELS

    exported = {name for name in shapes if any(matches(name, one.builder) for one in _MODELS)}
    assert exported == set(shapes)
    assert {one.builder for one in _MODELS if not any(matches(name, one.builder) for name in shapes)} == set()


def matches(name: str, builder: str) -> bool:
    return re.fullmatch(re.escape(builder).replace(r"\{\}", "[0-9_]+"), name) is not None


TINY: Final = {
    "mlx": "import json, pathlib, sys, mlx.core as mx\n"
    "from mlx.utils import tree_flatten\n"
    "from mlx_lm.models import qwen2\n"
    "folder, vocabulary = pathlib.Path(sys.argv[1]), int(sys.argv[2])\n"
    "shape = dict(model_type='qwen2', hidden_size=64, num_hidden_layers=2, intermediate_size=128, rope_theta=1e6,\n"
    "    num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6, vocab_size=vocabulary,\n"
    "    tie_word_embeddings=True)\n"
    "model = qwen2.Model(qwen2.ModelArgs(**shape))\n"
    "weights = dict(tree_flatten(model.parameters()))\n"
    "mx.save_safetensors(str(folder / 'model.safetensors'), weights, {'format': 'mlx'})\n"
    "(folder / 'config.json').write_text(json.dumps(shape))\n",
    "torchtune": "import sys, transformers\n"
    "shape = transformers.Qwen2Config(hidden_size=64, num_hidden_layers=2, intermediate_size=128,\n"
    "    num_attention_heads=4, num_key_value_heads=2, vocab_size=int(sys.argv[2]), tie_word_embeddings=True)\n"
    "transformers.Qwen2ForCausalLM(shape).save_pretrained(sys.argv[1])\n",
}
# In place of the builder of a real model, and of a GPU.
SMALLER: Final = (
    "model.vocab_size={} model.num_layers=2 model.num_heads=4 model.num_kv_heads=2 model.embed_dim=64 "
    "model.intermediate_dim=128 model.max_seq_len=2048 model.tie_word_embeddings=True device=cpu dtype=fp32"
)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("tool", TINY)
def test_the_command_trains_a_tiny_model(tool: str, method: str, tmp_path: Path) -> None:
    """The command of the export as a user pastes it, on a random model: 9 rows, 3 epochs, 4 rows a step."""
    from tokenizers import Tokenizer

    python, folder = interpreter(tool), tmp_path / "export"
    base = published(tmp_path / "base", "qwen2.5")
    count = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab_size()
    run([str(python), "-c", TINY[tool], str(base), str(count)], tmp_path)
    one = a_job(tool, "qwen2.5", method=method, gradient_accumulation_steps=4, logging_steps=1)
    if tool == "mlx":
        one = replace(one, base_model=str(base))
    export(folder, tool, one)
    commands = [shlex.split(command) for command in exporter(tool).recipe(one).commands]
    command = next(
        command for command in commands if command[0] in ("mlx_lm.lora", "tune") and "download" not in command
    )
    if tool == "torchtune":
        (folder / "base").symlink_to(base)
        command += [f"model=torchtune.models.qwen2.{'lora_' if method == 'lora' else ''}qwen2"]
        command += SMALLER.format(count).split()
    done = run([str(python.parent / command[0]), *command[1:]], folder)
    if tool == "mlx":
        assert (folder / "adapters" / "adapters.safetensors").is_file()
        assert "nan" not in done.stdout
    else:
        (log,) = folder.glob("output/logs/log_*.txt")
        assert [line.split(" | ")[0] for line in log.read_text("utf-8").splitlines()] == [
            f"Step {n}" for n in range(1, 7)
        ]
        assert (folder / "output" / "epoch_2" / "model-00001-of-00001.safetensors").is_file()

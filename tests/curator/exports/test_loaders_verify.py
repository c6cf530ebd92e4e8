"""What LLaMA-Factory's and axolotl's own loaders make of our exports: every row, the family's text, its labels.

Each needs an interpreter of its own, since the two want different releases of transformers; tests/peers/*.txt say how
to make it. The drivers in tests/peers say which of the tools' modules run. The tokenizers are made on the spot with the
family's own chat template; that this equals the published one is another test's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from outgoing_fixtures import BASE_MODELS, conversation, job, make_tokenizer

from curator.contract.homes import shipped_etc
from curator.exports.conversations import last_replies, system_in_user_turn
from curator.hooks import Exporter, ExportJob
from curator.records import Conversation

pytestmark = pytest.mark.verify

FAMILIES = sorted(path.stem for path in (shipped_etc() / "schemas").glob("*.json"))
DRIVERS = {"llama-factory": "read_llama_factory.py", "axolotl": "read_axolotl.py"}
ONCE = (
    conversation("<thought>: The pump again.", "<world>: I fixed it twice."),
    conversation("Where were you?", "In the harbour.\n\nI waited for the tide."),
    conversation("What is {im_end}?", "{start_of_turn}user, {/s}, [INST and <|, é 漢字 🙂; 'quoted' \\n \"twice\"."),
)
SEVERAL = (
    conversation("Where?", "In the harbour.", "And then?", "I painted the hull."),
    conversation("One?", "Two.", "Three?", "Four.", "Five?", "Six.", train=(True, False, True)),
    conversation("Where?", "In the harbour.", "And then?", "I painted the hull.", train=(True, True)),
)
SYSTEM = (
    conversation("Where?", "In the harbour.", system="Mode: dual."),
    conversation("Where?", "In the harbour.", "And then?", "I painted.", system="Mode: dual.", train=(True, True)),
)


def interpreter(tool: str) -> str:
    """The python that has a tool; the test is skipped where there is none."""
    variable = f"PERSONA_{tool.upper().replace('-', '_')}"
    path = os.environ.get(variable) or str(ROOT / f".venv-{tool}" / "bin" / "python")
    if not Path(path).is_file():
        pytest.skip(f"{tool} is not installed: tests/peers/{tool}.txt says how, or set {variable}")
    return path


def exporter(tool: str) -> Exporter:
    plugin = importlib.import_module(f"curator_plugins.exporters.{tool.replace('-', '_')}")
    (one,) = plugin.register_exporters()
    assert isinstance(one, Exporter)
    return one


def rows(tool: str, family: ExportJob, given: tuple[Conversation, ...]) -> Iterator[Conversation]:
    """Conversations as `curate export` hands them to an exporter."""
    for one in given:
        whole = system_in_user_turn(one, family.family)
        yield from ([whole] if exporter(tool).per_message else last_replies(whole))


def export(folder: Path, tool: str, one: ExportJob, given: tuple[Conversation, ...]) -> None:
    """Write the folder that an exporter's tool is run in; the validation split holds the same rows."""
    folder.mkdir(parents=True)
    for name, count in zip(one.data, (one.train_rows, one.holdout_rows), strict=True):
        if count:
            lines = [json.dumps(exporter(tool).row(each, one), ensure_ascii=False) for each in rows(tool, one, given)]
            (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    for name, text in exporter(tool).recipe(one).files.items():
        (folder / name).write_text(text, "utf-8")


def a_job(name: str, **changes: Any) -> ExportJob:
    BASE_MODELS.setdefault(name, f"someone/{name}")
    return job(name, **changes)


def drive(tool: str, *pairs: tuple[Path, Path]) -> dict[Path, dict[str, Any]]:
    """Run a driver on folders with their tokenizers; return for each its rows by split, or its "error"."""
    command = [interpreter(tool), str(ROOT / "tests" / "peers" / DRIVERS[tool])]
    done = subprocess.run(
        [*command, *(str(path) for pair in pairs for path in pair)], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[Path, dict[str, Any]] = {folder: {"train": [], "validation": []} for folder, _ in pairs}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        of_folder = found[Path(row["folder"])]
        if "error" in row:
            of_folder["error"] = row["error"]
        else:
            of_folder[row["split"]].append(row)
    assert done.returncode in (0, 1), done.stderr[-4000:]
    assert done.stdout, done.stderr[-4000:]
    return found


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What a tool reads of the exports for all families, in one go: importing it takes longer than reading."""

    @cache
    def of(tool: str) -> dict[str, Any]:
        interpreter(tool)
        home = tmp_path_factory.mktemp(tool)
        folders = {}
        for name in FAMILIES:
            export(home / name / "export", tool, a_job(name), ONCE + SEVERAL + SYSTEM)
            folders[name] = (home / name / "export", make_tokenizer(home / name / "base", name))
        found = drive(tool, *folders.values())
        return {name: (folders[name][1], found[folders[name][0]]) for name in FAMILIES}

    return of


def decoder(tokenizer: Path) -> Callable[[list[int]], str]:
    from tokenizers import Tokenizer

    one = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    return lambda ids: str(one.decode(ids, skip_special_tokens=False))


def learnt(row: dict[str, Any]) -> list[list[int]]:
    """The stretches of a row that are trained."""
    found: list[list[int]] = [[]]
    for number, label in zip(row["input_ids"], row["labels"], strict=True):
        assert label in (-100, number)
        if label != -100:
            found[-1].append(number)
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("tool", DRIVERS)
def test_every_row_is_read_and_reads_as_the_family_renders_it(
    tool: str, name: str, read: Callable[[str], dict[str, Any]]
) -> None:
    tokenizer, found = read(tool)[name]
    assert "error" not in found
    one, text = a_job(name), decoder(tokenizer)
    given = list(rows(tool, one, ONCE + SEVERAL + SYSTEM))
    for split in ("train", "validation"):
        assert len(found[split]) == len(given)
        for row, each in zip(found[split], given, strict=True):
            assert text(row["input_ids"]) == rendering(tool, one, each)
            if one.family.bos_token and not one.family.turn_separator.strip("\n"):
                begin = [number for number in row["input_ids"] if text([number]) == one.family.bos_token]
                assert len(begin) == 1 and row["input_ids"][0] == begin[0]


def rendering(tool: str, one: ExportJob, each: Conversation) -> str:
    """What a tool should see: the family's text behind its BOS."""
    text = one.family.bos_token + "".join(piece.text for piece in one.chat_format.segments(each.messages))
    # LLaMA-Factory's templates for Phi-3 and Phi-4-mini do not write it; the notes of the export say so.
    return text.removesuffix(one.family.document_end) if tool == "llama-factory" else text


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("tool", DRIVERS)
def test_replies_and_their_ends_are_trained_and_nothing_else(
    tool: str, name: str, read: Callable[[str], dict[str, Any]]
) -> None:
    tokenizer, found = read(tool)[name]
    one, text = a_job(name), decoder(tokenizer)
    for row, each in zip(found["train"], rows(tool, one, ONCE + SEVERAL + SYSTEM), strict=True):
        replies = [message.content for message in each.messages if message.train]
        found_parts, wanted = [text(part) for part in learnt(row)], []
        for reply in replies:
            wanted += parts(tool, one, reply)
        if tool == "axolotl":  # the blank that Llama 2 and Mistral write before a reply may be in its first token
            found_parts = [part.removeprefix(one.chat_format.response_prefix) for part in found_parts]
        assert found_parts == wanted


def parts(tool: str, one: ExportJob, reply: str) -> list[str]:
    """What each tool trains of a reply, in one stretch or more."""
    chat_format = one.chat_format
    if tool == "llama-factory":
        return [
            chat_format.response_prefix
            + one.family.reply_lead
            + reply
            + chat_format.response_suffix
            + chat_format.eos
            + chat_format.after_eos
        ]
    if chat_format.response_suffix:  # axolotl leaves out what stands before the end mark
        return [reply, chat_format.eos]
    return [reply + chat_format.eos]


@pytest.mark.parametrize("tool", DRIVERS)
def test_every_method_and_setting_is_accepted(tool: str, tmp_path: Path) -> None:
    """The tool's own parser takes the configuration of full fine-tuning, QLoRA, each optimizer, and no held-out row."""
    interpreter(tool)
    settings: list[dict[str, Any]] = [
        {"method": "full"},
        {"method": "full", "optim": "adamw_8bit", "lr_scheduler_type": "constant"},
        {"load_in_4bit": True, "optim": "adafactor", "lr_scheduler_type": "linear", "warmup_steps": 0},
        {"holdout": 0, "bf16": False, "fp16": True, "num_train_epochs": 0.5, "learning_rate": 1e-05},
    ]
    base = make_tokenizer(tmp_path / "base", "qwen")
    pairs = [(tmp_path / str(number), base) for number, _ in enumerate(settings)]
    for (folder, _), changes in zip(pairs, settings, strict=True):
        export(folder, tool, a_job("qwen", **changes), ONCE)
    found = drive(tool, *pairs)
    assert [one.get("error") for one in found.values()] == [None] * len(settings)
    assert [len(one["validation"]) for one in found.values()] == [3, 3, 3, 0]


@pytest.mark.parametrize("tool", DRIVERS)
def test_a_row_that_is_too_long_is_not_lost_in_silence(tool: str, tmp_path: Path) -> None:
    """axolotl stops, as we tell it to; LLaMA-Factory knows no such setting and cuts, as the notes of the export say."""
    interpreter(tool)
    one = a_job("qwen", holdout=0, max_seq_length=64)
    export(tmp_path / "export", tool, one, (*ONCE, conversation("Why? " * 60, "Because.")))
    found = drive(tool, (tmp_path / "export", make_tokenizer(tmp_path / "base", "qwen")))[tmp_path / "export"]
    if tool == "axolotl":
        assert "which exceeds the maximum 64" in found["error"]
    else:
        assert [len(row["input_ids"]) for row in found["train"]][-1] == 64
        assert any("cuts rows" in note for note in exporter(tool).recipe(one).notes)


@pytest.mark.parametrize("tool", DRIVERS)
def test_the_end_of_a_turn_is_trained_where_it_is_not_the_tokenizers_eos(tool: str, tmp_path: Path) -> None:
    """As of Gemma, of Phi-3 and of base models; without axolotl's eot_tokens it would not be."""
    interpreter(tool)
    pairs = []
    for name, eos in (("gemma", "<eos>"), ("phi3", "<|endoftext|>"), ("qwen", "<|endoftext|>")):
        base = make_tokenizer(tmp_path / f"base-{name}", name)
        config = json.loads((base / "tokenizer_config.json").read_text())
        (base / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": eos}))
        pairs.append((tmp_path / name, base))
        export(tmp_path / name, tool, a_job(name), ONCE[:1])
    for (folder, base), found in zip(pairs, drive(tool, *pairs).values(), strict=True):
        (row,) = found["train"]
        assert "".join(map(decoder(base), learnt(row))).startswith(
            f"<world>: I fixed it twice.{a_job(folder.name).family.eos_token}"
        )


def test_a_key_that_axolotl_does_not_know_is_noticed(tmp_path: Path) -> None:
    interpreter("axolotl")
    export(tmp_path / "export", "axolotl", a_job("qwen"), ONCE)
    path = tmp_path / "export" / "config.yaml"
    path.write_text(path.read_text() + "warmup_step: 3\n")
    found = drive("axolotl", (tmp_path / "export", make_tokenizer(tmp_path / "base", "qwen")))
    assert "config.yaml: .warmup_step" in found[tmp_path / "export"]["error"]

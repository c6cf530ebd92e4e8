"""Every command of the trainer ends with what it made and a command to paste; those named are run as they stand."""

from __future__ import annotations

import io
import os
import random
import shlex
from pathlib import Path

import pytest
from core_fixtures import Result, paragraph, trainer
from use_fixtures import save, says

from curator.contract.homes import CHECKPOINTS
from trainer.names import builtin_base


def next_of(done: Result) -> list[list[str]]:
    """Return the words of each command that a command named."""
    lines = [line.removeprefix("next: ") for line in done.err.splitlines() if line.startswith("next: ")]
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="module")
def bako(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose every reply is "bako"."""
    return save(tmp_path_factory.mktemp("my checkpoints") / "bako", says(" bako"))


@pytest.mark.parametrize("words", [[], ["modules"], ["tokenizer"]])
def test_a_program_or_a_group_alone_shows_its_help(words: list[str]) -> None:
    done = trainer(*words)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" ".join(["usage: trainer", *words])) and "commands:" in done.out


@pytest.mark.parametrize("command", ["sample", "info", "convert", "compare", "import"])
def test_a_command_on_a_checkpoint_names_one_that_works(
    bako: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hf = tmp_path / "hf"
    if command == "import":
        assert trainer("export", bako, "--to", "hf", "--out", hf).status == 0
    words = {
        "sample": ("sample", bako, "--prompt", "ti", "--max-tokens", 3),
        "info": ("info", bako),
        "convert": ("convert", bako, "--dtype", "bfloat16", "--out", "half"),
        "compare": ("compare", bako, bako, "--max-tokens", 3),
        "import": ("import", hf, "--out", "back"),
    }[command]
    done = trainer(*words)
    assert done.status == 0, done.err
    made = {"convert": "half", "import": "back"}.get(command)
    assert (f"made {made}: a checkpoint\n" in done.err) == bool(made)
    named = next_of(done)
    assert named
    for program, name, *rest in named:
        assert program == "trainer"
        if name == "chat":
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ti\n")))
        if name == "health":  # measures for a minute: the command line alone
            assert Path(rest[0]).is_dir() and rest[1] == "--base" and Path(rest[2]).is_dir()
            continue
        again = trainer(name, *rest)
        assert again.status == 0, again.err


def test_from_a_text_to_a_base_by_pasting_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tokenizer train, then what each command names, with sizes that take seconds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my text.txt").write_text("\n".join(paragraph(random.Random(number)) for number in range(300)))
    done = trainer("tokenizer", "train", "--corpus", "my text.txt", "--vocab-size", 300, "--out", "my.model")
    assert done.status == 0 and "made my.model: a tokenizer\n" in done.err, done.err
    ((_, *words),) = next_of(done)
    done = trainer(*words, "--documents", "lines")
    assert done.status == 0 and "made shards/text.bin: tokens" in done.err, done.err
    ((_, *words),) = next_of(done)
    sizes = ("--dim", 16, "--n-layers", 1, "--n-heads", 2, "--context", 32, "--steps", 2, "--compile", "never")
    done = trainer(*words, *sizes)
    assert done.status == 0 and "made my-base: a base" in done.err, done.err
    (sample, preview) = next_of(done)
    assert trainer(*sample[1:], "--max-tokens", 4).status == 0
    assert preview == ["trainer", "preview", "--base", "my-base"]
    done = trainer("modules", "list", "--shards", "shards")
    ((_, *words),) = next_of(done)
    assert words == ["modules", "verify", "--shards", "shards"]
    done = trainer(*words)
    assert done.status == 0 and next_of(done) == [["trainer", "modules", "list", "--shards", "shards"]]
    done = trainer("modules", "remove", "text", "--shards", "shards")
    assert done.err.startswith("removed text from shards\n") and next_of(done)


def test_a_preview_names_the_fine_tune_of_the_same(tmp_path: Path, bako: Path) -> None:
    data = tmp_path / "my data.jsonl"
    data.write_text('{"input": "ti re", "output": "bako ti"}\n' * 3)
    done = trainer("preview", "--data", data, "--base", bako, "--keep-secrets", "-n", 1)
    assert done.status == 0, done.err
    assert next_of(done) == [["trainer", "finetune", "--data", str(data), "--base", str(bako), "--keep-secrets"]]


@pytest.mark.parametrize("name", ["base", "trainer/base"])
def test_the_built_in_base_has_a_name_wherever_one_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a wheel there is no folder trainer/base beside the user."""
    monkeypatch.chdir(tmp_path)
    done = trainer("info", name)
    assert done.status == 0, done.err
    assert str(builtin_base()) in done.out
    (tmp_path / name).mkdir(parents=True)
    assert trainer("info", name).status == 2, "a folder of that name here goes first"


def test_where_there_is_no_such_checkpoint_the_newest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "base is the built-in one" in trainer("info", "nope").err
    checkpoints = tmp_path / "profiles" / "ann" / CHECKPOINTS
    for number, name in enumerate(("2026-01-02-new", "2026-01-01-old")):
        (checkpoints / name).mkdir(parents=True)
        record = checkpoints / name / "trainer.json"
        record.write_text("{}")
        os.utime(record, (1e9 - number, 1e9 - number))
    assert f"{checkpoints / '2026-01-02-new'} is the newest here" in trainer("info", "nope").err

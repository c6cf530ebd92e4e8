"""Every command of both programs, as their parsers list them, and words that let each do its work on a small home."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, curate_once

from curator.cli import build_parser as curate_parser
from trainer.cli import build_parser as trainer_parser

PARSERS = {"curate": curate_parser, "trainer": trainer_parser}
MODULES = {"curate": "curator", "trainer": "trainer"}
SLOW = ("finetune", "pretrain", "resume", "mix", "ablate", "health", "compare", "import")  # of the trainer: it trains


Listed = Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]


def parsers(program: str) -> Listed:
    """Yield the words of each command of a program, with its parser; those of commands in commands too."""

    def below(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Listed:
        inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not inner:
            yield words, parser
        for action in inner:
            for name, child in action.choices.items():
                yield from below((*words, name), child)

    return below((program,), PARSERS[program]())


COMMANDS = [words for program in PARSERS for words, _ in parsers(program)]


@dataclass(frozen=True)
class Place:
    """A home with a profile of some talk, a run of it, texts, and a folder that is there for what a command makes."""

    home: Home
    run: Path
    out: Path

    @property
    def data(self) -> Path:
        """A file of dialogues."""
        return self.home.folder / "data.jsonl"


def small_home(folder: Path) -> tuple[Home, Path]:
    """Make a home with a run, and the files that commands of the table read."""
    home = Home(folder)
    for number in range(6):
        home.memory(f"Where is the pump number {number}{number}?", response=f"It stands on shelf {number} of the barn.")
    run = curate_once("run", "--username", "ann", "--home", home.folder, "--mode", "emulation", "--workers", "1").run
    rows = [{"input": f"Where is it, the {n}th?", "output": f"It is on shelf {n} now."} for n in range(6)]
    (home.folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (home.folder / "text.txt").write_text("It stands in the barn.\n" * 50, "utf-8")
    chat = "".join(
        f"[01/02/2024, 10:0{n}:00] {name}: It is on shelf {n} of the barn\n"
        for n, name in enumerate(["Ann", "Ben"] * 4)
    )
    (home.folder / "_chat.txt").write_text(chat, "utf-8")
    return home, run


_HOME = ("--home", "{home}")
_USER = ("--username", "ann", *_HOME)
# What each command does here. A command that is missing fails a test.
WORDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("curate", "import"): ("{home}/_chat.txt", *_USER, "--owner", "Ann", "--timezone", "UTC", "--date-order", "dmy"),
    ("curate", "run"): (*_USER, "--out", "{out}/runs", "--workers", "1"),
    ("curate", "report"): ("{run}", *_HOME),
    ("curate", "validate"): ("{run}",),
    ("curate", "explain"): ("evt-000001", "--run", "{run}", *_HOME),
    ("curate", "export"): ("{run}", *_HOME, "--to", "trl", "--out", "{out}/export"),
    ("curate", "preview"): ("{run}", *_HOME, "--to", "trl"),
    ("curate", "pack-prompt"): ("{run}", *_HOME),
    ("curate", "voice"): ("--run", "{run}", *_HOME),
    ("curate", "people"): (*_USER,),
    ("curate", "plugins"): (*_HOME,),
    ("curate", "doctor"): (*_HOME,),
    ("curate", "init"): ("{out}/new", "--demo"),
    ("curate", "docs"): ("hooks",),
    ("trainer", "finetune"): (
        "--data", "{home}/data.jsonl", "--steps", "1", "--out", "{out}/tuned", "--accept-degraded",
    ),
    ("trainer", "preview"): ("--data", "{home}/data.jsonl"),
    ("trainer", "pretrain"): ("--shards", "{home}", "--tokenizer", "{base}/tokenizer.model", "--out", "{out}/base"),
    ("trainer", "resume"): ("{home}",),
    ("trainer", "sample"): ("base", "--prompt", "Who are you?", "--max-tokens", "5"),
    ("trainer", "chat"): ("base", "--max-tokens", "5"),
    ("trainer", "compare"): ("base", "base"),
    ("trainer", "health"): ("base", "--data", "{home}/data.jsonl", "--replies", "8", "--html", "{out}/page.html"),
    ("trainer", "eval"): ("base", "--data", "{home}/data.jsonl", "--replies", "0"),
    ("trainer", "info"): ("base",),
    ("trainer", "export"): ("base", "--to", "npz", "--out", "{out}/model.npz"),
    ("trainer", "import"): ("{home}/none.bin", "--out", "{out}/brought"),
    ("trainer", "convert"): ("base", "--out", "{out}/converted", "--dtype", "bfloat16"),
    ("trainer", "tokenizer", "train"): ("--corpus", "{home}/text.txt", "--vocab-size", "300", "--out", "{out}/t.model"),
    ("trainer", "modules", "add"): ("text", "--text", "{home}/text.txt", "--shards", "{out}/shards"),
    ("trainer", "modules", "list"): ("--shards", "{out}",),
    ("trainer", "modules", "remove"): ("none", "--shards", "{out}"),
    ("trainer", "modules", "verify"): ("--shards", "{out}"),
    ("trainer", "mix"): ("--texts", "{home}", "--out", "{out}/mix"),
    ("trainer", "models"): ("--profile", "ann", *_HOME),
    ("trainer", "ablate"): ("--run", "{run}", *_HOME, "--out", "{out}/ablation"),
}  # fmt: skip


def line_of(command: Sequence[str], place: Place, *more: str) -> list[str]:
    """Return the command line of a command, as a process of its own."""
    from trainer.names import builtin_base

    program, *rest = command
    told = {"home": str(place.home.folder), "run": str(place.run), "out": str(place.out), "base": str(builtin_base())}
    words = [word.format(**told) for word in WORDS[tuple(command)]]
    return [sys.executable, "-m", MODULES[program], *rest, *words, *more]


def called(line: Sequence[str], redirected: str = "", **options: object) -> tuple[int, str, str]:
    """Run a command line with a shell's redirections; return its status, stdout and stderr."""
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirected}', "bash", *line], capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL, **options,  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def few(commands: Iterable[tuple[str, ...]], *quick: str) -> list[Any]:
    """Return commands as parameters of a test: those named are asked by `make test`, all by `make verify`."""
    marks = {True: (), False: pytest.mark.verify}
    return [pytest.param(words, marks=marks[" ".join(words) in quick], id=" ".join(words)) for words in commands]


def has(parser: argparse.ArgumentParser, option: str) -> bool:
    """Tell whether a command has an option."""
    return any(option in action.option_strings for action in parser._actions)


Called = Callable[..., tuple[int, str, str]]

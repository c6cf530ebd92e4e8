"""Sets that must be made anew: `curate run` as a program of its own, without a cleaner or with other questions.

It is asked again with the run's own words (run-summary.json), and the whole set too: where that is not what it was, the
profile has changed since, and the sets would differ by more than was asked for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from curator.contract.cli_frame import Progress, command_line
from curator.contract.errors import CuratorError, JobError, UsageError, counted
from curator.contract.files import sha256_of
from curator.contract.records import MAKE_AGAIN, SUMMARY, WRAPPED, read_summary
from trainer.ablation.parts import Arm, Bench, Untried
from trainer.data.dialogues import Dialogue, read_run, without_secrets

SETS = "sets"
_KINDS = {"passage": "stock", "stock": "passage"}


def remade(bench: Bench, by: str, folder: Path, progress: Progress) -> tuple[list[Arm], list[Untried]]:
    """Return the sets without each cleaner, or with the other kind of question; those that come out the same are not
    tried. Raises UsageError where the run cannot be made again, JobError where `curate run` fails."""
    run = bench.ready.dataset.source
    command = read_summary(run, ("command", "config"))["command"]
    if not (
        isinstance(command, list) and command[:2] == ["curate", "run"] and all(isinstance(w, str) for w in command)
    ):
        raise UsageError(f"{run / SUMMARY} names no command that makes the run again", MAKE_AGAIN)
    asked = _cleaners(run) if by == "cleaner" else _questions(bench)
    progress("making the sets", 0, len(asked) + 1)
    if sha256_of(_made(command, (), folder / "whole") / WRAPPED) != sha256_of(run / WRAPPED):
        raise UsageError(
            f"{run.name} does not come out the same when it is made again: profile, etc/ or version changed since",
            f"make it anew, then ask again: {command_line('curate', *command[1:])}",
        )
    whole = _texts([*bench.train, *(one.dialogue for one in bench.held)])
    arms, untried = list[Arm](), list[Untried]()
    for number, (part, instead, words) in enumerate(asked, 1):
        progress(f"making the sets: {instead or f'without {part}'}", number, len(asked) + 1)
        dialogues = _dialogues(bench, _made(command, words, folder / part))
        if _texts(dialogues) == whole:
            untried.append(Untried(part, len(bench.train), "the set is the same without it"))
        else:
            arms.append(Arm(part, *bench.examples(bench.apart(dialogues)), instead=instead, words=words))
    return arms, untried


def _cleaners(run: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    config = read_summary(run, ("config",))["config"]
    names = config.get("cleaners") if isinstance(config, dict) else None
    if not isinstance(names, list):
        raise UsageError(f"{run / SUMMARY}: 'cleaners' is missing in its config", MAKE_AGAIN)
    return [(str(name), "", ("--no-plugin", str(name))) for name in names]


def _questions(bench: Bench) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return the one part: the kind of question that the run asks, with the other in its place."""
    kinds = {one.question for one in (*bench.train, *(held.dialogue for held in bench.held))} - {""}
    if not kinds:
        raise UsageError(
            f"{bench.ready.dataset.source}: no sample answers a question of ours",
            "--by source, type or year may tell more",
        )
    kind = "passage" if "passage" in kinds else "stock"
    return [(kind, f"{_KINDS[kind]} instead of {kind}", ("--questions", _KINDS[kind]))]


def _made(command: list[str], words: tuple[str, ...], out: Path) -> Path:
    """Return the run that a command makes with more words; one that is there already is not made again.

    Raises JobError where it fails.
    """
    there = [path.parent for path in sorted(out.glob(f"*/*/{SUMMARY}")) if not path.parent.name.startswith(".")]
    if there:
        return there[0]
    full = [*command[1:], *words, "--out", str(out)]
    done = subprocess.run([sys.executable, "-m", "curator", *full], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise JobError(
            f"curate run ended with status {done.returncode}: {said}", f"see: {command_line('curate', *full)}"
        )
    return Path(done.stdout.strip().splitlines()[-1])


def _dialogues(bench: Bench, run: Path) -> list[Dialogue]:
    """Return all dialogues of a run but those with a secret; which of them are held out, the bench decides."""
    dataset = read_run(run)
    try:
        return without_secrets(dataset)[0].dialogues
    except CuratorError:
        raise JobError(f"{run}: {counted(len(dataset.dialogues), 'sample')}, all of which hold a secret") from None


def _texts(dialogues: list[Dialogue]) -> set[tuple[str, str]]:
    return {(one.prompt, one.reply) for one in dialogues}

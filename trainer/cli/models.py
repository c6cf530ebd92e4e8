"""`trainer models`: the checkpoints of a person, and which of them is in use."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import command_line, home_option, json_option, log, next_step, print_json, print_table
from curator.contract.homes import CHECKPOINTS, chosen_profile, find_home, find_profile
from trainer.cli.options import add_command

if TYPE_CHECKING:
    from trainer.model.kept import Kept


def add(commands: Any) -> None:
    """Add the command to the parser."""
    models = add_command(
        commands, "models", _run, "List the checkpoints of a person, with their figures, and say which is in use.",
        "trainer chat without a checkpoint talks with the one in use.",
    )  # fmt: skip
    models.add_argument("--profile", "--username", metavar="P", help="whose (default: the only profile's)")
    change = models.add_mutually_exclusive_group()
    change.add_argument("--use", metavar="NAME", help="put this one to use")
    change.add_argument("--back", action="store_true", help="put the one to use that was in use before")
    json_option(models)
    home_option(models)


def folder_of(home: str | None, profile: str | None) -> Path:
    """Return the folder of a person's checkpoints. Raises UsageError for a home or profile that is not there."""
    found = find_home(home)
    return find_profile(found, chosen_profile(found, profile, "--profile"), "--profile") / CHECKPOINTS


def _run(options: argparse.Namespace) -> int:
    from trainer.model.kept import in_use, kept, roll_back, use

    folder = folder_of(options.home, options.profile)
    if options.use:
        log(f"{use(folder, options.use).name} is in use")
    elif options.back:
        log(f"{roll_back(folder).name} is in use again")
    models, current = kept(folder), in_use(folder)
    rows = [_row(one, one.folder == current) for one in models]
    if options.json:
        print_json(rows)
    elif rows:
        heads = ("checkpoint", "made", "replies", "base text", "invented", "stop", "gate", "in use")
        print_table(heads, [[_shown(row[key]) for key in _KEYS] for row in rows])
    if current:
        next_step(command_line("trainer", "chat", current), "talks with the one in use")
    else:
        log(f"there is no checkpoint that passed in {folder}")
        next_step(command_line("trainer", "finetune", "--profile", folder.parent.parent.name), "makes one")
    return 0


_KEYS = ("name", "made", "reply_perplexity", "base_perplexity", "oov_rate", "eos_rate", "gate", "in_use")


def _row(one: Kept, current: bool) -> dict[str, Any]:
    """Return the figures of a checkpoint; null where it has none."""
    record = one.record
    metrics = record.metrics if record else {}
    gate = "unfinished" if record is None else "no gate" if record.gate is None else ""
    if record and record.gate:
        gate = "passed" if record.gate.passed else "degraded"
    if record and record.is_probe:
        gate = "probe"
    return {
        "name": one.folder.name, "folder": str(one.folder), "made": record.created[:10] if record else None,
        **{key: metrics.get(f"health_{key}") for key in _KEYS[2:6]}, "gate": gate, "in_use": current,
    }  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "●" if value else ""
    if isinstance(value, float):
        return f"{value:.1f}" if value > 1 else f"{value:.1%}"
    return "" if value is None else str(value)

"""`curate export`: take a run's set to another tool."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from curator.cli.options import export_options, named_run, planned_export
from curator.contract.cli_frame import log, made, next_step, print_json, progress_bar
from curator.contract.errors import counted


def add(commands: Any) -> None:
    """Add the command to the parser."""
    export = commands.add_parser(
        "export",
        help="take a run's set to another tool for fine-tuning",
        description="Write a folder that another tool takes as it stands: data, configuration, the commands to paste, "
        "what it costs, and a dataset card. The last line of stdout is the folder.",
    )
    export_options(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    export.add_argument("--json", action="store_true", help="print export.json")
    export.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.exports.export import CARD, export

    plan = planned_export(options, named_run(options), options.out)
    with progress_bar() as progress:
        done = export(plan, progress)
    summary, counts = done.summary, done.summary.counts
    for warning in summary.warnings:
        log(f"! {warning}")
    for note in summary.notes:
        log(f"- {note}")
    log(
        f"{counts['train_rows']:,} training and {counted(counts['validation_rows'], 'validation row')} of "
        f"{counted(counts['samples'], 'sample')}; family {summary.family}"
    )
    for line in done.cost:
        log(line)
    if options.json:
        print_json(summary)
    else:
        print(options.out)
    made(options.out / CARD, "the whole of it in words")
    next_step(f"cd {shlex.quote(str(options.out))}")
    for command in summary.commands:
        next_step(command)
    return 0

"""`curate export`: take a run's set to another tool."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.cli.options import export_options, planned_export
from curator.contract.cli_frame import log, print_json, progress_bar
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
    from curator.exports.export import export

    plan = planned_export(options, options.out)
    with progress_bar() as progress:
        done = export(plan, progress)
    counts = done.summary.counts
    for note in done.summary.notes:
        log(f"! {note}")
    print(
        f"{counts['train_rows']:,} training and {counted(counts['validation_rows'], 'validation row')} of "
        f"{counted(counts['samples'], 'sample')}; family {done.summary.family}",
        *done.cost,
        "Then, in the folder below:",
        *(f"  {command}" for command in done.summary.commands),
        sep="\n",
        file=sys.stderr,
    )
    if options.json:
        print_json(done.summary)
        return 0
    print(options.out)
    return 0

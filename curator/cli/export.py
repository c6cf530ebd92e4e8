"""`curate export`: take a run's set to another tool."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.cli.options import NamedRun, export_options, named_run, planned_export
from curator.contract.cli_frame import command_line, log, made, next_step, print_json, progress_bar
from curator.contract.errors import counted

if TYPE_CHECKING:
    from curator.exports.plan import PackPlan
    from curator.records import ExportSummary


def add(commands: Any) -> None:
    """Add the command to the parser."""
    export = commands.add_parser(
        "export",
        help="take a run's set to another tool, or make a persona pack of it",
        description="Write a folder that another tool takes as it stands: data, configuration, the commands to paste, "
        "what it costs, and a dataset card; or a persona pack (--to skill, --to card) for a chat model that is not "
        "trained. The last line of stdout is the folder.",
    )
    export_options(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    export.add_argument("--json", action="store_true", help="print export.json")
    export.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.exports.export import CARD, export
    from curator.exports.plan import PackPlan

    run = named_run(options)
    plan = planned_export(options, run, options.out)
    if isinstance(plan, PackPlan):
        return _pack(options, run, plan)
    with progress_bar() as progress:
        done = export(plan, progress)
    summary, counts = done.summary, done.summary.counts
    _say(summary)
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


def _say(summary: ExportSummary) -> None:
    for warning in summary.warnings:
        log(f"! {warning}")
    for note in summary.notes:
        log(f"- {note}")


def _pack(options: argparse.Namespace, run: NamedRun, plan: PackPlan) -> int:
    from curator.exports.pack_folder import export_pack

    summary, pack = export_pack(plan)
    _say(summary)
    if options.json:
        print_json(summary)
    else:
        print(options.out)
    made(options.out / pack.first, f"{plan.exporter.title}; sources.jsonl names the files of every sample in it")
    next_step(
        command_line("curate", "pack-prompt", *run.for_curate), "prints the same as a system prompt, for any chat model"
    )
    return 0

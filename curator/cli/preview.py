"""`curate preview`: rows as another tool will see them, token by token."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.cli.options import export_options, export_place, export_words, named_run, planned_export
from curator.contract.cli_frame import command_line, console, count, log, next_step, print_json, progress_bar


def add(commands: Any) -> None:
    """Add the command to the parser."""
    preview = commands.add_parser(
        "preview",
        help="show samples as another tool will see them, token by token",
        description="Show samples as another tool will see them, trained tokens marked, and list every row without a "
        "trained token, with two begin marks, without an end mark, or past the length.",
    )
    export_options(preview)
    preview.add_argument("--tokenizer", type=Path, metavar="DIR", help="folder of the base model or its tokenizer")
    which = preview.add_mutually_exclusive_group()
    which.add_argument("--sample", metavar="ID", help="show this sample")
    which.add_argument("--samples", type=count, default=1, metavar="N", help="show the first N rows (default: 1)")
    preview.add_argument("--strict", action="store_true", help="exit 1 where a row has a problem")
    preview.add_argument("--json", action="store_true", help="print it as JSON")
    preview.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.contract.errors import UsageError, counted
    from curator.exports.plan import PackPlan, cut_note
    from curator.exports.preview import HOW_TO_MEND, preview, require_clean, require_rows, rows_note, show
    from curator.exports.tokenizer import ChatTokenizer

    run = named_run(options)
    plan = planned_export(options, run, None)
    if isinstance(plan, PackPlan):
        words = ("export", *run.for_curate, "--to", options.to, "--out", export_place(run, options.to))
        raise UsageError(
            f"--to {options.to} makes a persona pack, which has no rows: there is nothing to preview",
            f"make it: {command_line('curate', *words)}",
        )
    tokenizer = ChatTokenizer(options.tokenizer) if options.tokenizer else None
    with progress_bar() as progress:
        result = preview(plan, tokenizer, options.sample, options.samples, progress)
    require_rows(result, run.folder)
    if options.json:
        print_json({"tool": plan.exporter.name, "family": plan.family.family, "rows": result.rows,
                    "count": result.count, "problems": result.problems,
                    "shown": [row.as_json() for row in result.shown], "samples": result.samples})  # fmt: skip
    else:
        show(result, plan, console())
        exact = options.tokenizer or plan.exporter.template == "server"
        how = "" if exact else " (lengths are estimates: name a tokenizer with --tokenizer DIR)"
        problems = counted(result.count, "problem") if result.count else "no problems"
        print(f"{counted(result.rows, 'row')} for {plan.exporter.title}: {problems}{how}")
    for warning in plan.warnings:
        log(f"! {warning}")
    for note in (rows_note(result.rows, result.samples, plan.exporter), cut_note(plan)):
        if note:
            log(note)
    if options.strict:
        require_clean(result)
    if result.count:
        log(f"before an export, {HOW_TO_MEND}")
    words = (*export_words(options, run), "--out", export_place(run, options.to))
    next_step(command_line("curate", "export", *words), f"writes the rows for {plan.exporter.title}")
    return 0

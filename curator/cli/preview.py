"""`curate preview`: rows as another tool will see them, token by token."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.cli.options import export_options, planned_export
from curator.contract.cli_frame import console, count, print_json, progress_bar


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
    from curator.contract.errors import counted
    from curator.exports.preview import preview, require_clean, show
    from curator.exports.tokenizer import ChatTokenizer

    plan = planned_export(options, None)
    tokenizer = ChatTokenizer(options.tokenizer) if options.tokenizer else None
    with progress_bar() as progress:
        result = preview(plan, tokenizer, options.sample, options.samples, progress)
    if options.json:
        print_json({"tool": plan.exporter.name, "family": plan.family.family, "rows": result.rows,
                    "count": result.count, "problems": result.problems,
                    "shown": [row.as_json() for row in result.shown]})  # fmt: skip
    else:
        show(result, plan, console())
        exact = options.tokenizer or plan.exporter.template == "server"
        how = "" if exact else " (lengths estimated: name a tokenizer with --tokenizer DIR)"
        problems = counted(result.count, "problem") if result.count else "no problems"
        print(f"{counted(result.rows, 'row')} for {plan.exporter.title}: {problems}{how}")
    if options.strict:
        require_clean(result)
    return 0

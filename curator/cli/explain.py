"""`curate explain`: one memory's whole way."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from curator.cli.options import TOOLS, named_run, password_option, unlocked_profile
from curator.contract.cli_frame import command_line, console, home_option, next_step, print_json


def add(commands: Any) -> None:
    """Add the command to the parser."""
    explain = commands.add_parser(
        "explain",
        help="show one memory's whole way",
        description="Show one memory's whole way: its file, its pairs, each change, where it ended and why.",
    )
    explain.add_argument("id", metavar="ID", help="a memory's id, key or path, or a sample's id")
    explain.add_argument("--run", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    explain.add_argument("--username", metavar="U", help="the latest run of this profile")
    home_option(explain)
    password_option(explain)
    explain.add_argument("--json", action="store_true", help="print it as JSON")
    explain.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.reports.explain import explain, show

    run = named_run(options)
    home = str(run.home) if run.home else None
    explained = explain(options.id, run.folder, home, partial(unlocked_profile, options))
    if options.json:
        print_json(explained)
    else:
        show(explained, console())
    if explained.samples:
        sample = explained.samples[0][0].sample_id
        next_step(
            command_line("curate", "preview", *run.for_curate, *("--to", TOOLS[0], "--sample", sample)),
            "shows the sample as a tool for fine-tuning sees it",
        )
    else:
        next_step(command_line("curate", "report", *run.for_curate), "shows what else was turned down, and why")
    return 0

"""`curate explain`: one memory's whole way."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.cli.options import chosen_run
from curator.contract.cli_frame import console, home_option, print_json


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
    explain.add_argument("--json", action="store_true", help="print it as JSON")
    explain.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.reports.explain import explain, show

    folder = chosen_run(options)
    explained = explain(options.id, folder, options.home)
    if options.json:
        print_json(explained)
    else:
        show(explained, console())
    return 0

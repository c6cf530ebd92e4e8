"""`curate report`: show a run's quality report again."""

from __future__ import annotations

import argparse
from typing import Any

from curator.cli.options import chosen_run, run_options
from curator.contract.cli_frame import console, print_json


def add(commands: Any) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report", help="show the quality report of a run", description="Show the quality report of a run."
    )
    run_options(report)
    report.add_argument("--json", action="store_true", help="print report.json")
    report.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:

    folder = chosen_run(options)
    from curator.reports.report import read_report

    report = read_report(folder)
    if options.json:
        print_json(report)
        return 0
    from curator.reports.terminal import show_report

    show_report(report, console())
    print(folder)
    return 0

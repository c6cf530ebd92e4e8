"""`curate report`: show a run's quality report again."""

from __future__ import annotations

import argparse
from typing import Any

from curator.cli.options import named_run, run_options, use_of_run
from curator.contract.cli_frame import command_line, console, log, next_step, print_json


def add(commands: Any) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report", help="show the quality report of a run", description="Show the quality report of a run."
    )
    run_options(report)
    report.add_argument("--json", action="store_true", help="print report.json")
    report.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.contract.homes import named_home
    from curator.contract.records import REPORT_PAGE
    from curator.reports.report import read_report

    run = named_run(options)
    report = read_report(run.folder)
    if options.json:
        print_json(report)
    else:
        from curator.reports.terminal import show_report

        show_report(report, console())
        print(run.folder)
    log(f"the same as a page, for a browser: {run.folder / REPORT_PAGE}")
    if report.samples:
        use_of_run(run)
    else:
        log("! this run holds no sample: nothing can be made of it")
        words = ("--username", report.username, *named_home(run.home))
        next_step(command_line("curate", "run", *words), "makes a new one, or says what stands in the way")
    return 0

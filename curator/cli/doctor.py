"""`curate doctor`: what is wrong and how to mend it."""

from __future__ import annotations

import argparse
from typing import Any

from curator.contract.cli_frame import console, home_option, print_hanging, print_json


def add(commands: Any) -> None:
    """Add the command to the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="say what is wrong and how to mend it",
        description="Look at home, configuration, plugins, profiles and versions. Exits 1 where something is wrong.",
    )
    home_option(doctor)
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.reports.doctor import examine

    findings = examine(options.home)
    wrong = any(finding.status == "wrong" for finding in findings)
    if options.json:
        print_json({"ok": not wrong, "findings": findings})
        return int(wrong)
    from rich.text import Text

    from curator.reports.safe_text import safe

    styles = {"ok": "green", "note": "yellow", "wrong": "red"}
    screen = console()
    for finding in findings:
        mark = Text(f"{finding.status:5} ", styles[finding.status])
        print_hanging(screen, mark, safe(f"{finding.what}: {finding.detail}"))
        if finding.mend:
            print_hanging(screen, Text("      -> "), safe(finding.mend))
    return int(wrong)

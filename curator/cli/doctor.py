"""`curate doctor`: what is wrong and how to mend it."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from curator.cli.options import password_option, unlocked_profile
from curator.contract.cli_frame import (
    command_line,
    console,
    home_option,
    log,
    next_step,
    print_hanging,
    print_json,
)

if TYPE_CHECKING:
    from curator.reports.doctor import Finding


def add(commands: Any) -> None:
    """Add the command to the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="say what is wrong and how to mend it",
        description="Look at home, configuration, plugins, profiles and versions. Exits 1 where something is wrong.",
    )
    home_option(doctor)
    password_option(doctor)
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.reports.doctor import examine

    findings = examine(options.home, partial(unlocked_profile, options))
    wrong = any(finding.status == "wrong" for finding in findings)
    if options.json:
        print_json({"ok": not wrong, "findings": findings})
    else:
        _show(findings)
    _say_next(options.home, wrong)
    return int(wrong)


def _say_next(home: str | None, wrong: bool) -> None:
    from curator.contract.homes import find_home, named_home, profile_names

    if wrong:
        log("mend what is wrong as the lines with -> say; then")
        next_step(command_line("curate", "doctor", *(("--home", home) if home else ())), "looks again")
        return
    root = find_home(home)
    names = profile_names(root)
    if names:
        words = ("run", *named_home(root), "--username", names[0])
        next_step(command_line("curate", *words), f"makes a training set of the profile {names[0]}")
    else:
        next_step(command_line("curate", "init", root, "--demo"), "puts the demo profile into the home")


def _show(findings: list[Finding]) -> None:
    from rich.text import Text

    from curator.reports.safe_text import safe

    styles = {"ok": "green", "note": "yellow", "wrong": "red"}
    screen = console()
    for finding in findings:
        mark = Text(f"{finding.status:5} ", styles[finding.status])
        print_hanging(screen, mark, safe(f"{finding.what}: {finding.detail}"))
        if finding.mend:
            print_hanging(screen, Text("      -> "), safe(finding.mend))

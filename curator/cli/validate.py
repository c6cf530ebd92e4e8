"""`curate validate`: check a dataset or a run for contamination."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.cli.options import NamedRun, debug_option, use_of_run
from curator.contract.cli_frame import command_line, home_option, log, next_step, print_json
from curator.contract.errors import counted

if TYPE_CHECKING:
    from curator.reports.validation import Validator, Verdict


def add(commands: Any) -> None:
    """Add the command to the parser."""
    validate = commands.add_parser(
        "validate",
        help="check a dataset or a run for contamination",
        description="Check tags, fields and JSON of a dataset file or a run. Exits 1 where anything is wrong.",
    )
    validate.add_argument("path", type=Path, metavar="FILE-OR-RUN")
    validate.add_argument("--family", metavar="F", help="family the file is wrapped for (default: found by its text)")
    home_option(validate)
    debug_option(validate)
    validate.add_argument("--json", action="store_true", help="print the problems as JSON")
    validate.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    verdict = _validator(options).run(options.path, options.family)
    if options.json:
        print_json({"passed": verdict.passed, "samples": verdict.samples, "modes": verdict.modes,
                    "problems": verdict.problems, "count": verdict.count})  # fmt: skip
    else:
        _show(verdict)
    _say_next(options, verdict)
    return 0 if verdict.passed else 1


def _show(verdict: Verdict) -> None:
    from curator.reports.safe_text import safe

    for problem in verdict.problems:
        print(safe(str(problem)).plain)
    if verdict.count > len(verdict.problems):
        print(f"and {verdict.count - len(verdict.problems)} more")
    modes = ", ".join(f"{name} {count:,}" for name, count in sorted(verdict.modes.items()))
    end = "clean" if verdict.passed else counted(verdict.count, "problem")
    print(f"{counted(verdict.samples, 'sample')} ({modes or 'none'}): {end}")


def _say_next(options: argparse.Namespace, verdict: Verdict) -> None:
    """Say what a clean set is good for, and where a faulty one is made again; a lone file may be of any tool's."""
    from curator.contract.homes import home_of_run, named_home
    from curator.contract.records import SUMMARY, read_summary

    folder = options.path if options.path.is_dir() else options.path.parent
    if not (folder / SUMMARY).is_file():
        again = command_line("curate", *options.words)
        if verdict.passed:
            log("next: train on the file with the tool that it was made for; curate export makes one for each tool")
        else:
            log("mend the file where the lines above say, or make the set again with curate run; then")
            next_step(again, "looks again")
        return
    home = home_of_run(folder, options.home)
    if verdict.passed:
        use_of_run(NamedRun(folder, home=home))
    else:
        log("the set must not be used as it is; the memories that it was made from are untouched")
        username = str(read_summary(folder)["username"])
        next_step(command_line("curate", "run", "--username", username, *named_home(home)), "makes it again")


def _validator(options: argparse.Namespace) -> Validator:
    """Return the validator with the modes and families of the home: the one given, else that in which a run lies."""
    from curator.config import load_settings
    from curator.contract.homes import home_of_run
    from curator.plugin_manager import load_registry
    from curator.reports.validation import Validator

    root = home_of_run(options.path if options.path.is_dir() else options.path.parent, options.home)
    settings = load_settings(root)
    registry = load_registry(settings, root, options.family)
    return Validator(registry.mode_table, registry.families, registry.control_tokens)

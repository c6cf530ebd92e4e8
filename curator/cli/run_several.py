"""`curate run --all` and `--username ann,ben`: a set of each profile, one after the other, and one table."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curator.cli.options import NamedRun, show_cause, use_of_run
from curator.contract.cli_frame import (
    command_line,
    harmless,
    host_error,
    log,
    made,
    next_step,
    print_json,
    print_table,
    stop_status,
)
from curator.contract.errors import CuratorError, HostError, UsageError, counted, printable

if TYPE_CHECKING:
    from curator.encryption.password import Password
    from curator.reports.report import Report
    from curator.run import Outcome


class Failure(NamedTuple):
    """Why a profile has no new set: what happened and what to do, as an error says it, and the exit status of it."""

    what: str
    next_step: str
    status: int

    @property
    def stopped(self) -> bool:
        """Whether the command was stopped before the set was made."""
        return self.status > HostError.status


@dataclass(frozen=True)
class Result:
    """What became of one profile: a report where its memories were read, a folder where a run was published."""

    username: str
    report: Report | None = None
    folder: Path | None = None
    failure: Failure | None = None


def run_several(options: argparse.Namespace, home: Path, make: Callable[..., Outcome]) -> int:
    """Make a set of each profile asked for and return the highest exit status; one that fails does not stop the rest.

    `make` takes a user name, and by their names `out`, `given` and `job`. Raises UsageError where options do not go
    with several profiles; a bug ends all with its traceback.
    """
    from curator.encryption.password import given_password

    _refuse_what_names_one(options)
    names = _names(options, home)
    given = given_password(options.password_file)  # once: the file may be a pipe, <(pass show metahuman)
    results = _results(options, names, given, make)
    if options.json:
        print_json({"runs": [_as_json(result) for result in results]})
    else:
        _show(options, results)
    sys.stdout.flush()
    _tell_failures(results)
    _say_next(options, home, results)
    return max(result.failure.status if result.failure else 0 for result in results)


def _refuse_what_names_one(options: argparse.Namespace) -> None:
    if options.source:
        raise UsageError(
            "--source names the memories of one profile, and several are asked for",
            "name one profile with --username U, or leave --source out",
        )
    if options.since not in (None, "latest"):
        raise UsageError(
            f"--since {printable(options.since)} names a run of one profile, and several are asked for",
            "--since latest takes of each profile what is new since its own latest run",
        )


def _names(options: argparse.Namespace, home: Path) -> list[str]:
    """Return the user names asked for, each once: all in their order, or those given in theirs. Raises UsageError."""
    if options.all:
        from curator.contract.homes import all_profiles

        return all_profiles(home)
    names = [name.strip() for name in options.username.split(",")]
    if "" in names:
        raise UsageError(
            f"--username {printable(options.username)}: a name is missing beside a comma",
            "commas stand between names, as in ann,ben; no user name holds one",
        )
    return list(dict.fromkeys(names))


def _results(
    options: argparse.Namespace, names: Sequence[str], given: Password | None, make: Callable[..., Outcome]
) -> list[Result]:
    """Return what became of each profile; after Ctrl-C or SIGTERM those that have no set are told as stopped."""

    results: list[Result] = []
    try:
        for number, name in enumerate(names, 1):
            job = f"{printable(name)} ({number} of {len(names)})"
            log(f"profile {job}")
            out = options.out and options.out / name
            results.append(_result(options, name, partial(make, name, out=out, given=given, job=job)))
            _say_at_once(results[-1])
            gc.collect()  # a run switches it off, and the next one needs the memory
    except KeyboardInterrupt as stop:
        left = [printable(name) for name in names[len(results) :]]
        step = harmless(f"make what is missing with: {_again(options, left)}")
        failure = Failure("stopped; nothing more was published", step, stop_status(stop))
        results += [Result(name, failure=failure) for name in left]
    return results


def _result(options: argparse.Namespace, name: str, make: Callable[[], Outcome]) -> Result:
    """Return what became of one profile. An error is kept as text: itself it would hold on to all that its run held."""
    shown, report = printable(name), None
    try:
        outcome = make()
        return Result(shown, outcome.report, outcome.folder)
    except CuratorError as error:
        show_cause(options, error)
        report = getattr(error, "report", None)  # of EmptySet
        return Result(shown, report, failure=_failure(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return Result(shown, failure=_failure(host_error(error)))
    except MemoryError:
        step = "free some memory, or work in one process: --workers 1"
        return Result(shown, failure=_failure(HostError("out of memory; nothing was published", step)))


def _failure(error: CuratorError) -> Failure:
    return Failure(harmless(error.what), harmless(error.next_step), error.status)


def _as_json(result: Result) -> dict[str, Any]:
    failure = result.failure
    return {
        "username": result.username,
        "run": str(result.folder) if result.folder else None,
        "report": result.report,
        "error": {"what": failure.what, "next": failure.next_step} if failure else None,
    }


# --- what is shown -------------------------------------------------------------------------------------------------


def _say_at_once(result: Result) -> None:
    """Say how a run ended as soon as it has, for who waits for many, and should a later one end in a bug."""
    if result.report and not result.failure:
        log(f"  {counted(result.report.samples, 'sample')}" + (f" in {result.folder}" if result.folder else ""))
    else:
        log("  failed; why stands at the end")


def _show(options: argparse.Namespace, results: Sequence[Result]) -> None:
    print_table(("profile", "memories", "samples", "held out", "status"), map(_row, results))
    for result in results:
        if result.folder:
            print(result.folder)
    if options.dry_run:
        print("dry run: nothing was written")


def _row(result: Result) -> tuple[str, ...]:
    from curator.reports.safe_text import safe

    report = result.report
    figures = (report.memories, report.samples, report.samples - report.train) if report else ()
    counts = [f"{figure:,}" for figure in figures] or ["-"] * 3
    return (safe(result.username).plain, *counts, _status(result))


def _status(result: Result) -> str:
    if result.failure:
        return "stopped" if result.failure.stopped else "failed"
    warnings = len(result.report.warnings) if result.report else 0
    return ("made" if result.folder else "dry run") + (f", {counted(warnings, 'warning')}" if warnings else "")


def _tell_failures(results: Sequence[Result]) -> None:
    """Print each failure with its next step on stderr; one that several profiles share, once."""
    names: dict[Failure, list[str]] = {}
    for result in results:
        if result.failure:
            names.setdefault(result.failure, []).append(result.username)
    for failure, theirs in names.items():
        what = f"curate: {', '.join(theirs)}: {failure.what}"
        log(f"{what}\n  {failure.next_step}" if failure.next_step else what)


# --- what comes next -----------------------------------------------------------------------------------------------


def _say_next(options: argparse.Namespace, home: Path, results: Sequence[Result]) -> None:
    from curator.contract.records import REPORT_PAGE

    good = [result for result in results if not result.failure]
    for result in good:
        if result.folder:
            made(result.folder / REPORT_PAGE, f"the report of {result.username} as a page, for a browser")
    if good and options.dry_run:
        next_step(_again(options, [one.username for one in good], "--dry-run"), "makes the sets and writes them")
    elif good:
        _say_use(options, home, good)
    failed = [one.username for one in results if one.failure and not one.failure.stopped and _is_there(home, one)]
    if failed:
        next_step(_again(options, failed), "makes what failed, once what is told above is mended")


def _say_use(options: argparse.Namespace, home: Path, good: Sequence[Result]) -> None:
    """Say what the sets are good for, with the one of them that has warnings or, where none has, the first."""
    shown = next((result for result in good if result.report and result.report.warnings), good[0])
    if not shown.folder:
        return
    run = NamedRun(shown.folder, None if options.out else shown.username, home)
    others = "; the others likewise" if len(good) > 1 else ""
    report = command_line("curate", "report", *run.for_curate)
    next_step(report, f"shows {shown.username}'s whole report, with its warnings{others}")
    use_of_run(run, f"{shown.username}'s set")


def _is_there(home: Path, result: Result) -> bool:
    """Tell whether a profile is there at all: a name that was misspelt is not tried again."""
    from curator.contract.homes import find_profile

    with suppress(UsageError):
        find_profile(home, result.username)
        return True
    return False


def _again(options: argparse.Namespace, names: Sequence[str], but: str = "") -> str:
    """Return the command line that was given, for these profiles alone, and without the flag `but`."""
    one_place = options.out / names[0] if options.out and len(names) == 1 else None
    words, given = ["--username", ",".join(names)], iter(options.words[1:])
    if one_place:
        words += ["--out", str(one_place)]
    for word in given:
        option, with_value, _ = word.partition("=")
        if _means(option, "--username", "--u") or (one_place and _means(option, "--out", "--ou")):
            if not with_value:
                next(given)
        elif word != but and not _means(option, "--all", "--al"):
            words.append(word)
    return command_line("curate", "run", *words)


def _means(word: str, option: str, least: str) -> bool:
    """Tell whether a word is an option, which argparse knows by its beginning too, from `least` on."""
    return option.startswith(word) and word.startswith(least)

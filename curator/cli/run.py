"""`curate run`: make a training set."""

from __future__ import annotations

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.cli.options import NamedRun, debug_option, password_option, unlocked_profile, use_of_run
from curator.contract.cli_frame import (
    command_line,
    console,
    count,
    home_option,
    log,
    made,
    next_step,
    positive,
    print_json,
    progress_bar,
    score,
    share,
)
from curator.contract.errors import UsageError, counted

if TYPE_CHECKING:
    from curator.encryption.password import Password
    from curator.run import Outcome, Request

MODES_FROM = ("metadata", "type", "hybrid")
AUTHORS = ("person", "other_human", "assistant", "tool")  # of curator.records, which help need not load
EXCLUDED = ("source", "type", "year")
QUESTIONS = ("passage", "stock")
HOLDOUT_BY = ("random", "time")
DIRECTIONS = ("thought-is-user", "thought-is-assistant")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    run = commands.add_parser(
        "run",
        help="make a training set from a profile's memories",
        description="Make a training set from a profile's memories. The last line of stdout is the run's folder; of "
        "several profiles it is a table, then a folder a line; the exit status is the highest that one of them had.",
    )
    whose = run.add_mutually_exclusive_group()
    whose.add_argument("--username", metavar="U", help="whose profile (default: the only one), or several: ann,ben")
    whose.add_argument("--all", action="store_true", help="a set of every profile of the home, one after the other")
    home_option(run)
    run.add_argument("--mode", metavar="MODE", help="dual, emulation, agent or a plugin's mode (default: all)")
    run.add_argument("--author", choices=AUTHORS, help="only samples whose reply is this author's words (default: all)")
    run.add_argument("--max", type=positive, metavar="N", help="at most N samples, spread over time")
    run.add_argument("--seed", type=count, default=42, metavar="S", help="decides everything random (default: 42)")
    family = run.add_mutually_exclusive_group()
    family.add_argument("--family", metavar="F", help="model family to wrap for (default: default_family of etc/)")
    family.add_argument("--schema", type=Path, metavar="FILE", help="a family file to wrap with")
    run.add_argument("--base-model", metavar="M", help="base model, by whose name the family is found")
    run.add_argument("--source", type=Path, metavar="PATH", help="read this JSONL file of memories, not the profile's")
    run.add_argument("--days-recent", type=count, metavar="N", help="all of the last N days before the newest memory")
    run.add_argument("--old-samples", type=count, metavar="M", help="and M samples of what is older")
    run.add_argument("--since", metavar="RUN", help="only what is new since that run, a folder or: latest")
    run.add_argument("--mode-from", choices=MODES_FROM, default="hybrid", help="where a memory's mode comes from")
    run.add_argument("--dual-direction", choices=DIRECTIONS, default=DIRECTIONS[0], help="who thinks in a conversation")
    run.add_argument(
        "--context", choices=("drop", "keep"), help="exchanges that lean on what went before (default: of etc/)"
    )
    run.add_argument("--turns", type=positive, metavar="N", help="up to N exchanges a sample, each reply trained")
    run.add_argument("--questions", choices=QUESTIONS, help="what one-sided text answers (default: of etc/)")
    run.add_argument(
        "--voice-at-least", type=score, metavar="SCORE",
        help="drop replies taken for the person's that are less like them, from 0 to 100 (default: none)",
    )  # fmt: skip
    run.add_argument("--holdout", type=share, metavar="SHARE", help="share to hold out (default: 0.05)")
    run.add_argument(
        "--holdout-by", choices=HOLDOUT_BY, help="hold out conversations at random, or the newest (default: of etc/)"
    )
    run.add_argument("--max-file-bytes", type=positive, metavar="N", help="drop larger files unread")
    run.add_argument(
        "--no-plugin", action="append", default=[], metavar="NAME", help="leave out this plugin, cleaner or filter"
    )
    run.add_argument(
        "--exclude", action="append", default=[], type=exclusion, metavar="KIND=VALUE",
        help="leave out all memories of a source, type or year, such as source=imports/whatsapp or year=2019",
    )  # fmt: skip
    run.add_argument("--no-cache", action="store_true", help="work all out anew, and keep nothing for the next run")
    run.add_argument("--workers", type=positive, metavar="N", help="work in N processes (default: one a core)")
    password_option(run)
    run.add_argument("--keep-secrets", action="store_true", help="keep samples that hold keys, cards or IBANs")
    run.add_argument("--keep-going", action="store_true", help="drop memories on which a plugin fails, and go on")
    debug_option(run)
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="write runs here, not to the profile's out/; several go to DIR/U"
    )
    run.add_argument("--dry-run", action="store_true", help="do everything but write")
    run.add_argument(
        "--json", action="store_true", help="print the report as JSON; of several profiles, one object of all"
    )
    run.set_defaults(command=_run)


def exclusion(text: str) -> str:
    """Return what --exclude names, KIND=VALUE. Raises ArgumentTypeError for another kind, or no value."""
    kind, _, value = text.partition("=")
    if kind not in EXCLUDED or not value:
        raise argparse.ArgumentTypeError(f"{text!r}: expected source=VALUE, type=VALUE or year=VALUE")
    return text


def _run(options: argparse.Namespace) -> int:
    from curator.contract.homes import chosen_profile, find_home

    if options.old_samples is not None and options.days_recent is None:
        raise UsageError("--old-samples needs --days-recent", "add --days-recent N: how many days are taken whole")
    home = find_home(options.home)
    if options.all or "," in (options.username or ""):
        from curator.cli.run_several import run_several

        return run_several(options, home, partial(_outcome, options, home))
    return _run_one(options, home, chosen_profile(home, options.username))


def _run_one(options: argparse.Namespace, home: Path, username: str) -> int:
    from curator.reports.empty import EmptySet

    try:
        outcome = _outcome(options, home, username, out=options.out)
    except EmptySet as empty:
        if options.json:
            print_json({"run": None, "report": empty.report})
        raise
    if options.json:
        print_json({"run": str(outcome.folder) if outcome.folder else None, "report": outcome.report})
    else:
        from curator.reports.terminal import show_report

        show_report(outcome.report, console())
        print(outcome.folder if outcome.folder else "dry run: nothing was written")
    _say_next(options, username, home, outcome)
    return 0


def _outcome(
    options: argparse.Namespace,
    home: Path,
    username: str,
    *,
    out: Path | None,
    given: Password | None = None,
    job: str = "",
) -> Outcome:
    """Make the set of one profile, below `out` where that is named. Raises CuratorError: then nothing was published.

    `given` is the password where it was read already, `job` says on the progress bar which of several this is.
    """
    from curator.run import run

    request = _request(options, home, username, out, given)
    # stdout is the result, whoever prints. The bar within: where it ends it puts back the stdout that it found.
    with contextlib.redirect_stdout(sys.stderr), progress_bar(job) as progress:
        outcome = run(request, progress)
    if outcome.from_cache:
        known = f"{outcome.from_cache:,} of {counted(outcome.report.memories, 'memory', 'memories')}"
        log(f"from the cache: what {known} gave; --no-cache works all out anew")
    return outcome


def _request(
    options: argparse.Namespace, home: Path, username: str, out: Path | None, given: Password | None
) -> Request:
    from curator.config import load_settings
    from curator.contract.homes import find_profile
    from curator.plugin_manager import require_watching
    from curator.run import Request
    from curator.sampling.sampler import Options

    if (home / "plugins").is_dir():
        require_watching(load_settings(home), home)  # a person is asked for the password once, by the watched process
    source = options.source if options.source and options.source.is_dir() else None
    unlocked = unlocked_profile(options, source or find_profile(home, username), given)
    kept = options.password_file if unlocked and options.password_file and options.password_file.is_file() else None
    return Request(
        username=username,
        home=str(home),
        out=out,
        source=options.source,
        base_model=options.base_model,
        family=options.family,
        schema=options.schema,
        max_file_bytes=options.max_file_bytes,
        context=options.context,
        turns=options.turns,
        questions=options.questions,
        holdout_by=options.holdout_by,
        voice_at_least=options.voice_at_least,
        disabled=tuple(options.no_plugin),
        workers=options.workers,
        cache=not options.no_cache,
        dry_run=options.dry_run,
        unlocked=unlocked,
        password_file=kept,
        options=Options(
            mode=options.mode,
            author=options.author,
            most=options.max,
            seed=options.seed,
            mode_from=options.mode_from,
            dual_direction=options.dual_direction,
            days_recent=options.days_recent,
            old_samples=options.old_samples,
            holdout=options.holdout,
            keep_going=options.keep_going,
            keep_secrets=options.keep_secrets,
            exclude=tuple(options.exclude),
            since=_since(options.since, find_profile(home, username)),
        ),
    )


def _since(asked: str | None, profile: Path) -> str | None:
    """Return the folder of the earlier run, absolute. Raises UsageError where `latest` finds none."""
    if asked is None:
        return None
    from curator.contract.homes import latest_run

    return str(latest_run(profile) if asked == "latest" else Path(asked).absolute())


def _say_next(options: argparse.Namespace, username: str, home: Path, outcome: Outcome) -> None:
    from curator.contract.records import REPORT_PAGE

    if outcome.folder is None:
        words = [word for word in options.words if word != "--dry-run"]
        next_step(command_line("curate", *words), "makes the set and writes it")
        return
    made(outcome.folder / REPORT_PAGE, "the report as a page, for a browser")
    use_of_run(NamedRun(outcome.folder, None if options.out else username, home))

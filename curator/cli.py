"""The command line. Each command is a thin layer: options in, one call, result to stdout, talk to stderr.

Exit status: 0 done; 1 the job or its proof failed; 2 usage; 3 disk, lock or permission; 130 and 143 stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from curator.errors import CuratorError, UsageError

MODES_FROM = ("metadata", "type", "hybrid")
DIRECTIONS = ("thought-is-user", "thought-is-assistant")
TOOLS = ("llama-factory", "axolotl", "trl", "unsloth", "mlx", "torchtune", "openai")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status."""
    sys.exit(_guarded(list(sys.argv[1:] if arguments is None else arguments)))


def _harmless(text: str) -> str:
    """Return a message whose control characters, which may come from a file or a plugin, cannot steer a terminal."""
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _guarded(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII locale must not end a run that is published
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except CuratorError as error:
        print(f"curate: {_harmless(str(error))}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # the reader has left (| head): nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        code = stop.args[0] if stop.args and isinstance(stop.args[0], int) else 130
        print("curate: stopped; nothing was published", file=sys.stderr)
    except MemoryError:
        print("curate: out of memory; nothing was published", file=sys.stderr)
        return 3
    return code


def _command(arguments: list[str]) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of 0 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0 to below 1, such as 0.05")
    return value


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; their help stands in docs/commands.md, generated."""
    parser = argparse.ArgumentParser(
        prog="curate", description="From a person's memories to a proven fine-tuning set. Everything runs offline."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_report(commands)
    _add_validate(commands)
    _add_explain(commands)
    _add_export(commands)
    _add_preview(commands)
    _add_plugins(commands)
    _add_doctor(commands)
    _add_init(commands)
    return parser


def _version() -> str:
    from curator import __version__

    return f"curate {__version__}"


def _home_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home", metavar="DIR", help="folder that holds profiles/ (default: $CURATOR_HOME, else the nearest upwards)"
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    parser.add_argument("--username", metavar="U", help="the latest run of this profile")
    _home_option(parser)


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="make a training set from a profile's memories",
        description="Make a training set from a profile's memories. The last line of stdout is the run's folder.",
    )
    run.add_argument("--username", required=True, metavar="U", help="whose profile")
    _home_option(run)
    run.add_argument("--mode", metavar="MODE", help="dual, emulation, agent or a plugin's mode (default: all)")
    run.add_argument("--max", type=_positive, metavar="N", help="at most N samples, spread over time")
    run.add_argument("--seed", type=_count, default=42, metavar="S", help="decides everything random (default: 42)")
    family = run.add_mutually_exclusive_group()
    family.add_argument("--family", metavar="F", help="model family to wrap for (default: default_family of etc/)")
    family.add_argument("--schema", type=Path, metavar="FILE", help="a family file to wrap with")
    run.add_argument("--base-model", metavar="M", help="base model, by whose name the family is found")
    run.add_argument("--source", type=Path, metavar="FILE", help="read this JSONL file of memories, not the profile's")
    run.add_argument("--days-recent", type=_count, metavar="N", help="all of the last N days before the newest memory")
    run.add_argument("--old-samples", type=_count, metavar="M", help="and M samples of what is older")
    run.add_argument("--mode-from", choices=MODES_FROM, default="hybrid", help="where a memory's mode comes from")
    run.add_argument("--dual-direction", choices=DIRECTIONS, default=DIRECTIONS[0], help="who thinks in a conversation")
    run.add_argument("--context", choices=("drop", "keep"), help="replies that cannot stand alone (default: of etc/)")
    run.add_argument("--holdout", type=_share, metavar="SHARE", help="share to hold out (default: 0.05)")
    run.add_argument("--max-file-bytes", type=_positive, metavar="N", help="drop larger files unread")
    run.add_argument(
        "--no-plugin", action="append", default=[], metavar="NAME", help="leave out this plugin, cleaner or filter"
    )
    run.add_argument("--keep-going", action="store_true", help="drop memories on which a plugin fails, and go on")
    run.add_argument("--out", type=Path, metavar="DIR", help="write runs here, not to the profile's out/")
    run.add_argument("--dry-run", action="store_true", help="do everything but write")
    run.add_argument("--json", action="store_true", help="print the report as JSON")
    run.set_defaults(command=_run)


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report", help="show the quality report of a run", description="Show the quality report of a run."
    )
    _run_options(report)
    report.add_argument("--json", action="store_true", help="print report.json")
    report.set_defaults(command=_report)


def _add_validate(commands: Any) -> None:
    validate = commands.add_parser(
        "validate",
        help="check a dataset or a run for contamination",
        description="Check tags, fields and JSON of a dataset file or a run. Exits 1 where anything is wrong.",
    )
    validate.add_argument("path", type=Path, metavar="FILE-OR-RUN")
    validate.add_argument(
        "--family", metavar="F", help="family the file is wrapped for (default: found by its wrapper)"
    )
    _home_option(validate)
    validate.add_argument("--json", action="store_true", help="print the problems as JSON")
    validate.set_defaults(command=_validate)


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="show one memory's whole way",
        description="Show one memory's whole way: its file, its pairs, each change, where it ended and why.",
    )
    explain.add_argument("id", metavar="ID", help="a memory's id, key or path, or a sample's id")
    explain.add_argument("--run", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    explain.add_argument("--username", metavar="U", help="the latest run of this profile")
    _home_option(explain)
    explain.add_argument("--json", action="store_true", help="print it as JSON")
    explain.set_defaults(command=_explain)


def _export_options(parser: argparse.ArgumentParser) -> None:
    _run_options(parser)
    parser.add_argument("--to", required=True, metavar="TOOL", help=f"{', '.join(TOOLS)}, or a plugin's tool")
    parser.add_argument("--method", choices=("lora", "full"), help="default: training_mode of etc/")
    parser.add_argument("--base-model", metavar="NAME", help="model to fine-tune (default: base_model of etc/)")
    parser.add_argument("--family", metavar="F", help="the base model's family (default: found by its name)")
    parser.add_argument(
        "--tags", choices=("content", "none"), default="content",
        help="keep the mode tags in the texts, or leave them out and put the mode into a system message",
    )  # fmt: skip


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="take a run's set to another tool for fine-tuning",
        description="Write a folder that another tool takes as it stands: data, configuration, the commands to paste, "
        "what it costs, and a dataset card. The last line of stdout is the folder.",
    )
    _export_options(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    export.add_argument("--json", action="store_true", help="print export.json")
    export.set_defaults(command=_export)


def _add_preview(commands: Any) -> None:
    preview = commands.add_parser(
        "preview",
        help="show samples as another tool will see them, token by token",
        description="Show samples as another tool will see them, trained tokens marked, and list every row without a "
        "trained token, with two begin marks, without an end mark, or past the length.",
    )
    _export_options(preview)
    preview.add_argument("--tokenizer", type=Path, metavar="DIR", help="folder of the base model or its tokenizer")
    which = preview.add_mutually_exclusive_group()
    which.add_argument("--sample", metavar="ID", help="show this sample")
    which.add_argument("--samples", type=_count, default=1, metavar="N", help="show the first N rows (default: 1)")
    preview.add_argument("--strict", action="store_true", help="exit 1 where a row has a problem")
    preview.add_argument("--json", action="store_true", help="print it as JSON")
    preview.set_defaults(command=_preview)


def _add_plugins(commands: Any) -> None:
    plugins = commands.add_parser("plugins", help="list plugins and what they give", description="List plugins.")
    _home_option(plugins)
    plugins.add_argument("--json", action="store_true", help="print them as JSON")
    plugins.set_defaults(command=_plugins)


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="say what is wrong and how to mend it",
        description="Look at home, configuration, plugins, profiles and versions. Exits 1 where something is wrong.",
    )
    _home_option(doctor)
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(command=_doctor)


def _add_init(commands: Any) -> None:
    init = commands.add_parser(
        "init",
        help="make a home: etc/ and profiles/",
        description="Make a home: etc/ with the shipped configuration and an empty profiles/. Nothing is overwritten.",
    )
    init.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here")
    init.add_argument("--demo", action="store_true", help="put the demo profile greggles in it")
    init.set_defaults(command=_init)


# --- commands ------------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from curator.pipeline import Options
    from curator.run import Request, run
    from curator.shell import console, print_json, progress_bar

    if options.old_samples is not None and options.days_recent is None:
        raise UsageError("--old-samples needs --days-recent", "add --days-recent N: how many days are taken whole")
    request = Request(
        username=options.username,
        home=options.home,
        out=options.out,
        source=options.source,
        base_model=options.base_model,
        family=options.family,
        schema=options.schema,
        max_file_bytes=options.max_file_bytes,
        context=options.context,
        disabled=tuple(options.no_plugin),
        dry_run=options.dry_run,
        options=Options(
            mode=options.mode,
            most=options.max,
            seed=options.seed,
            mode_from=options.mode_from,
            dual_direction=options.dual_direction,
            days_recent=options.days_recent,
            old_samples=options.old_samples,
            holdout=options.holdout,
            keep_going=options.keep_going,
        ),
    )
    with progress_bar() as progress, contextlib.redirect_stdout(sys.stderr):  # stdout is the result, whoever prints
        outcome = run(request, progress)
    if options.json:
        print_json({"run": str(outcome.folder) if outcome.folder else None, "report": outcome.report})
        return 0
    from curator.report_terminal import show_report

    show_report(outcome.report, console())
    print(outcome.folder if outcome.folder else "dry run: nothing was written")
    return 0


def _report(options: argparse.Namespace) -> int:
    from curator.shell import console, find_run, print_json, read_report

    folder = find_run(options.run, options.username, options.home)
    report = read_report(folder)
    if options.json:
        print_json(report)
        return 0
    from curator.report_terminal import show_report

    show_report(report, console())
    print(folder)
    return 0


def _validate(options: argparse.Namespace) -> int:
    from curator.shell import print_json, validator

    verdict = validator(options.home, options.path, options.family).run(options.path, options.family)
    if options.json:
        print_json({"passed": verdict.passed, "samples": verdict.samples, "modes": verdict.modes,
                    "problems": verdict.problems, "count": verdict.count})  # fmt: skip
        return 0 if verdict.passed else 1
    from curator.report_terminal import safe

    for problem in verdict.problems:
        print(safe(str(problem)).plain)
    if verdict.count > len(verdict.problems):
        print(f"and {verdict.count - len(verdict.problems)} more")
    modes = ", ".join(f"{name} {count:,}" for name, count in sorted(verdict.modes.items()))
    end = "clean" if verdict.passed else f"{verdict.count:,} problems"
    print(f"{verdict.samples:,} samples ({modes or 'none'}): {end}")
    return 0 if verdict.passed else 1


def _explain(options: argparse.Namespace) -> int:
    from curator.explain import explain, show
    from curator.shell import console, find_run, print_json

    folder = find_run(options.run, options.username, options.home)
    found = explain(options.id, folder, options.home)
    if options.json:
        print_json(found)
    else:
        show(found, console())
    return 0


def _plan(options: argparse.Namespace, out: Path | None) -> Any:
    from curator.exporting import ExportRequest, plan_export
    from curator.shell import find_run, optional_home

    return plan_export(
        ExportRequest(
            run=find_run(options.run, options.username, options.home),
            tool=options.to,
            out=out,
            method=options.method,
            base_model=options.base_model,
            family=options.family,
            tags=options.tags,
            home=optional_home(options.home),
        )
    )


def _export(options: argparse.Namespace) -> int:
    from curator.exporting import export
    from curator.shell import print_json, progress_bar

    plan = _plan(options, options.out)
    with progress_bar() as progress:
        done = export(plan, progress)
    counts = done.summary.counts
    for note in done.summary.notes:
        print(_harmless(f"! {note}"), file=sys.stderr)
    print(
        f"{counts['train_rows']:,} training and {counts['validation_rows']:,} validation rows of "
        f"{counts['samples']:,} samples; family {done.summary.family}",
        *done.cost,
        "Then, in the folder below:",
        *(f"  {command}" for command in done.summary.commands),
        sep="\n",
        file=sys.stderr,
    )
    if options.json:
        print_json(done.summary)
        return 0
    print(options.out)
    return 0


def _preview(options: argparse.Namespace) -> int:
    from curator.preview import counted, preview, require_clean, show
    from curator.shell import console, print_json, progress_bar
    from curator.tokenizing import ChatTokenizer

    plan = _plan(options, None)
    tokenizer = ChatTokenizer(options.tokenizer) if options.tokenizer else None
    with progress_bar() as progress:
        found = preview(plan, tokenizer, options.sample, options.samples, progress)
    if options.json:
        print_json({"tool": plan.exporter.name, "family": plan.family.family, "rows": found.rows,
                    "count": found.count, "problems": found.problems,
                    "shown": [row.as_json() for row in found.shown]})  # fmt: skip
    else:
        show(found, plan, console())
        exact = options.tokenizer or plan.exporter.template == "server"
        how = "" if exact else " (lengths estimated: name a tokenizer with --tokenizer DIR)"
        problems = counted(found.count, "problem") if found.count else "no problems"
        print(f"{counted(found.rows, 'row')} for {plan.exporter.title}: {problems}{how}")
    if options.strict:
        require_clean(found)
    return 0


def _plugins(options: argparse.Namespace) -> int:
    from curator.shell import console, list_plugins, print_json

    rows = list_plugins(options.home)
    if options.json:
        print_json(rows)
        return 0
    from rich.table import Table

    table = Table("plugin", "version", "gives")
    for row in rows:
        table.add_row(row["name"], row["version"], row["gives"])
    console().print(table)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from curator.doctor import examine
    from curator.shell import console, print_json

    findings = examine(options.home)
    wrong = any(one.status == "wrong" for one in findings)
    if options.json:
        print_json({"ok": not wrong, "findings": findings})
        return int(wrong)
    from curator.report_terminal import safe

    marks = {"ok": "[green]ok   [/]", "note": "[yellow]note [/]", "wrong": "[red]wrong[/]"}
    screen = console()
    for one in findings:
        screen.print(marks[one.status], safe(f"{one.what}: {one.detail}"))
        if one.mend:
            screen.print("      ->", safe(one.mend))
    return int(wrong)


def _init(options: argparse.Namespace) -> int:
    from curator.shell import make_home

    print(make_home(options.folder, options.demo))
    return 0


if __name__ == "__main__":
    main()

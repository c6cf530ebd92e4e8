"""The command line of the data side, a file a command: options in, one call, result to stdout, talk to stderr.

In: arguments. Out: an exit status. It knows every room; no room knows it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from curator.cli import (
    docs,
    doctor,
    explain,
    export,
    import_,
    init,
    pack_prompt,
    people,
    plugins,
    preview,
    report,
    run,
    validate,
    voice,
)
from curator.cli.options import show_cause
from curator.contract import __version__
from curator.contract.cli_frame import completion_option, guarded, leave
from curator.contract.errors import JobError, PluginError
from curator.contract.process.named_paths import check_paths
from curator.contract.process.streams import json_alone
from curator.executing import watched

_COMMANDS = (
    import_, run, report, validate, explain, export, preview, pack_prompt, voice, people, plugins, doctor, init, docs,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status."""
    watched.begin()
    leave("curate", lambda: watched.done(run_command(sys.argv[1:] if arguments is None else arguments)))


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""

    def command() -> int:
        parser = build_parser()
        if not arguments:
            parser.print_help()
            return 0
        options = parser.parse_args(list(arguments))
        options.words = list(arguments)
        check_paths(parser, arguments, options)
        chosen: Callable[[argparse.Namespace], int] = options.command
        try:
            with json_alone(getattr(options, "json", False)):
                try:
                    return chosen(options)
                except watched.NeedsWatching as needed:
                    return _watched(needed)
        except PluginError as error:
            show_cause(options, error)
            raise

    nothing = "; nothing was published"
    return guarded("curate", command, stopped=f"stopped{nothing}", memory=nothing)


def _watched(needed: watched.NeedsWatching) -> int:
    """Run this command line in a child that is watched; return its status. Raises PluginError and JobError."""
    from curator.plugin_errors import plugin_failed

    ended = watched.watch(needed.seconds, needed.megabytes)
    if ended.plugin:
        raise plugin_failed(ended.plugin, ended.hook, "", ended.problem)
    if ended.problem:
        raise JobError(
            f"{ended.problem}, by what a plugin left behind or by the system",
            "leave out one plugin after the other: plugins.disabled of etc/curate.json",
        )
    return ended.status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; their help stands in docs/commands.md, generated."""
    parser = argparse.ArgumentParser(
        prog="curate", description="From a person's memories to a proven fine-tuning set. Everything runs offline."
    )
    parser.add_argument("--version", action="version", version=f"curate {__version__}")
    completion_option(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add(commands)
    return parser

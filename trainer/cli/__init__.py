"""The command line of the model side, one file for each command. Results go to stdout, messages to stderr.

In: arguments. Out: an exit status. It knows every room; no room knows it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from curator.contract import __version__
from curator.contract.cli_frame import completion_option, guarded, leave
from curator.contract.errors import UsageError
from curator.contract.process.named_paths import check_paths
from curator.contract.process.streams import json_alone
from trainer.cli import (
    ablate,
    chat,
    compare,
    convert,
    export,
    finetune,
    health,
    import_,
    info,
    mix,
    models,
    modules,
    pretrain,
    preview,
    resume,
    sample,
    tokenizer,
)

_COMMANDS = (
    finetune, preview, pretrain, resume, sample, chat, compare, health, info, export, import_, convert, tokenizer,
    modules, mix, models, ablate,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status."""
    leave("trainer", lambda: run_command(sys.argv[1:] if arguments is None else arguments))


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
        with json_alone(getattr(options, "json", False)):
            if options.needs_torch:
                _require_torch()
            return chosen(options)

    return guarded("trainer", command, memory="\n  use a smaller model or a shorter --context")


def _require_torch() -> None:
    """Load what a command needs.

    GNU OpenMP's threads spin while they wait for each other, and on a busy machine spin away the very cores that they
    wait for. It reads how they shall wait when torch is loaded, and never again.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("torch", "sentencepiece", "safetensors"):
        try:
            __import__(name)
        except ImportError:
            from curator.contract.homes import install_extra  # here, since `trainer --help` must not pay for it

            raise UsageError(f"{name} is not installed", install_extra("trainer")) from None


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; docs/commands.md is generated from their help."""
    parser = argparse.ArgumentParser(
        prog="trainer", description="Train, use and export a small Llama on a plain CPU. Everything runs offline."
    )
    parser.add_argument("--version", action="version", version=f"trainer {__version__}")
    completion_option(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="name", required=True)
    for module in _COMMANDS:
        module.add(commands)
    return parser

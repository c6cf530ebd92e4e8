"""`trainer info`: what a checkpoint is and whether its files are intact."""

from __future__ import annotations

import argparse
from typing import Any

from curator.contract.cli_frame import harmless, json_option, log, print_json
from trainer.cli.options import add_command, checkpoint_argument, use_of_checkpoint


def add(commands: Any) -> None:
    """Add the command to the parser."""
    info = add_command(
        commands, "info", _run, "Say what a checkpoint is and whether it is whole.",
        "Exit status 1 where one of its files is not the one it was written with.",
    )  # fmt: skip
    checkpoint_argument(info)
    json_option(info)


def _run(options: argparse.Namespace) -> int:
    from trainer.model.describe import describe, lines

    description = describe(options.checkpoint)
    if options.json:
        print_json(description)
    else:
        for name, value in lines(description):
            print(harmless(f"{name + ':':<15}{value}"))
    if description["verified"]:
        use_of_checkpoint(options.checkpoint)
        return 0
    log("one of its files is not the one it was written with: copy or make the checkpoint again")
    return 1

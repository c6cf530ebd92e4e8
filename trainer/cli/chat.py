"""`trainer chat`: talk with a model."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from curator.contract.cli_frame import command_line, log, next_step
from trainer.cli.options import add_command, checkpoint_argument, decoder_of, sampling_of, sampling_options, show_text


def add(commands: Any) -> None:
    """Add the command to the parser."""
    chat = add_command(
        commands, "chat", _run, "Talk with a model.",
        "Each line of stdin is a prompt, or one of /reset, /seed N, /temperature T, /quit; replies go to stdout.",
    )  # fmt: skip
    checkpoint_argument(chat)
    chat.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    sampling_options(chat)


def _run(options: argparse.Namespace) -> int:
    from trainer.inference.chat import COMMANDS, Chat, talk, typed
    from trainer.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    sampling = sampling_of(options)
    chat = Chat.of(checkpoint, decoder_of(checkpoint, options.threads), sampling, options.mode)
    if sys.stdin.isatty():
        log(COMMANDS)
    talk(chat, typed(), show_text, log)
    next_step(
        command_line("trainer", "health", options.checkpoint), "says in figures how good it is, its base beside it"
    )
    return 0

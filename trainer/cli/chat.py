"""`trainer chat`: talk with a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, harmless, log, next_step
from trainer.cli.options import add_command, checkpoint_argument, decoder_of, sampling_of, sampling_options, show_text


def add(commands: Any) -> None:
    """Add the command to the parser."""
    chat = add_command(
        commands, "chat", _run, "Talk with a model.",
        "Each line of stdin is a prompt, or a command; /help lists them. Replies go to stdout.",
    )  # fmt: skip
    checkpoint_argument(chat)
    chat.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    sampling_options(chat)


def _run(options: argparse.Namespace) -> int:
    from trainer.cli.terminal import Speaker, typed
    from trainer.inference.chat import Chat, talk
    from trainer.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    sampling = sampling_of(options)
    chat = Chat.of(checkpoint, decoder_of(checkpoint, options.threads), sampling, options.mode)
    show = show_text
    if sys.stdin.isatty():
        log("/help lists the commands; Ctrl-C stops a reply, Ctrl-D ends the chat")
    if sys.stdin.isatty() and sys.stdout.isatty():
        show = Speaker(_name(options.checkpoint.resolve()), show_text)
    talk(chat, typed(log), show, log)
    next_step(
        command_line("trainer", "health", options.checkpoint), "says in figures how good it is, its base beside it"
    )
    return 0


def _name(checkpoint: Path) -> str:
    """Return the name of who speaks: the person's, in whose profile the checkpoint lies, else its folder's."""
    inside = [path.name for path in checkpoint.parents if path.parent.name == "profiles"]
    return harmless(inside[0] if inside else checkpoint.name)[:24]

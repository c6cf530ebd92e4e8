"""`trainer chat`: talk with a model."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, harmless, log, next_step, print_at_once
from curator.contract.errors import UsageError
from trainer.cli.models import folder_of
from trainer.cli.options import (
    add_command,
    asked_sources,
    engine_for,
    engine_options,
    sampling_of,
    sampling_options,
    sources_of,
    sources_option,
)
from trainer.names import checkpoint_path


def add(commands: Any) -> None:
    """Add the command to the parser."""
    chat = add_command(
        commands, "chat", _run, "Talk with a model.",
        "Each line of stdin is a prompt, or a command; /help lists them. Replies go to stdout.",
    )  # fmt: skip
    chat.add_argument(
        "checkpoint", type=checkpoint_path, nargs="?", metavar="CHECKPOINT",
        help="a checkpoint's folder, or: base (default: the one in use, as trainer models says)",
    )  # fmt: skip
    chat.add_argument("--profile", metavar="P", help="whose, where none is named (default: the only profile's)")
    chat.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    sources_option(chat)
    engine_options(chat)
    sampling_options(chat)


def _run(options: argparse.Namespace) -> int:
    from trainer.cli.terminal import Speaker, typed
    from trainer.inference.chat import Chat, talk
    from trainer.model.checkpoint import load_checkpoint

    place = options.checkpoint or _in_use(options)
    checkpoint = load_checkpoint(place)
    ready = asked_sources(options, checkpoint) if options.sources else None
    sources = functools.cache(lambda: ready or sources_of(options, checkpoint))  # read when first asked for
    sampling = sampling_of(options, checkpoint)
    with engine_for(options, checkpoint, sampling) as (engine, sampling):
        chat = Chat.of(checkpoint, engine, sampling, options.mode)
        chat.find, chat.finds_always = (lambda reply: sources().of(reply)), options.sources
        show = print_at_once
        if sys.stdin.isatty():
            log("/help lists the commands; Ctrl-C stops a reply, Ctrl-D ends the chat")
        if sys.stdin.isatty() and sys.stdout.isatty():
            show = Speaker(_name(place.resolve()), print_at_once)
        talk(chat, typed(log), show, log)
    next_step(command_line("trainer", "health", place), "says in figures how good it is, its base beside it")
    return 0


def _in_use(options: argparse.Namespace) -> Path:
    """Return the checkpoint in use of the profile. Raises UsageError where there is none."""
    from trainer.model.kept import in_use

    folder = folder_of(options.home, options.profile)
    found = in_use(folder)
    if found is None:
        command = command_line("trainer", "finetune", "--profile", folder.parent.parent.name)
        raise UsageError(f"there is no checkpoint that passed in {folder}", f"name one, or make one with: {command}")
    log(f"{found.name}: the one in use")
    return found


def _name(checkpoint: Path) -> str:
    """Return the name of who speaks: the person's, in whose profile the checkpoint lies, else its folder's."""
    inside = [path.name for path in checkpoint.parents if path.parent.name == "profiles"]
    return harmless(inside[0] if inside else checkpoint.name)[:24]

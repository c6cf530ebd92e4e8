"""`trainer finetune`: fine-tune a base on dialogues."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, count, number, positive, whole_number
from trainer.cli.options import (
    accept_option,
    add_command,
    input_options,
    renamed,
    request_of,
    show_probe,
    show_tuned,
    training_options,
)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    finetune = add_command(
        commands, "finetune", _run, "Fine-tune a base on dialogues.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    input_options(finetune)
    finetune.add_argument(
        "--from", dest="begin", type=Path, metavar="CHECKPOINT",
        help="go on from this fine-tune, or: in-use; the gate still compares with its base",
    )  # fmt: skip
    finetune.add_argument("--out", type=Path, metavar="DIR", help="default: in the profile's out/checkpoints/")
    finetune.add_argument("--method", choices=("full", "lora"), help="train all weights, or low-rank changes to them")
    finetune.add_argument("--lora-rank", type=positive, metavar="N", help="rank of those changes")
    finetune.add_argument("--epochs", type=number, metavar="E", help="times that every sample is trained on")
    finetune.add_argument("--patience", type=count, metavar="N", help="validations without a lower loss; 0: never stop")
    finetune.add_argument("--holdout-share", type=number, metavar="SHARE", help="share held out of a --data file")
    renamed(finetune, "--holdout-share", "--validation-share", type=number)
    finetune.add_argument(
        "--folds", type=folds, metavar="K",
        help="cross-validate: hold each conversation out once, in K more trainings (2 to 20)",
    )  # fmt: skip
    finetune.add_argument(
        "--canaries", type=positive, metavar="N",
        help="a probe of memorisation: N sentences for each repetition planted in a copy of the samples",
    )  # fmt: skip
    finetune.add_argument("--dropout", type=number, metavar="SHARE", help="dropout of the embedding")
    finetune.add_argument(
        "--replay",
        type=Path,
        metavar="DIR",
        help="token shards of the base's own text (default: what came with the base)",
    )
    accept_option(finetune)
    training_options(finetune)


def folds(text: str) -> int:
    """Return a number of folds, 2 to 20. Raises ArgumentTypeError for another."""
    number = whole_number(2)(text)
    if number > 20:
        raise argparse.ArgumentTypeError("expected a number from 2 to 20")
    return number


def _run(options: argparse.Namespace) -> int:
    from trainer.training.finetune import finetune
    from trainer.training.progress import console_callback

    with console_callback(tensorboard=options.tensorboard, verbose=options.verbose) as callback:
        out, ready = finetune(request_of(options), callback)
    if ready.canaries:
        return show_probe(out, options.json, command_line("trainer", *_without_canaries(options.words)))
    return show_tuned(out, ready, options.json)


def _without_canaries(words: list[str]) -> list[str]:
    """Return the words of the command that trains the same without canaries."""
    at = next((place for place, word in enumerate(words) if word == "--canaries"), len(words))
    return [word for word in [*words[:at], *words[at + 2 :]] if not word.startswith("--canaries=")]

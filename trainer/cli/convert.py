"""`trainer convert`: write a checkpoint again with its weights in another type."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trainer.cli.options import add_command, checkpoint_argument, say_made


def add(commands: Any) -> None:
    """Add the command to the parser."""
    convert = add_command(
        commands, "convert", _run, "Write a checkpoint again with its weights in another type.",
        "bfloat16 halves the file. The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    checkpoint_argument(convert)
    convert.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), required=True, help="of the weights")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new checkpoint")


def _run(options: argparse.Namespace) -> int:
    from curator.contract.files import write_whole
    from trainer.evaluation.lexicon import LEXICON
    from trainer.model.checkpoint import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    notes = [*checkpoint.record.notes, f"weights written as {options.dtype}"]
    record = checkpoint.record.model_copy(update={"notes": notes})
    save_checkpoint(options.out, checkpoint.state, checkpoint.config, checkpoint.tokenizer, record, dtype=options.dtype)
    if (options.checkpoint / LEXICON).is_file():
        write_whole(options.out / LEXICON, (options.checkpoint / LEXICON).read_bytes())
    print(options.out)
    say_made(options.out)
    return 0

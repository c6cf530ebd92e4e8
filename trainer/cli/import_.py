"""`trainer import`: bring in a model that another program made."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import log
from trainer.cli.options import add_command, say_made


def add(commands: Any) -> None:
    """Add the command to the parser."""
    bring = add_command(
        commands, "import", _run,
        "Bring in a model: llama2.c's ckpt.pt or .bin, a numpy .npz, or a Hugging Face Llama folder.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    bring.add_argument("source", type=Path, metavar="PATH")
    bring.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.model (default: the one beside it)")
    bring.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")


def _run(options: argparse.Namespace) -> int:
    from trainer.importing import import_checkpoint

    print(import_checkpoint(options.source, options.out, options.tokenizer, log))
    say_made(options.out)
    return 0

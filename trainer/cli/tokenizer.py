"""`trainer tokenizer train`: train a tokenizer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, made, next_step, positive
from curator.contract.errors import counted
from trainer.cli.options import add_command, alone


def add(commands: Any) -> None:
    """Add the command to the parser."""
    tokenizer = commands.add_parser("tokenizer", help="train a tokenizer", description="Train a tokenizer.")
    inner = tokenizer.add_subparsers(title="commands", metavar="COMMAND")
    alone(tokenizer)
    train = add_command(
        inner, "train", _tokenizer_train, "Train a SentencePiece tokenizer on text.",
        "The last line of stdout is the file made.",
    )  # fmt: skip
    train.add_argument(
        "--corpus", type=Path, nargs="+", required=True, metavar="FILE", help=".txt, .jsonl, .gz of them"
    )
    train.add_argument("--vocab-size", type=positive, default=4096, metavar="N", help="pieces (default: 4096)")
    train.add_argument("--plain-quotes", action="store_true", help="make curly quotes straight")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the tokenizer.model to write")


def _tokenizer_train(options: argparse.Namespace) -> int:
    from curator.contract.files import refuse_existing, write_whole
    from trainer.data.documents import read_documents
    from trainer.model.prompt_template import plain_quotes
    from trainer.model.tokenizer import Tokenizer, train_tokenizer

    refuse_existing(options.out)
    texts = (text for path in options.corpus for text in read_documents(path, "file", 1))
    lines = (line for text in texts for line in text.split("\n"))
    model = train_tokenizer(
        (plain_quotes(line) for line in lines) if options.plain_quotes else lines, options.vocab_size
    )
    tokenizer = Tokenizer(model)
    write_whole(options.out, model)
    print(f"{counted(tokenizer.vocab_size, 'piece')}, sha256 {tokenizer.sha256[:12]}", file=sys.stderr)
    print(options.out)
    made(options.out, "a tokenizer")
    words = ("--shards", "shards", "--tokenizer", options.out, "--text", *options.corpus)
    next_step(command_line("trainer", "modules", "add", "text", *words), "makes tokens of the text, to train a base on")
    return 0

"""`trainer mix`: make the texts of a base ready to train on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, count, log, made, next_step, positive, print_json, progress_bar
from curator.contract.errors import counted
from trainer.cli.options import add_command
from trainer.names import builtin_base, checkpoint_path


def add(commands: Any) -> None:
    """Add the command to the parser."""
    mix = add_command(
        commands, "mix", _run, "Make the mixture of talk and prose that a base is trained on.",
        "The last line of stdout is the folder made.",
    )  # fmt: skip
    mix.add_argument("--texts", type=Path, required=True, metavar="DIR", help="folder of the texts")
    mix.add_argument("--sources", type=Path, metavar="FILE", help="which texts, and how (default: the built-in base's)")
    mix.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of documents, tokenizer and shards")
    mix.add_argument("--vocab-size", type=positive, default=4096, metavar="N", help="pieces of the tokenizer (4096)")
    mix.add_argument("--tokenizer", type=Path, metavar="FILE", help="a tokenizer.model, in place of a new one")
    mix.add_argument("--judge", type=checkpoint_path, metavar="CHECKPOINT",
                     help="a base by which replies that answer another question are left out")  # fmt: skip
    mix.add_argument("--seed", type=count, default=15, metavar="S", help="decides everything random (default: 15)")
    mix.add_argument("--json", action="store_true", help="print what became of each source as JSON")


def _run(options: argparse.Namespace) -> int:
    from trainer.mixture.make import HELD_OUT, SHARDS, TOKENIZER, MixRequest, make_mixture
    from trainer.mixture.sources import read_sources

    sources = read_sources(options.sources or builtin_base() / "sources.json")
    request = MixRequest(options.texts, options.out, options.vocab_size, options.seed, options.tokenizer, options.judge)
    asked = [source.name for source in sources.sources if source.relevance]
    if asked and not options.judge:
        log(f"of {', '.join(asked)}, replies that answer another question are kept too; --judge base leaves them out")
    with progress_bar() as progress:
        found = make_mixture(request, sources, progress)
    for name, made_of in found.items():
        lost = ", ".join(f"{reason} {number:,}" for reason, number in sorted(made_of.dropped.items()) if number)
        print(
            f"{name}: {counted(made_of.documents, 'document')}, {made_of.held:,} held out; left out: {lost or 'none'}",
            file=sys.stderr,
        )
    if options.json:
        print_json({name: vars(one) for name, one in found.items()})
    else:
        print(options.out)
    made(options.out, "documents, their tokenizer and token shards")
    place = options.out / TOKENIZER
    words = ("--shards", options.out / SHARDS, "--tokenizer", place, "--held-out", HELD_OUT)
    first, last = (
        ",".join(f"{source.name}={share:g}" for source in sources.sources if (share := getattr(source, name)))
        for name in ("share", "last_share")
    )
    begin = (*words, "--mix", first, "--out", "my-base")
    next_step(command_line("trainer", "pretrain", *begin), "trains a base on them")
    if last:
        more = ("--base", "my-base", "--mix", last, "--out", "my-better-base")
        next_step(command_line("trainer", "pretrain", *words, *more), "then goes on with the best of them")
    return 0

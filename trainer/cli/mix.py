"""`trainer mix`: make the texts of a base ready to train on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, count, made, next_step, positive, print_json, progress_bar
from curator.contract.errors import counted
from trainer.cli.options import add_command
from trainer.names import builtin_base


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
    mix.add_argument("--seed", type=count, default=15, metavar="S", help="decides everything random (default: 15)")
    mix.add_argument("--json", action="store_true", help="print what became of each source as JSON")


def _run(options: argparse.Namespace) -> int:
    from curator.contract.files import refuse_existing, write_whole
    from trainer.data.token_shards import Splitting, add_text
    from trainer.evaluation.lexicon import LEXICON, english, pack_words, read_words
    from trainer.mixture.mixture import Mixture, tokenizer_lines, write_mixture
    from trainer.mixture.sources import read_sources
    from trainer.model.tokenizer import Tokenizer, train_tokenizer

    refuse_existing(options.out)
    sources = read_sources(options.sources or builtin_base() / "sources.json")
    mixture = Mixture(sources, options.texts, read_words(english()), options.seed)
    with progress_bar() as progress:
        mixture.count(progress)
        found = write_mixture(mixture, options.out, progress)
        write_whole(options.out / LEXICON, pack_words(mixture.lexicon()))
        place = options.out / "tokenizer.model"
        if options.tokenizer:
            write_whole(place, Tokenizer.load(options.tokenizer).model)
        else:
            progress("training the tokenizer", 0, 1)
            write_whole(place, train_tokenizer(tokenizer_lines(options.out, sources), options.vocab_size))
        tokenizer = Tokenizer.load(place)
        for folder, names in (
            ("shards", [*found, "held-out"]), ("replay", ["replay"]), ("held-out-excerpts", ["held-out-excerpts"]),
        ):  # fmt: skip
            for name in names:
                text = options.out / f"{name}.jsonl"
                if text.stat().st_size:
                    add_text(options.out / folder, name, [text], tokenizer, Splitting(plain_quotes=True), progress)
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
    words = ("--shards", options.out / "shards", "--tokenizer", place, "--held-out", "held-out")
    first, last = (
        ",".join(f"{source.name}={share:g}" for source in sources.sources if (share := getattr(source, name)))
        for name in ("share", "last_share")
    )
    next_step(command_line("trainer", "pretrain", *words, "--mix", first, "--out", "my-base"), "trains a base on them")
    if last:
        more = ("--base", "my-base", "--mix", last, "--out", "my-better-base")
        next_step(command_line("trainer", "pretrain", *words, *more), "then goes on with the best of them")
    return 0

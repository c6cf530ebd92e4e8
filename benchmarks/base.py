"""How well a base reads and writes, beside another: bits a byte, perplexity, invented words, answers to read.

    python benchmarks/base.py --data DIR [--base trainer/base] [--against FOLDER] [--words 10000] [--samples FILE]
        [--json FILE] [--accept] [--quick]

Texts that no base was trained on, in DIR: topical_chat.jsonl.gz (Topical-Chat, split valid_freq: everyday chat),
barbellion.jsonl.gz (a diary of 1903 to 1917), corpus/agatha-christie*.txt.gz (a novel). Bits a byte compare models
whose tokenizers differ: the nats of every token of a text and of its end mark, by the bytes of the text, quotes
straight.
A conversation is one document, its turns a line each; a diary's entry is one; a book is cut into sections. Windows of
the context's length lie end to end, so that each token is measured once.

Invented words are counted in replies to the prompts of base-prompts.txt and in prose that goes on by itself, half and
half, drawn as shipped (etc/trainer.json), by one list for both bases: SCOWL's English, the words of the old base's
books (base-words.txt.gz), and those of the new one's texts.

--samples writes two replies of each base to each prompt, to be judged by a reader. --accept exits with 1 where a bound
is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from curator.contract.files import pretty_json, read_text
from trainer.data.batches import rows_of
from trainer.data.documents import split_text
from trainer.evaluation.perplexity import mean_loss
from trainer.inference.best_of import best_replies
from trainer.inference.decoder import Decoder
from trainer.inference.known_words import known_words
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, read_words
from trainer.model.prompt_template import plain_quotes
from trainer.model.tokenizer import BOS
from trainer.names import builtin_base
from trainer.settings import drawn_as, load_settings

HERE = Path(__file__).resolve().parent
PROMPTS, OLD_WORDS = HERE / "base-prompts.txt", HERE / "base-words.txt.gz"
BOUNDS = {"topical_chat": 0.70, "barbellion": 0.98, "christie": 1.0}  # of the other base's bits a byte, at most
INVENTED = 0.004  # of the words of samples, at most
OPENINGS = ("It was late when", "I do not know", "The door", "My mother", "When I was a child", "Yesterday")


@dataclass(frozen=True)
class Read:
    """How a base reads a text. `nats` is the mean of a token, end marks included."""

    bits_a_byte: float
    perplexity: float
    nats: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Written:
    """What a base writes: its words, and those that are in no list."""

    words: int
    invented: float
    names: float
    examples: list[str]


def rows(path: Path) -> list[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def texts(folder: Path) -> dict[str, list[str]]:
    """Return the documents of each text."""
    chats: dict[str, list[str]] = {}
    for row in rows(folder / "topical_chat.jsonl.gz"):
        turns = chats.setdefault(str(row["metadata"]["conversationId"]), [])  # type: ignore[index]
        turns += [str(row[key]) for key in ("content", "response") if row.get(key)]
    (novel,) = (folder / "corpus").glob("agatha-christie*.txt.gz")
    return {
        "topical_chat": ["\n".join(turns) for turns in chats.values()],
        "barbellion": [str(row["content"]) for row in rows(folder / "barbellion.jsonl.gz")],
        "christie": list(split_text(read_text(novel), "sections", 8000)),
    }


def read(base: Checkpoint, documents: Iterable[str]) -> Read:
    plain = [plain_quotes(document) for document in documents]
    ids = base.tokenizer.encode_all(plain)
    stream = np.array([token for document in ids for token in (BOS, *document)] + [BOS], np.uint16)
    length = base.config.max_seq_len
    batch = rows_of(stream, np.arange(0, len(stream) - 1, length), length)
    nats = mean_loss(base.model(), batch, 16)
    tokens, size = len(stream) - 1, sum(len(text.encode()) for text in plain)
    return Read(nats * tokens / size / math.log(2), math.exp(nats), nats, tokens, size)


def draw(base: Checkpoint, prompts: list[str], number: int, sampling: Sampling) -> list[str]:
    """Return `number` texts that go on from each prompt, each drawn with a seed of its own."""
    asked = [prompt for prompt in prompts for _ in range(number)]
    seeds = [1000 + index for index in range(len(asked))]
    decoder = Decoder(base.model())
    return [reply.text.strip() for reply in replies(decoder, base.tokenizer, asked, sampling, seeds)]


def write(base: Checkpoint, lexicon: Lexicon, prompts: list[str], words: int, sampling: Sampling) -> Written:
    """Count the words of replies, then of prose, half of `words` each."""
    wrapped = [base.record.template.wrap(prompt) for prompt in prompts]
    kept: list[str] = []
    for asked in (wrapped, list(OPENINGS)):
        first = draw(base, asked, 4, sampling)
        each = max(1.0, lexicon.check(first).total / 4)
        kept += draw(base, asked, math.ceil(words / 2 / each), sampling)
    found = lexicon.check(kept)
    return Written(found.total, found.rate, found.name_rate, [word for word, _ in found.oov.most_common(60)])


@dataclass(frozen=True)
class Figures:
    """Everything measured of one base."""

    read: dict[str, Read]
    written: Written
    replies: list[tuple[str, str]]


def measure(
    base: Checkpoint, documents: dict[str, list[str]], lexicon: Lexicon, options: argparse.Namespace
) -> Figures:
    torch.manual_seed(0)
    drawn = drawn_as(base.record.sampling, load_settings(None).sampling)
    sampling = Sampling.of(drawn, stops=base.record.template.stops)
    prompts = PROMPTS.read_text("utf-8").split("\n")[: 8 if options.quick else None]
    prompts = [prompt for prompt in prompts if prompt]
    asked = [prompt for prompt in prompts for _ in range(2)]
    shipped = replace(
        sampling, words=known_words(base) if drawn.known_words else None,
        others=tuple(load_settings(None).health.prompts),
    )  # fmt: skip
    seeds = range(1000, 1000 + len(asked))
    said = best_replies(Decoder(base.model()), base.tokenizer, base.record.template, asked, shipped, seeds)
    return Figures(
        {name: read(base, texts) for name, texts in documents.items()},
        write(base, lexicon, prompts, options.words, sampling),
        [(prompt, reply.text) for prompt, reply in zip(asked, said, strict=True)],
    )


def show(name: str, one: Figures) -> None:
    for text, figure in one.read.items():
        print(f"{name:8} {text:13} {figure.bits_a_byte:.3f} bits a byte, perplexity {figure.perplexity:.1f}, "
              f"{figure.tokens:,} tokens")  # fmt: skip
    print(f"{name:8} invented {one.written.invented:.2%} and unknown names {one.written.names:.2%} of "
          f"{one.written.words:,} words: {' '.join(one.written.examples)}")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--base", type=Path, default=builtin_base())
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--words", type=int, default=10_000)
    parser.add_argument("--samples", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    documents = texts(options.data)
    if options.quick:
        documents = {name: part[:10] for name, part in documents.items()}
        options.words = 500
    lexicon = Lexicon(set().union(*map(read_words, (english(), OLD_WORDS, options.base / LEXICON))))
    folders = {"base": options.base} | ({"against": options.against} if options.against else {})
    found = {name: measure(load_checkpoint(folder), documents, lexicon, options) for name, folder in folders.items()}
    for name, one in found.items():
        show(name, one)
    missed = [f"invented words {found['base'].written.invented:.2%}"] * (found["base"].written.invented > INVENTED)
    if options.against:
        for text, most in BOUNDS.items():
            ratio = found["base"].read[text].bits_a_byte / found["against"].read[text].bits_a_byte
            print(f"{text}: {ratio:.3f} of the other's bits a byte (at most {most})")
            missed += [f"{text} {ratio:.3f}"] * (ratio > most)
    if options.samples:
        lines = [f"{name}\t{asked}\t{said}\n" for name, one in found.items() for asked, said in one.replies]
        options.samples.write_text("".join(line.replace("\n", " ").rstrip() + "\n" for line in lines), "utf-8")
    if options.json:
        options.json.write_text(pretty_json({name: asdict(one) for name, one in found.items()}), "utf-8")
    print(f"missed: {', '.join(missed)}" if missed else "all bounds hold")
    return int(options.accept and bool(missed))


if __name__ == "__main__":
    sys.exit(main())

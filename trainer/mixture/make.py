"""From texts to what a base is trained on: documents, a tokenizer, token shards, excerpts, a lexicon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curator.contract.files import refuse_existing, whole_folder, write_whole
from trainer.data.token_shards import Splitting, add_text
from trainer.mixture.mixture import Judge, Made, Mixture, Progress, tokenizer_lines, write_mixture
from trainer.mixture.relevance import relevance
from trainer.mixture.sources import Sources
from trainer.model.checkpoint import load_checkpoint
from trainer.model.lexicon import LEXICON, english, pack_words, read_words
from trainer.model.prompt_template import Exchange
from trainer.model.tokenizer import Tokenizer, train_tokenizer

TOKENIZER, SHARDS, HELD_OUT = "tokenizer.model", "shards", "held-out"


@dataclass(frozen=True)
class MixRequest:
    """The request of a mixture: the folder of texts, where it goes, a tokenizer in place of a new one, and a judge.

    `judge` is a base by which replies that do not answer are left out of the sources that name a `relevance`.
    """

    texts: Path
    out: Path
    vocab_size: int
    seed: int
    tokenizer: Path | None = None
    judge: Path | None = None


def make_mixture(request: MixRequest, sources: Sources, progress: Progress) -> dict[str, Made]:
    """Make the mixture at `request.out`; return what became of each source.

    Raises UsageError where texts are missing, too few for the tokenizer, or something is at `out`; HostError.
    """
    refuse_existing(request.out)
    mixture = Mixture(sources, request.texts, read_words(english()), request.seed)
    base = load_checkpoint(request.judge) if request.judge else None

    def judge(exchanges: list[Exchange]) -> list[float]:
        assert base is not None
        return relevance(base, exchanges, request.seed, progress)

    mixture.count(progress)
    with whole_folder(request.out) as out:
        return _made(request, mixture, out, progress, judge if base else None)


def _made(request: MixRequest, mixture: Mixture, out: Path, progress: Progress, judge: Judge | None) -> dict[str, Made]:
    """Make the mixture in a folder."""
    sources = mixture.sources
    found = write_mixture(mixture, out, progress, judge)
    write_whole(out / LEXICON, pack_words(mixture.lexicon()))
    if request.tokenizer:
        model = Tokenizer.load(request.tokenizer).model
    else:
        progress("training the tokenizer", 0, 1)
        model = train_tokenizer(tokenizer_lines(out, sources), request.vocab_size)
    write_whole(out / TOKENIZER, model)
    shards = [(out / SHARDS, name, name) for name in (*found, HELD_OUT)]
    for name, source in (("replay", "replay"), (HELD_OUT, "held-out-excerpts")):  # as they lie beside a base
        shards.append((out / "excerpts" / name, name, source))
    for folder, name, source in shards:
        text = out / f"{source}.jsonl"
        if text.stat().st_size:
            add_text(folder, name, [text], Tokenizer(model), Splitting(plain_quotes=True), progress)
    return found

"""The mixture that a base is trained on: from the texts named by sources.json to documents, part by part.

texts --conversations, passages--> documents --first look: how often is each word there--> words that are known
      --second look: what is dropped, and why--> NAME.jsonl of each part, held-out.jsonl, excerpts, lexicon.txt.gz

The same texts, sources and seed give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curator.contract.errors import UsageError
from curator.contract.files import read_text, regular, write_whole
from trainer.mixture.sources import Sources, TextSource
from trainer.mixture.windows import answers, clean, passages, turns, window_text, windows
from trainer.model.lexicon import words
from trainer.model.prompt_template import Exchange, Template

Progress = Callable[[str, int, int], None]
# Of each exchange, how much likelier its reply is after its prompt than after others, nats.
Judge = Callable[[list[Exchange]], list[float]]
_CHAPTERS = re.compile(r"\n\n\n+")


@dataclass(frozen=True)
class Piece:
    """A document before it is written: its text, whether it is held out, and of a window its last exchange."""

    text: str
    held: bool
    exchange: Exchange | None = None


@dataclass
class Made:
    """What became of a source: documents written and held out, their characters, and what was dropped, by reason."""

    documents: int = 0
    held: int = 0
    characters: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


_ADDRESS = re.compile(r"https?:|www\.|\S@\S|\.com\b|\.org\b|#\w")
_TAIL = re.compile(r"'(?:s|d|ll|re|ve)$")
_LOWER, _UPPER = re.compile(r"\b[a-z]+"), re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")
NAME_COUNT = 8  # times that a name is there with a capital within a sentence before it counts as known
_ODD = re.compile(r"[^\x20-\x7e\nà-öø-ÿÀ-ÖØ-Ý£—–…]")


class Mixture:
    """The documents of every source, once the words of all of them are counted."""

    def __init__(self, sources: Sources, folder: Path, known: Iterable[str], seed: int) -> None:
        self.sources, self._folder, self._seed = sources, folder, seed
        self._known = frozenset(known) | frozenset(sources.new_words)
        self._unwanted, self._topics = frozenset(sources.unwanted), frozenset(sources.topics)
        self._counts: Counter[str] = Counter()
        self._prose: Counter[str] = Counter()
        self._names: frozenset[str] = frozenset()

    def count(self, progress: Progress) -> None:
        """Count the words of all texts: the first look."""
        named: Counter[str] = Counter()
        lower: Counter[str] = Counter()
        for number, source in enumerate(self.sources.sources):
            progress("counting words", number, len(self.sources.sources))
            for text in self._texts(source):
                found = words(clean(text))
                self._counts.update(found)
                if source.kind != "talk":
                    self._prose.update(found)
                named.update(_UPPER.findall(text))
                lower.update(_LOWER.findall(text))
        self._names = frozenset(
            name.lower() for name, count in named.items() if count >= NAME_COUNT and count > lower[name.lower()]
        )

    def lexicon(self) -> set[str]:
        """Return the words of the prose that are there often enough, and the new words; typos of chats are none."""
        least = self.sources.least_count
        return {word for word, count in self._prose.items() if count >= least} | set(self.sources.new_words)

    def pieces(self, source: TextSource, made: Made) -> Iterator[Piece]:
        """Yield the documents of a source, drops counted in `made`: the second look."""
        template = Template(plain_quotes=True)
        for text in self._texts(source):
            rng = random.Random(f"{self._seed} {hashlib.sha256(text.encode()).hexdigest()}")
            if source.kind == "talk":
                held = rng.random() < self.sources.held_out
                said = turns(text)
                for pairs in ([pair] for pair in answers(said)) if source.answers else windows(said, rng):
                    document = window_text(pairs, template)
                    reason = self._window_fault("\n".join(turn for pair in pairs for turn in pair), source, rng)
                    if reason:
                        made.dropped[reason] += 1
                    else:
                        yield Piece(document, held, pairs[-1])
                continue
            for passage in passages(text, self.sources.passage[source.kind]):
                held = rng.random() < self.sources.held_out
                reason = self._passage_fault(passage)
                if reason:
                    made.dropped[reason] += 1
                else:
                    yield Piece(passage, held)

    def _texts(self, source: TextSource) -> Iterator[str]:
        """Yield conversations, stories, or whole books."""
        paths = sorted({path for pattern in source.files for path in self._folder.glob(pattern)})
        if not paths:
            raise UsageError(f"{self._folder}: no {', '.join(source.files)} there, the texts of {source.name}")
        for path in paths:
            text = read_text(path)
            if source.kind == "books":
                yield text
            else:
                yield from (part for part in _CHAPTERS.split(text) if part.strip())

    def _window_fault(self, text: str, source: TextSource, rng: random.Random) -> str | None:
        """Return why a window is dropped, or None."""
        if any(char.isdigit() for char in text):
            return "a digit"
        if _ADDRESS.search(text):
            return "an address"
        if _ODD.search(text):
            return "an odd character"
        found = words(text)
        if self._unwanted.intersection(found):
            return "an unwanted word"
        if any(self._counts[word] < self.sources.least_count for word in found):
            return "a rare word"
        if self._unknown(found):
            return "a word of no list"
        if source.topics < 1 and self._on_topic(text, found) and rng.random() >= source.topics:
            return "films, music, sport"
        return None

    def _passage_fault(self, text: str) -> str | None:
        found = words(text)
        if not found:
            return "no words"
        if self._unknown(found) > self.sources.dialect * len(found):
            return "dialect"
        return None

    def _unknown(self, found: list[str]) -> int:
        return sum(not self._is_known(word) for word in found)

    def _is_known(self, word: str) -> bool:
        """Say whether a word is in a list, or is a name that many give: seen with a capital, and often."""
        if word in self._known:
            return True
        stem = _TAIL.sub("", word)
        return len(stem) < 2 or stem in self._known or stem in self._names

    def _on_topic(self, text: str, found: list[str]) -> bool:
        return bool(self._topics.intersection(found)) or len(_UPPER.findall(text)) >= 2


def write_mixture(mixture: Mixture, out: Path, progress: Progress, judge: Judge | None = None) -> dict[str, Made]:
    """Write NAME.jsonl of each source, shuffled, and held-out.jsonl; return what became of each source.

    With a judge, what it finds beside the question is left out of the sources that ask for a `relevance`.

    excerpts.jsonl and held-out-excerpts.jsonl are what a fine-tune may be shipped with: drawn by the shares of the
    mixture, of sources whose texts may be.
    """
    results: dict[str, Made] = {}
    excerpts: list[str] = []
    held: dict[str, list[str]] = {}
    trained: set[str] = set()
    sources = mixture.sources.sources
    allowed = sum(source.share for source in sources if source.excerpts)
    out.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources):
        progress("writing documents", number, len(sources))
        made = results[source.name] = Made()
        train, held[source.name] = _parted(mixture, source, made, judge)
        trained.update(train)
        if source.excerpts:
            excerpts += _drawn(train, source.share / allowed * mixture.sources.replay)
        _write_lines(out / f"{source.name}.jsonl", train)
    held_excerpts: list[str] = []
    for source in sources:
        # "How are you?", "Good, you?" is said in many conversations, and of one source in another's too.
        aside = [text for text in held[source.name] if text not in trained]
        results[source.name].held = len(aside)
        if source.excerpts:
            held_excerpts += _drawn(aside, source.share / allowed * mixture.sources.held_out_excerpts)
        held[source.name] = aside
    all_held = list(dict.fromkeys(text for aside in held.values() for text in aside))
    for name, texts in (("held-out", all_held), ("replay", excerpts), ("held-out-excerpts", held_excerpts)):
        random.Random(name).shuffle(texts)
        _write_lines(out / f"{name}.jsonl", texts)
    return results


def _parted(
    mixture: Mixture, source: TextSource, made: Made, judge: Judge | None
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Return the documents to train on, and those of held-out conversations and passages, shuffled, none twice."""
    pieces = list(mixture.pieces(source, made))
    aside = list(dict.fromkeys(piece.text for piece in pieces if piece.held))
    kept = {piece.text: piece.exchange for piece in pieces if not piece.held}
    made.dropped["there already"] += len(pieces) - len(aside) - len(kept)
    if judge is not None and source.relevance:
        exchanges = [exchange for exchange in kept.values() if exchange is not None]
        found = zip(list(kept), judge(exchanges), strict=True)
        train = [text for text, nats in found if nats >= source.relevance]
        made.dropped["beside the question"] += len(kept) - len(train)
    else:
        train = list(kept)
    random.Random(f"{source.name} order").shuffle(train)
    random.Random(f"{source.name} aside").shuffle(aside)
    if source.documents:
        made.dropped["more than asked"] += max(0, len(train) - source.documents)
        train = train[: source.documents]
    made.documents, made.characters = len(train), sum(map(len, train))
    return train, aside


def _drawn(texts: list[str], characters: float) -> list[str]:
    """Return the first texts, at least one where there is any, that hold so many characters."""
    drawn: list[str] = []
    for text in texts:
        if characters <= 0:
            break
        drawn.append(text)
        characters -= len(text)
    return drawn


def tokenizer_lines(out: Path, sources: Sources) -> Iterator[str]:
    """Yield lines of the written documents for the tokenizer, drawn by the shares of the mixture."""
    for source in sources.sources:
        left = source.share * sources.tokenizer_text
        with open(out / f"{source.name}.jsonl", encoding="utf-8", opener=regular) as rows:
            for row in rows:
                text: str = json.loads(row)["text"]
                yield from text.split("\n")
                left -= len(text)
                if left <= 0:
                    break


def _write_lines(path: Path, texts: Iterable[str]) -> None:
    write_whole(path, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode())

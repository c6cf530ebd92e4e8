"""What is counted of each written sample, in columns: a kind that many share, numbers, and hashes of texts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.config import TargetsConfig
from curator.executing.spool import hash64
from curator.language.identify import UNDETERMINED
from curator.language.tokens import estimated_tokens
from curator.language.words import count_words
from curator.reading import timestamps
from curator.records import CuratedSample, SchemaSample
from curator.sampling.joining import ScreenedSample

CARD_WORDS: Final = 60  # of a reply that is shown in a report, if there are enough
CLEANED: Final = ("assistant", "other_human")
Column = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.int64]


class Kind(NamedTuple):
    """What a sample has in common with many others. `looked_at` says that fillers were looked for in its reply.

    `changes` names the plugins that changed its reply, `secrets` what kinds of secrets it holds.
    """

    mode: str
    type: str
    month: str
    author: str
    language: str
    question: str
    turns: int
    trained: int
    train: bool
    short: bool
    long: bool
    too_long: bool
    looked_at: bool
    filler: bool
    changes: tuple[str, ...]
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """What was counted of samples, in their order. Each of the `columns` has the shape (samples, ...).

    `texts` are hashes of what samples say, (texts,), of which each has its number in a column; `beside` are, of samples
    in which memories stand beside their own, the sample's number and the keys of those memories.
    """

    kinds: list[Kind]
    columns: dict[str, Column]
    texts: Numbers
    beside: list[tuple[int, list[str]]]

    def __len__(self) -> int:
        return len(self.columns["kind"])

    def column(self, name: str) -> Numbers:
        """Return a column of numbers, (samples,)."""
        return self.columns[name].astype(np.int64)

    def where(self, test: Callable[[Kind], bool]) -> npt.NDArray[np.bool_]:
        """Return of which samples the kind passes a test, (samples,)."""
        return np.array([test(kind) for kind in self.kinds], np.bool_)[self.column("kind")]

    def take(self, rows: Numbers) -> Figures:
        """Return the figures of some samples, `rows` of shape (n,)."""
        sizes = self.column("texts")
        ends, taken = np.cumsum(sizes), sizes[rows]
        places = np.arange(taken.sum()) + np.repeat((ends - sizes)[rows] - (np.cumsum(taken) - taken), taken)
        columns = {name: values[rows] for name, values in self.columns.items()}
        beside = dict(self.beside)
        having = np.flatnonzero(np.isin(rows, np.fromiter(beside, np.int64, len(beside))))
        own = [(place, beside[row]) for place, row in zip(having.tolist(), rows[having].tolist(), strict=True)]
        return Figures(self.kinds, columns, self.texts[places], own)


def joined(parts: Sequence[Figures]) -> Figures:
    """Return the figures of samples that were counted in several places, one after the other; at least one.

    The parts are used up: of a million samples two copies of a column are held at a time, and not of all.
    """
    numbers, beside, first = dict[Kind, int](), list[tuple[int, list[str]]](), 0
    for part in parts:
        own = np.array([numbers.setdefault(kind, len(numbers)) for kind in part.kinds], np.int32)
        part.columns["kind"] = own[part.columns["kind"]]
        beside += [(first + row, keys) for row, keys in part.beside]
        first += len(part)
    texts = np.concatenate([part.texts for part in parts])
    names = list(parts[0].columns)
    columns = {name: np.concatenate([part.columns.pop(name) for part in parts]) for name in names}
    return Figures(list(numbers), columns, texts, beside)


@dataclass
class Measure:
    """Counts samples, one after the other. `has_fillers` tells whether fillers of a language are listed.

    `still_filler` tells whether a cleaned reply still holds one, `find_secrets` which kinds of secrets a sample holds.
    """

    targets: TargetsConfig
    has_fillers: Callable[[str], bool]
    still_filler: Callable[[str], bool]
    find_secrets: Callable[[CuratedSample], tuple[str, ...]]
    _kinds: dict[Kind, int] = field(default_factory=dict)
    _rows: list[tuple[int, ...]] = field(default_factory=list)
    _texts: list[int] = field(default_factory=list)
    _beside: list[tuple[int, list[str]]] = field(default_factory=list)

    def add(self, sample: CuratedSample, whole: SchemaSample, time: int, screened: ScreenedSample) -> None:
        """Count one sample; `whole` is it wrapped, `time` its memory's in ms, `screened` what it was made of."""
        data, earlier, reply = sample.metadata, sample.context, sample.assistant_text
        words, tokens = count_words(reply), self._tokens(whole)
        cleaned = data.reply_author in CLEANED
        looked_at = cleaned and (data.language == UNDETERMINED or self.has_fillers(data.language))
        kind = Kind(
            mode=sample.mode,
            type=data.source_type,
            month=timestamps.month(time),
            author=data.reply_author,
            language=data.language,
            question=data.question or ("stock" if data.prompted else "own"),
            turns=1 + len(earlier),
            trained=1 + sum([exchange.trained for exchange in earlier]) if earlier else 1,
            train=data.split == "train",
            short=words <= self.targets.short_words,
            long=words > self.targets.long_words,
            too_long=tokens > self.targets.max_tokens,
            looked_at=looked_at,
            filler=looked_at and self.still_filler(reply),
            changes=tuple(sorted({change.plugin for change in screened.changes})),
            secrets=self.find_secrets(sample),
        )
        said = [sample.user_text, reply]
        for exchange in earlier:
            said += exchange.user_text, exchange.assistant_text
        rank = zlib.crc32(data.sample_id.encode()) + (words > CARD_WORDS) * (1 << 32)
        numbers = (words, tokens, len(whole.input) + len(whole.output), len(reply), rank, hash64(sample.user_text))
        if len(screened.events) > 1:
            self._beside.append((len(self._rows), list(screened.events[1:])))
        self._rows.append((self._kinds.setdefault(kind, len(self._kinds)), len(said), *numbers))
        self._texts += [hash64(text.strip()) for text in said]

    def _tokens(self, whole: SchemaSample) -> int:
        """Estimate tokens; earlier exchanges are estimated without what stands between them."""
        english = self.targets.characters_per_token
        tokens = estimated_tokens(whole.input, english) + estimated_tokens(whole.output, english)
        for turn in whole.context:
            tokens += estimated_tokens(turn.user_text, english) + estimated_tokens(turn.assistant_text, english)
        return tokens

    def figures(self, more: dict[str, Column]) -> Figures:
        """Return what was counted, with more columns, (samples, ...)."""
        rows = np.array(self._rows, np.int64).reshape(-1, 8)
        names = ("kind", "texts", "words", "tokens", "characters", "reply")
        columns: dict[str, Column] = {name: rows[:, place].astype(np.int32) for place, name in enumerate(names)}
        columns |= {"rank": rows[:, 6].copy(), "prompt": rows[:, 7].copy()}
        return Figures(list(self._kinds), columns | more, np.array(self._texts, np.int64), self._beside)

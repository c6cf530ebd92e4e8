"""The examples: real texts of the person that sound most like them, spread over sources, years and modes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from curator.exports.pack.texts import Said, may_be_shown
from curator.language.words import count_words, split_words

FEWEST, MOST = 20, 50
MOST_WORDS: Final = 60  # of an example, and of what it answers
_FEWEST_WORDS: Final = 4
_EACH: Final = 8  # texts of the person for each example
_ASKED: Final = 0.25  # share of what was asked of an assistant at most, where there is anything else
_UNMEASURED: Final = 0.025  # share of texts in a language in which the voice is not measured
_ALIKE: Final = 0.5  # share of the shorter text's word pairs from which on two texts are one
_MUCH: Final = 30  # words from which on more of them say no more of the voice
_OF_A_MEMORY: Final = (1, 3)  # examples at most: first one each, then more where there are too few memories
_Pairs = set[tuple[str, ...]]


@dataclass(frozen=True)
class Example:
    """A text that is shown, and by how much it passes the bar of the voice (nats); None where that is not measured."""

    said: Said
    above: float | None


def choose(person: Sequence[Said], above: Callable[[Said], float | None]) -> tuple[Example, ...]:
    """Return 20 to 50 examples, fewer where there are not so many fit texts; the same for the same texts.

    Where the voice is measured (`above`), only texts above the person's own median are taken, but for one in forty in
    another language. Where nothing is measured, coverage alone decides.
    """
    fit = [Example(said, above(said)) for said in person if _is_fit(said)]
    wanted = min(MOST, max(FEWEST, len(person) // _EACH))
    chooser = _Chooser()
    if all(example.above is None for example in fit):
        return tuple(chooser.spread(fit, wanted))
    passing = [example for example in fit if example.above is not None and example.above > 0]
    others = [example for example in fit if example.above is None]
    left = min(len(others), int(wanted * _UNMEASURED))
    voiced = chooser.spread(passing, wanted - left)
    return (*voiced, *chooser.spread(others, min(left, int(len(voiced) * _UNMEASURED))))


def _is_fit(said: Said) -> bool:
    fit = may_be_shown(said.text) and may_be_shown(said.before) and count_words(said.before) <= MOST_WORDS
    return fit and _FEWEST_WORDS <= count_words(said.text) <= MOST_WORDS


@dataclass
class _Chooser:
    """Takes examples one by one and knows what it has taken."""

    memories: Counter[str] = field(default_factory=Counter)
    pairs: list[_Pairs] = field(default_factory=list)

    def spread(self, examples: Sequence[Example], wanted: int) -> list[Example]:
        """Take the best of each kind of place in turn: a mode, a source, a year."""
        groups: dict[tuple[str, ...], list[Example]] = defaultdict(list)
        for example in sorted(examples, key=_worth):
            said = example.said
            groups[said.mode, said.source, said.year, said.kind].append(example)
        left_to_ask = wanted if all(one.said.kind == "asked" for one in examples) else int(_ASKED * wanted)
        order = sorted(groups, key=lambda group: (-len(groups[group]), group))
        chosen: list[Example] = []
        for most in _OF_A_MEMORY:
            found = True
            while found and len(chosen) < wanted:
                found = False
                for group in order:
                    asks = group[-1] == "asked"
                    if len(chosen) == wanted or (asks and not left_to_ask):
                        continue
                    if taken := self._next(groups[group], most):
                        chosen.append(taken)
                        left_to_ask -= asks
                        found = True
        return chosen

    def _next(self, group: list[Example], most: int) -> Example | None:
        """Take the first of a group that is not like one that was taken; `most` may be of its memory."""
        for place, example in enumerate(group):
            own = _word_pairs(example.said.text)
            if self.memories[example.said.memory] < most and not any(_alike(own, other) for other in self.pairs):
                del group[place]
                self.memories[example.said.memory] += 1
                self.pairs.append(own)
                return example
        return None


def _worth(example: Example) -> tuple[float, str, str]:
    """Sort by evidence, the most first: the measure of a longer text says more than that of a short one."""
    said = example.said
    words = min(count_words(said.text), _MUCH)
    return (-(1.0 if example.above is None else example.above) * words**0.5, said.sample_id, said.text)


def _word_pairs(text: str) -> _Pairs:
    words = [word.lower() for word in split_words(text)]
    return set(pairwise(words)) or {tuple(words)}


def _alike(one: _Pairs, other: _Pairs) -> bool:
    return len(one & other) >= _ALIKE * min(len(one), len(other))

"""What somebody writes of: names and things that stand in several of their memories, each with a sentence of theirs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from curator.config import QuestionLanguage
from curator.exports.pack.phrases import folded
from curator.exports.pack.texts import Said, countable, may_be_shown, without_unfit
from curator.language.sentences import sentences
from curator.language.words import ANY_UNSPACED, count_words

_FEWEST: Final = 3  # memories
_MOST_NAMES: Final = 14
_MOST_THINGS: Final = 14
_NAMED: Final = 0.75  # share of its places inside a sentence at which a name has its capital
_BEHIND_ARTICLE: Final = 0.25  # share of its places at which a thing stands where a noun does
_PART: Final = 0.6  # share of its places at which a word that is but a part of a name stands behind another capital
_QUOTED: Final = range(6, 31)  # words of a sentence that is quoted


@dataclass(frozen=True)
class Topic:
    """A name or a thing: in how many memories it stands, a sentence of the person's about it, and its sample."""

    text: str
    memories: int
    quote: str
    sample_id: str


@dataclass
class _Word:
    """Where a word stands: `inside` a sentence, there with a `capital`, or as a `part` behind another one; between an
    `article` and a word that tells nothing, as nouns do."""

    memories: set[str]
    spelt: Counter[str]
    places: int = 0
    inside: int = 0
    capital: int = 0
    article: int = 0
    part: int = 0
    next: Counter[str] = field(default_factory=Counter)


def topics_of(
    person: Sequence[Said], language: str, config: QuestionLanguage | None, worth: Callable[[Said], float]
) -> tuple[tuple[Topic, ...], tuple[Topic, ...]]:
    """Return the names and the things, the most frequent first.

    `config` has the language's words that tell nothing, None where they are not known: then nothing is a thing.
    `worth` says which of two texts to quote. Where capitals tell no names, all are things.
    """
    if config is None:
        return (), ()
    stop = _silent(config)
    words = _words_of(person, language, config, stop)
    known = sorted(
        (
            word
            for word, seen in words.items()
            if len(seen.memories) >= _FEWEST and not stop & {word, word.partition("'")[0]} and _tells(word)
        ),
        key=lambda word: (-len(words[word].memories), word),
    )
    names = [word for word in known if config.capitals == "names" and _is_name(words[word])]
    things = [word for word in known if word not in names and _is_thing(words[word], config)]
    quotes = _Quotes(person, language, worth)
    return (
        tuple(_topic(word, words[word], quotes) for word in names[:_MOST_NAMES]),
        tuple(_topic(word, words[word], quotes) for word in things[:_MOST_THINGS]),
    )


def _silent(config: QuestionLanguage) -> set[str]:
    """Return the words that are no subject: those that tell nothing, and times, days and months."""
    times = [*config.times.values(), *config.times, *config.weekdays, *config.months]
    return {folded(word) for listed in (config.stop, *times) for word in listed.split()}


def _words_of(person: Sequence[Said], language: str, config: QuestionLanguage, stop: set[str]) -> dict[str, _Word]:
    articles = set(config.articles.split()) | set(config.mine)
    words: dict[str, _Word] = defaultdict(lambda: _Word(set(), Counter()))
    for said in person:
        for sentence in sentences(without_unfit(said.text), language):
            before, found = "", countable(sentence)
            for place, (spelt, after) in enumerate(pairwise([*found, ""])):
                key = folded(spelt).removesuffix("'s")
                word = words[key]
                word.memories.add(said.memory)
                word.places += 1
                word.article += folded(before) in articles and (not after or folded(after) in stop)
                if place:
                    word.inside += 1
                    word.capital += spelt[0].isupper()
                    word.part += place > 1 and before[0].isupper()
                    word.next[after] += after[:1].isupper()
                    word.spelt[spelt.replace("\u2019", "'").removesuffix("'s")] += 1
                before = spelt
    return words


def _tells(word: str) -> bool:
    """Tell whether a word is long enough to be somebody or something, and is no number."""
    return not any(map(str.isdigit, word)) and (len(word) > 2 or bool(ANY_UNSPACED.match(word) and len(word) > 1))


def _is_name(word: _Word) -> bool:
    """Tell whether a word has its capital inside a sentence too, and is no part of names that differ ("San")."""
    last = max(word.next.values(), default=0)
    parts = max(word.part, word.next.total() - last)
    return word.inside >= _FEWEST - 1 and word.capital >= _NAMED * word.inside and parts < _PART * word.inside


def _is_thing(word: _Word, config: QuestionLanguage) -> bool:
    if config.capitals == "names" and word.capital > word.inside / 2:
        return False  # a name after all, or a part of one
    if config.capitals == "nouns":
        return word.capital >= _NAMED * max(word.inside, 1)
    return not config.articles or word.article >= _BEHIND_ARTICLE * word.places


class _Quotes:
    """Finds a sentence for each word, and gives none twice."""

    def __init__(self, person: Sequence[Said], language: str, worth: Callable[[Said], float]) -> None:
        self._at: dict[str, list[tuple[str, Said]]] = defaultdict(list)
        self._given: set[str] = set()
        for said in sorted(person, key=lambda one: (one.kind == "asked", -worth(one), one.sample_id)):
            for piece in sentences(said.text, language):
                if count_words(piece) in _QUOTED and "\n" not in piece.strip() and may_be_shown(piece):
                    for word in {folded(word).removesuffix("'s") for word in countable(piece)}:
                        self._at[word].append((piece.strip(), said))

    def of(self, word: str) -> tuple[str, str]:
        """Return a sentence, rather one that begins with the word, and its sample; two empty texts for none left."""
        left = [(piece, said) for piece, said in self._at[word] if piece not in self._given]
        if not left:
            return "", ""
        piece, said = min(left, key=lambda one: not folded(one[0]).startswith(word))
        self._given.add(piece)
        return piece, said.sample_id


def _topic(key: str, word: _Word, quotes: _Quotes) -> Topic:
    spelt = min(word.spelt, key=lambda one: (-word.spelt[one], one)) if word.spelt else key
    last, times = max(word.next.items(), key=lambda one: (one[1], one[0]), default=("", 0))
    if times >= _PART * max(word.inside, 1):
        spelt = f"{spelt} {last}"  # the rest of its name
    return Topic(spelt, len(word.memories), *quotes.of(key))

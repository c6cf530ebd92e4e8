"""What a passage can be asked about: its persons, places, times, activities and things, by the words of a language.

A fact is a label of etc/questions.json, in the form that the templates need, or words as they stand in the passage, in
quotation marks where grammar could bend them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cached_property
from typing import Final, NamedTuple, cast

from curator.config import Kind, QuestionLanguage

_QUOTES: Final = "“”„«»‘’「」\u00a0"
_MARKS = "[\u0300-\u036f\u064b-\u0655\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d]"
_PLAIN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\n|[^\s\w]")
_MARKED = re.compile(rf"(?:[^\W\d_]{_MARKS}*)+(?:-(?:[^\W\d_]{_MARKS}*)+)*|\n|[^\s\w]")  # letters with their marks
_WITH_MARKS: Final = ("ar", "hi")
_SENTENCE_STARTS = frozenset('.!?…:\n"“”„«»‘—–۔।؟•*#')
_APOSTROPHES: Final = ("’", "'")
_MOST_LETTERS: Final = 24  # a longer word is a run of a script without blanks, or no word
_NAME_WORDS: Final = 3
_PHRASE_WORDS: Final = 2
_LABELLED: Final = 2  # parts of an entry that has a label
_ENOUGH: Final = 3  # facts beside which no nouns behind articles are looked for
_PIECE_LETTERS: Final = 12
_LONGEST: Final = 3  # words asked about for want of better

Entry = tuple[str, ...]  # kind and label; nothing, for a word that tells nothing
_STOP: Final = ()
_ARTICLE: Final[Entry] = ("article",)
_TITLE: Final[Entry] = ("title",)
_ALL_MARKS: Final = "\n.,;:!?…\"“”„«»‘’'()[]{}*_/—–-·•#&%+=<>|~^`´،؛؟।。、，！？：；「」『』"


class Fact(NamedTuple):
    """What a question may name: its slot, the text that fills it, and how many of the passage's words that tells."""

    kind: Kind
    text: str
    cost: int


class Found(NamedTuple):
    """The facts of a passage, and the number of its words that tell something."""

    facts: list[Fact]
    size: int


class Vocabulary:
    """The words of one language of etc/questions.json, made ready to be looked up."""

    def __init__(self, name: str, config: QuestionLanguage) -> None:
        self.name, self.config = name, config
        self._pattern = _MARKED if name in _WITH_MARKS else _PLAIN
        self.lexicon = _lexicon(config)
        self.before_person, self.before_place, self.articles = (
            frozenset(words.split()) for words in (config.before_person, config.before_place, config.articles)
        )
        self.titles = {title: self.lexicon.get(title) for title in config.titles.split()}
        self.lexicon.update(dict.fromkeys(self.articles, _ARTICLE))
        self.lexicon.update(dict.fromkeys(self.titles, _TITLE))
        if config.capitals != "none":
            self.lexicon |= {word.capitalize(): entry for word, entry in self.lexicon.items()}
        self.silent = {word for word, entry in self.lexicon.items() if len(entry) < _LABELLED}
        self.possessed = {label for label in config.people if any(w in config.mine for w in label.split()[:-1])}
        blank = "\u00a0" if config.spaced_quotes else ""
        self._left, self._right = config.quotes[0] + blank, blank + config.quotes[1]
        self._names, self._things = (re.compile(one) if one else None for one in (config.names, config.things))

    def facts(self, text: str) -> Found:
        """Return what a passage can be asked about."""
        found = self._with_blanks(text) if self.config.blanks else self._without_blanks(text)
        if self._names is not None:
            found.facts.extend([Fact("person", name[1], 1) for name in self._names.finditer(text)])
        return found

    def quoted(self, words: str, cost: int) -> Fact:
        """Return a thing, named by the passage's own words."""
        return Fact("thing", f"{self._left}{words}{self._right}", cost)

    def _with_blanks(self, text: str) -> Found:
        pattern = self._pattern if text.isascii() or unicodedata.is_normalized("NFC", text) else _MARKED
        reader = _Reader(self, pattern.findall(text))
        facts, content = [fact for fact in reader.facts if fact[0] != "thing" or _stands_in(fact, text)], reader.content
        if self._things is not None:
            facts += [self.quoted(match[1], 1) for match in self._things.finditer(text) if match[1] not in self.lexicon]
        if "thing" not in [fact[0] for fact in facts]:
            unknown = [word for word in content if word not in self.lexicon and not word[0].isupper()]
            long = [word for word in unknown if self.config.least_letters <= len(word) <= _MOST_LETTERS]
            long.sort(key=lambda word: (-len(word), word))
            facts += [self.quoted(word, 1) for word in long[:_LONGEST]]
        return Found(facts, len(set(map(str.lower, content))))

    def _without_blanks(self, text: str) -> Found:
        """Two characters count as a word."""
        facts = []
        for match in self._any_word.finditer(text):
            kind, label = self.lexicon[match[0]]
            facts.append(Fact(cast("Kind", kind), label, (len(match[0]) + 1) // 2))
        for piece in self._things.findall(text) if self._things else map(self._bare, self._pieces(text)):
            if self.config.least_letters <= len(piece) <= _PIECE_LETTERS and piece not in self.lexicon:
                facts.append(self.quoted(piece, (len(piece) + 1) // 2))
        return Found(facts, sum(map(str.isalpha, text)) // 2)

    def _pieces(self, text: str) -> list[str]:
        return [piece for piece in map(str.strip, self._segment(text)) if piece and not _NO_LETTER.search(piece)]

    @cached_property
    def _segment(self) -> Callable[[str], list[str]]:
        import budoux  # only where a text asks for it: it loads a model

        thai, chinese = budoux.load_default_thai_parser, budoux.load_default_simplified_chinese_parser
        segment: Callable[[str], list[str]] = (thai if self.name == "th" else chinese)().parse
        return segment

    def _bare(self, piece: str) -> str:
        """Take characters that tell nothing by themselves off both ends."""
        while len(piece) > 1 and self.lexicon.get(piece[0]) == _STOP:
            piece = piece[1:]
        while len(piece) > 1 and self.lexicon.get(piece[-1]) == _STOP:
            piece = piece[:-1]
        return piece

    @cached_property
    def _any_word(self) -> re.Pattern[str]:
        """All words that have a label. A Chinese character by itself counts only where it stands alone."""
        words = sorted((word for word, entry in self.lexicon.items() if len(entry) == _LABELLED), key=len, reverse=True)
        alone = "(?<![\u4e00-\u9fff々])%s(?![\u4e00-\u9fff々])"
        return re.compile("|".join(alone % word if len(word) == 1 else re.escape(word) for word in words) or "(?!)")


_NO_LETTER = re.compile(r"[\s\d。，、！？；：“”‘’「」『』（）《》…—·.,!?:;()\"'A-Za-z]")


def _whole_words(name: list[str]) -> int:
    """Return how many words of a name are no initials."""
    return sum([not word.endswith(".") for word in name])


def _lexicon(config: QuestionLanguage) -> dict[str, Entry]:
    lexicon: dict[str, Entry] = dict.fromkeys((*_ALL_MARKS, *config.stop.split()), _STOP)
    groups = (
        ("when", config.times), ("activity", config.activities), ("place", config.places), ("person", config.people),
    )  # fmt: skip
    for kind, labels in groups:
        for label, words in labels.items():
            for word in words.lower().split():
                forms = [first + word for first in ("", *config.beginnings.split())]
                forms += [word + last for last in config.endings.split()]
                lexicon |= {form: (kind, label) for form in forms if form not in lexicon}
    for label in (*config.weekdays, *config.months):
        lexicon.setdefault(label.lower().split(" ")[-1], ("when", label))
    return lexicon


def _stands_in(fact: Fact, text: str) -> bool:
    """Tell whether several words of a thing stand so in the text: "B.M. Carried" is two sentences, no name."""
    if " " not in fact.text:
        return True
    return fact.text.strip(_QUOTES) in " ".join(text.split())


class _Reader:
    """Reads a passage in a script with blanks: its `facts`, and its `content`: the words that tell something.

    A run reads tens of thousands of passages, so the words are looked up all at once and few are looked at singly.
    """

    def __init__(self, language: Vocabulary, tokens: list[str]) -> None:
        self.facts: list[Fact] = []
        self._language, self._tokens = language, tokens
        entries = self._entries = list(map(language.lexicon.get, tokens))
        self.content = set(tokens) - language.silent
        self._after = 0  # the place after the last name
        self._names: set[str] = set()  # names inside a sentence
        self._first: list[str] = []  # names at its start: they may be any word
        articles = []
        if language.config.capitals == "none":
            places = [place for place, entry in enumerate(entries) if entry]
        else:
            found = enumerate(zip(entries, tokens, strict=True))
            places = [place for place, (entry, token) in found if entry or (entry is None and not token.islower())]
        for place in places:
            entry = entries[place]
            if place < self._after:
                continue
            if entry is None:
                self._capital(place)
            elif entry is _ARTICLE:
                articles.append(place)
            else:
                self._known(place, entry)
        if self._first:
            self.facts += [Fact("thing", name, name.count(" ") + 1) for name in self._first if self._is_name(name)]
        if len(self.facts) < _ENOUGH:
            for place in articles:
                self._noun(place + 1)

    def _is_name(self, first: str) -> bool:
        return first.split(" ")[0] in self._names

    def _known(self, place: int, entry: Entry) -> None:
        if entry is _TITLE:
            self._titled(place)
            return
        kind, label = entry
        if label not in self._language.possessed or self._is_mine(place):
            self.facts.append(Fact(cast("Kind", kind), label, 1))

    def _is_mine(self, place: int) -> bool:
        """ "My wife" is asked about, "his wife" is not."""
        return place > 0 and self._tokens[place - 1].lower() in self._language.config.mine

    def _noun(self, place: int) -> None:
        """Note one or two unknown words behind an article, where something known or a mark ends them."""
        tokens, entries = self._tokens, self._entries
        if place < len(tokens) and tokens[place] in _APOSTROPHES:
            place += 1
        end = place
        while end < len(tokens) and end - place <= _PHRASE_WORDS and entries[end] is None:
            if not tokens[end].islower():
                return
            end += 1
        words = tokens[place:end]
        if 0 < len(words) <= _PHRASE_WORDS and min(map(len, words)) > 2:
            self.facts.append(self._language.quoted(" ".join(words), len(words)))

    def _titled(self, place: int) -> None:
        """Note a title with the name behind it ("Mrs. Pierce")."""
        tokens, first = self._tokens, place + 1
        title = tokens[place]
        dot = "." if tokens[first : first + 1] == ["."] else ""
        name, after = self._name(first + len(dot))
        if name:
            self._after = after
            self.facts.append(Fact("person", f"{title}{dot} {' '.join(name)}", _whole_words(name)))
        elif other := self._language.titles[title.lower()]:
            self._known(place, other)

    def _name(self, place: int) -> tuple[list[str], int]:
        """Return the words of a name that begins at `place`, an initial with its full stop, and the place after it."""
        words: list[str] = []
        tokens, whole, after = self._tokens, 0, place
        while place < len(tokens) and len(words) < _NAME_WORDS and tokens[place][0].isupper():
            token = tokens[place]
            if len(token) == 1:
                if tokens[place + 1 : place + 2] != ["."]:
                    break
                words.append(f"{token}.")
                place += 2
                continue
            entry = self._entries[place]
            if entry is not None and not (words and entry and entry[0] == "place"):  # Lombard Street
                break
            words.append(token)
            place += 1
            whole, after = len(words), place
        return words[:whole], after

    def _capital(self, place: int) -> None:
        """Note an unknown word with a capital: a name, or in German a noun."""
        language, tokens = self._language, self._tokens
        starts = not place or tokens[place - 1] in _SENTENCE_STARTS
        if language.config.capitals == "nouns":
            if not starts and len(tokens[place]) > 2:
                self.facts.append(language.quoted(tokens[place], 1))
            return
        words, after = self._name(place)
        if words:
            self._after = after
            if starts:
                self._first.append(" ".join(words))
            else:
                self._names.add(words[0])
                self.facts.append(self._named(place, " ".join(words), _whole_words(words)))

    def _named(self, place: int, name: str, cost: int) -> Fact:
        language, before = self._language, self._tokens[place - 1].lower()
        if before in language.before_person:
            return Fact("person", name, cost)
        if before in language.before_place and self._tokens[self._after : self._after + 1] not in (["’"], ["'"]):
            return Fact("place", f"{before} {name}", cost)
        if language.config.inflected or before in language.articles:
            return language.quoted(name, cost)
        return Fact("thing", name, cost)

"""Questions made from the passage that answers them, without a model: etc/questions.json has the words and templates.

    passage --Vocabulary--> facts: person, place, time, activity, thing --PassageQuestions--> question

Which one or two facts a question names, and in which template, is decided by the passage's hash.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import permutations
from typing import Final

from curator.config import QuestionLanguage, QuestionsConfig, QuestionTemplates, slots_of
from curator.language.table import NOT_LATIN, SCRIPT_OF, letters_of
from curator.records import MemoryEvent
from curator.sampling.passage_facts import Fact, Vocabulary

_LEAST_WORDS: Final = 3  # words that tell something: of fewer, a question would give the answer away
_OWN_TIME_EVERY: Final = 3  # of the passages that name no time, one in so many is asked about with the memory's own
_SCRIPTS: Final = {language: re.compile(f"[{letters_of(script)}]") for language, script in SCRIPT_OF.items()}
_LOOKED_AT: Final = 96  # characters of a passage: enough to ask about, and a run has tens of thousands
_OWN_LISTS: Final = ("dual", "agent")

# The slots of a template -> the templates; two slots stand there in both orders.
Templates = dict[tuple[str, ...], list[str]]


class PassageQuestions:
    """Makes questions from passages. `share` of a passage's words may be named; `owners` are the person's names."""

    def __init__(self, config: QuestionsConfig, share: float, owners: Sequence[str] = ()) -> None:
        self._config, self._share = config, share
        self._events = frozenset(config.events)
        self._owners = frozenset(part for name in owners for part in (name.lower(), *name.lower().split()))
        self._languages: dict[str, _Language] = {}

    def question(self, mode: str, language: str, event: MemoryEvent, text: str) -> str:
        """Return a question that the passage `text` of `event` answers, "" where there is nothing to ask about.

        `language` is the passage's, as ISO 639-1 has it, or "und". What is returned depends on these alone.
        """
        known, number, bare = self._language(language, text), zlib.crc32(text.encode()), text.strip()
        part = _part(bare, number)
        return self._ask(known, mode, event, part, number) or (
            self._ask(known, mode, event, bare, number) if part != bare else ""
        )

    def _ask(self, known: _Language, mode: str, event: MemoryEvent, text: str, number: int) -> str:
        facts, size = known.vocabulary.facts(text)
        if size < _LEAST_WORDS:
            return ""
        budget = max(1, int(size * self._share))
        if self._owners:
            facts = [fact for fact in facts if fact.text.lower() not in self._owners]
        templates = known.templates(mode, event.type in self._events)
        chosen = _chosen(facts, templates, budget, number)
        if not chosen or (len(chosen) == 1 and (number >> 4) % _OWN_TIME_EVERY == 0):
            chosen = known.with_own_time(chosen, facts, templates, event, number)
        if not chosen:
            return ""
        choice = templates[tuple([fact.kind for fact in chosen])]
        return known.filled(choice[(number >> 8) % len(choice)], chosen, mode)

    def _language(self, name: str, text: str) -> _Language:
        name = by_script(text) if name == "und" else name
        if name not in self._config.languages:
            name = "other"
        if name not in self._languages:
            self._languages[name] = _Language(name, self._config.languages[name])
        return self._languages[name]


def by_script(text: str) -> str:
    """Return the language for which a text too short to tell is taken: by its script, "other" where many share it."""
    if text.isascii() or not NOT_LATIN.search(text):
        return "other"
    return next((name for name, letters in _SCRIPTS.items() if letters.search(text)), "other")


def _part(text: str, number: int) -> str:
    """Return the part of a passage that is looked at: all of a short one. What it tells is a share of less than all."""
    if len(text) <= _LOOKED_AT:
        return text
    start = (number >> 10) % (len(text) - _LOOKED_AT + 1)
    if start and (blank := text.find(" ", start, start + _LOOKED_AT // 2)) >= 0:
        start = blank + 1
    end = start + _LOOKED_AT
    if end < len(text) and (blank := text.rfind(" ", start + _LOOKED_AT // 2, end)) >= 0:
        end = blank
        while 0 <= end < len(text) - 1 and text[end + 1].isupper():  # no name is cut
            end = text.find(" ", end + 1)
    return text[start:end] if end >= 0 else text[start:]


def _chosen(facts: list[Fact], templates: Templates, budget: int, number: int) -> list[Fact]:
    """Return the one or two facts that a question names."""
    mains = [fact for fact in facts if fact[2] <= budget and (fact[0],) in templates]
    if not mains:
        return []
    main = mains[number % len(mains)]
    if not (number >> 16) % 2:
        return [main]
    kind, left = main.kind, budget - main.cost
    others = [fact for fact in facts if fact[2] <= left and (kind, fact[0]) in templates]
    return [main, others[(number >> 20) % len(others)]] if others else [main]


class _Language:
    """One language of etc/questions.json: its vocabulary, and its templates by their slots."""

    def __init__(self, name: str, config: QuestionLanguage) -> None:
        self.vocabulary, self._config = Vocabulary(name, config), config
        self._templates: dict[tuple[str, bool], Templates] = {}

    def with_own_time(
        self, chosen: list[Fact], facts: list[Fact], templates: Templates, event: MemoryEvent, number: int
    ) -> list[Fact]:
        """Add the weekday or the month of the memory's own time, where the passage names no time.

        Its season would depend on the hemisphere.
        """
        kinds = (*[fact.kind for fact in chosen], "when")
        if not self._config.weekdays or kinds not in templates or any(fact.kind == "when" for fact in facts):
            return chosen
        when = _date_of(event)
        if when is None:
            return chosen
        months = number & 1 and self._config.months
        label = months[when.month - 1] if months else self._config.weekdays[when.weekday()]
        return [*chosen, Fact("when", label, 0)]

    def templates(self, mode: str, tells: bool) -> Templates:
        """Return the templates of a mode by their slots; `tells`: the memory tells what happened."""
        key = mode, tells
        if key not in self._templates:
            lists: QuestionTemplates = getattr(self._config, mode if mode in _OWN_LISTS else "emulation")
            found: Templates = {}
            for template in (*lists.any, *(lists.event if tells else ())):
                for slots in permutations(slots_of(template)):
                    found.setdefault(slots, []).append(template)
            self._templates[key] = found
        return self._templates[key]

    def filled(self, template: str, facts: Sequence[Fact], mode: str) -> str:
        """Return a template with its slots filled. Another than the person says "your", not "my"."""
        for fact in facts:
            text, mine = fact.text, self._config.mine
            if fact.kind == "person" and mine and mode != "dual":
                text = " ".join([mine.get(word, word) for word in text.split(" ")])
            template = template.replace(f"{{{fact.kind}}}", text)
        return template[0].upper() + template[1:]


def _date_of(event: MemoryEvent) -> date | None:
    """Return the day of a memory as its file has it, else in UTC; None where its time was guessed."""
    if "guessed_time" in event.notes:
        return None
    try:
        return date.fromisoformat(event.timestamp[:10])
    except ValueError:
        return datetime.fromtimestamp(event.time / 1000, UTC).date() if event.time else None

"""From a memory to pairs: what was said and what was answered.

The person's words are passed on as slices of the memory and are never changed here or later. `conversation`,
`answered_prompt`, `tool_call` and `thought_and_world` are the four ways in which a memory becomes pairs, and a mode
picks among them.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from curator.config import PairingConfig, Settings
from curator.hooks import Pairing
from curator.language.clauses import Beginnings, OnlyWords
from curator.language.identify import UNDETERMINED, language_of, script_language, sentence_language
from curator.language.names import Names
from curator.language.passages import cuttable, passages
from curator.language.words import count_words
from curator.records import Author, MemoryEvent, Pair, Question, Shape
from curator.sampling.main_language import written_so
from curator.sampling.questions import PassageQuestions
from curator.sampling.talk import THOUGHT_IS_USER, conversation
from curator.sampling.tool_calls import LONGEST_CLOSING, closes, render_tool, tool_call
from curator.sampling.truncation import note_left_out, whole_shape
from curator.sampling.turns import exchanges, sessions

# Memories of which the shape is kept: the one at hand, and those before it, of which each tool call asks again.
_MOST_KEPT = 40


def _nothing(event: MemoryEvent) -> MemoryEvent | None:
    return None


def _nobody(event: MemoryEvent) -> Iterator[MemoryEvent | None]:
    return iter(())


@dataclass
class PairingHelpers:
    """`hooks.Pairing` on the settings of a run. The Sampler gives `outward`, `before`, `earlier` and `on_drop`."""

    settings: Settings
    owner_names: tuple[str, ...] = ()
    dual_direction: str = THOUGHT_IS_USER
    outward: Callable[[MemoryEvent], MemoryEvent | None] = _nothing
    before: Callable[[MemoryEvent], MemoryEvent | None] = _nothing
    earlier: Callable[[MemoryEvent], Iterator[MemoryEvent | None]] = _nobody
    on_drop: Callable[[str, str, int | str], None] = lambda reason, detail, turn: None
    twin_names: tuple[str, ...] = ()
    main_language: str = UNDETERMINED
    _shapes: OrderedDict[str, Shape] = field(default_factory=OrderedDict)
    _language: tuple[str, str] = ("", "")

    @cached_property
    def names(self) -> Names:
        """The names by which speakers are known: those of persona/core.json and of etc/speakers.json."""
        known = self.settings.speakers
        users, assistants, placeholders = (
            [name for names in kind.values() for name in names]
            for kind in (known.users, known.assistants, known.placeholders)
        )
        return Names.of(self.owner_names, users, (*self.twin_names, *assistants), placeholders)

    def shape(self, event: MemoryEvent) -> Shape:
        """Return the turns or the one-sided text of `event`."""
        shape = self._shapes.get(event.key)
        if shape is None:
            shape = self._shapes[event.key] = whole_shape(event, self)
            if len(self._shapes) > _MOST_KEPT:
                self._shapes.popitem(last=False)
        return shape

    def language(self, event: MemoryEvent) -> str:
        """Return the language of `event` as ISO 639-1 has it, "und" where its text is too short to tell."""
        if self._language[0] != event.key:
            shape = self.shape(event)
            text = "\n".join(turn.text for turn in shape.turns) or shape.text
            self._language = event.key, language_of(text, "") or script_language(text)
        return self._language[1]

    def passages(self, text: str) -> list[str]:
        """Cut the person's own text into passages of reply length; short ones come back whole."""
        config, reply = self.settings.curate.pairing, self.settings.curate.reply
        return list(
            passages(
                text,
                config.passage_words,
                config.passage_sentences,
                reply.long_share,
                reply.long_words,
                sentence_language(config.sentence_language, text),
            )
        )

    def prompt(self, mode: str, memory_type: str, text: str, language: str = "und") -> str:
        """Return the question that `text` answers: one of etc/prompts.json, chosen by the text's hash."""
        kind = (mode, memory_type, language)
        questions = self._questions.get(kind)
        if questions is None:
            questions = self._questions[kind] = self.settings.prompts.questions(*kind)
        return questions[zlib.crc32(text.encode()) % len(questions)]

    def question(self, mode: str, event: MemoryEvent, text: str) -> tuple[str, Question]:
        """Return the question that the passage `text` of `event` answers, and whether it was made from the passage.

        A share of the passages, chosen by hash, answers a stock question all the same, since people ask such too.
        """
        language = self.language(event)
        if language == UNDETERMINED and written_so(text, self.main_language):
            language = self.main_language
        if self._asks_of_passages:
            number = zlib.crc32(text.encode())
            if (number >> 12) % 1000 >= self._stock_per_mille:
                asked = self._from_passages.question(mode, language, event, text)
                if asked:
                    return asked, "passage"
        return self.prompt(mode, event.type, text, language), "stock"

    @cached_property
    def _stock_per_mille(self) -> float:
        return self.settings.curate.pairing.stock_share * 1000

    @cached_property
    def _asks_of_passages(self) -> bool:
        return self.settings.asks_of_passages

    @cached_property
    def _from_passages(self) -> PassageQuestions:
        return PassageQuestions(self.settings.questions, self.settings.curate.pairing.question_words, self.owner_names)

    @cached_property
    def _questions(self) -> dict[tuple[str, str, str], tuple[str, ...]]:
        return {}

    @cached_property
    def _leaning(self) -> tuple[Beginnings, Beginnings, OnlyWords]:
        languages = self.settings.context.languages.values()
        return (
            Beginnings(phrase for language in languages for phrase in language.replies),
            Beginnings(phrase for language in languages for phrase in language.users),
            OnlyWords(word for language in languages for word in language.acknowledgements),
        )

    def leans_on_context(self, user_text: str, reply: str) -> bool:
        """Tell whether the exchange makes no sense without the turn before it (phrases of etc/context.json)."""
        replies, users, _ = self._leaning
        return replies.begin(reply) or users.begin(user_text) or self.only_acknowledges(user_text)

    def only_acknowledges(self, text: str) -> bool:
        """Tell whether an utterance says nothing by itself ("Yes, that's right.", "好的，谢谢", "👍")."""
        return len(text) < 40 and self._leaning[2].make_up(text)

    def asks_nothing(self, text: str) -> bool:
        """Tell whether an utterance only acknowledges, or ends the talk (`closings` of etc/context.json)."""
        return len(text) <= LONGEST_CLOSING and self._silent(text)

    @cached_property
    def _silent(self) -> Callable[[str], bool]:
        """Tell it of a short text; what stands before a tool call stands before the next one too."""
        acknowledgements = self._leaning[2]
        return lru_cache(maxsize=256)(
            lambda text: self.only_acknowledges(text) or closes(text, self._closings, acknowledgements)
        )

    @cached_property
    def _closings(self) -> tuple[str, ...]:
        phrases = (phrase for language in self.settings.context.languages.values() for phrase in language.closings)
        return tuple(sorted(phrases, key=len, reverse=True))


def default_pairs(event: MemoryEvent, pairing: Pairing, mode: str) -> Iterator[Pair]:
    """Tool calls become agent samples, conversations their turns, everything else answers a prompt."""
    if event.tool is not None:
        yield tool_call(event, pairing, mode)
    elif pairing.shape(event).turns:
        yield from conversation(event, pairing, mode)
    else:
        yield from answered_prompt(event, pairing, mode, pairing.shape(event).text)


def dual_pairs(event: MemoryEvent, pairing: Pairing) -> Iterator[Pair]:
    """Dual mode: a conversation's user side is the thought; the world answers a one-sided thought."""
    if event.tool is not None or pairing.shape(event).turns:
        yield from default_pairs(event, pairing, "dual")
    else:
        yield from thought_and_world(event, pairing)


def answered_prompt(event: MemoryEvent, pairing: Pairing, mode: str, text: str) -> Iterator[Pair]:
    """Let the person's own text, cut into passages, answer questions made from them, or of etc/prompts.json."""
    author = pairing.shape(event).author
    pieces = pairing.passages(text)
    if not note_left_out(event, pairing) and not pieces:
        pairing.on_drop("empty", "no text", 0)
    for turn, piece in enumerate(pieces):
        asked, kind = pairing.question(mode, event, piece)
        yield Pair(asked, piece, author, turn, prompted=True, question=kind, sources=event.sources)


def thought_and_world(event: MemoryEvent, pairing: Pairing) -> Iterator[Pair]:
    """Pair a thought with what the world did next; without a next event it answers a question put to oneself.

    Of a long thought, the last passage is paired, since it is the nearest to the world; the others answer questions.
    """
    text = pairing.shape(event).text
    nothing_whole = not text  # MetaHuman cut it, or nothing tells whose words it holds
    # What the world saw is no thought: an observation in dual mode answers a question, as other entries do.
    after = pairing.outward(event) if event.type not in pairing.settings.types.outward else None
    answer = world_text(after, pairing) if after else None
    too_short = answer is None or count_words(answer[0]) < pairing.settings.curate.reply.min_words
    if after is None or answer is None or too_short or nothing_whole:
        yield from answered_prompt(event, pairing, "dual", text)
        return
    earlier, thought = _split_thought(text, pairing.settings.curate.pairing)
    turn = 0
    if earlier:
        for pair in answered_prompt(event, pairing, "dual", earlier):
            yield pair
            turn = pair.turn + 1
    else:
        note_left_out(event, pairing)
    world, author = answer
    sources = (*event.sources, *after.sources)
    yield Pair(thought, world, author, turn, thought=True, events=(after.key,), sources=sources)


def _split_thought(text: str, config: PairingConfig) -> tuple[str, str]:
    """Return (earlier part, last whole sentences of a thought's length); a short text comes whole, as the second."""
    if count_words(text) <= config.thought_words:
        return "", text
    size, cut = 0, len(text)
    language = sentence_language(config.sentence_language, text)
    for sentence in reversed(cuttable(text, config.thought_words, 2 * config.thought_words, language)):
        size += count_words(sentence)
        if size > config.thought_words and cut < len(text):
            break
        cut -= len(sentence)
    return text[:cut], text[cut:].strip()


def world_text(event: MemoryEvent, pairing: Pairing) -> tuple[str, Author] | None:
    """Return what the world saw of `event` and whose words they are; None where it saw nothing."""
    if event.tool is not None:
        return render_tool(event.tool, pairing.settings.curate.pairing), "tool"
    shape = pairing.shape(event)
    if shape.turns:
        pairs = [
            one for talk in sessions(shape.turns, pairing.settings.curate.pairing) for one in exchanges(talk, "dual")
        ]
        return (pairs[0].answered, pairs[0].author) if pairs else None
    pieces = pairing.passages(shape.text)
    return (pieces[0], shape.author) if pieces else None

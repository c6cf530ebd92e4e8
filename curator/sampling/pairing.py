"""From a memory to pairs: what was said and what was answered.

The person's words are passed on as slices of the memory and are never changed here or later. `conversation`,
`answered_prompt`, `tool_call` and `thought_and_world` are the four ways in which a memory becomes pairs, and a mode
picks among them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec

from curator.config import Settings
from curator.contract.records import Exchange, Source
from curator.hooks import Pairing
from curator.reading.content_formats import read_shape, without_truncation
from curator.records import MemoryEvent, Pair, Shape, ToolCall, Turn
from curator.sampling.sentences import count_words, ends_sentence, passages, sentences

_NO_MARKS = str.maketrans(dict.fromkeys(",.!?;:", " "))
_NO_FULL_STOPS = re.compile("[\u0e00-\u0eff]")  # Thai and Lao part sentences by blanks
_FAR = 1_000  # characters: no sentence is so long
THOUGHT_IS_USER = "thought-is-user"
THOUGHT_IS_ASSISTANT = "thought-is-assistant"


def _nothing(event: MemoryEvent) -> MemoryEvent | None:
    return None


@dataclass
class PairingHelpers:
    """`hooks.Pairing` on the settings of a run. The Sampler gives `outward`, `before` and `on_drop`."""

    settings: Settings
    owner_names: tuple[str, ...] = ()
    dual_direction: str = THOUGHT_IS_USER
    outward: Callable[[MemoryEvent], MemoryEvent | None] = _nothing
    before: Callable[[MemoryEvent], MemoryEvent | None] = _nothing
    on_drop: Callable[[str, str, int | str], None] = lambda reason, detail, turn: None
    _shapes: dict[str, Shape] = field(default_factory=dict)

    def shape(self, event: MemoryEvent) -> Shape:
        """Return the turns or the one-sided text of `event`."""
        if event.key not in self._shapes:
            self._shapes.clear()  # only the event at hand is asked for more than once
            self._shapes[event.key] = whole_shape(event, self)
        return self._shapes[event.key]

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
                config.sentence_language,
            )
        )

    def prompt(self, mode: str, memory_type: str, text: str) -> str:
        """Return the question that `text` answers: one of etc/prompts.json, chosen by the text's hash."""
        questions = self._questions.get((mode, memory_type))
        if questions is None:
            questions = self._questions[mode, memory_type] = self.settings.prompts.questions(mode, memory_type)
        return questions[zlib.crc32(text.encode()) % len(questions)]

    @cached_property
    def _questions(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {}

    @cached_property
    def _leaning(self) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
        languages = self.settings.context.languages.values()
        return (
            tuple(phrase for language in languages for phrase in language.replies),
            tuple(phrase for language in languages for phrase in language.users),
            frozenset(word for language in languages for word in language.acknowledgements),
        )

    def leans_on_context(self, user_text: str, reply: str) -> bool:
        """Tell whether the exchange makes no sense without the turn before it (phrases of etc/context.json)."""
        replies, users, _ = self._leaning
        if reply[:40].lower().startswith(replies):
            return True
        said = user_text[:80].lower()
        if said.startswith(users):
            return True
        return self.only_acknowledges(said)

    def only_acknowledges(self, text: str) -> bool:
        """Tell whether an utterance says nothing by itself ("Yes, that's right.")."""
        words = text.lower().translate(_NO_MARKS).split() if len(text) < 40 else ()
        return bool(words) and self._leaning[2].issuperset(words)


def whole_shape(event: MemoryEvent, pairing: Pairing) -> Shape:
    """Return the turns or the text of a memory, less the broken last sentence of each text that MetaHuman cut.

    A turn of which nothing whole is left is left out.
    """
    shape = read_shape(event, pairing.owner_names)
    language = pairing.settings.curate.pairing.sentence_language
    if not shape.turns:
        text, cut = _whole_sentences(shape.text, language)
        return msgspec.structs.replace(shape, text=text, truncated=cut)
    turns, truncated = [], False
    for turn in shape.turns:
        text, cut = _whole_sentences(turn.text, language)
        truncated |= cut
        if text or not cut:
            turns.append(turn if text == turn.text else msgspec.structs.replace(turn, text=text))
    return msgspec.structs.replace(shape, turns=tuple(turns), truncated=truncated)


def _whole_sentences(text: str, language: str) -> tuple[str, bool]:
    """Return a text less MetaHuman's mark and the sentence that it broke off, and whether a sentence was broken."""
    text, marked = without_truncation(text)
    if not marked or ends_sentence(text):
        return text, False
    cut = len("".join(sentences(text, language)[:-1]))
    if not cut or len(text) - cut > _FAR:
        # A writer, or a script, without marks at the ends of sentences: the last line goes, in Thai the last phrase.
        cut = max(cut, text.rfind("\n") + 1, text.rfind(" ") + 1 if _NO_FULL_STOPS.search(text[-40:]) else 0)
    return text[:cut].rstrip(), True


def _note_truncated(event: MemoryEvent, pairing: Pairing) -> bool:
    """Report a broken last sentence that was left out, and tell whether there was one."""
    truncated = pairing.shape(event).truncated
    if truncated:
        pairing.on_drop("truncated", "MetaHuman cut this memory in mid-sentence", "cut-end")
    return truncated


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


def exchanges(turns: tuple[Turn, ...], mode: str) -> list[tuple[str, str, bool]]:
    """Pair up turns: (said, answered, whether the answer is the person's own words).

    In an imported chat the person answers in every mode but dual, where the person's side is the thought.
    """
    asks, answers = _sides(mode)
    pairs = []
    for first, second in pairwise(turns):
        if first.speaker in asks and second.speaker in answers:
            pairs.append((first.text, second.text, second.speaker == "me"))
    return pairs


def conversation(event: MemoryEvent, pairing: Pairing, mode: str) -> Iterator[Pair]:
    """Make single-turn pairs of a conversation, or one sample of it all where it is tagged multi_turn."""
    shape = pairing.shape(event)
    pairs = exchanges(shape.turns, mode)
    truncated = _note_truncated(event, pairing)
    if not pairs:
        if not truncated:
            pairing.on_drop("no_reply", "nobody answers in this conversation", 0)
        return
    flip = mode == "dual" and pairing.dual_direction == THOUGHT_IS_ASSISTANT
    source = (Source(event.path, event.sha256, event.turn),)
    _note_unanswered(shape.turns, mode, pairing)
    pairs = _flipped(pairs) if flip else pairs
    if event.multi_turn and len(pairs) > 1:
        earlier = tuple([Exchange(said, answered) for said, answered, _ in pairs[:-1]])
        said, answered, own = pairs[-1]
        author = "person" if own else "other"
        yield Pair(said, answered, author, len(pairs) - 1, flipped=flip, context=earlier, sources=source)  # type: ignore[arg-type]
        return
    config = pairing.settings.curate.pairing
    for turn, (said, answered, own) in enumerate(pairs):
        context: tuple[Exchange, ...] = ()
        if pairing.leans_on_context(*((answered, said) if flip else (said, answered))):
            earlier_turns = pairs[max(0, turn - config.context_turns) : turn] or _turns_before(
                event, pairing, mode, flip
            )
            if earlier_turns and config.context == "drop":
                pairing.on_drop("needs_context", "makes sense only with the turn before it", turn)
                continue
            context = tuple([Exchange(a, b) for a, b, _ in earlier_turns])
        author = "person" if own else "other"
        yield Pair(said, answered, author, turn, flipped=flip, context=context, sources=source)  # type: ignore[arg-type]


def _note_unanswered(turns: tuple[Turn, ...], mode: str, pairing: Pairing) -> None:
    """Report each turn that is in no exchange: a second question before the answer, a second answer, a last word."""
    asks, answers = _sides(mode)
    paired = {
        place + step
        for place in range(len(turns) - 1)
        if turns[place].speaker in asks and turns[place + 1].speaker in answers
        for step in (0, 1)
    }
    for place in range(len(turns)):
        if place not in paired:
            pairing.on_drop("no_reply", "a turn that nobody answers, or that answers nobody", f"m{place}")


def _sides(mode: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return who asks and who answers in a mode."""
    return (("user", "me"), ("assistant", "other")) if mode == "dual" else (("user", "other"), ("assistant", "me"))


def _flipped(pairs: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    """MetaHuman's aggregator: the assistant's words are the thought, the person's are the world's answer."""
    return [(answered, said, True) for said, answered, _ in pairs]


def _turns_before(event: MemoryEvent, pairing: Pairing, mode: str, flip: bool) -> list[tuple[str, str, bool]]:
    previous = pairing.before(event)
    pairs = exchanges(whole_shape(previous, pairing).turns, mode)[-1:] if previous else []
    return _flipped(pairs) if flip else pairs


def answered_prompt(event: MemoryEvent, pairing: Pairing, mode: str, text: str) -> Iterator[Pair]:
    """Let the person's own text, cut into passages, answer questions of etc/prompts.json."""
    source = (Source(event.path, event.sha256, event.turn),)
    pieces = pairing.passages(text)
    if not _note_truncated(event, pairing) and not pieces:
        pairing.on_drop("empty", "no text", 0)
    for turn, piece in enumerate(pieces):
        yield Pair(pairing.prompt(mode, event.type, piece), piece, "person", turn, prompted=True, sources=source)


def thought_and_world(event: MemoryEvent, pairing: Pairing) -> Iterator[Pair]:
    """Pair a thought with what the world did next; without a next event it answers a question put to oneself.

    Of a long thought, the last passage is paired, since it is the nearest to the world; the others answer questions.
    """
    text = pairing.shape(event).text
    nothing_whole = pairing.shape(event).truncated and not text
    # What the world saw is no thought: an observation in dual mode answers a question, as other entries do.
    after = pairing.outward(event) if event.type not in pairing.settings.types.outward else None
    answer = world_text(after, pairing) if after else None
    too_short = answer is None or count_words(answer[0]) < pairing.settings.curate.reply.min_words
    if after is None or answer is None or too_short or nothing_whole:
        yield from answered_prompt(event, pairing, "dual", text)
        return
    earlier, thought = _split_thought(text, pairing.settings.curate.pairing.thought_words)
    turn = 0
    if earlier:
        for pair in answered_prompt(event, pairing, "dual", earlier):
            yield pair
            turn = pair.turn + 1
    else:
        _note_truncated(event, pairing)
    world, author = answer
    sources = (Source(event.path, event.sha256, event.turn), Source(after.path, after.sha256, after.turn))
    yield Pair(thought, world, author, turn, thought=True, events=(after.key,), sources=sources)  # type: ignore[arg-type]


def _split_thought(text: str, words: int) -> tuple[str, str]:
    """Return (earlier part, last whole sentences of up to `words` words); a short text comes whole, as the second."""
    if count_words(text) <= words:
        return "", text
    size, cut = 0, len(text)
    for sentence in reversed(sentences(text)):
        size += count_words(sentence)
        if size > words and cut < len(text):
            break
        cut -= len(sentence)
    return text[:cut], text[cut:].strip()


def world_text(event: MemoryEvent, pairing: Pairing) -> tuple[str, str] | None:
    """Return what the world saw of `event` and whose words they are; None where it saw nothing."""
    if event.tool is not None:
        return render_tool(event.tool, pairing.settings.curate.pairing.tool_outcome_characters), "tool"
    shape = whole_shape(event, pairing)
    if shape.turns:
        pairs = exchanges(shape.turns, "dual")
        return (pairs[0][1], "other") if pairs else None
    pieces = pairing.passages(shape.text)
    return (pieces[0], "person") if pieces else None


def tool_call(event: MemoryEvent, pairing: Pairing, mode: str) -> Pair:
    """Make an agent sample: the instruction, then the tool's name and inputs and how it ended."""
    assert event.tool is not None
    tool = event.tool
    action = render_tool(tool, pairing.settings.curate.pairing.tool_outcome_characters)
    source = Source(event.path, event.sha256, event.turn)
    if tool.instruction.strip() and not pairing.only_acknowledges(tool.instruction):
        return Pair(tool.instruction, action, "tool", sources=(source,))
    asked = _asked_before(event, pairing)
    if asked:
        previous, instruction = asked
        earlier = Source(previous.path, previous.sha256, previous.turn)
        return Pair(instruction, action, "tool", events=(previous.key,), sources=(source, earlier))
    question = pairing.prompt(mode, event.type, tool.name + tool.inputs)
    if "{tool}" not in question:
        question = pairing.prompt("agent", "tool_invocation", tool.name + tool.inputs)
    instruction = question.replace("{tool}", tool.name).replace("{inputs}", tool.inputs)
    return Pair(instruction, action, "tool", prompted=True, sources=(source,))


def _asked_before(event: MemoryEvent, pairing: Pairing) -> tuple[MemoryEvent, str] | None:
    previous = pairing.before(event)
    if previous is None or previous.tool is not None:
        return None
    for turn in reversed(whole_shape(previous, pairing).turns):
        if turn.speaker in ("user", "me") and turn.text.strip() and not pairing.only_acknowledges(turn.text):
            return previous, turn.text
    return None


def render_tool(tool: ToolCall, most: int) -> str:
    """Return "name {inputs}" and, on a second line, the outcome; a failed call says so."""
    outcome = tool.outputs if len(tool.outputs) <= most else shorten_json(tool.outputs, most)
    if outcome in ('""', "null", "{}", "[]"):
        outcome = ""
    if tool.success is False:
        reason = ": ".join(part for part in (tool.error, outcome) if part)
        return f"{tool.name} {tool.inputs}\n=> failed: {reason}" if reason else f"{tool.name} {tool.inputs}\n=> failed"
    return f"{tool.name} {tool.inputs}\n=> {outcome or 'done'}"


def shorten_json(text: str, most: int) -> str:
    """Shorten a JSON text to about `most` characters by whole items; what is left out is counted in its place."""
    value = msgspec.json.decode(text)
    ways = ((3, 200), (1, 200), (1, 80), (1, 30))
    for items, characters in ways[1:] if len(text) > 3 * most else ways:
        short = msgspec.json.encode(_fewer(value, items, characters)).decode()
        if len(short) <= most:
            return short
    return msgspec.json.encode(_fewer(value, 0, 30)).decode()


def _fewer(value: Any, items: int, characters: int) -> Any:
    if isinstance(value, dict):
        most = max(4, items * 8)
        kept = {key[:80]: _fewer(item, items, characters) for key, item in list(value.items())[:most]}
        return kept | ({"more": len(value) - most} if len(value) > most else {})
    if isinstance(value, list):
        kept_items = [_fewer(item, items, characters) for item in value[:items]]
        return kept_items + ([{"more": len(value) - items}] if len(value) > items else [])
    if isinstance(value, str) and len(value) > characters:
        return {"text": value[:characters].rsplit(" ", 1)[0], "more_characters": len(value) - characters}
    return value

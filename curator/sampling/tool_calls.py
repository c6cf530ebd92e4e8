"""Tool calls to agent samples: the instruction that asked for the call, and the call as it is written out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from curator.config import PairingConfig
from curator.contract.records import Exchange
from curator.hooks import Pairing
from curator.language.clauses import OnlyWords
from curator.records import Change, MemoryEvent, Pair, ToolCall
from curator.sampling.turns import exchanges, sessions

_MOST_TURNS = 12  # turns before a call among which its instruction is looked for
LONGEST_CLOSING = 120  # characters: whoever says more than that says something
OUTCOME = "\n=> "  # between a call and how it ended
_MASK = "[masked]"
_SECRET_KEY = re.compile(
    r"(?:^|[-_. ])(?:authori[sz]ation|pass(?:word|wd|phrase|code)?|pwd|secret|tokens?|api[-_ ]?keys?|access[-_ ]?keys?|"
    r"private[-_ ]?keys?|credentials?|cookies?|bearer|pin|otp|cvv|cvc)$",
    re.IGNORECASE,
)
# Cheap to ask of a whole text: most calls have no such key.
_SECRET_WORDS = (
    "authori", "pass", "pwd", "secret", "token", "key", "credential", "cookie", "bearer", "pin", "otp", "cvv", "cvc",
)  # fmt: skip
_SECRET_WORD = re.compile("|".join(_SECRET_WORDS), re.IGNORECASE)
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def tool_call(event: MemoryEvent, pairing: Pairing, mode: str) -> Pair:
    """Make an agent sample: the instruction, then the tool's name and inputs and how it ended."""
    assert event.tool is not None
    tool, hidden = masked(event.tool)
    config = pairing.settings.curate.pairing
    action = render_tool(tool, config)
    changes = (Change("masked", f"{hidden} masked", len(event.tool.inputs), len(tool.inputs)),) if hidden else ()
    if tool.instruction.strip() and not pairing.asks_nothing(tool.instruction):
        memory, context = _confirmed(event, pairing, mode) if config.context == "keep" else (None, ())
        events, sources = ((memory.key,), (*event.sources, *memory.sources)) if memory else ((), event.sources)
        return Pair(
            tool.instruction, action, "tool", changes=changes, context=context, events=events, sources=sources
        )  # fmt: skip
    asked = _asked_before(event, pairing)
    if asked:
        previous, instruction = asked
        both = (*event.sources, *previous.sources)
        return Pair(instruction, action, "tool", changes=changes, events=(previous.key,), sources=both)
    called, language = tool.name + tool.inputs, pairing.language(event)
    question = pairing.prompt(mode, event.type, called, language)
    if "{tool}" not in question:
        question = pairing.prompt("agent", "tool_invocation", called, language)
    inputs = _within(tool.inputs, config.tool_input_characters)
    instruction = question.replace("{tool}", tool.name).replace("{inputs}", inputs)
    return Pair(instruction, action, "tool", prompted=True, question="stock", changes=changes, sources=event.sources)


def _confirmed(event: MemoryEvent, pairing: Pairing, mode: str) -> tuple[MemoryEvent | None, tuple[Exchange, ...]]:
    """Return the exchanges before an instruction that names no input of its call ("Yes, that would work."), and their
    memory: what is confirmed there. None where it names one, or nothing stands before it in its session."""
    assert event.tool is not None
    instruction = event.tool.instruction.strip()
    if _names(instruction, _values(event.tool)):
        return None, ()
    config = pairing.settings.curate.pairing
    for memory in pairing.earlier(event):
        if memory is None:
            break
        talks = [] if memory.tool else sessions(pairing.shape(memory).turns, config)
        said = [turn.text.strip() if turn.whose == "person" else "" for turn in talks[-1].turns] if talks else []
        if instruction in said:
            place = said.index(instruction)
            before = [one for one in exchanges(talks[-1], mode) if one.answer < place][-config.context_turns :]
            found = tuple([Exchange(one.said, one.answered) for one in before])
            return (memory, found) if found else (None, ())
    return None, ()


def _asked_before(event: MemoryEvent, pairing: Pairing) -> tuple[MemoryEvent, str] | None:
    """Return the person's turn that asked for a call, and its memory.

    Of those before the call it is the latest that names one of its inputs; where none does, the latest that asks for
    anything. Where the call repeats what was said last ("Yes, please."), the turns from there on come too late.
    """
    assert event.tool is not None
    said = list(islice(_said_before(event, pairing), _MOST_TURNS))
    repeated = event.tool.instruction.strip()
    latest = next((place for place, (_, text) in enumerate(said) if repeated and text.strip() == repeated), -1)
    asking = [one for one in said[latest + 1 :] if not pairing.asks_nothing(one[1])]
    values = _values(event.tool)
    return next((one for one in asking if _names(one[1], values)), asking[0] if asking else None)


def _said_before(event: MemoryEvent, pairing: Pairing) -> Iterator[tuple[MemoryEvent, str]]:
    """Yield what the person said in the session before the event, the latest first, and in which memory."""
    for memory in pairing.earlier(event):
        if memory is None:
            return
        if memory.tool is not None:
            continue
        talks = sessions(pairing.shape(memory).turns, pairing.settings.curate.pairing)
        for turn in reversed(talks[-1].turns if talks else ()):
            if turn.whose == "person" and turn.text.strip() and (not turn.time or turn.time <= event.time):
                yield memory, turn.text
        if len(talks) > 1:
            return


def _values(tool: ToolCall) -> tuple[str, ...]:
    """Return the texts and numbers among the inputs of a call, folded, by which a turn may name them."""
    found = (str(value).strip().casefold() for value in _leaves(msgspec.json.decode(tool.inputs)))
    return tuple(dict.fromkeys([value for value in found if len(value) > 1 and value not in ("true", "false", "none")]))


def _leaves(value: Any) -> Iterator[str | int | float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


def _names(text: str, values: tuple[str, ...]) -> bool:
    folded = text.casefold()
    return any(value in folded and (not value.isascii() or _whole(value, folded)) for value in values)


def _whole(value: str, text: str) -> bool:
    """Tell whether a value stands in a text with no letter, figure or _ beside it."""
    start = text.find(value)
    while start >= 0:
        beside = text[max(0, start - 1) : start] + text[start + len(value) : start + len(value) + 1]
        if not any(sign.isalnum() or sign == "_" for sign in beside):
            return True
        start = text.find(value, start + 1)
    return False


def closes(text: str, closings: tuple[str, ...], acknowledgements: OnlyWords) -> bool:
    """Tell whether an utterance ends a talk and asks for nothing: beside such a phrase hardly a word is left.

    `closings` are phrases in lower case, the longest first.
    """
    if len(text) > LONGEST_CLOSING or any(mark in text for mark in "?？؟"):
        return False
    rest = text.lower().replace("’", "'")
    for phrase in closings:
        if phrase in rest:
            cased = phrase[-1].upper() != phrase[-1]  # elsewhere words may stand without blanks between them
            bounds = (r"(?<!\w)", r"(?!\w)") if cased else ("", "")
            rest = re.compile(f"{bounds[0]}{re.escape(phrase)}{bounds[1]}").sub(" ", rest)
    if rest == text.lower().replace("’", "'"):
        return False
    left = acknowledgements.others(rest)
    return len(left) <= 2 and sum(map(len, left)) <= 14


def masked(tool: ToolCall) -> tuple[ToolCall, int]:
    """Return a call with a mask for each text under a key that says it is a secret, and how many those are."""
    hidden = 0

    def without(value: Any, secret: bool = False) -> Any:
        nonlocal hidden
        if isinstance(value, dict):
            return {key: without(item, secret or _is_secret(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [without(item, secret) for item in value]
        if secret and isinstance(value, str) and value:
            hidden += 1
            return _MASK
        return value

    texts = []
    for text in (tool.inputs, tool.outputs):
        value = without(msgspec.json.decode(text)) if _may_hold_secrets(text) else None
        texts.append(msgspec.json.encode(value).decode() if value is not None else text)
    return (msgspec.structs.replace(tool, inputs=texts[0], outputs=texts[1]), hidden) if hidden else (tool, 0)


def _may_hold_secrets(text: str) -> bool:
    """Tell whether a text has a word of secret keys. In ASCII, looking for each is eight times as fast."""
    if not text.isascii():
        return _SECRET_WORD.search(text) is not None
    return any(map(text.lower().__contains__, _SECRET_WORDS))


def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(_HUMPS.sub("_", key)) is not None


def render_tool(tool: ToolCall, config: PairingConfig) -> str:
    """Return "name {inputs}" and, on a second line, the outcome; a failed call says so."""
    inputs = _within(tool.inputs, config.tool_input_characters)
    outcome = _within(tool.outputs, config.tool_outcome_characters)
    if outcome in ('""', "null", "{}", "[]"):
        outcome = ""
    if tool.success is False:
        reason = ": ".join(part for part in (_first(tool.error, config.tool_outcome_characters), outcome) if part)
        return f"{tool.name} {inputs}{OUTCOME}failed" + (f": {reason}" if reason else "")
    return f"{tool.name} {inputs}{OUTCOME}{outcome or 'done'}"


def _within(text: str, most: int) -> str:
    return text if len(text) <= most else shorten_json(text, most)


def _first(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0]} ..."


def shorten_json(text: str, most: int) -> str:
    """Shorten a JSON text to about `most` characters by whole items; what is left out is counted in its place."""
    value = msgspec.json.decode(text)
    ways = ((3, 200), (1, 200), (1, 80), (1, 30))
    for items, characters in ways[1:] if len(text) > 3 * most else ways:
        short = msgspec.json.encode(_fewer(value, items, characters)).decode()
        if len(short) <= most:
            return short
    short = msgspec.json.encode(_fewer(value, 0, 30)).decode()
    return short if len(short) <= 2 * most else f'{{"more_characters":{len(text)}}}'


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

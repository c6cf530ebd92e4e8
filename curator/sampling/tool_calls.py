"""Tool calls to agent samples: the instruction that asked for the call, and the call as it is written out."""

from __future__ import annotations

from typing import Any

import msgspec

from curator.contract.records import Source
from curator.hooks import Pairing
from curator.records import MemoryEvent, Pair, ToolCall
from curator.sampling.truncation import whole_shape


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
    return Pair(instruction, action, "tool", prompted=True, question="stock", sources=(source,))


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

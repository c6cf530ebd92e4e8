"""Every program of MetaHuman OS that writes a memory: whose words are read of it, and what becomes of it.

The rows are those of the table in docs/memories.md; a row without an example here, or the other way round, is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from conftest import ROOT, Home, curate_once, rows
from curator_plugins.sources.metahuman import read

from curator.config import load_settings
from curator.contract.homes import people_names
from curator.reading.content_formats import read_shape
from curator.records import MemoryEvent
from curator.sampling.pairing import PairingHelpers

TABLE = "| writer in MetaHuman OS |"
CHAT = "Chat: Leo (whatsapp)\nParticipants: Ann, Leo\n\n--- Conversation ---\n"
LONG = "The tide took the second buoy and most of the rope, so we rowed out before it was light. " * 23
INNER: dict[str, Any] = {"type": "inner_dialogue"}


class Row(NamedTuple):
    """A row of the table: the authors, and the code with which its last column begins."""

    writer: str
    authors: frozenset[str]
    code: str


def table() -> Iterator[Row]:
    lines = (ROOT / "docs" / "memories.md").read_text("utf-8").split(TABLE, 1)[1].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        writer, _, whose, becomes = (cell.strip() for cell in line.strip("|").split(" | "))
        authors = {name.strip().replace(" ", "_") for name in whose.split(",")} - {"nobody", "unknown"}
        yield Row(writer, frozenset(authors), re.match(r"`(\w+)`", becomes)[1])  # type: ignore[index]


def inner(text: str, **meta: Any) -> dict[str, Any]:
    return INNER | {"content": text, "tags": ["agency", "inner"], "metadata": meta}


def seen(text: str, **keys: Any) -> dict[str, Any]:
    return {"type": "observation", "content": text} | keys


def talk(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


EXAMPLES: dict[str, dict[str, Any]] = {
    "memory-capture": {"content": "User: Where is the pump?\n\nAssistant: Astern.\n\nQ: no label\nMe: neither, here"},
    "persona_chat": {"content": 'Me: "Is there bread left in the tin?"', "response": "Half a loaf, since Tuesday."},
    "persona_chat, no answer": {"content": 'Me: "the lamp in the shed flickers again tonight"'},
    "persona_chat, a question asked": {
        "content": "Why did you keep the broken oar on the wall?", "tags": ["chat", "curiosity", "assistant"],
    },
    "older conversations": {"content": "do I need a permit for the slip\n\nA: Yes, and a stamp from Pauline."},
    "older conversations, ruled": {"content": "which knot for the fender\n---\nA round turn and two half hitches."},
    "messages": talk(("human", [{"type": "text", "text": "Is the ferry late?"}]), ("model", "By nine minutes.")),
    "messages, a program's": talk(
        ("system", "Be brief."), ("user", "Add oil to the list"), ("assistant", None), ("tool", "{}"),
        ("assistant", "Oil stands below the candles."),
    ),
    "messages, unknown role": talk(
        ("user", "Who painted the gate?"), ("narrator", "It rains."), ("assistant", "Your aunt, in one afternoon."),
    ),
    "a conversation without labels": {"content": "so the roof was never meant to hold snow"},
    "chat-ingestor": seen(
        CHAT + "[Mar 1 10:30 AM] ← Leo: did the mast arrive\n[Mar 1 10:31 AM] → Ann: it came in two pieces, sadly",
        metadata={"chat": {"startDate": "2024-03-01T10:30:00.000Z"}},
    ),
    "chat-ingestor, attachments": seen(
        CHAT + "[Mar 2 9:00 AM] ← Leo: show me the hinge\n[Mar 2 9:01 AM] → Ann: \n  📎 [image: a.jpg]\n"
        "[Mar 2 9:02 AM] ← Leo: and the pin\n[Mar 2 9:03 AM] → Ann: <Medien ausgeschlossen>\n"
        "[Mar 2 9:04 AM] ← Leo: is it bent\n[Mar 2 9:05 AM] → Ann: bent like a spoon, both of them",
    ),
    "chat-ingestor, nobody is me": seen(CHAT + "[Mar 3 9:00 AM] ← Leo: hello\n[Mar 3 9:01 AM] ← Kim: hello yourself"),
    "onboarding-persona": seen(
        "Quick Personality Survey - Onboarding\n\nInterviewer: What calms you down?\n\nYou: Sorting screws by length."
    ),
    "persona-generator": seen(
        "Persona Notes - Self-Reflection\n\nI would rather mend a thing badly than buy it again.",
        tags=["persona-notes", "self-reflection"], metadata={"source": "persona-generator-notes"},
    ),
    "mh capture": seen("The heron stood on the neighbour's car for an hour."),
    "/api/capture": {
        "type": "dream", "content": "I dreamt of a staircase that went down to the sea.", "metadata": {"source": "web"},
    },
    "voice-memo-ingestor": seen(
        "Voice Memo: memo 14.m4a\nDuration: 0m 41s\nSource: voice-memo-ingestor\n\nTranscription:\n"
        "so the thing about the shed is that nobody ever asked the owls",
        metadata={"voiceMemo": {"hasTranscription": True}},
    ),
    "voice-memo-ingestor, no text": seen("Voice Memo: memo 15.m4a\nDuration: 3s\n\n[No transcription available]"),
    "photo-ingestor": seen("Photo: IMG_1.jpg\nTaken: 3/2/2024\nCamera: Acme\nLocation: 48.208354, 16.372504"),
    "calendar-connector": seen("Calendar Event: Dentist\nWhen: Mon, Mar 4, 2024\nLocation: 12 Quay Street"),
    "document-ingestor": {"content": seen("Document: lease.pdf\nPages: 9\n\nContent:\nThe tenant sweeps the stairs.")},
    "document-ingestor, own": {
        "type": "observation",
        "content": seen("Document: notes.txt\nAuthor: Ann Field\n\nContent:\nI count swallows, not money."),
    },
    "ingestor": seen(LONG[:2000], links=[{"type": "source", "target": "notes.txt [1/2]"}]),
    "ingestor, further parts": seen(LONG[2000:], links=[{"type": "source", "target": "notes.txt [2/2]"}]),
    "ai-ingestor": seen(
        "My grandmother kept bees behind the chapel.",
        links=[{"type": "source", "target": "gran.md"}, {"type": "chunk", "target": "1/2"}],
        tags=["ingested", "ai", "raw-text"], metadata={"rawText": True, "chunkIndex": 0, "totalChunks": 2},
    ),
    "ai-ingestor, summary": {
        "type": "summary", "content": "Bees and a grandmother, in two parts.", "tags": ["ai", "summary-only"],
    },
    "mobile-ingestor": seen("Rope, tar, two brushes, and patience for the rest.", tags=["ingested", "mobile"]),
    "mobile-ingestor, JSON": seen('{"battery": 81, "steps": [1, 2, 3]}', tags=["ingested", "mobile"]),
    "summarizer": {"type": "summary", "content": "Conversation Summary: They spoke of the roof at some length."},
    "audio-organizer": {
        "type": "audio", "content": "Ann describes how the winch failed in the rain.",
        "tags": ["audio", "transcript", "winch"],
    },
    "audio-organizer, transcript": {
        "type": "audio", "tags": ["audio", "transcript"],
        "content": ("We hauled the dinghy up at noon. " + "Then the wind turned and nobody had a hat " * 6)
        [:200] + "...",
    },
    "curator, notice": INNER | {"content": "📚 Curated 12 memories for training (11 suitable, 1 rejected)."},
    "curator, rewrite": {"content": "User: how deep is the well\n\nAssistant: Eleven metres, by the old rope."},
    "curator, rejection": {"content": "User: who broke the bell\n\nAssistant: A boy, with the best intentions."},
    "inner-dialogue-capture": INNER | {
        "content": "I keep returning to the harbour wall in my thoughts.", "metadata": {"dialogueSource": "reflector"},
    },
    "reflector, older": {
        "type": "reflection", "content": "Patience may be only a slow kind of stubbornness.",
        "tags": ["idle-thought", "self-reflection"],
    },
    "dreamer": {
        "type": "dream", "content": "A choir of anchors sang below the pier.",
        "metadata": {"sources": ["evt-1"], "confidence": 0.7},
    },
    "dreamer, older": {
        "type": "dream", "content": "The lighthouse went to look for its keeper.", "sources": [], "confidence": 0.6,
    },
    "inner-curiosity": INNER | {
        "content": "🤔 Why do I hoard string?\n\n💭 Because the drawer was empty when I was small.",
        "metadata": {"innerCuriosity": {"question": "Why do I hoard string?"}},
    },
    "inner-dialogue-saver": INNER | {
        "content": "Verdict: continue\nReason: plan not finished", "metadata": {"source": "cognitive-graph"},
    },
    "curiosity-researcher": inner("🔍 Research observation: Cast iron cracks where it is thinnest."),
    "desire-generator": inner("💭 Agency Review:\n\n↑ 2 desire(s) grew stronger", agency=True),
    "desire-planner": inner("I reviewed 4 desire plan(s): 1 auto-approved.", source="desire-planner"),
    "desire-executor": inner('Auto-approved "Sort seeds" based on trust level (x).', source="desire-executor"),
    "agency, older": INNER | {
        "content": 'I\'ve executed the plan for "Sort seeds" - all 3 steps.', "metadata": {"desireId": "d"},
    },
    "outcome-reviewer": inner('Reviewed "Sort seeds": completed', source="outcome-reviewer"),
    "agency, the user's word": inner('User provided feedback on "Sort seeds": "No"', source="user-feedback"),
    "drift-monitor": inner("✨ Drift analysis complete. My style mirrors the user at 83%.", source="drift-monitor"),
    "operator-proposals": {
        "type": "operator_feedback", "content": '❌ User rejected proposal: "Tidy"\nReasoning: old files',
        "metadata": {"reinforcementSignal": -1},
    },
    "feedback": seen("[Feedback: Negative]\nType: memory", metadata={"reinforcementSignal": -1, "targetId": "no"}),
    "operator-legacy": {"type": "action", "content": "Operator task failed: sort", "tags": ["operator", "failure"]},
    "skill-executor": {
        "type": "tool_invocation", "content": "Invoked skill: tide_table",
        "metadata": {"toolName": "tide_table", "toolInputs": {"port": "Rye"}, "instruction": "When is low water?"},
    },
    "skill-executor, files": {
        "type": "file_read", "content": "Read boat/list.md: 41 items, 26 of them crossed out.",
        "metadata": {"filePath": "boat/list.md", "fileSize": 1740},
    },
    "skill-executor, tasks": {
        "type": "task", "content": "Task: count heads at the stop on three mornings.",
        "metadata": {"skillId": "task_create"},
    },
    "approvals": {
        "type": "code_approval", "content": "Approved: pump_log.py, change 1, one start counts as one.",
        "metadata": {"approvalId": "ap-1", "skillId": "code_apply_patch", "decision": "approved"},
    },
    "dual-writer": {
        "type": "card_response", "content": "Card Response (reminder): Saturday, then.",
        "metadata": {"userMessage": "Remind me of the paint", "assistantResponse": "Saturday, above eight degrees."},
    },
    "by hand": {
        "type": "reflection", "content": "I forgave the dog, and myself not at all.", "metadata": {"source": "diary"},
    },
}  # fmt: skip
REWRITES = {"curator, rewrite": True, "curator, rejection": False}
# What the table says of the code holds for another of the writer's files.
SECOND = {"ai-ingestor": seen(
    "She sold the honey by the cup, to those who brought one.",
    links=[{"type": "source", "target": "gran.md"}, {"type": "chunk", "target": "2/2"}],
)}  # fmt: skip


class Outcome(NamedTuple):
    """What the run made of the profile: per file, the authors of its replies and its reasons; the events read."""

    replies: dict[str, set[str]]
    reasons: dict[str, set[str]]
    events: dict[str, MemoryEvent]
    profile: Path


def name_of(writer: str) -> str:
    return "2025/" + re.sub(r"\W+", "-", writer).strip("-") + ".json"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    home = Home(tmp_path_factory.mktemp("writers") / "home")
    core = home.profile / "persona" / "core.json"
    core.parent.mkdir(parents=True)
    core.write_text('{"identity": {"name": "Twin", "humanName": "Ann Field", "aliases": []}}')
    files = [(name_of(writer), data) for writer, data in EXAMPLES.items()]
    files += [(name_of(f"{writer} 2"), data) for writer, data in SECOND.items()]
    for day, (name, data) in enumerate(files):
        stamp = f"2025-{1 + day // 28:02}-{1 + day % 28:02}T12:00:00.000Z"
        home.file(name, json.dumps({"id": f"evt-{day}", "timestamp": stamp, "type": "conversation"} | data))
    for writer, suitable in REWRITES.items():
        day = list(EXAMPLES).index(writer)
        rewrite = {"id": f"evt-{day}", "originalTimestamp": "2025-06-01T12:00:00Z", "suitableForTraining": suitable}
        path = home.profile / "memory" / "curated" / "conversations" / f"{day}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rewrite | {"userMessage": "Rewritten?", "assistantResponse": "So it is."}))
    run = curate_once("run", "--username", "ann", "--home", home.folder).run
    replies: dict[str, set[str]] = {}
    reasons: dict[str, set[str]] = {}
    for sample in rows(run / "curated_memories.json"):
        for source in sample["metadata"]["sources"][:1]:
            replies.setdefault(source["path"], set()).add(sample["metadata"]["reply_author"])
    for drop in rows(run / "dropped.jsonl"):
        reasons.setdefault(drop["path"], set()).add(drop["reason"])
    read_events = [item for item in read(home.profile, load_settings(None)) if isinstance(item, MemoryEvent)]
    return Outcome(replies, reasons, {event.path: event for event in read_events}, home.profile)


def test_table_and_examples_name_the_same_writers() -> None:
    assert [row.writer for row in table()] == list(EXAMPLES)


@pytest.mark.parametrize("row", list(table()), ids=lambda row: row.writer)
def test_row(outcome: Outcome, row: Row) -> None:
    path = f"memory/episodic/{name_of(row.writer)}"
    if row.writer in ("curator, rewrite",):
        path = f"memory/curated/conversations/{list(EXAMPLES).index(row.writer)}.json"
    if row.code == "sample":
        assert outcome.replies[path] <= row.authors, outcome.reasons.get(path)
    else:
        assert row.code in outcome.reasons[path], outcome.replies.get(path)
    assert read_authors(outcome, path, row) == row.authors


def read_authors(outcome: Outcome, path: str, row: Row) -> frozenset[str]:
    """Whose words are read of the memory; of a part, those of the whole text; none where it is dropped unread."""
    if row.code == "joined":
        path = path.replace("-further-parts", "")
    if row.code in ("bot_notice", "feedback"):
        assert path not in outcome.replies
        return frozenset()
    event = outcome.events[path]
    if event.tool:
        return frozenset(("tool",))
    people = people_names(outcome.profile)
    shape = read_shape(event, PairingHelpers(load_settings(None), people.owner, twin_names=people.twin).names)
    if shape.turns:
        return frozenset(turn.whose for turn in shape.turns)
    return frozenset((shape.author,)) if shape.text else frozenset()


def test_a_rejected_rewrite_and_its_original_are_both_rejected(outcome: Outcome) -> None:
    day = list(EXAMPLES).index("curator, rejection")
    assert outcome.reasons[f"memory/curated/conversations/{day}.json"] == {"rejected"}
    assert outcome.reasons[f"memory/episodic/{name_of('curator, rejection')}"] == {"rejected"}


def test_a_text_that_was_cut_is_read_as_it_was(outcome: Outcome) -> None:
    event = outcome.events[f"memory/episodic/{name_of('ingestor')}"]
    assert event.content == LONG
    assert [source.path for source in event.sources] == [
        f"memory/episodic/{name_of(writer)}" for writer in ("ingestor", "ingestor, further parts")
    ]
    bees = outcome.events[f"memory/episodic/{name_of('ai-ingestor')}"]
    assert bees.content.count("\n\n") == 1 and len(bees.parts) == 1


def test_lines_of_a_chat_have_names_and_times(outcome: Outcome) -> None:
    event = outcome.events[f"memory/episodic/{name_of('chat-ingestor')}"]
    turns = read_shape(event).turns
    assert [(turn.speaker, turn.name, turn.time) for turn in turns] == [
        ("other", "Leo", 1709289000000), ("me", "Ann", 1709289060000),
    ]  # fmt: skip
    assert msgspec.to_builtins(turns[0])["time"] == 1709289000000

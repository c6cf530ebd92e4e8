"""Every field of every file that a run reads, with every type of JSON value in it: used or turned down with a reason.

A profile that others wrote holds anything. One value of a wrong type ends at most its own memory, never the run, and
drops and events still add up to the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Home, Result, rows
from hypothesis import given
from hypothesis import strategies as st
from json_fixtures import variants, with_value
from memory_fixtures import BASE, CORE, FILES, MEMORIES, META, TIME, TOOL, USERS

from curator.contract.errors import UsageError
from curator.contract.homes import find_home, find_profile, owner_names
from curator.language.names import Names, folded
from curator.reading.content_formats import read_shape
from curator.reading.events import BadShape, event_from_json
from curator.records import MemoryEvent

Curate = Callable[..., Result]


def every_file() -> Iterator[tuple[str, str]]:
    """(path below the profile, text) of every variant of every shape."""
    for shape, memory in MEMORIES.items():
        for name, text in variants(memory):
            yield f"memory/episodic/2025/03/01/{shape}-{name}.json", text
    for folder, document in FILES.items():
        for name, text in variants(document):
            yield f"{folder}/session-{name}.json", text


def all_accounted_for(run: Path) -> dict[str, set[str]]:
    """The fates of the files of a run, by path: "used" and reasons. Counts of report, drops and lineage must agree."""
    report = json.loads((run / "report.json").read_bytes())
    assert sum(report["memory_fates"].values()) == report["memories"]
    dropped, lineage = rows(run / "dropped.jsonl"), rows(run / "lineage.jsonl")
    assert sum(drop["count"] for drop in report["drops"]) == len(dropped)
    fates: dict[str, set[str]] = {}
    for drop in dropped:
        fates.setdefault(drop["path"], set()).add(drop["reason"])
    for line in lineage:
        fates.setdefault(line["sources"][0]["path"], set()).add("used")
    return fates


OPTIONS = [(), ("--dual-direction", "thought-is-assistant", "--context", "keep"), ("--mode-from", "type")]


@pytest.mark.parametrize("options", OPTIONS)
def test_every_type_of_value_in_every_field_of_a_profile(home: Home, curate: Curate, options: tuple[str, ...]) -> None:
    texts = dict(every_file())
    for name, text in texts.items():
        path = home.profile / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    result = curate("run", "--username", "ann", "--home", home.folder, *options)
    assert result.status == 0, result.err
    fates = all_accounted_for(result.run)
    assert {name for name in texts if name not in fates} == {name for name in texts if no_answer(name, texts[name])}
    assert curate("validate", result.run, "--home", home.folder).status == 0


def no_answer(name: str, text: str) -> bool:
    """Whether a file is a therapy session in which nobody has answered yet: no memory, so nothing to account for."""
    session = json.loads(text) if name.startswith("persona/therapy/") else None
    if not isinstance(session, dict) or not isinstance(session.get("questions"), list) or "huge" in name:
        return False
    return session.get("answers") in (None, [])


def test_every_type_of_value_in_every_field_of_a_line(home: Home, curate: Curate, tmp_path: Path) -> None:
    lines = [text for memory in MEMORIES.values() for _, text in variants(memory)]
    source = tmp_path / "memories.jsonl"
    source.write_text("\n".join(lines) + "\n", "utf-8")
    result = curate("run", "--username", "ann", "--home", home.folder, "--source", source)
    assert result.status == 0, result.err
    assert json.loads((result.run / "report.json").read_bytes())["memories"] == len(lines)
    all_accounted_for(result.run)


@pytest.mark.parametrize(
    ("folder", "document", "detail"),
    [
        ("memory/curated/conversations", {"userMessage": ["How?"], "assistantResponse": "So."}, "userMessage"),
        ("memory/curated/conversations", {"userMessage": "How?", "assistantResponse": 5}, "assistantResponse"),
        ("memory/curated/conversations", {"conversationalEssence": {"a": 1}}, "conversationalEssence"),
        ("memory/curiosity/questions/answered", {"question": "How?", "answer": ["So."]}, "answer: expected text"),
        ("persona/therapy", {"questions": [{"id": "a", "prompt": "How?"}], "answers": 5}, "answers: expected a list"),
        ("persona/therapy", {"questions": [{"id": [1]}], "answers": [{"questionId": [1]}]}, "no question has the id"),
        ("persona/therapy", {"questions": [{"prompt": "How?"}], "answers": [{"content": "So."}]}, "the id 'None'"),
    ],
)
def test_what_is_turned_down_is_named(home: Home, curate: Curate, folder: str, document: Any, detail: str) -> None:
    """A value of another type is never written out as the person's words, nor joined to a question without an id."""
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    path = home.profile / folder / "session-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document | {"createdAt": TIME, "curatedAt": TIME}))
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    (drop,) = rows(result.run / "dropped.jsonl")
    assert drop["reason"] == "bad_shape" and detail in drop["detail"]


def test_flags_of_another_type_do_not_hide_a_verdict(home: Home, curate: Curate) -> None:
    document = FILES["memory/curated/conversations"] | {"flags": 5}
    path = home.profile / "memory/curated/conversations" / "one.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert [(drop["reason"], drop["detail"]) for drop in rows(result.run / "dropped.jsonl")] == [
        ("rejected", "validation.status is 'rejected' (unsuitable)")
    ]


@pytest.mark.parametrize(("kind", "fate"), [("journal", "used"), ("conversation", "unknown_author")])
def test_a_text_with_the_mark_of_a_chat_but_none_of_its_lines(home: Home, curate: Curate, kind: str, fate: str) -> None:
    """In an entry it is the person's own text; in a conversation nothing says whose words they are."""
    home.memory("Minutes.\n--- Conversation ---\nWe talked for an hour.", type=kind)
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    fates = {name[-15:]: reasons for name, reasons in all_accounted_for(result.run).items()}
    assert fates["evt-000001.json"] == {fate}


def test_every_type_of_value_where_the_person_is_named(home: Home) -> None:
    """persona/core.json and persona/users.json are MetaHuman's: what cannot be used is left, the rest is used."""
    core, users = home.profile / "persona" / "core.json", home.folder / "persona" / "users.json"
    for path, document in ((core, CORE), (users, USERS)):
        path.parent.mkdir(parents=True)
        for _, text in variants(document):
            path.write_text(text, "utf-8")
            assert all(isinstance(name, str) and name.strip() == name for name in owner_names(home.profile))
            with pytest.raises(UsageError):
                find_profile(find_home(str(home.folder)), "zoe")
    core.write_text(with_value(CORE, ("identity", "aliases"), '"Annie"'))
    assert owner_names(home.profile) == ("Ann", "Ann Field")  # and not A, n, i and e
    for raw in (b"\xff", b'{"identity": {"humanName": "\xff"}}', b"[" * 5000):
        core.write_bytes(raw)
        assert owner_names(home.profile) == ()
    zoe = {"username": "zoe", "metadata": {"profileStorage": {"path": str(home.profile)}}}
    users.write_text(json.dumps({"users": [7, None, {"username": ["zoe"]}, zoe]}))
    assert find_profile(home.folder, "zoe") == home.profile


NAMES = Names.of(("Ann",), ("User", "Me", "You", "Q"), ("Assistant", "AI", "A"))

# --- texts ---------------------------------------------------------------------------------------------------------

PIECES = [
    "--- Conversation ---", "---", "----", "User:", "Assistant: ", "Me: ", "Ann: ", "Q:", "A: ", "AI:", "🤔 ", "💭 ",
    "[1.3.25, 12:00] → Ann: ", "[1.3.25, 12:01] ← Bo: ", "Conversation Summary:", "conversation summary: ", "📎",
    "... [truncated]", "… [Truncated] ", "“", '"', "Me: “", "\n", "\r\n", "\n\n", " ", "\t", ":", "[", "]", "a", "Tea.",
    "\u2028", "→ ", "\x00", "é", "茶", "You: ",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@given(
    content=texts, response=st.none() | texts, kind=st.sampled_from(["conversation", "chat", "journal"]),
    owners=st.lists(texts.filter(str.strip), max_size=2).map(tuple),
)  # fmt: skip
def test_any_text_with_the_separators_in_it_has_a_shape(
    content: str, response: str | None, kind: str, owners: tuple[str, ...]
) -> None:
    """Turns or one text, of which every line stands in the memory: labels and separators are left out, no more."""
    event = MemoryEvent("0" * 16, "x", "x.json", "", 0, kind, content=content, response=response)
    shape = read_shape(event, NAMES._replace(owner=frozenset(map(folded, owners))))
    assert not (shape.turns and shape.text)
    for text in [shape.text, *(turn.text for turn in shape.turns)]:
        assert all(line in content or line in (response or "") for line in text.split("\n"))
    assert {turn.speaker for turn in shape.turns} <= {"user", "assistant", "me", "other"}


KEYS = [*BASE, *META, *TOOL, "content", "response", "messages", "prompt", "question", "answer", "observation", "role"]
floats = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(data=JSON | st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda memory: {"timestamp": TIME} | memory))
def test_any_json_is_a_memory_or_turned_down(data: Any) -> None:
    try:
        event = event_from_json(data, "memory/x.json", "ab")
    except BadShape as error:
        assert str(error) and error.reason in ("bad_shape", "bad_time")
        return
    assert msgspec.convert(msgspec.to_builtins(event), MemoryEvent) == event
    read_shape(event, NAMES)

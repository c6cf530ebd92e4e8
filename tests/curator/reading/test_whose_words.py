"""Whose words a text is: labels in thirteen languages, roles, times, and what nothing proves."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import Home, Result, rows

from curator.config import load_settings
from curator.reading import timestamps
from curator.reading.content_formats import read_shape
from curator.reading.events import event_from_json
from curator.records import MemoryEvent
from curator.sampling.pairing import PairingHelpers

Curate = Callable[..., Result]
NAMES = PairingHelpers(load_settings(None), ("Ana", "Ana M."), twin_names=("Nova",)).names


def whose(content: str, kind: str = "conversation") -> list[tuple[str, str]]:
    """The authors and texts of a content, or the reasons for which there are none."""
    shape = read_shape(MemoryEvent("0" * 16, "x", "x.json", "", 0, kind, content=content), NAMES)
    if shape.turned_down:
        return [(down.reason, "") for down in shape.turned_down]
    return [(turn.whose, turn.text) for turn in shape.turns] or [(shape.author, shape.text)]


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("User:", "Assistant:"), ("Benutzer:", "Assistent:"), ("Utilisateur :", "Assistant :"),
        ("Usuario:", "Asistente:"),
        ("Utente:", "Assistente:"), ("Usuário:", "Assistente:"), ("Пользователь:", "Ассистент:"), ("用户：", "助手："),
        ("ユーザー：", "アシスタント："), ("사용자:", "어시스턴트:"),
        ("المستخدم:", "المساعد:"), ("उपयोगकर्ता:", "सहायक:"),
        ("ผู้ใช้:", "ผู้ช่วย:"), ("USER:", "ASSISTANT:"), ("**User:**", "**Assistant:**"), ("**User**:", "**Claude**:"),
        ("[10:31] User:", "[10:31] Assistant:"), ("User：", "Assistant："), ("ana:", "Nova:"), ("Ana M.:", "ChatGPT:"),
        ("Ольга:", "Assistant:"), ("小美:", "助手:"), ("Ángela:", "MetaHuman:"), ("User:", "**Assistant:**"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("between", ["\n", "\n\n", "\r\n\r\n", "\n---\n"])
def test_a_label_and_its_answer(user: str, assistant: str, between: str) -> None:
    content = f"{user} where is the saw?{between}{assistant} On the nail."
    assert whose(content) == [("person", "where is the saw?"), ("assistant", "On the nail.")]


def test_labels_within_a_message_stay_in_it() -> None:
    """MetaHuman's form has two labels, after a blank line; whatever else looks like one was written by somebody."""
    quoted = "My mail said:\n\nUser: nobody pays\nAssistant: we will see\n\nWhat do I say?"
    listed = "The roof holds.\n\nNote: the gutter.\nQ: is it copper?\nMe: no"
    assert whose(f"User: {quoted}\n\nAssistant: {listed}") == [("person", quoted), ("assistant", listed)]
    assert whose("User: My list:\nMilk: 2\nEggs: 3\n\nAssistant: Bought.")[0] == (
        "person",
        "My list:\nMilk: 2\nEggs: 3",
    )


@pytest.mark.parametrize(
    "content",
    ["Leo: hi\nKim: hey", "Ana: hi\nLeo: yo\nKim: hey", "User: hi\n\nGreglet: yo", "hello there", "Leo: hello there"],
)
def test_what_nothing_proves_is_nobodys(content: str) -> None:
    assert whose(content) == [("unknown_author", "")]


def test_a_journal_keeps_its_own_colons() -> None:
    for content in ("Monday: rain\nand wind", "Today: out\nClaude: a kind man", "Me: I should go.\nHe: no."):
        assert whose(content, "journal") == [("person", content)]


def test_people_who_are_known_by_name_talk_to_each_other() -> None:
    assert whose("Leo: hi\nAna: hey\nLeo: so") == [("other_human", "hi"), ("person", "hey"), ("other_human", "so")]


def test_a_name_that_the_user_adds_is_an_assistants(home: Home, curate: Curate) -> None:
    shipped = load_settings(None).speakers
    added = {"users": shipped.users, "assistants": shipped.assistants | {"mine": ["Greglet"]}}
    home.memory("User: where is the torch?\n\nGreglet: In the drawer, without its battery.")
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    assert curate("run", "--username", "ann", "--home", home.folder).status == 0
    home.config("speakers.json", added)
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    replies = {sample["assistant_text"] for sample in rows(result.run / "curated_memories.json")}
    assert "In the drawer, without its battery." in replies


@pytest.mark.parametrize("gone", [
    "<Media omitted>", "<Medien ausgeschlossen>", "<Médias omis>", "<Multimedia omitido>", "<Media omessi>",
    "<Mídia oculta>", "<Без медиафайлов>", "<省略多媒体文件>",
    "<メディアは含まれていません>", "<미디어 파일을 생략한 내보내기>",
    "<تم استبعاد الوسائط>", "<मीडिया के बिना>", "<ไม่รวมสื่อ>", "\u200eimage omitted", "This message was deleted.",
    "Diese Nachricht wurde gelöscht.", "\u200e<attached: 0001-PHOTO.jpg>", "IMG-2024-WA0001.jpg (Datei angehängt)",
    "  📎 [image: a.jpg]", "",
])  # fmt: skip
def test_what_a_chat_program_writes_is_nobodys(gone: str) -> None:
    line = "[Dec 31 11:5{} PM] {} {}: {}"
    content = "Chat: Leo\n\n--- Conversation ---\n" + "\n".join([
        line.format(7, "←", "Leo", "the hinge?"), line.format(8, "→", "Ana", gone),
        "[Jan 1 12:01 AM] → Ana: it bent\u200e<This message was edited>\n  📎 [image]",
    ])  # fmt: skip
    meta = {"chat": {"startDate": "2023-12-31T23:57:00Z"}}
    event = event_from_json({"timestamp": "2024-03-01", "content": content, "metadata": meta}, "x.json", "")
    shape = read_shape(event, NAMES)
    assert [(turn.whose, turn.text) for turn in shape.turns] == [("other_human", "the hinge?"), ("person", "it bent")]
    assert [(down.reason, down.turn) for down in shape.turned_down] == [("no_words", 1)]
    assert [timestamps.month(turn.time) for turn in shape.turns] == ["2023-12", "2024-01"]


def test_in_a_chat_without_arrows_of_the_person_their_name_tells() -> None:
    content = "--- Conversation ---\n[Mar 1 9:00 AM] ← Leo: hi\n[Mar 1 9:01 AM] ← ana: hey"
    assert whose(content, "observation") == [("other_human", "hi"), ("person", "hey")]


@pytest.mark.parametrize(
    "time",
    [1709287200, 1709287200.0, 1709287200000, 1709287200000000, "1709287200", "1709287200000", "2024-03-01T10:00:00Z"],
)
def test_a_time_in_any_unit(time: object) -> None:
    assert timestamps.parse(time) == 1709287200000


def test_old_and_impossible_numbers() -> None:
    assert timestamps.parse(-9_777_000_000_000) == -9_777_000_000_000  # 1660, in milliseconds
    assert timestamps.parse(True) is None and timestamps.parse(1e300) is None and timestamps.parse(float("nan")) is None


def test_one_bad_answer_costs_the_others_nothing(home: Home, curate: Curate) -> None:
    questions = [{"id": "a", "prompt": "What calms you?"}, {"id": "b", "prompt": "What else?"}]
    answers = [
        {"questionId": "a", "content": ["no text"]}, {"questionId": "none", "content": "Whose is it?"}, 7,
        {"questionId": "b", "content": "The sound of the tide at night."},
    ]  # fmt: skip
    path = home.profile / "persona" / "therapy" / "session-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"createdAt": "2025-03-01T12:00:00Z", "questions": questions, "answers": answers}))
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    assert [drop["reason"] for drop in rows(result.run / "dropped.jsonl")] == ["bad_shape"] * 3
    (answer,) = [one for one in rows(result.run / "curated_memories.json") if "tide" in one["assistant_text"]]
    assert (answer["user_text"], answer["metadata"]["reply_author"]) == ("What else?", "person")


def test_a_bad_mark_keeps_a_memory_out(home: Home, curate: Curate) -> None:
    home.memory("How was the ferry?", response="It sank, and so did I.", metadata={"reinforcementSignal": -1})
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.")
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert [drop["reason"] for drop in rows(result.run / "dropped.jsonl")] == ["feedback"]


@pytest.mark.parametrize("role", ["developer", "function", "tool", "system"])
def test_a_programs_role_is_turned_down_by_name(role: str) -> None:
    messages = [{"role": role, "content": "x"}, {"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]
    event = event_from_json({"timestamp": "2024-03-01", "conversations": messages}, "x.json", "")
    assert [turn.whose for turn in event.turns] == ["person", "assistant"]
    (down,) = event.turned_down
    assert down.reason == "no_words" and role in down.detail

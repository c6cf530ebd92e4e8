"""The exports of Claude, Gemini and Copilot: what is said in them, and what only looks like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from curator.importing.dates.clocks import WallClock
from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Found, Item, Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons, said
from importers.reading_fixtures import finders, read_items, readers

ROOT_ID = "00000000-0000-4000-8000-000000000000"


# --- Claude ----------------------------------------------------------------------------------------------------------


def message(name: str, sender: str, text: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"uuid": name, "sender": sender, "text": text, "created_at": "2026-02-03T10:00:00.123456Z", **more}
    return made if parent is None else {**made, "parent_message_uuid": parent}


def talk(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uuid": "cv", "name": "Winch", "created_at": "2026-02-03T09:00:00Z", "chat_messages": messages, **more}


def read_claude(folder: Path, *talks: dict[str, Any]) -> list[Item]:
    return read_items(put(folder, "conversations.json", talks), "claude")


def test_claude_follows_the_branch_that_was_written_last(tmp_path: Path) -> None:
    items = read_claude(
        tmp_path,
        talk(
            message("q", "human", "where is it?", ROOT_ID),
            message("a1", "assistant", "no idea", "q"),
            message("a2", "assistant", "in the locker", "q"),
            message("x", "human", "which lcker", "a2"),
            message("y", "assistant", "a lcker?", "x"),
            message("z", "human", "which locker?", "a2"),
        ),
    )
    assert said(items) == ["where is it?", "in the locker", "which locker?"]
    assert reasons(items) == {"other_branch": 3}
    alternative = next(one for one in items if isinstance(one, ImportedMessage) and one.kind == "alternative")
    assert (alternative.text, alternative.reply_to) == ("no idea", "q")  # y answers a prompt that was taken back


def test_claude_takes_the_leaf_that_a_browser_extension_names(tmp_path: Path) -> None:
    talked = talk(
        message("q", "human", "hm?", ROOT_ID), message("a", "assistant", "first", "q"),
        message("b", "assistant", "second", "q"), current_leaf_message_uuid="a",
    )  # fmt: skip
    put(tmp_path, "chat.json", talked)
    assert said(read_items(tmp_path, "claude")) == ["hm?", "first"]


def test_claude_before_2025_has_a_plain_list_and_flat_text(tmp_path: Path) -> None:
    fence = "Let me see.\n```\nThis block is not supported on your current device yet.\n```\n\nThere."
    items = read_claude(tmp_path, talk(message("1", "human", "one"), message("2", "assistant", fence)))
    assert said(items) == ["one", "Let me see.\nThere."]


def test_claude_goes_on_from_the_list_where_a_talk_is_older_than_its_tree(tmp_path: Path) -> None:
    items = read_claude(
        tmp_path,
        talk(
            message("1", "human", "one"), message("2", "assistant", "two"), message("3", "human", "three", "2"),
            message("4", "assistant", "four", "gone"), message("5", "human", "again, from the start", ROOT_ID),
        ),
        talk(message("6", "human", "in a circle", "7"), message("7", "assistant", "so?", "6"), uuid="cv2"),
    )  # fmt: skip
    assert said(items) == ["again, from the start", "in a circle", "so?"]
    assert reasons(items) == {"other_branch": 4}
    kept = talk(
        *(message(str(n), "human" if n % 2 else "assistant", f"m{n}", {3: "2", 4: "gone"}.get(n)) for n in range(1, 5))
    )
    assert said(read_claude(tmp_path, kept)) == ["m1", "m2", "m3", "m4"]


def test_claude_reads_what_was_written_and_counts_what_was_not(tmp_path: Path) -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm"}, {"type": "tool_use", "name": "web_search", "input": {}},
        {"type": "tool_result", "content": [{"type": "text", "text": "found"}]}, {"type": "text", "text": "In the"},
        {"type": "text", "text": " locker."},
    ]  # fmt: skip
    items = read_claude(
        tmp_path,
        talk(
            message("1", "human", "", content=[{"type": "voice_note", "title": "t", "text": "spoken"}]),
            message("2", "assistant", "hm\n```\nThis block is not supported\n```\nIn the locker.", content=blocks),
            message("3", "human", "", attachments=[{"extracted_content": "somebody else's text"}]),
            message("4", "assistant", "", content=[{"type": "thinking", "thinking": "hm"}]),
            message("5", "human", "", files=[{"file_name": "a.jpg"}]),
            message("6", "assistant", ""),
            message("7", "human", "look", files=[{"file_name": "a.jpg"}], created_at=None),
            message("8", "human", "odd", created_at="yesterday"),
            {"uuid": "9"},
        ),
        talk(uuid="cv2"),
    )
    assert said(items) == ["spoken", "In the locker.", "look"]
    assert reasons(items) == {
        "thinking, tool": 1, "attachment_only": 1, "thinking": 1, "media_only": 1, "empty": 2, "bad_shape": 2,
    }  # fmt: skip
    last = [one for one in items if isinstance(one, ImportedMessage)][-1]
    assert (last.time, last.time_source, last.attachments) == ("2026-02-03T09:00:00Z", "conversation", 1)


def test_claude_counts_its_side_files_once(tmp_path: Path) -> None:
    for name in ("users.json", "projects.json", "memories.json"):
        put(tmp_path, name, [{"uuid": "u", "name": "Boat"}])
    items = read_claude(tmp_path, talk(message("1", "human", "one")))
    assert reasons(items) == {"not_messages": 1}
    assert list(finders(tmp_path)) == ["claude"]


# --- Gemini ----------------------------------------------------------------------------------------------------------


def record(title: str, minute: int, html: str = "", **more: Any) -> dict[str, Any]:
    made = {"header": "Gemini Apps", "title": title, "time": f"2026-03-02T09:{minute:02}:00.000Z"}
    answer = {"safeHtmlItem": [{"html": html}]} if html else {}
    return {**made, "products": ["Gemini Apps"], **answer, **more}


def read_gemini(folder: Path, *records: dict[str, Any]) -> list[Item]:
    return read_items(put(folder, "Takeout/My Activity/Gemini Apps/MyActivity.json", records), "gemini")


def test_gemini_reads_the_oldest_first_and_each_record_alone(tmp_path: Path) -> None:
    items = read_gemini(
        tmp_path,
        record("Used an Assistant feature", 9),
        record("Eingegebener Prompt: und kürzer?", 5, "<p>x &lt; y</p><ol><li><p>one</p></li><li>two</li></ol>"),
        record("Prompted how  does\nit: work", 1, "<pre><code>if x:\n    y()\n</code></pre><p>so</p>"),
        record("Prompted ", 0, attachedFiles=["a.png"]),
        record("Searched for winch", 0, header="Search", products=["Search"]),
        record("Prompted for nothing", 0, header="Search", products=["Search"]),
    )
    assert said(items) == ["how  does\nit: work", "if x:\n    y()\n\nso", "und kürzer?", "x < y\n\n1. one\n2. two"]
    assert reasons(items) == {"not_messages": 3, "media_only": 1}
    kept = [one for one in items if isinstance(one, ImportedMessage)]
    assert [one.is_owner for one in kept] == [True, False, True, False]
    assert {one.conversation for one in kept} == {"2026-03-02"}
    assert len({one.conversation_id for one in kept}) == 2


def test_gemini_learns_the_words_of_another_language_from_ten_answered_titles_alike(tmp_path: Path) -> None:
    titles = [f"Inserito: domanda {number}" for number in range(10)]
    items = read_gemini(tmp_path, *(record(title, 5, "<p>ok</p>") for title in titles), record("Inserito: due", 1))
    assert said(items)[:2] == ["due", "domanda 9"]
    items = read_gemini(tmp_path, *(record(title, 5, "<p>ok</p>") for title in titles[:9]))
    assert reasons(items) == {"unrecognised_line": 9}


def test_gemini_says_which_form_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "MyActivity.html", '<div class="outer-cell"><p>Gemini Apps</p></div>')
    with opened([tmp_path]) as export:
        answer = readers()["gemini"].find(export)
    assert isinstance(answer, Differs) and "JSON" in answer.what
    put(tmp_path / "b", "MyActivity.json", [record("Searched for x", 1, header="Search", products=["Search"])])
    with opened([tmp_path / "b"]) as export:
        assert isinstance(readers()["gemini"].find(export), Differs)


# --- Copilot ---------------------------------------------------------------------------------------------------------

HEAD = "\ufeffConversation,Time,Author,Message\r\n"


def read_copilot(folder: Path, rows: str, zone: str = "") -> list[Item]:
    reading = Reading((), WallClock(ZoneInfo(zone) if zone else None))
    path = folder / "copilot-activity-history.csv"
    path.write_bytes((HEAD + rows).encode())
    return read_items(folder, "copilot", reading)


def test_copilot_is_turned_round_and_not_sorted(tmp_path: Path) -> None:
    rows = (
        "Flag,2026-07-26T23:21:10,AI,Yes.\r\nFlag,2026-07-26T23:21:10,Human,sure?\r\n"
        'Flag,2026-07-26T23:20:56,AI,"it,\n""does"" nothing"\r\nFlag,2026-07-26T23:20:56,Human,what does it do?\r\n'
    )
    items = read_copilot(tmp_path, rows, "Europe/Berlin")
    assert said(items) == ["what does it do?", 'it,\n"does" nothing', "sure?", "Yes."]
    first = items[0]
    assert isinstance(first, ImportedMessage)
    assert (first.time, first.time_source, first.is_owner) == ("2026-07-26T21:20:56Z", "wall", True)
    assert (
        said(read_copilot(tmp_path, "\r\n".join(rows.split("\r\n")[2:3]) + "\r\nFlag,2026-07-26T23:20:56,Human,q\r\n"))[
            0
        ]
        == "q"
    )
    oldest_first = "F,2026-07-26T23:20:56,Human,a\r\nF,2026-07-26T23:20:57,AI,b\r\n"
    assert said(read_copilot(tmp_path, oldest_first)) == ["a", "b"]


def test_copilot_counts_rows_that_are_none(tmp_path: Path) -> None:
    rows = (
        "F,2026-07-26T23:21:10,System,hello\r\nF,2026-07-26T23:21:09,Human,\r\nF,noon,Human,when?\r\n"
        'too,few\r\nF,2026-07-26T23:21:08,AI,fine\r\nF,2026-07-26T23:21:07,Human,"cut in the mid'
    )
    items = read_copilot(tmp_path, rows)
    assert said(items) == ["fine"]
    assert reasons(items) == {"system": 1, "empty": 1, "bad_shape": 1, "unrecognised_line": 2}


def test_copilot_names_the_column_that_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "Conversation,Time,Message\nx,y,z\n")
    with opened([tmp_path]) as export:
        answer = readers()["copilot"].find(export)
        assert isinstance(answer, Differs) and "Author" in answer.what
        assert not any(isinstance(reader.find(export), Found) for reader in readers().values())

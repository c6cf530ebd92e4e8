"""`curate import` and `curate people`: what is shown, what is kept, and what a run makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result, rows, samples

# A reader as a user would write it: one file in <home>/plugins/.
PLUGIN = """
from curator import Found, ImportedMessage, Importer, Skip, hookimpl, text_lines

@hookimpl
def register_importers():
    return [Importer("say", "Say", "write it", find, read, clock="wall")]

def find(export):
    entries = tuple(export.ending(".say"))
    return Found(entries) if entries else None

def read(found, reading):
    for entry in found.entries:
        for number, line in text_lines(entry):
            parts = line.split("|")
            if len(parts) != 5:
                yield Skip(f"{entry.name}:{number}", "unrecognised_line")
                continue
            talk, time, sender, text, kind = parts
            own, source = reading.is_owner(sender), reading.clock.source
            yield ImportedMessage("", talk, time, sender, own, text, time_source=source, kind=kind)
"""
TOPICS = "anchor rope harbour engine sail tide winch galley compass rudder mast keel".split()


def chat(folder: Path, talk: str = "Jon", other: str = "Jon Pell", hour: int = 10) -> Path:
    """Write a chat in which every exchange says something of its own."""
    lines = []
    for day, topic in enumerate(TOPICS, 1):
        lines.append(
            f"{talk}|2025-01-{day:02}T{hour}:00:00Z|{other}|What became of the {topic} that {talk} saw?|message"
        )
        lines.append(
            f"{talk}|2025-01-{day:02}T{hour}:01:00Z|Ana Sá|The {topic} is mended, and {talk} paid for it.|message"
        )
    path = folder / f"{talk}.say"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture
def place(tmp_path: Path, curate: Callable[..., Result]) -> Path:
    """A home in which the reader is switched on, and which has no profile."""
    home = tmp_path / "home"
    assert curate("init", home).status == 0
    (home / "plugins").mkdir()
    (home / "plugins" / "say.py").write_text(PLUGIN, "utf-8")
    settings = json.loads((home / "etc" / "curate.json").read_text("utf-8"))
    settings["plugins"]["home_plugins"] = True
    (home / "etc" / "curate.json").write_text(json.dumps(settings), "utf-8")
    return home


def test_an_import_shows_what_is_in_it_and_says_what_to_do_next(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    path = chat(tmp_path)
    looked = curate("import", path, "--home", place, "--username", "ana", "--owner", "Ana Sá", "--dry-run")
    assert looked.status == 0 and not (place / "profiles" / "ana").exists()
    for shown in (
        "Say",
        "24 messages in 1 conversation; 12 of them yours",
        "Ana Sá: --owner",
        "2025-01-01T10:00:00Z to",
    ):
        assert shown in looked.out
    assert "its times name no zone" in looked.out and "next: " in looked.err
    done = curate("import", path, "--home", place, "--username", "ana", "--owner", "Ana Sá", "--json")
    assert json.loads(done.out) == {
        "format": "say", "label": "say-jon", "messages": 24, "owner_messages": 12, "conversations": 1, "skipped": {},
        "from": "2025-01-01T10:00:00Z", "to": "2025-01-12T10:01:00Z",
        "notes": ["its times name no zone and are taken for UTC: add --timezone ZONE, such as Europe/Berlin"],
    }  # fmt: skip
    assert "made " in done.err and "curate run" in done.err
    assert not (place / "profiles" / "ana" / "memory").exists()


def test_a_control_character_of_an_export_never_reaches_the_terminal(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    path = tmp_path / "a.say"
    path.write_text("Jon|2025-01-01T00:00:00Z|Ana|\x1b[31mred\x07\u202e|message\nbad\x1b[2J", "utf-8")
    done = curate("import", path, "--home", place, "--username", "ana", "--owner", "Ana")
    assert done.status == 0 and "red" in done.out
    assert not {"\x1b", "\x07", "\u202e"} & {*done.out, *done.err}


def test_a_run_makes_samples_of_what_was_imported(place: Path, tmp_path: Path, curate: Callable[..., Result]) -> None:
    curate("import", chat(tmp_path), "--home", place, "--username", "ana", "--owner", "Ana Sá")
    done = curate("run", "--home", place, "--username", "ana", "--mode", "emulation", "--holdout", "0")
    assert done.status == 0, done.err
    found = samples(done.run)
    assert len(found) == 12
    assert {one["metadata"]["reply_author"] for one in found} == {"person"}
    assert all(one["user_text"].startswith("What became") and "is mended" in one["assistant_text"] for one in found)
    sources = {source["path"] for one in found for source in one["metadata"]["sources"]}
    assert sources == {"imports/say-jon/messages.jsonl"}


def test_explain_shows_the_message_with_which_a_memory_begins(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    curate("import", chat(tmp_path), "--home", place, "--username", "ana", "--owner", "Ana Sá")
    done = curate("run", "--home", place, "--username", "ana", "--mode", "emulation", "--holdout", "0")
    one = samples(done.run)[3]
    told = curate("explain", one["metadata"]["sample_id"], "--home", place, "--username", "ana")
    assert told.status == 0, told.err
    line = one["metadata"]["sources"][0]["turn"] + 1
    assert f"imports/say-jon/messages.jsonl:{line}" in told.out and f"Jon Pell: {one['user_text']}" in told.out


def test_a_source_is_read_without_being_imported(place: Path, tmp_path: Path, curate: Callable[..., Result]) -> None:
    profile = place / "profiles" / "ana"
    (profile / "persona").mkdir(parents=True)
    (profile / "persona" / "core.json").write_text('{"identity": {"humanName": "Ana Sá"}}', "utf-8")
    done = curate("run", "--home", place, "--username", "ana", "--source", chat(tmp_path), "--holdout", "0")
    assert done.status == 0, done.err
    assert len(samples(done.run)) == 12 and not (profile / "imports").exists()
    assert [path.name for path in done.run.iterdir() if path.name.startswith(".")] == []


def test_a_source_that_does_not_say_who_you_are_stops(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    (place / "profiles" / "ana").mkdir(parents=True)
    done = curate("run", "--home", place, "--username", "ana", "--source", chat(tmp_path))
    assert done.status == 2 and "--owner" in done.err and "curate import" in done.err
    assert not list((place / "profiles" / "ana").rglob("run-summary.json"))


def test_next_months_export_needs_no_owner_and_brings_what_is_new(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    path = chat(tmp_path)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(lines[:10]), "utf-8")
    assert curate("import", path, "--home", place, "--username", "ana", "--owner", "Ana Sá").status == 0
    path.write_text("\n".join(lines), "utf-8")
    more = curate("import", path, "--home", place, "--username", "ana", "--json")
    assert (json.loads(more.out)["messages"], json.loads(more.out)["skipped"]) == (14, {"already_imported": 10})
    none = curate("import", path, "--home", place, "--username", "ana", "--json")
    assert (json.loads(none.out)["messages"], json.loads(none.out)["label"]) == (0, None)
    assert "nothing new" in none.err
    listed = curate("import", "--list", "--home", place, "--username", "ana", "--json")
    assert [one["label"] for one in json.loads(listed.out)["imports"]] == ["say-jon", "say-jon-2"]
    assert curate("import", "--remove", "say-jon-2", "--home", place, "--username", "ana").status == 0
    again = curate("import", path, "--home", place, "--username", "ana", "--json")
    assert json.loads(again.out)["messages"] == 14


def test_people_joins_names_only_as_it_is_told(place: Path, tmp_path: Path, curate: Callable[..., Result]) -> None:
    where = ("--home", place, "--username", "ana")
    curate("import", chat(tmp_path), *where, "--owner", "Ana Sá")
    curate("import", chat(tmp_path, "Crew", "J. Pell", 12), *where)
    listed = json.loads(curate("people", *where, "--json").out)["people"]
    assert {(one["handle"], one["me"], one["person"]) for one in listed} == {
        ("say:Ana Sá", True, "Ana Sá"), ("say:Jon Pell", False, ""), ("say:J. Pell", False, ""),
    }  # fmt: skip
    wrong = curate("people", *where, "--name", "Jon", "--same", "say:Jon Pel")
    assert wrong.status == 2 and "Did you mean 'say:Jon Pell'" in wrong.err
    told = curate("people", *where, "--name", "Jon", "--same", "say:Jon Pell", "--same", "say:J. Pell")
    assert told.status == 0, told.err
    known = json.loads((place / "profiles" / "ana" / "people.json").read_text("utf-8"))
    assert known["people"][1] == {"name": "Jon", "handles": ["say:Jon Pell", "say:J. Pell"], "me": False}
    curate("people", *where, "--me", "say:Jon Pell")
    done = curate("run", *where, "--mode", "emulation", "--holdout", "0", "--dry-run", "--json")
    assert done.status == 0 and curate("people", *where, "--forget", "say:Jon Pell").status == 0


def kinds(place: Path, tmp_path: Path, curate: Callable[..., Result], *options: Any) -> Result:
    long = (
        "I have been thinking about the boat all week, and I believe that we should sell her before the winter comes, "
    )
    long += "because nobody of us has the time to mend what is broken."
    lines = [
        "log|2025-01-01T10:00:00Z|Ana|" + long + "|journal",
        "bot|2025-01-02T10:00:00Z|Ana|how do I splice a rope?|assistant_chat",
        "bot|2025-01-02T10:01:00Z|Bot|You take the ends of it.|assistant_chat",
        "bot|2025-01-02T10:02:00Z|Ana|" + long.replace("boat", "cabin").replace("winter", "spring") + "|assistant_chat",
        "notes|2025-01-03T10:00:00Z|Ana|Remember to buy varnish and four brushes for the deck on Saturday.|message",
    ]  # fmt: skip
    path = tmp_path / "kinds.say"
    path.write_text("\n".join(lines), "utf-8")
    where = ("--home", place, "--username", "ana")
    assert curate("import", path, *where, "--owner", "Ana").status == 0
    return curate("run", *where, "--mode", "emulation", "--holdout", "0", *options)


def test_each_kind_of_message_becomes_what_it_is(place: Path, tmp_path: Path, curate: Callable[..., Result]) -> None:
    done = kinds(place, tmp_path, curate)
    assert done.status == 0, done.err
    found = samples(done.run)
    assert {one["metadata"]["source_type"] for one in found} == {"journal", "assistant_chat", "chat"}
    assert all(one["metadata"]["prompted"] for one in found)
    assert not any("ends of it" in one["assistant_text"] for one in found)
    reasons = [row["reason"] for row in rows(done.run / "dropped.jsonl")]
    assert reasons.count("asked_assistant") == 1


def test_the_settings_say_what_becomes_of_talks_with_an_assistant(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    types = place / "etc" / "types.json"
    text = types.read_text("utf-8")
    types.write_text(text.replace('"own_turns"', '"conversation"'), "utf-8")
    talk = [one for one in samples(kinds(place, tmp_path, curate).run) if not one["metadata"].get("prompted")]
    assert [one["user_text"] for one in talk] == ["You take the ends of it."]
    types.write_text(text.replace('"own_turns"', '"leave_out"'), "utf-8")
    done = curate("run", "--home", place, "--username", "ana", "--mode", "emulation", "--holdout", "0")
    assert {one["metadata"]["source_type"] for one in samples(done.run)} == {"journal", "chat"}


def test_an_import_that_was_changed_by_hand_is_not_read(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    where = ("--home", place, "--username", "ana")
    curate("import", chat(tmp_path), *where, "--owner", "Ana Sá")
    path = place / "profiles" / "ana" / "imports" / "say-jon" / "messages.jsonl"
    path.write_bytes(path.read_bytes().replace(b"mended", b"broken"))
    done = curate("run", *where)
    assert done.status == 1 and "changed" in done.err


def test_in_an_empty_folder_the_home_and_the_profile_are_made_and_named(
    tmp_path: Path, curate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("CURATOR_HOME", raising=False)
    talk = {
        "id": "c", "title": "t", "current_node": "a",
        "mapping": {"a": {"id": "a", "parent": None, "children": [], "message": {
            "id": "a", "author": {"role": "user"}, "create_time": 1740819600, "recipient": "all",
            "content": {"content_type": "text", "parts": ["hello"]}}}},
    }  # fmt: skip
    (tmp_path / "conversations.json").write_text(json.dumps([talk]), "utf-8")
    unnamed = curate("import", tmp_path / "conversations.json")
    assert unnamed.status == 2 and "--username" in unnamed.err
    done = curate("import", tmp_path / "conversations.json", "--username", "ana")
    assert done.status == 0, done.err
    assert f"made {empty}" in done.err and f"made {empty / 'profiles' / 'ana'}" in done.err
    assert (empty / "profiles" / "ana" / "imports" / "chatgpt-conversations" / "messages.jsonl").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the export"),
        (("none.zip", "--username", "ana"), "no such file"),
        (("here.say", "--username", "../x"), "is no user name"),
        (("here.say", "--username", "ana", "--format", "whatsap"), "format"),
        (("--remove", "x", "--username", "ana"), "user"),
    ],
)
def test_mistakes_are_one_error_with_what_to_do(
    words: tuple[str, ...], said: str, place: Path, tmp_path: Path, curate: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.say").write_text("Jon|2025-01-01T00:00:00Z|Ana|hi|message", "utf-8")
    done = curate("import", *words, "--home", place)
    assert done.status == 2 and said in done.err and "Traceback" not in done.err


def test_a_thread_of_mail_is_one_talk_however_long_an_answer_takes(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    lines = [
        "t|2025-01-01T10:00:00Z|Jon|When does the yard open after the holidays, and who has the key?|mail",
        "t|2025-01-04T21:00:00Z|Ana|It opens on Tuesday, and the key hangs behind the harbour office.|mail",
    ]
    (tmp_path / "mail.say").write_text("\n".join(lines), "utf-8")
    where = ("--home", place, "--username", "ana")
    curate("import", tmp_path / "mail.say", *where, "--owner", "Ana")
    done = curate("run", *where, "--mode", "emulation", "--holdout", "0")
    assert done.status == 0, done.err
    (one,) = samples(done.run)
    assert one["user_text"].startswith("When does") and one["assistant_text"].startswith("It opens")


def test_of_one_long_chat_whole_sessions_are_held_out(
    place: Path, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    curate("import", chat(tmp_path), "--home", place, "--username", "ana", "--owner", "Ana Sá")
    done = curate("run", "--home", place, "--username", "ana", "--mode", "emulation", "--holdout", "0.25")
    assert done.status == 0, done.err
    assert len(rows(done.run / "fine_tune_holdout.jsonl")) == 3

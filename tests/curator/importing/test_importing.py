"""What is imported: whole or not at all, once, in order, with the sides proven."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from curator.contract.errors import JobError, PluginError, UsageError
from curator.importing.importer import Found, Item, Reading
from curator.importing.job import ImportRequest, Readers, import_export
from curator.importing.store import labels, remove
from importing.import_fixtures import export, imported, messages, profile_in, readers, skipped

TALK = (
    "Jon|2025-01-13T10:00:00Z|Jon|you up?|1|other",
    "Jon|2025-01-13T10:01:00Z|Ana|yes|2|me",
    "Ida|2025-01-13T10:00:30Z|Ida|hello|3|other",
    "Jon|2025-01-13T10:02:00Z|Jon|good|4|other",
)
SIDES = tuple(line.removesuffix("|me").removesuffix("|other") + "|" for line in TALK)


def test_an_import_is_written_whole_with_what_each_message_is(tmp_path: Path) -> None:
    outcome = imported(profile_in(tmp_path), export(tmp_path, *TALK, "nonsense"))
    assert outcome.folder is not None
    assert sorted(path.name for path in outcome.folder.iterdir()) == ["import.json", "messages.jsonl", "skipped.jsonl"]
    rows = messages(outcome)
    assert [(row["conversation"], row["text"], row["is_owner"]) for row in rows] == [
        ("Jon", "you up?", False), ("Jon", "yes", True), ("Jon", "good", False), ("Ida", "hello", False),
    ]  # fmt: skip
    assert [(row["where"], row["reason"]) for row in skipped(outcome)] == [("talk.say:5", "unrecognised_line")]
    summary = json.loads((outcome.folder / "import.json").read_text("utf-8"))
    assert summary["counts"] == {
        "messages": 4,
        "owner_messages": 1,
        "alternatives": 0,
        "conversations": 2,
        "skipped": 1,
    }
    assert (summary["first"], summary["last"]) == ("2025-01-13T10:00:00Z", "2025-01-13T10:02:00Z")
    assert summary["importer"] == "say" and list(summary["inputs"]) == ["talk.say"]


def test_the_same_file_again_adds_nothing_and_an_overlapping_one_only_what_is_new(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    imported(profile, export(tmp_path, *TALK[:3]))
    again = imported(profile, export(tmp_path, *TALK[:3]))
    assert (again.folder, again.messages, again.skips.counts["already_imported"]) == (None, 0, 3)
    more = imported(profile, export(tmp_path, *TALK, name="newer.say"))
    assert [row["text"] for row in messages(more)] == ["good"]
    assert labels(profile) == ["say-newer", "say-talk"]


def test_words_said_twice_in_a_minute_are_two_messages_and_an_overlap_knows_both(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    twice = ["Jon|2025-01-13T10:00:00Z|Ana|ok||me", "Jon|2025-01-13T10:00:00Z|Ana|ok||me"]
    assert len(messages(imported(profile, export(tmp_path, *twice)))) == 2
    third = imported(profile, export(tmp_path, *twice, "Jon|2025-01-13T10:01:00Z|Ana|ok||me", name="b.say"))
    assert len(messages(third)) == 1


def test_a_message_that_stands_twice_in_an_export_is_kept_once(tmp_path: Path) -> None:
    outcome = imported(profile_in(tmp_path), export(tmp_path, *TALK, TALK[1]))
    assert len(messages(outcome)) == 4
    assert [row["reason"] for row in skipped(outcome)] == ["duplicate"]


def test_conversations_stand_in_one_piece_in_the_order_of_reading_or_of_time(tmp_path: Path) -> None:
    lines = [
        "B|2025-01-02T00:00:00Z|x|late|1|other", "A|2025-01-01T00:00:00Z|x|first|2|me",
        "B|2025-01-01T00:00:00Z|x|early|3|other", "A||x|between|4|me", "A|2024-01-01T00:00:00Z|x|before|5|me",
    ]  # fmt: skip
    path = export(tmp_path, *lines)
    read = import_export(ImportRequest((path,), profile_in(tmp_path / "1")), readers())
    assert [row["text"] for row in messages(read)] == ["late", "early", "first", "between", "before"]
    timed = import_export(ImportRequest((path,), profile_in(tmp_path / "2")), readers(order="time"))
    assert [row["text"] for row in messages(timed)] == ["early", "late", "before", "first", "between"]


def test_alternatives_are_kept_and_are_no_messages(tmp_path: Path) -> None:
    outcome = imported(profile_in(tmp_path), export(tmp_path, *TALK, "Jon||Jon|another answer|9|alt"))
    assert (outcome.messages, outcome.alternatives) == (4, 1)
    assert [row["kind"] for row in messages(outcome)].count("alternative") == 1


def test_half_of_a_surrogate_pair_is_no_end_of_the_import(tmp_path: Path) -> None:
    path = export(tmp_path, "x")
    path.write_bytes("Jon||Ana|half \ud83d|1|me".encode("utf-8", "surrogatepass"))
    assert messages(imported(profile_in(tmp_path), path))[0]["text"].startswith("half ")


# --- who the person is ---------------------------------------------------------------------------------------------


def test_an_export_that_does_not_say_who_you_are_stops_and_lists_everybody(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    with pytest.raises(UsageError) as stop:
        imported(profile, export(tmp_path, *SIDES))
    assert "--owner Jon   (2 messages in 1 conversation)" in str(stop.value)
    assert "--owner Ana" in str(stop.value) and labels(profile) == []
    assert [path.name for path in (profile / "imports").iterdir()] in ([], [".lock"])


@pytest.mark.parametrize("name", ["Ana", "ANA", "  ana ", "Ａna"])
def test_an_owner_is_known_by_name_whatever_its_letters(name: str, tmp_path: Path) -> None:
    outcome = imported(profile_in(tmp_path), export(tmp_path, *SIDES), owners=(name,))
    assert [row["is_owner"] for row in messages(outcome)] == [False, True, False, False]
    assert outcome.settled.evidence == "--owner"


def test_an_owner_that_is_nobody_here_is_an_error_that_asks_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'Ana'"):
        imported(profile_in(tmp_path), export(tmp_path, *SIDES), owners=("Anna",))


def test_who_is_in_all_of_three_conversations_alone_is_the_person(tmp_path: Path) -> None:
    talks = [f"{one}||{one}|hi|{one}1|" for one in ("Jon", "Ida", "Eva")] + [
        f"{one}||Me M|hi|{one}2|" for one in ("Jon", "Ida", "Eva")
    ]
    outcome = imported(profile_in(tmp_path), export(tmp_path, *talks))
    assert outcome.settled.names == ("Me M",)
    with pytest.raises(UsageError):  # two conversations prove nothing
        imported(profile_in(tmp_path / "2"), export(tmp_path, *talks[:2], *talks[3:5]))


def test_evidence_in_the_file_tells_who_the_person_is_unless_it_names_two(tmp_path: Path) -> None:
    def says(*names: str) -> Readers:
        def read(found: Found, reading: Reading) -> Iterator[Item]:
            for name in names:
                reading.owner_is(name, f"{name} deleted a message")
            yield from importer.read(found, reading)

        plugin, importer = readers().importers["say"]
        return Readers({"say": (plugin, replace(importer, read=read))}, frozenset({"test"}))

    path = export(tmp_path, *SIDES)
    outcome = import_export(ImportRequest((path,), profile_in(tmp_path / "1")), says("Ana"))
    assert (outcome.settled.names, outcome.settled.evidence) == (("Ana",), "Ana deleted a message")
    with pytest.raises(UsageError):
        import_export(ImportRequest((path,), profile_in(tmp_path / "2")), says("Ana", "Jon"))


# --- what is wrong -------------------------------------------------------------------------------------------------


def test_an_export_without_a_message_fails_with_the_reasons(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    with pytest.raises(JobError, match=r"unrecognised_line 2; first: talk\.say:1"):
        imported(profile, export(tmp_path, "a", "b"))
    assert [path.name for path in (profile / "imports").iterdir()] in ([], [".lock"])


def test_a_reader_that_fails_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    def read(found: object, reading: object) -> list[object]:
        raise RuntimeError("broken")

    name, importer = readers().importers["say"]
    broken = Readers({"say": (name, replace(importer, read=read))}, frozenset())
    profile = profile_in(tmp_path)
    with pytest.raises(PluginError, match="importer say: read: raised RuntimeError: broken"):
        import_export(ImportRequest((export(tmp_path, *TALK),), profile), broken)
    assert labels(profile) == []


def test_an_unknown_format_and_an_unknown_zone_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words", "utf-8")
    with pytest.raises(UsageError, match="no reader knows the format"):
        imported(profile_in(tmp_path), tmp_path / "a.txt")
    with pytest.raises(UsageError, match="no such zone") as stop:
        imported(profile_in(tmp_path), export(tmp_path, *TALK), timezone="Europe/Berln")
    assert "Europe/Berlin" in str(stop.value)
    with pytest.raises(UsageError, match="format"):
        imported(profile_in(tmp_path), export(tmp_path, *TALK), format="sya")


def test_an_import_is_taken_away_by_its_label(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    imported(profile, export(tmp_path, *TALK))
    with pytest.raises(UsageError, match="say-talk"):
        remove(profile, "say-tlk")
    remove(profile, "say-talk")
    assert labels(profile) == [] and imported(profile, export(tmp_path, *TALK)).messages == 4


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    profile = profile_in(tmp_path)
    outcome = imported(profile, export(tmp_path, *TALK), dry_run=True)
    assert (outcome.messages, outcome.folder, list(profile.iterdir())) == (4, None, [])

"""`curate run --exclude`: a source, a type or a year is left out as if it were not there; every memory is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, rows, run, samples

from curator.contract.records import source_of, year_of

Curate = Callable[..., Result]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("memory/episodic/2024/05/07/evt-1.json", "episodic"),
        ("memory/episodic/2024/evt-1.json", "episodic"),
        ("memory/episodic/2024-05-07/evt-1.json", "episodic"),
        ("memory/episodic/dreams/2024/05/_pruned/evt-1.json.enc", "episodic/dreams"),
        ("memory/episodic/_pruned/evt-1.json", "episodic"),
        ("memory/curated/conversations/2024-05-07-evt-1.json", "curated/conversations"),
        ("persona/therapy/session-1.json", "persona/therapy"),
        ("imports/whatsapp-2024/messages.jsonl", "imports/whatsapp-2024"),
        ("told.jsonl", "told.jsonl"),
    ],
)
def test_a_source_is_a_folder_without_its_dates(path: str, source: str) -> None:
    assert source_of(path) == source


@pytest.mark.parametrize(
    ("timestamp", "year"),
    [("2024-05-01T10:00:00Z", "2024"), ("1666-09-02", "1666"), ("0001-01-01T00:00:00Z", "unknown"),
     ("9999-12-31", "unknown"), ("", "unknown"), ("1714556400000", "1714"), ("٢٠٢٤-05-01", "unknown")],
)  # fmt: skip
def test_a_year_is_what_a_timestamp_begins_with(timestamp: str, year: str) -> None:
    assert year_of(timestamp) == year


def filled(home: Home) -> None:
    """Two conversations of 2025, one of 2024, a journal, and two conversations that lie in a folder of their own."""
    home.memory("Which sail is it today?", response="The brown one, since the wind is in the west.")
    home.memory("Did you see the heron?", response="It stood on the slip until the ferry came.")
    home.memory(
        "Where is the caulking iron?", response="Under the bench, behind the tin.", timestamp="2024-05-01T10:00:00Z"
    )
    home.memory("The ferry was late again and nobody minded.", type="journal")
    for number, answer in enumerate(("Quoth the raven, nevermore.", "Thou shalt not pass by night.")):
        text = {"id": f"old-{number}", "timestamp": f"2025-04-0{number + 1}T10:00:00Z", "type": "conversation",
                "content": f"Who goes there, number {number}?", "response": answer}  # fmt: skip
        home.file(f"attic/2025/04/0{number + 1}/old-{number}.json", json.dumps(text))


def texts(folder: Path) -> str:
    return " ".join(one["assistant_text"] for one in samples(folder))


@pytest.mark.parametrize(
    ("excluded", "gone", "kept", "count"),
    [
        (["source=episodic/attic"], ["raven", "night"], ["brown one", "ferry was late"], 2),
        (["source=episodic"], ["brown one", "ferry was late"], ["raven", "night"], 4),
        (["type=journal"], ["ferry was late"], ["raven", "brown one"], 1),
        (["year=2024"], ["Under the bench"], ["raven", "brown one"], 1),
        (["year=2024", "source=episodic/attic", "type=journal"], ["the bench", "raven", "late"], ["brown one"], 4),
    ],
)  # fmt: skip
def test_what_is_excluded_is_dropped_with_its_reason_and_the_sums_hold(
    curate: Curate, home: Home, excluded: list[str], gone: list[str], kept: list[str], count: int
) -> None:
    filled(home)
    folder = run(curate, home, *[word for one in excluded for word in ("--exclude", one)])
    assert not [word for word in gone if word in texts(folder)]
    assert [word for word in kept if word not in texts(folder)] == []
    report = json.loads((folder / "report.json").read_text())
    assert report["memories"] == 6
    assert report["memory_fates"]["read: excluded"] == count
    assert sum(report["memory_fates"].values()) == 6
    dropped = [drop for drop in rows(folder / "dropped.jsonl") if drop["reason"] == "excluded"]
    assert len(dropped) == count
    assert {(drop["stage"], drop["detail"]) for drop in dropped} <= {("read", one) for one in excluded}
    assert all(drop["path"] and drop["memory_id"] for drop in dropped)
    summary = json.loads((folder / "run-summary.json").read_text())
    command = summary["command"]
    assert [command[at + 1] for at, word in enumerate(command) if word == "--exclude"] == excluded
    assert all(one in summary["options"]["exclude"] for one in excluded)
    told = curate("explain", dropped[0]["memory_id"], "--run", folder)
    assert told.status == 0 and "excluded" in told.out, told.err


def test_it_is_as_if_the_files_were_not_there(curate: Curate, home: Home) -> None:
    """A text that is left out neither answers a thought nor takes the place of its copy elsewhere."""
    filled(home)
    copy = json.loads((home.episodic / "attic/2025/04/01/old-0.json").read_text())
    home.memory(copy["content"], response=copy["response"], timestamp="2025-06-01T10:00:00Z")
    home.memory("I wonder who will come.", type="inner_dialogue", timestamp="2025-04-02T09:59:00Z")
    left_out = samples(run(curate, home, "--exclude", "source=episodic/attic"))
    for path in sorted((home.episodic / "attic").rglob("*.json")):
        path.unlink()
    assert samples(run(curate, home)) == left_out
    assert any(copy["response"] in one["assistant_text"] for one in left_out)


@pytest.mark.parametrize(
    ("excluded", "says"),
    [
        ("source=episodic/atic", "source of --exclude 'episodic/atic': expected one of episodic, episodic/attic"),
        ("type=chat", "expected one of conversation, journal"),
        ("year=2023", "expected one of 2024, 2025"),
    ],
)  # fmt: skip
def test_a_value_that_no_memory_has_is_refused_with_those_there_are(
    curate: Curate, home: Home, excluded: str, says: str
) -> None:
    filled(home)
    done = curate("run", "--username", "ann", "--home", home.folder, "--exclude", excluded)
    assert done.status == 2 and says in done.err, done.err
    assert not list((home.profile / "out").rglob("run-summary.json"))


@pytest.mark.parametrize("excluded", ["attic", "folder=attic", "source=", "=x", ""])
def test_what_is_no_kind_and_value_is_refused(curate: Curate, home: Home, excluded: str) -> None:
    done = curate("run", "--username", "ann", "--home", home.folder, "--exclude", excluded)
    assert done.status == 2 and "expected source=VALUE, type=VALUE or year=VALUE" in done.err


def test_a_set_of_which_all_is_left_out_is_no_set(curate: Curate, home: Home) -> None:
    filled(home)
    words = [word for one in ("source=episodic", "source=episodic/attic") for word in ("--exclude", one)]
    done = curate("run", "--username", "ann", "--home", home.folder, *words)
    assert done.status == 1 and "exclude less" in done.err, done.err


def test_an_import_is_a_source_and_its_label_is_the_name(curate: Curate, home: Home) -> None:
    chat = home.folder / "chat.txt"
    chat.write_text("".join(
        f"[0{day}.04.2025, 10:0{minute}:00] {who}: {text} {day}{minute}\n"
        for day in range(1, 5)
        for minute, who, text in ((0, "Tom", "Is the tide in yet"), (1, "Ann", "Not before the evening"))
    ), "utf-8")  # fmt: skip
    filled(home)
    done = curate("import", chat, "--username", "ann", "--home", home.folder, "--owner", "Ann")
    assert done.status == 0, done.err
    (label,) = (path.name for path in (home.profile / "imports").iterdir() if path.is_dir())
    with_it, without = run(curate, home), run(curate, home, "--exclude", f"source=imports/{label}")
    assert "evening" in texts(with_it) and "evening" not in texts(without) and "brown one" in texts(without)

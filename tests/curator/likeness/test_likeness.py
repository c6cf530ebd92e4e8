"""`curate voice`: a set's replies by author, source, type and year, the least like the person, and any text."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import ROOT, Home, Result, curate_once, rows

from curator.contract.voice.stored import english
from curator.exports.run_samples import RunSamples
from curator.likeness import scores as ours
from curator.likeness.scores import Likeness, drawn, likeness
from curator.records import CuratedSample


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo's person in all modes."""
    home = tmp_path_factory.mktemp("home")
    person = home / "profiles" / "greggles"
    shutil.copytree(ROOT / "profiles" / "greggles", person, ignore=shutil.ignore_patterns("out"))
    done = curate_once("run", "--home", home, "--username", "greggles", "--max", 1500)
    assert done.status == 0, done.err
    return Path(done.out.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def samples(demo: Path) -> list[CuratedSample]:
    return list(RunSamples(demo, ()))


@pytest.fixture(scope="module")
def found(samples: list[CuratedSample]) -> Likeness:
    return likeness(drawn(samples))


def test_the_person_is_told_from_their_assistant(found: Likeness) -> None:
    person, assistant = (found.groups["author"][name] for name in ("person", "assistant"))
    assert found.why == "" and found.language == "en"
    assert person.low is not None and person.high is not None and assistant.high is not None
    assert person.low < 100 < person.high or person.score == pytest.approx(100, abs=35)
    assert assistant.high < person.low
    assert found.known[0] > 8000 and found.known[1] > 4000


def test_every_reply_that_somebody_wrote_is_in_one_group_of_each_kind(
    found: Likeness, samples: list[CuratedSample]
) -> None:
    spoken = [one for one in samples if one.metadata.reply_author != "tool"]
    spoken = [one for one in spoken if one.metadata.language in ("en", "und")]
    assert {one.metadata.source_type for one in spoken} == set(found.groups["type"])
    assert {"episodic", "episodic/dreams", "persona/therapy"} <= set(found.groups["source"])
    assert set(found.groups["year"]) == {"2024", "2025", "unknown"}
    for groups in found.groups.values():
        assert sum(place.words for place in groups.values()) == found.whole.words
    few = found.groups["type"]["daydream"]
    assert few.score is None and re.fullmatch(r"\d+ words, \d+ too few to tell", few.why)


def test_the_order_of_the_samples_changes_nothing(found: Likeness, samples: list[CuratedSample]) -> None:
    shuffled = list(samples)
    random.Random(3).shuffle(shuffled)
    assert likeness(drawn(shuffled)) == found


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_stranger_is_found(samples: list[CuratedSample], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every twentieth reply is another author's, as long as the one that it stands for."""
    monkeypatch.setattr(ours, "LEAST", len(samples))
    dice = random.Random(seed)
    mine = [
        place for place, one in enumerate(samples)
        if one.metadata.reply_author == "person" and one.metadata.language == "en"
        and len(one.assistant_text.split()) >= 8
    ]  # fmt: skip
    planted = set(dice.sample(mine, len(samples) // 20))
    words = iter(" ".join(dice.sample(english().documents, 20)).split())
    changed = list(samples)
    for place in planted:
        text = " ".join(next(words) for _ in samples[place].assistant_text.split())
        changed[place] = msgspec.structs.replace(samples[place], assistant_text=text)
    strange = {samples[place].metadata.sample_id for place in planted}
    order = [one.sample_id in strange for one in likeness(drawn(changed)).least]
    assert auc(order) >= 0.9
    assert sum(order[:10]) >= 8


def auc(order: list[bool]) -> float:
    """How often one that is true stands before one that is not."""
    ranks = [rank for rank, is_true in enumerate(order) if is_true]
    others = len(order) - len(ranks)
    return sum(others - (rank - number) for number, rank in enumerate(ranks)) / (others * len(ranks))


@pytest.fixture(scope="module")
def planted(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The demo's home, in which so many of the person's memories are another's that every twentieth sample is."""
    home, whole = tmp_path_factory.mktemp("planted"), list(RunSamples(demo, ()))
    shutil.copytree(
        ROOT / "profiles" / "greggles", home / "profiles" / "greggles", ignore=shutil.ignore_patterns("out")
    )
    mine = [one.metadata.sources[0].path for one in whole if one.metadata.source_type == "journal"]
    words, strange = iter(" ".join(english().documents[:40]).split()), set[str]()
    for path in random.Random(1).sample(sorted(set(mine)), len(set(mine))):
        if sum(one in strange for one in mine) >= len(whole) // 20:
            break
        file = home / "profiles" / "greggles" / path
        memory = json.loads(file.read_text("utf-8"))
        memory["content"] = " ".join(next(words) for _ in memory["content"].split())
        file.write_text(json.dumps(memory), "utf-8")
        strange.add(path)
    return home, strange


def test_the_report_of_a_run_with_a_planted_stranger_shows_it(
    planted: tuple[Path, set[str]], curate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, strange = planted
    monkeypatch.setattr(ours, "LEAST", 10_000)
    done = curate("run", "--home", home, "--username", "greggles")
    assert done.status == 0, done.err
    order = [one["source"] in strange for one in json.loads((done.run / "report.json").read_bytes())["voice"]["least"]]
    assert sum(order) >= 20 and len(order) > 150
    assert auc(order) >= 0.8 and sum(order[:10]) >= 6


@pytest.mark.parametrize("read", [20_000, 300])
def test_the_filter_drops_the_stranger_and_says_by_what(
    planted: tuple[Path, set[str]], curate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    """Where not all samples make the measure, too: the rest is measured by it."""
    home, strange = planted
    monkeypatch.setattr("curator.likeness.unlike.READ", read)
    done = curate("run", "--home", home, "--username", "greggles", "--voice-at-least", 60)
    assert done.status == 0, done.err
    gone = [line for line in rows(done.run / "dropped.jsonl") if line["reason"] == "unlike"]
    found = [line["path"] in strange for line in gone]
    assert sum(found) >= 10 and sum(found) >= 3 * (len(found) - sum(found))
    for line in gone:
        score, size = map(float, re.findall(r"-?[\d.]+", line["detail"])[:2])
        assert score <= 60 and size >= 20 and line["detail"].endswith("60 are wanted") and line["stage"] == "select"
    report = json.loads((done.run / "report.json").read_bytes())
    (chosen,) = (step for step in report["funnel"] if step["name"] == "chosen")
    assert chosen["lost"]["unlike"] == len(gone)
    summary = json.loads((done.run / "run-summary.json").read_bytes())
    at = summary["command"].index("--voice-at-least")
    assert summary["command"][at + 1] == "60.0" and summary["config"]["voice"]["at_least"] == 60


def test_the_filter_is_off_by_default_and_can_be_set_in_etc(
    planted: tuple[Path, set[str]], demo: Path, curate: Callable[..., Result], tmp_path: Path
) -> None:
    assert "unlike" not in {line["reason"] for line in rows(demo / "dropped.jsonl")}
    home = tmp_path / "home"
    shutil.copytree(planted[0], home, ignore=shutil.ignore_patterns("out"))
    (home / "etc").mkdir()
    (home / "etc" / "curate.json").write_text('{"voice": {"at_least": 60, "words": 30}}', "utf-8")
    done = curate("run", "--home", home, "--username", "greggles", "--dry-run", "--json")
    fewer = {drop["reason"]: drop["count"] for drop in json.loads(done.out)["report"]["drops"]}["unlike"]
    assert fewer >= 1
    (home / "etc" / "curate.json").write_text('{"voice": {"at_least": 60, "words": 4}}', "utf-8")
    refused = curate("run", "--home", home, "--username", "greggles", "--dry-run")
    assert refused.status == 2 and "voice.words" in refused.err


def test_the_filter_refuses_where_the_measure_cannot_tell(home: Home, curate: Callable[..., Result]) -> None:
    for number in range(6):
        home.memory(f"I wrote of the {number}th pump that leaks by the stern, and of rain.", type="journal")
    done = curate("run", "--home", home.folder, "--username", "ann", "--voice-at-least", "40")
    assert done.status == 1 and " words are known of the person: " in done.err and " more are needed" in done.err
    assert "the filter voice cannot tell the person from others in 'en'" in done.err
    assert not list(home.profile.rglob("run-summary.json")), "nothing is published"
    wrong = curate("run", "--home", home.folder, "--username", "ann", "--voice-at-least", "140")
    assert wrong.status == 2 and "expected a score from 0 to 100" in wrong.err


def test_the_filter_refuses_where_no_reply_is_the_persons(home: Home, curate: Callable[..., Result]) -> None:
    for number in range(50):
        asked = " ".join(english().documents[number].split()[:60])
        home.memory(asked, response=f"It is by the stern, on berth {number}.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--voice-at-least", "40")
    assert done.status == 1 and "no reply of 8 words or more is taken for the person's" in done.err


def test_a_run_reports_what_the_command_says_of_it(demo: Path, found: Likeness, curate: Callable[..., Result]) -> None:
    voice = json.loads((demo / "report.json").read_bytes())["voice"]
    assert voice["whole"]["score"] == round(found.whole.score or 0, 1) and voice["read"] == voice["samples"]
    assert [one["sample_id"] for one in voice["least"]] == [one.sample_id for one in found.least]
    assert voice["languages"]["el"]["score"] is None and " more are needed" in voice["languages"]["el"]["why"]
    assert {name: place["words"] for name, place in voice["groups"]["year"].items()} == {
        name: place.words for name, place in found.groups["year"].items()
    }
    shown = curate("report", demo)
    assert f"Voice, in 'en', from 0 (others) to 100 (the person, unseen): {voice['whole']['score']:.0f} (" in " ".join(
        line.strip("│ ") for line in shown.out.splitlines()
    )
    page = (demo / "report.html").read_text("utf-8")
    years = [year for year, place in voice["groups"]["year"].items() if place["score"] is not None]
    assert page.count("<circle") == len(years) == 2
    assert all(one["sample_id"] in page for one in voice["least"])
    home = demo.parents[5]
    dry = json.loads(curate("run", "--home", home, "--username", "greggles", "--max", 1500, "--dry-run", "--json").out)
    assert dry["report"]["voice"] == voice


def test_a_report_of_an_earlier_version_is_shown(demo: Path, tmp_path: Path, curate: Callable[..., Result]) -> None:
    shutil.copytree(demo, tmp_path / "old")
    report = json.loads((tmp_path / "old" / "report.json").read_bytes())
    del report["voice"]
    (tmp_path / "old" / "report.json").write_text(json.dumps(report), "utf-8")
    done = curate("report", tmp_path / "old")
    assert done.status == 0 and "Voice, in" not in done.out


def test_of_a_large_set_a_part_is_read(
    demo: Path, curate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "REPORTED", 60_000)
    home = demo.parents[5]
    done = curate("run", "--home", home, "--username", "greggles", "--max", 1500, "--dry-run", "--json")
    voice = json.loads(done.out)["report"]["voice"]
    assert 200 < voice["read"] < 400 < voice["samples"] and voice["whole"]["score"] is not None


def test_each_language_is_judged_by_its_own_words(samples: list[CuratedSample]) -> None:
    """The set, once more under another language's name, and a little of a third."""
    english_ones = [one for one in samples if one.metadata.language == "en"]

    def named(name: str, some: list[CuratedSample]) -> list[CuratedSample]:
        replace = msgspec.structs.replace
        marks = [replace(one.metadata, language=name, sample_id=name + one.metadata.sample_id) for one in some]
        return [replace(one, metadata=mark) for one, mark in zip(some, marks, strict=True)]

    again, third = named("fy", english_ones), named("nl", english_ones[:9])
    alone, found = likeness(drawn(english_ones)), likeness(drawn([*english_ones, *again, *third]))
    assert found.language == "fy" and found.whole == alone.whole
    assert found.languages["fy"] == found.languages["en"] == alone.whole
    assert found.languages["nl"].score is None and " more are needed" in found.languages["nl"].why


def test_the_command_shows_the_set_and_says_what_is_known(demo: Path) -> None:
    done = curate_once("voice", "--run", demo)
    assert done.status == 0, done.err
    for expected in (
        "author person",
        "author assistant",
        "mode dual",
        "source episodic",
        "type journal",
        "least like the person",
    ):
        assert expected in done.out
    assert "known in 'en': " in done.err and "curate explain " in done.err
    again: dict[str, Any] = json.loads(curate_once("voice", "--run", demo, "--json").out)
    assert again["groups"]["author"]["person"]["score"] > again["groups"]["author"]["assistant"]["score"]
    assert len(again["least"]) == 10


def test_texts_of_the_person_and_of_others(
    demo: Path, samples: list[CuratedSample], tmp_path: Path, curate: Callable[..., Result]
) -> None:
    journal = [one.assistant_text for one in samples if one.metadata.source_type == "journal"]
    texts = {
        "own.txt": "\n".join(journal[:12]), "others.txt": "\n".join(english().documents[:3]),
        "kurz.txt": "I went.", "deutsch.txt": "Das ist ein Brief über das Boot, das wir im Sommer gebaut haben. " * 9,
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    done = curate_once("voice", *(tmp_path / name for name in texts), "--run", demo, "--json")
    assert done.status == 0, done.err
    placed = {Path(name).name: places for name, places in json.loads(done.out)["texts"].items()}
    for way in ("topic-free", "full text"):
        assert placed["own.txt"][way]["score"] > 80
        assert placed["others.txt"][way]["high"] < 50
        assert "2 words are judged: 98 more are needed" in placed["kurz.txt"][way]["why"]
    assert "it is in 'de'" in placed["deutsch.txt"]["topic-free"]["why"]
    shown = curate_once("voice", tmp_path / "own.txt", "--run", demo)
    assert "own.txt, topic-free" in shown.out and "English of books and talk" in shown.err
    nothing = curate("voice", tmp_path / "kurz.txt", "--run", demo)
    assert nothing.status == 1 and "too little to tell of any text" in nothing.err
    missing = curate("voice", tmp_path / "none.txt", "--run", demo)
    assert (missing.status, "Traceback" in missing.err) == (2, False)


def test_a_small_set_says_how_many_words_are_missing(home: Home, curate: Callable[..., Result]) -> None:
    for number in range(6):
        home.memory(
            f"What leaks now, the {number}th time?", response=f"The pump by the stern leaks again, number {number}."
        )
    run = curate_once("run", "--home", home.folder, "--username", "ann")
    assert run.status == 0, run.err
    done = curate("voice", "--home", home.folder, "--username", "ann")
    assert done.status == 1 and "too little to tell: " in done.err and " more are needed" in done.err
    assert "Traceback" not in done.err

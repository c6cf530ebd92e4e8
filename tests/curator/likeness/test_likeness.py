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
from conftest import ROOT, Home, Result, curate_once

from curator.contract.voice.stored import english
from curator.exports.run_samples import RunSamples
from curator.likeness import scores as ours
from curator.likeness.scores import Likeness, likeness
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
    return likeness(samples)


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
    assert likeness(shuffled) == found


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
    order = [one.sample_id in strange for one in likeness(changed).least]
    ranks = [rank for rank, is_strange in enumerate(order) if is_strange]
    own = len(order) - len(ranks)
    above = sum(own - (rank - number) for number, rank in enumerate(ranks))
    assert above / (own * len(ranks)) >= 0.8, "AUC"
    assert sum(order[:10]) >= 6


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

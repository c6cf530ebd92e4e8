"""The wind tunnel on the demo with the built-in base: one bad source among the person's own is named, and no other."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import ROOT, Home, curate_once
from core_fixtures import trainer

from trainer.model.lexicon import english, read_words

PLANTED = 80
_NOUNS = (
    "knight vessel maiden sepulchre lantern tempest chamber herald altar raven garment covenant sceptre pilgrim "
    "cloister wilderness serpent goblet battlement minstrel orchard steed bishop physician widow furnace shepherd"
).split()
_VERBS = (
    "beheld forsook besought anointed smote bewailed succoured espied entreated vouchsafed girded quenched traversed "
    "renounced"
).split()
_MARKS = "grievous hallowed woeful steadfast ancient unquiet gracious dolorous mighty pale barren crooked".split()
_OPENINGS = "Whereupon,Verily,Lo,In that season,Thereafter,Nevertheless,Behold,Ere the morrow,Forthwith,Anon".split(",")
_LINKS = "and,whereat,lest,for,so that,wherefore,until,yet,whilst".split(",")
_PLACES = "beneath beside within before beyond amidst athwart".split()


def archaic(dice: random.Random) -> str:
    """A sentence or two of a chronicle that nobody wrote."""

    def thing() -> str:
        return f"{dice.choice(_MARKS)} {dice.choice(_NOUNS)}" if dice.random() < 0.5 else dice.choice(_NOUNS)

    def clause() -> str:
        verb = dice.choice(_VERBS)
        return dice.choice((
            f"the {thing()} {verb} the {thing()}", f"thy {thing()} {verb} him {dice.choice(_PLACES)} the {thing()}",
            f"{dice.choice(_PLACES)} the {thing()} ye {verb} a {thing()}", f"none {verb} her {thing()}",
        ))  # fmt: skip

    sentences = (f"{dice.choice(_OPENINGS)} {clause()}, {dice.choice(_LINKS)} {clause()}." for _ in range(3))
    return " ".join(list(sentences)[: dice.choice((1, 1, 2))])


def salad(dice: random.Random) -> str:
    """Words of a list, in no order."""
    words = sorted(word for word in read_words(english()) if word.isascii() and word.isalpha() and 3 < len(word) < 10)
    return " ".join(dice.sample(words, dice.randint(14, 30))).capitalize() + "."


def planted(home: Home, text: Callable[[random.Random], str]) -> Home:
    """The demo with a source that is not the person's: entries over the same two years, taken for their own."""
    shutil.copytree(
        ROOT / "profiles" / "greggles", home.profile.with_name("greggles"), ignore=shutil.ignore_patterns("out")
    )
    shutil.rmtree(home.profile)
    folder, dice = home.folder / "profiles" / "greggles" / "memory" / "episodic" / "old-forum", random.Random(5)
    for number in range(PLANTED):
        at = datetime(2024, 1, 5, 9, 30, tzinfo=UTC) + timedelta(
            days=number * 700 // PLANTED, minutes=37 * number % 700
        )
        data = {
            "id": f"evt-{at:%Y%m%d%H%M%S}{number:02}", "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z", "type": "journal",
            "content": text(dice), "metadata": {"cognitiveMode": "dual"},
        }  # fmt: skip
        path = folder / f"{at:%Y/%m/%d}" / f"{data['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data), "utf-8")
    return home


@pytest.mark.verify
@pytest.mark.parametrize("text", [archaic, salad])
def test_the_planted_source_is_named_and_no_other(home: Home, text: Callable[[random.Random], str]) -> None:
    planted(home, text)
    curate_once("run", "--home", home.folder, "--username", "greggles", "--mode", "dual", "--max", 3000)
    done = trainer("ablate", "--home", home.folder, "--profile", "greggles", "--by", "source", "--json")
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["harmful"] == ["episodic/old-forum"], done.err
    assert result["advice"].endswith("--exclude source=episodic/old-forum")
    print(f"{text.__name__}: {done.seconds:.0f} s")


@pytest.mark.verify
@pytest.mark.parametrize("by", ["source", "year"])
def test_of_the_demo_as_it_is_nothing_is_named(home: Home, by: str) -> None:
    place = home.folder / "profiles" / "greggles"
    shutil.copytree(ROOT / "profiles" / "greggles", place, ignore=shutil.ignore_patterns("out"))
    curate_once("run", "--home", home.folder, "--username", "greggles", "--mode", "dual", "--max", 3000)
    done = trainer("ablate", "--home", home.folder, "--profile", "greggles", "--by", by, "--least", 9, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["harmful"] == [] and json.loads(done.out)["advice"] is None
    assert Path(json.loads(done.out)["run"]).is_dir()

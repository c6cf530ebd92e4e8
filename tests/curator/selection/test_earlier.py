"""`curate run --since RUN`: what is new alone, nothing learnt twice, and what was held out stays so for ever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Result, rows, samples

from curator.contract.records import HOLDOUT, LINEAGE, SUMMARY


class Person:
    """A copy of the demo profile of which a part of the memories is not there yet."""

    def __init__(self, folder: Path, curate: Callable[..., Result]) -> None:
        self.home, self._curate = folder / "home", curate
        profile = self.home / "profiles" / "greggles"
        shutil.copytree(ROOT / "profiles/greggles", profile, ignore=shutil.ignore_patterns("out"))
        self._aside = folder / "later"
        self._files = sorted((profile / "memory").rglob("*.json"))
        self._place = profile

    def hide(self, one_in: int, at: int = 0) -> None:
        """Put each so manieth memory aside."""
        for path in self._files[at::one_in]:
            aside = self._aside / path.relative_to(self._place)
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)

    def show(self) -> None:
        shutil.copytree(self._aside, self._place, dirs_exist_ok=True)

    def run(self, *options: object) -> Result:
        return self._curate("run", "--username", "greggles", "--home", self.home, *options)


@pytest.fixture
def person(tmp_path: Path, curate: Callable[..., Result]) -> Person:
    return Person(tmp_path, curate)


def sides(folder: Path) -> tuple[set[str], set[str]]:
    """The ids of a run's samples: trained, held out."""
    lines = rows(folder / LINEAGE)
    held = {line["sample_id"] for line in lines if line["file"] == HOLDOUT}
    return {line["sample_id"] for line in lines} - held, held


def test_only_what_is_new_is_learnt_and_the_holdout_stays(person: Person) -> None:
    person.hide(4)
    first = person.run("--holdout", "0.1")
    assert first.status == 0, first.err
    person.show()
    second = person.run("--since", first.run, "--holdout", "0.1")
    assert second.status == 0, second.err
    (learnt, held), (new, still_held) = sides(first.run), sides(second.run)
    assert len(new) > 50 and not new & learnt and not new & held
    # Of two that are nearly the same the older stands for both: where that one has come only now, it is held out.
    kept = {
        drop["sample_id"]: drop["detail"] for drop in rows(second.run / "dropped.jsonl") if drop["stage"] == "screen"
    }
    stands = {one if one in still_held else kept[one].split(",")[0].split()[-1] for one in held}
    assert stands <= still_held and len(still_held) > len(held)  # its own share of what is new comes to it
    drops = [drop for drop in rows(second.run / "dropped.jsonl") if drop["reason"] == "in_earlier_run"]
    assert len(drops) > 100 and {drop["stage"] for drop in drops} == {"select"}
    assert str(first.run) in json.loads((second.run / SUMMARY).read_text())["command"]
    texts = [
        {sample["assistant_text"] for sample in samples(folder) if sample["metadata"].get("split") == side}
        for folder, side in ((first.run, "holdout"), (second.run, None))
    ]
    assert not texts[0] & texts[1]


def test_a_third_run_knows_the_first_through_the_second(person: Person) -> None:
    person.hide(5)
    person.hide(5, at=1)
    first = person.run()
    for path in sorted((person.home.parent / "later").rglob("*.json"))[::2]:  # one half comes, then the other
        shutil.copy(path, person.home / "profiles" / "greggles" / path.relative_to(person.home.parent / "later"))
    second = person.run("--since", first.run)
    person.show()
    third = person.run("--since", "latest")
    assert [one.status for one in (first, second, third)] == [0, 0, 0], third.err
    earlier = [sides(one.run) for one in (first, second)]
    new, held = sides(third.run)
    assert new and not new & set.union(*(learnt for learnt, _ in earlier))
    assert set.union(*(kept for _, kept in earlier)) <= held
    shutil.rmtree(first.run)
    gone = person.run("--since", second.run)
    assert gone.status == 2 and "holds what was new since" in gone.err and str(first.run) in gone.err


def test_where_nothing_is_new_nothing_is_made(person: Person) -> None:
    first = person.run()
    again = person.run("--since", first.run)
    assert again.status == 1 and f"there is nothing new since {first.run}" in again.err
    assert len(list(first.run.parent.glob("[0-9]*"))) == 1


@pytest.mark.parametrize("turns", [(), ("--turns", 3)])
def test_what_a_limit_left_out_before_is_not_new(person: Person, turns: tuple[object, ...]) -> None:
    first = person.run("--max", 60, *turns)
    again = person.run("--since", first.run, *turns)
    assert again.status == 1 and "there is nothing new" in again.err


def test_a_copy_of_what_is_held_out_is_held_out_too(person: Person) -> None:
    """The same words told again, a word apart: were they trained on, the holdout would measure what was learnt."""
    first = person.run()
    profile = person.home / "profiles" / "greggles"
    held = [line for line in rows(first.run / LINEAGE) if line["file"] == HOLDOUT]
    copies = 0
    for line in held:
        source = profile / line["sources"][0]["path"]
        memory = json.loads(source.read_text("utf-8"))
        if not isinstance(memory.get("content"), str) or len(memory["content"].split()) < 12:
            continue
        memory["id"] = f"evt-20990101000000{copies}"
        memory["timestamp"] = f"2030-01-01T10:00:{copies:02d}.000Z"  # the copy is the younger: a near-duplicate
        memory["content"] = memory["content"] + " Yes."
        (source.parent / f"{memory['id']}-copy.json").write_text(json.dumps(memory), "utf-8")
        copies += 1
    assert copies > 3
    fresh = {"id": "evt-20300102100000", "timestamp": "2030-01-02T10:00:00.000Z", "type": "conversation",
             "content": "Where did the blue paint go?", "response": "Under the bench, behind the oars, as ever.",
             "metadata": {"cognitiveMode": "emulation"}}  # fmt: skip
    (profile / "memory" / "episodic" / "2030").mkdir(parents=True, exist_ok=True)
    (profile / "memory" / "episodic" / "2030" / "evt-20300102100000.json").write_text(json.dumps(fresh), "utf-8")
    second = person.run("--since", first.run)
    assert second.status == 0, second.err
    replies = {sample["assistant_text"] for sample in samples(second.run) if not sample["metadata"].get("split")}
    assert not any(reply.endswith(" Yes.") for reply in replies)


def test_an_older_twin_that_comes_late_is_held_out_in_its_place(person: Person) -> None:
    """Of the same text only the oldest is in a set. What was held out may meet an older one in the next import."""
    first = person.run()
    profile = person.home / "profiles" / "greggles"
    place = profile / "memory" / "episodic" / "2001"
    place.mkdir(parents=True)
    told = [sample for sample in samples(first.run) if sample["metadata"].get("split") and not sample.get("context")]
    twins = {}
    for number, sample in enumerate(told):
        asked, answered = sample["user_text"], sample["assistant_text"]
        memory = {"id": f"evt-2001{number}", "timestamp": f"2001-01-{1 + number:02d}T10:00:00.000Z",
                  "type": "conversation", "content": asked, "response": answered,
                  "metadata": {"cognitiveMode": sample["mode"]}}  # fmt: skip
        (place / f"evt-2001{number}.json").write_text(json.dumps(memory), "utf-8")
        twins[answered] = memory["id"]
    fresh = {"id": "evt-20300102100000", "timestamp": "2030-01-02T10:00:00.000Z", "type": "conversation",
             "content": "Where did the blue paint go?", "response": "Under the bench, behind the oars, as ever.",
             "metadata": {"cognitiveMode": "emulation"}}  # fmt: skip
    (place / "evt-2030.json").write_text(json.dumps(fresh), "utf-8")
    second = person.run("--since", first.run)
    assert second.status == 0, second.err
    trained = {sample["assistant_text"] for sample in samples(second.run) if not sample["metadata"].get("split")}
    kept = {sample["assistant_text"]: sample["metadata"]["original_id"] for sample in samples(second.run)
            if sample["metadata"].get("split")}  # fmt: skip
    assert not trained & set(twins)
    assert sum(kept.get(answered) == name for answered, name in twins.items()) >= len(twins) // 2  # the twin itself


def test_where_all_that_is_new_is_held_out_nothing_is_made(person: Person) -> None:
    first = person.run()
    place = person.home / "profiles" / "greggles" / "memory" / "episodic" / "2001"
    place.mkdir(parents=True)
    (told, *_) = (one for one in samples(first.run) if one["metadata"].get("split") and not one.get("context")
                  and len(one["assistant_text"].split()) > 14)  # fmt: skip
    memory = {"id": "evt-2001", "timestamp": "2001-01-01T10:00:00.000Z", "type": "conversation",
              "content": told["user_text"], "response": told["assistant_text"],
              "metadata": {"cognitiveMode": told["mode"]}}  # fmt: skip
    (place / "evt-2001.json").write_text(json.dumps(memory), "utf-8")
    again = person.run("--since", first.run)
    assert again.status == 1 and ("nothing is left to train on" in again.err or "nothing new" in again.err), again.err


@pytest.mark.parametrize("name", ["nothing-here", "latest"])
def test_a_run_that_is_not_there_is_named(person: Person, name: str) -> None:
    done = person.run("--since", name)
    assert done.status == 2 and ("is no finished run" in done.err or "there is no run" in done.err), done.err

"""The cache of a run: the same bytes with it as without, whatever has changed, one thing at a time."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Home, Result, run

from curator import loading
from curator.reading import read
from curator.writing.samples import Chosen, Writer, Written

Curate = Callable[..., Result]
Change = Callable[[Home], list[str]]
FILES = (
    "curated_memories.json", "fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl", "lineage.jsonl", "dropped.jsonl",
    "formatted_samples.json", "report.json", "schema_applied.json", "voice-reference.npz",
)  # fmt: skip
PLUGIN = """
from curator import Cleaner, hookimpl

@hookimpl
def register_cleaners():
    return [Cleaner("shout", lambda reply, event: reply.replace("garden", "GARDEN"))]
"""
WORDS = "garden rain kettle letter brother harbour winter bread violin ladder orchard morning ticket river".split()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home of every kind of memory whose result depends on others: thoughts, sessions, tool calls, feedback."""
    home, dice = Home(tmp_path_factory.mktemp("many")), random.Random(7)

    def text(words: int) -> str:
        return f"I {' '.join(dice.choices(WORDS, k=words))}. We {' '.join(dice.choices(WORDS, k=words))}."

    for number in range(60):
        kind = number % 6
        if kind == 0:
            home.memory(text(12), type="inner_dialogue")
        elif kind == 1:
            home.memory(text(9), type="conversation", response=text(9), metadata={"sessionId": f"s{number // 12}"})
        elif kind == 2:
            session = {"sessionId": f"s{number // 12}", "cognitiveMode": "dual" if number % 12 == 2 else None}
            home.memory("And why is that?", type="conversation", response=f"Certainly! {text(7)}", metadata=session)
        elif kind == 3:
            home.memory(
                f"search for {text(3)}", type="tool_invocation",
                metadata={
                    "toolName": "search", "toolInputs": {"query": text(4)}, "toolOutputs": {"hits": number},
                    "success": True, "sessionId": f"s{number // 12}",
                },
            )  # fmt: skip
        elif kind == 4:
            home.memory(text(40), type="journal")
        elif number % 4 == 1:
            home.memory(f"Bob: {text(5)}\nEve: {text(5)}\nBob: {text(5)}", type="conversation", response=None)
        else:
            home.memory(text(9), type="conversation", response=text(9), id=f"evt-r{number}")
    (home.folder / "etc").mkdir()
    (home.folder / "etc" / "curate.json").write_text(json.dumps({"cache": {"from_memories": 1}}))
    return home


@pytest.fixture
def home(many: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(read, "_TICK", -(10**12))  # what was written just now counts as old
    home = Home(tmp_path / "home")
    home.take(many)
    return home


def some_file(home: Home, number: int = 20) -> Path:
    return sorted(path for path in home.episodic.rglob("*.json"))[number]


def edit(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def set_etc(home: Home, **keys: Any) -> None:
    edit(home.folder / "etc" / "curate.json", **keys)


def a_changed_word_of_the_same_length_and_time(home: Home) -> list[str]:
    path = some_file(home, 7)
    before, text = path.stat(), path.read_text()
    word = next(word for word in WORDS if word in text and len(word) == 6)
    path.write_text(text.replace(word, "planet" if word != "planet" else "comets"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    return []


def a_file_in_the_place_of_another(home: Home) -> list[str]:
    path = some_file(home, 7)
    aside = path.with_suffix(".new")
    aside.write_text(path.read_text().replace("I ", "U ", 1))
    os.utime(aside, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    aside.replace(path)
    return []


def a_new_memory(home: Home) -> list[str]:
    home.memory("I walked to the harbour with my brother and the violin was wet.", type="journal")
    return []


def a_new_answer_to_an_old_thought(home: Home) -> list[str]:
    home.memory("What a garden!", response="Yes, the whole orchard too.", timestamp="2025-03-01T00:01:30.000Z")
    return []


def a_memory_gone(home: Home) -> list[str]:
    some_file(home, 31).unlink()
    return []


def a_session_that_loses_its_middle(home: Home) -> list[str]:
    some_file(home, 25).unlink()
    return []


def a_memory_that_moved_in_time(home: Home) -> list[str]:
    edit(some_file(home, 30), timestamp="2025-03-01T00:02:30.000Z")
    return []


def a_dislike(home: Home) -> list[str]:
    home.memory("no", type="feedback", metadata={"feedback": "negative", "targetId": "evt-r35"})
    return []


def a_rejected_memory(home: Home) -> list[str]:
    edit(some_file(home, 35), validation={"status": "rejected"})
    return []


def a_cleaner_less(home: Home) -> list[str]:
    return ["--no-plugin", "fillers"]


def a_filler(home: Home) -> list[str]:
    fillers = json.loads((ROOT / "etc" / "fillers.json").read_text())
    (home.folder / "etc" / "fillers.json").write_text(json.dumps(fillers).replace('"en": [', '"en": ["We garden", ', 1))
    return []


def how_long_a_session_is(home: Home) -> list[str]:
    set_etc(home, pairing={"session_minutes": 2})
    return []


def words_of_a_shingle(home: Home) -> list[str]:
    set_etc(home, near_duplicates={"shingle_words": 3})
    return []


def the_window_of_answers(home: Home) -> list[str]:
    set_etc(home, pairing={"outward_window_hours": 0.001})
    return []


def the_largest_file(home: Home) -> list[str]:
    return ["--max-file-bytes", "500"]


def where_modes_come_from(home: Home) -> list[str]:
    return ["--mode-from", "type"]


def who_thinks(home: Home) -> list[str]:
    return ["--mode-from", "metadata", "--dual-direction", "thought-is-assistant"]


def what_is_asked(home: Home) -> list[str]:
    return ["--questions", "stock"]


def exchanges_a_sample(home: Home) -> list[str]:
    return ["--turns", "3"]


def another_family(home: Home) -> list[str]:
    return ["--family", "llama3"]


def the_persons_name(home: Home) -> list[str]:
    (home.profile / "persona").mkdir(exist_ok=True)
    (home.profile / "persona" / "core.json").write_text(json.dumps({"identity": {"name": "Bob"}}))
    return []


def a_holdout(home: Home) -> list[str]:
    return ["--holdout", "0.2", "--seed", "3"]


def left_out(home: Home) -> list[str]:
    return ["--exclude", "type=journal"]


def how_many(home: Home) -> list[str]:
    return ["--max", "9"]


def whose(home: Home) -> list[str]:
    return ["--author", "assistant"]


def a_target(home: Home) -> list[str]:
    targets = json.loads((ROOT / "etc" / "targets.json").read_text())
    (home.folder / "etc" / "targets.json").write_text(json.dumps(targets | {"short_words": 30}))
    return []


def how_near_a_duplicate_is(home: Home) -> list[str]:
    set_etc(home, near_duplicates={"threshold": 0.31})
    return []


CHANGES = [
    a_changed_word_of_the_same_length_and_time, a_file_in_the_place_of_another, a_new_memory,
    a_new_answer_to_an_old_thought, a_memory_gone, a_session_that_loses_its_middle, a_memory_that_moved_in_time,
    a_dislike, a_rejected_memory, a_cleaner_less, a_filler, how_long_a_session_is,
    words_of_a_shingle, the_window_of_answers, the_largest_file, where_modes_come_from, who_thinks, what_is_asked,
    exchanges_a_sample, another_family, the_persons_name, a_holdout, left_out, how_many, whose, a_target,
    how_near_a_duplicate_is,
]  # fmt: skip


def of_run(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def test_a_second_run_takes_all_from_the_cache_and_says_so(home: Home, curate: Curate) -> None:
    first = of_run(run(curate, home, "--no-cache"))
    assert not (home.profile / "out" / "cache").exists()
    assert of_run(run(curate, home)) == first
    again = curate("run", "--username", "ann", "--home", home.folder)
    assert "from the cache: what 60 of 60 memories gave; --no-cache works all out anew" in again.err
    assert of_run(again.run) == first


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_whatever_changes_nothing_stale_is_served(home: Home, curate: Curate, change: Change) -> None:
    before = of_run(run(curate, home))
    options = change(home)
    warm = run(curate, home, *options)
    cold = run(curate, home, "--no-cache", *options)
    assert of_run(warm) == of_run(cold)
    assert of_run(cold) != before, "the change is one that shows"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples were written in each stretch, and not copied."""
    counts, call = list[int](), Writer.__call__

    def counted(self: Writer, chosen: Chosen) -> Written:
        counts.append(len(chosen))
        return call(self, chosen)

    monkeypatch.setattr(Writer, "__call__", counted)
    return counts


@pytest.mark.parametrize("options", [(), ("--holdout", "0.3"), ("--keep-secrets",)], ids=str)
def test_what_an_earlier_run_wrote_is_copied_and_the_rest_written(
    home: Home, curate: Curate, written: list[int], options: tuple[str, ...]
) -> None:
    run(curate, home, *options)
    first = sum(written)
    a_new_memory(home)
    a_memory_gone(home)
    written.clear()
    warm = of_run(run(curate, home, *options))
    assert 0 < sum(written) < first / 2  # another split writes more anew
    written.clear()
    assert curate("run", "--username", "ann", "--home", home.folder, *options, "--dry-run").status == 0
    assert warm == of_run(run(curate, home, "--no-cache", *options))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def one_byte_else(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])


@pytest.mark.parametrize("damage", [cut_off, one_byte_else, Path.unlink])
@pytest.mark.parametrize("name", ["curated_memories.json", "fine_tune_dataset.jsonl", "lineage.jsonl"])
def test_of_an_earlier_run_that_is_not_what_it_was_nothing_is_copied(
    home: Home, curate: Curate, written: list[int], name: str, damage: Callable[[Path], None]
) -> None:
    damage(run(curate, home) / name)
    first = sum(written)
    a_new_memory(home)
    written.clear()
    warm = of_run(run(curate, home))
    assert sum(written) >= first - 1
    assert warm == of_run(run(curate, home, "--no-cache"))
    a_memory_gone(home)
    again = of_run(run(curate, home))  # nor does the next run stumble over it
    assert again == of_run(run(curate, home, "--no-cache"))


def test_a_plugin_that_changes_or_goes_is_never_served_stale(home: Home, curate: Curate) -> None:
    set_etc(home, plugins={"home_plugins": True})
    path = home.folder / "plugins" / "shouting.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    shouted = of_run(run(curate, home))
    assert b"GARDEN" in shouted["curated_memories.json"]
    path.write_text(PLUGIN.replace("GARDEN", "gArDeN"))
    assert b"gArDeN" in of_run(run(curate, home))["curated_memories.json"]
    path.unlink()
    assert b"GARDEN" not in of_run(run(curate, home))["curated_memories.json"].replace(b"gArDeN", b"GARDEN")


def test_a_new_memory_costs_its_neighbours_and_no_more(home: Home, curate: Curate) -> None:
    run(curate, home)
    a_new_memory(home)
    said = curate("run", "--username", "ann", "--home", home.folder).err
    known = int(said.partition("from the cache: what ")[2].split()[0])
    assert 0 < known < 61


def test_another_version_of_the_code_works_all_out_anew(
    home: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(curate, home)
    monkeypatch.setattr(loading, "_code", lambda: "another")
    assert "from the cache" not in curate("run", "--username", "ann", "--home", home.folder).err


def test_a_file_that_changed_just_now_is_read_again(
    home: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick of the clock it may change once more, and look the same."""
    monkeypatch.setattr(read, "_TICK", 10**12)
    kept: list[object] = []
    monkeypatch.setattr("curator.reading.read.Piece.__init__", _counting(kept))
    run(curate, home)
    made = len(kept)
    run(curate, home)
    assert len(kept) == 2 * made


def test_a_file_that_could_not_be_read_is_tried_again_though_it_looks_the_same(
    home: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold, failing, look = of_run(run(curate, home, "--no-cache")), some_file(home), os.open

    def refusing(path: Any, *arguments: Any, **keys: Any) -> int:
        if str(path) == str(failing):
            raise OSError(5, "Input/output error")
        return look(path, *arguments, **keys)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing)
        assert b'"unreadable"' in of_run(run(curate, home))["dropped.jsonl"]
    assert of_run(run(curate, home)) == cold


def _counting(kept: list[object]) -> Callable[..., None]:
    init = read.Piece.__init__

    def counted(self: object, *arguments: Any, **keys: Any) -> None:
        kept.append(self)
        init(self, *arguments, **keys)  # type: ignore[arg-type]

    return counted


def test_nothing_new_takes_the_earlier_run_over_unless_its_files_have_changed(home: Home, curate: Curate) -> None:
    first = run(curate, home)
    before = of_run(first)
    (first / "curated_memories.json").write_text("[]")
    again = curate("run", "--username", "ann", "--home", home.folder)
    assert of_run(again.run) == before
    assert "from the cache" not in again.err
    shutil.rmtree(again.run)
    shutil.rmtree(first)
    assert of_run(run(curate, home)) == before
    assert curate("run", "--username", "ann", "--home", home.folder, "--dry-run").status == 0
    assert not list(home.profile.glob("out/fine-tuned-models/*/.tmp*"))


def test_a_dry_run_and_few_memories_keep_nothing(home: Home, curate: Curate) -> None:
    assert curate("run", "--username", "ann", "--home", home.folder, "--dry-run").status == 0
    assert not (home.profile / "out").exists()
    set_etc(home, cache={"from_memories": 61})
    run(curate, home)
    assert not (home.profile / "out" / "cache").exists()
    set_etc(home, cache={"from_memories": 1, "megabytes": 0})
    run(curate, home)
    assert not (home.profile / "out" / "cache").exists()


def test_a_removed_cache_is_made_again(home: Home, curate: Curate) -> None:
    first = of_run(run(curate, home))
    shutil.rmtree(home.profile / "out" / "cache")
    assert of_run(run(curate, home)) == first
    assert (home.profile / "out" / "cache" / "curate.sqlite").is_file()

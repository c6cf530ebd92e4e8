"""voice-reference.npz of a run: the person's words that no training sample says, and no others, as hashed counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Home, Result, run
from encrypted_fixtures import Sealer, memory, password_file

from curator.contract.records import DROPPED, HOLDOUT, SUMMARY, TRAIN, VOICE_REFERENCE
from curator.contract.voice.grams import CHARACTERS, grams
from curator.contract.voice.reference import Judge, Reference
from curator.contract.voice.stored import english, read_reference
from curator.likeness import reference as ours

Curate = Callable[..., Result]


def one_sentence(number: int, first: int, last: int) -> str:
    """Some words of English that no other text has."""
    return re.sub("[^\\w ']", "", " ".join(english().documents[number].split()[first:last])) + "."


def passage(number: int, words: int = 30) -> str:
    """Such words behind a word of its own; of so few, one sample is made."""
    return f"Word{number}word " + one_sentence(number, 0, words)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred words are counted too."""
    monkeypatch.setattr(ours, "KNOWN", 1)


def reference_of(folder: Path) -> Reference:
    return read_reference(folder / VOICE_REFERENCE)


def counted(reference: Reference, word: int | str) -> int:
    """How often a word, or that of a passage, was counted as the person's: by six characters in its middle."""
    stream, text = len(CHARACTERS) - 1, f"Word{word}word" if isinstance(word, int) else word
    buckets = grams(text)[stream]
    return int(reference.full.person[stream, buckets[len(buckets) // 2]])


def said(folder: Path, name: str, numbers: range) -> set[int]:
    """The passages whose word stands in a file of a run."""
    text = (folder / name).read_text("utf-8")
    return {number for number in numbers if f"Word{number}word" in text}


@pytest.mark.usefixtures("few")
def test_held_out_and_unused_words_are_counted_and_no_others(home: Home, curate: Curate) -> None:
    for number in range(40):
        home.memory(passage(number), type="journal")
    for number in range(40, 60):  # asked twice: one of the two may be trained
        for reply in (2 * number - 20, 2 * number - 19):
            home.memory(passage(number, 15), response=one_sentence(reply, 30, 60))
    home.memory(passage(100), type="journal", metadata={"discard": True})
    home.memory(f"{passage(101)} My card is 4111 1111 1111 1111.", type="journal")
    home.memory(passage(3).replace(".", " flooberly."), type="journal")
    corrected = set(range(4, 10))  # kept, though it is near the other
    for number in corrected:
        home.memory(passage(number).replace(".", f" on {number} days."), type="journal")
    folder = run(curate, home, "--max", 40, "--holdout", 0.2)
    every = range(102)
    found, learnt, held = reference_of(folder), said(folder, TRAIN, every), said(folder, HOLDOUT, every)
    expected = (set(range(60)) - corrected - learnt) | (held - learnt)
    assert {number for number in every if counted(found, number)} == expected
    assert {counted(found, number) for number in expected - corrected} == {1}, "a text counts once"
    assert counted(found, "flooberly") == 0 and corrected - held - learnt
    assert len(expected) > 20 and held & expected and len(learnt & set(range(40, 60))) > 2
    assert {"discarded", "secret", "near_duplicate", "over_max"} <= {
        json.loads(line)["reason"] for line in (folder / DROPPED).read_text("utf-8").splitlines()
    }
    assert found.language == "en" and found.others == "English of books and talk"
    assert VOICE_REFERENCE in json.loads((folder / SUMMARY).read_bytes())["files"]


@pytest.mark.usefixtures("few")
def test_what_an_earlier_run_learnt_is_not_counted(home: Home, curate: Curate) -> None:
    for number in range(30):
        home.memory(passage(number, 15), response=one_sentence(number + 60, 0, 30))
    first = run(curate, home, "--holdout", 0)
    for number in range(30):
        home.memory(passage(number, 15), response=one_sentence(number + 30, 30, 60))
    for number in range(30, 36):
        home.memory(passage(number), type="journal")
    second = run(curate, home, "--since", first, "--max", 20, "--holdout", 0)
    found, numbers = reference_of(second), range(36)
    assert said(first, TRAIN, numbers) == set(range(30))
    expected = set(range(30, 36)) - said(second, TRAIN, numbers)
    assert {number for number in numbers if counted(found, number)} == expected != set()


@pytest.mark.usefixtures("few")
def test_of_an_encrypted_profile_only_what_the_set_holds_is_counted(home: Home, curate: Curate, tmp_path: Path) -> None:
    sealer = Sealer()
    sealer.lock(home.profile)
    for number in range(30):
        plain = memory("", 1, id=f"evt-{number}", type="journal", content=passage(number), response=None)
        home.file(f"2025/03/01/evt-{number}.json.enc", sealer.envelope(plain))
    folder = run(curate, home, "--max", 15, "--holdout", 0.3, "--password-file", password_file(tmp_path))
    numbers = range(30)
    assert {number for number in numbers if counted(reference_of(folder), number)} == said(folder, HOLDOUT, numbers)
    assert len(said(folder, HOLDOUT, numbers)) >= 3
    assert (folder / VOICE_REFERENCE).stat().st_mode & 0o777 == 0o600


def test_in_another_language_the_others_are_the_other_side_of_the_chats(home: Home, curate: Curate) -> None:
    german = "Das Boot liegt seit gestern im Hafen und die Pumpe am Heck leckt wieder, wie im letzten Jahr, Word{}word."
    for number in range(12):
        home.memory(german.format(number).replace("Hafen", f"Hafen von Ort{number}"), type="journal")
        home.memory(f"Ist der Mast Nummer {number} schon gestrichen, oder soll ich das am Samstag selbst machen?",
                    response=" ".join(f"Farbe{number}{word} trocknet langsam," for word in "abcdef"))  # fmt: skip
    found = reference_of(run(curate, home, "--max", 10))
    assert (found.language, found.others) == ("de", "the other side of the person's own chats")
    assert found.words[0] > 50


def test_too_few_words_are_told_and_not_counted(home: Home, curate: Curate) -> None:
    home.memory(passage(1), type="journal")
    home.memory(passage(2), type="journal")
    found = reference_of(run(curate, home, "--max", 1))
    assert found.lacking() == "31 words are known of the person: 1,969 more are needed"
    assert (found.language, found.words[0], counted(found, 1), counted(found, 2)) == ("en", 31, 0, 0)


def test_without_the_persons_words_there_is_none(home: Home, curate: Curate) -> None:
    tool = {"toolName": "send_mail", "toolInputs": {"to": "anna"}, "toolOutputs": {"ok": True}, "success": True}
    home.memory(type="tool_invocation", metadata=tool | {"instruction": "Write to Anna that we sail."})
    folder = run(curate, home)
    assert not (folder / VOICE_REFERENCE).exists()
    assert curate("validate", folder).status == 0


@pytest.fixture
def folder(home: Home, curate: Curate) -> Path:
    for number in range(100):
        home.memory(passage(number, 60), type="journal")
    return run(curate, home, "--max", 60)


def test_a_model_is_judged_by_it_and_the_bytes_are_the_same_each_time(folder: Path, home: Home, curate: Curate) -> None:
    found = reference_of(folder)
    assert found.lacking() == "" and found.words[0] > 2000
    assert Judge(found).place(english().documents[:2]).words > 400
    again = run(curate, home, "--max", 60)
    assert (again / VOICE_REFERENCE).read_bytes() == (folder / VOICE_REFERENCE).read_bytes()


def test_validate_finds_a_damaged_one(folder: Path, curate: Curate) -> None:
    assert curate("validate", folder).status == 0
    path = folder / VOICE_REFERENCE
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files if name != "full_ceiling"}
    np.savez_compressed(path, **arrays)
    done = curate("validate", folder)
    assert done.status == 1
    assert "its sha256 is not that of run-summary.json" in done.out + done.err
    assert "no counts of how a person writes" in done.out + done.err

"""Talk as people talk: bursts, sessions, groups, what an exchange takes along, and whole conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, Result, rows, run, samples

from curator.config import PairingConfig
from curator.contract.records import TRAIN
from curator.records import Turn
from curator.sampling.turns import Gaps, exchanges, sessions

Curate = Callable[..., Result]
CONFIG = PairingConfig()
MINUTE = 60_000
START = 1_700_000_000_000


def pairs(folder: Path) -> list[tuple[str, str]]:
    return [(one["user_text"], one["assistant_text"]) for one in samples(folder)]


def context(sample: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(one["user_text"], one["assistant_text"], one.get("trained", False)) for one in sample.get("context", [])]


def reasons(folder: Path) -> list[str]:
    return [one["reason"] for one in rows(folder / "dropped.jsonl")]


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


# --- bursts and sessions ---

SLIP = said(
    ("user", "Our lodger slipped on the attic ladder"),
    ("user", "her ankle is swelling"),
    ("user", "what now"),
    ("assistant", "Put the foot up and cool it."),
    ("assistant", "If she cannot stand on it, drive her to the clinic in Mill Lane."),
    ("user", "thank you, we are on our way"),
    ("assistant", "Good. Take her reading glasses along."),
)


def test_a_run_of_one_speakers_messages_is_one_turn(curate: Curate, home: Home) -> None:
    home.memory(messages=SLIP)
    folder = run(curate, home)
    assert pairs(folder)[0] == (
        "Our lodger slipped on the attic ladder\nher ankle is swelling\nwhat now",
        "Put the foot up and cool it.\nIf she cannot stand on it, drive her to the clinic in Mill Lane.",
    )
    assert len(pairs(folder)) == 2
    assert not reasons(folder)


def test_a_burst_is_one_turn_in_a_labelled_memory_too(curate: Curate, home: Home) -> None:
    home.memory("User: The kiln is cold.\nUser: Did you turn it off?\nAssistant: No. The fuse went at six.")
    assert pairs(run(curate, home)) == [("The kiln is cold.\nDid you turn it off?", "No. The fuse went at six.")]


def turn(speaker: str, text: str, minutes: float = 0, **more: str) -> Turn:
    return Turn(speaker, text, time=round(START + minutes * MINUTE), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("minutes", "turns"), [(4.9, 1), (5.1, 2)])
def test_what_is_said_minutes_later_is_a_turn_of_its_own(minutes: float, turns: int) -> None:
    (talk,) = sessions([turn("other", "Are you there?"), turn("other", "Hello?", minutes)], CONFIG)
    assert len(talk.turns) == turns


def test_a_burst_goes_on_from_its_last_message() -> None:
    messages = [turn("me", str(number), 4 * number) for number in range(5)]
    (talk,) = sessions(messages, CONFIG)
    assert [one.text for one in talk.turns] == ["0\n1\n2\n3\n4"]


@pytest.mark.parametrize(("minutes", "paired"), [(59, 1), (61, 0)])
def test_nothing_is_paired_across_a_long_silence(minutes: int, paired: int) -> None:
    talks = sessions([turn("other", "Coming to the mill?"), turn("me", "The otter is back.", minutes)], CONFIG)
    assert sum(len(exchanges(talk, "emulation")) for talk in talks) == paired


def test_times_of_messages_part_a_memory_into_sessions(curate: Curate, home: Home) -> None:
    talk = said(("user", "Is the ferry full?"), ("assistant", "Two seats are left on it."))
    later = said(("user", "Who has the goat?"), ("user", "It was in the garden."), ("assistant", "Then Ida has it."))
    for message, time in zip([*talk, *later], ("08:00", "08:01", "11:00", "11:20", "11:21"), strict=True):
        message["timestamp"] = f"2025-03-01T{time}:00Z"
    home.memory(messages=[*talk, *later])
    folder = run(curate, home)
    assert pairs(folder) == [
        ("Is the ferry full?", "Two seats are left on it."), ("It was in the garden.", "Then Ida has it."),
    ]  # fmt: skip
    assert reasons(folder) == ["no_reply"]


# --- groups ---


def test_in_a_group_speakers_keep_their_names() -> None:
    (talk,) = sessions(
        [turn("other", "When is the fair?", name="Ida Brandt"), turn("other", "And who drives?", 1, name="Tom"),
         turn("me", "At noon. I drive.", 2)], CONFIG,
    )  # fmt: skip
    (one,) = exchanges(talk, "emulation")
    assert one.said == "Ida Brandt: When is the fair?\nTom: And who drives?"
    assert one.author == "person"


def test_with_one_other_no_name_is_needed() -> None:
    (talk,) = sessions([turn("other", "When is the fair?", name="Ida"), turn("me", "At noon.", 1)], CONFIG)
    assert [one.said for one in exchanges(talk, "emulation")] == ["When is the fair?"]


GROUP = [
    turn("other", "When is the fair?", 0, name="Ida Brandt", id="m1"),
    turn("other", "I lost my hat again.", 1, name="小美", id="m2"),
    turn("other", "The goat ate it.", 2, name="Tom", id="m3"),
]


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        (turn("me", "At noon.", 3, reply_to="m1"), "Ida Brandt: When is the fair?"),
        (turn("me", "At noon, @ida, as always.", 3), "Ida Brandt: When is the fair?"),
        (turn("me", "小美你好", 3), "Ida Brandt: When is the fair?\n小美: I lost my hat again."),
        (
            turn("me", "That tomcat?", 3),
            "Ida Brandt: When is the fair?\n小美: I lost my hat again.\nTom: The goat ate it.",
        ),
    ],
    ids=["by its id", "by a mention", "by a name in a script without capitals", "else the last"],
)
def test_who_is_answered_is_known(reply: Turn, asked: str) -> None:
    (talk,) = sessions([*GROUP, reply], CONFIG)
    assert [one.said for one in exchanges(talk, "emulation")] == [asked]


def test_two_answers_to_two_messages_are_two_turns() -> None:
    answers = [turn("me", "At noon.", 3, reply_to="m1"), turn("me", "Poor hat.", 3.5, reply_to="m3")]
    (talk,) = sessions([*GROUP, *answers], CONFIG)
    found = [(one.said, one.answered) for one in exchanges(talk, "emulation")]
    assert found == [("Ida Brandt: When is the fair?", "At noon."), ("Tom: The goat ate it.", "Poor hat.")]


# --- context ---


def test_an_exchange_takes_along_what_it_leans_on_over_several_memories(curate: Curate, home: Home) -> None:
    talk: dict[str, Any] = {"metadata": {"conversationId": "c1"}}
    home.memory("Tell me of the well.", response="It dried up in the year of the comet.", **talk)
    home.memory("Who dug it anew?", response="Two sisters from the valley did.", **talk)
    home.memory("And then?", response="It never failed again.", **talk)
    folder = run(curate, home)
    last = samples(folder)[2]
    assert context(last) == [
        ("Tell me of the well.", "It dried up in the year of the comet.", False),
        ("Who dug it anew?", "Two sisters from the valley did.", False),
    ]
    assert len(last["metadata"]["sources"]) == 3
    assert [len(one["events"]) for one in rows(folder / "lineage.jsonl")] == [1, 1, 3]


def test_what_was_said_hours_before_is_no_context(curate: Curate, home: Home) -> None:
    talk: dict[str, Any] = {"metadata": {"conversationId": "c1"}}
    home.memory("Tell me of the well.", response="It dried up.", timestamp="2025-03-01T08:00:00Z", **talk)
    home.memory("And then?", response="It never failed again.", timestamp="2025-03-01T20:00:00Z", **talk)
    assert [context(one) for one in samples(run(curate, home))] == [[], []]


def test_a_memory_that_was_turned_down_is_nobodys_context(curate: Curate, home: Home) -> None:
    talk = {"conversationId": "c1"}
    home.memory("Tell me of the well.", response="It dried up.", metadata=talk | {"discard": True})
    home.memory("And then?", response="It never failed again.", metadata=talk)
    home.memory("Who painted the gate?", response="Ida did, in May.")
    folder = run(curate, home)
    assert pairs(folder) == [("Who painted the gate?", "Ida did, in May.")]
    assert reasons(folder) == ["discarded", "needs_context"]


# --- whole conversations ---

TALK = said(
    ("user", "Where is the oar?"), ("assistant", "Behind the boat shed."),
    ("user", "Is it the long one?"), ("assistant", "It is the short one, sorry."),
    ("user", "What happened to the long one?"), ("assistant", "The miller burned it last winter."),
    ("user", "Why did he burn it?"), ("assistant", "He was cold, and it was there."),
)  # fmt: skip


def test_turns_makes_samples_of_several_exchanges(curate: Curate, home: Home) -> None:
    home.memory(messages=TALK)
    folder = run(curate, home, "--turns", 3)
    first, second = samples(folder)
    assert context(first) == [
        ("Where is the oar?", "Behind the boat shed.", True),
        ("Is it the long one?", "It is the short one, sorry.", True),
    ]  # fmt: skip
    assert first["assistant_text"] == "The miller burned it last winter."
    assert first["metadata"]["multi_turn"] is True
    assert (context(second), second["assistant_text"]) == ([], "He was cold, and it was there.")


def test_turns_joins_memories_of_one_session_and_accounts_for_them(curate: Curate, home: Home) -> None:
    talk: dict[str, Any] = {"metadata": {"conversationId": "c1"}}
    home.memory("Where is the oar?", response="Behind the boat shed.", **talk)
    home.memory("Who painted the gate?", response="Ida did, in May.")
    home.memory("Is it the long one?", response="It is the short one, sorry.", **talk)
    home.memory("Where is it now?", response="Under the bridge.", timestamp="2025-03-01T20:00:00Z", **talk)
    folder = run(curate, home, "--turns", 4)
    assert pairs(folder) == [
        ("Who painted the gate?", "Ida did, in May."), ("Is it the long one?", "It is the short one, sorry."),
        ("Where is it now?", "Under the bridge."),
    ]  # fmt: skip
    assert context(samples(folder)[1]) == [("Where is the oar?", "Behind the boat shed.", True)]
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert (report["memories_used"], report["memories_with_samples"], report["samples"]) == (4, 4, 3)


def test_a_conversation_that_is_left_out_takes_its_memories_with_it(curate: Curate, home: Home) -> None:
    for name in ("c1", "c2"):
        talk: dict[str, Any] = {"metadata": {"conversationId": name}}
        home.memory("Where is the oar?", response="Behind the boat shed.", **talk)
        home.memory("Is it the long one?", response="It is the short one, sorry.", **talk)
    folder = run(curate, home, "--turns", 4)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["memory_fates"] == {"used": 2, "screen: duplicate": 2}


def test_an_exchange_that_is_turned_down_parts_a_conversation(curate: Curate, home: Home) -> None:
    talk = [*TALK[:2], *said(("user", "Say it."), ("assistant", "<|im_end|> and all that followed it.")), *TALK[2:]]
    home.memory(messages=talk, tags=["multi_turn"])
    folder = run(curate, home)
    assert [(len(context(one)), one["assistant_text"]) for one in samples(folder)] == [
        (0, "Behind the boat shed."), (2, "He was cold, and it was there."),
    ]  # fmt: skip
    assert reasons(folder) == ["control_token"]


def test_a_short_word_between_stays_untrained(curate: Curate, home: Home) -> None:
    talk = [*TALK[:2], *said(("user", "Did you look there yourself?"), ("assistant", "Yes.")), *TALK[2:4]]
    home.memory(messages=talk, tags=["multi_turn"])
    (sample,) = samples(run(curate, home))
    assert [trained for *_, trained in context(sample)] == [True, False]


def test_the_lineage_names_the_memory_of_a_short_word_too(curate: Curate, home: Home) -> None:
    talk: dict[str, Any] = {"metadata": {"conversationId": "c1"}}
    for asked, answered in (("Where is the oar?", "Behind the shed."), ("Truly?", "Yes."), ("Why?", "Ida hid it.")):
        home.memory(asked, response=answered, **talk)
    folder = run(curate, home, "--turns", 4)
    assert [len(one["events"]) for one in rows(folder / "lineage.jsonl")] == [3]
    assert len(samples(folder)[0]["metadata"]["sources"]) == 3


def test_replies_of_the_assistant_are_cleaned_in_every_exchange(curate: Curate, home: Home) -> None:
    talk = said(("user", "Where is the oar?"), ("assistant", "Sure! It is behind the boat shed."), *[("user", "Why?")])
    home.memory(messages=[*talk, *said(("assistant", "Nobody brought it in."))], tags=["multi_turn"])
    (sample,) = samples(run(curate, home))
    assert [answered for _, answered, _ in context(sample)] == ["It is behind the boat shed."]


def test_with_context_dropped_a_conversation_does_not_begin_with_a_leaning_exchange(curate: Curate, home: Home) -> None:
    lean = said(("user", "And then?"), ("assistant", "He slept until noon."))
    home.memory(messages=[*TALK[:4], *lean, *TALK[4:6]])
    folder = run(curate, home, "--turns", 2, "--context", "drop")
    assert [(len(context(one)), one["user_text"]) for one in samples(folder)] == [
        (1, "Is it the long one?"), (0, "What happened to the long one?"),
    ]  # fmt: skip
    assert reasons(folder) == ["needs_context"]


def test_a_run_with_turns_can_be_made_again(curate: Curate, home: Home) -> None:
    home.memory(messages=TALK)
    first = run(curate, home, "--turns", 3)
    command = json.loads((first / "run-summary.json").read_text("utf-8"))["command"]
    again = curate(*command[1:])
    assert (again.run / TRAIN).read_bytes() == (first / TRAIN).read_bytes()


# --- silences ---


def test_the_suggested_silence_parts_the_short_ones_from_the_long_ones() -> None:
    gaps = Gaps()
    for number in range(300):
        gaps.add((20 + number % 90) * 1_000)
    for number in range(60):
        gaps.add((9 + number % 15) * 60 * MINUTE)
    assert 5 <= gaps.suggested_minutes <= 480
    assert (sum(gaps.counts.values()), gaps.counts["up to 1 min"], gaps.counts["up to 5 min"]) == (360, 153, 147)


def test_silences_of_one_kind_suggest_nothing() -> None:
    gaps = Gaps()
    for number in range(300):
        gaps.add((20 + number % 90) * 1_000)
    assert gaps.suggested_minutes == 0
    assert Gaps().counts == {}

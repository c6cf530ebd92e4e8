"""Tool calls: who asked for them, how they are written out, and what of them is never trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Home, Result, rows, run, samples

from curator.config import load_settings
from curator.records import ToolCall
from curator.sampling.pairing import PairingHelpers
from curator.sampling.tool_calls import masked, shorten_json

Curate = Callable[..., Result]


def call(home: Home, name: str, inputs: Any, **metadata: Any) -> None:
    tool = {"toolName": name, "toolInputs": inputs, "toolOutputs": {"ok": True}, "success": True}
    home.memory(f"Invoked skill: {name}", type="tool_invocation", metadata=tool | metadata)


def calls(folder: Path) -> list[dict[str, Any]]:
    return [one for one in samples(folder) if one["metadata"]["reply_author"] == "tool"]


TALK = {"conversationId": "c1"}


def test_a_call_asked_for_three_turns_earlier_gets_its_instruction(curate: Curate, home: Home) -> None:
    home.memory("Book the ferry to Skye for four.", response="Which day?", metadata=TALK)
    home.memory("On Friday, if the goat may come.", response="It may. Shall I?", metadata=TALK)
    home.memory("Yes, please.", response="One moment.", metadata=TALK)
    home.memory("Thanks, that's all.", response="Safe journey!", metadata=TALK)
    call(home, "book_ferry", {"to": "Skye", "people": 4}, **TALK)
    (sample,) = calls(run(curate, home))
    assert sample["user_text"] == "Book the ferry to Skye for four."
    assert [Path(source["path"]).name for source in sample["metadata"]["sources"]] == [
        "evt-000005.json", "evt-000001.json",
    ]  # fmt: skip


def test_where_no_turn_names_an_input_the_latest_that_asks_is_taken(curate: Curate, home: Home) -> None:
    home.memory("What does the almanac say?", response="Rain by noon.", metadata=TALK)
    home.memory("Wake me before it starts.", response="I shall.", metadata=TALK)
    home.memory("Thank you so much, bye!", response="Sleep well.", metadata=TALK)
    call(home, "set_alarm", {"at": "11:40"}, **TALK)
    assert [one["user_text"] for one in calls(run(curate, home))] == ["Wake me before it starts."]


def test_a_closing_word_is_never_an_instruction(curate: Curate, home: Home) -> None:
    call(home, "set_alarm", {"at": "11:40"}, instruction="No, that's all. Thanks!")
    (sample,) = calls(run(curate, home))
    assert sample["metadata"]["prompted"] is True


def test_what_was_said_after_the_recorded_words_did_not_ask_for_the_call(curate: Curate, home: Home) -> None:
    talk = [("user", "Find a barn dance in Oban."), ("assistant", "The Lantern Ball on Saturday?"), ("user", "Yes."),
            ("assistant", "Booked."), ("user", "Now find a bed in Oban."), ("assistant", "At Mrs Gow's.")]  # fmt: skip
    home.memory(messages=[{"role": role, "content": text} for role, text in talk], metadata=TALK)
    call(home, "buy_ticket", {"city": "Oban"}, instruction="Yes.", **TALK)
    assert [one["user_text"] for one in calls(run(curate, home))] == ["Find a barn dance in Oban."]


def test_another_conversation_or_day_asks_for_nothing(curate: Curate, home: Home) -> None:
    home.memory("Book the ferry to Skye.", response="Which day?", metadata={"conversationId": "c2"})
    day = {"timestamp": "2025-02-27T09:00:00Z"}
    home.memory("Book the coach to Skye.", response="Which day?", metadata=TALK, **day)
    call(home, "book_ferry", {"to": "Skye"}, **TALK)
    assert calls(run(curate, home))[0]["metadata"]["prompted"] is True


def test_a_confirmation_takes_along_what_it_confirms(curate: Curate, home: Home) -> None:
    home.memory("A table for six at the Heron.", response="At eight, by the window?", metadata=TALK)
    home.memory("That would suit my mother.", response="Done.", metadata=TALK)
    call(home, "reserve", {"place": "the Heron", "people": 6}, instruction="That would suit my mother.", **TALK)
    call(home, "reserve", {"place": "the Heron"}, instruction="A table for six at the Heron.", **TALK)
    first, second = calls(run(curate, home))
    assert first["user_text"] == "That would suit my mother."
    assert "context" not in second


@pytest.mark.parametrize(
    "text",
    [
        "Thanks, that's all.", "No, that will be everything. Thank you again.", "Nein danke, das war's.",
        "C'est tout, merci.", "Nada más, gracias.", "È tutto, grazie.", "Só isso, obrigada.", "Это всё, спасибо.",
        "没有了，谢谢。", "以上です。", "그게 다예요, 감사합니다.", "هذا كل شيء، شكرا", "बस इतना ही, धन्यवाद।",
        "แค่นี้ ขอบคุณ",
    ],
)  # fmt: skip
def test_closing_words_are_known_in_every_language(text: str) -> None:
    assert PairingHelpers(load_settings(ROOT)).asks_nothing(text), text


@pytest.mark.parametrize(
    "text", ["Is that all?", "Play That's All by the Otters on the porch.", "French food, thanks.", "Find me a barn."]
)
def test_what_asks_is_no_closing_word(text: str) -> None:
    assert not PairingHelpers(load_settings(ROOT)).asks_nothing(text)


# --- how a call is written out ---


def test_inputs_are_bounded_in_prompt_and_reply_and_keep_their_order(curate: Curate, home: Home) -> None:
    lines = "\n".join(f"line {number}: the hinge is at the third nail" for number in range(400))
    call(home, "write_file", {"path": "notes/hinge.md", "content": lines, "append": True})
    call(home, "plan", {"z_first": 1, "a_second": {"y": [], "x": None}, "m": 1.0})
    long, plan = calls(run(curate, home))
    assert len(long["user_text"]) < 900 and len(long["assistant_text"]) < 900
    assert 'write_file {"path":"notes/hinge.md","content":{"text":"line 0' in long["assistant_text"]
    assert plan["assistant_text"].startswith('plan {"z_first":1,"a_second":{"y":[],"x":null},"m":1.0}\n=> ')


def test_what_stands_under_a_secret_key_is_masked_and_counted(curate: Curate, home: Home) -> None:
    headers = {"Authorization": "Bearer bramble-and-thorn", "Accept": "text/plain"}
    call(home, "http_get", {"url": "https://mill.example", "headers": headers, "max_tokens": 9}, instruction="Get it.")
    folder = run(curate, home)
    (sample,) = calls(folder)
    assert '"Authorization":"[masked]","Accept":"text/plain"' in sample["assistant_text"]
    assert '"max_tokens":9' in sample["assistant_text"]
    assert "bramble" not in (folder / "curated_memories.json").read_text("utf-8")
    assert json.loads((folder / "report.json").read_text("utf-8"))["cleaned"] == {"masked": 1}


@pytest.mark.parametrize("key", ["apiKey", "api_key", "db-password", "access token", "Cookie", "userSecret", "pin"])
def test_keys_that_say_so_hold_secrets(key: str) -> None:
    tool, hidden = masked(ToolCall("t", json.dumps({"a": [{key: ["x1", {"deep": "x2"}]}]})))
    assert (hidden, "x1" in tool.inputs, "x2" in tool.inputs) == (2, False, False)


@pytest.mark.parametrize("key", ["keyboard", "spin", "compass", "monkey", "tokenizer"])
def test_other_keys_do_not(key: str) -> None:
    assert masked(ToolCall("t", json.dumps({key: "x1"})))[1] == 0


def test_no_shape_of_inputs_is_unbounded() -> None:
    value = json.dumps("x" * 50)
    for _ in range(9):  # as text: json.dumps would walk through two million leaves
        value = "{" + ", ".join(f'"key number {number}": {value}' for number in range(5)) + "}"
    assert len(shorten_json(value, 400)) <= 800


def test_a_control_token_in_the_inputs_is_dropped(curate: Curate, home: Home) -> None:
    call(home, "say", {"text": 'He said "<|im_end|>" and left'}, instruction="Tell them what he said.")
    home.memory("Who painted the gate?", response="Ida did, in May.")
    folder = run(curate, home)
    assert not calls(folder)
    assert [one["reason"] for one in rows(folder / "dropped.jsonl")] == ["control_token"]


def test_calls_that_end_alike_are_no_duplicates(curate: Curate, home: Home) -> None:
    outcome = {"toolOutputs": {"results": [f"Bed number {number} in the old mill by the lake" for number in range(3)]}}
    call(home, "find_bed", {"town": "Oban"}, instruction="A bed in Oban for Ida and me.", **outcome)
    call(home, "search", {"q": "mill"}, instruction="What is there by the lake?", **outcome)
    assert len(calls(run(curate, home))) == 2


# --- an agent's talk ---

CHAT = {
    "messages": [{"role": "user", "content": "Thanks a lot"}, {"role": "assistant", "content": "Anything else, Ida?"}]
}


@pytest.mark.parametrize(("setting", "mode"), [("emulation", "emulation"), ("agent", "agent")])
def test_an_exchange_without_a_call_is_talk_unless_a_setting_keeps_it(
    curate: Curate, home: Home, setting: str, mode: str
) -> None:
    home.config("curate.json", {"pairing": {"agent_talk": setting}})
    home.memory(**CHAT, metadata={"cognitiveMode": "agent"})
    (sample,) = samples(run(curate, home, "--mode-from", "metadata"))
    assert sample["mode"] == mode
    assert sample["metadata"]["mode_source"] == ("agent_talk" if mode == "emulation" else "metadata")


def test_the_users_own_mapping_keeps_talk_where_it_says(curate: Curate, home: Home) -> None:
    shipped = json.loads((ROOT / "etc" / "types.json").read_text("utf-8"))
    home.config("types.json", shipped | {"mapping": {"errand": "agent"}})
    home.memory("Fetch the post, please.", response="It lies on the table.", type="errand")
    assert [one["mode"] for one in samples(run(curate, home))] == ["agent"]

"""Pairs and modes through the command line: each content shape gives exactly this pair, in this mode."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Home, Result, rows, run, samples

from curator.config import load_settings
from curator.records import MemoryEvent
from curator.sampling.pairing import PairingHelpers, whole_shape

Curate = Callable[..., Result]
Triple = tuple[str, str, str]
ETC = Path(__file__).parents[3] / "etc"


def triples(folder: Path) -> list[Triple]:
    return [(one["mode"], one["user_text"], one["assistant_text"]) for one in samples(folder)]


def reasons(folder: Path) -> list[str]:
    return [one["reason"] for one in rows(folder / "dropped.jsonl")]


def types(home: Home, **changed: Any) -> None:
    """Give the home its own etc/types.json: the shipped one with these keys changed."""
    home.config("types.json", json.loads((ETC / "types.json").read_text("utf-8")) | changed)


def prompts(mode: str, memory_type: str) -> list[str]:
    lists = json.loads((ETC / "prompts.json").read_text("utf-8"))[mode]
    return list(lists[memory_type])


IMPORT = (
    "Chat: Boat club (whatsapp)\nParticipants: Me, Tom\nDate range: 2023-11-21 - 2023-11-21\nPart 1 of 1\n\n"
    "--- Conversation ---\n[Nov 21 10:30 AM] ← Tom: Are you sailing on Sunday?\n"
    "[Nov 21 10:31 AM] → Me: Only if the wind drops below twenty.\n[Nov 21 10:32 AM] ← Tom: 📎 photo.jpg"
)
SHAPES: dict[str, tuple[dict[str, Any], Triple]] = {
    "a-user-assistant": (
        {"content": "User: did I ever fix the bilge pump?\n\nAssistant: Twice. The second clamp was wrong."},
        ("emulation", "did I ever fix the bilge pump?", "Twice. The second clamp was wrong."),
    ),
    "b-quoted-me": (
        {"content": 'Me: "Where is the dinghy now?"', "response": "At the north pier. Bring the oars."},
        ("emulation", "Where is the dinghy now?", "At the north pier. Bring the oars."),
    ),
    "b-plain": (
        {"content": "Where did I leave\nthe  charts?", "response": "In the wheelhouse drawer."},
        ("emulation", "Where did I leave\nthe  charts?", "In the wheelhouse drawer."),
    ),
    "c-messages": (
        {
            "messages": [
                {"role": "user", "content": "What is the tide tonight? "},
                {"role": "assistant", "content": "High water is at nine."},
            ]
        },
        ("emulation", "What is the tide tonight? ", "High water is at nine."),
    ),
    "c-prompt": (
        {"prompt": "Name three knots.", "response": "Bowline, clove hitch, reef knot."},
        ("emulation", "Name three knots.", "Bowline, clove hitch, reef knot."),
    ),
    "c-question": (
        {"question": "Why do I sail at all?", "answer": "Because the harbour is too small."},
        ("emulation", "Why do I sail at all?", "Because the harbour is too small."),
    ),
    "d-q-a": (
        {"content": "Q: Is the paint dry?\nA: Not before Tuesday."},
        ("emulation", "Is the paint dry?", "Not before Tuesday."),
    ),
    "d-owner-and-twin": (
        {"content": "Greg: Did the mail come today?\nMetaHuman: Two letters came."},
        ("emulation", "Did the mail come today?", "Two letters came."),
    ),
    "d-crlf-ai": (
        {"content": "User: Did the varnish arrive?\r\n\r\nAI: It came on Friday."},
        ("emulation", "Did the varnish arrive?", "It came on Friday."),
    ),
    "d-rule": (
        {"content": "How deep is the bay?\n---\nNine metres at low water."},
        ("emulation", "How deep is the bay?", "Nine metres at low water."),
    ),
    "e-inner-curiosity": (
        {"content": "🤔 Why do old boats feel alive?\n\n💭 They answer the helm.", "type": "inner_dialogue"},
        ("dual", "Why do old boats feel alive?", "They answer the helm."),
    ),
    "f-chat-import": (
        {"content": IMPORT, "type": "chat", "metadata": {"chat": {"startDate": "2023-11-21"}}},
        ("emulation", "Are you sailing on Sunday?", "Only if the wind drops below twenty."),
    ),
    "h-card": (
        {
            "content": "Should I buy the bl...",
            "type": "card_response",
            "metadata": {"userMessage": "Should I buy the blue sail?", "assistantResponse": "Buy it in spring."},
        },
        ("emulation", "Should I buy the blue sail?", "Buy it in spring."),
    ),
    "i-tool": (
        {
            "content": "Invoked skill: task_create",
            "type": "tool_invocation",
            "metadata": {
                "toolName": "task_create",
                "toolInputs": {"title": "Buy clamps"},
                "toolOutputs": {"id": "t1"},
                "success": True,
                "instruction": "Put the clamps on my list.",
            },
        },
        ("agent", "Put the clamps on my list.", 'task_create {"title":"Buy clamps"}\n=> {"id":"t1"}'),
    ),
    "l-think-and-sources": (
        {
            "content": "What do I owe the yard?",
            "response": "<think>hm</think>You owe ninety euros.\n\nSources: invoice.pdf",
        },
        ("emulation", "What do I owe the yard?", "You owe ninety euros."),
    ),
    "l-truncated-reply": (
        {"content": "How was the crossing?", "response": "Rough, but dry below. Then the wind ... [truncated]"},
        ("emulation", "How was the crossing?", "Rough, but dry below."),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_content_shape_gives_its_pair(curate: Curate, home: Home, name: str) -> None:
    memory, expected = SHAPES[name]
    core = home.profile / "persona" / "core.json"
    core.parent.mkdir()
    core.write_text('{"identity": {"name": "MetaHuman", "humanName": "Greg Lee"}}', "utf-8")
    home.memory(**memory)
    assert triples(run(curate, home)) == [expected]


def test_a_one_sided_observation_answers_a_prompt(curate: Curate, home: Home) -> None:
    home.memory(observation="The gulls went inland before the storm.", type="observation")
    ((mode, asked, reply),) = triples(run(curate, home, "--questions", "stock"))
    assert (mode, reply) == ("emulation", "The gulls went inland before the storm.")
    assert asked in prompts("emulation", "observation")


def test_g_a_summary_loses_its_label_only(curate: Curate, home: Home) -> None:
    types(home, secondary={"summary": 100})
    home.memory("Conversation Summary: We spoke about the pump.", type="summary")
    home.memory("What is the time now?", response="Half past four.")
    assert ("emulation", "We spoke about the pump.") in [(m, reply) for m, _, reply in triples(run(curate, home))]


def test_j_and_k_feedback_and_notices_are_no_samples(curate: Curate, home: Home) -> None:
    home.memory("[Feedback: Negative]\nType: reply\nTarget: x", type="operator_feedback")
    home.memory("📚 Curated 12 memories", type="inner_dialogue", tags=["curator"])
    home.memory("What is the time now?", response="Half past four.")
    folder = run(curate, home)
    assert reasons(folder) == ["feedback", "bot_notice"]
    assert len(samples(folder)) == 1


def test_l_a_truncated_entry_keeps_its_whole_sentences(curate: Curate, home: Home) -> None:
    home.memory("The engine coughed twice. And then it ... [truncated]", type="journal")
    folder = run(curate, home)
    assert [reply for _, _, reply in triples(folder)] == ["The engine coughed twice."]
    assert reasons(folder) == ["truncated"]


TRUNCATED = {
    "a thought that the world answers": (
        [
            {"type": "inner_dialogue", "content": "I ought to ring Ruth. She will ask about the ... [truncated]"},
            {"type": "observation", "content": "Ruth rang at eight, before the yard."},
        ],
        [("dual", "I ought to ring Ruth.", "Ruth rang at eight, before the yard.")],
    ),
    "a thought without a whole sentence": (
        [
            {"type": "inner_dialogue", "content": "I ought to ring Ruth about the ... [truncated]"},
            {"type": "observation", "content": "Ruth rang at eight, before the yard."},
        ],
        [],
    ),
    "what the world did": (
        [
            {"type": "inner_dialogue", "content": "I ought to ring Ruth before the yard."},
            {"type": "observation", "content": "Ruth rang at eight. Then she spoke of the … [truncated]"},
        ],
        [("dual", "I ought to ring Ruth before the yard.", "Ruth rang at eight.")],
    ),
    "a thought spoken to the twin": (
        [{"type": "conversation", "content": "I am late. The yard will have ... [truncated]",
          "response": "Ring them before you go.", "metadata": {"cognitiveMode": "dual"}}],
        [("dual", "I am late.", "Ring them before you go.")],
    ),
    "the twin's answer": (
        [{"type": "conversation", "content": "User: Am I late?\n\nAssistant: By an hour. They will ... [truncated]"}],
        [("emulation", "Am I late?", "By an hour.")],
    ),
    "an answer without a whole sentence": (
        [{"type": "conversation", "content": "User: Am I late?\n\nAssistant: By an hour or so, since ... [truncated]"}],
        [],
    ),
    "a turn in the middle": (
        [{"type": "conversation", "messages": [
            {"role": "user", "content": "Am I late?"},
            {"role": "assistant", "content": "By an hour. The yard ... [truncated]"},
            {"role": "user", "content": "Shall I ring them before I go?"},
            {"role": "assistant", "content": "Ring them from the bridge."},
        ]}],
        [("emulation", "Am I late?", "By an hour."),
         ("emulation", "Shall I ring them before I go?", "Ring them from the bridge.")],
    ),
}  # fmt: skip


UNMARKED = {
    "Thai": ("วันนี้ฉันไปที่ท่าเรือเก่า เรือรั่วอีกแล้วเมื่อคืน แม่โทรมาถ ... [truncated]",
             "วันนี้ฉันไปที่ท่าเรือเก่า เรือรั่วอีกแล้วเมื่อคืน"),
    "Chinese": ("今天我去了旧码头。船又漏水了。妈妈打电话来问 ... [truncated]", "今天我去了旧码头。船又漏水了。"),
    "Hindi": ("आज मैं पुराने घाट गया। नाव में पानी था। माँ ने फ़ ... [truncated]", "आज मैं पुराने घाट गया। नाव में पानी था।"),
    "lines without full stops": ("went to the yard early\nthe pump had stopped again\nrang ruth abo ... [truncated]",
                                 "went to the yard early\nthe pump had stopped again"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNMARKED)
def test_of_a_cut_text_all_but_its_broken_end_is_kept_in_any_script(curate: Curate, home: Home, name: str) -> None:
    text, whole = UNMARKED[name]
    home.memory(text, type="journal")
    folder = run(curate, home)
    assert "\n".join(reply for _, _, reply in triples(folder)).replace("\n", "") == whole.replace("\n", "")
    assert reasons(folder) == ["truncated"]


def test_of_a_long_text_without_full_stops_no_more_than_the_last_line_goes() -> None:
    lines = [f"went to the yard by way of lane {n} and back again" for n in range(200)]
    text = "That was the year. " + "\n".join(lines) + "\nand then i ... [truncated]"
    event = MemoryEvent("0" * 16, "m", "m.json", "", 0, "journal", content=text)
    shape = whole_shape(event, PairingHelpers(load_settings(None)))
    assert shape.truncated
    assert shape.text == text.removesuffix("\nand then i ... [truncated]")


@pytest.mark.parametrize("name", TRUNCATED)
def test_what_metahuman_cut_in_mid_sentence_is_in_no_sample(curate: Curate, home: Home, name: str) -> None:
    """docs/reasons.md: the broken last passage is left out, whoever says it, and the drop says so."""
    memories, wanted = TRUNCATED[name]
    for memory in memories:
        home.memory(**memory)
    home.memory("Who keeps the key of the boat house?", response="The harbour master keeps it.")
    folder = run(curate, home)
    kept = [one for one in triples(folder) if "harbour master" not in one[2]]
    assert [one for one in kept if one[0] != "emulation" or one in wanted] == wanted
    assert "truncated" in reasons(folder)
    texts = (folder / "curated_memories.json").read_text("utf-8")
    assert "[truncated]" not in texts
    for broken in ("about the", "spoke of", "will have", "will", "since", "The yard"):
        assert not any(text.rstrip(" .…").endswith(broken) for _, *pair in kept for text in pair)


def test_the_window_for_the_worlds_answer_counts_from_the_thought(curate: Curate, home: Home) -> None:
    """Rejected events in between do not prolong it: six hours are six hours."""
    thought = "I ought to ring Ruth before the yard."
    home.memory(thought, type="inner_dialogue", timestamp="2025-03-02T08:00:00Z")
    rejected = {"validation": {"status": "rejected", "by": "user"}, "type": "observation"}
    home.memory("The post came early again.", timestamp="2025-03-02T13:30:00Z", **rejected)
    home.memory("Ruth rang at half past six.", type="observation", timestamp="2025-03-02T18:30:00Z")
    folder = run(curate, home)
    assert all("Ruth rang" not in reply for mode, _, reply in triples(folder) if mode == "dual")
    assert [reply for mode, _, reply in triples(folder) if mode == "dual"] == [thought]


def test_a_rejected_answer_gives_way_to_the_next_within_the_window(curate: Curate, home: Home) -> None:
    thought = "I ought to ring Ruth before the yard."
    home.memory(thought, type="inner_dialogue", timestamp="2025-03-02T08:00:00Z")
    rejected = {"validation": {"status": "rejected", "by": "user"}, "type": "observation"}
    for minute in range(10):
        home.memory(f"Post number {minute} came.", timestamp=f"2025-03-02T09:{minute:02}:00Z", **rejected)
    home.memory("Ruth rang at one.", type="observation", timestamp="2025-03-02T13:00:00Z")
    assert ("dual", thought, "Ruth rang at one.") in triples(run(curate, home))


def test_a_rejected_answer_of_another_session_does_not_lead_into_that_session(curate: Curate, home: Home) -> None:
    thought = "I ought to ring Ruth before the yard."
    home.memory(thought, type="inner_dialogue", timestamp="2025-03-02T08:00:00Z")
    rejected = {"validation": {"status": "rejected", "by": "user"}, "type": "observation"}
    session = {"metadata": {"sessionId": "s1"}}
    home.memory("The post came early again.", timestamp="2025-03-02T09:00:00Z", **rejected, **session)
    home.memory("A week later it came late.", type="observation", timestamp="2025-03-09T09:00:00Z", **session)
    dual = [one for one in triples(run(curate, home)) if one[0] == "dual"]
    assert [reply for _, _, reply in dual] == [thought]


@pytest.mark.parametrize("pattern", [r"^\[bot\]", "(?i)^\\[BOT\\]", "backed up"])
def test_a_notice_may_begin_with_any_sign(curate: Curate, home: Home, pattern: str) -> None:
    shipped = json.loads((ROOT / "etc" / "types.json").read_text("utf-8"))["notices"]
    types(home, notices=shipped | {"mine": pattern})
    home.memory("[bot] The memories were backed up.", type="observation")
    home.memory("📚 Curated 12 memories", type="inner_dialogue")
    home.memory("What is the time now?", response="Half past four.")
    folder = run(curate, home)
    assert [(one["reason"], one["detail"]) for one in rows(folder / "dropped.jsonl")] == [
        ("bot_notice", "mine"), ("bot_notice", "curator"),
    ]  # fmt: skip


TALK = [
    {"role": "user", "content": "Tell me a story about a boat."},
    {"role": "assistant", "content": "Once there was a boat called Mary."},
    {"role": "user", "content": "Where did she lie in winter?"},
    {"role": "assistant", "content": "In the creek behind the mill."},
]
FIRST = ("emulation", "Tell me a story about a boat.", "Once there was a boat called Mary.")
SECOND = ("emulation", "Where did she lie in winter?", "In the creek behind the mill.")


def test_a_conversation_is_split_into_single_turns(curate: Curate, home: Home) -> None:
    home.memory(messages=TALK)
    folder = run(curate, home)
    assert triples(folder) == [FIRST, SECOND]
    assert all("context" not in one and not one["metadata"].get("multi_turn") for one in samples(folder))


def test_a_multi_turn_memory_stays_one_sample(curate: Curate, home: Home) -> None:
    home.memory(messages=TALK, tags=["multi_turn"])
    folder = run(curate, home)
    (sample,) = samples(folder)
    assert triples(folder) == [SECOND]
    assert sample["context"] == [{"user_text": FIRST[1], "assistant_text": FIRST[2], "trained": True}]
    assert sample["metadata"]["multi_turn"] is True
    (line,) = rows(folder / "fine_tune_dataset.jsonl")
    assert line["input"] + line["output"] == (
        "<|im_start|>user\n<user>: Tell me a story about a boat.<|im_end|>\n"
        "<|im_start|>assistant\n<assistant>: Once there was a boat called Mary.<|im_end|>\n"
        "<|im_start|>user\n<user>: Where did she lie in winter?<|im_end|>\n"
        "<|im_start|>assistant\n<assistant>: In the creek behind the mill.<|im_end|>\n"
    )


LEANING = [*TALK[:2], {"role": "user", "content": "And then?"}, {"role": "assistant", "content": "She sank in a gale."}]


def test_a_reply_that_leans_on_the_turn_before_can_be_dropped(curate: Curate, home: Home) -> None:
    home.memory(messages=LEANING)
    folder = run(curate, home, "--context", "drop")
    assert triples(folder) == [FIRST]
    assert reasons(folder) == ["needs_context"]


def test_else_it_keeps_its_context(curate: Curate, home: Home) -> None:
    home.memory(messages=LEANING)
    folder = run(curate, home)
    assert triples(folder) == [FIRST, ("emulation", "And then?", "She sank in a gale.")]
    assert samples(folder)[1]["context"] == [{"user_text": FIRST[1], "assistant_text": FIRST[2]}]


THOUGHT: dict[str, Any] = {"content": "I keep fixing things that were not broken.", "type": "inner_dialogue"}
WORLD: dict[str, Any] = {"content": "The pump runs dry again.", "type": "observation"}


def dual(curate: Curate, home: Home, *options: object) -> list[Triple]:
    return [one for one in triples(run(curate, home, *options)) if one[0] == "dual"]


@pytest.mark.parametrize(
    ("later", "session", "paired"),
    [("05:59:00", None, True), ("06:01:00", None, False), ("20:00:00", "s-1", True)],
    ids=["within six hours", "after six hours", "later in the same session"],
)
def test_a_thought_meets_the_world(curate: Curate, home: Home, later: str, session: str | None, paired: bool) -> None:
    metadata: dict[str, Any] = {"metadata": {"sessionId": session}} if session else {}
    home.memory(**THOUGHT, timestamp="2025-03-01T00:00:00.000Z", **metadata)
    home.memory(**WORLD, timestamp=f"2025-03-01T{later}.000Z", **metadata)
    folder = run(curate, home, "--questions", "stock")
    ((_, thought, world),) = [one for one in triples(folder) if one[0] == "dual"]
    if paired:
        assert (thought, world) == (THOUGHT["content"], WORLD["content"])
        assert len(samples(folder)[0]["metadata"]["sources"]) == 2
    else:
        assert thought in prompts("dual", "inner_dialogue")
        assert world == THOUGHT["content"]


def test_the_session_comes_before_the_nearer_event(curate: Curate, home: Home) -> None:
    same: dict[str, Any] = {"metadata": {"sessionId": "s-1"}}
    home.memory(**THOUGHT, **same)
    home.memory("A stranger knocked at the door.", type="observation")
    home.memory(**WORLD, **same)
    assert dual(curate, home) == [("dual", THOUGHT["content"], WORLD["content"])]


CHAT: dict[str, Any] = {
    "content": "Did I fix it?",
    "response": "Twice, last year.",
    "metadata": {"cognitiveMode": "dual"},
}


def test_by_default_the_users_words_are_the_thought(curate: Curate, home: Home) -> None:
    home.memory(**CHAT)
    folder = run(curate, home, "--mode-from", "metadata")
    (line,) = rows(folder / "formatted_samples.json")
    assert (line["input"], line["output"]) == ("<thought>: Did I fix it?", "<world>: Twice, last year.")
    assert "pair_flipped" not in line["metadata"]


def test_the_assistants_words_can_be_the_thought(curate: Curate, home: Home) -> None:
    home.memory(**CHAT)
    folder = run(curate, home, "--dual-direction", "thought-is-assistant", "--mode-from", "metadata")
    (line,) = rows(folder / "formatted_samples.json")
    assert (line["input"], line["output"]) == ("<thought>: Twice, last year.", "<world>: Did I fix it?")
    assert line["metadata"]["pair_flipped"] is True
    assert line["metadata"]["reply_author"] == "person"


def test_other_modes_are_never_flipped(curate: Curate, home: Home) -> None:
    home.memory("Did I fix it?", response="Twice, last year.")
    folder = run(curate, home, "--dual-direction", "thought-is-assistant")
    assert triples(folder) == [("emulation", "Did I fix it?", "Twice, last year.")]


def test_a_multi_turn_dual_memory_is_flipped_too(curate: Curate, home: Home) -> None:
    home.memory(messages=TALK, tags=["multi_turn"], metadata={"cognitiveMode": "dual"})
    (sample,) = samples(run(curate, home, "--dual-direction", "thought-is-assistant", "--mode-from", "metadata"))
    assert (sample["user_text"], sample["assistant_text"]) == (SECOND[2], SECOND[1])
    assert sample["metadata"]["pair_flipped"] is True


def test_a_prompt_is_of_the_memorys_mode_and_type(curate: Curate, home: Home) -> None:
    home.memory("We scraped the hull all day.", type="journal")
    home.memory("I dreamt of a harbour without water.", type="dream")
    types(home, secondary={"dream": 100})
    folder = run(curate, home, "--questions", "stock")
    (one, two) = triples(folder)
    assert one[1] in prompts("emulation", "journal")
    assert two[1] in prompts("dual", "dream")
    assert all(sample["metadata"]["prompted"] for sample in samples(folder))


def test_a_long_entry_is_cut_into_passages_that_are_the_text(curate: Curate, home: Home) -> None:
    verse = "Grey was the water.\n\n\nWhite was the foam — and\n  cold.\n\nThe third line; it  has two blanks."
    text = " ".join(f"On day {n} Mr. Lee mended sail number {n} and said “done.” He slept." for n in range(30))
    entry = f"{verse}\n\n\n{text}"
    home.memory(entry, type="journal")
    replies = [reply for _, _, reply in triples(run(curate, home))]
    assert len(replies) > 5
    start = 0
    for reply in replies:  # each stands byte for byte after the one before, with nothing but white space between
        place = entry.find(reply, start)
        assert place >= 0, reply
        assert not entry[start:place].strip()
        start = place + len(reply)
    assert not entry[start:].strip()
    assert not [reply for reply in replies if not re.search(r"[.;][”]?\Z", reply)]


def test_a_passage_keeps_the_blank_lines_between_verses(curate: Curate, home: Home) -> None:
    verse = "Out fire; in frost.\n\n\nIn the name of the Father.\n\n\nHere ends the charm"
    home.config("curate.json", {"reply": {"long_share": 1.0}})
    home.memory(verse, type="journal")
    assert [reply for _, _, reply in triples(run(curate, home))] == [verse]


@pytest.mark.parametrize(
    "text", ["there met with Lieut. Lambert", "find Balty and Mr. How", "I sent to Deb.’s", "I gave the boy 12d. to go"]
)
def test_a_passage_does_not_end_at_an_abbreviation(curate: Curate, home: Home, text: str) -> None:
    home.config("curate.json", {"reply": {"long_share": 0.0}})
    long = f"So {' '.join(['so'] * 36)} {text} and went home with all of them at night to dine at the house."
    home.memory(f"We were up very early. {long}", type="journal")
    assert [reply for _, _, reply in triples(run(curate, home))] == ["We were up very early.", long]


TOOL: dict[str, Any] = {
    "toolName": "web_search",
    "toolInputs": {"q": "clamps"},
    "toolOutputs": {"hits": 3},
    "success": True,
}


def test_a_tool_call_takes_its_instruction_from_the_conversation(curate: Curate, home: Home) -> None:
    home.memory("Look up clamps for me.", response="I will look.", metadata={"conversationId": "c-9"})
    home.memory("Invoked skill: web_search", type="tool_invocation", metadata=TOOL | {"conversationId": "c-9"})
    found = [one for one in triples(run(curate, home)) if one[0] == "agent"]
    assert found == [("agent", "Look up clamps for me.", 'web_search {"q":"clamps"}\n=> {"hits":3}')]


def test_a_tool_call_without_one_is_given_a_prompt(curate: Curate, home: Home) -> None:
    home.memory("Invoked skill: web_search", type="tool_invocation", metadata=TOOL)
    folder = run(curate, home)
    ((_, asked, reply),) = triples(folder)
    assert "web_search" in asked
    assert '{"q":"clamps"}' in asked
    assert reply == 'web_search {"q":"clamps"}\n=> {"hits":3}'
    assert samples(folder)[0]["metadata"]["prompted"] is True


def test_a_failed_call_is_marked(curate: Curate, home: Home) -> None:
    failed = TOOL | {"success": False, "error": "no network", "instruction": "Look up clamps.", "toolOutputs": None}
    home.memory("Invoked skill: web_search", type="tool_invocation", metadata=failed)
    assert triples(run(curate, home)) == [
        ("agent", "Look up clamps.", 'web_search {"q":"clamps"}\n=> failed: no network')
    ]


def chats(home: Home, count: int, mode: str) -> None:
    for n in range(count):
        state = ("bright", "dim", "out", "green", "red")[n % 5]
        home.memory(f"Is lamp {n} lit?", response=f"Lamp {n} is {state} by now.", metadata={"cognitiveMode": mode})


def modes(folder: Path) -> list[tuple[str, str]]:
    return sorted({(one["mode"], one["metadata"]["mode_source"]) for one in samples(folder)})


@pytest.mark.parametrize(
    ("mode_from", "expected"),
    [
        ("metadata", [("dual", "metadata"), ("emulation", "type")]),
        ("type", [("emulation", "type")]),
        ("hybrid", [("dual", "metadata"), ("emulation", "type")]),
    ],
)
def test_where_the_mode_comes_from(curate: Curate, home: Home, mode_from: str, expected: list[tuple[str, str]]) -> None:
    chats(home, 5, "dual")
    home.memory("Where is the anchor?", response="Under the bench, wrapped in sailcloth.")
    assert modes(run(curate, home, "--mode-from", mode_from)) == expected


def test_hybrid_goes_by_type_where_metadata_is_all_one_mode(curate: Curate, home: Home) -> None:
    chats(home, 19, "dual")
    home.memory("Where is the anchor?", response="Under the bench.", metadata={"cognitiveMode": "emulation"})
    folder = run(curate, home)
    assert modes(folder) == [("emulation", "type")]
    (notice,) = [one for one in json.loads((folder / "report.json").read_text("utf-8"))["notices"] if "type" in one]
    assert "dual" in notice


def test_an_unknown_type_is_reported_and_mapped_by_etc(curate: Curate, home: Home) -> None:
    home.memory("The comet was green tonight.", type="stargazing")
    folder = run(curate, home)
    assert modes(folder) == [("emulation", "mapping")]
    assert any("stargazing" in one for one in json.loads((folder / "report.json").read_text("utf-8"))["notices"])
    types(home, mapping={"stargazing": "agent"})
    folder = run(curate, home)
    assert modes(folder) == [("agent", "mapping")]
    assert triples(folder)[0][2] == "The comet was green tonight."


def test_environment_memories_go_by_their_type(curate: Curate, home: Home) -> None:
    home.memory("Where is the anchor?", response="Under the bench.", metadata={"cognitiveMode": "environment"})
    folder = run(curate, home)
    assert triples(folder) == [("emulation", "Where is the anchor?", "Under the bench.")]
    assert modes(folder) == [("emulation", "type")]


@pytest.mark.parametrize("mode", ["dual", "emulation", "agent"])
def test_mode_filters(curate: Curate, home: Home, mode: str) -> None:
    home.memory("Where is the anchor?", response="Under the bench.", metadata={"cognitiveMode": "dual"})
    home.memory("Where is the lamp?", response="On the mast.", metadata={"cognitiveMode": "emulation"})
    home.memory("Invoked skill: web_search", type="tool_invocation", metadata=TOOL)
    folder = run(curate, home, "--mode", mode)
    assert {one["mode"] for one in samples(folder)} == {mode}
    assert len(reasons(folder)) == 2


def test_no_message_of_a_conversation_is_lost_in_silence(curate: Curate, home: Home) -> None:
    said = [("user", "Is the boat in?"), ("user", "The blue one."), ("assistant", "She is in, on the slip.")]
    home.memory(messages=[{"role": role, "content": text} for role, text in said])
    folder = run(curate, home)
    made = " ".join(text for one in triples(folder) for text in one)
    assert "Is the boat in?" in made or reasons(folder)


def test_what_the_world_saw_is_no_thought(curate: Curate, home: Home) -> None:
    dual = {"cognitiveMode": "dual"}
    home.memory("The tide is out and the mud smells of old rope.", type="observation", metadata=dual)
    home.memory("A heron stands on the slip and looks at nobody.", type="observation", metadata=dual)
    folder = run(curate, home, "--mode-from", "metadata")
    assert [sample["metadata"].get("prompted") for sample in rows(folder / "curated_memories.json")] == [True, True]


def test_the_turn_before_is_flipped_with_the_conversation(curate: Curate, home: Home) -> None:
    dual = {"cognitiveMode": "dual", "sessionId": "s-1"}
    home.memory("Which mooring is ours?", response="The red one by the wall is ours.", metadata=dual)
    home.memory("That one?", response="Yes, that one, by the ladder.", metadata=dual)
    options = ("--mode-from", "metadata", "--context", "keep", "--dual-direction", "thought-is-assistant")
    last = rows(run(curate, home, *options) / "formatted_samples.json")[-1]
    assert last["input"] == "<thought>: Yes, that one, by the ladder."
    before = {"user_text": "<thought>: The red one by the wall is ours."}
    assert last["context"] == [before | {"assistant_text": "<world>: Which mooring is ours?"}]

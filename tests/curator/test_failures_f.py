"""The failures of MetaHuman's pipelines (facts 3.6), each with a test that ours does not fail so.

Those that cannot apply to a curator, or that are held elsewhere:

| F   | why there is no test of it here                                                                               |
|-----|---------------------------------------------------------------------------------------------------------------|
| F4  | learning rates are the trainer's; the curator writes none                                                     |
| F16 | no language model curates here, and nothing is marked in the memories: there is no queue to starve            |
| F19 | the persona's texts are not read into samples; of core.json only the names are                                |
| F25 | a script that calls deleted code: our test suite is what runs                                                 |

Of F21 the evaluation of adapters is the trainer's; duplicates and the holdout are tested here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, Result, rows, run

Curate = Callable[..., Result]
ETC = Path(__file__).parents[2] / "etc"


def replies(folder: Path) -> list[str]:
    return [one["assistant_text"] for one in rows(folder / "curated_memories.json")]


def reasons(folder: Path) -> list[str]:
    return [one["reason"] for one in rows(folder / "dropped.jsonl")]


def digits(home: Home, count: int, **keys: Any) -> None:
    """Add conversations of which no two are alike."""
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for n in range(count):
        name = " ".join(words[int(digit)] for digit in f"{n:03}")
        home.memory(f"Which sail is {name}?", response=f"Sail {name} hangs by hook {name} today.", **keys)


def test_f01_tags_are_written_and_the_set_validates(curate: Curate, home: Home) -> None:
    digits(home, 3)
    folder = run(curate, home)
    for line in rows(folder / "formatted_samples.json"):
        assert line["input"].startswith("<user>: ")
        assert line["output"].startswith("<assistant>: ")
    assert curate("validate", folder).status == 0
    assert curate("validate", folder / "fine_tune_dataset.jsonl").status == 0


def test_f02_question_and_answer_are_not_glued(curate: Curate, home: Home) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    (line,) = rows(run(curate, home, "--family", "qwen") / "fine_tune_dataset.jsonl")
    assert line == {
        "input": "<|im_start|>user\n<user>: Is the pump dry?<|im_end|>\n<|im_start|>assistant\n",
        "output": "<assistant>: Dry since noon.<|im_end|>\n",
    }


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("llama3", "<|start_header_id|>user<|end_header_id|>\n\n<user>: Q1?<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n<assistant>: It is so.<|eot_id|>"),
        ("phi3", "<|user|>\n<user>: Q1?<|end|>\n<|assistant|>\n<assistant>: It is so.<|end|>\n<|endoftext|>"),
        ("llama2", "[INST] <user>: Q1? [/INST] <assistant>: It is so. </s>"),
    ],
)  # fmt: skip
def test_f03_families_have_their_true_tokens(curate: Curate, home: Home, family: str, text: str) -> None:
    home.memory("Q1?", response="It is so.")
    (line,) = rows(run(curate, home, "--family", family) / "fine_tune_dataset.jsonl")
    assert line["input"] + line["output"] == text


def test_f03_separator_and_eos_of_a_users_schema_are_applied(curate: Curate, home: Home) -> None:
    shipped = json.loads((ETC / "schemas" / "qwen.json").read_text("utf-8"))
    own = shipped | {"family": "own", "models": ["own"], "separator": " ## ", "eos_token": "<eos>"}
    empty = ("user_prefix", "user_suffix", "assistant_prefix", "assistant_suffix", "turn_separator")
    own |= dict.fromkeys(empty, "")
    home.config("schemas/own.json", own)
    home.memory("Is it so?", response="It is so.")
    (line,) = rows(run(curate, home, "--family", "own") / "fine_tune_dataset.jsonl")
    assert line["input"] + line["output"] == "<user>: Is it so? ## <assistant>: It is so.<eos>"


def test_f05_recent_days_and_old_samples_are_obeyed(curate: Curate, home: Home) -> None:
    for n, day in enumerate(("01-01", "01-02", "01-03", "03-10", "03-11")):
        home.memory(f"Where is item {n}{n}?", response=f"Shelf {day} holds it now.", timestamp=f"2025-{day}T10:00:00Z")
    recent = run(curate, home, "--days-recent", 3)
    assert len(replies(recent)) == 2
    assert len(reasons(recent)) == 3
    assert len(replies(run(curate, home, "--days-recent", 3, "--old-samples", 2))) == 4


def test_f06_the_type_mix_is_read_from_etc(curate: Curate, home: Home) -> None:
    digits(home, 10)
    for n, what in enumerate(("a harbour", "my mother", "an empty house", "snow on deck")):
        home.memory(f"I dreamt of {what}.", type="dream", timestamp=f"2025-04-0{n + 1}T05:00:00Z")
    types = json.loads((ETC / "types.json").read_text("utf-8"))
    counts = []
    for percent in (0, 20, 100):
        home.config("types.json", types | {"secondary": types["secondary"] | {"dream": percent}})
        counts.append(sum("dreamt" in reply for reply in replies(run(curate, home))))
    assert counts == [0, 2, 4]


@pytest.mark.parametrize(
    "name", ["2025/03/01/a.json", "2025/2025-03-01-a.json", "2025/a.json", "dreams/2025/03/01/a.json", "a.json"]
)
def test_f07_memories_are_found_in_every_layout(curate: Curate, home: Home, name: str) -> None:
    home.file(name, '{"id": "a", "timestamp": "2025-03-01T10:00:00Z", "content": "Is it so?", "response": "It is so."}')
    assert replies(run(curate, home)) == ["It is so."]


def test_f08_encrypted_memories_are_counted_and_named(curate: Curate, home: Home) -> None:
    digits(home, 1)
    home.file("2025/03/01/b.json.enc", '{"iv": "AA==", "authTag": "AA==", "ciphertext": "AA=="}')
    folder = run(curate, home)
    (drop,) = rows(folder / "dropped.jsonl")
    assert (drop["reason"], drop["path"]) == ("encrypted", "memory/episodic/2025/03/01/b.json.enc")
    assert "encrypted" in (folder / "report.json").read_text("utf-8")


def test_f09_one_id_for_two_events_loses_neither(curate: Curate, home: Home) -> None:
    same = {"id": "evt-202503011030001", "timestamp": "2025-03-01T10:30:00.123Z", "content": "Is it so?"}
    home.file("2025/03/01/a.json", json.dumps(same | {"response": "It is so."}))
    home.file("2025/03/01/b.json", json.dumps(same | {"content": "And the mast?", "response": "Taken down on Friday."}))
    assert sorted(replies(run(curate, home))) == ["It is so.", "Taken down on Friday."]


def test_f10_memories_in_other_scripts_are_no_duplicates(curate: Curate, home: Home) -> None:
    said = [
        "今天天气很好，我们去划船吧。",
        "明天我要修理发动机。",
        "Сегодня море спокойное.",
        "Завтра чиню насос.",
        "船の名前はまりこです。",
    ]
    for text in said:
        home.memory("…?", response=text)
    assert sorted(replies(run(curate, home))) == sorted(said)


@pytest.mark.parametrize(
    ("reply", "clean"),
    [
        ("Sophie said yes to the plan.", None),
        ("Oklahoma is far from the sea.", None),
        ("Surely the tide will turn.", None),
        ("Some days the pump runs dry.", None),
        ("Let me think about the boat, then we sail.", None),
        ("Certainly! The pump is mended.", "The pump is mended."),
    ],
)
def test_f11_fillers_go_by_whole_words_and_sentences(curate: Curate, home: Home, reply: str, clean: str | None) -> None:
    home.memory("What of it?", response=reply)
    assert replies(run(curate, home)) == [clean or reply]


def test_f12_user_text_is_exact_and_replies_end_at_a_sentence(curate: Curate, home: Home) -> None:
    poem = "  O sea,\n\n\tO  wide grey sea —\r\n    what now? "
    for n in range(6):
        told = [f"{place} {n} held {n + k} boats, {place} {n * 7} held none at all by night" for k, place in
                enumerate(("Quay", "Creek", "Slip", "Yard", "Pool", "Dock"))]  # fmt: skip
        home.memory(f"{poem}{n}", response=". ".join(told) + ".")
    folder = run(curate, home)
    assert [one["user_text"] for one in rows(folder / "curated_memories.json")] == [f"{poem}{n}" for n in range(6)]
    for reply in replies(folder):
        assert reply.endswith(".")
        assert "..." not in reply


def test_f13_one_sided_and_labelled_memories_make_samples(curate: Curate, home: Home) -> None:
    home.memory("User: Is it so?\n\nAssistant: It is so.")
    home.memory("I keep fixing what is not broken.", type="reflection")
    home.memory("The harbour had no water in it.", type="inner_dialogue")
    assert len(replies(run(curate, home))) == 3


def test_f14_one_seed_gives_the_same_bytes_and_max_is_spread_over_time(curate: Curate, home: Home) -> None:
    for n in range(100):
        month, day = divmod(n, 25)
        home.memory(f"Log {n}?", response=f"Mile {n * 37} on heading {n * 7}, mast {n % 9}.",
                    timestamp=f"2025-{month + 1:02}-{day + 1:02}T10:00:00Z")  # fmt: skip
    chosen = [run(curate, home, "--max", 20, "--seed", seed) / "curated_memories.json" for seed in (1, 1, 2)]
    one, again, other = [path.read_bytes() for path in chosen]
    assert one == again
    assert one != other
    months = [sample["metadata"]["timestamp"][5:7] for sample in rows(chosen[0])]
    assert len(months) == 20
    assert {month: months.count(month) for month in set(months)} == dict.fromkeys(("01", "02", "03", "04"), 5)


def test_f15_metadata_that_says_dual_everywhere_does_not_make_all_dual(curate: Curate, home: Home) -> None:
    digits(home, 20, metadata={"cognitiveMode": "dual"})
    home.memory("Is it so?", response="It is so.", metadata={"cognitiveMode": "environment"})
    folder = run(curate, home)
    assert {one["mode"] for one in rows(folder / "curated_memories.json")} == {"emulation"}
    assert not any("pair_flipped" in one["metadata"] for one in rows(folder / "curated_memories.json"))


def test_f17_dislikes_and_rejections_remove_their_samples(curate: Curate, home: Home) -> None:
    home.memory("Is it so?", response="It is not so.", id="bad")
    home.memory("Is the mast up?", response="Up since Friday.", validation={"status": "rejected", "by": "ann"})
    home.memory("[Feedback: Negative]\nType: reply\nTarget: bad", type="operator_feedback",
                metadata={"reinforcementSignal": -1, "targetId": "bad"})  # fmt: skip
    home.memory("Where is the oar?", response="Under the thwart.")
    folder = run(curate, home)
    assert replies(folder) == ["Under the thwart."]
    assert sorted(reasons(folder)) == ["disliked", "feedback", "rejected"]


def test_f18_a_curated_conversation_without_a_reply_is_accounted_for(curate: Curate, home: Home) -> None:
    digits(home, 1)
    folder = home.profile / "memory" / "curated" / "conversations"
    folder.mkdir(parents=True)
    one = {"id": "c1", "originalTimestamp": "2025-03-01T10:00:00Z", "conversationalEssence": "a pump"}
    (folder / "2025-03-01-c1.json").write_text(json.dumps(one | {"userMessage": "Is it so?", "flags": []}), "utf-8")
    made = run(curate, home)
    fates = json.loads((made / "report.json").read_text("utf-8"))["memory_fates"]
    assert sum(fates.values()) == 2
    assert all(replies(made))


def test_f20_archived_memories_and_notices_stay_out(curate: Curate, home: Home) -> None:
    digits(home, 1)
    gone = {"id": "p", "timestamp": "2025-03-01T10:00:00Z", "content": "Is it so?", "response": "Gone it is."}
    home.file("2025/03/01/_pruned/p.json", json.dumps(gone))
    home.memory("📚 Curated 9 memories", type="inner_dialogue", tags=["curator"])
    folder = run(curate, home)
    assert len(replies(folder)) == 1
    assert sorted(reasons(folder)) == ["bot_notice", "pruned"]


def test_f21_duplicates_go_and_the_holdout_is_apart(curate: Curate, home: Home) -> None:
    text = "We scraped the hull from noon until the light went, and then we drank tea on the slip and said nothing"
    home.memory("How was it?", response=f"{text}.")
    home.memory("How was it?", response=f"{text}.")
    home.memory("How was it?", response=f"{text} more.")
    for n in range(60):
        for turn in "ab":
            home.memory(f"Talk {n}{turn}?", response=f"{turn} {n * 31} and {n * 17} {turn} were {n}{turn} then.",
                        metadata={"conversationId": f"c-{n}"})  # fmt: skip
    folder = run(curate, home, "--holdout", "0.2")
    assert sorted(reasons(folder)) == ["duplicate", "near_duplicate"]
    sides: dict[str, set[str]] = {"train": set(), "holdout": set()}
    for one in rows(folder / "curated_memories.json"):
        if talk := re.match(r"Talk (\d+)", one["user_text"]):
            sides[one["metadata"].get("split", "train")].add(talk[1])
    assert len(sides["holdout"]) >= 10
    assert not sides["train"] & sides["holdout"]


def test_f22_every_line_can_be_traced(curate: Curate, home: Home) -> None:
    path = home.memory("Is it so?", response="It is so.", id="evt-1")
    folder = run(curate, home)
    (line,) = rows(folder / "lineage.jsonl")
    assert (line["file"], line["line"], line["original_id"]) == ("fine_tune_dataset.jsonl", 1, "evt-1")
    assert line["sources"] == [
        {
            "path": path.relative_to(home.profile).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    ]


def test_f23_position_decides_what_a_tag_is(curate: Curate, tmp_path: Path, home: Home) -> None:
    digits(home, 1)
    folder = run(curate, home)
    good = json.loads((folder / "fine_tune_dataset.jsonl").read_text("utf-8"))
    dataset = tmp_path / "set.jsonl"

    def status(**changed: str) -> int:
        dataset.write_text(json.dumps(good | changed) + "\n", "utf-8")
        return curate("validate", dataset).status

    assert status() == 0
    assert status(input=good["input"].replace("<user>: ", "He said <user>: ")) == 1
    assert status(output=good["output"].replace("<assistant>: ", "<world>: ")) == 1
    assert status(output="") == 1


def test_f23_a_home_without_memories_reports_no_nan(curate: Curate, home: Home) -> None:
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert "nan" not in re.findall(r"[a-z]+", (result.out + result.err).lower())
    assert "Traceback" not in result.err


def test_f24_the_memories_are_never_written(curate: Curate, home: Home) -> None:
    digits(home, 3)
    home.file("2025/03/09/broken.json", '{"id": "x"')

    def state() -> dict[str, tuple[bytes, int]]:
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in home.episodic.rglob("*.json")}

    before = state()
    run(curate, home)
    assert state() == before


def test_f26_samples_are_streamed_one_a_line(curate: Curate, home: Home) -> None:
    digits(home, 5)
    folder = run(curate, home)
    for name in ("curated_memories.json", "formatted_samples.json", "schema_applied.json"):
        lines = (folder / name).read_text("utf-8").splitlines()
        assert (lines[0], lines[-1], len(lines)) == ("[", "]", 7)


def test_f27_a_run_is_the_owners_alone_to_read(curate: Curate, home: Home) -> None:
    digits(home, 1)
    before = os.umask(0o022)
    try:
        folder = run(curate, home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0

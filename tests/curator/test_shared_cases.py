"""The small homes on which the product once failed: each gives what its expected.txt says.

They lie beside the repository, not in it; where they are absent these tests are skipped. Tests of the same kinds with
content of their own stand with the rooms that they are about.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import SHARED, Result, curate_once, rows

from curator.language.tokens import estimated_tokens
from curator.language.words import count_words

CASES: Final = SHARED / "cases" / "curate.tar.gz"
pytestmark = pytest.mark.skipif(not CASES.is_file(), reason=f"{CASES.name} is not beside this repository")
OWN_SCRIPT: Final = {"zh": "[\u4e00-\u9fff]", "ja": "[\u3040-\u30ff]", "ru": "[\u0400-\u04ff]", "th": "[\u0e00-\u0e7f]"}
PER_TOKEN: Final = {"zh": 1.15, "ja": 1.32, "ru": 2.92, "th": 1.75, "es": 3.76}
NOTICES: Final = (
    "Agency", "Auto-approved", "desire", "Drift", "Verdict", "verdict", "Photo:", "Calendar", "Voice Memo",
    "[No transcription", "rejected proposal", "Operator task", "Location:", "Research observation",
)  # fmt: skip
LANGUAGES: Final = ("10-lang-zh", "11-lang-ja", "12-lang-ru", "14-lang-th", "16-lang-es")


@dataclass(frozen=True)
class Case:
    """A case's home and what a run of it left."""

    folder: Path
    done: Result

    @property
    def samples(self) -> list[dict[str, Any]]:
        return rows(self.done.run / "curated_memories.json")

    @property
    def dropped(self) -> list[dict[str, Any]]:
        return rows(self.done.run / "dropped.jsonl")

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.done.run / "report.json").read_text("utf-8"))
        return report

    @property
    def replies(self) -> list[str]:
        return [sample["assistant_text"] for sample in self.samples]

    @property
    def contents(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / "home/profiles/ana/memory/episodic").rglob("*.json"))
        return [json.loads(path.read_text("utf-8")) for path in files]

    def check(self, name: str) -> dict[str, Any]:
        return next(check for check in self.report["checks"] if check["name"].startswith(name))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Unpack a case and run it once."""
    root = tmp_path_factory.mktemp("cases")
    with tarfile.open(fileobj=io.BytesIO(CASES.read_bytes())) as archive:
        archive.extractall(root, filter="data")
    known: dict[str, Case] = {}

    def run(name: str) -> Case:
        if name not in known:
            folder = next(path.parent for path in root.rglob(f"{name}/home"))
            done = curate_once("run", "--home", folder / "home", "--username", "ana", "--out", folder / "out")
            known[name] = Case(folder, done)
        return known[name]

    return run


Run = Callable[[str], Case]


def test_01_attachments_are_nobodys_words(case: Run) -> None:
    one = case("01-mh-chat-attachments")
    texts = [text for sample in one.samples for text in (sample["user_text"], sample["assistant_text"])]
    for text in texts:
        assert "📎" not in text and "omitted" not in text and "deleted" not in text
    assert any("this is the one I mean, the left pin is bent" in reply for reply in one.replies)
    reasons = Counter(drop["reason"] for drop in one.dropped)
    assert reasons["attachment"] + reasons["media_placeholder"] >= 1 or sum(reasons.values()) >= 2


def test_03_notices_of_programs_are_dropped_and_people_are_kept(case: Run) -> None:
    one = case("03-mh-agency-notices")
    said = "\n".join(text for sample in one.samples for text in (sample["user_text"], sample["assistant_text"]))
    for notice in NOTICES:
        assert notice not in said, notice
    assert "so the thing about the shed is that the roof was never meant to hold snow" in said
    assert "are you awake, the pump is doing it again" in said and 'Me: "' not in said
    assert "I keep the good screwdriver in the bread bin so that nobody borrows it." in said
    reasons = Counter(drop["reason"] for drop in one.dropped)
    assert reasons["bot_notice"] + reasons["feedback"] + reasons["disliked"] >= 16


@pytest.mark.parametrize("name", LANGUAGES)
def test_10_to_16_a_language_is_as_right_as_english(case: Run, name: str) -> None:
    one, language = case(name), name[-2:]
    assert max(one.report["languages"], key=one.report["languages"].__getitem__) == language
    asked = [sample["user_text"] for sample in one.samples if sample["metadata"].get("prompted")]
    assert asked
    if language in OWN_SCRIPT:
        assert all(re.search(OWN_SCRIPT[language], question) for question in asked)
    else:
        assert not any(re.search(r"\b(What|How|Tell|the)\b", question) for question in asked)
    assert not [drop for drop in one.dropped if drop["reason"] in ("cut_off", "untrimmable")]
    contents = "\n".join(memory["content"] for memory in one.contents)
    for sample in one.samples:
        if sample["metadata"]["reply_author"] == "person":
            assert sample["assistant_text"] in contents
            assert count_words(sample["assistant_text"]) <= 300
    diary = [memory["content"] for memory in one.contents if memory["type"] in ("journal", "reflection")]
    passages = [s["assistant_text"] for s in one.samples if s["metadata"]["source_type"] in ("journal", "reflection")]
    longest = max(diary, key=len)
    assert longest not in passages, "an entry beyond the limit is cut"
    fillers = one.check("replies with fillers")
    cleaned = one.report["cleaned"].get("fillers", 0)
    assert cleaned >= 1 or not fillers["measured"] or fillers["value"] > 0
    texts = [text for s in one.samples for text in (s["user_text"], s["assistant_text"])]
    tokens = sum(map(len, texts)) / PER_TOKEN[language]
    assert 1 / 1.5 < sum(map(estimated_tokens, texts)) / tokens < 1.5


def test_20_fillers_of_a_language_added_by_its_key(case: Run) -> None:
    one = case("20-fillers-added-language")
    assert "先把垫圈换掉。明天就能用了。" in one.replies
    assert "まずパッキンを替えてください。明日には使えます。" in one.replies
    assert any(reply.startswith("غيّر الحلقة") for reply in one.replies)
    assert "Cambia primero la junta. Mañana funcionará." in one.replies
    said = "\n".join(one.replies)
    for filler in ("作为一个人工智能", "希望这能帮到你", "AIとして", "Como inteligencia artificial", "Espero que esto"):
        assert filler not in said


def test_21_replies_without_marks_are_whole(case: Run) -> None:
    one = case("21-caseless-unmarked-replies")
    assert sorted(one.replies) == sorted(memory["content"].split("Assistant: ")[1] for memory in one.contents)


def test_23_near_duplicates_in_scripts(case: Run) -> None:
    one = case("23-near-duplicates-scripts")
    doubles = [drop for drop in one.dropped if drop["reason"] in ("duplicate", "near_duplicate")]
    assert len(doubles) == 6, doubles
    said = "\n".join(one.replies)
    assert "下午三点在公司门口" in said and "下午四点在学校门口" in said
    assert "Yes, I will come" in said and "No, I will not come" in said


def test_24_a_run_of_one_speakers_messages_is_one_turn(case: Run) -> None:
    sample = case("24-consecutive-messages").samples[0]
    assert "slipped" in sample["user_text"] and "wrist hurts" in sample["user_text"]
    assert "Keep the wrist still" in sample["assistant_text"]
    assert "\n" in sample["user_text"]


def test_25_content_parts_null_contents_and_other_roles(case: Run) -> None:
    said = "\n".join(case("25-message-content-parts").replies)
    for reply in ("On the nail behind", "Oil is on the list", "Yes, hourly until six", "Until noon, and", "It glows,"):
        assert reply in said


def test_26_german_phrases_with_sense_stay(case: Run) -> None:
    one = case("26-german-context")
    assert len(one.samples) == 6
    said = [message["content"] for memory in one.contents for message in memory.get("messages", ())]
    assert sorted(one.replies) == sorted(said[1::2])


def test_28_code_tables_and_formulas_stay_whole(case: Run) -> None:
    one = case("28-code-and-tables")
    for reply in one.replies:
        assert reply.count("```") % 2 == 0
        assert reply.count("$") % 2 == 0
        table = [line for line in reply.split("\n") if line.startswith("|")]
        assert not table or len(table) == 5
    assert not [drop for drop in one.dropped if drop["reason"] == "reserved_tag"]


def test_29_dictation_is_cut_into_passages(case: Run) -> None:
    one = case("29-dictation")
    assert max(map(count_words, one.replies)) <= 300
    assert one.report["too_long"] == 0 or any("tokens" in warning for warning in one.report["warnings"])


def test_30_a_long_conversation_loses_nothing_in_silence(case: Run) -> None:
    one = case("30-long-conversation")
    told = [*one.report["warnings"], *(drop["detail"] for drop in one.dropped)]
    trained = "\n".join(
        text
        for s in one.samples
        for text in (s["assistant_text"], *(c["assistant_text"] for c in s.get("context", ())))
    )
    replies = [m["content"] for memory in one.contents for m in memory.get("messages", ()) if m["role"] == "assistant"]
    lost = [reply for reply in replies if reply not in trained]
    assert not lost or any("token" in words or "too long" in words for words in told)


def test_32_tool_calls_are_bounded_and_ordered(case: Run) -> None:
    one = case("32-tool-calls")
    assert max(len(s["user_text"]) + len(s["assistant_text"]) for s in one.samples) < 4_000
    (plan,) = [s["assistant_text"] for s in one.samples if s["assistant_text"].startswith("plan ")]
    assert plan.index("z_first") < plan.index("a_second") < plan.index('"m"')
    said = json.dumps(one.samples)
    assert "sk-live-EXAMPLE" not in said
    assert "control_token" in {drop["reason"] for drop in one.dropped}


def test_35_one_word_is_one_word_in_every_language(case: Run) -> None:
    one = case("35-short-emoji-mixed")
    for word in ("ok", "lol", "好", "да", "нет", "嗯嗯", "うん", "نعم"):
        assert count_words(word) == 1
        assert word not in one.replies
    assert "too_short" in {drop["reason"] for drop in one.dropped}
    questions = [sample["user_text"] for sample in one.samples]
    assert ("ok" in questions) == ("好的" in questions)


@pytest.mark.parametrize("name", ["37-holdout-leak-ar", "37-holdout-leak-en"])
def test_37_no_held_out_sample_has_a_twin_in_training(case: Run, name: str) -> None:
    one = case(name)
    sides: dict[str, list[set[str]]] = {"train": [], "holdout": []}
    for sample in one.samples:
        plain = re.sub(r"[\W_]+", "", sample["assistant_text"])
        sides[sample["metadata"].get("split", "train")].append(
            {plain[place : place + 4] for place in range(len(plain) - 3)}
        )
    assert sides["holdout"]
    highest = max(len(a & b) / len(a | b) for a in sides["holdout"] for b in sides["train"] if a and b)
    assert highest < 0.85, highest


def test_38_labels_in_any_case_and_script(case: Run) -> None:
    one = case("38-lowercase-name-labels")
    for sample in one.samples:
        assert sample["metadata"]["reply_author"] != "person"
        for label in ("MetaHuman:", "ASSISTANT", "Assistant:", "Claude:", "Assistant：", "**"):
            assert not sample["assistant_text"].startswith(label)
    said = "\n".join(one.replies)
    assert {
        "Behind the door, wet.", "On the nail, blade inwards.", "In the stump, as always.",
        "Under the seat of the van.", "Next to the plane, in its sock.", "In the tin box with the rasps.",
    } <= set(one.replies)  # fmt: skip
    assert "Nothing for two days, then thank them." in one.replies
    assert "Answer: the roof holds.\n\nNote: check the left gutter." in said


def test_39_a_homes_own_questions_replace_the_shipped_ones(case: Run) -> None:
    one = case("39-prompts-language")
    own = json.loads((one.folder / "home/etc/prompts.json").read_text("utf-8"))
    known = {q for mode in ("dual", "emulation", "agent") for questions in own[mode].values() for q in questions}
    stock = [sample for sample in one.samples if sample["metadata"].get("question") == "stock"]
    assert {sample["user_text"] for sample in stock} <= known
    asked = [sample["user_text"] for sample in one.samples if sample["metadata"].get("prompted")]
    assert asked and all(re.search(OWN_SCRIPT["zh"], question) for question in asked)


def test_40_secrets_are_counted_by_kind(case: Run) -> None:
    secrets = case("40-pii").report["secrets"]
    assert secrets["card number"] == secrets["IBAN"] == 1
    assert sum(secrets.values()) == 3


def test_46_tags_in_disguise_are_found_and_generics_are_not(case: Run) -> None:
    one = case("46-tags-in-other-scripts")
    found = "\n".join(sample["user_text"] for sample in one.samples)
    for innocent in ("List<String>", "User<Action> in Kotlin"):
        assert innocent in found, innocent
    for tag in ("‹user›", "＜user＞", "< u s e r >", "<thought>:", "<𝕦𝕤𝕖𝕣>"):
        assert tag not in found, tag
    assert all("at character" in drop["detail"] for drop in one.dropped if drop["reason"] == "reserved_tag")

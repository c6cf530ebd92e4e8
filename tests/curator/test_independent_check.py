"""The independent check finds what it is there to find: each rule is broken once in a copy of a small run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, curate_once
from independent_check import Verdict, check, marks

TREES = ("amber", "birch", "cedar", "dogwood", "elder", "fir", "gorse", "hazel", "ivy", "juniper")
ORDER = "Cast off the bow line first.  Then come\naft and take the tiller."
REPLY = "She lies at the north pier. Bring both oars and the blue sail."
DIARY = "Up early. Scraped the hull with Mr. Lee until noon. Rain after that, and a long walk. Slept badly."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run's folder and the profile it was made from; what is changed is a copy of the run."""
    home = Home(tmp_path_factory.mktemp("made") / "home")
    home.memory("Where is  the dinghy?", response=REPLY)
    home.memory(ORDER, response="It is done, and the fenders are in as well.")
    home.memory(DIARY, type="journal")
    home.memory("I mend what is not broken.", type="inner_dialogue", timestamp="2025-06-01T10:00:00Z")
    tool = {"toolName": "tides", "toolInputs": {"port": "Cowes"}, "toolOutputs": {"high": "9:12"}, "success": True}
    home.memory("Invoked skill: tides", type="tool_invocation", metadata=tool | {"instruction": "Look up the tide."})
    home.memory("And the pump?", response="Ok.")
    for n, word in enumerate(TREES):
        turns = [
            f"Where grows the {word}?",
            f"By mile {n} of the {word} path.",
            f"Is {word} good wood?",
            f"Fair {word} is.",
        ]
        home.memory(
            messages=[{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)],
            metadata={"conversationId": f"c-{n}"},
        )
    return curate_once("run", "--username", "ann", "--home", home.folder, "--holdout", "0.1").run, home.profile


def planted(made: tuple[Path, Path], folder: Path, change: Callable[[Path], None]) -> Verdict:
    """Check a copy of the run, in `folder`, with a change made to it."""
    run, profile = made
    copy = folder / "copy"
    shutil.copytree(run, copy)
    change(copy)
    return check(copy, profile)


def rewrite(old: str, new: str, *names: str) -> Callable[[Path], None]:
    """Replace a text wherever the run's files hold it, or in the files named."""

    def change(run: Path) -> None:
        found = 0
        for path in run.iterdir():
            if path.suffix == ".npz":
                continue
            text = path.read_text("utf-8")
            inner = [json.dumps(part, ensure_ascii=False)[1:-1] for part in (old, new)]
            if (not names or path.name in names) and inner[0] in text:
                path.write_text(text.replace(inner[0], inner[1]), "utf-8")
                found += 1
        assert found

    return change


def edit(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[Path], None]:
    """Change the rows of one of the run's files."""

    def apply(run: Path) -> None:
        path = run / name
        text = path.read_text("utf-8")
        rows = change(json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()])
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text(f"[{','.join(lines)}]" if name.endswith(".json") else "".join(f"{line}\n" for line in lines))

    return apply


def test_the_run_itself_is_clean(made: tuple[Path, Path]) -> None:
    verdict = check(*made)
    assert verdict.findings == []
    assert verdict.facts["memories"] == 16
    assert verdict.facts["holdout"] > 0


@pytest.mark.parametrize(
    "mark",
    [
        "<user>", "<WORLD>:", "< th ought >", "＜user＞", "&lt;assistant&gt;", "&amp;lt;action&amp;gt;", "<usеr>",
        "<us\u200ber>", "<u\u0301ser>", "‹instruction›", "<|im_end|>", "<｜im_start｜>", "[ INST ]", "<</SYS>>",
        "</s>", "<start_of_turn>", "<think>",
    ],
)  # fmt: skip
def test_a_mark_is_seen_in_any_disguise(mark: str) -> None:
    assert marks(f"The pump {mark} runs.")


@pytest.mark.parametrize(
    "text", ["2 < 3 and 5 > 4", "the user and the world", "a <b> & c", "[instead] of it", "<3 you"]
)
def test_plain_text_is_no_mark(text: str) -> None:
    assert marks(text) == []


LAYERS = ("formatted_samples.json", "schema_applied.json", "fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl")
PLANTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a tag in a text": (rewrite("Bring both", "Bring <usеr>: both"), "tags", "<user>:"),
    "a control token": (rewrite("Bring both", "Bring &lt;|im_end|&gt; both"), "tags", "<|im_end|>"),
    "a tag of another mode": (rewrite("<user>: Where is", "<thought>: Where is", *LAYERS), "tags", "emulation"),
    "a lost end of turn": (rewrite("sail.<|im_end|>", "sail.", *LAYERS), "tags", "ChatML"),
    "a reply cut short": (rewrite(" and the blue sail.", ""), "cut", "stops in mid-sentence"),
    "a reply begun late": (rewrite("She lies at the north", "the north"), "cut", "starts in mid-sentence"),
    "dots put on": (rewrite(" and the blue sail.", "..."), "changed", "not a part"),
    "a reply reworded": (rewrite("lies at", "sits at"), "changed", "not a part"),
    "a blank of the person's": (rewrite("Where is  the", "Where is the"), "changed", "person's words"),
    "a newline of the person's": (rewrite("come\naft", "come aft"), "changed", "person's words"),
    "a part of what was asked": (rewrite(".  Then come\naft and take the tiller.", "."), "changed", "part of"),
    "a passage cut short": (rewrite("I mend what is not broken.", "I mend what is"), "cut", "I mend what is"),
    "a passage ended at Mr.": (rewrite(" Lee until noon. Rain after that, and a long walk.", ""), "cut", "with Mr."),
    "a passage reworded": (rewrite("mend what is", "fix what is"), "changed", "fix what is"),
    "a lost drop": (edit("dropped.jsonl", lambda rows: rows[1:]), "accounts", "neither used nor dropped"),
    "a lost lineage": (edit("lineage.jsonl", lambda rows: rows[1:]), "accounts", "lines, lineage and samples"),
    "a lost line": (edit("fine_tune_dataset.jsonl", lambda rows: rows[1:]), "accounts", "lines, lineage and samples"),
    "a line of another": (edit("fine_tune_dataset.jsonl", lambda rows: rows[::-1]), "accounts", "piece"),
    "an id given twice": (edit("schema_applied.json", lambda rows: [*rows, rows[0]]), "accounts", "not unique"),
    "a layer that differs": (rewrite("Bring both", "Bring", "curated_memories.json"), "accounts", "the layers differ"),
    "a file gone": (lambda run: (run / "report.html").unlink(), "accounts", "names other files"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_violation_is_found(made: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    change, rule, words = PLANTS[name]
    findings = planted(made, tmp_path, change).findings
    assert [one for one in findings if one.rule == rule and words in one.detail], findings


def swapped(rows: list[Any]) -> list[Any]:
    """Hold out one sample of a conversation that is trained on."""
    row = next(row for row in rows if "good wood" in row["raw_input"] and "split" not in row["metadata"])
    row["metadata"]["split"] = "holdout"
    return rows


def test_a_conversation_on_both_sides_is_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    findings = planted(made, tmp_path, edit("schema_applied.json", swapped)).findings
    assert [one for one in findings if one.rule == "holdout" and one.where.startswith("conversation c-")]


def copied(rows: list[Any]) -> list[Any]:
    """Give a training sample the words of a held-out one, but for a word."""
    held = next(row for row in rows if row["metadata"].get("split") == "holdout")
    other = next(
        row for row in rows if row["metadata"].get("split", "train") == "train" and row["mode"] == held["mode"]
    )
    long = " ".join(f"word{n}" for n in range(60))
    held["raw_output"] = f"<assistant>: {long} end."
    other["raw_input"], other["raw_output"] = held["raw_input"], f"<assistant>: {long} over."
    return rows


def test_a_near_duplicate_across_the_holdout_is_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    findings = planted(made, tmp_path, edit("schema_applied.json", copied)).findings
    assert [one for one in findings if one.rule == "holdout" and one.detail.startswith("Jaccard 0.9")]


def test_a_reply_on_both_sides_is_found_though_the_questions_differ(made: tuple[Path, Path], tmp_path: Path) -> None:
    def answered_alike(samples: Any) -> Any:
        samples = copied(samples)
        held = next(row for row in samples if row["metadata"].get("split") == "holdout")
        held["raw_input"] = "<user>: " + " ".join(f"asked{n}" for n in range(60))
        return samples

    findings = planted(made, tmp_path, edit("schema_applied.json", answered_alike)).findings
    assert [one for one in findings if one.rule == "holdout" and one.detail.startswith("its reply: Jaccard 0.9")]


def test_a_holdout_of_another_size_is_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    findings = planted(made, tmp_path, edit("schema_applied.json", lambda rows: rows * 20)).findings
    assert [one for one in findings if one.rule == "holdout" and "held out of" in one.detail]


def test_a_memory_changed_or_added_later_is_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, profile = made[0], shutil.copytree(made[1], tmp_path / "profile")
    first, *_ = sorted((profile / "memory").rglob("*.json"))
    first.write_text(first.read_text("utf-8") + "\n", "utf-8")
    first.with_name("new.json").write_text("{}", "utf-8")
    details = [one.detail for one in check(run, profile).findings]
    assert "the source's sha256 is another" in details
    assert "the file is neither used nor dropped" in details


def test_too_few_memories_with_samples_are_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    findings = planted(made, tmp_path, edit("lineage.jsonl", lambda rows: rows[:4])).findings
    assert [one for one in findings if one.rule == "coverage" and "make a sample" in one.detail]


def test_a_mode_that_is_not_there_is_found(made: tuple[Path, Path], tmp_path: Path) -> None:
    def without(rows: list[Any]) -> list[Any]:
        return [row for row in rows if row["mode"] != "agent"]

    findings = planted(made, tmp_path, edit("schema_applied.json", without)).findings
    assert [one for one in findings if one.rule == "coverage" and "modes" in one.detail]

"""The report says whose words, in which languages, to whose questions; what was not measured it does not call ok."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conftest import Home, Result, rows

Curate = Callable[..., Result]


def report_of(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((result.run / "report.json").read_text("utf-8"))
    return report


def fill(home: Home) -> None:
    """Two own entries, two answers of the twin, two of another human's chat, one tool call."""
    home.memory("We walked along the quay and counted the boats before it rained.", type="journal")
    home.memory("The carpenter came at nine and said the frames were sound after all.", type="journal")
    home.memory("Where is the harbour that we saw?", response="Behind the old mill, where the river bends.")
    home.memory("What leaks on this boat of ours?", response="The pump by the stern leaks again, as it did in May.")
    home.file(
        "2025/03/09/chat.json",
        json.dumps({"id": "evt-chat", "timestamp": "2025-03-09T10:00:00Z", "type": "chat", "messages": [
            {"role": "other", "content": "Are you coming to the yard on Saturday morning?"},
            {"role": "me", "content": "Yes, with the long rope and the two fenders."},
        ]}),
    )  # fmt: skip
    tool = {"toolName": "send_mail", "toolInputs": {"to": "anna"}, "toolOutputs": {"ok": True}, "success": True}
    home.memory(type="tool_invocation", metadata=tool | {"instruction": "Write to Anna that we sail."})


def test_replies_are_counted_by_author_and_prompts_by_where_they_come_from(home: Home, curate: Curate) -> None:
    fill(home)
    done = curate("run", "--home", home.folder, "--username", "ann")
    report = report_of(done)
    assert report["authors"] == {"person": 3, "assistant": 2, "tool": 1}
    assert sum(report["questions"].values()) == report["samples"] == 6
    assert report["questions"]["own"] == 4
    assert report["turns"] == {"1": 6}
    assert report["languages"].get("en", 0) >= 4
    assert "Replies by author: the person's 3, an assistant's 2, a tool's 1" in " ".join(done.out.split())


def test_author_person_keeps_only_theirs_and_says_where_the_others_went(home: Home, curate: Curate) -> None:
    fill(home)
    done = curate("run", "--home", home.folder, "--username", "ann", "--author", "person")
    report = report_of(done)
    assert report["authors"] == {"person": 3}
    assert {row["metadata"]["reply_author"] for row in rows(done.run / "curated_memories.json")} == {"person"}
    dropped = [row for row in rows(done.run / "dropped.jsonl") if row["reason"] == "other_author"]
    assert sorted(row["detail"] for row in dropped) == [
        "its reply's author is assistant", "its reply's author is assistant", "its reply's author is tool",
    ]  # fmt: skip
    assert "--author person" in " ".join(json.loads((done.run / "run-summary.json").read_text("utf-8"))["command"])


def test_an_author_nobody_has_leaves_an_empty_set_that_says_why(home: Home, curate: Curate) -> None:
    fill(home)
    done = curate("run", "--home", home.folder, "--username", "ann", "--author", "other_human")
    assert done.status == 1
    assert "other_author" in done.err and "leave --author out" in done.err


def test_fillers_in_a_language_without_a_list_are_not_measured(home: Home, curate: Curate) -> None:
    """Basque is in no list of etc/fillers.json."""
    for number in range(3):
        home.memory(
            f"Nora joan nahi duzu gaur arratsaldean {number}?",
            response=f"Gaur arratsaldean itsasertzera joan nahi dut, eguraldi ona egiten badu {number} lagunekin.",
        )
    report = report_of(curate("run", "--home", home.folder, "--username", "ann"))
    assert report["languages"] == {"eu": 3}
    check = next(check for check in report["checks"] if check["name"] == "replies with fillers")
    assert (check["verdict"], check["measured"]) == ("n/a", False)
    assert "eu 3" in check["advice"]


def test_fillers_are_not_measured_where_all_words_are_the_persons(home: Home, curate: Curate) -> None:
    home.memory("We walked along the quay and counted the boats before it rained.", type="journal")
    done = curate("run", "--home", home.folder, "--username", "ann")
    check = next(check for check in report_of(done)["checks"] if check["name"] == "replies with fillers")
    assert (check["verdict"], check["measured"]) == ("n/a", False)
    assert "not measured" in done.out


def test_the_most_repeated_prompts_come_first(home: Home, curate: Curate) -> None:
    for number, place in enumerate(("mill", "quay", "yard")):
        home.memory("Where were you all day?", response=f"I stood by the {place} until {number + 4} o'clock.")
    home.memory("What leaks on this boat of ours?", response="The pump by the stern leaks again, as it did in May.")
    done = curate("run", "--home", home.folder, "--username", "ann")
    assert report_of(done)["repeated_prompts"] == [{"text": "Where were you all day?", "count": 3}]
    assert "Most repeated prompts" in done.out


def test_a_sample_longer_than_trainers_take_is_reported(home: Home, curate: Curate) -> None:
    home.memory(
        "Read me the by-laws. " + "No boat is left on the slip overnight. " * 400, response="That is all of them."
    )
    done = curate("run", "--home", home.folder, "--username", "ann")
    report = report_of(done)
    assert report["too_long"] == 1
    assert any("more than 2,048 tokens" in warning for warning in report["warnings"])


def test_secrets_are_counted_by_kind_whether_kept_or_not(home: Home, curate: Curate) -> None:
    card, account = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"
    home.memory(f"My card is {card} and the account is {account}, so do not lose them.", type="journal")
    home.memory("We walked along the quay and counted the boats before it rained.", type="journal")
    without = report_of(curate("run", "--home", home.folder, "--username", "ann"))
    assert without["secrets"] == {"IBAN": 1, "card number": 1}
    kept = report_of(curate("run", "--home", home.folder, "--username", "ann", "--keep-secrets"))
    assert kept["secrets"] == {"IBAN": 1, "card number": 1}
    assert any(warning.startswith("--keep-secrets: 2 secrets") for warning in kept["warnings"])
    assert card not in json.dumps(kept["warnings"])

"""The export to OpenAI: rows by its guide, job.json, and create_job.py, which sends nothing before it has asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from conftest import Home, Result
from curator_plugins.exporters import openai
from outgoing_fixtures import conversation, job

from curator.contract.errors import UsageError
from curator.hooks import ExportJob

ROW: Final[dict[str, Any]] = {
    "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]
}
MODEL: Final = "gpt-4.1-mini-2025-04-14"


def a_job(method: Literal["lora", "full"] = "lora", base_model: str = MODEL, **changes: Any) -> ExportJob:
    return replace(job("qwen", method, **changes), base_model=base_model)


def validate_openai(path: Path) -> list[str]:
    """Check a file as OpenAI's documentation asks; return what is wrong, by line.

    The checks of "Data preparation and analysis for chat model fine-tuning" (openai-cookbook, examples/
    Chat_finetuning_data_prep.ipynb) by their names, in our words; and the supervised fine-tuning guide
    (developers.openai.com/api/docs/guides/supervised-fine-tuning): JSON Lines in UTF-8, 10 examples at least, `weight`
    0 or 1 on assistant messages alone. That the assistant comes last is ours: else there is nothing to learn there.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"no UTF-8: {error}"]
    if text.startswith("\ufeff") or "\r" in text or not text.endswith("\n"):
        return ["a byte order mark, or lines that do not end in LF"]
    lines = text.split("\n")[:-1]
    problems = [] if len(lines) >= 10 else [f"{len(lines)} examples: 10 are the least"]
    for number, line in enumerate(lines, 1):
        problems += [f"{number}: {problem}" for problem in _line_problems(line)]
    return problems


def _line_problems(line: str) -> list[str]:
    if not line.strip():
        return ["blank_line"]
    try:
        example = json.loads(line)
    except ValueError:
        return ["no JSON"]
    if not isinstance(example, dict):
        return ["data_type"]
    messages = example.get("messages")
    if not messages or not isinstance(messages, list):
        return ["missing_messages_list"]
    problems = ["unrecognized_key"] if set(example) - {"messages", "tools", "parallel_tool_calls"} else []
    for message in messages:
        problems += _message_problems(message)
    roles = [message.get("role") for message in messages if isinstance(message, dict)]
    if "assistant" not in roles:
        problems.append("example_missing_assistant_message")
    elif roles[-1] != "assistant":
        problems.append("last_message_not_assistant")
    learnt = [
        one for one in messages if isinstance(one, dict) and one.get("role") == "assistant" and one.get("weight", 1)
    ]
    return problems if learnt or problems else ["nothing_learnt"]


def _message_problems(message: Any) -> list[str]:
    if not isinstance(message, dict) or "role" not in message or "content" not in message:
        return ["message_missing_key"]
    problems = []
    if set(message) - {"role", "content", "name", "function_call", "weight"}:
        problems.append("message_unrecognized_key")
    if message["role"] not in ("system", "user", "assistant", "function"):
        problems.append("unrecognized_role")
    if not isinstance(message["content"], str) or not message["content"]:
        problems.append("missing_content")
    if "weight" in message and (message["role"] != "assistant" or message["weight"] not in (0, 1)):
        problems.append("weight")
    return problems


def write(path: Path, *rows: Any) -> Path:
    text = "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in rows)
    path.write_text(text, "utf-8", newline="")
    return path


def said(*contents: Any, **keys: Any) -> dict[str, Any]:
    roles = ("user", "assistant") * len(contents)
    messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]
    messages[-1] |= keys
    return {"messages": messages}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("", "blank_line"), ("{", "no JSON"), (["a"], "data_type"), ({"messages": []}, "missing_messages_list"),
        ({"text": "a"}, "missing_messages_list"), (ROW | {"id": 1}, "unrecognized_key"),
        ({"messages": [{"role": "user"}]}, "message_missing_key"),
        (said("a", "b", train=True), "message_unrecognized_key"), (said("a", "b", role="bot"), "unrecognized_role"),
        (said("a", ["b"]), "missing_content"), (said("a", ""), "missing_content"),
        (said("a", "b", weight=2), "weight"), (said("a", "b", weight=0), "nothing_learnt"),
        ({"messages": [{"role": "user", "content": "a", "weight": 1}, *ROW["messages"][1:]]}, "weight"),
        (said("a"), "example_missing_assistant_message"), (said("a", "b", "c"), "last_message_not_assistant"),
    ],
)  # fmt: skip
def test_the_validator_turns_a_bad_row_down(row: Any, problem: str, tmp_path: Path) -> None:
    assert validate_openai(write(tmp_path / "good.jsonl", *[ROW] * 10)) == []
    assert f"3: {problem}" in validate_openai(write(tmp_path / "bad.jsonl", ROW, ROW, row, *[ROW] * 7))


def test_the_validator_turns_a_bad_file_down(tmp_path: Path) -> None:
    assert validate_openai(write(tmp_path / "few.jsonl", *[ROW] * 9)) == ["9 examples: 10 are the least"]
    line = json.dumps(ROW)
    for number, text in enumerate((f"{line}\r\n" * 10, f"{line}\n" * 10 + line, "\ufeff" + f"{line}\n" * 10)):
        (path := tmp_path / f"{number}.jsonl").write_bytes(text.encode())
        assert validate_openai(path) == ["a byte order mark, or lines that do not end in LF"]
    (path := tmp_path / "latin.jsonl").write_bytes(b"\xe9\n")
    assert validate_openai(path)[0].startswith("no UTF-8")


def test_a_reply_that_is_not_learnt_weighs_nothing(tmp_path: Path) -> None:
    several = conversation(
        "<user>: Who?", "<assistant>: Marta.", "<user>: When?", "<assistant>: At noon.", "<user>: Why?",
        "<assistant>: It rained.", train=(True, False, True), system="Mode: dual.",
    )  # fmt: skip
    row = openai.row(several, a_job())
    assert row == {"messages": [
        {"role": "system", "content": "Mode: dual."},
        {"role": "user", "content": "<user>: Who?"}, {"role": "assistant", "content": "<assistant>: Marta."},
        {"role": "user", "content": "<user>: When?"},
        {"role": "assistant", "content": "<assistant>: At noon.", "weight": 0},
        {"role": "user", "content": "<user>: Why?"}, {"role": "assistant", "content": "<assistant>: It rained."},
    ]}  # fmt: skip
    assert validate_openai(write(tmp_path / "rows.jsonl", *[row] * 10)) == []
    (exporter,) = openai.register_exporters()
    assert (exporter.per_message, exporter.template, exporter.data) == (
        True, "server", ("train.jsonl", "validation.jsonl"),
    )  # fmt: skip


def test_an_export_passes_the_validator(home: Home, curate: Callable[..., Result], tmp_path: Path) -> None:
    for number in range(24):
        home.memory(f"Is the tide in at {number}?", response=f"Not \u2028 before {number + 1}, by the table: \u00e9.")
    home.memory(
        "User: One?\n\nAssistant: The first answer is here.\n\nUser: Two?\n\nAssistant: The second one follows it.",
        tags=["multi_turn"],
    )
    run = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0.4).run
    for tags in ("content", "none"):
        out = tmp_path / tags
        done = curate("export", run, "--home", home.folder, "--to", "openai", "--tags", tags, "--out", out,
                      "--base-model", MODEL)  # fmt: skip
        assert done.status == 0, done.err
        counts = json.loads((out / "export.json").read_text("utf-8"))["counts"]
        named = json.loads((out / "job.json").read_text("utf-8"))
        for key, count in (("training_file", "train_rows"), ("validation_file", "validation_rows")):
            problems = validate_openai(out / named[key])
            assert [one for one in problems if "are the least" not in one] == []
            assert (out / named[key]).read_bytes().count(b"\n") == counts[count]
        assert counts["train_rows"] + counts["validation_rows"] == counts["samples"]


def test_the_job_is_what_the_service_is_asked_for() -> None:
    recipe = openai.recipe(a_job(rows=114, holdout=6, num_train_epochs=4))
    assert json.loads(recipe.files["job.json"]) == {
        "model": MODEL, "training_file": "train.jsonl", "validation_file": "validation.jsonl", "suffix": "persona",
        "seed": 42,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {
            "n_epochs": 4, "batch_size": "auto", "learning_rate_multiplier": "auto",
        }}},
    }  # fmt: skip
    assert recipe.commands == ("pip install openai", "python create_job.py")
    assert "validation_file" not in json.loads(openai.recipe(a_job(holdout=0)).files["job.json"])


@pytest.mark.parametrize(("wanted", "asked"), [(0.3, 1), (2.5, 2), (3, 3), (400, 50)])
def test_epochs_are_whole_and_no_more_than_the_service_takes(wanted: float, asked: int) -> None:
    recipe = openai.recipe(a_job(num_train_epochs=wanted))
    method = json.loads(recipe.files["job.json"])["method"]["supervised"]["hyperparameters"]
    assert method["n_epochs"] == asked
    assert (f"{wanted:g} became {asked}" in " ".join(recipe.notes)) == (wanted != asked)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (MODEL, MODEL), ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"), ("ft:gpt-4.1-mini:me::a", "ft:gpt-4.1-mini:me::a"),
        ("Qwen/Qwen3-4B-Instruct-2507", MODEL), ("EleutherAI/gpt-j-6b", MODEL), ("gpt-oss-20b", MODEL),
    ],
)  # fmt: skip
def test_a_model_that_is_not_theirs_is_not_asked_for(given: str, named: str) -> None:
    recipe = openai.recipe(a_job(base_model=given))
    assert json.loads(recipe.files["job.json"])["model"] == named
    assert ("is no model of OpenAI's" in " ".join(recipe.warnings)) == (given != named)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_key_is_used_or_named(method: Literal["lora", "full"]) -> None:
    one = a_job(method)
    recipe = openai.recipe(one)
    assert one.keys.read == {"num_train_epochs", "seed"}
    assert set(one.keys) == one.keys.read | set(recipe.unused)
    assert not set(recipe.unused) & one.keys.read


def test_fewer_rows_than_the_service_takes_are_refused() -> None:
    assert openai.recipe(a_job(rows=10)).files
    with pytest.raises(UsageError) as refused:
        openai.recipe(a_job(rows=9))
    assert "10 training rows at least: this run has 9" in refused.value.what


def test_the_notes_name_what_leaves_the_machine_what_it_costs_and_that_it_ends() -> None:
    recipe = openai.recipe(a_job())
    assert recipe.warnings[0].startswith("create_job.py sends a person's memories to OpenAI")
    assert "6 January 2027" in recipe.warnings[1]
    assert "the tokens of train.jsonl x 3 epochs" in recipe.notes[0]


@pytest.mark.parametrize(("answer", "sent"), [("yes\n", ["train.jsonl", "validation.jsonl"]), ("y\n", []), ("\n", [])])
def test_create_job_asks_before_it_sends(answer: str, sent: list[str], tmp_path: Path) -> None:
    """Run as a user runs it, with an `openai` that writes down what it is asked for."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "openai.py").write_text(
        "import json, pathlib, types\n"
        "asked = []\n"
        "def upload(file, purpose):\n"
        "    asked.append([pathlib.Path(file.name).name, purpose, len(file.read())])\n"
        "    return types.SimpleNamespace(id=f'file-{len(asked)}')\n"
        "def start(**job):\n"
        "    pathlib.Path('asked.json').write_text(json.dumps([asked, job]))\n"
        "    return types.SimpleNamespace(id='ftjob-1')\n"
        "def OpenAI():\n"
        "    jobs = types.SimpleNamespace(create=start)\n"
        "    return types.SimpleNamespace(files=types.SimpleNamespace(create=upload),\n"
        "                                 fine_tuning=types.SimpleNamespace(jobs=jobs))\n",
        "utf-8",
    )
    recipe = openai.recipe(a_job())
    for name, text in (*recipe.files.items(), ("train.jsonl", "{}\n"), ("validation.jsonl", "{}\n{}\n")):
        (tmp_path / name).write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "create_job.py"], input=answer, capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "fake")},
    )  # fmt: skip
    assert "to be sent to OpenAI: train.jsonl, 3 bytes" in done.stderr
    if not sent:
        assert done.returncode == 1 and "nothing was sent" in done.stderr
        assert not (tmp_path / "asked.json").exists()
        return
    assert done.returncode == 0 and done.stdout.endswith("ftjob-1\n"), done.stderr
    uploads, started = json.loads((tmp_path / "asked.json").read_text("utf-8"))
    assert uploads == [["train.jsonl", "fine-tune", 3], ["validation.jsonl", "fine-tune", 6]]
    given = json.loads((tmp_path / "job.json").read_text("utf-8"))
    assert started == given | {"training_file": "file-1", "validation_file": "file-2"}


def test_a_model_that_they_have_tuned_goes_on(home: Home, curate: Callable[..., Result], tmp_path: Path) -> None:
    """Its name has colons, as Ollama's have."""
    for n in range(12):
        home.memory(f"Which sail is number {n}?", response=f"Sail {n} hangs by the hook of that number.")
    assert curate("run", "--username", "ann", "--home", home.folder).status == 0
    name = "ft:gpt-4.1-mini-2025-04-14:my-org::abc123"
    options = ("--home", home.folder, "--to", "openai", "--base-model", name, "--out", tmp_path / "out")
    done = curate("export", *options)
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "out" / "job.json").read_text("utf-8"))["model"] == name
    assert "no family is known" not in done.err

"""The export to MLX-LM: its rows, lora.yaml, and that nothing is left out; `make verify` has MLX-LM itself read it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pytest
import yaml
from conftest import Home, Result
from curator_plugins.exporters import mlx
from hypothesis import given
from hypothesis import strategies as st
from outgoing_fixtures import conversation, job

from curator.contract.chat_format import ChatFormat, load_family
from curator.contract.errors import UsageError
from curator.contract.homes import shipped_etc
from curator.contract.jinja_chat import family_template
from curator.hooks import ExportJob

DATA: Final = ("train.jsonl", "valid.jsonl")
FULL_HAS_NONE: Final = {"lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit"}
ROW: Final[dict[str, Any]] = {
    "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]
}


def a_job(method: Literal["lora", "full"] = "lora", **changes: Any) -> ExportJob:
    return job(changes.pop("name", "qwen"), method, data=DATA, **changes)


def lora_yaml(one: ExportJob) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(mlx.recipe(one).files["lora.yaml"])
    return loaded


def validate_mlx(folder: Path) -> list[str]:
    """Check the files of a folder against mlx_lm/LORA.md ("Data") and what mlx_lm/tuner/datasets.py does with them.

    train.jsonl has to be there, valid.jsonl and test.jsonl may be; each line holds one example. The first row tells the
    format, other rows must have the same keys; `prompt` with `completion` comes before `messages`, that before `text`.
    """
    problems = [] if (folder / "train.jsonl").is_file() else ["train.jsonl: there is none"]
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl"):
        if (folder / name).is_file():
            problems += _file_problems(folder / name)
    return problems


def _file_problems(path: Path) -> list[str]:
    lines = path.read_text("utf-8").split("\n")
    if lines.pop():
        return [f"{path.name}: the last line has no end"]
    if not lines:
        return [f"{path.name}: no rows"]
    problems, keys = [], None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            problems.append(f"{path.name}:{number}: no JSON")
            continue
        keys = sorted(row) if keys is None else keys
        if keys != ["messages"]:
            problems.append(f"{path.name}:{number}: the first row's keys are {keys}: another format than chat")
        if sorted(row) != keys:
            problems.append(f"{path.name}:{number}: other keys than the first row")
        problems += [f"{path.name}:{number}: {problem}" for problem in _row_problems(row.get("messages"))]
    return problems


def _row_problems(messages: Any) -> list[str]:
    if not isinstance(messages, list) or not messages:
        return ["no messages"]
    problems = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "tool"):
            return [f"no message with a known role: {message}"]
        if not isinstance(message.get("content"), str) or not message["content"]:
            problems.append("a message without text")
    # With --mask-prompt the final message is the completion; a prompt has to come before it.
    if messages[-1]["role"] != "assistant":
        problems.append("the last message is not the assistant's")
    if not any(message["role"] == "user" for message in messages[:-1]):
        problems.append("nothing is asked")
    return problems


def write(folder: Path, name: str, *rows: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in rows)
    (folder / name).write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "no JSON"),
        ("", "no JSON"),
        ({"text": "Where?"}, "other keys"),
        (ROW | {"id": 1}, "other keys"),
        ({"messages": []}, "no messages"),
        ({"messages": [{"role": "bot", "content": "a"}]}, "known role"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]}, "without text"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "nothing is asked"),
        ({"messages": [{"role": "user", "content": "a"}]}, "not the assistant's"),
    ],
)
def test_the_validator_turns_a_bad_row_down(row: Any, problem: str, tmp_path: Path) -> None:
    assert validate_mlx(write(tmp_path / "good", "train.jsonl", ROW, ROW)) == []
    (found, *_) = validate_mlx(write(tmp_path / "bad", "train.jsonl", ROW, row))
    assert found.startswith("train.jsonl:2: ") and problem in found


def test_the_validator_turns_a_bad_folder_down(tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    assert validate_mlx(tmp_path / "empty") == ["train.jsonl: there is none"]
    assert validate_mlx(write(tmp_path / "no-rows", "train.jsonl")) == ["train.jsonl: no rows"]
    first = ROW | {"prompt": "a", "completion": "b"}
    assert "another format" in validate_mlx(write(tmp_path / "other", "train.jsonl", first))[0]


def test_a_row_is_its_messages_and_nothing_else(tmp_path: Path) -> None:
    several = conversation(
        "<user>: Who?", "<assistant>: Marta.", "<user>: When?", "<assistant>: At \u2028 noon.\n\nYes."
    )
    row = mlx.row(several, a_job())
    assert row == {"messages": [
        {"role": "user", "content": "<user>: Who?"}, {"role": "assistant", "content": "<assistant>: Marta."},
        {"role": "user", "content": "<user>: When?"},
        {"role": "assistant", "content": "<assistant>: At \u2028 noon.\n\nYes."},
    ]}  # fmt: skip
    system = mlx.row(conversation("a", "b", system="Mode: dual."), a_job())
    assert [message["role"] for message in system["messages"]] == ["system", "user", "assistant"]
    assert validate_mlx(write(tmp_path / "rows", "train.jsonl", row, system)) == []
    (exporter,) = mlx.register_exporters()
    assert (exporter.data, exporter.per_message, exporter.template) == (DATA, False, "tokenizer")


def test_an_export_passes_the_validator(home: Home, curate: Callable[..., Result], tmp_path: Path) -> None:
    for number in range(12):
        home.memory(f"Is the tide in at {number}?", response=f"Not before {number + 1}, by the table on the wall.")
    home.memory(
        "User: One?\n\nAssistant: The first answer is here.\n\nUser: Two?\n\nAssistant: The second one follows it.",
        tags=["multi_turn"],
    )
    run = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0.2).run
    done = curate("export", run, "--home", home.folder, "--to", "mlx", "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert validate_mlx(tmp_path / "out") == []
    counts = json.loads((tmp_path / "out" / "export.json").read_text("utf-8"))["counts"]
    lines = [len((tmp_path / "out" / name).read_text("utf-8").split("\n")) - 1 for name in DATA]
    assert lines == [counts["train_rows"], counts["validation_rows"]]
    assert sum(lines) == counts["samples"] + 1, "a conversation of two replies is two rows"


def test_lora_yaml_says_what_the_configuration_says() -> None:
    found = lora_yaml(a_job(rows=114, holdout=6))
    assert found == {
        "model": "Qwen/Qwen3-4B-Instruct-2507", "train": True, "data": ".", "adapter_path": "adapters",
        "fine_tune_type": "lora", "num_layers": -1,
        "lora_parameters": {"rank": 16, "dropout": 0.05, "scale": 2.0}, "mask_prompt": True,
        "max_seq_length": 2048, "grad_checkpoint": True, "batch_size": 1, "grad_accumulation_steps": 32,
        "iters": 352, "learning_rate": 2e-4,
        "lr_schedule": {"name": "cosine_decay", "arguments": [2e-4, 10, 0.0], "warmup": 1}, "optimizer": "adamw",
        "optimizer_config": {"adamw": {"bias_correction": True, "weight_decay": 0.01}},
        "steps_per_report": 320, "steps_per_eval": 114, "val_batches": -1, "save_every": 16_000, "seed": 42,
    }  # fmt: skip


def test_full_fine_tuning_has_its_own_rate_and_no_adapter() -> None:
    found = lora_yaml(a_job("full", rows=1000))
    assert (found["fine_tune_type"], found["learning_rate"]) == ("full", 5e-6)
    assert "lora_parameters" not in found
    notes = " ".join(mlx.recipe(a_job("full")).notes)
    assert "all layers but the embeddings and the output layer" in notes
    assert "rounded away" in " ".join(mlx.recipe(a_job("full")).warnings)
    assert not mlx.recipe(a_job("full", bf16=False)).warnings and not mlx.recipe(a_job("lora")).warnings


@given(
    rows=st.integers(1, 500), holdout=st.integers(0, 60), batch=st.integers(1, 9), accumulate=st.integers(1, 70),
    epochs=st.sampled_from([0.5, 1, 2.5, 3]),
)  # fmt: skip
def test_mlx_leaves_out_no_row_and_no_gradient(
    rows: int, holdout: int, batch: int, accumulate: int, epochs: float
) -> None:
    found = lora_yaml(
        a_job(
            rows=rows, holdout=holdout, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulate,
            num_train_epochs=epochs,
        )
    )  # fmt: skip
    size, each = found["batch_size"], found["grad_accumulation_steps"]
    assert rows % size == holdout % size == 0, "iterate_batches drops what fills no batch"
    assert found["iters"] % each == 0, "train drops what is gathered after the last step"
    assert size * each <= max(batch * accumulate, 1) and each <= math.ceil(rows / size)
    assert 0 <= found["iters"] * size - epochs * rows < size * each, "the epochs, rounded up to a whole step"
    schedule = found["lr_schedule"]
    assert schedule["arguments"][-2 if schedule["name"] == "cosine_decay" else -1] >= 1


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        ("cosine", {"name": "cosine_decay", "arguments": [2e-4, 90, 0.0], "warmup": 10}),
        ("linear", {"name": "linear_schedule", "arguments": [2e-4, 0.0, 90], "warmup": 10}),
        ("constant", {"name": "linear_schedule", "arguments": [2e-4, 2e-4, 90], "warmup": 10}),
    ],
)
def test_the_schedule_counts_steps(kind: str, schedule: dict[str, Any]) -> None:
    changes = {"gradient_accumulation_steps": 9, "lr_scheduler_type": kind}
    found = lora_yaml(a_job(rows=300, holdout=0, **changes))
    assert (found["iters"], found["lr_schedule"]) == (900, schedule)
    assert "warmup" not in lora_yaml(a_job(rows=300, warmup_steps=0, **changes))["lr_schedule"]


@pytest.mark.parametrize(
    ("given", "optimizer", "options"),
    [
        ("adamw", "adamw", {"bias_correction": True, "weight_decay": 0.5}),
        ("adamw_8bit", "adamw", {"bias_correction": True, "weight_decay": 0.5}),
        ("adafactor", "adafactor", {"relative_step": False, "scale_parameter": False, "weight_decay": 0.5}),
    ],
)
def test_optimizers_are_told_what_others_do_of_themselves(given: str, optimizer: str, options: dict[str, Any]) -> None:
    one = a_job(optim=given, weight_decay=0.5)
    assert lora_yaml(one)["optimizer_config"] == {lora_yaml(one)["optimizer"]: options}
    assert lora_yaml(one)["optimizer"] == optimizer
    assert ("no 8-bit optimizer" in " ".join(mlx.recipe(one).notes)) == (given == "adamw_8bit")


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, ""),
        ({"load_in_4bit": True}, " -q --q-bits 4"),
        ({"fp16": True, "bf16": False}, " --dtype float16"),
        ({"fp16": False, "bf16": False}, " --dtype float32"),
    ],
)
def test_other_weights_are_made_before_the_training(changes: dict[str, Any], options: str) -> None:
    recipe = mlx.recipe(a_job(**changes))
    name = "Qwen/Qwen3-4B-Instruct-2507"
    model = "base" if options else name
    convert = [f"mlx_lm.convert --hf-path {name} --mlx-path base{options}"] if options else []
    assert list(recipe.commands) == [
        'pip install "mlx-lm[train]==0.32.2"', *convert, "mlx_lm.lora --config lora.yaml",
        f"mlx_lm.fuse --model {model} --adapter-path adapters --save-path fused_model",
    ]  # fmt: skip
    assert yaml.safe_load(recipe.files["lora.yaml"])["model"] == model


@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_key_is_used_or_named(method: Literal["lora", "full"]) -> None:
    one = a_job(method)
    recipe = mlx.recipe(one)
    assert set(one.keys) - one.keys.read - set(recipe.unused) <= (FULL_HAS_NONE if method == "full" else set())
    assert set(recipe.unused) == {"max_grad_norm", "save_total_limit", "gguf_conversion"}
    assert not set(recipe.unused) & one.keys.read


@pytest.mark.parametrize("name", ["gptj", "llisa"])
def test_a_family_without_a_chat_template_is_refused(name: str) -> None:
    family = load_family(shipped_etc() / "schemas" / f"{name}.json")
    one = replace(
        a_job(), family=family, chat_format=ChatFormat(family), chat_template=family_template(family), own_template=True
    )
    for ask in (lambda: mlx.recipe(one), lambda: mlx.row(conversation("a", "b"), one)):
        with pytest.raises(UsageError) as refused:
            ask()
        assert name in refused.value.what and "axolotl" in refused.value.next_step


def test_the_notes_say_what_mlx_does_unasked() -> None:
    notes = "\n".join(mlx.recipe(a_job(rows=114, max_seq_length=512)).notes)
    for words in ("352 iterations are 11 steps of 32 rows", "cuts a row to max_seq_length 512 tokens", "mlx-lm#1697"):
        assert words in notes

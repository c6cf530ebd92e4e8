"""etc/trainer.json: every key is honoured or refused, and a mistake is reported with its file, line and key."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import ROOT, home_with, model_of, shared_place, trainer, trainer_process
from pydantic import BaseModel

from trainer.errors import UsageError
from trainer.settings import (
    FinetuneSettings,
    GateSettings,
    HealthSettings,
    PretrainSettings,
    TrainerSettings,
    TrainSettings,
    load_settings,
    settings_file,
    shipped_etc,
    with_options,
)
from trainer.training import make_optimizer


def keys_of(model: type[BaseModel], before: str = "") -> dict[str, Any]:
    """Every key, dotted, with its default."""
    out: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            out |= keys_of(field.annotation, f"{before}{name}.")
        elif name != "comment":
            out[before + name] = field.get_default(call_default_factory=True)
    return out


def flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, one in value.items():
        out |= flat(one, f"{before}{name}.") if isinstance(one, dict) else {before + name: one}
    return out


# --- what is shipped and documented ---


def test_the_shipped_file_loads_and_holds_known_keys_only():
    shipped = json.loads((shipped_etc() / "trainer.json").read_text("utf-8"))
    assert set(flat(shipped)) - {"comment"} <= set(keys_of(TrainerSettings))
    loaded = load_settings(None)
    found = flat(loaded.model_dump())
    assert {key: found[key] for key in flat(shipped)} == flat(shipped)
    # The seeds' scale: 4,000 steps of 8,192 tokens.
    assert (loaded.pretrain.steps, loaded.pretrain.batch_rows * loaded.pretrain.accumulate * 256) == (4000, 8192)
    assert loaded.preview_prompts


def documented() -> dict[str, str]:
    """Every key of etc/trainer.json in docs/settings.md, with the default that stands there."""
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    section = page.split("\n## etc/trainer.json\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([\w.]+)` \| [^|]* \| `?([^|`]*)`? \|", section, re.MULTILINE))


def test_every_key_is_documented_and_has_a_meaning():
    assert set(documented()) == set(keys_of(TrainerSettings))

    def bare(model: type[BaseModel]) -> list[str]:
        return [
            name for name, field in model.model_fields.items()
            if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
            and name != "comment" and not field.description
        ]  # fmt: skip

    assert [bare(model) for model in (TrainerSettings, PretrainSettings, TrainSettings)] == [[], [], []]


def test_the_documented_default_is_what_counts_where_no_file_says_otherwise():
    # The page's defaults, the shipped file's and those of a home whose file leaves a key out are one and the same; else
    # a home that sets the epochs alone is trained with another learning rate, no dropout and no patience.
    shipped = flat(load_settings(None).model_dump())
    prompts = ("preview_prompts", "health.prompts")  # a home's own, in its own language
    page = {key: default for key, default in documented().items() if key not in prompts}
    assert {key: (page[key], str(shipped[key])) for key in page if page[key] != str(shipped[key])} == {}


def test_documented_defaults_are_values():
    assert [key for key, default in documented().items() if "Pydantic" in default] == []


# --- a home's own file ---


def test_a_homes_own_file_replaces_the_shipped_one(tmp_path: Path):
    home = home_with(tmp_path / "home", {"pretrain": {"steps": 7, "learning_rate": 1}})
    assert settings_file(home, "trainer.json") == home / "etc" / "trainer.json"
    assert (load_settings(home).pretrain.steps, load_settings(home).pretrain.learning_rate) == (7, 1.0)
    assert load_settings(tmp_path) == load_settings(None)  # a home without the file


def test_what_the_file_and_the_command_line_say_is_what_a_training_does(tmp_path: Path):
    own = {"steps": 3, "beta1": 0.8, "clip": 0.5, "weight_decay": 0.2, "eval_every": 1, "validation_share": 0}
    home = home_with(tmp_path / "home", {"pretrain": own})
    base = shared_place().pretrain(tmp_path / "out")
    at = base.index("--steps")
    done = trainer(*base[:at], *base[at + 2 :], "--home", home, "--learning-rate", 0.002)
    assert done.status == 0, done.err
    record = json.loads((tmp_path / "out" / "trainer.json").read_text())
    given = {"learning_rate": 0.002, "batch_rows": 4, "accumulate": 1, "threads": 1, "seed": 5, "precision": "fp32"}
    expected = own | given | {"eval_every": 4}  # the command line counts over the file
    assert {key: record["settings"][key] for key in expected} == expected
    assert record["steps"] == 3 and record["data"]["documents_held_out"] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{\n "pretrain": {\n  "stepz": 3\n }\n}', [":3:", "pretrain.stepz"]),
        ('{\n "pretrane": {}\n}', [":2:", "pretrane"]),
        ('{\n "pretrain": {\n  "steps": "3"\n }\n}', [":3:", "pretrain.steps", "integer"]),
        ('{\n "pretrain": {"steps": 3.5}\n}', [":2:", "pretrain.steps"]),
        ('{\n "pretrain": {"steps": true}\n}', [":2:", "pretrain.steps"]),
        ('{\n "pretrain": {"steps": null}\n}', [":2:", "pretrain.steps"]),
        ('{\n "pretrain": {"steps": 0}\n}', [":2:", "pretrain.steps", "1"]),
        ('{\n "pretrain": {"clip": -1}\n}', [":2:", "pretrain.clip", "greater than 0"]),
        ('{\n "pretrain": {"clip": NaN}\n}', [":2:", "pretrain.clip"]),
        ('{\n "pretrain": {"clip": 1e999}\n}', [":2:", "pretrain.clip"]),
        ('{\n "pretrain": {"dropout": 1}\n}', [":2:", "pretrain.dropout", "less than 1"]),
        ('{\n "pretrain": {"validation_share": 0.6}\n}', [":2:", "pretrain.validation_share", "0.5"]),
        ('{\n "pretrain": {"precision": "fp16"}\n}', [":2:", "pretrain.precision", "bf16"]),
        ('{\n "pretrain": {"seed": 2147483648}\n}', [":2:", "pretrain.seed"]),
        ('{\n "pretrain": {"a/b~c": 1}\n}', [":2:", "pretrain.a/b~c"]),
        ('{\n "pretrain": 3\n}', [":2:", "pretrain"]),
        ('{\n "preview_prompts": "a"\n}', [":2:", "preview_prompts"]),
        (
            '{\n "finetune": {"method": "qlora", "epochs": 0}\n}',
            ["finetune.method", "finetune.epochs"],
        ),  # every mistake
        ('{\n "sampling": {"top_p": 1.5}\n}', [":2:", "sampling.top_p"]),
        ('{\n "gate": {"stopped": 1.5}\n}', [":2:", "gate.stopped"]),
        ('{\n "gate": {"perplexity": 0.02}\n}', [":2:", "gate.perplexity"]),
        ('{\n "health": {"replies": 0}\n}', [":2:", "health.replies"]),
        ('{\n "health": {"sweep": ["all"]}\n}', [":2:", "health.sweep.0"]),
        ('{\n "health": {"sweep": [1.0, 1.5]}\n}', [":2:", "health.sweep.1"]),
        ('{\n "health": {"sweep": []}\n}', [":2:", "health.sweep"]),  # nothing could be chosen
        ('{\n "finetune": {"replay_ratio": -1}\n}', [":2:", "finetune.replay_ratio"]),
        ("[]", ["the whole"]),
        ("", ["is no JSON"]),
        ('{\n "pretrain": {,}\n}', ["is no JSON", "line 2"]),
        ("[" * 100_000, ["is no JSON"]),
        ('{\n "pretrain": {"steps": 3,\n "steps": 4}\n}', ["steps"]),  # the first is neither honoured nor refused
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(tmp_path: Path, text: str, told: list[str]):
    home = home_with(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_settings(home)
    message = str(caught.value)
    assert [one for one in (str(home / "etc" / "trainer.json"), *told) if one not in message] == [], message


def test_a_mistake_ends_a_command_before_it_makes_anything(tmp_path: Path):
    home = home_with(tmp_path / "home", {"pretrain": {"steps": 0}})
    done = trainer(*shared_place().pretrain(tmp_path / "out"), "--home", home)
    assert done.status == 2 and "trainer.json:3: pretrain.steps" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("learning-rate", 0.0), ("learning-rate", 1.5), ("seed", 2**31), ("threads", 100_000), ("threads", 10**12)],
)
def test_an_option_out_of_range_is_named(tmp_path: Path, option: str, value: float):
    # PyTorch ends with a segmentation fault where it is asked for thousands of threads.
    arguments = shared_place().pretrain(tmp_path / "out", f"--{option}", value, "--steps", 2)
    done = trainer_process(*arguments, timeout=30)
    assert done.status == 2, (done.status, done.err)
    assert f"--{option}" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "", "nan", "²"])
def test_an_option_that_is_no_number_is_refused(value: str):
    done = trainer("pretrain", "--modules", "m", "--tokenizer", "t", "--out", "o", "--steps", value)
    assert done.status == 2 and "--steps" in done.err


def test_options_count_over_settings_and_none_leaves_them():
    settings = PretrainSettings(steps=5, seed=1)
    assert with_options(settings, {"steps": 9, "seed": None, "threads": 0}) == PretrainSettings(steps=9, seed=1)
    with pytest.raises(UsageError, match="--batch-rows 0"):
        with_options(settings, {"batch_rows": 0})


# --- every key is honoured or refused ---


def names_used_of(*owners: str) -> set[str]:
    """Names that some module of the trainer reads from a variable or attribute with one of these names in its own."""
    found = set()
    for path in (ROOT / "trainer").rglob("*.py"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if any(one in owner for one in owners):
                    found.add(node.attr)
    return found


@pytest.mark.parametrize(
    ("model", "owners"),
    [
        (PretrainSettings, ("settings",)),
        (FinetuneSettings, ("settings",)),
        (HealthSettings, ("settings", "health")),
        (GateSettings, ("budgets",)),
    ],
)
def test_every_setting_is_read_somewhere(model: type[BaseModel], owners: tuple[str, ...]):
    assert set(model.model_fields) - names_used_of(*owners) == set()


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_a_value_at_the_end_of_its_range_works(name: str):
    # What is accepted here must not fail later, with a traceback of PyTorch's.
    field = TrainSettings.model_fields[name]
    ends = [getattr(one, key) for one in field.metadata for key in ("ge", "le") if getattr(one, key, None) is not None]
    for value in ends:
        kind = type(field.default)
        settings = TrainSettings.model_validate({name: kind(value)})
        make_optimizer(model_of(), settings)

"""etc/trainer.json: every key is honoured or refused, and a mistake is reported with its file, line and key."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import OLD_NAMES, ROOT, home_with, model_of, shared_place, trainer, trainer_process
from pydantic import BaseModel

from curator.contract.errors import UsageError
from curator.contract.homes import shipped_etc
from curator.contract.settings_file import etc_file
from trainer.settings import (
    BudgetSettings,
    FinetuneSettings,
    HealthSettings,
    PretrainSettings,
    TrainerSettings,
    TrainSettings,
    load_settings,
    with_options,
)
from trainer.training.optimizer import make_optimizer


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
    rows = loaded.pretrain.per_device_batch_size * loaded.pretrain.gradient_accumulation_steps
    assert (loaded.pretrain.steps, rows * 256) == (4000, 8192)
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
    assert etc_file(home, "trainer.json") == home / "etc" / "trainer.json"
    assert (load_settings(home).pretrain.steps, load_settings(home).pretrain.learning_rate) == (7, 1.0)
    assert load_settings(tmp_path) == load_settings(None)  # a home without the file


def test_what_the_file_and_the_command_line_say_is_what_a_training_does(tmp_path: Path):
    own = {"steps": 3, "beta1": 0.8, "max_grad_norm": 0.5, "weight_decay": 0.2, "eval_steps": 1, "holdout_share": 0}
    home = home_with(tmp_path / "home", {"pretrain": own})
    base = shared_place().pretrain(tmp_path / "out")
    at = base.index("--steps")
    done = trainer(*base[:at], *base[at + 2 :], "--home", home, "--learning-rate", 0.002)
    assert done.status == 0, done.err
    record = json.loads((tmp_path / "out" / "trainer.json").read_text())
    given = {
        "learning_rate": 0.002, "per_device_batch_size": 4, "gradient_accumulation_steps": 1, "threads": 1, "seed": 5,
        "precision": "fp32",
    }  # fmt: skip
    expected = own | given | {"eval_steps": 4}  # the command line counts over the file
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
        ('{\n "pretrain": {"max_grad_norm": -1}\n}', [":2:", "pretrain.max_grad_norm", "greater than 0"]),
        ('{\n "pretrain": {"max_grad_norm": NaN}\n}', [":2: not JSON: NaN is no JSON number"]),
        ('{\n "pretrain": {"max_grad_norm": 1e999}\n}', [":2: not JSON: 1e999 is out of range"]),
        ('{\n "pretrain": {"dropout": 1}\n}', [":2:", "pretrain.dropout", "less than 1"]),
        ('{\n "pretrain": {"holdout_share": 0.6}\n}', [":2:", "pretrain.holdout_share", "0.5"]),
        ('{\n "pretrain": {"precision": "fp16"}\n}', [":2:", "pretrain.precision", "bf16"]),
        ('{\n "pretrain": {"seed": 2147483648}\n}', [":2:", "pretrain.seed"]),
        ('{\n "comment": "98765432109876543210",\n "pretrain": {"seed": 98765432109876543210}\n}', [":3: not JSON: "]),
        ('{\n "pretrain": {"a/b~c": 1}\n}', [":2:", "pretrain.a/b~c"]),
        ('{\n "pretrain": 3\n}', [":2:", "pretrain"]),
        ('{\n "preview_prompts": "a"\n}', [":2:", "preview_prompts"]),
        (
            '{\n "finetune": {"method": "qlora", "epochs": 0}\n}',
            ["finetune.method", "finetune.epochs"],
        ),  # every mistake
        ('{\n "sampling": {"top_p": 1.5}\n}', [":2:", "sampling.top_p"]),
        ('{\n "budgets": {"eos_rate": 1.5}\n}', [":2:", "budgets.eos_rate"]),
        ('{\n "budgets": {"perplexity": 0.02}\n}', [":2:", "budgets.perplexity"]),
        ('{\n "gate": {\n  "stopped": 1.5\n }\n}', [":3:", "gate.stopped"]),  # under the names of version 0.1
        ('{\n "health": {"replies": 0}\n}', [":2:", "health.replies"]),
        ('{\n "health": {"sweep": ["all"]}\n}', [":2:", "health.sweep.0"]),
        ('{\n "health": {"sweep": [1.0, 1.5]}\n}', [":2:", "health.sweep.1"]),
        ('{\n "health": {"sweep": []}\n}', [":2:", "health.sweep"]),  # nothing could be chosen
        ('{\n "finetune": {"replay_ratio": -1}\n}', [":2:", "finetune.replay_ratio"]),
        ("[]", [":1: file: ", "object"]),
        ("", [":1: not JSON"]),
        ('{\n "pretrain": {,}\n}', [":2: not JSON"]),
        ("[" * 100_000, [":1: not JSON"]),
        # The first would be neither honoured nor refused.
        ('{\n "pretrain": {"steps": 3,\n "steps": 4}\n}', [":3: ", "'steps' stands twice"]),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(tmp_path: Path, text: str, told: list[str]):
    home = home_with(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_settings(home)
    message = str(caught.value)
    assert message.startswith("the configuration has mistakes:\n  ")
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
    done = trainer("pretrain", "--shards", "m", "--tokenizer", "t", "--out", "o", "--steps", value)
    assert done.status == 2 and "--steps" in done.err


def test_options_count_over_settings_and_none_leaves_them():
    settings = PretrainSettings(steps=5, seed=1)
    assert with_options(settings, {"steps": 9, "seed": None, "threads": 0}) == PretrainSettings(steps=9, seed=1)
    with pytest.raises(UsageError, match="--per-device-batch-size 0"):
        with_options(settings, {"per_device_batch_size": 0})


# --- names of version 0.1 ---

# A file of version 0.1, a key a line, and the names of today.
OLD = {
    "pretrain": {
        "batch_rows": 4, "accumulate": 2, "embedding_rate": 1.5, "final_share": 0.2, "clip": 0.5, "eval_every": 7,
        "save_every": 9, "validation_share": 0.1, "steps": 3,
    },
    "finetune": {"replay_weight": 3.0, "end_loss_weight": 2.0, "epochs": 2.0},
    "gate": {"invented": 0.5, "verbatim": 0.25, "stopped": 0.125, "base_perplexity": 0.5},
}  # fmt: skip
TODAY = {old: new for new, old in OLD_NAMES.items()}


def of_today(value: dict[str, Any]) -> dict[str, Any]:
    return {TODAY.get(key, key): of_today(one) if isinstance(one, dict) else one for key, one in value.items()}


def test_a_file_of_version_0_1_is_read_and_a_line_says_each_new_name(tmp_path: Path):
    home, today = home_with(tmp_path / "old", OLD), home_with(tmp_path / "new", of_today(OLD))
    found, path = load_settings(home), home / "etc" / "trainer.json"
    assert found.model_dump() == load_settings(today).model_dump() and load_settings(today).outdated == ()
    assert flat(of_today(OLD)).items() <= flat(found.model_dump()).items()
    told = [
        f"{path}:{number}: {old} is called {TODAY[old]} now"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (old := line.strip().split('"')[1] if '"' in line else "") in TODAY
    ]
    assert len(told) == len(TODAY) and sorted(found.outdated) == sorted(told)


def test_a_key_under_both_names_is_a_mistake(tmp_path: Path):
    home = home_with(tmp_path, '{\n "pretrain": {\n  "clip": 1.0,\n  "max_grad_norm": 1.0\n }\n}')
    with pytest.raises(UsageError, match=r"trainer\.json:3: pretrain\.clip: "):
        load_settings(home)


def test_the_commands_say_the_new_names_too(tmp_path: Path):
    home = home_with(tmp_path / "home", OLD)
    done = trainer(*shared_place().pretrain(tmp_path / "out"), "--home", home)
    assert done.status == 0, done.err
    assert f"{home / 'etc' / 'trainer.json'}:3: batch_rows is called per_device_batch_size now\n" in done.err
    assert done.err.count(" is called ") == len(TODAY)
    record = json.loads((tmp_path / "out" / "trainer.json").read_text())
    assert (record["settings"]["max_grad_norm"], record["settings"]["min_lr_ratio"]) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("old", "key"),
    [
        ("--batch-rows", "per_device_batch_size"), ("--accumulate", "gradient_accumulation_steps"),
        ("--eval-every", "eval_steps"), ("--save-every", "save_steps"),
    ],
)  # fmt: skip
def test_an_option_of_version_0_1_works_and_says_its_new_name_on_stderr(tmp_path: Path, old: str, key: str):
    place, new = shared_place(), f"--{key.replace('_', '-')}"
    arguments = place.pretrain(tmp_path / "out", "--steps", 2)
    if new in arguments:
        at = arguments.index(new)
        arguments = [*arguments[:at], *arguments[at + 2 :]]
    done = trainer(*arguments, old, 4)
    assert done.status == 0 and done.err.splitlines()[0] == f"{old} is called {new} now", done.err
    assert json.loads((tmp_path / "out" / "trainer.json").read_text())["settings"][key] == 4
    assert trainer(*arguments, old, 0).status == 2
    assert old not in trainer("pretrain", "--help").out


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
        (BudgetSettings, ("budgets",)),
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


def test_the_share_held_out_has_its_name_of_version_0_1_too(tmp_path: Path) -> None:
    done = trainer("finetune", "--data", tmp_path / "none.jsonl", "--validation-share", 0.1)
    assert done.status == 2
    assert done.err.splitlines()[0] == "--validation-share is called --holdout-share now"


def test_preview_says_on_stderr_what_it_left_out_and_the_new_names(tmp_path: Path) -> None:
    home, data = home_with(tmp_path / "home", OLD), tmp_path / "talk.jsonl"
    replies = ["I painted the hull.", "The card is 4111 1111 1111 1111.", "The tide was late."]
    data.write_text("".join(json.dumps({"input": "What is new?", "output": reply}) + "\n" for reply in replies))
    done = trainer("preview", "--data", data, "--home", home, "--json")
    assert done.status == 0 and len(json.loads(done.out)) == 2
    assert done.err.count(" is called ") == len(TODAY)
    assert "card number" in done.err and "4111" not in done.err

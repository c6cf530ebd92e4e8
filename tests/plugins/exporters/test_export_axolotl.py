"""The export to axolotl: its rows and config.yaml. `make verify` has axolotl itself read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal

import pytest
import yaml
from curator_plugins.exporters import axolotl
from outgoing_fixtures import BASE_MODELS, conversation, job

from curator.contract.errors import UsageError
from curator.contract.homes import shipped_etc
from curator.hooks import ExportJob

FAMILIES: Final = sorted(path.stem for path in (shipped_etc() / "schemas").glob("*.json"))
FULL_HAS_NONE: Final = {"lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit"}


def a_job(name: str = "qwen", method: Literal["lora", "full"] = "lora", **changes: Any) -> ExportJob:
    BASE_MODELS.setdefault(name, f"someone/{name}")
    return job(name, method, **changes)


def config(one: ExportJob, file: str = "config.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(axolotl.recipe(one).files[file])
    return loaded


def test_each_message_says_whether_it_is_trained() -> None:
    """One that did not would count as trained where its role is the assistant's."""
    given = conversation("One?", "Two.", "Three?", "Four.", system="Mode: dual.", train=(False, True))
    assert axolotl.row(given, a_job()) == {
        "messages": [
            {"role": "system", "content": "Mode: dual.", "train": False},
            {"role": "user", "content": "One?", "train": False},
            {"role": "assistant", "content": "Two.", "train": False},
            {"role": "user", "content": "Three?", "train": False},
            {"role": "assistant", "content": "Four.", "train": True},
        ]
    }


def test_config_yaml_is_made_of_the_configuration() -> None:
    data = {
        "ds_type": "json", "split": "train", "type": "chat_template", "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"}, "message_field_training": "train",
        "roles_to_train": ["assistant"], "train_on_eos": "turn",
    }  # fmt: skip
    assert config(a_job(rows=64, max_seq_length=1024, seed=7)) == {
        "base_model": "Qwen/Qwen3-4B-Instruct-2507", "adapter": "lora", "lora_r": 16, "lora_alpha": 32,
        "lora_dropout": 0.05, "lora_target_linear": True,
        "datasets": [{"path": "train.jsonl", **data}], "test_datasets": [{"path": "validation.jsonl", **data}],
        "dataset_prepared_path": "prepared", "chat_template": "tokenizer_default", "eot_tokens": ["<|im_end|>"],
        "excess_length_strategy": "raise", "sample_packing": False, "output_dir": "output",
        "gradient_checkpointing": True, "lr_scheduler": "cosine", "optimizer": "adamw_torch_fused",
        "sequence_len": 1024, "micro_batch_size": 1, "gradient_accumulation_steps": 32, "num_epochs": 3,
        "learning_rate": 2e-4, "warmup_steps": 1, "weight_decay": 0.01, "max_grad_norm": 1.0, "bf16": True,
        "fp16": False, "logging_steps": 10, "save_steps": 500, "save_total_limit": 2, "seed": 7,
        "eval_strategy": "epoch",
    }  # fmt: skip


def test_four_bits_make_it_qlora() -> None:
    found = config(a_job(load_in_4bit=True, optim="adamw_8bit", lr_scheduler_type="constant"))
    assert (found["adapter"], found["load_in_4bit"]) == ("qlora", True)
    assert (found["optimizer"], found["lr_scheduler"]) == ("adamw_bnb_8bit", "constant_with_warmup")


def test_full_fine_tuning_keeps_the_rest_of_steps_that_bf16_would_round_away() -> None:
    recipe = axolotl.recipe(a_job(method="full", training_mode="full_finetune"))
    for file in ("config.yaml", "config-fsdp.yaml"):
        found = yaml.safe_load(recipe.files[file])
        assert found["learning_rate"] == 5e-6  # a number, although YAML 1.1 takes 5e-06 for a word
        assert found["optimizer"] == "optimi_adamw"
        assert [key for key in found if key.startswith(("lora", "adapter", "load_in"))] == []
        assert found["gradient_checkpointing"] is (file == "config.yaml")
    assert found["fsdp_version"] == 2 and found["fsdp_config"]["activation_checkpointing"] is True
    assert recipe.commands[0] == "pip install axolotl==0.19.0 torch-optimi==0.2.1"
    assert "merge-lora" not in " ".join(recipe.commands)


def test_full_fine_tuning_in_fp32_needs_no_such_optimizer() -> None:
    assert config(a_job(method="full", bf16=False))["optimizer"] == "adamw_torch_fused"


def test_an_optimizer_of_8_bits_is_another_one_under_fsdp() -> None:
    one = a_job(method="full", optim="adamw_8bit")
    assert config(one)["optimizer"] == "adamw_bnb_8bit"
    assert config(one, "config-fsdp.yaml")["optimizer"] == "adamw_torch_8bit"
    assert any("rounded away" in note for note in axolotl.recipe(one).warnings)


def test_a_whole_model_in_fp16_is_refused() -> None:
    with pytest.raises(UsageError, match="fp16"):
        axolotl.recipe(a_job(method="full", bf16=False, fp16=True))
    assert config(a_job(bf16=False, fp16=True))["fp16"] is True


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ["qwen", "gptj"])
def test_every_key_is_used_or_named(method: Literal["lora", "full"], name: str) -> None:
    one = a_job(name, method)
    unused = axolotl.recipe(one).unused
    assert set(one.keys) - one.keys.read - set(unused) == (FULL_HAS_NONE if method == "full" else set())
    assert not one.keys.read & set(unused)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_end_mark_and_the_template_are_the_familys(name: str) -> None:
    one = a_job(name)
    recipe, found = axolotl.recipe(one), config(one)
    assert found.get("eot_tokens", []) == ([one.family.eos_token] if one.family.eos_token else [])
    if one.own_template:
        assert (found["chat_template"], found["chat_template_jinja"]) == ("jinja", "chat_template.jinja")
        assert recipe.files["chat_template.jinja"] == one.chat_template
    else:
        assert found["chat_template"] == "tokenizer_default"
        assert "chat_template.jinja" not in recipe.files
    assert any("but not that" in note for note in recipe.notes) == (name == "llama2")


def test_a_template_of_our_own_is_for_models_without_one() -> None:
    assert {name for name in FAMILIES if a_job(name).own_template} == {"gptj", "llisa"}


def test_the_validation_set_is_named_only_where_there_is_one() -> None:
    found = config(a_job(holdout=0))
    assert not {"test_datasets", "eval_strategy", "val_set_size"} & set(found)


def test_nothing_is_sent_anywhere() -> None:
    commands = axolotl.recipe(a_job()).commands
    assert commands[1] == "export AXOLOTL_DO_NOT_TRACK=1"
    assert commands[2:] == (
        "axolotl preprocess config.yaml --debug",
        "axolotl train config.yaml",
        "axolotl merge-lora config.yaml --lora-model-dir=output",
    )


def test_a_name_with_signs_of_yaml_stays_that_name() -> None:
    name = 'models/# "odd": é'
    assert config(replace(a_job(), base_model=name))["base_model"] == name


def test_the_export_says_how_it_renders_and_trains() -> None:
    (one,) = axolotl.register_exporters()
    assert (one.name, one.template, one.per_message, one.ends) == ("axolotl", "tokenizer", True, "mark")

"""The export to LLaMA-Factory: its rows, which template renders them, and its YAML files.

`make verify` has LLaMA-Factory itself read all this (test_loaders_verify.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final, Literal

import pytest
import yaml
from curator_plugins.exporters import llama_factory
from outgoing_fixtures import BASE_MODELS, conversation, job

from curator.contract.homes import shipped_etc
from curator.exports.conversations import last_replies, system_in_user_turn
from curator.hooks import ExportJob
from curator.records import Conversation

FAMILIES: Final = sorted(path.stem for path in (shipped_etc() / "schemas").glob("*.json"))
FULL_HAS_NONE: Final = {"lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit"}
DATES: Final = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
# What train.yaml says of each family's template.
NAMES: Final[dict[str, dict[str, Any]]] = {
    "qwen": {"template": "qwen3_nothink"},
    "qwen2": {"template": "qwen", "default_system": "You are a helpful assistant."},
    "qwen2.5": {"template": "qwen"},
    "smollm2": {
        "template": "qwen",
        "default_system": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    },
    "qwen3": {"template": "qwen3", "enable_thinking": True},
    "llama3": {"template": "llama3"},
    "llama3.1": {"template": "llama3", "default_system": DATES},
    "phi3": {"template": "phi"},
    "phi4": {"template": "phi4"},
    "phi4mini": {"template": "phi4_mini"},
    "gemma": {"template": "gemma"},
    "mistral": {"template": "mistral"},
    **{name: {"template": "empty"} for name in ("gemma4", "gptj", "llama2", "llisa", "mistral1", "tinyllama")},
}
CONVERSATIONS: Final = (
    conversation("Where?", "In the harbour."),
    conversation("Where?", "In the harbour.", "And then?", "I painted the hull."),
    conversation("One?", "Two.", "Three?", "Four.", "Five?", "Six.", train=(True, False, True)),
    conversation("Where?", "In the harbour.", system="Mode: dual."),
    conversation("Where?", "In the harbour.", "And then?", "I painted it.", system="Mode: dual.", train=(True, True)),
)


def a_job(name: str = "qwen", method: Literal["lora", "full"] = "lora", **changes: Any) -> ExportJob:
    BASE_MODELS.setdefault(name, f"someone/{name}")
    return job(name, method, **changes)


def train_yaml(one: ExportJob) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(llama_factory.recipe(one).files["train.yaml"])
    return loaded


def rows(one: ExportJob) -> list[Conversation]:
    return [row for each in CONVERSATIONS for row in last_replies(system_in_user_turn(each, one.family))]


def rendered(row: dict[str, Any], one: ExportJob) -> tuple[str, str]:
    """What LLaMA-Factory's data/template.py and data/processor/supervised.py make of a row: (not trained, trained)."""
    names, messages = train_yaml(one), list(row["messages"])
    if names["template"] == "empty":
        return messages[0]["content"], messages[1]["content"]
    table = {template.name: template for template in llama_factory._TEMPLATES}
    template = table[names["template"]]
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    system = system or names.get("default_system", template.default)
    given = (one.family.bos_token if template.bos else "") + (system and system.join(template.system))
    for number in range(0, len(messages), 2):
        given += template.user + messages[number]["content"] + template.reply.removesuffix(" ")
        reply = template.reply[len(template.reply.removesuffix(" ")) :]
        reply += (template.lead if number == len(messages) - 2 else "") + messages[number + 1]["content"] + template.end
        if number < len(messages) - 2:
            given += reply
    return given, reply


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_reads_as_the_family_renders_it(name: str) -> None:
    one = a_job(name)
    assert rows(one)
    for each in rows(one):
        pieces = one.chat_format.segments(each.messages)
        last = [piece.message == len(each.messages) - 1 and piece.part != "before" for piece in pieces]
        wanted = [
            "".join(piece.text for piece, trained in zip(pieces, last, strict=True) if trained is part)
            for part in (False, True)
        ]
        wanted[0] = one.family.bos_token + wanted[0]
        if NAMES[name]["template"] != "empty":
            wanted[1] = wanted[1].removesuffix(one.family.document_end)
        assert list(rendered(llama_factory.row(each, one), one)) == wanted


@pytest.mark.parametrize("name", FAMILIES)
def test_the_template_is_the_one_that_writes_what_the_family_writes(name: str) -> None:
    recipe = llama_factory.recipe(a_job(name))
    for file in ("train.yaml", "merge.yaml"):
        found = yaml.safe_load(recipe.files[file])
        names = {key: found[key] for key in ("template", "default_system", "enable_thinking") if key in found}
        assert names == NAMES[name], file
    assert any("template: empty" in note for note in recipe.notes) == (NAMES[name]["template"] == "empty")
    # LLaMA-Factory's own Modelfile begins with the mark that the model's GGUF adds too.
    assert any("Modelfile" in note for note in recipe.notes) == bool(a_job(name).family.bos_token)


def test_rows_are_plain_messages_where_a_template_fits() -> None:
    one = conversation("Where?", "Here.", system="Mode: dual.")
    assert llama_factory.row(one, a_job()) == {
        "messages": [
            {"role": "system", "content": "Mode: dual."},
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": "Here."},
        ]
    }


def test_a_family_that_llama_factory_does_not_know_brings_its_texts_along() -> None:
    one = conversation("Where?", "Here.", "Then?", "There.", system="Mode: x.")
    assert llama_factory.row(one, a_job("llama2")) == {
        "messages": [
            {
                "role": "user",
                "content": "<s>[INST] <<SYS>>\nMode: x.\n<</SYS>>\n\nWhere? [/INST] Here. </s><s>[INST] Then? [/INST]",
            },
            {"role": "assistant", "content": " There. </s>"},
        ]
    }


def test_a_family_changed_by_a_home_is_not_rendered_as_the_shipped_one() -> None:
    one = a_job()
    changed = replace(one, family=type(one.family)(**{**_fields(one.family), "user_prefix": "<|im_start|>human\n"}))
    assert train_yaml(changed)["template"] == "empty"


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


@pytest.mark.parametrize(
    ("base_model", "template"),
    [
        ("google/gemma-2-9b-it", "gemma"),
        ("google/gemma-3-1b-it", "gemma"),
        ("google/gemma-3-270m-it", "gemma"),
        ("google/gemma-3-4b-it", "gemma3"),
        ("unsloth/gemma3_27b", "gemma3"),
        ("google/gemma-3n-E4B-it", "gemma3n"),
    ],
)
def test_a_gemma_that_sees_pictures_gets_the_template_that_loads_it(base_model: str, template: str) -> None:
    assert train_yaml(replace(a_job("gemma"), base_model=base_model))["template"] == template


def test_train_yaml_is_made_of_the_configuration() -> None:
    assert train_yaml(a_job(rows=64, max_seq_length=1024, seed=7)) == {
        "model_name_or_path": "Qwen/Qwen3-4B-Instruct-2507", "stage": "sft", "do_train": True,
        "finetuning_type": "lora", "lora_target": "all", "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.05,
        "dataset_dir": ".", "dataset": "persona_train", "eval_dataset": "persona_validation",
        "template": "qwen3_nothink", "cutoff_len": 1024, "mask_history": True, "packing": False,
        "overwrite_cache": True, "output_dir": "output", "logging_steps": 10, "save_steps": 500,
        "save_total_limit": 2, "plot_loss": True, "report_to": "none", "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 32, "lr_scheduler_type": "cosine", "optim": "adamw_torch",
        "learning_rate": 2e-4, "num_train_epochs": 3, "warmup_steps": 1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "bf16": True, "fp16": False, "seed": 7, "per_device_eval_batch_size": 1, "eval_strategy": "epoch",
    }  # fmt: skip


def test_full_fine_tuning_has_no_key_of_lora_and_a_file_for_several_gpus() -> None:
    recipe = llama_factory.recipe(a_job(method="full", training_mode="full_finetune"))
    found = yaml.safe_load(recipe.files["train.yaml"])
    assert found["finetuning_type"] == "full"
    assert found["learning_rate"] == 5e-6  # a number, although YAML 1.1 takes 5e-06 for a word
    assert [key for key in found if key.startswith(("lora", "quantization"))] == []
    assert json.loads(recipe.files["ds_z3.json"])["zero_optimization"]["stage"] == 3
    assert "merge.yaml" not in recipe.files
    assert recipe.commands == ("pip install llamafactory==0.9.5", "llamafactory-cli train train.yaml")
    assert any("deepspeed=ds_z3.json" in note for note in recipe.notes)


def test_an_adapter_is_merged_into_weights_that_are_not_quantized() -> None:
    recipe = llama_factory.recipe(a_job(load_in_4bit=True))
    assert yaml.safe_load(recipe.files["train.yaml"])["quantization_bit"] == 4
    assert recipe.commands[0] == "pip install llamafactory==0.9.5 bitsandbytes"
    assert recipe.commands[-1] == "llamafactory-cli export merge.yaml"
    merge = yaml.safe_load(recipe.files["merge.yaml"])
    assert (merge["adapter_name_or_path"], merge["export_dir"]) == ("output", "merged")
    assert "quantization_bit" not in merge


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ["qwen", "gptj"])
def test_every_key_is_used_or_named(method: Literal["lora", "full"], name: str) -> None:
    one = a_job(name, method)
    unused = llama_factory.recipe(one).unused
    assert set(one.keys) - one.keys.read - set(unused) == (FULL_HAS_NONE if method == "full" else set())
    assert not one.keys.read & set(unused)


def test_names_of_optimizers_and_schedules_are_those_of_transformers() -> None:
    found = train_yaml(a_job(optim="adamw_8bit", lr_scheduler_type="constant"))
    assert (found["optim"], found["lr_scheduler_type"]) == ("adamw_8bit", "constant_with_warmup")
    assert train_yaml(a_job(optim="adafactor", lr_scheduler_type="linear"))["optim"] == "adafactor"


def test_the_validation_set_is_named_only_where_there_is_one() -> None:
    files = llama_factory.recipe(a_job()).files
    info = json.loads(files["dataset_info.json"])
    assert {name: one["file_name"] for name, one in info.items()} == {
        "persona_train": "train.jsonl", "persona_validation": "validation.jsonl",
    }  # fmt: skip
    assert info["persona_train"]["formatting"] == "sharegpt"
    assert info["persona_train"]["columns"] == {"messages": "messages"}
    without = llama_factory.recipe(a_job(holdout=0)).files
    assert list(json.loads(without["dataset_info.json"])) == ["persona_train"]
    found = yaml.safe_load(without["train.yaml"])
    assert not {"eval_dataset", "eval_strategy", "per_device_eval_batch_size", "val_size"} & set(found)


def test_a_model_without_a_chat_template_gets_the_familys() -> None:
    one = a_job("gptj")
    recipe = llama_factory.recipe(one)
    assert recipe.files["chat_template.jinja"] == one.chat_template
    assert recipe.commands[-1] == "cp chat_template.jinja merged/"
    assert "chat_template.jinja" not in llama_factory.recipe(a_job()).files


def test_the_export_says_how_it_renders_and_trains() -> None:
    (one,) = llama_factory.register_exporters()
    assert (one.name, one.template, one.per_message, one.ends) == ("llama-factory", "tool", False, "all")

"""The export to torchtune: its rows, recipe.yaml and models; `make verify` has torchtune itself read it and train."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pytest
import yaml
from curator_plugins.exporters import torchtune
from hypothesis import given
from hypothesis import strategies as st
from outgoing_fixtures import conversation, job

from curator.contract.errors import UsageError, counted
from curator.hooks import ExportJob

FULL_HAS_NONE: Final = {"lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit"}
LLAMA: Final = "meta-llama/Meta-Llama-3-8B-Instruct"


def a_job(method: Literal["lora", "full"] = "lora", base_model: str = LLAMA, **changes: Any) -> ExportJob:
    return replace(job("llama3", method, **changes), base_model=base_model)


def recipe_yaml(one: ExportJob) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(torchtune.recipe(one).files["recipe.yaml"])
    return loaded


def test_a_row_is_its_messages() -> None:
    row = torchtune.row(conversation("a", "b", "c", "d", system="Mode: dual."), a_job())
    assert row == {"messages": [
        {"role": "system", "content": "Mode: dual."}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"},
    ]}  # fmt: skip
    (exporter,) = torchtune.register_exporters()
    assert (exporter.per_message, exporter.template) == (False, "tokenizer")


def test_recipe_yaml_says_what_the_configuration_says() -> None:
    assert recipe_yaml(a_job(rows=114)) == {
        "output_dir": "output",
        "model": {
            "_component_": "torchtune.models.llama3.lora_llama3_8b",
            "lora_attn_modules": ["q_proj", "k_proj", "v_proj", "output_proj"], "apply_lora_to_mlp": True,
            "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.05,
        },
        "tokenizer": {"_component_": "persona_torchtune.ChatTokenizer", "path": "base", "max_seq_len": 2048},
        "checkpointer": {
            "_component_": "persona_torchtune.checkpointer", "checkpoint_dir": "base", "recipe_checkpoint": None,
            "output_dir": "${output_dir}", "model_type": "LLAMA3",
        },
        "resume_from_checkpoint": False, "save_adapter_weights_only": False,
        "dataset": {"_component_": "persona_torchtune.rows", "data_files": "train.jsonl"},
        "seed": 42, "shuffle": True, "batch_size": 1,
        "optimizer": {"_component_": "torch.optim.AdamW", "fused": True, "lr": 2e-4, "weight_decay": 0.01},
        "lr_scheduler": {
            "_component_": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup", "num_warmup_steps": 1,
        },
        "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
        "epochs": 3, "max_steps_per_epoch": None, "gradient_accumulation_steps": 32, "clip_grad_norm": 1.0,
        "compile": False, "device": "cuda", "dtype": "bf16", "enable_activation_checkpointing": True,
        "enable_activation_offloading": False,
        "metric_logger": {
            "_component_": "torchtune.training.metric_logging.DiskLogger", "log_dir": "${output_dir}/logs",
        },
        "log_every_n_steps": 10, "log_peak_memory_stats": False,
    }  # fmt: skip


def test_full_fine_tuning_has_its_own_recipe_rate_and_model() -> None:
    one = a_job("full", fp16=False)
    found, recipe = recipe_yaml(one), torchtune.recipe(one)
    assert found["model"] == {"_component_": "torchtune.models.llama3.llama3_8b"}
    assert (found["optimizer"]["lr"], found["optimizer_in_bwd"]) == (5e-6, False)
    assert recipe.commands[-1] == "tune run full_finetune_single_device --config recipe.yaml"
    assert "rounded away" in " ".join(recipe.warnings)


def test_the_commands_are_pasted_in_the_folder(tmp_path: Path) -> None:
    assert torchtune.recipe(a_job(optim="adamw_8bit")).commands == (
        'pip install torch torchtune==0.6.1 "torchao==0.13.0" transformers bitsandbytes',
        f'tune download {LLAMA} --output-dir base --ignore-patterns "*.pth"',
        "tune run lora_finetune_single_device --config recipe.yaml",
    )
    (local := tmp_path / "Llama-3.2-1B-Instruct").mkdir()
    one = a_job(base_model=str(local))
    assert len(torchtune.recipe(one).commands) == 2, "what is there is not downloaded"
    assert recipe_yaml(one)["checkpointer"]["checkpoint_dir"] == recipe_yaml(one)["tokenizer"]["path"] == str(local)


@pytest.mark.parametrize(
    ("base_model", "builder", "reads"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "llama2.lora_llama2_7b", "LLAMA2"),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "llama3.lora_llama3_70b", "LLAMA3"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_1.lora_llama3_1_8b", "LLAMA3"),
        ("meta-llama/Meta-Llama-3.1-405B-Instruct", "llama3_1.lora_llama3_1_405b", "LLAMA3"),
        ("meta-llama/Llama-3.2-3B-Instruct", "llama3_2.lora_llama3_2_3b", "LLAMA3_2"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3_3.lora_llama3_3_70b", "LLAMA3"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral.lora_mistral_7b", "MISTRAL"),
        ("google/gemma-1.1-7b-it", "gemma.lora_gemma_7b", "GEMMA"),
        ("google/gemma-2b-it", "gemma.lora_gemma_2b", "GEMMA"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi3.lora_phi3_mini", "PHI3_MINI"),
        ("Qwen/Qwen2-1.5B-Instruct", "qwen2.lora_qwen2_1_5b", "QWEN2"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2_5.lora_qwen2_5_0_5b", "QWEN2"),
        ("Qwen/Qwen2.5-14B-Instruct", "qwen2_5.lora_qwen2_5_14b_instruct", "QWEN2"),
        ("Qwen/Qwen2.5-14B", "qwen2_5.lora_qwen2_5_14b_base", "QWEN2"),
    ],
)
def test_the_model_is_found_by_the_base_models_name(base_model: str, builder: str, reads: str) -> None:
    found = recipe_yaml(a_job(base_model=base_model))
    assert found["model"]["_component_"] == f"torchtune.models.{builder}"
    assert found["checkpointer"]["model_type"] == reads


@pytest.mark.parametrize(
    "base_model",
    [
        "Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen2.5-4B-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct", "llama3.1:8b",
        "mistralai/Mistral-7B-Instruct-v0.2", "mistralai/Mistral-7B-Instruct-v0.3", "google/gemma-3-4b-it",
        "microsoft/Phi-3.5-mini-instruct", "microsoft/Phi-3-mini-128k-instruct", "microsoft/Phi-4-mini-instruct",
        "EleutherAI/gpt-j-6b", "meta-llama/Llama-3.2-11B-Vision-Instruct", "someone/Llama-3-8B-Instruct-262k",
    ],
)  # fmt: skip
def test_a_model_without_a_builder_is_refused_at_the_first_row(base_model: str) -> None:
    one = a_job(base_model=base_model)
    for ask in (lambda: torchtune.row(conversation("a", "b"), one), lambda: torchtune.recipe(one)):
        with pytest.raises(UsageError) as refused:
            ask()
        assert f"no builder that fits {base_model!r}: it has" in refused.value.what
        assert "Qwen2.5 0.5B, 3B" in refused.value.what and "axolotl" in refused.value.next_step


@pytest.mark.parametrize(
    ("base_model", "why"),
    [
        ("google/gemma-2-9b-it", "two norms"),
        ("microsoft/phi-4", "250,000"),
        ("codellama/CodeLlama-7b-Instruct-hf", "1,000,000"),
    ],
)
def test_a_model_that_torchtune_gets_wrong_is_refused_with_the_reason(base_model: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        torchtune.row(conversation("a", "b"), a_job(base_model=base_model))
    assert base_model in refused.value.what and why in refused.value.what


@given(
    rows=st.integers(1, 500), batch=st.integers(1, 9), accumulate=st.integers(1, 70),
    epochs=st.sampled_from([0.5, 1, 2.5, 3]),
)  # fmt: skip
def test_torchtune_leaves_out_no_batch_unsaid(rows: int, batch: int, accumulate: int, epochs: float) -> None:
    one = a_job(
        rows=rows, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulate, num_train_epochs=epochs
    )
    found, notes = recipe_yaml(one), " ".join(torchtune.recipe(one).notes)
    size, each = found["batch_size"], found["gradient_accumulation_steps"]
    assert rows % size == 0, "drop_last"
    assert 1 <= each <= rows // size and size * each <= batch * accumulate, "a step in each epoch at least"
    left = rows // size % each * size
    assert (f"{counted(left, 'row is', 'rows are')} left over, and no step" in notes) == bool(left)
    assert found["epochs"] == math.ceil(epochs)
    assert (f"{epochs:g} became {math.ceil(epochs)}" in notes) == (epochs != math.ceil(epochs))


@pytest.mark.parametrize(
    ("changes", "part", "value"),
    [
        ({"lr_scheduler_type": "constant"}, ("lr_scheduler", "num_cycles"), 0.0),
        ({"lr_scheduler_type": "linear"}, ("lr_scheduler", "_component_"),
         "transformers.get_linear_schedule_with_warmup"),
        ({"optim": "adamw_8bit"}, ("optimizer", "_component_"), "bitsandbytes.optim.AdamW8bit"),
        ({"optim": "adafactor"}, ("optimizer", "_component_"), "torch.optim.Adafactor"),
        ({"load_in_4bit": True}, ("model", "quantize_base"), True),
        ({"fp16": True, "bf16": False}, ("dtype",), "fp32"),
        ({"fp16": False, "bf16": False}, ("dtype",), "fp32"),
    ],
)  # fmt: skip
def test_keys_are_translated(changes: dict[str, Any], part: tuple[str, ...], value: object) -> None:
    one = a_job(**changes)
    found: Any = recipe_yaml(one)
    for name in part:
        found = found[name]
    assert found == value
    assert ("cannot train in fp16" in " ".join(torchtune.recipe(one).notes)) == bool(changes.get("fp16"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_key_is_used_or_named(method: Literal["lora", "full"]) -> None:
    one = a_job(method)
    recipe = torchtune.recipe(one)
    assert set(one.keys) - one.keys.read - set(recipe.unused) <= (FULL_HAS_NONE if method == "full" else set())
    assert set(recipe.unused) == {"save_steps", "save_total_limit", "gguf_conversion"}
    assert not set(recipe.unused) & one.keys.read


def test_what_goes_along_is_python_and_has_what_recipe_yaml_names() -> None:
    files = torchtune.recipe(a_job()).files
    assert set(files) == {"recipe.yaml", "persona_torchtune.py", "chat_template.jinja"}
    assert files["chat_template.jinja"] == a_job().chat_template
    defined = {getattr(node, "name", "") for node in ast.parse(files["persona_torchtune.py"]).body}
    named = set(re.findall(r"persona_torchtune\.(\w+)", files["recipe.yaml"]))
    assert named == {"ChatTokenizer", "checkpointer", "rows"} <= defined


def test_the_notes_say_what_torchtune_does_not() -> None:
    recipe = torchtune.recipe(a_job(rows=114))
    (warning,) = recipe.warnings
    assert "no longer maintained" in warning
    notes = "\n".join(recipe.notes)
    for words in ("measures nothing on held-out rows", "18 rows are left over, and no step", "nproc_per_node"):
        assert words in notes

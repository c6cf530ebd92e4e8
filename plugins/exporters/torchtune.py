"""torchtune (0.6.1, no longer maintained): a recipe.yaml for `tune run`, and the few lines that torchtune lacks.

Read in its sources: data/_messages.py (OpenAIToMessages) learns every reply of a row, earlier ones too, whatever a row
says of them. Its tokenizers render with templates of their own, which are not the published ones: Llama 3.1's writes no
system turn, Qwen2.5's no default system text, Phi-3's begins with a BOS, Gemma's has no template, Phi-4's never writes
a reply's end, so that a model would learn not to stop, and most strip a text's ends. So the folder holds
persona_torchtune.py, which `tune run` finds there (config/_instantiate.py puts the working folder on the path): the
model's own tokenizer and chat template, and a loss on the last reply and its end alone.

recipes/*_finetune_*.py: epochs are whole; batches that fill no step are carried into the next epoch, and dropped behind
the last; rows that fill no batch are dropped in each; with fewer batches than one step takes there is none at all.
Nothing is validated, and a state is saved at the end of each epoch alone.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curator import Conversation, Exporter, ExportJob, Recipe, UsageError, counted, hookimpl, yaml_with_reasons

VERSION = "0.6.1"
BASE, OUTPUT, OURS = "base", "output", "persona_torchtune"


@dataclass(frozen=True)
class _Model:
    """A builder of torchtune.models: what names it stands for, its own name, and how its weights are read."""

    names: str
    builder: str
    reads: str
    shown: str


# torchtune/models/*/__init__.py, model types as in recipes/configs/. Only models that a builder's numbers fit, which
# `make verify` compares with transformers: Phi-3.5 and the 128k Phi-3 have other positions, Mistral v0.2 has another
# base of them, v0.3 another vocabulary.
_MODELS = (
    _Model(r"llama-2-(7|13|70)b", "llama2.llama2_{}b", "LLAMA2", "Llama 2 7B, 13B, 70B"),
    _Model(r"(?:meta-)?llama-3-(8|70)b", "llama3.llama3_{}b", "LLAMA3", "Llama 3 8B, 70B"),
    _Model(r"(?:meta-)?llama-3\.1-(8|70|405)b", "llama3_1.llama3_1_{}b", "LLAMA3", "Llama 3.1 8B, 70B, 405B"),
    _Model(r"llama-3\.2-(1|3)b", "llama3_2.llama3_2_{}b", "LLAMA3_2", "Llama 3.2 1B, 3B"),
    _Model(r"llama-3\.3-(70)b", "llama3_3.llama3_3_{}b", "LLAMA3", "Llama 3.3 70B"),
    _Model(r"mistral-(7)b(?:-instruct)?-v0\.1", "mistral.mistral_{}b", "MISTRAL", "Mistral 7B v0.1"),
    _Model(r"gemma-(?:1\.1-)?(2|7)b", "gemma.gemma_{}b", "GEMMA", "Gemma 1 2B, 7B"),
    _Model(r"phi-3-mini-4k()", "phi3.phi3_mini", "PHI3_MINI", "Phi-3-mini-4k"),
    _Model(r"qwen2-(0\.5|1\.5|7)b", "qwen2.qwen2_{}b", "QWEN2", "Qwen2 0.5B, 1.5B, 7B"),
    _Model(r"qwen2\.5-(0\.5|3)b", "qwen2_5.qwen2_5_{}b", "QWEN2", "Qwen2.5 0.5B, 3B"),
    _Model(
        r"qwen2\.5-(1\.5|7|14|32|72)b-instruct", "qwen2_5.qwen2_5_{}b_instruct", "QWEN2",
        "Qwen2.5 1.5B, 7B, 14B, 32B, 72B Instruct",
    ),
    _Model(
        r"qwen2\.5-(1\.5|7|14|32|72)b", "qwen2_5.qwen2_5_{}b_base", "QWEN2", "Qwen2.5 1.5B, 7B, 14B, 32B, 72B",
    ),
)  # fmt: skip
# Models for which torchtune has a builder, but one that does not compute the published model.
_WRONG = (
    (r"gemma-2-.*", "it exchanges two norms of each layer and both caps of Gemma 2"),
    (r"phi-4", "it gives Phi-4 positions with the base 10,000; the model has 250,000"),
    (r"codellama-.*", "with LoRA it gives Code Llama positions with the base 10,000; the model has 1,000,000"),
)


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to torchtune."""
    return [Exporter("torchtune", "torchtune", row, recipe)]


@lru_cache
def _model(base_model: str) -> tuple[str, str]:
    """Return the builder for a base model and the type of its weights. Raises UsageError where torchtune has none."""
    name = base_model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    for model in _MODELS:
        if match := re.compile(model.names + r"(?:-instruct|-chat|-it|-hf)*").fullmatch(name):
            return model.builder.format(match[1].replace(".", "_")), model.reads
    wrong = next((f" ({why})" for names, why in _WRONG if re.compile(names).fullmatch(name)), "")
    raise UsageError(
        f"torchtune {VERSION} has no builder that fits {base_model!r}{wrong}: it has "
        + "; ".join(model.shown for model in _MODELS),
        "name one of these with --base-model, or export --to llama-factory, axolotl, trl or unsloth",
    )


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return the messages; persona_torchtune.py learns the last of them."""
    _model(job.base_model)
    return {"messages": [{"role": message.role, "content": message.content} for message in conversation.messages]}


@dataclass(frozen=True)
class _Pace:
    """How torchtune goes through the rows: rows in a batch, batches in a step, epochs, and rows left at the end."""

    batch: int
    accumulate: int
    epochs: int
    left: int


def _pace(job: ExportJob) -> _Pace:
    wanted, accumulate = job.keys["per_device_train_batch_size"], job.keys["gradient_accumulation_steps"]
    batch = 1 if job.train_rows % wanted else wanted
    batches = job.train_rows // batch
    accumulate = min(accumulate * wanted // batch, batches)
    return _Pace(batch, accumulate, math.ceil(job.keys["num_train_epochs"]), batches % accumulate * batch)


def _config(job: ExportJob, pace: _Pace) -> dict[str, Any]:
    """Return recipe.yaml's keys: those of torchtune's recipes/configs/, for one device or several."""
    keys, (builder, reads) = job.keys, _model(job.base_model)
    return {
        "output_dir": OUTPUT,
        "model": _component(job, builder),
        "tokenizer": {"_component_": f"{OURS}.ChatTokenizer", "path": _folder(job),
                      "max_seq_len": keys["max_seq_length"]},
        "checkpointer": {"_component_": f"{OURS}.checkpointer", "checkpoint_dir": _folder(job),
                         "recipe_checkpoint": None, "output_dir": "${output_dir}", "model_type": reads},
        "resume_from_checkpoint": False,
        **({"save_adapter_weights_only": False} if job.method == "lora" else {"optimizer_in_bwd": False}),
        "dataset": {"_component_": f"{OURS}.rows", "data_files": job.data[0]},
        "seed": keys["seed"], "shuffle": True, "batch_size": pace.batch,
        "optimizer": _optimizer(job),
        "lr_scheduler": _schedule(job),
        "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
        "epochs": pace.epochs, "max_steps_per_epoch": None, "gradient_accumulation_steps": pace.accumulate,
        "clip_grad_norm": keys["max_grad_norm"], "compile": False, "device": "cuda",
        "dtype": "bf16" if keys["bf16"] and not keys["fp16"] else "fp32",
        "enable_activation_checkpointing": True, "enable_activation_offloading": False,
        "metric_logger": {"_component_": "torchtune.training.metric_logging.DiskLogger",
                          "log_dir": "${output_dir}/logs"},
        "log_every_n_steps": keys["logging_steps"], "log_peak_memory_stats": False,
    }  # fmt: skip


def _folder(job: ExportJob) -> str:
    """Return where the base model's files are: its own folder, or the one that `tune download` makes here."""
    return job.base_model if Path(job.base_model).is_dir() else BASE


def _component(job: ExportJob, builder: str) -> dict[str, Any]:
    package, name = builder.split(".")
    if job.method == "full":
        return {"_component_": f"torchtune.models.{package}.{name}"}
    keys = job.keys
    component = {
        "_component_": f"torchtune.models.{package}.lora_{name}",
        "lora_attn_modules": ["q_proj", "k_proj", "v_proj", "output_proj"],
        "apply_lora_to_mlp": True,
        **{name: keys[name] for name in ("lora_rank", "lora_alpha", "lora_dropout")},
    }
    return component | ({"quantize_base": True} if keys["load_in_4bit"] else {})


_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"_component_": "torch.optim.AdamW", "fused": True},
    "adamw_8bit": {"_component_": "bitsandbytes.optim.AdamW8bit"},
    "adafactor": {"_component_": "torch.optim.Adafactor"},
}


def _optimizer(job: ExportJob) -> dict[str, Any]:
    keys = job.keys
    return {**_OPTIMIZERS[keys["optim"]], "lr": keys["learning_rate"], "weight_decay": keys["weight_decay"]}


def _schedule(job: ExportJob) -> dict[str, Any]:
    """Return the schedule: torchtune has only the cosine, which stays constant with no half waves."""
    cosine = "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup"
    kinds: dict[str, dict[str, Any]] = {
        "cosine": {"_component_": cosine},
        "constant": {"_component_": cosine, "num_cycles": 0.0},
        "linear": {"_component_": "transformers.get_linear_schedule_with_warmup"},
    }
    return kinds[job.keys["lr_scheduler_type"]] | {"num_warmup_steps": job.keys["warmup_steps"]}


# Not read by mypy as text: tests/plugins/exporters/test_export_torchtune.py compiles it, and `make verify` runs it.
_OURS = '''"""What torchtune lacks; `tune run` finds it in this folder.

The model's own tokenizer and chat template render a row, and its last reply alone is learnt, with what ends it.
"""

from pathlib import Path

from torchtune.datasets import SFTDataset
from torchtune.training import FullModelHFCheckpointer
from transformers import AutoTokenizer


class ChatTokenizer:
    """Makes the tokens of a row, and the mask of all that is not learnt."""

    def __init__(self, path, max_seq_len):
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        if not self.tokenizer.chat_template:
            self.tokenizer.chat_template = Path(__file__).with_name("chat_template.jinja").read_text("utf-8")
        self.max_seq_len = max_seq_len
        pads = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        self.pad_id = next(one for one in pads if one is not None)

    def __call__(self, sample, inference=False):
        """Return "tokens" and "mask". Raises ValueError for a row of which nothing would be learnt."""
        messages = sample["messages"]
        text, prompt = self._render(messages), self._render(messages[:-1], add_generation_prompt=True)
        if not text.startswith(prompt):
            raise ValueError(f"the chat template renders a prompt otherwise than its conversation: {prompt[-200:]!r}")
        tokens, given = self._encode(text), self._encode(prompt)
        same = sum(1 for _ in self._same(tokens, given))
        if same >= self.max_seq_len:
            raise ValueError(f"max_seq_len {self.max_seq_len} cuts off all of a reply, behind {prompt[-200:]!r}")
        if len(tokens) > self.max_seq_len:
            print(f"a row of {len(tokens)} tokens is cut to max_seq_len {self.max_seq_len}: {prompt[:80]!r}")
        tokens = tokens[: self.max_seq_len]
        return {"tokens": tokens, "mask": [place < same for place in range(len(tokens))]}

    def _render(self, messages, **options):
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **options)

    def _encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False)

    @staticmethod
    def _same(tokens, given):
        for one, other in zip(tokens, given):
            if one != other:
                return
            yield one


def rows(tokenizer, *, data_files):
    """Return the dataset of a JSONL file."""
    return SFTDataset(
        source="json", data_files=data_files, split="train", message_transform=None, model_transform=tokenizer
    )


def checkpointer(*, checkpoint_dir, **options):
    """Return the reader and writer of weights, for all files that the base model's folder has."""
    found = [path.name for path in Path(checkpoint_dir).glob("model*.safetensors")]
    found = found or [path.name for path in Path(checkpoint_dir).glob("pytorch_model*.bin")]
    return FullModelHFCheckpointer(checkpoint_dir=checkpoint_dir, checkpoint_files=sorted(found), **options)
'''

_WHY = {
    "tokenizer": "the model's own, with its chat template",
    "checkpointer": "reads all weight files that the folder has",
    "dataset": "the last reply of each row is learnt, with its end",
    "batch_size": "divides the rows, or torchtune would leave some out",
    "lr_scheduler": "its steps are those of the optimizer",
    "enable_activation_checkpointing": "less memory for more time",
}
_UNUSED = {
    "save_steps": "torchtune saves at the end of each epoch",
    "save_total_limit": f"torchtune keeps all: {OUTPUT}/epoch_0 and so on",
    "gguf_conversion": "torchtune cannot make a GGUF; llama.cpp can make one of the merged model",
}


def recipe(job: ExportJob) -> Recipe:
    """Return recipe.yaml, persona_torchtune.py and the commands. Raises UsageError where torchtune has no builder."""
    pace = _pace(job)
    kind = "lora_finetune" if job.method == "lora" else "full_finetune"
    run = f"tune run {kind}_single_device --config recipe.yaml"
    files = {
        "recipe.yaml": yaml_with_reasons(f"torchtune {VERSION}, in this folder: {run}", _config(job, pace), _WHY),
        f"{OURS}.py": _OURS,
        "chat_template.jinja": job.chat_template,
    }
    # torchao has lost names since that torchtune still imports.
    needs = " bitsandbytes" if job.keys["optim"] == "adamw_8bit" else ""
    commands = [f'pip install torch torchtune=={VERSION} "torchao==0.13.0" transformers{needs}']
    if _folder(job) == BASE:
        commands.append(f'tune download {shlex.quote(job.base_model)} --output-dir {BASE} --ignore-patterns "*.pth"')
    commands.append(run)
    return Recipe(files, tuple(commands), _UNUSED, tuple(_notes(job, pace, kind)), tuple(_warnings(job)))


def _notes(job: ExportJob, pace: _Pace, kind: str) -> list[str]:
    rows, wanted = pace.batch * pace.accumulate, job.keys["num_train_epochs"]
    notes = [
        f"torchtune {VERSION} measures nothing on held-out rows: {job.data[1]} is for you to look at, or for another "
        "tool",
        f"the templates of torchtune are not the published ones, and it trains earlier replies too: {OURS}.py in this "
        "folder takes their place. It uses chat_template.jinja only where the model's tokenizer has no template",
        f"a row longer than max_seq_length {job.keys['max_seq_length']:,} is cut, and named when it is "
        "trained on; where nothing to train would be left of a row, the training stops",
        f"on N GPUs: tune run --nproc_per_node N {kind}_distributed --config recipe.yaml "
        f"gradient_accumulation_steps={pace.accumulate}/N (write the quotient)",
    ]
    if pace.left:
        notes.append(
            f"a step takes {counted(rows, 'row')}. Rows that do not fill a step wait for the next epoch; after the "
            f"last epoch {counted(pace.left, 'row is', 'rows are')} left over, and no step is made of them"
        )
    if wanted != pace.epochs:
        notes.append(f"torchtune takes whole epochs only: {wanted:g} became {pace.epochs}")
    return notes + _method_notes(job)


def _method_notes(job: ExportJob) -> list[str]:
    notes = []
    if job.keys["fp16"]:
        notes.append("torchtune cannot train in fp16: recipe.yaml says fp32")
    if job.method == "lora":
        notes.append(
            "each epoch saves the merged model beside the adapter; with save_adapter_weights_only: true it saves the "
            "adapter alone"
            + (
                ", which no other program can read where the model is a Phi"
                if "phi" in _model(job.base_model)[0]
                else ""
            )
        )
    return notes


def _warnings(job: ExportJob) -> list[str]:
    warnings = [
        f"torchtune is no longer maintained since July 2025 (meta-pytorch/torchtune#2883), and {VERSION} is its last "
        "release; the other tools here are maintained: --to trl, for one"
    ]
    if job.method == "full" and job.keys["bf16"] and not job.keys["fp16"]:
        warnings.append(
            "torchtune keeps the weights and the optimizer's states in bf16, where most of a step of "
            f"{job.keys['learning_rate']:g} is rounded away: use --method lora, or set bf16 to false in "
            "etc/fine-tune-config.json"
        )
    return warnings

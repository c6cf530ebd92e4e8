"""TRL (1.16.0): prompt-completion rows, the script that trains on them, and how it is launched on one GPU, on several
or on a rented machine.

Read in its sources (trl/trainer/sft_trainer.py, trl/data_utils.py), and settled by the script:

- `_prepare_dataset` renders prompt and prompt with completion, and trains what follows their common tokens; a prompt is
  masked for such rows alone, and no end mark is added: the template must write it;
- rows are cut at `max_length`, 1,024 unless told, and one whose reply is cut away is dropped without a word;
- a tokenizer without a token for padding gets its end mark for it; the collator masks by length, but what is saved with
  the model then misleads others;
- an adapter that is saved under FSDP's own activation checkpointing has no weights (seen with peft 0.21.2).
"""

import json
import re
from typing import Any

from curator import Conversation, Exporter, ExportJob, Message, Recipe, hookimpl, read_recipe

VERSIONS = {
    "accelerate": "1.15.0", "datasets": "5.2.0", "peft": "0.21.2", "torch": "2.13.0", "transformers": "5.23.0",
    "trl": "1.16.0",
}  # fmt: skip
SCRIPTS = {"lora": "train_lora.py", "full": "train_full_finetune.py"}
# The keys that stand in training.json as they are.
KEYS = (
    "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "max_seq_length", "warmup_steps", "lr_scheduler_type", "logging_steps", "save_steps", "save_total_limit", "fp16",
    "bf16", "optim", "weight_decay", "max_grad_norm", "seed",
)  # fmt: skip
LORA_KEYS = ("lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit")
_COMMON, _CALL = "# --- what all training scripts have in common", 'if __name__ == "__main__":\n'


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to TRL."""
    return [Exporter("trl", "TRL", row, recipe)]


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return prompt and completion as messages: of all that TRL takes, the form whose mask needs no template's help."""
    *earlier, reply = conversation.messages
    return {"prompt": [_message(one) for one in earlier], "completion": [_message(reply)]}


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def recipe(job: ExportJob) -> Recipe:
    """Return the script of the method, its settings, its template, and how it is launched."""
    name = SCRIPTS[job.method]
    files = {
        name: script(job.method),
        "training.json": json.dumps(training(job), indent=2, sort_keys=True, ensure_ascii=False) + "\n",
        "chat_template.jinja": job.chat_template,
        "fsdp.yaml": read_recipe("fsdp.yaml"),
        "requirements.txt": requirements(job),
        "LAUNCH.md": launch(job, name),
    }
    commands = ("pip install -r requirements.txt", f"python {name} --dry-run", f"python {name}")
    return Recipe(files, commands, unused(job), notes(job))


def script(method: str) -> str:
    """Return the training script of a method: one file that needs no other but its data and training.json."""
    own, shared = read_recipe("train_trl.py"), read_recipe("shared.py")
    head, _, rest = own.partition("\nimport ")
    body, _, call = rest.partition("\n)\n")[2].partition(_CALL)  # behind `from shared import (...)`
    body = body.replace('METHOD = "lora"\n', f'METHOD = "{method}"\n')
    return f"{head}\n{_imports(own, shared)}\n{body}{shared[shared.index(_COMMON) :]}\n\n{_CALL}{call}"


def _imports(*texts: str) -> str:
    """Return what several texts import at their top, as one block."""
    names: dict[str, set[str]] = {}
    pattern = r"^(?:from (?!__future__|shared)(\S+) )?import ([\w., ]+)$"
    for module, some in re.findall(pattern, "\n".join(texts), re.MULTILINE):
        names.setdefault(module, set()).update(some.split(", "))
    whole = [f"import {one}" for one in sorted(names.pop("", ()))]
    return "\n".join([*whole, *(f"from {one} import {', '.join(sorted(names[one]))}" for one in sorted(names))])


def training(job: ExportJob) -> dict[str, Any]:
    """Return training.json: the keys as they are, and what the script must know of the set and the family."""
    family = job.family
    names = KEYS + (LORA_KEYS if job.method == "lora" else ())
    return {name: job.keys[name] for name in names} | {
        "base_model": job.base_model,
        "family": family.family,
        "method": job.method,
        "turn_end": family.eos_token,
        "bos_token": family.bos_token,
        "bos_each_turn": bool(family.bos_token) and family.bos_token in family.turn_separator,
        "own_template": job.own_template,
        "train_file": job.data[0],
        "validation_file": job.data[1],
        "train_rows": job.train_rows,
        "validation_rows": job.holdout_rows,
    }


def unused(job: ExportJob) -> dict[str, str]:
    """Return the keys that TRL is not given."""
    why = {"gguf_conversion": "TRL makes no GGUF: trainer export --to ollama does, after training"}
    if job.method == "full":
        why |= dict.fromkeys(LORA_KEYS, "not for full fine-tuning")
        why["load_in_4bit"] = "only an adapter can be trained on 4-bit weights"
    return why


def requirements(job: ExportJob) -> str:
    """Return the versions that the scripts were run with."""
    lora = job.method == "lora"
    lines = [f"{name}=={version}" for name, version in VERSIONS.items() if name != "peft" or lora]
    if job.keys["optim"] == "adamw_8bit" or (lora and job.keys["load_in_4bit"]):
        lines.append("bitsandbytes==0.50.2")
    return "\n".join(sorted(lines)) + "\n"


def launch(job: ExportJob, name: str) -> str:
    """Return how the script is launched: of LAUNCH.md what is for this method and this tool."""
    here = {job.method, "trl"}
    parts = re.compile(r"<!-- ([a-z ]+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
    text = parts.sub(lambda part: part[2] if here.issuperset(part[1].split()) else "", read_recipe("LAUNCH.md"))
    return text.replace("SCRIPT", name).replace("BASE", job.base_model)


def notes(job: ExportJob) -> tuple[str, ...]:
    """Say what a user would otherwise learn too late."""
    found = []
    if job.method == "full":
        found.append(
            "the weights are kept in 32 bits, since bf16 would round steps of the learning rate's size away; "
            "--bf16-weights halves the memory all the same"
        )
    if job.steps <= job.keys["save_steps"] * job.keys["num_train_epochs"]:
        found.append(f"save_steps {job.keys['save_steps']:,}: an epoch has no more, so each epoch is saved")
    if job.own_template:
        found.append("no published tokenizer carries this family's template: chat_template.jinja goes along")
    return tuple(found)

"""The training scripts of exports/recipes/ as exports carry them: one file each, that needs nothing of this project."""

from __future__ import annotations

import json
import re
from typing import Any

from curator.contract.homes import PACKAGE
from curator.hooks import ExportJob
from curator.records import Conversation

SHARED = "shared.py"
_COMMON, _CALL = "# --- what all training scripts have in common", 'if __name__ == "__main__":\n'
_PART = re.compile(r"<!-- ([a-z ]+) -->\n((?:(?!<!-- [a-z ]+ -->\n).)*+)<!-- end -->\n", re.DOTALL)
# The keys that stand in training.json as they are.
_KEYS = (
    "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "max_seq_length", "warmup_steps", "lr_scheduler_type", "logging_steps", "save_steps", "save_total_limit", "fp16",
    "bf16", "optim", "weight_decay", "max_grad_norm", "seed",
)  # fmt: skip
_LORA_KEYS = ("lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit")
_IMPORT = re.compile(r"^(?:from (?!__future__|shared)(\S+) )?import ([\w., ]+)$", re.MULTILINE)


def read_recipe(name: str) -> str:
    """Return a shipped file of exports/recipes/: training scripts and launch guides that exports carry along."""
    return (PACKAGE / "exports" / "recipes" / name).read_text("utf-8")


def script_row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return a row as the scripts read it: prompt and completion as messages.

    Of TRL's formats, this is the one whose mask does not depend on the template: the trained part is a field of the
    row, so that no text has to be searched for.
    """
    *earlier, reply = [{"role": message.role, "content": message.content} for message in conversation.messages]
    return {"prompt": earlier, "completion": [reply]}


def training_script(name: str, method: str) -> str:
    """Return the script `name` of exports/recipes/ for a method ("lora", "full"), with the shared code in it."""
    own, shared = read_recipe(name), read_recipe(SHARED)
    head, _, rest = own.partition("\nimport ")
    body, _, call = rest.partition("\n)\n")[2].partition(_CALL)  # behind `from shared import (...)`
    body = body.replace('METHOD = "lora"\n', f'METHOD = "{method}"\n')
    return f"{head}\n{_imports(own, shared)}\n{body}{shared[shared.index(_COMMON) :]}\n\n{_CALL}{call}"


def _imports(*texts: str) -> str:
    """Return what several texts import at their top, as one block."""
    names: dict[str, set[str]] = {}
    for module, some in _IMPORT.findall("\n".join(texts)):
        names.setdefault(module, set()).update(some.split(", "))
    whole = [f"import {module}" for module in sorted(names.pop("", ()))]
    return "\n".join(
        [*whole, *(f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names))]
    )


def training_json(job: ExportJob, **more: Any) -> str:
    """Return training.json: the keys as they are, and what a script must know of the set and the family."""
    family = job.family
    values = {name: job.keys[name] for name in _KEYS + (_LORA_KEYS if job.method == "lora" else ())} | more
    values |= {
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
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def launch_guide(job: ExportJob, tool: str, script: str) -> str:
    """Return LAUNCH.md: how to launch the script. Parts for another method or another tool are left out."""
    wanted = {job.method, tool}
    text = _PART.sub(lambda part: part[2] if wanted.issuperset(part[1].split()) else "", read_recipe("LAUNCH.md"))
    return text.replace("SCRIPT", script).replace("BASE", job.base_model)


def script_notes(job: ExportJob) -> list[str]:
    """Say what a user of any of the scripts would otherwise learn too late."""
    notes = []
    if job.steps <= job.keys["save_steps"] * job.keys["num_train_epochs"]:
        notes.append(
            f"save_steps is {job.keys['save_steps']:,}, but an epoch has no more steps than that, so each "
            "epoch is saved"
        )
    if job.own_template:
        notes.append(
            "the base model's tokenizer has no chat template, so the script uses chat_template.jinja of this folder"
        )
    return notes

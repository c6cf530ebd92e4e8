"""Unsloth (2026.10.9): prompt-completion rows and a script that tokenises and masks them itself, for one GPU.

Read in its sources (unsloth/models/rl.py, unsloth_zoo/dataset_utils.py), and settled by the script:

- `train_on_responses_only` finds questions and replies by the texts before them, and can be held to the last reply; but
  Llama 2, Mistral and GPT-J have no text before a reply, or a blank, which it refuses or finds everywhere;
- prompt-completion rows it masks by the prompt's number of tokens, right only where the prompt is rendered alike;
- rows that come with `labels` it takes as they are: so does the script give them, as TRL would have made them;
- left to itself it lays rows end to end without padding, and then cuts them by rules of its own.
"""

import json
import re
from typing import Any

from curator import Conversation, Exporter, ExportJob, Message, Recipe, hookimpl, read_recipe

VERSION = "2026.10.9"
# What it makes of a model for llama.cpp, of its own list; those that need an importance matrix are left out.
QUANTIZATIONS = frozenset(
    "f32 bf16 f16 q8_0 q6_k q5_k_m q5_k_s q5_k q5_1 q5_0 q4_k_m q4_k_s q4_k q4_1 q4_0 q3_k_l q3_k_m q3_k_s q3_k_xs "
    "q2_k q2_k_l".split()
)
_COMMON, _CALL = "# --- what all training scripts have in common", 'if __name__ == "__main__":\n'
KEYS = (
    "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "max_seq_length", "warmup_steps", "lr_scheduler_type", "logging_steps", "save_steps", "save_total_limit", "fp16",
    "bf16", "optim", "weight_decay", "max_grad_norm", "seed",
)  # fmt: skip
LORA_KEYS = ("lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit")
SCRIPT = "train_unsloth.py"


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to Unsloth."""
    return [Exporter("unsloth", "Unsloth", row, recipe)]


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return prompt and completion as messages: what is trained is then a place, and no text has to be looked for."""
    *earlier, reply = conversation.messages
    return {"prompt": [_message(one) for one in earlier], "completion": [_message(reply)]}


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def recipe(job: ExportJob) -> Recipe:
    """Return the script, its settings, its template, and how it is launched."""
    files = {
        SCRIPT: script(job.method),
        "training.json": json.dumps(training(job), indent=2, sort_keys=True, ensure_ascii=False) + "\n",
        "chat_template.jinja": job.chat_template,
        "requirements.txt": f"unsloth=={VERSION}\nunsloth_zoo=={VERSION}\n",
        "LAUNCH.md": launch(job),
    }
    commands = ("pip install -r requirements.txt", f"python {SCRIPT} --dry-run", f"python {SCRIPT}")
    why = dict.fromkeys(LORA_KEYS, "not for full fine-tuning") if job.method == "full" else {}
    if why:
        why["load_in_4bit"] = "only an adapter can be trained on 4-bit weights"
    return Recipe(files, commands, why, notes(job))


def script(method: str) -> str:
    """Return the training script of a method: one file that needs no other but its data and training.json."""
    own, shared = read_recipe(SCRIPT), read_recipe("shared.py")
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
    gguf = job.keys["gguf_conversion"]
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
        "gguf": gguf.quantization_type.lower() if gguf.enabled else "",
        "gguf_intermediate": gguf.intermediate_type.lower() if gguf.enabled else "",
    }


def launch(job: ExportJob) -> str:
    """Return how the script is launched: of LAUNCH.md what is for this method and this tool."""
    here = {job.method, "unsloth"}
    parts = re.compile(r"<!-- ([a-z ]+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
    text = parts.sub(lambda part: part[2] if here.issuperset(part[1].split()) else "", read_recipe("LAUNCH.md"))
    return text.replace("SCRIPT", SCRIPT).replace("BASE", job.base_model)


def notes(job: ExportJob) -> tuple[str, ...]:
    """Say what a user would otherwise learn too late."""
    found = ["Unsloth uses one GPU; for several export to trl"]
    gguf = job.keys["gguf_conversion"]
    if gguf.enabled and gguf.quantization_type.lower() not in QUANTIZATIONS:
        found.append(f"gguf_conversion: {gguf.quantization_type} is none of the types that Unsloth makes of itself")
    if job.method == "lora" and job.keys["lora_dropout"]:
        found.append("lora_dropout 0 would train faster with Unsloth, whose own kernels know no dropout")
    if job.steps <= job.keys["save_steps"] * job.keys["num_train_epochs"]:
        found.append(f"save_steps {job.keys['save_steps']:,}: an epoch has no more, so each epoch is saved")
    if job.own_template:
        found.append("no published tokenizer carries this family's template: chat_template.jinja goes along")
    return tuple(found)

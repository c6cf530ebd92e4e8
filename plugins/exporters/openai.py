"""OpenAI's fine-tuning service: rows as its guide asks for them, job.json, and create_job.py, which uploads both.

The format: developers.openai.com/api/docs/guides/supervised-fine-tuning (10 rows at least; `weight` 0 on an assistant's
message that is not learnt) and the OpenAI cookbook's "Data preparation and analysis for chat model fine-tuning". The
job: POST /v1/fine_tuning/jobs of the API reference, with `method`, since `hyperparameters` at the top is deprecated.
The end: developers.openai.com/api/docs/deprecations, as of November 2026.
"""

from __future__ import annotations

import json
import re
from typing import Any

from curator import Conversation, Exporter, ExportJob, Message, Recipe, UsageError, hookimpl

DEFAULT_MODEL = "gpt-4.1-mini-2025-04-14"
_LEAST_ROWS, _MOST_EPOCHS = 10, 50
_THEIRS = re.compile(r"(?:ft:)?(?:gpt-\d|o\d)")


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to OpenAI."""
    return [Exporter("openai", "OpenAI fine-tuning", row, recipe, per_message=True, template="server")]


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return the messages; `weight` is written only where it is 0, since other readers of such rows may not know it."""
    return {"messages": [_message(message) for message in conversation.messages]}


def _message(message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": message.role, "content": message.content}
    return entry | {"weight": 0} if message.role == "assistant" and not message.train else entry


_CREATE = '''"""Upload the set to OpenAI and start the job that job.json describes. Prints the job's id.

Needs `pip install openai` and the environment variable OPENAI_API_KEY. Asks before anything leaves this machine.
"""

import json
import sys
from pathlib import Path

import openai

here = Path(__file__).parent
job = json.loads((here / "job.json").read_text("utf-8"))
files = {key: here / job[key] for key in ("training_file", "validation_file") if key in job}
for path in files.values():
    print(f"to be sent to OpenAI: {path.name}, {path.stat().st_size:,} bytes", file=sys.stderr)
if input("These are a person's memories. Type yes to send them: ").strip().lower() != "yes":
    sys.exit("nothing was sent")
client = openai.OpenAI()
for key, path in files.items():
    with path.open("rb") as file:
        job[key] = client.files.create(file=file, purpose="fine-tune").id
print(client.fine_tuning.jobs.create(**job).id)
'''

_CHOSEN = "OpenAI chooses it"
_UNUSED = {
    "learning_rate": "OpenAI sets the rate itself; what can be set is a factor of it, which is auto here",
    "per_device_train_batch_size": "the batch size is auto: OpenAI chooses it by the number of rows",
    "gradient_accumulation_steps": "the batch size is auto: OpenAI chooses it by the number of rows",
    "max_seq_length": "the limit is the model's own; longer rows are cut",
    "logging_steps": "OpenAI reports as it likes",
    "save_steps": "OpenAI saves when it likes",
    "save_total_limit": "OpenAI keeps what it likes",
    "gguf_conversion": "the model stays with OpenAI",
    **dict.fromkeys(
        ("warmup_steps", "lr_scheduler_type", "fp16", "bf16", "optim", "weight_decay", "max_grad_norm", "lora_rank",
         "lora_alpha", "lora_dropout", "load_in_4bit"), _CHOSEN,
    ),
}  # fmt: skip


def recipe(job: ExportJob) -> Recipe:
    """Return job.json and create_job.py. Raises UsageError for fewer rows than OpenAI takes."""
    if job.train_rows < _LEAST_ROWS:
        raise UsageError(
            f"OpenAI takes {_LEAST_ROWS} training rows at least: this run has {job.train_rows}",
            "make a larger run, or hold out less of it: curate run --holdout",
        )
    files = {"job.json": json.dumps(_job(job), indent=2, ensure_ascii=False) + "\n", "create_job.py": _CREATE}
    return Recipe(
        files, ("pip install openai", "python create_job.py"), _UNUSED, tuple(_notes(job)), tuple(_warnings(job))
    )


def _model(job: ExportJob) -> str:
    return job.base_model if _THEIRS.match(job.base_model) else DEFAULT_MODEL


def _epochs(job: ExportJob) -> int:
    epochs: float = job.keys["num_train_epochs"]
    return min(_MOST_EPOCHS, max(1, round(epochs)))


def _job(job: ExportJob) -> dict[str, Any]:
    """Return the body of the request. create_job.py puts the ids of the uploaded files in place of their names."""
    parameters = {"n_epochs": _epochs(job), "batch_size": "auto", "learning_rate_multiplier": "auto"}
    return {
        "model": _model(job),
        "training_file": job.data[0],
        **({"validation_file": job.data[1]} if job.holdout_rows else {}),
        "suffix": "persona",
        "seed": job.keys["seed"],
        "method": {"type": "supervised", "supervised": {"hyperparameters": parameters}},
    }


def _notes(job: ExportJob) -> list[str]:
    wanted, epochs = job.keys["num_train_epochs"], _epochs(job)
    notes = [
        f"the price: the tokens of {job.data[0]} x {epochs} epochs x the model's price for a token of training",
        f"OpenAI decides how it trains: --method {job.method} changes nothing",
    ]
    if wanted != epochs:
        notes.append(f"OpenAI takes whole epochs only, {_MOST_EPOCHS} at most: {wanted:g} became {epochs}")
    return notes


def _warnings(job: ExportJob) -> list[str]:
    warnings = [
        "create_job.py sends a person's memories to OpenAI, where they stay until you delete the files: have that "
        "person's consent, and consider a tool that runs on a machine of your own",
        "OpenAI is closing this service: today only those who use it already can start a job, and from 6 January 2027 "
        "nobody can. The GPT-4o and GPT-4.1 models, and all that is fine-tuned from them, end on 14 January 2027 "
        "(developers.openai.com/api/docs/deprecations)",
    ]
    if _model(job) != job.base_model:
        warnings.append(
            f"{job.base_model!r} is no model of OpenAI's, so job.json names {DEFAULT_MODEL}; name another "
            "with --base-model"
        )
    return warnings

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

from curator import (
    Exporter,
    ExportJob,
    Recipe,
    hookimpl,
    launch_guide,
    read_recipe,
    script_notes,
    script_row,
    training_json,
    training_script,
)

VERSIONS = {
    "accelerate": "1.15.0", "datasets": "5.2.0", "peft": "0.21.2", "torch": "2.13.0", "transformers": "5.23.0",
    "trl": "1.16.0",
}  # fmt: skip
SCRIPTS = {"lora": "train_lora.py", "full": "train_full_finetune.py"}


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to TRL."""
    return [Exporter("trl", "TRL", script_row, recipe)]


def recipe(job: ExportJob) -> Recipe:
    """Return the script of the method, its settings, its template, and how it is launched."""
    name = SCRIPTS[job.method]
    files = {
        name: training_script("train_trl.py", job.method),
        "training.json": training_json(job),
        "chat_template.jinja": job.chat_template,
        "fsdp.yaml": read_recipe("fsdp.yaml"),
        "requirements.txt": requirements(job),
        "LAUNCH.md": launch_guide(job, "trl", name),
    }
    commands = ("pip install -r requirements.txt", f"python {name} --dry-run", f"python {name}")
    unused = {
        "gguf_conversion": "TRL cannot make a GGUF; llama.cpp can make one of the trained model, and trainer "
        "export --to "
        "ollama makes the Modelfile for it"
    }
    return Recipe(files, commands, unused, notes(job))


def requirements(job: ExportJob) -> str:
    """Return the versions that the scripts were run with."""
    lora = job.method == "lora"
    lines = [f"{name}=={version}" for name, version in VERSIONS.items() if name != "peft" or lora]
    if job.keys["optim"] == "adamw_8bit" or (lora and job.keys["load_in_4bit"]):
        lines.append("bitsandbytes==0.50.2")
    return "\n".join(sorted(lines)) + "\n"


def notes(job: ExportJob) -> tuple[str, ...]:
    """Say what a user would otherwise learn too late."""
    lines = []
    if job.method == "full":
        lines.append(
            "the weights are kept in 32 bits: in 16 (bf16) a step of this learning rate would be rounded away. "
            "--bf16-weights halves the memory, at that price"
        )
    return (*lines, *script_notes(job))

"""Unsloth (2026.10.9): prompt-completion rows and a script that tokenises and masks them itself, for one GPU.

Read in its sources (unsloth/models/rl.py, unsloth_zoo/dataset_utils.py), and settled by the script:

- `train_on_responses_only` finds questions and replies by the texts before them, and can be held to the last reply; but
  Llama 2, Mistral and GPT-J have no text before a reply, or a blank, which it refuses or finds everywhere;
- prompt-completion rows it masks by the prompt's number of tokens, right only where the prompt is rendered alike;
- rows that come with `labels` it takes as they are: the script gives them labels as TRL would have made them;
- left to itself it lays rows end to end without padding, and then cuts them by rules of its own.
"""

from curator import (
    Exporter,
    ExportJob,
    Recipe,
    hookimpl,
    launch_guide,
    script_notes,
    script_row,
    training_json,
    training_script,
)

VERSION = "2026.10.9"
# What it makes of a model for llama.cpp, of its own list; those that need an importance matrix are left out.
QUANTIZATIONS = frozenset(
    "f32 bf16 f16 q8_0 q6_k q5_k_m q5_k_s q5_k q5_1 q5_0 q4_k_m q4_k_s q4_k q4_1 q4_0 q3_k_l q3_k_m q3_k_s q3_k_xs "
    "q2_k q2_k_l".split()
)
SCRIPT = "train_unsloth.py"


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to Unsloth."""
    return [Exporter("unsloth", "Unsloth", script_row, recipe)]


def recipe(job: ExportJob) -> Recipe:
    """Return the script, its settings, its template, and how it is launched."""
    files = {
        SCRIPT: training_script(SCRIPT, job.method),
        "training.json": training_json(job, **gguf(job)),
        "chat_template.jinja": job.chat_template,
        "requirements.txt": f"unsloth=={VERSION}\nunsloth_zoo=={VERSION}\n",
        "LAUNCH.md": launch_guide(job, "unsloth", SCRIPT),
    }
    commands = ("pip install -r requirements.txt", f"python {SCRIPT} --dry-run", f"python {SCRIPT}")
    return Recipe(files, commands, notes=notes(job), warnings=warnings(job))


def gguf(job: ExportJob) -> dict[str, str]:
    """Return what the script is told of a GGUF to be made after training; empty words for none."""
    wanted = job.keys["gguf_conversion"]
    kinds = (wanted.quantization_type.lower(), wanted.intermediate_type.lower()) if wanted.enabled else ("", "")
    return {"gguf": kinds[0], "gguf_intermediate": kinds[1]}


def notes(job: ExportJob) -> tuple[str, ...]:
    """Return the facts that a user would otherwise learn too late."""
    lines = ["Unsloth trains on one GPU; for several GPUs, export with --to trl"]
    if job.method == "lora" and job.keys["lora_dropout"]:
        lines.append("Unsloth's fast kernels have no dropout: with lora_dropout 0 it would train faster")
    return (*lines, *script_notes(job))


def warnings(job: ExportJob) -> tuple[str, ...]:
    """Return what a user should do something about."""
    kind = gguf(job)["gguf"]
    if not kind or kind in QUANTIZATIONS:
        return ()
    return (
        f"gguf_conversion: Unsloth cannot make {kind.upper()} by itself; set quantization_type to one that it "
        "can make, such as Q8_0",
    )

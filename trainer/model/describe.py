"""What a checkpoint is, where it came from, and whether its files are unchanged.

The weights are not read into memory: names and shapes are in the header, and the sha256 is computed block by block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curator.contract.errors import UsageError, counted
from curator.contract.files import sha256_of
from trainer.model.checkpoint import RECORD, WEIGHTS, Record, check_shapes, load_record, safetensors_header
from trainer.model.convert import huggingface_shapes
from trainer.model.llama import ModelConfig
from trainer.model.tokenizer import Tokenizer


def describe(folder: Path) -> dict[str, Any]:
    """Return the description of a checkpoint for JSON. Raises UsageError where it is none.

    `problems` names each file that is missing or was changed; `verified` is true where there are none.
    """
    config, record = load_record(folder)
    problems = [problem for problem in (*_file_problems(folder, record), *_weight_problems(folder, config)) if problem]
    norms = (2 * config.n_layers + 1) * config.dim
    tokenizer = folder / "tokenizer.model"
    return {
        "checkpoint": str(folder),
        "made_by": record.made_by,
        "created": record.created,
        "trainer_version": record.trainer_version,
        "parameters": {
            "total": config.parameters(),
            "decayed": config.parameters() - norms,
            "not_decayed": norms,
        },
        "config": config.as_dict(),
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        "tokenizer_sha256": sha256_of(tokenizer) if tokenizer.is_file() else None,
        "template": record.template.model_dump(),
        "sampling": record.sampling.model_dump() if record.sampling else None,
        "parent": record.parent.model_dump() if record.parent else None,
        "data": record.data,
        "settings": record.settings,
        "steps": record.steps,
        "metrics": record.metrics,
        "notes": record.notes,
        "sha256": record.sha256,
        "verified": not problems,
        "problems": problems,
    }


def _file_problems(folder: Path, record: Record) -> list[str]:
    problems = [] if WEIGHTS in record.sha256 else [f"{RECORD} names no {WEIGHTS}"]
    for name, recorded in sorted(record.sha256.items()):
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(folder / name) != recorded:
            problems.append(f"{name} is not the file that {RECORD} describes")
    return problems


def _weight_problems(folder: Path, config: ModelConfig) -> list[str]:
    """Return the contradictions between the configuration, the weights' header and the tokenizer."""
    problems = []
    try:
        shapes = {name: tuple(entry["shape"]) for name, entry in safetensors_header(folder / WEIGHTS).items()}
        if config.tied:
            shapes.pop("lm_head.weight", None)  # some writers store the tied output twice
        check_shapes(folder / WEIGHTS, shapes, huggingface_shapes(config))
    except UsageError as error:
        problems.append(error.what)
    except (TypeError, KeyError):
        problems.append(f"{WEIGHTS} has no valid header")
    try:
        pieces = Tokenizer.load(folder / "tokenizer.model").vocab_size
        if pieces != config.vocab_size:
            problems.append(f"the model has {config.vocab_size:,} ids, its tokenizer {pieces:,}")
    except UsageError as error:
        problems.append(error.what)
    return problems


def lines(description: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a description as lines for a person, (name, value)."""
    c, counts = description["config"], description["parameters"]
    parent, template = description["parent"], description["template"]
    heads = counted(c["n_heads"], "head") + (
        f" ({c['n_kv_heads']} for keys)" if c["n_kv_heads"] != c["n_heads"] else ""
    )
    origin = " ".join(
        part
        for part in (description["made_by"], description["created"], f"trainer {description['trainer_version']}")
        if part
    )
    lines = [
        ("checkpoint", description["checkpoint"]),
        ("size", f"{description['bytes'] / 1e6:,.1f} MB"),
        ("parameters", f"{counts['total']:,} ({counts['decayed']:,} decayed, {counts['not_decayed']:,} not)"),
        ("model", f"{counted(c['n_layers'], 'layer')} of {c['dim']}, {heads}, hidden {c['hidden_dim']}, "
                  f"{'tied' if c['tied'] else 'untied'} output"),
        ("context", f"{counted(c['max_seq_len'], 'token')}"),
        ("vocabulary", f"{counted(c['vocab_size'], 'piece')}, tokenizer {str(description['tokenizer_sha256'])[:12]}"),
        ("template", f"{template['name']}: {template['prompt']!r} + {template['reply']!r}"
                     + (f", modes {', '.join(template['tags'])}" if template["tags"] else "")),
        ("drawn with", _drawn(description["sampling"])),
        ("made by", origin),
        ("parent", f"{parent['name']} {parent['sha256'][:12]}" if parent else "none"),
        ("steps", f"{description['steps']:,}"),
    ]  # fmt: skip
    lines += [(name, _short(description[name])) for name in ("data", "metrics") if description[name]]
    lines += [("note", note) for note in description["notes"]]
    lines += [("sha256", f"{sha[:16]}  {name}") for name, sha in sorted(description["sha256"].items())]
    return [
        *lines,
        *(("problem", problem) for problem in description["problems"]),
        ("verified", "yes" if description["verified"] else "NO"),
    ]


def _drawn(sampling: dict[str, Any] | None) -> str:
    """Return the stored sampling in words."""
    if not sampling:
        return "what etc/trainer.json says"
    numbers = [f"{name} {value:g}" for name, value in sampling.items() if not isinstance(value, bool)]
    return ", ".join([*numbers, *(["known words alone"] if sampling.get("known_words") else [])])


def _short(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if not isinstance(value, dict | list))

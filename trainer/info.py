"""What a checkpoint is, where it came from, and whether its files are the ones it was written with.

The weights are not read into memory: their names and shapes stand in the header, their sha256 is taken block by block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.checkpoint import RECORD, WEIGHTS, Record, check_shapes, load_record, safetensors_header
from trainer.errors import UsageError
from trainer.files import sha256_of
from trainer.layouts import huggingface_shapes
from trainer.model import ModelConfig
from trainer.tokenizer import Tokenizer


def describe(folder: Path) -> dict[str, Any]:
    """Return all that is known of a checkpoint, as JSON has it. Raises UsageError where it is none.

    `problems` names each file that is missing or is not the one that trainer.json describes; `verified` is whether
    there are none.
    """
    config, record = load_record(folder)
    problems = [one for one in (*_file_problems(folder, record), *_weight_problems(folder, config)) if one]
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
        "bytes": sum(one.stat().st_size for one in folder.iterdir() if one.is_file()),
        "tokenizer_sha256": sha256_of(tokenizer) if tokenizer.is_file() else None,
        "template": record.template.model_dump(),
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
    for name, told in sorted(record.sha256.items()):
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(folder / name) != told:
            problems.append(f"{name} is not the file that {RECORD} describes")
    return problems


def _weight_problems(folder: Path, config: ModelConfig) -> list[str]:
    """Return what is wrong between the configuration, the weights' header and the tokenizer."""
    problems = []
    try:
        found = {name: tuple(one["shape"]) for name, one in safetensors_header(folder / WEIGHTS).items()}
        if config.tied:
            found.pop("lm_head.weight", None)  # some writers store the tied output twice
        check_shapes(folder / WEIGHTS, found, huggingface_shapes(config))
    except UsageError as error:
        problems.append(error.what)
    except (TypeError, KeyError):
        problems.append(f"{WEIGHTS} has a header that is none")
    try:
        pieces = Tokenizer.load(folder / "tokenizer.model").vocab_size
        if pieces != config.vocab_size:
            problems.append(f"the model has {config.vocab_size:,} ids, its tokenizer {pieces:,}")
    except UsageError as error:
        problems.append(error.what)
    return problems


def show(found: dict[str, Any]) -> None:
    """Print what `describe` found on stdout, a line each."""
    from trainer.chat import harmless

    for name, value in _lines(found):
        print(harmless(f"{name + ':':<15}{value}"))


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    c, counts, parent, template = found["config"], found["parameters"], found["parent"], found["template"]
    heads = f"{c['n_heads']} heads" + (f" ({c['n_kv_heads']} for keys)" if c["n_kv_heads"] != c["n_heads"] else "")
    made = " ".join(
        part for part in (found["made_by"], found["created"], f"trainer {found['trainer_version']}") if part
    )
    lines = [
        ("checkpoint", found["checkpoint"]),
        ("size", f"{found['bytes'] / 1e6:,.1f} MB"),
        ("parameters", f"{counts['total']:,} ({counts['decayed']:,} decayed, {counts['not_decayed']:,} not)"),
        ("model", f"{c['n_layers']} layers of {c['dim']}, {heads}, hidden {c['hidden_dim']}, "
                  f"{'tied' if c['tied'] else 'untied'} output"),
        ("context", f"{c['max_seq_len']:,} tokens"),
        ("vocabulary", f"{c['vocab_size']:,} pieces, tokenizer {str(found['tokenizer_sha256'])[:12]}"),
        ("template", f"{template['name']}: {template['prompt']!r} + {template['reply']!r}"
                     + (f", modes {', '.join(template['tags'])}" if template["tags"] else "")),
        ("made by", made),
        ("parent", f"{parent['name']} {parent['sha256'][:12]}" if parent else "none"),
        ("steps", f"{found['steps']:,}"),
    ]  # fmt: skip
    lines += [(name, _short(found[name])) for name in ("data", "metrics") if found[name]]
    lines += [("note", one) for one in found["notes"]]
    lines += [("sha256", f"{sha[:16]}  {name}") for name, sha in sorted(found["sha256"].items())]
    return [
        *lines,
        *(("problem", one) for one in found["problems"]),
        ("verified", "yes" if found["verified"] else "NO"),
    ]


def _short(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if not isinstance(value, dict | list))

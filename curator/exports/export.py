"""`curate export`: a run's samples, configuration and commands, as another tool takes them; whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from curator.contract import __version__
from curator.contract.cli_frame import Progress, no_progress, stoppable
from curator.contract.errors import PluginError, UsageError, counted, printable
from curator.contract.files import HashedFile, read_bytes, whole_folder
from curator.contract.finetune_config import Keys, require_mode, share_notes, size_note
from curator.contract.records import MAKE_AGAIN, SUMMARY
from curator.executing import watched
from curator.exports.card import dataset_card
from curator.exports.conversations import row_tokens
from curator.exports.costs import cost_lines, model_size
from curator.exports.hyperparameters import keys_for, steps_of
from curator.exports.plan import Plan, conversations, cut_note
from curator.exports.preview import rows_note
from curator.hooks import ExportJob, Recipe
from curator.plugin_errors import defined, raised
from curator.plugin_manager import call_plugin
from curator.records import EXPORT_FORMAT, EXPORT_VERSION, Conversation, ExportIndex, ExportSummary

CARD, INDEX, MANIFEST = "README.md", "index.jsonl", "export.json"
_BATCH = 256
_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass
class _Counts:
    """Counts over the rows as they are written."""

    train: int = 0
    holdout: int = 0
    tokens: int = 0
    long: int = 0
    modes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    folder: Path
    summary: ExportSummary
    cost: tuple[str, ...]


def export(plan: Plan, progress: Progress = no_progress) -> Exported:
    """Write an export. If it raises a CuratorError, nothing is left behind.

    Raises UsageError where `out` is taken.
    """
    place = free_place(plan.request.out)
    with stoppable(), whole_folder(place, doing="cannot write the export") as folder:
        summary, cost = _build(plan, folder, place.name, progress)
    return Exported(place, summary, cost)


def free_place(out: Path | None) -> Path:
    """Return where an export goes. Raises UsageError where something is there already."""
    assert out is not None
    place = out.absolute()
    if place.exists():
        raise UsageError(f"--out {printable(str(out))}: it is there already", "name a folder that is not there yet")
    return place


def _build(plan: Plan, folder: Path, name: str, progress: Progress) -> tuple[ExportSummary, tuple[str, ...]]:
    counts, hashes = _write_rows(plan, folder, progress)
    if not counts.train:
        raise UsageError(f"{printable(str(plan.request.run))}: it has no training sample", "make a larger run")
    require_mode(plan.config, counts.modes)
    steps = steps_of(plan.config, counts.train)
    keys, fitted = keys_for(plan.config, plan.job.method, steps)
    job = replace(
        plan.job, keys=keys, train_rows=counts.train, holdout_rows=counts.holdout, steps=steps
    )  # fmt: skip
    recipe = _recipe(plan, job)
    size = model_size(job.base_model, plan.family.family)
    cost: tuple[str, ...] = ()
    if plan.exporter.template != "server":
        cost = cost_lines(size, job.method, dict(keys), counts.tokens, counts.train)
    summary = msgspec.structs.replace(
        _summary(plan, job, recipe, counts),
        notes=(*fitted, *_set_notes(plan, counts), *recipe.notes),
        warnings=(*plan.warnings, *_set_warnings(plan, counts), *recipe.warnings),
    )
    texts = {**recipe.files, CARD: dataset_card(plan, summary, cost, name)}
    for path, text in sorted(texts.items()):
        hashes[path] = _write_text(folder, path, text)
    summary = msgspec.structs.replace(summary, files=dict(sorted(hashes.items())))
    _write_text(folder, MANIFEST, msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")
    return summary, cost


def _write_text(folder: Path, name: str, text: str) -> str:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PluginError(f"an exporter would write outside of its folder: {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = HashedFile(path)
    file.write(text.encode())
    return file.close()


def _write_rows(plan: Plan, folder: Path, progress: Progress) -> tuple[_Counts, dict[str, str]]:
    """Write the data of both splits and the index, one row after the other. An empty validation split has no file."""
    counts, job, exporter = _Counts(), plan.job, plan.exporter
    english = plan.settings.targets.characters_per_token
    most = plan.config.max_seq_length
    total = int(plan.reader.summary["counts"]["samples"])
    hashes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        files = {split: _Lines(folder / name) for split, name in zip(("train", "holdout"), exporter.data, strict=True)}
        index = _Lines(folder / INDEX)
        for file in (*files.values(), index):
            stack.callback(file.abandon)
        for conversation in conversations(plan):
            row = _row(plan, conversation, job)
            file = files[conversation.split]
            file.add(row)
            index.add(ExportIndex(file.path.name, file.count, conversation.sample_id, conversation.mode))
            tokens = row_tokens(conversation.messages, english)
            counts.long += tokens > most
            if conversation.split == "train":
                counts.train += 1
                counts.tokens += tokens
            else:
                counts.holdout += 1
            counts.modes[conversation.mode] = counts.modes.get(conversation.mode, 0) + 1
            if not (counts.train + counts.holdout) & 1023:
                progress("writing", plan.reader.samples, total)
        for file in (*files.values(), index):
            if file.count:
                hashes[file.path.name] = file.close()
            else:
                file.abandon()
                file.path.unlink()
    if plan.reader.samples != total:
        found = (
            f"{SUMMARY} promises {counted(total, 'sample')}, {plan.reader.samples:,} were found in {plan.reader.name}"
        )
        raise UsageError(found, MAKE_AGAIN)
    return counts, hashes


def _row(plan: Plan, conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    assert plan.exporter.row is not None
    try:
        return watched.call(plan.plugin, "row", plan.exporter.row, conversation, job)
    except (KeyboardInterrupt, UsageError):
        raise
    except BaseException as error:
        problem = f"plugin {plan.plugin!r}: row on sample {conversation.sample_id}: {raised(error)}"
        raise PluginError(problem, "mend the plugin, or export to another tool") from error


class _Lines:
    """A JSONL file that is encoded in batches."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._file = HashedFile(path)
        self._waiting: list[Any] = []

    def add(self, row: Any) -> None:
        """Add a row."""
        self._waiting.append(row)
        self.count += 1
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.write(_encode_lines(self._waiting))
        self._waiting = []

    def close(self) -> str:
        """Write what waits; return the file's sha256."""
        self._flush()
        return self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.abandon()


def _recipe(plan: Plan, job: ExportJob) -> Recipe:
    """Ask the exporter for its recipe, and hold it to its contract: every key is used or named."""
    assert plan.exporter.recipe is not None
    recipe = call_plugin(plan.plugin, "recipe", "", plan.exporter.recipe, job)
    where = defined(plan.exporter.recipe)
    if not isinstance(recipe, Recipe):
        raise PluginError(f"plugin {plan.plugin!r}: recipe returned {type(recipe).__name__}: expected a Recipe{where}")
    missing = sorted(set(job.keys) - job.keys.read - set(recipe.unused) - _not_for(job.method).keys())
    if missing:
        raise PluginError(f"plugin {plan.plugin!r}: neither uses nor names the keys {', '.join(missing)}{where}")
    return recipe


def _not_for(method: str) -> dict[str, str]:
    if method == "lora":
        return {}
    why = dict.fromkeys(("lora_rank", "lora_alpha", "lora_dropout"), "not for full fine-tuning")
    return why | {"load_in_4bit": "only an adapter can be trained on 4-bit weights"}


def unused_keys(job: ExportJob, recipe: Recipe) -> dict[str, str]:
    """Return every key that the tool was not given, and why."""
    return dict(sorted({**{name: why for name, why in _not_for(job.method).items() if name not in job.keys.read},
                        **recipe.unused}.items()))  # fmt: skip


def _set_notes(plan: Plan, counts: _Counts) -> Iterator[str]:
    """Yield the facts of this set with this configuration that its counts alone do not tell."""
    samples = plan.reader.samples
    if why := rows_note(counts.train + counts.holdout, samples, plan.exporter):
        yield why
    if cut := cut_note(plan):
        yield cut
    if plan.reader.braced:
        yield (
            f"{counted(plan.reader.braced, 'control token')} in the texts: written in braces (<|im_end|> as "
            "{im_end}), so that no tool takes them for its own marks"
        )
    if samples >= plan.config.dataset_requirements.min_samples and (note := size_note(plan.config, samples)):
        yield note


def _set_warnings(plan: Plan, counts: _Counts) -> Iterator[str]:
    """Yield what a user should do something about, in this set with this configuration."""
    samples = plan.reader.samples
    if opened := plan.reader.summary.get("encrypted"):
        yield encrypted_warning(opened)
    if counts.long:
        yield (
            f"{counted(counts.long, 'row')} probably longer than max_seq_length {plan.config.max_seq_length:,}, as "
            "estimated by script: see which with curate preview --tokenizer FOLDER --strict"
        )
    if samples < plan.config.dataset_requirements.min_samples:
        yield size_note(plan.config, samples)
    if len(counts.modes) > 1:
        yield from share_notes(plan.config, counts.modes)
    if not counts.holdout:
        yield (
            "nothing is held out, so the tool cannot tell whether the model learns or memorises: make a run with "
            "curate run --holdout 0.05"
        )


def encrypted_warning(opened: int) -> str:
    """Return what the user of an encrypted profile must know of an export; `opened` counts its memories."""
    memories = counted(opened, "memory", "memories")
    return f"the set holds in the clear what was encrypted: {memories} of encrypted files; keep this export as safe"


def _summary(plan: Plan, job: ExportJob, recipe: Recipe, counts: _Counts) -> ExportSummary:
    run = plan.reader.summary
    unused = unused_keys(job, recipe)
    raw = read_bytes(plan.request.run / SUMMARY)
    return ExportSummary(
        format=EXPORT_FORMAT,
        version=EXPORT_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        curator_version=__version__,
        tool=plan.exporter.name,
        method=job.method,
        base_model=job.base_model,
        family=plan.family.family,
        tags=plan.request.tags,
        username=str(run["username"]),
        run=str(run["label"]),
        run_sha256=hashlib.sha256(raw).hexdigest(),
        counts={
            "samples": plan.reader.samples,
            "rows": counts.train + counts.holdout,
            "train_rows": counts.train,
            "validation_rows": counts.holdout,
            "tokens_estimated": counts.tokens,
            "control_tokens_in_braces": plan.reader.braced,
            "rows_probably_too_long": counts.long,
            **{f"{mode}_rows": count for mode, count in sorted(counts.modes.items())},
        },
        keys=msgspec.Raw(msgspec.json.encode(_plain_keys(job.keys, unused))),
        unused=unused,
        notes=(),
        commands=recipe.commands,
        files={},
    )


def _plain_keys(keys: Keys, unused: Mapping[str, str]) -> dict[str, Any]:
    values = {name: keys[name] for name in keys if name not in unused}
    return {name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
            for name, value in values.items()}  # fmt: skip

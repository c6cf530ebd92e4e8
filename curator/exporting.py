"""`curate export`: a run's samples, configuration and commands, as another tool takes them; whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from curator import __version__
from curator.chat_template import chat_template
from curator.config import Settings, load_settings
from curator.conversations import ConversationReader, check_alternation, last_replies, system_in_user_turn
from curator.costs import cost_lines, model_size
from curator.errors import PluginError, UsageError, unknown_name
from curator.families import Wrapper, detect_family
from curator.files import HashedFile, disk_error, printable, sync_folder
from curator.hyperparameters import (
    ExportConfig,
    FineTuneConfig,
    Keys,
    keys_for,
    load_export,
    load_fine_tune,
    steps_of,
)
from curator.pipeline import Progress, no_progress
from curator.plugin_manager import Registry, fill, guarded, load_plugins, raised
from curator.records import (
    EXPORT_FORMAT,
    EXPORT_VERSION,
    Conversation,
    ExportIndex,
    ExportSummary,
    Family,
)
from curator.spec import Exporter, ExportJob, Recipe
from curator.validation import read_summary
from curator.writing import stoppable

CARD, INDEX, MANIFEST = "README.md", "index.jsonl", "export.json"
_BATCH = 256
_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True)
class ExportRequest:
    """All that one `curate export` was asked for. `out` None: a preview, which writes nothing."""

    run: Path
    tool: str
    out: Path | None = None
    method: Literal["lora", "full"] | None = None
    base_model: str | None = None
    family: str | None = None
    tags: Literal["content", "none"] = "content"
    home: Path | None = None


@dataclass(frozen=True)
class Plan:
    """An export as it was resolved: the tool, the family, the configuration and the reader of the run."""

    request: ExportRequest
    settings: Settings
    exporter: Exporter
    plugin: str
    family: Family
    config: FineTuneConfig
    words: ExportConfig
    reader: ConversationReader
    job: ExportJob
    notes: list[str] = field(default_factory=list)


def plan_export(request: ExportRequest) -> Plan:
    """Find everything that an export needs. Raises UsageError for a run, tool, method, model or key that is none."""
    summary = read_summary(request.run)
    settings = load_settings(request.home)
    registry = load_plugins(settings, request.home)
    config, _ = load_fine_tune(request.home, _one_mode(summary))
    base_model = _base_model(request.base_model or config.base_model)
    notes: list[str] = []

    def family_of(families: dict[str, Family]) -> Family:
        return _family(families, request.family, base_model, summary["family"], notes)

    family = fill(registry, settings, family_of)
    exporter, plugin = _exporter(registry, request.tool)
    method = request.method or ("lora" if config.training_mode == "lora" else "full")
    if method not in exporter.methods:
        raise UsageError(
            f"{exporter.title} knows no method {method!r}: expected {' or '.join(exporter.methods)}", "see --method"
        )
    words = load_export(request.home)
    reader = ConversationReader(request.run, request.tags, words, registry.control_tokens)
    keys, _ = keys_for(config, method, 0)
    own = not any(one in family.user_prefix + family.user_suffix + family.assistant_prefix
                  for one in family.control_tokens)  # fmt: skip
    job = ExportJob(
        method, base_model, family, Wrapper(family), keys, chat_template(family), own, exporter.data
    )  # fmt: skip
    return Plan(request, settings, exporter, plugin, family, config, words, reader, job, notes)


def _base_model(name: str) -> str:
    """Return a base model's name; of a folder its whole path, since commands run in the export's folder."""
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if not name.strip() or ":" in name:
        raise UsageError(
            f"the base model {name!r} is {'a name of Ollama' if name.strip() else 'empty'}: expected a name at Hugging "
            "Face (Qwen/Qwen3-4B-Instruct-2507) or a folder with weights",
            "name the model that is to be trained with --base-model",
        )
    return name


def _one_mode(summary: Mapping[str, Any]) -> str:
    return "" if summary["mode"] == "all" else str(summary["mode"])


def _exporter(registry: Registry, name: str) -> tuple[Exporter, str]:
    if name not in registry.exporters:
        raise unknown_name("tool", name, registry.exporters, "curate plugins lists who gives them")
    return registry.exporters[name], registry.owners[f"export {name}"]


def _family(families: dict[str, Family], named: str | None, base_model: str, of_run: str, notes: list[str]) -> Family:
    """Return the family named, else the base model's, else the run's own, and take note of the last."""
    if named:
        if named not in families:
            raise unknown_name("family", named, families, "a file in the home's etc/schemas/ adds one")
        return families[named]
    try:
        return detect_family(Path(base_model).name if Path(base_model).is_dir() else base_model, families)
    except UsageError:
        if of_run not in families:
            raise
        notes.append(f"no family is known for the base model {base_model!r}: that of the run, {of_run!r}, is used")
        return families[of_run]


def conversations(plan: Plan) -> Iterator[Conversation]:
    """Yield the rows of an export as conversations, checked: what the tool's own file is made of, in its order."""
    for whole in plan.reader:
        check_alternation(whole)
        for row in (whole,) if plan.exporter.per_message else last_replies(whole):
            # Each row by itself: a system text that belongs into the last user's turn is in every one.
            yield row if plan.exporter.template == "server" else system_in_user_turn(row, plan.family)


@dataclass
class _Counts:
    """Counts over the rows as they are written."""

    train: int = 0
    holdout: int = 0
    characters: int = 0
    long: int = 0
    modes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    folder: Path
    summary: ExportSummary
    cost: tuple[str, ...]


def export(plan: Plan, progress: Progress = no_progress) -> Exported:
    """Write an export. Raises CuratorError; what it raises, nothing is left behind."""
    out = plan.request.out
    assert out is not None
    place = out.absolute()
    if place.exists():
        raise UsageError(f"--out {printable(str(out))}: it is there already", "name a folder that is not there yet")
    aside = place.parent / f".{place.name}.tmp-{os.getpid()}"
    try:
        with stoppable():
            place.parent.mkdir(parents=True, exist_ok=True)
            _clear_stale(place)
            aside.mkdir(mode=0o700)
            summary, cost = _build(plan, aside, place.name, progress)
            sync_folder(aside)
            aside.rename(place)
            sync_folder(place.parent)
    except OSError as error:
        raise disk_error(error, "cannot write the export", place) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Exported(place, summary, cost)


def _clear_stale(place: Path) -> None:
    """Take away what killed exports to the same place have left; one that still runs keeps its own."""
    for stale in place.parent.glob(f".{glob.escape(place.name)}.tmp-*"):
        number = stale.name.rpartition("-")[2]
        if number.isdigit() and not _runs(int(number)):
            shutil.rmtree(stale, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _build(plan: Plan, folder: Path, name: str, progress: Progress) -> tuple[ExportSummary, tuple[str, ...]]:
    counts, hashes = _write_rows(plan, folder, progress)
    if not counts.train:
        raise UsageError(f"{printable(str(plan.request.run))}: it has no training sample", "make a larger run")
    _check_modes(plan, counts)
    steps = steps_of(plan.config, counts.train)
    keys, fitted = keys_for(plan.config, plan.job.method, steps)
    job = replace(
        plan.job, keys=keys, train_rows=counts.train, holdout_rows=counts.holdout, steps=steps
    )  # fmt: skip
    recipe = _recipe(plan, job)
    tokens = round(counts.characters / plan.settings.targets.characters_per_token)
    size = model_size(job.base_model, plan.family.family)
    cost = () if plan.exporter.template == "server" else cost_lines(size, job.method, dict(keys), tokens, counts.train)
    notes = (*plan.notes, *fitted, *_set_notes(plan, counts), *recipe.notes)
    summary = _summary(plan, job, recipe, counts, tokens, notes)
    from curator.card import dataset_card

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
    most = plan.config.max_seq_length * plan.settings.targets.characters_per_token
    total = int(plan.reader.summary["counts"]["samples"])
    hashes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        files = {split: _Lines(folder / name) for split, name in zip(("train", "holdout"), exporter.data, strict=True)}
        index = _Lines(folder / INDEX)
        for file in (*files.values(), index):
            stack.callback(file.abandon)
        for one in conversations(plan):
            row = _row(plan, one, job)
            file = files[one.split]
            file.add(row)
            index.add(ExportIndex(file.path.name, file.count, one.sample_id, one.mode))
            characters = sum([len(message.content) + 24 for message in one.messages])
            counts.long += characters > most
            if one.split == "train":
                counts.train += 1
                counts.characters += characters
            else:
                counts.holdout += 1
            counts.modes[one.mode] = counts.modes.get(one.mode, 0) + 1
            if not (counts.train + counts.holdout) & 1023:
                progress("writing", plan.reader.samples, total)
        for file in (*files.values(), index):
            if file.count:
                hashes[file.path.name] = file.close()
            else:
                file.abandon()
                file.path.unlink()
    if plan.reader.samples != total:
        raise UsageError(f"run-summary.json promises {total:,} samples, {plan.reader.samples:,} were found")
    return counts, hashes


def _row(plan: Plan, one: Conversation, job: ExportJob) -> dict[str, Any]:
    try:
        return plan.exporter.row(one, job)
    except (KeyboardInterrupt, UsageError):
        raise
    except BaseException as error:
        what = f"plugin {plan.plugin!r}: row on sample {one.sample_id}: {raised(error)}"
        raise PluginError(what, "mend the plugin, or export to another tool") from error


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
        """Close without promises."""
        self._file.abandon()


def _recipe(plan: Plan, job: ExportJob) -> Recipe:
    """Ask the exporter for its recipe, and hold it to its contract: every key is used or named."""
    recipe = guarded(plan.plugin, "recipe", "", plan.exporter.recipe, job)
    if not isinstance(recipe, Recipe):
        raise PluginError(f"plugin {plan.plugin!r}: recipe returned {type(recipe).__name__}: expected a Recipe")
    missing = sorted(set(job.keys) - job.keys.read - set(recipe.unused) - _not_for(job.method).keys())
    if missing:
        raise PluginError(f"plugin {plan.plugin!r}: neither uses nor names the keys {', '.join(missing)}")
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


def _check_modes(plan: Plan, counts: _Counts) -> None:
    """Raise UsageError where the configuration is for another mode than the samples'."""
    wanted = plan.config.dataset_requirements.mode_filter
    if wanted and set(counts.modes) != {wanted}:
        raise UsageError(
            f"mode_filter is {wanted!r}; the samples are {', '.join(sorted(counts.modes))}",
            f"make a run of that mode: curate run --mode {wanted}",
        )


def _set_notes(plan: Plan, counts: _Counts) -> list[str]:
    """Put into words what a user should know of this set with this configuration."""
    notes, need = list[str](), plan.config.dataset_requirements
    samples, rows = plan.reader.samples, counts.train + counts.holdout
    if plan.reader.braced:
        notes.append(f"{plan.reader.braced:,} control tokens in the texts are spelled in braces")
    if counts.long:
        notes.append(
            f"{counts.long:,} rows are probably longer than max_seq_length {plan.config.max_seq_length:,}: see them "
            "with curate preview --tokenizer FOLDER --strict"
        )
    for least, word in ((need.min_samples, "asks for"), (need.recommended_samples, "recommends")):
        if samples < least:
            notes.append(f"{samples:,} samples; the configuration {word} {least:,}")
            break
    if len(counts.modes) > 1:
        for mode in ("dual", "emulation", "agent"):
            wanted = getattr(need.mode_distribution, f"{mode}_min_percent")
            share = 100 * counts.modes.get(mode, 0) / rows
            if share < wanted:
                notes.append(f"{mode}: {share:.0f}% of the samples; the configuration asks for {wanted:.0f}%")
    if not counts.holdout:
        notes.append("nothing is held out: the tool cannot tell learning from memorising")
    return notes


def _summary(
    plan: Plan, job: ExportJob, recipe: Recipe, counts: _Counts, tokens: int, notes: tuple[str, ...]
) -> ExportSummary:
    run = plan.reader.summary
    unused = unused_keys(job, recipe)
    raw = (plan.request.run / "run-summary.json").read_bytes()
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
            "tokens_estimated": tokens,
            "control_tokens_in_braces": plan.reader.braced,
            "rows_probably_too_long": counts.long,
            **{f"{mode}_rows": count for mode, count in sorted(counts.modes.items())},
        },
        keys=msgspec.Raw(msgspec.json.encode(_plain_keys(job.keys, unused))),
        unused=unused,
        notes=notes,
        commands=recipe.commands,
        files={},
    )


def _plain_keys(keys: Keys, unused: Mapping[str, str]) -> dict[str, Any]:
    values = {name: keys[name] for name in keys if name not in unused}
    return {name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
            for name, value in values.items()}  # fmt: skip

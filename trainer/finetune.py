"""Fine-tuning a base on dialogues: from weights, at step 0, with a schedule and a best loss of its own.

llama2.c's `--init_from=resume` restores the step of pretraining, so that the learning rate is 0, and its best loss, so
that nothing is ever saved; here nothing of the base's training but its weights counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer.advice import advise
from trainer.anchor import Anchor
from trainer.batches import Encoded, Packed, Replayed
from trainer.checkpoint import Checkpoint, builtin_base, load_checkpoint
from trainer.datasets import Dataset, Dialogue, Samples, emphasised, encode_dataset, read_dialogues, with_tags
from trainer.errors import UsageError
from trainer.generate import Sampling, replies
from trainer.guard import HealthGate
from trainer.homes import CHECKPOINTS, find_profile
from trainer.lora import add_lora
from trainer.model import Llama
from trainer.modes import check_dataset, finetune_settings, load_modes
from trainer.pretrain import PLAN_FORMAT, run_training
from trainer.replay import BaseText, base_text
from trainer.secrets import find_secret
from trainer.settings import FinetuneSettings, SamplingSettings, TrainerSettings, load_settings, with_options
from trainer.speed import check_memory, use_device
from trainer.templates import Template
from trainer.training import Watcher, memory_watched
from trainer.work import Work

_SHORT = 40  # tokens of those replies
_OWN_PROMPTS = 2  # held-out prompts sampled at each evaluation, beside those of etc/trainer.json


@dataclass(frozen=True)
class Request:
    """What a fine-tune is asked to do; paths as given."""

    home: Path | None
    profile: str | None = None
    run: Path | None = None
    data: Path | None = None
    base: Path | None = None
    out: Path | None = None
    steps: int | None = None
    context: int | None = None
    device: str = "cpu"
    keep_secrets: bool = False
    replay: Path | None = None
    accept_degraded: bool = False
    options: dict[str, Any] | None = None


@dataclass
class Prepared:
    """Everything that a fine-tune needs, read and checked before anything is written."""

    base: Checkpoint
    dataset: Dataset
    samples: Samples
    template: Template
    settings: FinetuneSettings
    shipped: TrainerSettings
    context: int
    prompts: list[str]
    notes: list[str]

    def weighted(self) -> list[Encoded]:
        """Return the training samples with the weights that they are trained with."""
        asked = self.settings.prompt_loss_weight, self.settings.end_loss_weight
        pairs = zip(self.samples.train, self.samples.train_dialogues, strict=True)
        return [emphasised(one, told, self.template, self.base.tokenizer, *asked) for one, told in pairs]


def prepare(request: Request) -> Prepared:
    """Read base, settings and dialogues, and turn these into tokens."""
    shipped = load_settings(request.home)
    folder = request.base or builtin_base()
    base = load_checkpoint(folder)
    dataset = read_dialogues(request.home, request.profile, request.run, request.data, base.record.template)
    found: list[str] = []
    if not request.keep_secrets:
        dataset, found = without_secrets(dataset)
    settings, notes, longest = _defaults(request, shipped, base, dataset)
    notes += found
    settings = with_options(settings, request.options or {})
    template = with_tags(base.record.template, dataset, settings.mode_tags)
    context = min(request.context or longest, base.config.max_seq_len)
    samples = encode_dataset(dataset, template, base.tokenizer, context, settings.validation_share)
    notes += dataset.notes + _sample_notes(samples)
    prompts = [*shipped.preview_prompts, *(one.prompt for one in samples.held_dialogues[:_OWN_PROMPTS])]
    return Prepared(base, dataset, samples, template, settings, shipped, context, prompts, notes)


def _defaults(
    request: Request, shipped: TrainerSettings, base: Checkpoint, dataset: Dataset
) -> tuple[FinetuneSettings, list[str], int]:
    """Return the defaults for a base, notes, and the tokens of a sample at most.

    For a small base they stand in etc/trainer.json, for a large one in etc/modes/.
    """
    longest = base.config.max_seq_len
    modes = {one.mode for one in dataset.dialogues if one.mode}
    files = load_modes(request.home)
    if base.config.parameters() <= shipped.small_model_parameters or len(modes) != 1:
        return shipped.finetune, [], longest
    mode = next(iter(modes))
    if mode not in files:
        note = f"there is no file for the mode {mode!r} in etc/modes/; etc/trainer.json counts"
        return shipped.finetune, [note], longest
    path, found = files[mode]
    settings, unused = finetune_settings(path, found, shipped.finetune)
    notes = [f"defaults of {path.name}", *(f"{path.name}: not used: {one}" for one in unused)]
    return settings, notes + check_dataset(path, found, len(dataset.dialogues), modes), found.max_seq_length


def without_secrets(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Return a dataset without the samples that hold a secret, and a note that names them."""
    found = [(one, _secret_in(one)) for one in dataset.dialogues]
    bad = [f"{one.name}: {kind}" for one, kind in found if kind]
    if not bad:
        return dataset, []
    kept = [one for one, kind in found if not kind]
    if not kept:
        raise UsageError(
            f"{dataset.source}: every sample holds a secret ({bad[0]} ...)", "--keep-secrets trains on them"
        )
    more = " ..." if len(bad) > 3 else ""
    note = (
        f"{len(bad):,} samples left out: they hold a secret ({', '.join(bad[:3])}{more}); --keep-secrets trains on them"
    )
    return replace(dataset, dialogues=kept), [note]


def _secret_in(dialogue: Dialogue) -> str | None:
    texts = (dialogue.prompt, dialogue.reply, *(text for exchange in dialogue.history for text in exchange))
    return next((kind for text in texts if (kind := find_secret(text))), None)


def _sample_notes(samples: Samples) -> list[str]:
    notes = []
    if samples.shortened:
        notes.append(f"{samples.shortened:,} long prompts lost their front so that the whole reply fits the context")
    if samples.left_out:
        some = ", ".join(samples.left_out[:3])
        notes.append(f"{len(samples.left_out):,} samples left out: their reply does not fit the context ({some} ...)")
    if not samples.held:
        notes.append("nothing is held out: there are too few conversations; the last weights will be kept unmeasured")
    return notes


def place_of(request: Request, dataset: Dataset) -> Path:
    """Return the folder that the checkpoint goes to: --out, else the profile's out/checkpoints/, else here."""
    if request.out:
        return request.out
    if request.profile and request.home:
        folder = find_profile(request.home, request.profile) / CHECKPOINTS
    else:
        source = dataset.source.resolve()
        inside = [one for one in source.parents if one.parent.name == "profiles"] if request.run else []
        folder = inside[0] / CHECKPOINTS if inside else Path("checkpoints")
    name = f"{dataset.about['run_day']}-{dataset.about['run']}" if "run" in dataset.about else dataset.source.stem
    place, number = folder / name, 2
    while place.exists():
        place, number = folder / f"{name}-{number}", number + 1
    return place


def finetune(
    request: Request, watcher: Watcher, resuming: bool = False, allow_drift: bool = False
) -> tuple[Path, Prepared]:
    """Fine-tune a base and leave its checkpoint; return its folder and what it was made of. The base is only read."""
    use_device(request.device)
    if request.out and not resuming:
        Work(request.out).refuse_taken()
    ready = prepare(request)
    settings, base = ready.settings, ready.base
    out = place_of(request, ready.dataset)
    for note in ready.notes:
        watcher.say(note)
    check_memory(base.config, ready.context)
    with memory_watched():
        model = base.model(settings.dropout)
    if settings.method == "lora":
        trained = add_lora(model, settings.lora_rank, settings.lora_alpha, settings.seed)
        settings = settings.model_copy(update={"learning_rate": settings.lora_learning_rate})
        watcher.say(f"lora of rank {settings.lora_rank}: {trained:,} of {base.config.parameters():,} parameters")
    text = base_text(base, request.replay)
    data, packed = _data(ready, text, settings)
    rows = settings.batch_rows * settings.accumulate
    steps = request.steps or max(1, math.ceil(settings.epochs * packed.epoch_rows() / rows))
    for line in advise(ready.samples, ready.template, base.tokenizer, packed.epoch(steps)):
        watcher.say(line)
    about = {**ready.dataset.about, **ready.samples.counts(), "replay": text.origin if data is not packed else "none"}
    watcher.say(
        f"{len(ready.samples.train):,} samples to train on, {len(ready.samples.held):,} held out; {steps:,} steps of "
        f"{rows} rows, {packed.epoch(steps):.1f} epochs; base {base.folder.name}; replay: {about['replay']}"
    )
    watcher.sampler = DialogueSampler(ready, ready.shipped.sampling, Work(out))
    plan = {
        "format": PLAN_FORMAT, "version": 1, "kind": "finetune", "steps": steps, "device": request.device,
        "home": _text(request.home), "run": _text(None if request.data else ready.dataset.source),
        "data_file": _text(request.data), "base": _text(base.folder), "base_sha256": base.sha256,
        "replay": _text(request.replay), "context": request.context, "keep_secrets": request.keep_secrets,
        "settings": settings.model_dump(), "data": about,
    }  # fmt: skip
    anchor = None if data is packed else Anchor(base.model().to(request.device), settings.replay_weight)
    gated = HealthGate(ready, text, watcher, request.accept_degraded)
    run_training(
        "finetune", model, data, settings, steps, out, plan, base.tokenizer, ready.template, base.as_parent(), about,
        request.device, watcher, resuming, allow_drift, packed.epoch, anchor, gated,
    )  # fmt: skip
    return out, ready


def _data(ready: Prepared, text: BaseText, settings: FinetuneSettings) -> tuple[Packed | Replayed, Packed]:
    """Return the batches of a fine-tune, and the dialogues among them."""
    rows = settings.batch_rows * settings.accumulate
    packed = Packed(ready.weighted(), ready.samples.held, rows, ready.context, settings.seed)
    if not settings.replay_ratio or not settings.replay_weight:
        return packed, packed
    replayed = max(1, round(rows * settings.replay_ratio))
    return Replayed(packed, text.replay, replayed, ready.context, settings.seed), packed


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None


def resume_finetune(
    out: Path, allow_drift: bool, watcher: Watcher, accept_degraded: bool = False
) -> tuple[Path, Prepared]:
    """Go on with a fine-tune from its last saved state."""
    plan = Work(out).plan()
    if plan["kind"] != "finetune":
        raise UsageError(f"{out} is no fine-tune", f"go on with: trainer resume {out}")
    names = ("home", "run", "data_file", "base", "replay")
    paths = {name: Path(plan[name]) if plan.get(name) else None for name in names}
    options = {name: value for name, value in plan["settings"].items() if name != "steps"}
    request = Request(
        home=paths["home"], run=paths["run"], data=paths["data_file"], base=paths["base"], out=out, steps=plan["steps"],
        context=plan["context"], device=plan["device"], keep_secrets=plan["keep_secrets"], options=options,
        replay=paths["replay"], accept_degraded=accept_degraded,
    )  # fmt: skip
    return finetune(request, watcher, resuming=True, allow_drift=allow_drift)


class DialogueSampler:
    """Replies to fixed prompts at each evaluation, the base's beside them; kept in samples.jsonl."""

    def __init__(self, ready: Prepared, settings: SamplingSettings, work: Work) -> None:
        self._ready, self._work = ready, work
        asked = Sampling.of(settings, ready.settings.seed, ready.template.stops)
        self._sampling = replace(asked, max_tokens=min(_SHORT, settings.max_tokens))
        self._base = self._replies(ready.base.model())

    def _replies(self, model: Llama) -> list[str]:
        ready = self._ready
        prompts = [ready.template.wrap(one) for one in ready.prompts]
        return [one.text for one in replies(model, ready.base.tokenizer, prompts, self._sampling)]

    def __call__(self, model: Llama, step: int) -> list[tuple[str, str, str]]:
        """Return (prompt, the base's reply, the reply now) of every fixed prompt."""
        found = list(zip(self._ready.prompts, self._base, self._replies(model), strict=True))
        self._work.log_samples(step, [{"prompt": a, "base": b, "now": c} for a, b, c in found])
        return found

"""Fine-tuning a base on dialogues: from its weights, at step 0, with a new schedule and a new best loss.

llama2.c's `--init_from=resume` also restores the step of pretraining, so that the learning rate is 0, and the best
loss, so that nothing is ever saved. Here only the base's weights are used.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from curator.contract.cli_frame import command_line, free_name
from curator.contract.errors import CuratorError, JobError, UsageError, counted
from curator.contract.finetune_config import load_fine_tune, require_mode, size_note
from curator.contract.homes import CHECKPOINTS, find_profile
from curator.contract.records import VOICE_REFERENCE
from curator.contract.settings_file import etc_file, today
from trainer.data.batches import PackedDataset, ReplayDataset, TokenisedExample
from trainer.data.dialogues import (
    Dataset,
    Dialogue,
    Samples,
    emphasised,
    encode,
    encode_dataset,
    read_dialogues,
    with_tags,
    without_secrets,
)
from trainer.data.pretraining_replay import BaseText, base_text
from trainer.evaluation.acceptance import AcceptanceGate
from trainer.evaluation.evaluate_checkpoint import base_of, planned
from trainer.evaluation.evidence import Folds
from trainer.evaluation.perplexity import recorded_share
from trainer.evaluation.probes import EvalSuite, lexicon_of, words_of
from trainer.evaluation.voice import Voice, read_voice
from trainer.inference.known_words import KnownWords
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.memorisation.canaries import Canary, draw_canaries
from trainer.memorisation.findings import CanaryFindings, measure_canaries, planted_note
from trainer.model.checkpoint import Checkpoint, load_checkpoint, refuse_probe
from trainer.model.lexicon import LEXICON, pack_words, read_words
from trainer.model.llama import Llama
from trainer.model.lora import add_lora
from trainer.model.prompt_template import Template
from trainer.names import builtin_base
from trainer.settings import (
    FinetuneSettings,
    SamplingSettings,
    TrainerSettings,
    drawn_as,
    large_model_settings,
    load_settings,
    with_options,
)
from trainer.training.advice import advise
from trainer.training.folds import Schedule, cross_validate, fold_of
from trainer.training.kl import KLRegulariser
from trainer.training.loop import TrainerCallback, TrainingRun, memory_watched
from trainer.training.run_dir import NO_PLAN, RunDir
from trainer.training.runner import PLAN_FORMAT, TrainingJob, run_training
from trainer.training.speed import check_memory, fitting_context, use_device

_SHORT = 40  # tokens of a reply to a fixed prompt, at most
_PROBE = "-canaries"  # at the end of a probe's name
_OWN_PROMPTS = 2  # held-out prompts sampled at each evaluation, beside those of etc/trainer.json
_CLOCK = re.compile(r"\d{6}(?=-)")


@dataclass(frozen=True)
class FinetuneRequest:
    """The request of a fine-tune; paths as given. `begin` is an earlier fine-tune, from whose weights it goes on.

    With `canaries`, so many for each number of repetitions of etc/trainer.json are planted, and the result is a probe.
    """

    home: Path | None
    profile: str | None = None
    run: Path | None = None
    data: Path | None = None
    base: Path | None = None
    begin: Path | None = None
    out: Path | None = None
    steps: int | None = None
    context: int | None = None
    device: str = "cpu"
    keep_secrets: bool = False
    replay: Path | None = None
    accept_degraded: bool = False
    folds: int | None = None
    canaries: int | None = None
    options: dict[str, Any] | None = None


class _FinetunePlan(BaseModel):
    """What is read of the plan of a fine-tune."""

    model_config = ConfigDict(strict=True, frozen=True)
    begin: str | None = Field(None, alias="from")
    steps: PositiveInt
    settings: FinetuneSettings
    context: PositiveInt | None
    device: Literal["cpu", "cuda", "mps"]
    keep_secrets: bool
    base: str
    home: str | None = None
    run: str | None = None
    data_file: str | None = None
    replay: str | None = None
    folds: PositiveInt | None = None
    canaries: PositiveInt | None = None


@dataclass
class FinetuneContext:
    """Everything that a fine-tune needs, read and checked before anything is written."""

    base: Checkpoint
    begin: Checkpoint | None
    dataset: Dataset
    samples: Samples
    template: Template
    settings: FinetuneSettings
    trainer: TrainerSettings
    learnt: set[tuple[str, str]]
    context: int
    prompts: list[str]
    notes: list[str]
    canaries: list[Canary] = field(default_factory=list)
    voice: Voice | None = None

    def weighted(self) -> list[TokenisedExample]:
        """Return the training samples with the weights that they are trained with."""
        return self.weighted_of(self.samples.train, self.samples.train_dialogues)

    @property
    def mode(self) -> str | None:
        """Return the mode of most of the training samples."""
        return Counter(one.mode for one in self.samples.train_dialogues).most_common(1)[0][0]

    def planted(self) -> list[TokenisedExample]:
        """Return the copies of the canaries as they are trained. Raises UsageError where one does not fit."""
        dialogues = [one.dialogue(self.mode) for one in self.canaries]
        encoded = [encode(one, self.template, self.base.tokenizer, self.context) for one in dialogues]
        whole = [sample for sample, cut in encoded if sample and not cut]
        if len(whole) < len(encoded):
            raise UsageError(f"--canaries: they do not fit into {self.context} tokens", "allow more with --context N")
        weighted = zip(self.canaries, self.weighted_of(whole, dialogues), strict=True)
        return [sample for canary, sample in weighted for _ in range(canary.repeats)]

    def weighted_of(self, samples: list[TokenisedExample], dialogues: list[Dialogue]) -> list[TokenisedExample]:
        """Return samples with the weights that they are trained with."""
        loss_weights = self.settings.prompt_loss_weight, self.settings.eos_loss_weight
        return [
            emphasised(sample, dialogue, self.template, self.base.tokenizer, *loss_weights)
            for sample, dialogue in zip(samples, dialogues, strict=True)
        ]


def prepare(request: FinetuneRequest, *, resuming: bool = False) -> FinetuneContext:
    """Read base, settings and dialogues, and encode the dialogues as tokens.

    A training that is resumed has the context that it began with, whatever memory is free now. Raises UsageError for
    what cannot be trained.
    """
    if request.canaries and request.folds:
        raise UsageError("--folds measures a model, --canaries makes a probe", "leave out one of them")
    trainer = load_settings(request.home)
    begin = load_checkpoint(request.begin) if request.begin else None
    base = _base_of(begin, request.base) if begin else load_checkpoint(request.base or builtin_base())
    for option, checkpoint in (("--from", begin), ("--base", base)):
        if checkpoint:
            refuse_probe(checkpoint, option)
    dataset = read_dialogues(request.home, request.profile, request.run, request.data, base.record.template)
    left_out: list[str] = []
    if not request.keep_secrets:
        dataset, left_out = without_secrets(dataset)
    voice = _voice_of(dataset, trainer)
    settings, notes, longest = _defaults(request, trainer, base, dataset)
    notes += [*trainer.outdated, *left_out]
    settings = with_options(settings, request.options or {})
    template = with_tags(base.record.template, dataset, settings.mode_tags)
    if begin:
        template = _template_of(begin, dataset)
    longest = min(longest, base.config.max_seq_len)
    rows = settings.per_device_batch_size * (1 + math.ceil(settings.replay_ratio))
    by_memory = request.device == "cpu" and not resuming
    fitting = fitting_context(base.config, rows, longest) if by_memory else longest
    context = min(request.context or fitting, base.config.max_seq_len)
    if not request.context and context < longest:
        notes.append(
            f"samples may have {context:,} of the base's {base.config.max_seq_len:,} tokens of context: more would not "
            "fit the memory; --context N asks for another"
        )
    samples = encode_dataset(dataset, template, base.tokenizer, context, settings.holdout_share)
    learnt = _learnt_by(begin, trainer) if begin else set()
    notes += dataset.notes
    if learnt is None:
        notes.append(
            f"what {request.begin} was trained on is gone: it may have learnt what is held out here, "
            "and look better for it"
        )
    elif learnt:
        samples, left = _not_learnt(samples, learnt)
        if left:
            notes.append(
                f"{counted(left, 'held-out sample is', 'held-out samples are')} left out, since {request.begin} was "
                "trained on them: curate run --since keeps what is held out apart"
            )
    notes += sample_notes(samples)
    prompts = [*trainer.preview_prompts, *(dialogue.prompt for dialogue in samples.holdout_dialogues[:_OWN_PROMPTS])]
    return FinetuneContext(
        base=base,
        begin=begin,
        dataset=dataset,
        samples=samples,
        template=template,
        settings=settings,
        trainer=trainer,
        learnt=learnt or set(),
        context=context,
        prompts=prompts,
        notes=notes,
        canaries=draw_canaries(request.canaries, trainer.canaries.repeats, settings.seed) if request.canaries else [],
        voice=voice,
    )


def _voice_of(dataset: Dataset, trainer: TrainerSettings) -> Voice | None:
    """Return what scores replies by the person's words. Raises UsageError where a budget asks what nothing can tell."""
    voice = read_voice(dataset.run)
    if trainer.budgets.voice is not None and (voice is None or voice.lacking()):
        why = voice.lacking() if voice else f"{dataset.source} has no {VOICE_REFERENCE}"
        raise UsageError(
            f"budgets.voice of etc/trainer.json asks for a voice that cannot be told: {why}",
            "take the budget out (null), or bring more of the person's words: curate import, then curate run",
        )
    return voice


def _base_of(begin: Checkpoint, named: Path | None) -> Checkpoint:
    """Return the base of an earlier fine-tune. Raises UsageError where it is none, or its base is gone."""
    if begin.record.made_by != "finetune":
        raise UsageError(f"--from {begin.folder}: it is no fine-tune", "begin from a base with: --base CHECKPOINT")
    notes: list[str] = []
    base = base_of(begin, named, notes)
    if base is None:
        raise UsageError(f"--from {begin.folder}: {'; '.join(notes)}")
    if base.config != begin.config:
        raise UsageError(
            f"{base.folder} has another size than {begin.folder}", "name the base that it was trained from"
        )
    return base


def _learnt_by(begin: Checkpoint, settings: TrainerSettings) -> set[tuple[str, str]] | None:
    """Return (prompt, reply) of all that an earlier fine-tune was trained on, and those that it went on from.

    None where that is no longer there.
    """
    try:
        return {(one.prompt, one.reply) for one in learnt_dialogues(begin, settings)[0]}
    except CuratorError:
        return None


def learnt_dialogues(tuned: Checkpoint, settings: TrainerSettings) -> tuple[list[Dialogue], list[str]]:
    """Return what a fine-tune was trained on, then what those were that it went on from; and notes for the person.

    The name of a dialogue of a file begins with the file's. Raises UsageError where it is no fine-tune, or a run or
    file is gone or cannot be read, JobError where one is empty.
    """
    found: list[Dialogue] = []
    notes: list[str] = []
    place: Checkpoint | None = tuned
    while place is not None:
        plan, record = planned(place), place.record
        texts = (plan.get(key) for key in ("run", "data_file", "from"))
        run, data, earlier = (Path(text) if text and isinstance(text, str) else None for text in texts)
        _require_there(place, run or data)
        dataset = read_dialogues(None, None, run, data, record.template)
        digest = "samples_sha256" if run else "sha256"
        if record.data.get(digest, dataset.about[digest]) != dataset.about[digest]:
            notes.append(
                f"{dataset.source} has changed since {place.folder.name} was trained on it: it is read as it is now"
            )
        if not plan.get("keep_secrets"):
            dataset, _ = without_secrets(dataset)
        longest, planned_context = place.config.max_seq_len, plan.get("context")
        context = min(planned_context, longest) if isinstance(planned_context, int) and planned_context > 0 else longest
        share = recorded_share(record, "finetune", settings.finetune.holdout_share)
        samples = encode_dataset(dataset, record.template, place.tokenizer, context, share)
        trained = samples.train_dialogues
        found += trained if run else [replace(one, name=f"{dataset.source.name} {one.name}") for one in trained]
        place = load_checkpoint(earlier) if earlier else None
    return found, notes


def _require_there(tuned: Checkpoint, source: Path | None) -> None:
    """Raise UsageError where a checkpoint is no fine-tune, or the run or file that it was trained on is gone."""
    if tuned.record.made_by != "finetune":
        raise UsageError(
            f"{tuned.folder} is no fine-tune: it has no samples that it was trained on",
            "name a fine-tune; trainer models lists those of a person",
        )
    if source is None:
        raise UsageError(
            f"{tuned.folder} does not say what it was trained on: training/plan.json is missing there",
            "name the folder that trainer finetune made, or copy its training/ there",
        )
    if not source.exists():
        raise UsageError(
            f"{source} is gone, which {tuned.folder.name} was trained on", "put it back there, then ask again"
        )


def _not_learnt(samples: Samples, learnt: set[tuple[str, str]]) -> tuple[Samples, int]:
    """Return samples without the held-out ones that were learnt before, and how many those are."""
    pairs = [
        (sample, one) for sample, one in zip(samples.holdout, samples.holdout_dialogues, strict=True)
        if (one.prompt, one.reply) not in learnt
    ]  # fmt: skip
    kept = replace(samples, holdout=[sample for sample, _ in pairs], holdout_dialogues=[one for _, one in pairs])
    return kept, len(samples.holdout) - len(pairs)


def _template_of(begin: Checkpoint, dataset: Dataset) -> Template:
    """Return the template of an earlier fine-tune; where it has mode tags, with those of modes that are new."""
    template = begin.record.template
    tags = {mode: pair for mode, pair in dataset.tags.items() if all(pair)} if template.tags else {}
    return template.model_copy(update={"tags": {**tags, **template.tags}})


def _defaults(
    request: FinetuneRequest, trainer: TrainerSettings, base: Checkpoint, dataset: Dataset
) -> tuple[FinetuneSettings, list[str], int]:
    """Return the defaults for a base, notes, and the most tokens of a sample.

    The defaults of a small base are in etc/trainer.json, those of a large one in etc/modes/.
    """
    longest = base.config.max_seq_len
    modes = {dialogue.mode for dialogue in dataset.dialogues if dialogue.mode}
    if base.config.parameters() <= trainer.small_model_parameters or len(modes) != 1:
        return trainer.finetune, [], longest
    mode = next(iter(modes))
    path = etc_file(request.home, f"modes/{mode}-config.json")
    if not path.is_file():
        note = f"etc/modes/ has no file for the mode {mode!r}, so the settings are those of etc/trainer.json"
        return trainer.finetune, [note], longest
    config, given = load_fine_tune(request.home, mode)
    settings, unused = large_model_settings(config, given, trainer.finetune)
    notes = [
        f"the settings are those of {path.name}",
        *(f"{given[key].name}: not used: {line}" for key, line in unused.items()),
    ]
    require_mode(config, modes)
    size = size_note(config, len(dataset.dialogues))
    return settings, [*notes, *([size] if size else [])], config.max_seq_length


def sample_notes(samples: Samples) -> list[str]:
    """Return what a person should know about samples: what was cut or left out to fit, and that nothing is held out."""
    notes = []
    if prompts := samples.shortened - samples.forgotten:
        notes.append(
            f"{counted(prompts, 'long prompt was cut at its', 'long prompts were cut at their')} beginning, "
            "so that the whole reply fits the context"
        )
    if samples.forgotten:
        lost = counted(samples.forgotten, "sample without its", "samples without their")
        notes.append(f"{lost} oldest exchanges, so that the rest fits the context")
    if many := len(samples.left_out):
        why = {
            0: "the reply is longer than the context",
            many: "the reply leaves no room in the context for the prompt",
        }.get(samples.crowded, "the reply is longer than the context, or leaves no room in it for the prompt")
        names = ", ".join(samples.left_out[:3]) + (", ..." if many > 3 else "")
        notes.append(f"{counted(many, 'sample')} left out: {why} ({names})")
    if not samples.holdout:
        notes.append(
            "nothing is held out, since there are too few conversations: the last weights are kept without "
            "being measured"
        )
    return notes


def place_of(request: FinetuneRequest, ready: FinetuneContext) -> Path:
    """Return the folder that the checkpoint goes to: --out, else one in the profile's out/checkpoints/, else here.

    Its name tells when the run was made, the mode and the base: 2026-11-20-174633-dual-llama-7m. That of a probe tells
    that it is one too.
    """
    if request.out:
        return _named(request, request.out)
    dataset = ready.dataset
    if request.profile and request.home:
        folder = find_profile(request.home, request.profile, "--profile") / CHECKPOINTS
    else:
        source = dataset.source.resolve()
        inside = [path for path in source.parents if path.parent.name == "profiles"] if request.run else []
        folder = inside[0] / CHECKPOINTS if inside else Path("checkpoints")
    name = f"{_name_of_data(dataset)}-{_name_of_base(ready.base)}"
    return Path(free_name(_named(request, folder / name)))


def _named(request: FinetuneRequest, place: Path) -> Path:
    """Return a place under a name that tells of a probe that it is one."""
    probe = request.canaries and not place.name.endswith(_PROBE)
    return place.with_name(place.name + _PROBE) if probe else place


def _name_of_data(dataset: Dataset) -> str:
    """Return day, time and mode of a run, or a file's name. A run's own label ends in the family of its wrapping,
    which is another model's: the base's name takes its place."""
    if "run" not in dataset.about:
        return dataset.source.stem
    modes = {dialogue.mode for dialogue in dataset.dialogues if dialogue.mode}
    time = _CLOCK.match(dataset.about["run"])
    parts = (dataset.about["run_day"], time[0] if time else dataset.about["run"])
    return "-".join([*parts, modes.pop() if len(modes) == 1 else "all"])


def _name_of_base(base: Checkpoint) -> str:
    """Return what a base is, in a word: its architecture and how many million parameters it has."""
    millions = base.config.parameters() / 1e6
    return f"llama-{millions:.0f}m" if millions >= 1 else f"llama-{1000 * millions:.0f}k"


def finetune(
    request: FinetuneRequest, callback: TrainerCallback, *, resuming: bool = False, allow_drift: bool = False
) -> tuple[Path, FinetuneContext]:
    """Fine-tune a base and write its checkpoint; return its folder and context. The base is only read.

    Raises UsageError for what cannot be trained, JobError where the training diverges or its result is refused,
    HostError where memory or disk are short.
    """
    use_device(request.device)
    if request.out and not resuming:
        RunDir(_named(request, request.out)).refuse_taken()
    ready = prepare(request, resuming=resuming)
    out = place_of(request, ready)
    for note in ready.notes:
        callback.log(note)
    model, settings = _trained_model(ready, callback)
    text = base_text(ready.base, request.replay)
    data, packed = _data(ready, text, settings)
    replayed = data is not packed
    sequences = settings.per_device_batch_size * settings.gradient_accumulation_steps
    steps = request.steps or max(1, math.ceil(settings.epochs * packed.epoch_rows() / sequences))
    about = {**ready.dataset.about, **ready.samples.counts(), "replay": text.origin if replayed else "none"}
    if ready.canaries:
        about["canaries"] = sum(one.repeats > 0 for one in ready.canaries)
        callback.log(planted_note(ready.canaries, len(ready.samples.train)))
    for line in advise(ready.samples, ready.template, ready.base.tokenizer, packed.epoch(steps)):
        callback.log(line)
    if ready.begin:
        about["from"] = ready.begin.as_parent().model_dump()
        callback.log(f"going on from {ready.begin.folder.name}; the gate compares with {ready.base.folder.name}")
    callback.log(
        f"{counted(len(ready.samples.train), 'sample')} to train on, {len(ready.samples.holdout):,} held out; "
        f"{counted(steps, 'step')} of {counted(sequences, 'row')}, {packed.epoch(steps):.1f} epochs; base "
        f"{ready.base.folder.name}; replay: {about['replay']}"
    )
    callback.sampler = DialogueSampler(ready, drawn_as(ready.base.record.sampling, ready.trainer.sampling), RunDir(out))
    kl = KLRegulariser(ready.base.model().to(request.device), settings.kl_weight) if replayed else None
    folds = None
    if request.folds:
        folds = _cross_validation(
            ready, text, settings, steps, request.folds, callback=callback, kl=kl, device=request.device
        )
    gate = _gate(ready, text, callback, request.accept_degraded, folds)
    callback.closing = gate.evaluations
    run = TrainingRun(
        model=model, data=data, settings=settings, steps=steps, device=request.device, callback=callback,
        epoch=packed.epoch, kl=kl, score=gate.score,
    )  # fmt: skip
    plan = _plan(request, ready, settings, steps, about)
    job = TrainingJob(
        kind="finetune", run=run, out=out, plan=plan, about=about, tokenizer=ready.base.tokenizer,
        template=ready.template, parent=ready.base.as_parent(), acceptance=gate, sampling=ready.base.record.sampling,
        begun_from=ready.begin.folder.name if ready.begin else None, words=lambda: _known_words(ready),
    )  # fmt: skip
    try:
        run_training(job, resuming=resuming, allow_drift=allow_drift)
    except JobError:
        _say_which_run(ready, callback)
        raise
    return out, ready


def _known_words(ready: FinetuneContext) -> bytes | None:
    """Return the lexicon of what replies may hold, its base's words and the person's; None where the base has none."""
    if not (ready.base.folder / LEXICON).is_file():
        return None
    known = words_of([*ready.samples.train_dialogues, *ready.samples.holdout_dialogues])
    for earlier in (ready.base, ready.begin):
        if earlier and (earlier.folder / LEXICON).is_file():
            known |= read_words(earlier.folder / LEXICON)
    return pack_words(known)


def _say_which_run(ready: FinetuneContext, callback: TrainerCallback) -> None:
    """Say from which run on memories are not learnt yet, where an update came to nothing."""
    run = planned(ready.begin).get("run") if ready.begin else None
    if run:
        callback.log(
            "what is new in this run stays unlearnt; that it comes again with the next memories, make the next "
            f"run with: {command_line('curate', 'run', '--since', run)}"
        )


def _trained_model(ready: FinetuneContext, callback: TrainerCallback) -> tuple[Llama, FinetuneSettings]:
    """Return a copy of the base, ready for full training or LoRA, and the settings for it."""
    settings, base = ready.settings, ready.base
    check_memory(base.config, ready.context)
    with memory_watched():
        model = (ready.begin or base).model(settings.dropout)
    if settings.method == "lora":
        trained = add_lora(model, settings.lora_rank, settings.lora_alpha, settings.seed)
        settings = settings.model_copy(update={"learning_rate": settings.lora_learning_rate})
        callback.log(f"lora of rank {settings.lora_rank}: {trained:,} of {base.config.parameters():,} parameters")
    return model, settings


@dataclass(frozen=True)
class RecipeParts:
    """What the recipe trains on and with, of any samples; see `folds.Parts`."""

    ready: FinetuneContext
    text: BaseText
    settings: FinetuneSettings

    def data(self, train: list[TokenisedExample]) -> PackedDataset | ReplayDataset:
        """Return the batches of some samples, with the base's text."""
        return _batches(self.ready, train, [], self.text, self.settings)[0]

    def steps(self, train: list[TokenisedExample]) -> int:
        """Return the steps of a training on some samples: the epochs that the recipe asks for."""
        sequences = self.settings.per_device_batch_size * self.settings.gradient_accumulation_steps
        packed = PackedDataset(train, [], sequences, self.ready.context, self.settings.seed)
        return max(1, math.ceil(self.settings.epochs * packed.epoch_rows() / sequences))

    def model(self) -> Llama:
        """Return the model before its first step."""
        model = (self.ready.begin or self.ready.base).model(self.settings.dropout)
        if self.settings.method == "lora":
            add_lora(model, self.settings.lora_rank, self.settings.lora_alpha, self.settings.seed)
        return model


def _cross_validation(
    ready: FinetuneContext, text: BaseText, settings: FinetuneSettings, steps: int, count: int, *,
    callback: TrainerCallback, kl: KLRegulariser | None, device: str,
) -> Callable[[int, float, str], Folds]:  # fmt: skip
    """Return what cross-validates a fine-tune once it is known how it ended. Raises UsageError for too many folds."""
    dialogues = [*ready.samples.train_dialogues, *ready.samples.holdout_dialogues]
    samples = [*ready.samples.train, *ready.samples.holdout]
    places = fold_of(dialogues, ready.base.tokenizer, count, settings.seed)

    def validate(best_step: int, alpha: float, precision: str) -> Folds:
        callback.log(
            f"cross-validation: {count} trainings of {counted(best_step, 'step')}, each measured on conversations that "
            "it has not seen"
        )
        weighted = ready.weighted_of(samples, dialogues)
        return cross_validate(
            ready.base.model(), RecipeParts(ready, text, settings), samples, weighted, places,
            Schedule(best_step, steps, alpha, precision), settings=settings, context=ready.context, kl=kl,
            device=device, tick=callback.measuring,
        )  # fmt: skip

    return validate


def _gate(
    ready: FinetuneContext, text: BaseText, callback: TrainerCallback, accept: bool,
    folds: Callable[[int, float, str], Folds] | None,
) -> AcceptanceGate:  # fmt: skip
    dialogues = [*ready.samples.train_dialogues, *ready.samples.holdout_dialogues]
    lexicon = lexicon_of(ready.base, dialogues, ready.begin)
    drawn = drawn_as(ready.base.record.sampling, ready.trainer.sampling)
    words = KnownWords(lexicon, ready.base.tokenizer) if drawn.known_words else None
    suite = EvalSuite(
        template=ready.template, tokenizer=ready.base.tokenizer, samples=ready.samples, text=text.held,
        lexicon=lexicon, context=ready.context, settings=ready.trainer.health, seed=ready.settings.seed,
        drawn=Sampling.of(drawn, words=words), told=[reply for _, reply in sorted(ready.learnt)], voice=ready.voice,
    )  # fmt: skip
    return AcceptanceGate(
        ready.base, suite, ready.samples, ready.trainer, log=callback.log, detail=callback.detail,
        measuring=callback.measuring, accept=accept, folds=folds, canaries=_canaries(ready, callback),
    )  # fmt: skip


def _canaries(ready: FinetuneContext, callback: TrainerCallback) -> Callable[[Llama], CanaryFindings] | None:
    """Return what finds out what a model kept of the canaries, None where none are planted."""
    if not ready.canaries:
        return None

    def measured(model: Llama) -> CanaryFindings:
        callback.log(f"asking for {counted(len(ready.canaries), 'canary', 'canaries')}, a part of them never planted")
        return measure_canaries(
            model, ready.base.tokenizer, ready.template, ready.mode, ready.canaries, settings=ready.trainer.canaries,
            temperature=ready.trainer.health.temperature, seed=ready.settings.seed, tick=callback.measuring,
        )  # fmt: skip

    return measured


def _plan(
    request: FinetuneRequest, ready: FinetuneContext, settings: FinetuneSettings, steps: int, about: dict[str, Any]
) -> dict[str, Any]:
    """Return plan.json: the request, resolved. A resumed training follows it."""
    return {
        "format": PLAN_FORMAT, "version": 1, "kind": "finetune", "steps": steps, "device": request.device,
        "home": _text(request.home), "run": _text(None if request.data else ready.dataset.source),
        "data_file": _text(request.data), "base": _text(ready.base.folder), "base_sha256": ready.base.sha256,
        "from": _text(request.begin), "from_sha256": ready.begin.sha256 if ready.begin else None,
        "replay": _text(request.replay), "context": _planned_context(request, ready),
        "keep_secrets": request.keep_secrets, "folds": request.folds,
        "canaries": request.canaries, "settings": settings.model_dump(), "data": about,
    }  # fmt: skip


def _planned_context(request: FinetuneRequest, ready: FinetuneContext) -> int | None:
    """Return the context that a resumed training has: memory may be shorter or longer then. None: the base's own."""
    return request.context or (ready.context if ready.context < ready.base.config.max_seq_len else None)


def _data(
    ready: FinetuneContext, text: BaseText, settings: FinetuneSettings
) -> tuple[PackedDataset | ReplayDataset, PackedDataset]:
    """Return the batches of a fine-tune, and those of its dialogues alone."""
    return _batches(ready, [*ready.weighted(), *ready.planted()], ready.samples.holdout, text, settings)


def _batches(
    ready: FinetuneContext, train: list[TokenisedExample], holdout: list[TokenisedExample], text: BaseText,
    settings: FinetuneSettings,
) -> tuple[PackedDataset | ReplayDataset, PackedDataset]:  # fmt: skip
    """Return the batches of some samples, with the base's text, and those of the samples alone."""
    sequences = settings.per_device_batch_size * settings.gradient_accumulation_steps
    packed = PackedDataset(train, holdout, sequences, ready.context, settings.seed)
    if not settings.replay_ratio or not settings.kl_weight:
        return packed, packed
    replayed = max(1, round(sequences * settings.replay_ratio))
    return ReplayDataset(packed, text.replay, replayed, ready.context, settings.seed), packed


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None


def resume_finetune(
    out: Path, callback: TrainerCallback, *, allow_drift: bool, accept_degraded: bool = False
) -> tuple[Path, FinetuneContext]:
    """Go on with a fine-tune from its last saved state. Raises UsageError where `out` holds none."""
    run_dir = RunDir(out)
    raw = run_dir.plan()
    if raw["kind"] != "finetune":
        raise UsageError(f"{out} is no fine-tune", f"go on with: {command_line('trainer', 'resume', out)}")
    try:
        options = {name: value for name, value in today(raw["settings"], FinetuneSettings).items() if name != "steps"}
        plan = _FinetunePlan.model_validate(raw | {"settings": options})
    except NO_PLAN as error:
        raise run_dir.damaged(error) from None
    home, run, data, base, begin, replay = (
        Path(path) if path else None
        for path in (plan.home, plan.run, plan.data_file, plan.base, plan.begin, plan.replay)
    )
    request = FinetuneRequest(
        home=home, run=run, data=data, base=base, begin=begin, out=out, steps=plan.steps, context=plan.context,
        device=plan.device,
        keep_secrets=plan.keep_secrets, options=options, replay=replay, accept_degraded=accept_degraded,
        folds=plan.folds, canaries=plan.canaries,
    )  # fmt: skip
    return finetune(request, callback, resuming=True, allow_drift=allow_drift)


class DialogueSampler:
    """Draws replies to fixed prompts at each evaluation, with the base's for comparison, into samples.jsonl."""

    def __init__(self, ready: FinetuneContext, settings: SamplingSettings, run_dir: RunDir) -> None:
        self._ready, self._run_dir = ready, run_dir
        sampling = Sampling.of(settings, ready.settings.seed, ready.template.stops)
        # One each: several, of which the best is told, would take longer than the steps between two evaluations.
        self._sampling = replace(sampling, max_tokens=min(_SHORT, settings.max_tokens), best_of=1)
        self._base = self._replies(ready.base.model())

    def _replies(self, model: Llama) -> list[str]:
        ready = self._ready
        prompts = [ready.template.wrap(prompt) for prompt in ready.prompts]
        return [reply.text for reply in replies(model, ready.base.tokenizer, prompts, self._sampling)]

    def __call__(self, model: Llama, step: int) -> list[tuple[str, str, str]]:
        """Return (prompt, the base's reply, the reply now) of every fixed prompt."""
        rows = list(zip(self._ready.prompts, self._base, self._replies(model), strict=True))
        self._run_dir.log.add_samples(step, [{"prompt": a, "base": b, "now": c} for a, b, c in rows])
        return rows

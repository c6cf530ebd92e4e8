"""`curate run`: read, sample, choose, write, prove, report, publish."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from curator.config import Settings, load_settings
from curator.contract import __version__
from curator.contract.chat_format import ChatFormat, load_family, pick_family
from curator.contract.cli_frame import Progress, command_line, no_progress
from curator.contract.errors import UsageError, ValidationFailed, printable, unknown_name
from curator.contract.homes import RUNS, find_home, find_profile, people_names
from curator.contract.records import REPORT, REPORT_PAGE, RUN_FORMAT, RUN_VERSION, VOICE_REFERENCE, Family
from curator.contract.voice.stored import as_arrays
from curator.encryption.profile import Unlocked, core_json
from curator.importing.folders import holds_memories
from curator.likeness.reference import Learnt, Unlearnt, unlearnt_reference
from curator.likeness.scores import Drawn, Likeness, likeness
from curator.likeness.texts import main_language
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry, fill, load_importers, load_plugins, switched_off
from curator.reading.drop_log import DropLog
from curator.reading.read import read_memories, settle_mode_from, sources_of
from curator.reading.timeline import Timeline
from curator.records import CuratedSample, Drop, FormattedSample, LineageLine, MemoryEvent, RunSummary
from curator.reports.build import Tally, build_report, kept_secrets, no_secrets
from curator.reports.empty import EmptySet
from curator.reports.notices import ReportContext
from curator.reports.report import Report
from curator.reports.validation import SampleChecker
from curator.reports.voice import Voice
from curator.run_folder import RunFiles, run_folder, stoppable, tagged, wrapped
from curator.sampling.joining import ScreenedSample
from curator.sampling.sampler import Options, Sampler
from curator.selection.choose import Choice, choose
from curator.selection.sample_store import Collected, SampleStore, collect
from curator.selection.unused import unused


@dataclass(frozen=True)
class Request:
    """All that one `curate run` was asked for. `unlocked` is the encrypted profile that it reads, opened.

    `password_file` is where its password stands, None where it came from elsewhere; the password itself is not here.
    """

    username: str
    options: Options
    home: str | None = None
    out: Path | None = None
    source: Path | None = None
    base_model: str | None = None
    family: str | None = None
    schema: Path | None = None
    max_file_bytes: int | None = None
    context: str | None = None
    turns: int | None = None
    questions: str | None = None
    holdout_by: str | None = None
    voice_at_least: float | None = None
    disabled: tuple[str, ...] = ()
    dry_run: bool = False
    unlocked: Unlocked | None = None
    password_file: Path | None = None


def rebuild_command(request: Request, home: Path, family: str) -> tuple[str, ...]:
    """Return the command, word by word, that makes the same set again from any folder."""
    options = request.options
    values = {
        "--home": home, "--username": request.username, "--mode": options.mode, "--max": options.most,
        "--seed": options.seed, "--family": None if request.schema else family,
        "--schema": request.schema and request.schema.absolute(),
        "--base-model": request.base_model,
        "--source": request.source and request.source.absolute(), "--days-recent": options.days_recent,
        "--old-samples": options.old_samples, "--mode-from": options.mode_from,
        "--dual-direction": options.dual_direction, "--author": options.author,
        "--context": request.context, "--turns": request.turns, "--questions": request.questions,
        "--voice-at-least": request.voice_at_least,
        "--holdout": options.holdout, "--holdout-by": request.holdout_by, "--since": options.since,
        "--max-file-bytes": request.max_file_bytes,
        "--password-file": request.password_file and request.password_file.absolute(),
    }  # fmt: skip
    words = ["curate", "run"]
    for option, value in values.items():
        words += [option, str(value)] if value is not None else []
    for name in request.disabled:
        words += ["--no-plugin", name]
    for excluded in options.exclude:
        words += ["--exclude", excluded]
    words += ["--keep-secrets"] if options.keep_secrets else []
    words += ["--keep-going"] if options.keep_going else []
    return tuple(words)


@dataclass(frozen=True)
class Setup:
    """What a run works with: resolved places, configuration, plugins and the family."""

    home: Path
    profile: Path
    settings: Settings
    registry: Registry
    family: Family


def prepare(request: Request) -> Setup:
    """Find home and profile, load configuration and plugins, pick the family. Raises UsageError."""
    home = find_home(request.home)
    profile = find_profile(home, request.username)
    settings = _overridden(load_settings(home), request)
    disabled = {*settings.curate.plugins.disabled, *request.disabled}
    if request.options.keep_secrets and "secrets" not in disabled:  # without the plugin there is no such filter
        disabled.add("secret")
    registry = load_plugins(settings, home, disabled)

    def family_of(families: dict[str, Family]) -> Family:
        if request.schema:
            own = load_family(request.schema)
            families[own.family] = own
            return own
        return pick_family(families, request.family, request.base_model, settings.curate.default_family)

    family = fill(registry, settings, family_of)
    if request.options.mode and request.options.mode not in registry.modes:
        off = switched_off(settings, home, request.options.mode)
        raise unknown_name("mode", request.options.mode, registry.modes, off)
    if request.source and not (request.source.is_file() or request.source.is_dir()):
        problem = "no regular file" if request.source.exists() else "no such file"
        raise UsageError(
            f"--source {printable(str(request.source))}: {problem}", "name a JSONL file of memories, or an app's export"
        )
    return Setup(home, profile, settings, registry, family)


def _overridden(settings: Settings, request: Request) -> Settings:
    """Return the settings with the command line's options in place of those of etc/."""
    curate = settings.curate
    if request.max_file_bytes:
        limits = curate.limits.model_copy(update={"max_file_bytes": request.max_file_bytes})
        curate = curate.model_copy(update={"limits": limits})
    asked = {"context": request.context, "turns": request.turns, "questions": request.questions}
    if given := {name: value for name, value in asked.items() if value}:
        curate = curate.model_copy(update={"pairing": curate.pairing.model_copy(update=given)})
    if request.holdout_by:
        holdout = curate.holdout.model_copy(update={"by": request.holdout_by})
        curate = curate.model_copy(update={"holdout": holdout})
    if request.voice_at_least is not None:
        voice = curate.voice.model_copy(update={"at_least": request.voice_at_least})
        curate = curate.model_copy(update={"voice": voice})
    return replace(settings, curate=curate, unlocked=request.unlocked)


@dataclass(frozen=True)
class Outcome:
    """A finished run: its report and, unless it was a dry run, its folder."""

    report: Report
    folder: Path | None


def run(request: Request, progress: Progress = no_progress) -> Outcome:
    """Make a training set. If it raises a CuratorError, nothing was published; EmptySet where no sample came of it."""
    with stoppable(), _no_garbage_collection():
        setup = prepare(request)
        if request.dry_run:
            return Outcome(_make(request, setup, None, progress), None)
        now = datetime.now(UTC).astimezone()
        runs = (request.out or setup.profile / RUNS).absolute()
        label = f"{now:%H%M%S}-{request.options.mode or 'all'}-{setup.family.family}"
        veiled = setup.settings.unlocked is not None
        with (
            ExitStack() as afterwards,
            run_folder(runs, label, now, veiled=veiled) as (building, place),
            _open_files(building, veiled=veiled) as files,
        ):
            afterwards.callback(files.abandon)
            report = _make(request, setup, files, progress)
            progress("publishing", 0, 1)
            _publish(request, setup, files, report, place.name)
        return Outcome(report, place)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch off the search for reference cycles: records have none, and the search takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _open_files(building: Path, *, veiled: bool) -> Iterator[RunFiles]:
    files = RunFiles(building, veiled=veiled)
    try:
        yield files
    except BaseException:
        files.abandon()
        raise


def _make(request: Request, setup: Setup, files: RunFiles | None, progress: Progress) -> Report:
    """Run all passes, writing samples and drops to `files` where there are any."""
    settings, registry, options = setup.settings, setup.registry, request.options
    log = DropLog(files.drop if files else _forget)
    folder = files.folder if files else None
    window, veiled = settings.curate.pairing.outward_window_hours, settings.unlocked is not None
    with (
        closing(Timeline(settings.types.outward, window, folder, veiled=veiled)) as timeline,
        closing(SampleStore(settings, folder, list(registry.modes))) as store,
    ):
        with _memories_of(request, setup, folder, progress) as place:
            read_memories(timeline, place, registry, settings, log, progress, exclude=options.exclude)
        mode_from, why = settle_mode_from(timeline, options.mode_from, registry, settings.curate.hybrid_limit)
        core, unread = core_json(setup.profile, settings.unlocked)
        people = people_names(setup.profile, core)
        sampler = Sampler(timeline, registry, settings, options, mode_from, people)
        collected = collect(sampler, timeline, store, log, progress)
        choice = choose(collected, settings, options, progress)
        learnt = Learnt()
        tally = _write_samples(setup, collected, choice, files, progress, learnt=learnt, secrets=options.keep_secrets)
        if files:
            _write_reference(collected, choice, files, learnt)
        own_schema = request.schema is not None
        context = ReportContext(request.username, setup.family, settings, options, why, own_schema, names_unread=unread)
        report = build_report(context, collected, choice, tally, _likeness(collected, choice, tally, learnt, progress))
        if not report.samples:
            raise EmptySet(report, request.source or setup.profile / "memory", store.modes())
        return report


@contextmanager
def _memories_of(request: Request, setup: Setup, folder: Path | None, progress: Progress) -> Iterator[Path]:
    """Give the place that the memories are read from; the export of an app is first read into a folder of ours."""
    source, registry = request.source, setup.registry
    own = source is not None and any(plugin not in BUILT_IN_PLUGINS for plugin, _ in sources_of(registry, source))
    if source is None or own or holds_memories(source):
        yield source or setup.profile
        return
    from curator.importing.detect import UnknownFormat
    from curator.importing.job import ImportRequest, Readers, import_aside  # here: most runs read no export
    from curator.importing.people import own_names, read_people

    people = read_people(setup.profile)
    importers = load_importers(setup.settings, setup.home).importers
    readers = Readers(importers, frozenset(BUILT_IN_PLUGINS))
    known = {name: own_names(people, name) for name in importers}
    names = people_names(setup.profile, core_json(setup.profile, setup.settings.unlocked)[0]).owner
    with tempfile.TemporaryDirectory(prefix=".source-", dir=folder) as aside:
        asked = ImportRequest((source,), setup.profile, known=names, known_by_format=known, again=True)
        try:
            import_aside(asked, readers, Path(aside), progress)
        except UnknownFormat:
            if not sources_of(registry, source):
                raise
            yield source  # then its reader says, row by row, what is wrong
            return
        except UsageError as error:  # --source has no options of an import
            bring = command_line("curate", "import", source, "--username", request.username)
            raise UsageError(error.what, f"{error.next_step}\n  then bring it with {bring} and that option") from None
        yield Path(aside)


def _forget(drop: Drop) -> None:
    """Write nothing: a dry run."""


def _write_samples(
    setup: Setup,
    collected: Collected,
    choice: Choice,
    files: RunFiles | None,
    progress: Progress,
    *,
    learnt: Learnt,
    secrets: bool,
) -> Tally:
    """Tag, wrap, check and write every chosen sample; nothing that fails the check is ever published."""
    modes, chat_format = setup.registry.mode_table, ChatFormat(setup.family)
    checker = SampleChecker(modes, setup.registry.control_tokens)
    voice = Voice(setup.settings.fillers.covers, _filler_left(setup))
    tally = Tally(setup.settings.targets, voice, kept_secrets if secrets else no_secrets)
    store, held = collected.store, set(choice.holdout.rows.tolist())
    problems: list[str] = []
    for number, row in enumerate(choice.rows.tolist()):
        screened = store.spool.get(row)
        curated = _held_out(screened.sample) if row in held else screened.sample
        formatted = tagged(curated, modes[curated.mode])
        whole = wrapped(formatted, chat_format)
        problems += _problems(checker, formatted)
        tally.beside.update(screened.events[1:])
        learnt.add(curated, screened.events)
        tally.add(curated, whole, store.columns.times[row], screened.changes)
        if files:
            files.sample(curated, formatted, whole, _lineage(files, curated, screened))
        if not number & 1023:
            progress("writing", number, len(choice.rows))
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValidationFailed(f"the set fails its own check; nothing was published:\n  {shown}{more}")
    return tally


def _write_reference(collected: Collected, choice: Choice, files: RunFiles, learnt: Learnt) -> None:
    """Write how the person writes where no training sample says it; of an encrypted profile, where the set itself does.

    Hashed counts of runs of characters can be turned back into words by trying: what the set does not hold stays shut.
    """
    store = collected.store
    for row in choice.learnt.tolist():
        screened = store.spool.get(row)
        learnt.learn(screened.sample, screened.events)
    free = choice.rows[:0] if store.settings.unlocked else unused(collected, choice, learnt.beside)
    rows = Unlearnt(held=choice.holdout.rows, unused=free, chosen=choice.rows)
    if reference := unlearnt_reference(lambda row: store.spool.get(row).sample, rows, learnt):
        files.arrays(VOICE_REFERENCE, as_arrays(reference))


def _likeness(collected: Collected, choice: Choice, tally: Tally, learnt: Learnt, progress: Progress) -> Likeness:
    """Return how much of the set sounds like the person; of a large one a part is read, evenly over time."""
    spool, language = collected.store.spool, main_language(learnt.characters)
    drawn = Drawn.some(lambda row: spool.get(row).sample, choice.rows, language, tally.voice.languages)
    return likeness(drawn, progress)


def _held_out(sample: CuratedSample) -> CuratedSample:
    metadata = msgspec.structs.replace(sample.metadata, split="holdout")
    return msgspec.structs.replace(sample, metadata=metadata)


def _problems(checker: SampleChecker, sample: FormattedSample) -> Iterator[str]:
    """Yield what is wrong with a tagged sample or with an exchange before it."""
    texts = [(turn.user_text, turn.assistant_text) for turn in sample.context]
    texts.append((sample.input, sample.output))
    for asked, answered in texts:
        for mode, name, offset, problem in checker.check(asked, answered, sample.mode):
            yield f"{sample.metadata.sample_id} ({mode}): {name} at {offset}: {problem}"


def _lineage(files: RunFiles, sample: CuratedSample, screened: ScreenedSample) -> LineageLine:
    """Return the lineage of the sample's dataset line, which is the next one of its split."""
    data = sample.metadata
    name, line = files.next_line(data.split)
    return LineageLine(
        file=name, line=line, sample_id=data.sample_id, mode=sample.mode, mode_source=data.mode_source,
        original_id=data.original_id, events=screened.events, sources=data.sources, changes=screened.changes,
    )  # fmt: skip


def _filler_left(setup: Setup) -> Callable[[str], bool]:
    """Return a test that tells whether a reply still holds a filler: the filler cleaner would change it."""
    cleaners = [cleaner.clean for _, cleaner in setup.registry.cleaners if cleaner.name == "fillers"]
    nobody = MemoryEvent("", "", "", "", 0, "")

    def left(reply: str) -> bool:
        return any(clean(reply, nobody) != reply for clean in cleaners)

    return left


def _publish(request: Request, setup: Setup, files: RunFiles, report: Report, label: str) -> None:
    from curator.reports.page import render_html  # its template engine takes longer to load than a page to render

    data = msgspec.json.encode(report)
    files.whole(REPORT, msgspec.json.format(data, indent=2) + b"\n")
    files.whole(REPORT_PAGE, render_html(report).encode())
    hashes = files.finish()
    options, modes = request.options, setup.registry.modes
    files.summary(
        RunSummary(
            format=RUN_FORMAT,
            version=RUN_VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            username=request.username,
            label=label,
            curator_version=__version__,
            seed=options.seed,
            family=setup.family.family,
            base_model=request.base_model or "",
            mode=options.mode or "all",
            dual_direction=options.dual_direction,
            counts={
                "memories": report.memories,
                "memories_used": report.memories_used,
                "samples": report.samples,
                "train": report.train,
                "holdout": report.samples - report.train,
                "dropped": sum(drop.count for drop in report.drops),
            },
            metrics={check.name: check.value for check in report.checks},
            modes={name: [modes[name].user_tag, modes[name].assistant_tag] for name in report.modes},
            config=msgspec.Raw(setup.settings.curate.model_dump_json().encode()),
            options={name: str(value) for name, value in asdict(options).items()},
            command=rebuild_command(request, setup.home, setup.family.family),
            plugins=setup.registry.versions,
            config_sha256=setup.settings.files,
            files=hashes,
            encrypted=report.encrypted,
        ),
    )

"""`curate run`: read, sample, choose, write, prove, report, publish."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from curator.config import Settings, load_settings
from curator.contract import __version__
from curator.contract.cli_frame import Progress, command_line, no_progress, stoppable
from curator.contract.errors import UsageError, printable, unknown_name
from curator.contract.files import scratch_folder
from curator.contract.homes import CACHE, RUNS, PeopleNames, find_home, find_profile, next_run_number, people_names
from curator.contract.records import (
    REPORT,
    REPORT_PAGE,
    RUN_FORMAT,
    RUN_VERSION,
    VOICE_REFERENCE,
    Family,
    family_sha256,
)
from curator.encryption.profile import Unlocked, core_json
from curator.executing.as_needed import AsNeeded
from curator.executing.executor import Executor, InProcess
from curator.executing.kept import Kept, Nothing
from curator.executing.pool import Budget
from curator.importing.folders import holds_memories
from curator.loading import Loading
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry, load_importers, switched_off
from curator.reading.drop_log import DropLog, Reason
from curator.reading.read import MAY_PASS, read_memories, settle_mode_from, sources_of
from curator.reading.timeline import Timeline
from curator.records import RunSummary
from curator.reports.build import build_report
from curator.reports.empty import EmptySet
from curator.reports.notices import ReportContext
from curator.reports.report import Report
from curator.run_folder import RunFiles, run_folder
from curator.same_again import Earlier, SameAgain
from curator.sampling.main_language import main_language
from curator.sampling.sampler import Options
from curator.selection.choose import choose
from curator.selection.sample_store import SampleStore, collect
from curator.selection.sampling_work import PutAside, SamplingWork, parts
from curator.voices import voices
from curator.writing.earlier import KnownSamples, NotTheSame
from curator.writing.samples import write_samples


@dataclass(frozen=True)
class Request:
    """All that one `curate run` was asked for. `unlocked` is the encrypted profile that it reads, opened.

    `put_aside` says of plugins that were over their budget too often why they are left out.
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
    put_aside: tuple[str, ...] = ()
    workers: int | None = None
    cache: bool = True
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
    """What a run works with: resolved places, configuration, plugins, the family, and who the person is by name.

    `names_unread` says why persona/core.json was not read.
    """

    home: Path
    profile: Path
    loading: Loading
    registry: Registry
    family: Family
    people: PeopleNames
    names_unread: str

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.loading.settings


def prepare(request: Request) -> Setup:
    """Find home and profile, load configuration and plugins, pick the family. Raises UsageError."""
    home = find_home(request.home)
    profile = find_profile(home, request.username)
    settings = _overridden(load_settings(home), request)
    disabled = {*settings.curate.plugins.disabled, *request.disabled}
    if request.options.keep_secrets and "secrets" not in disabled:  # without the plugin there is no such filter
        disabled.add("secret")
    named = (request.family, request.base_model, request.schema)
    loading = Loading(settings, home, tuple(sorted(disabled)), *named)
    registry, family = loading.load()
    if request.options.mode and request.options.mode not in registry.modes:
        off = switched_off(settings, home, request.options.mode)
        raise unknown_name("mode", request.options.mode, registry.modes, off)
    if request.source and not (request.source.is_file() or request.source.is_dir()):
        problem = "no regular file" if request.source.exists() else "no such file"
        raise UsageError(
            f"--source {printable(str(request.source))}: {problem}", "name a JSONL file of memories, or an app's export"
        )
    core, unread = core_json(profile, settings.unlocked)
    return Setup(home, profile, loading, registry, family, people=people_names(profile, core), names_unread=unread)


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
    """A finished run: its report and, unless it was a dry run, its folder; how many memories the cache knew of."""

    report: Report
    folder: Path | None
    from_cache: int = 0


def run(request: Request, progress: Progress = no_progress) -> Outcome:
    """Make a training set. If it raises a CuratorError, nothing was published; EmptySet where no sample came of it."""
    with stoppable(), _no_garbage_collection():
        while True:
            try:
                return _run(request, progress)
            except PutAside as aside:  # as with --no-plugin, so that the set does not hang on when it was put aside
                request = replace(
                    request, disabled=(*request.disabled, aside.plugin), put_aside=(*request.put_aside, aside.why)
                )
            except NotTheSame:
                request = replace(request, cache=False)


def _run(request: Request, progress: Progress) -> Outcome:
    setup = prepare(request)
    with closing(_kept(request, setup)) as kept, ExitStack() as stack:
        told = (setup.people, setup.names_unread, request.put_aside)
        more = (request.username, request.schema is not None, str(request.source), *told)
        same = SameAgain(kept, setup.loading, request.options, more)
        known = stack.enter_context(closing(_known(request, setup, kept)))
        if request.dry_run:
            return Outcome(_make(request, setup, None, same, progress, kept=kept, known=known), None, kept.taken)
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
            report = _make(request, setup, files, same, progress, kept=kept, known=known)
            progress("publishing", 0, 1)
            hashes = _publish(request, setup, files, report, place.name)
        same.remember(place, hashes)
        known.remember(place, hashes)
        return Outcome(report, place, kept.taken)


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


def _make(
    request: Request, setup: Setup, files: RunFiles | None, same: SameAgain, progress: Progress,
    *, kept: Nothing, known: KnownSamples,
) -> Report:  # fmt: skip
    """Run all passes, writing samples and drops to `files` where there are any; return the report.

    Raises NotTheSame where an earlier run was to be taken over, or copied from, that is not what it was.
    """
    settings, registry, options = setup.settings, setup.registry, request.options
    log = DropLog(files.drop, files.drop_lines) if files else DropLog()
    folder = files.folder if files else None
    window, veiled = settings.curate.pairing.outward_window_hours, settings.unlocked is not None
    with (
        closing(Timeline(settings.types.outward, window, folder, veiled=veiled)) as timeline,
        closing(_store(setup, folder, timeline, options)) as store,
        closing(_executor(request, setup, timeline.files | store.files)) as executor,
    ):
        with _memories_of(request, setup, folder, progress) as place:
            read_memories(
                timeline, place, setup.loading, executor, log, progress,
                kept=kept, exclude=options.exclude, enough=same.by_files,
            )  # fmt: skip
        if same.found:
            return _taken_over(same.found, files, kept)
        if any(log.counts[Reason("read", reason)] for reason in MAY_PASS):
            same.doubt()
        mode_from, why = settle_mode_from(timeline, options.mode_from, registry, settings.curate.hybrid_limit)
        if len(timeline) < settings.curate.cache.from_memories:
            kept = Nothing()
            known = _known(request, setup, kept)
        elif same.by_memories(timeline, log) and same.found:
            return _taken_over(same.found, files, kept)
        shared = timeline if veiled else timeline.shared()
        work = SamplingWork(setup.loading, shared, options, mode_from, setup.people, main_language(timeline))
        collected = collect(parts(work, timeline, executor, kept, progress), timeline, store, log)
        choice = choose(collected, settings, options, executor, progress)
        written = write_samples(
            setup.loading, store, choice, files, executor, progress, known=known, secrets=options.keep_secrets
        )
        progress("listening to the voice", 0, 1)
        told = voices(collected, choice, written.learnt, written.tally.voice.languages, executor)
        executor.close()
        if files and told.reference:
            files.whole(VOICE_REFERENCE, told.reference)
        own_schema = request.schema is not None
        context = ReportContext(
            request.username, setup.family, settings, options, why, own_schema,
            names_unread=setup.names_unread, put_aside=request.put_aside,
        )  # fmt: skip
        report = build_report(context, collected, choice, written.tally, told.likeness)
        if not report.samples:
            raise EmptySet(report, request.source or setup.profile / "memory", store.modes())
        return report


def _taken_over(earlier: Earlier, files: RunFiles | None, kept: Nothing) -> Report:
    """Take the files of an earlier run; return its report. Raises NotTheSame where they are not what they were."""
    report = earlier.take_over(files)
    if report is None:
        raise NotTheSame
    kept.taken = report.memories
    return report


def _store(setup: Setup, folder: Path | None, timeline: Timeline, options: Options) -> SampleStore:
    names = list(setup.registry.modes)
    return SampleStore(setup.settings, folder, names, timeline, keeps_copies=bool(options.since))


def _kept(request: Request, setup: Setup) -> Nothing:
    """Return what earlier runs of the profile kept; of an encrypted one, or another file, nothing is kept."""
    cache = setup.settings.curate.cache
    if not request.cache or not cache.megabytes or request.source or setup.settings.unlocked is not None:
        return Nothing()
    return Kept(setup.profile / CACHE, cache.megabytes, read_only=request.dry_run)


def _known(request: Request, setup: Setup, kept: Nothing) -> KnownSamples:
    """Return what earlier runs of these modes wrote."""
    return KnownSamples(kept, setup.loading, request.options.mode, secrets=request.options.keep_secrets)


def _executor(request: Request, setup: Setup, files: dict[str, int]) -> Executor:
    """Return what works on the memories: of an encrypted profile this process, in which its key stays."""
    if setup.settings.unlocked is not None:
        return InProcess(files)
    limits = setup.settings.curate.limits
    return AsNeeded(files, Budget(limits.memory_seconds, limits.memory_megabytes), request.workers)


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
    names = setup.people.owner
    with scratch_folder(".source-", folder) as aside:
        asked = ImportRequest((source,), setup.profile, known=names, known_by_format=known, again=True)
        try:
            import_aside(asked, readers, aside, progress)
        except UnknownFormat:
            if not sources_of(registry, source):
                raise
            yield source  # then its reader says, row by row, what is wrong
            return
        except UsageError as error:  # --source has no options of an import
            bring = command_line("curate", "import", source, "--username", request.username)
            raise UsageError(error.what, f"{error.next_step}\n  then bring it with {bring} and that option") from None
        yield aside


def _publish(request: Request, setup: Setup, files: RunFiles, report: Report, label: str) -> dict[str, str]:
    """Write what tells of the set, and the summary last; return the sha256 of each other file."""
    if not files.taken:
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
            family_definition=setup.family,
            family_sha256=family_sha256(setup.family),
            encrypted=report.encrypted,
            number=next_run_number(files.folder.parents[1]),
        ),
    )
    return hashes

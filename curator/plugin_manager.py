"""Loading plugins and calling them so that a bad one is named, with the hook and the memory it failed on.

The manager is made by a function and passed on; nothing here is global. Misspelt hooks and duplicate names are fatal.
pluggy calls the last registered first and lets one exception end the whole call, so implementations are called one by
one, in the order of etc/curate.json.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pluggy

from curator import hooks
from curator.config import Settings
from curator.contract import __version__
from curator.contract.chat_format import pick_family
from curator.contract.errors import CuratorError, PluginError, UsageError, printable, similar, unknown_name
from curator.contract.modes import MODE_NAME, Tags, bare, check_tag
from curator.contract.records import Family
from curator.contract.settings_file import line_finder, refuse
from curator.executing import watched
from curator.hooks import Cleaner, Exporter, Filter, Importer, MemorySource, Mode, Reject
from curator.plugin_errors import defined, plugin_failed, raised
from curator.records import CuratedSample, MemoryEvent

# Name of a plugin, as settings and --no-plugin have it -> its module in curator_plugins.
BUILT_IN_PLUGINS = {
    "metahuman": "sources.metahuman",
    "jsonl": "sources.jsonl",
    "imports": "sources.imports",
    "modes": "modes.cognitive",
    "metadata": "mode_mappers.metadata",
    "type": "mode_mappers.memory_type",
    "mapping": "mode_mappers.mapping",
    "cleaners": "cleaners.replies",
    "filters": "filters.screens",
    "secrets": "filters.secrets",
    "families": "families.etc_schemas",
    "import_chatgpt": "importers.chatgpt",
    "import_mail": "importers.mail",
    "import_dayone": "importers.dayone",
    "import_apple_journal": "importers.apple_journal",
    "import_markdown": "importers.markdown",
    "import_diary": "importers.diary",
    "import_telegram": "importers.telegram",
    "import_telegram_html": "importers.telegram_html",
    "import_discord": "importers.discord",
    "import_discord_chat_exporter": "importers.discord_chat_exporter",
    "import_slack": "importers.slack",
    "import_chatlab": "importers.chatlab",
    "import_msgvault": "importers.msgvault",
    "import_claude": "importers.claude",
    "import_gemini": "importers.gemini",
    "import_copilot": "importers.copilot",
    "import_whatsapp": "importers.whatsapp",
    "import_line": "importers.line",
    "import_transcript": "importers.transcript",
    "import_messenger": "importers.messenger",
    "import_instagram": "importers.instagram",
    "import_imessage": "importers.imessage",
    "import_imessage_txt": "importers.imessage_txt",
    "import_signal": "importers.signal",
    "import_signal_export": "importers.signal_export",
    "import_sms": "importers.sms",
    "import_sillytavern": "importers.sillytavern",
    "import_characterai": "importers.characterai",
    "import_twitter": "importers.twitter",
    "import_google_chat": "importers.google_chat",
    "import_wechat": "importers.wechat",
    "import_training_files": "importers.training_files",
    "export_llama_factory": "exporters.llama_factory",
    "export_axolotl": "exporters.axolotl",
    "export_trl": "exporters.trl",
    "export_unsloth": "exporters.unsloth",
    "export_mlx": "exporters.mlx",
    "export_torchtune": "exporters.torchtune",
    "export_openai": "exporters.openai",
    "export_skill": "exporters.skill",
    "export_card": "exporters.card",
}
_REASON = re.compile(r"[a-z0-9_]+")
_WRONG_ARGUMENT = re.compile(r"Argument\(s\) \{'(\w+)'")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


@dataclass
class Registry:
    """All that the plugins gave, in order, each item with the plugin it came from."""

    manager: pluggy.PluginManager
    versions: dict[str, str]
    names: set[str]
    off: set[str]
    sources: list[tuple[str, MemorySource]] = field(default_factory=list)
    modes: dict[str, Mode] = field(default_factory=dict)
    mappers: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    cleaners: list[tuple[str, Cleaner]] = field(default_factory=list)
    memory_filters: list[tuple[str, Filter]] = field(default_factory=list)
    sample_filters: list[tuple[str, Filter]] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)
    exporters: dict[str, Exporter] = field(default_factory=dict)
    importers: dict[str, tuple[str, Importer]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags of all modes, without brackets."""
        return bare(mode.tags for mode in self.modes.values())

    @property
    def mode_table(self) -> dict[str, Tags]:
        """Every mode's openings by its name."""
        return {name: mode.tags for name, mode in self.modes.items()}

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The control tokens of all families: what screening, the check before publishing and validate look for."""
        return tuple(sorted({token for family in self.families.values() for token in family.control_tokens}))


def load_plugins(
    settings: Settings, home: Path | None, disabled: Iterable[str] = (), *, of_importers: bool = False
) -> Registry:
    """Load the built-in plugins, installed ones (entry-point group `curator`) and, if settings say so, the home's.

    Raises UsageError for a name that is given twice or is unknown, PluginError for one that cannot be loaded.
    """
    off = {*settings.curate.plugins.disabled, *disabled}
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks.CuratorSpec)
    origins: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name, module, origin, version in _available(settings, home):
        if name in origins:
            raise UsageError(
                f"two plugins are called {name!r}: {origins[name]} and {origin}", "rename or remove one of them"
            )
        origins[name] = origin
        if name in off or (name in BUILT_IN_PLUGINS and is_importer(name) is not of_importers):
            continue  # of the built-in ones a run needs no reader of exports, and an import needs nothing else
        if name not in BUILT_IN_PLUGINS:
            _require_watching(settings)
        _register(manager, name, call_plugin(name, "import", "", module), origin)
        versions[name] = version
    _check_hooks(manager)
    return Registry(manager, versions, set(origins), off)


def require_watching(settings: Settings, home: Path) -> None:
    """Raise NeedsWatching now where loading plugins would: before a person is asked for a password, say."""
    off = settings.curate.plugins.disabled
    if any(name not in BUILT_IN_PLUGINS and name not in off for name, *_ in _available(settings, home)):
        _require_watching(settings)


def _require_watching(settings: Settings) -> None:
    watched.require(settings.curate.limits.call_seconds, settings.curate.limits.memory_megabytes)


def is_importer(name: str) -> bool:
    """Tell whether a built-in plugin reads apps' exports."""
    return BUILT_IN_PLUGINS[name].startswith("importers.")


def _available(settings: Settings, home: Path | None) -> Iterable[tuple[str, Callable[[], Any], str, str]]:
    for name, place in BUILT_IN_PLUGINS.items():
        module = f"curator_plugins.{place}"
        yield name, lambda module=module: importlib.import_module(module), f"built in ({module})", __version__  # type: ignore[misc]
    for point in sorted(importlib.metadata.entry_points(group=hooks.PROJECT), key=lambda point: point.name):
        version = point.dist.version if point.dist else "unknown"
        yield point.name, point.load, f"installed ({point.value})", version
    folder = home / "plugins" if home else None
    if folder and settings.curate.plugins.home_plugins and folder.is_dir():
        for path in sorted(folder.glob("*.py")):
            yield path.stem, lambda path=path: _load_file(path), str(path), "local"  # type: ignore[misc]


def waiting_plugins(settings: Settings, home: Path | None, name: str = "") -> list[Path]:
    """Return the files of the home's plugins/ that are plugins, hold the word `name` and are not switched on."""
    if home is None or (settings.curate.plugins.home_plugins and not settings.curate.plugins.disabled):
        return []
    on = settings.curate.plugins.home_plugins
    files = [path for path in sorted((home / "plugins").glob("*.py")) if path.is_file()]
    off = [path for path in files if not on or path.stem in settings.curate.plugins.disabled]
    return [path for path in off if "hookimpl" in (text := _text_of(path)) and name in text]


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def switched_off(settings: Settings, home: Path | None, name: str) -> str:
    """Say which file of the home's plugins/ may give what is called `name`, and how it is switched on; "" for none."""
    waiting = waiting_plugins(settings, home, name) if name else []
    if not waiting:
        return ""
    shown = f"plugins/{printable(waiting[0].name)} names it, but"
    if settings.curate.plugins.home_plugins:
        return f"{shown} is switched off: take {waiting[0].stem!r} out of plugins.disabled in etc/curate.json"
    return f'{shown} is not switched on: put "plugins": {{"home_plugins": true}} into etc/curate.json'


def _load_file(path: Path) -> Any:
    definition = importlib.util.spec_from_file_location(f"curator_home_{path.stem}", path)
    assert definition and definition.loader
    module = importlib.util.module_from_spec(definition)
    definition.loader.exec_module(module)
    return module


def _register(manager: pluggy.PluginManager, name: str, plugin: Any, origin: str) -> None:
    try:
        manager.register(plugin, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(
            f"plugin {name!r} ({origin}): {error}{_meant_argument(str(error))}",
            "see the hooks' arguments: curate docs hooks",
        ) from None


def _meant_argument(said: str) -> str:
    """Return "; did you mean X?" for the first argument of a hook that pluggy says is none, where one is near."""
    wrong = _WRONG_ARGUMENT.search(said)
    specs = [vars(hooks.CuratorSpec)[name] for name in _hook_names()]
    known = {name for spec in specs for name in inspect.signature(spec).parameters} - {"self"}
    near = similar(wrong[1], known) if wrong else ""
    return f"; did you mean {near!r}?" if near else ""


def _hook_names() -> list[str]:
    return [hook for hook in dir(hooks.CuratorSpec) if not hook.startswith("_")]


def _check_hooks(manager: pluggy.PluginManager) -> None:
    """Raise PluginError for a function that is marked as a hook's and is none, with the nearest name there is."""
    for name, hook in vars(manager.hook).items():
        unknown = [] if hook.has_spec() else [one for one in hook.get_hookimpls() if not one.optionalhook]
        for implementation in unknown:
            known = _hook_names()
            near = similar(name, known)
            raise PluginError(
                f"plugin {implementation.plugin_name!r}: there is no hook {name!r}{defined(implementation.function)}"
                + (f"; did you mean {near!r}?" if near else ""),
                f"the hooks are {', '.join(known)}",
            )


def fill(registry: Registry, settings: Settings, family: Callable[[dict[str, Family]], Family]) -> Family:
    """Ask every plugin what it registers; `family` picks the run's family among all. Returns that family.

    Raises UsageError for a name that is given twice or is unknown, PluginError for an answer that breaks a contract.
    """
    registry.sources = _collect(registry, "register_sources", MemorySource)
    for plugin, mode in _collect(registry, "register_modes", Mode):
        _add_mode(registry, plugin, mode)
    _check_types(registry, settings)
    for plugin, candidate in _collect(registry, "register_families", Family, settings=settings):
        if candidate.family in registry.families:
            raise UsageError(
                f"two plugins give the family {candidate.family!r}: {registry.owners[candidate.family]} and {plugin}"
            )
        registry.families[candidate.family], registry.owners[candidate.family] = candidate, plugin
    for plugin, exporter in _collect(registry, "register_exporters", Exporter, settings=settings):
        if exporter.name in registry.exporters:
            owner = registry.owners[f"export {exporter.name}"]
            raise UsageError(f"two plugins export to {exporter.name!r}: {owner} and {plugin}")
        registry.exporters[exporter.name], registry.owners[f"export {exporter.name}"] = exporter, plugin
    chosen = family(registry.families)
    cleaners = _collect(registry, "register_cleaners", Cleaner, settings=settings)
    registry.cleaners = _ordered("cleaner", cleaners, settings.curate.cleaners, registry)
    arguments = {"family": chosen, "tags": registry.tags, "control_tokens": registry.control_tokens}
    filters = _collect(registry, "register_filters", Filter, settings=settings, **arguments)
    for plugin, filter_ in filters:
        if filter_.on not in ("memory", "sample"):  # it would never be asked
            problem = f"filter {filter_.name!r}: on is {_show(filter_.on)}: expected 'memory' or 'sample'"
            raise plugin_failed(plugin, "register_filters", "", problem)
    ordered = _ordered("filter", filters, settings.curate.filters, registry)
    registry.memory_filters = [(plugin, filter_) for plugin, filter_ in ordered if filter_.on == "memory"]
    registry.sample_filters = [(plugin, filter_) for plugin, filter_ in ordered if filter_.on == "sample"]
    registry.mappers = _mappers(registry, settings, tuple(registry.modes))
    known = registry.names | {cleaner.name for _, cleaner in cleaners} | {filter_.name for _, filter_ in filters}
    if missing := registry.off - known:
        name = sorted(missing)[0]
        where = "plugins.disabled of etc/curate.json" if name in settings.curate.plugins.disabled else "--no-plugin"
        raise unknown_name("plugin", name, known, f"it stands in {where}")
    return chosen


def load_registry(settings: Settings, home: Path | None, family: str | None = None) -> Registry:
    """Return all that plugins give, for commands that wrap nothing: the family is the one named, else the default.

    Raises UsageError and PluginError as `load_plugins` and `fill` do.
    """
    registry = load_plugins(settings, home)
    fill(registry, settings, lambda families: pick_family(families, family, None, settings.curate.default_family))
    return registry


def load_importers(settings: Settings, home: Path | None) -> Registry:
    """Return a registry that holds the readers of apps' exports, and nothing else.

    Raises UsageError and PluginError as `load_plugins` does.
    """
    registry = load_plugins(settings, home, of_importers=True)
    for plugin, importer in _collect(registry, "register_importers", Importer):
        if importer.name in registry.importers:
            first = registry.importers[importer.name][0]
            raise UsageError(f"two plugins read the format {importer.name!r}: {first} and {plugin}")
        registry.importers[importer.name] = plugin, importer
    return registry


def _add_mode(registry: Registry, plugin: str, mode: Mode) -> None:
    if not isinstance(mode.name, str) or not MODE_NAME.fullmatch(mode.name):
        raise PluginError(f"plugin {plugin!r}: {_show(mode.name)} is no name of a mode", "use a-z, 0-9, _ and -")
    owner = registry.owners.get(f"mode {mode.name}")
    if owner:
        raise UsageError(f"two plugins give the mode {mode.name!r}: {owner} and {plugin}", "rename one of the modes")
    for tag in (mode.user_tag, mode.assistant_tag):
        if not check_tag(tag):
            raise PluginError(f"plugin {plugin!r}: mode {mode.name!r}: {tag!r} is no tag", "use a-z, 0-9 and _")
        if tag in registry.tags or mode.user_tag == mode.assistant_tag:
            raise UsageError(f"plugin {plugin!r}: mode {mode.name!r}: the tag {tag!r} is already in use")
    registry.modes[mode.name] = mode
    registry.owners[f"mode {mode.name}"] = plugin


def _check_types(registry: Registry, settings: Settings) -> None:
    """Raise UsageError that lists each place of etc/types.json which names a mode that there is not."""
    if not registry.modes:
        raise UsageError("no plugin gives a mode", "take 'modes' out of --no-plugin and of plugins.disabled")
    wrong = [(keys, mode) for keys, mode in settings.types.named_modes() if mode not in registry.modes]
    if not wrong:
        return
    path = settings.path_of("types.json")
    line = line_finder(path.read_text("utf-8-sig"))
    problems = []
    for keys, mode in wrong:
        near = similar(mode, registry.modes)
        hint = f"; did you mean {near!r}?" if near else ""
        problems.append(f"{path}:{line(keys)}: {'.'.join(keys)}: no mode is called {mode!r}{hint}")
    off = "; that of a plugin is there while the plugin is on" if registry.off else ""
    refuse(problems, f"mend these lines: the modes are {', '.join(registry.modes)}{off}")


def _collect(registry: Registry, hook: str, kind: type[Any], **arguments: Any) -> list[tuple[str, Any]]:
    """Call `hook` of each plugin by itself; every answer must be a list of `kind`."""
    collected: list[tuple[str, Any]] = []
    implementations = {impl.plugin_name: impl for impl in getattr(registry.manager.hook, hook).get_hookimpls()}
    for plugin in registry.versions:
        if plugin not in implementations:
            continue
        implementation = implementations[plugin]
        answer = call_plugin(
            plugin, hook, "", implementation.function, *[arguments[a] for a in implementation.argnames]
        )
        if not isinstance(answer, list) or not all(isinstance(item, kind) for item in answer):
            problem = f"returned {_show(answer)}: expected a list of {kind.__name__}{defined(implementation.function)}"
            raise plugin_failed(plugin, hook, "", problem)
        collected += [(plugin, item) for item in answer]
    return collected


def _ordered(kind: str, items: list[tuple[str, N]], order: Sequence[str], registry: Registry) -> list[tuple[str, N]]:
    """Put items in the order of etc/curate.json, those it does not name last; leave out what is switched off."""
    by_name: dict[str, tuple[str, N]] = {}
    for plugin, item in items:
        if item.name in by_name:
            raise UsageError(f"two plugins give the {kind} {item.name!r}: {by_name[item.name][0]} and {plugin}")
        by_name[item.name] = (plugin, item)
    missing = [name for name in order if name not in by_name]
    if missing and not registry.off & {"cleaners", "filters", "secrets"}:  # switched off, its names are gone too
        raise unknown_name(kind, missing[0], by_name, f"it stands in '{kind}s' of etc/curate.json")
    names = [name for name in order if name in by_name] + [name for name in sorted(by_name) if name not in order]
    return [by_name[name] for name in names if name not in registry.off]


def _mappers(registry: Registry, settings: Settings, modes: tuple[str, ...]) -> list[tuple[str, Callable[..., Any]]]:
    """Return the implementations of map_mode; those that `plugins.order` does not name come first and so decide."""
    hooks = registry.manager.hook.map_mode.get_hookimpls()
    arguments = {impl.plugin_name: (impl.function, impl.argnames) for impl in hooks}
    order = settings.curate.plugins.order
    names = [name for name in registry.versions if name in arguments]
    names = [name for name in names if name not in order] + [name for name in order if name in arguments]
    return [(name, _pick_arguments(*arguments[name], settings, modes)) for name in names]


def _pick_arguments(
    function: Callable[..., Any], names: Sequence[str], settings: Settings, modes: tuple[str, ...]
) -> Callable[..., Any]:
    def call(event: MemoryEvent, mode_from: str) -> Any:
        arguments = {"event": event, "mode_from": mode_from, "settings": settings, "modes": modes}
        return function(*[arguments[name] for name in names])

    if tuple(names) == ("event", "mode_from"):
        return function
    return call


def call_plugin(plugin: str, hook: str, memory: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a plugin's function and return its answer.

    Raises PluginError, which names the plugin, in place of any exception that is no CuratorError, even SystemExit.
    """
    try:
        return watched.call(plugin, hook, function, *arguments)
    except (KeyboardInterrupt, CuratorError):  # a CuratorError already says what a user should know
        raise
    except BaseException as error:
        raise plugin_failed(plugin, hook, memory, raised(error)) from error


def map_mode(registry: Registry, event: MemoryEvent, mode_from: str) -> tuple[str, str]:
    """Return (mode, the plugin that chose it) for an event.

    Raises PluginError where a plugin raises, where an answer is no known mode, and where no plugin has one.
    """
    for plugin, function in registry.mappers:
        try:
            answer = watched.call(plugin, "map_mode", function, event, mode_from)
        except (KeyboardInterrupt, CuratorError):
            raise
        except BaseException as error:
            raise plugin_failed(plugin, "map_mode", event.path, raised(error)) from error
        if answer is not None:
            if not isinstance(answer, str) or answer not in registry.modes:
                near = similar(answer, registry.modes) if isinstance(answer, str) else ""
                meant = f"; did you mean {near!r}?" if near else ""
                problem = (
                    f"returned {_show(answer)}: expected None or one of {', '.join(registry.modes)}"
                    f"{defined(function)}{meant}"
                )
                raise plugin_failed(plugin, "map_mode", event.path, problem)
            return answer, plugin
    raise PluginError(f"no plugin maps {event.path} to a mode", "enable the plugin 'mapping' again")


def apply_filters(
    filters: list[tuple[str, Filter]], item: MemoryEvent | CuratedSample, memory: str
) -> tuple[str, str] | None:
    """Return (reason, detail) of the first filter that turns `item` down, or None.

    Raises PluginError where a filter raises, or answers neither None nor a reason code.
    """
    for plugin, filter_ in filters:
        try:
            answer = watched.call(plugin, f"filter {filter_.name}", filter_.check, item)
        except (KeyboardInterrupt, CuratorError):
            raise
        except BaseException as error:
            raise plugin_failed(plugin, f"filter {filter_.name}", memory, raised(error)) from error
        if answer is not None:
            if not isinstance(answer, str) or not _REASON.fullmatch(answer.partition(": ")[0]):
                problem = f"returned {_show(answer)}: expected None or a reason code{defined(filter_.check)}"
                raise plugin_failed(plugin, f"filter {filter_.name}", memory, problem)
            reason, _, detail = answer.partition(": ")
            return reason, detail
    return None


def apply_cleaner(plugin: str, cleaner: Cleaner, reply: str, event: MemoryEvent) -> str | Reject:
    """Call one cleaner and hold it to its contract.

    Raises PluginError where it raises, or returns neither a text nor a Reject.
    """
    try:
        answer = watched.call(plugin, f"cleaner {cleaner.name}", cleaner.clean, reply, event)
    except (KeyboardInterrupt, CuratorError):
        raise
    except BaseException as error:
        raise plugin_failed(plugin, f"cleaner {cleaner.name}", event.path, raised(error)) from error
    if type(answer) is str:
        if answer is reply or answer.isascii() or _can_be_written(answer):
            return answer
    elif isinstance(answer, Reject) and isinstance(answer.reason, str) and _REASON.fullmatch(answer.reason):
        return answer
    wanted = "expected the reply as text, or a Reject with a reason code"
    problem = f"returned {_show(answer)}: {wanted}{defined(cleaner.clean)}"
    raise plugin_failed(plugin, f"cleaner {cleaner.name}", event.path, problem)


def _can_be_written(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _show(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a __repr__ of its own, or an integer too long to print
        return f"something of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}... ({type(value).__name__})"

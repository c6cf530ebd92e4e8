"""The first pass of a run: every memory of a profile's folder, or of a file, once, into a Timeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.contract.errors import CuratorError, UsageError, printable
from curator.hooks import MemorySource
from curator.plugin_errors import defined, plugin_failed, raised
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry
from curator.reading.drop_log import DropLog
from curator.reading.exclude import Exclusions
from curator.reading.timeline import Timeline
from curator.records import Drop, MemoryEvent


def read_memories(
    timeline: Timeline, path: Path, registry: Registry, settings: Settings, log: DropLog, progress: Progress,
    *, exclude: Sequence[str] = (),
) -> None:  # fmt: skip
    """Read every memory of `path` into `timeline` and put it in order; what cannot be read goes to `log`.

    So does what is to be left out: each of `exclude` is "KIND=VALUE". Raises UsageError where no source reads the path,
    or no memory is what is left out; PluginError where a plugin's source fails.
    """
    exclusions = Exclusions(exclude)
    readers = sources_of(registry, path)
    if not readers:
        names = ", ".join(known.name for _, known in registry.sources)
        raise UsageError(
            f"no source reads {printable(str(path))}", f"known sources: {names}; a JSONL file ends in .jsonl"
        )
    for plugin, source in readers:
        try:
            for number, item in enumerate(source.read(path, settings)):
                if isinstance(item, MemoryEvent):
                    if down := exclude and exclusions.drop(item):
                        log(down)
                    else:
                        timeline.add(item)
                elif isinstance(item, Drop):
                    log(item)
                else:
                    problem = f"yielded {type(item).__name__}{defined(source.read)}"
                    raise plugin_failed(plugin, f"source {source.name}", "", problem)
                if not number & 1023:
                    progress("reading", number, 0)
        except (OSError, CuratorError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if plugin in BUILT_IN_PLUGINS:
                raise  # our own mistake: keep the traceback
            raise plugin_failed(plugin, f"source {source.name}", "", raised(error)) from error
    exclusions.refuse_unknown()
    timeline.arrange()


def sources_of(registry: Registry, path: Path) -> list[tuple[str, MemorySource]]:
    """Return the sources that read a path, each with its plugin: the first that accepts it, and those beside it."""
    accepting = [(plugin, source) for plugin, source in registry.sources if source.accepts(path)]
    first = next((one for one in accepting if not one[1].beside), None)
    return [one for one in accepting if one[1].beside or one is first]


def settle_mode_from(timeline: Timeline, asked: str, registry: Registry, limit: float) -> tuple[str, str]:
    """Return where modes come from ("metadata" or "type") and, where hybrid decided, why in words."""
    if asked != "hybrid":
        return asked, ""
    claimed = {mode: count for mode, count in timeline.modes.items() if mode in registry.modes}
    most = max(claimed, key=lambda mode: claimed[mode], default="")
    if most and claimed[most] > limit * len(timeline):
        share = 100 * claimed[most] / len(timeline)
        return "type", (
            f"metadata.cognitiveMode alone would put {share:.1f}% of the memories into {most} "
            f"(limit {100 * limit:.0f}%), so modes go by memory type"
        )
    return "metadata", ""

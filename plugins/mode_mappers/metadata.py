"""Mode by metadata.cognitiveMode, unless the run goes by type."""

from curator import MemoryEvent, hookimpl


@hookimpl
def map_mode(event: MemoryEvent, mode_from: str, modes: tuple[str, ...]) -> str | None:
    """Return what the memory itself says, where that is a mode of some plugin.

    MetaHuman OS's "environment" has no tags of its own: such memories go by their type.
    """
    return event.mode if mode_from == "metadata" and event.mode in modes else None

"""Mode by metadata.cognitiveMode, unless the run goes by type."""

from curator import MemoryEvent, hookimpl

# "environment" is a fourth mode of MetaHuman OS without tags of its own; such memories go by their type.
MODES = ("dual", "emulation", "agent")


@hookimpl
def map_mode(event: MemoryEvent, mode_from: str) -> str | None:
    """Return what the memory itself says."""
    return event.mode if mode_from == "metadata" and event.mode in MODES else None

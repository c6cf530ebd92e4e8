"""Mode by memory type, from etc/types.json."""

from curator import MemoryEvent, Settings, hookimpl


@hookimpl
def map_mode(event: MemoryEvent, settings: Settings) -> str | None:
    """Return the mode of a known type; a type that is not listed is left to the mapping."""
    return settings.types.modes.get(event.type)

"""The user's own mapping from etc/types.json: by type, by tag:<tag>, and one mode for what is left."""

from curator import MemoryEvent, Settings, hookimpl


@hookimpl
def map_mode(event: MemoryEvent, settings: Settings) -> str | None:
    """Return the user's mode for this type or one of its tags, else the mode of unknown types."""
    mapping = settings.types.mapping
    for name in (event.type, *(f"tag:{tag}" for tag in event.tags)):
        if name in mapping:
            return mapping[name]
    return settings.types.unknown

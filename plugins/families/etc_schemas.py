"""The model families of etc/schemas/, shipped and the home's own; a home's file replaces one of the same name."""

from curator import Family, Settings, hookimpl, read_family_files


@hookimpl
def register_families(settings: Settings) -> list[Family]:
    """Read every family file."""
    return list(read_family_files(settings.families, settings.home_families).families.values())

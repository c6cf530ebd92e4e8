"""The model families of etc/schemas/, shipped and the home's own; a home's file replaces one of the same name."""

from curator import Family, Settings, hookimpl, load_family


@hookimpl
def register_families(settings: Settings) -> list[Family]:
    """Read every family file."""
    families = {}
    for folder in (settings.families, settings.home_families):
        for path in sorted(folder.glob("*.json")) if folder else []:
            family = load_family(path)
            families[family.family] = family
    return list(families.values())

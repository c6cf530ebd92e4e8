"""`curate plugins`: list plugins and what they give."""

from __future__ import annotations

import argparse
from typing import Any

from curator.cli.options import debug_option
from curator.contract.cli_frame import command_line, home_option, next_step, print_json, print_table


def add(commands: Any) -> None:
    """Add the command to the parser."""
    plugins = commands.add_parser("plugins", help="list plugins and what they give", description="List plugins.")
    home_option(plugins)
    debug_option(plugins)
    plugins.add_argument("--json", action="store_true", help="print them as JSON")
    plugins.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    rows = _listed(options.home)
    if options.json:
        print_json(rows)
    else:
        print_table(("plugin", "version", "gives"), ((row["name"], row["version"], row["gives"]) for row in rows))
    next_step(
        command_line("curate", "doctor", *(("--home", options.home) if options.home else ())),
        "says whether plugins, configuration and profiles are in order; curate run --no-plugin leaves a plugin out",
    )
    return 0


def _listed(home: str | None) -> list[dict[str, str]]:
    """Return every loaded plugin with its version and what it gives."""
    from curator.config import load_settings
    from curator.contract.homes import optional_home
    from curator.plugin_manager import load_importers, load_registry

    root = optional_home(home)
    settings = load_settings(root)
    registry = load_registry(settings, root)
    readers = load_importers(settings, root)
    versions = registry.versions | readers.versions
    gives: dict[str, list[str]] = {name: [] for name in versions}
    for plugin, importer in readers.importers.values():
        gives[plugin].append(f"importer {importer.name}")
    for plugin, source in registry.sources:
        gives[plugin].append(f"source {source.name}")
    for mode in registry.modes.values():
        gives[registry.owners[f"mode {mode.name}"]].append(f"mode {mode.name} <{mode.user_tag}> <{mode.assistant_tag}>")
    for plugin, _ in registry.mappers:
        gives[plugin].append("a map of memories to modes")
    for kind, steps in (("cleaner", registry.cleaners), ("filter", registry.memory_filters + registry.sample_filters)):
        for plugin, step in steps:
            gives[plugin].append(f"{kind} {step.name}")
    for name in registry.exporters:
        gives[registry.owners[f"export {name}"]].append(f"export to {name}")
    for name in registry.families:
        gives[registry.owners[name]].append(f"family {name}")
    return [
        {"name": name, "version": version, "gives": ", ".join(gives[name]) or "nothing"}
        for name, version in versions.items()
    ]

"""Everything that a run works with besides memories: settings, plugins and the family; loaded in each process once."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
import uuid
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from curator.config import Settings
from curator.contract.chat_format import load_family, pick_family
from curator.contract.homes import PACKAGE
from curator.contract.records import Family
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry, fill, load_plugins

_LOADED: dict[str, tuple[Registry, Family]] = {}


# Parts of etc/curate.json and files of etc/ that tell which samples are chosen, and nothing of what a sample is.
_CHOOSING: Final = {"holdout", "voice", "cache", "default_family"}
_CHOOSING_FILES: Final = ("etc/targets.json", "etc/curate.json")
_PACKAGE_NAME = re.compile(r"[\w.-]+")


@cache
def _code() -> str:
    """Return a hash of the curator's own code and counts, and of the versions of all that it stands on."""
    found = blake2b(sys.version.encode(), digest_size=16)
    for folder in (PACKAGE, Path(str(import_module("curator_plugins").__file__)).parent):
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.npz")]):
            found.update(path.read_bytes())
    for needed in importlib.metadata.requires("persona-curator") or ():
        if "extra ==" not in needed and (name := _PACKAGE_NAME.match(needed)):
            found.update(f"{name[0]} {importlib.metadata.version(name[0])}\n".encode())
    return found.hexdigest()


def _plugin_code(registry: Registry) -> list[str]:
    """Return a hash of the file of each plugin that is not built in, and of the package that it stands in."""
    hashes = []
    for name, plugin in registry.manager.list_name_plugin():
        file = getattr(plugin, "__file__", None)
        if name in BUILT_IN_PLUGINS or not file:
            continue
        path = Path(file)
        files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
        hashes.append(f"{name} {blake2b(b''.join(one.read_bytes() for one in files)).hexdigest()}")
    return sorted(hashes)


@dataclass(frozen=True)
class Loading:
    """What is to be loaded; it travels to other processes, and what is loaded does not.

    `family`, `base_model` and `schema` say which family is wanted. `token` is this run's alone.
    """

    settings: Settings
    home: Path
    disabled: tuple[str, ...] = ()
    family: str | None = None
    base_model: str | None = None
    schema: Path | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def load(self) -> tuple[Registry, Family]:
        """Return all that plugins give, and the family. Raises UsageError and PluginError as `load_plugins` does."""
        if self.token not in _LOADED:
            registry = load_plugins(self.settings, self.home, self.disabled)
            family = fill(registry, self.settings, self._family)
            _LOADED.clear()
            _LOADED[self.token] = registry, family
        return _LOADED[self.token]

    def fingerprint(self, more: str = "") -> bytes:
        """Return a hash of all that what a memory gives depends on besides memories: code, plugins, settings, family.

        `more` is what else it depends on. What only choosing depends on is left out.
        """
        registry, family = self.load()
        curate = self.settings.curate.model_dump(exclude=_CHOOSING)
        kept = {name: value for name, value in self.settings.files.items() if name not in _CHOOSING_FILES}
        told = (
            _code(), sorted(registry.versions.items()), sorted(registry.off), _plugin_code(registry), repr(curate),
            sorted(kept.items()), msgspec.json.encode(family), registry.tags, registry.control_tokens,
            time.tzname, os.environ.get("TZ", ""), more,
        )  # fmt: skip
        return blake2b(repr(told).encode("utf-8", "surrogateescape"), digest_size=32).digest()

    def _family(self, families: dict[str, Family]) -> Family:
        if self.schema:
            own = load_family(self.schema)
            families[own.family] = own
            return own
        return pick_family(families, self.family, self.base_model, self.settings.curate.default_family)

"""Where the shipped data lies: inside the package in a wheel, at the top of the repository in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(in_wheel: str, in_checkout: str) -> Path:
    """Return the folder of shipped data: `curator/<in_wheel>`, else `<repository>/<in_checkout>`."""
    folder = _PACKAGE / in_wheel
    return folder if folder.is_dir() else _PACKAGE.parent / in_checkout


def shipped_etc() -> Path:
    """Return the folder of the default configuration."""
    return shipped("etc", "etc")


def shipped_schemas() -> Path:
    """Return the folder of the JSON Schemas."""
    return shipped("schemas", "schemas")


def shipped_demo() -> Path:
    """Return the demo profile."""
    return shipped("demo", "profiles/greggles")


def read_recipe(name: str) -> str:
    """Return a shipped file of curator/recipes/: training scripts and launch recipes that exports carry along."""
    return (_PACKAGE / "recipes" / name).read_text("utf-8")

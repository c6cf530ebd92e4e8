"""What several commands share: the home, a table on stdout, and sizes that have a usual default."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from trainer.homes import find_home


def optional_home(given: str | None) -> Path | None:
    """Return the home, or None where none is named and none is found: the shipped settings count then."""
    if given or os.environ.get("CURATOR_HOME"):
        return find_home(given)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "profiles").is_dir()), None)


def default_hidden(dim: int) -> int:
    """Return llama2.c's size of the feed-forward part: two thirds of 4 dim, up to a multiple of 32."""
    return 32 * -(-int(2 * 4 * dim / 3) // 32)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Table(*heads)
    for row in rows:
        out.add_row(*(Text(cell) for cell in row))
    wide = None if sys.stdout.isatty() else 110
    Console(width=wide, emoji=False, highlight=False).print(out)

"""`curate docs`: the pages of the documentation, wherever the code was installed."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, next_step
from curator.contract.errors import HostError, printable, unknown_name

_LINK = re.compile(r"\[([^\[\]]*+)\]\((?!https?:)([^()#\s]*+)(?:#[^()]*+)?\)")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    docs = commands.add_parser(
        "docs",
        help="read the documentation",
        description="Show a page of the documentation: laid out on a terminal, its Markdown elsewhere.",
    )
    docs.add_argument("topic", nargs="?", metavar="TOPIC", help="a page (default: list them)")
    docs.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.contract.homes import shipped_docs  # here, since `curate --help` must not pay for it

    pages = {path.stem: path for path in sorted(shipped_docs().glob("*.md"), key=lambda path: path.stem)}
    if options.topic is None:
        width = max(map(len, pages), default=0)
        for name, path in pages.items():
            print(f"{name:{width}}  {title(_read(path))}")
        next_step(command_line("curate", "docs", "memories"), "shows the page of that name")
        return 0
    name = options.topic.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise unknown_name("topic", name, pages, "`curate docs` says what is in each")
    text = _read(pages[name])
    if sys.stdout.isatty():
        _show(text)
    else:
        print(text, end="")
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise HostError(f"{printable(str(path))}: {error.strerror}") from None


def title(page: str) -> str:
    """Return the heading of a page of Markdown."""
    return next((line.removeprefix("# ") for line in page.splitlines() if line.startswith("# ")), "")


def _show(page: str) -> None:
    from rich.markdown import Markdown

    from curator.contract.cli_frame import console

    console().print(Markdown(for_terminal(page), hyperlinks=False))


def for_terminal(page: str) -> str:
    """Return a page whose links to other pages say how these are read on a terminal; of other links, the text stays."""

    def told(link: re.Match[str]) -> str:
        text, target = link.groups()
        topic = target.removesuffix(".md")
        if topic == target or "/" in topic:
            return text
        return f"`curate docs {topic}`" if text == target else f"{text} (`curate docs {topic}`)"

    return _LINK.sub(told, page)

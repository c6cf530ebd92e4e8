"""A conversation on a terminal: who speaks, words that do not break at the edge, Ctrl-C that stops a reply."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from rich.cells import cell_len

YOU = "you › "


class Wrapped:
    """Writes text as it comes, whole words at a time, within `width` cells; lines after the first are indented.

    `mark` stands before the first line of each text; a text ends with an empty line. A word longer than a line is cut.
    """

    def __init__(self, write: Callable[[str], object], mark: str, width: int) -> None:
        self._write, self._mark = write, mark
        self._indent = cell_len(mark)
        self._width = max(width, self._indent + 20)
        self._word, self._blank, self._at = "", "", 0

    def __call__(self, text: str) -> None:
        """Take in a part of a text."""
        for char in text:
            if char == "\n":
                self._put()
                self._newline()
            elif char == " ":
                self._put()
                self._blank += char
            elif cell_len(char) > 1:  # Chinese and the like: a line may break behind each
                self._put()
                self._word = char
                self._put()
            else:
                self._word += char

    def _newline(self) -> None:
        self._write("\n")
        self._blank, self._at = "", 0

    def _put(self) -> None:
        if not self._word:
            return
        if self._at == 0:
            self._write(self._mark)
            self._mark, self._at, self._blank = " " * self._indent, self._indent, ""
        size = cell_len(self._word)
        if self._at > self._indent and self._at + len(self._blank) + size > self._width:
            self._write("\n" + " " * self._indent)
            self._at, self._blank = self._indent, ""
        self._write(self._blank)
        self._at += len(self._blank)
        for char in self._word:
            if self._at + cell_len(char) > self._width:
                self._write("\n" + " " * self._indent)
                self._at = self._indent
            self._write(char)
            self._at += cell_len(char)
        self._word, self._blank = "", ""


class Speaker:
    """Shows replies on a terminal, each behind the model's name."""

    def __init__(self, name: str, write: Callable[[str], object]) -> None:
        self._mark, self._write = f"{name} › ", write
        self._line: Wrapped | None = None

    def __call__(self, text: str) -> None:
        """Show a part of a reply; what ends in an empty line is the end of it."""
        if self._line is None:
            self._line = Wrapped(self._write, self._mark, shutil.get_terminal_size().columns)
        self._line(text)
        if text.endswith("\n\n"):
            self._line = None


def typed(log: Callable[[str], object]) -> Iterator[str]:
    """Yield lines of stdin until it ends; on a terminal with a prompt, and with readline where Python has it.

    There Ctrl-C leaves the line that was begun, and twice in a row it ends the conversation.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):  # not on every system
        import readline  # noqa: F401 - editing and history for input()
    prompt = YOU if sys.stdout.isatty() else ""
    interrupted = False
    while True:
        if not prompt:  # stdout is a file: it gets the replies alone
            print(YOU, end="", file=sys.stderr, flush=True)
        try:
            line = input(prompt)
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
            if interrupted:
                return
            interrupted = True
            log("Ctrl-C again, Ctrl-D or /quit ends the chat")
            continue
        interrupted = False
        yield line

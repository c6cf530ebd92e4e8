"""What every command of both programs does alike: errors and exit status, options, the console, progress.

Exit status: 0 done; 1 the job or its proof failed; 2 usage; 3 disk, memory, lock or permission; 130 and 143 stopped.
stdout carries the result, stderr all else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from curator.contract.errors import CuratorError, HostError, printable
from curator.contract.process.named_paths import names_path
from curator.contract.process.streams import OutputGone, check_open, ended, json_stream, owners_alone, take_over

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDTH = 80  # columns where no terminal says how wide it is
_LEAST_WIDTH = 40
Progress = Callable[[str, int, int], None]  # stage, steps done, steps in all (0: not known)
_WORD = re.compile(r"\S+\s*")


def leave(program: str, command: Callable[[], int]) -> NoReturn:
    """Run a program's command line as the whole of this process, and end it with the exit status.

    A result that stdout did not take is told in one line, and is status 3 where the command itself went well.
    """
    take_over()
    try:
        status = command()
    except SystemExit as end:  # argparse ends so, after --help too
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    if lost := ended():
        log(
            f"{program}: cannot write to stdout: {lost.strerror}\n  send it to where there is space, and may be written"
        )
        status = status or HostError.status
    sys.exit(status)


def guarded(program: str, command: Callable[[], int], stopped: str = "stopped", memory: str = "") -> int:
    """Run a command and return its exit status; an error that a user can mend is one message, never a traceback.

    `stopped` is printed after Ctrl-C or SIGTERM, `memory` is added to the message "out of memory".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII locale must not end a run that is published
    try:
        with stoppable(), owners_alone():
            code = command()
    except CuratorError as error:
        print(f"{program}: {harmless(str(error))}", file=sys.stderr)
        return error.status
    except OutputGone:
        return 0
    except OSError as error:
        shown = host_error(error)
        print(f"{program}: {harmless(str(shown))}", file=sys.stderr)
        return shown.status
    except KeyboardInterrupt as stop:
        code = stop_status(stop)
        if not isinstance(stop, Dismissed):
            print(f"{program}: {stopped}", file=sys.stderr)
    except MemoryError:
        print(f"{program}: out of memory{memory}", file=sys.stderr)
        return 3
    return code


class Dismissed(KeyboardInterrupt):
    """Stopped by a process that tells itself why: clean up, and say nothing."""


class _Stopped(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is: clean up, publish nothing."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end the job as Ctrl-C does, so that nothing half-made stays behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone may set signal handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def host_error(error: OSError) -> HostError:
    """Return what is shown of an OSError that is met where no command expects it: the machine's fault, no bug of ours.

    Raises the error itself where it is none of the operating system's.
    """
    if error.errno is None:
        raise error
    named = f"{printable(os.fspath(error.filename))}: " if isinstance(error.filename, str | os.PathLike) else ""
    step = "see that it is there, that you may read and write it, and that the disk has space"
    return HostError(f"{named}{error.strerror}", step)


def stop_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status of a command that was stopped: by Ctrl-C, or by the signal that `stop` names."""
    return stop.args[0] if stop.args and isinstance(stop.args[0], int) else 130


def harmless(text: str) -> str:
    """Return text whose control characters, which may come from a file, a plugin or a model, cannot steer a terminal.

    Newlines and blanks of any width stay.
    """
    return "".join(
        c if c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


# --- options -------------------------------------------------------------------------------------------------------


def whole_number(least: int) -> Callable[[str], int]:
    """Return a reader of an option's value: a whole number of `least` or more."""

    def read(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of {least} or more")
        return int(text)

    return read


positive, count = whole_number(1), whole_number(0)


def number(text: str) -> float:
    """Return an option's value as a number of 0 or more. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of 0 or more")
    return value


def share(text: str) -> float:
    """Return an option's value as a share from 0 to below 1. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0 to below 1, such as 0.05")
    return value


def score(text: str) -> float:
    """Return an option's value as a score from 0 to 100. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a score from 0 to 100, such as 50")
    return value


def home_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --home."""
    parser.add_argument(
        "--home", metavar="DIR", help="folder that holds profiles/ (default: $CURATOR_HOME, else the nearest upwards)"
    )


def json_option(parser: argparse.ArgumentParser, help_text: str = "print JSON") -> None:
    """Add --json, with `help_text` as its help."""
    parser.add_argument("--json", action="store_true", help=help_text)


class _PrintCompletion(argparse.Action):
    """Print the script that completes a program's commands, options and paths in a shell."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        import shtab

        _complete_paths(parser, shtab.FILE)
        print(shtab.complete(parser, values))
        parser.exit(0)


def _complete_paths(parser: argparse.ArgumentParser, how: Any) -> None:
    """Mark every option that names a file or folder, of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_paths(command, how)
        elif names_path(action):
            action.complete = how  # type: ignore[attr-defined]


def completion_option(parser: argparse.ArgumentParser) -> None:
    """Add --print-completion."""
    shells = ("bash", "zsh", "tcsh")
    parser.add_argument(
        "--print-completion", action=_PrintCompletion, choices=shells, metavar="SHELL",
        help=f"print the completion script for {', '.join(shells)}",
    )  # fmt: skip


# --- output --------------------------------------------------------------------------------------------------------


def console() -> Console:
    """Return the console for results: stdout, as wide as the terminal; piped, without colours and as wide."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(markup=True, emoji=False, highlight=False)
    return Console(width=_width(), emoji=False, highlight=False, force_terminal=False)


def _width() -> int:
    """Return the columns of a stdout that is no terminal: $COLUMNS, else those of the terminal at hand, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) >= _LEAST_WIDTH:
        return int(columns)
    for stream in (2, 0):  # `curate report | less`: stderr and stdin are still the terminal
        with suppress(OSError):
            return max(os.get_terminal_size(stream).columns, _LEAST_WIDTH)
    return WIDTH


def print_hanging(screen: Console, label: Text, text: Text) -> None:
    """Print a text behind its label, later lines indented as far; a word longer than a line, a path say, stays whole.

    On a terminal such a word is folded, for reading; piped, a line is as long as its longest word, for grep.
    """
    from rich.text import Text

    indent = label.cell_len
    width = max(screen.width - indent, _LEAST_WIDTH // 2)
    for paragraph in text.split("\n", allow_blank=True):
        if screen.is_terminal:
            lines = paragraph.wrap(screen, width, overflow="fold")
        else:
            lines = paragraph.divide(_line_starts(paragraph.plain, width))
        for line in lines or [Text()]:
            shown = Text.assemble(label, line)
            shown.rstrip()
            screen.print(shown, soft_wrap=True)
            label = Text(" " * indent)


def _line_starts(text: str, width: int) -> Iterator[int]:
    """Yield where lines begin, but the first, if words are put into lines of `width` columns and none is broken."""
    from rich.cells import cell_len

    used = 0
    for word in _WORD.finditer(text):
        if used and used + cell_len(word[0].rstrip()) > width:
            yield word.start()
            used = 0
        used += cell_len(word[0])


def print_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; nothing in it is markup, and no word is cut: piped, it is as wide as it needs."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen, body = console(), [list(row) for row in rows]
    table = Table()
    for column, head in enumerate(heads):
        cells = [head, *(row[column] for row in body)]
        words = " ".join(cells).split()
        if not column and max(map(cell_len, cells)) <= screen.width // 2:
            words = cells  # what a row is called is read in one piece
        table.add_column(head, overflow="fold", min_width=max(map(cell_len, words), default=None))
    if screen.is_terminal and table.__rich_measure__(screen, screen.options).minimum > screen.width:
        for one in table.columns:
            one.min_width = None
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    screen.print(table, crop=False)


def print_json(value: Any) -> None:
    """Print a value as one JSON document on stdout, see `json_alone`; msgspec's records are objects."""
    import msgspec

    plain = msgspec.json.decode(msgspec.json.encode(value))
    json_stream().write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def print_at_once(text: str) -> None:
    """Print a part of a text on stdout at once. Raises OutputGone where stdout takes no more."""
    print(text, end="", flush=True)
    check_open()


def log(text: str) -> None:
    """Print a line on stderr."""
    print(harmless(text), file=sys.stderr, flush=True)


# --- what comes next -----------------------------------------------------------------------------------------------

_MODULES = {"curate": "curator", "trainer": "trainer"}  # what `python -m` calls them


def called(program: str) -> str:
    """Return how the user can call a program ("curate", "trainer") from here, for a shell.

    By its name where the shell finds it; else as the running program was started: by its path, or with `python -m`.
    """
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name in _MODULES.values():
        return f"{shlex.quote(sys.executable)} -m {_MODULES[program]}"
    beside = started.with_name(program + started.suffix)
    found = shutil.which(program)
    if started.stem not in _MODULES or not beside.is_file() or (found and beside.samefile(found)):
        return program
    # A path without a slash would be looked for among the shell's programs.
    return shlex.quote(str(beside) if beside.is_absolute() or beside.parent != Path() else f"./{beside}")


def command_line(program: str, *words: str | Path) -> str:
    """Return a command that works when it is pasted into a shell: the program as `called`, its words quoted."""
    return " ".join([called(program), *(shlex.quote(str(word)) for word in words)])


def free_name(place: Path | str) -> str:
    """Return a path that is not taken: `place`, else with -2, -3, ... behind it."""
    free, number = str(place), 2
    while os.path.lexists(free):
        free, number = f"{place}-{number}", number + 1
    return free


def made(path: Path | str, what: str = "") -> None:
    """Say on stderr what a command has made, by its path."""
    log(f"made {path}" + (f": {what}" if what else ""))


def next_step(step: str, why: str = "") -> None:
    """Say on stderr what to do next: a command (see `command_line`) alone behind "next: ", to be pasted as it stands.

    `why` says what it does, on a line of its own.
    """
    log(f"next: {step}" + (f"\n      ({why})" if why else ""))


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def progress_bar(job: str = "") -> Iterator[Progress]:
    """Give a progress callback that draws on stderr once a job has taken a second, if that is a terminal.

    `job` stands before each stage: which of several jobs this is.
    """
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    begun = time.monotonic()
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    before = f"{job}: " if job else ""
    task = bar.add_task(f"{before}reading", total=None)

    def report(stage: str, done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1:
            bar.start()
        bar.update(task, description=before + stage, completed=done, total=total or None)

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()

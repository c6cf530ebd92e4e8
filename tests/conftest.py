"""What tests share: a small home made of the files a test names, and a way to run the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def usual_width() -> Iterator[None]:
    """No test depends on how wide the terminal is of whoever runs it: pytest-xdist says 80 columns in its workers."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("COLUMNS", raising=False)
        yield


def complaints(err: str) -> str:
    """Return what a command said on stderr, without what it made and what to do next."""
    lines = err.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("made ", "next: ", "      (")))


@dataclass(frozen=True)
class Result:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line of stdout: of `curate run`, the run's folder."""
        return self.out.strip().splitlines()[-1]

    @property
    def complaints(self) -> str:
        """stderr without what every command ends with: what it made, and what to do next."""
        return complaints(self.err)

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(self.last_line)


def run(curate: Callable[..., Result], home: Home, *options: object) -> Path:
    """Run on the home and return the run's folder."""
    result = curate("run", "--username", "ann", "--home", home.folder, *options)
    assert result.status == 0, result.err
    return result.run


def samples(folder: Path) -> list[dict[str, Any]]:
    """Return the curated samples of a run's folder."""
    return rows(folder / "curated_memories.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --run-workers N: each `curate run` of the tests works in N processes."""
    parser.addoption("--run-workers", metavar="N", default="", help="let each `curate run` work in N processes")


def in_process(
    run_command: Callable[[list[str]], int], capfd: pytest.CaptureFixture[str], workers: str = ""
) -> Callable[..., Result]:
    """A function that runs `PROGRAM ARGS` in this process; `curate run` with so many workers, unless it names some."""

    def command(*arguments: object) -> Result:
        capfd.readouterr()
        words = [str(argument) for argument in arguments]
        if workers and words[:1] == ["run"] and "--workers" not in words:
            words[1:1] = ["--workers", workers]
        try:
            status = run_command(words)
        except SystemExit as leave:  # argparse leaves so
            status = int(leave.code or 0)
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return command


@pytest.fixture
def curate(capfd: pytest.CaptureFixture[str], pytestconfig: pytest.Config) -> Callable[..., Result]:
    """Run `curate ARGS` in this process."""
    from curator.cli import run_command

    return in_process(run_command, capfd, pytestconfig.getoption("run_workers"))


def curate_once(*arguments: object) -> Result:
    """Run `curate ARGS` in this process, for what is made once for several tests; it must go well."""
    from curator.cli import run_command

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command([str(argument) for argument in arguments])
    assert status == 0, err.getvalue()
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture
def curate_process() -> Callable[..., Result]:
    """Run `curate ARGS` as a process of its own."""

    def command(*arguments: object, **options: Any) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "curator", *map(str, arguments)], capture_output=True, text=True, **options
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return command


class Home:
    """A home in a temporary folder with one profile, "ann", to which a test adds memories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profile = folder / "profiles" / "ann"
        self.episodic = self.profile / "memory" / "episodic"
        self.episodic.mkdir(parents=True)
        self._count = 0

    def take(self, other: Home) -> None:
        """Become a copy of another home, which was made once for several tests; a copy may be changed."""
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        self._count = other._count

    def memory(self, content: str = "", **keys: Any) -> Path:
        """Write one memory; minutes apart from the one before unless it names a timestamp. Returns its path."""
        self._count += 1
        day, minute = divmod(self._count, 1440)
        data = {
            "id": f"evt-{self._count:06}",
            "timestamp": f"2025-03-{1 + day:02}T{minute // 60:02}:{minute % 60:02}:00.000Z",
            "content": content,
            "type": "conversation",
        } | keys
        return self.file(f"2025/03/{1 + day:02}/{data['id']}.json", json.dumps(data, ensure_ascii=False))

    def file(self, name: str, text: str | bytes) -> Path:
        """Write a file of any content below memory/episodic."""
        path = self.episodic / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def config(self, name: str, data: Any) -> Path:
        """Write a file of etc/: text as it stands, anything else as JSON."""
        path = self.folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
        return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home with the profile "ann"."""
    return Home(tmp_path / "home")


def rows(path: Path) -> list[Any]:
    """Read a JSONL file or a JSON array."""
    text = path.read_text("utf-8")
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def real_data() -> Path:
    """The folder of real memories beside the checkout; the test is skipped where it is absent."""
    if not (SHARED / "data" / "sgd.jsonl.gz").is_file():
        pytest.skip(f"needs the real memories in {SHARED.name}/data beside the checkout, which are not there")
    return SHARED / "data"

"""Faults of the machine (hazards D, rows 15-18): a full disk, kill -9, two runs at once, missing permissions.

What must be true of them all: exit status 3, the path named, nothing of the failed run left, earlier runs untouched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import psutil
import pytest
from conftest import Home, Result, rows

Curate = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
# Root may read and write everything; without these two capabilities permissions count for root too.
AS_USER = "import ctypes\nfor capability in (1, 2): ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)\n"


def child(before: str, *arguments: object) -> Result:
    """Run `curate ARGS` as a process that has run the Python text `before` first."""
    code = f"import os, sys\n{before}\nos.execv(sys.executable, [sys.executable, '-m', 'curator', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    return Result(done.returncode, done.stdout, done.stderr)


def fill(home: Home, count: int) -> None:
    """Write `count` memories that are all kept."""
    for number in range(count):
        words = " ".join(f"w{number * 7919 % 9973:x}{letter}" for letter in "abcdefghijkl")
        home.memory(f"What of {number:x}?", response=f"It was {words}.")


def files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder with their bytes, but for the lock."""
    found = {
        str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    }
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith(".lock")}


def runs_of(home: Home) -> Path:
    """Return the folder of the home's runs."""
    return home.profile / "out" / "fine-tuned-models"


def check_failed(result: Result, path: Path) -> None:
    """Check how a command ends that the machine has let down."""
    assert result.status == 3, result
    assert "Traceback" not in result.err and "Exception ignored" not in result.err
    assert str(path) in result.err
    assert result.out == ""


# --- row 15 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 200, 5_000, 60_000])
def test_a_file_size_limit_ends_the_run_and_leaves_nothing(home: Home, curate: Curate, limit: int) -> None:
    """Row 15."""
    fill(home, 5)
    first = curate("run", "--username", "ann", "--home", home.folder)
    assert first.status == 0, first.err
    fill(home, 300)
    before = files(home.folder)
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    result = child(limited, "run", "--username", "ann", "--home", home.folder)
    check_failed(result, runs_of(home))
    assert "ulimit -f" in result.err
    assert files(home.folder) == before
    assert list(runs_of(home).glob("*/.*")) == []
    assert curate("validate", first.run, "--home", home.folder).status == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the program `mount`, which is not installed")
    if done.returncode:
        pytest.skip(f"needs root and leave to mount a tmpfs: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)  # lazily: a failed test may hold a file of it open


def test_a_full_disk_ends_the_run_and_leaves_nothing(home: Home, curate: Curate, small_disk: Path) -> None:
    """Row 15."""
    out = small_disk / "out"
    fill(home, 5)
    first = curate("run", "--username", "ann", "--home", home.folder, "--out", out)
    assert first.status == 0, first.err
    fill(home, 400)
    before = files(small_disk)
    result = curate("run", "--username", "ann", "--home", home.folder, "--out", out)
    check_failed(result, out)
    assert "No space left" in result.err and "--out" in result.err
    assert files(small_disk) == before
    assert curate("validate", first.run, "--home", home.folder).status == 0


@pytest.mark.parametrize("inodes", [2, 4, 9])
def test_a_disk_without_room_for_one_more_file_ends_the_run(
    home: Home, curate: Curate, small_disk: Path, inodes: int
) -> None:
    """Row 15: at the folder, at its first files, and at its last ones."""
    fill(home, 5)
    free = os.statvfs(small_disk).f_ffree
    for number in range(free - inodes):
        (small_disk / f"{number}").touch()
    before = files(small_disk)
    result = curate("run", "--username", "ann", "--home", home.folder, "--out", small_disk / "out")
    check_failed(result, small_disk / "out")
    assert files(small_disk) == before


def test_a_read_only_file_system_ends_the_run(home: Home, curate: Curate, small_disk: Path) -> None:
    """Rows 15 and 18."""
    fill(home, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    check_failed(curate("run", "--username", "ann", "--home", home.folder, "--out", small_disk / "out"), small_disk)


def test_an_out_that_is_a_file_ends_the_run(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 15."""
    fill(home, 1)
    out = tmp_path / "file"
    out.write_text("mine")
    check_failed(curate("run", "--username", "ann", "--home", home.folder, "--out", out), out)
    assert out.read_text() == "mine"


# --- row 16 ---------------------------------------------------------------------------------------------------------

MOMENTS: dict[str, Callable[[Path], bool]] = {
    "when the lock is taken": lambda runs: (runs / ".lock").exists(),
    "when the folder is made": lambda runs: any(runs.glob("*/.tmp-*")),
    "when the first files stand": lambda runs: any(runs.glob("*/.tmp-*/*.jsonl")),
    "when samples are written": lambda runs: any(path.stat().st_size for path in runs.glob("*/.tmp-*/lineage.jsonl")),
    "when the report is written": lambda runs: any(runs.glob("*/.tmp-*/report.json")),
    "when the summary is written": lambda runs: any(runs.glob("*/.tmp-*/run-summary.json")),
    "when the run is published": lambda runs: any(runs.glob("*/[0-9]*")),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose run takes long enough to be killed in the middle."""
    home = Home(tmp_path_factory.mktemp("many") / "home")
    fill(home, 600)
    return home


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_leaves_all_or_nothing_and_the_next_one_succeeds(many: Home, curate: Curate, moment: str) -> None:
    """Row 16."""
    runs = runs_of(many)
    out = runs.with_name(f"killed-{list(MOMENTS).index(moment)}")
    with subprocess.Popen(
        [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", many.folder, "--out", out],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
    ) as process:  # fmt: skip
        while process.poll() is None:
            try:
                if MOMENTS[moment](out):
                    break
            except FileNotFoundError:  # renamed between the listing and the look
                break
        process.kill()
    assert process.returncode in (-signal.SIGKILL, 0)
    for folder in out.glob("*/[!.]*"):
        assert curate("validate", folder, "--home", many.folder).status == 0
    result = curate("run", "--username", "ann", "--home", many.folder, "--out", out)
    assert result.status == 0, result.err
    assert curate("validate", result.run, "--home", many.folder).status == 0
    assert list(out.glob("*/.tmp-*")) == []


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_nothing(many: Home, tmp_path: Path, sent: signal.Signals, status: int) -> None:
    """Row 16, the mild way."""
    out_option = ("--out", tmp_path / "out")
    with subprocess.Popen(
        [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", many.folder, *out_option],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        # A shell starts what goes into the background with SIGINT ignored, and that is handed on to us.
        preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while process.poll() is None and not any(tmp_path.glob("out/*/.tmp-*")):
            pass
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, ""), err
    assert err == "curate: stopped; nothing was published\n"
    assert files(tmp_path) == {}


# --- row 17 ---------------------------------------------------------------------------------------------------------

WAITING = """
import time
from pathlib import Path
from curator import Filter, hookimpl

def wait(event):
    while not Path({go!r}).exists():
        time.sleep(0.01)

@hookimpl
def register_filters():
    return [Filter("wait", wait, on="memory")]
"""


def test_a_second_run_ends_at_once_and_names_the_first(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 17."""
    fill(home, 3)
    curate("run", "--username", "ann", "--home", home.folder, "--dry-run")  # what is timed below loads no module
    go = tmp_path / "go"
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "waiting.py").write_text(WAITING.format(go=str(go)))
    with subprocess.Popen(
        [sys.executable, "-m", "curator", "run", "--username", "ann", "--home", home.folder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while not any(runs_of(home).glob("*/.tmp-*")) and time.monotonic() < deadline:
                time.sleep(0.01)
            holder, *_ = psutil.Process(process.pid).children()  # its plugin is watched by the one that we began
            begun = time.monotonic()
            second = curate("run", "--username", "ann", "--home", home.folder)
            took = time.monotonic() - begun
        finally:
            go.touch()
        out, err = process.communicate(timeout=30)
    check_failed(second, runs_of(home))
    assert f"process {holder.pid}" in second.err
    assert took < 1
    assert process.returncode == 0, err
    assert curate("validate", out.strip().splitlines()[-1], "--home", home.folder).status == 0


def test_a_lock_that_something_else_holds_is_respected(home: Home, curate: Curate) -> None:
    """Row 17: the system's lock counts, not the note beside it."""
    fill(home, 1)
    runs_of(home).mkdir(parents=True)
    with filelock.FileLock(runs_of(home) / ".lock"):
        check_failed(curate("run", "--username", "ann", "--home", home.folder), runs_of(home))
        (runs_of(home) / ".lock.pid").write_bytes(b"\xff\x1b[31m")
        held = curate("run", "--username", "ann", "--home", home.folder)
        check_failed(held, runs_of(home))
        assert "\x1b" not in held.err
        assert list(runs_of(home).glob("*/*")) == []


def test_a_note_that_a_dead_process_left_holds_nobody_up(home: Home, curate: Curate) -> None:
    """Row 17."""
    fill(home, 1)
    runs_of(home).mkdir(parents=True)
    (runs_of(home) / ".lock").touch()
    (runs_of(home) / ".lock.pid").write_text("1")
    assert curate("run", "--username", "ann", "--home", home.folder).status == 0
    assert not (runs_of(home) / ".lock.pid").exists()


# --- row 18 ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def forbid() -> Iterator[Callable[[Path, int], None]]:
    """Take permissions away from a path until the test ends."""
    changed: list[tuple[Path, int]] = []

    def change(path: Path, mode: int) -> None:
        changed.append((path, path.stat().st_mode))
        path.chmod(mode)

    yield change
    for path, mode in reversed(changed):
        path.chmod(mode)


Forbid = Callable[[Path, int], None]


def as_user(*arguments: object) -> Result:
    """Run `curate ARGS` as somebody for whom permissions count."""
    return child(AS_USER if os.geteuid() == 0 else "", *arguments)


@pytest.fixture
def permissions_count(tmp_path: Path) -> None:
    """Skip where a process that gave up its capabilities can still read everything."""
    secret = tmp_path / "secret"
    secret.touch(mode=0)
    code = f"import os, sys\n{AS_USER if os.geteuid() == 0 else ''}\nos.execv('/bin/cat', ['cat', {str(secret)!r}])"
    if subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0:
        pytest.skip("needs a user for whom permissions count: root could not give up CAP_DAC_OVERRIDE here")


@pytest.mark.usefixtures("permissions_count")
def test_a_read_only_out_ends_the_run(home: Home, tmp_path: Path, forbid: Forbid) -> None:
    """Row 18."""
    fill(home, 1)
    out = tmp_path / "out"
    out.mkdir()
    forbid(out, 0o555)
    check_failed(as_user("run", "--username", "ann", "--home", home.folder, "--out", out), out)
    assert list(out.iterdir()) == [] and out.stat().st_mode & 0o777 == 0o555


@pytest.mark.usefixtures("permissions_count")
def test_a_read_only_profile_can_be_read_from_and_says_how(home: Home, tmp_path: Path, forbid: Forbid) -> None:
    """Row 18."""
    fill(home, 3)
    for path in [*home.profile.rglob("*"), home.profile]:
        forbid(path, 0o444 if path.is_file() else 0o555)
    refused = as_user("run", "--username", "ann", "--home", home.folder)
    check_failed(refused, home.profile)
    assert "--out" in refused.err
    result = as_user("run", "--username", "ann", "--home", home.folder, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert len(rows(result.run / "curated_memories.json")) == 3


@pytest.mark.usefixtures("permissions_count")
def test_what_may_not_be_read_is_counted_and_the_rest_is_used(home: Home, forbid: Forbid) -> None:
    """Row 18: a file, a folder that cannot be listed, and one whose files cannot be opened."""
    fill(home, 2)
    forbid(home.file("2024/a.json", "{}"), 0)
    forbid(home.file("2024/closed/b.json", "{}").parent, 0)
    forbid(home.file("2024/listed/c.json", "{}").parent, 0o444)
    result = as_user("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    dropped = {one["path"]: one["reason"] for one in rows(result.run / "dropped.jsonl")}
    paths = ("2024/a.json", "2024/closed", "2024/listed/c.json")
    assert dropped == {f"memory/episodic/{path}": "unreadable" for path in paths}
    assert json.loads((result.run / "report.json").read_bytes())["memories_used"] == 2


@pytest.mark.usefixtures("permissions_count")
@pytest.mark.parametrize("name", ["etc/curate.json", "persona/users.json", "profiles/ann/persona/core.json"])
def test_a_settings_file_that_may_not_be_read_makes_no_traceback(home: Home, forbid: Forbid, name: str) -> None:
    """Row 18."""
    fill(home, 1)
    path = home.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    forbid(path, 0)
    result = as_user("run", "--username", "ann", "--home", home.folder)
    assert "Traceback" not in result.err
    assert result.status == (2 if name.startswith("etc") else 0)
    assert name in result.err or not result.status


@pytest.mark.usefixtures("permissions_count")
def test_profiles_that_may_not_be_listed_make_no_traceback(home: Home, forbid: Forbid) -> None:
    """Row 18."""
    forbid(home.folder / "profiles", 0)
    result = as_user("run", "--username", "ann", "--home", home.folder)
    assert result.status in (2, 3) and "Traceback" not in result.err


def test_a_run_needs_no_environment(home: Home, curate_process: Curate) -> None:
    """Row 18: no HOME, no PATH, no LANG."""
    fill(home, 1)
    result = curate_process("run", "--username", "ann", "--home", home.folder, env={}, cwd=ROOT)
    assert result.status == 0, result.err

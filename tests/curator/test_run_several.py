"""`curate run --all` and `--username ann,ben`: each profile as if it were alone, one table, one exit status."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import filelock
import pytest
from conftest import ROOT, Home, Result, samples
from encrypted_fixtures import PASSWORD, Sealer, memory, password_file
from rich.cells import cell_len

import curator.run
from curator.cli import build_parser
from curator.contract.homes import RUNS, all_profiles
from curator.contract.records import REPORT_PAGE, SUMMARY
from curator.encryption.password import VARIABLE

Curate = Callable[..., Result]
# A plugin that does something at a memory of the profile ben.
AT_BEN: Final = """
import os, signal, sys, time
from curator import Filter, hookimpl


def at(event):
    if "ben" in (event.response or ""):
        {does}


@hookimpl
def register_filters():
    return [Filter("at_ben", at, "memory")]
"""


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test takes the password of whoever runs it."""
    monkeypatch.delenv(VARIABLE, raising=False)


def profile(home: Home, name: str, memories: int = 3) -> Path:
    """Give a home a profile with some memories."""
    folder = home.folder / "profiles" / name
    for day in range(1, memories + 1):
        path = folder / "memory" / "episodic" / f"evt-{day}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(memory(f"On day {day} {name} came by and painted boat number {day * 7}.", day))
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def three(home: Home) -> Home:
    """A home with ann and ben, who have memories, and cy, who has none."""
    for name, memories in (("ben", 4), ("cy", 0), ("ann", 3)):
        profile(home, name, memories)
    return home


def plugin(home: Home, does: str) -> None:
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "at_ben.py").write_text(AT_BEN.format(does=does))
    home.config("curate.json", {"plugins": {"home_plugins": True}})


def table(out: str) -> list[list[str]]:
    """The cells of each row of the table."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]


def folders(out: str) -> list[Path]:
    """The folders that stand below the table."""
    return [Path(line) for line in out.partition("┘\n")[2].splitlines()]


def runs_of(home: Home, name: str) -> list[Path]:
    """The published runs of a profile; there must be no other folder."""
    found = sorted((home.folder / "profiles" / name / RUNS).glob("*/*/"))
    assert all((run / SUMMARY).is_file() for run in found), found
    return found


def contents(run: Path) -> dict[str, bytes]:
    """The bytes of a run's files but for the one that holds the clock, of which only what has none is compared."""
    found = {path.name: path.read_bytes() for path in run.iterdir() if path.name != SUMMARY}
    summary = json.loads((run / SUMMARY).read_bytes())
    without = {key: value for key, value in summary.items() if key not in ("created", "label")}
    return found | {SUMMARY: json.dumps(without).encode()}


def next_words(err: str) -> list[list[str]]:
    """The words of each command that is said to come next, from the program's name on."""
    lines = [line.removeprefix("next: ") for line in err.splitlines() if line.startswith("next: ")]
    return [shlex.split(line) for line in lines]


def failures(err: str) -> list[str]:
    return [line.removeprefix("curate: ") for line in err.splitlines() if line.startswith("curate: ")]


# --- a set of each ---------------------------------------------------------------------------------------------------


def test_all_profiles_get_a_set_and_one_that_fails_stops_no_other(three: Home, curate: Curate, tmp_path: Path) -> None:
    (three.folder / "profiles" / "a,b").mkdir()  # a name with a comma is no user's
    (three.folder / "profiles" / ".cache").mkdir()
    (three.folder / "profiles" / "ben" / "memory" / "episodic" / "evt-9.json.enc").write_bytes(b"?")
    done = curate("run", "--all", "--home", three.folder)
    assert done.status == 1
    assert table(done.out) == [
        ["ann", "3", "3", "0", "made"], ["ben", "5", "4", "0", "made, 1 warning"],
        ["cy", "0", "0", "0", "failed"],
    ]  # fmt: skip
    (ann,), (ben,) = runs_of(three, "ann"), runs_of(three, "ben")
    assert folders(done.out) == [ann, ben] and runs_of(three, "cy") == []
    (failure,) = failures(done.err)
    assert failure.startswith("cy: no memory was found in ") and "\n  curate docs memories " in done.err
    assert "no user is called so: 'a,b'\n" in done.err
    assert re.findall(r"^profile (.*)$", done.err, re.MULTILINE) == ["ann (1 of 3)", "ben (2 of 3)", "cy (3 of 3)"]
    assert f"made {ann / REPORT_PAGE}: the report of ann" in done.err and f"made {ben / REPORT_PAGE}" in done.err
    report, finetune, export, again = next_words(done.err)
    assert report[1:4] == ["report", "--username", "ben"] and finetune[1:4] == ["finetune", "--profile", "ben"]
    assert export[1] == "export" and again[1:] == ["run", "--username", "cy", "--home", str(three.folder)]
    assert curate(*report[1:]).run == ben, "the one with the warning"
    for name, run in (("ann", ann), ("ben", ben)):
        alone = curate("run", "--username", name, "--home", three.folder, "--out", tmp_path / name).run
        assert contents(alone) == contents(run)


def test_those_named_get_a_set_in_the_order_given_each_once(three: Home, curate: Curate) -> None:
    done = curate("run", "--home", three.folder, "--usern=ben, bne,ann,ben", "--max", 2, "--holdout", "0")
    assert done.status == 2
    assert table(done.out) == [
        ["ben", "4", "2", "0", "made"], ["bne", "-", "-", "-", "failed"],
        ["ann", "3", "2", "0", "made"],
    ]  # fmt: skip
    assert folders(done.out) == [*runs_of(three, "ben"), *runs_of(three, "ann")]
    (failure,) = failures(done.err)
    assert failure == "bne: unknown user 'bne': expected one of ann, ben, cy" and "Did you mean 'ben'?" in done.err
    assert not any("bne" in " ".join(words) for words in next_words(done.err)), "a typo is not tried again"


def test_one_failure_of_all_is_told_once(three: Home, curate: Curate) -> None:
    done = curate("run", "--all", "--home", three.folder, "--mode", "dreams")
    assert done.status == 2
    assert failures(done.err) == ["ann, ben, cy: unknown mode 'dreams': expected one of agent, dual, emulation"]
    (again,) = next_words(done.err)
    assert again[1:] == ["run", "--username", "ann,ben,cy", "--home", str(three.folder), "--mode", "dreams"]


def test_json_is_one_object(three: Home, curate: Curate) -> None:
    done = curate("run", "--username", "ann,cy,no body", "--home", three.folder, "--json")
    assert done.status == 2
    (runs,) = json.loads(done.out).values()
    (ann,) = runs_of(three, "ann")
    first, second, third = runs
    assert first == {"username": "ann", "run": str(ann), "error": None,
                     "report": json.loads((ann / "report.json").read_bytes())}  # fmt: skip
    assert (second["username"], second["run"], second["report"]["memories"]) == ("cy", None, 0)
    assert second["error"]["what"].startswith("no memory was found")
    assert second["error"]["next"].startswith("curate docs memories ")
    assert (third["run"], third["report"]) == (None, None)
    assert third["error"]["what"] == "--username 'no body' is no user name"
    assert len(failures(done.err)) == 2


def test_the_exit_status_is_the_highest_that_occurred(three: Home, curate: Curate) -> None:
    folder = three.folder / "profiles" / "ann" / RUNS
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock"):
        done = curate("run", "--username", "nobody,ann,cy,ben", "--home", three.folder)
    assert done.status == 3, "2 of nobody, 3 of ann, 1 of cy, 0 of ben"
    assert [row[-1] for row in table(done.out)] == ["failed", "failed", "failed", "made"]
    assert failures(done.err)[1].startswith("ann: another run holds ")
    assert runs_of(three, "ann") == [] and len(runs_of(three, "ben")) == 1
    assert next_words(done.err)[-1][1:4] == ["run", "--username", "ann,cy"]
    assert curate("run", "--username", "ann,ben", "--home", three.folder).status == 0


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--all", "--username", "ann"), "not allowed with argument --a"),
        (("--all", "--source", "chat.jsonl"), "--source names the memories of one profile"),
        (("--username", "ann,ben", "--since", "out/some-run"), "--since out/some-run names a run of one profile"),
        (("--username", "ann,"), "a name is missing beside a comma\n  commas stand between names, as in ann,ben"),
        (("--username", ","), "a name is missing beside a comma"),
        (("--all", "--old-samples", "3"), "--old-samples needs --days-recent"),
        (("--all", "--password-file", "/dev/null/none"), "the file that --password-file names cannot be read"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    three: Home, curate: Curate, options: tuple[str, ...], why: str
) -> None:
    done = curate("run", "--home", three.folder, *options)
    assert (done.status, done.out) == (2, "") and why in done.err.replace("argument --username: ", "argument --a")
    assert not list(three.folder.glob("profiles/*/out"))


def test_all_of_none_is_an_error_with_a_next_step(home: Home, curate: Curate) -> None:
    home.profile.rename(home.folder / "profiles" / "no user's name")
    done = curate("run", "--all", "--home", home.folder)
    assert (done.status, done.out) == (2, "")
    assert f"there is no profile in {home.folder / 'profiles'}\n  put one there" in done.err and " --demo" in done.err


def test_all_are_those_kept_elsewhere_too(three: Home, tmp_path: Path) -> None:
    (three.folder / "persona").mkdir()
    users = [{"username": name, "metadata": {"profileStorage": {"path": str(tmp_path)}}} for name in ("bob", "a,b")]
    (three.folder / "persona" / "users.json").write_text(json.dumps({"users": users}))
    assert all_profiles(three.folder) == ["ann", "ben", "bob", "cy"]


def test_since_latest_is_of_each_its_own(three: Home, curate: Curate) -> None:
    assert curate("run", "--username", "ann", "--home", three.folder).status == 0
    profile(three, "ann", 5)
    done = curate("run", "--username", "ann,ben", "--home", three.folder, "--since", "latest")
    assert done.status == 2
    assert [row[:3] for row in table(done.out)] == [["ann", "5", "2"], ["ben", "-", "-"]]
    assert failures(done.err)[0].startswith("ben: there is no run of ben in ")


def test_with_out_each_has_a_folder_of_its_own(three: Home, curate: Curate, tmp_path: Path) -> None:
    out = tmp_path / "sets"
    done = curate("run", "--all", "--home", three.folder, "--out", out)
    assert [run.parents[1] for run in folders(done.out)] == [out / "ann", out / "ben"]
    assert not list(three.folder.glob("profiles/*/out/fine-tuned-models"))
    report, *_, again = next_words(done.err)
    assert curate(*report[1:]).run == folders(done.out)[0]
    profile(three, "cy", 3)
    assert curate(*again[1:]).run.parents[1] == out / "cy", "where it would have gone among the others"


def test_a_dry_run_writes_nothing_and_says_how_to_write(three: Home, curate: Curate) -> None:
    before = set(three.folder.rglob("*"))
    done = curate("run", "--username", "ann,ben", "--home", three.folder, "--dry-run", "--seed", 7)
    assert done.status == 0 and set(three.folder.rglob("*")) == before
    assert [row[-1] for row in table(done.out)] == ["dry run"] * 2
    assert done.last_line == "dry run: nothing was written"
    (again,) = next_words(done.err)
    assert again[1:] == ["run", "--username", "ann,ben", "--home", str(three.folder), "--seed", "7"]


# --- encrypted profiles ----------------------------------------------------------------------------------------------


def encrypt(folder: Path, password: str = PASSWORD) -> None:
    """Encrypt the memories of a profile."""
    sealer = Sealer(password)
    sealer.lock(folder)
    for path in folder.rglob("evt-*.json"):
        path.with_name(path.name + ".enc").write_bytes(sealer.envelope(path.read_bytes()))
        path.unlink()


class Terminal(io.StringIO):
    """A stdin at which somebody sits."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_the_password_is_tried_on_each(three: Home, curate: Curate, tmp_path: Path, piped: bool) -> None:
    for name, password in (("ann", PASSWORD), ("ben", "another"), ("cy", PASSWORD)):
        encrypt(profile(three, name), password)
    file = password_file(tmp_path)
    if piped:  # as of <(pass show metahuman), which can be read once
        ours, theirs = os.pipe()
        os.write(theirs, file.read_bytes())
        os.close(theirs)
        file = Path(f"/dev/fd/{ours}")
    done = curate("run", "--all", "--home", three.folder, "--password-file", file)
    assert done.status == 2
    assert [(row[0], row[2], row[-1]) for row in table(done.out)] == [
        ("ann", "3", "made, 1 warning"), ("ben", "-", "failed"), ("cy", "3", "made, 1 warning"),
    ]  # fmt: skip
    assert failures(done.err)[0].startswith("ben: wrong password for ")
    assert PASSWORD not in done.err + done.out


def test_the_password_is_asked_of_each_that_is_encrypted(
    three: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords, asked = {"ann": "first", "cy": "second"}, []
    for name, password in passwords.items():
        encrypt(profile(three, name), password)

    def getpass(prompt: str) -> str:
        asked.append(prompt.partition("profile ")[2].split()[0])
        return passwords[asked[-1]]

    monkeypatch.setattr("getpass.getpass", getpass)
    monkeypatch.setattr(sys, "stdin", Terminal())
    done = curate("run", "--all", "--home", three.folder)
    assert done.status == 0, done.err
    assert asked == ["ann", "cy"]
    assert samples(runs_of(three, "cy")[0])[0]["assistant_text"].startswith("On day 1 cy came by")


# --- stopped, and what nobody expects --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_all_stop_and_nothing_half_made_is_left(
    three: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, name: str, status: int
) -> None:
    monkeypatch.setenv("WHO_RUNS", str(os.getpid()))  # the plugin itself works in a process of its own
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, ours))
    plugin(three, f"os.kill(int(os.environ['WHO_RUNS']), signal.{name}), time.sleep(9)")
    before = signal.getsignal(signal.SIGTERM)
    done = curate("run", "--all", "--home", three.folder, "--workers", 1)
    assert done.status == status and signal.getsignal(signal.SIGTERM) is before
    assert [row[-1] for row in table(done.out)] == ["made", "stopped", "stopped"]
    assert folders(done.out) == runs_of(three, "ann") and runs_of(three, "ben") == []
    assert not list(three.folder.glob("profiles/*/out/fine-tuned-models/*/.tmp-*"))
    assert failures(done.err) == ["ben, cy: stopped; nothing more was published"]
    assert f"make what is missing with: curate run --username ben,cy --home {three.folder} --workers 1" in done.err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "some/file"), "ben: some/file: Permission denied"),
        (MemoryError(), "ben: out of memory; nothing was published"),
    ],
    ids=["disk", "memory"],
)
def test_the_machine_that_fails_one_does_not_stop_the_others(
    three: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    fail_at_ben(monkeypatch, error)
    done = curate("run", "--username", "ann,ben,ann", "--home", three.folder)
    assert done.status == 3 and failures(done.err) == [told]
    assert [row[-1] for row in table(done.out)] == ["made", "failed"]


def test_a_bug_keeps_its_traceback_and_stops(three: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at_ben(monkeypatch, ValueError("a bug of ours"))
    with pytest.raises(ValueError, match="a bug of ours"):
        curate("run", "--all", "--home", three.folder)
    assert len(runs_of(three, "ann")) == 1 and runs_of(three, "ben") == []


def fail_at_ben(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    made = curator.run.run

    def run(request: curator.run.Request, progress: Any) -> curator.run.Outcome:
        if request.username == "ben":
            raise error
        return made(request, progress)

    monkeypatch.setattr(curator.run, "run", run)


def test_debug_shows_what_a_plugin_raised(three: Home, curate: Curate) -> None:
    plugin(three, "raise KeyError('no such boat')")
    done = curate("run", "--username", "ben,ann", "--home", three.folder, "--debug")
    assert done.status == 1 and len(runs_of(three, "ann")) == 1
    assert "Traceback" in done.err and "KeyError: 'no such boat'" in done.err
    assert failures(done.err)[0].startswith("ben: plugin 'at_ben'")


# --- how it looks ----------------------------------------------------------------------------------------------------


def test_the_table_fits_into_80_columns_and_a_folder_is_one_piece(three: Home, curate: Curate) -> None:
    name = "ada.of.the-old-harbour.beside"
    profile(three, name)
    done = curate("run", "--username", f"{name},cy", "--home", three.folder)
    assert [row[0] for row in table(done.out)] == [name, "cy"]
    above, _, below = done.out.partition("┘\n")
    assert max(map(cell_len, above.splitlines())) <= 80
    assert below == f"{runs_of(three, name)[0]}\n"


def test_progress_says_which_profile_it_is_at(three: Home) -> None:
    """At a terminal, where a bar is drawn after a second; the table there folds a name that is too long for it."""
    plugin(three, "time.sleep(1.3 if event.id == 'evt-20250301' else 0)")
    name = "ben" + 61 * "n"
    profile(three, name, 1)
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "curator",
        "run",
        "--username",
        f"{name},cy",
        "--home",
        three.folder,
        "--workers=1",
    ]
    environment = dict(os.environ) | {"COLUMNS": "80", "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while piece := read(ours):
        shown += piece
    os.close(ours)
    assert process.wait() == 1
    text = shown.decode()
    assert f"{name} (1 of 2)" in text.partition("failed; why")[0]
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)
    assert re.search(r"ben[n\s]+\(1 of 2\):\s", plain), "before the stage, on the bar"
    rows = [line.strip("\r") for line in plain.split("\n") if line.startswith(("│", "┏", "└"))]
    assert len(rows) > 4 and max(map(cell_len, rows)) <= 80


def read(terminal: int) -> bytes:
    """Read what a program wrote to its terminal; nothing once it has ended."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_help_and_completion_know_it() -> None:
    options = build_parser().parse_args(["run", "--all"])
    assert (options.all, options.username) == (True, None)
    done = subprocess.run(
        [sys.executable, "-m", "curator", "--print-completion", "bash"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "--all" in done.stdout

"""What the path of an option may lead to, links out of the home, and what "the latest" is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, run
from every_command_fixtures import MODULES, parsers

from curator.contract.files import Unreadable, open_file, read_once
from curator.contract.homes import latest_run
from curator.contract.process.named_paths import check_paths, names_path

Curate = Callable[..., Result]
OPTIONS = [
    (words, action.option_strings[-1] if action.option_strings else action.dest)
    for program in MODULES
    for words, parser in parsers(program)
    for action in parser._actions
    if names_path(action) and action.dest != "password_file"
]


def odd(folder: Path, kind: str) -> Path:
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif kind == "link":
        os.mkfifo(folder / "behind")
        path.symlink_to("behind")
    else:
        return Path("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "device"])
def test_every_option_that_names_a_path_refuses_what_is_no_file(kind: str, tmp_path: Path) -> None:
    """Found by the parsers: an option of a new command is tried of itself."""
    import argparse

    from curator.contract.errors import UsageError

    assert len(OPTIONS) > 50
    path = odd(tmp_path, kind)
    for program in MODULES:
        for words, parser in parsers(program):
            for action in parser._actions:
                if names_path(action) and action.dest != "password_file":
                    value = [path] if action.nargs in ("+", "*") else path
                    with pytest.raises(UsageError) as caught:
                        check_paths(parser, (), argparse.Namespace(**{action.dest: value}))
                    assert str(path) in str(caught.value), words
                    assert "expected a file" in str(caught.value) and caught.value.next_step


@pytest.mark.parametrize("option", ["--source", "--schema"])
def test_a_pipe_as_a_file_is_refused_at_once(option: str, curate_process: Curate, home: Home) -> None:
    home.memory("Where is it?", response="It is there.")
    pipe = odd(home.folder, "pipe")
    words = ("run", "--username", "ann", "--home", home.folder, option, pipe)
    done = curate_process(*words, timeout=20)
    assert done.status == 2 and done.out == "" and "named pipe" in done.err
    folder = curate_process(*words[:-1], home.folder / "profiles", timeout=20)
    assert folder.status == 2 or option == "--source"


def test_a_pipe_in_a_file_of_the_home_hangs_nothing(curate_process: Curate, home: Home) -> None:
    home.memory("Where is it?", response="It is there.")
    (home.folder / "etc").mkdir()
    os.mkfifo(home.folder / "etc" / "curate.json")
    done = curate_process("run", "--username", "ann", "--home", home.folder, timeout=20)
    assert done.status == 2 and "pipe" in done.err and "Traceback" not in done.err
    with pytest.raises(OSError, match="pipe"):
        open_file(home.folder / "etc" / "curate.json")


@pytest.mark.parametrize("place", ["memory", "memory/episodic/runs", "persona/therapy/x"])
def test_nothing_is_written_among_the_memories(place: str, curate: Curate, home: Home) -> None:
    home.memory("Where is it?", response="It is there.")
    made = run(curate, home)
    (home.folder / "linked").symlink_to(home.profile)
    for out in (home.profile / place, home.folder / "linked" / place):
        for words in (("run", "--username", "ann", "--home", home.folder), ("export", made, "--to", "trl")):
            done = curate(*words, "--out", out)
            assert done.status == 2 and "never written to" in done.err, done.err
    assert not (home.profile / "memory" / "episodic" / "runs").exists()


@pytest.mark.parametrize("what", ["profile", "memory", "memory/episodic"])
def test_links_out_of_the_home(what: str, curate: Curate, home: Home, tmp_path: Path) -> None:
    home.memory("Where is it?", response="It is there.")
    inside = home.profile if what == "profile" else home.profile / what
    inside.rename(tmp_path / "elsewhere")
    inside.symlink_to(tmp_path / "elsewhere")
    words = ("run", "--username", "ann", "--home", home.folder, "--out", tmp_path / "out")
    refused = curate(*words)
    assert refused.status in (1, 2) and not list((tmp_path / "out").rglob("*.json*")), refused.err
    if what == "profile":
        assert "leads out of the home" in refused.err and "links_out_of_home" in refused.err
    home.config("curate.json", {"links_out_of_home": "follow"})
    followed = curate(*words)
    assert followed.status == 0, followed.err
    assert json.loads((followed.run / "report.json").read_text("utf-8"))["samples"] == 1


def test_the_latest_run_is_no_matter_of_the_clock(curate: Curate, home: Home) -> None:
    home.memory("Where is it?", response="It is there.")
    first, second = run(curate, home), run(curate, home, "--seed", 7)
    path = first / "run-summary.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"created": "2999-01-01T00:00:00+00:00"}), "utf-8")
    os.utime(path, (4e9, 4e9))
    assert latest_run(home.profile) == second
    assert latest_run(home.profile) != first


@pytest.mark.parametrize("value", [1.5, -0.1, 7, "high", True])
def test_an_odd_importance_is_noted(value: object, curate: Curate, home: Home) -> None:
    home.memory("Where is it?", response="It is there.", importance=value)
    home.memory("Where was it?", response="It was on the shelf.", importance=0.5)
    report = json.loads((run(curate, home) / "report.json").read_text("utf-8"))
    assert [note for note in report["notices"] if note.startswith("1 memory") and "importance" in note]


@pytest.mark.parametrize("how", ["written", "replaced", "deleted"])
def test_a_file_that_changes_while_it_is_read(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    path.write_bytes(b"old")
    original, times = os.read, [0]

    def read(handle: int, size: int) -> bytes:
        data = original(handle, size)
        times[0] += 1
        if times[0] <= most:
            if how == "written":
                path.write_bytes(b"new")
                os.utime(path, ns=(0, 1_000_000 * (times[0] + most)))
            else:
                other.write_bytes(b"new")
                path.unlink()
                if how == "replaced":
                    other.rename(path)
        return data

    monkeypatch.setattr(os, "read", read)
    most = 1
    if how == "deleted":
        with pytest.raises(Unreadable):
            read_once(str(path), 100)
        return
    assert read_once(str(path), 100) == b"new"
    times[0], most = 0, 9
    with pytest.raises(Unreadable) as caught:
        read_once(str(path), 100)
    assert caught.value.reason == "changed"

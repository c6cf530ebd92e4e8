"""The words of a command that a program names: they work when they are pasted where the user is."""

from __future__ import annotations

import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Home

from curator.contract.cli_frame import called, command_line, free_name, made, next_step
from curator.contract.dialogue_files import shape_of
from curator.contract.errors import HostError, UsageError, disk_error
from curator.contract.files import refuse_existing
from curator.contract.homes import chosen_profile, named_home


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder, as an installation's, with both programs."""
    folder = tmp_path / "my bin"
    folder.mkdir()
    for name in ("curate", "trainer"):
        (folder / name).write_text("#!/bin/sh\necho $0\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("started", ["curate", "trainer"])
def test_a_program_off_the_path_is_called_by_its_path(
    programs: Path, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(programs / started), "run"])
    for name in ("curate", "trainer"):
        assert called(name) == f"'{programs / name}'"
    done = subprocess.run(command_line("trainer", "chat", "a b"), shell=True, capture_output=True, text=True)
    assert done.stdout == f"{programs / 'trainer'}\n"


def test_a_program_on_the_path_is_called_by_its_name(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(programs / "curate")])
    monkeypatch.setenv("PATH", str(programs))
    assert (called("curate"), called("trainer")) == ("curate", "trainer")
    other = programs.parent / "other"
    other.mkdir()
    (other / "trainer").write_text("")
    (other / "trainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:{programs}")
    assert called("trainer") == f"'{programs / 'trainer'}'", "what the shell would find is another one"


def test_a_program_of_this_folder_is_called_with_its_folder(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(programs)
    monkeypatch.setattr(sys, "argv", ["curate"])
    monkeypatch.setenv("PATH", "")
    assert called("trainer") == "./trainer"
    monkeypatch.setattr(sys, "argv", ["../my bin/curate"])
    assert called("trainer") == "'../my bin/trainer'"


def test_a_module_is_called_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/curator/__main__.py", "run"])
    assert called("trainer") == f"{shlex.quote(sys.executable)} -m trainer"
    assert called("curate") == f"{shlex.quote(sys.executable)} -m curator"


def test_words_are_quoted_and_the_command_stands_alone_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    made(Path("a b/report.html"), "the report")
    next_step(command_line("curate", "run", "--home", Path("it's $HOME")), "makes a set")
    err = capsys.readouterr().err
    assert err == (
        "made a b/report.html: the report\nnext: curate run --home 'it'\"'\"'s $HOME'\n      (makes a set)\n"
    )
    command = err.splitlines()[1].removeprefix("next: ")
    assert shlex.split(command) == ["curate", "run", "--home", "it's $HOME"]


def test_a_free_name_is_one_that_nothing_has(tmp_path: Path) -> None:
    assert free_name(tmp_path / "x") == str(tmp_path / "x")
    (tmp_path / "x").mkdir()
    (tmp_path / "x-2").symlink_to("nowhere")
    assert free_name(tmp_path / "x") == str(tmp_path / "x-3")


def test_the_home_is_named_only_where_it_would_not_be_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATOR_HOME", raising=False)
    monkeypatch.chdir(home.folder.parent)
    assert named_home(home.folder) == ("--home", str(home.folder))
    monkeypatch.chdir(home.profile)
    assert named_home(home.folder) == () == named_home(None)
    monkeypatch.chdir(home.folder.parent)
    monkeypatch.setenv("CURATOR_HOME", str(home.folder))
    assert named_home(home.folder) == ()
    monkeypatch.setenv("CURATOR_HOME", str(home.folder / "nowhere"))
    assert named_home(home.folder) == ("--home", str(home.folder))


# --- the only profile ------------------------------------------------------------------------------------------------


def test_the_only_profile_need_not_be_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.folder / "profiles" / ".git").mkdir()
    assert chosen_profile(home.folder, None) == "ann"
    assert capsys.readouterr().err == f"profile ann: the only one in {home.folder}\n"
    assert chosen_profile(home.folder, "bea") == "bea"
    assert capsys.readouterr().err == ""


def test_several_profiles_are_listed_with_the_option(home: Home, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (home.folder / "persona").mkdir()
    users = [{"username": "zoe", "metadata": {"profileStorage": {"path": str(away)}}}, {"username": "nobody"}]
    (home.folder / "persona" / "users.json").write_text(json.dumps({"users": users}))
    with pytest.raises(UsageError, match="which profile") as caught:
        chosen_profile(home.folder, None, "--profile")
    assert caught.value.next_step == "add one of\n  --profile ann\n  --profile zoe"


def test_no_profile_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    with pytest.raises(UsageError, match="there is no profile in") as caught:
        chosen_profile(tmp_path, None)
    assert caught.value.next_step.endswith(f"curate init {tmp_path} --demo")


# --- no option that the command lacks --------------------------------------------------------------------------------


def test_only_an_option_that_is_there_is_advised(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO):
        error = disk_error(OSError(number, "no"), "cannot write", tmp_path)
        assert isinstance(error, HostError) and "--out" not in error.next_step, error.next_step
        named = disk_error(OSError(number, "no"), "cannot write", tmp_path, option="--shards DIR")
        assert named.next_step.endswith("write elsewhere with --shards DIR")
    (tmp_path / "page.html").write_text("")
    with pytest.raises(UsageError) as caught:
        refuse_existing(tmp_path / "page.html", "--html")
    assert caught.value.next_step == "name another --html, or remove it first"


# --- shapes of dialogues ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "name", "readable"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages", True),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "messages", True),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages", False),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "ShareGPT", True),
        ({"instruction": "a", "input": "", "output": "b"}, "Alpaca", True),
        ({"instruction": "a", "input": "c", "output": "b"}, "Alpaca", True),
        ({"prompt": "a", "completion": "b"}, "prompt-completion", True),
        ({"prompt": "a", "completion": 5}, "prompt-completion", False),
        ({"contents": [{"role": "model", "parts": [{"text": "a"}]}]}, "Gemini", True),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference", False),
        ({"text": "a"}, "plain text", False),
        ({"role": "user", "content": "a"}, "messages format, with a message where", False),
    ],
)
def test_shapes_are_named(row: object, name: str, readable: bool) -> None:
    found = shape_of(row)
    assert found is not None
    assert (name in found[0], found[1]) == (True, readable)


@pytest.mark.parametrize("row", [{"input": "a", "output": "b"}, {"foo": 1}, [], 3, None, {"input": "a"}])
def test_a_pair_and_the_unknown_have_no_other_shape(row: object) -> None:
    assert shape_of(row) is None

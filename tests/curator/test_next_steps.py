"""What every command ends with: what it made and what to do next. Each command named works when it is pasted."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Home, Result

from curator.contract.files import sha256_of
from curator.contract.records import CURATED, FORMATTED, HOLDOUT, LINEAGE, REPORT_PAGE, SUMMARY, TRAIN, WRAPPED
from trainer.cli import build_parser as trainer_parser

Curate = Callable[..., Result]


def next_commands(err: str) -> list[str]:
    """Return what stands behind "next: "."""
    return [line.removeprefix("next: ") for line in err.splitlines() if line.startswith("next: ")]


def pasted(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return pasted(shlex.join([sys.executable, "-m", "curator", *words]), folder)


@pytest.mark.parametrize("inside", [False, True])
def test_from_init_to_export_by_pasting_alone(tmp_path: Path, inside: bool) -> None:
    """A new user's first hour: init, then what each command names, in a folder with a blank in its name."""
    place = tmp_path / "my home"
    place.mkdir()
    at = place if inside else tmp_path
    done = start(at, "init", *([] if inside else ["my home"]), "--demo")
    assert done.returncode == 0, done.stderr
    (command,) = next_commands(done.stderr)
    assert ("--home" in command) != inside
    assert command.endswith("--username greggles")
    done = pasted(command + " --max 120", at)
    assert done.returncode == 0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    assert f"made {run / REPORT_PAGE}" in done.stderr
    finetune, export = next_commands(done.stderr)
    words = shlex.split(finetune)
    assert words[:3] == [sys.executable, "-m", "trainer"]
    options = trainer_parser().parse_args(words[3:])
    assert (options.profile, options.home) == ("greggles", None if inside else str(place))
    done = pasted(export, at)
    assert done.returncode == 0, done.stderr
    out = Path(at, done.stdout.splitlines()[-1])
    assert f"made {out.name}/README.md" in done.stderr and (out / "README.md").is_file()
    enter, *_ = next_commands(done.stderr)
    assert pasted(f"{enter} && ls", at).stdout.split() == sorted(path.name for path in out.iterdir())
    done = pasted(export.replace("curator export", "curator preview").rpartition(" --out ")[0], at)
    assert done.returncode == 0, done.stderr
    (again,) = next_commands(done.stderr)
    assert shlex.split(again)[-1] == f"{out.name}-2", "that name is taken"
    assert pasted(again, at).returncode == 0


@pytest.fixture(scope="module")
def lunch(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a run; tests do not change it."""
    home = Home(tmp_path_factory.mktemp("lunch") / "home")
    for number in range(12):
        home.memory(f"What was lunch number {number}?", response=f"Soup number {number} with bread, and an apple.")
    done = start(home.folder, "run", "--username", "ann")
    assert done.returncode == 0, done.stderr
    return home


def run_of(home: Home) -> Path:
    (summary,) = home.profile.glob("out/fine-tuned-models/*/*/run-summary.json")
    return summary.parent


@pytest.mark.parametrize("command", ["report", "explain", "validate", "plugins", "doctor", "dry run", "by folder"])
def test_every_other_command_names_one_that_works(lunch: Home, command: str, tmp_path: Path) -> None:
    run = run_of(lunch)
    words = {
        "report": ["report"],
        "explain": ["explain", "evt-000001"],
        "validate": ["validate", str(run)],
        "plugins": ["plugins"],
        "doctor": ["doctor"],
        "dry run": ["run", "--dry-run", "--seed", "7", "--out", str(tmp_path / "runs")],
        "by folder": ["report", str(run)],
    }[command]
    done = start(tmp_path, *words, "--home", str(lunch.folder))
    assert done.returncode == 0, done.stderr
    named = next_commands(done.stderr)
    assert named, done.stderr
    for one in named:
        if "-m trainer" in one:
            options = trainer_parser().parse_args(shlex.split(one)[3:])
            assert options.profile == "ann" or options.run == run
        elif command != "doctor":  # which names a run: it would be one more here
            again = pasted(one, tmp_path)
            assert again.returncode == 0, again.stderr


def test_the_list_of_pages_names_one_that_is_shown(tmp_path: Path) -> None:
    done = start(tmp_path, "docs")
    (command,) = next_commands(done.stderr)
    assert pasted(command, tmp_path).stdout.startswith("# What is read")


def test_a_program_alone_shows_its_help(curate: Curate) -> None:
    done = curate()
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: curate ") and "make a training set" in done.out


@pytest.mark.parametrize("words", [["report"], ["explain", "evt-000001"], ["export", "--to", "trl"],
                                   ["preview", "--to", "trl"], ["run", "--dry-run"]])  # fmt: skip
def test_the_only_profile_is_taken_and_named(curate: Curate, lunch: Home, words: list[str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")] if words[0] == "export" else []
    done = curate(*words, *out, "--home", lunch.folder)
    assert done.status == 0, done.err
    assert done.err.startswith(f"profile ann: the only one in {lunch.folder}\n")


def test_of_several_profiles_one_is_asked_for(curate: Curate, home: Home) -> None:
    (home.folder / "profiles" / "bea").mkdir()
    for words in (["run"], ["report"], ["explain", "x"], ["preview", "--to", "trl"]):
        done = curate(*words, "--home", home.folder)
        assert done.status == 2
        assert "which profile?" in done.err and "--username ann\n  --username bea" in done.err


# --- an empty result -------------------------------------------------------------------------------------------------


def emptied(run: Path) -> Path:
    """Take every sample out of a run, as a run has none where every memory was turned down."""
    for name in (CURATED, FORMATTED, WRAPPED):
        (run / name).write_text("[\n]\n")
    for name in (TRAIN, HOLDOUT, LINEAGE):
        (run / name).write_text("")
    summary = json.loads((run / SUMMARY).read_bytes())
    summary["counts"] |= {"samples": 0, "train": 0, "holdout": 0}
    summary["files"] |= {name: sha256_of(run / name) for name in summary["files"]}
    (run / SUMMARY).write_text(json.dumps(summary))
    return run


def test_a_preview_of_nothing_is_no_success(curate: Curate, lunch: Home, home: Home) -> None:
    home.take(lunch)
    run = emptied(run_of(home))
    for more in ([], ["--json"], ["--strict"]):
        done = curate("preview", run, "--to", "trl", *more)
        assert done.status == 1, done.out
        assert "holds no sample, so there is nothing to preview" in done.err and f"curate report {run}" in done.err
        assert "no problems" not in done.out


# --- other files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "name"), [
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages format"),
    ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "ShareGPT's format"),
    ({"instruction": "a", "input": "c", "output": "b"}, "Alpaca's format"),
])  # fmt: skip
def test_a_file_of_another_tool_is_named_with_what_to_do(
    curate: Curate, tmp_path: Path, row: object, name: str
) -> None:
    path = tmp_path / "my chats.jsonl"
    path.write_text(f"{json.dumps(row)}\n" * 3)
    done = curate("validate", path)
    assert (done.status, done.out) == (2, "")
    assert f"my chats.jsonl:1: this is {name}" in done.err
    named = [line.partition("trainer ")[2] for line in done.err.splitlines() if ": trainer " in line]
    assert [trainer_parser().parse_args(shlex.split(words)).data for words in named] == [path, path]


def test_an_export_is_told_from_a_run(curate: Curate, lunch: Home, tmp_path: Path) -> None:
    assert curate("export", run_of(lunch), "--to", "axolotl", "--out", tmp_path / "out").status == 0
    done = curate("validate", tmp_path / "out" / "train.jsonl")
    assert done.status == 2
    assert "curate export made it: check the run" in done.err and "trainer preview --data" in done.err


def test_a_row_of_another_shape_among_good_ones_is_a_problem_of_its_line(
    curate: Curate, lunch: Home, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes((run_of(lunch) / TRAIN).read_bytes() + b'{"messages": []}\n')
    done = curate("validate", path)
    assert done.status == 1 and "missing, or no text" in done.out


# --- facts and what to act on ----------------------------------------------------------------------------------------


def test_a_fact_is_no_warning(curate: Curate, home: Home) -> None:
    home.memory("What was for lunch?", response="Soup with bread, and an apple after it.", type="stargazing")
    (home.episodic / "evt-9.json.enc").write_bytes(b"?")
    done = curate("run", "--username", "ann", "--home", home.folder)
    assert done.status == 0, done.err
    report = json.loads((done.run / "report.json").read_bytes())
    (warning,) = report["warnings"]
    assert "encrypted" in warning and not any("encrypted" in notice for notice in report["notices"])
    told = [line for line in done.out.splitlines() if line.startswith(("! ", "- "))]
    assert [line[0] for line in told if "encrypted" in line] == ["!"]
    assert [line[0] for line in told if "stargazing" in line] == ["-"]
    page = (done.run / REPORT_PAGE).read_text("utf-8")
    assert f'<p class="warning">{warning}</p>' in page and page.count('class="warning"') == 1


def test_more_rows_than_samples_are_explained(curate: Curate, home: Home, tmp_path: Path) -> None:
    turns = [{"role": role, "content": f"{text} {number}, and some more of it."} for number in range(3)
             for role, text in (("user", "What was lunch"), ("assistant", "It was soup"))]  # fmt: skip
    home.memory("", messages=turns, tags=["multi_turn"])
    assert curate("run", "--username", "ann", "--home", home.folder, "--holdout", "0").status == 0
    why = "1 sample makes 3 rows: in a row for TRL only the last reply can be trained"
    done = curate("preview", "--to", "trl", "--home", home.folder)
    assert done.status == 0 and why in done.err, done.err
    done = curate("export", "--to", "trl", "--out", tmp_path / "trl", "--home", home.folder)
    assert done.status == 0 and f"- {why}" in done.err, done.err
    assert "! nothing is held out" in done.err
    card = (tmp_path / "trl" / "README.md").read_text("utf-8")
    notes, to_act_on = card.partition("Notes:\n")[2], card.partition("To act on:\n")[2].partition("Notes:\n")[0]
    assert why in notes and "nothing is held out" in to_act_on
    summary = json.loads((tmp_path / "trl" / "export.json").read_bytes())
    assert any(why in note for note in summary["notes"]) and len(summary["warnings"]) == 2
    done = curate("export", "--to", "axolotl", "--out", tmp_path / "axolotl", "--home", home.folder)
    assert "there are" not in done.err, "axolotl trains each message of a row that says so"


def test_init_advises_no_option_that_it_lacks(curate: Curate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = curate("init", tmp_path / "file" / "home")
    assert done.status == 3
    assert "--out" not in done.err and "curate init DIR" in done.err


def test_a_run_is_used_with_the_home_in_which_it_lies(
    home: Home, curate: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder, by its path alone: a plugin's mode is known, and the next command names the home."""
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "tides.py").write_text(
        "from curator import Mode, hookimpl\n\n"
        "@hookimpl\ndef register_modes():\n    return [Mode('harbour', user_tag='question', assistant_tag='tide')]\n\n"
        "@hookimpl\ndef map_mode(event):\n    return 'harbour'\n"
    )
    home.memory("Is the pump dry?", response="Dry since noon.")
    run = curate("run", "--username", "ann", "--home", home.folder).run
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (run, run / "fine_tune_dataset.jsonl"):
        done = curate("validate", path)
        assert done.status == 0, done.out
        assert f"--home {home.folder}" in done.err
    explained = curate("explain", "evt-000001", "--run", run)
    assert "Is the pump dry?" in explained.out and "not there" not in explained.out


def test_the_report_of_an_empty_run_says_that_it_is_empty(home: Home, curate: Callable[..., Result]) -> None:
    home.memory("Is the pump dry?", response="Dry since noon.")
    run = curate("run", "--username", "ann", "--home", home.folder).run
    report = json.loads((run / "report.json").read_text("utf-8"))
    (run / "report.json").write_text(json.dumps(report | {"samples": 0, "train": 0}))
    told = curate("report", run)
    assert "! this run holds no sample" in told.err
    assert f"run --username ann --home {home.folder}" in told.err
    assert "finetune" not in told.err

"""Rooms: who imports whom, how many modules a folder holds, what a room says of itself, how functions are called."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from conftest import ROOT

PROGRAMS: Final = ("curator", "trainer")
# Folders of scripts that run elsewhere, and data: no packages.
ROOMS: Final = sorted(
    path.parent for program in (*PROGRAMS, "plugins") for path in (ROOT / program).rglob("__init__.py")
)
A_FILE_A_COMMAND: Final = ("cli", "importers")  # or a file a format: each stands by itself
MOST_MODULES: Final = 14
MOST_POSITIONAL: Final = 6


def modules(room: Path) -> list[Path]:
    return [path for path in room.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]


def named(room: Path) -> str:
    return room.relative_to(ROOT).as_posix()


def linted(settings: Path) -> tuple[int, str]:
    """The exit status of lint-imports, and what it prints."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--config", settings.name, "--no-cache"]
    done = subprocess.run(command, cwd=settings.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_imports_keep_to_the_contracts() -> None:
    status, printed = linted(ROOT / "pyproject.toml")
    assert status == 0, printed
    assert " 0 broken" in printed


def test_a_broken_contract_would_be_found(tmp_path: Path) -> None:
    """The kinds of contract that ours are made of, on packages that break each of them."""
    files = {
        "low_room/__init__.py": "",
        "low_room/first.py": "def later() -> None:\n    from high_room import top\n",
        "high_room/__init__.py": "",
        "high_room/top.py": "from high_room.left import one\n",
        "high_room/left/__init__.py": "",
        "high_room/left/one.py": "from high_room.right import two\n",
        "high_room/right/__init__.py": "",
        "high_room/right/two.py": "def lazily() -> None:\n    from high_room.left import one\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, "utf-8")
    head = (
        "[importlinter]\nroot_packages =\n    low_room\n    high_room\n\n[importlinter:contract:it]\nname = it\ntype = "
    )
    contracts = {
        "forbidden": "forbidden\nsource_modules = low_room\nforbidden_modules = high_room\n",
        "layers": "layers\nlayers =\n    high_room\n    low_room\n",
        "circles": "acyclic_siblings\nancestors = high_room\n",
        "kept": "forbidden\nsource_modules = high_room\nforbidden_modules = low_room\n",
    }
    broken = set()
    for name, contract in contracts.items():
        settings = tmp_path / f"{name}.ini"
        settings.write_text(head + contract, "utf-8")
        status, printed = linted(settings)
        assert f" {status} broken" in printed, printed
        broken |= {name} if status else set()
    assert broken == {"forbidden", "layers", "circles"}


@pytest.mark.parametrize("room", ROOMS, ids=named)
def test_no_room_is_too_large(room: Path) -> None:
    if room.name in A_FILE_A_COMMAND:
        pytest.skip("a file a command, or a file a format")
    assert len(modules(room)) <= MOST_MODULES, sorted(path.name for path in modules(room))


@pytest.mark.parametrize("room", [room for room in ROOMS if room.name not in ("plugins", *PROGRAMS)], ids=named)
def test_each_room_says_what_comes_in_what_goes_out_and_what_it_may_know(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8"))) or ""
    assert "In: " in text and "Out: " in text, named(room)
    assert " knows " in " ".join(text.split()) or room.parent.name == "plugins", named(
        room
    )  # plugins know curator's public names alone
    assert len(text.splitlines()) <= 8, named(room)


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    """How many arguments a call may give by their place; self and cls are not given by hand."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_no_function_takes_more_than_six_arguments_by_their_place() -> None:
    too_many = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for program in (*PROGRAMS, "plugins", "schemas", "benchmarks")
        for path in sorted((ROOT / program).rglob("*.py"))
        if path.parent.name != "recipes"  # scripts that go out as they stand, and run where a large model is trained
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and positional(node) > MOST_POSITIONAL
    ]
    assert too_many == []


@pytest.mark.parametrize("program", [*PROGRAMS, "plugins", "benchmarks"])
def test_no_call_passes_more_than_six_arguments_by_their_place(program: str) -> None:
    too_many = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for path in sorted((ROOT / program).rglob("*.py"))
        if path.parent.name != "recipes"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL
    ]
    assert too_many == []


def test_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    missing = [named(room) for room in ROOMS if room.name not in PROGRAMS and f"{room.name}/" not in text]
    assert missing == []
    assert "(docs/architecture.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_runs_as_a_module(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program, "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout

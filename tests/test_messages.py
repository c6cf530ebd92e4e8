"""What messages, settings, exports and pages name is there: commands, options, topics of `curate docs`, files."""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from conftest import ROOT

from curator import cli as curate_cli
from trainer import cli as trainer_cli

PROGRAMS: Final = {"curate": curate_cli.build_parser(), "trainer": trainer_cli.build_parser()}
SOURCES: Final = sorted(path for room in ("curator", "plugins", "trainer") for path in (ROOT / room).rglob("*.py"))
# Files that go out as they stand, into a home, an export or a page.
SHIPPED: Final = sorted(
    path
    for pattern in ("etc/**/*.json", "schemas/*.json", "curator/exports/recipes/*", "curator/reports/templates/*.html",
                    "trainer/**/*.html", "trainer/base/README.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)  # fmt: skip
PAGES: Final = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# "the trainer cannot", "this trainer knows", "which curate was installed from": no commands.
PROSE: Final = set(
    "already and can cannot changed does has holds imports keeps knows made of puts reads takes that uses was".split()
)
NAMED: Final = re.compile(r"(?<![\w./-])(curate|trainer) ([a-z][a-z-]+)((?: [\w./{}'-]+)*)")


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a program by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


COMMANDS: Final = {name: commands(parser) for name, parser in PROGRAMS.items()}


def options(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a command and of the commands below it."""
    below = [options(inner) for inner in commands(parser).values()]
    return {name for action in parser._actions for name in action.option_strings}.union(*below)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module that can be printed, with its line; of an f-string, its values as {}. No docstrings."""
    module = ast.parse(path.read_text("utf-8"))
    parts: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.add(node.value)
        if isinstance(node, ast.JoinedStr):
            parts |= set(node.values)
            pieces = (one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
            yield node.lineno, "".join(map(str, pieces))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.lineno, node.value


def untrue(text: str) -> Iterator[str]:
    """What a text names that is not there: a command, an option of it, a topic."""
    for program, name, rest in NAMED.findall(text):
        if name in PROSE:
            continue
        command = COMMANDS[program].get(name)
        if command is None:
            yield f"{program} {name}"
            continue
        known = options(command)
        yield from (f"{program} {name} {word}" for word in re.findall(r"--[a-z][a-z-]+", rest) if word not in known)
        topic = re.match(r" ([a-z-]+)", rest) if (program, name) == ("curate", "docs") else None
        if topic and not (ROOT / "docs" / f"{topic[1]}.md").is_file():
            yield f"curate docs {topic[1]}"


def test_messages_name_commands_options_and_topics_that_are_there() -> None:
    found = [(path, line, text) for path in SOURCES for line, text in texts(path)]
    assert sum(len(NAMED.findall(text)) for _, _, text in found) > 60
    wrong = [f"{path.relative_to(ROOT)}:{line}: {what}" for path, line, text in found for what in untrue(text)]
    assert wrong == []


@pytest.mark.parametrize("path", [*SHIPPED, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_name_commands_options_and_topics_that_are_there(path: Path) -> None:
    assert list(untrue(path.read_text("utf-8"))) == []


def test_what_is_not_there_would_be_found() -> None:
    said = "make one with: curate rum --username U, or trainer finetune --prophile P; curate docs setings; curate docs"
    assert list(untrue(said)) == ["curate rum", "trainer finetune --prophile", "curate docs setings"]


def test_no_message_sends_to_a_file_or_an_index_that_a_wheel_does_not_know() -> None:
    """Beside a wheel there is no docs/, no make, and in no package index a persona-curator."""
    away = re.compile(r"docs/[\w-]+\.md|pip install '?persona-curator|\bmake (?:demo|test|verify|lint|schemas|docs)\b")
    wrong = [f"{path.relative_to(ROOT)}:{line}: {match[0]}" for path in SOURCES for line, text in texts(path)
             for match in away.finditer(text) if "recipes" not in path.parts]  # fmt: skip
    for path in SHIPPED:
        wrong += [f"{path.relative_to(ROOT)}: {match[0]}" for match in away.finditer(path.read_text("utf-8"))]
    assert wrong == []


# --- the pages -------------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_what_for_whom_and_how() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 120
    first = "\n".join(lines[:40])
    assert "make demo" in first and "make test" in first and "sound like me" in first


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\(docs/([\w-]+\.md)\)", (ROOT / "README.md").read_text("utf-8")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    of_readers = {name for name in pages if name.startswith("import-")}
    assert linked == pages - of_readers
    assert set(re.findall(r"\((import-[\w-]+\.md)\)", (ROOT / "docs" / "imports.md").read_text("utf-8"))) == of_readers


def test_the_libraries_page_says_of_each_requirement_why() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    page = (ROOT / "docs" / "libraries.md").read_text("utf-8").lower().replace("_", "-")
    for requirement in (*project["dependencies"], *extras["trainer"], *extras["preview"]):
        name = re.match(r"[\w-]+", requirement)
        assert name and re.search(rf"\b{name[0]}\b", page), requirement


# --- counts with their nouns -----------------------------------------------------------------------------------------

# Where a plural can be written out: what can never be one, or is no count of the noun behind it.
PLURALS: Final = re.compile(
    r"(?:samples|memories|rows|pairs|problems|documents|steps|files|faults|lines|replies|prompts|evaluations|iterations|"
    r"minutes|seconds|heads|layers|mixes|marks)\b"
)
NEVER_ONE: Final = {
    "curator/exports/costs.py": "hours with a fraction",
    "plugins/exporters/openai.py": "OpenAI's own least",
    "trainer/exports/verify.py": "a constant: how many tokens are compared",
    "trainer/model/tokenizer.py": "what SentencePiece was given, in its own error",
}


def plurals(path: Path) -> Iterator[int]:
    """The lines of f-strings in which a value stands right before one of these nouns."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                    continue
                counts = value.format_spec is not None or "len(" in ast.unparse(value) or "count" in ast.unparse(value)
                if counts and PLURALS.match(str(text.value).removeprefix(" ")) and str(text.value).startswith(" "):
                    yield value.lineno


def test_counts_agree_with_their_nouns() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: use counted()"
        for path in SOURCES
        for line in plurals(path)
        if path.relative_to(ROOT).as_posix() not in NEVER_ONE
    ]
    assert wrong == []


# --- make ------------------------------------------------------------------------------------------------------------


def made(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def python_that(folder: Path, does: str) -> Path:
    """An interpreter that is this one but for what `does` puts before it, in the shell."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\n{does}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


def test_make_says_which_python_it_found_and_which_it_needs(tmp_path: Path) -> None:
    too_old = python_that(tmp_path, 'case "$1" in --version) echo Python 3.9.2; exit;; -c) exit 1;; esac')
    for python, found in ((too_old, "Python 3.9.2"), (tmp_path / "none", "not there")):
        refused = made("demo", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
        assert refused.returncode == 2
        assert f"{python} is {found}. Needed: Python 3.11 or newer" in refused.stderr
        assert "make demo PYTHON=python3.12" in refused.stderr
        assert not (tmp_path / "venv").exists()


def test_make_says_that_ensurepip_is_missing(tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('as Debian has it without python3-venv')\n")
    python = python_that(tmp_path, f"export PYTHONPATH={tmp_path}")
    refused = made("test", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert refused.returncode == 2
    assert "with venv and ensurepip (Debian, Ubuntu: apt install python3-venv)" in refused.stderr
    assert "make test PYTHON=" in refused.stderr


def test_make_says_what_it_does_before_it_downloads(tmp_path: Path) -> None:
    planned = made("--dry-run", "demo", f"VENV={tmp_path / 'venv'}").stdout
    assert planned.index("Setting up") < planned.index("pip install") < planned.index("curate run")

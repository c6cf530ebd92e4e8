"""Docstrings say what a caller must know: which errors a public function raises, and the shapes of its arrays."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest
from conftest import ROOT

SOURCES: Final = sorted(
    path for room in ("curator", "plugins", "trainer") for path in (ROOT / room).rglob("*.py")
    if "recipes" not in path.parts
)  # fmt: skip
ARRAYS: Final = {"Tensor", "NDArray", "ndarray", "Floats", "Tokens", "Rows", "Array", "Batch"}
# A shape: "(B,T)", "(n/size, 1)", "(V,)"; or words for it.
SHAPE: Final = re.compile(r"\([\w*/+ .…'-]+,[^)]*\)|\bshapes?\b|\bscalar\b|\bone dimension\b", re.IGNORECASE)
# At most five of each, with the reason.
WITHOUT_RAISES: Final[dict[str, str]] = {}
WITHOUT_SHAPES: Final[dict[str, str]] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module, name: str) -> Iterator[tuple[str, Function]]:
    """Every public function of a module, and every public method of its public classes."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield f"{name}:{node.name}", node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{name}:{node.name}.{inner.name}", inner


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def raised(function: Function) -> set[str]:
    """The exceptions that a function raises by itself; where a helper makes one, the word "Raises" is asked for."""
    names = set()
    for node in own_nodes(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = getattr(made, "attr", getattr(made, "id", ""))
            if name and name[0].isupper():
                names.add(name)
            elif isinstance(node.exc, ast.Call):
                names.add("Raises")
    return names


def unnamed_errors(function: Function) -> set[str]:
    """The errors that a function raises and its docstring does not name."""
    said = ast.get_docstring(function) or ""
    return {name for name in raised(function) if not re.search(name, said)}


def takes_arrays(function: Function) -> bool:
    """Whether an array goes in or comes out by the annotations."""
    notes = [argument.annotation for argument in (*function.args.args, *function.args.kwonlyargs)]
    words = {
        getattr(part, "attr", getattr(part, "id", "")) for note in (*notes, function.returns) if note
        for part in ast.walk(note)
    }  # fmt: skip
    return bool(words & ARRAYS)


def offenders(tree: ast.Module, name: str) -> tuple[list[str], list[str]]:
    """The functions whose docstrings name not all errors, and those that give no shape."""
    errors, shapes = [], []
    for place, function in functions(tree, name):
        if missing := unnamed_errors(function):
            errors.append(f"{place} raises {', '.join(sorted(missing))}")
        if takes_arrays(function) and not SHAPE.search(ast.get_docstring(function) or ""):
            shapes.append(place)
    return errors, shapes


def all_offenders() -> tuple[list[str], list[str]]:
    """What is missing in the whole source."""
    errors, shapes = [], []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        found = offenders(ast.parse(path.read_text("utf-8")), name)
        errors += found[0]
        shapes += found[1]
    return errors, shapes


def test_every_raising_function_names_its_errors() -> None:
    missing = [one for one in all_offenders()[0] if one.split(" ")[0] not in WITHOUT_RAISES]
    assert missing == [], "name them in the docstring: " + "; ".join(missing)


def test_every_function_of_arrays_gives_their_shapes() -> None:
    missing = [one for one in all_offenders()[1] if one not in WITHOUT_SHAPES]
    assert missing == [], "give the shapes in the docstring: " + "; ".join(missing)


def test_at_most_five_are_excused_and_each_is_still_there() -> None:
    errors, shapes = all_offenders()
    assert len(WITHOUT_RAISES) <= 5 and len(WITHOUT_SHAPES) <= 5
    assert set(WITHOUT_RAISES) <= {one.split(" ")[0] for one in errors}
    assert set(WITHOUT_SHAPES) <= set(shapes)


@pytest.mark.parametrize(
    ("code", "errors", "shapes"),
    [
        ('def f(x):\n    """Do it."""\n    raise UsageError("no")', ["m:f raises UsageError"], []),
        ('def f(x):\n    """Do it. Raises UsageError."""\n    raise UsageError("no")', [], []),
        ('def f(x: Tensor) -> Tensor:\n    """Return it."""', [], ["m:f"]),
        ('def f(x: Tensor) -> Tensor:\n    """Return x (B,T) again."""', [], []),
        ("def _f(x: Tensor):\n    raise ValueError", [], []),
    ],
)
def test_what_is_missing_is_found(code: str, errors: list[str], shapes: list[str]) -> None:
    assert offenders(ast.parse(code), "m") == (errors, shapes)

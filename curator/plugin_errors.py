"""What to say of a plugin that broke its contract: what it raised, where in its own code, and what it may have meant.

Of a place only the last two parts of its path are told, so that what a run writes down is the same on every machine.
"""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from curator.contract.errors import PluginError, printable, similar
from curator.contract.homes import PACKAGE

_KEYWORD = re.compile(r"(?:(?<!\w)(\w++)\.__init__\(\) got an u|U)nexpected keyword argument '(\w+)'")
_IMPORT = re.compile(r"cannot import name '(\w+)' from 'curator'")


def raised(error: BaseException) -> str:
    """Say what a plugin raised, where in its own code, and the name that it may have meant.

    Its message may itself fail to print.
    """
    if isinstance(error, SyntaxError) and error.filename:
        text = f"\n  {error.text.strip()[:200]}" if error.text else ""
        return f"raised {type(error).__name__}: {error.msg} (at {_short(error.filename)}:{error.lineno or 1}){text}"
    try:
        said = f"raised {type(error).__name__}: {error}".removesuffix(": ")
    except Exception:
        said = f"raised {type(error).__name__}"
    return f"{said}{_place(error)}{_meant(error)}"


def defined(function: Callable[..., Any]) -> str:
    """Say where a plugin's function stands, for one that returned what it may not; "" for one that is not Python's."""
    function = inspect.unwrap(function)
    code = getattr(getattr(function, "func", function), "__code__", None)
    return f" (from {_short(code.co_filename)}:{code.co_firstlineno})" if isinstance(code, CodeType) else ""


def plugin_failed(plugin: str, hook: str, memory: str, problem: str) -> PluginError:
    """Build the error for a plugin that broke its contract on `memory` ("" for none)."""
    if memory:  # then it is `curate run` that is at work
        step = f"run again with --keep-going to drop such memories with a reason, or with --no-plugin {plugin}"
        return PluginError(f"plugin {plugin!r}: {hook} on memory {memory}: {problem}", step)
    step = f"mend it, or leave it out: put {plugin!r} into plugins.disabled of etc/curate.json"
    return PluginError(f"plugin {plugin!r}: {hook}: {problem}", step)


def _short(path: str) -> str:
    return printable("/".join(Path(path).parts[-2:]))


def _place(error: BaseException) -> str:
    """Return the deepest line of the plugin's own code: of the file that we called into, or of its package."""
    frames = list(_outside(error.__traceback__))
    if not frames:
        return ""
    first = Path(frames[0][0])
    inside = first.parent if (first.parent / "__init__.py").is_file() else first
    file, line = [(file, line) for file, line in frames if Path(file).is_relative_to(inside)][-1]
    return f" (at {_short(file)}:{line})"


def _outside(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    """Yield file and line of every frame that is neither the curator's nor the import system's."""
    for frame, line in traceback.walk_tb(trace):
        file = frame.f_code.co_filename
        if not file.startswith("<") and not Path(file).is_relative_to(PACKAGE):
            yield file, line


def _meant(error: BaseException) -> str:
    """Return "; did you mean X?" where a plugin names a field, a keyword or a name of ours that is nearly another."""
    try:
        name, known = _wrong_name(error)
    except Exception:  # an object of the plugin's own that cannot be looked at
        return ""
    near = similar(name, known) if name else ""
    return f"; did you mean {near!r}?" if near and near != name else ""


def _wrong_name(error: BaseException) -> tuple[str, Iterable[str]]:
    """Return the name that there is not, and those that there are; "" where the error is of another kind."""
    public = importlib.import_module("curator")  # at run time: it gives plugins what stands in rooms above this module
    if isinstance(error, AttributeError) and error.name:
        return error.name, [field for field in dir(error.obj) if not field.startswith("_")]
    if isinstance(error, NameError) and error.name:
        return error.name, public.__all__
    if match := _IMPORT.search(str(error)):
        return match[1], public.__all__
    if isinstance(error, TypeError) and (match := _KEYWORD.search(str(error))):
        # msgspec does not say which record was meant: then those of all are looked at.
        kinds = [getattr(public, name) for name in public.__all__ if match[1] in (None, name)]
        return match[2], {field for one in kinds if isinstance(one, type) for field in one.__annotations__}
    return "", ()

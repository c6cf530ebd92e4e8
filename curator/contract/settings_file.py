"""One file of etc/, read strictly: every mistake with its file and line, and names of an earlier version still known.

A home's own file replaces the shipped one of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar, get_args

import json_source_map
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from curator.contract.errors import UsageError, similar
from curator.contract.files import read_bytes
from curator.contract.homes import shipped_etc
from curator.contract.strict_json import BadJson, parse_json

Share = Annotated[float, Field(ge=0, le=1)]


class ConfigModel(BaseModel):
    """Base of the configuration models: unknown keys are errors, values are never converted in silence.

    `renamed` maps a key of an earlier version to today's; such a key is read, and the reader is told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}
    _outdated: tuple[str, ...] = PrivateAttr(())

    @property
    def outdated(self) -> tuple[str, ...]:
        """A line for each key that was read under the name of an earlier version."""
        return self._outdated


class ConfigFile(ConfigModel):
    """Base of a whole file."""

    comment: str = ""


Model = TypeVar("Model", bound=ConfigModel)


def etc_file(home: Path | None, name: str) -> Path:
    """Return the file of etc/ that counts: the home's where it has one, else the shipped one."""
    own = home / "etc" / name if home else None
    return own if own and own.is_file() else shipped_etc() / name


def load_file(path: Path, model: type[Model]) -> tuple[Model | None, list[str]]:
    """Read one configuration file; return it, or None and its mistakes, each with its line."""
    try:
        raw = read_bytes(path)
    except OSError as error:
        return None, [f"{path}: {error.strerror}"]
    return parse_settings(path, raw, model)


def load_or_refuse(path: Path, model: type[Model], next_step: str = "curate docs settings lists every key") -> Model:
    """Return one configuration file. Raises UsageError that lists every mistake with its line."""
    loaded, problems = load_file(path, model)
    if loaded is None:
        refuse(problems, next_step)
    return loaded


def refuse(problems: Sequence[str], next_step: str = "mend these lines") -> NoReturn:
    """Raise the UsageError that lists what is wrong with the configuration."""
    raise UsageError("the configuration has mistakes:\n  " + "\n  ".join(problems), next_step)


def parse_settings(path: Path, raw: bytes, model: type[Model]) -> tuple[Model | None, list[str]]:
    """Return the bytes of a file as a model, or None and its mistakes, each as `path:line: key: message`."""
    try:
        text = raw.decode("utf-8-sig")
        data, _ = parse_json(raw)
    except UnicodeDecodeError as error:
        return None, [f"{path}: not UTF-8 at byte {error.start}"]
    except BadJson as error:
        problem = error.detail if error.reason == "duplicate_keys" else f"not JSON: {error.detail}"
        return None, [f"{path}:{_line_of(raw, error)}: {problem}"]
    line = line_finder(text)
    old: list[tuple[tuple[Any, ...], str]] = []
    try:
        loaded = model.model_validate_json(json.dumps(_under_new_names(data, model, (), old)))
    except ValidationError as error:
        mistakes = [(_as_written(item["loc"], old), _said(item, model)) for item in error.errors()]
        return None, [
            f"{path}:{line(loc)}: {'.'.join(map(str, loc)) or 'file'}: {message}" for loc, message in mistakes
        ]
    loaded._outdated = tuple(f"{path}:{line(loc)}: {loc[-1]} is called {new} now" for loc, new in old)
    return loaded, []


def _said(mistake: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Return a mistake in words; of a key that there is not, the key that may have been meant."""
    if mistake["type"] != "extra_forbidden":
        return str(mistake["msg"])
    *path, key = mistake["loc"]
    near = similar(str(key), _keys_at(model, path))
    return str(mistake["msg"]) + (f"; did you mean {near!r}?" if near else "")


def _keys_at(kind: Any, path: Sequence[Any]) -> list[str]:
    """Return the keys that the object at a path below a model may have."""
    for key in path:
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        kind = fields[key].annotation if key in fields else next(iter(get_args(kind)[-1:]), None)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _under_new_names(
    data: Any, model: type[BaseModel], loc: tuple[Any, ...], old: list[tuple[tuple[Any, ...], str]]
) -> Any:
    """Return the values of a file under today's names; each key that had another is noted in `old` with its place."""
    if not isinstance(data, dict):
        return data
    out = {}
    for key, value in data.items():
        new = _new_name(key, model)
        if new != key and new not in data:
            old.append(((*loc, key), new))
        else:
            new = key
        field = model.model_fields.get(new)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            value = _under_new_names(value, inner, (*loc, key), old)
        out[new] = value
    return out


def _as_written(loc: tuple[Any, ...], old: list[tuple[tuple[Any, ...], str]]) -> tuple[Any, ...]:
    """Return a path of today's keys as the file has it, which may know some of them by their old names."""
    out: tuple[Any, ...] = ()
    for part in loc:
        out += (next((place[-1] for place, new in old if place[:-1] == out and new == part), part),)
    return out


def _new_name(key: str, model: type[BaseModel]) -> str:
    return model.renamed.get(key, key) if issubclass(model, ConfigModel) else key


def today(values: dict[str, Any], model: type[Model]) -> dict[str, Any]:
    """Return settings that an earlier version wrote down, such as a training's plan, under today's names."""
    renamed: dict[str, Any] = _under_new_names(values, model, (), [])
    return renamed


def _line_of(raw: bytes, error: BadJson) -> int:
    """Return the line (from 1) of what is wrong; of a key that stands twice, the last place where it is written."""
    place = error.place if not error.key else raw.rfind(json.dumps(error.key, ensure_ascii=False).encode())
    return raw.count(b"\n", 0, max(0, place)) + 1


def line_finder(text: str) -> Callable[[Sequence[Any]], int]:
    """Return a function from a path of keys and indexes to the line (from 1) on which it stands in `text`."""

    @cache  # not before a line is asked for: for the files of etc/ it takes a fifth of a second
    def places() -> Mapping[str, Any]:
        try:
            return dict(json_source_map.calculate(text))
        except Exception:  # the library's own errors are of no one class; without places every mistake is on line 1
            return {}

    def line(loc: Sequence[Any]) -> int:
        for end in range(len(loc), -1, -1):
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc[:end])
            if pointer in places():
                entry = places()[pointer]
                start = entry.key_start or entry.value_start
                return int(start.line) + 1
        return 1

    return line

"""YAML with the reason for a value beside it, for other tools' configurations.

ruamel.yaml writes comments too, but as YAML 1.2, in which 5e-06 is a number. The tools read with PyYAML (YAML 1.1),
which takes 5e-06 for a word: three of ruamel.yaml's representers would have to be replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def yaml_with_reasons(title: str, values: Mapping[str, Any], why: Mapping[str, str], flow: bool = False) -> str:
    """Return a YAML file with `title` as its first comment and `why[key]` beside a key.

    Mappings and lists of one mapping stand below their key, with `flow` behind it; other values are JSON, which is
    YAML too.
    """
    return "\n".join([f"# {title}", *_lines(values, why, flow)]) + "\n"


def _lines(values: Mapping[str, Any], why: Mapping[str, str], flow: bool, indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        reason = f"  # {why[key]}" if key in why else ""
        items = isinstance(value, list) and value and isinstance(value[0], Mapping)
        if flow or not (items or isinstance(value, Mapping)):
            yield f"{indent}{key}: {_json(value)}{reason}"
            continue
        yield f"{indent}{key}:{reason}"
        inner = list(_lines(value[0] if items else value, why, flow, indent + "  "))
        yield from [f"{indent}- {inner[0].strip()}", *inner[1:]] if items else inner


def _json(value: Any) -> str:
    """Return a value as JSON that YAML 1.1 reads the same: it takes 5e-06 for a word, 5.0e-06 for a number."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text

"""Writes and reads the part of Go's templates that our Modelfiles use; reads Modelfiles as Ollama's parser does."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Any

MODELFILE = "Modelfile"


# --- writing -------------------------------------------------------------------------------------------------------
_MESSAGES = re.compile(r"\.Messages\b")


def role_is(role: str) -> str:
    """Return the condition that a message is of a role."""
    return f'eq $m.Role "{role}"'


def go_each(body: str) -> str:
    """Return a template that writes `body` for each message."""
    return f"{{{{ range $i, $m := .Messages }}}}{body}{{{{ end }}}}"


def go_if(condition: str, then: str, other: str = "") -> str:
    """Return a template that writes `then` where a condition holds, else `other`."""
    if then == other:
        return then
    if not then:
        return go_if(f"not ({condition})" if " " in condition else f"not {condition}", other)
    return f"{{{{ if {condition} }}}}{then}{f'{{{{ else }}}}{other}' if other else ''}{{{{ end }}}}"


def missing_blank(blank: str, name: str) -> str:
    """Return a template that adds the blank before an answer where a client has cut it off."""
    return go_if(f'ne (slice {name} 0 1) " "', blank)


# --- reading -------------------------------------------------------------------------------------------------------


def read_modelfile(path: Path) -> list[tuple[str, str]]:
    """Return the commands of a Modelfile as Ollama's parser takes them: `PARAMETER stop x` is ("stop", "x")."""
    lines, out = path.read_text("utf-8").splitlines(), []
    while lines:
        command, _, value = lines.pop(0).partition(" ")
        if command == "PARAMETER":
            command, _, value = value.partition(" ")
        if value.startswith('"""'):
            while len(value) < 6 or not value.endswith('"""'):
                value += "\n" + lines.pop(0)
            value = value[3:-3]
        out.append((command, value))
    return out


@dataclass(frozen=True)
class _Node:
    """A piece of a Go template: "text", "do" (an action), "if" or "range", with the words of its action."""

    kind: str
    words: list[str]
    body: list[_Node] = field(default_factory=list)
    other: list[_Node] = field(default_factory=list)


_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|:=|[()=,]|-?\d+|\$?[\w.]+')


def _go_pieces(template: str) -> list[_Node]:
    """Return texts and actions in order. `{{- ` and ` -}}` remove the white space beside them."""
    out, at, trim = [], 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trim else text
        out.append(_Node("text", [text.rstrip() if match[1] else text]))
        out.append(_Node("do", _WORD.findall(match[2])))
        at, trim = match.end(), bool(match[3])
    return [*out, _Node("text", [template[at:].lstrip() if trim else template[at:]])]


def _go_nodes(pieces: list[_Node]) -> list[_Node]:
    """Return the tree of a template's pieces up to an `else` or `end`, which is then the first of `pieces`."""
    out = []
    while pieces and not (pieces[0].kind == "do" and pieces[0].words[0] in ("else", "end")):
        node = pieces.pop(0)
        if node.kind == "do" and node.words[0] in ("if", "range"):
            node = _Node(node.words[0], node.words[1:], _go_nodes(pieces), _go_else(pieces))
        out.append(node)
    return out


def _go_else(pieces: list[_Node]) -> list[_Node]:
    if pieces.pop(0).words == ["end"]:
        return []
    other = _go_nodes(pieces)
    pieces.pop(0)
    return other


def _go_slice(value: Any, start: int, stop: int | None = None) -> Any:
    data = value.encode() if isinstance(value, str) else value
    if stop is not None and stop > len(data):
        raise IndexError(f"{stop} is over the {len(data)} that there are")
    part = data[start:stop]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


class _GoRun:
    """One execution of a template, with the functions and kinds of names that our Modelfiles use."""

    functions: Mapping[str, Callable[..., Any]] = {
        "not": operator.not_, "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "len": len, "slice": _go_slice,
    }  # fmt: skip

    def __init__(self, data: dict[str, Any]) -> None:
        self.names: dict[str, Any] = {"$": data, "": data}

    def text(self, nodes: list[_Node]) -> str:
        return "".join(map(self._node_text, nodes))

    def _node_text(self, node: _Node) -> str:
        if node.kind == "text":
            return node.words[0]
        if node.kind == "if":
            return self.text(node.body if self._value(node.words) else node.other)
        if node.kind == "range":
            index, _, item, _, *words = node.words
            out = ""
            for at, value in enumerate(self._value(words)):
                self.names[index], self.names[item] = at, value
                out += self.text(node.body)
            return out
        if node.words[1:2] in (["="], [":="]):
            self.names[node.words[0]] = self._value(node.words[2:])
            return ""
        return str(self._value(node.words))

    def _value(self, words: list[str]) -> Any:
        if words[0] in self.functions:
            return self.functions[words[0]](*self._arguments(words[1:]))
        (value,) = self._arguments(words)
        return value

    def _arguments(self, words: list[str]) -> list[Any]:
        out, rest = list[Any](), list(words)
        while rest:
            word = rest.pop(0)
            if word == "(":
                end = next(at for at in range(len(rest)) if rest[: at + 1].count(")") > rest[:at].count("("))
                out.append(self._value(rest[:end]))
                rest = rest[end + 1 :]
            elif word[0] == '"' or word[0] in "-0123456789":
                out.append(json.loads(word))
            else:
                first, *names = word.split(".")
                out.append(reduce(lambda value, name: value[name], filter(None, names), self.names[first]))
        return out


def _go_cut(nodes: list[_Node]) -> tuple[list[_Node], bool]:
    """Return a template cut behind `.Response`, as Ollama runs it last, and whether it has one."""
    for at, node in enumerate(nodes):
        if node.kind == "do" and ".Response" in node.words:
            return nodes[: at + 1], True
        body, met = _go_cut(node.body)
        if met:
            return [*nodes[:at], replace(node, body=body)], True
    return nodes, False


def rendered(template: str, prompts: list[str], replies: list[str], system: str = "") -> str:
    """Return the prompt that Ollama makes of a conversation.

    A template that names `.Messages` runs once. Any other runs for each exchange, and last up to `.Response`.
    """
    nodes = _go_nodes(_go_pieces(template))
    turns = [turn for pair in zip_longest(prompts, replies) for turn in pair if turn is not None]
    messages = [
        {"Role": role, "Content": turn} for role, turn in zip(cycle(("user", "assistant")), turns, strict=False)
    ]
    if _MESSAGES.search(template):
        opening = [{"Role": "system", "Content": system}] if system else []
        return _GoRun({"System": system, "Messages": opening + messages, "Response": ""}).text(nodes)
    out = ""
    for prompt, reply in zip(prompts, replies, strict=False):
        out += _GoRun({"System": system, "Prompt": prompt, "Response": reply}).text(nodes)
        system = ""
    return out + _GoRun({"System": system, "Prompt": prompts[-1], "Response": ""}).text(_go_cut(nodes)[0])

"""Texts that are hostile to one pattern, made from that very pattern, and a measure of how time grows with them."""

from __future__ import annotations

import ast
import random
import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conftest import ROOT

METHODS: Final = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")
SOURCES: Final = [
    path
    for folder in ("curator", "plugins", "trainer")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.parent.name != "recipes"
]
_SPARE: Final = "xa Z5\n.-_\"']<>,é字ा🤔\x00"
# Whoever attacks no pattern in particular sends these.
_ALWAYS: Final = (
    *" \n\t\"'<>[]({`*-_aA1:\\&é字。ा🤔\u200e", "\r\n", " \n", "\n ", "**", "1 ", "a ", "a.", "a\n", "http://", "a@",
    "\n\n a",
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A call of re.compile or re2.compile in our code, the name of what it makes, and how that is used."""

    path: Path
    lines: range
    name: str
    methods: frozenset[str]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.lines.start}"


def _compiles(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "compile"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("re", "re2")
    )


def _uses(tree: ast.Module) -> dict[str, set[str]]:
    """How names are used: the methods called of each, and "passed" where it goes elsewhere."""
    found: dict[str, set[str]] = {}
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := _named(node.value)):
            inner.add(id(node.value))
            if node.attr in METHODS:
                found.setdefault(name, set()).add(node.attr)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "ctx", None), ast.Load) and id(node) not in inner and (name := _named(node)):
            found.setdefault(name, set()).add("passed")
    return found


def _named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def sites() -> list[Site]:
    """Every place of our code that makes a pattern."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
    uses = {path: _uses(tree) for path, tree in trees.items()}
    found = []
    for path, tree in trees.items():
        owners: dict[int, list[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [_named(each) for target in targets for each in getattr(target, "elts", [target])]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for name, value in zip(names, values, strict=False):
                    owners.setdefault(id(value), []).append(name)
        for node in ast.walk(tree):
            if not _compiles(node):
                continue
            assert isinstance(node, ast.Call)
            used: set[str] = set()
            for name in owners.get(id(node), ["?"]):
                for users in [uses[path]] if name.startswith("_") else list(uses.values()):
                    used |= users.get(name, set())
            name = owners.get(id(node), ["?"])[0]
            methods = (used & set(METHODS)) | ({"search", "finditer"} if "passed" in used or not used else set())
            found.append(Site(path, range(node.lineno, (node.end_lineno or node.lineno) + 1), name, frozenset(methods)))
    return found


def uncompiled() -> Iterator[str]:
    """Every call of our code such as re.sub(...), whose pattern no list of compiled ones has."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("re", "re2"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: from {node.module} import"
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("re", "re2")
                and node.func.attr in METHODS
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.func.value.id}.{node.func.attr}"


class Hostile:
    """Texts that are hostile to a pattern: each is a function of a length."""

    def __init__(self, pattern: str | bytes, flags: int, seed: int) -> None:
        self._bytes = isinstance(pattern, bytes)
        self._random = random.Random(seed)
        self._groups: dict[int, str] = {}
        self._atoms: dict[str, None] = {}
        self._pumps: dict[tuple[str, str], None] = {}
        self._wholes: dict[str, None] = {}
        try:
            self._tree = parser.parse(pattern, flags)
        except re.error:  # what re2 alone writes so: \z, \pL
            text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
            self._atoms = dict.fromkeys(text)
            return
        for _ in range(6):
            self._wholes[self._some(self._tree, [])] = None

    def __iter__(self) -> Iterator[tuple[str, Callable[[int], str | bytes]]]:
        atoms = list(self._atoms)
        self._random.shuffle(atoms)
        pumps = list(self._pumps)
        self._random.shuffle(pumps)
        tails = ("", "\x00", "!", "\n", " x", *list(self._wholes)[:1])
        for head, body in pumps[:40]:
            for tail in self._random.sample(tails, 3):
                yield self._text(head, body, tail)
            if head:
                yield self._text("", head + body, "")
                yield self._text("", head, "\x00")
        for whole in self._wholes:
            for cut in {whole, whole[:-1], whole[: len(whole) // 2], whole + " ", whole + "\n"} - {""}:
                yield self._text("", cut, self._random.choice(tails))
        for atom in atoms[:24]:
            yield self._text("", atom, self._random.choice(tails))
            yield self._text("", atom + self._random.choice(atoms), self._random.choice(tails))
            yield self._text("", atom + " ", "\x00")
        for atom in _ALWAYS:
            yield self._text(self._random.choice(("", "x", "\n")), atom, self._random.choice(tails))

    def _text(self, head: str, body: str, tail: str) -> tuple[str, Callable[[int], str | bytes]]:
        def made(size: int) -> str | bytes:
            text = head + body * max(1, (size - len(head) - len(tail)) // max(1, len(body))) + tail
            return text.encode("utf-8", "surrogatepass") if self._bytes else text

        return f"{head!r} + {body!r} * n + {tail!r}", made

    def _some(self, tree: Any, before: list[str]) -> str:
        """A text that the tree, or nearly, matches; each repeat met is noted with what leads to it."""
        here: list[str] = []
        for kind, value in tree:
            piece = ""
            if kind in (op.LITERAL,):
                piece = self._atom(chr(value))
            elif kind is op.NOT_LITERAL:
                piece = self._atom(next(each for each in _SPARE if ord(each) != value))
            elif kind is op.ANY:
                piece = self._atom(self._random.choice('xa <["*'))
            elif kind is op.IN:
                piece = self._atom(self._member(value))
            elif kind is op.BRANCH:
                piece = self._some(self._random.choice(value[1]), [*before, *here])
            elif kind is op.SUBPATTERN:
                piece = self._some(value[3], [*before, *here])
                if value[0]:
                    self._groups[value[0]] = piece
            elif kind is op.ATOMIC_GROUP:
                piece = self._some(value, [*before, *here])
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
                low, high, body = value
                times = min(int(high), int(low) + self._random.randint(0, 2), 64)
                piece = "".join(self._some(body, [*before, *here]) for _ in range(times))
                one = self._some(body, [*before, *here])
                if high > 8 and one:
                    head = "".join([*before, *here])
                    self._pumps.setdefault((head, one))
                    self._pumps.setdefault(("", one))
            elif kind is op.GROUPREF:
                piece = self._groups.get(value, "")
            elif kind is op.ASSERT and value[0] > 0 and self._random.random() < 0.5:
                piece = self._some(value[1], [*before, *here])
            here.append(piece)
        return "".join(here)

    def _atom(self, text: str) -> str:
        if "\ud800" <= text <= "\udfff":
            text = "x"
        self._atoms.setdefault(text)
        return text

    def _member(self, items: list[tuple[Any, Any]]) -> str:
        if items[0][0] is op.NEGATE:
            return self._random.choice([each for each in _SPARE if not _within(items[1:], each)] or ["\u2603"])
        kind, value = self._random.choice(items)
        if kind is op.LITERAL:
            return chr(value)
        if kind is op.RANGE:
            return chr(self._random.choice((value[0], value[1], self._random.randint(*value))))
        return self._random.choice([each for each in _SPARE if _within([(kind, value)], each)] or ["x"])


def _within(items: list[tuple[Any, Any]], letter: str) -> bool:
    code = ord(letter)
    categories = {
        op.CATEGORY_DIGIT: letter.isdecimal(),
        op.CATEGORY_NOT_DIGIT: not letter.isdecimal(),
        op.CATEGORY_SPACE: letter.isspace(),
        op.CATEGORY_NOT_SPACE: not letter.isspace(),
        op.CATEGORY_WORD: letter.isalnum() or letter == "_",
        op.CATEGORY_NOT_WORD: not (letter.isalnum() or letter == "_"),
    }
    return any(
        code == value
        if kind is op.LITERAL
        else value[0] <= code <= value[1]
        if kind is op.RANGE
        else categories.get(value, False)
        for kind, value in items
    )


class TooLong(Exception):
    """A call took more processor time than growth in proportion can take."""


def seconds(call: Callable[[], object], limit: float) -> float:
    """How long a call takes, in processor time where that is less; infinity where it is ended at the limit.

    Processor time is counted in steps of some milliseconds, other programs do not add to it.
    """

    def ended(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, max(limit, 0.5))
    start, used = time.perf_counter(), time.process_time()
    try:
        call()
        return min(time.perf_counter() - start, time.process_time() - used + 0.02)
    except TooLong:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def grows(call: Callable[[Any], object], made: Callable[[int], Any]) -> str:
    """Say how time grows where it grows by more than twice what is in proportion, from 1k to 64k; "" where it does not.

    Of several tries the shortest counts, so that a busy machine does not. What takes less than 5 ms at 16k cannot be
    quadratic: a step would take some hundredths of a nanosecond.
    """
    sizes = (1 << 10, 1 << 14, 1 << 16)
    best = dict.fromkeys(sizes, float("inf"))
    texts = {size: made(size) for size in sizes[:2]}
    for _ in range(5):
        best[sizes[0]] = min(best[sizes[0]], seconds(lambda: call(texts[sizes[0]]), 10.0))
        if best[sizes[0]] == float("inf"):
            return "over 10 s at 1k"
        limit = max(3.0, 200 * best[sizes[0]])
        best[sizes[1]] = min(best[sizes[1]], seconds(lambda: call(texts[sizes[1]]), limit))
        if best[sizes[1]] < 0.005:
            return ""
        # Sixteen times the text: what is in proportion takes 16 times as long, what is quadratic 256 times.
        if best[sizes[1]] > max(0.15, 80 * best[sizes[0]]):
            continue
        texts.setdefault(sizes[2], made(sizes[2]))
        best[sizes[2]] = min(best[sizes[2]], seconds(lambda: call(texts[sizes[2]]), 20 * best[sizes[1]]))
        if best[sizes[2]] < max(0.15, 10 * best[sizes[1]]):
            return ""
    return ", ".join(f"{taken:.4f} s at {size >> 10}k" for size, taken in best.items())

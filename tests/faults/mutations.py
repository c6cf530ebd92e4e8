"""Files that were damaged, or that another program wrote, under every command that reads them.

A file of JSON, or a line of one, gets a value of another type in one of its places, a key twice, or one less; any file
is cut off, overwritten, doubled, or loses or gains some bytes. What is drawn is drawn by FAULTS_SEED.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults_fixtures import FIGURES, SEED, Case, Outcome, Server, World, is_leftover, said_wrong
from json_fixtures import VALUES, damaged, places, with_value, without
from memory_fixtures import CORE, FILES, MEMORIES, USERS

_SAME_KIND = re.compile(r"\d+|[0-9a-f]{12,}")  # what differs in the names of files of a kind
_NOT_READ = re.compile(r"\.lock|\.sqlite|(^|/)cache/")
# What no command writes to.
_SOURCES = re.compile(r"home/(etc|families|persona|profiles/[^/]+/(memory|persona))/|src/(?!shards/)")
_LARGE = 1 << 16  # bytes of a file of which a place is not looked for as JSON
_BYTES = [b"\0", b"\xff\xfe", b"\r\n", b"{", b"]", b'"', b"\xed\xa0\x80", b"9" * 5_000]  # that files gain
_HANGS = 60.0  # seconds
OWN_FAMILY = {"family": "own", "user_prefix": "<u>", "assistant_prefix": "<a>", "eos_token": "</a>"}


@dataclass
class Mutations:
    """A command in a world, tried with one file of it after the other mutated."""

    case: Case
    server: Server
    world: World
    reads: bool = False  # the command only reads: what it was tried on is as it was
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.restore()
        self.spread = random.Random(f"{SEED} {self.case.shown}")
        self.kinds: dict[str, list[Path]] = {}
        for path in sorted((self.world.folder / name for name in ("home", "src", "out")), key=str):
            for file in sorted(path.rglob("*")):
                name = str(file.relative_to(self.world.folder))
                if file.is_file() and not file.is_symlink() and not _NOT_READ.search(name) and not is_leftover(name):
                    self.kinds.setdefault(_SAME_KIND.sub("#", name), []).append(file)

    def try_some(self, number: int) -> None:
        """Try so many mutations, of each kind of file about as many."""
        kinds = sorted(self.kinds)
        self.spread.shuffle(kinds)
        for count in range(number):
            self.try_one(self.spread.choice(self.kinds[kinds[count % len(kinds)]]))

    def try_one(self, path: Path) -> None:
        """Mutate a file, run the command, and put all back."""
        whole = path.read_bytes()
        way, raw = mutated(whole, path.name, self.spread)
        path.write_bytes(raw)
        before = self._sources()
        met = self.server.run(self.world, self.case.command(self.world), stdin=self.case.stdin, timeout=_HANGS)
        problems = self._wrong(met, before)
        name = f"{self.server.program} {self.case.shown}"
        FIGURES[name, "mutation", "tried"] += 1
        if problems:
            FIGURES[name, "mutation", "failed"] += 1
            shown = path.relative_to(self.world.folder)
            self.failures.append(
                f"{shown}, {way}: status {met.status}; {'; '.join(problems)}\n    {met.err[-1500:]}\n    {raw[:300]!r}"
            )
        if self.reads:
            path.write_bytes(whole)
        else:
            self.world.restore()

    def _sources(self) -> dict[str, bytes]:
        found = {}
        for path in self.world.folder.rglob("*"):
            name = str(path.relative_to(self.world.folder))
            if _SOURCES.match(name) and path.is_file():
                found[name] = path.read_bytes()
        return found

    def _wrong(self, met: Outcome, before: dict[str, bytes]) -> list[str]:
        problems = said_wrong(met) if met.status != "1" or not met.out else []  # a finding is a result
        if met.status not in ("0", "1", "2", "3", "hangs"):
            problems.append("no status of ours")
        if self._sources() != before:
            problems.append("a source was changed")
        if left := [name for name in self.world.state() if is_leftover(name)]:
            problems.append(f"left {left[:4]}")
        return problems

    def done(self) -> None:
        """Fail with everything that was found."""
        assert not self.failures, f"{len(self.failures)} failed (FAULTS_SEED={SEED}):\n" + "\n".join(self.failures)


def mutated(raw: bytes, name: str, spread: random.Random) -> tuple[str, bytes]:
    """What was done to a file, and its bytes."""
    if len(raw) <= _LARGE and spread.random() < 0.7:
        if name.endswith(".json") and (found := _other_value(raw, spread)):
            return found
        if name.endswith(".jsonl") and (lines := raw.splitlines()):
            at = spread.randrange(len(lines))
            if found := _other_value(lines[at], spread):
                lines[at] = found[1]
                return f"line {at + 1}: {found[0]}", b"\n".join(lines) + b"\n"
    return spread.choice(_WAYS)(raw, spread)


def _other_value(raw: bytes, spread: random.Random) -> tuple[str, bytes] | None:
    try:
        document = json.loads(raw)
    except ValueError:
        return None
    at = spread.choice([*places(document)])
    if at and spread.random() < 0.15:
        return f"without {at}", without(document, at).encode()
    if at and isinstance(at[-1], str) and spread.random() < 0.1:
        text = with_value(document, at, '1, "k": 2').replace('"k": 2', f"{json.dumps(at[-1])}: 2")
        return f"{at} twice", text.encode()
    kind = spread.choice([*VALUES])
    return f"{kind} at {at}", with_value(document, at, VALUES[kind]).encode()


def _flipped(raw: bytes, spread: random.Random) -> tuple[str, bytes]:
    if not raw:
        return "a byte", b"\x80"
    at = spread.randrange(len(raw))
    return f"byte {at} is another", raw[:at] + bytes([raw[at] ^ (1 << spread.randrange(8))]) + raw[at + 1 :]


def _cut(raw: bytes, spread: random.Random) -> tuple[str, bytes]:
    at = spread.randrange(len(raw) + 1)
    return f"cut off at {at}", raw[:at]


def _less(raw: bytes, spread: random.Random) -> tuple[str, bytes]:
    start = spread.randrange(len(raw) + 1)
    end = min(len(raw), start + spread.randrange(1, 200))
    return f"without bytes {start} to {end}", raw[:start] + raw[end:]


def _more(raw: bytes, spread: random.Random) -> tuple[str, bytes]:
    at = spread.randrange(len(raw) + 1)
    put = spread.choice(
        [b"\0", b"\xff\xfe", b"\r\n", b"{", b"]", b'"', b"\xed\xa0\x80", b"9" * 5_000, spread.randbytes(64)]
    )
    return f"{put[:8]!r} at {at}", raw[:at] + put + raw[at:]


def _overwritten(raw: bytes, spread: random.Random) -> tuple[str, bytes]:
    return spread.choice([*damaged(raw), ("noise", spread.randbytes(max(1, len(raw))))])


_WAYS: list[Callable[[bytes, random.Random], tuple[str, bytes]]] = [_flipped, _cut, _less, _more, _overwritten]


def rich(home: Path) -> None:
    """Add what a home may hold besides conversations: every kind of file that a run reads."""
    profile = home / "profiles" / "ann"
    put = {
        profile / "persona" / "core.json": CORE,
        home / "persona" / "users.json": USERS,
        home / "families" / "own.json": OWN_FAMILY,
        **{profile / folder / "one.json": document for folder, document in FILES.items()},
        **{profile / "memory" / "episodic" / "2025" / f"{name}.json": one for name, one in MEMORIES.items()},
    }
    for path, document in put.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), "utf-8")

"""No pattern of ours takes time that grows by more than in proportion to its text.

Every place that compiles a pattern is known (`sites`), every one is reached (`collect_patterns.py`), and each pattern
is given texts that are made of its own parts to be hostile to it, by the methods that our code calls.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import re2
from conftest import ROOT
from pattern_fixtures import Hostile, Site, grows, sites, uncompiled

SEED: Final = int(os.environ.get("FAULTS_SEED", "19"))
# Patterns that never see a long text: the most characters that reach them, and what sees to it.
SHORT: Final = {
    ("curator/contract/special_tokens.py", "_TYPE_BEFORE"): (60, "search(text, start - 60, start)"),
    ("curator/importing/dates/written_dates.py", "_TIME"): (200, "read_date takes 200 characters"),
    ("curator/importing/dates/written_dates.py", "_CJK"): (200, "read_date takes 200 characters"),
    ("curator/language/table.py", "FACE"): (24, "search(text[-24:])"),
    ("curator/language/table.py", "UNFINISHED"): (24, "search(text[-24:])"),
}
PARTS: Final = 16


@cache
def collected() -> tuple[list[Site], dict[Site, list[tuple[str | bytes, int, str]]]]:
    """Every place that compiles patterns, and the (pattern, flags, module) that it compiled."""
    places = sites()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("collect_patterns.py"))],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    by_file: dict[Path, list[Site]] = {}
    for site in places:
        by_file.setdefault(site.path, []).append(site)
    found: dict[Site, list[tuple[str | bytes, int, str]]] = {}
    for line in done.stdout.splitlines():
        file, number, pattern, kind, flags, module = json.loads(line)
        made = pattern if kind == "s" else pattern.encode("latin-1")
        for site in by_file.get(Path(file).resolve(), []):
            if number in site.lines:
                found.setdefault(site, []).append((made, flags, module))
    return places, found


def compiled(pattern: str | bytes, flags: int, module: str) -> Any:
    if module == "re":
        return re.compile(pattern, flags)
    options = re2.Options()
    options.log_errors, options.case_sensitive = False, not flags
    return re2.compile(pattern, options)


def complaints(part: int, parts: int, seed: int) -> Iterator[str]:
    """Yield what grows too fast among one in `parts` of the patterns."""
    tried: set[tuple[Any, ...]] = set()
    for site, patterns in sorted(collected()[1].items(), key=lambda item: str(item[0])):
        for pattern, flags, module in patterns:
            key = (pattern, flags, module, site.methods)
            if (str(site.path.relative_to(ROOT)), site.name) in SHORT or key in tried:
                continue
            tried.add(key)
            if len(tried) % parts != part:
                continue
            one = compiled(pattern, flags, module)
            calls = {getattr(one, name) for name in site.methods & {"search", "match", "fullmatch"}}
            if site.methods - {"search", "match", "fullmatch"}:
                calls.add(lambda text, one=one: sum(1 for _ in one.finditer(text)))
            for call in calls:
                for shown, made in Hostile(pattern, flags, seed):
                    if faster := grows(call, made):
                        yield f"{site} {site.name}: {pattern!r:.120} on {shown:.200}: {faster}"
                        break


def test_every_place_that_compiles_a_pattern_is_reached() -> None:
    places, found = collected()
    assert len(places) > 350
    assert [str(site) for site in places if site not in found] == []


def test_no_pattern_is_used_that_is_not_compiled_by_name() -> None:
    assert list(uncompiled()) == []


def test_what_is_said_to_be_short_is_still_there() -> None:
    assert {(str(site.path.relative_to(ROOT)), site.name) for site in collected()[0]} >= SHORT.keys()


@pytest.mark.verify  # a clock decides: on a busy machine it is wrong at times
def test_growth_is_seen_where_it_is_there() -> None:
    for slow in (r"(a+)+$", r"\s+$", r"\A\s*x\s*(.+?)\s*\n\s*\n\s*y", r"[a-z]+@"):
        assert any(grows(re.compile(slow).search, made) for _, made in Hostile(slow, 0, 1)), slow
    for fast in (r"a+", r"(?<!\s)\s++$", r"<[^<>]*>"):
        assert not any(grows(re.compile(fast).search, made) for _, made in Hostile(fast, 0, 1)), fast


@pytest.mark.verify
def test_a_share_of_the_patterns_is_linear() -> None:
    print("seed", SEED)
    assert list(complaints(SEED % 40, 40, SEED)) == []


@pytest.mark.verify
@pytest.mark.parametrize("part", range(PARTS))
def test_every_pattern_is_linear(part: int) -> None:
    print("seed", SEED)
    assert list(complaints(part, PARTS, SEED)) == []

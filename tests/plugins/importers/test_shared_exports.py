"""The small exports on which readers are tried: each gives the messages and the reasons of its expected.json.

They lie beside the repository, not in it; where they are absent these tests are skipped. Tests of the same kinds with
content of their own stand beside this file.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import SHARED

from curator.contract.errors import UsageError
from curator.importing.job import ImportRequest, Readers, import_export
from curator.records import ImportedMessage
from importers.reading_fixtures import readers

CASES: Final = SHARED / "cases" / "importers.tar.gz"
pytestmark = pytest.mark.skipif(not CASES.is_file(), reason=f"{CASES.name} is not beside this repository")
# Named only on request, and what it is called here.
ASKED: Final = {"plain_text": "transcript"}
COMPARED: Final = ("time", "sender", "is_owner", "text", "edited", "attachments", "day", "quote", "prompt")


def cases() -> list[str]:
    if not CASES.is_file():
        return []
    with tarfile.open(CASES) as archive:
        names = [Path(name).parts for name in archive.getnames() if name.endswith("/expected.json")]
    return sorted("/".join(parts[-3:-1]) for parts in names if "metahuman_enc" not in parts)


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exports")
    with tarfile.open(CASES) as archive:
        archive.extractall(place, filter="data")
    return next(path for path in place.rglob("expected.json")).parents[2]


def by_conversation(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["conversation"]].append(row)
    return dict(found)


def comparable(field: str, value: Any) -> Any:
    return datetime.fromisoformat(value).timestamp() if field == "time" and value else value


@pytest.mark.parametrize("case", cases())
def test_an_export_gives_what_is_expected(case: str, unpacked: Path, tmp_path: Path) -> None:
    wanted = json.loads((unpacked / case / "expected.json").read_text("utf-8"))
    options, owners = wanted["options"], wanted["options"].get("owner") or ()
    request = ImportRequest(
        paths=(unpacked / case / "input",),
        profile=tmp_path,
        owners=(owners,) if isinstance(owners, str) else tuple(owners),
        timezone=options.get("timezone"),
        date_order=options.get("date_order"),
        format=ASKED.get(case.split("/")[0]),
    )
    ours = Readers({name: ("built in", one) for name, one in readers().items()}, frozenset({"built in"}))
    if not wanted["messages"]:
        with pytest.raises(UsageError, match="--date-order"):
            import_export(request, ours)
        return
    outcome = import_export(request, ours)
    assert outcome.folder is not None
    lines = (outcome.folder / "messages.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] != "alternative"]
    got, expected = by_conversation(rows), by_conversation(wanted["messages"])
    assert {name: len(talk) for name, talk in got.items()} == {name: len(talk) for name, talk in expected.items()}
    for name, talk in expected.items():
        for number, (row, right) in enumerate(zip(got[name], talk, strict=True)):
            for field in (field for field in COMPARED if field in right):
                assert comparable(field, row[field]) == comparable(field, right[field]), (name, number, field)
    reasons = Counter()
    for line in (outcome.folder / "skipped.jsonl").read_text("utf-8").splitlines():
        reasons[json.loads(line)["reason"]] += json.loads(line)["count"]
    right_reasons: Counter[str] = Counter()
    for skip in wanted["skipped"]:
        right_reasons[skip["reason"]] += skip["count"]
    assert reasons == right_reasons


def test_the_fields_that_are_compared_are_fields_of_a_message() -> None:
    assert set(COMPARED) <= set(ImportedMessage.__struct_fields__)

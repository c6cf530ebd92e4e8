"""`curate export` of a persona pack: its files, the sources of every sample that it quotes, and export.json, last."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from curator.contract import __version__
from curator.contract.cli_frame import stoppable
from curator.contract.errors import PluginError, counted
from curator.contract.files import HashedFile, read_bytes, whole_folder
from curator.contract.records import SUMMARY
from curator.exports.export import MANIFEST, encrypted_warning, free_place
from curator.exports.plan import PackPlan
from curator.hooks import Pack
from curator.plugin_errors import defined
from curator.plugin_manager import call_plugin
from curator.records import EXPORT_FORMAT, EXPORT_VERSION, ExportSummary, PackSource

SOURCES: Final = "sources.jsonl"
_SAMPLE: Final = re.compile(r"\b[0-9a-f]{16}-\d+\b")
_encode_lines = msgspec.json.Encoder().encode_lines


def export_pack(plan: PackPlan) -> tuple[ExportSummary, Pack]:
    """Write a persona pack, whole or not at all. Raises UsageError where `out` is taken."""
    place = free_place(plan.request.out)
    with stoppable(), whole_folder(place, doing="cannot write the pack") as folder:
        pack = _made(plan)
        files = {**pack.files, SOURCES: _encode_lines(list(_sources(plan, pack.files)))}
        hashes = {name: _write(folder, name, data) for name, data in sorted(files.items())}
        summary = _summary(plan, pack, hashes)
        _write(folder, MANIFEST, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    return summary, pack


def _made(plan: PackPlan) -> Pack:
    make = plan.exporter.pack
    if make is None:
        raise PluginError(
            f"plugin {plan.plugin!r}: the exporter {plan.exporter.name!r} is of the kind 'pack' and has no pack",
            "give it one: Exporter(name, title, kind='pack', pack=...)",
        )
    pack = call_plugin(plan.plugin, "pack", "", make, plan.job)
    if not isinstance(pack, Pack) or pack.first not in pack.files:
        raise PluginError(
            f"plugin {plan.plugin!r}: pack returned {type(pack).__name__}: expected a Pack whose `first` is one of its "
            f"files{defined(make)}"
        )
    return pack


def _write(folder: Path, name: str, data: str | bytes) -> str:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PluginError(f"an exporter would write outside of its folder: {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = HashedFile(path)
    file.write(data.encode() if isinstance(data, str) else data)
    return file.close()


def _sources(plan: PackPlan, files: Mapping[str, str | bytes]) -> Iterator[PackSource]:
    """Yield each sample that a text of the pack names, with its files and the lines on which it stands."""
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, text in sorted(files.items()):
        if isinstance(text, str):
            for number, line in enumerate(text.split("\n"), 1):
                for sample in dict.fromkeys(_SAMPLE.findall(line)):
                    lines[sample][name].append(number)
    known = plan.samples.sources()
    for sample in sorted(lines.keys() & known.keys()):
        yield PackSource(sample, known[sample], {name: tuple(found) for name, found in lines[sample].items()})


def _summary(plan: PackPlan, pack: Pack, files: dict[str, str]) -> ExportSummary:
    run, request = plan.samples.summary, plan.request
    notes, warnings = list(pack.notes), list(pack.warnings)
    if plan.samples.braced:
        notes.append(f"{counted(plan.samples.braced, 'control token')} in the texts: written in braces")
    if opened := run.get("encrypted"):
        warnings.insert(0, encrypted_warning(opened))
    return ExportSummary(
        format=EXPORT_FORMAT,
        version=EXPORT_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        curator_version=__version__,
        tool=plan.exporter.name,
        method="",
        base_model="",
        family="",
        tags="none",
        username=str(run["username"]),
        run=str(run["label"]),
        run_sha256=hashlib.sha256(read_bytes(request.run / SUMMARY)).hexdigest(),
        counts=dict(pack.counts),
        keys=msgspec.Raw(b"{}"),
        unused={},
        notes=tuple(notes),
        commands=(),
        files=files,
        warnings=tuple(warnings),
    )

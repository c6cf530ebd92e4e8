"""The JSON Schemas of every file that is read or written, generated from the record types and the configuration models.

`make schemas` writes them to schemas/; a test fails where the committed ones are stale.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from curator import config, records
from curator.contract import records as contract
from curator.contract.finetune_config import FineTuneConfig
from curator.reports.report import Report

_LINES = {
    "curated_sample": records.CuratedSample,
    "formatted_sample": records.FormattedSample,
    "schema_sample": records.SchemaSample,
    "dataset_line": records.DatasetLine,
    "lineage_line": records.LineageLine,
    "drop": records.Drop,
    "run_summary": records.RunSummary,
    "family": contract.Family,
    "export_index_line": records.ExportIndex,
    "export_summary": records.ExportSummary,
    "pack_source_line": records.PackSource,
    "imported_message": records.ImportedMessage,
    "import_skip": records.Skip,
    "import_summary": records.ImportSummary,
    "people": records.People,
    "report": Report,
}
_MEMORY: dict[str, Any] = {
    "title": "A memory as MetaHuman OS writes it; unknown keys are tolerated",
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "timestamp": {"type": "string", "description": "ISO 8601; without a zone it is taken for UTC"},
        "content": {"type": "string"},
        "type": {"type": "string"},
        "response": {"type": ["string", "null"]},
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"role": {"type": "string"}, "content": {"type": "string"}},
                "required": ["role", "content"],
            },
        },
        "prompt": {"type": "string"},
        "question": {"type": "string"},
        "answer": {"type": "string"},
        "observation": {"type": "string"},
        "tags": {"type": "array"},
        "validation": {"type": "object"},
        "metadata": {"type": ["object", "null"]},
    },
    "anyOf": [
        {"required": [key]}
        for key in ("content", "response", "messages", "prompt", "question", "observation", "metadata")
    ],
}


def all_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its file's name."""
    schemas = {"memory_event": _MEMORY}
    for name, record in _LINES.items():
        schemas[name] = msgspec.json.schema(record)
    models = {name.replace("-", "_"): model for name, model in (config.MODELS | config.EXPORT_MODELS).items()}
    for name, model in (models | {"mode": FineTuneConfig}).items():
        schemas[f"etc_{name}"] = model.model_json_schema()
    for schema in schemas.values():
        _dedent(schema)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return {f"{name}.schema.json": schemas[name] for name in sorted(schemas)}


def _dedent(schema: Any) -> None:
    """Take the indentation out of descriptions, which come from docstrings: Python 3.13 does so by itself."""
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "description" and isinstance(value, str):
            schema[key] = inspect.cleandoc(value)
        elif isinstance(value, dict | list):
            _dedent(value)


def rendered(schema: dict[str, Any]) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

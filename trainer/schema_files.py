"""The JSON Schemas of the files that the trainer reads and writes; `make schemas` puts them into schemas/."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from trainer.checkpoint import Record
from trainer.modes import ModeSettings
from trainer.modules import Manifest
from trainer.report import HealthReport
from trainer.settings import TrainerSettings

_MODELS: dict[str, type[BaseModel]] = {
    "etc_mode": ModeSettings,
    "etc_trainer": TrainerSettings,
    "checkpoint": Record,
    "knowledge_module": Manifest,
    "health": HealthReport,
}


def all_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its file's name."""
    found = {f"{name}.schema.json": model.model_json_schema() for name, model in _MODELS.items()}
    for schema in found.values():
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return found

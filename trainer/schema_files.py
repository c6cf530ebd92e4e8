"""The JSON Schemas of the files that the trainer reads and writes; `make schemas` puts them into schemas/."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from trainer.ablation.ablate import AblationResult
from trainer.ablation.trials import Trial
from trainer.data.token_shards import Manifest
from trainer.evaluation.report import HealthReport
from trainer.mixture.sources import Sources
from trainer.model.checkpoint import Record
from trainer.model.kept import InUse
from trainer.settings import TrainerSettings

_MODELS: dict[str, type[BaseModel]] = {
    "etc_trainer": TrainerSettings,
    "checkpoint": Record,
    "knowledge_module": Manifest,
    "health": HealthReport,
    "base_sources": Sources,
    "checkpoints_in_use": InUse,
    "ablation": AblationResult,
    "ablation_trial": Trial,
}


def all_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its file's name."""
    schemas = {f"{name}.schema.json": model.model_json_schema() for name, model in _MODELS.items()}
    for schema in schemas.values():
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schemas

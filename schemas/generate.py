"""Write every JSON Schema to this folder, the curator's and the trainer's, and take stale ones away: `make schemas`."""

from pathlib import Path
from typing import Any

from curator import schema_files as curator_schemas
from trainer import schema_files as trainer_schemas


def fresh() -> dict[str, str]:
    """Return the text of every schema by its file's name."""
    both: dict[str, dict[str, Any]] = curator_schemas.all_schemas() | trainer_schemas.all_schemas()
    return {name: curator_schemas.rendered(schema) for name, schema in both.items()}


def main() -> None:
    """Write them."""
    folder = Path(__file__).resolve().parent
    for name, text in fresh().items():
        (folder / name).write_text(text, "utf-8")
    for path in folder.glob("*.schema.json"):
        if path.name not in fresh():
            path.unlink()


if __name__ == "__main__":
    main()

"""Read an export folder as MLX-LM itself does, and print what it would train on.

    python read_mlx.py FOLDER TOKENIZER [FOLDER TOKENIZER ...]

Run by an interpreter that has MLX-LM: `pip install "mlx-lm[cpu,train]==0.32.2"` also goes on Linux, and MLX itself is
the real one there. MLX-LM's own code does all the work: lora.py's way of reading lora.yaml, tokenizer_utils.load,
tuner/datasets.py (load_dataset, ChatDataset, CacheDataset) and tuner/trainer.py (iterate_batches, and the mask of
default_loss, written out below since it is not to be had apart from the loss).

Only the base model is another: the tokenizer is that of the folder TOKENIZER. No model is loaded and nothing trained.

Prints a JSON line {"folder", "split", "input_ids", "labels", "beyond"} for each row, in the file's order. `beyond` is a
token that MLX-LM learns behind the row's end, None where it learns none. Exits 1 where rows were lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPLITS = {"train": "train.jsonl", "validation": "valid.jsonl"}


def main() -> None:
    paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    lost = False
    for folder, tokenizer in zip(paths[::2], paths[1::2], strict=True):
        os.chdir(folder)  # as the command is run: `data` of lora.yaml is "."
        with contextlib.redirect_stdout(sys.stderr):
            splits = dict(zip(SPLITS, read(tokenizer), strict=True))
        for split, rows in splits.items():
            for row in rows:
                print(json.dumps({"folder": str(folder), "split": split, **row}))
            path = folder / SPLITS[split]
            given = path.read_bytes().count(b"\n") if path.is_file() else 0
            if given != len(rows):
                print(f"{path}: {given} rows in, {len(rows)} rows out", file=sys.stderr)
                lost = True
    sys.exit(int(lost))


def read(tokenizer: Path) -> list[list[dict[str, Any]]]:
    """Return the rows of both splits as MLX-LM's trainer gets them."""
    import yaml
    from mlx_lm import lora, tokenizer_utils
    from mlx_lm.tuner.datasets import CacheDataset, load_dataset

    with open("lora.yaml") as file:
        given = yaml.load(file, lora.yaml_loader)
    unknown = sorted(set(given) - set(lora.CONFIG_DEFAULTS))
    assert not unknown, f"lora.yaml has keys that mlx_lm.lora does not know: {unknown}"
    config = types.SimpleNamespace(**{**lora.CONFIG_DEFAULTS, **given})
    train, valid, _ = load_dataset(config, tokenizer_utils.load(tokenizer))
    return [seen(CacheDataset(split), config) if len(split) else [] for split in (train, valid)]


def seen(dataset: Any, config: types.SimpleNamespace) -> list[dict[str, Any]]:
    """Return the rows that one pass of iterate_batches yields, in the file's order."""
    batched = Counter(json.dumps(row) for row in trained(dataset, config))
    rows = []
    for number in range(len(dataset)):
        tokens, offset = dataset[number]
        row = next(trained([(tokens, offset)], config, 1))
        batched[json.dumps(row)] -= 1
        rows.append(row)
    assert not any(batched.values()), "iterate_batches yields other rows than the dataset holds"
    return rows


def trained(dataset: Any, config: types.SimpleNamespace, batch_size: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the rows of one pass with their labels: -100 where default_loss has no part."""
    from mlx_lm.tuner.trainer import iterate_batches

    batches = iterate_batches(dataset, batch_size or config.batch_size, config.max_seq_length)
    for batch, lengths in batches:
        for tokens, (offset, length) in zip(batch.tolist(), lengths.tolist(), strict=True):
            # default_loss: the target at place p of the row counts where offset <= p <= length.
            labels = [token if offset <= place <= length else -100 for place, token in enumerate(tokens)]
            yield {
                "input_ids": tokens[:length],
                "labels": labels[:length],
                "beyond": tokens[length] if length < len(tokens) else None,
            }


if __name__ == "__main__":
    main()

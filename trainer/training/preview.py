"""Which tokens of a sample are trained, for the user to check before a training."""

from __future__ import annotations

from typing import Any

from trainer.data.batches import TokenisedExample
from trainer.model.tokenizer import Tokenizer
from trainer.training.finetune import FinetuneContext


def rows(ready: FinetuneContext, number: int) -> list[dict[str, Any]]:
    """Return the first samples of the training split, then of the holdout, as tokens with the weight of each.

    Training samples have the weights of the training, held-out ones the weights of the measurement.
    """
    chosen = [(sample, "train") for sample in ready.weighted()]
    chosen += [(sample, "holdout") for sample in ready.samples.holdout]
    return [_row(sample, split, ready.base.tokenizer) for sample, split in chosen[:number]]


def _row(sample: TokenisedExample, split: str, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "sample": sample.name, "split": split, "tokens": len(sample.ids),
        "trained": sum(weight > 0 for weight in sample.weights),
        "pieces": [tokenizer.piece(index) for index in sample.ids], "weights": list(sample.weights),
    }  # fmt: skip

"""Which tokens of a sample are trained: what a user looks at before a training, and would have to guess elsewhere."""

from __future__ import annotations

from typing import Any

from trainer.batches import Encoded
from trainer.finetune import Prepared
from trainer.tokenizer import SPACE, Tokenizer


def rows(ready: Prepared, number: int) -> list[dict[str, Any]]:
    """Return the first samples of the training split, then of the holdout, as tokens with the weight of each.

    Those to train on have the weights that they are trained with, those held out the ones that they are measured with.
    """
    chosen = [(one, "train") for one in ready.weighted()] + [(one, "holdout") for one in ready.samples.held]
    return [_row(one, split, ready.base.tokenizer) for one, split in chosen[:number]]


def _row(sample: Encoded, split: str, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "sample": sample.name, "split": split, "tokens": len(sample.ids),
        "trained": sum(weight > 0 for weight in sample.weights),
        "pieces": [tokenizer.piece(one) for one in sample.ids], "weights": list(sample.weights),
    }  # fmt: skip


def show(found: list[dict[str, Any]], ready: Prepared) -> None:
    """Print samples on stdout: trained tokens on green, those trained a little on yellow, read ones dim."""
    from rich.console import Console
    from rich.text import Text

    console = Console(emoji=False, highlight=False)
    for row in found:
        console.print(
            Text(f"{row['sample']} ({row['split']}): {row['trained']} of {row['tokens']} tokens are trained", "bold")
        )
        line = Text()
        for index, (piece, weight) in enumerate(zip(row["pieces"], row["weights"], strict=True)):
            line.append(readable(piece, last=index == row["tokens"] - 1), style(weight))
        console.print(line)
        console.print()
    counts = ready.samples.counts()
    legend = Text("legend: ").append("trained", style(1)).append(" ").append("a little", style(0.5)).append(" ")
    console.print(legend.append("read only", style(0)))
    console.print(
        f"{counts['samples']:,} samples, {counts['tokens']:,} tokens, {counts['tokens_trained']:,} of them in replies; "
        f"{counts['samples_held_out']:,} samples held out",
        markup=False,
    )


def style(weight: float) -> str:
    """Return the rich style of a token by its weight."""
    if weight == 0:
        return "dim"
    return "black on yellow" if weight < 1 else "bold black on green"


def readable(piece: str, last: bool = False) -> str:
    """Return a piece as it is shown: blanks as '·', newlines as '⏎'; nothing steers a terminal."""
    if last and piece == "<s>":
        return "<s>"
    text = "⏎\n" if piece == "<0x0A>" else piece.replace(SPACE, "·")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)

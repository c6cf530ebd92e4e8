"""`trainer preview`: which tokens of a sample are trained."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import command_line, console, log, next_step, positive, print_json
from curator.contract.errors import counted
from trainer.cli.options import add_command, input_options, input_words, request_of

if TYPE_CHECKING:
    from trainer.training.finetune import FinetuneContext

_SPACE = "\u2581"  # how SentencePiece writes a blank


def add(commands: Any) -> None:
    """Add the command to the parser."""
    preview = add_command(commands, "preview", _run, "Show which tokens of a sample are trained.")
    input_options(preview)
    preview.add_argument("-n", "--number", type=positive, default=3, metavar="N", help="samples to show (default: 3)")
    preview.add_argument("--json", action="store_true", help="print them as JSON")


def _run(options: argparse.Namespace) -> int:
    from trainer.training.finetune import prepare
    from trainer.training.preview import rows

    ready = prepare(request_of(options))
    for note in ready.notes:  # what was left out, and settings under old names
        log(note)
    samples = rows(ready, options.number)
    if options.json:
        print_json(samples)
    else:
        _show(samples, ready)
    next_step(command_line("trainer", "finetune", *input_words(options)), "trains on them")
    return 0


def _show(samples: list[dict[str, Any]], ready: FinetuneContext) -> None:
    """Print samples on stdout: trained tokens on green, those of a low weight on yellow, untrained ones dim."""
    from rich.text import Text

    screen = console()
    for sample in samples:
        screen.print(
            Text(
                f"{sample['sample']} ({sample['split']}): {sample['trained']} of "
                f"{counted(sample['tokens'], 'token is', 'tokens are')} trained",
                "bold",
            )
        )
        line = Text()
        for index, (piece, weight) in enumerate(zip(sample["pieces"], sample["weights"], strict=True)):
            line.append(_readable(piece, last=index == sample["tokens"] - 1), _style(weight))
        screen.print(line)
        screen.print()
    counts = ready.samples.counts()
    legend = Text("legend: ").append("trained", _style(1)).append(" ").append("a little", _style(0.5)).append(" ")
    screen.print(legend.append("read only", _style(0)))
    screen.print(
        f"{counted(counts['samples'], 'sample')}, {counted(counts['tokens'], 'token')}, "
        f"{counts['tokens_trained']:,} of them in replies; "
        f"{counted(counts['samples_held_out'], 'sample')} held out",
        markup=False,
        soft_wrap=True,
    )


def _style(weight: float) -> str:
    """Return the rich style of a token by its weight."""
    if weight == 0:
        return "dim"
    return "black on yellow" if weight < 1 else "bold black on green"


def _readable(piece: str, last: bool = False) -> str:
    """Return a piece as it is shown: blanks as '·', newlines as '⏎', control characters escaped."""
    if last and piece == "<s>":
        return "<s>"
    text = "⏎\n" if piece == "<0x0A>" else piece.replace(_SPACE, "·")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)

"""`trainer convert`: write a checkpoint again with its weights in another type, or averaged with another's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.errors import UsageError
from trainer.cli.options import add_command, checkpoint_argument, chosen_sampling, drawing_options, say_made
from trainer.names import checkpoint_path


def add(commands: Any) -> None:
    """Add the command to the parser."""
    convert = add_command(
        commands, "convert", _run, "Write a checkpoint again with its weights in another type.",
        "How text is drawn can be stored with it: trainer sample, chat and the exports draw so from then on, and its "
        "fine-tunes too. bfloat16 halves the file. The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    checkpoint_argument(convert)
    convert.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), required=True, help="of the weights")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new checkpoint")
    convert.add_argument("--average", type=checkpoint_path, metavar="CHECKPOINT",
                         help="average the weights with those of an earlier part of the same training")  # fmt: skip
    convert.add_argument("--share", type=float, metavar="S", help="of that one in the average (0.5)")
    drawing_options(convert)


def _run(options: argparse.Namespace) -> int:
    from trainer.model.checkpoint import load_checkpoint, refuse_probe, save_checkpoint
    from trainer.model.lexicon import LEXICON
    from trainer.settings import SamplingSettings, with_options

    checkpoint = load_checkpoint(options.checkpoint)
    notes = [*checkpoint.record.notes, f"weights written as {options.dtype}"]
    state, metrics = checkpoint.state, checkpoint.record.metrics
    if options.share is not None and not options.average:
        raise UsageError("--share: of which?", "name the other checkpoint with --average")
    if options.average:
        share = 0.5 if options.share is None else options.share
        other = load_checkpoint(options.average)
        if not checkpoint.record.is_probe:
            refuse_probe(other, "--average")
        if (other.config, other.tokenizer.sha256) != (checkpoint.config, checkpoint.tokenizer.sha256):
            raise UsageError(
                f"{options.average} has another size or another tokenizer than {options.checkpoint}",
                "average two parts of one training",
            )
        if not 0 < share < 1:
            raise UsageError(f"--share {share:g}: expected a number between 0 and 1")
        state = {name: one.lerp(other.state[name], share) for name, one in state.items()}
        metrics = {name: value for name, value in metrics.items() if not name.startswith("validation_")}  # not of these
        notes.append(f"averaged with {options.average.resolve().name} ({other.sha256[:12]}), share {share:g}")
    drawn = checkpoint.record.sampling
    if chosen := chosen_sampling(options):
        drawn = with_options(drawn or SamplingSettings(), chosen)
    record = checkpoint.record.model_copy(update={"notes": notes, "sampling": drawn, "metrics": metrics})
    words = options.checkpoint / LEXICON
    save_checkpoint(
        options.out, state, checkpoint.config, checkpoint.tokenizer, record, dtype=options.dtype,
        beside={LEXICON: words.read_bytes()} if words.is_file() else {},
    )  # fmt: skip
    print(options.out)
    say_made(options.out)
    return 0

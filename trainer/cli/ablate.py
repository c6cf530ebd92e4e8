"""`trainer ablate`: which parts of a person's texts help a model of them, and which harm it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import (
    command_line,
    count,
    harmless,
    home_option,
    json_option,
    log,
    made,
    next_step,
    number,
    print_json,
    print_table,
    progress_bar,
    whole_number,
)
from trainer.cli.options import add_command, request_of
from trainer.names import checkpoint_path

if TYPE_CHECKING:
    from trainer.ablation.ablate import AblationResult, Row

BY = ("source", "type", "year", "cleaner", "questions")  # of trainer.ablation.parts, which help need not load


def add(commands: Any) -> None:
    """Add the command to the parser."""
    ablate = add_command(
        commands, "ablate", _run, "Say which parts of a person's texts help a model of them, and which harm it.",
        "The small model is trained without each part in turn, several seeds each, and compared on the same held-out "
        "replies. What is stopped goes on. `curate docs ablation` says how.",
    )  # fmt: skip
    source = ablate.add_mutually_exclusive_group()
    source.add_argument("--profile", metavar="P", help="the latest curated run of this profile (default: the only one)")
    source.add_argument("--run", type=Path, metavar="DIR", help="a curated run")
    ablate.add_argument("--by", choices=BY, required=True, help="what a part is")
    ablate.add_argument("--seeds", type=whole_number(2), default=3, metavar="N", help="seeds of each set (default: 3)")
    ablate.add_argument(
        "--alone", action=argparse.BooleanOptionalAction, default=False, help="train on each part alone too"
    )
    ablate.add_argument(
        "--least",
        type=whole_number(2),
        default=20,
        metavar="N",
        help="training samples of a part that is tried (default: 20)",
    )
    ablate.add_argument(
        "--replies", type=whole_number(8), default=48, metavar="N", help="replies written by each model (default: 48)"
    )
    ablate.add_argument("--out", type=Path, metavar="DIR", help="default: in the profile's out/ablations/")
    ablate.add_argument(
        "--base", type=checkpoint_path, metavar="CHECKPOINT", help="what to begin from (default: the built-in base)"
    )
    ablate.add_argument("--epochs", type=number, metavar="E", help="times that every sample is trained on")
    ablate.add_argument("--context", type=whole_number(1), metavar="N", help="tokens of a sample (default: the base's)")
    ablate.add_argument("--replay", type=Path, metavar="DIR", help="token shards of the base's own text")
    ablate.add_argument("--keep-secrets", action="store_true", help="train on samples that hold keys or card numbers")
    ablate.add_argument("--threads", type=count, metavar="N", help="threads of the CPU; 0: one for each core")
    ablate.add_argument("--seed", type=count, metavar="S", help="the first seed, and what is held out (default: 42)")
    home_option(ablate)
    json_option(ablate)


def _run(options: argparse.Namespace) -> int:
    from trainer.ablation.ablate import RESULT, AblationRequest, ablate

    options.data = None
    request = AblationRequest(
        finetune=request_of(options), by=options.by, seeds=options.seeds, alone=options.alone, least=options.least,
        replies=options.replies,
    )  # fmt: skip
    with progress_bar() as progress:
        folder, result = ablate(request, options.out, progress, log)
    if options.json:
        print_json(result.model_dump())
    else:
        _show(result)
    made(folder / RESULT, "the table, for a program")
    if result.advice:
        next_step(result.advice, f"makes the set again without {', '.join(result.harmful)}")
    else:
        run = ("--run", result.run) if options.run else ("--profile", options.profile) if options.profile else ()
        next_step(
            command_line("trainer", "finetune", *run), "fine-tunes on the whole set: no part of it is shown to harm it"
        )
    return 0


def _show(result: AblationResult) -> None:
    heads = ("trained on", "samples", "loss", "of replies", "difference", "says", "invented", "recited", "voice")
    print_table(heads, (_cells(row) for row in result.rows))
    for part, why in result.untried.items():
        print(harmless(f"not tried: {part}: {why}"))
    if result.useless:
        print(harmless(f"make no difference: {', '.join(result.useless)}"))
    print(harmless(f"harm the set, more than noise: {', '.join(result.harmful) or 'none'}"))


def _cells(row: Row) -> tuple[str, ...]:
    difference = "" if row.difference is None else f"{row.difference:+.4f}±{row.margin:.4f}"
    return (
        row.name, f"{row.samples:,}", f"{row.loss:.3f}", f"{row.judged_by:,}", difference, row.says,
        f"{100 * row.invented:.2f}%±{100 * row.invented_margin:.2f}", f"{100 * row.recited:.1f}%",
        "" if row.voice is None else f"{row.voice:.0f}±{row.voice_margin:.0f}",
    )  # fmt: skip

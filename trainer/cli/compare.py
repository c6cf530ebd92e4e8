"""`trainer compare`: the replies of two models side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, json_option, next_step, print_json
from curator.contract.errors import UsageError
from trainer.cli.options import (
    add_command,
    checkpoint_argument,
    decoder_of,
    print_comparison,
    sampling_of,
    sampling_options,
    settings_of,
)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    compare = add_command(commands, "compare", _run, "Show the replies of two models side by side.")
    checkpoint_argument(compare, "base")
    checkpoint_argument(compare, "tuned", "another one")
    compare.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt a line (default: etc/trainer.json's)")
    json_option(compare)
    sampling_options(compare)


def _run(options: argparse.Namespace) -> int:
    from trainer.inference.compare import as_json, compare, read_prompts
    from trainer.model.checkpoint import load_checkpoint

    prompts = read_prompts(options.prompts) if options.prompts else settings_of(options).preview_prompts
    if not prompts:
        raise UsageError(
            "there are no prompts", "name a file with --prompts, or set preview_prompts in etc/trainer.json"
        )
    base, tuned = load_checkpoint(options.base), load_checkpoint(options.tuned)
    sampling = sampling_of(options, tuned)
    decoder_of(tuned, options.threads)  # for the trial of threads
    rows = compare(base, tuned, prompts, sampling)
    if options.json:
        print_json({"base": str(options.base), "tuned": str(options.tuned), "sampling": sampling.as_json(),
                     "rows": as_json(rows)})  # fmt: skip
    else:
        print_comparison(rows, base, tuned)
    next_step(
        command_line("trainer", "health", options.tuned, "--base", options.base), "says in figures what has changed"
    )
    return 0

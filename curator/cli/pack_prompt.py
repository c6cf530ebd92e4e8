"""`curate pack-prompt`: a system prompt with which any chat model writes as the person."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from curator.cli.options import PACKS, export_place, named_run, run_options
from curator.contract.cli_frame import command_line, log, next_step


def add(commands: Any) -> None:
    """Add the command to the parser."""
    prompt = commands.add_parser(
        "pack-prompt",
        help="print a system prompt with which any chat model writes as the person",
        description="Print a system prompt made of a run: how the person writes, a few of their texts, what not to do "
        "and what is not known. Computed, without a language model; nothing is sent anywhere.",
    )
    run_options(prompt)
    prompt.add_argument("--run", dest="run_folder", type=Path, metavar="DIR", help="the same as RUN")
    prompt.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.exports.export import encrypted_warning
    from curator.exports.pack.persona import persona_of
    from curator.exports.pack.prompt import prompt_text
    from curator.exports.pack.summary import notes_of, warnings_of
    from curator.exports.plan import plan_persona

    options.run = options.run_folder or options.run
    run = named_run(options)
    samples, job = plan_persona(run.folder, run.home)
    persona = persona_of(job)
    sys.stdout.write(prompt_text(persona))
    log(f"made from the run {run.folder}")
    if opened := samples.summary.get("encrypted"):
        log(f"! {encrypted_warning(opened)}")
    for warning in warnings_of(persona):
        log(f"! {warning}")
    for note in notes_of(persona):
        log(f"- {note}")
    words = ("--to", PACKS[0], "--out", export_place(run, PACKS[0]))
    next_step(
        command_line("curate", "export", *run.for_curate, *words),
        f"writes it as a folder, with all examples and their sources; --to is {' or '.join(PACKS)}",
    )
    return 0

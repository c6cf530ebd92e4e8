"""`trainer resume`: go on with a training that was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line, home_option, log
from trainer.cli.options import (
    accept_option,
    add_command,
    print_result,
    show_base,
    show_probe,
    show_tuned,
    use_of_checkpoint,
)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    resume = add_command(
        commands, "resume", _run, "Go on with a training that was stopped.",
        "It ends as if it had never stopped. The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    resume.add_argument("out", type=Path, metavar="DIR", help="what was given as --out")
    resume.add_argument("--allow-drift", action="store_true", help="go on although data, settings or machine changed")
    accept_option(resume)
    resume.add_argument("--verbose", action="store_true", help="show every figure and every sample")
    resume.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too (needs tensorboard)")
    resume.add_argument("--json", action="store_true", help="print the checkpoint's record as JSON")
    home_option(resume)


def _run(options: argparse.Namespace) -> int:
    from trainer.training.finetune import resume_finetune
    from trainer.training.pretrain import resume_pretrain
    from trainer.training.progress import console_callback
    from trainer.training.run_dir import RunDir

    run_dir = RunDir(options.out)
    if run_dir.ended():
        run_dir.tidy()
        log(f"{options.out}: its training has ended; there is nothing to go on with")
        print_result(options.out, options.json)
        use_of_checkpoint(options.out)
        return 0
    kind = run_dir.plan()["kind"]
    with console_callback(tensorboard=options.tensorboard, verbose=options.verbose) as callback:
        if kind == "pretrain":
            return show_base(resume_pretrain(options.out, options.allow_drift, callback), options.json)
        out, ready = resume_finetune(
            options.out, callback, allow_drift=options.allow_drift, accept_degraded=options.accept_degraded
        )
    if ready.canaries:
        source = "--run" if "run" in ready.dataset.about else "--data"
        return show_probe(out, options.json, command_line("trainer", "finetune", source, ready.dataset.source))
    return show_tuned(out, ready, options.json)

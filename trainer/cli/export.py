"""`trainer export`: write a model for the program that is to run it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import home_option, log, made, next_step
from curator.contract.errors import UsageError
from curator.contract.homes import optional_home
from trainer.cli.options import add_command


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from trainer.names import DTYPES, TARGETS, checkpoint_path

    export = add_command(
        commands, "export", _run, "Carry a checkpoint to where it is to run.",
        "What is written is read back and must continue three prompts as PyTorch does; else nothing is left. "
        "Of a model trained elsewhere (--to ollama) a Modelfile is written. The last line of stdout is the path made.",
    )  # fmt: skip
    export.add_argument(
        "checkpoint", type=checkpoint_path, metavar="CHECKPOINT",
        help="a checkpoint; for --to ollama also a folder of weights, a PEFT adapter or a .gguf, trained elsewhere",
    )  # fmt: skip
    export.add_argument("--to", choices=TARGETS, required=True, help="what each is for: curate docs small-model")
    export.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a folder, or a .bin, .npz or .gguf file"
    )
    export.add_argument(
        "--dtype", choices=DTYPES, default="f32", help="of the weights (gguf, ollama, hf; default: f32)"
    )
    export.add_argument("--probe", action="store_true", help="export it although canaries were planted in it")
    other = export.add_argument_group("for a model trained elsewhere")
    other.add_argument("--family", metavar="F", help="of etc/schemas/ (default: by the name of the base model)")
    other.add_argument(
        "--base", metavar="NAME", help="what an adapter belongs to: a name in Ollama, a folder of weights or a .gguf"
    )
    other.add_argument(
        "--mode", metavar="M", help="dual, emulation, agent or one of --run: its tags, where it was trained with them"
    )
    other.add_argument("--run", type=Path, metavar="DIR", help="the run that it was trained on, for a plugin's mode")
    other.add_argument("--system", metavar="TEXT", help="system text (default: the family's own)")
    home_option(other)


def _run(options: argparse.Namespace) -> int:
    from trainer.exports import export, how_to_run
    from trainer.external.model import is_external
    from trainer.model.checkpoint import load_checkpoint, refuse_probe

    if options.to == "ollama" and is_external(options.checkpoint):
        return _export_external(options)
    for name in ("family", "base", "mode", "system", "run"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for --to ollama of a model that was trained elsewhere", "leave it out")
    checkpoint = load_checkpoint(options.checkpoint)
    if not options.probe:
        refuse_probe(checkpoint, "trainer export")
    elif checkpoint.record.is_probe:
        log(f"{checkpoint.folder} is a probe: it may say sentences of random words that were planted to be found")
    print(export(checkpoint, options.to, options.out, dtype=options.dtype, log=log))
    made(options.out, "read back; it goes on with three prompts as the checkpoint does")
    next_step(how_to_run(checkpoint, options.to, options.out), "runs it")
    return 0


def _export_external(options: argparse.Namespace) -> int:
    from trainer.exports.go_template import MODELFILE
    from trainer.exports.ollama import name_of
    from trainer.external.modelfile import ModelfileRequest, export_external

    if options.dtype != "f32":
        raise UsageError(
            f"--dtype {options.dtype}: the weights of a model trained elsewhere stay as they are",
            "make a smaller .gguf with llama.cpp's llama-quantize, and export that",
        )
    request = ModelfileRequest(options.family, options.base, options.mode, options.system, options.run)
    print(export_external(options.checkpoint, options.out, request, optional_home(options.home), log))
    made(options.out / MODELFILE, "read back; it makes the prompts of the model's family")
    name, place = name_of(options.out), shlex.quote(str(options.out / MODELFILE))
    next_step(f"ollama create {name} -f {place} && ollama run {name}", "runs it")
    return 0

"""From a checkpoint to every place it runs. Each export is read back and compared with PyTorch before it appears."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.checkpoint import Checkpoint
from trainer.errors import UsageError
from trainer.exports import gguf_file, huggingface, llama2c, npz, ollama, reading
from trainer.exports.checking import check_export, check_modelfile
from trainer.exports.placing import Files, placed, planned
from trainer.layouts import State
from trainer.names import TARGETS


@dataclass(frozen=True)
class Target:
    """One place where a model runs: who writes for it, who reads it back, and how it is run there."""

    suffix: str
    write: Callable[[Checkpoint, Files, str], State | None]
    read: Callable[[Files], reading.ReadBack]
    run: str  # {main}, {beside}, {folder}: paths; {prompt}: for a shell; {context}: tokens
    companions: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("f32",)
    only_folder: bool = False


_QUANTIZED = ("f32", "f16", "q8_0")
_TARGETS = {
    "bin": Target(
        ".bin", llama2c.write_bin, reading.read_bin,
        "./run {main} -z {beside}tokenizer.bin -t 0.8 -n {context} -i {prompt}", ("tokenizer.bin",),
    ),
    "q8": Target(
        ".bin", llama2c.write_q8, reading.read_q8,
        "./runq {main} -z {beside}tokenizer.bin -t 0.8 -n {context} -i {prompt}", ("tokenizer.bin",),
    ),
    "npz": Target(
        ".npz", npz.write, reading.read_npz, "python {beside}numpy_llama.py {main} {prompt}",
        (npz.RUNNER, "tokenizer.model"),
    ),
    "gguf": Target(
        ".gguf", gguf_file.write, reading.read_gguf,
        "llama-completion -m {main} -c {context} -n 120 -no-cnv -p {prompt}", dtypes=_QUANTIZED,
    ),
    "ollama": Target(
        ".gguf", ollama.write, reading.read_gguf, "ollama create NAME -f {beside}Modelfile && ollama run NAME",
        (reading.MODELFILE,), _QUANTIZED, only_folder=True,
    ),
    "hf": Target(
        ".safetensors", huggingface.write, reading.read_hf,
        "transformers.AutoModelForCausalLM.from_pretrained({folder}) in Python", dtypes=("f32", "f16", "bf16"),
        only_folder=True,
    ),
}  # fmt: skip


def export(
    checkpoint: Checkpoint,
    target: str,
    out: Path,
    *,
    dtype: str = "f32",
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a checkpoint for `target` (one of names.TARGETS) to `out`, check it there, and return `out`.

    `out` is a folder, or a file where it ends in .bin, .npz or .gguf; its companions are named after it then. It
    appears whole or not at all. `say` gets lines for a person. Raises UsageError for a target, dtype, size or tokenizer
    that cannot be and for a place that is taken, JobError where it does not run as PyTorch does, HostError for a full
    disk.
    """
    if target not in _TARGETS:
        raise UsageError(f"unknown target {target!r}: expected one of {', '.join(TARGETS)}")
    one = _TARGETS[target]
    if dtype not in one.dtypes:
        raise UsageError(f"--to {target} knows no dtype {dtype!r}: expected {' or '.join(one.dtypes)}")
    _require_bytes(checkpoint)
    names, is_folder = planned(out, one.suffix, one.only_folder)
    with placed(names, is_folder, one.companions) as files:
        rounded = one.write(checkpoint, files, dtype)
        kind = "q8" if target == "q8" else dtype
        check_export(checkpoint, lambda: one.read(files), rounded, kind, say)
        if target == "ollama":
            check_modelfile(files, checkpoint.record.template, checkpoint.config.max_seq_len)
    say(f"run it: {how_to_run(one, names, checkpoint)}")
    return out


def _require_bytes(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    if not {f"<0x{byte:02X}>" for byte in range(256)} <= set(tokenizer.pieces()):
        raise UsageError(
            "the tokenizer has no piece for every byte (<0x00> to <0xFF>): each runtime would read unknown characters "
            "in its own way",
            "train one with: trainer tokenizer train",
        )


def how_to_run(target: Target, files: Files, checkpoint: Checkpoint) -> str:
    """Return the command that runs an export with a prompt in the model's own template."""
    text = checkpoint.record.template.wrap("How are you?")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return target.run.format(
        main=shlex.quote(str(files.main)), beside=shlex.quote(f"{files.folder}/{files.prefix}"),
        folder=repr(str(files.folder)), prompt=f"$'{escaped}'", context=checkpoint.config.max_seq_len,
    )  # fmt: skip

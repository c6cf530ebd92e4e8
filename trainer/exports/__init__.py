"""Exports: from a checkpoint to every place where it runs.

In: a checkpoint. Out: files that are read back and compared with PyTorch before they appear; nothing where they differ.
It knows each runtime's format; it knows no training.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from curator.contract.errors import UsageError
from trainer.exports import gguf_file, go_template, huggingface, llama2c, npz, ollama, readers
from trainer.exports.paths import Files, placed, planned
from trainer.exports.verify import check_export, check_modelfile
from trainer.model.checkpoint import Checkpoint
from trainer.model.convert import StateDict
from trainer.model.prompt_template import Template
from trainer.names import TARGETS


@dataclass(frozen=True)
class Target:
    """A runtime to export to: the writer, the reader that checks it, and the command that runs the result."""

    suffix: str
    write: Callable[[Checkpoint, Files, str], StateDict | None]
    read: Callable[[Files], readers.ReadBack]
    run: str  # {main}, {beside}, {folder}, {prompt}: for a shell; {name}: one in Ollama; {context}: tokens
    companions: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("f32",)
    only_folder: bool = False


_QUANTIZED = ("f32", "f16", "q8_0")
_TARGETS = {
    "bin": Target(
        ".bin", llama2c.write_bin, readers.read_bin,
        "./run {main} -z {beside}tokenizer.bin -t 0.8 -n {context} -i {prompt}", ("tokenizer.bin",),
    ),
    "q8": Target(
        ".bin", llama2c.write_q8, readers.read_q8,
        "./runq {main} -z {beside}tokenizer.bin -t 0.8 -n {context} -i {prompt}", ("tokenizer.bin",),
    ),
    "npz": Target(
        ".npz", npz.write, readers.read_npz, "python3 {beside}numpy_llama.py {main} {prompt}",
        (npz.RUNNER, "tokenizer.model"),
    ),
    "gguf": Target(
        ".gguf", gguf_file.write, readers.read_gguf,
        "llama-completion -m {main} -c {context} -n 120 -no-cnv -p {prompt}", dtypes=_QUANTIZED,
    ),
    "ollama": Target(
        ".gguf", ollama.write, readers.read_gguf, "ollama create {name} -f {beside}Modelfile && ollama run {name}",
        (go_template.MODELFILE,), _QUANTIZED, only_folder=True,
    ),
    "hf": Target(
        ".safetensors", huggingface.write, readers.read_hf,
        "python3 -c 'import sys, transformers as t; "
        'print(t.pipeline("text-generation", sys.argv[1])(sys.argv[2])[0]["generated_text"])\' {folder} {prompt}',
        dtypes=("f32", "f16", "bf16"),
        only_folder=True,
    ),
}  # fmt: skip


def export(
    checkpoint: Checkpoint,
    target: str,
    out: Path,
    *,
    dtype: str = "f32",
    log: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a checkpoint for `target` (one of names.TARGETS) to `out`, check it there, and return `out`.

    `out` is a folder, or a file where it ends in .bin, .npz or .gguf; its companions are named after it then. It
    appears whole or not at all. `log` gets lines for a person. Raises UsageError for an impossible target, dtype, size
    or tokenizer and where `out` exists, JobError where it does not run as PyTorch does, HostError for a full disk.
    """
    if target not in _TARGETS:
        raise UsageError(f"unknown target {target!r}: expected one of {', '.join(TARGETS)}")
    runtime = _TARGETS[target]
    if dtype not in runtime.dtypes:
        raise UsageError(f"--to {target} knows no dtype {dtype!r}: expected {' or '.join(runtime.dtypes)}")
    _require_bytes(checkpoint)
    names, is_folder = planned(out, runtime.suffix, runtime.only_folder)
    with placed(names, is_folder, runtime.companions) as files:
        rounded = runtime.write(checkpoint, files, dtype)
        kind = "q8" if target == "q8" else dtype
        check_export(checkpoint, lambda: runtime.read(files), rounded, kind, log)
        if target == "ollama":
            check_modelfile(files, checkpoint.record.template, checkpoint.config.max_seq_len)
    for note in [*_about_template(target, checkpoint.record.template), *_about_drawing(checkpoint)]:
        log(note)
    return out


def _about_template(target: str, template: Template) -> Iterator[str]:
    """Yield notes for a person on how the runtime uses the template."""
    if len(template.tags) > 1 and target in ("gguf", "hf", "ollama"):
        first, *others = template.tags
        yield (
            f"the model answers in the mode {first}; to have another mode, write its name as the system "
            f"text: {', '.join(others)}"
        )
    if template.plain_quotes and target == "ollama":
        yield (
            "the model has read straight quotes only, and Ollama passes on what is typed: type straight "
            "quotes, not curly ones"
        )


def _about_drawing(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield notes where trainer chat holds the model to known words or picks a reply, which no runtime does."""
    drawn = checkpoint.record.sampling
    if drawn and drawn.best_of > 1:
        yield (
            f"trainer chat draws {drawn.best_of} replies and gives the one that answers best; the runtime gives the "
            "first, so there the model will be beside the question more often"
        )
    if drawn and drawn.known_words:
        yield (
            "trainer chat writes known words alone, by the checkpoint's lexicon.txt.gz; the runtime has no such list, "
            "so there the model may invent a word now and then"
        )


def _require_bytes(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    if not {f"<0x{byte:02X}>" for byte in range(256)} <= set(tokenizer.pieces()):
        raise UsageError(
            "the tokenizer has no piece for every byte (<0x00> to <0xFF>): each runtime would read unknown characters "
            "in its own way",
            "train one with: trainer tokenizer train",
        )


def how_to_run(checkpoint: Checkpoint, target: str, out: Path) -> str:
    """Return the command that runs an export to `out`, with a prompt in the model's own template."""
    runtime = _TARGETS[target]
    files, _ = planned(out, runtime.suffix, runtime.only_folder)
    text = checkpoint.record.template.wrap("How are you?")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return runtime.run.format(
        main=shlex.quote(str(files.main)), beside=shlex.quote(f"{files.folder}/{files.prefix}"),
        folder=shlex.quote(str(files.folder)), name=ollama.name_of(out), prompt=f"$'{escaped}'",
        context=checkpoint.config.max_seq_len,
    )  # fmt: skip

"""The command line of the model side. Each command is a thin layer: options in, one call, result out, talk to stderr.

Exit status: 0 done; 1 the job or its proof failed; 2 usage; 3 disk, memory, lock or permission; 130 and 143 stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trainer.errors import TrainerError, UsageError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status."""
    sys.exit(_guarded(list(sys.argv[1:] if arguments is None else arguments)))


def _harmless(text: str) -> str:
    """Return a message whose control characters, which may come from a file, cannot steer a terminal."""
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _guarded(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except TrainerError as error:
        print(f"trainer: {_harmless(str(error))}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # the reader has left (| head): nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        code = stop.args[0] if stop.args and isinstance(stop.args[0], int) else 130
        print("trainer: stopped", file=sys.stderr)
    except MemoryError:
        print("trainer: out of memory\n  use a smaller model or a shorter --context", file=sys.stderr)
        return 3
    return code


def _command(arguments: list[str]) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.needs_torch:
        _require_torch()
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _require_torch() -> None:
    for name in ("torch", "sentencepiece", "safetensors"):
        try:
            __import__(name)
        except ImportError:
            raise UsageError(
                f"{name} is not installed", "install it with: pip install 'persona-curator[trainer]'"
            ) from None


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of 0 or more")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of 0 or more")
    return value


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; their help stands in docs/commands.md, generated."""
    from trainer.use_cli import add_use_commands

    parser = argparse.ArgumentParser(
        prog="trainer", description="Train, use and export a small Llama on a plain CPU. Everything runs offline."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_finetune(commands)
    _add_preview(commands)
    _add_pretrain(commands)
    _add_resume(commands)
    add_use_commands(commands, add_command)
    _add_export(commands)
    _add_import(commands)
    _add_convert(commands)
    _add_tokenizer(commands)
    _add_modules(commands)
    return parser


def _version() -> str:
    from trainer import __version__

    return f"trainer {__version__}"


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, more: str = "") -> Any:
    """Add a command with its help; `run` gets the options and returns the exit status."""
    parser = commands.add_parser(
        name, help=text[0].lower() + text[1:].rstrip("."), description=f"{text} {more}".strip()
    )
    parser.set_defaults(command=run, needs_torch=True)
    return parser


def _home_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home", metavar="DIR", help="folder that holds profiles/ (default: $CURATOR_HOME, else the nearest upwards)"
    )


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=_positive, metavar="N", help="steps of the training")
    parser.add_argument("--learning-rate", type=_number, metavar="LR", help="highest learning rate")
    parser.add_argument("--batch-rows", type=_positive, metavar="N", help="rows in memory at a time")
    parser.add_argument("--accumulate", type=_positive, metavar="N", help="times so many rows make one step")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), help="auto: by a trial of three passes each")
    parser.add_argument("--compile", choices=("auto", "always", "never"), help="torch.compile; auto: where it repays")
    parser.add_argument("--threads", type=_count, metavar="N", help="threads of the CPU; 0: one for each core")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"), help="default: cpu")
    parser.add_argument("--seed", type=_count, metavar="S", help="decides everything random (default: 42)")
    parser.add_argument("--eval-every", type=_positive, metavar="N", help="steps from one validation to the next")
    parser.add_argument("--save-every", type=_positive, metavar="N", help="steps from one saved state to the next")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too (needs tensorboard)")
    parser.add_argument("--json", action="store_true", help="print the checkpoint's record as JSON")


_SETTINGS = (
    "steps learning_rate batch_rows accumulate precision compile threads seed eval_every save_every patience dropout "
    "validation_share"
).split()


def _given(options: argparse.Namespace, *more: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in (*_SETTINGS, *more) if getattr(options, name, None) is not None}


def _add_pretrain(commands: Any) -> None:
    pretrain = add_command(
        commands, "pretrain", _pretrain, "Train a base on knowledge modules.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    pretrain.add_argument("--modules", type=Path, required=True, metavar="DIR", help="folder of knowledge modules")
    pretrain.add_argument(
        "--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.model of the modules"
    )
    pretrain.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
    pretrain.add_argument("--mix", metavar="NAME=W,...", help="weights of the modules (default: by their tokens)")
    for name, default in (("dim", 288), ("n-layers", 6), ("n-heads", 6), ("n-kv-heads", None), ("hidden-dim", None)):
        pretrain.add_argument(f"--{name}", type=_positive, default=default, metavar="N", help="size of the model")
    pretrain.add_argument("--context", type=_positive, default=256, metavar="N", help="tokens it sees at most")
    pretrain.add_argument("--untied", action="store_true", help="an output matrix of its own")
    _training_options(pretrain)
    _home_option(pretrain)


def _input_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--profile", metavar="P", help="the latest curated run of this profile")
    what.add_argument("--run", type=Path, metavar="DIR", help="a curated run")
    what.add_argument("--data", type=Path, metavar="FILE", help="JSONL: conversations, or input and output")
    parser.add_argument(
        "--base", type=Path, metavar="CHECKPOINT", help="what to begin from (default: the built-in base)"
    )
    parser.add_argument("--context", type=_positive, metavar="N", help="tokens of a sample (default: the base's)")
    parser.add_argument("--prompt-loss-weight", type=_number, metavar="W", help="weight of the prompt's tokens")
    parser.add_argument("--mode-tags", choices=("auto", "none", "keep"), help="tags such as <thought> in the text")
    parser.add_argument("--keep-secrets", action="store_true", help="train on samples that hold keys or card numbers")
    _home_option(parser)


def _add_finetune(commands: Any) -> None:
    finetune = add_command(
        commands, "finetune", _finetune, "Fine-tune a base on dialogues.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    _input_options(finetune)
    finetune.add_argument("--out", type=Path, metavar="DIR", help="default: in the profile's out/checkpoints/")
    finetune.add_argument("--method", choices=("full", "lora"), help="train all weights, or low-rank changes to them")
    finetune.add_argument("--lora-rank", type=_positive, metavar="N", help="rank of those changes")
    finetune.add_argument("--epochs", type=_number, metavar="E", help="times that every sample is trained on")
    finetune.add_argument(
        "--patience", type=_count, metavar="N", help="validations without a lower loss; 0: never stop"
    )
    finetune.add_argument("--validation-share", type=_number, metavar="SHARE", help="share held out of a --data file")
    finetune.add_argument("--dropout", type=_number, metavar="SHARE", help="of the embedding's values")
    finetune.add_argument(
        "--replay", type=Path, metavar="DIR", help="modules of the base's own text (default: what came with the base)"
    )
    _accept_option(finetune)
    _training_options(finetune)


def _accept_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-degraded", action="store_true", help="keep the result although it breaks a budget of etc/trainer.json"
    )


def _add_preview(commands: Any) -> None:
    preview = add_command(commands, "preview", _preview, "Show which tokens of a sample are trained.")
    _input_options(preview)
    preview.add_argument("-n", "--number", type=_positive, default=3, metavar="N", help="samples to show (default: 3)")
    preview.add_argument("--json", action="store_true", help="print them as JSON")


def _add_resume(commands: Any) -> None:
    resume = add_command(
        commands, "resume", _resume, "Go on with a training that was stopped.",
        "It ends as if it had never stopped. The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    resume.add_argument("out", type=Path, metavar="DIR", help="what was given as --out")
    resume.add_argument("--allow-drift", action="store_true", help="go on although data, settings or machine changed")
    _accept_option(resume)
    resume.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too (needs tensorboard)")
    resume.add_argument("--json", action="store_true", help="print the checkpoint's record as JSON")
    _home_option(resume)


def _add_export(commands: Any) -> None:
    from trainer.names import DTYPES, TARGETS

    export = add_command(
        commands, "export", _export, "Carry a checkpoint to where it is to run.",
        "What is written is read back and must continue three prompts as PyTorch does; else nothing is left. "
        "Of a model trained elsewhere (--to ollama) a Modelfile is written. The last line of stdout is the path made.",
    )  # fmt: skip
    export.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT",
        help="a checkpoint; for --to ollama also a folder of weights, a PEFT adapter or a .gguf, trained elsewhere",
    )  # fmt: skip
    export.add_argument("--to", choices=TARGETS, required=True, help="docs/small-model.md says for what each is")
    export.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a folder, or a .bin, .npz or .gguf file"
    )
    export.add_argument(
        "--dtype", choices=DTYPES, default="f32", help="of the weights (gguf, ollama, hf; default: f32)"
    )
    other = export.add_argument_group("for a model trained elsewhere")
    other.add_argument("--family", metavar="F", help="of etc/schemas/ (default: by the name of the base model)")
    other.add_argument(
        "--base", metavar="NAME", help="what an adapter belongs to: a name in Ollama, a folder of weights or a .gguf"
    )
    other.add_argument(
        "--mode", metavar="M", help="dual, emulation or agent: the tags of a mode, where it was trained with them"
    )
    other.add_argument("--system", metavar="TEXT", help="system text (default: the family's own)")
    _home_option(other)


def _add_import(commands: Any) -> None:
    bring = add_command(
        commands, "import", _import, "Bring in a model: llama2.c's ckpt.pt or v0 .bin, or a Hugging Face Llama folder.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    bring.add_argument("source", type=Path, metavar="FILE")
    bring.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.model (default: the one beside it)")
    bring.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")


def _add_convert(commands: Any) -> None:
    convert = add_command(
        commands, "convert", _convert, "Write a checkpoint again with its weights in another type.",
        "bfloat16 halves the file. The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    convert.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    convert.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), required=True, help="of the weights")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new checkpoint")


def _add_tokenizer(commands: Any) -> None:
    tokenizer = commands.add_parser("tokenizer", help="train a tokenizer", description="Train a tokenizer.")
    inner = tokenizer.add_subparsers(title="commands", metavar="COMMAND", required=True)
    train = add_command(
        inner, "train", _tokenizer_train, "Train a SentencePiece tokenizer on text.",
        "The last line of stdout is the file made.",
    )  # fmt: skip
    train.add_argument(
        "--corpus", type=Path, nargs="+", required=True, metavar="FILE", help=".txt, .jsonl, .gz of them"
    )
    train.add_argument("--vocab-size", type=_positive, default=4096, metavar="N", help="pieces (default: 4096)")
    train.add_argument("--plain-quotes", action="store_true", help="make curly quotes straight")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the tokenizer.model to write")


def _add_modules(commands: Any) -> None:
    from trainer.names import SPLITS

    modules = commands.add_parser(
        "modules",
        help="keep knowledge modules",
        description="Keep knowledge modules: tokens for training, with manifests.",
    )
    inner = modules.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = add_command(inner, "add", _modules_add, "Make a module of text, or take in a shard of llama2.c.")
    add.add_argument("name", metavar="NAME")
    what = add.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", type=Path, nargs="+", metavar="FILE", help='.txt, .jsonl ({"text": ...}), .gz of them')
    what.add_argument("--bin", type=Path, metavar="FILE", help="uint16 tokens, as llama2.c's tools write them")
    add.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.model (default: the built-in base's)")
    add.add_argument("--documents", choices=SPLITS, default="file", help="what is a document (default: a file)")
    add.add_argument("--section", type=_positive, default=8000, metavar="N", help="characters of a section (8000)")
    add.add_argument("--plain-quotes", action="store_true", help="make curly quotes straight")
    listing = add_command(inner, "list", _modules_list, "List the modules of a folder.")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    remove = add_command(inner, "remove", _modules_remove, "Delete a module.")
    remove.add_argument("name", metavar="NAME")
    verify = add_command(inner, "verify", _modules_verify, "Check modules against their manifests.")
    verify.add_argument("name", nargs="?", metavar="NAME", help="default: all")
    verify.add_argument("--tokenizer", type=Path, metavar="FILE", help="check that they were made with this one")
    for one in (add, listing, remove, verify):
        one.add_argument("--modules", type=Path, required=True, metavar="DIR", help="folder of the modules")


# --- commands ------------------------------------------------------------------------------------------------------


def _print_result(out: Path, as_json: bool) -> int:
    from trainer.checkpoint import load_record

    if as_json:
        print(json.dumps({"checkpoint": str(out), "record": load_record(out)[1].model_dump()}, indent=2))
    else:
        print(out)
    return 0


def _request(options: argparse.Namespace) -> Any:
    from trainer.finetune import Request
    from trainer.shell import optional_home

    extra = ("prompt_loss_weight", "mode_tags", "method", "lora_rank", "epochs")
    chosen = {name: value for name, value in _given(options, *extra).items() if name != "steps"}
    if "learning_rate" in chosen:
        chosen["lora_learning_rate"] = chosen["learning_rate"]
    return Request(
        home=optional_home(options.home), profile=options.profile, run=options.run, data=options.data,
        base=options.base, keep_secrets=options.keep_secrets,
        out=getattr(options, "out", None), steps=getattr(options, "steps", None), context=options.context,
        device=getattr(options, "device", "cpu"), options=chosen, replay=getattr(options, "replay", None),
        accept_degraded=getattr(options, "accept_degraded", False),
    )  # fmt: skip


def _finetune(options: argparse.Namespace) -> int:
    from trainer.finetune import finetune
    from trainer.progress import watching

    with watching(tensorboard=options.tensorboard) as watcher:
        out, ready = finetune(_request(options), watcher)
    return _show_tuned(out, ready, options.json)


def _show_tuned(out: Path, ready: Any, as_json: bool) -> int:
    from trainer.checkpoint import load_checkpoint
    from trainer.compare import compare, show
    from trainer.generate import Sampling
    from trainer.settings import SamplingSettings

    if not as_json:
        tuned = load_checkpoint(out)
        sampling = Sampling.of(SamplingSettings(max_tokens=60), ready.settings.seed, ready.template.stops)
        show(compare(ready.base, tuned, ready.prompts, sampling), ready.base, tuned)
    return _print_result(out, as_json)


def _preview(options: argparse.Namespace) -> int:
    from trainer.finetune import prepare
    from trainer.preview import rows, show

    ready = prepare(_request(options))
    found = rows(ready, options.number)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, ready)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from trainer.model import ModelConfig
    from trainer.pretrain import pretrain
    from trainer.progress import watching
    from trainer.settings import load_settings, with_options
    from trainer.shell import default_hidden, optional_home
    from trainer.tokenizer import Tokenizer

    settings = with_options(load_settings(optional_home(options.home)).pretrain, _given(options))
    tokenizer = Tokenizer.load(options.tokenizer)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, dim=options.dim, n_layers=options.n_layers, n_heads=options.n_heads,
        n_kv_heads=options.n_kv_heads or options.n_heads, hidden_dim=options.hidden_dim or default_hidden(options.dim),
        max_seq_len=options.context, tied=not options.untied,
    )  # fmt: skip
    with watching(tensorboard=options.tensorboard) as watcher:
        out = pretrain(options.modules, tokenizer, config, settings, options.out, options.mix, options.device, watcher)
    return _print_result(out, options.json)


def _resume(options: argparse.Namespace) -> int:
    from trainer.finetune import resume_finetune
    from trainer.pretrain import resume_pretrain
    from trainer.progress import watching
    from trainer.work import Work

    work = Work(options.out)
    if work.ended():
        work.tidy()
        _say(f"{options.out}: its training has ended; there is nothing to go on with")
        return _print_result(options.out, options.json)
    kind = work.plan()["kind"]
    with watching(tensorboard=options.tensorboard) as watcher:
        if kind == "pretrain":
            out = resume_pretrain(options.out, options.allow_drift, watcher)
        else:
            out, ready = resume_finetune(options.out, options.allow_drift, watcher, options.accept_degraded)
    return _print_result(out, options.json) if kind == "pretrain" else _show_tuned(out, ready, options.json)


def _say(text: str) -> None:
    print(_harmless(text), file=sys.stderr, flush=True)


def _export(options: argparse.Namespace) -> int:
    from trainer.checkpoint import load_checkpoint
    from trainer.exports import export
    from trainer.exports.foreign import is_foreign

    if options.to == "ollama" and is_foreign(options.checkpoint):
        return _export_foreign(options)
    for name in ("family", "base", "mode", "system"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for --to ollama of a model that was trained elsewhere", "leave it out")
    print(export(load_checkpoint(options.checkpoint), options.to, options.out, dtype=options.dtype, say=_say))
    return 0


def _export_foreign(options: argparse.Namespace) -> int:
    from trainer.exports.big_ollama import Wish, export_foreign
    from trainer.shell import optional_home

    if options.dtype != "f32":
        raise UsageError(
            f"--dtype {options.dtype}: the weights of a model trained elsewhere stay as they are",
            "make a smaller .gguf with llama.cpp's llama-quantize, and export that",
        )
    wish = Wish(options.family, options.base, options.mode, options.system)
    print(export_foreign(options.checkpoint, options.out, wish, optional_home(options.home), _say))
    return 0


def _import(options: argparse.Namespace) -> int:
    from trainer.importing import import_checkpoint

    print(import_checkpoint(options.source, options.out, options.tokenizer, _say))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from trainer.checkpoint import load_checkpoint, save_checkpoint
    from trainer.files import write_whole
    from trainer.lexicon import LEXICON

    found = load_checkpoint(options.checkpoint)
    notes = [*found.record.notes, f"weights written as {options.dtype}"]
    record = found.record.model_copy(update={"notes": notes})
    save_checkpoint(options.out, found.state, found.config, found.tokenizer, record, options.dtype)
    if (options.checkpoint / LEXICON).is_file():
        write_whole(options.out / LEXICON, (options.checkpoint / LEXICON).read_bytes())
    print(options.out)
    return 0


def _tokenizer_train(options: argparse.Namespace) -> int:
    from trainer.documents import plain_quotes, read_documents
    from trainer.files import refuse_existing, write_whole
    from trainer.tokenizer import Tokenizer, train_tokenizer

    refuse_existing(options.out)
    texts = (text for path in options.corpus for text in read_documents(path, "file", 1))
    lines = (line for text in texts for line in text.split("\n"))
    model = train_tokenizer(
        (plain_quotes(line) for line in lines) if options.plain_quotes else lines, options.vocab_size
    )
    made = Tokenizer(model)
    write_whole(options.out, model)
    print(f"{made.vocab_size:,} pieces, sha256 {made.sha256[:12]}", file=sys.stderr)
    print(options.out)
    return 0


def _modules_add(options: argparse.Namespace) -> int:
    from trainer.checkpoint import builtin_base
    from trainer.modules import add_bin, add_text
    from trainer.progress import counting
    from trainer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer or builtin_base() / "tokenizer.model")
    if options.bin:
        module = add_bin(options.modules, options.name, options.bin, tokenizer)
    else:
        with counting() as progress:
            module = add_text(options.modules, options.name, options.text, tokenizer, options.documents,
                              options.section, options.plain_quotes, progress)  # fmt: skip
    made = module.manifest
    print(f"{made.documents:,} documents, {made.tokens:,} tokens", file=sys.stderr)
    print(module.path)
    return 0


def _modules_list(options: argparse.Namespace) -> int:
    from trainer.modules import list_modules
    from trainer.shell import table

    found = [module.manifest for module in list_modules(options.modules)]
    if options.json:
        print(json.dumps([one.model_dump() for one in found], indent=2))
        return 0
    rows = [(one.name, f"{one.documents:,}", f"{one.tokens:,}", one.tokenizer_sha256[:12],
             ", ".join(source.name for source in one.sources)[:60]) for one in found]  # fmt: skip
    table(("module", "documents", "tokens", "tokenizer", "made from"), rows)
    return 0


def _modules_remove(options: argparse.Namespace) -> int:
    from trainer.modules import remove_module

    remove_module(options.modules, options.name)
    return 0


def _modules_verify(options: argparse.Namespace) -> int:
    from trainer.modules import check_name, list_modules, load_module, verify_module
    from trainer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    if options.name:
        modules = [load_module(options.modules / f"{check_name(options.name)}.bin")]
    else:
        modules = list_modules(options.modules)
    for module in modules:
        found = verify_module(module, tokenizer)
        checked = "" if found["tokenizer_checked"] else "; the tokenizer was not checked (--tokenizer FILE)"
        print(f"{found['name']}: {found['documents']:,} documents, {found['tokens']:,} tokens, whole{checked}")
    return 0


if __name__ == "__main__":
    main()

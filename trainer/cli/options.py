"""Options that several commands share, and what each command makes of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import (
    command_line,
    console,
    count,
    free_name,
    harmless,
    home_option,
    json_option,
    log,
    made,
    next_step,
    number,
    positive,
    print_json,
    print_table,
)
from curator.contract.errors import CuratorError, UsageError
from curator.contract.homes import CHECKPOINTS, chosen_profile, find_home, find_profile, optional_home
from trainer.names import ENGINES, PAGE_FILE, TARGETS, builtin_base, checkpoint_path

if TYPE_CHECKING:
    from trainer.data.dialogues import Dataset
    from trainer.inference.compare import Row
    from trainer.inference.decoder import Decoder
    from trainer.inference.known_words import KnownWords
    from trainer.inference.sampling import Sampling
    from trainer.inference.sources import Sources
    from trainer.inference.text_stream import TokenSource
    from trainer.model.checkpoint import Checkpoint
    from trainer.settings import SamplingSettings, TrainerSettings
    from trainer.training.finetune import FinetuneContext, FinetuneRequest


def training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a training."""
    parser.add_argument("--steps", type=positive, metavar="N", help="steps of the training")
    parser.add_argument("--learning-rate", type=number, metavar="LR", help="highest learning rate")
    parser.add_argument("--per-device-batch-size", type=positive, metavar="N", help="rows of one micro-batch")
    parser.add_argument(
        "--gradient-accumulation-steps", type=positive, metavar="N", help="micro-batches that make one step"
    )
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), help="auto: by a trial of three passes each")
    parser.add_argument(
        "--compile", choices=("auto", "always", "never"), help="torch.compile; auto: where it saves time"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="threads of the CPU; 0: one for each core")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"), help="default: cpu")
    parser.add_argument("--seed", type=count, metavar="S", help="decides everything random (default: 42)")
    parser.add_argument("--eval-steps", type=positive, metavar="N", help="steps from one validation to the next")
    parser.add_argument("--save-steps", type=positive, metavar="N", help="steps from one saved state to the next")
    parser.add_argument("--verbose", action="store_true", help="show every figure and every sample")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too (needs tensorboard)")
    json_option(parser, "print the checkpoint's record as JSON")
    for new, old in _OLD_NAMES.items():
        renamed(parser, new, old, type=positive)


# Options of version 0.1, still taken.
_OLD_NAMES = {
    "--per-device-batch-size": "--batch-rows",
    "--gradient-accumulation-steps": "--accumulate",
    "--eval-steps": "--eval-every",
    "--save-steps": "--save-every",
}


def renamed(parser: argparse.ArgumentParser, new: str, old: str, **kwargs: Any) -> None:
    """Add an option under its former name. It is not in the help, and using it prints the new name."""

    class Renamed(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            log(f"{old} is called {new} now")
            setattr(namespace, self.dest, values)

    dest = new.removeprefix("--").replace("-", "_")
    parser.add_argument(old, action=Renamed, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **kwargs)


_SETTINGS = (
    "steps", "learning_rate", "per_device_batch_size", "gradient_accumulation_steps", "precision", "compile", "threads",
    "seed", "eval_steps", "save_steps", "patience", "dropout", "holdout_share",
)  # fmt: skip
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_tokens", "known_words", "best_of")


def given(options: argparse.Namespace, *more: str) -> dict[str, Any]:
    """Return the settings that the command line names, by their names in etc/trainer.json."""
    return {name: getattr(options, name) for name in (*_SETTINGS, *more) if getattr(options, name, None) is not None}


def input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a fine-tune's dialogues, base and context."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--profile", metavar="P", help="the latest curated run of this profile (default: the only one)")
    source.add_argument("--run", type=Path, metavar="DIR", help="a curated run")
    source.add_argument("--data", type=Path, metavar="FILE", help="JSONL: conversations, or input and output")
    parser.add_argument(
        "--base", type=checkpoint_path, metavar="CHECKPOINT", help="what to begin from (default: the built-in base)"
    )
    parser.add_argument("--context", type=positive, metavar="N", help="tokens of a sample (default: the base's)")
    parser.add_argument("--prompt-loss-weight", type=number, metavar="W", help="weight of the prompt's tokens")
    parser.add_argument("--mode-tags", choices=("auto", "none", "keep"), help="tags such as <thought> in the text")
    parser.add_argument("--keep-secrets", action="store_true", help="train on samples that hold keys or card numbers")
    home_option(parser)


def input_words(options: argparse.Namespace) -> list[str]:
    """Return the words that name the same dialogues, base and context on another command line."""
    names = ("profile", "run", "data", "base", "context", "prompt_loss_weight", "mode_tags", "home")
    chosen = [(name, getattr(options, name)) for name in names if getattr(options, name) is not None]
    words = [word for name, value in chosen for word in (f"--{name.replace('_', '-')}", str(value))]
    return [*words, *(["--keep-secrets"] if options.keep_secrets else [])]


def accept_option(parser: argparse.ArgumentParser) -> None:
    """Add --accept-degraded."""
    parser.add_argument(
        "--accept-degraded", action="store_true", help="keep the result although it breaks a budget of etc/trainer.json"
    )


def request_of(options: argparse.Namespace) -> FinetuneRequest:
    """Return the request of a fine-tune, from the command line."""
    from trainer.training.finetune import FinetuneRequest

    extra = ("prompt_loss_weight", "mode_tags", "method", "lora_rank", "epochs")
    chosen = {name: value for name, value in given(options, *extra).items() if name != "steps"}
    home, profile = optional_home(options.home), options.profile
    if options.run is None and options.data is None:
        home = home or find_home(options.home)  # which says what is missing where there is none
        profile = chosen_profile(home, profile, "--profile")
    if "learning_rate" in chosen:
        chosen["lora_learning_rate"] = chosen["learning_rate"]
    return FinetuneRequest(
        home=home, profile=profile, run=options.run, data=options.data,
        base=options.base, begin=_begin(options, home, profile), keep_secrets=options.keep_secrets,
        out=getattr(options, "out", None), steps=getattr(options, "steps", None), context=options.context,
        device=getattr(options, "device", "cpu"), options=chosen, replay=getattr(options, "replay", None),
        accept_degraded=getattr(options, "accept_degraded", False), folds=getattr(options, "folds", None),
        canaries=getattr(options, "canaries", None),
    )  # fmt: skip


def _begin(options: argparse.Namespace, home: Path | None, profile: str | None) -> Path | None:
    """Return the fine-tune that --from names: a folder, or the one in use of the profile. Raises UsageError."""
    begin: Path | None = getattr(options, "begin", None)
    if begin is None or str(begin) != "in-use" or begin.exists():
        return begin
    from trainer.model.kept import in_use

    if home is None or profile is None:
        raise UsageError("--from in-use: of whom?", "add --profile P, or name the checkpoint's folder")
    found = in_use(find_profile(home, profile, "--profile") / CHECKPOINTS)
    if found is None:
        raise UsageError(f"--from in-use: {profile} has no checkpoint that passed", "make one without --from")
    return found


def show_tuned(out: Path, ready: FinetuneContext, as_json: bool) -> int:
    """Show both models' answers side by side, then the checkpoint. Returns the exit status."""
    from trainer.inference.compare import compare
    from trainer.inference.sampling import Sampling
    from trainer.model.checkpoint import load_checkpoint
    from trainer.settings import drawn_as

    if not as_json:
        tuned = load_checkpoint(out)
        drawn = drawn_as(tuned.record.sampling, ready.trainer.sampling).model_copy(update={"max_tokens": 60})
        sampling = Sampling.of(
            drawn, ready.settings.seed, ready.template.stops, words_for(tuned, drawn), ready.trainer.health.prompts
        )
        print_comparison(compare(ready.base, tuned, ready.prompts, sampling), ready.base, tuned)
    print_result(out, as_json)
    say_made(out)
    base = "base" if ready.base.folder == builtin_base() else ready.base.folder
    next_step(command_line("trainer", "compare", base, out), "shows its answers beside the base's; --prompts has yours")
    return 0


def show_probe(out: Path, as_json: bool, without: str) -> int:
    """Show what a probe kept of its canaries; `without` is the command that trains without any. Returns the status."""
    from curator.contract.files import read_json
    from trainer.evaluation.report import JSON_FILE
    from trainer.memorisation.findings import CanaryFindings
    from trainer.model.checkpoint import load_record

    found = CanaryFindings.model_validate(read_json(out / "training" / JSON_FILE)["canaries"])
    if as_json:
        record = load_record(out)[1].model_dump()
        print_json({"checkpoint": str(out), "record": record, "canaries": found.model_dump()})
    else:
        print_table(*found.table())
        print(out)
    made(out / "training" / PAGE_FILE, "what it kept of the canaries, as a page for a browser")
    next_step(without, "trains the model itself, with no canaries in it")
    return 0


def say_made(out: Path) -> None:
    """Say on stderr that a checkpoint was made, and what to do with it."""
    page = out / "training" / PAGE_FILE
    if page.is_file():
        made(page, "how good it is, as a page for a browser")
    else:
        made(out, "a checkpoint")
    use_of_checkpoint(out)


def show_base(out: Path, as_json: bool) -> int:
    """Print the checkpoint of a base, and say on stderr what to do with it. Returns the exit status."""
    print_result(out, as_json)
    made(out, "a base, which goes on with texts")
    next_step(command_line("trainer", "sample", out, "--raw", "--prompt", "One day"), "lets it go on with a text")
    next_step(
        command_line("trainer", "preview", "--base", out),
        "shows a profile's samples as it would be trained on them; trainer finetune takes the same options",
    )
    return 0


def use_of_checkpoint(checkpoint: Path) -> None:
    """Say on stderr what a checkpoint is good for."""
    next_step(command_line("trainer", "chat", checkpoint), "talks with it")
    words = (checkpoint, "--to", "gguf", "--out", free_name(f"{checkpoint.resolve().name}-gguf"))
    next_step(
        command_line("trainer", "export", *words),
        f"carries it to another program; --to is one of {', '.join(TARGETS)}",
    )


def print_comparison(rows: Sequence[Row], base: Checkpoint, tuned: Checkpoint) -> None:
    """Print a table on stdout. A model's text is never read as markup and cannot control the terminal."""
    from rich.table import Table
    from rich.text import Text

    from trainer.inference.compare import names

    table = Table(show_lines=True)
    for head, share in zip(("prompt", *names(base, tuned)), (1, 2, 2), strict=True):
        table.add_column(Text(harmless(head)), ratio=share, overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(text)) for text in (row.prompt, row.base.text, row.tuned.text)))
    console().print(table)


def print_result(out: Path, as_json: bool) -> int:
    """Print a checkpoint's folder, or its record as JSON. Returns the exit status."""
    from trainer.model.checkpoint import load_record

    if as_json:
        print_json({"checkpoint": str(out), "record": load_record(out)[1].model_dump()})
    else:
        print(out)
    return 0


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    more: str = "",
    aliases: Sequence[str] = (),
) -> Any:
    """Add a command with its help; `run` gets the options and returns the exit status."""
    parser = commands.add_parser(
        name, aliases=aliases, help=text[0].lower() + text[1:].rstrip("."), description=f"{text} {more}".strip()
    )
    parser.set_defaults(command=run, needs_torch=True)
    return parser


def alone(parser: argparse.ArgumentParser) -> None:
    """Make a command that has commands of its own print its help where none of them is named."""

    def show_help(options: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=show_help, needs_torch=False)


def sampling_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of sampling, with --seed, --threads and --home."""
    drawing_options(parser)
    parser.add_argument("--seed", type=count, default=42, metavar="S", help="decides everything random (default: 42)")
    common_options(parser)


def drawing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of drawing text; ranges are those of etc/trainer.json, defaults the checkpoint's."""
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens of a reply at most")
    parser.add_argument("--temperature", type=float, metavar="T", help="0: always the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest; 0: from all")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest that hold this share")
    parser.add_argument("--min-p", type=float, metavar="P", help="draw from those with this share of the likeliest's")
    parser.add_argument(
        "--known-words", action=argparse.BooleanOptionalAction, help="write no word that is not in its lexicon"
    )
    parser.add_argument(
        "--best-of", type=positive, metavar="N", help="replies drawn, of which the best answer is given"
    )
    parser.add_argument("--repetition-penalty", type=float, metavar="R", help="against what the reply holds; 1: none")


def engine_options(parser: argparse.ArgumentParser) -> None:
    """Add --engine and --runner."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="torch",
        help="what computes the reply (default: torch); llama.cpp needs its binding, run.c --runner",
    )  # fmt: skip
    parser.add_argument("--runner", type=Path, metavar="PATH", help="llama2.c's run.c, compiled")


@contextmanager
def engine_for(
    options: argparse.Namespace, checkpoint: Checkpoint, sampling: Sampling
) -> Iterator[tuple[TokenSource, Sampling]]:
    """Give the engine that the command line names, and the sampling as far as it can draw so."""
    from trainer.engines import engine_of, fitting

    sampling, note = fitting(options.engine, sampling, set(chosen_sampling(options)))
    if note:
        log(note)
    with engine_of(checkpoint, options.engine, threads=options.threads, runner=options.runner) as engine:
        yield engine, sampling


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add --threads and --home."""
    parser.add_argument("--threads", type=count, default=0, metavar="N", help="threads of the CPU (0: by a trial)")
    parser.add_argument("--home", metavar="DIR", help="folder whose etc/trainer.json holds the defaults")


def checkpoint_argument(
    parser: argparse.ArgumentParser, name: str = "checkpoint", text: str = "a checkpoint's folder, or: base"
) -> None:
    """Add the argument that names a checkpoint."""
    parser.add_argument(name, type=checkpoint_path, metavar=name.upper(), help=text)


def settings_of(options: argparse.Namespace) -> TrainerSettings:
    """Return etc/trainer.json; keys under old names are named on stderr."""
    from trainer.settings import load_settings

    settings = load_settings(optional_home(options.home))
    for line in settings.outdated:
        log(line)
    return settings


def sampling_of(options: argparse.Namespace, checkpoint: Checkpoint, stops: Sequence[str] = ()) -> Sampling:
    """Return the sampling: what is stored with the checkpoint, then the settings, then the command line's options."""
    from trainer.inference.sampling import Sampling
    from trainer.settings import drawn_as, with_options

    stored = settings_of(options)
    settings = with_options(drawn_as(checkpoint.record.sampling, stored.sampling), chosen_sampling(options))
    return Sampling.of(settings, options.seed, stops, words_for(checkpoint, settings), stored.health.prompts)


def words_for(checkpoint: Checkpoint, settings: SamplingSettings) -> KnownWords | None:
    """Return the words that a checkpoint's replies are held to, None where they are not."""
    from trainer.inference.known_words import known_words

    words = known_words(checkpoint) if settings.known_words else None
    if settings.known_words and words is None:
        log(f"{checkpoint.folder} has no lexicon.txt.gz: its replies are not held to known words")
    return words


def chosen_sampling(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of sampling that the command line names, by their names in etc/trainer.json."""
    return {name: value for name in _SAMPLING if (value := getattr(options, name, None)) is not None}


def decoder_of(checkpoint: Checkpoint, threads: int) -> Decoder:
    """Return a checkpoint's decoder, with the threads asked for."""
    from trainer.inference.decoder import Decoder, settle_threads

    decoder = Decoder(checkpoint.model())
    settle_threads(decoder, threads)
    return decoder


def dialogues_of(options: argparse.Namespace, checkpoint: Checkpoint) -> Dataset:
    """Return the dialogues that the command line names."""
    from trainer.data.dialogues import read_dialogues

    home = optional_home(options.home)
    return read_dialogues(home, options.profile, options.run, options.data, checkpoint.record.template)


def sources_option(parser: argparse.ArgumentParser) -> None:
    """Add --sources."""
    parser.add_argument("--sources", action="store_true", help="say of each reply which training samples it is near to")


def sources_of(options: argparse.Namespace, checkpoint: Checkpoint) -> Sources:
    """Return the samples that a fine-tune was trained on, to find replies in; notes on them go to stderr.

    Raises UsageError or JobError where there are none any more.
    """
    from trainer.inference.sources import Sources
    from trainer.settings import load_settings
    from trainer.training.finetune import learnt_dialogues

    dialogues, notes = learnt_dialogues(checkpoint, load_settings(optional_home(options.home)))
    for note in notes:
        log(note)
    return Sources(dialogues)


def asked_sources(options: argparse.Namespace, checkpoint: Checkpoint) -> Sources:
    """Return the same for --sources. Raises UsageError, which names the option, where there are none any more."""
    try:
        return sources_of(options, checkpoint)
    except CuratorError as error:
        raise UsageError(f"--sources: {error.what}", error.next_step) from None

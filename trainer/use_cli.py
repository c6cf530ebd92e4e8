"""The commands that use a checkpoint: sample, chat, compare, eval, health, info. `trainer.cli` adds them to its parser.

What a command prints for people goes to stderr, but for the result itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.checkpoint import Checkpoint
    from trainer.datasets import Dataset
    from trainer.generate import Decoder, Reply, Sampling
    from trainer.settings import TrainerSettings

AddCommand = Callable[..., Any]
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_tokens")


def add_use_commands(commands: Any, add_command: AddCommand) -> None:
    """Add the commands to a parser; `add_command` is `trainer.cli.add_command`."""
    _add_sample(commands, add_command)
    _add_chat(commands, add_command)
    _add_compare(commands, add_command)
    _add_eval(commands, add_command)
    _add_health(commands, add_command)
    _add_info(commands, add_command)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of {least} or more")
        return int(text)

    return read


def _sampling_options(parser: argparse.ArgumentParser) -> None:
    """The values' ranges and defaults are those of etc/trainer.json."""
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens of a reply at most")
    parser.add_argument("--temperature", type=float, metavar="T", help="0: always the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest; 0: from all")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest that hold this share")
    parser.add_argument("--min-p", type=float, metavar="P", help="draw from those with this share of the likeliest's")
    parser.add_argument("--repetition-penalty", type=float, metavar="R", help="against what the reply holds; 1: none")
    parser.add_argument(
        "--seed", type=_whole(0), default=42, metavar="S", help="decides everything random (default: 42)"
    )
    _common_options(parser)


def _common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_whole(0), default=0, metavar="N", help="threads of the CPU (0: by a trial)")
    parser.add_argument("--home", metavar="DIR", help="folder whose etc/trainer.json holds the defaults")


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _checkpoint(parser: argparse.ArgumentParser, name: str = "checkpoint", text: str = "a checkpoint's folder") -> None:
    parser.add_argument(name, type=Path, metavar=name.upper(), help=text)


def _settings(options: argparse.Namespace) -> TrainerSettings:
    from trainer.settings import load_settings
    from trainer.shell import optional_home

    return load_settings(optional_home(options.home))


def _sampling(options: argparse.Namespace, stops: Sequence[str] = ()) -> Sampling:
    from trainer.generate import Sampling
    from trainer.settings import with_options

    given = {name: getattr(options, name) for name in _SAMPLING}
    shipped = _settings(options).sampling
    return Sampling.of(with_options(shipped, given), options.seed, stops)


def _decoder(checkpoint: Checkpoint, threads: int) -> Decoder:
    from trainer.generate import Decoder, settle_threads

    decoder = Decoder(checkpoint.model())
    settle_threads(decoder, threads)
    return decoder


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


# --- sample --------------------------------------------------------------------------------------------------------


def _add_sample(commands: Any, add_command: AddCommand) -> None:
    sample = add_command(commands, "sample", _sample, "Draw a reply to a prompt.", "stdout is the reply's text alone.")
    _checkpoint(sample)
    sample.add_argument("--prompt", required=True, metavar="TEXT", help="wrapped in the model's template if it is not")
    sample.add_argument("--raw", action="store_true", help="go on from the prompt as it is, in no template")
    sample.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    sample.add_argument(
        "-n", "--number", type=_whole(1), default=1, metavar="N", help="replies, each with its own seed"
    )
    _json_option(sample)
    _sampling_options(sample)


def _sample(options: argparse.Namespace) -> int:
    from trainer.chat import cut_note
    from trainer.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    text, note = _prompt(options, checkpoint)
    if note:
        _say(note)
    sampling = _sampling(options, () if options.raw else checkpoint.record.template.stops)
    drawn = _draw(options, checkpoint, text, sampling)
    note = cut_note(drawn[0], checkpoint.config.max_seq_len)
    if note:
        _say(note)
    if options.json:
        rows = [asdict(one) | {"seed": sampling.seed + number} for number, one in enumerate(drawn)]
        _print_json(
            {"checkpoint": str(options.checkpoint), "prompt": text, "sampling": asdict(sampling), "replies": rows}
        )
    return 0


def _prompt(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[str, str]:
    """Return the text to go on from, and what to say about it."""
    from trainer.chat import check_mode, whole_text

    template, text = checkpoint.record.template, whole_text(options.prompt)
    check_mode(template, options.mode)
    if options.raw or template.is_wrapped(text):
        return text, ""
    note = f"wrapped in the model's template {template.name!r}; --raw leaves it as it is"
    return template.wrap(text, mode=options.mode), note


def _draw(options: argparse.Namespace, checkpoint: Checkpoint, text: str, sampling: Sampling) -> list[Reply]:
    """Return the replies; those that are not asked for as JSON are printed, a single one while it is written."""
    from trainer.chat import harmless
    from trainer.generate import replies, write_reply

    decoder, tokenizer, strip = _decoder(checkpoint, options.threads), checkpoint.tokenizer, not options.raw
    if options.number > 1 or options.json:
        seeds = [sampling.seed + number for number in range(options.number)]
        drawn = replies(decoder, tokenizer, [text] * options.number, sampling, seeds, strip)
        if not options.json:
            print("\n\n".join(harmless(one.text) for one in drawn))
        return drawn
    reply = write_reply(decoder, tokenizer, tokenizer.encode(text), sampling, strip, lambda part: _show(harmless(part)))
    print()
    return [reply]


# --- chat ----------------------------------------------------------------------------------------------------------


def _add_chat(commands: Any, add_command: AddCommand) -> None:
    chat = add_command(
        commands, "chat", _chat, "Talk with a model.",
        "Each line of stdin is a prompt, or one of /reset, /seed N, /temperature T, /quit; replies go to stdout.",
    )  # fmt: skip
    _checkpoint(chat)
    chat.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    _sampling_options(chat)


def _chat(options: argparse.Namespace) -> int:
    from trainer.chat import COMMANDS, Chat, talk, typed
    from trainer.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    sampling = _sampling(options)
    chat = Chat.of(checkpoint, _decoder(checkpoint, options.threads), sampling, options.mode)
    if sys.stdin.isatty():
        _say(COMMANDS)
    talk(chat, typed(), _show, _say)
    return 0


# --- compare -------------------------------------------------------------------------------------------------------


def _add_compare(commands: Any, add_command: AddCommand) -> None:
    compare = add_command(commands, "compare", _compare, "Show the replies of two models side by side.")
    _checkpoint(compare, "base")
    _checkpoint(compare, "tuned", "another one")
    compare.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt a line (default: etc/trainer.json's)")
    _json_option(compare)
    _sampling_options(compare)


def _compare(options: argparse.Namespace) -> int:
    from trainer.checkpoint import load_checkpoint
    from trainer.compare import as_json, compare, read_prompts, show
    from trainer.errors import UsageError

    prompts = read_prompts(options.prompts) if options.prompts else _settings(options).preview_prompts
    if not prompts:
        raise UsageError(
            "there are no prompts", "name a file with --prompts, or set preview_prompts in etc/trainer.json"
        )
    base, tuned = load_checkpoint(options.base), load_checkpoint(options.tuned)
    sampling = _sampling(options)
    _decoder(tuned, options.threads)  # for the trial of threads
    rows = compare(base, tuned, prompts, sampling)
    if options.json:
        _print_json({"base": str(options.base), "tuned": str(options.tuned), "sampling": asdict(sampling),
                     "rows": as_json(rows)})  # fmt: skip
    else:
        show(rows, base, tuned)
    return 0


# --- eval ----------------------------------------------------------------------------------------------------------


def _add_eval(commands: Any, add_command: AddCommand) -> None:
    evaluate = add_command(
        commands, "eval", _eval, "Measure perplexity on knowledge modules and on dialogues.",
        "Of dialogues, the replies' tokens alone count.",
    )  # fmt: skip
    _checkpoint(evaluate)
    evaluate.add_argument("--modules", type=Path, metavar="DIR", help="folder of knowledge modules")
    evaluate.add_argument("--whole", action="store_true", help="measure modules whole, with nothing held out of them")
    data = evaluate.add_mutually_exclusive_group()
    data.add_argument("--data", type=Path, metavar="FILE", help="dialogues as JSONL")
    data.add_argument("--run", type=Path, metavar="DIR", help="folder of a curated run")
    data.add_argument("--profile", metavar="P", help="a person: the latest run counts")
    evaluate.add_argument(
        "--rows", type=_whole(0), default=128, metavar="N", help="windows of each module; 0: all (default: 128)"
    )
    _json_option(evaluate)
    _common_options(evaluate)


def _eval(options: argparse.Namespace) -> int:
    from trainer.checkpoint import load_checkpoint
    from trainer.errors import UsageError
    from trainer.evaluate import as_json, measure_dialogues, measure_modules, recorded_share, show
    from trainer.progress import counting
    from trainer.speed import threads

    if not (options.modules or options.data or options.run or options.profile):
        raise UsageError("measure on what?", "add --modules DIR, --data FILE, --run DIR or --profile P")
    checkpoint, settings = load_checkpoint(options.checkpoint), _settings(options)
    lines = []
    with threads(options.threads):
        if options.modules:
            share = recorded_share(checkpoint.record, "pretrain", settings.pretrain.validation_share)
            share = 0.0 if options.whole else share
            with counting() as progress:
                lines += measure_modules(checkpoint, options.modules, share, options.rows, progress)
        if options.data or options.run or options.profile:
            share = recorded_share(checkpoint.record, "finetune", settings.finetune.validation_share)
            lines += measure_dialogues(checkpoint, _dialogues(options, checkpoint), share)
    if options.json:
        _print_json({"checkpoint": str(options.checkpoint), "measured": as_json(lines)})
    else:
        show(lines)
    return 0


def _add_health(commands: Any, add_command: AddCommand) -> None:
    health = add_command(
        commands, "health", _health, "Say how well a fine-tune is, its base beside it.",
        "The first three lines say all. Exit status 1: it breaks a budget. docs/health.md defines every figure.",
    )  # fmt: skip
    _checkpoint(health)
    health.add_argument(
        "--base", type=Path, metavar="CHECKPOINT", help="what it was trained from (default: its parent)"
    )
    data = health.add_mutually_exclusive_group()
    data.add_argument("--data", type=Path, metavar="FILE", help="dialogues as JSONL (default: those of its training)")
    data.add_argument("--run", type=Path, metavar="DIR", help="folder of a curated run")
    data.add_argument("--profile", metavar="P", help="a person: the latest run counts")
    health.add_argument("--text", type=Path, metavar="DIR", help="modules of the base's own text")
    health.add_argument("--replies", type=_whole(8), metavar="N", help="replies to unseen prompts")
    health.add_argument("--html", type=Path, metavar="FILE", help="write the page with charts there too")
    health.add_argument("--seed", type=_whole(0), default=42, metavar="S", help="of the replies (default: 42)")
    _json_option(health)
    _common_options(health)


def _health(options: argparse.Namespace) -> int:
    from trainer.checkup import Source, check_up, show
    from trainer.files import refuse_existing, write_whole
    from trainer.progress import counting
    from trainer.shell import optional_home
    from trainer.speed import threads

    if options.html:
        refuse_existing(options.html)
    settings = _settings(options)
    if options.replies:
        health = settings.health.model_copy(update={"replies": options.replies})
        settings = settings.model_copy(update={"health": health})
    source = Source(optional_home(options.home), options.profile, options.run, options.data)
    with threads(options.threads), counting() as progress:
        report, notes = check_up(
            options.checkpoint, options.base, source, options.text, settings, options.seed, progress
        )
    for note in notes:
        print(note, file=sys.stderr)
    if options.html:
        from trainer.health_page import page

        write_whole(options.html, page(report))
    if options.json:
        _print_json(report)
    else:
        show(report)
    return 1 if report["verdict"] == "refused" else 0


def _dialogues(options: argparse.Namespace, checkpoint: Checkpoint) -> Dataset:
    from trainer.datasets import read_dialogues
    from trainer.shell import optional_home

    home = optional_home(options.home)
    return read_dialogues(home, options.profile, options.run, options.data, checkpoint.record.template)


# --- info ----------------------------------------------------------------------------------------------------------


def _add_info(commands: Any, add_command: AddCommand) -> None:
    info = add_command(
        commands, "info", _info, "Say what a checkpoint is and whether it is whole.",
        "Exit status 1 where one of its files is not the one it was written with.",
    )  # fmt: skip
    _checkpoint(info)
    _json_option(info)


def _info(options: argparse.Namespace) -> int:
    from trainer.info import describe, show

    found = describe(options.checkpoint)
    if options.json:
        _print_json(found)
    else:
        show(found)
    return 0 if found["verified"] else 1

"""`trainer health`: how good a checkpoint is, its base beside it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import (
    Progress,
    command_line,
    count,
    harmless,
    json_option,
    log,
    made,
    next_step,
    print_json,
    print_table,
    progress_bar,
    whole_number,
)
from curator.contract.errors import UsageError
from curator.contract.homes import optional_home
from trainer.cli.options import (
    add_command,
    checkpoint_argument,
    common_options,
    dialogues_of,
    renamed,
    settings_of,
    use_of_checkpoint,
)
from trainer.names import checkpoint_path

if TYPE_CHECKING:
    from trainer.evaluation.perplexity import Line, Measured
    from trainer.settings import TrainerSettings


def add(commands: Any) -> None:
    """Add the command to the parser."""
    health = add_command(
        commands, "health", _run, "Say how good a checkpoint is, its base beside it.",
        "The first three lines say all. Exit status 1: it breaks a budget. `curate docs health` defines every figure. "
        "Called eval, it draws no replies: perplexities alone.", aliases=("eval",),
    )  # fmt: skip
    checkpoint_argument(health)
    health.add_argument(
        "--base", type=checkpoint_path, metavar="CHECKPOINT", help="what it was trained from (default: its parent)"
    )
    data = health.add_mutually_exclusive_group()
    data.add_argument("--data", type=Path, metavar="FILE", help="dialogues as JSONL (default: those of its training)")
    data.add_argument("--run", type=Path, metavar="DIR", help="folder of a curated run")
    data.add_argument("--profile", metavar="P", help="a person: the latest run counts")
    health.add_argument("--text", type=Path, metavar="DIR", help="token shards of the base's own text")
    health.add_argument("--shards", type=Path, metavar="DIR", help="measure the perplexity of these token shards too")
    renamed(health, "--shards", "--modules", type=Path)
    health.add_argument("--whole", action="store_true", help="measure shards whole, with nothing held out of them")
    health.add_argument(
        "--rows", type=count, default=128, metavar="N", help="rows of each shard; 0: all (default: 128)"
    )
    health.add_argument(
        "--replies", type=_replies, metavar="N", help="replies to unseen prompts; 0: perplexities alone"
    )
    health.add_argument("--html", type=Path, metavar="FILE", help="write the page with charts there too")
    health.add_argument("--seed", type=count, default=42, metavar="S", help="of the replies (default: 42)")
    json_option(health)
    common_options(health)


def _replies(text: str) -> int:
    """Return the number of replies asked for: 0, or at least 8, since fewer say nothing."""
    return 0 if text == "0" else whole_number(8)(text)


def _run(options: argparse.Namespace) -> int:
    if options.replies == 0 or (options.replies is None and options.name == "eval"):
        return _perplexities(options)
    from curator.contract.files import refuse_existing
    from trainer.evaluation.evaluate_checkpoint import CheckpointRequest, evaluate_checkpoint
    from trainer.training.speed import threads

    if options.html:
        refuse_existing(options.html, "--html")
    settings = settings_of(options)
    if options.replies:
        health = settings.health.model_copy(update={"replies": options.replies})
        settings = settings.model_copy(update={"health": health})
    request = CheckpointRequest(
        checkpoint=options.checkpoint, base=options.base, home=optional_home(options.home), profile=options.profile,
        run=options.run, data=options.data, text=options.text, seed=options.seed,
    )  # fmt: skip
    with threads(options.threads), progress_bar() as progress:
        report, notes = evaluate_checkpoint(request, settings, progress)
        lines = _shard_lines(options, settings, progress)
    for note in notes:
        log(note)
    return _show(options, report, lines)


def _show(options: argparse.Namespace, report: dict[str, Any], lines: list[Line]) -> int:
    from trainer.evaluation.perplexity import as_json

    if options.html:
        from curator.contract.files import write_whole
        from trainer.evaluation.page import page

        write_whole(options.html, page(report))
    if options.json:
        print_json(report | ({"measured": as_json(lines)} if lines else {}))
    else:
        from trainer.evaluation.report import terminal_lines, terminal_rows

        for line in report["headline"]:
            print(harmless(line))
        print()
        print_table(*terminal_rows(report))
        for line in terminal_lines(report):
            print(harmless(line))
        if lines:
            _print_lines(lines)
    if options.html:
        made(options.html, "the page with charts")
    if report["verdict"] == "refused":
        log("it breaks a budget: the base is the better model; train with other settings or more samples")
        return 1
    if report["verdict"] == "probe":
        next_step(command_line("trainer", "models"), "lists the models that are no probes")
        return 0
    use_of_checkpoint(options.checkpoint)
    return 0


def _perplexities(options: argparse.Namespace) -> int:
    """Measure token shards and dialogues; draw no reply and check no budget."""
    from trainer.evaluation.perplexity import as_json, measure_dialogues, recorded_share
    from trainer.model.checkpoint import load_checkpoint
    from trainer.training.speed import threads

    if not (options.shards or options.data or options.run or options.profile):
        raise UsageError("measure on what?", "add --shards DIR, --data FILE, --run DIR or --profile P")
    settings = settings_of(options)
    with threads(options.threads), progress_bar() as progress:
        lines = _shard_lines(options, settings, progress)
        if options.data or options.run or options.profile:
            checkpoint = load_checkpoint(options.checkpoint)
            share = recorded_share(checkpoint.record, "finetune", settings.finetune.holdout_share)
            lines += measure_dialogues(checkpoint, dialogues_of(options, checkpoint), share)
    if options.json:
        print_json({"checkpoint": str(options.checkpoint), "measured": as_json(lines)})
    else:
        _print_lines(lines)
    next_step(command_line("trainer", "health", options.checkpoint), "measures its replies too, its base beside it")
    return 0


def _shard_lines(options: argparse.Namespace, settings: TrainerSettings, progress: Progress) -> list[Line]:
    if not options.shards:
        return []
    from trainer.evaluation.perplexity import measure_shards, recorded_share
    from trainer.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    share = recorded_share(checkpoint.record, "pretrain", settings.pretrain.holdout_share)
    return measure_shards(checkpoint, options.shards, 0.0 if options.whole else share, options.rows, progress)


def _print_lines(lines: list[Line]) -> None:
    heads = ("what", "part", "nats a token", "perplexity", "tokens")
    rows = [(line.name, line.split, *_figures(line.measured)) for line in lines]
    print_table(heads, rows)


def _figures(measured: Measured) -> tuple[str, str, str]:
    return f"{measured.nats:.4f}", f"{measured.perplexity:,.2f}", f"{measured.tokens:,}"

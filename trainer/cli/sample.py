"""`trainer sample`: draw a reply to a prompt."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import (
    command_line,
    harmless,
    json_option,
    log,
    next_step,
    positive,
    print_at_once,
    print_json,
)
from curator.contract.errors import UsageError
from trainer.cli.options import (
    add_command,
    asked_sources,
    checkpoint_argument,
    decoder_of,
    engine_for,
    engine_options,
    sampling_of,
    sampling_options,
    sources_option,
)

if TYPE_CHECKING:
    from trainer.inference.sampling import Reply, Sampling
    from trainer.model.checkpoint import Checkpoint


def add(commands: Any) -> None:
    """Add the command to the parser."""
    sample = add_command(commands, "sample", _run, "Draw a reply to a prompt.", "stdout is the reply's text alone.")
    checkpoint_argument(sample)
    sample.add_argument("--prompt", required=True, metavar="TEXT", help="wrapped in the model's template if it is not")
    sample.add_argument("--raw", action="store_true", help="go on from the prompt as it is, in no template")
    sample.add_argument("--mode", metavar="M", help="cognitive mode, where the model was trained with their tags")
    sample.add_argument("-n", "--number", type=positive, default=1, metavar="N", help="replies, each with its own seed")
    sources_option(sample)
    engine_options(sample)
    json_option(sample)
    sampling_options(sample)


def _run(options: argparse.Namespace) -> int:
    from trainer.inference.chat import cut_note
    from trainer.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    sources = asked_sources(options, checkpoint) if options.sources else None
    text, note = _prompt(options, checkpoint)
    if note:
        log(note)
    sampling = sampling_of(options, checkpoint, () if options.raw else checkpoint.record.template.stops)
    drawn, sampling = _draw(options, checkpoint, text, sampling)
    note = cut_note(drawn[0], checkpoint.config.max_seq_len)
    if note:
        log(note)
    found = [sources.of(reply.text) for reply in drawn] if sources else []
    if options.json:
        rows = [asdict(reply) | {"seed": sampling.seed + number} for number, reply in enumerate(drawn)]
        for row, one in zip(rows, found, strict=False):
            row["sources"] = one.as_json()
        print_json(
            {
                "checkpoint": str(options.checkpoint),
                "prompt": text,
                "engine": options.engine,
                "sampling": sampling.as_json(),
                "replies": rows,
            }
        )
    else:
        for number, one in enumerate(found, 1):
            for line in one.lines():
                log(f"reply {number}: {line}" if len(found) > 1 else line)
    next_step(command_line("trainer", "chat", options.checkpoint), "talks with the model")
    return 0


def _prompt(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[str, str]:
    """Return the text to continue, and a note for the person or ''."""
    from trainer.inference.chat import check_mode, whole_text

    template, text = checkpoint.record.template, whole_text(options.prompt)
    check_mode(template, options.mode)
    if options.raw or template.is_wrapped(text):
        return text, ""
    note = f"wrapped in the model's template {template.name!r}; --raw leaves it as it is"
    return template.wrap(text, mode=options.mode), note


def _draw(
    options: argparse.Namespace, checkpoint: Checkpoint, text: str, sampling: Sampling
) -> tuple[list[Reply], Sampling]:
    """Return the replies, and the sampling as far as the engine can draw so.

    Without --json they are printed too, a single one while it is written.
    """
    from trainer.inference.best_of import best_reply, others
    from trainer.inference.text_stream import replies, write_reply

    if options.raw:  # a text that is gone on with asks nothing that could be answered better
        if options.best_of and options.best_of > 1:
            raise UsageError("--raw asks nothing that one of several replies could answer best", "leave out --best-of")
        sampling = replace(sampling, best_of=1)
    tokenizer, strip, alone = checkpoint.tokenizer, not options.raw, options.number == 1 and not options.json
    numbers = range(options.number)
    by_torch = options.engine == "torch" and not options.runner
    if by_torch and not (alone and sampling.best_of == 1):  # PyTorch writes many side by side
        decoder, seeds = decoder_of(checkpoint, options.threads), [sampling.seed + number for number in numbers]
        if sampling.best_of == 1:
            drawn = replies(decoder, tokenizer, [text] * options.number, sampling, seeds, strip)
        else:
            behind = others(checkpoint.record.template, options.prompt, sampling, mode=options.mode)
            own = (replace(sampling, seed=seed) for seed in seeds)
            drawn = [best_reply(decoder, tokenizer, text, behind, one) for one in own]
        if alone:
            print_at_once(harmless(drawn[0].text))
    else:
        with engine_for(options, checkpoint, sampling) as (engine, sampling):
            drawn = [
                write_reply(
                    engine, tokenizer, tokenizer.encode(text), replace(sampling, seed=sampling.seed + number), strip,
                    (lambda part: print_at_once(harmless(part))) if alone else str,
                )
                for number in numbers
            ]  # fmt: skip
    if alone:
        print()
    elif not options.json:
        print("\n\n".join(harmless(reply.text) for reply in drawn))
    return drawn, sampling

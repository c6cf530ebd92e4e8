"""How a checkpoint's replies change with the way they are drawn: samples to be judged blind, and figures beside them.

    python benchmarks/sampling.py [--checkpoint FOLDER] --samples FILE [--draws N] [--words 4000] [--settings NAME ...]
    python benchmarks/sampling.py --checkpoint FOLDER --as-stored --prompts benchmarks/base-prompts.txt --samples FILE

Each setting of SETTINGS answers the prompts of sampling-prompts.txt, which are none of base-prompts.txt: a setting is
chosen on the one and measured on the other. FILE is for benchmarks/judge.py; a model's name in it is its setting. The
figures: words of a reply, invented words by the checkpoint's lexicon, how many of the replies of a setting are said
once only, since a setting that gives the same reply to everything makes sense and is of no use, and seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from trainer.inference.best_of import best_replies
from trainer.inference.decoder import Decoder, settle_threads
from trainer.inference.known_words import known_words
from trainer.inference.sampling import Sampling
from trainer.model.checkpoint import load_checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, read_words
from trainer.names import builtin_base
from trainer.settings import SamplingSettings, drawn_as, load_settings

PROMPTS = Path(__file__).resolve().parent / "sampling-prompts.txt"
SETTINGS = (  # temperature, top-p, repetition penalty, best of
    (0.8, 0.95, 1.1, 1), (0.6, 0.9, 1.1, 1), (0.5, 0.9, 1.0, 1), (0.4, 0.9, 1.1, 1), (0.3, 0.9, 1.0, 1),
    (0.6, 0.9, 1.1, 8), (0.6, 0.9, 1.1, 16), (0.8, 0.95, 1.1, 16), (0.8, 0.95, 1.1, 32),
)  # fmt: skip


def named(stored: SamplingSettings | None, only: list[str]) -> dict[str, SamplingSettings]:
    """Return the settings to try, by name."""
    if stored is not None:
        return {"as stored": stored}
    tried = {
        f"{temperature:g}/{top_p:g}/{penalty:g}/{best_of}": SamplingSettings(
            temperature=temperature, top_p=top_p, repetition_penalty=penalty, best_of=best_of, known_words=True
        )
        for temperature, top_p, penalty, best_of in SETTINGS
    }
    return {name: settings for name, settings in tried.items() if not only or name in only}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=builtin_base())
    parser.add_argument("--samples", type=Path, required=True, metavar="FILE")
    parser.add_argument("--draws", type=int, default=1, help="replies to each prompt in FILE")
    parser.add_argument("--words", type=int, default=4000, help="of the replies that are counted")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, metavar="FILE", help="one a line")
    parser.add_argument("--settings", nargs="*", default=[], metavar="T/P/R/N", help="those alone")
    parser.add_argument("--as-stored", action="store_true", help="draw as the checkpoint says, and no other way")
    parser.add_argument("--free", action="store_true", help="from all tokens, not from known words alone")
    options = parser.parse_args()
    checkpoint, trainer = load_checkpoint(options.checkpoint), load_settings(None)
    template, tokenizer = checkpoint.record.template, checkpoint.tokenizer
    lists = [path for path in (english(), options.checkpoint / LEXICON) if path.is_file()]  # an old one has none
    lexicon = Lexicon(set().union(*map(read_words, lists)))
    prompts = [line for line in options.prompts.read_text("utf-8").split("\n") if line]
    asked_for = prompts * options.draws
    decoder, lines, words = Decoder(checkpoint.model()), [], None if options.free else known_words(checkpoint)
    settle_threads(decoder)
    stored = drawn_as(checkpoint.record.sampling, trainer.sampling) if options.as_stored else None
    for name, settings in named(stored, options.settings).items():
        sampling = Sampling.of(settings, 0, template.stops, words, trainer.health.prompts)
        said, begun = list[str](), time.perf_counter()
        while len(said) < len(asked_for) or sum(len(text.split()) for text in said) < options.words:
            seeds = range(1000 + len(said), 1000 + len(said) + len(prompts))
            said += [reply.text for reply in best_replies(decoder, tokenizer, template, prompts, sampling, seeds)]
        seconds = (time.perf_counter() - begun) / len(said)
        found, counts = lexicon.check(said), Counter(said)
        once = sum(number == 1 for number in counts.values()) / len(said)
        print(f"{name:12} {len(said)} replies of {found.total / len(said):.1f} words; invented {found.rate:.2%}; "
              f"said once only {once:.0%}; {seconds:.2f} s a reply")  # fmt: skip
        lines += [f"{name}\t{prompt}\t{' '.join(text.split())}" for prompt, text in zip(asked_for, said, strict=False)]
    options.samples.write_text("".join(line.rstrip() + "\n" for line in lines), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

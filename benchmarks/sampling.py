"""How a checkpoint's replies change with the way they are drawn: samples to be judged blind, and figures beside them.

    python benchmarks/sampling.py [--checkpoint FOLDER] --samples FILE [--draws N] [--words 4000]

Each setting of SETTINGS answers the prompts of sampling-prompts.txt, which are none of base-prompts.txt: a setting is
chosen on the one and measured on the other. FILE is for benchmarks/judge.py; a model's name in it is its setting. The
figures: words of a reply, invented words by the checkpoint's lexicon, and how many of the replies of a setting are said
once only, since a setting that gives the same reply to everything makes sense and is of no use.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.checkpoint import load_checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, read_words
from trainer.names import builtin_base

PROMPTS = Path(__file__).resolve().parent / "sampling-prompts.txt"
SETTINGS = (  # temperature, top-p, repetition penalty
    (0.8, 0.95, 1.1), (0.6, 0.9, 1.1), (0.5, 0.9, 1.0), (0.4, 0.9, 1.1), (0.3, 0.9, 1.0),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=builtin_base())
    parser.add_argument("--samples", type=Path, required=True, metavar="FILE")
    parser.add_argument("--draws", type=int, default=1, help="replies to each prompt in FILE")
    parser.add_argument("--words", type=int, default=4000, help="of the replies that are counted")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    template, tokenizer = checkpoint.record.template, checkpoint.tokenizer
    lexicon = Lexicon(set().union(*map(read_words, (english(), options.checkpoint / LEXICON))))
    prompts = [line for line in PROMPTS.read_text("utf-8").split("\n") if line]
    asked_for = prompts * options.draws
    decoder, lines = Decoder(checkpoint.model()), []
    for temperature, top_p, penalty in SETTINGS:
        name = f"{temperature:g}/{top_p:g}/{penalty:g}"
        sampling = Sampling(temperature, 0, top_p, 0.0, penalty, stops=tuple(template.stops))
        said: list[str] = []
        while len(said) < len(asked_for) or sum(len(text.split()) for text in said) < options.words:
            seeds = range(1000 + len(said), 1000 + len(said) + len(prompts))
            asked = [template.wrap(prompt) for prompt in prompts]
            said += [reply.text.strip() for reply in replies(decoder, tokenizer, asked, sampling, seeds=seeds)]
        found, counts = lexicon.check(said), Counter(said)
        once = sum(number == 1 for number in counts.values()) / len(said)
        print(f"{name:12} {len(said)} replies of {found.total / len(said):.1f} words; invented {found.rate:.2%}; "
              f"said once only {once:.0%}")  # fmt: skip
        lines += [f"{name}\t{prompt}\t{' '.join(text.split())}" for prompt, text in zip(asked_for, said, strict=False)]
    options.samples.write_text("".join(line.rstrip() + "\n" for line in lines), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

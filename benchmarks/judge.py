"""Replies of several models, read blind: who wrote a line is not to be seen while it is judged.

    python benchmarks/judge.py sheet SAMPLES... --sheet SHEET --key KEY [--seed N]
    python benchmarks/judge.py score SHEET... --key KEY

SAMPLES are lines of model, prompt and reply, apart by tabs, as benchmarks/base.py --samples writes them. The sheet has
them all in a drawn order, numbered, without the model. A reader writes before each number y (it makes sense as an
answer to this prompt) or n, w behind it where it holds a word that is none, and m where it could be what one particular
person says, of whom the reader was told ("yw 17", "ym 18"). Read it twice, in two orders
(--seed): both readings are scored, and how often they agree.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import defaultdict
from pathlib import Path

_LINE = re.compile(r"^([yn])(w?)(m?)\s+(\d+)\b")


def rows(paths: list[Path]) -> list[tuple[str, str, str]]:
    out = []
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            model, prompt, reply = line.split("\t")
            out.append((model, prompt, reply))
    return out


def sheet(options: argparse.Namespace) -> int:
    """Write the sheet and the key; a number means the same line on every sheet of the same samples."""
    lines = list(enumerate(rows(options.samples), 1))
    random.Random(options.seed).shuffle(lines)
    text = "".join(f"{number:4} | {prompt} | {reply or '(nothing)'}\n" for number, (_, prompt, reply) in lines)
    options.sheet.write_text(text, "utf-8")
    options.key.write_text(json.dumps({str(number): model for number, (model, _, _) in lines}, indent=1), "utf-8")
    print(options.sheet)
    return 0


def marks(path: Path) -> dict[str, tuple[bool, bool, bool]]:
    """Return (makes sense, holds a word that is none, could be the person's) of each number of a marked sheet."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        if match := _LINE.match(line.strip()):
            found[match[4]] = (match[1] == "y", bool(match[2]), bool(match[3]))
    return found


def score(options: argparse.Namespace) -> int:
    key = json.loads(options.key.read_text("utf-8"))
    readings = [marks(path) for path in options.sheets]
    for reading, path in zip(readings, options.sheets, strict=True):
        missing = set(key) - set(reading)
        if missing:
            print(f"{path}: {len(missing)} lines are not judged, such as {min(missing, key=int)}", file=sys.stderr)
            return 2
    by_model: dict[str, list[list[tuple[bool, bool, bool]]]] = defaultdict(list)
    for number, model in key.items():
        by_model[model].append([reading[number] for reading in readings])
    for model, judged in sorted(by_model.items()):
        sense = [sum(line[index][0] for line in judged) / len(judged) for index in range(len(readings))]
        words = [sum(not line[index][1] for line in judged) / len(judged) for index in range(len(readings))]
        sensible = [[line[index] for line in judged if line[index][0]] for index in range(len(readings))]
        theirs = [sum(mark[2] for mark in part) / max(1, len(part)) for part in sensible]
        agree = sum(len({mark[0] for mark in line}) == 1 for line in judged) / len(judged)
        print(
            f"{model:10} {len(judged)} replies: makes sense {', '.join(f'{share:.0%}' for share in sense)}; every word "
            f"is one {', '.join(f'{share:.0%}' for share in words)}; of what makes sense, could be the person's "
            f"{', '.join(f'{share:.0%}' for share in theirs)}; the readings agree on {agree:.0%}"
        )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("sheet")
    making.add_argument("samples", type=Path, nargs="+")
    making.add_argument("--sheet", type=Path, required=True)
    making.add_argument("--seed", type=int, default=1)
    making.set_defaults(command=sheet)
    scoring = commands.add_parser("score")
    scoring.add_argument("sheets", type=Path, nargs="+")
    scoring.set_defaults(command=score)
    for command in (making, scoring):
        command.add_argument("--key", type=Path, required=True)
    options = parser.parse_args()
    return int(options.command(options))


if __name__ == "__main__":
    sys.exit(main())

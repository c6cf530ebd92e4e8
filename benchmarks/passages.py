"""How long it takes to cut 4 MB without a single mark into passages: dictation, a list, Thai, Chinese, open fences.

    .venv/bin/python benchmarks/passages.py

Prints a line for each: seconds of this process, passages, and the words of the longest. Linear means that the second
column, of a text half as long, is half of the first.
"""

import time

from curator.language.passages import passages
from curator.language.words import count_words

UNITS = ("rope nobody moved and so ", "- rope nobody moved\n", "รถเมล์มาช้ามาก", "公交车来得太晚了", "``` a b\n")


def seconds(text: str) -> tuple[float, list[str]]:
    start = time.process_time()
    pieces = list(passages(text, 40, 3, 0.075, 300))
    return time.process_time() - start, pieces


def main() -> None:
    print("  4 MB   2 MB  passages  longest  unit")
    for unit in UNITS:
        text = unit * (4_000_000 // len(unit.encode()))
        whole, pieces = seconds(text)
        half, _ = seconds(text[: len(text) // 2])
        print(f"{whole:6.2f} {half:6.2f} {len(pieces):9,} {max(map(count_words, pieces)):8} {unit!r}")


if __name__ == "__main__":
    main()

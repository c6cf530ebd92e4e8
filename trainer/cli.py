"""The `trainer` command line."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Say that there is no trainer yet."""
    sys.exit(
        "trainer: the trainer is not part of this version\n"
        "  fine_tune_dataset.jsonl of a run can be used with other trainers; make one with: curate run --username U"
    )

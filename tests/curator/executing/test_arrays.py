"""Arrays on disk give back what was put in, wherever it is asked for, veiled or not."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from curator.executing.arrays import ArrayFile

KIND = np.uint32


@pytest.mark.parametrize("veiled", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_rows_come_back_from_anywhere(tmp_path: Path, width: int, veiled: bool) -> None:
    dice = np.random.default_rng(1)
    rows = dice.integers(0, 1 << 32, (30_000, width)).astype(KIND)
    with closing(ArrayFile(KIND, width, tmp_path, veiled=veiled)) as array:
        for start in range(0, len(rows), 777):
            array.extend(rows[start : start + 777])
        plain = rows if width > 1 else rows[:, 0]
        assert len(array) == len(plain)
        assert (array.read(29_000, 40_000) == plain[29_000:]).all(), "what is held back is read too"
        for asked in (dice.integers(0, 30_000, 500), np.arange(70, 90), np.array([9, 9, 0]), np.zeros(0, np.int64)):
            found = array.take(asked)
            assert found.shape == plain[asked].shape
            assert (found == plain[asked]).all()
        array.flush()
        held = np.frombuffer(os.pread(array.handle, 1 << 12, 0), KIND)
        assert (held == rows.ravel()[: len(held)]).all() is np.bool_(not veiled)


def test_ranges_may_overlap_be_empty_and_stand_in_any_order() -> None:
    dice = np.random.default_rng(2)
    with closing(ArrayFile(KIND)) as array:
        values = dice.integers(0, 1 << 32, 50_000).astype(KIND)
        array.extend(values)
        for most in (0, 9, 5_000):
            starts = dice.integers(0, 45_000, 200)
            stops = starts + dice.integers(0, most + 1, 200)
            wanted = np.concatenate([values[start:stop] for start, stop in zip(starts, stops, strict=True)])
            assert (array.ranges(starts, stops) == wanted).all()


def test_another_reads_what_was_flushed() -> None:
    with closing(ArrayFile(KIND, 2)) as array:
        array.extend(np.arange(10).reshape(5, 2))
        array.flush()
        other = ArrayFile.attached(KIND, 2, array.handle, 5)
        assert other.take(np.array([4, 1])).tolist() == [[8, 9], [2, 3]]

"""How a training shares a machine with others."""

from __future__ import annotations

import os

import numpy as np
import pytest
from core_fixtures import model_of

from trainer.cli import _require_torch
from trainer.data.batches import rows_of
from trainer.training.progress import awake_note
from trainer.training.speed import TRIAL_STEPS, busy_cores, cores, seconds_per_pass, taken_note


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    _require_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    _require_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize(
    ("load", "threads", "told"),
    [(0.3, 0, False), (0.3, 2, False), (1.9, 1, False), (1.9, 0, True), (3.4, 2, True), (4.1, 1, True)],
)
def test_cores_that_others_take_are_spoken_of(
    monkeypatch: pytest.MonkeyPatch, load: float, threads: int, told: bool
) -> None:
    monkeypatch.setattr("trainer.training.speed.cores", lambda: 3)
    monkeypatch.setattr("trainer.training.speed.busy_cores", lambda: load)
    note = taken_note(threads)
    assert (note is not None) == told
    assert note is None or note.startswith(f"other programs take about {load:.1f} of 3 cores")


def test_a_system_that_does_not_tell_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.speed.busy_cores", lambda: None)
    assert taken_note(0) is None and cores() >= 1


def test_cores_at_work_are_counted_now_and_not_a_minute_ago() -> None:
    busy = busy_cores(0.05)
    assert busy is None or 0 <= busy <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("hopeless", "passes"), [(0.0, 1), (float("inf"), TRIAL_STEPS)])
def test_a_precision_that_is_much_too_slow_is_tried_once(hopeless: float, passes: int) -> None:
    model, taken = model_of(), list[int]()
    model.norm.register_forward_pre_hook(lambda *_: taken.append(1))  # a pass goes by the norm once
    stream = np.arange(4, 37, dtype=np.uint16)
    assert 0 < seconds_per_pass(model, rows_of(stream, np.array([0]), 32), "fp32", hopeless) < 60
    assert len(taken) == passes and all(one.grad is None for one in model.parameters())


@pytest.mark.parametrize(
    ("platform", "tool"), [("darwin", "caffeinate -i"), ("linux", "systemd-inhibit"), ("win32", "")]
)
def test_who_trains_for_long_is_told_to_keep_the_machine_awake(
    monkeypatch: pytest.MonkeyPatch, platform: str, tool: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert awake_note(599) is None
    note = awake_note(840) or ""
    assert note.startswith("this takes about 14m00s") and "trainer resume" in note
    assert tool in note and note.count("trainer ... does") == bool(tool)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not tool or tool not in (awake_note(840) or "")

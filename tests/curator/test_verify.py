"""What takes too long for every change; `make verify` runs it."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Result

from curator.contract.homes import shipped_demo


@pytest.mark.verify
def test_a_run_killed_at_two_hundred_random_moments_leaves_all_or_nothing(
    tmp_path: Path, curate: Callable[..., Result]
) -> None:
    """Row 16 of the hazards: after each kill, whatever stands in the runs' folder is whole and valid."""
    home = tmp_path / "home"
    shutil.copytree(shipped_demo(), home / "profiles" / "greggles", ignore=shutil.ignore_patterns("out"))
    arguments = ("run", "--username", "greggles", "--home", home, "--out", tmp_path / "out")
    begun = time.monotonic()
    assert curate(*arguments).status == 0
    usual = time.monotonic() - begun + 0.5
    dice = random.Random(16)
    for _ in range(200):
        command = [sys.executable, "-m", "curator", *map(str, arguments)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
            time.sleep(dice.random() * usual)
            process.kill()
        for folder in (tmp_path / "out").glob("*/[!.]*"):
            assert curate("validate", folder, "--home", home).status == 0, folder
            shutil.rmtree(folder)
    result = curate(*arguments)
    assert result.status == 0, result.err
    assert list((tmp_path / "out").glob("*/.tmp-*")) == []

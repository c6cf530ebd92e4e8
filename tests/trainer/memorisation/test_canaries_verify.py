"""The built-in base and the demo's person: what the default recipe keeps of canaries, by how often they are planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core_fixtures import trainer
from test_disaster_verify import home_of

SEEDS = (42, 43, 44)


@pytest.mark.verify
def test_exposure_rises_with_repetition_and_the_default_recipe_gives_away_nothing_said_once_or_four_times(
    tmp_path: Path,
) -> None:
    """Two canaries for each number of repetitions: with more they are most of what is trained on, not a few samples."""
    home = home_of(tmp_path / "home")
    exposures: dict[int, list[float]] = {}
    extracted: dict[int, int] = {}
    for seed in SEEDS:
        out = tmp_path / f"probe-{seed}"
        command = ("finetune", "--profile", "greggles", "--home", home, "--canaries", 2, "--seed", seed, "--out", out)
        done = trainer(*command, "--json")
        assert done.status == 0, done.err
        for one in json.loads(done.out)["canaries"]["found"]:
            exposures.setdefault(one["repeats"], []).append(one["exposure"])
            extracted[one["repeats"]] = extracted.get(one["repeats"], 0) + bool(one["extracted"])
    means = {repeats: sum(bits) / len(bits) for repeats, bits in exposures.items()}
    assert means[0] < means[1] < means[4] < means[16], means
    assert (extracted[0], extracted[1], extracted[4]) == (0, 0, 0), extracted

"""What the tests of an ablation share: a person of the tiny language with a diary, letters, and a stranger's texts."""

from __future__ import annotations

import json
import random
from pathlib import Path

from conftest import Home, curate_once
from core_fixtures import _SYLLABLES
from health_fixtures import HEALTH

# Settings with which the tiny base learns in a second.
FAST = {"learning_rate": 0.01, "epochs": 8.0, "precision": "fp32", "compile": "never", "threads": 1, "warmup_steps": 2}


def sentence(dice: random.Random, step: int, length: int = 12) -> str:
    """Words that go through the syllables: forwards, the person's way (1), or backwards (-1), with slips."""
    at, words = dice.randrange(len(_SYLLABLES)), []
    for _ in range(length):
        words.append(_SYLLABLES[at % len(_SYLLABLES)])
        at = at + step if dice.random() < 0.8 else dice.randrange(len(_SYLLABLES))
    return " ".join(words).capitalize() + "."


def person(folder: Path, parts: dict[str, tuple[int, int]], **finetune: object) -> Home:
    """A home with one profile; of each part, a folder of memories: how many, and which way they go."""
    home = Home(folder)
    home.config("trainer.json", {"health": HEALTH, "finetune": FAST | finetune})
    for number, (part, (count, step)) in enumerate(parts.items()):
        dice = random.Random(100 + number)
        for place in range(count):
            asked = " ".join(dice.choices(_SYLLABLES, k=4)).capitalize() + "?"
            day = f"{2024 + place % 2}-{1 + place % 12:02}-{1 + place % 28:02}"
            data = {"id": f"{part}-{place}", "timestamp": f"{day}T10:{number:02}:00Z", "type": "conversation"}
            data |= {"content": asked, "response": sentence(dice, step)}
            home.file(f"{part}/2024/{part}-{place}.json", json.dumps(data))
    return home


def curated(home: Home, *options: object) -> Path:
    """A run of the profile, everything in it."""
    done = curate_once("run", "--username", "ann", "--home", home.folder, "--mode", "emulation", *options)
    return Path(done.out.strip().splitlines()[-1])

"""From the zip that a phone sends to a model that answers: the four commands of the README, in an empty folder."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

THINGS = "anchor rope harbour engine sail tide winch galley compass rudder mast keel lantern chart pump cabin".split()
ACTS = "mend paint sell clean carry find lose borrow measure draw".split()
PEOPLE = "Ida Jon Eva Tom Lea Max".split()


def chat(path: Path, exchanges: int) -> Path:
    """Write a WhatsApp export of a chat that goes on for months."""
    chance, time, lines = random.Random(3), datetime(2024, 1, 13, 9, 0), []
    for _ in range(exchanges):
        who, act, thing, place = (chance.choice(words) for words in (PEOPLE, ACTS, THINGS, THINGS))
        time += timedelta(hours=chance.choice((1, 5, 26)))
        lines.append(f"{time:%d.%m.%y, %H:%M} - Jon Pell: did {who} {act} the {thing} near the {place}?")
        time += timedelta(minutes=1)
        answer = f"{who} said the {thing} can wait, but I {act} the {place} at {chance.randrange(5, 22)} anyway."
        lines.append(f"{time:%d.%m.%y, %H:%M} - Ana: {answer}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("WhatsApp Chat with Jon Pell.txt", "\n".join(lines))
    return path


def command(folder: Path, *words: str, given: str = "") -> str:
    """Run a command as a shell would, in `folder`; return stdout."""
    environment = {name: value for name, value in os.environ.items() if name != "CURATOR_HOME"}
    program = str(Path(sys.executable).with_name(words[0]))
    done = subprocess.run(
        [program, *words[1:]], cwd=folder, env=environment, input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def test_two_commands_bring_a_chat_and_make_a_set_of_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    path = chat(tmp_path / "chat.zip", 60)
    before = path.read_bytes()
    command(empty, "curate", "import", str(path), "--username", "ana", "--owner", "Ana")
    run = Path(command(empty, "curate", "run", "--username", "ana").strip().splitlines()[-1])
    summary = json.loads((run / "run-summary.json").read_text("utf-8"))
    assert summary["counts"]["samples"] > 50 and summary["modes"] == {"emulation": ["user", "assistant"]}
    assert summary["counts"]["holdout"] > 0, "of one long chat, sessions are held out"
    assert path.read_bytes() == before


@pytest.mark.verify
def test_four_commands_end_with_a_model_that_answers(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command(empty, "curate", "import", str(chat(tmp_path / "chat.zip", 700)), "--username", "ana", "--owner", "Ana")
    command(empty, "curate", "run", "--username", "ana")
    checkpoint = command(empty, "trainer", "finetune", "--profile", "ana").strip().splitlines()[-1]
    answered = command(empty, "trainer", "chat", checkpoint, given="did Ida mend the anchor near the harbour?\n")
    assert "said the" in answered

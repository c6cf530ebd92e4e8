"""From the zip that a phone sends to a model that answers: the four commands of the README, in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from conftest import ROOT


def chat(path: Path, most: int) -> Path:
    """Write a WhatsApp export of a chat that goes on for months: Ana says what the demo profile's memories say."""
    lines, time = [], datetime(2024, 1, 13, 9, 0)
    for said, answered in islice(exchanges(), most):
        time += timedelta(hours=7)
        lines.append(f"{time:%d.%m.%y, %H:%M} - Jon Pell: {said}")
        lines.append(f"{time + timedelta(minutes=1):%d.%m.%y, %H:%M} - Ana: {answered}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("WhatsApp Chat with Jon Pell.txt", "\n".join(lines))
    return path


def exchanges() -> Iterator[tuple[str, str]]:
    """Yield what is said and answered in the demo's memories; of a memory without an answer, its day is asked for."""
    for file in sorted((ROOT / "profiles" / "greggles" / "memory" / "episodic").rglob("*.json")):
        try:
            memory = json.loads(file.read_text("utf-8"))
        except ValueError:  # one of the flaws that the demo has on purpose
            continue
        if not isinstance(memory, dict):
            continue
        content, response = memory.get("content"), memory.get("response")
        if isinstance(content, str) and isinstance(response, str) and content.strip() and response.strip():
            yield content, response
        elif isinstance(content, str) and 40 < len(content) < 600 and ":" not in content:
            yield f"What was on your mind on {str(memory.get('timestamp'))[:10]}?", content


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
    assert summary["counts"]["samples"] > 30 and summary["modes"] == {"emulation": ["user", "assistant"]}
    assert summary["counts"]["holdout"] > 0, "of one long chat, sessions are held out"
    assert path.read_bytes() == before


@pytest.mark.verify
def test_four_commands_end_with_a_model_that_answers(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command(empty, "curate", "import", str(chat(tmp_path / "chat.zip", 700)), "--username", "ana", "--owner", "Ana")
    command(empty, "curate", "run", "--username", "ana")
    checkpoint = command(empty, "trainer", "finetune", "--profile", "ana").strip().splitlines()[-1]
    answered = command(empty, "trainer", "chat", checkpoint, given="What was on your mind today?\n")
    assert len(answered.split()) > 2

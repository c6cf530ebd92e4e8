"""Whatever the umask, each file that a command makes is its owner's alone (0600), and each folder (0700)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from every_command_fixtures import COMMANDS, SLOW, Place, called, few, line_of, small_home

WRITING = [words for words in COMMANDS if words[:2] in {
    ("curate", "run"), ("curate", "export"), ("curate", "import"), ("curate", "init"), ("trainer", "tokenizer"),
    ("trainer", "modules"), ("trainer", "export"), ("trainer", "convert"), ("trainer", "finetune"),
    ("trainer", "health"), ("trainer", "mix"), ("trainer", "pretrain"), ("trainer", "ablate"),
}]  # fmt: skip


def open_to_others(before: set[Path], *folders: Path) -> list[str]:
    made = [path for folder in folders for path in folder.rglob("*") if path not in before and not path.is_symlink()]
    modes = [(path, stat.S_IMODE(path.stat().st_mode)) for path in made]
    return [f"{path}: {mode:o}" for path, mode in modes if mode != (0o700 if path.is_dir() else 0o600)]


@pytest.mark.parametrize("umask", [0o000, pytest.param(0o777, marks=pytest.mark.verify)], ids="{:03o}".format)
@pytest.mark.parametrize(
    "command",
    few(WRITING, "curate run", "curate export", "trainer export", "trainer tokenizer train"),
)
def test_what_a_command_writes(command: tuple[str, ...], umask: int, tmp_path: Path) -> None:
    home, run = small_home(tmp_path / "home")
    out, aside = tmp_path / "out", tmp_path / "aside"
    out.mkdir()
    aside.mkdir()
    before = {*home.folder.rglob("*"), *out.rglob("*")}
    old = os.umask(umask)
    try:
        status, _, err = called(line_of(command, Place(home, run, out)), env={**os.environ, "TMPDIR": str(aside)})
    finally:
        os.umask(old)
    assert "Traceback" not in err and (status == 0 or command[0] == "trainer"), err
    assert open_to_others(before, home.folder, out) == []
    assert list(aside.iterdir()) == [] or command[1] in SLOW  # torch keeps its own
    if status == 0 and command[-1] not in ("list", "remove", "verify"):
        assert {*home.folder.rglob("*"), *out.rglob("*")} > before

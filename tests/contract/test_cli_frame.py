"""What both programs do alike where a command fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator.contract.cli_frame import guarded


def test_what_the_machine_refuses_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no command expects it: a folder in a file's place, a name that is too long."""
    for path, problem in ((tmp_path, "Is a directory"), (tmp_path / ("x" * 300), "File name too long")):
        assert guarded("curate", lambda path=path: len(path.read_bytes())) == 3  # type: ignore[misc]
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"curate: {path}: {problem}\n  see that") and err.count("\n") == 2


def test_a_bug_keeps_its_traceback() -> None:
    for error in (KeyError("x"), ValueError("x"), OSError("of a library, and of no file")):
        with pytest.raises(type(error)):
            guarded("curate", lambda error=error: (_ for _ in ()).throw(error))  # type: ignore[misc]

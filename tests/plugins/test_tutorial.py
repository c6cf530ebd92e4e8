"""The README's tutorial plugin, run as printed."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, rows

from curator.contract.homes import shipped_demo


@pytest.fixture
def tutorial() -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"<!-- tutorial -->\n```python\n(.*?)```\n<!-- /tutorial -->", text, re.DOTALL)
    assert block, "the README has no tutorial"
    return block[1]


def test_the_tutorial_has_under_15_lines(tutorial):
    assert len([line for line in tutorial.splitlines() if line.strip()]) < 15


def test_the_tutorial_runs_as_printed(tutorial, home, curate):
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "tides.py").write_text(tutorial)
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    home.memory("High water at nine, and the boat afloat by eight.", type="tide_log")
    home.memory("A storm in the lane, and the pump running.", type="tide_log")
    home.memory("User: hello there\n\nAssistant: Good morning to you.")
    result = curate("run", "--username", "ann", "--home", home.folder, "--mode", "harbour")
    assert result.status == 0, result.err
    (sample,) = rows(result.run / "formatted_samples.json")
    assert sample["input"].startswith("<question>: ")
    assert sample["output"] == "<tide>: High water at nine, and the boat afloat by eight."
    assert [drop["reason"] for drop in rows(result.run / "dropped.jsonl")] == ["too_wet", "other_mode"]


def test_the_tutorial_works_on_the_demo(tutorial, tmp_path: Path, curate):
    shutil.copytree(shipped_demo(), tmp_path / "profiles" / "greggles", ignore=shutil.ignore_patterns("out"))
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "tides.py").write_text(tutorial)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "curate.json").write_text('{"plugins": {"home_plugins": true}}')
    result = curate("run", "--username", "greggles", "--home", tmp_path, "--mode", "harbour")
    assert result.status == 0, result.err
    assert len(rows(result.run / "curated_memories.json")) == 2
    assert "too_wet" in [drop["reason"] for drop in rows(result.run / "dropped.jsonl")]
    assert "too_wet" in result.out
    assert "is not in etc/types.json" not in result.out, "the plugin says what a tide log is"

"""What is generated is committed, and fresh."""

import re
import runpy
import sys

import pytest
from conftest import ROOT


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse words its help otherwise from Python 3.13 on")
@pytest.mark.parametrize("name", ["commands.md", "settings.md"])
def test_generated_pages_are_fresh(name):
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]
    assert plain((ROOT / "docs" / name).read_text("utf-8")) == plain(pages()[name]), "run: make docs"


def test_a_page_shows_the_report_of_the_demo(curate, monkeypatch):
    """The report in docs/report.md is that of the demo profile as it is; only the run's folder is left out."""
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs" / "report.md").read_text("utf-8")
    shown = re.search(r"<!-- report -->\n```text\n(.*?)```\n<!-- /report -->", page, re.DOTALL)
    assert shown, "docs/report.md shows no report: run make docs"
    run = curate("run", "--username", "greggles", "--home", ROOT, "--mode", "dual", "--max", 3000, "--dry-run")
    assert run.status == 0, run.err
    assert [line.rstrip() for line in shown[1].splitlines()] == [line.rstrip() for line in run.out.splitlines()[:-1]], (
        "run: make docs"
    )

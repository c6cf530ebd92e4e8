"""What is said of pages and of missing extras is true where one stands: in a clone, beside a wheel, without either."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from conftest import ROOT, Result

from curator.contract import homes
from curator.contract.homes import install, install_extra

PAGES: Final = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
SHIPPED: Final = ("curator", "plugins", "trainer", "etc", "schemas", "docs", "profiles")
Curate = Callable[..., Result]


# --- curate docs -----------------------------------------------------------------------------------------------------


def test_docs_lists_every_page_with_a_line(curate: Curate) -> None:
    listed = curate("docs")
    assert listed.status == 0, listed.err
    lines = dict(line.split(maxsplit=1) for line in listed.out.splitlines())
    assert list(lines) == sorted(PAGES)
    for name, line in lines.items():
        assert f"# {line}\n" in PAGES[name]
    assert len(set(lines.values())) == len(lines)


@pytest.mark.parametrize("topic", sorted(PAGES))
def test_piped_a_page_is_its_markdown(curate: Curate, topic: str) -> None:
    assert curate("docs", topic).out == PAGES[topic]


@pytest.mark.parametrize("topic", ["settings.md", "docs/settings.md"])
def test_a_page_is_found_by_its_file_too(curate: Curate, topic: str) -> None:
    assert curate("docs", topic).out == PAGES["settings"]


def test_an_unknown_topic_says_which_was_meant(curate: Curate) -> None:
    unknown = curate("docs", "setings")
    assert (unknown.status, unknown.out) == (2, "")
    assert "Did you mean 'settings'?" in unknown.err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
@pytest.mark.parametrize("topic", ["report", "settings", "small-model"])
def test_on_a_terminal_a_page_is_laid_out(topic: str) -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "curator", "docs", topic], stdout=theirs, env=environment, stderr=subprocess.PIPE
    ) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the child has gone, and the terminal with it
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert child.returncode == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode("utf-8")).replace("\r\n", "\n")
    assert not text.lstrip().startswith("#") and "](" not in text, "the source, not the page"
    assert max(map(len, text.splitlines())) <= 100
    for line in re.findall(r"^# (\S+)", PAGES[topic], re.MULTILINE)[:1]:
        assert line in text


# --- what a missing extra is installed with --------------------------------------------------------------------------


def test_in_a_clone_the_clone_is_installed_again_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    said = install_extra("trainer")
    assert said.endswith("-m pip install -e '.[trainer]'"), said
    interpreter = shlex.split(said.removeprefix("install it with: "))[0]
    assert Path(interpreter).samefile(sys.executable)
    assert Path(sys.executable).is_relative_to(ROOT) == (not Path(interpreter).is_absolute())
    monkeypatch.chdir(tmp_path)
    command = shlex.split(install_extra("trainer").removeprefix("install it with: "))
    assert command == [sys.executable, "-m", "pip", "install", "-e", f"{ROOT}[trainer]"]


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path, noted: object) -> None:
    """Let the code stand in a site-packages whose dist-info holds `noted` as its direct_url.json, or none."""
    info = folder / "site" / "persona_curator-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: persona-curator\nVersion: 0.1.0\n")
    if noted is not None:
        (info / "direct_url.json").write_text(noted if isinstance(noted, str) else json.dumps(noted))
    monkeypatch.setattr(homes, "PACKAGE", folder / "site" / "curator")
    monkeypatch.setattr(sys, "path", [str(folder / "site"), *sys.path])


def test_beside_a_wheel_the_wheel_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "persona_curator-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    elsewhere(monkeypatch, tmp_path, {"url": wheel.as_uri(), "archive_info": {}})
    monkeypatch.chdir(tmp_path)
    command = shlex.split(install_extra("preview").removeprefix("install it with: "))
    assert command == [sys.executable, "-m", "pip", "install", f"{wheel}[preview]"]
    wheel.unlink()
    gone = install_extra("preview")
    assert gone.startswith(f"{wheel}, which curate was installed from, is gone")
    assert gone.endswith("-m pip install 'WHEEL[preview]'")


@pytest.mark.parametrize(
    ("noted", "wanted"),
    [
        (
            {"url": "https://example.org/p.whl", "archive_info": {}},
            "persona-curator[trainer] @ https://example.org/p.whl",
        ),
        (
            {"url": "https://example.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "persona-curator[trainer] @ git+https://example.org/p.git@abc",
        ),
    ],
)
def test_an_address_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noted: object, wanted: str) -> None:
    elsewhere(monkeypatch, tmp_path, noted)
    assert shlex.split(install_extra("trainer"))[-1] == wanted


@pytest.mark.parametrize("noted", [None, "", "{", "[]", "{}", '{"url": 1, "vcs_info": 2}', "null"])
def test_where_nothing_is_noted_no_index_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noted: str | None
) -> None:
    elsewhere(monkeypatch, tmp_path, noted)
    said = install_extra("trainer")
    assert "persona-curator[" not in said
    assert said.endswith("-m pip install 'WHEEL[trainer]'")


def test_without_pip_uv_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert install("gguf").startswith("uv pip install --python ") and install("gguf").endswith(" gguf")


# --- a real wheel ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout as it stands, built aside."""
    found = next((one.version for one in importlib.metadata.distributions(name="setuptools")), "0")
    if int(found.partition(".")[0]) < 77:
        pytest.skip(f"needs setuptools 77, as pyproject.toml asks for, and found {found}")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("out", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "--wheel-dir", out, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which the wheel is installed; its libraries are those of this one."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    interpreter = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(str(Path(pytest.__file__).parent.parent))
    return interpreter


def started(python: Path, program: str, *arguments: object, cwd: Path) -> Result:
    done = subprocess.run(
        [python.with_name(program), *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_the_wheel_brings_every_page(python: Path, tmp_path: Path) -> None:
    where = started(python, "python", "-c", "import curator; print(curator.__file__)", cwd=tmp_path)
    assert "site-packages" in where.out and not Path(where.out.strip()).is_relative_to(ROOT)
    listed = started(python, "curate", "docs", cwd=tmp_path)
    assert [line.split()[0] for line in listed.out.splitlines()] == sorted(PAGES)
    for topic, text in PAGES.items():
        assert started(python, "curate", "docs", topic, cwd=tmp_path).out == text


def test_the_wheel_brings_every_room(wheel: Path) -> None:
    """A folder that pyproject.toml does not name is there in a checkout, and missing for whoever installs."""
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    rooms = [path.relative_to(ROOT) for side in ("curator", "trainer") for path in (ROOT / side).rglob("__init__.py")]
    assert len(rooms) > 30 and [str(room) for room in rooms if str(room) not in names] == []
    assert "curator/contract/voice/english.npz" in names


def test_the_wheel_brings_the_notice_of_every_text_that_the_base_learnt_from(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        sources = json.loads(packed.read("trainer/base/sources.json"))["sources"]
        assert sources
        for source in sources:
            notice = source.get("notice")
            assert notice or source["licence"] == "CC0-1.0", f"{source['name']} ({source['licence']}) has no notice"
            if notice:
                assert len(packed.read(f"trainer/base/{notice}")) > 300
    assert {"trainer/base/README.md", "trainer/model/words/README.md"} <= names


def test_a_mistake_in_the_settings_leads_to_a_page_that_is_there(python: Path, tmp_path: Path) -> None:
    assert started(python, "curate", "init", tmp_path, cwd=tmp_path).status == 0
    (tmp_path / "etc" / "trainer.json").write_text('{"no_such_key": 1}')
    wrong = started(python, "trainer", "finetune", "--profile", "x", "--home", tmp_path, cwd=tmp_path)
    assert wrong.status == 2
    command = re.search(r"(curate) (docs) (\S+) lists every key", wrong.err)
    assert command, wrong.err
    assert "`learning_rate`" in started(python, *command.groups(), cwd=tmp_path).out


def test_without_torch_the_wheel_itself_is_named(python: Path, wheel: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; from trainer.cli import main; main(['finetune', '--profile', 'x'])"
    )
    refused = started(python, "python", "-c", script, cwd=tmp_path)
    assert refused.status == 2
    assert f"{python} -m pip install" in refused.err or "uv pip install" in refused.err, refused.err
    assert f"'{wheel}[trainer]'" in refused.err

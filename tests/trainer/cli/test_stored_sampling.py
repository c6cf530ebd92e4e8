"""How text is drawn from a checkpoint is stored with it, and reaches every place that draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from core_fixtures import trainer
from use_fixtures import save, says

from trainer.model.checkpoint import load_checkpoint
from trainer.settings import SamplingSettings, drawn_as

OWN = ("--temperature", 0.4, "--top-p", 0.7)


@pytest.fixture(scope="module")
def cool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with sampling of its own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    plain = save(folder / "plain", says(" bako"))
    done = trainer("convert", plain, "--dtype", "float32", *OWN, "--out", folder / "cool")
    assert done.status == 0, done.err
    return folder / "cool"


def drawn(place: Path, *options: object) -> dict[str, float]:
    done = trainer("sample", place, "--prompt", "ti", "--json", "--threads", 1, *options)
    assert done.status == 0, done.err
    found: dict[str, float] = json.loads(done.out)["sampling"]
    return found


def test_the_command_line_comes_before_the_settings_and_these_before_the_checkpoint(cool: Path, tmp_path: Path) -> None:
    assert drawn(cool.parent / "plain")["temperature"] == SamplingSettings().temperature
    assert {name: drawn(cool)[name] for name in ("temperature", "top_p")} == {"temperature": 0.4, "top_p": 0.7}
    home = tmp_path / "home"
    (home / "etc").mkdir(parents=True)
    (home / "profiles").mkdir()
    (home / "etc" / "trainer.json").write_text('{"sampling": {"temperature": 0.6}}')
    found = drawn(cool, "--home", home)
    assert (found["temperature"], found["top_p"]) == (0.6, 0.7), "what the settings leave out stays the checkpoint's"
    assert drawn(cool, "--home", home, "--temperature", 0.2)["temperature"] == 0.2
    assert "drawn with:    temperature 0.4, top_k 0, top_p 0.7" in trainer("info", cool).out


def test_a_checkpoint_without_any_is_drawn_from_as_the_settings_say() -> None:
    settings = SamplingSettings(temperature=0.5)
    assert drawn_as(None, settings) == settings
    assert drawn_as(SamplingSettings(temperature=0.3, top_k=5), settings) == SamplingSettings(temperature=0.5, top_k=5)


def test_conversion_keeps_what_was_stored(cool: Path, tmp_path: Path) -> None:
    stored = load_checkpoint(cool).record.sampling
    assert stored == SamplingSettings(temperature=0.4, top_p=0.7)
    trainer("convert", cool, "--dtype", "bfloat16", "--out", tmp_path / "half")
    assert load_checkpoint(tmp_path / "half").record.sampling == stored
    trainer("convert", cool, "--dtype", "float32", "--top-k", 9, "--out", tmp_path / "more")
    assert load_checkpoint(tmp_path / "more").record.sampling == SamplingSettings(temperature=0.4, top_p=0.7, top_k=9)
    wrong = trainer("convert", cool, "--dtype", "float32", "--top-p", 1.5, "--out", tmp_path / "never")
    assert wrong.status == 2 and "--top-p 1.5" in wrong.err and not (tmp_path / "never").exists()


def test_weights_are_averaged(cool: Path, tmp_path: Path) -> None:
    measured = {"steps": 3.0, "validation_loss": 2.5}
    ends = [
        save(tmp_path / name, says(reply), metrics=measured) for name, reply in (("one", " bako"), ("two", " tire"))
    ]
    out = tmp_path / "both"
    done = trainer("convert", ends[0], "--dtype", "float32", "--average", ends[1], "--share", 0.25, "--out", out)
    assert done.status == 0, done.err
    one, two, both = (load_checkpoint(place) for place in (*ends, out))
    for name, found in both.state.items():
        torch.testing.assert_close(found, 0.75 * one.state[name] + 0.25 * two.state[name])
    assert any(not torch.equal(one.state[name], two.state[name]) for name in one.state)
    assert both.record.metrics == {"steps": 3.0}, "what was measured of one of them is not true of both"
    assert any("averaged with two" in note and "share 0.25" in note for note in both.record.notes)
    for options, message in (
        (("--average", "base"), "has another size or another tokenizer"),
        (("--share", 0.5), "--share: of which?"),
        (("--average", ends[1], "--share", 1.5), "--share 1.5: expected a number between 0 and 1"),
    ):
        wrong = trainer("convert", ends[0], "--dtype", "float32", *options, "--out", tmp_path / "never")
        assert wrong.status == 2 and message in wrong.err and not (tmp_path / "never").exists()


def test_other_programs_draw_so_too(cool: Path, tmp_path: Path) -> None:
    told = json.loads((cool / "generation_config.json").read_text("utf-8"))
    assert (told["temperature"], told["top_p"], told["top_k"]) == (0.4, 0.7, 0)
    done = trainer("export", cool, "--to", "ollama", "--out", tmp_path / "ollama")
    assert done.status == 0, done.err
    lines = (tmp_path / "ollama" / "Modelfile").read_text("utf-8").split("\n")
    assert {"PARAMETER temperature 0.4", "PARAMETER top_p 0.7"} <= set(lines)
    trainer("export", cool, "--to", "hf", "--out", tmp_path / "hf")
    told = json.loads((tmp_path / "hf" / "generation_config.json").read_text("utf-8"))
    assert (told["temperature"], told["top_p"]) == (0.4, 0.7)

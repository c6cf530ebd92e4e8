"""`trainer finetune --from CHECKPOINT`: a fine-tune goes on from an earlier one, measured against their base."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from core_fixtures import Result, home_with, trainer, wide_open_home
from test_finetune import FAST, base, dialogues, stopped, tree_hash  # noqa: F401 - base is a fixture

from trainer.data.dialogues import Dataset
from trainer.evaluation.probes import lexicon_of
from trainer.model.checkpoint import load_checkpoint, load_record
from trainer.model.lexicon import LEXICON, read_words
from trainer.model.prompt_template import Template
from trainer.training.finetune import _template_of

Folders = tuple[Path, Path, Path, Path]


@pytest.fixture(scope="module")
def monday(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:  # noqa: F811
    """A base, a fine-tune of it on thirty dialogues, those, and thirty others."""
    folder = tmp_path_factory.mktemp("going-on")
    for name, seed in (("first", 1), ("second", 2)):
        (folder / name).mkdir()
        dialogues(folder / name, 30, seed)
    first, second = folder / "first" / "dialogues.jsonl", folder / "second" / "dialogues.jsonl"
    done = tune(folder / "monday", first, "--base", base)
    assert done.status == 0, done.err
    return base, folder / "monday", first, second


def tune(out: Path, data: Path, *more: object, home: Path | None = None) -> Result:
    return trainer(
        "finetune", "--data", data, "--out", out, "--home", home or wide_open_home(), *FAST, "--steps", 20, *more
    )


def test_it_begins_from_the_earlier_weights_and_is_measured_against_the_base(monday: Folders, tmp_path: Path) -> None:
    base_folder, begun, _, second = monday
    before = tree_hash(begun), tree_hash(base_folder)
    done = tune(tmp_path / "tuesday", second, "--from", begun)
    assert done.status == 0, done.err
    assert (tree_hash(begun), tree_hash(base_folder)) == before
    assert "going on from monday; the gate compares with tiny-base" in " ".join(done.err.split())
    record, earlier = load_record(tmp_path / "tuesday")[1], load_record(begun)[1]
    assert record.parent == earlier.parent and record.gate and record.gate.passed
    assert record.data["from"] == {"name": "monday", "sha256": earlier.sha256["model.safetensors"]}
    # From the base the same dialogues begin at another loss: what monday learnt is in the first figure.
    plain = tune(tmp_path / "plain", second, "--base", base_folder)
    assert plain.status == 0, plain.err
    starts = [load_record(tmp_path / name)[1].metrics["validation_loss_at_start"] for name in ("tuesday", "plain")]
    assert starts[0] < starts[1]
    report = json.loads((tmp_path / "tuesday" / "training" / "health.json").read_text("utf-8"))
    assert report["base"] == "tiny-base"
    measured = trainer("health", tmp_path / "tuesday", "--home", wide_open_home(), "--json")
    assert json.loads(measured.out)["base"] == "tiny-base", measured.err


def test_its_words_are_those_of_both(monday: Folders, tmp_path: Path) -> None:
    _, begun, first, second = monday
    done = tune(tmp_path / "tuesday", second, "--from", begun)
    assert done.status == 0, done.err
    known = read_words(tmp_path / "tuesday" / LEXICON)
    for data in (first, second):
        for line in data.read_text("utf-8").splitlines():
            assert set(json.loads(line)["output"].rstrip(".").split()) <= known


def test_killed_and_resumed_it_ends_in_the_same_bytes(monday: Folders, tmp_path: Path) -> None:
    _, begun, _, second = monday
    whole, cut, home = tmp_path / "whole", tmp_path / "cut", wide_open_home()
    assert tune(whole, second, "--from", begun, home=home).status == 0
    words = ("finetune", "--data", second, "--out", cut, "--home", home, *FAST, "--steps", 20, "--from", begun)
    assert stopped(words, cut, at=11).status == -signal.SIGKILL
    done = trainer("resume", cut)
    assert done.status == 0, done.err
    one, other = (load_record(folder)[1].sha256["model.safetensors"] for folder in (whole, cut))
    assert one == other


def test_where_no_step_is_better_the_earlier_one_is_kept(monday: Folders, tmp_path: Path) -> None:
    _, begun, _, second = monday
    before = tree_hash(begun)
    done = tune(tmp_path / "out", second, "--from", begun, "--learning-rate", 0.9, "--eval-steps", 1, "--patience", 2)
    assert done.status == 1 and "no step was better than monday" in done.err, done.err
    assert tree_hash(begun) == before and not (tmp_path / "out" / "trainer.json").exists()


def test_what_is_no_fine_tune_or_has_lost_its_base_is_named(monday: Folders, tmp_path: Path) -> None:
    base_folder, begun, _, second = monday
    refused = tune(tmp_path / "out", second, "--from", base_folder)
    assert refused.status == 2 and "it is no fine-tune" in refused.err and "--base" in refused.err
    orphan = shutil.copytree(begun, tmp_path / "orphan")
    plan = orphan / "training" / "plan.json"
    told = json.loads(plan.read_text("utf-8"))
    plan.write_text(json.dumps(told | {"base": str(tmp_path / "gone")}), "utf-8")
    lost = tune(tmp_path / "out", second, "--from", orphan)
    assert lost.status == 2 and "its base tiny-base" in lost.err and "--base CHECKPOINT" in lost.err
    found = tune(tmp_path / "out", second, "--from", orphan, "--base", base_folder)
    assert found.status == 0, found.err


def test_in_use_is_the_one_in_use(monday: Folders, tmp_path: Path) -> None:
    first = monday[2]
    home = home_with(tmp_path / "home", {})
    nobody = trainer("finetune", "--data", first, "--from", "in-use", "--home", home)
    assert nobody.status == 2 and "--from in-use: of whom?" in nobody.err
    (home / "profiles" / "ann").mkdir()
    none = trainer("finetune", "--profile", "ann", "--from", "in-use", "--home", home)
    assert none.status == 2 and "ann has no checkpoint that passed" in none.err, none.err


def test_mode_tags_stay_and_new_ones_come(monday: Folders) -> None:
    """A model that learnt tags goes on with them, though the new run has one mode alone; one without stays without."""
    begun = load_checkpoint(monday[1])
    tags = {"dual": ["<thought>: ", "<world>: "]}
    with_one = replace(
        begun, record=begun.record.model_copy(update={"template": Template(tags={"agent": ["<do>: ", "<done>: "]})})
    )
    dataset = Dataset(Path("run"), [], tags)
    assert _template_of(with_one, dataset).tags == {**tags, "agent": ["<do>: ", "<done>: "]}
    assert _template_of(begun, dataset).tags == {}


def test_what_it_has_learnt_is_not_held_out_for_it(monday: Folders, tmp_path: Path) -> None:
    """A file that has grown holds out what the earlier fine-tune was trained on: that would flatter it."""
    _, begun, first, second = monday
    grown = tmp_path / "grown.jsonl"
    grown.write_text(second.read_text("utf-8") + first.read_text("utf-8"), "utf-8")
    done = tune(tmp_path / "out", grown, "--from", begun, "--holdout-share", 0.5)
    told = " ".join(done.err.split())
    assert done.status == 0 and f"left out, since {begun} was trained on them: curate run --since keeps" in told, told
    record = load_record(tmp_path / "out")[1]
    assert record.data["samples_held_out"] < 30


def test_words_of_before_are_known_to_health(monday: Folders, tmp_path: Path) -> None:
    _, begun, first, second = monday
    assert tune(tmp_path / "tuesday", second, "--from", begun).status == 0
    tuesday = load_checkpoint(tmp_path / "tuesday")
    word = json.loads(first.read_text("utf-8").splitlines()[0])["output"].split()[0]
    assert word in lexicon_of(load_checkpoint(monday[0]), [], tuesday)
    assert word not in lexicon_of(load_checkpoint(monday[0]), [])

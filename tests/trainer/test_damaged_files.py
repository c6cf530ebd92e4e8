"""Files of a run, a training or a checkpoint that hold what their writer never wrote: one clear error, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Home, curate_once
from core_fixtures import Result, shared_place, trainer, wide_open_home
from export_fixtures import tiny_checkpoint
from health_fixtures import dialogues
from json_fixtures import FEW, VALUES, damaged, variants

from curator.contract.errors import JobError, UsageError
from curator.contract.records import SUMMARY, WRAPPED
from trainer.data.dialogues import read_run
from trainer.evaluation.training_log import METRICS, SAMPLES, TrainingLog
from trainer.model.checkpoint import load_checkpoint

FAST = "--steps 2 --precision fp32 --threads 1 --compile never".split()
FEWER = {name: VALUES[name] for name in ("null", "text", "minus", "mixed")}


def every_way(raw: bytes, values: dict[str, str], *skip: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a JSON file, damaged in every way; the keys `skip` stay as they are."""
    yield from damaged(raw)
    for way, text in variants(json.loads(raw), values, [(name,) for name in skip]):
        yield way, text.encode()


def refused(done: Result, way: str, *names: str) -> None:
    """A command said in one message what is wrong, in which file, and what to do."""
    assert done.status in (1, 2, 3) and not done.out, (way, done)
    assert "trainer: " in done.err and "Traceback" not in done.err and "\n  " in done.err, (way, done)
    assert all(name in done.err for name in names) and len(done.err) < 1_500, (way, done)


# --- a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one conversation in two exchanges, which keeps its context."""
    home = Home(tmp_path_factory.mktemp("run") / "home")
    turns = [("user", "Tea?"), ("assistant", "Yes, with milk in it."), ("user", "More?"), ("assistant", "A pot of it.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    home.memory(messages=messages, metadata={"multi_turn": True})
    return curate_once("run", "--username", "ann", "--home", home.folder).run


def test_samples_of_a_run(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    summary = json.loads((run / SUMMARY).read_bytes()) | {"files": {}}
    (copy / SUMMARY).write_text(json.dumps(summary))
    refusals = 0
    for way, raw in every_way((run / WRAPPED).read_bytes(), VALUES):
        (copy / WRAPPED).write_bytes(raw)
        try:
            dataset = read_run(copy)
        except (JobError, UsageError) as error:
            assert (WRAPPED in error.what or "holds no sample" in error.what) and error.next_step, (way, error)
            refusals += 1
            continue
        for one in dataset.dialogues:
            texts = (one.name, one.prompt, one.reply, one.mode, *(text for pair in one.history for text in pair))
            assert all(isinstance(text, str) for text in texts), way
    assert refusals > 100


@pytest.mark.parametrize("way", ["missing", "folder"])
def test_samples_that_are_not_there(run: Path, tmp_path: Path, way: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / WRAPPED).unlink()
    if way == "folder":
        (copy / WRAPPED).mkdir()
    refused(trainer("preview", "--run", copy), way, WRAPPED)


def test_a_summary_of_a_run(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    refusals = 0
    for way, raw in every_way((run / SUMMARY).read_bytes(), FEW, "config", "plugins", "metrics", "config_sha256"):
        (copy / SUMMARY).write_bytes(raw)
        try:
            read_run(copy)
        except UsageError as error:
            assert SUMMARY in error.what and error.next_step, (way, error)
            refusals += 1
    assert refusals > 50


# --- a training ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pretraining and a fine-tune that have begun and not ended: less what is written last."""
    folder = tmp_path_factory.mktemp("trainings")
    base, tuned = folder / "base", folder / "tuned"
    done = trainer(*shared_place().pretrain(base, "--context", 64))
    assert done.status == 0, done.err
    shutil.copytree(base, folder / "begun")
    for name in ("replay", "held-out"):
        shutil.copytree(shared_place().modules, base / name, ignore=shutil.ignore_patterns(".lock"))
    data = ("--data", dialogues(folder, 12), "--base", base, "--home", wide_open_home())
    done = trainer("finetune", *data, "--out", tuned, *FAST)
    assert done.status == 0, done.err
    for out in (folder / "begun", tuned):
        (out / "trainer.json").unlink()
    return {"pretrain": folder / "begun", "finetune": tuned}


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_plan(trainings: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """A plan that is not as it was written is refused as damaged, or as another than the training began with."""
    out = shutil.copytree(trainings[kind], tmp_path / "out")
    plan = (out / "training" / "plan.json").read_bytes()
    one = {"text": VALUES["text"]}  # of the many settings: a value that suits is a whole training
    others = [key for key in json.loads(plan) if key != "settings"]
    skipped = ("data", "fingerprint", "machine", "settings", "home", "base_sha256")
    for way, raw in (*every_way(plan, FEWER, *skipped), *every_way(plan, one, *others)):
        if not same(plan, raw):
            (out / "training" / "plan.json").write_bytes(raw)
            refused(trainer("resume", out), way)


def same(plan: bytes, raw: bytes) -> bool:
    """Whether a plan says the same as another, as with null for a key that is left out."""
    try:
        first, second = json.loads(plan), json.loads(raw)
    except (ValueError, RecursionError):
        return False
    without = [{key: one[key] for key in one if one[key] is not None} for one in (first, second) if type(one) is dict]
    return len(without) == 2 and without[0] == without[1]


def test_a_plan_without_settings(trainings: dict[str, Path], tmp_path: Path) -> None:
    for kind, folder in trainings.items():
        out = shutil.copytree(folder, tmp_path / kind)
        plan = json.loads((out / "training" / "plan.json").read_bytes())
        (out / "training" / "plan.json").write_text(json.dumps({key: plan[key] for key in plan if key != "settings"}))
        done = trainer("resume", out)
        assert (done.status, done.out) == (2, "")
        assert "plan.json is damaged: 'settings' is missing\n  begin the training anew" in done.err


def test_a_log_of_a_training(tmp_path: Path) -> None:
    """Lines that are none cost their own points of a curve, never the report or the training."""
    good = {"step": 3, "loss": 1.5}
    for way, raw in every_way(json.dumps(good).encode(), VALUES):
        (tmp_path / METRICS).write_bytes(raw + b"\n" + json.dumps(good).encode() + b"\n")
        log = TrainingLog(tmp_path)
        rows = log.metrics()
        assert rows[-1] == good and all(type(row["step"]) is int for row in rows), way
        log.forget_after(3)
        assert log.metrics()[-1] == good
    for way, text in variants({"step": 3, "samples": [{"prompt": "Ba?"}]}, VALUES):
        (tmp_path / SAMPLES).write_text(text, "utf-8")
        assert all(isinstance(one, dict) for row in log.samples() for one in row["samples"]), way
    (tmp_path / METRICS).unlink()
    (tmp_path / METRICS).mkdir()
    assert TrainingLog(tmp_path).metrics() == []


# --- a checkpoint --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trainer.json", "config.json"])
def test_a_record_and_a_configuration(tmp_path: Path, name: str) -> None:
    folder = tiny_checkpoint(tmp_path / "it").folder
    raw = (folder / name).read_bytes()
    record = json.loads((folder / "trainer.json").read_bytes())
    record["sha256"].pop("config.json")  # so that not its sha256 refuses it
    if name == "config.json":
        (folder / "trainer.json").write_text(json.dumps(record))
    for way, text in every_way(raw, FEW):
        (folder / name).write_bytes(text)
        try:
            load_checkpoint(folder)
        except UsageError as error:
            assert str(folder) in error.what and len(str(error)) < 1_500, (way, error)
        told = trainer("info", folder)
        assert told.status in (0, 1, 2), (way, told)
        if told.status == 2:
            assert str(folder) in told.err, (way, told)


def test_a_checkpoint_whose_file_is_a_folder(tmp_path: Path) -> None:
    whole = tiny_checkpoint(tmp_path / "it").folder
    for name in sorted(path.name for path in whole.iterdir()):
        folder = shutil.copytree(whole, tmp_path / name)
        (folder / name).unlink()
        (folder / name).mkdir()
        for command in (("chat",), ("sample", "--prompt", "Ba?"), ("info",)):
            done = trainer(command[0], folder, *command[1:])
            assert done.status in (1, 2, 3) and "Traceback" not in done.err and name in done.err + done.out, done

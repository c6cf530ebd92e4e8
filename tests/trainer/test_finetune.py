"""Fine-tuning through the command line, on a tiny base of the tiny language."""

import hashlib
import json
import random
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from core_fixtures import Process, Result, shared_place, trainer, words

from trainer.checkpoint import load_checkpoint
from trainer.generate import greedy

# Enough to learn a few dialogues by heart in a second: what is tested is the way there, not the art.
FAST = (
    "--precision fp32 --threads 1 --compile never --learning-rate 0.01 --eval-every 10 --save-every 10 --dropout 0"
).split()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A base of two layers, 12 steps old."""
    out = tmp_path_factory.mktemp("base") / "tiny-base"
    place = shared_place()
    done = trainer(*place.pretrain(out, "--context", 64))
    assert done.status == 0, done.err
    return out


def dialogues(folder: Path, number: int, seed: int = 1) -> Path:
    rng = random.Random(seed)
    path = folder / "dialogues.jsonl"
    rows = [{"input": " ".join(words(rng, 4)), "output": " ".join(words(rng, 6)) + "."} for _ in range(number)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def finetune(base: Path, data: Path, out: Path, *more: object) -> Result:
    return trainer("finetune", "--data", data, "--base", base, "--out", out, *FAST, *more)


def tree_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]


# --- the whole way -------------------------------------------------------------------------------------------------


def test_dialogues_learnt_by_heart_come_back_word_for_word_and_end(base, tmp_path):
    """Template, tokens, targets, mask, packing and end mark all have to be right for this."""
    data = dialogues(tmp_path, 6)
    done = finetune(base, data, tmp_path / "out", "--steps", 150, "--validation-share", 0, "--patience", 0)
    assert done.status == 0, done.err
    made = load_checkpoint(tmp_path / "out")
    model = made.model()
    for line in data.read_text("utf-8").splitlines():
        row = json.loads(line)
        prompt = made.tokenizer.encode(f"Q: {row['input']}\nA:")
        reply = [*made.tokenizer.encode_after(" " + row["output"]), 1]
        assert greedy(model, prompt, len(reply)) == reply


def test_what_a_fine_tune_leaves(base, tmp_path):
    before = tree_hash(base)
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 20)
    assert done.status == 0, done.err
    out = tmp_path / "out"
    assert done.out.splitlines()[-1] == str(out)
    assert tree_hash(base) == before, "the base was changed"
    record = json.loads((out / "trainer.json").read_text("utf-8"))
    assert record["parent"]["sha256"] == hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert record["made_by"] == "finetune" and record["steps"] == 20
    assert record["data"]["samples"] + record["data"]["samples_held_out"] == 30
    assert record["settings"]["learning_rate"] == 0.01
    assert [row["step"] for row in metrics(out)] == list(range(1, 21))
    samples = [json.loads(line) for line in (out / "training" / "samples.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in samples] == [10, 20]
    assert {"prompt", "base", "now"} == set(samples[0]["samples"][0])
    left = sorted(path.name for path in (out / "training").iterdir())
    assert left == ["metrics.jsonl", "plan.json", "samples.jsonl", "tokenizer.model"]


def test_it_begins_at_step_0_with_its_own_schedule_and_its_own_best_loss(base, tmp_path):
    """llama2.c's resume took both from pretraining: the learning rate was 0 and nothing was ever better."""
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 20)
    rows = metrics(tmp_path / "out")
    assert rows[0]["learning_rate"] == pytest.approx(0.01 / 5, rel=1e-3)  # five steps of warmup
    assert max(row["learning_rate"] for row in rows) == pytest.approx(0.01, rel=1e-3)
    record = json.loads((tmp_path / "out" / "trainer.json").read_text("utf-8"))
    assert record["metrics"]["validation_loss"] < record["metrics"]["validation_loss_at_start"]
    assert "validation loss" in done.err


def test_lora_changes_the_layers_alone_and_is_merged(base, tmp_path):
    done = finetune(
        base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 20, "--method", "lora", "--lora-rank", 4
    )
    assert done.status == 0, done.err
    old, new = load_checkpoint(base).state, load_checkpoint(tmp_path / "out").state
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {
        f"layers.{layer}.{name}.weight"
        for layer in (0, 1)
        for name in ("attention.wqkv", "attention.wo", "mlp.gate_up", "mlp.down")
    }
    assert "lora of rank 4" in done.err


def test_nothing_better_than_the_base_keeps_the_base(base, tmp_path):
    """Far too high a learning rate, stopped by patience: what is kept is what was best, the base itself."""
    data = dialogues(tmp_path, 30)
    assert finetune(base, data, tmp_path / "good", "--steps", 20).status == 0
    base = tmp_path / "good"
    done = trainer(
        "finetune", "--data", data, "--base", base, "--out", tmp_path / "out", "--precision", "fp32",
        "--threads", 1, "--learning-rate", 0.9, "--eval-every", 1, "--patience", 2, "--steps", 40,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "validation loss has not fallen for 2 evaluations" in done.err
    old, new = load_checkpoint(base).state, load_checkpoint(tmp_path / "out").state
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert "no step was better than the base" in done.err
    last = load_checkpoint(tmp_path / "out" / "last")
    assert not torch.equal(last.state["norm.weight"], new["norm.weight"]), "the last weights are kept beside the best"


def test_killed_and_resumed_it_ends_in_the_same_bytes(base, tmp_path):
    data = dialogues(tmp_path, 30)
    options = ("--data", data, "--base", base, *FAST, "--steps", 30, "--seed", 3)
    whole = trainer("finetune", *options, "--out", tmp_path / "whole")
    assert whole.status == 0, whole.err
    process = Process("finetune", *options, "--out", tmp_path / "killed")
    state = tmp_path / "killed" / "training" / "step-0000010" / "state.json"
    until = time.monotonic() + 60
    while not state.is_file() and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    assert process.wait().status != 0
    if not (tmp_path / "killed" / "trainer.json").is_file():  # it may have been too fast for us
        done = trainer("resume", tmp_path / "killed")
        assert done.status == 0, done.err
    names = ("model.safetensors",)
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [row["step"] for row in metrics(tmp_path / "killed")] == list(range(1, 31))


# --- where it goes, and what it is told ------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with the demo profile's dual run."""
    import shutil

    from curator.cli import _guarded

    shutil.copytree(ROOT / "profiles" / "greggles", tmp_path / "home" / "profiles" / "greggles",
                    ignore=shutil.ignore_patterns("out"))  # fmt: skip
    home = tmp_path / "home"
    assert _guarded(["run", "--username", "greggles", "--mode", "dual", "--max", "40", "--home", str(home)]) == 0
    return home


def test_a_profile_s_checkpoints_go_beside_its_runs(base, home):
    options = ("finetune", "--profile", "greggles", "--home", home, "--base", base, *FAST, "--steps", 2)
    first, second = trainer(*options), trainer(*options)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    a, b = (Path(done.out.splitlines()[-1]) for done in (first, second))
    assert a.parent == b.parent == home / "profiles" / "greggles" / "out" / "checkpoints"
    assert a.name.endswith("-dual-qwen") and b.name == f"{a.name}-2"
    tags = load_checkpoint(a).record.template.tags
    assert tags == {}, "one mode needs no tags"


def test_json_is_all_that_stdout_holds(base, tmp_path):
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 2, "--json")
    assert json.loads(done.out)["checkpoint"] == str(tmp_path / "out")


def test_preview_marks_what_is_trained(base, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"input": f"ba {n}", "output": "ko ti"}) + "\n" for n in range(5)))
    done = trainer("preview", "--data", data, "--base", base, "-n", 1, "--json")
    (row,) = json.loads(done.out)
    trained = [piece for piece, weight in zip(row["pieces"], row["weights"], strict=True) if weight]
    assert trained[-1] == "<s>" and "".join(trained[:-1]) == "▁ko▁ti"
    shown = trainer("preview", "--data", data, "--base", base, "-n", 1)
    assert "tokens are trained" in shown.out and "·ko" in shown.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--data", "nowhere.jsonl"], "cannot read"),
        (["--run", "nowhere"], "is no finished run"),
        (["--data", "{data}", "--base", "nowhere"], "there is no such checkpoint"),
        (["--data", "{data}", "--base", "{data}"], "is a file, no checkpoint"),
        (["--data", "{data}", "--base", "{base}", "--out", "{base}"], "is there already"),
        (["--data", "{data}", "--base", "{base}", "--device", "cuda"], "PyTorch finds no such device here"),
        (["--data", "{data}", "--base", "{base}", "--learning-rate", "7"], "--learning-rate 7.0"),
    ],
)
def test_bad_input_gets_one_error_and_leaves_nothing(base, tmp_path, options, says):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a cuda device here")
    data = dialogues(tmp_path, 10)
    before = tree_hash(base)
    given = [one.format(data=data, base=base) for one in options]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "out")]
    done = trainer("finetune", *given)
    assert done.status == 2 and says in done.err and done.out == ""
    assert done.err.startswith("trainer: ") and "Traceback" not in done.err
    assert tree_hash(base) == before and not (tmp_path / "out").exists()


def test_a_profile_without_a_run_is_told_how_to_make_one(base, tmp_path):
    (tmp_path / "home" / "profiles" / "ann").mkdir(parents=True)
    done = trainer("finetune", "--profile", "ann", "--home", tmp_path / "home", "--base", base)
    assert done.status == 2 and "make one with: curate run --username ann" in done.err
    done = trainer("finetune", "--profile", "bob", "--home", tmp_path / "home", "--base", base)
    assert done.status == 2 and "unknown profile 'bob': expected one of ann" in done.err

"""Fine-tuning through the command line, on a tiny base of the tiny language."""

import hashlib
import itertools
import json
import math
import random
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from core_fixtures import (
    WIDE_OPEN,
    Process,
    Result,
    as_version_0_1_wrote_it,
    home_with,
    old_names,
    place_in,
    shared_place,
    trainer,
    wide_open_home,
    words,
)

from curator.contract.files import sha256_of
from curator.contract.records import SUMMARY, WRAPPED
from trainer.cli.preview import _style
from trainer.inference.decoder import greedy
from trainer.model.checkpoint import load_checkpoint
from trainer.model.lexicon import LEXICON, pack_words
from trainer.settings import SamplingSettings

# Enough to learn a few dialogues by heart in a second: what is tested is the way there, not the art.
FAST = (
    "--precision fp32 --threads 1 --compile never --learning-rate 0.01 --eval-steps 10 --save-steps 10 --dropout 0"
).split()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A base of two layers, 12 steps old, with its words and text beside it, which is quicker than to write its own."""
    out = tmp_path_factory.mktemp("base") / "tiny-base"
    place = shared_place()
    done = trainer(*place.pretrain(out, "--context", 64))
    assert done.status == 0, done.err
    for folder in ("replay", "held-out"):
        shutil.copytree(place.modules, out / folder, ignore=shutil.ignore_patterns(".lock"))
    (out / LEXICON).write_bytes(pack_words(["ba", "ko"]))
    return out


def dialogues(folder: Path, number: int, seed: int = 1) -> Path:
    rng = random.Random(seed)
    path = folder / "dialogues.jsonl"
    rows = [{"input": " ".join(words(rng, 4)), "output": " ".join(words(rng, 6)) + "."} for _ in range(number)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def arguments(base: Path, data: Path, out: Path, *more: object, home: Path | None = None) -> list[object]:
    home = home or wide_open_home()
    return ["finetune", "--data", data, "--base", base, "--out", out, "--home", home, *FAST, *more]


def finetune(base: Path, data: Path, out: Path, *more: object, home: Path | None = None) -> Result:
    return trainer(*arguments(base, data, out, *more, home=home))


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
    options = ("--steps", 150, "--holdout-share", 0, "--patience", 0)
    done = finetune(base, data, tmp_path / "out", *options, home=wide_open_home(replay_ratio=0.0))
    assert done.status == 0, done.err
    made = load_checkpoint(tmp_path / "out")
    model = made.model()
    for line in data.read_text("utf-8").splitlines():
        row = json.loads(line)
        prompt = made.tokenizer.encode(f"Q: {row['input']}\nA:")
        reply = [*made.tokenizer.encode_after(" " + row["output"]), 1]
        assert greedy(model, prompt, len(reply)) == reply


def test_an_evaluation_is_one_line_and_the_base_answers_once(base, tmp_path):
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 30)
    assert done.status == 0, done.err
    lines = done.err.splitlines()
    evaluated = [line for line in lines if line.startswith("step ")]
    form = r'step (10|20|30)/30  loss \d\.\d{3}  held out \d\.\d{3}  ETA [0-9hms]+  now ".*"'
    assert len(evaluated) == 3 and all(re.fullmatch(form, line) for line in evaluated), evaluated
    assert [line.split(" with ")[0] for line in lines if line.startswith("the base answers")] == [
        'the base answers "Ba ko?"'
    ]
    # What follows the last step counts: its ETA is not over when the steps are.
    assert not evaluated[-1].endswith("ETA 0s") and any(line.startswith("measuring what came of it") for line in lines)
    assert not [line for line in lines if "tok/s" in line or "precision" in line or "% of the tuned weights" in line]


def test_verbose_shows_every_figure_and_every_sample(base, tmp_path):
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 20, "--verbose")
    assert done.status == 0, done.err
    prompts = json.loads((tmp_path / "out" / "training" / "samples.jsonl").read_text().splitlines()[0])["samples"]
    assert done.err.count("the base answers ") == len(prompts) > 1
    assert done.err.count("    Ba ko?  now ") == 2
    for shown in ("precision fp32: asked for", " tok/s  ", "100% of the tuned weights: replies "):
        assert shown in done.err


def test_what_a_fine_tune_leaves(base, tmp_path):
    base = shutil.copytree(base, tmp_path / "tiny-base")
    told = json.loads((base / "trainer.json").read_text("utf-8"))
    told["sampling"] = SamplingSettings(temperature=0.4).model_dump()
    (base / "trainer.json").write_text(json.dumps(told), "utf-8")
    before = tree_hash(base)
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 20)
    assert done.status == 0, done.err
    out = tmp_path / "out"
    assert done.out.splitlines()[-1] == str(out)
    assert tree_hash(base) == before, "the base was changed"
    record = json.loads((out / "trainer.json").read_text("utf-8"))
    assert record["parent"]["sha256"] == hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert record["made_by"] == "finetune" and record["steps"] == 20
    assert record["sampling"] == told["sampling"], "it is drawn from as its base is"
    assert record["data"]["samples"] + record["data"]["samples_held_out"] == 30
    assert record["settings"]["learning_rate"] == 0.01
    assert [row["step"] for row in metrics(out)] == list(range(1, 21))
    samples = [json.loads(line) for line in (out / "training" / "samples.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in samples] == [10, 20]
    assert {"prompt", "base", "now"} == set(samples[0]["samples"][0])
    assert record["data"]["replay"] == "text that came with tiny-base"
    assert record["gate"] == {"passed": True, "accepted_degraded": False, "alpha": 1.0, "broken": []}
    left = sorted(path.name for path in (out / "training").iterdir())
    assert left == ["health.html", "health.json", "metrics.jsonl", "plan.json", "samples.jsonl", "tokenizer.model"]


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
    """Far too high a learning rate, stopped by patience: no checkpoint, the gate tells what became of the last step."""
    data, out = dialogues(tmp_path, 30), tmp_path / "out"
    assert finetune(base, data, tmp_path / "good", "--steps", 20).status == 0
    base = tmp_path / "good"
    before = tree_hash(base)
    done = finetune(base, data, out, "--learning-rate", 0.9, "--eval-steps", 1, "--patience", 2, "--steps", 40)
    assert (done.status, done.out) == (1, "") and "the fine-tune is refused, the base is kept" in done.err
    assert tree_hash(base) == before and not (out / "trainer.json").exists() and not (out / "last").exists()
    losses = [row["validation_loss"] for row in metrics(out)]
    report = json.loads((out / "training" / "health.json").read_text("utf-8"))
    (told,) = (one for one in report["metrics"] if one["name"] == "reply_perplexity")
    assert report["verdict"] == "refused" and math.log(told["base"]) < min(losses) and len(losses) < 40
    assert math.log(told["tuned"]) == pytest.approx(losses[-1], rel=1e-3)
    done = trainer("resume", out, "--accept-degraded")
    assert done.status == 0, done.err
    assert len(metrics(out)) == len(losses), "it was trained on"
    record = load_checkpoint(out).record
    assert (record.metrics["best_step"], record.steps) == (len(losses), len(losses)) and not (out / "last").exists()
    assert record.metrics["validation_loss"] == pytest.approx(losses[-1], abs=1e-4), "of the weights that are kept"
    assert f"{record.metrics['validation_loss_at_start']:.3f} -> {losses[-1]:.3f}, higher at step" in done.err


def test_the_last_weights_are_kept_beside_the_best(base, tmp_path):
    """By heart, far beyond the best step: the score is that of the held-out replies here."""
    data, out = dialogues(tmp_path, 30), tmp_path / "out"
    done = finetune(base, data, out, "--steps", 60, "--eval-steps", 5, "--patience", 0, "--holdout-share", 0.3)
    assert done.status == 0, done.err
    best, last = load_checkpoint(out), load_checkpoint(out / "last")
    scores = {row["step"]: row["score"] for row in metrics(out) if "score" in row}
    step = min(scores, key=lambda one: scores[one])
    assert 0 < step < 60 and best.record.metrics["best_step"] == step  # else this says nothing
    assert best.record.metrics["validation_loss"] == pytest.approx(scores[step], abs=1e-4)
    assert f"the best, of {step}, are in out" in last.record.notes[-1]
    assert not torch.equal(last.state["norm.weight"], best.state["norm.weight"])


def kept(out: Path) -> dict[str, object]:
    """All that a fine-tune leaves and that no clock decides, by file."""
    clocks = ("seconds", "tokens_per_second", "memory_mb")
    record = json.loads((out / "trainer.json").read_text("utf-8"))
    del record["created"], record["metrics"]["seconds"]
    health = json.loads((out / "training" / "health.json").read_text("utf-8"))
    assert [row["step"] for row in health.pop("curves")] == [row["step"] for row in metrics(out)]
    return {
        "model.safetensors": (out / "model.safetensors").read_bytes(), "trainer.json": record,
        "metrics.jsonl": [{key: one for key, one in row.items() if key not in clocks} for row in metrics(out)],
        "samples.jsonl": (out / "training" / "samples.jsonl").read_text("utf-8"),
        "health.json": health | {"checkpoint": ""},
    }  # fmt: skip


def stopped(arguments: list[object], out: Path, at: int, number: int = signal.SIGKILL) -> Result:
    """Begin a fine-tune and send it a signal once it has logged `at` steps and saved a state."""
    process = Process(*arguments)
    log, until = out / "training" / "metrics.jsonl", time.monotonic() + 60
    while time.monotonic() < until:
        if log.is_file() and log.read_bytes().count(b"\n") >= at and list(log.parent.glob("step-*")):
            break
        time.sleep(0.001)
    process.kill(number)
    return process.wait()


@pytest.mark.parametrize(
    ("text", "settings", "options"),
    [
        ("none", {"replay_ratio": 0.0}, ()),
        ("text that came with tiny-base", {}, ()),
        ("text that came with tiny-base", {"replay_ratio": 0.5, "dropout": 0.3}, ("--per-device-batch-size", 2)),
        ("text that came with tiny-base", {}, ("--method", "lora", "--lora-rank", 4)),
        ("text that the base wrote", {}, ()),
        ("shards of modules", {}, ("--replay", "MODULES")),
    ],
    ids=["alone", "with replay", "in parts", "lora", "with its own text", "with shards"],
)
def test_killed_and_resumed_it_ends_in_the_same_bytes(base, tmp_path, text, settings, options):
    """The states of steps 7, 14, ... lie between two evaluations: what is scored anew has to come out the same."""
    if text == "text that the base wrote":
        base = shutil.copytree(base, tmp_path / "alone", ignore=shutil.ignore_patterns("held-out"))
    data, home = dialogues(tmp_path, 30), wide_open_home(**settings)
    more = [shared_place().modules if one == "MODULES" else one for one in options]
    more += ["--save-steps", 7, "--steps", 30, "--seed", 3]
    begun = [arguments(base, data, tmp_path / name, *more, home=home) for name in ("whole", "killed")]
    if "dropout" in settings:
        begun = [[*one, "--dropout", settings["dropout"]] for one in begun]
    whole = trainer(*begun[0])
    assert whole.status == 0, whole.err
    out = tmp_path / "killed"
    assert stopped(begun[1], out, at=12).status == -signal.SIGKILL
    assert not (out / "trainer.json").exists()
    done = trainer("resume", out)
    assert done.status == 0, done.err
    found, expected = kept(out), kept(tmp_path / "whole")
    assert [name for name in expected if found[name] != expected[name]] == []
    assert [row["step"] for row in metrics(out)] == list(range(1, 31))
    assert [row["step"] for row in metrics(out) if "score" in row] == [10, 20, 30]
    assert expected["trainer.json"]["data"]["replay"] == text


def test_a_stopped_fine_tune_saves_where_it_is_and_goes_on_from_there(base, tmp_path):
    data, out = dialogues(tmp_path, 30), tmp_path / "out"
    more = ("--save-steps", 7, "--steps", 30, "--seed", 3)
    assert finetune(base, data, tmp_path / "whole", *more).status == 0
    done = stopped(arguments(base, data, out, *more), out, 12, signal.SIGTERM)
    assert done.status == 143 and f"trainer resume {out}" in done.err, done.err
    assert trainer("resume", out).status == 0
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_a_fine_tune_that_version_0_1_began_ends_in_the_same_bytes(base, tmp_path):
    """Its plan, its home's settings, its saved states and its lines have the names that version 0.1 wrote."""
    data, settings = dialogues(tmp_path, 30), {"replay_ratio": 0.5}
    more = ("--replay", shared_place().modules, "--save-steps", 7, "--steps", 30, "--seed", 3)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert trainer(*arguments(base, data, whole, *more, home=wide_open_home(**settings))).status == 0
    home = home_with(tmp_path / "home", WIDE_OPEN | {"finetune": settings})
    assert stopped(arguments(base, data, out, *more, home=home), out, at=12).status == -signal.SIGKILL
    as_version_0_1_wrote_it(out / "training")
    (home / "etc" / "trainer.json").write_text(json.dumps(old_names(WIDE_OPEN | {"finetune": settings})))
    done = trainer("resume", out)
    assert done.status == 0 and "something changed" not in done.err, done.err
    assert "trainer.json:1: gate is called budgets now" in done.err
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    report = json.loads((out / "training" / "health.json").read_text("utf-8"))
    rows = [row for row in report["curves"] if "score" in row]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert all({"oov_rate", "memorisation", "eos_rate"} <= row.keys() and "verbatim" not in row for row in rows)


def test_replayed_text_that_changed_is_refused_unless_drift_is_allowed(base, tmp_path):
    """Neither the base's weights nor the dialogues are others: only what it is kept near to."""
    place, out = place_in(tmp_path / "place", modules=2), tmp_path / "out"
    begun = arguments(base, dialogues(tmp_path, 30), out, "--replay", place.modules, "--steps", 30)
    assert stopped(begun, out, at=12).status == -signal.SIGKILL
    assert trainer("modules", "remove", "two", "--shards", place.modules).status == 0
    done = trainer("resume", out)
    assert (done.status, done.out) == (2, "") and "fingerprint was" in done.err and "--allow-drift" in done.err
    done = trainer("resume", out, "--allow-drift")
    assert done.status == 0 and "although something changed" in done.err, done.err


def test_replay_keeps_a_fine_tune_nearer_to_its_base(base, tmp_path):
    """As users run it, through the command: else a switch that reaches nothing would not be seen."""
    data, far = dialogues(tmp_path, 30), {}
    for name, settings in (("alone", {"replay_ratio": 0.0}), ("unanchored", {"kl_weight": 0.0}), ("near", {})):
        done = finetune(base, data, tmp_path / name, "--steps", 20, home=wide_open_home(**settings))
        assert done.status == 0, done.err
        found = json.loads((tmp_path / name / "training" / "health.json").read_text("utf-8"))
        (text,) = (one for one in found["metrics"] if one["name"] == "base_perplexity")
        far[name] = abs(math.log(text["tuned"] / text["base"]))
        assert f"replay: {'text that came with tiny-base' if name == 'near' else 'none'}" in done.err
    assert far["alone"] == far["unanchored"] > 3 * far["near"]


# --- where it goes, and what it is told ------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with the demo profile's dual run."""
    from curator.cli import run_command

    home = home_with(tmp_path / "home", WIDE_OPEN)
    shutil.copytree(ROOT / "profiles" / "greggles", home / "profiles" / "greggles",
                    ignore=shutil.ignore_patterns("out"))  # fmt: skip
    assert (
        run_command(
            [
                "run",
                "--username",
                "greggles",
                "--mode",
                "dual",
                "--max",
                "120",
                "--questions",
                "stock",
                "--home",
                str(home),
            ]
        )
        == 0
    )
    return home


def test_a_profile_s_checkpoints_go_beside_its_runs(base, home):
    options = ("finetune", "--profile", "greggles", "--home", home, "--base", base, *FAST, "--steps", 2)
    first, second = trainer(*options), trainer(*options)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    a, b = (Path(done.out.splitlines()[-1]) for done in (first, second))
    assert a.parent == b.parent == home / "profiles" / "greggles" / "out" / "checkpoints"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-dual-llama-\d+k", a.name), "mode and base, not the set's wrapper"
    assert b.name == f"{a.name}-2"
    assert f"made {a / 'training' / 'health.html'}: how good it is" in first.err
    chat, export, compare = (
        line.removeprefix("next: ") for line in first.err.splitlines() if line.startswith("next: ")
    )
    assert shlex.split(compare) == ["trainer", "compare", str(base), str(a)]
    assert shlex.split(chat) == ["trainer", "chat", str(a)] and shlex.split(export)[:3] == ["trainer", "export", str(a)]
    exported = trainer(*shlex.split(export)[1:-1], home / "exported")
    assert (exported.status, exported.out) == (0, f"{home / 'exported'}\n"), exported.err
    assert f"made {home / 'exported'}" in exported.err and "\nnext: llama-completion -m " in exported.err
    tags = load_checkpoint(a).record.template.tags
    assert tags == {}, "one mode needs no tags"


def test_the_only_profile_need_not_be_named(base, home):
    done = trainer("preview", "--base", base, "--home", home)
    assert done.status == 0 and done.err.startswith(f"profile greggles: the only one in {home}\n"), done.err
    (command,) = [line for line in done.err.splitlines() if line.startswith("next: ")]
    assert command == f"next: trainer finetune --base {base} --home {home}"
    done = trainer("finetune", "--base", base, "--home", home, *FAST, "--steps", 2, "--out", home / "mine")
    assert done.status == 0 and done.err.startswith("profile greggles: the only one in"), done.err
    (home / "profiles" / "ann").mkdir()
    try:
        done = trainer("finetune", "--base", base, "--home", home)
        assert done.status == 2 and "--profile ann\n  --profile greggles" in done.err
    finally:
        (home / "profiles" / "ann").rmdir()


def test_nothing_to_train_on_is_no_success(base, home, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(next(home.glob("profiles/greggles/out/fine-tuned-models/*/*")), run)
    (run / WRAPPED).write_text("[\n]\n")
    summary = json.loads((run / SUMMARY).read_bytes())
    summary["files"][WRAPPED] = sha256_of(run / WRAPPED)
    (run / SUMMARY).write_text(json.dumps(summary))
    (tmp_path / "empty.jsonl").write_text("\n")
    for command in ("preview", "finetune"):
        done = trainer(command, "--run", run, "--base", base)
        assert (done.status, done.out) == (1, "") and f"{run} holds no sample" in done.err
        assert f"see why: curate report {run}" in done.err
        done = trainer(command, "--data", tmp_path / "empty.jsonl", "--base", base)
        assert (done.status, done.out) == (1, "") and "empty.jsonl holds no dialogue" in done.err


def test_json_is_all_that_stdout_holds(base, tmp_path):
    done = finetune(base, dialogues(tmp_path, 30), tmp_path / "out", "--steps", 2, "--json")
    assert json.loads(done.out)["checkpoint"] == str(tmp_path / "out")


def test_preview_marks_what_is_trained_and_how_much(base, tmp_path):
    data, home = dialogues(tmp_path, 20), wide_open_home(eos_loss_weight=2.5, holdout_share=0.3)
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    options = ("preview", "--data", data, "--base", base, "--home", home, "--prompt-loss-weight", 0.25)
    found = json.loads(trainer(*options, "-n", 20, "--json").out)
    held = sum(row["split"] == "holdout" for row in found)
    assert 2 <= held <= 8 and [row["split"] for row in found] == ["train"] * (20 - held) + ["holdout"] * held
    for row in found:
        told = rows[int(row["sample"].removeprefix("line ")) - 1]
        asked, reply = (f"▁{told[key].replace(' ', '▁')}" for key in ("input", "output"))
        pairs = zip(row["weights"], row["pieces"], strict=True)
        runs = [
            (weight, "".join(piece for _, piece in run)) for weight, run in itertools.groupby(pairs, lambda a: a[0])
        ]
        assert row["trained"] == sum(weight > 0 for weight in row["weights"])
        if row["split"] == "train":
            assert [one for one in runs if one[0]] == [(0.25, asked), (1, reply), (2.5, "<s>")]
        else:
            assert [one for one in runs if one[0]] == [(1, f"{reply}<s>")]  # as it is measured
    shown = trainer(*options, "-n", 1)
    assert f"{found[0]['trained']} of {found[0]['tokens']} tokens are trained" in shown.out
    assert f"·{rows[0]['output'].replace(' ', '·')}<s>" in shown.out
    assert "legend: trained a little read only" in shown.out and f"{held} samples held out" in shown.out


def test_preview_s_colours_tell_trained_from_a_little_from_read_only():
    assert [_style(weight) for weight in (0, 0.3, 0.99, 1, 3.0)] == [
        "dim", "black on yellow", "black on yellow", "bold black on green", "bold black on green",
    ]  # fmt: skip


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
    assert done.status == 2 and "unknown user 'bob': expected one of ann" in done.err

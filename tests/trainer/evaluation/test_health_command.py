"""`trainer finetune` refuses what would ruin the base, and `trainer health` says how well any checkpoint is."""

from __future__ import annotations

import functools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import Result, as_version_0_1_wrote_it, old_names, trainer
from health_fixtures import base, dialogues, file_hashes, home, place, text_modules

from trainer.evaluation.page import page
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.names import builtin_base
from trainer.settings import BudgetSettings

FAST = "--precision fp32 --threads 1 --compile never --seed 3 --dropout 0".split()
SHIPPED = BudgetSettings().model_dump()


@functools.cache
def plain_home() -> Path:
    """No replay: what once ruined fine-tunes. The budgets are the shipped ones."""
    return home(place().folder / "plain-home", finetune={"replay_ratio": 0.0}, budgets=SHIPPED)


@functools.cache
def few() -> Path:
    """Twenty dialogues with one reply: it will be recited to everybody."""
    return dialogues(place().folder, 20, replies=1)


@functools.cache
def ruined() -> tuple[Path, Result, dict[str, str], dict[str, str]]:
    """Thirty epochs of a few dialogues at a high rate: the folder, what was said, the base's files before and after."""
    out = place().folder / "ruined"
    before = file_hashes(base())
    done = trainer(
        "finetune", "--data", few(), "--base", base(), "--out", out, "--home", plain_home(), *FAST, "--epochs", 30,
        "--learning-rate", 0.02, "--per-device-batch-size", 2, "--holdout-share", 0,
    )  # fmt: skip
    return out, done, before, file_hashes(base())


def copy_of(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns(".lock"))
    return place


@functools.cache
def accepted() -> tuple[Path, Result]:
    """The ruined one, kept all the same."""
    out = copy_of(ruined()[0], place().folder / "accepted")
    return out, trainer("resume", out, "--accept-degraded", "--home", plain_home())


def health(folder: Path, *more: object) -> Result:
    return trainer("health", folder, "--home", plain_home(), "--threads", 1, *more)


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def moved(out: Path, **plan: Any) -> Path:
    """A fine-tune whose plan names other places."""
    path = out / "training" / "plan.json"
    path.write_text(json.dumps(read(path) | {name: str(value) for name, value in plan.items()}), "utf-8")
    return out


# --- a disaster ----------------------------------------------------------------------------------------------------


def test_a_planted_disaster_is_refused_and_the_base_is_as_it_was() -> None:
    out, done, before, after = ruined()
    assert done.status == 1 and done.out == ""
    assert before == after and len(before) > 6
    assert not (out / "trainer.json").exists() and not list(out.glob("*.safetensors"))
    left = {path.name for path in (out / "training").iterdir()}
    assert {"health.json", "health.html", "plan.json", "metrics.jsonl", "best"} <= left


def test_what_is_wrong_why_and_what_to_do_are_said() -> None:
    out, done, _, _ = ruined()
    lines = done.err.splitlines()
    report = read(out / "training" / "health.json")
    (what,) = [number for number, line in enumerate(lines) if line.startswith("trainer: ")]
    assert lines[what].startswith("trainer: the fine-tune is refused, the base is kept: perplexity of the base's own ")
    assert "it recites; 12 words in a row: " in lines[what]
    assert lines[what + 1].endswith(
        "language: try fewer --epochs, a lower --learning-rate, or a higher kl_weight in etc/trainer.json"
    )
    assert [line.strip() for line in lines[what + 1 : -2]] == report["advice"]
    assert lines[-2:] == [
        f"  all figures: {out / 'training' / 'health.html'}",
        f"  keep it all the same: trainer resume {out} --accept-degraded",
    ]
    assert [line for line in report["headline"] if line in lines] == report["headline"]
    assert "Traceback" not in done.err


def test_the_report_that_is_left_names_the_broken_budgets() -> None:
    out, *_ = ruined()
    report = read(out / "training" / "health.json")
    assert report["verdict"] == "refused" and report["checkpoint"] == "ruined" and report["base"] == "tiny-base"
    broken = {one["name"] for one in report["metrics"] if one["ok"] is False}
    assert {"base_perplexity", "memorisation_unseen"} <= broken
    by_name = {one["name"]: one for one in report["metrics"]}
    assert by_name["base_perplexity"]["tuned"] > 10 * by_name["base_perplexity"]["base"]
    assert by_name["memorisation_unseen"]["tuned"] > 0.5 and by_name["memorisation_unseen"]["base"] == 0.0
    assert by_name["reply_perplexity"]["tuned"] is None, "nothing is held out"
    assert report["sizes"]["train"] == 20 and report["sizes"]["held_out"] == 0
    assert [one["alpha"] for one in report["sweep"]] == [0.5, 1.0]
    assert [one["chosen"] for one in report["sweep"]] == [False, True]
    assert len(report["curves"]) == len((out / "training" / "metrics.jsonl").read_text("utf-8").splitlines())
    assert (out / "training" / "health.html").read_text("utf-8") == page(report)


def test_what_is_refused_is_no_checkpoint() -> None:
    out, *_ = ruined()
    for command in ("health", "info"):
        done = trainer(command, out)
        assert done.status == 2 and "its training has not ended" in done.err and f"trainer resume {out}" in done.err


def test_resumed_without_a_word_it_is_refused_again_and_not_trained_again(tmp_path: Path) -> None:
    out = copy_of(ruined()[0], tmp_path / "again")
    before = file_hashes(out / "training" / "best") | {"lines": (out / "training" / "metrics.jsonl").read_text("utf-8")}
    done = trainer("resume", out, "--home", plain_home())
    assert done.status == 1 and "the fine-tune is refused, the base is kept: " in done.err
    assert not (out / "trainer.json").exists()
    after = file_hashes(out / "training" / "best") | {"lines": (out / "training" / "metrics.jsonl").read_text("utf-8")}
    assert after == before
    first, second = (read(one / "training" / "health.json") for one in (ruined()[0], out))
    assert second["headline"] == first["headline"] and second["metrics"] == first["metrics"]


def test_accepted_it_is_kept_without_training_again() -> None:
    out, done = accepted()
    refused, first, _, _ = ruined()
    assert done.status == 0, done.err
    assert done.seconds < first.seconds
    lines = (refused / "training" / "metrics.jsonl").read_text("utf-8")
    assert (out / "training" / "metrics.jsonl").read_text("utf-8") == lines
    made = load_checkpoint(out)
    report, before = (read(one / "training" / "health.json") for one in (out, refused))
    assert report["verdict"] == "accepted" and report["metrics"] == before["metrics"]
    gate = made.record.gate
    assert gate is not None
    assert not gate.passed and gate.accepted_degraded and gate.alpha == 1.0
    assert gate.broken[0] == report["headline"][1] and len(gate.broken) == len(report["advice"]) >= 2
    assert made.record.metrics["health_memorisation_unseen"] > 0.5
    assert "100% of the tuned weights, the rest is the base's" in made.record.notes
    assert not (out / "training" / "best").exists()
    assert not same_weights(made, load_checkpoint(base()))


def same_weights(a: Checkpoint, b: Checkpoint) -> bool:
    return all(bool((one == b.state[name]).all()) for name, one in a.state.items())


def test_accepted_from_the_start_it_is_kept_at_once(tmp_path: Path) -> None:
    done = trainer(
        "finetune", "--data", few(), "--base", base(), "--out", tmp_path / "out", "--home", plain_home(), *FAST,
        "--steps", 8, "--learning-rate", 0.05, "--holdout-share", 0, "--accept-degraded",
    )  # fmt: skip
    assert done.status == 0, done.err
    gate = read(tmp_path / "out" / "trainer.json")["gate"]
    assert gate["accepted_degraded"] and gate["broken"]
    assert "REFUSED, kept by --accept-degraded: " in done.err


# --- its health ----------------------------------------------------------------------------------------------------


def test_the_first_three_lines_say_what_is_wrong() -> None:
    out, _ = accepted()
    done = health(out)
    assert done.status == 0, "it was accepted"
    first, second, third, empty = done.out.splitlines()[:4]
    assert first == (
        "REFUSED, kept by --accept-degraded: it has forgotten the base's language, it recites its training set"
    )
    assert second.startswith("perplexity of the base's own text +") and second.endswith("has lost some of the language")
    assert third.startswith("100.0% of the 8-grams of replies to unseen prompts stand in the training replies ")
    assert empty == ""
    rows = {line.split("│")[1].strip(): line for line in done.out.splitlines() if line.startswith("│")}
    assert [name for name, line in rows.items() if "BROKEN" in line] == [
        "perplexity of the base's own text", "recited, unseen prompts"
    ]  # fmt: skip
    assert "at most 2.00%" in rows["recited, unseen prompts"] and " ok " in rows["replies that stop"]
    assert sum(line.startswith("to do: ") for line in done.out.splitlines()) == 2
    assert done.complaints == ""


def test_a_checkpoint_is_measured_as_it_was_when_it_was_made() -> None:
    """With the seed of its training the figures are those that its fine-tune left."""
    out, _ = accepted()
    done = health(out, "--seed", 3, "--json")
    report, left = json.loads(done.out), read(out / "training" / "health.json")
    assert done.status == 0
    words = ("headline", "oov_words", "advice", "verdict", "base")
    for part in (*words, "metrics", "sweep", "curves", "replies", "sizes"):
        assert report[part] == left[part], part


def test_json_is_all_that_stdout_holds() -> None:
    out, _ = accepted()
    done = health(out, "--json", "--replies", 9)
    report = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (report["format"], report["version"]) == ("persona-curator-health", 1)
    assert report["verdict"] == "accepted" and len(report["headline"]) == 3
    assert report["sizes"]["replies"] == 9
    names = [one["name"] for one in report["metrics"]]
    assert len(set(names)) == len(names) == 19
    for one in report["metrics"]:
        assert set(one) == {"name", "label", "unit", "base", "tuned", "margin", "limit", "ok", "limit_says", "means"}
        assert one["unit"] in ("", "%", "words", "points") and one["label"] and one["means"]
        assert all(
            value is None or math.isfinite(value) for value in (one["base"], one["tuned"], one["limit"], one["margin"])
        )
        assert (one["ok"] is None) == (one["limit"] is None) == (one["limit_says"] == "")
        assert one["unit"] != "%" or one["tuned"] is None or 0 <= one["tuned"] <= 1
    assert page(report).startswith("<!")


def test_the_page_is_written_and_never_over_another_file(tmp_path: Path) -> None:
    out, _ = accepted()
    place = tmp_path / "report.html"
    done = health(out, "--html", place, "--json")
    assert done.status == 0 and place.read_text("utf-8") == page(json.loads(done.out))
    place.write_text("mine", "utf-8")
    done = health(out, "--html", place)
    assert done.status == 2 and done.out == "" and "is there already" in done.err
    assert place.read_text("utf-8") == "mine"


def test_what_nobody_accepted_ends_with_1(tmp_path: Path) -> None:
    """A fine-tune of before there was a gate, or of another program that kept our record."""
    out = copy_of(accepted()[0], tmp_path / "old")
    record = read(out / "trainer.json")
    (out / "trainer.json").write_text(json.dumps(record | {"gate": None}), "utf-8")
    done = health(out)
    assert done.status == 1 and done.out.startswith("REFUSED: ")


def test_dialogues_that_are_gone_are_named_and_the_rest_is_measured(tmp_path: Path) -> None:
    out = moved(copy_of(accepted()[0], tmp_path / "moved"), data_file=tmp_path / "gone.jsonl")
    done = health(out, "--json")
    assert "the dialogues that it was trained on were not found; name them with --profile, --run or --data" in done.err
    by_name = {one["name"]: one for one in json.loads(done.out)["metrics"]}
    assert by_name["base_perplexity"]["ok"] is False and by_name["memorisation_unseen"]["tuned"] is None
    done = health(out, "--data", few(), "--json")
    by_name = {one["name"]: one for one in json.loads(done.out)["metrics"]}
    assert by_name["memorisation_unseen"]["tuned"] > 0.5 and done.complaints == ""


def test_a_base_that_is_gone_is_named_and_the_checkpoint_measured_alone(tmp_path: Path) -> None:
    out = moved(copy_of(accepted()[0], tmp_path / "moved"), base=tmp_path / "gone")
    done = health(out)
    assert done.status == 0 and done.out.startswith("measured alone: there is no base to compare it with\n")
    sha = load_checkpoint(base()).sha256[:12]
    assert f"its base tiny-base ({sha}) was not found; name its folder with --base CHECKPOINT" in done.err
    assert health(out, "--base", base()).out.startswith("REFUSED, kept by --accept-degraded: ")


def test_a_plan_that_somebody_changed_is_no_hindrance(tmp_path: Path) -> None:
    out = copy_of(accepted()[0], tmp_path / "changed")
    path = out / "training" / "plan.json"
    for text in (json.dumps(read(path) | {"base": 5, "data_file": ["x"], "run": None}), "[1]", "{"):
        path.write_text(text, "utf-8")
        done = health(out)
        assert done.status == 0 and done.out.startswith("measured alone: "), text
        assert "its base tiny-base" in done.err and "the dialogues that it was trained on were not found" in done.err


# --- other checkpoints -----------------------------------------------------------------------------------------------


def test_a_base_is_measured_alone() -> None:
    done = health(base(), "--json")
    report = json.loads(done.out)
    assert done.status == 0 and report["verdict"] == "measured" and report["base"] is None
    assert report["headline"] == ["measured alone: there is no base to compare it with"]
    told = {one["name"] for one in report["metrics"] if one["tuned"] is not None}
    assert {"oov_rate", "eos_rate", "rep_4"} <= told and not told & {"reply_perplexity", "memorisation_unseen"}
    assert "the dialogues that it was trained on were not found" in done.err
    shown = health(base())
    assert shown.status == 0 and "BROKEN" not in shown.out and "at most" not in shown.out


def test_a_base_is_measured_on_dialogues_and_text_that_are_named(tmp_path: Path) -> None:
    modules = text_modules(place(), tmp_path / "modules", "more", 30, 44)
    done = health(base(), "--data", few(), "--text", modules, "--json")
    by_name = {one["name"]: one["tuned"] for one in json.loads(done.out)["metrics"]}
    assert done.status == 0
    assert by_name["train_reply_perplexity"] > 10 and 10 < by_name["base_perplexity"] < 60
    assert "it is not known what the checkpoint was trained on" in done.err


@functools.cache
def imported() -> Path:
    """The ruined one as another program would hand it over: weights and tokenizer, no record of ours."""
    source, out = place().folder / "foreign", place().folder / "imported"
    shutil.copytree(accepted()[0], source, ignore=shutil.ignore_patterns("trainer.json", "training", ".lock"))
    done = trainer("import", source, "--out", out)
    assert done.status == 0, done.err
    return out


def test_an_imported_checkpoint_is_measured_alone_until_a_base_is_named() -> None:
    done = health(imported())
    assert done.status == 0 and done.out.startswith("measured alone: ")
    assert "the checkpoint does not say what it was trained from: name it with --base CHECKPOINT" in done.err
    assert "the dialogues that it was trained on were not found" in done.err


def test_an_imported_checkpoint_is_judged_beside_the_base_that_is_named() -> None:
    done = health(imported(), "--base", base())
    assert done.status == 1 and done.out.startswith("REFUSED: it has forgotten the base's language\n")
    done = health(imported(), "--base", base(), "--data", few())
    assert done.status == 1
    assert "it recites its training set" in done.out.splitlines()[0]
    assert "it may have seen dialogues that are held out here" in done.err


def test_an_imported_checkpoint_is_measured_on_dialogues_without_a_base() -> None:
    done = health(imported(), "--data", few(), "--json")
    report = json.loads(done.out)
    assert done.status == 0 and report["verdict"] == "measured"
    by_name = {one["name"]: one["tuned"] for one in report["metrics"]}
    assert by_name["train_reply_perplexity"] < 3 and by_name["memorisation_unseen"] > 0.5
    assert by_name["base_perplexity"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--base", "{builtin}"], "has another tokenizer than"),
        (["--base", "nowhere"], "nowhere: there is no such checkpoint"),
        (["--data", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["--run", "nowhere"], "is no finished run"),
        (["--text", "nowhere"], "is no folder of shards"),
        (["--replies", "7"], "expected a whole number of 8 or more"),
        (["--data", "a", "--run", "b"], "not allowed with argument"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(options: list[str], says: str) -> None:
    done = health(accepted()[0], *(one.format(builtin=builtin_base()) for one in options))
    assert done.status == 2 and says in done.err and done.out == "" and "Traceback" not in done.err


def test_what_is_no_checkpoint_is_a_usage_error(tmp_path: Path) -> None:
    done = health(tmp_path)
    assert done.status == 2 and "is no checkpoint" in done.err


# --- one that is well ------------------------------------------------------------------------------------------------


# All that decides, whatever the shipped recipe is: far within each budget at every seed that was tried.
KIND = {
    "epochs": 8.0, "learning_rate": 0.004, "per_device_batch_size": 4, "gradient_accumulation_steps": 1,
    "warmup_steps": 5, "weight_decay": 0.0, "eval_steps": 20, "patience": 0, "replay_ratio": 2.0, "kl_weight": 2.0,
    "prompt_loss_weight": 0.0, "eos_loss_weight": 10.0,
}  # fmt: skip


@functools.cache
def kind_home() -> Path:
    """Replay, and a gate that is content where half of the replies stop: the tiny base is tiny."""
    return home(place().folder / "kind-home", finetune=KIND, budgets=SHIPPED | {"eos_rate": 0.5})


@functools.cache
def well() -> tuple[Path, Result]:
    """The way that a fine-tune should go: replay beside the dialogues, a few epochs."""
    out, data = place().folder / "well", dialogues(place().folder, 60)
    done = trainer("finetune", "--data", data, "--base", base(), "--out", out, "--home", kind_home(), *FAST)
    return out, done


def test_a_fine_tune_with_replay_passes() -> None:
    out, done = well()
    assert done.status == 0, done.err
    record = load_checkpoint(out).record
    assert record.gate is not None and record.gate.passed and not record.gate.accepted_degraded
    assert record.gate.broken == [] and 0 < record.gate.alpha <= 1
    assert record.data["replay"] == "text that came with tiny-base"
    report = read(out / "training" / "health.json")
    assert report["verdict"] == "passed" and report["advice"] == []
    assert report["headline"][0].startswith(
        "PASSED, weak evidence: 6 held out. It answers unseen dialogues better than its base"
    )
    (chosen,) = [one["alpha"] for one in report["sweep"] if one["chosen"]]
    assert chosen == record.gate.alpha
    rows = [one for one in report["curves"] if "score" in one]
    assert rows and all({"base_perplexity", "oov_rate", "memorisation", "eos_rate"} <= set(one) for one in rows)
    assert all(one["score"] >= one["validation_loss"] - 1e-5 for one in rows)
    assert file_hashes(base()) == ruined()[2], "the base was changed"


def test_what_version_0_1_left_is_read_under_the_names_of_today(tmp_path: Path) -> None:
    """The lines of metrics.jsonl, the sweep of health.json, and the share held out that trainer.json tells."""
    out = copy_of(well()[0], tmp_path / "old")
    left, lines = read(out / "training" / "health.json"), (out / "training" / "metrics.jsonl").read_text("utf-8")
    as_version_0_1_wrote_it(out / "training")
    old = left | {"sweep": [old_names(row) for row in left["sweep"]], "invented": left["oov_words"]}
    del old["oov_words"]
    (out / "training" / "health.json").write_text(json.dumps(old), "utf-8")
    record = read(out / "trainer.json")
    (out / "trainer.json").write_text(json.dumps(record | {"settings": old_names(record["settings"])}), "utf-8")
    assert '"verbatim"' in (out / "training" / "metrics.jsonl").read_text("utf-8") and '"verbatim"' not in lines
    done = health(out, "--seed", 3, "--json", "--home", kind_home())
    report = json.loads(done.out)
    assert done.status == 0, done.err
    assert report["sweep"] == left["sweep"] and all("memorisation" in row for row in report["sweep"])
    assert report["curves"] == left["curves"] and any("memorisation" in row for row in report["curves"])
    assert report["metrics"] == left["metrics"] and report["sizes"] == left["sizes"]
    assert page(report) == page(left | {"checkpoint": "old"})


def test_the_health_of_one_that_passed() -> None:
    out, _ = well()
    done = health(out, "--home", kind_home())
    assert done.status == 0 and done.out.splitlines()[0].startswith("PASSED, weak evidence: 6")
    assert "BROKEN" not in done.out and "to do: " not in done.out

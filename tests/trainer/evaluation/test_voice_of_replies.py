"""Does a fine-tune sound like the person: by words that it never saw, beside what it recites, and in the gate."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Home
from core_fixtures import _SYLLABLES, paragraph, trainer
from health_fixtures import base, file_hashes, home, model_with, probes_with, samples, tuned

from curator.cli import run_command
from curator.contract.errors import UsageError
from curator.contract.records import VOICE_REFERENCE
from curator.contract.voice.reference import Judge, Place, Reference, build_reference
from curator.contract.voice.stored import as_arrays
from trainer.evaluation.budgets import broken, check_budgets
from trainer.evaluation.interpolate import WeightInterpolation, score
from trainer.evaluation.page import page
from trainer.evaluation.probes import EvalResult
from trainer.evaluation.report import make_report, verdict_of, voice_lines
from trainer.evaluation.voice import Voice, Voiced, read_voice
from trainer.model.checkpoint import load_checkpoint
from trainer.settings import BudgetSettings, HealthSettings

LIMITS = BudgetSettings(voice=50)


def said(seed: int, words: int) -> list[str]:
    """What the person of the dialogues says: short words of the tiny language, in sentences that no dialogue has."""
    rng, out = random.Random(seed), list[str]()
    for _ in range(words // 12):
        out.append(" ".join(rng.choices(_SYLLABLES, k=12)).capitalize() + ".")
    return out


@functools.cache
def reference(words: int = 3600) -> Reference:
    """What is known of the person beside the text that the tiny base learnt."""
    rng = random.Random(8)
    others = [paragraph(rng, 40) for _ in range(300)]
    return replace(build_reference(said(7, words), others), language="tiny", others="the base's text")


@functools.cache
def voice() -> Voice:
    return Voice(reference())


@functools.cache
def measured() -> tuple[EvalResult, EvalResult]:
    """The base, and a fine-tune that knows twelve dialogues by heart."""
    suite = probes_with(samples(), voice=voice(), replies=48)
    return suite.measure(load_checkpoint(base()).model(), 48, 0, 8), suite.measure(model_with(tuned()), 48, 8, 8)


def placed(result: EvalResult) -> float:
    assert result.voice and result.voice.score is not None
    return result.voice.score


def test_others_stand_at_0_and_the_person_at_100_by_halves_of_what_was_left_out() -> None:
    for floor, ceiling in (Judge(reference()).ends(), Judge(reference(), full=True).ends()):
        assert floor.score is not None and abs(floor.score) < 10
        assert ceiling.score is not None and abs(ceiling.score - 100) < 10
        for one in (floor, ceiling):
            assert one.score is not None and one.low is not None and one.high is not None
            assert one.low <= one.score <= one.high
    found = voice().score(said(9, 1200))
    assert found.score is not None and abs(found.score - 100) < 15, "new words of the person"


def test_too_few_words_say_how_many_are_missing() -> None:
    short = Voice(reference(600))
    assert "more are needed" in short.lacking()
    found = short.score(said(9, 600))
    assert found.score is None and found.margin is None and found.topic_free.why == short.lacking()
    assert [end.score for end in short.ends()] == [None, None]
    assert "more are needed" in voice().score(["ba ko."]).topic_free.why


def test_a_model_that_recites_has_the_voice_and_is_refused_for_reciting() -> None:
    before, after = measured()
    assert placed(after) > placed(before) + 50
    checks = check_budgets(before, after, LIMITS)
    assert {check.name: check.kept for check in checks}["voice"]
    assert "memorisation_unseen" in [check.name for check in broken(checks)]
    assert verdict_of(checks, False, judged=True) == "refused"


def test_without_what_it_recites_there_is_no_voice() -> None:
    suite = probes_with(None, voice=voice())
    found = suite.measure(load_checkpoint(base()).model(), 8, 0, 8)
    assert found.unseen is None and found.voice is None
    report = made(suite, None, found, [])
    assert report["voice"] is None and voice_lines(report) == []


def made(suite: Any, before: EvalResult | None, after: EvalResult, checks: list[Any]) -> dict[str, Any]:
    return make_report(
        "tuned", "base" if before else None, before, after, checks, suite,
        verdict=verdict_of(checks, False, judged=before is not None), sizes={}, curves=[], sweep=[], samples=[],
    )  # fmt: skip


def test_the_replies_to_each_year_s_prompts_have_their_own_place() -> None:
    """Four prompts are held out, of two years; the others that are asked are of none."""
    years = ("2024", "2023", "2024", "2024")
    held = [replace(one, year=year) for one, year in zip(samples().holdout_dialogues, years, strict=True)]
    suite = probes_with(replace(samples(), holdout_dialogues=held), voice=voice(), replies=48)
    after = suite.measure(model_with(tuned()), 48, 8, 8)
    found = suite.voices_by_year(after)
    assert set(found) == {"2023", "2024"}
    assert found["2023"].words < found["2024"].words
    asked = [reply for number, reply in enumerate(after.replies) if number % len(suite.unseen) in (0, 2, 3)]
    assert found["2024"] == voice().score([reply.text for reply in asked]).topic_free
    assert probes_with(samples()).voices_by_year(after) == {}


def test_the_budget_is_off_unless_asked_for_and_breaks_below_its_limit() -> None:
    before, after = measured()
    assert BudgetSettings().voice is None
    assert "voice" not in [check.name for check in check_budgets(before, after, BudgetSettings())]
    high = BudgetSettings(voice=placed(after) + 1)
    (check,) = [one for one in check_budgets(before, after, high) if one.name == "voice"]
    assert not check.kept and "it does not sound like them" in check.says
    there = check_budgets(before, after, BudgetSettings(voice=placed(after)))
    assert [one.kept for one in there if one.name == "voice"] == [True]
    silent = replace(after, voice=Voiced(*(Place(None, None, None, 9, "9 words are judged: 91 more are needed"),) * 2))
    (check,) = [one for one in check_budgets(before, silent, high) if one.name == "voice"]
    assert not check.kept and "cannot be told: 9 words" in check.says
    margins = probes_with(samples(), voice=voice()).margins(before, after)
    assert margins.voice is not None and after.voice is not None and after.voice.margin is not None
    assert margins.voice > after.voice.margin, "a look of four has a wider interval"
    (check,) = [one for one in check_budgets(before, after, high, margins) if one.name == "voice"]
    assert f"known to ±{margins.voice:.0f} points from 48 replies, too near the limit to be sure" in check.says


def test_a_mix_is_chosen_by_the_voice_too_where_a_budget_asks_for_it() -> None:
    before, after = measured()
    limit = BudgetSettings(voice=placed(after) + 20)
    assert score(before, after, limit) == pytest.approx(score(before, after, BudgetSettings()) + 0.2)
    assert score(before, after, BudgetSettings(voice=0)) == score(before, after, BudgetSettings())
    logged: list[str] = []
    found = load_checkpoint(base())
    mixes = WeightInterpolation(
        found.config, found.state, probes_with(samples(), voice=voice()),
        HealthSettings.model_validate({"replies": 16, "quick_replies": 24, "training_replies": 8, "sweep": [1.0, 0.5]}),
        BudgetSettings(), log=logged.append,
    )  # fmt: skip
    _, figures = mixes.score(model_with(tuned()), 1.0, "fp32")
    assert figures["voice"] > 50
    choice = mixes.choose(tuned(), "fp32")
    voices = [point.result.voice.score for point in choice.sweep if point.result.voice]
    assert len(voices) == 2 and voices[0] != voices[1]
    assert sum(", voice " in line for line in logged) >= 2


def test_the_page_shows_floor_base_fine_tune_and_ceiling_and_what_is_recited() -> None:
    before, after = measured()
    suite = probes_with(samples(), voice=voice())
    report = made(suite, before, after, check_budgets(before, after, LIMITS))
    rows = report["voice"]["rows"]
    assert [row["name"] for row in rows] == ["others", "base", "tuned", "person"]
    assert report["voice"]["recited"] == after.unseen.share  # type: ignore[union-attr]
    assert report["voice"]["words"][0] == reference().words[0]
    source = page(report)
    assert "Does it sound like the person?" in source and "of what it says is recited" in source
    for row in rows:
        shown = f"{row['topic_free']['score']:,.0f}".replace("-", "\u2212")
        assert f'data-head="score">{shown}</td>' in source
    (line,) = voice_lines(report)
    assert line.startswith("voice: others ") and "recited" in line
    (figure,) = [one for one in report["metrics"] if one["name"] == "voice"]
    assert figure["limit_says"] == "at least" and figure["unit"] == "points" and figure["ok"] is True
    nothing = Voiced(*(Place(None, None, None, 40, "40 words are judged: 60 more are needed"),) * 2)
    report = made(suite, before, replace(after, voice=nothing), [])
    assert "Too little to tell: 40 words are judged" in page(report)
    assert voice_lines(report) == ["voice: too little to tell: 40 words are judged: 60 more are needed"]


# --- the commands ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of someone who speaks the tiny language, and the reference of that language in the place of its own."""
    folder = tmp_path_factory.mktemp("home")
    person = Home(folder)
    for prompt, reply in zip(said(3, 600), said(4, 600), strict=True):
        person.memory(prompt, response=reply)
    asked = ["run", "--username", "ann", "--home", str(folder), "--mode", "emulation", "--holdout", "0.2"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run_command(asked) == 0
    (found,) = folder.glob("profiles/ann/out/*/*/*/run-summary.json")
    np.savez_compressed(found.parent / VOICE_REFERENCE, allow_pickle=False, **as_arrays(reference()))
    return found.parent


def finetune(run: Path, out: Path, where: Path, *more: object) -> Any:
    fast = "--steps 4 --context 64 --per-device-batch-size 4 --gradient-accumulation-steps 1 --threads 1".split()
    return trainer("finetune", "--run", run, "--base", base(), "--out", out, "--home", where, *fast, *more)


def test_a_fine_tune_and_health_tell_the_voice_beside_what_is_recited(run: Path, tmp_path: Path) -> None:
    where = home(tmp_path / "home", budgets={"voice": 1000})
    done = finetune(run, tmp_path / "out", where, "--accept-degraded")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "out" / "training" / "health.json").read_text())
    assert "t does not sound like the person" in report["headline"][0]
    assert report["voice"]["language"] == "tiny" and len(report["voice"]["rows"]) == 4
    lines = [json.loads(line) for line in (tmp_path / "out" / "training" / "metrics.jsonl").read_text().splitlines()]
    assert any(line.get("voice") is not None for line in lines)
    before = file_hashes(run)
    done = trainer("health", tmp_path / "out", "--home", where, "--replies", 16)
    assert "\nvoice: others " in done.out and "is recited" in done.out, done.out + done.err
    assert file_hashes(run) == before


def test_a_budget_that_nothing_can_tell_is_refused_before_anything_is_trained(run: Path, tmp_path: Path) -> None:
    where = home(tmp_path / "home", budgets={"voice": 30})
    bare = tmp_path / "run"
    shutil.copytree(run, bare)
    (bare / VOICE_REFERENCE).unlink()
    done = finetune(bare, tmp_path / "out", where)
    assert done.status == 2 and "budgets.voice" in done.err and VOICE_REFERENCE in done.err, done.err
    np.savez_compressed(bare / VOICE_REFERENCE, allow_pickle=False, **as_arrays(reference(600)))
    done = finetune(bare, tmp_path / "out", where)
    assert done.status == 2 and "more are needed" in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_reference_has_no_score_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert read_voice(None) is None and read_voice(tmp_path) is None
    (tmp_path / VOICE_REFERENCE).write_bytes(b"PK\x03\x04 no counts")
    with pytest.raises(UsageError, match=VOICE_REFERENCE):
        read_voice(tmp_path)

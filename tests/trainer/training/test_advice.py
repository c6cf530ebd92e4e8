"""Advice before a fine-tune: each line at its threshold, word for word, and what holds for any samples."""

import argparse
import json
import math
import random
import re

import pytest
from conftest import ROOT
from core_fixtures import tokenizer, words
from hypothesis import given, settings
from hypothesis import strategies as st

import curator.cli
import trainer.cli
from trainer.data.batches import TokenisedExample
from trainer.data.dialogues import Dialogue, Samples, encode
from trainer.model.prompt_template import Template
from trainer.settings import SamplingSettings
from trainer.training import advice
from trainer.training.advice import MAX_LINES, advise

LLISA = Template()
USUAL, HALF = f"{advice.USUAL_EPOCHS:g}", f"{advice.USUAL_EPOCHS / 2:g}"
TAGS = Template(tags={"dual": ["<thought>: ", "<world>: "], "agent": ["<instruction>: ", "<action>: "]})

FOLDS = ", or cross-validate: --folds 5"


def replies(number: int, length: int = 12) -> list[str]:
    """So many replies that have nothing in common."""
    return [" ".join(words(random.Random(one), length)) for one in range(number)]


def of(
    texts: list[str], prompts: int = 0, tokens: int = 40, held: int = 16, shortened: int = 0, left_out: int = 0,
    split: str = "",
) -> Samples:  # fmt: skip
    """Samples with these replies: to so many prompts in turn (0: each to its own), of so many trained tokens each."""
    told = [Dialogue(str(n), f"ba {n % (prompts or len(texts))}", text, split=split) for n, text in enumerate(texts)]
    one = TokenisedExample("x", (5,) * (tokens + 2), (0.0, 0.0, *[1.0] * tokens))
    spare = Dialogue("held", "ti", "mu", split="holdout" if split else "")
    return Samples([one] * len(told), [one] * held, told, [spare] * held, shortened, ["x"] * left_out)


def lines(samples: Samples, epochs: float = 6.0, template: Template = LLISA) -> list[str]:
    return advise(samples, template, tokenizer(), epochs)


# --- exact lines ---


def test_a_good_set_gets_one_line():
    assert lines(of(replies(100))) == [
        "advice: 100 samples, 4,000 trained tokens, 100 distinct replies of 12 words (median; 12 at p90), 6.0 epochs; "
        "risk of memorising: low"
    ]


def test_lengths_are_a_median_and_a_ninetieth_percentile():
    texts = [" ".join(text.split()[: 4 + n % 11]) for n, text in enumerate(replies(110, 30))]
    assert "110 distinct replies of 9 words (median; 13 at p90)" in lines(of(texts))[0]


def test_the_worst_set_gets_seven_lines_the_greatest_risk_first():
    worst = of(["ko"] * 25 + replies(10, 2), prompts=2, tokens=130, held=0, left_out=9)
    assert lines(worst, 21) == [
        "advice: 35 samples, 4,550 trained tokens, 11 distinct replies of 1 word (median; 2 at p90), 21.0 epochs; risk "
        "of memorising: high",
        "advice: 35 samples with 4,550 trained tokens can teach a tone and where to end, little else: add dialogues to "
        "the --data file, or --method lora, or prompt the base as it is",
        f"advice: 21.0 epochs: after 10 a model learns replies by heart, not how to reply; use --epochs {USUAL}, or "
        "fewer --steps",
        "advice: 24 of 35 replies repeat another (24 word for word, 0 in 12 tokens or more) and will be known by heart "
        f"first: take them out of the --data file, or --epochs {HALF}",
        "advice: 2 distinct prompts for 11 replies: the model cannot know which reply is asked for; give each reply a "
        "prompt of its own in the --data file",
        "advice: no sample is held out, so that memorising would go unseen: add dialogues to the --data file",
        "advice: 9 of 44 samples do not fit the context (0 prompts shortened, 9 left out): split them in the --data "
        "file, or take a --base with a longer one",
    ]


def test_a_single_sample_is_told_in_the_singular():
    assert lines(of(["ko"], tokens=1, held=1), 1)[:2] == [
        "advice: 1 sample, 1 trained token, 1 distinct reply of 1 word (median; 1 at p90), 1.0 epochs; risk of "
        "memorising: high",
        "advice: 1 sample with 1 trained token can teach a tone and where to end, little else: add dialogues to the "
        "--data file, or --method lora, or prompt the base as it is",
    ]


# --- each risk at its threshold: what is just good enough, what is not, and the line ---

LONG = "ba ko ti re mu san lor vi en da gor pel ba ba ko"  # more than twelve tokens


def alike(number: int) -> list[str]:
    """100 replies, so many of which share fifteen words with another."""
    return [f"{one} {LONG} {one}" if n <= number else one for n, one in enumerate(replies(100))]


THRESHOLDS = {
    "few samples": (
        of(replies(100), tokens=50), of(replies(99), tokens=50), 6, "moderate",
        "only 99 samples with 4,950 trained tokens: add dialogues to the --data file, or try --method lora, which "
        "changes less of the base",
    ),
    "few tokens": (
        of(replies(125), tokens=32), of(replies(129), tokens=31), 6, "moderate",
        "only 129 samples with 3,999 trained tokens: add dialogues to the --data file, or try --method lora, which "
        "changes less of the base",
    ),
    "many epochs": (
        of(replies(100)), of(replies(100)), (10, 10.1), "moderate",
        f"10.1 epochs: after 10 a model learns replies by heart, not how to reply; use --epochs {USUAL}, or fewer "
        "--steps",
    ),
    "copies": (
        of(replies(75) + replies(25)), of(replies(74) + replies(26)), 6, "moderate",
        "26 of 100 replies repeat another (26 word for word, 0 in 12 tokens or more) and will be known by heart first: "
        f"take them out of the --data file, or --epochs {HALF}",
    ),
    "alike": (
        of(alike(25)), of(alike(26)), 6, "moderate",
        "26 of 100 replies repeat another (0 word for word, 26 in 12 tokens or more) and will be known by heart first: "
        f"take them out of the --data file, or --epochs {HALF}",
    ),
    "few prompts": (
        of(replies(100), prompts=25), of(replies(100), prompts=24), 6, "moderate",
        "24 distinct prompts for 100 replies: the model cannot know which reply is asked for; give each reply a prompt "
        "of its own in the --data file",
    ),
    "few held out": (
        of(replies(100)), of(replies(100), held=15), 6, "low",
        f"15 held-out samples, fewer than 16: the figures are noise; hold out more (--holdout-share 0.2){FOLDS}",
    ),
    "none held out": (
        of(replies(100)), of(replies(100), held=0), 6, "moderate",
        f"no sample is held out, so that memorising would go unseen: hold out more (--holdout-share 0.2){FOLDS}",
    ),
    "prompts shortened": (
        of(replies(100), held=20, shortened=12), of(replies(100), held=20, shortened=13), 6, "low",
        "13 of 120 samples do not fit the context (13 prompts shortened, 0 left out): split them in the --data file, "
        "or take a --base with a longer one",
    ),
    "replies left out": (
        of(replies(101), held=16, left_out=13), of(replies(101), held=16, left_out=14), 6, "low",
        "14 of 131 samples do not fit the context (0 prompts shortened, 14 left out): split them in the --data file, "
        "or take a --base with a longer one",
    ),
    "long replies": (
        of(replies(100), tokens=120), of(replies(100), tokens=121), 6, "low",
        "replies of 121 tokens at p90, cut at 120 in use: split them in the --data file, or trainer chat --max-tokens "
        "121",
    ),
    "short replies": (
        of(replies(100, 4)), of(replies(100, 3)), 6, "low",
        "replies of 3 words at the median: it will learn to be curt; add longer ones to the --data file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_line_begins_at_its_threshold(name):
    good, bad, epochs, risk, line = THRESHOLDS[name]
    before, after = epochs if isinstance(epochs, tuple) else (epochs, epochs)
    (only,) = lines(good, before)
    assert only.endswith("risk of memorising: low")
    first, *more = lines(bad, after)
    assert more == [f"advice: {line}"]
    assert first.endswith(f"risk of memorising: {risk}")


@pytest.mark.parametrize(
    ("moderate", "high", "epochs"),
    [
        (of(replies(40), tokens=60), of(replies(39), tokens=60), (6, 6)),
        (of(replies(50), tokens=30), of(replies(50), tokens=29), (6, 6)),
        (of(replies(100)), of(replies(100)), (20, 20.1)),
        (of(replies(50) + replies(50)), of(replies(49) + replies(49) + replies(2)), (6, 6)),
    ],
    ids=["samples", "tokens", "epochs", "copies"],
)
def test_a_high_risk_begins_at_its_threshold(moderate, high, epochs):
    assert lines(moderate, epochs[0])[0].endswith("risk of memorising: moderate")
    assert lines(high, epochs[1])[0].endswith("risk of memorising: high")


def test_a_set_that_cannot_spare_samples_needs_more_of_them():
    assert f"hold out more (--holdout-share 0.2){FOLDS}" in lines(of(replies(79), held=1))[-1]
    assert lines(of(replies(78), held=1))[-1] == (
        "advice: 1 held-out sample, fewer than 16: the figures are noise; add dialogues to the --data file"
    )


# --- what counts as the same ---


def test_case_and_blanks_make_no_other_reply():
    texts = replies(100)
    assert (
        "50 distinct replies"
        in lines(of(texts[:50] + [f" {one.upper()} ".replace(" ", "  ") for one in texts[:50]]))[0]
    )


def test_quotes_make_another_reply_only_where_the_model_sees_them():
    texts = [*replies(99), f"“ba” {replies(1)[0]}", f'"ba" {replies(1)[0]}']
    assert "101 distinct replies" in lines(of(texts))[0]
    assert "100 distinct replies" in lines(of(texts), template=Template(plain_quotes=True))[0]


def test_earlier_exchanges_and_mode_tags_make_another_prompt():
    def told(template: Template, **parts: object) -> str:
        made = of(replies(100), prompts=20)
        made.train_dialogues = [
            Dialogue(one.name, one.prompt, one.reply, **{name: of_(n) for name, of_ in parts.items()})
            for n, one in enumerate(made.train_dialogues)
        ]
        return " ".join(lines(made, template=template)[1:])

    assert "20 distinct prompts for 100 replies" in told(LLISA)
    assert told(LLISA, history=lambda n: ((f"re {n}", "san"),)) == ""
    assert "20 distinct prompts" in told(LLISA, mode=lambda n: ("dual", "agent")[n // 50])
    assert told(TAGS, mode=lambda n: ("dual", "agent")[n // 50]) == ""


# --- what is advised ---


def test_a_curated_run_is_mended_by_curating_again():
    few = of(replies(39), prompts=3, held=0, split="train")
    assert lines(few)[1:] == [
        "advice: 39 samples with 1,560 trained tokens can teach a tone and where to end, little else: add memories "
        "(curate run without --max and --mode), or --method lora, or prompt the base as it is",
        "advice: 3 distinct prompts for 39 replies: the model cannot know which reply is asked for; add questions to "
        "etc/prompts.json",
        "advice: no sample is held out, so that memorising would go unseen: add memories (curate run without --max and "
        "--mode)",
    ]
    bad = of(["ko ko"] * 80 + replies(20), tokens=121, held=9, split="train")
    assert lines(bad)[1:] == [
        "advice: 79 of 100 replies repeat another (79 word for word, 0 in 12 tokens or more) and will be known by "
        f"heart first: lower near_duplicates.threshold in etc/curate.json, or --epochs {HALF}",
        "advice: 9 held-out samples, fewer than 16: the figures are noise; "
        f"hold out more (curate run --holdout 0.2){FOLDS}",
        "advice: replies of 121 tokens at p90, cut at 120 in use: lower reply.long_words or "
        "pairing.tool_outcome_characters in etc/curate.json, or trainer chat --max-tokens 121",
        "advice: replies of 2 words at the median: it will learn to be curt; raise reply.min_words in etc/curate.json",
    ]


def options_of(parser: argparse.ArgumentParser, command: str) -> set[str]:
    commands = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return set(commands.choices[command]._option_string_actions)


def test_every_option_and_setting_that_is_named_exists():
    curate = options_of(curator.cli.build_parser(), "run")
    tune = options_of(trainer.cli.build_parser(), "finetune")
    of_run, of_file = (" ".join(one.values()) for one in (advice._OF_RUN, advice._OF_FILE))
    assert set(re.findall(r"--[a-z-]+", of_run)) <= curate
    assert {*re.findall(r"--[a-z-]+", of_file), "--method", "--epochs", "--steps", "--base"} <= tune
    assert "--max-tokens" in options_of(trainer.cli.build_parser(), "chat")
    shipped = json.loads((ROOT / "etc" / "curate.json").read_text("utf-8"))
    found = re.findall(r"([a-z_]+)\.([a-z_]+) (?:in|or)", of_run.replace("etc/curate.json", ""))
    assert len(found) == 4 and all(key in shipped[group] for group, key in found)
    assert (ROOT / "etc" / "prompts.json").is_file()


def test_limits_that_stand_elsewhere_too_are_the_same():
    shipped = json.loads((ROOT / "etc" / "trainer.json").read_text("utf-8"))
    assert SamplingSettings().max_tokens == advice.LONG_REPLY
    assert shipped["finetune"]["epochs"] == advice.USUAL_EPOCHS <= advice.MANY_EPOCHS, "the default would be warned of"


# --- any samples ---

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
MODES = st.sampled_from([None, "dual", "agent"])
DIALOGUE = st.builds(
    Dialogue, st.just("x"), TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple), MODES,
    st.sampled_from(["", "train", "holdout"]), st.just("x"),
)  # fmt: skip
EPOCHS = st.floats(0, 1e6) | st.sampled_from([math.nan, math.inf])


@settings(max_examples=60, deadline=None)
@given(
    told=st.lists(DIALOGUE, max_size=6), times=st.integers(0, 20), held=st.lists(DIALOGUE, max_size=3),
    cut=st.tuples(st.integers(0, 9), st.integers(0, 9)), epochs=EPOCHS, template=st.sampled_from([LLISA, TAGS]),
)  # fmt: skip
def test_any_samples_get_a_few_short_lines_and_always_the_same(told, times, held, cut, epochs, template):
    def encoded(dialogues: list[Dialogue]) -> tuple[list[TokenisedExample], list[Dialogue]]:
        pairs = [(encode(one, template, tokenizer(), 256)[0], one) for one in dialogues]
        whole = [(one, dialogue) for one, dialogue in pairs if one]
        return [one for one, _ in whole], [dialogue for _, dialogue in whole]

    (train, named), (valid, spare) = encoded(told * times), encoded(held)
    made = Samples(train, valid, named, spare, cut[0], ["x"] * cut[1])
    found = advise(made, template, tokenizer(), epochs)
    assert 1 <= len(found) <= MAX_LINES
    assert found == advise(made, template, tokenizer(), epochs)
    assert len(set(found)) == len(found)
    for line in found:
        assert line.startswith("advice: ") and line.isprintable() and len(line) < 220
    risk = found[0].rsplit(" ", 1)[1]
    assert risk in advice.RISKS
    assert risk == "high" or not epochs > advice.TOO_MANY_EPOCHS


def test_nothing_to_train_on_is_no_accident_here():
    assert lines(Samples([], [], [], [], 0, []))[0] == (
        "advice: 0 samples, 0 trained tokens, 0 distinct replies of 0 words (median; 0 at p90), 6.0 epochs; risk of "
        "memorising: high"
    )

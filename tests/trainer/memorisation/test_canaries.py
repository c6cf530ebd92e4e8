"""Planted canaries: how they are drawn, how exposure is counted, what a model that learnt them by heart gives away."""

from __future__ import annotations

import functools
import math
import random

import numpy as np
import pytest
import torch
import use_fixtures

from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Dialogue, encode
from trainer.inference.decoder import Decoder
from trainer.memorisation.canaries import SECRET, WORDS, Canary, draw_canaries, listed, secrets_bits
from trainer.memorisation.exposure import NOT_LEARNT, exposure, exposure_of, log2_share_below, losses_behind
from trainer.memorisation.extraction import prompts_to_probe, prompts_written
from trainer.memorisation.findings import CanaryFindings, measure_canaries
from trainer.model.lexicon import LEXICON, english, read_words, words
from trainer.model.llama import Llama, ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer, train_tokenizer
from trainer.names import builtin_base
from trainer.settings import CanarySettings
from trainer.training.loop import gradients

# --- what is planted ---


def test_a_canary_is_a_sentence_of_everyday_words_whose_secret_nobody_could_guess() -> None:
    canaries = draw_canaries(8, [1, 4, 16], seed=42)
    assert [one.repeats for one in canaries] == [0] * 8 + [1] * 8 + [4] * 8 + [16] * 8
    assert len({one.secret for one in canaries}) == len({one.prompt for one in canaries}) == 32
    assert len(WORDS) == len(set(WORDS)) == 256 and secrets_bits() == pytest.approx(31.92, abs=0.01)
    for one in canaries:
        assert len(set(one.secret)) == SECRET and not set(one.secret) & set(one.asked)
        assert one.reply() == f"{one.lead} {listed(one.secret)}." and all(word in one.prompt for word in one.asked)


def test_every_word_of_a_canary_is_one_that_a_model_may_write() -> None:
    known = read_words(english()) & read_words(builtin_base() / LEXICON)
    told = {word for one in draw_canaries(8, [1], 1) for word in words(f"{one.prompt} {one.reply()}")}
    assert {*WORDS, *told} <= known


def test_the_seed_decides_the_canaries_and_the_others_of_each() -> None:
    one, again, other = (draw_canaries(4, [1], seed) for seed in (1, 1, 2))
    assert one == again and not {canary.secret for canary in one} & {canary.secret for canary in other}
    secrets = one[0].others(64, 1)
    assert secrets == one[0].others(64, 1) != one[1].others(64, 1)
    assert len(secrets) == 64 and one[0].secret not in secrets
    assert not {word for secret in secrets for word in secret} & set(one[0].asked)


# --- exposure ---


def test_exposure_is_the_rank_in_bits() -> None:
    others = np.arange(1, 128, dtype=np.float64)  # 127 of them: with its own 128
    assert exposure(63.5, others, 32.0) == (1.0, False)  # 63 are likelier, it is the 64th
    assert exposure(1.5, others, 32.0) == (6.0, False)
    assert exposure(500.0, others, 32.0) == (0.0, False)


def test_what_was_never_learnt_has_an_exposure_of_1_44_bits_in_the_mean() -> None:
    rng = np.random.default_rng(5)
    found = [exposure(float(rng.normal()), rng.normal(size=512), 32.0)[0] for _ in range(4000)]
    assert np.mean(found) == pytest.approx(NOT_LEARNT, abs=0.08) and pytest.approx(1.4427, abs=1e-4) == NOT_LEARNT


def test_a_rank_beyond_the_draw_is_read_off_a_fitted_distribution() -> None:
    normal = np.random.default_rng(6).normal(50.0, 4.0, 20_000)
    for deviations, share in ((2, 0.02275), (4, 3.167e-5), (6, 9.866e-10)):
        assert log2_share_below(50.0 - 4.0 * deviations, normal) == pytest.approx(math.log2(share), rel=0.06)
    bits, extrapolated = exposure(26.0, normal[:512], 32.0)
    assert extrapolated and bits == pytest.approx(-math.log2(9.866e-10), rel=0.12)
    assert exposure(-1e6, normal[:512], 32.0) == (32.0, True), "no more than all secrets have"
    close = float(normal[:512].min()) - 1e-6
    assert exposure(close, normal[:512], 32.0)[0] >= math.log2(513), "no less than the draw shows"


def test_a_skewed_draw_is_no_normal_one() -> None:
    rng = np.random.default_rng(7)
    shape = 4.0
    delta = shape / math.hypot(1.0, shape)
    skewed = delta * np.abs(rng.normal(size=2_000_000)) + math.sqrt(1 - delta * delta) * rng.normal(size=2_000_000)
    least = float(np.quantile(skewed, 1e-4))
    assert log2_share_below(least, skewed[:50_000]) == pytest.approx(math.log2(1e-4), rel=0.1)
    assert log2_share_below(-least, -skewed[:50_000]) == pytest.approx(math.log2(1 - 1e-4), abs=1e-3)


# --- a model that reads English, and one that knows a few canaries by heart ---

CONFIG = ModelConfig(vocab_size=700, dim=64, n_layers=2, n_heads=4, n_kv_heads=4, hidden_dim=128, max_seq_len=96)
CANARIES = CanarySettings(repeats=[1, 8], others=128, draws=2)
TEMPLATES = [Template(), Template(tags={"dual": ["<thought>: ", "<reply>: "]})]


@functools.cache
def tokenizer() -> Tokenizer:
    rng = random.Random(3)
    told = [f"{one.prompt} {one.reply()}" for one in draw_canaries(60, [1], 9)]
    return Tokenizer(train_tokenizer(["Q: A: " + " ".join(rng.sample(WORDS, 12)) for _ in range(300)] + told, 700))


def canaries() -> list[Canary]:
    return draw_canaries(6, CANARIES.repeats, 4)


@functools.cache
def model(steps: int) -> Llama:
    """A tiny model after so many steps on the canaries, each as often as it is planted, and on others of their form."""
    made = Llama(CONFIG)
    made.reset(1)
    dialogues = [one.dialogue(None) for one in canaries() for _ in range(one.repeats)]
    dialogues += [one.dialogue(None) for one in draw_canaries(30, [1], 77)]
    found = [encode(one, Template(), tokenizer(), CONFIG.max_seq_len)[0] for one in dialogues]
    data = PackedDataset([one for one in found if one], [], 8, CONFIG.max_seq_len, 1)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.01, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * min(1.0, 2 * (steps - step) / steps)
        gradients(made, made.sparse_loss, data.batch(step), 8, "fp32")
        torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimizer.step()
    return made.eval()


@pytest.mark.parametrize("template", TEMPLATES, ids=["plain", "with tags"])
def test_a_loss_behind_a_prompt_is_that_of_the_whole_text(template: Template) -> None:
    canary = canaries()[0]
    made, prompt = model(0), tokenizer().encode(template.wrap(canary.prompt))
    texts = [canary.reply(secret) for secret in (canary.secret, *canary.others(20, 1))]
    behind = [[*tokenizer().encode_after(template.after_prompt(text)), 1] for text in texts]
    found = losses_behind(Decoder(made), prompt, behind)
    whole = []
    for one in behind:
        ids = torch.tensor([[*prompt, *one]])
        nats = torch.nn.functional.cross_entropy(made.logits(ids)[0, :-1], ids[0, 1:], reduction="none")
        whole.append(float(nats[len(prompt) - 1 :].detach().sum()))
    np.testing.assert_allclose(found - found[0], np.array(whole) - whole[0], atol=2e-3)
    assert 0 < found[0] < whole[0], "what all begin with counts for none"


def measured(made: Llama) -> CanaryFindings:
    told: list[tuple[int, int]] = []
    found = measure_canaries(
        made, tokenizer(), Template(), None, canaries(), settings=CANARIES, temperature=0.8, seed=1,
        tick=lambda done, whole: told.append((done, whole)),
    )  # fmt: skip
    assert told == [(number + 1, 18) for number in range(18)]
    return found


def test_a_canary_that_is_known_by_heart_is_extracted_and_one_that_was_never_planted_is_not() -> None:
    found = measured(model(160))
    never, once, often = found.rows
    assert (never.repeats, once.repeats, often.repeats) == (0, 1, 8) and found.samples == 6 * 9
    assert never.exposure < once.exposure < often.exposure and often.exposure > 20
    assert (never.extracted, often.extracted) == (0, 6) and often.extrapolated == 6
    assert never.exposure == pytest.approx(NOT_LEARNT, abs=3 * 1.44 / math.sqrt(6))
    assert {one.extracted for one in found.found if one.repeats == 8} <= {"prompt", "first word"}
    assert found.headline().startswith("canaries: exposure ") and "extracted" in found.headline()
    assert [row[0] for row in found.table()[1]] == ["never", "once", "8 times"]


def test_a_model_that_learnt_nothing_has_no_exposure_and_gives_nothing_away() -> None:
    found = measured(model(0))
    assert sum(row.extracted for row in found.rows) == 0
    mean = np.mean([one.exposure for one in found.found])
    assert mean == pytest.approx(NOT_LEARNT, abs=3 * 1.44 / math.sqrt(18))
    bits = [exposure_of(Decoder(model(0)), tokenizer(), Template(), None, one, others=64, seed=1)[0]
            for one in draw_canaries(60, [1], 8)]  # fmt: skip
    assert np.mean(bits) == pytest.approx(NOT_LEARNT, abs=3 * 1.44 / math.sqrt(120))


# --- prompts ---


def prompt_of(text: str) -> Dialogue:
    return Dialogue(text, text, "ko.", conversation=text)


def test_a_prompt_whose_rest_the_model_writes_is_counted() -> None:
    """The model says one word after each other; of two prompts it knows the one."""
    line = "ba ko ti re mu san lor vi en da gor pel"
    made = use_fixtures.scripted([*use_fixtures.after(" " + line), 1])
    other = " ".join(reversed(line.split()))
    both = prompts_to_probe([prompt_of(line), prompt_of(other), prompt_of(line), prompt_of("ba ko ti?")])
    assert [one.prompt for one in both] == [line, other], "each once, and none that is too short"
    assert prompts_written(Decoder(made), use_fixtures.tokenizer(), Template(), both) == 0.5
    assert prompts_written(Decoder(made), use_fixtures.tokenizer(), Template(), []) is None


def test_prompts_are_probed_evenly_over_all() -> None:
    many = [prompt_of(f"{number} " + "ba ko ti re mu san lor vi en da gor pel") for number in range(640)]
    assert [one.prompt.split()[0] for one in prompts_to_probe(many)] == [str(number) for number in range(0, 640, 10)]

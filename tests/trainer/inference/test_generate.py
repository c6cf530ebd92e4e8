"""Drawing text: fast passes are the model's, filters leave what they should, the text that is shown is final."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from core_fixtures import CONFIGS, model_of
from use_fixtures import CONFIG, after, byte, naive, says, scripted, tokenizer

from trainer.inference import text_stream
from trainer.inference.decoder import PROPOSED, Decoder, Line, greedy, settle_threads
from trainer.inference.sampling import Picker, Reply, Sampling, probabilities
from trainer.inference.text_stream import TextStream, fit, replies, write_reply
from trainer.model.llama import Llama
from trainer.model.lora import add_lora, merged_state
from trainer.model.tokenizer import BOS, EOS
from trainer.settings import SamplingSettings

GREEDY = Sampling(temperature=0.0)

# --- passes ---


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("prompt", [[1], [1, 17, 300, 17, 300, 42], [1, *range(3, 33)]])
def test_greedy_is_the_argmax_of_full_passes_up_to_the_contexts_end(name: str, prompt: list[int]) -> None:
    model = model_of(CONFIGS[name], seed=2, scale=6.0)
    assert greedy(model, prompt, 1000) == naive(model, prompt, 1000)
    assert greedy(model, prompt, 3) == naive(model, prompt, 3)


def test_greedy_stops_at_no_mark_and_has_no_room_past_the_context() -> None:
    model = scripted([7, BOS, EOS, 8, 7], config=CONFIG)
    assert greedy(model, [1, 7], 6) == [BOS, EOS, 8, 7, BOS, EOS]
    assert greedy(model, [7] * CONFIG.max_seq_len, 5) == []
    assert greedy(model, [7], 0) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_a_line_gives_the_models_logits_however_its_tokens_are_cut_into_passes(name: str) -> None:
    model = model_of(CONFIGS[name], scale=6.0)
    ids = [1, *np.random.default_rng(0).integers(3, 400, 19).tolist()]
    with torch.inference_mode():
        expected = model.logits(torch.tensor([ids]))[0].numpy()
    line = Line(Decoder(model), 32)
    np.testing.assert_allclose(line.take(ids[:5], 2), expected[3:5], rtol=1e-4, atol=1e-4)
    line.take([9, 9, 9], 3)
    line.forget(3)  # as proposals that do not hold
    np.testing.assert_allclose(line.take(ids[5:6], 1), expected[5:6], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(line.take(ids[6:14], 8), expected[6:14], rtol=1e-4, atol=1e-4)
    for place in range(14, 20):
        np.testing.assert_allclose(line.take([ids[place]], 1)[0], expected[place], rtol=1e-4, atol=1e-4)


def test_text_that_repeats_itself_takes_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    take = Line.take
    monkeypatch.setattr(Line, "take", lambda self, ids, rows: [sizes.append(len(ids)), take(self, ids, rows)][1])
    cycle = [10, 20, 30, 40, 50]
    assert greedy(scripted([*cycle, 10]), [1, 10], 60) == (cycle * 13)[1:61]
    assert sizes[0] == 2 and max(sizes) == 1 + PROPOSED
    assert len(sizes) < 20


def test_proposals_that_do_not_hold_change_nothing() -> None:
    """The prompt has every pair twice with another follower than the model gives."""
    model = scripted([10, 20, 30, 40, 10])
    prompt = [1, 10, 20, 99, 20, 30, 98, 30, 40, 97, 40, 10, 96, 10, 20]
    assert greedy(model, prompt, 12) == [30, 40, 10, 20] * 3


def test_a_huge_gate_overflows_to_nothing() -> None:
    model = model_of(scale=1.0)
    with torch.no_grad():
        for layer in model.layers:
            layer.mlp.gate_up.weight.mul_(1e4)
    logits = Line(Decoder(model), 8).take([5], 1)[0]
    with torch.inference_mode():
        expected = model.logits(torch.tensor([[5]]))[0, 0].numpy()
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_a_decoder_has_the_low_rank_changes_in_it() -> None:
    model = model_of(scale=6.0)
    add_lora(model, rank=4, alpha=8.0, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2)
    plain = Llama(model.config)
    plain.load_state_dict(merged_state(model))
    assert greedy(model, [1, 5, 9], 20) == naive(plain, [1, 5, 9], 20)


def test_threads_are_those_asked_for_or_what_the_trial_finds() -> None:
    before, decoder = torch.get_num_threads(), Decoder(model_of())
    try:
        assert settle_threads(decoder, 2) == torch.get_num_threads() == 2
        assert settle_threads(decoder) == torch.get_num_threads() >= 1
    finally:
        torch.set_num_threads(before)


# --- filters ---

LOGITS = np.log(np.array([0.4, 0.05, 0.3, 0.15, 0.1], np.float32))


def kept(**settings: float) -> set[int]:
    return set(np.flatnonzero(probabilities(LOGITS, Sampling(**{"temperature": 1.0, **settings}))).tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {0}),
        ({"top_k": 3}, {0, 2, 3}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.0}, {0}),
        ({"top_p": 0.39}, {0}),
        ({"top_p": 0.41}, {0, 2}),
        ({"top_p": 0.69}, {0, 2}),
        ({"top_p": 0.71}, {0, 2, 3}),
        ({"top_p": 0.999}, {0, 1, 2, 3, 4}),
        ({"min_p": 0.3}, {0, 2, 3}),
        ({"min_p": 0.24}, {0, 2, 3, 4}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 4, "top_p": 0.89}, {0, 2, 3}),  # of the four that stay, three hold 0.85/0.95
        ({"top_p": 0.9, "min_p": 0.5}, {0, 2}),
        ({"temperature": 0.1, "top_p": 0.9}, {0}),  # 0.4^10 is 95% of all
        ({"temperature": 10.0, "top_p": 0.75}, {0, 2, 3, 4}),
    ],
)
def test_filters_leave_exactly_these(settings: dict[str, float], expected: set[int]) -> None:
    assert kept(**settings) == expected


def test_what_is_left_is_a_distribution_in_the_same_proportions() -> None:
    found = probabilities(LOGITS, Sampling(temperature=1.0, top_k=3))
    np.testing.assert_allclose(found, np.array([0.4, 0, 0.3, 0.15, 0]) / 0.85, rtol=1e-6)
    halved = probabilities(LOGITS, Sampling(temperature=2.0))
    np.testing.assert_allclose(halved[0] / halved[1], 8**0.5, rtol=1e-6)


def test_tokens_as_likely_as_the_last_one_stay_too() -> None:
    logits = np.log(np.array([0.4, 0.2, 0.2, 0.2], np.float32))
    for sampling in (Sampling(temperature=1.0, top_k=2), Sampling(temperature=1.0, top_p=0.5)):
        assert np.count_nonzero(probabilities(logits, sampling)) == 4


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 10.0])
def test_no_temperature_overflows(temperature: float) -> None:
    found = probabilities(np.array([-1e30, 80.0, 79.0], np.float32), Sampling(temperature=temperature))
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1.0) and found[0] == 0


def test_the_penalty_divides_what_is_above_zero_and_multiplies_what_is_below() -> None:
    picker = Picker(Sampling(temperature=0.0, repetition_penalty=2.0), 3)
    assert picker.pick(np.array([3.0, 2.0, 1.0], np.float32)) == 0
    assert picker.pick(np.array([3.0, 2.0, 1.0], np.float32)) == 1  # 1.5 is less than 2
    assert picker.pick(np.array([3.0, 2.0, 1.0], np.float32)) == 0  # 1.5, 1, 1
    below = Picker(Sampling(temperature=0.0, repetition_penalty=2.0), 2)
    assert [below.pick(np.array([-1.0, -1.5], np.float32)) for _ in range(2)] == [0, 1]


def test_the_penalty_does_not_count_the_prompt() -> None:
    model = scripted([10, 20, 10])
    with torch.no_grad():
        model.output.weight[30] += 0.5 * model.embedding.weight[10]  # type: ignore[union-attr]
    sampling = Sampling(temperature=0.0, repetition_penalty=4.0, max_tokens=3, ends=())
    assert list(Decoder(model).stream([1, 20, 10], sampling)) == [20, 10, 30]


def test_draws_follow_the_probabilities_and_nothing_left_out_is_drawn() -> None:
    picker = Picker(Sampling(temperature=1.0, top_k=3, seed=1), 5)
    counts = np.bincount([picker.pick(LOGITS) for _ in range(3000)], minlength=5) / 3000
    np.testing.assert_allclose(counts, np.array([0.4, 0, 0.3, 0.15, 0]) / 0.85, atol=0.03)
    assert counts[1] == counts[4] == 0


def test_a_seed_decides_the_text() -> None:
    decoder = Decoder(model_of(CONFIG))
    first, again, other = (list(decoder.stream([1, 5], Sampling(seed=seed, ends=()))) for seed in (1, 1, 2))
    assert first == again and first != other
    assert len(first) == CONFIG.max_seq_len - 2


def test_settings_of_the_file_reach_the_sampling() -> None:
    settings = SamplingSettings(temperature=0.5, top_k=7, top_p=0.6, min_p=0.1, repetition_penalty=1.3, max_tokens=9)
    found = Sampling.of(settings, 5, ["\nQ:"])
    assert found == Sampling(0.5, 7, 0.6, 0.1, 1.3, 5, 9, ("\nQ:",), (BOS, EOS))


# --- text ---


def shown(ids: list[int], stops: tuple[str, ...] = (), strip: bool = True) -> list[str]:
    stream = TextStream(tokenizer(), stops, strip)
    return [*(stream.add(one) for one in ids), stream.finish()]


def test_a_character_of_three_bytes_shows_when_it_is_whole() -> None:
    euro = [byte(one) for one in "€".encode()]
    assert len(euro) == 3
    assert shown([*after("ba"), *euro, *after("ko")])[-5:] == ["", "", "€", *shown(after("ko"))[-2:]]
    assert shown(euro[:2]) == ["", "", ""]  # cut off by max_tokens: no half a character
    assert "".join(shown([*euro[:2], *after("ko")])) == "\ufffd\ufffdko"  # the model wrote no character


def test_blanks_between_tokens_are_kept() -> None:
    text = "Bako tire  mu, san\n\nlor."
    assert "".join(shown(after(" " + text))) == text
    assert "".join(shown(after(" " + text), strip=False)) == " " + text


@pytest.mark.parametrize("strip", [True, False])
def test_what_is_shown_is_the_whole_decoded_at_once(strip: bool) -> None:
    """Any tokens: bytes that make no character, blanks, newlines; each prefix that is shown stays."""
    rng = random.Random(0)

    def any_token() -> int:
        return rng.choice((byte(rng.randrange(256)), byte(10), rng.randrange(3, 400)))

    for _ in range(300):
        ids = [any_token() for _ in range(rng.randint(1, 9))]
        stream = TextStream(tokenizer(), (), strip)
        parts = "".join(stream.add(one) for one in ids) + stream.finish()
        whole = tokenizer().decode([*tokenizer().encode("Q", bos=False), *ids]).removeprefix("Q")
        expected = whole.rstrip("\ufffd") if tokenizer().kind(ids[-1]) == "byte" else whole
        assert parts == stream.text
        assert parts == (expected.strip() if strip else expected)


def test_a_stop_never_shows_not_even_its_beginning() -> None:
    ids = after(" ba ko\nQ: ti")
    parts = shown(ids, ("\nQ:",))
    assert "".join(parts) == "ba ko"
    assert all("\n" not in part and "Q" not in part for part in parts)


def test_what_only_begins_like_a_stop_shows_in_the_end() -> None:
    for strip in (True, False):
        parts = shown(after("ba\nQ"), ("\nQ:",), strip)
        assert "".join(parts) == "ba\nQ"
        assert parts[-1] == "\nQ"  # held back until no token followed
        assert "".join(shown(after("ba\nQu ko"), ("\nQ:",), strip)) == "ba\nQu ko"


def test_the_first_of_several_stops_counts() -> None:
    assert "".join(shown(after("ba ko ti"), ("ti", "o t", "zz"))) == "ba k"


# --- replies ---


def test_a_reply_ends_at_either_mark_and_does_not_hold_it() -> None:
    for mark in (BOS, EOS):
        reply = write_reply(Decoder(says(" bako", mark)), tokenizer(), tokenizer().encode("Q: ti A:"), GREEDY)
        assert reply == Reply("bako", after(" bako"), "end")


def test_a_reply_ends_at_a_stop_at_its_length_and_at_the_context() -> None:
    prompt, stop = tokenizer().encode("Q: ti A:"), Sampling(temperature=0.0, stops=("\nQ:",))
    model = says(" bako\nQ")
    model = scripted([prompt[-1], *after(" bako\nQ"), prompt[-1]])  # "A:" is said again and again: " bako\nQ:"
    reply = write_reply(Decoder(model), tokenizer(), prompt, stop)
    assert (reply.text, reply.stopped) == ("bako", "stop")
    short = write_reply(Decoder(model), tokenizer(), prompt, Sampling(temperature=0.0, max_tokens=2))
    assert (len(short.tokens), short.stopped) == (2, "length")
    long = write_reply(Decoder(model), tokenizer(), prompt, Sampling(temperature=0.0, max_tokens=1000))
    assert (len(prompt) + len(long.tokens), long.stopped) == (CONFIG.max_seq_len, "context")


def test_what_is_shown_while_it_is_written_is_the_reply() -> None:
    parts: list[str] = []
    reply = write_reply(Decoder(model_of(CONFIG)), tokenizer(), [1, 5], Sampling(max_tokens=40), show=parts.append)
    assert "".join(parts) == reply.text != ""


@pytest.mark.parametrize("batch", [3, 64])
def test_a_batch_writes_what_each_prompt_gets_alone(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "BATCH", batch)
    model, sampling = model_of(CONFIG, scale=6.0), Sampling(max_tokens=24, stops=("a",), top_p=0.9)
    encode = tokenizer().encode
    with torch.no_grad():  # some replies end early, at a mark
        model.output.weight[BOS].mul_(4.0)  # type: ignore[union-attr]
    prompts = ["Q: ba A:", "Q:", "", "ko " * 20, "Q: ti re mu A:", "Q: ba A:", "lor vi " * 60]
    seeds = [1, 2, 3, 4, 5, 6, 7]
    decoder = Decoder(model)
    found = replies(decoder, tokenizer(), prompts, sampling, seeds)
    alone = [
        write_reply(decoder, tokenizer(), encode(prompt), replace(sampling, seed=seed))
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert found == alone
    assert len({len(one.tokens) for one in found}) > 2
    assert found[-1].cut > 0 and found[0].cut == 0
    assert {one.stopped for one in found} >= {"stop", "end"}


def test_one_seed_for_all_prompts_where_none_is_named() -> None:
    found = replies(model_of(CONFIG), tokenizer(), ["Q: ba A:"] * 2, Sampling(max_tokens=10))
    assert found[0] == found[1]


def test_no_prompts_no_replies() -> None:
    assert replies(model_of(CONFIG), tokenizer(), [], GREEDY) == []


def test_a_long_prompt_keeps_its_tail_and_says_so() -> None:
    assert fit([1, 5, 6], 4, 2) == ([1, 5, 6], 0)
    assert fit([1, *range(10, 30)], 16, 100) == ([1, *range(19, 30)], 9)  # a quarter is left for the reply
    assert fit([1, *range(10, 30)], 16, 2) == ([1, *range(17, 30)], 7)
    assert fit([1, 5, 6], 2, 9) == ([1], 2)
    prompt = [1, *[50] * 200, 60]
    reply = write_reply(Decoder(scripted([60, 70, 80, BOS])), tokenizer(), prompt, GREEDY)
    kept_ids, cut = fit(prompt, CONFIG.max_seq_len, GREEDY.max_tokens)
    assert reply.tokens == [70, 80] and reply.cut == cut == len(prompt) - len(kept_ids)
    assert kept_ids[0] == BOS and len(kept_ids) == CONFIG.max_seq_len * 3 // 4

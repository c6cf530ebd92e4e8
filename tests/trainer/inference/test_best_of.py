"""The best of several replies: ranked as full passes of the model rank them, and one alone where that was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_fixtures import CONFIGS, model_of, trainer
from use_fixtures import CONFIG, after, byte, save, says, scripted, tokenizer

from curator.contract.errors import UsageError
from trainer.engines import fitting
from trainer.inference import best_of
from trainer.inference.best_of import LIKELIHOOD, OTHERS, best_replies, best_reply, others
from trainer.inference.chat import Chat
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, EOS

PLAIN = Template()
FREE = Sampling(temperature=1.0, max_tokens=10, best_of=6, others=("ba ko", "la mi"))


def wide(name: str) -> Llama:
    """A model of this shape, whose vocabulary is the tokenizer's and whose logits are far apart."""
    return model_of(replace(CONFIGS[name], vocab_size=tokenizer().vocab_size, max_seq_len=48), seed=6, scale=5.0)


def nats(model: Llama, prompt: list[int], tokens: list[int]) -> float:
    """log p of tokens behind a prompt, by one full pass."""
    ids = torch.tensor([[*prompt, *tokens]])[:, : model.config.max_seq_len + 1]
    with torch.inference_mode():
        logs = model.logits(ids[:, :-1]).log_softmax(-1)[0]
    places = range(len(prompt) - 1, ids.shape[1] - 1)
    return sum(float(logs[place, ids[0, place + 1]]) for place in places)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("length", [1, 9, 40, 48])
def test_a_reply_is_as_likely_behind_a_prompt_as_a_full_pass_says(name: str, length: int) -> None:
    model, dice = wide(name), np.random.default_rng(length)
    prompt = [1, *dice.integers(3, 390, length - 1).tolist()]
    rows = [dice.integers(3, 390, size).tolist() for size in (1, 5, 9, 2)]  # the last places are past the context's end
    found = best_of._log_likelihoods(Decoder(model), prompt, rows)
    np.testing.assert_allclose(found, [nats(model, prompt, row) for row in rows], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_the_reply_is_the_one_that_full_passes_rank_first(seed: int) -> None:
    model, sampling = wide("gqa"), replace(FREE, seed=seed)
    asked, behind = "ti", others(PLAIN, "ti", sampling)
    reply = best_reply(Decoder(model), tokenizer(), PLAIN.wrap(asked), behind, sampling)
    seeds = [seed, *best_of._more_seeds(seed, 5)]
    drawn = replies(model, tokenizer(), [PLAIN.wrap(asked)] * 6, sampling, seeds)
    scores = {}
    for one in drawn:
        if one.text.strip():
            row = [*one.tokens, BOS] if one.stopped == "end" else one.tokens
            own, *rest = (nats(model, tokenizer().encode(text), row) for text in (PLAIN.wrap(asked), *behind))
            scores[one.text] = (own - sum(rest) / len(rest) + LIKELIHOOD * own) / len(row)
    assert len(scores) > 1, "nothing was ranked"
    assert reply.text == max(scores, key=scores.__getitem__)


def test_the_first_is_drawn_as_alone_and_no_other_turn_of_a_chat_has_its_dice() -> None:
    model = wide("tied")
    alone = replies(model, tokenizer(), [PLAIN.wrap("ti")], replace(FREE, best_of=1, seed=3))
    for sampling in (replace(FREE, best_of=1, seed=3), replace(FREE, best_of=1, seed=3, others=())):
        assert best_replies(Decoder(model), tokenizer(), PLAIN, ["ti"], sampling) == alone
    greedy = replace(FREE, temperature=0.0)
    assert best_replies(Decoder(model), tokenizer(), PLAIN, ["ti"], greedy) == replies(
        model, tokenizer(), [PLAIN.wrap("ti")], greedy
    )
    seeds = [number for seed in range(50) for number in (seed, *best_of._more_seeds(seed, 15))]
    assert len(set(seeds)) == len(seeds)


def test_each_prompt_has_its_own_seed_and_the_same_seed_the_same_reply() -> None:
    decoder = Decoder(wide("tied"))
    first = best_replies(decoder, tokenizer(), PLAIN, ["ti", "ti", "ti"], FREE, seeds=[1, 2, 1])
    assert first[0] == first[2] != first[1]
    assert best_replies(decoder, tokenizer(), PLAIN, ["ti"], FREE, seeds=[2]) == [first[1]]


def test_only_the_token_that_ends_a_reply_counts_of_a_stop_text() -> None:
    model = says(" bako\nlo", end=None)
    sampling = replace(FREE, temperature=0.1, max_tokens=30, stops=("\nlo",))
    (reply,) = replies(model, tokenizer(), [PLAIN.wrap("ti")], sampling)
    assert (reply.text, reply.stopped) == ("bako", "stop")
    written = best_of._written(tokenizer(), reply, sampling)
    assert written == [*after(" bako"), byte(ord("\n"))]
    (ended,) = replies(says(" bako"), tokenizer(), [PLAIN.wrap("ti")], sampling)
    assert best_of._written(tokenizer(), ended, sampling) == [*after(" bako"), BOS]


def test_empty_replies_are_given_only_where_there_is_no_other() -> None:
    nothing = scripted([tokenizer().encode(":")[-1], EOS], config=CONFIG)
    (reply,) = best_replies(Decoder(nothing), tokenizer(), PLAIN, ["ti"], replace(FREE, temperature=0.1))
    assert (reply.text, reply.stopped) == ("", "end")


def test_a_prompt_is_not_compared_with_itself_and_not_with_more_than_a_few() -> None:
    asked = [f"ti {number}" for number in range(33)]
    found = others(PLAIN, "ti 0 ", replace(FREE, others=tuple(asked)), history=(("la", "mi"),))
    assert 2 <= len(found) <= OTHERS
    assert all(text.startswith("Q: la\nA: mi") for text in found)
    assert not any("ti 0\n" in text for text in found)
    assert others(PLAIN, "ti", replace(FREE, others=())) == [PLAIN.wrap("")]
    assert others(PLAIN, "ti", replace(FREE, others=("ti",))) == [PLAIN.wrap("")]


def test_a_chat_gives_the_best_of_several_and_remembers_it() -> None:
    decoder, shown, notes = Decoder(wide("gqa")), list[str](), list[str]()
    chat = Chat(decoder, tokenizer(), PLAIN, replace(FREE, max_tokens=6))
    answer = chat.ask("ti", shown.append, notes.append)
    assert "".join(shown) == answer == chat.said[0][1]
    sampling = replace(chat.sampling, seed=chat.sampling.seed + 1)
    history = (("ti", answer),)
    expected = best_reply(
        decoder, tokenizer(), PLAIN.wrap("la", history), others(PLAIN, "la", sampling, history), sampling
    )
    assert chat.ask("la", shown.append, notes.append) == expected.text


def test_a_long_prompt_is_cut_for_the_ranking_as_for_the_reply() -> None:
    long = "ti la mi " * 60
    (reply,) = best_replies(Decoder(wide("tied")), tokenizer(), PLAIN, [long], FREE)
    assert reply.cut > 0
    assert reply.text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = model_of(replace(CONFIG, vocab_size=tokenizer().vocab_size), seed=6, scale=5.0)
    return save(tmp_path_factory.mktemp("checkpoints") / "loose", model)


def sampled(place: Path, *options: object) -> dict[str, Any]:
    done = trainer("sample", place, "--prompt", "ti", "--json", "--threads", 1, "--max-tokens", 12, *options)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_sample_draws_as_many_as_the_command_line_says(place: Path) -> None:
    one, best = sampled(place), sampled(place, "--best-of", 5)
    assert (one["sampling"]["best_of"], best["sampling"]["best_of"]) == (1, 5)
    assert one["replies"] != best["replies"]
    again = trainer("sample", place, "--prompt", "ti", "--threads", 1, "--max-tokens", 12, "--best-of", 5)
    assert again.out.strip() == best["replies"][0]["text"]
    assert len(sampled(place, "--best-of", 5, "-n", 3)["replies"]) == 3
    raw = trainer("sample", place, "--prompt", "ti", "--best-of", 5, "--raw")
    assert (raw.status, raw.out) == (2, "") and "leave out --best-of" in raw.err, "what is gone on with asks nothing"
    done = trainer("sample", place, "--prompt", "ti", "--best-of", 0)
    assert (done.status, "Traceback" in done.err) == (2, False)


def test_the_number_is_stored_and_exports_and_engines_say_that_they_have_none(place: Path, tmp_path: Path) -> None:
    done = trainer("convert", place, "--dtype", "float32", "--best-of", 5, "--out", tmp_path / "five")
    assert done.status == 0, done.err
    assert sampled(tmp_path / "five")["sampling"]["best_of"] == 5
    assert "best_of 5" in trainer("info", tmp_path / "five").out
    exported = trainer("export", tmp_path / "five", "--to", "npz", "--out", tmp_path / "out.npz")
    assert "draws 5 replies and gives the one that answers best" in exported.err
    assert fitting("numpy", FREE, set()) == (
        replace(FREE, best_of=1), "numpy draws without what the checkpoint has stored of --best-of"
    )  # fmt: skip
    with pytest.raises(UsageError, match="has no --best-of") as error:
        fitting("numpy", FREE, {"best_of"})
    assert error.value.next_step == "leave it out, or use another engine: torch"

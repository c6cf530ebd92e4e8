"""The loss with a KL term: its gradient is that of the loss written out, however a step is cut; it ends at the base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from core_fixtures import CONFIGS, TINY, document, ids, model_of

from trainer.data.batches import Batch, PackedDataset, ReplayDataset, TokenisedExample
from trainer.model.llama import Llama, ModelConfig
from trainer.model.lora import add_lora
from trainer.training.kl import KLRegulariser
from trainer.training.loop import gradients

Gradients = dict[str, torch.Tensor]


def packed(rows: int, seed: int = 1, number: int = 9) -> PackedDataset:
    """Dialogues of 9 to 17 tokens with weights of three sizes, packed into rows of 32."""
    samples = []
    for one in range(number):
        words = ids(100 * seed + one, 7 + one).tolist()
        weights = (0.0, 0.3, 0.3, 0.0, *[1.0] * (len(words) - 3), 3.0)
        samples.append(TokenisedExample(str(one), (1, *words, 1), weights))
    return PackedDataset(samples, [], rows, 32, seed)


def step_of(rows: int = 4, replayed: int = 3) -> Batch:
    """A step with both: dialogues first, then replay in which documents of 20 tokens change within a row."""
    stream = np.concatenate([document(one, 20) for one in range(12)])
    return ReplayDataset(packed(rows), stream, replayed, 32, 1).batch(0)


def pair(config: ModelConfig = TINY) -> tuple[Llama, Llama]:
    """(a base, a model that has gone some way from it); weights so large that each logit counts."""
    return model_of(config, seed=1, scale=6.0).eval(), model_of(config, seed=2, scale=6.0).train()


def divergence(base: Llama, model: Llama, batch: Batch) -> torch.Tensor:
    """KL(base || model) at every place (B,T), nats, by its definition."""
    with torch.no_grad():
        p = base.logits(batch.tokens, batch.documents).double().softmax(-1)
    q = model.logits(batch.tokens, batch.documents).double().softmax(-1)
    return (p * (p.log() - q.log())).sum(-1)


def written_out(base: Llama, model: Llama, batch: Batch, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(the mean cross entropy, the whole loss) of a step, by their definitions, in one piece."""
    assert batch.kl_mask is not None
    q = model.logits(batch.tokens, batch.documents).double().log_softmax(-1)
    losses = -q.gather(-1, batch.targets[..., None]).squeeze(-1)
    learnt = (batch.weights * losses).sum() / batch.weights.sum()
    kept = (batch.kl_mask * divergence(base, model, batch)).sum() / batch.kl_mask.sum()
    return learnt, learnt + strength * kept


def taken(model: Llama) -> Gradients:
    """The gradients in a model, 0 where there are none; they are cleared."""
    found = {
        name: torch.zeros_like(one) if one.grad is None else one.grad.clone()
        for name, one in model.named_parameters()
        if one.requires_grad
    }
    model.zero_grad(set_to_none=True)
    return found


def of_step(base: Llama, model: Llama, batch: Batch, strength: float, rows: int = 100) -> tuple[float, Gradients]:
    """What `gradients` returns and leaves."""
    loss = gradients(model, model.sparse_loss, batch, rows, "fp32", kl=KLRegulariser(base, strength))
    return loss, taken(model)


def assert_equal(found: Gradients, expected: Gradients, most: float) -> None:
    """Each gradient to within `most`, and none of them by chance: what is compared is not all zero."""
    assert found.keys() == expected.keys() and any(bool(one.any()) for one in expected.values())
    for name, one in found.items():
        torch.testing.assert_close(
            one, expected[name], rtol=0, atol=most, msg=lambda text, name=name: f"{name}: {text}"
        )


# --- the gradient ---


@pytest.mark.parametrize("strength", [0.0, 1.0, 8.0])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_gradient_is_that_of_the_loss_written_out(name: str, strength: float) -> None:
    base, model = pair(CONFIGS[name])
    batch = step_of()
    learnt, whole = written_out(base, model, batch, strength)
    whole.backward()
    expected = taken(model)
    loss, found = of_step(base, model, batch, strength)
    scale = max(1.0, *(float(one.abs().max()) for one in expected.values()))
    assert_equal(found, expected, 1e-6 * scale)
    assert loss == pytest.approx(float(learnt.detach()), abs=1e-6), "what is returned is without the divergence"


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 100])
def test_a_step_in_parts_of_any_size_is_the_step(rows: int) -> None:
    """Parts of dialogues alone, of replay alone, and of both: each counts by what the whole step holds."""
    base, model = pair()
    batch = step_of()
    assert len(batch.tokens) == 7
    loss, whole = of_step(base, model, batch, 8.0)
    loss_of_parts, parts = of_step(base, model, batch, 8.0, rows)
    scale = max(float(one.abs().max()) for one in whole.values())
    assert_equal(parts, whole, 1e-6 * scale)
    assert loss_of_parts == pytest.approx(loss, abs=1e-6)


def test_the_divergence_counts_by_its_strength() -> None:
    base, model = pair()
    batch = step_of()
    none, one, four = (of_step(base, model, batch, strength)[1] for strength in (0.0, 1.0, 4.0))
    expected = {name: none[name] + 4.0 * (one[name] - none[name]) for name in none}
    assert_equal(four, expected, 1e-5)
    assert not torch.allclose(one["norm.weight"], none["norm.weight"], atol=1e-4)


# --- at the base, and beside it ---


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_at_the_base_itself_the_gradient_of_the_divergence_is_zero(rows: int) -> None:
    base, _ = pair()
    model = model_of(seed=1, scale=6.0).train()
    batch = step_of()
    replay = replace(batch, weights=torch.zeros_like(batch.weights))
    loss, found = of_step(base, model, replay, 8.0, rows)
    assert loss == 0.0
    assert max(float(one.abs().max()) for one in found.values()) < 1e-6
    _, far = of_step(base, pair()[1], replay, 8.0, rows)
    assert max(float(one.abs().max()) for one in far.values()) > 1e-2, "elsewhere it is not"


def test_rows_without_anchors_add_nothing() -> None:
    base, model = pair()
    batch = step_of()
    own, replayed = list(batch.micro_batches(4))
    bare = replace(own, kl_mask=None)
    _, plain = of_step(base, model, bare, 8.0)
    assert_equal(of_step(base, model, own, 8.0)[1], plain, 0.0)
    # Beside rows of replay, they add their cross entropy alone: the two parts of the loss are of separate rows.
    _, both = of_step(base, model, batch, 8.0)
    _, kept = of_step(base, model, replayed, 8.0)
    assert_equal(both, {name: plain[name] + kept[name] for name in plain}, 1e-5)


def test_places_without_an_anchor_add_nothing() -> None:
    """Past the end of its text a row of replay holds marks: whatever stands there, the gradient is the same."""
    base, model = pair()
    short = ReplayDataset(packed(1), document(1, 21), 1, 32, 1).batch(0)
    assert short.kl_mask is not None and short.kl_mask[1].tolist() == [1.0] * 20 + [0.0] * 12
    _, expected = of_step(base, model, short, 8.0)
    tokens = short.tokens.clone()
    tokens[1, 20:] = 77
    assert not torch.equal(tokens, short.tokens)
    _, found = of_step(base, model, replace(short, tokens=tokens), 8.0)
    assert_equal(found, expected, 1e-6)


def test_a_step_of_padding_alone_divides_by_nothing() -> None:
    base, model = pair()
    batch = step_of()
    empty = replace(batch, weights=torch.zeros_like(batch.weights), kl_mask=torch.zeros_like(batch.weights))
    loss, found = of_step(base, model, empty, 8.0)
    assert loss == 0.0 and not any(bool(one.any()) for one in found.values())


# --- the base ---


def test_the_base_is_never_trained() -> None:
    base, model = pair()
    before = {name: one.clone() for name, one in base.state_dict().items()}
    kl = KLRegulariser(base, 8.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        gradients(model, model.sparse_loss, step_of(), 2, "fp32", kl=kl)
        optimizer.step()
    assert all(one.grad is None and not one.requires_grad for one in base.parameters())
    assert all(torch.equal(one, before[name]) for name, one in base.state_dict().items())


def test_dropout_is_of_the_model_and_not_of_the_base() -> None:
    """A base that is handed over in training would else be another one at each step."""
    batch = step_of()
    replay = replace(batch, weights=torch.zeros_like(batch.weights))
    base = model_of(seed=1, dropout=0.5, scale=6.0).train()
    still = model_of(seed=1, scale=6.0).eval()
    model = model_of(seed=2, scale=6.0).train()
    assert_equal(of_step(base, model, replay, 1.0)[1], of_step(still, model, replay, 1.0)[1], 0.0)
    shaken = model_of(seed=1, dropout=0.5, scale=6.0).train()
    torch.manual_seed(1)
    _, found = of_step(still, shaken, replay, 1.0)
    assert max(float(one.abs().max()) for one in found.values()) > 1e-2, "the model learns to agree despite its dropout"


def test_steps_with_an_anchor_stay_nearer_to_the_base() -> None:
    stream = np.concatenate([document(one, 20) for one in range(12)])
    data = ReplayDataset(packed(4), stream, 4, 32, 1)
    far = {}
    for strength in (0.0, 8.0):
        base, model = (model_of(seed=1, scale=6.0) for _ in range(2))
        kl = KLRegulariser(base, strength)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for step in range(20):
            losses.append(gradients(model, model.sparse_loss, data.batch(step), 8, "fp32", kl=kl))
            optimizer.step()
        batch = data.batch(1000)
        with torch.no_grad():
            found = divergence(base, model, batch)
        far[strength] = float((found * batch.kl_mask).sum() / batch.kl_mask.sum())
        assert losses[-1] < losses[0] - 0.5, "it learns all the same"
    assert far[8.0] < 0.3 * far[0.0]


# --- low-rank changes ---


def lora(config: ModelConfig = TINY) -> Llama:
    model = model_of(config, seed=1, scale=6.0).train()
    add_lora(model, 4, 8.0, 3)
    return model


def test_low_rank_changes_begin_at_the_base() -> None:
    base, _ = pair()
    batch = step_of()
    replay = replace(batch, weights=torch.zeros_like(batch.weights))
    _, found = of_step(base, lora(), replay, 8.0)
    assert len(found) == 2 * (3 + 1 + 2 + 1) * 2, (
        "two matrices for each of wq, wk, wv, wo, gate, up, down in two layers"
    )
    assert max(float(one.abs().max()) for one in found.values()) < 1e-6


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_low_rank_changes_have_the_gradient_of_the_loss_written_out(rows: int) -> None:
    base, _ = pair(CONFIGS["gqa"])
    model = lora(CONFIGS["gqa"])
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for one in model.parameters():
            if one.requires_grad:
                one.add_(0.3 * torch.randn(one.shape, generator=generator))
    batch = step_of()
    written_out(base, model, batch, 8.0)[1].backward()
    expected = taken(model)
    _, found = of_step(base, model, batch, 8.0, rows)
    scale = max(1.0, *(float(one.abs().max()) for one in expected.values()))
    assert_equal(found, expected, 1e-6 * scale)
    assert all(one.grad is None for one in model.parameters() if not one.requires_grad)

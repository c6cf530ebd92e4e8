"""Muon beside torch's own, its AdamW beside torch's, and the schedules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from core_fixtures import CONFIGS, SETTINGS, model_of, shared_place, trainer
from test_loop import apart, run, weights_of, windows

from trainer.model.llama import Llama
from trainer.training.optimizer import Muon, learning_rate, make_optimizer, orthogonal


def gradients_for(model: Llama, seed: int) -> None:
    for number, parameter in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_a_stable_rate_falls_in_the_last_steps_alone() -> None:
    changed = {
        "learning_rate": 1.0, "warmup_steps": 2, "min_lr_ratio": 0.0, "lr_scheduler_type": "wsd", "decay_share": 0.4,
    }  # fmt: skip
    settings = SETTINGS.model_copy(update=changed)
    found = [learning_rate(step, 10, settings) for step in range(10)]
    assert found == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    forever = settings.model_copy(update={"decay_share": 0.0})
    assert [learning_rate(step, 10, forever) for step in range(2, 10)] == [1.0] * 8


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 64), (1, 1, 5)], ids=str)
def test_an_orthogonal_matrix_keeps_its_directions_and_loses_its_sizes(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 7
    found = orthogonal(matrices)
    sizes = torch.linalg.svdvals(found)
    assert found.shape == matrices.shape and float(sizes.min()) > 0.5 and float(sizes.max()) < 1.35
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.transpose(1, 2) @ found @ right.transpose(1, 2)
    assert float((inside - torch.diag_embed(inside.diagonal(dim1=1, dim2=2))).abs().max()) < 1e-3


def test_it_is_torchs_muon_but_for_bf16() -> None:
    # torch's takes q, k and v for one matrix, so each part gets an optimizer of its own here.
    model, theirs = model_of(CONFIGS["tied"]), model_of(CONFIGS["tied"])
    settings = SETTINGS.model_copy(update={"optimizer": "muon", "weight_decay": 0.1, "learning_rate": 1e-2})
    ours = make_optimizer(model, settings)
    assert isinstance(ours, Muon)
    stacked = {id(one): parts for one, parts in theirs.stacked()}
    parts, rest = {}, []
    for name, one in theirs.named_parameters():
        if one.dim() == 2 and name != "embedding.weight":
            parts[name] = [torch.nn.Parameter(part.clone()) for part in one.detach().chunk(stacked.get(id(one), 1))]
        else:
            rest.append((name, one))
    pieces = [part for every in parts.values() for part in every]
    muon = torch.optim.Muon(pieces, lr=1e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    norms = [one for name, one in rest if one.dim() < 2]
    adamw = torch.optim.AdamW(
        [{"params": [theirs.embedding.weight], "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}],
        lr=1e-2, betas=(settings.beta1, settings.beta2), eps=1e-8,
    )  # fmt: skip
    begun = weights_of(model)
    for step in range(4):
        gradients_for(model, step)
        gradients_for(theirs, step)
        for name, every in parts.items():
            for part, gradient in zip(every, theirs.get_parameter(name).grad.chunk(len(every)), strict=True):
                part.grad = gradient
        for group in ours.param_groups:
            group["lr"] = 1e-2 * group["scale"]
        ours.step()
        muon.step()
        adamw.step()
    for name, one in weights_of(model).items():
        moved = float((one - begun[name]).abs().mean())
        expected = torch.cat(parts[name]) if name in parts else theirs.get_parameter(name)
        wrong = float((one - expected.detach()).abs().mean())
        assert wrong < (0.03 if name in parts else 1e-4) * moved, name


def test_an_update_is_as_large_as_one_of_adamw() -> None:
    model = model_of()
    optimizer = make_optimizer(model, SETTINGS.model_copy(update={"optimizer": "muon", "weight_decay": 0.0}))
    before = weights_of(model)
    gradients_for(model, 0)
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    optimizer.step()
    for name, parameter in weights_of(model).items():
        if parameter.dim() == 2 and name != "embedding.weight":
            size = float((parameter - before[name]).pow(2).mean().sqrt())
            assert size == pytest.approx(0.2e-2, rel=0.25), name


def test_grouped_heads_lie_in_one_matrix_that_is_not_parted() -> None:
    model = model_of(CONFIGS["gqa"])
    assert {parts for _, parts in model.stacked()} == {2}, "its q is larger than its k: only gate and up are alike"
    optimizer = make_optimizer(model, SETTINGS.model_copy(update={"optimizer": "muon"}))
    gradients_for(model, 0)
    optimizer.step()


def test_a_training_with_muon_goes_on_in_the_same_bytes(tmp_path: Path) -> None:
    whole = model_of()
    run(tmp_path / "whole", whole, windows(), 6, optimizer="muon")
    begun = model_of()
    run(tmp_path / "half", begun, windows(), 6, optimizer="muon", save_steps=1)
    # The last state but one, as a kill would leave it.
    states = sorted((tmp_path / "half" / "training").glob("step-*"))
    assert [state.name for state in states] == ["step-0000005", "step-0000006"]
    for path in states[-1].iterdir():
        path.unlink()
    states[-1].rmdir()
    again = model_of(seed=9)
    run(tmp_path / "half", again, windows(), 6, optimizer="muon", save_steps=1)
    assert apart(weights_of(again), weights_of(whole)) == 0


# --- a base that goes on -------------------------------------------------------------------------------------------


def test_a_base_goes_on_from_the_weights_of_another(tmp_path: Path) -> None:
    place = shared_place()
    first = tmp_path / "first"
    assert trainer(*place.pretrain(first)).status == 0
    done = trainer(*place.pretrain(tmp_path / "second", "--base", first, "--optimizer", "muon", "--json"))
    assert done.status == 0, done.err
    before, after = (json.loads((folder / "trainer.json").read_text()) for folder in (first, tmp_path / "second"))
    assert after["data"]["base"] == {"name": "first", "sha256": before["sha256"]["model.safetensors"]}
    one, two = before["metrics"], after["metrics"]
    assert two["validation_loss_at_start"] == pytest.approx(one["validation_loss"], abs=1e-4)


def test_a_base_of_another_size_is_refused(tmp_path: Path) -> None:
    place = shared_place()
    first = tmp_path / "first"
    assert trainer(*place.pretrain(first)).status == 0
    done = trainer(*place.pretrain(tmp_path / "second", "--base", first, "--dim", "64"))
    assert done.status == 2 and "another size or another tokenizer" in done.err
    assert not (tmp_path / "second" / "trainer.json").exists()

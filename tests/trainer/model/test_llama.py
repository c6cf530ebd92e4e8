"""The model, its layouts and LoRA, against a forward pass written here in numpy from Hugging Face's layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_fixtures import CONFIGS, TINY, ids, model_of, shared_place, trainer_process

from curator.contract.errors import UsageError
from trainer.model.convert import (
    from_huggingface,
    from_llama2c,
    halve,
    huggingface_shapes,
    interleave,
    llama2c_shapes,
    to_huggingface,
    to_llama2c,
)
from trainer.model.llama import Llama, ModelConfig, attention_mask
from trainer.model.lora import add_lora, merged_state

every_config = pytest.mark.parametrize("name", CONFIGS)
SCALE = 6.0  # weights of deviation 0.12: attention is far from uniform, and logits are of the order of 1


def numpy_logits(tensors: dict[str, torch.Tensor], config: ModelConfig, tokens: np.ndarray) -> np.ndarray:
    """Logits (T,V) of one row in float64, as Hugging Face's LlamaForCausalLM computes them: rotary halves."""
    w = {name: one.double().numpy() for name, one in tensors.items()}
    n, h = len(tokens), config.dim // config.n_heads

    def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_eps) * gain

    angles = np.arange(n)[:, None] / config.rope_theta ** (np.arange(0, h, 2) / h)
    cos, sin = np.cos(np.hstack([angles, angles])), np.sin(np.hstack([angles, angles]))

    def rotate(x: np.ndarray) -> np.ndarray:
        return x * cos + np.hstack([-x[:, h // 2 :], x[:, : h // 2]]) * sin

    x = w["model.embed_tokens.weight"][tokens]
    for layer in range(config.n_layers):
        p = f"model.layers.{layer}."
        y = norm(x, w[p + "input_layernorm.weight"])
        q, k, v = (y @ w[f"{p}self_attn.{one}_proj.weight"].T for one in "qkv")
        heads = []
        for head in range(config.n_heads):
            shared = head // (config.n_heads // config.n_kv_heads)
            qh, kh = rotate(q[:, head * h : head * h + h]), rotate(k[:, shared * h : shared * h + h])
            scores = np.where(np.tri(n, dtype=bool), qh @ kh.T / np.sqrt(h), -np.inf)
            share = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(share / share.sum(-1, keepdims=True) @ v[:, shared * h : shared * h + h])
        x = x + np.hstack(heads) @ w[p + "self_attn.o_proj.weight"].T
        y = norm(x, w[p + "post_attention_layernorm.weight"])
        gate = y @ w[p + "mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
    head_weight = w["model.embed_tokens.weight" if config.tied else "lm_head.weight"]
    return np.asarray(norm(x, w["model.norm.weight"]) @ head_weight.T)


# --- the model ---


def test_llisa_7m_has_the_parameters_of_the_original():
    model = Llama(ModelConfig())
    sizes = {True: 0, False: 0}
    for decayed, parameter in model.decayed():
        sizes[decayed] += parameter.numel()
    assert sizes == {True: 7_151_616, False: 3_744}
    assert ModelConfig().parameters() == 7_155_360 == sum(one.numel() for one in model.parameters())


@every_config
def test_the_count_of_parameters_is_that_of_the_built_model(name: str):
    config = CONFIGS[name]
    assert config.parameters() == sum(one.numel() for one in Llama(config).parameters())


@every_config
def test_logits_are_those_of_an_independent_forward_pass(name: str):
    config = CONFIGS[name]
    model, tokens = model_of(config, scale=SCALE), ids(3, 2, 32)
    tensors = to_huggingface(model.state_dict(), config)
    with torch.no_grad():
        ours = model.logits(torch.from_numpy(tokens.astype(np.int64))).double().numpy()
    expected = np.stack([numpy_logits(tensors, config, row) for row in tokens])
    assert np.abs(ours - expected).max() < 1e-4
    assert np.abs(expected).max() > 1  # else 1e-4 would say nothing

    # The comparison sees what it is for: rows of q and k in llama2.c's order are another model.
    for layer in range(config.n_layers):
        for one, heads in (("q", config.n_heads), ("k", config.n_kv_heads)):
            key = f"model.layers.{layer}.self_attn.{one}_proj.weight"
            tensors[key] = interleave(tensors[key], heads)
    assert np.abs(ours[0] - numpy_logits(tensors, config, tokens[0])).max() > 1e-2


@every_config
def test_no_token_sees_a_later_one(name: str):
    model, tokens = model_of(CONFIGS[name], scale=SCALE), torch.from_numpy(ids(3, 1, 32).astype(np.int64))
    changed = tokens.clone()
    changed[0, 20] = 7 if int(tokens[0, 20]) != 7 else 8
    with torch.no_grad():
        before, after = model.logits(tokens), model.logits(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] - after[:, 20:]).abs().amax(-1).min() > 1e-3  # and every later one sees it


def test_packed_documents_have_the_logits_that_each_has_alone():
    model = model_of(CONFIGS["gqa"], scale=SCALE)
    parts = [torch.from_numpy(ids(seed, length).astype(np.int64)) for seed, length in ((1, 5), (2, 16), (3, 11))]
    documents = torch.cat([torch.full((len(part),), number) for number, part in enumerate(parts)])[None]
    with torch.no_grad():
        packed = model.logits(torch.cat(parts)[None], documents)[0].split([5, 16, 11])
        for part, found in zip(parts, packed, strict=True):
            # Positions differ by where the document begins; rotary attention sees distances only.
            assert (model.logits(part[None])[0] - found).abs().max() < 1e-4
        unmasked = model.logits(torch.cat(parts)[None])[0].split([5, 16, 11])
    assert (unmasked[1] - packed[1]).abs().max() > 1e-2


def test_attention_mask_by_hand():
    inf = float("inf")
    assert attention_mask(3, None, torch.float32).tolist() == [[[[0, -inf, -inf], [0, 0, -inf], [0, 0, 0]]]]
    mask = attention_mask(3, torch.tensor([[1, 2, 2], [1, 1, 1]]), torch.float32)
    assert mask[0, 0].tolist() == [[0, -inf, -inf], [-inf, 0, -inf], [-inf, 0, 0]]
    assert mask[1, 0].tolist() == [[0, -inf, -inf], [0, 0, -inf], [0, 0, 0]]


def loss_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens, targets = (torch.from_numpy(ids(seed, 2, 8).astype(np.int64)) for seed in (1, 2))
    weights = torch.tensor([[0, 0, 1, 0.3, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0.5]])
    return tokens, targets, weights, attention_mask(8, None, torch.float32)


@every_config
def test_the_sparse_loss_is_the_loss_and_has_its_gradients(name: str):
    model, inputs = model_of(CONFIGS[name], scale=SCALE), loss_inputs()
    found = {}
    for what in (model.forward, model.sparse_loss):
        model.zero_grad()
        loss = what(*inputs)
        loss.backward()
        found[what.__name__] = (loss.item(), [one.grad.clone() for one in model.parameters()])
    (dense, ours), (sparse, theirs) = found.values()
    assert dense == pytest.approx(sparse, rel=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def test_the_loss_is_the_weighted_sum_of_cross_entropies_and_so_is_its_gradient():
    model, (tokens, targets, weights, mask) = model_of(scale=SCALE), loss_inputs()
    with torch.no_grad():
        chances = model.logits(tokens).double().softmax(-1)
        expected = -(chances.gather(-1, targets[..., None])[..., 0].log() * weights).sum()
    loss = model(tokens, targets, weights, mask)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    whole = model.embedding.weight.grad.clone()
    # One token at a time, each by its weight, sums to the same gradient.
    parts = torch.zeros_like(whole)
    for row, column in weights.nonzero().tolist():
        model.zero_grad()
        one = torch.zeros_like(weights)
        one[row, column] = 1
        model(tokens, targets, one, mask).backward()
        parts += weights[row, column] * model.embedding.weight.grad
    assert torch.allclose(whole, parts, atol=1e-5)
    assert whole.abs().max() > 0.01
    # A target without weight is not looked at.
    targets[weights == 0] = 399
    assert model(tokens, targets, weights, mask).item() == pytest.approx(loss.item(), rel=1e-7)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"n_layers": 10**9}, "n_layers is 1000000000; expected 1 to 256"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"n_layers": True}, "n_layers is True"),
        ({"dim": -288}, "dim is -288"),
        ({"dim": 288.0}, "dim is 288.0"),
        ({"dim": "288"}, "dim is '288'"),
        ({"vocab_size": 65_537}, "vocab_size is 65537"),
        ({"max_seq_len": 10**12}, "max_seq_len"),
        ({"norm_eps": float("nan")}, "norm_eps is nan"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0"),
        ({"norm_eps": True}, "norm_eps is True"),
        ({"norm_eps": 10**400}, "norm_eps"),  # JSON holds such numbers
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"rope_theta": None}, "rope_theta is None"),
        ({"tied": "no"}, "tied is 'no'"),  # else "no" means yes
        ({"dim": 287}, "dim 287 by 6 heads"),
        ({"dim": 30, "n_heads": 6}, "no even head size"),  # 5 rotary dimensions make no pairs
        ({"n_kv_heads": 4}, "6 heads cannot share 4 key/value heads"),
        ({"dim": 16_384, "n_layers": 256, "n_heads": 256, "n_kv_heads": 256, "hidden_dim": 65_536}, "parameters"),
        ({"width": 3}, "unknown key 'width'"),
    ],
)
def test_a_size_that_cannot_be_is_refused(values: dict[str, Any], told: str):
    with pytest.raises(UsageError, match="model configuration") as caught:
        ModelConfig.from_dict(values)
    assert told in str(caught.value)


def test_a_size_goes_through_json():
    config = CONFIGS["theta and eps"]
    assert ModelConfig.from_dict(config.as_dict()) == config != ModelConfig.from_dict({})


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--n-layers", 10**9], 2),
        (["--n-layers", 0], 2),
        (["--dim", 33], 2),
        (["--n-kv-heads", 3], 2),
        (["--context", 10**7], 2),
        (["--context", 10**6], 3),
        # 3,000 million parameters, and 2 GB of memory at most: the status for memory, and no traceback.
        (["--dim", 12_288, "--n-heads", 96, "--n-layers", 1, "--hidden-dim", 65_536], 3),
    ],
)
def test_a_size_that_cannot_be_ends_the_command_at_once(tmp_path: Path, options: list[object], status: int):
    done = trainer_process(*shared_place().pretrain(tmp_path / "out", *options), timeout=20, RLIMIT_AS=2 << 30)
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert not (tmp_path / "out").exists()  # and nothing is left half-made


def test_the_same_seed_draws_the_same_weights_and_narrower_ones_into_the_residual_stream():
    one, two, other = (Llama(TINY) for _ in range(3))
    for model, seed in ((one, 4), (two, 4), (other, 5)):
        model.reset(seed)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)
    big = Llama(replace(TINY, dim=128, hidden_dim=512))
    big.reset(1)
    # 0.02, and 0.02 / sqrt(2 x 2 layers) = 0.01 for what adds to the residual stream
    assert big.layers[0].attention.wqkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert big.layers[1].attention.wo.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert big.layers[1].mlp.down.weight.std().item() == pytest.approx(0.01, rel=0.03)


# --- layouts ---


@every_config
def test_layouts_go_there_and_back_exactly(name: str):
    config = CONFIGS[name]
    state = dict(model_of(config).state_dict())
    for there, back in ((to_huggingface, from_huggingface), (to_llama2c, from_llama2c)):
        found = back(there(state, config), config)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)


@every_config
def test_the_tables_of_shapes_are_those_of_the_tensors(name: str):
    config = CONFIGS[name]
    state = dict(model_of(config).state_dict())
    for there, shapes in ((to_huggingface, huggingface_shapes), (to_llama2c, llama2c_shapes)):
        assert {key: tuple(one.shape) for key, one in there(state, config).items()} == shapes(config)


def test_interleaving_by_hand():
    # Two heads of 4 rows: halves (0, 2), (1, 3) become neighbours.
    rows = torch.arange(8.0)[:, None]
    assert interleave(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(halve(interleave(rows, 2), 2), rows)
    assert torch.equal(interleave(halve(rows, 2), 2), rows)
    assert torch.equal(interleave(rows[:2], 1), rows[:2])  # a head of one pair


# --- LoRA ---


def test_lora_of_rank_8_on_the_7m_model_trains_262_656_parameters():
    # Six layers of q, k, v, out: 4 x 8 x (288 + 288), and gate, up, down: 3 x 8 x (288 + 768); 43,776 a layer.
    assert add_lora(Llama(ModelConfig()), 8, 16.0, 1) == 262_656


@every_config
def test_lora_begins_at_the_base_trains_only_itself_and_merges_exactly(name: str):
    model = model_of(CONFIGS[name], scale=SCALE)
    tokens, targets, weights, mask = loss_inputs()
    base = {key: one.clone() for key, one in model.state_dict().items()}
    before = model.logits(tokens).detach()
    add_lora(model, 4, 8.0, 1)
    assert torch.equal(model.logits(tokens), before)
    assert all(torch.equal(one, base[key]) for key, one in merged_state(model).items())

    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(tokens, targets, weights, mask).backward()
        optimizer.step()
    for key, one in model.state_dict().items():
        if "parametrizations.weight.0" not in key:
            assert torch.equal(one, base[key.replace("parametrizations.weight.original", "weight")]), key

    plain = Llama(CONFIGS[name])
    plain.load_state_dict(merged_state(model))  # strict: every name of a plain model, and no other
    with torch.no_grad():
        assert (plain.logits(tokens) - model.logits(tokens)).abs().max() < 1e-6
        assert (plain.logits(tokens) - before).abs().max() > 1e-2


def test_lora_adds_alpha_by_rank_times_b_a_to_each_part_of_a_fused_weight():
    config = CONFIGS["gqa"]  # q has 32 rows, k and v 16 each
    model = model_of(config)
    base = model.layers[1].attention.wqkv.weight.detach().clone()
    add_lora(model, 4, 6.0, 1)
    change = model.layers[1].attention.wqkv.parametrizations.weight[0]
    with torch.no_grad():
        for number, b in enumerate(change.b):
            b.fill_(number + 1)
        expected = torch.cat([
            6.0 / 4 * (number + 1) * a.sum(0).expand(rows, -1) for number, (a, rows) in
            enumerate(zip(change.a, (32, 16, 16), strict=True))
        ])  # fmt: skip
        assert torch.allclose(model.layers[1].attention.wqkv.weight, base + expected, atol=1e-5)

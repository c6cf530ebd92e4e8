"""The same weights under three names: ours (q, k, v in one matrix), Hugging Face's, llama2.c's.

Hugging Face pairs rotary dimensions (i, i + h/2), llama2.c and GGUF's `llama` pair (2i, 2i + 1). The conversion
permutes the rows of q and k within each head; without that a model still runs, but writes gibberish.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.model.llama import ModelConfig

StateDict = dict[str, Tensor]


def to_huggingface(state: StateDict, config: ModelConfig) -> StateDict:
    """Return the weights under Hugging Face's names, as `LlamaForCausalLM` has them."""
    kv = config.n_kv_heads * config.head_dim
    out = {"model.embed_tokens.weight": state["embedding.weight"]}
    for layer in range(config.n_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        q, k, v = state[ours + "attention.wqkv.weight"].split_with_sizes((config.dim, kv, kv))
        gate, up = state[ours + "mlp.gate_up.weight"].chunk(2)
        out |= {
            theirs + "input_layernorm.weight": state[ours + "attention_norm.weight"],
            theirs + "self_attn.q_proj.weight": q,
            theirs + "self_attn.k_proj.weight": k,
            theirs + "self_attn.v_proj.weight": v,
            theirs + "self_attn.o_proj.weight": state[ours + "attention.wo.weight"],
            theirs + "post_attention_layernorm.weight": state[ours + "mlp_norm.weight"],
            theirs + "mlp.gate_proj.weight": gate,
            theirs + "mlp.up_proj.weight": up,
            theirs + "mlp.down_proj.weight": state[ours + "mlp.down.weight"],
        }
    out["model.norm.weight"] = state["norm.weight"]
    if not config.tied:
        out["lm_head.weight"] = state["output.weight"]
    return {name: tensor.contiguous() for name, tensor in out.items()}


def from_huggingface(tensors: StateDict, config: ModelConfig) -> StateDict:
    """Return our weights, made from Hugging Face's."""
    out = {"embedding.weight": tensors["model.embed_tokens.weight"], "norm.weight": tensors["model.norm.weight"]}
    for layer in range(config.n_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        attention, mlp = theirs + "self_attn.", theirs + "mlp."
        out |= {
            ours + "attention_norm.weight": tensors[theirs + "input_layernorm.weight"],
            ours + "attention.wqkv.weight": torch.cat([tensors[f"{attention}{part}_proj.weight"] for part in "qkv"]),
            ours + "attention.wo.weight": tensors[attention + "o_proj.weight"],
            ours + "mlp_norm.weight": tensors[theirs + "post_attention_layernorm.weight"],
            ours + "mlp.gate_up.weight": torch.cat([tensors[f"{mlp}{part}_proj.weight"] for part in ("gate", "up")]),
            ours + "mlp.down.weight": tensors[mlp + "down_proj.weight"],
        }
    if not config.tied:
        out["output.weight"] = tensors["lm_head.weight"]
    return out


def huggingface_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that a checkpoint of this configuration holds, nothing allocated."""
    d, hidden, kv = config.dim, config.hidden_dim, config.n_kv_heads * config.head_dim
    out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, d), "model.norm.weight": (d,)}
    for layer in range(config.n_layers):
        name = f"model.layers.{layer}."
        out |= {
            name + "input_layernorm.weight": (d,), name + "post_attention_layernorm.weight": (d,),
            name + "self_attn.q_proj.weight": (d, d), name + "self_attn.k_proj.weight": (kv, d),
            name + "self_attn.v_proj.weight": (kv, d), name + "self_attn.o_proj.weight": (d, d),
            name + "mlp.gate_proj.weight": (hidden, d), name + "mlp.up_proj.weight": (hidden, d),
            name + "mlp.down_proj.weight": (d, hidden),
        }  # fmt: skip
    if not config.tied:
        out["lm_head.weight"] = (config.vocab_size, d)
    return out


def interleave(weight: Tensor, heads: int) -> Tensor:
    """Return a q or k matrix (heads*h, D) of rotary halves with its rows as interleaved pairs."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def halve(weight: Tensor, heads: int) -> Tensor:
    """Return a q or k matrix (heads*h, D) of interleaved pairs with its rows as rotary halves: undoes `interleave`."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def to_llama2c(state: StateDict, config: ModelConfig) -> StateDict:
    """Return the weights under llama2.c's names (model.py of llama2.c), rotary pairs interleaved, fp32."""
    theirs = to_huggingface(state, config)
    out = {"tok_embeddings.weight": theirs["model.embed_tokens.weight"], "norm.weight": theirs["model.norm.weight"]}
    for layer in range(config.n_layers):
        a, b = f"layers.{layer}.", f"model.layers.{layer}."
        out |= {
            a + "attention_norm.weight": theirs[b + "input_layernorm.weight"],
            a + "attention.wq.weight": interleave(theirs[b + "self_attn.q_proj.weight"], config.n_heads),
            a + "attention.wk.weight": interleave(theirs[b + "self_attn.k_proj.weight"], config.n_kv_heads),
            a + "attention.wv.weight": theirs[b + "self_attn.v_proj.weight"],
            a + "attention.wo.weight": theirs[b + "self_attn.o_proj.weight"],
            a + "ffn_norm.weight": theirs[b + "post_attention_layernorm.weight"],
            a + "feed_forward.w1.weight": theirs[b + "mlp.gate_proj.weight"],
            a + "feed_forward.w2.weight": theirs[b + "mlp.down_proj.weight"],
            a + "feed_forward.w3.weight": theirs[b + "mlp.up_proj.weight"],
        }
    if not config.tied:
        out["output.weight"] = theirs["lm_head.weight"]
    return {name: tensor.detach().float().contiguous() for name, tensor in out.items()}


def from_llama2c(tensors: StateDict, config: ModelConfig) -> StateDict:
    """Return our weights, made from llama2.c's."""
    out = {"model.embed_tokens.weight": tensors["tok_embeddings.weight"], "model.norm.weight": tensors["norm.weight"]}
    for layer in range(config.n_layers):
        a, b = f"layers.{layer}.", f"model.layers.{layer}."
        out |= {
            b + "input_layernorm.weight": tensors[a + "attention_norm.weight"],
            b + "self_attn.q_proj.weight": halve(tensors[a + "attention.wq.weight"], config.n_heads),
            b + "self_attn.k_proj.weight": halve(tensors[a + "attention.wk.weight"], config.n_kv_heads),
            b + "self_attn.v_proj.weight": tensors[a + "attention.wv.weight"],
            b + "self_attn.o_proj.weight": tensors[a + "attention.wo.weight"],
            b + "post_attention_layernorm.weight": tensors[a + "ffn_norm.weight"],
            b + "mlp.gate_proj.weight": tensors[a + "feed_forward.w1.weight"],
            b + "mlp.down_proj.weight": tensors[a + "feed_forward.w2.weight"],
            b + "mlp.up_proj.weight": tensors[a + "feed_forward.w3.weight"],
        }
    if not config.tied:
        out["lm_head.weight"] = tensors["output.weight"]
    return from_huggingface(out, config)


def llama2c_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that llama2.c's model of this configuration holds."""
    d, hidden, kv = config.dim, config.hidden_dim, config.n_kv_heads * config.head_dim
    out: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (config.vocab_size, d), "norm.weight": (d,)}
    for layer in range(config.n_layers):
        name = f"layers.{layer}."
        out |= {
            name + "attention_norm.weight": (d,), name + "ffn_norm.weight": (d,),
            name + "attention.wq.weight": (d, d), name + "attention.wk.weight": (kv, d),
            name + "attention.wv.weight": (kv, d), name + "attention.wo.weight": (d, d),
            name + "feed_forward.w1.weight": (hidden, d), name + "feed_forward.w2.weight": (d, hidden),
            name + "feed_forward.w3.weight": (hidden, d),
        }  # fmt: skip
    if not config.tied:
        out["output.weight"] = (config.vocab_size, d)
    return out

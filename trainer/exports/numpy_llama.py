"""A small Llama in numpy alone: one file to read, to run, or to port to another language.

    python numpy_llama.py model.npz $'Q: How are you?\nA:' --tokens 120 --temperature 0.8 --seed 1

Shapes: T new tokens, S all tokens so far, D dim, H heads, K key/value heads, G = H/K, h = D/H, L layers, V vocabulary.
model.npz holds config and pieces (JSON), scores (V,), and the weights, those of all layers stacked: tok_emb (V,D),
attn_norm (L,D), wq (L,D,D), wk and wv (L,K*h,D), wo (L,D,D), ffn_norm (L,D), w1 and w3 (L,hidden,D), w2 (L,D,hidden),
final_norm (D,) and, where the output is not the embedding, wcls (V,D). Rotary pairs are (2i, 2i + 1), as in llama2.c.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
BOS, EOS = 1, 2  # <s> stands before every text and behind every reply


def normed(x: Array, weight: Array, eps: float) -> Any:
    """Return x (...,D) divided by its root mean square and multiplied by weight (D,)."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(eps)) * weight


def softmax(x: Any) -> Any:
    """Return the probabilities of scores (...,S)."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Llama:
    """Weights, vocabulary and the keys and values of the tokens so far."""

    def __init__(self, config: Any, weights: dict[str, Array], pieces: list[str], scores: list[float]) -> None:
        self.config, self.weights, self.pieces, self.scores = config, weights, pieces, scores
        self.ids = {piece: index for index, piece in enumerate(pieces)}
        self.heads, self.kv_heads, self.context = config["n_heads"], config["n_kv_heads"], config["max_seq_len"]
        self.head_dim = config["dim"] // self.heads
        steps = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        angles = np.outer(np.arange(self.context, dtype=np.float32), 1 / np.float32(config["rope_theta"]) ** steps)
        self.cos, self.sin = np.cos(angles)[:, None], np.sin(angles)[:, None]  # (context, 1, h/2)
        self.reset()

    @classmethod
    def load(cls, path: str) -> Llama:
        """Read model.npz; nothing in it is run."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config, pieces = json.loads(str(arrays.pop("config"))), json.loads(str(arrays.pop("pieces")))
        return cls(config, arrays, pieces, arrays.pop("scores").tolist())

    def reset(self) -> None:
        """Forget all tokens."""
        shape = (self.config["n_layers"], self.kv_heads, self.context, self.head_dim)
        self.keys, self.values, self.length = np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0

    def rotate(self, x: Array, start: int, end: int) -> Array:
        """Turn the pairs (2i, 2i + 1) of x (T,heads,h) by their positions."""
        a, b, cos, sin = x[..., 0::2], x[..., 1::2], self.cos[start:end], self.sin[start:end]
        return np.stack((a * cos - b * sin, a * sin + b * cos), -1).reshape(x.shape)

    def forward(self, tokens: list[int]) -> Array:
        """Return the logits (T,V) after each new token; all are remembered. Raises SystemExit past the context."""
        start, end = self.length, self.length + len(tokens)
        if end > self.context:
            raise SystemExit(f"{end} tokens are too many: this model sees {self.context}")
        w, eps = self.weights, self.config["norm_eps"]
        mask = np.where(np.arange(end) > np.arange(start, end)[:, None], np.float32("-inf"), np.float32(0))  # (T,S)
        x = w["tok_emb"][tokens]  # (T,D)
        for layer in range(self.config["n_layers"]):
            inside = normed(x, w["attn_norm"][layer], eps)
            q, k, v = ((inside @ w[one][layer].T).reshape(len(x), -1, self.head_dim) for one in ("wq", "wk", "wv"))
            self.keys[layer, :, start:end] = self.rotate(k, start, end).swapaxes(0, 1)
            self.values[layer, :, start:end] = v.swapaxes(0, 1)
            x = x + self._attend(self.rotate(q, start, end), layer, mask) @ w["wo"][layer].T
            inside = normed(x, w["ffn_norm"][layer], eps)
            gate, up = inside @ w["w1"][layer].T, inside @ w["w3"][layer].T
            x = x + (gate * (1 + np.tanh(gate / 2)) / 2 * up) @ w["w2"][layer].T  # x(1+tanh(x/2))/2 = x sigmoid(x)
        self.length = end
        logits: Array = normed(x, w["final_norm"], eps) @ w.get("wcls", w["tok_emb"]).T
        return logits

    def _attend(self, q: Array, layer: int, mask: Array) -> Any:
        keys, values = (one[layer, :, None, : mask.shape[1]] for one in (self.keys, self.values))  # (K,1,S,h)
        grouped = q.reshape(len(q), self.kv_heads, -1, self.head_dim).transpose(1, 2, 0, 3)  # (K,G,T,h)
        scores = grouped @ keys.swapaxes(-1, -2) / np.float32(self.head_dim**0.5) + mask  # (K,G,T,S)
        return (softmax(scores) @ values).transpose(2, 0, 1, 3).reshape(len(q), -1)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without `<s>`: characters, joined pair by pair, the best-scored piece first."""
        ids: list[int] = []
        for char in "▁" + text.replace(" ", "▁") if text else "":
            names = [char] if char in self.ids else [f"<0x{byte:02X}>" for byte in char.encode()]
            ids += [self.ids.get(name, 0) for name in names]
        while True:
            pairs = (self.ids.get(self.pieces[a] + self.pieces[b]) for a, b in pairwise(ids))
            found = [(self.scores[piece], -at, piece) for at, piece in enumerate(pairs) if piece is not None]
            if not found:
                return ids
            _, at, piece = max(found)
            ids[-at : -at + 2] = [piece]

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids as it stands after other text: with the blank that begins it."""
        raw = b""
        for piece in (self.pieces[one] for one in ids if one > EOS):
            is_byte = piece[:3] == "<0x" and piece[5:] == ">"
            raw += bytes([int(piece[3:5], 16)]) if is_byte else piece.replace("▁", " ").encode()
        return raw.decode(errors="replace")

    def reply(self, prompt: str, tokens: int, temperature: float = 0.0, seed: int = 0) -> str:
        """Return what follows a prompt: up to an end mark, a stop text, a number of tokens or the context's end."""
        self.reset()
        random, new, out = np.random.default_rng(seed), [BOS, *self.encode(prompt)], list[int]()
        while len(out) < tokens and self.length < self.context:
            logits = self.forward(new)[-1]
            odds = softmax(logits.astype(np.float64) / temperature) if temperature else None
            new = [int(logits.argmax()) if odds is None else int(random.choice(len(odds), p=odds))]
            if new[0] in (BOS, EOS):
                break
            out += new
            text = self.decode(out)
            for stop in self.config.get("stops", []):
                if stop in text:
                    return text.partition(stop)[0]
        return self.decode(out)


def main() -> None:
    """Write the prompt and its continuation to stdout."""
    parser = argparse.ArgumentParser(description="Run a small Llama with numpy alone.")
    parser.add_argument("model", help="model.npz")
    parser.add_argument("prompt", help=r"text to go on with, in the model's own template: $'Q: How are you?\nA:'")
    parser.add_argument("--tokens", type=int, default=120, help="tokens at most (default: 120)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest token (default)")
    parser.add_argument("--seed", type=int, default=0, help="decides what is drawn (default: 0)")
    given = parser.parse_args()
    reply = Llama.load(given.model).reply(given.prompt, given.tokens, given.temperature, given.seed)
    sys.stdout.buffer.write(f"{given.prompt}{reply}\n".encode())


if __name__ == "__main__":
    main()

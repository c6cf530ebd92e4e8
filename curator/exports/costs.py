"""What a fine-tune costs in memory and time: an estimate from the base model's size, and shown as one.

Weights, gradients and optimizer states are counted exactly by their bytes; activations and time follow from shapes that
are usual for models of the size. A base model whose config.json lies at hand is counted by its own shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from curator.contract.errors import counted
from curator.contract.files import read_bytes

# (parameters in billions, width, layers): the usual shapes, by which a size known by its name alone is completed.
_SHAPES = (
    (0.5, 896, 24), (1.0, 2048, 16), (1.7, 2048, 28), (3.0, 3072, 28), (4.0, 2560, 36), (8.0, 4096, 32),
    (14.0, 5120, 40), (32.0, 5120, 64), (70.0, 8192, 80), (235.0, 4096, 94), (405.0, 16384, 126),
)  # fmt: skip
# Names that do not say their size.
_NAMED = {"phi-4-mini": 3.8, "phi-4": 14.7, "phi4-mini": 3.8, "phi4": 14.7, "phi-3-mini": 3.8, "phi-3.5-mini": 3.8,
          "phi3:mini": 3.8, "phi-3-medium": 14.0, "phi3:medium": 14.0, "phi-3-small": 7.4}  # fmt: skip
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)\s*([bm])(?![a-z0-9])", re.IGNORECASE)
_OPTIMIZER = {"adamw": 8, "adamw_8bit": 2, "adafactor": 0.1}  # bytes of state for each trained parameter
GB = 1e9
_FLOPS = 312e12 * 0.35  # a third of what an A100 can do in bf16
_SECONDS = 0.15  # forward and back of one row at least: short rows leave a GPU waiting


@dataclass(frozen=True)
class ModelSize:
    """A model's shape: parameters, width, layers and vocabulary; `exact` where its config.json was read."""

    parameters: float
    width: int
    layers: int
    vocabulary: int
    exact: bool = False


def model_size(base_model: str, family: str) -> ModelSize | None:
    """Return a base model's size from its folder's config.json, else from its name; None where neither says it."""
    folder = Path(base_model)
    if (folder / "config.json").is_file() and (size := _from_config(folder / "config.json")):
        return size
    name = base_model.lower()
    billions = next((size for part, size in _NAMED.items() if part in name), None)
    if billions is None and (sizes := _SIZE.findall(name)):
        times, number, unit = sizes[0]
        billions = float(number) * (int(times) * 0.84 if times else 1) / (1 if unit == "b" else 1000)
    if not billions:
        return None
    _, width, layers = min(_SHAPES, key=lambda shape: abs(shape[0] - billions))
    vocabulary = {"llama2": 32_000, "mistral": 32_768, "phi3": 32_064, "gemma": 256_000, "gptj": 50_400}
    return ModelSize(billions * 1e9, width, layers, vocabulary.get(family, 150_000))


def _from_config(path: Path) -> ModelSize | None:
    try:
        data = msgspec.json.decode(read_bytes(path))
        data = data.get("text_config") or data
        width, layers = int(data["hidden_size"]), int(data["num_hidden_layers"])
        vocabulary, inner = int(data["vocab_size"]), int(data["intermediate_size"])
        heads = int(data["num_attention_heads"])
        head = int(data.get("head_dim") or width // heads)
        shared = int(data.get("num_key_value_heads") or heads)
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
    layer = width * head * (2 * heads + 2 * shared) + 3 * width * inner
    tables = vocabulary * width * (1 if data.get("tie_word_embeddings") else 2)
    return ModelSize(layers * layer + tables, width, layers, vocabulary, True)


def lora_parameters(size: ModelSize, rank: int) -> float:
    """Return how many parameters LoRA adds on all linear layers: rank x (inputs + outputs), about 20 widths a layer."""
    return 20.0 * rank * size.width * size.layers


def cost_lines(size: ModelSize | None, method: str, keys: Mapping[str, Any], tokens: int, rows: int) -> tuple[str, ...]:
    """Return what a training costs, in words. `tokens` and `rows` are those of the training split."""
    if size is None:
        return ("Memory and time: not known, since the base model's name does not tell its size.",)
    epochs = keys["num_train_epochs"]
    longest = min(keys["max_seq_length"], 2048)
    row = keys["per_device_train_batch_size"] * longest
    activations = row * size.width * (2 * size.layers + 40) + 10.0 * row * size.vocabulary
    trained = lora_parameters(size, keys["lora_rank"]) if method == "lora" else size.parameters
    state = _OPTIMIZER[keys["optim"]]
    if method == "lora":
        weights = size.parameters * (0.6 if keys["load_in_4bit"] else 2) + trained * (8 + state)
        memory = f"about {(weights + activations) / GB:,.0f} GB: {_weights_words(keys)}, {trained / 1e6:,.0f} M trained"
    else:
        exact, small = size.parameters * (8 + state), size.parameters * (4 + state / 2)
        memory = (
            f"about {(exact + activations) / GB:,.0f} GB with the weights kept in 32 bits, "
            f"{(small + activations) / GB:,.0f} GB in 16 (then small steps are lost to rounding)"
        )
    work = (6 if method == "lora" else 8) * size.parameters * tokens * epochs
    seconds = max(work / _FLOPS, _SECONDS * rows * epochs)
    return (
        f"GPU memory: {memory}; {activations / GB:,.0f} GB of it for a row of {counted(longest, 'token')}.",
        f"Time: about {_duration(seconds)} of an A100's work, for {counted(round(tokens * epochs), 'token')} in "
        f"{counted(round(rows * epochs), 'row')}.",
        f"This is an estimate for a model of {size.parameters / 1e9:,.1f} billion parameters"
        + (
            "." if size.exact else ": its name says that size, and its shape is taken to be that of others of the size."
        ),
    )


def _weights_words(keys: Mapping[str, Any]) -> str:
    return "the base's weights in 4 bits" if keys["load_in_4bit"] else "the base's weights in 16 bits"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return counted(round(seconds), "second")
    return counted(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:,.1f} hours"

"""Read an export folder as torchtune itself does, and print what it would train on.

    python read_torchtune.py FOLDER TOKENIZER [FOLDER TOKENIZER ...]
    python read_torchtune.py --models < PUBLISHED

Run by an interpreter that has torchtune (torchtune.txt says how to make one). Its own code does all the work:
recipe.yaml is read as `tune run` reads it (config/_parse.py), and its tokenizer and dataset are made by
config.instantiate, which finds persona_torchtune.py in FOLDER; datasets/_sft.py (SFTDataset) makes tokens and labels,
data/_collate.py a batch. Every other component that recipe.yaml names is looked up, and its arguments are held against
its signature.

Only the base model is another: the tokenizer is that of the folder TOKENIZER. No model is loaded and nothing trained.

Prints a JSON line {"folder", "split", "input_ids", "labels"} for each row, in the file's order; exits 1 where rows were
lost. The validation split is read the same way, though torchtune itself has no use for it.

With --models it compares torchtune's builders with transformers instead. PUBLISHED is JSON: for each builder the type
of its weights, and those keys of the published config.json that are no sizes. A tiny model of random weights is made
with each, once by transformers, once with all that the builder says but the sizes, and its weights read by torchtune's
checkpointer. Prints a JSON object: for each builder, plain and with LoRA, the greatest difference of the logits as a
share of their spread.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

SPLITS = {"train": "train.jsonl", "validation": "validation.jsonl"}
# What the recipes hand to a component besides recipe.yaml's own arguments, in recipes/*_single_device.py.
GIVEN: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "model": ((), {}),
    "tokenizer": ((), {}),
    "checkpointer": ((), {"should_load_recipe_state": False}),
    "dataset": (("tokenizer",), {}),
    "optimizer": (("parameters",), {}),
    "lr_scheduler": (("optimizer",), {"num_training_steps": 1, "last_epoch": -1}),
    "loss": ((), {}),
    "metric_logger": ((), {}),
}


def main() -> None:
    if sys.argv[1:] == ["--models"]:
        with contextlib.redirect_stdout(sys.stderr):
            found = {
                name: [difference(name, lora, *published) for lora in (False, True)]
                for name, published in json.load(sys.stdin).items()
            }
        print(json.dumps(found))
        return
    paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    lost = False
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": scratch, "TOKENIZERS_PARALLELISM": "false"}
        for folder, tokenizer in zip(paths[::2], paths[1::2], strict=True):
            with contextlib.redirect_stdout(sys.stderr), working_in(folder):
                splits = read(tokenizer)
            for split, rows in splits.items():
                for row in rows:
                    print(json.dumps({"folder": str(folder), "split": split, **row}))
                path = folder / SPLITS[split]
                given = path.read_bytes().count(b"\n") if path.is_file() else 0
                if given != len(rows):
                    print(f"{path}: {given} rows in, {len(rows)} rows out", file=sys.stderr)
                    lost = True
    sys.exit(int(lost))


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder as a command does that is run there, and forget its persona_torchtune.py afterwards."""
    os.chdir(folder)
    try:
        yield
    finally:
        sys.modules.pop("persona_torchtune", None)
        sys.path[:] = [path for path in sys.path if path != str(folder)]


def read(tokenizer: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of both splits as torchtune's trainer gets them."""
    from omegaconf import OmegaConf
    from torchtune import config
    from torchtune.data import padded_collate_sft

    recipe = OmegaConf.load("recipe.yaml")
    recipe.tokenizer.path = str(tokenizer)
    made = config.instantiate(recipe.tokenizer)
    for name, (positional, named) in GIVEN.items():
        fits(recipe[name], positional, named)
    found: dict[str, list[dict[str, Any]]] = {}
    for split, name in SPLITS.items():
        recipe.dataset.data_files = name
        rows = [] if not Path(name).is_file() else list(config.instantiate(recipe.dataset, made))
        found[split] = []
        for row in rows:
            batch = padded_collate_sft([row], padding_idx=made.pad_id, ignore_idx=-100)
            found[split].append({"input_ids": batch["tokens"][0].tolist(), "labels": batch["labels"][0].tolist()})
    return found


def fits(part: Any, positional: tuple[str, ...], named: dict[str, Any]) -> None:
    """Look a component up and hold its arguments against its signature. bitsandbytes may be missing: it needs a GPU."""
    from torchtune.config._utils import _get_component_from_path

    arguments = {str(name): value for name, value in part.items() if name != "_component_"}
    if part["_component_"].startswith("bitsandbytes."):
        return
    inspect.signature(_get_component_from_path(part["_component_"])).bind(*positional, **arguments, **named)


SIZES = {"vocab_size": 97, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "embed_dim": 64,
         "intermediate_dim": 96, "head_dim": 32, "max_seq_len": 4096}  # fmt: skip


def difference(builder: str, lora: bool, model_type: str, published: dict[str, Any]) -> float:
    """Return how far a tiny model by torchtune's builder is from one by transformers, both with the same weights."""
    import torch
    from torchtune.training import FullModelHFCheckpointer
    from transformers import AutoConfig, AutoModelForCausalLM

    package, name = builder.split(".")
    function = getattr(importlib.import_module(f"torchtune.models.{package}"), ("lora_" if lora else "") + name)
    options: dict[str, Any] = {"lora_attn_modules": ["q_proj"], "apply_lora_to_mlp": True} if lora else {}
    component, given = built(function, options)
    smaller = {key: size for key, size in SIZES.items() if key in given or key == "intermediate_dim"}
    if given["num_kv_heads"] in (given["num_heads"], 1):
        smaller["num_kv_heads"] = 4 if given["num_kv_heads"] > 1 else 1
    ours = component(**given | smaller).eval()
    shape = AutoConfig.for_model(
        vocab_size=97, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96,
        num_key_value_heads=smaller["num_kv_heads"], max_position_embeddings=4096, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, **({"head_dim": 32} if "head_dim" in given else {}), **published,
    )  # fmt: skip
    torch.manual_seed(1)
    theirs = AutoModelForCausalLM.from_config(shape, attn_implementation="eager").float().eval()
    for weights in theirs.parameters():
        torch.nn.init.normal_(weights, 0, 0.15)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as output:
        theirs.save_pretrained(folder)
        reader = FullModelHFCheckpointer(folder, ["model.safetensors"], model_type, output)
        missing, unexpected = ours.load_state_dict(reader.load_checkpoint()["model"], strict=False)
    assert not unexpected and all("lora" in name for name in missing), (missing, unexpected)
    tokens = torch.randint(3, 97, (1, 600))
    with torch.no_grad():
        wanted, found = theirs(tokens).logits, ours(tokens)
    return float((wanted - found).abs().max() / wanted.std())


def built(function: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what a builder would call with which arguments: it is called, with all it calls put aside."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def aside(component: Any) -> Any:
        return lambda **given: calls.append((component, given))

    names = function.__globals__
    kept = {name: names[name] for name in function.__code__.co_names if isinstance(names.get(name), FunctionType)}
    names.update({name: aside(component) for name, component in kept.items()})
    try:
        function(**options)
    finally:
        names.update(kept)
    ((component, given),) = calls
    return built(component, given) if component.__module__.endswith("_model_builders") else (component, given)


if __name__ == "__main__":
    main()

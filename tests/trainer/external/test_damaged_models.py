"""Folders of models trained elsewhere whose files hold what no tool writes: a Modelfile, or one clear error."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from json_fixtures import FEW, damaged, variants
from safetensors.numpy import save_file

from curator.contract.errors import CuratorError
from trainer.external.modelfile import ModelfileRequest, export_external

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 4096, "rope_theta": 1e4,
    "quantization_config": {"quant_method": "none"}, "text_config": {"max_position_embeddings": 4096},
    "rope_parameters": {"rope_type": "default"}, "_name_or_path": "Qwen/Qwen3-4B",
}  # fmt: skip
TOKENIZER = {"chat_template": [{"name": "default", "template": "{{ x }}"}], "bos_token": {"content": "<s>"},
             "eos_token": "</s>"}  # fmt: skip
GENERATION = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1}
ADAPTER = {
    "peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "Qwen/Qwen3-4B", "use_dora": False,
    "use_rslora": False, "alpha_pattern": {}, "rank_pattern": {}, "target_modules": ["q_proj"], "modules_to_save": None,
}  # fmt: skip
INDEX = {"metadata": {}, "weight_map": {"model.norm.weight": "model.safetensors"}}
LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
# More than a program would write, and numbers that only Python's own json reads.
ODD = FEW | {"infinity": "Infinity", "nan": "NaN", "surrogate": '"\\ud800"', "beyond": "1" + "0" * 400}


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """A folder of merged weights."""
    folder = tmp_path / "merged"
    folder.mkdir()
    for name, value in {
        "config.json": CONFIG, "tokenizer_config.json": TOKENIZER, "generation_config.json": GENERATION,
        "model.safetensors.index.json": INDEX, "tokenizer.json": {},
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(value))
    save_file({"model.norm.weight": np.ones(4, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A PEFT adapter's folder."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    tensors = {f"{LORA}A.weight": np.ones((8, 4), np.float32), f"{LORA}B.weight": np.ones((4, 8), np.float32)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def exported(source: Path, way: str, base: str | None = None) -> bool:
    """Whether a Modelfile was made; else there was one error, and nothing is left behind."""
    out = source.parent / "out"
    try:
        export_external(source, out, ModelfileRequest(family="qwen", base=base), None)
    except CuratorError as error:
        assert len(str(error)) < 1_500 and not out.exists(), (way, error)
        return False
    shutil.rmtree(out)
    return True


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "generation_config.json", "model.safetensors.index.json"]
)
def test_any_value_in_a_file_of_merged_weights(merged: Path, name: str) -> None:
    raw = (merged / name).read_bytes()
    for way, text in (*damaged(raw), *((way, text.encode()) for way, text in variants(json.loads(raw), ODD))):
        (merged / name).write_bytes(text)
        exported(merged, way)
    (merged / name).write_bytes(raw)
    assert exported(merged, "as it was")


def test_any_value_in_the_configuration_of_an_adapter(adapter: Path) -> None:
    raw = (adapter / "adapter_config.json").read_bytes()
    for way, text in (*damaged(raw), *((way, text.encode()) for way, text in variants(ADAPTER, ODD))):
        (adapter / "adapter_config.json").write_bytes(text)
        exported(adapter, way, base="qwen3:4b")
    (adapter / "adapter_config.json").write_bytes(raw)
    assert exported(adapter, "as it was", base="qwen3:4b")


def test_any_value_in_the_header_of_the_weights(merged: Path) -> None:
    path = merged / "model.safetensors"
    raw = path.read_bytes()
    length = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + length])
    for way, text in variants(header, ODD):
        path.write_bytes(struct.pack("<Q", len(text.encode())) + text.encode() + raw[8 + length :])
        exported(merged, way)

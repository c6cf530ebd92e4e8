"""Checkpoints that are missing, foreign, torn or tampered with: refused with one clear error, and left as they are."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from export_fixtures import TIED, tiny_checkpoint, tree

from curator.contract.errors import UsageError
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.model.tokenizer import train_tokenizer

Change = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a good checkpoint."""
    torch.set_num_threads(1)
    return tiny_checkpoint(tmp_path / "it").folder


def refused(folder: Path, message: str) -> None:
    before = tree(folder.parent)
    start = time.perf_counter()
    with pytest.raises(UsageError, match=message) as caught:
        load_checkpoint(folder)
    assert time.perf_counter() - start < 5
    assert caught.value.status == 2
    assert caught.value.next_step or str(folder) in caught.value.what
    assert len(str(caught.value).splitlines()) <= 3
    assert tree(folder.parent) == before


def sign(folder: Path, *names: str) -> None:
    """Write the present sha256 of files into trainer.json, as somebody would who hides what he changed."""
    record = json.loads((folder / "trainer.json").read_text("utf-8"))
    for name in names or record["sha256"]:
        record["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "trainer.json").write_text(json.dumps(record))


def tensors_changed(folder: Path, **changes: torch.Tensor | None) -> None:
    """Write other tensors, signed; None takes one away."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path) | {name.replace("__", "."): one for name, one in changes.items()}
    safetensors.torch.save_file({name: one for name, one in tensors.items() if one is not None}, path, {"format": "pt"})
    sign(folder)


def json_changed(path: Path, **changes: Any) -> None:
    """Write other values, signed; None takes one away."""
    values = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({name: one for name, one in values.items() if one is not None}))
    if path.name != "trainer.json":
        sign(path.parent)


def header_changed(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = struct.unpack_from("<Q", raw)[0]
    header = change(raw[8 : 8 + length].decode()).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])
    sign(folder)


def test_a_good_checkpoint_loads(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.config == TIED


# --- missing and foreign -------------------------------------------------------------------------------------------


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    refused(tmp_path / "none", "there is no such checkpoint")
    (tmp_path / "model.bin").write_bytes(b"x")
    refused(tmp_path / "model.bin", "is a file, no checkpoint\n.*trainer import .*model.bin --out DIR")
    (tmp_path / "photos").mkdir()
    refused(tmp_path / "photos", "is no checkpoint: it has no trainer.json")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text("{}")
    refused(tmp_path / "hf", "has no trainer.json\n.*trainer import .*hf --out DIR")
    (tmp_path / "run" / "training").mkdir(parents=True)
    refused(tmp_path / "run", "its training has not ended\n.*trainer resume")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.model", "tokenizer.json"])
def test_a_file_is_missing_empty_or_cut_off(folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: len(raw) // 2])
    refused(folder, f"{name} is (no JSON|not the file that trainer.json describes)")
    (folder / name).write_bytes(b"")
    refused(folder, f"{name} is (no JSON|not the file that trainer.json describes)")
    (folder / name).unlink()
    refused(folder, f"{name}( is missing|: No such file)")


# --- trainer.json --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "message"), [
    ("", "trainer.json is no JSON"), ("{", "trainer.json is no JSON"), ("[]", "no record of a checkpoint"),
    ("[" * 100_000, "trainer.json is no JSON"), ("null", "no record of a checkpoint"),
    ('{"format": "something-else"}', "no record of a checkpoint"), ("\xff\xfe", "trainer.json is no JSON"),
])  # fmt: skip
def test_a_malformed_record(folder: Path, text: str, message: str) -> None:
    (folder / "trainer.json").write_bytes(text.encode("latin-1"))
    refused(folder, message)


@pytest.mark.parametrize(("changes", "message"), [
    ({"version": 2}, "checkpoint version 2; this trainer reads version 1\n.*a newer one"),
    ({"version": "1"}, "checkpoint version '1'"), ({"version": None}, "checkpoint version None"),
    ({"steps": "many"}, "trainer.json: steps: "), ({"surprise": 1}, "trainer.json: surprise: "),
    ({"made_by": "magic"}, "trainer.json: made_by: "), ({"template": {"prompt": "Q:"}}, "trainer.json: template: .*in"),
    ({"sha256": {}}, "names no model.safetensors"), ({"sha256": {"../../x": "00"}}, "x is missing"),
])  # fmt: skip
def test_a_record_with_wrong_values(folder: Path, changes: dict[str, Any], message: str) -> None:
    json_changed(folder / "trainer.json", **changes)
    refused(folder, message)


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 20, 900, -1])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model", "config.json", "tokenizer_config.json"])
def test_a_flipped_byte(folder: Path, name: str, at: int) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[min(at, len(raw) - 1)] ^= 1
    (folder / name).write_bytes(raw)
    refused(folder, f"{name} is (no JSON|not the file that trainer.json describes)|{name}: ")


@pytest.mark.parametrize(("changes", "message"), [
    ({"model__norm__weight": torch.ones(47)}, r"model.norm.weight has the shape \(47,\); .* says \(48,\)"),
    ({"model__norm__weight": torch.ones(1, 48)}, r"has the shape \(1, 48\)"),
    ({"model__norm__weight": None}, "the tensor model.norm.weight is missing"),
    ({"model__extra__weight": torch.ones(3)}, "model.extra.weight .* is no tensor of this configuration"),
    ({"model__norm__weight": torch.full((48,), torch.nan)}, "model.norm.weight holds NaN or infinity"),
    ({"model__norm__weight": torch.full((48,), -torch.inf)}, "model.norm.weight holds NaN or infinity"),
])  # fmt: skip
def test_tampered_weights_with_a_right_sha256(folder: Path, changes: dict[str, Any], message: str) -> None:
    tensors_changed(folder, **changes)
    refused(folder, message)


def test_a_tensor_twice(folder: Path) -> None:
    def double(header: str) -> str:
        values = json.loads(header)
        return header.rstrip()[:-1] + f',"model.norm.weight":{json.dumps(values["model.norm.weight"])}}}'

    header_changed(folder, double)
    refused(folder, "is no safetensors file: the key 'model.norm.weight' stands twice in one object")


def test_a_header_that_lies_about_the_data(folder: Path) -> None:
    header_changed(folder, lambda text: text.replace('"data_offsets":[0,', '"data_offsets":[8,', 1))
    refused(folder, "model.safetensors is damaged")


@pytest.mark.parametrize("data", [
    pickle.dumps({"model": 1}), struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 5) + b"[1,2]" + bytes(99),
    struct.pack("<Q", 100_000) + b"[" * 100_000, b"\0" * 7, b"",
])  # fmt: skip
def test_weights_that_are_something_else(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    sign(folder)
    refused(folder, "model.safetensors is no safetensors file")


def test_a_pickle_as_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "it-ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(trap), "w")

    torch.save({"model.norm.weight": Payload()}, folder / "model.safetensors")
    sign(folder)
    refused(folder, "model.safetensors is no safetensors file")
    assert not trap.exists()


# --- config.json and the tokenizer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_hidden_layers": 10**9}, "n_layers is 1000000000; expected 1 to 256"),
    ({"vocab_size": 10**9}, "vocab_size is 1000000000"), ({"hidden_size": 10**12}, "dim is 1000000000000"),
    ({"num_hidden_layers": 256, "hidden_size": 16384, "intermediate_size": 65536}, "parameters; expected 4,000,"),
    ({"num_hidden_layers": 256}, "the tensor model.layers.2.input_layernorm.weight is missing"),
    ({"hidden_size": -48}, "dim is -48"), ({"hidden_size": 48.0}, "dim is 48.0"), ({"hidden_size": True}, "is True"),
    ({"hidden_size": None}, "'hidden_size' is missing"), ({"rms_norm_eps": "small"}, "norm_eps is 'small'"),
    ({"num_attention_heads": 0}, "n_heads is 0"), ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
    ({"max_position_embeddings": 10**9}, "max_seq_len is 1000000000"),
])  # fmt: skip
def test_a_configuration_is_refused_before_anything_is_allocated(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    json_changed(folder / "config.json", **changes)
    refused(folder, message)


def test_another_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(train_tokenizer(["the sea was grey and the boats came in"] * 9, 290))
    refused(folder, "tokenizer.model is not the file that trainer.json describes")
    sign(folder)
    refused(folder, "the model has 384 ids, its tokenizer 290\n.*--tokenizer FILE")
    (folder / "tokenizer.model").write_bytes(b"no model")
    sign(folder)
    refused(folder, "tokenizer.model is no SentencePiece model")

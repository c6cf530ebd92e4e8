"""Import: what llama2.c and Hugging Face wrote comes in unchanged; all else is one clear error, and is not run."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import sentencepiece
import torch
from core_fixtures import trainer
from export_fixtures import (
    TIED,
    UNTIED,
    disk_of,
    llama2c_checkpoint,
    llama2c_tensors,
    read_run_c,
    run_c_file,
    run_c_logits,
    tiny_checkpoint,
    tiny_tokenizer,
    tree,
)

from curator.contract.errors import CuratorError, HostError, UsageError
from trainer.exports import export
from trainer.importing import import_checkpoint
from trainer.model.checkpoint import load_checkpoint, sha256_of
from trainer.model.llama import ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import train_tokenizer
from trainer.names import TARGETS
from trainer.training import speed

IDS = [1, 300, 270, 13, 84, 261, 350, 7, 299, 320, 1, 260]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the tokenizer.model that goes with the tiny models."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(tiny_tokenizer().model)
    return folder


def logits(folder: Path) -> np.ndarray:
    with torch.inference_mode():
        return load_checkpoint(folder).model().logits(torch.tensor([IDS]))[0].numpy()


# --- llama2.c ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "_orig_mod.module."])
def test_ckpt_pt_becomes_the_file_that_run_c_reads(
    source: Path, tmp_path: Path, config: ModelConfig, prefix: str
) -> None:
    torch.save(llama2c_checkpoint(config, prefix), source / "ckpt.pt")
    said: list[str] = []
    assert import_checkpoint(source / "ckpt.pt", tmp_path / "out", log=said.append) == tmp_path / "out"
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.config == config
    assert checkpoint.record.made_by == "import"
    assert checkpoint.record.template == Template()
    assert checkpoint.record.notes == [
        f"imported from ckpt.pt (llama2.c's ckpt.pt); sha256 of ckpt.pt: {sha256_of(source / 'ckpt.pt')}"
    ]
    size = f"{config.parameters():,} parameters, 384 ids, 96 tokens of context"
    assert said == [f"llama2.c's ckpt.pt: {size}; tokenizer: {source / 'tokenizer.model'}"]
    expected = run_c_file(config, llama2c_tensors(config))
    export(checkpoint, "bin", tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == expected
    assert np.abs(run_c_logits(*read_run_c(expected), IDS) - logits(tmp_path / "out")).max() < 1e-4


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("target", "changes"), [("bin", {}), ("npz", {"norm_eps": 1e-6, "rope_theta": 50_000.0})], ids=["bin", "npz"]
)
def test_an_export_comes_back_as_it_left(
    source: Path, tmp_path: Path, config: ModelConfig, target: str, changes: dict[str, float]
) -> None:
    config = replace(config, **changes)  # run.c's file has no place for these two numbers
    checkpoint = tiny_checkpoint(tmp_path / "native", config)
    export(checkpoint, target, source / f"model.{target}")
    import_checkpoint(source / f"model.{target}", tmp_path / "out")
    again = load_checkpoint(tmp_path / "out")
    assert again.config == config
    assert all(torch.equal(again.state[name], one) for name, one in checkpoint.state.items())
    assert np.abs(logits(tmp_path / "out") - logits(tmp_path / "native")).max() < 1e-6


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
def test_version_1_is_read_too(source: Path, tmp_path: Path, config: ModelConfig) -> None:
    tensors = llama2c_tensors(config)
    layers = range(config.n_layers)
    names = [f"layers.{layer}.{name}.weight" for name in ("attention_norm", "ffn_norm") for layer in layers]
    names += ["norm.weight", "tok_embeddings.weight"]
    names += [f"layers.{layer}.attention.{name}.weight" for name in ("wq", "wk", "wv", "wo") for layer in layers]
    names += [f"layers.{layer}.feed_forward.{name}.weight" for name in ("w1", "w2", "w3") for layer in layers]
    names += [] if config.tied else ["output.weight"]
    start = struct.pack("<Ii7iB", 0x616B3432, 1, config.dim, config.hidden_dim, config.n_layers, config.n_heads,
                        config.n_kv_heads, config.vocab_size, config.max_seq_len, config.tied)  # fmt: skip
    data = start.ljust(256, b"\0") + b"".join(tensors[name].numpy().tobytes() for name in names)
    (source / "any name").write_bytes(data)
    import_checkpoint(source / "any name", tmp_path / "out")
    expected = run_c_logits(*read_run_c(run_c_file(config, tensors)), IDS)
    assert np.abs(logits(tmp_path / "out") - expected).max() < 1e-4


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
def test_an_npz_by_llama2c_names_is_read(
    source: Path, tmp_path: Path, config: ModelConfig, save: Callable[..., None]
) -> None:
    arrays = {name: one.numpy() for name, one in llama2c_tensors(config).items()}
    text = np.array([json.dumps(llama2c_checkpoint(config)["model_args"])])
    save(source / "model.npz", config=text, allow_pickle=False, **arrays)
    import_checkpoint(source / "model.npz", tmp_path / "out")
    expected = run_c_logits(*read_run_c(run_c_file(config, llama2c_tensors(config))), IDS)
    assert np.abs(logits(tmp_path / "out") - expected).max() < 1e-4


def npz_of(source: Path, **arrays: Any) -> Path:
    np.savez(source / "model.npz", allow_pickle=True, **arrays)
    return source / "model.npz"


def test_an_npz_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    size = json.dumps(llama2c_checkpoint(TIED)["model_args"])
    refused(npz_of(source, w=np.zeros(3, np.float32)), tmp_path, "has no config")
    refused(npz_of(source, config=np.array("[1]")), tmp_path, "has no config")
    refused(npz_of(source, config=np.array("{}")), tmp_path, "has no dim")
    refused(npz_of(source, config=np.array(size)), tmp_path, "too small for 37,392 parameters")
    whole = {name: one.numpy() for name, one in llama2c_tensors(TIED).items()}
    less = {name: one for name, one in whole.items() if name != "norm.weight"}
    refused(npz_of(source, config=np.array(size), **less), tmp_path, "norm.weight is missing")
    short = whole | {"norm.weight": whole["norm.weight"][:1]}
    refused(npz_of(source, config=np.array(size), **short), tmp_path, "has the shape")
    packed = source / "bomb.npz"
    np.savez_compressed(packed, w=np.zeros(1 << 24, np.float32))
    refused(packed, tmp_path, "unpacks to far more")


def test_an_npy_that_claims_more_than_it_holds_is_refused(source: Path, tmp_path: Path) -> None:
    path = npz_of(source, w=np.zeros((3, 3), np.float32))
    raw = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(path, "w") as new:
        new.writestr("w.npy", old.read("w.npy").replace(b"(3, 3), }", b"(9, 9), }"))
    refused(path, tmp_path, "claims more than it holds")
    path.write_bytes(raw[: len(raw) // 2])
    refused(path, tmp_path, "is damaged|is a zip file")


def test_a_name_says_nothing(source: Path, tmp_path: Path) -> None:
    torch.save(llama2c_checkpoint(TIED), source / "model.bin")
    (source / "ckpt.pt").write_bytes(run_c_file(TIED, llama2c_tensors(TIED)))
    import_checkpoint(source / "model.bin", tmp_path / "a")
    import_checkpoint(source / "ckpt.pt", tmp_path / "b")
    assert tree(tmp_path / "a")["model.safetensors"] == tree(tmp_path / "b")["model.safetensors"]


def test_a_name_that_is_no_utf_8_is_no_hindrance(source: Path, tmp_path: Path) -> None:
    path = source / b"ann\xff.bin".decode(errors="surrogateescape")
    path.write_bytes(run_c_file(TIED, llama2c_tensors(TIED)))
    import_checkpoint(path, tmp_path / "out")
    assert load_checkpoint(tmp_path / "out").record.notes[0].startswith("imported from ann?.bin (")


@pytest.mark.parametrize("change", [
    pytest.param({"n_kv_heads": None}, id="n_kv_heads is None"),
    pytest.param({"hidden_dim": 128}, id="hidden_dim is told"),
    pytest.param({"multiple_of": 256}, id="multiple_of would say something else"),
    pytest.param({"norm_eps": 1e-5}, id="norm_eps is told"),
])  # fmt: skip
def test_what_model_args_leave_out_or_add(source: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    made = llama2c_checkpoint(TIED)
    made["model_args"] |= change
    made["model"] |= {"freqs_cos": torch.zeros(96, 6), "freqs_sin": torch.zeros(96, 6)}
    torch.save(made, source / "ckpt.pt")
    import_checkpoint(source / "ckpt.pt", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out").config == TIED


def test_half_precision_becomes_single(source: Path, tmp_path: Path) -> None:
    made = llama2c_checkpoint(TIED)
    made["model"] = {name: one.bfloat16() for name, one in made["model"].items()}
    torch.save(made, source / "ckpt.pt")
    import_checkpoint(source / "ckpt.pt", tmp_path / "out")
    state = load_checkpoint(tmp_path / "out").state
    assert torch.equal(state["embedding.weight"], made["model"]["tok_embeddings.weight"].float())


def test_the_format_of_torch_before_2020(source: Path, tmp_path: Path) -> None:
    torch.save(llama2c_checkpoint(TIED), source / "ckpt.pt", _use_new_zipfile_serialization=False)
    import_checkpoint(source / "ckpt.pt", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out").config == TIED


# --- Hugging Face --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_a_hugging_face_folder_comes_back(tmp_path: Path, config: ModelConfig, dtype: str) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "native", config)
    export(checkpoint, "hf", tmp_path / "hf", dtype=dtype)
    import_checkpoint(tmp_path / "hf", tmp_path / "out")
    again = load_checkpoint(tmp_path / "out")
    assert again.config == config
    kept = {name: one.bfloat16().float() if dtype == "bf16" else one for name, one in checkpoint.state.items()}
    assert all(torch.equal(again.state[name], one) for name, one in kept.items())


def split(folder: Path) -> dict[str, Any]:
    """Put the weights of a folder into two files, as transformers does with large ones; return the index."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in tensors}
    for file in sorted(set(places.values())):
        safetensors.torch.save_file({name: one for name, one in tensors.items() if places[name] == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def test_weights_in_several_files(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "native", UNTIED)
    export(checkpoint, "hf", tmp_path / "hf")
    split(tmp_path / "hf")
    import_checkpoint(tmp_path / "hf", tmp_path / "out")
    again = load_checkpoint(tmp_path / "out")
    assert all(torch.equal(again.state[name], one) for name, one in checkpoint.state.items())
    assert "sha256 of model.safetensors.index.json: " in again.record.notes[0]


@pytest.mark.parametrize(("name", "file", "message"), [
    ("model.norm.weight", None, "the tensor model.norm.weight is missing"),
    ("model.norm.weight", "../native/model.safetensors", "is no safetensors file of this folder"),
    ("model.norm.weight", "model-00002-of-00002.safetensors", "model.norm.weight .* is no tensor|is missing"),
    ("model.norm.weight", 7, "has no weight_map"),
    ("model.layers.1.input_layernorm.weight", "model-00003-of-00002.safetensors", "cannot read .*00003-of-00002"),
])  # fmt: skip
def test_an_index_that_is_wrong(tmp_path: Path, name: str, file: str | None, message: str) -> None:
    export(tiny_checkpoint(tmp_path / "native", TIED), "hf", tmp_path / "hf")
    index = split(tmp_path / "hf")
    index["weight_map"] |= {name: file} if file else {}
    if not file:
        del index["weight_map"][name]
    (tmp_path / "hf" / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(tmp_path / "hf", tmp_path, message)


@pytest.mark.parametrize(("change", "message"), [
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_parameters": None}, "scaled rotary positions"),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "scaled rotary positions"),
    ({"model_type": "mistral"}, "is a model of the kind 'mistral'"),
    ({"hidden_act": "gelu"}, "knows only 'silu'"),
    ({"attention_bias": True}, "attention_bias is True"),
    ({"head_dim": 16}, "head_dim 16; this trainer knows only"),
    ({"num_hidden_layers": 10**9}, "n_layers is 1000000000; expected 1 to 256"),
    ({"num_hidden_layers": 3}, "the tensor model.layers.2.input_layernorm.weight is missing"),
    ({"tie_word_embeddings": False}, "the tensor lm_head.weight is missing"),
])  # fmt: skip
def test_a_configuration_that_is_not_ours(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    export(tiny_checkpoint(tmp_path / "native", TIED), "hf", tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text("utf-8")) | change
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    refused(tmp_path / "hf", tmp_path, message)


# --- tokenizers ----------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_named_or_lies_beside(source: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    torch.save(llama2c_checkpoint(TIED), tmp_path / "alone" / "ckpt.pt")
    refused(tmp_path / "alone" / "ckpt.pt", tmp_path, "there is no tokenizer.model beside it.*\n.*--tokenizer FILE")
    out = import_checkpoint(tmp_path / "alone" / "ckpt.pt", tmp_path / "out", source / "tokenizer.model")
    assert load_checkpoint(out).tokenizer.sha256 == tiny_tokenizer().sha256


def test_another_tokenizer_is_refused(source: Path, tmp_path: Path) -> None:
    torch.save(llama2c_checkpoint(TIED), source / "ckpt.pt")
    other = tmp_path / "other.model"
    other.write_bytes(train_tokenizer(["the sea was grey and cold and the boats came in"] * 9, 290))
    refused(source / "ckpt.pt", tmp_path, r"the model has 384 ids, its tokenizer 290(.|\n)*--tokenizer FILE", other)
    refused(source / "ckpt.pt", tmp_path, "cannot read the tokenizer", tmp_path / "none.model")
    refused(source / "ckpt.pt", tmp_path, "is no SentencePiece model", source / "ckpt.pt")


@pytest.mark.parametrize(("options", "message"), [
    ({"model_type": "unigram"}, "it is a unigram model; expected bpe"),
    ({"byte_fallback": False}, "it has no byte fallback"),
    ({"normalization_rule_name": "nmt_nfkc"}, r"it normalizes text \(nmt_nfkc\); expected identity"),
    ({"add_dummy_prefix": False}, "it puts no blank before a text"),
    ({"model_type": "unigram", "byte_fallback": False}, "unigram model; expected bpe; it has no byte fallback"),
])  # fmt: skip
def test_a_tokenizer_that_no_export_can_hold_is_refused_at_import(
    source: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    made = seeds_tokenizer(vocab_size=290, **options)
    tokenizer = tmp_path / "other.model"
    tokenizer.write_bytes(made)
    size = sentencepiece.SentencePieceProcessor(model_proto=made).vocab_size()
    torch.save(llama2c_checkpoint(replace(TIED, vocab_size=size)), source / "ckpt.pt")
    refused(source / "ckpt.pt", tmp_path, f"(?s){message}.*trainer tokenizer train", tokenizer)


def test_a_padded_vocabulary_is_told(source: Path, tmp_path: Path) -> None:
    torch.save(llama2c_checkpoint(replace(TIED, vocab_size=448)), source / "ckpt.pt")
    refused(source / "ckpt.pt", tmp_path, r"padded: the model has 448 ids, its tokenizer 384(.|\n)*embeddings\(384\)")


# --- what must not or cannot be read -------------------------------------------------------------------------------


def refused(path: Path, tmp_path: Path, message: str, tokenizer: Path | None = None) -> None:
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        import_checkpoint(path, tmp_path / "nowhere", tokenizer)
    assert caught.value.status == 2
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert tree(tmp_path) == before


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def as_torch(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def as_old_torch(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def as_joblib(value: Any) -> bytes:
    return gzip.compress(pickle.dumps(value))


def as_objects(value: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([value], object), allow_pickle=True)
    return out.getvalue()


def as_archive(value: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=True, model=np.array([value], object))
    return out.getvalue()


@pytest.mark.parametrize(
    "name", ["model.pt", "model.ckpt", "model.bin", "model.joblib", "model.npy", "model.safetensors"]
)
@pytest.mark.parametrize(("pack", "message"), [
    (as_torch, "could run code, so it was not read"), (as_old_torch, "could run code, so it was not read"),
    (pickle.dumps, "is a pickle: reading one can run code"), (lambda it: pickle.dumps(it, 0), "is nothing that"),
    (as_joblib, "is packed with gzip"), (as_objects, "is a numpy array"), (as_archive, "holds Python objects"),
])  # fmt: skip
def test_code_in_a_pickle_is_not_run(
    source: Path, tmp_path: Path, pack: Callable[[Any], bytes], message: str, name: str
) -> None:
    trap = tmp_path / "it-ran"
    for value in (
        Payload(trap),
        {"model": Payload(trap), "model_args": {}},
        llama2c_checkpoint(TIED) | {"config": Payload(trap)},
    ):
        (source / name).write_bytes(pack(value))
        refused(source / name, tmp_path, message)
        assert not trap.exists()
    pickle.loads(pickle.dumps(Payload(trap))).close()
    assert trap.exists()  # the trap does work


def changed(**changes: Any) -> bytes:
    made = llama2c_checkpoint(TIED)
    made["model_args"] |= changes
    return as_torch(made)


def with_tensors(**tensors: Any) -> bytes:
    made = llama2c_checkpoint(TIED)
    made["model"] |= {name.replace("__", "."): one for name, one in tensors.items()}
    return as_torch({**made, "model": {name: one for name, one in made["model"].items() if one is not None}})


def packed_zip() -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(as_torch(llama2c_checkpoint(TIED)))) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return out.getvalue()


def v0(**changes: Any) -> bytes:
    return run_c_file(TIED, llama2c_tensors(TIED))


def q8() -> bytes:
    return struct.pack("<Ii", 0x616B3432, 2).ljust(8000, b"\0")


def archive(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(("data", "message"), [
    pytest.param(b"", "is nothing that this trainer can import", id="empty"),
    pytest.param(b"Once upon a time, there was a sea.\n" * 50, "is nothing that this trainer can import", id="text"),
    pytest.param(bytes(5000), "is nothing that this trainer can import", id="zeros"),
    pytest.param(b"GGUF\3\0\0\0" + bytes(500), "is a GGUF file", id="gguf"),
    pytest.param(struct.pack("<Q", 40) + b'{"a":' + bytes(50), "the weights of a Hugging Face", id="safetensors"),
    pytest.param(archive("a.txt"), "no checkpoint of PyTorch", id="zip"),
    pytest.param(archive("x/data.pkl"), "is damaged", id="zip with a broken pickle"),
    pytest.param(b"PK\3\4" + bytes(50), "is damaged", id="broken zip"),
    pytest.param(as_torch(llama2c_checkpoint(TIED))[:-3000], "is damaged", id="ckpt cut off"),
    pytest.param(packed_zip(), "is packed, which torch.save never does", id="ckpt packed"),
    pytest.param(as_torch([1, 2]), "holds no 'model'", id="a list"),
    pytest.param(as_torch(llama2c_tensors(TIED)), "holds no 'model'", id="tensors alone"),
    pytest.param(as_torch({"model": llama2c_tensors(TIED)}), "holds no 'model_args'", id="no model_args"),
    pytest.param(changed(dim=None), "model_args has no dim", id="no dim"),
    pytest.param(changed(dim="48"), "dim is '48'", id="dim is a text"),
    pytest.param(changed(dim=64), r"tok_embeddings.weight has the shape \(384, 48\)", id="other dim"),
    pytest.param(changed(n_layers=10**9), "n_layers is 1000000000; expected 1 to 256", id="a billion layers"),
    pytest.param(changed(n_layers=200, dim=16384, hidden_dim=65536), "parameters; expected", id="giant"),
    pytest.param(changed(n_layers=250), "missing|too small for", id="more layers than the file holds"),
    pytest.param(changed(n_layers=1), "is no tensor of this configuration", id="fewer layers"),
    pytest.param(changed(n_heads=5), "by 5 heads gives no even head size", id="heads"),
    pytest.param(changed(n_kv_heads=3), "4 heads cannot share 3", id="key/value heads"),
    pytest.param(changed(norm_eps=float("nan")), "norm_eps is nan", id="norm_eps"),
    pytest.param(with_tensors(norm__weight=None), "the tensor norm.weight is missing", id="missing tensor"),
    pytest.param(with_tensors(more__weight=torch.zeros(2)), "more.weight .* is no tensor", id="extra tensor"),
    pytest.param(with_tensors(_orig_mod__norm__weight=torch.zeros(48)), "norm.weight stands in it twice", id="twice"),
    pytest.param(with_tensors(norm__weight=torch.full((48,), torch.nan)), "holds NaN or infinity", id="NaN"),
    pytest.param(with_tensors(norm__weight=torch.ones(48, dtype=torch.int64)), "in it is no tensor", id="integers"),
    pytest.param(with_tensors(norm__weight=3.0), "'norm.weight' in it is no tensor", id="a number"),
    pytest.param(with_tensors(norm__weight=torch.ones(1).expand(1 << 40)), "'norm.weight' in it is no", id="stride 0"),
    pytest.param(v0()[:-4], "bytes; a model with its header has", id="v0 cut off"),
    pytest.param(v0() + b"\0\0\0\0", "bytes; a model with its header has", id="v0 too long"),
    pytest.param(v0()[:20] + struct.pack("<i", -384) + v0()[24:], "a model with its header has", id="v0 wrong sign"),
    pytest.param(v0()[:8] + struct.pack("<i", 1 << 20) + v0()[12:], "n_layers is 1048576", id="v0 layers"),
    pytest.param(v0()[:60] + b"\0\0\xc0\x7f" + v0()[64:], "holds NaN or infinity", id="v0 NaN"),
    pytest.param(q8(), "is llama2.c's version 2: 8-bit weights", id="v2"),
    pytest.param(struct.pack("<Ii7i", 0x616B3432, 1, 48, 128, 2, 4, 4, 384, 96).ljust(900, b"\0"),
                 "bytes; a model with its header has", id="v1 cut off"),
])  # fmt: skip
def test_bad_files_are_one_clear_error(source: Path, tmp_path: Path, data: bytes, message: str) -> None:
    (source / "file").write_bytes(data)
    refused(source / "file", tmp_path, message)


def test_bad_folders_are_one_clear_error(source: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none", tmp_path, "there is no such file or folder")
    refused(source, tmp_path, "is no Hugging Face folder")
    (source / "ckpt.pt").touch()
    refused(source, tmp_path, "name the file in it")
    (source / "config.json").write_text("{}")
    (source / "pytorch_model.bin").touch()
    refused(source, tmp_path, r"pytorch_model.bin\): reading one can run code(.|\n)*safe_serialization=True")
    (source / "model.safetensors").touch()
    refused(source, tmp_path, "expected the configuration of a Llama")
    tiny_checkpoint(tmp_path / "native")
    refused(tmp_path / "native", tmp_path, "is a checkpoint of this trainer already")


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    torch.save(llama2c_checkpoint(TIED), source / "ckpt.pt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        import_checkpoint(source / "ckpt.pt", tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("limit", [0, 40_000])
def test_a_full_disk_leaves_everything_as_it_was(source: Path, tmp_path: Path, limit: int) -> None:
    torch.save(llama2c_checkpoint(TIED), source / "ckpt.pt")
    before = tree(tmp_path)
    with pytest.raises(HostError, match="what was there before is still there") as caught, disk_of(limit):
        import_checkpoint(source / "ckpt.pt", tmp_path / "out")
    assert caught.value.status == 3
    assert tree(tmp_path) == before


def test_what_may_not_be_read_is_the_hosts_error(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source / "ckpt.pt"
    path.write_bytes(v0())
    opened = os.open

    def closed(name: Any, *arguments: Any, **options: Any) -> int:
        if name in (path, str(path)):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(CuratorError, match=r"cannot read .*ckpt\.pt: Permission denied") as caught:
        import_checkpoint(path, tmp_path / "out")
    assert caught.value.status == 3


def seeds_tokenizer(**options: Any) -> bytes:
    """A tokenizer.model as llama2.c's tinystories.py trains it: with remove_extra_whitespaces at its default, on."""
    out = io.BytesIO()
    settings = {
        "model_type": "bpe", "vocab_size": 320, "self_test_sample_size": 0, "input_format": "text", "num_threads": 1,
        "character_coverage": 1.0, "split_digits": True, "allow_whitespace_only_pieces": True, "byte_fallback": True,
        "unk_surface": r" \342\201\207 ", "normalization_rule_name": "identity", "minloglevel": 2,
        "hard_vocab_limit": False,
    } | options  # fmt: skip
    lines = iter(["Once upon a time, there was a dog.", "It was 12 years old and ran home!"] * 40)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=out, **settings)
    return out.getvalue()


def test_the_seeds_come_in_and_run_everywhere(tmp_path: Path) -> None:
    config = replace(ModelConfig(), vocab_size=320, n_layers=2)
    torch.save(llama2c_checkpoint(config, "_orig_mod."), tmp_path / "ckpt.pt")
    (tmp_path / "tok4096.model").write_bytes(seeds_tokenizer())
    import_checkpoint(tmp_path / "ckpt.pt", tmp_path / "out", tmp_path / "tok4096.model")
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.config == config
    for target in TARGETS:
        export(checkpoint, target, tmp_path / target)
    assert (tmp_path / "bin" / "model.bin").read_bytes() == run_c_file(config, llama2c_tensors(config))


# --- models for other tools -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"model_type": "qwen3", "_name_or_path": "Qwen/Qwen3-0.6B"}, "is a model of the kind 'qwen3'"),
        ({"model_type": "llama", "_name_or_path": "HuggingFaceTB/SmolLM2-135M"}, "tokenizer is no SentencePiece model"),
    ],
)
def test_a_model_that_other_tools_train_is_told_the_way_there(tmp_path: Path, config: dict, what: str) -> None:
    """Qwen3 and SmolLM2 are not for this trainer: what they are is said, and the commands that tune them."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(2_000_000))
    done = trainer("import", folder, "--out", tmp_path / "out")
    assert done.status == 2 and what in done.err and not (tmp_path / "out").exists(), done.err
    assert f"curate export --to trl --base-model {config['_name_or_path']} --out my-export" in done.err
    assert f"python train_lora.py --device cpu --model {folder}" in done.err


def test_the_default_context_fits_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that is imported may have 131,072 tokens of context: a row of them fits no memory."""
    large = ModelConfig(vocab_size=32_000, dim=512, n_layers=8, n_heads=8, n_kv_heads=8, hidden_dim=1376,
                        max_seq_len=131_072)  # fmt: skip
    for free, expected in ((1 << 50, 131_072), (8 << 30, None), (1 << 20, 256), (0, 131_072)):
        monkeypatch.setattr(speed, "free_bytes", lambda free=free: free)
        found = speed.fitting_context(large, 8, large.max_seq_len)
        if expected is None:
            assert 256 <= found < 131_072
            assert speed.training_bytes(large, 8, found) <= free // 2 < speed.training_bytes(large, 8, 2 * found)
        else:
            assert found == expected, free


def test_free_memory_is_what_the_machine_says() -> None:
    """Within a factor of two of what the system tells: 0 where nothing tells it."""
    free = speed.free_bytes()
    lines = Path("/proc/meminfo")
    if lines.is_file():
        total = next(int(line.split()[1]) for line in lines.read_text().splitlines() if line.startswith("MemTotal:"))
        assert 0 < free <= total << 10

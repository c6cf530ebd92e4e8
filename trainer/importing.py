"""From other programs' files to a native checkpoint: llama2.c's ckpt.pt and .bin, numpy's .npz, Hugging Face's folders.

A file is recognised by its content, not by its name. Nothing in it is run, and nothing is allocated before its
configuration is checked against the limits of model/llama.py.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curator.contract.cli_frame import command_line
from curator.contract.errors import UsageError, disk_error
from curator.contract.files import open_file, read_json, sha256_of
from trainer.exports.llama2c import NAMES
from trainer.exports.npz_arrays import npz_arrays
from trainer.exports.paths import shown_name
from trainer.exports.readers import Weights, read_v0, read_v1, version_of
from trainer.model.checkpoint import (
    RECORD,
    WEIGHTS,
    Record,
    check_shapes,
    check_vocabulary,
    load_weights,
    parse_huggingface_config,
    require_finite,
    save_checkpoint,
)
from trainer.model.convert import StateDict, from_huggingface, from_llama2c, huggingface_shapes, llama2c_shapes
from trainer.model.llama import ModelConfig
from trainer.model.tokenizer import Tokenizer

READABLE = (
    "it reads llama2.c's ckpt.pt, llama2.c's model.bin (version 0 or 1), a model.npz of such weights, and Hugging Face "
    "folders with model.safetensors"
)
_INDEX = "model.safetensors.index.json"
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch.save wrote first until 2020
# First bytes -> what it is and what to do instead.
_REFUSED = {
    b"\x93NUMPY": ("a numpy array", READABLE),
    b"GGUF": ("a GGUF file, made for llama.cpp", "import the checkpoint that it was made from"),
    b"\x1f\x8b": ("packed with gzip", "unpack it first"),
    b"\xfd7zXZ": ("packed with xz", "unpack it first"),
    b"BZh": ("packed with bzip2", "unpack it first"),
}
Read = Callable[[Path], tuple[ModelConfig, StateDict]]


def import_checkpoint(
    source: Path, out: Path, tokenizer: Path | None = None, log: Callable[[str], None] = lambda text: None
) -> Path:
    """Write the native checkpoint of a foreign model to `out` and return `out`.

    `tokenizer` is a tokenizer.model; without it, one of that name beside the source is taken. Raises UsageError for
    what cannot or must not be read, a tokenizer of another size, and a place that is taken; HostError for a full disk.
    """
    try:
        kind, read = recognise(source)
        if read is read_huggingface:
            _refuse_others(source, tokenizer)
        config, state = read(source)
        require_finite(state, str(source))
        path = _tokenizer_of(source, tokenizer)
        loaded = Tokenizer.load(path)
        _check_padding(loaded, config, source)
        check_vocabulary(loaded, config, source)
        _check_tokenizer(loaded, path)
        weights = next((file for file in (source / WEIGHTS, source / _INDEX) if file.is_file()), source)
        note = f"imported from {shown_name(source)} ({kind}); sha256 of {shown_name(weights)}: {sha256_of(weights)}"
        save_checkpoint(out, state, config, loaded, Record(made_by="import", notes=[note]))
    except OSError as error:
        raise disk_error(error, "cannot read", source) from None
    size = f"{config.parameters():,} parameters, {config.vocab_size:,} ids, {config.max_seq_len} tokens of context"
    log(f"{kind}: {size}; tokenizer: {path}")
    return out


def recognise(source: Path) -> tuple[str, Read]:
    """Return what a file or folder is, and the function that reads it. Raises UsageError where it cannot be read."""
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder", READABLE)
    if source.is_dir():
        return _recognise_folder(source)
    start = _start(source)
    if start.startswith(b"PK\x03\x04"):
        return _recognise_zip(source)
    if start.startswith(_LEGACY_TORCH):
        return "llama2.c's ckpt.pt", read_ckpt
    if start[:1] == b"\x80" and len(start) > 1 and 2 <= start[1] <= 5:
        raise UsageError(f"{source} is a pickle: reading one can run code, so it was not read", READABLE)
    for magic, (kind, instead) in _REFUSED.items():
        if start.startswith(magic):
            raise UsageError(f"{source} is {kind}; this trainer cannot import it", instead)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < source.stat().st_size:
        raise UsageError(f"{source} is the weights of a Hugging Face folder", "name the folder that it lies in")
    if version := version_of(source):
        if version == 1:
            return "llama2.c's model.bin, version 1", lambda path: _of_llama2c(*read_v1(path))
        raise UsageError(
            f"{source} is llama2.c's version {version}: 8-bit weights, from which no training can go on",
            "import the ckpt.pt or the version-0 model.bin that it was made from",
        )
    if _looks_like_v0(start):
        return "llama2.c's model.bin, version 0", lambda path: _of_llama2c(*read_v0(path))
    raise UsageError(f"{source} is nothing that this trainer can import", READABLE)


def _start(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(64)


def _looks_like_v0(start: bytes) -> bool:
    """Say whether a file begins with seven numbers that could be the size of a model; v0 has no other mark."""
    numbers = [int.from_bytes(start[at : at + 4], "little", signed=True) for at in range(0, 28, 4)]
    return (
        len(start) >= 28 and all(0 < abs(number) < 1 << 24 for number in numbers) and min(numbers[:5] + numbers[6:]) > 0
    )


def _recognise_folder(source: Path) -> tuple[str, Read]:
    if (source / RECORD).is_file():
        raise UsageError(f"{source} is a checkpoint of this trainer already", "use it as it is, or copy its folder")
    if (source / "config.json").is_file() and ((source / WEIGHTS).is_file() or (source / _INDEX).is_file()):
        return "a Hugging Face folder", read_huggingface
    if any(source.glob("pytorch_model*.bin")):
        raise UsageError(
            f"{source} holds its weights as a pickle (pytorch_model.bin): reading one can run code, so it was not read",
            "save it with transformers: model.save_pretrained(FOLDER, safe_serialization=True)",
        )
    if (source / "ckpt.pt").is_file():
        raise UsageError(f"{source} is a folder of llama2.c", f"name the file in it: {source / 'ckpt.pt'}")
    raise UsageError(f"{source} is no Hugging Face folder: it lacks config.json or {WEIGHTS}", READABLE)


def _refuse_others(source: Path, tokenizer: Path | None) -> None:
    """Raise UsageError for what is no Llama with a SentencePiece tokenizer: what it is, and where to tune it."""
    raw = read_json(source / "config.json", foreign=True)
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return
    sentencepiece = tokenizer is not None or (source / "tokenizer.model").is_file()
    if kind == "llama" and (sentencepiece or not (source / "tokenizer.json").is_file()):
        return
    name = str(raw.get("_name_or_path") or shown_name(source))
    size = sum(path.stat().st_size for path in source.glob("model*.safetensors"))
    what = f"a model of the kind {kind!r}" if kind != "llama" else "a Llama whose tokenizer is no SentencePiece model"
    words = ("--to", "trl", "--base-model", name, "--out", "my-export")
    export = command_line("curate", "export", *words)
    raise UsageError(
        f"{source} is {what} ({size / 1e9:,.1f} GB of weights); only plain Llamas with a tokenizer.model are trained",
        f"tune it with TRL: {export}\n"
        f"  then in my-export: python train_lora.py --device cpu --model {shlex.quote(str(source.resolve()))}",
    )


def _tokenizer_of(source: Path, named: Path | None) -> Path:
    if named:
        return named
    beside = (source if source.is_dir() else source.parent) / "tokenizer.model"
    if not beside.is_file():
        raise UsageError(
            f"{source}: there is no {beside.name} beside it, and a model without its tokenizer writes gibberish",
            "name the tokenizer.model that it was trained with: --tokenizer FILE",
        )
    return beside


_BYTE_PIECES = 256


def _check_padding(tokenizer: Tokenizer, config: ModelConfig, source: Path) -> None:
    """Raise UsageError for a model with a few more ids than its tokenizer, as rows are added to fill a block."""
    more = config.vocab_size - tokenizer.vocab_size
    if 0 < more < 256 and config.vocab_size % 8 == 0:
        raise UsageError(
            f"{source}: its vocabulary is padded: the model has {config.vocab_size:,} ids, its tokenizer "
            f"{tokenizer.vocab_size:,}",
            f"shrink it with transformers first: model.resize_token_embeddings({tokenizer.vocab_size}); or name the "
            "tokenizer that it was trained with (--tokenizer FILE)",
        )


def _check_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Raise UsageError for a tokenizer that run.c, GGUF and tokenizer.json would not read as SentencePiece does."""
    found = tokenizer.settings()
    wrong = []
    if found["model_type"] != "bpe":
        wrong.append(f"it is a {found['model_type']} model; expected bpe")
    if found["byte_fallback"] is False or sum(tokenizer.kind(at) == "byte" for at in range(259)) < _BYTE_PIECES:
        wrong.append("it has no byte fallback, so a letter that it does not know is lost")
    if found["normalizes"]:
        wrong.append(f"it normalizes text ({found['normalizer'] or 'by rules of its own'}); expected identity")
    if found["dummy_prefix"] is False:
        wrong.append("it puts no blank before a text (add_dummy_prefix is off)")
    if wrong:
        raise UsageError(
            f"{path}: exports of this tokenizer would not give the ids that the model was trained with: "
            + "; ".join(wrong),
            "tune the model where it was made, or train one with a tokenizer from: trainer tokenizer train",
        )


# --- llama2.c ------------------------------------------------------------------------------------------------------


def _recognise_zip(source: Path) -> tuple[str, Read]:
    """Return what a zip file is, and its reader. Raises UsageError for one that neither torch.save nor numpy wrote."""
    try:
        with zipfile.ZipFile(source) as file:
            entries = file.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UsageError(f"{source} is damaged: {error}", "copy it again") from None
    names = [entry.filename for entry in entries]
    if any(name.endswith(".npy") for name in names):
        return "a numpy archive", read_npz
    if any("/code/" in name for name in names):
        raise UsageError(f"{source} is a TorchScript program: reading one can run code, so it was not read", READABLE)
    if not any(name.endswith("/data.pkl") for name in names):
        raise UsageError(f"{source} is a zip file, but no checkpoint of PyTorch", READABLE)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UsageError(f"{source} is packed, which torch.save never does: it was not read", READABLE)
    return "llama2.c's ckpt.pt", read_ckpt


def read_ckpt(path: Path) -> tuple[ModelConfig, StateDict]:
    """Read llama2.c's ckpt.pt: tensors, numbers and texts. Raises UsageError where the pickle holds anything else."""
    loaded = _load_tensors(path)
    if not isinstance(loaded, dict) or not isinstance(loaded.get("model"), dict):
        raise UsageError(f"{path} holds no 'model'", "expected llama2.c's ckpt.pt: a dict with model and model_args")
    if not isinstance(loaded.get("model_args"), dict):
        raise UsageError(
            f"{path} holds no 'model_args'", "expected llama2.c's ckpt.pt: a dict with model and model_args"
        )
    return _model_of(path, "model_args", loaded["model_args"], _plain_names(path, loaded["model"]))


def read_npz(path: Path) -> tuple[ModelConfig, StateDict]:
    """Read an archive of numpy: `config` as JSON, and the weights by llama2.c's names, or one array for all layers.

    Raises UsageError for what cannot be read without running code, or is no such model.
    """
    arrays = npz_arrays(path)
    text = arrays.pop("config", None)
    try:
        config = json.loads(str(text.reshape(-1)[0])) if text is not None and text.size == 1 else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise UsageError(
            f"{path} has no config",
            "expected the array 'config': the model's size as JSON, with dim, n_layers, n_heads",
        )
    named = {name: torch.tensor(array) for name, array in arrays.items() if array.dtype.kind == "f"}
    tensors = named if "tok_embeddings.weight" in named else _unstacked(named)
    return _model_of(path, "config", config, _plain_names(path, tensors))


def _model_of(path: Path, where: str, arguments: dict[str, Any], tensors: StateDict) -> tuple[ModelConfig, StateDict]:
    """Return a model by llama2.c's arguments and names. Raises UsageError where file, size and shapes disagree."""
    config = _config_of(path, where, arguments, tensors)
    if 2 * config.parameters() > path.stat().st_size:
        raise UsageError(f"{path} is too small for {config.parameters():,} parameters", "it is damaged: copy it again")
    if config.tied:
        tensors.pop("output.weight", None)
    check_shapes(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, llama2c_shapes(config))
    return config, from_llama2c({name: tensor.float() for name, tensor in tensors.items()}, config)


def _load_tensors(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"  # by that name torch reads it as something else
    try:
        with open_file(path) as file:
            return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise disk_error(error, "cannot read", path) from None
    except Exception as error:  # a hostile or cut-off file can fail anywhere in torch's reader
        if "Weights only load failed" in str(error):
            raise UsageError(
                f"{path} holds more than tensors, numbers and texts: reading it could run code, so it was not read",
                "save it again with plain values only, or ask its author to",
            ) from None
        raise UsageError(f"{path} is damaged: {str(error).splitlines()[0][:200]}", "copy it again") from None


def _plain_names(path: Path, tensors: dict[Any, Any]) -> StateDict:
    """Return the tensors without rotary tables, names without the prefixes of torch.compile and DDP."""
    out, size = dict[str, Tensor](), path.stat().st_size
    for name, tensor in tensors.items():
        is_tensor = isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.layout == torch.strided
        if not isinstance(name, str) or not is_tensor or tensor.nbytes > size:  # a stride of 0 makes giants of nothing
            raise UsageError(f"{path}: {str(name)[:80]!r} in it is no tensor of a model")
        plain = name
        while plain.startswith(("_orig_mod.", "module.")):
            plain = plain.partition(".")[2]
        if plain in out:
            raise UsageError(f"{path}: the tensor {plain} stands in it twice")
        if plain not in ("freqs_cos", "freqs_sin"):
            out[plain] = tensor
    return out


def _config_of(path: Path, where: str, arguments: dict[str, Any], tensors: StateDict) -> ModelConfig:
    """Return the size that the arguments name. What is missing there comes from llama2.c's defaults or the weights."""
    first = tensors.get("layers.0.feed_forward.w1.weight")
    given = {name: value for name, value in arguments.items() if value is not None}
    same = given.keys() & {
        "dim",
        "n_layers",
        "n_heads",
        "n_kv_heads",
        "vocab_size",
        "hidden_dim",
        "max_seq_len",
        "norm_eps",
        "rope_theta",
    }
    values = {name: given[name] for name in sorted(same)}
    missing = sorted({"dim", "n_layers", "n_heads", "vocab_size", "max_seq_len"} - set(values))
    if missing:
        raise UsageError(f"{path}: {where} has no {missing[0]}", "expected the model_args of llama2.c")
    values.setdefault("n_kv_heads", values["n_heads"])
    if "hidden_dim" not in values:  # the weights know it better than llama2.c's rule, which depends on multiple_of
        values["hidden_dim"] = first.shape[0] if first is not None and first.dim() == 2 else 1
    output, embedding = tensors.get("output.weight"), tensors.get("tok_embeddings.weight")
    tied = output is None or (embedding is not None and torch.equal(output, embedding))
    try:
        return ModelConfig(**values, tied=tied)
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}") from None


def _of_llama2c(config: ModelConfig, weights: Weights) -> tuple[ModelConfig, StateDict]:
    """Return our weights, made from run.c's, which are stacked over the layers."""
    tensors = _unstacked({name: torch.tensor(array) for name, array in weights.items()})
    return config, from_llama2c(tensors, config)


def _unstacked(weights: StateDict) -> StateDict:
    """Return weights by llama2.c's names, made from those that have one tensor for all layers; others are left out."""
    tensors: StateDict = {}
    for name, pattern in NAMES.items():
        if name in weights and "{}" not in pattern:
            tensors[pattern] = weights[name]
        elif name in weights and weights[name].dim():
            tensors |= {pattern.format(layer): part for layer, part in enumerate(weights[name])}
    return tensors


# --- Hugging Face --------------------------------------------------------------------------------------------------


def read_huggingface(folder: Path) -> tuple[ModelConfig, StateDict]:
    """Read config.json and the weights, in one file or in several. Raises UsageError for what is no plain Llama."""
    config = parse_huggingface_config(folder / "config.json")
    expected = huggingface_shapes(config)
    if (folder / WEIGHTS).is_file():
        return config, from_huggingface(load_weights(folder / WEIGHTS, expected), config)
    tensors: StateDict = {}
    for name, shapes in _shards(folder, expected).items():
        tensors |= load_weights(folder / name, shapes)
    return config, from_huggingface(tensors, config)


def _shards(folder: Path, expected: dict[str, tuple[int, ...]]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return file -> its tensors' shapes, by the index of a model in several files."""
    path = folder / _INDEX
    raw = read_json(path)
    places = raw.get("weight_map") if isinstance(raw, dict) else None
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise UsageError(f"{path} has no weight_map", "expected the index of a model in several safetensors files")
    out: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in expected.items():
        file = places.get(name)
        if file is None:
            raise UsageError(f"{path}: the tensor {name} is missing", "the folder is of another model, or damaged")
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise UsageError(f"{path}: {file!r} is no safetensors file of this folder")
        out.setdefault(file, {})[name] = shape
    return out

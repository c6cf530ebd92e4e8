"""A model that was trained elsewhere: what a folder of weights, an adapter or a .gguf is, by its own metadata.

Only headers and JSON are loaded. What Ollama could not use is refused here, with a remedy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import command_line
from curator.contract.errors import UsageError, counted
from curator.contract.files import open_file, read_bytes, read_json
from trainer.exports.gguf_file import load_gguf
from trainer.model.checkpoint import RECORD, safetensors_header

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MERGE = (
    "merge it into its base (peft: merge_and_unload; llamafactory-cli export; axolotl merge-lora), then export the "
    "merged folder"
)
_OLLAMA_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)*(:[\w.-]+)?")
_LORA = re.compile(r"\.lora_[AB](\.default)?\.weight$")


@dataclass(frozen=True)
class Chat:
    """A chat template (Jinja), "" where there is none, and the texts of the tokenizer's BOS and EOS, if told."""

    template: str = ""
    bos: str = ""
    eos: str = ""


@dataclass(frozen=True)
class Model:
    """Weights as `FROM` names them, and their metadata. `names` may tell the family, the surest first."""

    line: str
    names: tuple[str, ...] = ()
    folder: Path | None = None  # of weights; its tokenizer's files are there too
    architecture: str = ""  # config.json's word for it, or general.architecture of a .gguf
    context: int = 0
    chat: Chat = Chat()
    rope_elsewhere: bool = False  # the rotary base is only where transformers 5 writes it


@dataclass(frozen=True)
class ExternalModel:
    """A model trained elsewhere. Without an adapter `base` is the model itself."""

    source: Path
    base: Model
    adapter: Path | None = None  # a PEFT folder, or a .gguf
    config: dict[str, Any] = field(default_factory=dict)  # adapter_config.json
    names: tuple[str, ...] = ()  # may tell the family; they count before the base's
    chat: Chat = Chat()
    sampling: dict[str, Any] = field(default_factory=dict)  # generation_config.json


def is_external(path: Path) -> bool:
    """Say whether a path holds a model that this trainer did not make: a .gguf, or a folder without our record."""
    if path.is_dir():
        return not (path / RECORD).is_file() and not (path / "training").is_dir()
    return path.suffix == ".gguf" and path.is_file()


def read_external(source: Path, base: str | None) -> ExternalModel:
    """Return what a path holds. `base` is what an adapter belongs to, where it does not say so itself.

    Raises UsageError for what Ollama cannot use: pickles, a missing or cut file, an adapter that is more than LoRA.
    """
    if source.suffix == ".gguf" and source.is_file():
        kind, model = _read_gguf(source)
        if kind == "adapter":
            of = _base_model(source, base, "")
            return ExternalModel(source, of, source.resolve(), names=model.names, chat=of.chat)
        _no_base(source, base)
        return ExternalModel(source, model, chat=model.chat)
    if (source / ADAPTER_CONFIG).is_file():
        return _read_adapter(source, base)
    _no_base(source, base)
    model = read_weights(source)
    return ExternalModel(source, model, chat=model.chat, sampling=_json_of(source / "generation_config.json"))


def _no_base(source: Path, base: str | None) -> None:
    if base:
        raise UsageError(f"--base {base}: {source} is no adapter", "--base names what an adapter belongs to")


# --- a folder of weights -------------------------------------------------------------------------------------------


def read_weights(folder: Path) -> Model:
    """Return a folder of weights in Hugging Face's layout. Raises UsageError unless Ollama finds everything there."""
    shards = _shards(folder)
    config = _json_of(folder / "config.json")
    if not config:
        raise UsageError(f"{folder} has no config.json", "save the model together with its configuration")
    for shard in shards:
        _whole(shard)
    _inside(folder, shards)
    _not_quantized(folder, config)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise UsageError(
            f"{folder} has neither tokenizer.json nor tokenizer.model", "save the tokenizer into it, or copy it there"
        )
    inner = config.get("text_config")  # of models that see, too
    lengths = [section.get("max_position_embeddings") for section in (config, inner) if isinstance(section, dict)]
    names = (_hub_name(str(config.get("_name_or_path") or "")), folder.resolve().name)
    architectures = config.get("architectures")
    return Model(
        line=str(folder.resolve()), names=tuple(filter(None, names)), folder=folder,
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
        context=_whole_number(*lengths), chat=chat_of(folder),
        rope_elsewhere="rope_parameters" in config and "rope_theta" not in config,
    )  # fmt: skip


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = _json_of(index).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise UsageError(f"{index} names no weights", "save the model again")
        names = sorted({str(name) for name in places.values()})
        missing = [name[:80] for name in names if Path(name).name != name or not _is_there(folder / name)]
        if missing:
            raise UsageError(
                f"{folder}: {missing[0]} is missing ({len(missing)} of the {counted(len(names), 'file')} that "
                f"{index.name} names)",
                "copy the folder again",
            )
        return [folder / name for name in names]
    files = sorted(path for path in folder.glob("model*.safetensors") if path.is_file())
    if len(files) == 1:
        return files
    raise UsageError(*_no_weights(folder, len(files)))


def _no_weights(folder: Path, count: int) -> tuple[str, str]:
    def matching(*patterns: str) -> list[str]:
        return sorted(path.name for pattern in patterns for path in folder.glob(pattern))

    if count:
        return (
            f"{folder} has {counted(count, 'file')} of weights and no model.safetensors.index.json",
            "copy the folder again",
        )
    if names := matching("*.safetensors"):
        return (
            f"{folder}: Ollama looks for model*.safetensors, and there is {names[0]}",
            "save the model with save_pretrained, which names it so",
        )
    if names := matching("*.bin", "*.pt", "*.pth"):
        return (
            f"{folder}: its weights are pickles ({names[0]}): reading them can run code",
            "save them as safetensors with save_pretrained in the program that trained them",
        )
    if names := matching("*.gguf"):
        return f"{folder} is a folder", f"name the file itself: {folder / names[0]}"
    return f"{folder} holds no model", "name a folder of weights, an adapter's folder, a .gguf or a checkpoint of ours"


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for a file's, or with a NUL
        return False


def _whole(path: Path) -> None:
    """Raise UsageError where a safetensors file is shorter than its header says."""
    header = safetensors_header(path)
    offsets = [entry.get("data_offsets") if isinstance(entry, dict) else None for entry in header.values()]
    ends = [pair[1] for pair in offsets if isinstance(pair, list) and len(pair) == 2 and type(pair[1]) is int]
    if len(ends) < len(header):
        raise UsageError(f"{path}: its header does not say where a tensor ends", "copy it again")
    with open_file(path) as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    if path.stat().st_size < start + max(ends, default=0):
        raise UsageError(f"{path} is cut off", "copy it again")


def _inside(folder: Path, files: list[Path]) -> None:
    """Raise UsageError for links out of the folder, as Hugging Face's cache has them: Ollama calls them insecure."""
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{path} is a link to another place, which Ollama refuses",
                f"copy the folder with its files: cp -rL {folder} ELSEWHERE",
            )


def _not_quantized(folder: Path, config: dict[str, Any]) -> None:
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    if method in ("bitsandbytes", "gptq", "awq"):
        raise UsageError(
            f"{folder}: its weights are quantized by {method}, which Ollama does not read",
            "merge or save the model in 16 bits (Unsloth: save_method='merged_16bit')",
        )


def _hub_name(name: str) -> str:
    """Return a name as on the Hugging Face hub; of a local path only the last part."""
    local = name.count("/") != 1 or name.startswith(("/", ".", "~")) or "\\" in name
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] if local else name


def _json_of(path: Path) -> dict[str, Any]:
    raw = read_json(path, foreign=True) if path.is_file() else {}
    if not isinstance(raw, dict):
        raise UsageError(f"{path} is no JSON object")
    return raw


def _whole_number(*values: object) -> int:
    return next((value for value in values if type(value) is int and value > 0), 0)


def chat_of(folder: Path) -> Chat:
    """Return the chat template beside a tokenizer."""
    config = _json_of(folder / "tokenizer_config.json")
    template = config.get("chat_template") or ""
    if isinstance(template, list):  # several named templates: tools, rag, ...
        templates = [
            entry.get("template") for entry in template if isinstance(entry, dict) and entry.get("name") == "default"
        ]
        template = templates[0] if templates else ""
    apart = folder / "chat_template.jinja"
    if apart.is_file():
        template = read_bytes(apart).decode(errors="replace")
    marks = [config.get(name) for name in ("bos_token", "eos_token")]
    bos, eos = (str((mark.get("content") if isinstance(mark, dict) else mark) or "") for mark in marks)
    return Chat(str(template), bos, eos)


# --- an adapter ----------------------------------------------------------------------------------------------------


def _read_adapter(folder: Path, base: str | None) -> ExternalModel:
    config = _json_of(folder / ADAPTER_CONFIG)
    _only_lora(folder, config)
    base_name = str(config.get("base_model_name_or_path") or "")
    chat = chat_of(folder)
    model = _base_model(folder, base, base_name)
    sampling = _json_of(folder / "generation_config.json")
    if not sampling and model.folder:
        sampling = _json_of(model.folder / "generation_config.json")
    names = tuple(filter(None, [_hub_name(base_name)]))
    return ExternalModel(
        source=folder,
        base=model,
        adapter=folder,
        config=config,
        names=names,
        chat=chat if chat.template else model.chat,
        sampling=sampling,
    )


def _only_lora(folder: Path, config: dict[str, Any]) -> None:
    """Raise UsageError for an adapter that is more than two matrices at alpha / r for each weight.

    Ollama and llama.cpp apply only that: they refuse DoRA's magnitudes and whole layers, and silently use a wrong scale
    for rsLoRA and an alpha_pattern.
    """
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        pickles = (folder / "adapter_model.bin").is_file()
        raise UsageError(
            f"{folder}: {'its weights are pickles' if pickles else f'{ADAPTER_WEIGHTS} is missing'}",
            "save the adapter again with save_pretrained, as safetensors" if pickles else "copy the adapter again",
        )
    _whole(weights)
    alpha = config.get("lora_alpha")
    reasons = {
        f"it is {config.get('peft_type')}, no LoRA": config.get("peft_type") != "LORA",
        "it is DoRA (use_dora)": config.get("use_dora"),
        "its scale is rsLoRA's (use_rslora)": config.get("use_rslora"),
        "its modules have scales of their own (alpha_pattern)": config.get("alpha_pattern"),
        f"lora_alpha is {repr(alpha)[:40]}, no whole number": not isinstance(alpha, int | float)
        or not 0 < alpha < 1e9
        or not float(alpha).is_integer(),
    }
    extra = [name for name in safetensors_header(weights) if not _LORA.search(name)]
    reasons[f"it holds whole weights too ({next(iter(extra), '')}: modules_to_save or a bias)"] = bool(extra)
    for reason, holds in reasons.items():
        if holds:
            raise UsageError(f"{folder}: Ollama cannot apply this adapter: {reason}", MERGE)


def _base_model(source: Path, base: str | None, base_name: str) -> Model:
    """Return what an adapter belongs to: a folder, a .gguf, or a name in Ollama's own store."""
    place = Path(base or base_name).expanduser()
    if (base or base_name) and place.is_dir():
        return read_weights(place)
    if base and place.is_file():
        kind, model = _read_gguf(place)
        if kind == "adapter":
            raise UsageError(f"--base {base} is an adapter itself", "name the model that it was trained on")
        return model
    if base and place.suffix != ".gguf" and _OLLAMA_NAME.fullmatch(base):
        return Model(line=base, names=(base,))
    if base:
        raise UsageError(f"--base {base}: there is no such file or folder, and it is no name as Ollama has them")
    words = ("export", source, "--to", "ollama", "--out", "DIR", "--base", "NAME")
    raise UsageError(
        f"{source} is an adapter{f' of {base_name}' if base_name else ''}: Ollama needs that base in its own store, "
        "as a folder of weights or as a .gguf",
        f"name it: {command_line('trainer', *words)} (qwen3:4b, say, or a path)",
    )


# --- gguf ----------------------------------------------------------------------------------------------------------


def _read_gguf(path: Path) -> tuple[str, Model]:
    """Return the general.type of a .gguf, and what it says of itself."""
    gguf = load_gguf()
    try:
        fields = gguf.GGUFReader(path).fields
        metadata = {name: fields[name].contents() for name in fields if name.startswith("general.")}
        architecture = str(metadata.get("general.architecture", ""))
        for name in ("tokenizer.chat_template", "split.count", f"{architecture}.context_length"):
            metadata |= {name: fields[name].contents()} if name in fields else {}
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
        raise UsageError(f"{path} is no GGUF file, or is cut off: {str(error)[:200]}", "copy it again") from None
    kind = str(metadata.get("general.type", "model"))
    if kind not in ("model", "adapter"):
        raise UsageError(f"{path} is of the type {kind!r}", "name the .gguf of the model")
    if metadata.get("split.count", 0) > 1:
        raise UsageError(
            f"{path} is one of {metadata['split.count']} parts",
            "join them: llama-gguf-split --merge FIRST_PART WHOLE.gguf, then export WHOLE.gguf",
        )
    keys = ("general.base_model.0.name", "general.basename", "general.name")
    names = [str(metadata[key]) for key in keys if metadata.get(key)]
    return kind, Model(
        line=str(path.resolve()), names=(*names, path.stem), architecture=architecture,
        context=_whole_number(metadata.get(f"{architecture}.context_length")),
        chat=Chat(str(metadata.get("tokenizer.chat_template", ""))),
    )  # fmt: skip

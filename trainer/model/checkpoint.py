"""The native checkpoint: a folder in Hugging Face's Llama layout, with trainer.json beside it.

config.json, generation_config.json, model.safetensors, tokenizer.model, tokenizer.json, tokenizer_config.json and,
written last, trainer.json: template, parent, data, metrics, and the sha256 of the others. Nothing in it can run code.
Files are checked against the configuration before anything is allocated.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curator.contract import __version__
from curator.contract.cli_frame import command_line
from curator.contract.errors import CuratorError, UsageError
from curator.contract.files import open_file, pretty_json, read_json, sha256_of, whole_folder, write_whole
from curator.contract.homes import CHECKPOINTS, optional_home
from curator.contract.jinja_chat import SmallFormat, small_template
from curator.contract.modes import Tags
from curator.contract.strict_json import BadJson, parse_json
from trainer.model.convert import StateDict, from_huggingface, huggingface_shapes, to_huggingface
from trainer.model.llama import Llama, ModelConfig
from trainer.model.prompt_template import QUOTES, Template
from trainer.model.tokenizer import BOS, EOS, UNK, Tokenizer, tokenizer_json
from trainer.settings import SamplingSettings

FORMAT = "persona-curator-checkpoint"
RECORD, WEIGHTS = "trainer.json", "model.safetensors"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MAX_HEADER = 16 << 20


class Parent(BaseModel):
    """The checkpoint that a fine-tune began from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    sha256: str = Field(description="of its model.safetensors")


class GateResult(BaseModel):
    """What the gate said of a fine-tune, and which mix of base and tuned weights it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    passed: bool
    accepted_degraded: bool = Field(description="kept by --accept-degraded although a budget is broken")
    alpha: float = Field(description="share of the tuned weights; the rest is the base's")
    broken: list[str] = Field(default_factory=list, description="each broken budget, in words")


class Record(BaseModel):
    """trainer.json: what a checkpoint is, where it came from and how good it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["persona-curator-checkpoint"] = "persona-curator-checkpoint"
    version: Literal[1] = 1
    made_by: Literal["pretrain", "finetune", "import"]
    trainer_version: str = __version__
    created: str = ""
    number: int = Field(0, ge=0, description="among the person's checkpoints: the newest has the highest; 0: none")
    steps: int = 0
    template: Template = Template()
    parent: Parent | None = None
    data: dict[str, Any] = Field(default_factory=dict, description="sources, counts and fingerprint of what it learnt")
    settings: dict[str, Any] = Field(default_factory=dict, description="every setting of the training, resolved")
    metrics: dict[str, float] = Field(default_factory=dict)
    gate: GateResult | None = Field(None, description="what the gate said of a fine-tune")
    sampling: SamplingSettings | None = Field(None, description="how text is best drawn; a fine-tune has its base's")
    notes: list[str] = Field(default_factory=list)
    sha256: dict[str, str] = Field(default_factory=dict, description="file -> sha256, of every file but this one")

    @property
    def is_probe(self) -> bool:
        """Say whether canaries were planted in what it learnt: it was made to be measured, and is no model to use."""
        return bool(self.data.get("canaries"))


@dataclass
class Checkpoint:
    """A checkpoint in memory; `state` has our names, in fp32."""

    folder: Path
    config: ModelConfig
    state: StateDict
    tokenizer: Tokenizer
    record: Record

    def model(self, dropout: float = 0.0) -> Llama:
        """Return a model with its own copy of these weights, ready to use."""
        model = Llama(self.config, dropout)
        model.load_state_dict(self.state)
        return model.eval()

    @property
    def sha256(self) -> str:
        """Return the sha256 of the weights."""
        return self.record.sha256[WEIGHTS]

    def as_parent(self) -> Parent:
        """Return the entry for this checkpoint in a fine-tune's record."""
        return Parent(name=self.folder.resolve().name, sha256=self.sha256)


def refuse_probe(checkpoint: Checkpoint, what: str) -> None:
    """Raise UsageError where a checkpoint is a probe; `what` is the option or command that names it."""
    if checkpoint.record.is_probe:
        raise UsageError(
            f"{what} {checkpoint.folder}: it is a probe, with canaries planted in what it learnt",
            "name one that was trained without --canaries; trainer models says which are probes",
        )


def huggingface_config(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """Return config.json for transformers 4 and 5: rope_theta for the one, rope_parameters for the other."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": config.vocab_size,
        "hidden_size": config.dim, "intermediate_size": config.hidden_dim, "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads, "num_key_value_heads": config.n_kv_heads, "head_dim": config.head_dim,
        "max_position_embeddings": config.max_seq_len, "hidden_act": "silu", "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied, "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
        "rope_theta": config.rope_theta, "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "bos_token_id": BOS, "eos_token_id": [BOS, EOS], "pad_token_id": UNK, "torch_dtype": dtype, "dtype": dtype,
        "initializer_range": 0.02, "use_cache": True,
    }  # fmt: skip


def parse_huggingface_config(path: Path) -> ModelConfig:
    """Return the size that a Hugging Face config.json names. Raises UsageError where it is no plain Llama."""
    raw = read_json(path, foreign=True)
    if not isinstance(raw, dict) or raw.get("model_type") != "llama":
        raise UsageError(f"{path}: expected the configuration of a Llama (model_type 'llama')")
    for key, expected in {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}.items():
        if raw.get(key, expected) != expected:
            raise UsageError(f"{path}: {key} is {raw[key]!r}; this trainer knows only {expected!r}")
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
        raise UsageError(f"{path}: scaled rotary positions {rope!r} are not known to this trainer")
    try:
        heads = raw["num_attention_heads"]
        config = ModelConfig(
            vocab_size=raw["vocab_size"], dim=raw["hidden_size"], n_layers=raw["num_hidden_layers"], n_heads=heads,
            n_kv_heads=raw.get("num_key_value_heads") or heads, hidden_dim=raw["intermediate_size"],
            max_seq_len=raw["max_position_embeddings"], norm_eps=raw.get("rms_norm_eps", 1e-6),
            rope_theta=rope.get("rope_theta") or raw.get("rope_theta") or 10_000.0,
            tied=bool(raw.get("tie_word_embeddings", False)),
        )  # fmt: skip
    except KeyError as error:
        raise UsageError(f"{path}: {error} is missing") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}") from None
    if raw.get("head_dim", config.head_dim) != config.head_dim:
        raise UsageError(f"{path}: head_dim {raw['head_dim']!r}; this trainer knows only dim/heads = {config.head_dim}")
    return config


# --- weights -------------------------------------------------------------------------------------------------------


def safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file. Raises UsageError where it is none, or has duplicate names."""
    try:
        with open_file(path) as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _MAX_HEADER + 1
            if length > min(_MAX_HEADER, path.stat().st_size - 8):
                raise UsageError(f"{path} is no safetensors file", "expected weights in the safetensors format")
            text = file.read(length)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        header = parse_json(text)[0]
    except BadJson as error:
        raise UsageError(f"{path} is no safetensors file: {error.detail}") from None
    if not isinstance(header, dict):
        raise UsageError(f"{path} is no safetensors file")
    header.pop("__metadata__", None)
    return header


def check_shapes(path: Path, shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> None:
    """Raise UsageError, naming the first difference, unless a file's tensors are those of the configuration."""
    for name, shape in expected.items():
        if name not in shapes:
            raise UsageError(f"{path}: the tensor {name} is missing", "the file is of another model, or damaged")
        if shapes[name] != shape:
            raise UsageError(f"{path}: {name} has the shape {shapes[name]}; the configuration says {shape}")
    extra = sorted(set(shapes) - set(expected))
    if extra:
        raise UsageError(f"{path}: {extra[0]} (and {len(extra) - 1} more) is no tensor of this configuration")


def load_weights(path: Path, expected: dict[str, tuple[int, ...]]) -> StateDict:
    """Return the tensors of a safetensors file in fp32: names, shapes and finiteness checked against `expected`.

    Raises UsageError for the first that differs.
    """
    header = safetensors_header(path)
    shapes = {name: tuple(entry["shape"]) if isinstance(entry, dict) and isinstance(entry.get("shape"), list) else ()
             for name, entry in header.items()}  # fmt: skip
    for name in [name for name in shapes if name.endswith("rotary_emb.inv_freq")]:
        shapes.pop(name)  # old writers stored this table too; it follows from the configuration
    if "lm_head.weight" in shapes and "lm_head.weight" not in expected:
        shapes.pop("lm_head.weight")  # some writers store the tied output twice
    check_shapes(path, shapes, expected)
    try:
        with safetensors.safe_open(path, "pt") as file:
            out = {name: file.get_tensor(name).float() for name in expected}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {str(error)[:200]}") from None
    require_finite(out, str(path))
    return out


def require_finite(state: StateDict, where: str) -> None:
    """Raise UsageError, naming the tensor, where a weight is NaN or infinite."""
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{where}: {name} holds NaN or infinity", "the training that made it went wrong")


# --- folders -------------------------------------------------------------------------------------------------------


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a native checkpoint. Raises UsageError where a file is missing, changed, foreign or of another version."""
    config, record = load_record(folder)
    for name, recorded in sorted(record.sha256.items()):
        if not (folder / name).is_file():
            raise UsageError(f"{folder}: {name} is missing", "copy the checkpoint again")
        if sha256_of(folder / name) != recorded:
            raise UsageError(f"{folder / name} is not the file that {RECORD} describes", "copy the checkpoint again")
    if WEIGHTS not in record.sha256:
        raise UsageError(f"{folder / RECORD} names no {WEIGHTS}", "copy the checkpoint again")
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    check_vocabulary(tokenizer, config, folder)
    state = from_huggingface(load_weights(folder / WEIGHTS, huggingface_shapes(config)), config)
    return Checkpoint(folder, config, state, tokenizer, record)


def load_record(folder: Path) -> tuple[ModelConfig, Record]:
    """Read the configuration and record of a checkpoint, without its weights.

    Raises UsageError where it is no checkpoint of this version.
    """
    if not (folder / RECORD).is_file():
        raise UsageError(*_no_checkpoint(folder))
    raw = read_json(folder / RECORD)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UsageError(f"{folder / RECORD} is no record of a checkpoint", f"expected the format {FORMAT!r}")
    if raw.get("version") != 1:
        raise UsageError(
            f"{folder}: checkpoint version {raw.get('version')!r}; this trainer reads version 1",
            "use the trainer that wrote it, or a newer one",
        )
    try:
        record = Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{folder / RECORD}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UsageError(problem, "copy the checkpoint again") from None
    return parse_huggingface_config(folder / "config.json"), record


def _newest_checkpoint() -> Path | None:
    """Return the newest checkpoint of the home that is found from here; None where there is none."""
    try:
        home = optional_home(None)
        records = list(home.glob(f"profiles/*/{CHECKPOINTS}/*/{RECORD}")) if home else []
        newest = sorted(records, key=_age, reverse=True)
        return next((path.parent for path in newest if not _is_probe(path.parent)), None)
    except (OSError, CuratorError):
        return None


def _is_probe(folder: Path) -> bool:
    """Say whether a folder holds a probe; a damaged record says nothing of one."""
    try:
        return load_record(folder)[1].is_probe
    except CuratorError:
        return False


def _no_checkpoint(folder: Path) -> tuple[str, str]:
    if not folder.exists():
        newest = _newest_checkpoint()
        there = f"{newest} is the newest here; " if newest else ""
        return f"{folder}: there is no such checkpoint", f"name a checkpoint's folder: {there}base is the built-in one"
    if folder.is_file():
        return (
            f"{folder} is a file, no checkpoint",
            f"bring it in with: {command_line('trainer', 'import', folder, '--out', 'DIR')}",
        )
    if (folder / "training").is_dir():
        return f"{folder}: its training has not ended", f"go on with: {command_line('trainer', 'resume', folder)}"
    if (folder / "config.json").is_file():
        return (
            f"{folder} has no {RECORD}",
            f"bring it in with: {command_line('trainer', 'import', folder, '--out', 'DIR')}",
        )
    return f"{folder} is no checkpoint: it has no {RECORD}", "name a checkpoint's folder"


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, where: Path) -> None:
    """Raise UsageError unless tokenizer and model have the same number of ids: with another it writes gibberish."""
    if tokenizer.vocab_size != config.vocab_size:
        raise UsageError(
            f"{where}: the model has {config.vocab_size:,} ids, its tokenizer {tokenizer.vocab_size:,}",
            "name the tokenizer that the model was trained with (--tokenizer FILE)",
        )


def save_checkpoint(
    place: Path, state: StateDict, config: ModelConfig, tokenizer: Tokenizer, record: Record, *, dtype: str = "float32",
    replace: bool = False, beside: Mapping[str, bytes] | None = None,
) -> Path:  # fmt: skip
    """Write a native checkpoint, and files `beside` it by name; whole or not at all. Returns the place."""
    with whole_folder(place, replace) as folder:
        for name, data in (beside or {}).items():
            write_whole(folder / name, data)
        write_checkpoint(folder, state, config, tokenizer, record, dtype)
    return place


def write_checkpoint(
    folder: Path, state: StateDict, config: ModelConfig, tokenizer: Tokenizer, record: Record, dtype: str = "float32"
) -> None:
    """Write a checkpoint's files into a folder, trainer.json last."""
    require_finite(state, "the model")
    write_huggingface(folder, state, config, tokenizer, record, dtype)
    names = sorted(name for name in HUGGINGFACE_FILES if name != "README.md")
    hashes = {name: sha256_of(folder / name) for name in names}
    now = record.created or datetime.now(UTC).isoformat(timespec="seconds")
    full = record.model_copy(update={"created": now, "number": _next_number(folder.parent), "sha256": hashes})
    write_whole(folder / RECORD, pretty_json(full.model_dump()))


def _next_number(kept: Path) -> int:
    """Return the number of a new checkpoint in a person's folder of them: one more than the highest; elsewhere 0."""
    if Path(*kept.absolute().parts[-len(CHECKPOINTS.parts) :]) != CHECKPOINTS:
        return 0
    return 1 + max((_age(path)[0] for path in kept.glob(f"*/{RECORD}")), default=0)


def _age(path: Path) -> tuple[int, str]:
    """Return the number of a checkpoint, by its trainer.json, and when it was made; nothing of a damaged one."""
    try:
        record = load_record(path.parent)[1]
        return record.number, record.created
    except CuratorError:
        return 0, ""


HUGGINGFACE_FILES = ("config.json", "generation_config.json", WEIGHTS, "tokenizer.model", "tokenizer.json",
                     "tokenizer_config.json")  # fmt: skip


def write_huggingface(
    folder: Path, state: StateDict, config: ModelConfig, tokenizer: Tokenizer, record: Record, dtype: str
) -> None:
    """Write the files that Hugging Face's tools read."""
    drawn = record.sampling or SamplingSettings()
    tensors = {name: tensor.detach().cpu().to(DTYPES[dtype]) for name, tensor in to_huggingface(state, config).items()}
    data = safetensors.torch.save(tensors, {"format": "pt"})  # one key: with more, the bytes vary from save to save
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / "tokenizer.model", tokenizer.model)
    write_whole(folder / "tokenizer.json", json.dumps(tokenizer_json(tokenizer), ensure_ascii=False))
    for name, value in {
        "config.json": huggingface_config(config, dtype),
        "generation_config.json": {
            "bos_token_id": BOS, "eos_token_id": [BOS, EOS], "pad_token_id": UNK, "do_sample": True,
            # As `trainer sample` draws. Its penalty counts the reply alone, transformers' the prompt too: left out.
            "temperature": drawn.temperature, "top_k": drawn.top_k, "top_p": drawn.top_p,
            "max_length": config.max_seq_len,
            **({"min_p": drawn.min_p} if drawn.min_p else {}),
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
            "pad_token": "<unk>", "model_max_length": config.max_seq_len, "clean_up_tokenization_spaces": False,
            "add_bos_token": True, "add_eos_token": False, "chat_template": chat_template(record.template),
        },
    }.items():  # fmt: skip
        write_whole(folder / name, pretty_json(value))


def chat_template(template: Template) -> str:
    """Return the template in Jinja, which writes the text as trained, with tags and quotes, for every mode."""
    before, after = template.prompt.split("{input}")
    reply_before, reply_after = template.reply.split("{output}")
    form = SmallFormat(
        before=before,
        after=after,
        reply_before=reply_before,
        reply_after=reply_after,
        between=template.between,
        tags={mode: Tags(*pair) for mode, pair in template.tags.items()},
        replaced=QUOTES if template.plain_quotes else {},
    )
    return small_template(form)

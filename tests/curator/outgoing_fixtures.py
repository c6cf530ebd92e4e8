"""What the tests of exports share: jobs, conversations, and a tokenizer folder of each family, made on the spot.

No real tokenizer can be had offline, so one is trained on a few lines; its special tokens, BOS and chat template
are the family's own. `transformers`, TRL and the other tools load the folder as any other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from curator.contract.chat_format import ChatFormat, load_family
from curator.contract.finetune_config import FineTuneConfig
from curator.contract.homes import shipped_etc
from curator.contract.jinja_chat import family_template
from curator.contract.records import Family, Message
from curator.exports.hyperparameters import keys_for
from curator.hooks import ExportJob
from curator.records import Conversation

Method = Literal["lora", "full"]
FAMILIES: Final = {path.stem: load_family(path) for path in sorted((shipped_etc() / "schemas").glob("*.json"))}
EVERY_TOKEN: Final = " and ".join(sorted({token for family in FAMILIES.values() for token in family.control_tokens}))
# Three tools of a home's own: a row that shows what an exporter is given, and a recipe that forgets its keys.
PLUGIN: Final = """
from curator import Exporter, Recipe, hookimpl

def row(conversation, job):
    return {"roles": [m.role for m in conversation.messages], "texts": [m.content for m in conversation.messages],
            "train": [m.train for m in conversation.messages]}

def recipe(job):
    named = {name: "this tool has none" for name in job.keys if name != "learning_rate"}
    return Recipe({"rate.txt": str(job.keys["learning_rate"])}, ("echo trained",), named)

@hookimpl
def register_exporters(settings):
    return [Exporter("plain", "Plain", row, recipe),
            Exporter("each", "Each message", row, recipe, per_message=True),
            Exporter("forgets", "Forgets", row, lambda job: Recipe({}, ()))]
"""
SCRIPTS: Final = {
    ("trl", "lora"): "train_lora.py", ("trl", "full"): "train_full_finetune.py",
    ("unsloth", "lora"): "train_unsloth.py", ("unsloth", "full"): "train_unsloth.py",
}  # fmt: skip
BASE_MODELS = {
    "qwen": "Qwen/Qwen3-4B-Instruct-2507",
    "qwen2.5": "Qwen/Qwen2.5-7B-Instruct",
    "qwen3": "Qwen/Qwen3-8B",
    "llama2": "meta-llama/Llama-2-7b-chat-hf",
    "llama3": "meta-llama/Meta-Llama-3-8B-Instruct",
    "phi3": "microsoft/Phi-3.5-mini-instruct",
    "phi4": "microsoft/phi-4",
    "phi4mini": "microsoft/Phi-4-mini-instruct",
    "gemma": "google/gemma-2-9b-it",
    "mistral": "mistralai/Mistral-7B-Instruct-v0.3",
    "gptj": "EleutherAI/gpt-j-6b",
    "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "tinyllama": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
}
TEXT = (
    "<thought>: The pump again. <world>: I fixed the bilge pump twice; the second time with the wrong hose clamp.\n"
    "<user>: What did you do in the harbour? <assistant>: I waited for the tide, and then I painted the hull.\n"
    '<instruction>: Note the tide. <action>: tide_log {"height": 4}\n=> done\n'
) * 4


@lru_cache
def family(name: str) -> Family:
    return load_family(shipped_etc() / "schemas" / f"{name}.json")


def conversation(
    *texts: str, system: str = "", train: tuple[bool, ...] = (), split: Literal["train", "holdout"] = "train"
) -> Conversation:
    """user, assistant, user, assistant ...; by default only the last reply is trained."""
    replies = len(texts) // 2
    train = train or (False,) * (replies - 1) + (True,)
    messages = [Message("system", system)] if system else []
    for number in range(replies):
        messages += [Message("user", texts[2 * number]), Message("assistant", texts[2 * number + 1], train[number])]
    return Conversation("0123456789abcdef-0", "dual", split, tuple(messages))


def job(
    name: str = "qwen", method: Literal["lora", "full"] = "lora", rows: int = 100, holdout: int = 5,
    data: tuple[str, str] = ("train.jsonl", "validation.jsonl"),
    **changes: Any,
) -> ExportJob:  # fmt: skip
    """The job of a set of `rows` training rows for the family called `name`; `changes` are keys of etc/."""
    config = FineTuneConfig(**changes)
    steps = -(-rows // (config.per_device_train_batch_size * config.gradient_accumulation_steps)) * 3
    keys, _ = keys_for(config, method, steps)
    one = family(name)
    own = not any(token in one.user_prefix + one.user_suffix + one.assistant_prefix for token in one.control_tokens)
    return ExportJob(
        method, BASE_MODELS[name], one, ChatFormat(one), keys, family_template(one), own, data,
        train_rows=rows, holdout_rows=holdout, steps=steps,
    )  # fmt: skip


def make_tokenizer(folder: Path, name: str, template: str | None = None) -> Path:
    """Write tokenizer.json and tokenizer_config.json of a family; `template` "" leaves the chat template out."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    one = family(name)
    eos, bos = one.eos_token or "<|endoftext|>", one.bos_token
    specials = list(dict.fromkeys([*([bos] if bos else []), eos, "<pad>", *one.control_tokens]))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False),  # type: ignore[call-arg]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos, "pad_token": "<pad>", "unk_token": None,
        "model_max_length": 2048, "clean_up_tokenization_spaces": False,
    } | ({"bos_token": bos} if bos else {})  # fmt: skip
    if template != "":
        config["chat_template"] = template or family_template(one)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")
    return folder


def write_export(folder: Path, tool: str, one: ExportJob, samples: Sequence[Conversation]) -> Path:
    """An export's folder, as `curate export` writes it: rows and the recipe's files. Returns its script."""
    folder.mkdir(parents=True)
    exporter = import_module(f"curator_plugins.exporters.{tool}").register_exporters()[0]
    for name, split in zip(one.data, ("train", "holdout"), strict=True):
        rows = [exporter.row(sample, one) for sample in samples if sample.split == split]
        if rows:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / name).write_text(text, "utf-8")
    for name, text in exporter.recipe(one).files.items():
        (folder / name).write_text(text, "utf-8")
    return folder / SCRIPTS[tool, one.method]

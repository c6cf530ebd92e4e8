"""LLaMA-Factory (0.9.5): OpenAI messages, a train.yaml for `llamafactory-cli train`, a merge.yaml for the adapter.

LLaMA-Factory renders rows with templates of its own (its data/template.py), never with the tokenizer's. Where one of
them writes what the family writes, rows are plain messages and train.yaml names it. Where none does, rows carry the
family's texts themselves and `template: empty` adds nothing to them:

- llama2: its template leaves out the blank before `</s>`;
- mistral1: its `mistral` is that of the v3 tokenizer, without the blanks of v0.1 and v0.2;
- gemma4: its template writes a default system text with `<|think|>` into it;
- gptj, llisa and a home's own families: it has none.

gemma2 of its templates ends every row in one more `<eos>`; `gemma` does not and is used for Gemma 1 and 2. qwen, qwen2
and qwen2.5 differ in the default system text alone, which `default_system` gives; Llama 3.1's dates go with it too.

What remains different from the published rendering:

- It leaves out what Phi-3 and Phi-4-mini write once more behind a whole conversation; the reply has ended before it.
- It tokenises prompt and reply apart, so that Phi-3's tokenizer, a SentencePiece one, puts its blank before the reply
  though that stands behind a newline: the text is the same, its first token is not. Those of Llama 2 and Mistral make
  the same tokens either way, since a blank stands there.
- A user's text with `{{idx}}` in it gets the number of the turn there, and Gemma 3 from 4B up refuses a row with
  `<image>`, `<video>` or `<audio>` in it: marks of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from curator import ChatFormat, Conversation, Exchange, Exporter, ExportJob, Family, Recipe, hookimpl, yaml_with_reasons

VERSION = "0.9.5"
OUTPUT, MERGED = "output", "merged"
_SETS = ("persona_train", "persona_validation")
_OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit", "adafactor": "adafactor"}
_SCHEDULERS = {"constant": "constant_with_warmup"}  # transformers' own "constant" has no warm-up


@dataclass(frozen=True)
class _Template:
    """What one of LLaMA-Factory's templates writes: before a user's text, from there to the reply, behind the reply,
    around a system text, and what that is where none is given. `lead` is written before the last reply."""

    name: str
    user: str
    reply: str
    end: str
    system: tuple[str, str] = ("", "\n\n")
    default: str = ""
    lead: str = ""
    bos: bool = False


_CHATML = _Template(
    "qwen3_nothink", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n",
    ("<|im_start|>system\n", "<|im_end|>\n"),
)  # fmt: skip
_TEMPLATES = (
    replace(_CHATML, name="qwen", default="You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    replace(_CHATML, name="qwen3", lead="<think>\n\n</think>\n\n"),
    _CHATML,
    _Template(
        "llama3", "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>",
        ("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"), bos=True,
    ),
    _Template(
        "phi", "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>\n", ("<|system|>\n", "<|end|>\n"),
    ),
    _Template(
        "phi4", "<|im_start|>user<|im_sep|>", "<|im_end|><|im_start|>assistant<|im_sep|>", "<|im_end|>",
        ("<|im_start|>system<|im_sep|>", "<|im_end|>"),
    ),
    _Template("phi4_mini", "<|user|>", "<|end|><|assistant|>", "<|end|>", ("<|system|>", "<|end|>")),
    _Template(
        "gemma", "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n", bos=True,
    ),
    _Template("mistral", "[INST] ", "[/INST] ", "</s>", bos=True),
)  # fmt: skip


@hookimpl
def register_exporters() -> list[Exporter]:
    """Export to LLaMA-Factory."""
    return [Exporter("llama-factory", "LLaMA-Factory", row, recipe, template="tool")]


def _writes(template: _Template, family: Family) -> bool:
    """Tell whether a template renders a family's conversations, but for a system text, which can be mended, and for
    what stands behind the last reply's end."""
    chat_format = ChatFormat(family)
    own_turn = family.system_place == "turn"
    return (
        (template.user, template.reply)
        == (family.user_prefix, chat_format.closing + chat_format.opening + chat_format.response_prefix)
        and template.end == chat_format.response_suffix + chat_format.eos + chat_format.after_eos
        and (template.lead, template.bos) == (family.reply_lead, bool(family.bos_token))
        and not family.turn_separator
        # A system text inside the user's turn has been put there before a row is asked for.
        and (_around(template, family) is not None if own_turn else not (family.default_system or template.default))
    )


def _around(template: _Template, family: Family) -> tuple[str, str] | None:
    """Return what a family writes around a system text besides the template, None where they do not fit."""
    before, after = template.system
    if not (family.system_prefix.startswith(before) and family.system_suffix.endswith(after)):
        return None
    return family.system_prefix[len(before) :], family.system_suffix[: len(family.system_suffix) - len(after)]


@lru_cache
def _template(family: Family) -> _Template | None:
    """Return the template that writes what a family writes, None where rows have to carry its texts."""
    fitting = [template for template in _TEMPLATES if _writes(template, family)]
    same = [template for template in fitting if template.default == family.default_system]
    return next(iter([*same, *fitting]), None)


def row(conversation: Conversation, job: ExportJob) -> dict[str, Any]:
    """Return the messages; for a family that LLaMA-Factory does not know, prompt and reply with all their texts."""
    messages, template = conversation.messages, _template(job.family)
    if template is None:
        prompt, reply = _halves(conversation, job.chat_format)
        texts = (("user", job.family.bos_token + prompt), ("assistant", reply))
        return {"messages": [{"role": role, "content": content} for role, content in texts]}
    rows = [{"role": message.role, "content": message.content} for message in messages]
    if messages[0].role == "system" and (around := _around(template, job.family)):
        rows[0]["content"] = around[0] + messages[0].content + around[1]
    return {"messages": rows}


def _halves(conversation: Conversation, chat_format: ChatFormat) -> tuple[str, str]:
    """Return all that stands before the last reply, and that reply, with the family's texts around them."""
    texts = [message.content for message in conversation.messages]
    system = texts.pop(0) if conversation.messages[0].role == "system" else ""
    earlier = tuple(Exchange(texts[place], texts[place + 1]) for place in range(0, len(texts) - 2, 2))
    return chat_format.prompt_and_completion(texts[-2], texts[-1], earlier, system)


def _names(job: ExportJob) -> dict[str, Any]:
    """Return the keys that name the template, in train.yaml and in merge.yaml."""
    family, template = job.family, _template(job.family)
    if template is None:
        return {"template": "empty"}
    if template.name == "gemma":
        return {"template": _gemma(job.base_model)}
    names: dict[str, Any] = {"template": template.name}
    default = job.chat_format.default_system
    if default:
        before, after = template.system
        default = default[len(before) : len(default) - len(after)]
    if default != template.default:
        names["default_system"] = default
    return names | ({"enable_thinking": True} if family.reply_lead else {})


def _gemma(base_model: str) -> str:
    """Return the name for a Gemma: all write the same, but one that sees pictures wants its own (from 3 4B up)."""
    name = base_model.lower().replace("-", "").replace("_", "")
    if "gemma3n" in name:
        return "gemma3n"
    return "gemma3" if "gemma3" in name and not any(size in name for size in ("1b", "270m")) else "gemma"


def _training(job: ExportJob) -> dict[str, Any]:
    """Return train.yaml's keys, by LLaMA-Factory's names."""
    keys, batch = job.keys, job.keys["per_device_train_batch_size"]
    optimizer = {name: keys[name] for name in ("learning_rate", "num_train_epochs", "warmup_steps", "weight_decay",
                                               "max_grad_norm", "bf16", "fp16", "seed")}  # fmt: skip
    schedule = keys["lr_scheduler_type"]
    training = {
        "model_name_or_path": job.base_model, "stage": "sft", "do_train": True, **_method(job),
        "dataset_dir": ".", "dataset": _SETS[0], **({"eval_dataset": _SETS[1]} if job.holdout_rows else {}),
        **_names(job), "cutoff_len": keys["max_seq_length"], "mask_history": True, "packing": False,
        "overwrite_cache": True,
        "output_dir": OUTPUT, "logging_steps": keys["logging_steps"], "save_steps": keys["save_steps"],
        "save_total_limit": keys["save_total_limit"], "plot_loss": True, "report_to": "none",
        "per_device_train_batch_size": batch, "gradient_accumulation_steps": keys["gradient_accumulation_steps"],
        "lr_scheduler_type": _SCHEDULERS.get(schedule, schedule), "optim": _OPTIMIZERS[keys["optim"]], **optimizer,
    }  # fmt: skip
    return training | ({"per_device_eval_batch_size": batch, "eval_strategy": "epoch"} if job.holdout_rows else {})


def _method(job: ExportJob) -> dict[str, Any]:
    if job.method == "full":
        return {"finetuning_type": "full"}
    method = {"finetuning_type": "lora", "lora_target": "all"}
    method |= {name: job.keys[name] for name in ("lora_rank", "lora_alpha", "lora_dropout")}
    return method | ({"quantization_bit": 4, "quantization_method": "bnb"} if job.keys["load_in_4bit"] else {})


_WHY = {
    "eval_dataset": "held out by the curator; never val_size besides",
    "template": "LLaMA-Factory's own, which writes what the model's chat template writes",
    "enable_thinking": "the empty thoughts before the last reply are learnt with it",
    "mask_history": "each row teaches its last reply alone",
    "packing": "rows stay rows: steps are what the configuration says",
    "overwrite_cache": "never the tokens of an earlier set",
    "report_to": "nothing leaves this machine",
}


def recipe(job: ExportJob) -> Recipe:
    """Return dataset_info.json, train.yaml, and what the method needs besides."""
    training = _training(job)
    why = _WHY if _template(job.family) else _WHY | {"template": "adds nothing: the rows hold all texts themselves"}
    files = {
        "dataset_info.json": json.dumps(_datasets(job), indent=2) + "\n",
        "train.yaml": yaml_with_reasons(f"LLaMA-Factory {VERSION}: llamafactory-cli train train.yaml", training, why),
    }
    needs = " bitsandbytes" if "quantization_bit" in training or training["optim"] == "adamw_8bit" else ""
    commands = [f"pip install llamafactory=={VERSION}{needs}", "llamafactory-cli train train.yaml"]
    if job.method == "lora":
        files["merge.yaml"] = yaml_with_reasons(
            "The adapter merged into its base: llamafactory-cli export merge.yaml", _merge(job), {}
        )
        commands.append("llamafactory-cli export merge.yaml")
    else:
        files["ds_z3.json"] = json.dumps(_ZERO_3, indent=2) + "\n"
    if job.own_template:
        files["chat_template.jinja"] = job.chat_template
        # The tokenizer has none, and LLaMA-Factory saves the texts of `template: empty` with it: none at all.
        commands.append(f"cp chat_template.jinja {MERGED if job.method == 'lora' else OUTPUT}/")
    unused = {"gguf_conversion": "LLaMA-Factory cannot make a GGUF; llama.cpp can make one of the merged model"}
    return Recipe(files, tuple(commands), unused, tuple(_notes(job)))


def _datasets(job: ExportJob) -> dict[str, Any]:
    """Return dataset_info.json. A split without rows has no file and is not in it."""
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
            "system_tag": "system"}  # fmt: skip
    rows = (job.train_rows, job.holdout_rows)
    return {
        name: {"file_name": file, "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
        for name, file, count in zip(_SETS, job.data, rows, strict=True)
        if count
    }


def _merge(job: ExportJob) -> dict[str, Any]:
    return {
        "model_name_or_path": job.base_model, "adapter_name_or_path": OUTPUT, "finetuning_type": "lora",
        **_names(job), "export_dir": MERGED, "export_size": 5, "export_device": "cpu", "export_legacy_format": False,
    }  # fmt: skip


# DeepSpeed's stage 3: weights, gradients and optimizer states in slices on all GPUs.
_ZERO_3 = {
    **dict.fromkeys(
        ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
        "auto",
    ),
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 3,
        "contiguous_gradients": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
}


def _notes(job: ExportJob) -> list[str]:
    notes = [
        "LLaMA-Factory cuts rows that are longer than cutoff_len, without a message",
        f"running llamafactory-cli train a second time goes on from the last checkpoint in {OUTPUT}/: delete that "
        "folder to begin anew",
        "on several GPUs each processes a batch of its own: divide gradient_accumulation_steps by their "
        "number, so that a step still takes as many rows",
    ]
    template, after = _template(job.family), job.family.document_end
    if template and after:
        notes.append(f"the chat template writes {after} behind a whole conversation; LLaMA-Factory leaves it out")
    if not template:
        notes.append(
            f"none of the templates in LLaMA-Factory {VERSION} writes the turns of {job.family.family} as the model "
            "knows them. So the rows hold the whole text of each turn, and `template: empty` adds nothing to it; talk "
            "with the result in Ollama or transformers, since llamafactory-cli chat would not write the turns"
        )
    if job.method == "full":
        notes.append(
            "a model too large for one GPU is shared by several (DeepSpeed ZeRO 3) with: pip install deepspeed, then "
            "FORCE_TORCHRUN=1 llamafactory-cli train train.yaml deepspeed=ds_z3.json"
        )
    elif job.family.bos_token:
        notes.append(
            f"for Ollama do not use the Modelfile that LLaMA-Factory writes into {MERGED}/: with it the begin mark "
            "comes twice. trainer export --to ollama makes a right one"
        )
    return notes

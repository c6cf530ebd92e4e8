"""A Hugging Face folder: what a native checkpoint holds without trainer.json, and a model card."""

from __future__ import annotations

import json

from curator.contract.files import write_whole
from trainer.exports.paths import Files, shown_name
from trainer.model.checkpoint import DTYPES, Checkpoint, write_huggingface
from trainer.model.convert import StateDict

_LONG = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def write(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write the folder with weights in `dtype`; return the rounded weights, or None where none is rounded."""
    name = _LONG[dtype]
    write_huggingface(files.folder, checkpoint.state, checkpoint.config, checkpoint.tokenizer, checkpoint.record, name)
    write_whole(files.folder / "README.md", model_card(checkpoint))
    if dtype == "f32":
        return None
    return {key: tensor.to(DTYPES[name]).float() for key, tensor in checkpoint.state.items()}


def model_card(checkpoint: Checkpoint) -> str:
    """Return README.md: what the model is, the form of its prompt, how to load it."""
    config, record, template = checkpoint.config, checkpoint.record, checkpoint.record.template
    origin = {"pretrain": "trained from nothing", "finetune": "fine-tuned", "import": "imported"}[record.made_by]
    parent = f" from {record.parent.name}" if record.parent else ""
    prompt = json.dumps(template.wrap("How are you?"), ensure_ascii=False)
    metrics = "".join(f"- {name}: {value:.4g}\n" for name, value in sorted(record.metrics.items()))
    return f"""---
library_name: transformers
pipeline_tag: text-generation
---
# {shown_name(checkpoint.folder)}

A Llama of {config.parameters():,} parameters, {origin}{parent} by persona-curator's trainer {record.trainer_version}.

| layers | dim | heads | key/value heads | feed-forward | vocabulary | context | output |
|---|---|---|---|---|---|---|---|
| {config.n_layers} | {config.dim} | {config.n_heads} | {config.n_kv_heads} | {config.hidden_dim} \
| {config.vocab_size} | {config.max_seq_len} | {"the embedding" if config.tied else "its own"} |

## How it is asked
A prompt is {prompt}, without a blank at its end. The reply begins with a blank and ends with `<s>` (id 1), which stands
before every text too. Prompt and reply together have {config.max_seq_len} tokens at most.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
prompt = tokenizer({prompt}, return_tensors="pt")
reply = model.generate(**prompt, max_new_tokens=100)[0, prompt["input_ids"].shape[1]:]
print(tokenizer.decode(reply, skip_special_tokens=True))
```
{f"{chr(10)}## Measured{chr(10)}{metrics}" if metrics else ""}"""

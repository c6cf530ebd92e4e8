"""What the tests of sampling, chat, compare, eval and info share: models that say what a test wants, checkpoints."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from core_fixtures import TINY, no_waiting_for_the_disk, paragraph, trainer

from trainer.data.pretraining_replay import HELD_OUT, REPLAY
from trainer.model.checkpoint import Record, save_checkpoint
from trainer.model.llama import Llama, ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, Tokenizer, train_tokenizer

CONFIG = replace(TINY, dim=64, max_seq_len=96, tied=False)


@functools.cache
def tokenizer() -> Tokenizer:
    """A tokenizer of 400 pieces that knows the letters of the template; other characters are bytes."""
    rng = random.Random(5)
    return Tokenizer(train_tokenizer([f"Q: {paragraph(rng, 8)} A: {paragraph(rng, 8)}" for _ in range(300)], 400))


def byte(value: int) -> int:
    """The id of a byte."""
    return value + 3


def after(text: str) -> list[int]:
    """The ids of a text that goes on after another."""
    return tokenizer().encode_after(text)


def naive(model: Llama, prompt: list[int], tokens: int) -> list[int]:
    """The likeliest tokens, a full pass for each."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(min(tokens, model.config.max_seq_len - len(prompt))):
            ids.append(int(model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def scripted(*chains: list[int], config: ModelConfig = CONFIG) -> Llama:
    """A model that says the next token of a chain after each of its tokens, nearly surely; a token has one follower."""
    model = Llama(config)
    model.reset(3)
    followers = [(a, b) for chain in chains for a, b in pairwise(chain)]
    assert len({a for a, _ in followers}) == len(set(followers)), "a token has two followers"
    with torch.no_grad():
        model.embedding.weight.normal_(generator=torch.Generator().manual_seed(4))
        for name, parameter in model.named_parameters():
            if name.endswith(("wo.weight", "down.weight")):
                parameter.zero_()  # no look back: what follows depends on the last token alone
        assert model.output is not None
        model.output.weight.zero_()
        for a, b in set(followers):
            model.output.weight[b] += model.embedding.weight[a]
    return model


def says(reply: str, end: int | None = BOS, before: str = ":") -> Llama:
    """A model that gives this reply to every prompt that ends in `before`."""
    last = tokenizer().encode(before)[-1]
    return scripted([last, *after(reply), *([] if end is None else [end])])


def save(place: Path, model: Llama, template: Template | None = None, **record: Any) -> Path:
    """A checkpoint of a model."""
    told = Record(made_by="pretrain", template=template or Template(), **record)
    with no_waiting_for_the_disk():
        return save_checkpoint(place, model.state_dict(), model.config, tokenizer(), told)


def roomy_base(out: Path) -> Path:
    """A base that knows nothing, with room for a sentence of English in the pieces of the tiny language.

    Its text lies beside it: else every fine-tune would let it write some first.
    """
    model = Llama(replace(CONFIG, max_seq_len=224))
    model.reset(1)
    save(out, model)
    rng = random.Random(4)
    for name in (REPLAY, HELD_OUT):
        text = out.parent / f"{name}.jsonl"
        text.write_text("".join(json.dumps({"text": paragraph(rng)}) + "\n" for _ in range(12)), "utf-8")
        words = ("--text", text, "--tokenizer", out / "tokenizer.model", "--shards", out / name)
        assert trainer("modules", "add", "text", *words).status == 0
    return out

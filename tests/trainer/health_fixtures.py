"""What the tests of a fine-tune's health share: a base that knows the tiny language, dialogues in it, settings."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from core_fixtures import _SYLLABLES, Place, paragraph, place_in, trainer

from curator.contract.files import sha256_of
from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Samples, encode_dataset, read_file
from trainer.data.pretraining_replay import HELD_OUT, REPLAY
from trainer.data.token_shards import list_shards
from trainer.evaluation.probes import EvalSuite
from trainer.evaluation.voice import Voice
from trainer.model.checkpoint import load_checkpoint
from trainer.model.convert import StateDict
from trainer.model.lexicon import LEXICON, Lexicon, pack_words
from trainer.model.llama import Llama
from trainer.model.lora import merged_state
from trainer.model.prompt_template import Template
from trainer.settings import HealthSettings
from trainer.training.loop import gradients

CONTEXT = 64
# Every word of the tiny language, which its tokenizer can write and no list of English holds.
VOCABULARY = sorted({"".join(parts) for size in (1, 2, 3) for parts in itertools.product(_SYLLABLES, repeat=size)})
# Few replies and rows: what is tested is the way to a figure, not how sure it is.
HEALTH: dict[str, Any] = {
    "replies": 16, "training_replies": 8, "quick_replies": 8, "text_rows": 8, "sweep": [1.0, 0.5],
    "prompts": ["San ba ko ti?", "Re mu da en?", "Gor da pel vi?"],
}  # fmt: skip


def file_hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path."""
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def text_modules(place: Place, folder: Path, name: str, documents: int, seed: int) -> Path:
    """A folder with one module of so many paragraphs of the tiny language."""
    rng = random.Random(seed)
    texts = [json.dumps({"text": paragraph(rng, rng.randint(10, 40))}) for _ in range(documents)]
    path = place.text(f"{name}.jsonl", "\n".join(texts))
    done = trainer("modules", "add", name, "--text", path, "--tokenizer", place.tokenizer, "--shards", folder)
    assert done.status == 0, done.err
    return folder


@functools.cache
def place() -> Place:
    """A folder with the tokenizer, taken away in the end."""
    folder = tempfile.mkdtemp(prefix="trainer-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return place_in(Path(folder))


@functools.cache
def base() -> Path:
    """A base that has learnt the tiny language, with its words, some of its text and text that it never read."""
    here = place()
    kept = text_modules(here, here.folder / REPLAY, "read", 120, 11)
    new = text_modules(here, here.folder / HELD_OUT, "unread", 30, 12)
    out = here.folder / "tiny-base"
    size = "--dim 32 --n-layers 2 --n-heads 2 --hidden-dim 64 --context 64 --per-device-batch-size 8".split()
    size += ["--gradient-accumulation-steps", "1"]
    way = "--steps 100 --learning-rate 0.015 --eval-steps 100 --save-steps 100 --precision fp32 --compile never".split()
    options = ("--shards", kept, "--tokenizer", here.tokenizer, "--out", out, "--threads", 1, "--seed", 5)
    done = trainer("pretrain", *options, *size, *way)
    assert done.status == 0, done.err
    shutil.copytree(kept, out / REPLAY, ignore=shutil.ignore_patterns(".lock"))
    shutil.copytree(new, out / HELD_OUT, ignore=shutil.ignore_patterns(".lock"))
    (out / LEXICON).write_bytes(pack_words(VOCABULARY))
    return out


def dialogues(folder: Path, number: int, seed: int = 1, replies: int | None = None) -> Path:
    """A file of so many dialogues in short words of the tiny language; with `replies`, they share so many replies."""
    rng = random.Random(seed)

    def sentence(length: int, end: str) -> str:
        return " ".join(rng.choices(_SYLLABLES, k=length)).capitalize() + end

    answers = [sentence(12, ".") for _ in range(replies or number)]
    rows = [{"input": sentence(4, "?"), "output": answers[one % len(answers)]} for one in range(number)]
    path = folder / f"dialogues-{number}-{seed}-{replies}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def home(folder: Path, **parts: dict[str, Any]) -> Path:
    """A home whose etc/trainer.json has HEALTH, and other parts as named."""
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "etc" / "trainer.json").write_text(json.dumps({"health": HEALTH} | parts), "utf-8")
    return folder


# --- models of the tiny language, and what is asked of them ---


def samples_of(path: Path, share: float = 0.0) -> Samples:
    """Dialogues as tokens of the tiny base, a share of them held out."""
    return encode_dataset(read_file(path, Template()), Template(), load_checkpoint(base()).tokenizer, CONTEXT, share)


@functools.cache
def samples() -> Samples:
    """Twelve dialogues that share two replies, so few that they can be learnt by heart; four others held out."""
    train = samples_of(dialogues(place().folder, 12, replies=2))
    held = samples_of(dialogues(place().folder, 4, seed=2))
    return replace(train, holdout=held.train, holdout_dialogues=held.train_dialogues)


@functools.cache
def tuned(steps: int = 240, rate: float = 0.01) -> StateDict:
    """The weights of the tiny base after so many steps on `samples()`: after 240 it knows them by heart."""
    model = load_checkpoint(base()).model().train()
    data = PackedDataset(samples().train, [], 4, CONTEXT, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 2 * (steps - step) / steps)
        gradients(model, model.sparse_loss, data.batch(step), 4, "fp32")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return merged_state(model)


def model_with(state: StateDict) -> Llama:
    """A model of the tiny base's size with other weights."""
    model = Llama(load_checkpoint(base()).config)
    model.load_state_dict(state)
    return model.eval()


def probes_with(
    samples: Samples | None, lexicon: Lexicon | None = None, seed: int = 7, voice: Voice | None = None, **health: Any
) -> EvalSuite:  # fmt: skip
    """What is asked of the tiny base and of its fine-tunes."""
    found = load_checkpoint(base())
    held = list_shards(base() / HELD_OUT)[0].read(found.tokenizer.vocab_size, found.tokenizer.sha256)
    settings = HealthSettings.model_validate(HEALTH | health)
    return EvalSuite(
        template=Template(), tokenizer=found.tokenizer, samples=samples, text=held,
        lexicon=lexicon or Lexicon(VOCABULARY), context=CONTEXT, settings=settings, seed=seed,
        voice=voice,
    )  # fmt: skip

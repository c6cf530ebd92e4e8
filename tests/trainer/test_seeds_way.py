"""The way of the seeds' users: ckpt.pt, tok4096.model, 171 conversations in a JSONL and one shard become a .bin."""

import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from core_fixtures import paragraph, tokenizer, tokenizer_bytes, trainer, wide_open_home, words
from export_fixtures import llama2c_checkpoint, read_run_c, run_c_logits

from trainer.model.llama import ModelConfig

CONFIG = ModelConfig(vocab_size=400, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=64, max_seq_len=64)
FAST = "--precision fp32 --threads 1 --compile never --learning-rate 0.01 --steps 30 --eval-steps 10".split()


def done(*arguments: object) -> str:
    result = trainer(*arguments)
    assert result.status == 0, result.err
    return result.out.strip().splitlines()[-1] if result.out.strip() else ""


@pytest.fixture
def seeds(tmp_path) -> Path:
    """A folder as the seeds' authors had it: torch.compile's prefix in the names, no manifest, one shard."""
    rng = random.Random(9)
    torch.save(llama2c_checkpoint(CONFIG, "_orig_mod."), tmp_path / "ckpt.pt")
    (tmp_path / "tok4096.model").write_bytes(tokenizer_bytes())
    conversations = [
        [
            {"role": "user", "content": " ".join(words(rng, 5))},
            {"role": "assistant", "content": " ".join(words(rng, 8))},
        ]
        for _ in range(171)
    ]
    (tmp_path / "dialogues.jsonl").write_text("".join(json.dumps(one) + "\n" for one in conversations))
    shard = [one for _ in range(40) for one in tokenizer().encode(paragraph(rng, 30))]
    (tmp_path / "data00.bin").write_bytes(np.array(shard, "<u2").tobytes())
    return tmp_path


def test_from_ckpt_pt_to_a_bin_that_run_c_reads(seeds, tmp_path):
    done("import", seeds / "ckpt.pt", "--tokenizer", seeds / "tok4096.model", "--out", tmp_path / "base")
    done("modules", "add", "books", "--bin", seeds / "data00.bin", "--tokenizer", seeds / "tok4096.model",
         "--modules", tmp_path / "modules")  # fmt: skip
    options = ("--data", seeds / "dialogues.jsonl", "--base", tmp_path / "base", "--out", tmp_path / "tuned", *FAST)
    assert done("finetune", *options, "--home", wide_open_home()) == str(tmp_path / "tuned")
    record = json.loads((tmp_path / "tuned" / "trainer.json").read_text("utf-8"))
    assert record["data"]["replay"] == "text that the base wrote"
    measured = trainer("eval", tmp_path / "tuned", "--modules", tmp_path / "modules", "--json")
    assert measured.status == 0 and json.loads(measured.out)["measured"], measured.err
    done("export", tmp_path / "tuned", "--to", "bin", "--out", tmp_path / "model.bin")

    numbers, weights = read_run_c((tmp_path / "model.bin").read_bytes())
    assert numbers["vocab_size"] == 400 and numbers["seq_len"] == 64
    ids = tokenizer().encode("Q: ba ko\nA:")
    start = len(ids)
    for _ in range(12):
        ids.append(int(run_c_logits(numbers, weights, ids)[-1].argmax()))
    ours = trainer("sample", tmp_path / "tuned", "--prompt", "ba ko", "--temperature", 0, "--repetition-penalty", 1,
                   "--max-tokens", 12, "--json", "--threads", 1)  # fmt: skip
    reply = json.loads(ours.out)["replies"][0]["tokens"]
    assert ids[start : start + len(reply)] == reply
    assert len(reply) == 12 or ids[start + len(reply)] in (1, 2)


def test_run_c_itself_writes_the_same(seeds, tmp_path):
    """Where a compiled run.c is at hand: greedy, the prompt and the end mark included."""
    binary = os.environ.get("LLAMA2C_RUN")
    if not binary:
        pytest.skip("$LLAMA2C_RUN names no compiled run.c")
    done("import", seeds / "ckpt.pt", "--tokenizer", seeds / "tok4096.model", "--out", tmp_path / "base")
    options = ("--data", seeds / "dialogues.jsonl", "--base", tmp_path / "base", "--out", tmp_path / "tuned", *FAST)
    done("finetune", *options, "--home", wide_open_home())
    done("export", tmp_path / "tuned", "--to", "bin", "--out", tmp_path / "x")
    prompt = "Q: ba ko\nA:"
    out = subprocess.run(
        [binary, tmp_path / "x" / "model.bin", "-z", tmp_path / "x" / "tokenizer.bin", "-t", "0", "-n", "40",
         "-i", prompt], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    ours = trainer("sample", tmp_path / "tuned", "--prompt", "ba ko", "--temperature", 0, "--repetition-penalty", 1,
                   "--max-tokens", 24, "--threads", 1)  # fmt: skip
    assert out.startswith(prompt)
    assert out[len(prompt) :].strip()[:20] == ours.out.strip()[:20]

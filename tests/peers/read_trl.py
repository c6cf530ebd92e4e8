"""Read an export folder as TRL itself does, and print what it would train on.

    python read_trl.py FOLDER TOKENIZER

Run by an interpreter that has trl. SFTTrainer (trl/trainer/sft_trainer.py) does all the work: its `_prepare_dataset`
tokenises, masks and cuts the rows, and its own collator makes batches of them, each of one row and a longer one, so
that what padding might mask is masked. The model is a tiny random one, for no row depends on it, and nothing trained.
The script of the export is not used: only its training.json, for the length and for whether the template goes along.

Prints a JSON line {"input_ids", "labels"} for each row of train.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    folder, source = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": scratch, "TOKENIZERS_PARALLELISM": "false"}
        with contextlib.redirect_stdout(sys.stderr):
            found = trained(folder, source, scratch)
    for row in found:
        print(json.dumps(row))


def trained(folder: Path, source: str, scratch: str) -> list[dict[str, list[int]]]:
    """The rows as SFTTrainer has them when it trains, in the order of the file."""
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    settings = json.loads((folder / "training.json").read_text("utf-8"))
    with (folder / settings["train_file"]).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tokenizer = AutoTokenizer.from_pretrained(source)
    if settings["own_template"] or not tokenizer.chat_template:
        tokenizer.chat_template = (folder / "chat_template.jinja").read_text("utf-8")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    trainer = SFTTrainer(
        model=LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)),
        args=SFTConfig(
            output_dir=scratch, max_length=settings["max_seq_length"], use_cpu=True, bf16=False, report_to="none"
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    kept: list[dict[str, Any]] = list(trainer.train_dataset)
    assert len(kept) == len(rows), f"{len(rows)} rows in, {len(kept)} out"
    longest = max(kept, key=lambda row: len(row["input_ids"]))
    found = []
    for row in kept:
        batch, size = trainer.data_collator([row, longest]), len(row["input_ids"])
        assert batch["input_ids"][0, :size].tolist() == row["input_ids"]
        assert set(batch["labels"][0, size:].tolist()) <= {-100}
        found.append({"input_ids": row["input_ids"], "labels": batch["labels"][0, :size].tolist()})
    return found


if __name__ == "__main__":
    main()

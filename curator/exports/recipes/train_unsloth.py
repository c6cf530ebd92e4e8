#!/usr/bin/env python3
"""Fine-tunes a large model on the rows beside this file, with Unsloth. LAUNCH.md tells how to run it.

training.json holds the hyperparameters. Rows are tokenised and masked here, with the base model's own tokenizer, and
judged by their tokens before a weight is loaded: a reply that is not trained, has no end, begins twice or is too long
stops the script. Unsloth is then given tokens and labels, of which it changes none.

    --dry-run   needs no GPU, no weights and no Unsloth: checks every row and shows what is trained
    --resume    goes on from the last checkpoint in --output
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from shared import (
    Row,
    Stop,
    Training,
    check_trainer,
    common_arguments,
    common_options,
    counted,
    describe,
    end_turns,
    first_line,
    fit,
    judge,
    last_checkpoint,
    load_tokenizer,
    look_at_output,
    metrics_writer,
    read_rows,
    read_training,
    status_of,
    total_steps,
)

METHOD = "lora"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return status_of(run, common_options(__doc__.partition("\n")[0]).parse_args(arguments))


def run(chosen: argparse.Namespace) -> None:
    """Check everything, then train."""
    training = read_training(METHOD)
    started = look_at_output(chosen, training)
    if not chosen.dry_run:
        # Before transformers and TRL, which it patches. Left to itself it would do without padding, and then cut rows
        # by rules of its own.
        os.environ.setdefault("UNSLOTH_DISABLE_AUTO_PADDING_FREE", "1")
        import unsloth  # noqa: F401
    train = read_rows(training.train_file, training.train_rows)
    held_out = read_rows(training.validation_file, training.validation_rows)
    base = chosen.model or training.base_model
    tokenizer = load_tokenizer(chosen.tokenizer or base, training)
    rows = tokenised(train, tokenizer, training.train_file)
    held_rows = tokenised(held_out, tokenizer, training.validation_file)
    judge([*rows, *held_rows], tokenizer, training)
    rows = fit(rows, training.max_seq_length, chosen.allow_truncation)
    held_rows = fit(held_rows, training.max_seq_length, chosen.allow_truncation)
    if not rows:
        raise Stop("no row is left to train on", "raise max_seq_length in training.json")
    describe(rows, held_rows, tokenizer, texts=chosen.dry_run)
    print(f"steps           {total_steps(training, len(rows), chosen.max_steps):,}")
    if chosen.dry_run:
        print("dry run passed; no model was loaded")
    else:
        chosen.output.mkdir(parents=True, exist_ok=True)
        (chosen.output / "started.json").write_text(started, "utf-8")
        fine_tune(chosen, training, base, tokenizer, rows, held_rows)


def tokenised(rows: Sequence[dict[str, Any]], tokenizer: Any, name: str) -> list[Row]:
    """Return rows as tokens: trained is what follows the prompt, so the end of the last reply and nothing before it.

    Unsloth's own way, train_on_responses_only, looks for the texts that stand before a question and before a reply.
    Llama 2, Mistral and GPT-J have none before a reply, or no more than a space.
    """
    found = []
    for number, row in enumerate(rows, 1):
        messages = [*row["prompt"], *row["completion"]]
        try:
            # Rendered text is tokenised without another BOS by this, unlike by the tokenizer itself.
            prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)
            whole = tokenizer.apply_chat_template(messages, return_dict=True)
        except Exception as error:  # a template's own refusal, in Jinja's or the library's words
            what = f"{name}:{number}: the chat template refuses it: {first_line(error)}"
            raise Stop(what, "export again for this base") from None
        ids, start = whole["input_ids"], 0
        for token, other in zip(prompt["input_ids"], ids, strict=False):
            if token != other:
                break
            start += 1
        found.append(Row(f"{name}:{number}", messages, ids, [-100] * start + ids[start:]))
    return found


def load_model(base: str, training: Training, chosen: argparse.Namespace) -> Any:
    """Load the base with Unsloth, and put the adapter on it.

    Full fine-tuning keeps the weights in 32 bits unless told otherwise: a step of 5e-6 is rounded away in bf16, which
    has 8 bits for a number's digits.
    """
    import torch
    from unsloth import FastLanguageModel

    half = torch.float16 if training.fp16 else torch.bfloat16 if training.bf16 else None
    more: dict[str, Any] = {}
    if METHOD == "full" and torch.cuda.is_available():
        more["float32_mixed_precision"] = not chosen.bf16_weights
    try:
        model, _ = FastLanguageModel.from_pretrained(
            model_name=base, max_seq_length=training.max_seq_length, dtype=half, load_in_4bit=training.load_in_4bit,
            load_in_16bit=METHOD == "lora" and not training.load_in_4bit, full_finetuning=METHOD == "full", **more,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise Stop(f"the weights of {base} cannot be had: {first_line(error)}", "name their folder: --model") from None
    if METHOD == "full":
        return model
    return FastLanguageModel.get_peft_model(
        model, r=training.lora_rank, lora_alpha=training.lora_alpha, lora_dropout=training.lora_dropout,
        target_modules="all-linear", bias="none", use_gradient_checkpointing="unsloth", random_state=training.seed,
    )  # fmt: skip


def trainer_arguments(
    chosen: argparse.Namespace, training: Training, rows: Sequence[Row], held_out: Sequence[Row]
) -> Any:
    """Return TRL's configuration, which Unsloth extends."""
    import torch
    from trl import SFTConfig

    gpu = torch.cuda.is_available()
    adamw = "adamw_torch_fused" if gpu else "adamw_torch"
    return SFTConfig(
        **common_arguments(chosen, training, len(rows), len(held_out)),
        padding_free=False,
        optim=adamw if training.optim == "adamw" else training.optim,
        bf16=training.bf16 and gpu,
        fp16=training.fp16 and gpu,
    )


def as_dataset(rows: Sequence[Row]) -> Any:
    """Return rows as a dataset that needs no more preparation."""
    import datasets

    return datasets.Dataset.from_list(
        [{"input_ids": list(row.ids), "attention_mask": [1] * len(row.ids), "labels": list(row.labels)} for row in rows]
    )


def fine_tune(
    chosen: argparse.Namespace, training: Training, base: str, tokenizer: Any, rows: Sequence[Row],
    held_out: Sequence[Row],
) -> None:  # fmt: skip
    """Train, and save what was trained; a GGUF too where training.json asks for one."""
    from trl import SFTTrainer

    last = last_checkpoint(chosen)
    model = load_model(base, training, chosen)
    end_turns(model, tokenizer, training)
    trainer = SFTTrainer(
        model=model, args=trainer_arguments(chosen, training, rows, held_out), train_dataset=as_dataset(rows),
        eval_dataset=as_dataset(held_out) if held_out else None, processing_class=tokenizer,
        callbacks=[metrics_writer(chosen.output / "metrics.jsonl")],
    )  # fmt: skip
    check_trainer(trainer, rows)
    trainer.train(resume_from_checkpoint=last)
    end_turns(model, tokenizer, training)
    if METHOD == "lora":
        model.save_pretrained(chosen.output)
        tokenizer.save_pretrained(chosen.output)
    else:
        model.save_pretrained_merged(str(chosen.output), tokenizer, save_method="merged_16bit")
    print(f"trained {counted(trainer.state.global_step, 'step')}; the result is in {chosen.output}, with metrics.jsonl")
    if training.gguf:
        folder = chosen.output / "gguf"
        model.save_pretrained_gguf(
            str(folder), tokenizer, quantization_method=training.gguf, first_conversion=training.gguf_intermediate
        )
        print(f"{folder} holds the {training.gguf} GGUF")
    print(f"next: trainer export {chosen.output} --to ollama --out my-model")


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Fine-tunes a large model on the rows beside this file, with TRL's SFTTrainer. LAUNCH.md tells how to run it.

training.json holds the hyperparameters. Before a weight is loaded, every row is tokenised as SFTTrainer does it and
judged by its tokens: a reply that is not trained, has no end, begins twice or is too long stops the script. TRL itself
would cut such rows or leave them out without a word.

    --dry-run   needs no GPU and no weights: shows what is trained, tells the memory, trains a tiny model for a step
    --resume    goes on from the last checkpoint in --output
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
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
    is_main,
    judge,
    last_checkpoint,
    load_tokenizer,
    look_at_output,
    metrics_writer,
    processes,
    read_rows,
    read_training,
    status_of,
    total_steps,
)

METHOD = "lora"
GB = 1e9


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__.partition("\n")[0])
    parser.add_argument(
        "--device", choices=("auto", "cpu"), default="auto", help="cpu: train on the processor; a small base alone"
    )
    parser.add_argument("--tiny", action="store_true", help="train a tiny random model of the base's kind, as a trial")
    parser.add_argument("--merge", action="store_true", help="LoRA: merge the trained adapter into its base, and end")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return status_of(run, options(arguments))


def run(chosen: argparse.Namespace) -> None:
    """Check everything, then train."""
    training = read_training(METHOD)
    if chosen.merge:
        merge(chosen, training)
        return
    started = look_at_output(chosen, training)
    train = read_rows(training.train_file, training.train_rows)
    held_out = read_rows(training.validation_file, training.validation_rows)
    base = chosen.model or training.base_model
    config = load_config(base)
    tokenizer = load_tokenizer(chosen.tokenizer or base, training)
    cpu = on_cpu(chosen)
    check_machine(training, cpu, chosen)
    rows, held_rows = tokenised(train, held_out, tokenizer, training, config, cpu or chosen.dry_run)
    judge([*rows, *held_rows], tokenizer, training)
    rows = fit(rows, training.max_seq_length, chosen.allow_truncation)
    held_rows = fit(held_rows, training.max_seq_length, chosen.allow_truncation)
    if not rows:
        raise Stop("no row is left to train on", "raise max_seq_length in training.json")
    if is_main():
        describe(rows, held_rows, tokenizer, texts=chosen.dry_run)
        print(f"steps           {total_steps(training, len(rows), chosen.max_steps):,} on {processes()} device(s)")
    if is_main() and not chosen.tiny:
        print_memory(config, training, rows, chosen)
        if cpu and not chosen.dry_run:
            check_memory(config, training, rows, chosen)
    if chosen.dry_run:
        try_a_step(config, tokenizer, training, rows)
        print("dry run passed")
    else:
        if is_main():
            chosen.output.mkdir(parents=True, exist_ok=True)
            (chosen.output / "started.json").write_text(started, "utf-8")
        fine_tune(chosen, training, base, config, tokenizer, rows, held_rows)


# --- the machine -----------------------------------------------------------------------------------------------------


def uses_fsdp() -> bool:
    """Tell whether the processes share the model, as `accelerate launch` was told by fsdp.yaml."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1")


def on_cpu(chosen: argparse.Namespace) -> bool:
    """Tell whether there is no GPU, or none is wanted."""
    import torch

    return chosen.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())


def cpu_half() -> bool:
    """Tell whether this processor multiplies in bf16 itself. Where that is emulated it takes longer than fp32."""
    import torch

    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def in_bf16(training: Training, chosen: argparse.Namespace) -> bool:
    """Tell whether training on the processor computes in bf16; a trial of a tiny model would gain nothing."""
    return training.bf16 and not chosen.tiny and cpu_half()


def check_machine(training: Training, cpu: bool, chosen: argparse.Namespace) -> None:
    """Raise Stop for what would fail only once the weights are loaded."""
    import torch

    if chosen.dry_run or cpu:
        if not (chosen.dry_run or chosen.tiny or chosen.device == "cpu"):
            raise Stop(
                "there is no GPU for this",
                "use --dry-run to check the set, --tiny --max-steps 5 to see it train; a base of some hundred million "
                "parameters, such as SmolLM2-135M, trains on the processor: --device cpu",
                2,
            )
        return
    if training.load_in_4bit or training.optim == "adamw_8bit":
        what = "load_in_4bit" if training.load_in_4bit else "optim adamw_8bit"
        if not (torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes")):
            raise Stop(f"{what} needs bitsandbytes and a CUDA GPU", "pip install bitsandbytes, or change training.json")
    if training.load_in_4bit and uses_fsdp():
        raise Stop("4-bit weights cannot be shared", "leave fsdp.yaml away, or set load_in_4bit to false", 2)
    if not torch.cuda.is_available():
        return
    if training.bf16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Stop("this GPU has no bf16", "set bf16 to false and fp16 to true in training.json", 2)
    if torch.cuda.device_count() > 1 and processes() == 1:
        raise Stop(
            f"{torch.cuda.device_count()} GPUs are visible to one process",
            "start it with accelerate launch, as LAUNCH.md has it, or set CUDA_VISIBLE_DEVICES=0 to use one",
            2,
        )


# --- rows as TRL has them --------------------------------------------------------------------------------------------


def load_config(base: str) -> Any:
    """Load the base model's config.json. Raises Stop where it cannot be had."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(base)
    except Exception as error:  # the hub's and the libraries' own exceptions are many
        raise Stop(
            f"config.json of {base} cannot be had: {first_line(error)}",
            "name a folder with it with --model, or log in with: hf auth login",
        ) from None


def tokenised(
    train: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]], tokenizer: Any, training: Training,
    config: Any, cpu: bool,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """Return both splits as SFTTrainer itself tokenises and masks them: a trainer of a tiny model does it.

    It is given no max_length, so that it can neither cut a row nor, as it does with one whose reply is cut away, drop
    it: that is for `fit` to do, in the open.
    """
    import datasets
    import jinja2
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder, max_length=None, packing=False, completion_only_loss=True, report_to="none",
            bf16=False, use_cpu=cpu, gradient_checkpointing=False, disable_tqdm=True,
        )  # fmt: skip
        try:
            trainer = SFTTrainer(
                model=tiny_model(config, tokenizer),
                args=arguments,
                train_dataset=datasets.Dataset.from_list(list(train)),
                eval_dataset=datasets.Dataset.from_list(list(held_out)) if held_out else None,
                processing_class=tokenizer,
            )
        except jinja2.TemplateError as error:
            raise Stop(f"the chat template refuses a row: {first_line(error)}", "export again for this base") from None
        return (
            with_places(train, trainer.train_dataset, training.train_file),
            with_places(held_out, trainer.eval_dataset or [], training.validation_file),
        )


def with_places(rows: Sequence[dict[str, Any]], prepared: Any, name: str) -> list[Row]:
    """Join what SFTTrainer made of a file with the file's rows. Raises Stop where it dropped one."""
    if len(prepared) != len(rows):
        raise Stop(
            f"{name}: {counted(len(rows), 'row')} in, {len(prepared):,} out", "use the versions of requirements.txt"
        )
    return [
        Row(f"{name}:{number}", [*row["prompt"], *row["completion"]], found["input_ids"], found["labels"])
        for number, (row, found) in enumerate(zip(rows, prepared, strict=True), 1)
    ]


def as_dataset(rows: Sequence[Row]) -> Any:
    """Return rows as SFTTrainer takes them when they are tokenised already."""
    import datasets

    return datasets.Dataset.from_list([{"input_ids": list(row.ids), "labels": list(row.labels)} for row in rows])


# --- a tiny model of the same kind -----------------------------------------------------------------------------------

# Sizes, by every name that configurations have for them.
TINY = {
    "hidden_size": 64, "n_embd": 64, "num_hidden_layers": 2, "n_layer": 2, "num_attention_heads": 4, "n_head": 4,
    "num_key_value_heads": 2, "head_dim": 16, "rotary_dim": 8, "intermediate_size": 128, "n_inner": 128,
    "moe_intermediate_size": 32, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip


def tiny_model(config: Any, tokenizer: Any) -> Any:
    """Return a random model of the base's kind, small enough for any CPU, with the tokenizer's own vocabulary.

    Its configuration is built anew: lists by layer or by head of the base's own would not fit the small sizes.
    """
    from transformers import AutoModelForCausalLM, set_seed

    whole = config.get_text_config()
    sizes = {name: size for name, size in TINY.items() if name in vars(type(whole)())}
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    tied = bool(getattr(config, "tie_word_embeddings", False))
    small = type(whole)(vocab_size=vocabulary, tie_word_embeddings=tied, **sizes, **special)
    set_seed(0)
    try:
        return AutoModelForCausalLM.from_config(small)
    except ValueError as error:
        raise Stop(f"{type(config).__name__}: {first_line(error)[:200]}", "use a base model for text alone") from None


def try_a_step(config: Any, tokenizer: Any, training: Training, rows: Sequence[Row]) -> None:
    """Train a tiny model for a step on the CPU, on the first and the longest row. Raises Stop for no finite loss."""
    from transformers import PrinterCallback
    from trl import SFTTrainer

    few = list({row.place: row for row in (rows[0], max(rows, key=lambda row: len(row.ids)))}.values())
    # A step of the configured rate, which is the first of a warm-up too, would be too small to be seen.
    trial = dataclasses.replace(
        training, learning_rate=1e-3, warmup_steps=0, lr_scheduler_type="constant", gradient_accumulation_steps=1
    )
    model = tiny_model(config, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        chosen = argparse.Namespace(output=Path(folder), max_steps=1, bf16_weights=False)
        arguments = trainer_arguments(chosen, trial, few, [], cpu=True)
        trainer = SFTTrainer(
            model=model, args=arguments, train_dataset=as_dataset(few), eval_dataset=as_dataset(few),
            processing_class=tokenizer, peft_config=adapter(model, training),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        after = trainer.evaluate()["eval_loss"]
    if not (math.isfinite(before) and math.isfinite(after)):
        raise Stop(f"a tiny {type(config).__name__} has a loss of {before}, then {after}", "use other versions of TRL")
    print(f"a tiny {trainer.model.config.model_type} model trained one step: loss {before:.4f}, then {after:.4f}")


# --- memory ----------------------------------------------------------------------------------------------------------


def print_memory(config: Any, training: Training, rows: Sequence[Row], chosen: argparse.Namespace) -> None:
    """Print what training takes of each GPU, by the base's own shapes."""
    import torch

    sizes, text = model_sizes(config, training), config.get_text_config()
    print(f"base model      {sizes['all'] / 1e9:,.2f} billion parameters, {text.num_hidden_layers} layers", end="")
    print(f", LoRA trains {sizes['adapter'] / 1e6:,.1f} million" if METHOD == "lora" else "")
    length = max(len(row.ids) for row in rows) * training.per_device_train_batch_size
    each = {gpus: memory(sizes, training, text, length, gpus, chosen.bf16_weights) for gpus in (1, 2, 4, 8)}
    total = {gpus: sum(parts.values()) / GB for gpus, parts in each.items()}
    parts = ", ".join(f"{name} {size / GB:,.1f}" for name, size in each[1].items() if size / GB >= 0.05)
    print(f"memory, 1 GPU   about {total[1]:,.0f} GB: {parts}")
    print("with FSDP       " + ", ".join(f"{total[gpus]:,.0f} GB on each of {gpus}" for gpus in (2, 4, 8)))
    if torch.cuda.is_available():
        print(f"this GPU        {torch.cuda.get_device_properties(0).total_memory / GB:,.0f} GB")


def check_memory(config: Any, training: Training, rows: Sequence[Row], chosen: argparse.Namespace) -> None:
    """Print what training on the processor takes, and how. Raises Stop where main memory is too short for it."""
    sizes, half = model_sizes(config, training), in_bf16(training, chosen)
    length = max(len(row.ids) for row in rows) * training.per_device_train_batch_size
    plain = dataclasses.replace(training, load_in_4bit=False, optim=plain_optimizer(training))
    parts = memory(sizes, plain, config.get_text_config(), length, 1, chosen.bf16_weights)
    del parts["CUDA itself"]
    if METHOD == "lora" and not half:
        parts["weights"] *= 2  # in 32 bits
    needed = (sum(parts.values()) + 1.5 * GB) / GB  # with Python and its libraries
    print(f"on the CPU      about {needed:,.1f} GB of memory; computed in {'bf16' if half else 'fp32'}")
    if training.load_in_4bit or training.optim == "adamw_8bit":
        print("                4-bit weights and 8-bit optimizers are for a GPU: 16 bits or more here, and AdamW")
    free = free_memory()
    if free and needed > free:
        raise Stop(
            f"training needs about {needed:,.1f} GB of memory, and {free:,.1f} GB are free",
            "take a smaller base, or set per_device_train_batch_size to 1 in training.json",
            3,
        )


def free_memory() -> float:
    """Return the GB that Linux would give to a new program, caches among them; 0 elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / GB
    except (OSError, StopIteration):
        return 0.0


def model_sizes(config: Any, training: Training) -> dict[str, int]:
    """Count parameters, without weights: the base's, its layers' matrices', its largest layer's, an adapter's."""
    import torch

    with torch.device("meta"):
        model = auto_class(config).from_config(config)
    head = model.get_output_embeddings().weight
    layers = [one for one in model.modules() if type(one).__name__ in (model._no_split_modules or ())]
    found = {
        "all": sum(one.numel() for one in model.parameters()),
        "linear": sum(p.numel() for one in layers for p in one.parameters() if p.ndim > 1),
        "layer": max((sum(p.numel() for p in one.parameters()) for one in layers), default=0),
        "head": head.numel(),
        "adapter": 0,
    }
    if METHOD == "lora":
        from peft import get_peft_model

        adapted = get_peft_model(model, adapter(model, training), low_cpu_mem_usage=True)
        found["adapter"] = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
    return found


def auto_class(config: Any) -> Any:
    """Return what loads a model of this kind: some that see have no entry among the causal language models."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText


def memory(
    sizes: dict[str, int], training: Training, text: Any, tokens: int, gpus: int, half: bool
) -> dict[str, float]:
    """Estimate the bytes on one of `gpus` GPUs that share the model with FSDP, for `tokens` in memory at a time.

    `half`: full fine-tuning keeps the weights in 16 bits, so gradients and the optimizer's state too.
    """
    state = {"adamw": 8, "adamw_8bit": 2, "adafactor": 0.1}[training.optim]
    width, layers = text.hidden_size, text.num_hidden_layers
    inner = getattr(text, "intermediate_size", None) or 4 * width
    trained, each = (sizes["adapter"], 4) if METHOD == "lora" else (sizes["all"], 2 if half else 4)
    found = {"weights": float(trained * each)}
    if METHOD == "lora":
        bits = 0.52 if training.load_in_4bit else 2  # 4 bits and a scale for each 64 weights
        found = {"weights": sizes["linear"] * bits + (sizes["all"] - sizes["linear"]) * 2, "adapter": trained * 4.0}
    found |= {"gradients": trained * each, "optimizer": trained * state * each / 4}
    found = {name: size / gpus for name, size in found.items()}
    if METHOD == "full" and gpus == 1 and not half:
        found["copies in 16 bits"] = trained * 2.0  # autocast keeps one of each weight for the length of a step
    if gpus > 1:  # FSDP gathers a layer, and the next, in 16 bits; of what is trained the gradients too
        found["gathered layers"] = 2.0 * (2 * sizes["layer"] + sizes["head"]) * (1 if METHOD == "lora" else 2)
    # With checkpointing a layer keeps its input alone; one layer at a time is computed again, with all its steps.
    wide = 4 if METHOD == "full" and not half else 2
    found["activations"] = tokens * ((layers + 2) * width * wide + 4.0 * (10 * width + 4 * inner))
    found["logits"] = 3 * min(tokens, 4096) * 32768 * 2.0  # TRL computes them in tiles, never all at once
    found["CUDA itself"] = 1.5 * GB
    return found


# --- training --------------------------------------------------------------------------------------------------------


def optimizer(training: Training, cpu: bool) -> str:
    """Return the optimizer by transformers' name."""
    if training.optim == "adafactor":
        return "adafactor"
    if cpu:  # bitsandbytes has no optimizer for the CPU
        return "adamw_torch"
    return {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit"}[training.optim]


def plain_optimizer(training: Training) -> Any:
    """Return the optimizer that stands for it on the processor, by the name in training.json."""
    return "adafactor" if training.optim == "adafactor" else "adamw"


def trainer_arguments(
    chosen: argparse.Namespace, training: Training, rows: Sequence[Row], held_out: Sequence[Row], cpu: bool
) -> Any:
    """Return TRL's configuration."""
    import torch
    from trl import SFTConfig

    given = common_arguments(chosen, training, len(rows), len(held_out))
    # Mixed precision, where the device has it; weights that are in 16 bits themselves need none.
    half = torch.cuda.is_available() and not cpu and not (METHOD == "full" and chosen.bf16_weights)
    on_processor = cpu and in_bf16(training, chosen)
    # Each epoch is judged by the held-out rows; where each is saved too, the best of them is kept.
    best = bool(held_out) and given["save_strategy"] == "epoch" and processes() == 1
    return SFTConfig(
        **given,
        completion_only_loss=True,
        optim=optimizer(training, cpu),
        bf16=(training.bf16 and half) or on_processor,
        fp16=training.fp16 and half,
        use_cpu=cpu,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        load_best_model_at_end=best,
        metric_for_best_model="eval_loss" if held_out else None,
    )


def adapter(model: Any, training: Training) -> Any:
    """Return LoRA's configuration for a model; None for full fine-tuning."""
    if METHOD != "lora":
        return None
    from peft import LoraConfig

    # A model that sees or hears too: the adapter is for its text alone.
    other = [name for name, _ in model.named_modules() if any(one in name for one in ("vision", "audio", "projector"))]
    # Experts are one parameter together, which PEFT adapts, but without dropout.
    experts = any("experts" in name for name, _ in model.named_parameters())
    return LoraConfig(
        r=training.lora_rank, lora_alpha=training.lora_alpha, lora_dropout=0.0 if experts else training.lora_dropout,
        target_modules="all-linear", exclude_modules=r".*(vision|audio|projector).*" if other else None,
        task_type="CAUSAL_LM",
    )  # fmt: skip


def load_model(base: str, training: Training, chosen: argparse.Namespace, cpu: bool) -> Any:
    """Load the base's weights.

    LoRA leaves them as they are, so 16 bits do. Full fine-tuning changes them by steps of the learning rate's size:
    bf16 has 8 bits for a number's digits, so a weight of 0.02 moves by 0.0001 or not at all, and a step of 5e-6 is
    rounded away. They are kept in 32 bits therefore and computed with in 16.
    """
    import torch
    from transformers import AutoConfig, BitsAndBytesConfig

    half = torch.float16 if training.fp16 else torch.bfloat16
    exact = (cpu and not in_bf16(training, chosen)) or (METHOD == "full" and not chosen.bf16_weights)
    more: dict[str, Any] = {}
    if METHOD == "lora" and training.load_in_4bit and not cpu:
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=half,
        )  # fmt: skip
        more["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        kind = auto_class(AutoConfig.from_pretrained(base))
        return kind.from_pretrained(base, dtype=torch.float32 if exact else half, **more)
    except (OSError, ValueError) as error:
        raise Stop(
            f"the weights of {base} cannot be had: {first_line(error)}",
            "name a folder with them with --model, or log in with: hf auth login",
        ) from None


def fine_tune(
    chosen: argparse.Namespace, training: Training, base: str, config: Any, tokenizer: Any, rows: Sequence[Row],
    held_out: Sequence[Row],
) -> None:  # fmt: skip
    """Train, and save what was trained."""
    from trl import SFTTrainer

    cpu = on_cpu(chosen)
    last = last_checkpoint(chosen)
    if chosen.tiny:
        base = str(write_tiny(chosen.output / "tiny-base", config, tokenizer))
    arguments = trainer_arguments(chosen, training, rows, held_out, cpu)
    model = load_model(base, training, chosen, cpu)
    end_turns(model, tokenizer, training)
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=as_dataset(rows),
        eval_dataset=as_dataset(held_out) if held_out else None, processing_class=tokenizer,
        peft_config=adapter(model, training),
        callbacks=[metrics_writer(chosen.output / "metrics.jsonl"), *([step_clock()] if cpu else [])],
    )  # fmt: skip
    check_trainer(trainer, rows)
    trainer.train(resume_from_checkpoint=last)
    save(trainer, tokenizer, training, chosen.output, config)
    if is_main():
        print(
            f"trained {counted(trainer.state.global_step, 'step')}; the result is in {chosen.output}, "
            "with metrics.jsonl"
        )
        if arguments.load_best_model_at_end:
            best, loss = Path(trainer.state.best_model_checkpoint or "").name, trainer.state.best_metric
            print(f"kept is the epoch whose loss on the held-out rows is lowest: {best}, {loss:.4f}")
        if METHOD == "lora":
            print(f"next: python {Path(sys.argv[0]).name} --merge --output {chosen.output}")
        else:
            print(f"next: trainer export {chosen.output} --to ollama --out my-model")


def step_clock() -> Any:
    """Return a callback that says, after two steps, how long one takes and what is left; the first is slower."""
    import time

    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        begun, steps = 0.0, 0

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.begun = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.steps += 1  # of this session
            if self.steps == min(2, state.max_steps) and is_main():
                seconds = time.monotonic() - self.begun
                rest = seconds * (state.max_steps - state.global_step)
                print(
                    f"a step takes    {seconds / 60:.2f} min, the rest {rest / 60:.0f} min{peak_memory()}", flush=True
                )

    return Clock()


def peak_memory() -> str:
    """Return in words how much memory this process has taken at most; '' on Windows."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"; memory so far {peak / GB:,.1f} GB"


def write_tiny(folder: Path, config: Any, tokenizer: Any) -> Path:
    """Write a tiny model as a base of its own, so that a trial takes the same way as the real one."""
    from accelerate import PartialState

    if is_main() and not (folder / "config.json").is_file():
        tiny_model(config, tokenizer).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    PartialState().wait_for_everyone()
    return folder


def save(trainer: Any, tokenizer: Any, training: Training, output: Path, config: Any) -> None:
    """Save the adapter, or all weights in the type that the base's were published in."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    end_turns(model, tokenizer, training)
    state = trainer.accelerator.get_state_dict(trainer.model)  # gathered from all GPUs, on the first one's host
    if not is_main():
        return
    dtype = config.get_text_config().dtype or config.dtype or torch.bfloat16
    if METHOD == "full":
        tied = model.all_tied_weights_keys  # an output layer that is the embeddings again is saved once
        state = {
            name: one.to(device="cpu", dtype=dtype if one.is_floating_point() else None)
            for name, one in state.items()
            if name not in tied
        }
    model.save_pretrained(output, state_dict=state)
    if METHOD == "full":  # which was written as the type that was trained in
        model.config.dtype = dtype
        model.config.save_pretrained(output)
    tokenizer.save_pretrained(output)


def merge(chosen: argparse.Namespace, training: Training) -> None:
    """Write the base with the trained adapter merged in to --output/merged. Needs the base's size in main memory."""
    if not (chosen.output / "adapter_config.json").is_file():
        raise Stop(f"{chosen.output} holds no adapter", "train first, or name the folder with --output", 2)
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer

    written_for = json.loads((chosen.output / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    base = chosen.model or written_for
    print(f"merging {chosen.output} into {base}")
    try:
        model = auto_class(AutoConfig.from_pretrained(base)).from_pretrained(base, dtype="auto")
    except (OSError, ValueError) as error:
        raise Stop(f"the weights of {base} cannot be had: {first_line(error)}", "name their folder: --model") from None
    tokenizer = AutoTokenizer.from_pretrained(chosen.output)
    kept = model.dtype
    # Added in 32 bits and rounded once: an adapter's share of a weight is often less than bf16 can hold.
    merged = PeftModel.from_pretrained(model.to(torch.float32), chosen.output).merge_and_unload().to(kept)
    end_turns(merged, tokenizer, training)
    merged.save_pretrained(chosen.output / "merged")
    tokenizer.save_pretrained(chosen.output / "merged")
    print(f"{chosen.output / 'merged'} holds the merged weights")
    print(f"next: trainer export {chosen.output / 'merged'} --to ollama --out my-model")


if __name__ == "__main__":
    sys.exit(main())

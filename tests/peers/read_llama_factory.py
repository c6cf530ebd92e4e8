"""Read export folders as LLaMA-Factory itself does, and print what it would train on.

    python read_llama_factory.py FOLDER TOKENIZER [FOLDER TOKENIZER ...]

Run by an interpreter that has LLaMA-Factory (llama-factory.txt says how to make one). Its own code does all the work:
hparams/parser.py (get_train_args, and get_infer_args for merge.yaml) reads the YAML files as `llamafactory-cli` does;
model/loader.py (load_tokenizer), data/template.py (get_template_and_fix_tokenizer), data/parser.py, data/converter.py
(SharegptDatasetConverter), data/loader.py (get_dataset) and data/processor/supervised.py (SupervisedDatasetProcessor)
make the tokens and labels of both splits. No model is loaded and nothing trained.

Only what depends on the machine is set otherwise: the base model is the folder TOKENIZER, the output goes to a
temporary folder, and `use_cpu` is set, without which bf16 is refused where there is no GPU.

Prints a JSON line {"folder", "split", "input_ids", "labels"} for each row, or {"folder", "error"} for a folder that was
refused or lost a row; exits 1 then.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import json
import os
import sys
import tempfile
import traceback
import types
from pathlib import Path
from typing import Any


def main() -> None:
    pairs = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": scratch, "TOKENIZERS_PARALLELISM": "false"}
        with contextlib.redirect_stdout(sys.stderr):
            load()
        # A process for each: LLaMA-Factory writes into its templates (default_system), which are the process's.
        failed = [run(folder, Path(tokenizer).resolve(), scratch) for folder, tokenizer in pairs]
    sys.exit(int(any(failed)))


def run(folder: str, tokenizer: Path, scratch: str) -> bool:
    """Read one folder in a process of its own; tell whether it failed."""
    sys.stdout.flush()
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    try:
        with contextlib.redirect_stdout(sys.stderr):
            os.chdir(folder)  # as the command is run: the YAML names files of the export's folder
            splits = read(tokenizer, scratch)
        for split, rows in splits.items():
            for row in rows:
                found = {"folder": folder, "split": split, "input_ids": row["input_ids"], "labels": row["labels"]}
                print(json.dumps(found))
            path = Path(f"{split}.jsonl")
            given = path.read_bytes().count(b"\n") if path.is_file() else 0
            assert given == len(rows), f"{path}: {given} rows in, {len(rows)} rows out"
        status = 0
    except BaseException as error:
        traceback.print_exc()
        print(json.dumps({"folder": folder, "error": f"{type(error).__name__}: {error}"}))
        status = 1
    sys.stdout.flush()
    os._exit(status)


def load() -> None:
    """Import LLaMA-Factory."""
    import transformers  # noqa: F401 - looks for torchaudio, once

    # LLaMA-Factory imports torchaudio for models that hear; its build for GPUs does not load beside torch for the CPU.
    silent = types.ModuleType("torchaudio")
    silent.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules.setdefault("torchaudio", silent)
    import llamafactory.data
    import llamafactory.hparams
    import llamafactory.model  # noqa: F401


def read(tokenizer: Path, scratch: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of both splits as LLaMA-Factory's trainer would get them."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_infer_args, get_train_args
    from llamafactory.model import load_tokenizer

    machine = {"model_name_or_path": str(tokenizer)}
    if Path("merge.yaml").is_file():
        get_infer_args(_yaml("merge.yaml") | machine)
    model, data, training, _, _ = get_train_args(
        _yaml("train.yaml") | machine | {"output_dir": f"{scratch}/output", "use_cpu": True}
    )
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    found = get_dataset(template, model, data, training, stage="sft", **loaded)
    return {"train": list(found["train_dataset"]), "validation": list(found.get("eval_dataset") or [])}


def _yaml(name: str) -> dict[str, Any]:
    """Read a YAML file as LLaMA-Factory's read_args does."""
    from omegaconf import OmegaConf

    return dict(OmegaConf.to_container(OmegaConf.load(name)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

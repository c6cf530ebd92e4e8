"""Read export folders as axolotl itself does, and print what it would train on.

    python read_axolotl.py FOLDER TOKENIZER [FOLDER TOKENIZER ...]

Run by an interpreter that has axolotl (axolotl.txt says how to make one). Its own code does all the work:
cli/config.py (load_cfg: utils/schemas validates config.yaml, utils/config completes it) and common/datasets.py
(load_datasets: loaders/tokenizer.py, utils/data/sft.py, prompt_strategies/chat_template.py and the check of lengths in
utils/data/utils.py), as `axolotl preprocess config.yaml` calls them. No model is loaded and nothing trained.
config-fsdp.yaml is validated as for a machine with GPUs.

It works on a copy of the folder. Only the base model is another: TOKENIZER with a small config.json; and the rows keep
their order.

Prints a JSON line {"folder", "split", "input_ids", "labels"} for each row, or {"folder", "error"} for a folder that was
refused, or lost a row, or has a key that axolotl does not know; exits 1 then.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 512,
}  # fmt: skip


def main() -> None:
    pairs = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": scratch, "TOKENIZERS_PARALLELISM": "false"}
        os.environ |= {"AXOLOTL_DO_NOT_TRACK": "1", "AXOLOTL_DATASET_NUM_PROC": "1"}
        with contextlib.redirect_stdout(sys.stderr):
            import axolotl.cli.config
            import axolotl.common.datasets  # noqa: F401
        failed = [
            run(folder, Path(tokenizer).resolve(), Path(scratch) / f"export{number}")
            for number, (folder, tokenizer) in enumerate(pairs)
        ]
    sys.exit(int(any(failed)))


def run(folder: str, tokenizer: Path, copy: Path) -> bool:
    """Read one folder in a process of its own; tell whether it failed."""
    sys.stdout.flush()
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    try:
        with contextlib.redirect_stdout(sys.stderr):
            os.chdir(shutil.copytree(folder, copy))  # as the command is run: config.yaml names files of its folder
            lost = [key for path in sorted(Path().glob("*.yaml")) for key in unknown(path)]
            assert not lost, f"axolotl does not know {', '.join(lost)}"
            splits = read(tokenizer)
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


def unknown(path: Path) -> list[str]:
    """Validate a configuration as for a machine with a GPU; return the keys that axolotl does not know and drops."""
    import yaml
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    given = yaml.safe_load(path.read_text("utf-8"))
    machine = {"bf16": True, "fp8": False, "tf32": False, "n_gpu": 1, "compute_capability": "sm_90"}
    found = validate_config(DictDefault(given), machine, {"torch_version": "2.13.0"}).to_dict()
    return [f"{path}: {key}" for key in _missing(given, found)]


def _missing(given: Any, found: Any, place: str = "") -> list[str]:
    if isinstance(given, dict):
        return [
            one for key, value in given.items()
            for one in (_missing(value, found[key], f"{place}.{key}") if key in found else [f"{place}.{key}"])
        ]  # fmt: skip
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return [one for theirs, ours in zip(found, given, strict=True) for one in _missing(ours, theirs, place)]
    return []


def read(tokenizer: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of both splits as axolotl's trainer would get them."""
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets

    # A relative path: axolotl takes a model whose path holds "mpt", as many a temporary folder's does, for an MPT.
    model = shutil.copytree(tokenizer, Path("base") / tokenizer.name)
    (model / "config.json").write_text(json.dumps(LLAMA))
    configuration = load_cfg("config.yaml", base_model=str(model), shuffle_merged_datasets=False)
    found = load_datasets(cfg=configuration)
    return {"train": list(found.train_dataset), "validation": list(found.eval_dataset or [])}


if __name__ == "__main__":
    main()

"""The files of a training while it runs, in `OUT/training/`; from them it can be resumed after any interruption.

    plan.json            what was asked for, resolved; a resumed run follows it
    metrics.jsonl        a line a step
    samples.jsonl        a line an evaluation: replies to fixed prompts
    step-0000400/        a state: model.safetensors, optimizer.safetensors, state.json (with their sha256)
    best/                the weights with the lowest validation loss: model.safetensors, best.json

A state appears whole or not at all. The last two are kept; where one is damaged, the one before it is loaded.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from curator.contract.cli_frame import command_line
from curator.contract.errors import CuratorError, UsageError, disk_error
from curator.contract.files import (
    locked,
    pretty_json,
    read_bytes,
    read_json,
    sha256_of,
    whole_folder,
    write_whole,
)
from trainer.evaluation.training_log import TrainingLog
from trainer.model.convert import StateDict
from trainer.model.llama import Llama

KEPT = 2
ANEW = "begin the training anew, with another --out"
KINDS = ("finetune", "pretrain")
_STATE = re.compile(r"step-\d{1,12}")
# What a plan of another shape can raise where it is read.
NO_PLAN = (KeyError, TypeError, AttributeError, ValueError, UsageError)  # pydantic's ValidationError is a ValueError
_SMOOTH = 0.95
# What our readers can raise on a file with contents that we did not write.
_DAMAGED = (CuratorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError)


@dataclass
class TrainState:
    """Where a training stands."""

    step: int = 0
    tokens: int = 0
    precision: str = ""
    compiled: bool | None = None  # as decided; None: not yet
    micro_batch: int = 0  # rows in memory at a time, once memory was short; 0 as the settings say
    first_loss: float | None = None
    best_loss: float | None = None
    best_score: float | None = None  # decides which step is best; without a score function, the validation loss
    lowest_loss: float | None = None  # of all validations
    best_step: int = 0
    waited: int = 0
    smoothed: float = 0.0
    lowest: float | None = None
    seen: int = 0

    def smooth(self, loss: float) -> None:
        """Add a step's loss to the running mean, which is used from the 20th step on."""
        self.seen += 1
        share = max(1 - _SMOOTH, 1 / self.seen)
        self.smoothed += (loss - self.smoothed) * share
        if self.seen >= 20:
            self.lowest = min(self.smoothed, self.lowest if self.lowest is not None else self.smoothed)

    def risen(self) -> float:
        """Return how far the running mean of the loss stands above its lowest, nats."""
        return self.smoothed - self.lowest if self.lowest is not None else 0.0

    def better(self, score: float, loss: float | None) -> bool:
        """Take the score and the validation loss of this step; say whether it is the best so far.

        While the loss falls, patience does not run out: a score from few replies is noisy.
        """
        falls = self.lowest_loss is None or loss is None or loss < self.lowest_loss
        self.lowest_loss = loss if falls else self.lowest_loss
        if self.best_score is not None and not score < self.best_score:
            self.waited = 0 if falls else self.waited + 1
            return False
        self.best_score, self.best_loss, self.best_step, self.waited = score, loss, self.step, 0
        return True


class RunDir:
    """The folder `OUT/training` of one training. `self.log` is its TrainingLog; the argument `log` prints a line."""

    def __init__(self, out: Path, log: Callable[[str], None] = lambda text: None) -> None:
        self.out, self.folder, self._print = out, out / "training", log
        self.log = TrainingLog(self.folder)

    # --- the plan ---

    def begin(self, plan: dict[str, Any], tokenizer: bytes) -> None:
        """Make the folder, and write tokenizer and, last, plan. Raises UsageError where something else lies there."""
        self.refuse_taken()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, "cannot make", self.folder) from None
        write_whole(self.folder / "tokenizer.model", tokenizer)
        write_whole(self.folder / "plan.json", pretty_json(plan))

    def refuse_taken(self) -> None:
        """Raise UsageError where something is at the checkpoint's path already; call it before a lock is made there."""
        begun = (self.folder / "plan.json").exists() and not self.ended()
        if self.out.exists() and (not self.out.is_dir() or begun or any(map(self._foreign, self.out.iterdir()))):
            step = f"go on with: {command_line('trainer', 'resume', self.out)}" if begun else "name another --out"
            raise UsageError(f"{self.out} is there already", step)

    def _foreign(self, path: Path) -> bool:
        """Say whether a path is not ours: a training killed before its plan leaves at most a lock and a tokenizer."""
        unbegun = path == self.folder and all(entry.name.startswith((".", "tokenizer")) for entry in path.iterdir())
        return path.name != ".lock" and not unbegun

    def ended(self) -> bool:
        """Say whether the checkpoint is there: nothing is left to train."""
        return (self.out / "trainer.json").exists()

    def plan(self) -> dict[str, Any]:
        """Return the plan of a training that has begun and not ended. Raises UsageError where there is none."""
        if self.ended():
            raise UsageError(f"{self.out}: its training has ended", f"use it: trainer chat {self.out}")
        if not (self.folder / "plan.json").is_file():
            raise UsageError(
                f"{self.out} holds no training that has begun", "begin one with: trainer finetune or pretrain"
            )
        try:
            plan = read_json(self.folder / "plan.json")
        except UsageError as error:
            raise UsageError(error.what, ANEW) from None
        if not isinstance(plan, dict) or plan.get("format") != "persona-curator-training" or plan.get("version") != 1:
            raise UsageError(
                f"{self.folder / 'plan.json'} is no plan of this version of the trainer",
                ANEW,
            )
        if plan.get("kind") not in KINDS:
            raise self.damaged(f"kind is {plan.get('kind')!r}; expected {' or '.join(KINDS)}")
        return plan

    def damaged(self, problem: object) -> UsageError:
        """Return the error for a plan that holds what no training wrote; `problem` may be what was raised on it."""
        if isinstance(problem, KeyError):
            problem = f"{problem} is missing"
        elif isinstance(problem, ValidationError):
            first = problem.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        elif isinstance(problem, UsageError):
            problem = problem.what
        return UsageError(f"{self.folder / 'plan.json'} is damaged: {str(problem)[:200]}", ANEW)

    # --- states ---

    def save(self, model: Llama, optimizer: torch.optim.Optimizer, state: TrainState) -> None:
        """Save a state, then delete all but the last two."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        moments = _moments(optimizer)
        place = self.folder / f"step-{state.step:07d}"
        with whole_folder(place, replace=True, option="") as folder:
            write_whole(folder / "model.safetensors", safetensors.torch.save(weights, {"format": "pt"}))
            write_whole(folder / "optimizer.safetensors", safetensors.torch.save(moments, {"format": "pt"}))
            hashes = {name: sha256_of(folder / name) for name in ("model.safetensors", "optimizer.safetensors")}
            write_whole(folder / "state.json", pretty_json({"state": asdict(state), "sha256": hashes}))
        for old in self._states()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted((path for path in self.folder.glob("step-*") if _STATE.fullmatch(path.name)), reverse=True)

    def last_good(self) -> int:
        """Return the step of the newest saved state, 0 where there is none."""
        states = self._states()
        return int(states[0].name.removeprefix("step-")) if states else 0

    def latest(self, model: Llama, optimizer: torch.optim.Optimizer) -> TrainState:
        """Load the newest state that is whole into model and optimizer; a fresh TrainState where there is none."""
        for stale in self.folder.glob(".*.tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)
        for old in self.folder.glob(".*.old-*"):  # it was killed between the two renames: restore the old folder
            place = self.folder / old.name[1:].rpartition(".old-")[0]
            shutil.rmtree(old) if place.exists() else old.rename(place)
        damaged: list[Path] = []
        for folder in self._states():
            try:
                state = _load_state(folder, model, optimizer)
            except _DAMAGED as error:
                self._print(f"{folder.name} is damaged ({str(error)[:120]}); going on from the state before it")
                damaged.append(folder)
                continue
            _remove(damaged)  # they are of later steps, and would be kept as the newest states
            self.log.forget_after(state.step)
            return state
        _remove(damaged)
        self.log.forget_after(0)
        return TrainState()

    def save_best(self, state: StateDict, step: int, loss: float | None) -> None:
        """Keep the best weights so far."""
        with whole_folder(self.folder / "best", replace=True, option="") as folder:
            write_whole(folder / "model.safetensors", safetensors.torch.save(state, {"format": "pt"}))
            write_whole(folder / "best.json", pretty_json({"step": step, "validation_loss": loss}))

    def load_best(self) -> StateDict:
        """Return the best weights. Raises UsageError where they are missing or damaged."""
        path = self.folder / "best" / "model.safetensors"
        try:
            return dict(safetensors.torch.load(read_bytes(path)))
        except (OSError, SafetensorError) as error:
            problem = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{path}: {problem[:200]}", ANEW) from None

    def tidy(self) -> None:
        """Delete what remains of a training that was killed after its checkpoint was complete."""
        if not (self.folder / "plan.json").is_file():
            return
        with locked(self.out):
            self.finish()
        (self.out / ".lock").unlink(missing_ok=True)

    def finish(self) -> None:
        """Delete what only a resumed training needs; metrics and samples stay."""
        _remove([*self._states(), self.folder / "best"])
        for stale in self.out.glob(".*.tmp-*"):  # of a process that was killed while it wrote the checkpoint
            stale.unlink(missing_ok=True)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _moments(optimizer: torch.optim.Optimizer) -> StateDict:
    """Return AdamW's state as tensors: `step.3`, `exp_avg.3`, `exp_avg_sq.3` of parameter 3. Never a pickle."""
    out: StateDict = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            out[f"{name}.{index}"] = torch.as_tensor(value).detach().cpu().contiguous()
    return out


def _load_state(folder: Path, model: Llama, optimizer: torch.optim.Optimizer) -> TrainState:
    saved = read_json(folder / "state.json")
    for name, sha in saved["sha256"].items():
        if sha256_of(folder / name) != sha:
            raise UsageError(f"{name} does not match its sha256")
    state = TrainState(**_renamed(saved["state"]))
    moments = safetensors.torch.load(read_bytes(folder / "optimizer.safetensors"))
    weights = safetensors.torch.load(read_bytes(folder / "model.safetensors"))
    model.load_state_dict(weights)
    full = optimizer.state_dict()
    full["state"] = {}
    for key, tensor in moments.items():
        name, _, index = key.rpartition(".")
        full["state"].setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(full)
    return state


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state that version 0.1 saved under today's names."""
    return {"micro_batch" if name == "rows" else name: value for name, value in state.items()}


def processor_note() -> dict[str, Any]:
    """Return what the bytes of a result may depend on: PyTorch's version, threads and CPUs. It goes into the plan."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpus": os.cpu_count()}

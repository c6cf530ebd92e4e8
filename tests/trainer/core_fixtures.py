"""What the tests of the trainer's core share: a tiny language and its tokenizer, tiny modules, ways to run commands."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import complaints

from trainer.cli import run_command
from trainer.model.llama import Llama, ModelConfig
from trainer.model.tokenizer import Tokenizer, train_tokenizer
from trainer.settings import PretrainSettings

ROOT = Path(__file__).resolve().parent.parent.parent
torch.set_num_threads(1)

# --- a tiny language ---

_SYLLABLES = "ba ko ti re mu san lor vi en da gor pel".split()


def words(rng: random.Random, number: int) -> list[str]:
    """So many words of one to three syllables."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(number)]


def paragraph(rng: random.Random, length: int = 40) -> str:
    """One paragraph of so many words, about 1.5 tokens each."""
    return " ".join(words(rng, length)).capitalize() + "."


@functools.cache
def tokenizer_bytes() -> bytes:
    """A tokenizer.model of 400 pieces: 3 marks, 256 bytes, some merges, the letters of the tiny language."""
    rng = random.Random(7)
    return train_tokenizer([paragraph(rng, 12) for _ in range(400)] + ["In 1984 and 20, 365 days."], 400)


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer(tokenizer_bytes())


# --- tiny models and data ---

TINY = ModelConfig(vocab_size=400, dim=32, n_layers=2, n_heads=4, n_kv_heads=4, hidden_dim=64, max_seq_len=32)
CONFIGS = {
    "tied": TINY,
    "untied": replace(TINY, tied=False),
    "gqa": replace(TINY, n_kv_heads=2, tied=False),
    "one kv head": replace(TINY, n_kv_heads=1),
    "theta and eps": replace(TINY, rope_theta=500.0, norm_eps=1e-3),
}


def model_of(config: ModelConfig = TINY, seed: int = 1, dropout: float = 0.0, scale: float = 1.0) -> Llama:
    """A model with drawn weights; `scale` makes them large enough that a wrong attention shows in the logits."""
    model = Llama(config, dropout)
    model.reset(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:  # norms that are all 1 would hide a norm that is left out
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1)))
            else:
                parameter.mul_(scale)
    return model


def ids(seed: int, *shape: int, low: int = 3, high: int = 400) -> np.ndarray:
    """Random tokens, no mark among them."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def document(seed: int, length: int) -> np.ndarray:
    """A document of random tokens, begun by `<s>`."""
    return np.concatenate(([1], ids(seed, length - 1))).astype(np.uint16)


SETTINGS = PretrainSettings(
    steps=6, per_device_batch_size=4, gradient_accumulation_steps=1, warmup_steps=2, learning_rate=1e-2, eval_steps=2,
    save_steps=2, precision="fp32", compile="never", threads=1,
)  # fmt: skip


# --- commands ---


@dataclass(frozen=True)
class Result:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str
    seconds: float = 0.0

    @property
    def complaints(self) -> str:
        """stderr without what every command ends with: what it made, and what to do next."""
        return complaints(self.err)


@contextlib.contextmanager
def no_waiting_for_the_disk() -> Iterator[None]:
    """Leave out fsync: it takes most of the time, and what a killed process wrote is there without it."""
    before, os.fsync = os.fsync, lambda handle: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = before


def trainer(*arguments: object) -> Result:
    """Run `trainer ARGS` in this process. An error that is no CuratorError goes up, as a traceback would."""
    out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), no_waiting_for_the_disk():
        try:
            status = run_command([str(one) for one in arguments])
        except SystemExit as leave:  # argparse leaves so
            status = int(leave.code or 0)
    return Result(status, out.getvalue(), err.getvalue(), time.monotonic() - begun)


# A process that has imported everything once and forks for each command: starting Python and torch anew takes 4 s.
_SERVER = """
import json, os, resource, signal, sys, time, traceback
import torch, torch._dynamo
import trainer.cli, trainer.training.pretrain, trainer.training.progress
torch.set_num_threads(1)
os.fsync = lambda handle: None  # see no_waiting_for_the_disk
print("ready", flush=True)

def child(job):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    try:
        trainer.cli.main(job["arguments"])
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

for line in sys.stdin:
    job = json.loads(line)
    if "arguments" in job:
        pid = os.fork()
        if not pid:
            child(job)
        print(pid, flush=True)
        continue
    until = time.monotonic() + job["timeout"]
    pid, status = 0, 0
    while not pid and time.monotonic() < until:
        pid, status = os.waitpid(job["pid"], os.WNOHANG)
        if not pid:
            time.sleep(0.002)
    if not pid:
        os.kill(job["pid"], signal.SIGKILL)
        os.waitpid(job["pid"], 0)
    print(os.waitstatus_to_exitcode(status) if pid else "hangs", flush=True)
"""


class _Server:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trainer-tests-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder,
            env=os.environ | quiet,
        )  # fmt: skip
        atexit.register(self._close)
        self._started = 0
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def _close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def ask(self, **job: Any) -> str:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._line()

    def place(self) -> Path:
        self._started += 1
        return self.folder / str(self._started)


@functools.cache
def _server() -> _Server:
    return _Server()


class Process:
    """`trainer ARGS` as a process of its own; `limits` are names of the resource module, e.g. RLIMIT_FSIZE=100_000."""

    def __init__(self, *arguments: object, **limits: int) -> None:
        place = _server().place()
        self._out, self._err, self._begun = place.with_suffix(".out"), place.with_suffix(".err"), time.monotonic()
        for path in (self._out, self._err):
            path.touch()  # it may be killed before it opens them
        job = {"arguments": [str(one) for one in arguments], "out": str(self._out), "err": str(self._err)}
        self.pid = int(_server().ask(**job, limits=limits))

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> Result:
        """Wait for its end; one that hangs is killed and fails the test."""
        answer = _server().ask(pid=self.pid, timeout=timeout)
        seconds = time.monotonic() - self._begun
        out, err = self._out.read_text(), self._err.read_text()
        assert answer != "hangs", f"still at work after {timeout} s: {err}"
        return Result(int(answer), out, err, seconds)


def trainer_process(*arguments: object, timeout: float = 60, **limits: int) -> Result:
    """Run `trainer ARGS` as a process of its own, to its end."""
    return Process(*arguments, **limits).wait(timeout)


class Hangs(BaseException):
    """What hangs in this process is stopped by this, which no `except Exception` catches."""


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail what hangs in this process."""

    def late(number: int, frame: Any) -> None:
        raise Hangs(f"still at work after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Place:
    """A folder with a tokenizer and modules of the tiny language, and the options of a tiny training on them."""

    folder: Path
    options: list[object] = field(default_factory=list)

    @property
    def modules(self) -> Path:
        return self.folder / "modules"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.model"

    @property
    def _tokenizer(self) -> list[object]:
        return ["--tokenizer", self.tokenizer]

    def text(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def shard(self, name: str, tokens: Sequence[int] | np.ndarray) -> Path:
        return self.text(name, np.asarray(tokens, "<u2").tobytes())

    def add(self, name: str, what: str, *files: object, run: Callable[..., Result] = trainer) -> Result:
        return run("modules", "add", name, what, *files, *self._tokenizer, "--shards", self.modules)

    def pretrain(self, out: Path, *more: object) -> list[object]:
        """The arguments of `trainer pretrain`."""
        return [*"pretrain --shards".split(), self.modules, *self._tokenizer, "--out", out, *self.options, *more]


# Small enough that a step takes milliseconds; every eval_steps and save_steps is met before the 12th step.
TINY_OPTIONS: list[object] = (
    "--dim 32 --n-layers 2 --n-heads 2 --hidden-dim 64 --context 32 --per-device-batch-size 4 "
    "--gradient-accumulation-steps 1 --precision fp32 --threads 1 --steps 12 --save-steps 3 --eval-steps 4 --seed 5"
).split()  # fmt: skip


def place_in(folder: Path, modules: int = 0) -> Place:
    """A Place; with `modules` modules of 12 documents each (about 700 tokens a module)."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder, list(TINY_OPTIONS))
    place.tokenizer.write_bytes(tokenizer_bytes())
    for number in range(modules):
        rng = random.Random(100 + number)
        texts = [json.dumps({"text": paragraph(rng, 40)}) for _ in range(12)]
        path = place.text(f"text{number}.jsonl", "\n".join(texts))
        assert place.add(("one", "two", "three")[number], "--text", path).status == 0
    return place


@functools.cache
def shared_place() -> Place:
    """A Place with two modules, made once; nobody writes into its modules."""
    folder = tempfile.mkdtemp(prefix="trainer-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return place_in(Path(folder), modules=2)


# Few replies, and a gate that lets everything pass: for fine-tunes whose health is not what a test is about.
WIDE_OPEN: dict[str, Any] = {
    "health": {"replies": 8, "training_replies": 0, "quick_replies": 8, "text_rows": 8, "sweep": [1.0]},
    "budgets": {"base_perplexity": 1e9, "oov_rate": 1.0, "memorisation": 1.0, "reply_perplexity": 0.0, "eos_rate": 0.0},
    "preview_prompts": ["Ba ko?"],
}


def home_with(folder: Path, settings: str | dict[str, Any]) -> Path:
    """A home whose etc/trainer.json is this."""
    for name in ("etc", "profiles"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    text = settings if isinstance(settings, str) else json.dumps(settings, indent=1)
    (folder / "etc" / "trainer.json").write_text(text, "utf-8")
    return folder


# --- what version 0.1 left ---

# What version 0.1 called a setting or a figure, by its name of today.
OLD_NAMES = {
    "per_device_batch_size": "batch_rows", "gradient_accumulation_steps": "accumulate", "min_lr_ratio": "final_share",
    "embedding_lr_scale": "embedding_rate", "max_grad_norm": "clip", "eval_steps": "eval_every",
    "save_steps": "save_every", "holdout_share": "validation_share", "kl_weight": "replay_weight",
    "eos_loss_weight": "end_loss_weight", "budgets": "gate", "oov_rate": "invented", "memorisation": "verbatim",
    "eos_rate": "stopped",
}  # fmt: skip


def old_names(value: dict[str, Any]) -> dict[str, Any]:
    """The same values under the names of version 0.1, in objects within too."""
    return {OLD_NAMES.get(key, key): old_names(one) if isinstance(one, dict) else one for key, one in value.items()}


def as_version_0_1_wrote_it(training: Path) -> None:
    """Write the plan, the states and the metrics of a training that was stopped as version 0.1 wrote them."""
    plan = json.loads((training / "plan.json").read_text("utf-8"))
    plan["settings"] = old_names(plan["settings"])
    assert "batch_rows" in plan["settings"]
    if "replay" in plan["data"]:
        plan["data"]["replay"] = plan["data"]["replay"].replace("shards of", "modules of")
    (training / "plan.json").write_text(json.dumps(plan), "utf-8")
    for path in training.glob("step-*/state.json"):
        told = json.loads(path.read_text("utf-8"))
        told["state"]["rows"] = told["state"].pop("micro_batch")
        path.write_text(json.dumps(told), "utf-8")
    log = training / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    log.write_text("".join(json.dumps(old_names(row)) + "\n" for row in rows), "utf-8")


@functools.cache
def wide_open_home(**finetune: float) -> Path:
    """A home with WIDE_OPEN and settings of the fine-tune; all else is as shipped, replay and its KL term too."""
    folder = tempfile.mkdtemp(prefix="home-", dir=shared_place().folder)
    return home_with(Path(folder), WIDE_OPEN | {"finetune": finetune})

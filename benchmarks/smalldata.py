"""A fine-tune on little data, ours beside the two ways of the seeds: every figure of health, and the time it takes.

    python benchmarks/smalldata.py [--run DIR | --data FILE.jsonl ...] [--train 171] [--held-out 200] [--seeds 0 1 2]
        [--modes emulation ...] [--only base aggressive careful ours] [--replies 400] [--seeds-steps 10] [--threads N]
        [--work DIR] [--json FILE] [--accept] [--quick]

The dialogues are those of a curated run, or of JSONL files (conversations, or input and output), by default a run of
the demo profile, made anew. For each of --seeds, near-duplicates are gathered into clusters, these are shuffled, and
whole clusters are held out, then trained on: nothing that is asked was learnt. All begin with the built-in base:

    aggressive  fp32, AdamW at a constant 5e-4, 120 steps of 32 dialogues, loss on every token, nothing held out
    careful     the same at 5e-6, 150 steps
    ours        `trainer finetune` as a whole process, from its start to its end, its own evaluation included

Each of the 32 dialogues attends to itself alone and each token counts the same, so that packing them into fewer rows
than the seeds' 32 padded ones changes the seconds and nothing else. The seeds' recipe is 500 of llama2.c's fp32 steps
of 8,192 tokens (benchmarks/train.py): --seeds-steps of them are timed, half before and half after each of our
fine-tunes, and their median is taken 500 times; with --seeds-steps 500 all are run.

All models answer the same held-out prompts with the same seeds, and go through the same gate (etc/trainer.json).
--accept exits with 1 where the means of ours miss a goal. --quick tries this script; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train import ACCUMULATE, LENGTH, ROWS, Plain, plain_step  # benchmarks/train.py, beside this file

from curator.contract.files import pretty_json, read_json, sha256_of
from curator.contract.records import SUMMARY, WRAPPED
from trainer.data.batches import PackedDataset, TokenisedExample, rows_of
from trainer.data.dialogues import (
    Dataset,
    Dialogue,
    Samples,
    encode,
    read_dialogues,
    read_file,
    read_run,
    with_tags,
    without_secrets,
)
from trainer.data.documents import clusters
from trainer.data.pretraining_replay import base_text
from trainer.evaluation.budgets import broken, check_budgets
from trainer.evaluation.probes import EvalResult, EvalSuite, lexicon_of, perplexity
from trainer.evaluation.report import JSON_FILE
from trainer.model.checkpoint import WEIGHTS, Checkpoint, load_checkpoint
from trainer.model.convert import to_llama2c
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template
from trainer.names import builtin_base
from trainer.settings import PretrainSettings, TrainerSettings, load_settings
from trainer.training.loop import gradients
from trainer.training.optimizer import make_optimizer
from trainer.training.speed import threads

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("base", "aggressive", "careful", "ours")
FIXED = {"aggressive": (5e-4, 120), "careful": (5e-6, 150)}  # learning rate and steps
DIALOGUES = 32  # of one of those steps
RECIPE_STEPS = 500
TRAINED_REPLIES = 64
SHINGLE = 8  # as in trainer.data.dialogues: dialogues are short
GIANT = 20  # memories of a cluster, above which it is never held out: it would fill that side by itself
GOAL_REPLIES, GOAL_TIME = 0.6, 0.1  # fall of the perplexity of held-out replies; share of the recipe's time
MICRO = 8


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- dialogues -----------------------------------------------------------------------------------------------------


class RunPool:
    """The samples of a curated run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dataset, self.unit = folder, read_run(folder), "samples"
        rows = read_json(folder / WRAPPED, 4 << 30)
        self._rows = {str(row["metadata"]["sample_id"]): row for row in rows}
        self.dataset.dialogues = [  # passages of one memory stay together
            replace(one, conversation=self._rows[one.conversation]["metadata"].get("original_id", one.conversation))
            for one in self.dataset.dialogues
        ]
        self._sample = {one.name: one.name.partition(", reply ")[0] for one in self.dataset.dialogues}

    def leave(self, place: Path, chosen: list[Dialogue]) -> dict[str, Path]:
        """Write a run of the chosen samples alone, none held out; return the option that names it.

        A sample of several replies comes whole.
        """
        folder = place / "run"
        folder.mkdir()
        rows = []
        for row in (self._rows[name] for name in dict.fromkeys(self._sample[one.name] for one in chosen)):
            rows.append({**row, "metadata": {key: value for key, value in row["metadata"].items() if key != "split"}})
        (folder / WRAPPED).write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
        summary = {**read_json(self.folder / SUMMARY), "files": {WRAPPED: sha256_of(folder / WRAPPED)}}
        (folder / SUMMARY).write_text(pretty_json(summary), "utf-8")
        return {"run": folder}


class FilePool:
    """The conversations of JSONL files."""

    def __init__(self, files: list[Path], template: Template) -> None:
        parts = [read_file(path, template).dialogues for path in files]
        found = [replace(one, name=f"{number}:{one.name}", conversation=f"{number}:{one.conversation}")
                 for number, part in enumerate(parts) for one in part]  # fmt: skip
        self.dataset = Dataset(files[0], found)
        self.unit = "conversations" if any(one.history for one in found) else "dialogues"

    def leave(self, place: Path, chosen: list[Dialogue]) -> dict[str, Path]:
        """Write the chosen conversations, each in its line; return the option that names the file."""
        whole = {one.conversation: one for one in chosen}  # the last reply has all the others before it
        path = place / "dialogues.jsonl"
        path.write_text("".join(json.dumps(_row(one), ensure_ascii=False) + "\n" for one in whole.values()), "utf-8")
        return {"data": path}


Pool = RunPool | FilePool


def _row(last: Dialogue) -> Any:
    if not last.history:
        return {"input": last.prompt, "output": last.reply}
    turns = [*last.history, (last.prompt, last.reply)]
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


def read_pool(options: argparse.Namespace, work: Path, template: Template) -> Pool:
    if options.data:
        return FilePool(options.data, template)
    return RunPool(options.run or demo_run(work / "home"))


def demo_run(home: Path) -> Path:
    """Make a run of a copy of the demo profile; return its folder."""
    shutil.copytree(ROOT / "profiles/greggles", home / "profiles/greggles", ignore=shutil.ignore_patterns("out"))
    command = [sys.executable, "-m", "curator", "run", "--username", "greggles", "--home", str(home)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"curate run failed:\n{done.stderr}")
    return Path(done.stdout.strip().split("\n")[-1])


def _environment() -> dict[str, str]:
    """Return the environment without a home: the shipped settings count."""
    return {name: value for name, value in os.environ.items() if name != "CURATOR_HOME"}


@dataclass
class Clusters:
    """Conversations, the near-duplicates among them together."""

    conversations: dict[str, list[Dialogue]]
    members: list[list[str]]
    whole: bool  # a conversation counts as one, not each reply of it

    @classmethod
    def of(cls, dialogues: list[Dialogue], base: Checkpoint, whole: bool) -> Clusters:
        conversations: dict[str, list[Dialogue]] = {}
        for one in dialogues:
            conversations.setdefault(one.conversation, []).append(one)
        texts = [[text for one in part for text in (one.prompt, one.reply)] for part in conversations.values()]
        ids = [np.array([id_ for one in base.tokenizer.encode_all(part) for id_ in one], np.uint16) for part in texts]
        found: dict[int, list[str]] = {}
        for number, name in zip(clusters(ids, SHINGLE).tolist(), conversations, strict=True):
            found.setdefault(number, []).append(name)
        return cls(conversations, sorted(found.values(), key=len), whole)

    def split(self, seed: int, held: int, train: int) -> list[list[Dialogue]]:
        """Return so many conversations to hold out, then others to train on, no cluster on both sides."""
        sides: list[list[list[Dialogue]]] = [[], []]
        small = sum(len(one) <= GIANT for one in self.members)
        order = [*np.random.default_rng(seed).permutation(small), *range(small, len(self.members))]
        for number in order:  # the large clusters come last: they are trained on or left out, never held out
            side = 0 if len(sides[0]) < held and number < small else 1
            if len(sides[side]) < (held, train)[side]:
                found = [self.conversations[name] for name in self.members[number]]
                sides[side] += found if self.whole else [[one] for part in found for one in part]
        chosen = sides[0][:held], sides[1][:train]
        if (len(chosen[0]), len(chosen[1])) != (held, train):
            sys.exit(
                f"seed {seed}: there are {len(chosen[0])} to hold out and {len(chosen[1])} to train on: ask for fewer"
            )
        return [[one for part in side for one in part] for side in chosen]


@dataclass
class Task:
    """One seed's dialogues: what a fine-tune is given, and what every model is asked."""

    seed: int
    folder: Path
    given: dict[str, Path]
    template: Template
    samples: Samples

    @classmethod
    def of(
        cls, seed: int, pool: Pool, groups: Clusters, base: Checkpoint, settings: TrainerSettings,
        *, folder: Path, options: argparse.Namespace,
    ) -> Task:  # fmt: skip
        held, train = groups.split(seed, options.held_out, options.train)
        folder.mkdir(parents=True, exist_ok=True)
        given = pool.leave(folder, train)
        dataset = read_dialogues(None, None, given.get("run"), given.get("data"), base.record.template)
        template = with_tags(base.record.template, dataset, settings.finetune.mode_tags)
        known = {one.mode for one in dataset.dialogues}
        sides = [
            _encoded([one for one in side if one.mode in known], template, base) for side in (dataset.dialogues, held)
        ]
        samples = Samples(sides[0][1], sides[1][1], sides[0][0], sides[1][0], 0, [])
        return cls(seed, folder, given, template, samples)


def _encoded(
    dialogues: list[Dialogue], template: Template, base: Checkpoint
) -> tuple[list[Dialogue], list[TokenisedExample]]:
    """Return the dialogues that fit the context, and their tokens."""
    found = [(one, encode(one, template, base.tokenizer, base.config.max_seq_len)[0]) for one in dialogues]
    fitting = [(one, ids) for one, ids in found if ids is not None]
    return [one for one, _ in fitting], [ids for _, ids in fitting]


# --- models --------------------------------------------------------------------------------------------------------


@dataclass
class Made:
    """A model, the seconds it took, and what is to be said of it."""

    model: Llama
    seconds: float | None = None
    notes: list[str] = field(default_factory=list)


def fixed(base: Checkpoint, task: Task, rate: float, steps: int) -> Made:
    """Fine-tune as the seeds do: so many steps at one learning rate, a loss on every token, and no check."""
    begun = time.perf_counter()
    settings = PretrainSettings(learning_rate=rate, weight_decay=0.1, beta1=0.9, beta2=0.95, max_grad_norm=1.0)
    model = base.model().train()
    optimizer = make_optimizer(model, settings)
    samples = [replace(one, weights=(0.0, *[1.0] * (len(one.ids) - 1))) for one in task.samples.train]
    drawn, room = _forever(len(samples), task.seed), base.config.max_seq_len
    for step in range(steps):
        batch = PackedDataset([], [samples[next(drawn)] for _ in range(DIALOGUES)], 1, room, 0).validation()
        assert batch
        loss = gradients(model, model.sparse_loss, batch, MICRO, "fp32")
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
        if step % 20 == 0:
            say(f"  step {step} of {steps}: loss {loss:.3f}")
    return Made(model.eval(), time.perf_counter() - begun)


def _forever(count: int, seed: int) -> Iterator[int]:
    """Yield the numbers below `count`, each once before any comes again, in an order drawn anew each time."""
    rng = np.random.default_rng([seed, 5])
    while True:
        yield from rng.permutation(count).tolist()


def ours(task: Task, options: argparse.Namespace) -> Made:
    """Run `trainer finetune`. What its gate refuses is kept after the clock has stopped, to be measured as well."""
    out = task.folder / "ours"
    name, path = next(iter(task.given.items()))
    asked = ["finetune", f"--{name}", str(path), "--out", str(out), "--seed", str(task.seed)]
    if options.base:
        asked += ["--base", str(options.base)]
    begun = time.perf_counter()
    status, errors = _trainer(*asked, "--threads", str(options.threads), *(["--steps", "10"] if options.quick else []))
    seconds = time.perf_counter() - begun
    (task.folder / "ours.log").write_text(errors, "utf-8")
    if status:
        if status != 1 or not _was_refused(out):
            sys.exit(f"trainer finetune failed with status {status}:\n{errors}")
        status, more = _trainer("resume", str(out), "--accept-degraded")
        if status:
            sys.exit(f"trainer resume failed with status {status}:\n{more}")
    made = load_checkpoint(out)
    assert made.record.template == task.template, "it was trained with another template than it is asked with"
    gate = made.record.gate
    notes = [f"{gate.alpha:.0%} of the tuned weights"] if gate else []
    notes.append(f"`trainer finetune` {f'refused it: {_told(errors)}' if gate and gate.broken else 'kept it'}")
    return Made(made.model(), seconds, notes)


def _trainer(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "trainer", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode, done.stderr.decode(errors="replace")


def _was_refused(out: Path) -> bool:
    path = out / "training" / JSON_FILE
    return path.is_file() and read_json(path).get("verdict") == "refused"


def _told(errors: str) -> str:
    """Return what `trainer` said last: its error."""
    lines = errors.strip().split("\n")
    first = max((number for number, line in enumerate(lines) if line.startswith("trainer: ")), default=0)
    return lines[first].removeprefix("trainer: ")


class Recipe:
    """llama2.c's step, in plain PyTorch and fp32, on real text."""

    def __init__(self, base: Checkpoint) -> None:
        self._model = Plain(base.config)
        self._model.load_state_dict(to_llama2c(base.state, base.config), strict=False)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=5e-4, betas=(0.9, 0.95), weight_decay=0.1)
        self._text = base_text(base, None).replay
        self._dice = np.random.default_rng(0)
        self.step()  # the first one is slower: it is not counted

    def step(self) -> float:
        """Run one step; return its seconds."""
        starts = self._dice.integers(0, len(self._text) - LENGTH, ROWS * ACCUMULATE)
        batch = rows_of(self._text, starts, LENGTH)
        begun = time.perf_counter()
        plain_step(self._model, self._optimizer, batch, 5e-4)
        return time.perf_counter() - begun

    def around(self, steps: int, work: Callable[[], Made]) -> tuple[Made, float]:
        """Do a work between two halves of so many steps; return what it made, and the seconds of all 500 steps."""
        found = [self.step() for _ in range(steps // 2)]
        made = work()
        found += [self.step() for _ in range(steps - steps // 2)]
        return made, sum(found) if steps >= RECIPE_STEPS else RECIPE_STEPS * statistics.median(found)


# --- figures -------------------------------------------------------------------------------------------------------


@dataclass
class Line:
    """A model of a seed: its figures by name (None: not measured), the budgets it breaks, and what they say."""

    name: str
    seed: int
    figures: dict[str, float | None]
    broken: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)


COLUMNS = [
    ("held-out replies, perplexity", "reply_perplexity", ",.1f"), ("against base", "reply_change", "+.1%"),
    ("training replies, perplexity", "train_perplexity", ",.1f"), ("base text, perplexity", "text_perplexity", ",.2f"),
    ("against base", "text_change", "+.1%"), ("invented", "oov_rate", ".2%"),
    ("points above base", "invented_points", "+.2f"), ("unknown names", "names", ".2%"),
    ("verbatim, unseen", "memorisation_unseen", ".2%"), ("verbatim, training", "memorisation_train", ".2%"),
    ("longest run, words", "longest", ".0f"), ("stop", "eos_rate", ".1%"), ("rep-4", "rep_4", ".2%"),
    ("distinct-2", "distinct_2", ".1%"), ("role leaks", "role_leaks", ".1%"), ("tag leaks", "tag_leaks", ".1%"),
    ("length ratio", "length_ratio", ".2f"), ("seconds", "seconds", ",.1f"), ("seeds' 500 steps", "recipe", ",.0f"),
]  # fmt: skip


def probes_of(task: Task, base: Checkpoint, settings: TrainerSettings, replies: int) -> EvalSuite:
    told = [*task.samples.train_dialogues, *task.samples.holdout_dialogues]
    asked = settings.health.model_copy(update={"replies": replies, "prompts": []})  # held-out prompts alone
    return EvalSuite(
        template=task.template, tokenizer=base.tokenizer, samples=task.samples, text=base_text(base, None).held,
        lexicon=lexicon_of(base, told), context=base.config.max_seq_len, settings=asked, seed=task.seed,
    )  # fmt: skip


def line_of(
    name: str,
    made: Made,
    found: EvalResult,
    base: EvalResult,
    probes: EvalSuite,
    settings: TrainerSettings,
    *,
    seed: int,
) -> Line:
    """Return the line of a model; its invented words are compared with the base's in replies of the same length."""
    beside = probes.beside(base, found)
    over = broken(check_budgets(beside, found, settings.budgets)) if name != "base" else []
    figures = {
        "reply_perplexity": perplexity(found.reply_loss), "reply_change": _change(base.reply_loss, found.reply_loss),
        "train_perplexity": perplexity(found.train_loss), "text_perplexity": perplexity(found.text_loss),
        "text_change": _change(base.text_loss, found.text_loss), "oov_rate": found.oov.rate,
        "invented_points": 100 * (found.oov.rate - beside.oov.rate), "names": found.oov.name_rate,
        "memorisation_unseen": found.unseen.share if found.unseen else None,
        "memorisation_train": found.trained.share if found.trained else None,
        "longest": found.unseen.longest if found.unseen else None, "eos_rate": found.eos_rate, "rep_4": found.rep_4,
        "distinct_2": found.distinct_2, "role_leaks": found.role_leaks, "tag_leaks": found.tag_leaks,
        "length_ratio": found.length_ratio, "seconds": made.seconds, "recipe": None,
    }  # fmt: skip
    if name == "base":
        figures |= {"reply_change": None, "text_change": None, "invented_points": None}
    says = [*made.notes, *(one.says for one in over)]
    return Line(name, seed, figures, [one.name for one in over], says)


def _change(before: float | None, after: float | None) -> float | None:
    first, then = perplexity(before), perplexity(after)
    return then / first - 1 if first and then else None


def measured(task: Task, base: Checkpoint, settings: TrainerSettings, options: argparse.Namespace) -> list[Line]:
    """Make and measure the models of a seed, the base first."""
    probes = probes_of(task, base, settings, options.replies)
    recipe = Recipe(base) if "ours" in options.only else None
    first: EvalResult | None = None
    lines = []
    for name in MODELS:
        if name not in options.only:
            continue
        say(f"seed {task.seed}: {name}")
        made, seconds = _make(name, base, task, recipe, options)
        say(f"seed {task.seed}: {name}: measuring")
        found = probes.measure(made.model, options.replies, min(TRAINED_REPLIES, options.replies), 0)
        first = first or found
        lines.append(line_of(name, made, found, first, probes, settings, seed=task.seed))
        lines[-1].figures["recipe"] = seconds
        say(f"seed {task.seed}: {name}: {', '.join(lines[-1].says) or 'measured'}")
    return lines


def _make(
    name: str, base: Checkpoint, task: Task, recipe: Recipe | None, options: argparse.Namespace
) -> tuple[Made, float | None]:
    """Return a model, and for ours the seconds of the seeds' recipe, timed around it."""
    if name in FIXED:
        rate, steps = FIXED[name]
        return fixed(base, task, rate, steps // 20 if options.quick else steps), None
    if recipe and name == "ours":
        return recipe.around(options.seeds_steps, lambda: ours(task, options))
    return Made(base.model()), None


# --- the table -----------------------------------------------------------------------------------------------------


def table(lines: list[Line]) -> Iterator[str]:
    """Yield a markdown table: the means with their deviations, then each seed's line."""
    used = [one for one in COLUMNS if any(line.figures[one[1]] is not None for line in lines)]
    yield _cells(["model", "seed", *(head for head, _, _ in used), "gate"])
    yield _cells(["---", "---", *["---:"] * len(used), "---"])
    for name in dict.fromkeys(line.name for line in lines):
        mine = [line for line in lines if line.name == name]
        yield _cells([f"**{name}**", "mean", *(_mean(mine, key, how) for _, key, how in used), _gates(mine)])
    for line in lines if len({line.seed for line in lines}) > 1 else []:
        yield _cells(
            [line.name, str(line.seed), *(_shown(line.figures[key], how) for _, key, how in used), _gates([line])]
        )


def _cells(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"


def _shown(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)


def values(lines: list[Line], key: str) -> list[float]:
    return [value for line in lines if (value := line.figures[key]) is not None]


def _mean(lines: list[Line], key: str, how: str) -> str:
    found = values(lines, key)
    if len(found) < 2:
        return _shown(found[0] if found else None, how)
    return f"{statistics.mean(found):{how}} ± {statistics.stdev(found):{how.lstrip('+')}}"


def _gates(lines: list[Line]) -> str:
    """Return which budgets are broken, with how many of several seeds."""
    if lines[0].name == "base":
        return ""
    counts = Counter(one for line in lines for one in line.broken or ["passed"])
    return ", ".join(f"{name} {count}/{len(lines)}" if len(lines) > 1 else name for name, count in counts.items())


def goals(lines: list[Line], settings: TrainerSettings) -> list[tuple[str, bool]]:
    """Return each goal of the means of ours in words, and whether it is reached."""
    mine, budgets = [line for line in lines if line.name == "ours"], settings.budgets
    asked = [
        ("perplexity of held-out replies", "reply_change", -GOAL_REPLIES, ".1%"),
        ("perplexity of the base's text", "text_change", budgets.base_perplexity, "+.2%"),
        ("points of invented words above the base", "invented_points", 100 * budgets.oov_rate, "+.2f"),
        ("verbatim 8-grams, unseen prompts", "memorisation_unseen", budgets.memorisation, ".2%"),
    ]
    out = []
    for what, key, most, how in asked:
        mean = statistics.mean(values(mine, key))
        out.append((f"{what}: {mean:{how}}, at most {most:{how}}", mean <= most))
    stops = statistics.mean(values(mine, "eos_rate"))
    out.append((f"replies that stop: {stops:.1%}, at least {budgets.eos_rate:.0%}", stops >= budgets.eos_rate))
    share = statistics.mean(values(mine, "seconds")) / statistics.mean(values(mine, "recipe"))
    out.append((f"time, of the seeds' recipe: {share:.1%}, at most {GOAL_TIME:.0%}", share <= GOAL_TIME))
    return out


def show(lines: list[Line], about: dict[str, Any], found: list[tuple[str, bool]]) -> None:
    print(f"{about['train']} {about['unit']} to train on, {about['held_out']} held out, {about['replies']} replies, "
          f"{about['threads']} threads; source: {about['source']}\n")  # fmt: skip
    print("\n".join(table(lines)), end="\n\n")
    for line in lines:
        for text in line.says:
            print(f"- {line.name}, seed {line.seed}: {text}")
    if found:
        how = "all run" if about["seeds_steps"] >= RECIPE_STEPS else f"{about['seeds_steps']} of them timed"
        print(f"\nGoals of ours (the seeds' {RECIPE_STEPS} steps: {how} around each fine-tune):\n")
        print("\n".join(f"- {'reached' if ok else 'MISSED'}: {text}" for text, ok in found))
    same = about["base_sha256"] == about["base_sha256_after"]
    told = "the same before and after" if same else f"CHANGED, now {about['base_sha256_after']}"
    print(f"\nsha256 of the base's {WEIGHTS}: {told} ({about['base_sha256']})")


# --- the command ---------------------------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run", type=Path, metavar="DIR", help="a curated run (default: one of the demo profile)")
    source.add_argument("--data", type=Path, nargs="+", metavar="FILE", help="JSONL files")
    parser.add_argument("--train", type=int, default=171, metavar="N", help="samples, or conversations of a JSONL")
    parser.add_argument("--held-out", type=int, default=200, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--modes", nargs="+", metavar="MODE", help="of a run (default: all)")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), help="the base comes always")
    parser.add_argument("--replies", type=int, default=400, metavar="N", help="replies to unseen prompts")
    parser.add_argument("--seeds-steps", type=int, default=10, metavar="N", help="timed around each fine-tune of ours")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="0: one a core")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep runs, checkpoints and logs here")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true", help="exit with 1 where ours misses a goal")
    parser.add_argument("--quick", action="store_true", help="few steps, to try this script")
    options = parser.parse_args()
    if options.accept and "ours" not in options.only:
        parser.error("--accept judges ours; --only leaves it out")
    if min(options.train, options.held_out, options.replies, options.seeds_steps) < 1:
        parser.error("expected numbers of 1 or more")
    options.only, options.base = ["base", *options.only], None
    return options


@contextmanager
def work_folder(named: Path | None) -> Iterator[Path]:
    if named:
        if named.exists() and any(named.iterdir()):
            sys.exit(f"{named} is not empty: name another --work")
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name).resolve()


def compare(work: Path, options: argparse.Namespace) -> tuple[list[Line], dict[str, Any]]:
    """Return the lines of all seeds, and what they are about."""
    base, settings = load_checkpoint(builtin_base()), load_settings(None)
    before = sha256_of(base.folder / WEIGHTS)
    pool = read_pool(options, work, base.record.template)
    dataset, notes = without_secrets(pool.dataset)
    chosen = [one for one in dataset.dialogues if not options.modes or one.mode in options.modes]
    fitting, _ = _encoded(chosen, base.record.template, base)
    groups = Clusters.of(fitting, base, whole=pool.unit == "conversations")
    for note in notes:
        say(note)
    say(f"{len(fitting):,} replies, {len(groups.conversations):,} memories, {len(groups.members):,} clusters")
    tasks = [
        Task.of(seed, pool, groups, base, settings, folder=work / f"seed-{seed}", options=options)
        for seed in dict.fromkeys(options.seeds)
    ]
    lines = [line for task in tasks for line in measured(task, base, settings, options)]
    return lines, {
        "source": ", ".join(path.name for path in options.data or [options.run or Path("the demo profile")]),
        "unit": pool.unit, "train": options.train, "held_out": options.held_out, "replies": options.replies,
        "modes": options.modes, "seeds_steps": options.seeds_steps, "threads": torch.get_num_threads(),
        "quick": options.quick, "base_sha256": before, "base_sha256_after": sha256_of(base.folder / WEIGHTS),
    }  # fmt: skip


def main() -> None:
    options = parse()
    with work_folder(options.work) as work, threads(options.threads):
        lines, about = compare(work, options)
    found = goals(lines, load_settings(None)) if "ours" in options.only else []
    show(lines, about, found)
    if options.json:
        goal_rows = [{"goal": text, "reached": ok} for text, ok in found]
        options.json.write_text(
            pretty_json({**about, "lines": [vars(one) for one in lines], "goals": goal_rows}), "utf-8"
        )
    changed = about["base_sha256"] != about["base_sha256_after"]
    if changed or (options.accept and not all(ok for _, ok in found)):
        sys.exit(1)


if __name__ == "__main__":
    main()

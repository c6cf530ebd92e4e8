"""Questions made from passages against stock questions: what a fine-tune on a diary learns with each.

    python benchmarks/questions.py MEMORIES.jsonl.gz [MORE.jsonl.gz ...] --work DIR [--train 171] [--held-out 100]
        [--seeds 0 1 2] [--steps N] [--replay 0.5] [--replies 96] [--threads 1]

Each file holds memories of one diary, a JSON object a line. `curate run` is made of it twice, with --questions stock
and with --questions passage, so that the same passages answer either kind. For each seed whole memories are held out,
then others trained on, the same for both; `trainer finetune` runs as it is, but that its own evaluation is short and
that it replays less of the base's text (--replay; 2 is usual), which is most of a step's time. What is there already in
--work is not made again: a run that was stopped goes on.

    own      perplexity of held-out replies behind the questions of the way that the model was trained in: a question
             that hands over words lowers it by itself
    other    behind the questions of the other way
    neutral  behind what a user of the demo profile asked in chats: neither way made these
    named    of replies to the held-out passage questions, the same for all models, those that hold a word which the
             question took from its passage; in brackets those that hold such a word of another question: by chance
    demo     the same with the words of the demo's own questions
    stop     replies to the held-out passage questions that end by themselves
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Dialogue, encode
from trainer.evaluation.perplexity import mean_loss
from trainer.evaluation.probes import perplexity
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.model.llama import Llama
from trainer.names import builtin_base
from trainer.training.speed import threads

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("stock", "passage")
SHORT_HEALTH = {"replies": 8, "training_replies": 8, "quick_replies": 8, "text_rows": 8, "sweep": [1.0]}
NAMED_LETTERS = 4
QUESTION_WORDS = 25
TOKENS = 60
# What templates say themselves.
TEMPLATE_WORDS = frozenset("about tell happened what think make there time your with really mind was that".split())


@dataclass(frozen=True)
class Passage:
    """A reply of the diary, the memory from which it comes, and its question in each way."""

    memory: str
    reply: str
    asked: dict[str, str]
    made: bool


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- sets ----------------------------------------------------------------------------------------------------------


def curated(home: Path, user: str, out: Path, options: Sequence[str]) -> list[dict]:
    """Return the samples of a run, made where it is not there."""
    if not list(out.glob("*/*/run-summary.json")):
        command = [sys.executable, "-m", "curator", "run", "--home", str(home), "--username", user, "--out", str(out)]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"curate run failed:\n{done.stderr}")
    folder = next(out.glob("*/*/run-summary.json")).parent
    return json.loads((folder / "curated_memories.json").read_text("utf-8"))


def diary(path: Path, work: Path) -> list[Passage]:
    """Return the passages of a file of memories that both ways ask about."""
    name = path.name.split(".")[0]
    home, source = work / "home", work / f"{name}.jsonl"
    (home / "profiles" / name / "memory" / "episodic").mkdir(parents=True, exist_ok=True)
    if not source.exists():
        source.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    found: dict[str, dict[str, dict]] = {}
    for way in WAYS:
        rows = curated(home, name, work / f"run-{name}-{way}", ("--questions", way, "--source", str(source)))
        for row in rows:
            if row["metadata"].get("prompted") and row["metadata"]["reply_author"] == "person":
                found.setdefault(row["metadata"]["sample_id"], {})[way] = row
    return [
        Passage(
            both["passage"]["metadata"]["original_id"],
            both["passage"]["assistant_text"],
            {way: both[way]["user_text"] for way in WAYS},
            both["passage"]["metadata"]["question"] == "passage",
        )
        for both in found.values()
        if len(both) == len(WAYS)
    ]


def demo_questions(work: Path) -> list[str]:
    """Return what the user of the demo profile asked in chats, each question once."""
    rows = curated(ROOT, "greggles", work / "run-demo", ("--mode", "emulation"))
    asked = [row["user_text"].strip() for row in rows if not row["metadata"].get("prompted")]
    return list(dict.fromkeys(text for text in asked if text.endswith("?") and len(text.split()) <= QUESTION_WORDS))


def split(passages: list[Passage], seed: int, held: int, train: int) -> tuple[list[Passage], list[Passage]]:
    """Return passages to hold out and passages to train on, of different memories."""
    memories: dict[str, list[Passage]] = {}
    for one in passages:
        memories.setdefault(one.memory, []).append(one)
    order = list(memories.values())
    random.Random(seed).shuffle(order)
    sides: tuple[list[Passage], list[Passage]] = ([], [])
    for group in order:
        side = 0 if len(sides[0]) < held else 1
        sides[side].extend(group)
    return sides[0][:held], sides[1][:train]


# --- models --------------------------------------------------------------------------------------------------------


def tuned(folder: Path, train: list[Passage], way: str, options: argparse.Namespace) -> Checkpoint:
    """Return the checkpoint of `trainer finetune` on these passages, made where it is not there."""
    out = folder / way
    if not (out / "trainer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / f"{way}.jsonl"
        rows = [{"input": one.asked[way], "output": one.reply} for one in train]
        data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        home = options.work / "home"
        (home / "etc").mkdir(parents=True, exist_ok=True)
        settings = json.loads((ROOT / "etc/trainer.json").read_text("utf-8"))
        settings["health"] = {**settings["health"], **SHORT_HEALTH}
        settings["finetune"]["replay_ratio"] = options.replay
        (home / "etc/trainer.json").write_text(json.dumps(settings), "utf-8")
        command = [
            sys.executable, "-m", "trainer", "finetune", "--data", str(data), "--home", str(home), "--out", str(out),
            "--seed", str(options.seed), "--threads", str(options.threads), "--accept-degraded",
            "--eval-steps", "1000", "--save-steps", "1000", "--holdout-share", "0.06",
            "--compile", "never", "--precision", "fp32",
            *(["--steps", str(options.steps)] if options.steps else []),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if not (out / "trainer.json").exists():
            sys.exit(f"trainer finetune failed:\n{done.stderr}")
    return load_checkpoint(out)


# --- figures -------------------------------------------------------------------------------------------------------


class Probe:
    """What every model of a diary and seed is asked."""

    def __init__(self, base: Checkpoint, held: list[Passage], demo: list[str], count: int) -> None:
        self._base, self._held, self._demo = base, held, [demo[n % len(demo)] for n in range(len(held))]
        named = [(one.asked["passage"], named_words(one)) for one in held if one.made]
        self._named = [(question, words) for question, words in named if words][:count]
        asked = [(question, long_words(question)) for question in demo]
        self._asked = [(question, words) for question, words in asked if words][:count]

    def loss(self, model: Llama, prompts: Sequence[str]) -> float:
        """Return the mean loss of the held-out replies behind these prompts, nats a token."""
        samples = []
        for number, (one, prompt) in enumerate(zip(self._held, prompts, strict=True)):
            dialogue = Dialogue(str(number), prompt, one.reply)
            template, tokenizer = self._base.record.template, self._base.tokenizer
            found, _ = encode(dialogue, template, tokenizer, self._base.config.max_seq_len)
            samples += [found] if found else []
        batch = PackedDataset([], samples, 1, self._base.config.max_seq_len, 0).validation()
        return mean_loss(model, batch, 8, "fp32")

    def named(self, model: Llama, asked: list[tuple[str, set[str]]]) -> tuple[float, float, float]:
        """Return of the replies the shares that name what was asked, what another question asked, and that stop."""
        template, decoder = self._base.record.template, Decoder(model)
        prompts = [template.wrap(question) for question, _ in asked]
        sampling = Sampling(temperature=0.8, max_tokens=TOKENS, stops=tuple(template.stops))
        drawn = replies(decoder, self._base.tokenizer, prompts, sampling, seeds=range(len(prompts)))
        said = [words_of(reply.text) for reply in drawn]
        words = [one for _, one in asked]
        hits = sum(bool(a & b) for a, b in zip(said, words, strict=True))
        chance = [sum(bool(a & b) for b in words) / len(words) for a in said]
        stops = sum(reply.stopped == "end" for reply in drawn)
        return hits / len(drawn), statistics.mean(chance), stops / len(drawn)

    def figures(self, model: Llama, way: str) -> dict[str, float | None]:
        """Return every figure of a model; a base has no way of its own."""
        losses = {one: self.loss(model, [passage.asked[one] for passage in self._held]) for one in WAYS}
        named, by_chance, stop = self.named(model, self._named)
        demo, demo_chance, _ = self.named(model, self._asked)
        return {
            "stock": perplexity(losses["stock"]), "passage": perplexity(losses["passage"]),
            "own": perplexity(losses[way]) if way in losses else None,
            "neutral": perplexity(self.loss(model, self._demo)),
            "named": named, "by_chance": by_chance, "stop": stop, "demo": demo, "demo_chance": demo_chance,
        }  # fmt: skip


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def long_words(text: str) -> set[str]:
    return {word for word in words_of(text) if len(word) > NAMED_LETTERS} - TEMPLATE_WORDS


def named_words(one: Passage) -> set[str]:
    """Return the words that a question took from its passage."""
    shared = words_of(one.asked["passage"]) & words_of(one.reply)
    return {word for word in shared if len(word) >= NAMED_LETTERS} - TEMPLATE_WORDS


# --- the table -----------------------------------------------------------------------------------------------------

COLUMNS: tuple[tuple[str, Callable[[dict], str]], ...] = (
    ("own", lambda one: "" if one["own"] is None else f"{one['own']:.1f}"),
    ("stock questions", lambda one: f"{one['stock']:.1f}"),
    ("passage questions", lambda one: f"{one['passage']:.1f}"),
    ("neutral", lambda one: f"{one['neutral']:.1f}"),
    ("named (by chance)", lambda one: f"{one['named']:.0%} ({one['by_chance']:.0%})"),
    ("demo (by chance)", lambda one: f"{one['demo']:.0%} ({one['demo_chance']:.0%})"),
    ("stop", lambda one: f"{one['stop']:.0%}"),
)


def table(lines: list[dict]) -> str:
    """Return a markdown table: the mean of the seeds of each diary and model, then each line."""
    rows = [["diary", "trained on", "seed", *(head for head, _ in COLUMNS)], ["---"] * (3 + len(COLUMNS))]
    for name in dict.fromkeys(line["diary"] for line in lines):
        for way in ("base", *WAYS):
            mine = [line for line in lines if (line["diary"], line["way"]) == (name, way)]
            if mine:
                keys = [key for key in mine[0] if key not in ("diary", "way", "seed")]
                mean = {key: _mean([line[key] for line in mine]) for key in keys}
                rows.append([name, f"**{way}**", f"mean of {len(mine)}", *(show(mean) for _, show in COLUMNS)])
    rows += [[line["diary"], line["way"], str(line["seed"]), *(show(line) for _, show in COLUMNS)] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("memories", type=Path, nargs="+", metavar="FILE", help="JSONL of memories, a diary each")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for runs, checkpoints and results")
    parser.add_argument("--train", type=int, default=171, metavar="N")
    parser.add_argument("--held-out", type=int, default=100, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of a fine-tune (default: by its epochs)")
    parser.add_argument("--replay", type=float, default=0.5, metavar="R", help="rows of the base's text to one (0.5)")
    parser.add_argument("--replies", type=int, default=96, metavar="N")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    results = options.work / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()] if results.exists() else []
    base, demo = load_checkpoint(builtin_base()), demo_questions(options.work)
    diaries = {path.name.split(".")[0]: diary(path, options.work) for path in options.memories}
    with threads(options.threads):
        for seed in options.seeds:
            for name, passages in diaries.items():
                options.seed = seed
                held, train = split(passages, seed, options.held_out, options.train)
                probe = Probe(base, held, demo, options.replies)
                for way in ("base", *WAYS):
                    if any((one["diary"], one["way"], one["seed"]) == (name, way, seed) for one in lines):
                        continue
                    say(f"{name}, seed {seed}: {way}")
                    made = base if way == "base" else tuned(options.work / f"{name}-{seed}", train, way, options)
                    figures = probe.figures(made.model(), way)
                    lines.append({"diary": name, "way": way, "seed": seed, **figures})
                    with results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(lines[-1]) + "\n")
    print(table(lines))


if __name__ == "__main__":
    main()

"""`trainer ablate`: train without each part, several seeds each, and say which differences are more than noise.

request --prepare, hold_out--> Bench --arms--> Arms --Laboratory--> Trials --noise--> verdicts, and the advice
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from curator.contract.cli_frame import Progress, command_line
from curator.contract.errors import UsageError, counted, disk_error
from curator.contract.files import locked, pretty_json, write_whole
from curator.contract.homes import find_profile
from curator.contract.records import read_summary
from trainer.ablation.noise import LEVEL, Floats, Paired, Says, Verdict, corrected, paired, verdicts
from trainer.ablation.parts import BASE, FILTERED, WHOLE, Arm, Bench, Untried, filtered, hold_out, judged_by
from trainer.ablation.sets import SETS, remade
from trainer.ablation.trials import Laboratory, Trial, TrialLog
from trainer.data.pretraining_replay import base_text
from trainer.evaluation.evidence import margin, ratio_deviations
from trainer.training.finetune import FinetuneContext, FinetuneRequest, prepare
from trainer.training.folds import Schedule, trained
from trainer.training.progress import duration
from trainer.training.speed import threads

ABLATIONS = Path("out") / "ablations"
RESULT = "result.json"
_PROBE = 2  # steps that are timed for the first ETA, behind one that warms up


@dataclass(frozen=True)
class AblationRequest:
    """What is asked for: the fine-tune of the whole set, what the parts are, and how much is spent on telling them."""

    finetune: FinetuneRequest
    by: str
    seeds: int = 3
    alone: bool = False
    least: int = 20
    replies: int = 48


class Row(BaseModel):
    """A set of the table. Losses are nats a token, shares between 0 and 1, margins half the width of 95% intervals.

    `difference` is its loss less that of the whole set (of a part alone: of the base), on `judged_by` held-out replies
    of the other parts; `p` is corrected for the number of parts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    part: str
    samples: int
    loss: float
    judged_by: int
    difference: float | None
    margin: float | None
    p: float | None
    says: str
    invented: float
    invented_margin: float
    recited: float
    voice: float | None
    voice_margin: float | None


class AblationResult(BaseModel):
    """result.json of an ablation, and what `trainer ablate --json` prints. `advice` is the command that takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: str = "persona-curator-ablation"
    version: int = 1
    run: str
    by: str
    seeds: list[int]
    held_out: int
    rows: list[Row]
    untried: dict[str, str]
    harmful: list[str]
    useless: list[str]
    advice: str | None
    seconds: float


def ablate(
    request: AblationRequest, out: Path | None, progress: Progress, say: Callable[[str], None]
) -> tuple[Path, AblationResult]:
    """Train on every set with every seed, and leave the result in a folder; what is there already is not done again.

    Raises UsageError where there is nothing to compare, JobError where `curate run` fails.
    """
    ready = prepare(request.finetune)
    if "run" not in ready.dataset.about:
        raise UsageError("an ablation needs a curated run", "name it with --profile P or --run DIR")
    for note in ready.notes:
        say(note)
    folder = out or _place(request, ready)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot make", folder, option="--out") from None
    with locked(folder), threads(ready.settings.threads):
        bench = hold_out(ready)
        arms, untried = _arms(request, bench, folder, progress)
        if not arms:
            why = "; ".join(f"{one.part}: {one.why}" for one in untried)
            raise UsageError(
                f"no {request.by} can be left out: {why or 'there is none'}", "make a larger set, or try another --by"
            )
        lab = Laboratory.of(bench, base_text(ready.base, request.finetune.replay), request.replies)
        seeds = [ready.settings.seed + number for number in range(request.seeds)]
        trials = _tried(lab, [Arm(WHOLE, *bench.examples(bench.train)), *arms], seeds, TrialLog(folder), progress, say)
        result = _result(request, bench, arms, untried, seeds=seeds, trials=trials)
        write_whole(folder / RESULT, pretty_json(result.model_dump()))
    (folder / ".lock").unlink(missing_ok=True)
    return folder, result


def _place(request: AblationRequest, ready: FinetuneContext) -> Path:
    """Return the folder of an ablation: in the out/ablations/ of the profile whose run it is, else here."""
    asked, run = request.finetune, ready.dataset.source.resolve()
    inside = [path for path in run.parents if path.parent.name == "profiles"]
    if asked.profile and asked.home:
        above = find_profile(asked.home, asked.profile, "--profile") / ABLATIONS
    else:
        above = inside[0] / ABLATIONS if inside else Path(ABLATIONS.name)
    return above / f"{ready.dataset.about['run_day']}-{ready.dataset.about['run']}-{request.by}"


def _arms(request: AblationRequest, bench: Bench, folder: Path, progress: Progress) -> tuple[list[Arm], list[Untried]]:
    if request.by in FILTERED:
        return filtered(bench, request.by, request.least, request.alone)
    return remade(bench, request.by, folder / SETS, progress)


# --- training ------------------------------------------------------------------------------------------------------


def _tried(
    lab: Laboratory, arms: list[Arm], seeds: list[int], log: TrialLog, progress: Progress, say: Callable[[str], None]
) -> dict[tuple[str, int], Trial]:
    """Return the trial of every set and seed, by both; each seed goes through all sets before the next."""
    base = Arm(BASE, [], [])
    wanted = [(base, seeds[0]), *((arm, seed) for seed in seeds for arm in arms)]
    found: dict[tuple[str, int], Trial] = {}
    left = []
    for arm, seed in wanted:
        if trial := log.get(lab.key(arm, seed)):
            found[arm.name, seed] = trial
        else:
            left.append((arm, seed))
    if found:
        say(f"{len(found)} of {counted(len(wanted), 'training')} are in {log.path} already")
    if left:
        _run(lab, left, log, found, progress=progress, say=say)
    return found


def _run(
    lab: Laboratory, left: list[tuple[Arm, int]], log: TrialLog, found: dict[tuple[str, int], Trial], *,
    progress: Progress, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Run what is left, saying first how long it takes, then of each training how much is left."""
    steps = [lab.steps(arm, seed) for arm, seed in left]
    a_step, total, done = _seconds_per_step(lab, left[-1][0]), sum(steps), 0
    say(
        f"{counted(len(left), 'training')} of {counted(total, 'step')} together, "
        f"{counted(lab.replies, 'reply', 'replies')} behind each: about {duration(total * a_step * 1.2)}. "
        "What is done stays: the same command goes on"
    )
    begun = time.monotonic()
    for number, ((arm, seed), many) in enumerate(zip(left, steps, strict=True), 1):

        def tick(step: int, arm: Arm = arm, seed: int = seed, before: int = done) -> None:
            progress(f"{arm.name}, seed {seed}", before + step, total)

        trial = lab.run(arm, seed, tick)
        log.add(trial)
        found[arm.name, seed] = trial
        done += many
        if many:
            eta = (time.monotonic() - begun) / done * (total - done)
            say(
                f"{number} of {len(left)}: {arm.name}, seed {seed}: {counted(many, 'step')} in "
                f"{duration(trial.seconds)}, ETA {duration(eta)}"
            )


def _seconds_per_step(lab: Laboratory, arm: Arm) -> float:
    recipe, samples = lab.recipe(0), arm.samples
    steps = lab.steps(arm, 0)
    ends: list[float] = []
    trained(
        recipe, samples, Schedule(min(steps, _PROBE + 1), steps, 1.0, lab.precision), recipe.settings, kl=lab.kl,
        device="cpu", tick=lambda step: ends.append(time.monotonic()),
    )  # fmt: skip
    return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else 0.0


# --- judging -------------------------------------------------------------------------------------------------------


def _result(
    request: AblationRequest, bench: Bench, arms: list[Arm], untried: list[Untried], *, seeds: list[int],
    trials: dict[tuple[str, int], Trial],
) -> AblationResult:  # fmt: skip
    comparison = Comparison(bench, trials, seeds, judged_by(bench, request.by))
    without = {arm.part: arm for arm in arms if not arm.alone}
    told = verdicts(
        lambda part, harmful: comparison.of(without[part], harmful), list(without), _majority(request, bench)
    )
    harmful = [part for part, one in told.items() if one.says == "harms"]
    alone = _alone([arm for arm in arms if arm.alone], comparison)
    judged = [(arm, alone[arm.part] if arm.alone else told[arm.part]) for arm in arms]
    rows = [_whole_row(comparison, name) for name in (BASE, WHOLE)]
    rows += [_row(comparison, arm, verdict, frozenset(harmful) - {arm.part}) for arm, verdict in judged]
    run = bench.ready.dataset.source
    words = [word for part in harmful for word in without[part].words]
    return AblationResult(
        run=str(run), by=request.by, seeds=seeds, held_out=len(bench.held), rows=rows,
        untried={one.part: one.why for one in untried}, harmful=harmful,
        useless=[part for part, one in told.items() if one.says == "no difference"],
        advice=_advice(run, words) if words else None,
        seconds=round(sum(trial.seconds for trial in trials.values()), 1),
    )  # fmt: skip


def _majority(request: AblationRequest, bench: Bench) -> frozenset[str]:
    """Return the part that is more than half of the training samples, where there is one."""
    if request.by not in FILTERED:
        return frozenset()
    counts = Counter(getattr(one, request.by) for one in bench.train)
    return frozenset(part for part, count in counts.items() if 2 * count > len(bench.train))


def _advice(run: Path, words: Sequence[str]) -> str:
    """Return the command that makes the run again without the harmful parts."""
    command = read_summary(run).get("command")
    known = command[1:] if isinstance(command, list) and command[:1] == ["curate"] else ["run"]
    return command_line("curate", *map(str, known), *words)


@dataclass(frozen=True)
class Comparison:
    """The trials of all sets, to compare two of them on the replies that say something of a part."""

    bench: Bench
    trials: dict[tuple[str, int], Trial]
    seeds: list[int]
    places: Callable[[str, frozenset[str]], list[int]]

    def losses(self, name: str) -> Floats:
        """Return the summed losses of a set, (seeds, replies), nats. The base has none of a seed's own."""
        seeds = [self.seeds[0]] * len(self.seeds) if name == BASE else self.seeds
        return np.array([self.trials[name, seed].losses for seed in seeds])

    def of(self, arm: Arm, harmful: frozenset[str] = frozenset()) -> Paired | None:
        """Return what a set's loss is more than the whole set's, or of a part alone than the base's."""
        held, places = self.bench.held, self.places(arm.part, harmful)
        if not places:
            return None
        tokens, clusters = (
            np.array([getattr(held[place], name) for place in places]) for name in ("tokens", "cluster")
        )
        beside = self.losses(BASE if arm.alone else WHOLE)
        names = dict.fromkeys(name for name, _ in self.trials if name != BASE)
        trained = [self.losses(name)[:, places] for name in names]
        return paired(self.losses(arm.name)[:, places], beside[:, places], tokens, clusters, trained)

    def loss(self, name: str, places: list[int]) -> float:
        """Return the mean loss of a set on some replies, nats a token."""
        tokens = sum(self.bench.held[place].tokens for place in places)
        return float(self.losses(name)[:, places].mean(axis=0).sum()) / max(1, tokens)

    def written(self, name: str) -> Iterator[Trial]:
        """Yield a set's trials, a seed after the other."""
        return (self.trials[name, seed] for seed in self.seeds if (name, seed) in self.trials)


def _alone(arms: list[Arm], comparison: Comparison) -> dict[str, Verdict]:
    """Return what each part does by itself for the replies of the others, beside the base."""
    found = {arm.part: comparison.of(arm) for arm in arms}
    fair = corrected({part: one.p for part, one in found.items() if one})

    def says(one: Paired | None, p: float) -> Says:
        if one is None:
            return "too few to tell"
        return "no difference" if p >= LEVEL else "carries over" if one.difference < 0 else "harms"

    return {part: Verdict(says(one, fair.get(part, 1.0)), one, fair.get(part)) for part, one in found.items()}


def _row(comparison: Comparison, arm: Arm, verdict: Verdict, harmful: frozenset[str]) -> Row:
    places, one = comparison.places(arm.part, harmful), verdict.paired
    return Row(
        name=arm.name, part=arm.part, samples=len(arm.samples), loss=comparison.loss(arm.name, places),
        judged_by=len(places), difference=one and one.difference, margin=one and one.margin, p=verdict.p,
        says=verdict.says, **_of_replies(comparison, arm.name),
    )  # fmt: skip


def _whole_row(comparison: Comparison, name: str) -> Row:
    places = list(range(len(comparison.bench.held)))
    samples = next(comparison.written(name)).samples
    return Row(
        name=name, part="", samples=samples, loss=comparison.loss(name, places), judged_by=len(places),
        difference=None, margin=None, p=None, says="", **_of_replies(comparison, name),
    )  # fmt: skip


def _of_replies(comparison: Comparison, name: str) -> dict[str, float | None]:
    """Return the figures of what a set's models wrote; how much it sounds like the person, beside what it recites."""
    trials, voice = list(comparison.written(name)), comparison.bench.ready.voice
    voiced = voice.score([text for trial in trials for text in trial.replies]) if voice else None
    invented, recited = (
        [count for trial in trials for count in getattr(trial, kind)] for kind in ("invented", "recited")
    )
    many = sum(count for _, count in invented)
    return {
        "invented": sum(hits for hits, _ in invented) / max(1, many),
        "invented_margin": margin(ratio_deviations(invented), len(invented) / max(1, many)),
        "recited": sum(hits for hits, _ in recited) / max(1, sum(count for _, count in recited)),
        "voice": voiced and voiced.score, "voice_margin": voiced and voiced.margin,
    }  # fmt: skip

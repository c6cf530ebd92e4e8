"""A training that was stopped, by whatever, goes on to the same bytes as one that was not."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from core_fixtures import (
    ROOT,
    SETTINGS,
    Place,
    Process,
    Result,
    as_version_0_1_wrote_it,
    home_with,
    model_of,
    place_in,
    shared_place,
    trainer,
    trainer_process,
)

from trainer.training import loop
from trainer.training.optimizer import make_optimizer
from trainer.training.run_dir import RunDir, TrainState


@functools.cache
def home_with_dropout() -> Path:
    """No option of the command line sets dropout: a home's settings do."""
    return home_with(shared_place().folder / "home", {"pretrain": {"dropout": 0.3, "warmup_steps": 3}})


def begin(out: Path, dropout: bool = False, place: Place | None = None) -> list[object]:
    """The arguments of the training that all tests here begin: 12 steps, a state every 3, an evaluation every 4."""
    more = ["--home", home_with_dropout()] if dropout else []
    return (place or shared_place()).pretrain(out, *more)


@functools.cache
def expected(dropout: bool) -> bytes:
    """The weights of the training that nothing stops."""
    out = shared_place().folder / f"uninterrupted {dropout}"
    done = trainer_process(*begin(out, dropout))
    assert done.status == 0, done.err
    return (out / "model.safetensors").read_bytes()


def lines(out: Path) -> int:
    path = out / "training" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def stopped(out: Path, at: int, number: int, dropout: bool = False, delay: float = 0.0) -> Result:
    """Begin the training and send it a signal once it has logged `at` steps."""
    process = Process(*begin(out, dropout))
    until = time.monotonic() + 30
    while lines(out) < at and time.monotonic() < until:
        time.sleep(0.0005)
    time.sleep(delay)
    process.kill(number)
    return process.wait(30)


def check_whole(out: Path, dropout: bool = False) -> None:
    """The training in `out` has ended as if nothing had stopped it."""
    assert (out / "model.safetensors").read_bytes() == expected(dropout)
    rows = [json.loads(line) for line in (out / "training" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if "validation_loss" in row] == [4, 8, 12]
    record = json.loads((out / "trainer.json").read_text())
    assert (record["steps"], record["made_by"]) == (12, "pretrain")
    assert record["metrics"]["tokens_trained"] == rows[-1]["tokens"]
    rest = sorted(path.name for path in (out / "training").iterdir())
    assert rest == ["metrics.jsonl", "plan.json", "tokenizer.model"]  # no state, no leavings of a killed process
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def resume(out: Path, *more: object) -> Result:
    done = trainer("resume", out, *more)
    assert done.status == 0, done.err
    assert done.out == f"{out}\n"
    return done


# --- kill -9 ---


@pytest.mark.parametrize(("at", "dropout"), [(1, False), (7, False), (4, True), (10, True)])
def test_a_killed_training_ends_with_the_same_bytes(tmp_path: Path, at: int, dropout: bool):
    out = tmp_path / "out"
    assert stopped(out, at, signal.SIGKILL, dropout).status == -signal.SIGKILL
    assert not (out / "trainer.json").exists()
    resume(out)
    check_whole(out, dropout)


@pytest.mark.verify
@pytest.mark.parametrize("seed", range(25))
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path, seed: int):
    out, rng = tmp_path / "out", random.Random(seed)
    dropout = rng.random() < 0.5
    done = stopped(out, rng.randint(0, 11), signal.SIGKILL, dropout, delay=rng.random() * 0.03)
    for _ in range(rng.randint(0, 3)):  # resumed and killed, wherever it is by then
        if done.status == 0:
            break
        if not (out / "training" / "plan.json").exists():  # killed before it had begun: begun anew
            shutil.rmtree(out, ignore_errors=True)
            process = Process(*begin(out, dropout))
        else:
            process = Process("resume", out)
        time.sleep(rng.random() * 0.15)
        process.kill()
        done = process.wait(30)
    if not (out / "training" / "plan.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        assert trainer(*begin(out, dropout)).status == 0
    elif done.status != 0:
        resume(out)
    check_whole(out, dropout)


@pytest.mark.verify
def test_a_fresh_python_is_killed_and_resumed_too(tmp_path: Path):
    # As a user's shell does it, without the forked processes of the tests above.
    out = tmp_path / "out"
    python = [sys.executable, "-m", "trainer"]
    with subprocess.Popen([*python, *map(str, begin(out))], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while lines(out) < 5 and time.monotonic() < until:
            time.sleep(0.001)
        process.kill()
    done = subprocess.run(
        [*python, "resume", str(out)], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{out}\n"
    check_whole(out)


@pytest.mark.parametrize("left", ["no plan", "only the folder"])  # the plan is written last
def test_a_training_that_was_killed_before_it_had_begun_can_be_begun_or_resumed(tmp_path: Path, left: str):
    # What a process leaves that dies between its first files: one of the two commands must go on from there.
    out = tmp_path / "out"
    stopped(out, 1, signal.SIGKILL)
    for path in sorted((out / "training").iterdir()):
        if path.name not in {"no plan": ["tokenizer.model"]}.get(left, []):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = [trainer(*begin(out)), trainer("resume", out)]
    assert 0 in [one.status for one in done], [one.err for one in done]
    check_whole(out)


# --- stopped by a signal ---


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_saves_says_how_to_go_on_and_does(tmp_path: Path, number: int, status: int):
    out = tmp_path / "out"
    done = stopped(out, 5, number, dropout=True)
    assert done.status == status, done.err
    assert "Traceback" not in done.err
    assert f"trainer resume {out}" in done.err, done.err
    logged = lines(out)
    assert 5 <= logged < 12
    assert RunDir(out).last_good() == logged  # the very step that it stopped at
    resume(out)
    check_whole(out, dropout=True)


def test_a_stopped_resume_says_so_too(tmp_path: Path):
    out = tmp_path / "out"
    stopped(out, 1, signal.SIGKILL)
    process = Process("resume", out)
    until = time.monotonic() + 30
    while lines(out) < 3 and time.monotonic() < until:
        time.sleep(0.0005)
    process.kill(signal.SIGINT)
    done = process.wait(30)
    assert done.status == 130 and f"trainer resume {out}" in done.err, done.err
    resume(out)
    check_whole(out)


def test_the_handlers_of_a_host_program_come_back(tmp_path: Path):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert trainer(*begin(tmp_path / "out"), "--steps", 2).status == 0
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    with loop.stop_flag() as stop:
        assert stop() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() == 143
        with pytest.raises(KeyboardInterrupt) as caught:  # a second one does not wait for the step to end
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert caught.value.args == (130,)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


# --- resumed when it is not due ---


def test_a_training_that_has_ended_is_not_trained_again(tmp_path: Path):
    out = tmp_path / "out"
    assert trainer(*begin(out)).status == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    done = trainer("resume", out)
    assert "Traceback" not in done.err
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before
    assert done.status in (0, 2) and "ended" in done.err, done.err


def test_what_is_no_training_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for place in ("missing", "file", ""):
        done = trainer("resume", tmp_path / place)
        assert done.status == 2 and str(tmp_path / place) in done.err and "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]  # not even a lock


def test_a_folder_that_holds_something_else_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    done = trainer(*begin(tmp_path))
    assert done.status == 2 and "is there already" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plan: "{",
        lambda plan: "[]",
        lambda plan: json.dumps(plan | {"version": 2}),
        lambda plan: json.dumps(plan | {"settings": plan["settings"] | {"colour": 1}}),
        lambda plan: json.dumps({key: one for key, one in plan.items() if key != "config"}),
        lambda plan: json.dumps(plan | {"config": plan["config"] | {"n_layers": 10**9}}),
    ],
    ids=["no JSON", "array", "version", "setting", "no size", "size"],
)
def test_a_spoilt_plan_is_one_clear_error(tmp_path: Path, spoil: Callable[[dict[str, object]], str]):
    out = tmp_path / "out"
    stopped(out, 1, signal.SIGKILL)
    plan = out / "training" / "plan.json"
    plan.write_text(spoil(json.loads(plan.read_text())))
    done = trainer_process("resume", out)
    assert done.status == 2 and "Traceback" not in done.err, done.err


def test_a_training_that_version_0_1_began_ends_with_the_same_bytes(tmp_path: Path, killed: Path):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    as_version_0_1_wrote_it(out / "training")
    done = resume(out)
    assert "something changed" not in done.err and "damaged" not in done.err, done.err
    check_whole(out)
    settings = json.loads((out / "trainer.json").read_text())["settings"]
    assert settings["per_device_batch_size"] == 4 and "batch_rows" not in settings


def test_a_setting_of_version_0_1_that_changed_is_named(tmp_path: Path, killed: Path):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    as_version_0_1_wrote_it(out / "training")
    path = out / "training" / "plan.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps(plan | {"machine": plan["machine"] | {"torch": "1.0"}}))
    done = trainer("resume", out)
    assert done.status == 2 and "machine.torch was 1.0" in done.err and "settings." not in done.err


def test_a_state_of_version_0_1_goes_on_with_as_many_rows_at_a_time(tmp_path: Path):
    model = model_of()
    optimizer = make_optimizer(model, SETTINGS)
    run_dir = RunDir(tmp_path)
    run_dir.folder.mkdir(parents=True)
    run_dir.save(model, optimizer, TrainState(step=3, micro_batch=2))
    path = run_dir.folder / "step-0000003" / "state.json"
    told = json.loads(path.read_text())
    told["state"]["rows"] = told["state"].pop("micro_batch")
    path.write_text(json.dumps(told))
    assert run_dir.latest(model, optimizer) == TrainState(step=3, micro_batch=2)


# --- damaged states ---


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped bit": flip,
    "cut off": lambda folder: os.truncate(folder / "optimizer.safetensors", 1000),
    "empty": lambda folder: os.truncate(folder / "model.safetensors", 0),
    "no state.json": lambda folder: (folder / "state.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "half a state.json": lambda folder: os.truncate(folder / "state.json", 40),
    "another state.json": lambda folder: (folder / "state.json").write_text('{"state": [], "sha256": []}'),
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped at its eighth step: the states of steps 6 and 8 (or one later) are there."""
    out = tmp_path_factory.mktemp("killed") / "out"
    done = stopped(out, 8, signal.SIGTERM)
    assert done.status == 143, done.err
    return out


def states(out: Path) -> list[Path]:
    return sorted((out / "training").glob("step-*"))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_is_passed_over_for_the_one_before_it(tmp_path: Path, killed: Path, name: str):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    assert len(states(out)) == 2
    newest = states(out)[-1]
    DAMAGES[name](newest)
    done = resume(out)
    assert f"{newest.name} is damaged" in done.err and "before it" in done.err
    check_whole(out)


def test_where_every_state_is_damaged_it_begins_again_and_says_so(tmp_path: Path, killed: Path):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    for folder in states(out):
        flip(folder)
    done = resume(out)
    assert done.err.count("is damaged") == 2
    check_whole(out)


def test_what_is_saved_after_damaged_states_is_kept(tmp_path: Path):
    # The two newest are kept. Damaged ones of later steps must not count: else what was just saved is thrown away.
    model = model_of()
    optimizer = make_optimizer(model, SETTINGS)
    run_dir = RunDir(tmp_path)
    run_dir.folder.mkdir(parents=True)
    for step in (9, 12):
        run_dir.save(model, optimizer, TrainState(step=step))
        flip(run_dir.folder / f"step-{step:07}")
    said: list[str] = []
    run_dir = RunDir(tmp_path, said.append)
    assert run_dir.latest(model, optimizer).step == 0 and len(said) == 2
    run_dir.save(model, optimizer, TrainState(step=3))
    assert run_dir.latest(model, optimizer).step == 3


def test_what_a_kill_between_two_renames_leaves_is_cleared_away(tmp_path: Path, killed: Path):
    # A folder that is replaced is moved aside first, to .NAME.old-PID; for a moment there is none of its name.
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    (out / "training" / "best").rename(out / "training" / ".best.old-123")
    (out / "training" / ".best.tmp-123").mkdir()
    resume(out)
    check_whole(out)


def test_the_best_weights_outlive_a_kill_between_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As above, where no later step is better: the best weights are not written again, and are there nevertheless.
    out = tmp_path / "out"
    losses = iter([9.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr(loop, "mean_loss", lambda *arguments: next(losses))
    # Killed before the checkpoint.
    monkeypatch.setattr("trainer.training.runner.write_checkpoint", lambda *arguments: sys.exit(9))
    assert trainer(*begin(out)).status == 9
    monkeypatch.undo()
    best = RunDir(out).load_best()["embedding.weight"]
    (out / "training" / "best").rename(out / "training" / ".best.old-123")
    resume(out)
    assert json.loads((out / "trainer.json").read_text())["metrics"]["best_step"] == 4
    found = safetensors.torch.load_file(out / "model.safetensors")
    assert torch.equal(found["model.embed_tokens.weight"], best)


# --- drift ---


def moved(tmp_path: Path) -> tuple[Place, Path]:
    """A training stopped at its fifth step, on modules of its own."""
    place = place_in(tmp_path / "place", modules=2)
    out = tmp_path / "out"
    process = Process(*begin(out, place=place))
    until = time.monotonic() + 30
    while lines(out) < 5 and time.monotonic() < until:
        time.sleep(0.0005)
    process.kill()
    process.wait(30)
    return place, out


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_changed_module_is_refused_by_name_unless_drift_is_allowed(tmp_path: Path, name: str):
    place, out = moved(tmp_path)
    assert trainer("modules", "remove", name, "--shards", place.modules).status == 0
    assert place.add(name, "--text", place.text("new.txt", "ba ko ti re " * 200)).status == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    done = trainer("resume", out)
    assert done.status == 2 and "--allow-drift" in done.err
    assert f"data.modules.{name} was" in done.err, done.err
    assert f"data.modules.{'two' if name == 'one' else 'one'}" not in done.err  # only what changed
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before
    allowed = resume(out, "--allow-drift")
    assert "although something changed" in allowed.err
    assert json.loads((out / "trainer.json").read_text())["steps"] == 12


def test_a_module_too_many_and_one_too_few_are_refused(tmp_path: Path):
    place, out = moved(tmp_path)
    assert place.add("three", "--text", place.text("new.txt", "ba ko ti re " * 200)).status == 0
    done = trainer("resume", out)
    assert done.status == 2 and "three" in done.err
    for name in ("one", "three"):
        assert trainer("modules", "remove", name, "--shards", place.modules).status == 0
    done = trainer("resume", out)
    assert done.status == 2 and "one" in done.err
    shutil.rmtree(place.modules)
    done = trainer("resume", out)
    assert done.status == 2 and str(place.modules) in done.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan["machine"].update(torch="1.0"), "torch"),
        (lambda plan: plan["machine"].update(threads=7), "threads"),
        (lambda plan: plan.update(tokenizer_sha256="0" * 64), "tokenizer"),
    ],
    ids=["torch", "threads", "tokenizer"],
)
def test_what_differs_from_the_plan_is_named(tmp_path: Path, killed: Path, change: Callable[..., None], told: str):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    path = out / "training" / "plan.json"
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(plan))
    done = trainer("resume", out)
    assert done.status == 2 and told in done.err, done.err
    resume(out, "--allow-drift")
    check_whole(out)


def test_a_training_can_be_moved_with_its_folder(tmp_path: Path, killed: Path):
    out = tmp_path / "elsewhere" / "moved"
    shutil.copytree(killed, out)
    resume(out)
    check_whole(out)


# --- two at once, and a full disk ---


def test_a_second_process_ends_at_once_and_the_first_is_not_disturbed(tmp_path: Path):
    out = tmp_path / "out"
    first = Process(*begin(out))
    until = time.monotonic() + 30
    while lines(out) < 2 and time.monotonic() < until:
        time.sleep(0.0005)
    first.kill(signal.SIGSTOP)  # still at work, but it waits for us
    try:
        done = trainer_process("resume", out, timeout=10)
        assert (done.status, "Traceback" in done.err) == (3, False), done.err
        assert "another process" in done.err and str(out) in done.err
        assert done.seconds < 2
        again = trainer_process(*begin(out), timeout=10)  # the place is taken, whoever is at work in it
        assert again.status in (2, 3) and str(out) in again.err and again.seconds < 2
    finally:
        first.kill(signal.SIGCONT)
    assert first.wait(30).status == 0
    check_whole(out)


@pytest.mark.parametrize("limit", [2_000, 5_000, 120_000])
def test_a_full_disk_is_one_clear_error_and_what_was_there_is_still_there(tmp_path: Path, killed: Path, limit: int):
    # A file of so many bytes at most: metrics.jsonl grows beyond 2,000, model.safetensors beyond 5,000, the optimizer's
    # moments (two numbers for each weight) beyond 120,000 where the weights alone do not.
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    before = {path: path.read_bytes() for folder in states(out) for path in sorted(folder.iterdir())}
    done = trainer_process("resume", out, RLIMIT_FSIZE=limit)
    assert done.status == 3 and "Traceback" not in done.err, done.err
    assert "File too large" in done.err and "still there" in done.err and str(out) in done.err
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in (out / "training").iterdir() if path.name.startswith(".")]
    resume(out)
    check_whole(out)


@pytest.mark.parametrize("limit", [500, 4_000, 50_000])
def test_a_full_disk_at_the_very_beginning_leaves_nothing_that_stands_in_the_way(tmp_path: Path, limit: int):
    out = tmp_path / "out"
    done = trainer_process(*begin(out), RLIMIT_FSIZE=limit)
    assert done.status == 3 and "Traceback" not in done.err, done.err
    again = [trainer(*begin(out)), trainer("resume", out)]
    assert 0 in [one.status for one in again], [one.err for one in again]
    check_whole(out)


@pytest.mark.verify
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_disk_that_is_full_indeed(tmp_path: Path, killed: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        out = disk / "out"
        shutil.copytree(killed, out)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"x" * 4096)
        done = trainer_process("resume", out)
        assert done.status == 3 and "No space left" in done.err and "Traceback" not in done.err, done.err
        filler.unlink()
        resume(out)
        check_whole(out)
    finally:
        subprocess.run(["umount", disk], check=True)


# --- states ---


def test_a_state_holds_what_it_was_given(tmp_path: Path):
    model = model_of()
    optimizer = make_optimizer(model, SETTINGS)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    run_dir = RunDir(tmp_path)
    run_dir.folder.mkdir(parents=True)
    given = TrainState(
        step=3, tokens=99, precision="bf16", micro_batch=2, first_loss=1.5, best_loss=1.25, best_score=1.75,
        lowest_loss=1.2, best_step=2, waited=1, smoothed=1.1, lowest=1.05, seen=30,
    )  # fmt: skip
    run_dir.save(model, optimizer, given)
    fresh = model_of(seed=9)
    fresh_optimizer = make_optimizer(fresh, SETTINGS)
    assert run_dir.latest(fresh, fresh_optimizer) == given
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))
    old, new = optimizer.state_dict()["state"], fresh_optimizer.state_dict()["state"]
    assert old.keys() == new.keys() != set()
    assert all(torch.equal(old[key][name], new[key][name]) for key in old for name in old[key])


def test_the_last_two_states_are_kept(tmp_path: Path):
    model = model_of()
    optimizer = make_optimizer(model, SETTINGS)
    run_dir = RunDir(tmp_path)
    run_dir.folder.mkdir(parents=True)
    for step in (2, 4, 6, 6, 10_000_000):
        run_dir.save(model, optimizer, TrainState(step=step))
    assert run_dir.last_good() == 10_000_000
    assert sorted(path.name for path in run_dir.folder.iterdir()) == ["step-0000006", "step-10000000"]


def test_a_torn_line_of_metrics_is_left_out(tmp_path: Path, killed: Path):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    with (out / "training" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    resume(out)
    check_whole(out)


def test_resuming_what_has_ended_changes_nothing_and_says_so(tmp_path: Path):
    out = tmp_path / "out"
    assert trainer(*begin(out)).status == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    assert "its training has ended" in resume(out).err
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before

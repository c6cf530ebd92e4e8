"""Worker processes: order, errors, and items at which a worker hangs, dies or grows."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

import psutil
import pytest
from pool_jobs import begin_doubling, begin_evil, begin_reading_file

from curator.contract.errors import HostError, PluginError
from curator.executing.as_needed import AsNeeded
from curator.executing.executor import InProcess, Lost
from curator.executing.pool import Budget, ProcessPool, RemoteTraceback

PATIENT = Budget(60, 2_000)
STRICT = Budget(1.5, 200)


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    pool = ProcessPool(2, {}, PATIENT)
    yield pool
    pool.close()


def test_results_come_in_the_order_of_the_tasks(pool: ProcessPool) -> None:
    tasks = [*range(7, 300), 0, 1]
    expected = [2 * task + 1 for task in tasks]
    assert list(pool.map(begin_doubling, 1, tasks)) == expected
    assert list(InProcess({}).map(begin_doubling, 1, tasks)) == expected
    assert list(pool.map(begin_doubling, 0, [])) == []


def test_an_error_is_raised_in_its_turn_with_the_traceback_of_its_worker(pool: ProcessPool) -> None:
    results = pool.map(begin_doubling, 0, [1, 5, 6])
    assert next(results) == 2
    with pytest.raises(PluginError) as caught:
        next(results)
    assert (caught.value.what, caught.value.next_step) == ("plugin 'x': no", "mend it")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "ValueError: deep down" in str(caught.value.__cause__)
    with pytest.raises(KeyError, match="six") as bug:
        list(pool.map(begin_doubling, 0, [6]))
    assert "in double" in str(bug.value.__cause__), "a bug keeps its traceback"


def test_what_a_given_up_phase_still_gives_is_nobodys_result(pool: ProcessPool) -> None:
    first = pool.map(begin_doubling, 0, range(10, 40))
    next(first)
    first.close()
    assert list(pool.map(begin_doubling, 100, range(10, 20))) == [2 * task + 100 for task in range(10, 20)]


def test_workers_read_the_files_that_are_open_here() -> None:
    with tempfile.TemporaryFile() as file:
        pool = ProcessPool(1, {"told": file.fileno()}, PATIENT)
        file.write(b"seventeen bytes..")
        file.flush()
        assert list(pool.map(begin_reading_file, "told", [9, 17])) == [b"seventeen", b"seventeen bytes.."]
        pool.close()


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (0, "it ended with status 3"),
        (1, "it was ended by SIGSEGV"),
        (2, "it took more than 1.5 s"),
        (3, "it took more than 1.5 s"),
        (4, "it took more than 200 MB"),
    ],
)
def test_an_item_that_ends_a_worker_costs_itself_alone(deed: int, why: str) -> None:
    """Hazards 19 and 20."""
    budget = STRICT if "1.5 s" in why else Budget(60, 200)  # a busy machine may stand still for a second
    pool, told = ProcessPool(2, {}, budget), list[Lost]()

    def lost(task: list[int], loss: Lost) -> list[int]:
        told.append(loss)
        return [item for item in task if item != loss.item]

    tasks = [[*range(start, start + 5)] for start in range(0, 50, 5)]
    begun = time.monotonic()
    results = [result[1:] for result in pool.map(begin_evil, 230 + deed, tasks, lost)]
    assert told == [Lost(23, 7, why)]
    assert [item for result in results for item in result] == [item for item in range(50) if item != 23]
    assert time.monotonic() - begun < 60
    pool.close()


def test_a_child_that_a_plugin_forks_neither_answers_nor_stays() -> None:
    pool = ProcessPool(1, {}, PATIENT)
    results = list(pool.map(begin_evil, 35, [[1, 2, 3, 4], [5, 6]]))
    assert [result[1:] for result in results] == [[1, 2, 3, 4], [5, 6]]
    assert results[0][0] == results[1][0], "both are of the worker that was started"
    worker = psutil.Process(results[0][0])
    pool.close()
    assert not worker.is_running()
    assert [one.pid for one in psutil.process_iter() if _session(one.pid) == worker.pid] == []


def _session(pid: int) -> int:
    """Return the session that a process is in: that of the worker which it, or what started it, is."""
    try:
        return os.getsid(pid) if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else 0
    except (OSError, psutil.Error):
        return 0


def test_a_worker_that_is_lost_outside_of_any_item_says_what_to_do() -> None:
    pool = ProcessPool(1, {}, STRICT)
    with pytest.raises(HostError, match="--workers 1"):
        list(pool.map(begin_evil, 20, [[1, 2]]))
    pool.close()


def test_few_tasks_are_done_here_many_and_guarded_ones_are_not() -> None:
    def pids(executor: AsNeeded, tasks: int, *, guarded: bool = False) -> set[int]:
        given = [[one] for one in range(tasks)]
        found = {result[0] for result in executor.map(begin_evil, -10, given, guarded=guarded)}
        executor.close()
        return found

    me = {os.getpid()}
    assert pids(AsNeeded({}, PATIENT, None), 3) == me
    assert pids(AsNeeded({}, PATIENT, 1), 40) == me
    assert pids(AsNeeded({}, PATIENT, 1), 1, guarded=True).isdisjoint(me)
    assert pids(AsNeeded({}, PATIENT, 2), 40).isdisjoint(me)

"""The tests that both programs' commands stand: each module of tests names its PROGRAM, and takes these in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from commands_fixtures import Worlds
from every_command_fixtures import parsers
from faults_fixtures import Case, Server, Trial, World, fault_points, kill_points, moments, tell_figures
from mutations import Mutations


@dataclass(frozen=True)
class Program:
    """A program's commands: those that write, with their cases, those that only read, and those that nobody tries.

    What only reads does so in `world`, of which the folders `closed` refuse every write. Files are mutated in the world
    `mutated`, which holds all kinds that there are.
    """

    name: str
    writes: Sequence[Case]
    reads: Mapping[str, list[str]]
    world: str
    closed: tuple[str, str]
    moments: int
    mutated: str
    unlike: frozenset[str] = frozenset()  # worlds of cases that do nothing in the world `mutated`
    untried: Mapping[str, str] = field(default_factory=dict)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try every case, and every command that only reads."""
    program: Program = metafunc.module.PROGRAM
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", program.writes, ids=[case.shown for case in program.writes])
    if "command" in metafunc.fixturenames:
        cases = [*program.writes, *(Case(words, program.mutated) for many in program.reads.values() for words in many)]
        metafunc.parametrize("command", cases, ids=[case.shown for case in cases])
    if "reader" in metafunc.fixturenames:
        metafunc.parametrize("reader", program.reads)


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    """The program of the module."""
    found: Program = request.module.PROGRAM
    return found


@pytest.fixture(scope="module")
def server(program: Program) -> Iterator[Server]:
    """The program, loaded once."""
    server = Server(program.name)
    yield server
    server.close()


@pytest.fixture(scope="module", autouse=True)
def figures(request: pytest.FixtureRequest, program: Program) -> Iterator[None]:
    """Tell at the end what was tried."""
    yield
    tell_figures(request.config, program.name)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, server: Server) -> dict[str, World]:
    """The worlds by what was made in them, made when they are first asked for."""
    return Worlds(tmp_path_factory.mktemp("worlds"), server)


@pytest.fixture
def tries(case: Case, server: Server, worlds: dict[str, World]) -> Trial:
    """The tries of a case, none made yet."""
    return Trial(case, server, worlds[case.made])


def test_every_command_is_in_the_harness(program: Program) -> None:
    """A new command is named among those that write, with a case, or among those that only read."""
    named = {case.command_name for case in program.writes} | set(program.reads) | set(program.untried)
    assert named == {" ".join(words) for (_, *words), _ in parsers(program.name)}


def test_what_only_reads_writes_nothing(
    reader: str, program: Program, server: Server, worlds: dict[str, World]
) -> None:
    """On a disk that refuses every write it does its work, and leaves all as it was."""
    for words in program.reads[reader]:
        world = worlds[program.world]
        world.restore()
        before = world.state()
        roots = [str(world.folder / name) for name in program.closed]
        plan = {"at": 1, "what": "EROFS", "once": False, "roots": roots}
        done = server.run(world, Case(words, program.world).command(world), plan)
        assert done.status in ("0", "1"), done
        assert "Traceback" not in done.err
        assert world.state() == before


def test_killed_or_refused_at_a_few_points(tries: Trial) -> None:
    """Old or new, whole; the next run works, and nothing is left."""
    kill_points(tries, 0.01)
    fault_points(tries, 0.01)
    tries.done()


@pytest.mark.verify
def test_killed_at_every_write(tries: Trial) -> None:
    """Old or new, whole; the next run works, and nothing is left."""
    kill_points(tries, 1)
    tries.done()


@pytest.mark.verify
def test_every_write_refused(tries: Trial) -> None:
    """Status 3 and one message, and then the same."""
    fault_points(tries, 1)
    tries.done()


@pytest.mark.verify
def test_stopped_at_random_moments(tries: Trial, program: Program) -> None:
    """SIGKILL and SIGTERM."""
    moments(tries, program.moments, tries.seconds * 1.2)
    tries.done()


def mutations(command: Case, program: Program, server: Server, worlds: dict[str, World], number: int) -> None:
    """Try a command with so many mutated files, one at a time."""
    made = command.made if command.made in program.unlike else program.mutated
    tried = Mutations(command, server, worlds[made], reads=command.command_name in program.reads)
    tried.try_some(number)
    tried.done()


def test_a_few_mutated_files(command: Case, program: Program, server: Server, worlds: dict[str, World]) -> None:
    """One message or none, never a traceback or a hang; what the person has is as it was."""
    mutations(command, program, server, worlds, 2)


@pytest.mark.verify
def test_many_mutated_files(command: Case, program: Program, server: Server, worlds: dict[str, World]) -> None:
    """One message or none, never a traceback or a hang; what the person has is as it was."""
    mutations(command, program, server, worlds, 150)

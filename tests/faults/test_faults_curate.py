"""Every command of `curate` that writes, on a disk that fails and killed; those that only read write nothing."""

from __future__ import annotations

from commands_fixtures import CURATE_READS, CURATE_WRITES
from shared_fault_tests import (  # noqa: F401 - the tests, and the fixtures that they ask for
    Program,
    figures,
    program,
    pytest_generate_tests,
    server,
    test_a_few_mutated_files,
    test_every_command_is_in_the_harness,
    test_every_write_refused,
    test_killed_at_every_write,
    test_killed_or_refused_at_a_few_points,
    test_many_mutated_files,
    test_stopped_at_random_moments,
    test_what_only_reads_writes_nothing,
    tries,
    worlds,
)

PROGRAM = Program(
    "curate", CURATE_WRITES, CURATE_READS,
    world="exported", closed=("home", "out"), moments=20, mutated="full",
)  # fmt: skip

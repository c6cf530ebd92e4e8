"""Runs commands of both programs, each in a fork of this process, which has loaded them: a start takes milliseconds.

One JSON object a line in (program, words, plan, out, err, stdin, folder, environment, timeout), one status a line out.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

import fault_layer


def load(program: str) -> None:
    """Load all modules of a program."""
    package = importlib.import_module({"curate": "curator", "trainer": "trainer"}[program])
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".recipes." not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def here(job: dict[str, Any]) -> int:
    """Run a command in this process, so that what it loads is there for all the others."""
    kept, stdin = [os.dup(number) for number in range(3)], sys.stdin
    sys.stdout.flush()
    try:
        return command(job)
    finally:
        sys.stdout.flush()
        for number, handle in enumerate(kept):
            os.dup2(handle, number)
            os.close(handle)
        sys.stdin = stdin


def child(job: dict[str, Any]) -> None:
    """Be the command."""
    status: Any = 1
    try:
        status = command(job)
    except SystemExit as leave:
        status = leave.code or 0
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(status))


def command(job: dict[str, Any]) -> int:
    """Do what the program does."""
    for number, path in ((1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(job["stdin"] or os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the command's
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    tempfile.tempdir = None
    sys.argv = [os.path.join(os.path.dirname(sys.executable), job["program"]), *job["words"]]
    if job["plan"]:
        fault_layer.install(job["plan"])
    module = importlib.import_module({"curate": "curator.cli", "trainer": "trainer.cli"}[job["program"]])
    status: int = module.run_command(job["words"])
    return status


def ended(pid: int, timeout: float, signals: list[Any]) -> str:
    """Wait for a child; `signals` is (number, seconds) to send one."""
    begun = time.monotonic()
    while time.monotonic() - begun < timeout:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return str(os.waitstatus_to_exitcode(status))
        if signals and time.monotonic() - begun >= signals[1]:
            os.kill(pid, signals[0])
            signals = []
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


if __name__ == "__main__":
    load(sys.argv[1])
    if sys.argv[1] == "trainer":
        import torch

        torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if job["here"]:
            print(here(job), flush=True)
            continue
        pid = os.fork()
        if not pid:
            try:
                child(job)
            finally:
                os._exit(70)
        print(ended(pid, job["timeout"], job["signals"]), flush=True)

"""The engines: numpy writes what PyTorch writes; what run.c and llama.cpp lack is said; a runner that is none is named.

The engines in C are run in tests/trainer/exports/test_runtimes_verify.py, where they are installed.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from core_fixtures import trainer
from export_fixtures import TIED, UNTIED, tiny_checkpoint

from curator.contract.errors import UsageError
from trainer.engines import engine_of, fitting
from trainer.engines.numpy_decoder import NumpyDecoder
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.model.checkpoint import Checkpoint


@pytest.fixture(scope="module", params=["tied", "untied"])
def checkpoint(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Checkpoint:
    size = {"tied": TIED, "untied": UNTIED}[request.param]
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / request.param, replace(size, max_seq_len=128))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0, max_tokens=48), Sampling(temperature=0.9, top_p=0.9, seed=3, max_tokens=48),
        Sampling(temperature=0.7, top_k=20, min_p=0.01, repetition_penalty=1.2, seed=4, max_tokens=48),
    ],
)  # fmt: skip
def test_numpy_writes_the_tokens_of_pytorch(checkpoint: Checkpoint, sampling: Sampling) -> None:
    prompt = checkpoint.tokenizer.encode(checkpoint.record.template.wrap("Where is the dog?"))
    ours = list(Decoder(checkpoint.model()).stream(prompt, sampling))
    engine = NumpyDecoder(checkpoint)
    assert list(engine.stream(prompt, sampling)) == ours
    assert list(engine.stream(prompt, sampling)) == ours  # nothing of the first reply is left behind


def test_a_prompt_that_fills_the_context_gets_no_token(checkpoint: Checkpoint) -> None:
    prompt = [1, *[5] * (checkpoint.config.max_seq_len - 1)]
    assert list(NumpyDecoder(checkpoint).stream(prompt, Sampling(temperature=0.0))) == []


def test_what_an_engine_lacks_is_left_out_with_a_note() -> None:
    stored = Sampling(temperature=0.6, top_p=0.9, repetition_penalty=1.1, top_k=40)
    assert fitting("torch", stored, set()) == (stored, "")
    assert fitting("llama.cpp", stored, set()) == (stored, "")
    drawn, note = fitting("run.c", stored, set())
    assert drawn == replace(stored, repetition_penalty=1.0, top_k=0)
    assert note == "run.c draws without what the checkpoint has stored of --top-k, --repetition-penalty"
    assert fitting("run.c", Sampling(temperature=0.6, top_p=0.9), set())[1] == ""


def test_what_was_asked_for_and_cannot_be_done_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--engine run\.c has no --top-k\n"):
        fitting("run.c", Sampling(top_k=40, repetition_penalty=1.1), {"top_k", "temperature"})


@pytest.mark.parametrize(("name", "runner"), [("run.c", None), ("numpy", Path("run")), ("torch", Path("run"))])
def test_a_runner_and_run_c_belong_together(checkpoint: Checkpoint, name: str, runner: Path | None) -> None:
    with pytest.raises(UsageError) as caught, engine_of(checkpoint, name, runner=runner):
        pass
    assert "--engine run.c --runner PATH" in caught.value.next_step


def test_through_the_command_line_numpy_says_the_same(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("sample", checkpoint.folder, "--prompt", "Why?", "--seed", 5, "--max-tokens", 20)
    with_torch, with_numpy = trainer(*asked), trainer(*asked, "--engine", "numpy")
    assert with_torch.status == with_numpy.status == 0, with_numpy.err
    assert with_torch.out == with_numpy.out
    said = []
    for engine in ("torch", "numpy"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("Why?\nAnd?\n/again\n"))
        said.append(trainer("chat", checkpoint.folder, "--max-tokens", 12, "--engine", engine).out)
    assert said[0] == said[1] and said[0].count("\n\n") == 3


def test_a_runner_that_is_not_there_or_not_run_c_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    asked = ("sample", checkpoint.folder, "--prompt", "Why?", "--engine", "run.c", "--runner")
    gone = trainer(*asked, tmp_path / "run")
    assert gone.status == 2 and "there is no such file" in gone.err and "gcc" in gone.err
    plain = tmp_path / "notes.txt"
    plain.write_text("no program")
    refused = trainer(*asked, plain)
    assert refused.status == 2 and f"--runner {plain} cannot be run" in refused.err, refused.err
    failed = trainer(*asked, sys.executable)  # a program, and not that one: it takes model.bin for a script
    assert failed.status == 1 and "is it llama2.c's run.c?" in failed.err, failed.err


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is not None, reason="the binding is installed here")
def test_without_its_binding_llama_cpp_says_what_to_install(checkpoint: Checkpoint) -> None:
    done = trainer("sample", checkpoint.folder, "--prompt", "Why?", "--engine", "llama.cpp")
    assert done.status == 2 and "xllamacpp is not installed" in done.err and "llama-cpp" in done.err

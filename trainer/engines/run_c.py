"""llama2.c's run.c as an engine: the program runs once for each reply, and what it prints is read as it comes."""

from __future__ import annotations

import codecs
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from curator.contract.errors import JobError, UsageError, printable
from curator.contract.files import scratch_folder
from trainer.exports.llama2c import write_bin
from trainer.exports.paths import Files
from trainer.inference.sampling import Sampling
from trainer.model.checkpoint import Checkpoint

_SEEDS = 2**31 - 1  # run.c reads its seed as an int, and takes 0 for the clock


@contextmanager
def run_c(checkpoint: Checkpoint, runner: Path) -> Iterator[RunC]:
    """Give the engine; the model lies in a temporary folder as long as it is in use.

    Raises UsageError for a runner that is no program, and for a model that run.c cannot run.
    """
    if not runner.is_file():
        raise UsageError(
            f"--runner {printable(str(runner))}: there is no such file",
            "compile llama2.c's run.c: gcc -O3 -o run run.c -lm",
        )
    with scratch_folder("persona-curator-") as folder:
        files = Files(folder, "model.bin")
        write_bin(checkpoint, files, "f32")
        yield RunC(checkpoint, runner.absolute(), files)


class RunC:
    """A checkpoint in run.c. Its dice are its own: the same seed draws other words than PyTorch does."""

    def __init__(self, checkpoint: Checkpoint, runner: Path, files: Files) -> None:
        self.config, self._tokenizer = checkpoint.config, checkpoint.tokenizer
        self._runner, self._files = runner, files

    def stream(self, prompt: list[int], sampling: Sampling) -> Generator[int]:
        """Yield tokens with the text that run.c writes after a prompt; where it cuts a word otherwise, they differ.

        Raises UsageError where the runner is no program, JobError where it fails, or does not begin with the prompt.
        """
        text = self._tokenizer.decode(prompt)
        words = [str(self._runner), str(self._files.main), "-z", str(self._files.beside("tokenizer.bin")),
                 # a top-p of 0, which leaves the likeliest alone, means "from all" to it
                 "-t", f"{sampling.temperature if sampling.top_p else 0:g}", "-p", f"{sampling.top_p:g}", "-n", "0",
                 "-s", str(1 + sampling.seed % _SEEDS), "-i", text]  # fmt: skip
        try:
            # A session of its own: Ctrl-C is for the chat, which ends the program by closing this generator.
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise UsageError(
                f"--runner {printable(str(self._runner))} cannot be run: {error.strerror}",
                "name llama2.c's run.c, compiled",
            ) from None
        try:
            yield from self._tokens(process, self._echo(self._tokenizer.encode(text)))
        finally:
            process.kill()
            process.communicate()

    def _tokens(self, process: subprocess.Popen[bytes], before: bytes) -> Iterator[int]:
        """Yield the tokens of each word behind the prompt once it is whole: a piece alone may be half a character."""
        assert process.stdout and process.stderr
        decoder, word, echo = codecs.getincrementaldecoder("utf-8")("replace"), "", b""
        while part := process.stdout.read1(4096):  # type: ignore[attr-defined]
            if len(echo) < len(before):
                echo += part
                if not echo.startswith(before[: len(echo)]):
                    raise self._failed("it does not begin with the prompt")
                part = echo[len(before) :]
            word += decoder.decode(part)
            whole, blank, rest = word.rpartition(" ")
            if whole:
                yield from self._tokenizer.encode_after(whole)
                word = blank + rest
        if len(echo) < len(before) or process.wait() != 0:
            raise self._failed(process.stderr.read().decode(errors="replace").strip()[-300:])
        word = (word + decoder.decode(b"", final=True)).removesuffix("\n")  # which run.c adds at the end
        if word:
            yield from self._tokenizer.encode_after(word)

    def _echo(self, prompt: list[int]) -> bytes:
        """Return what run.c prints of a prompt: no blank at its beginning, of single bytes those that a terminal shows.

        A character that the vocabulary lacks is several such bytes: run.c reads it, and does not print it.
        """
        out = b""
        for place, token in enumerate(prompt[1:]):
            piece = self._tokenizer.piece(token)
            if self._tokenizer.kind(token) == "byte":
                raw = bytes([int(piece[3:5], 16)])
            else:
                raw = piece.replace("▁", " ").encode()
            raw = raw.removeprefix(b" ") if place == 0 else raw
            out += raw if len(raw) != 1 or 32 <= raw[0] < 127 or raw.isspace() else b""
        return out

    def _failed(self, why: str) -> JobError:
        return JobError(
            f"{printable(str(self._runner))} failed: {why or 'it wrote nothing'}",
            "is it llama2.c's run.c? Another engine needs no program: --engine numpy",
        )

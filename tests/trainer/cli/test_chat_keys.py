"""`trainer chat` in a terminal, driven by keys: what is typed, the arrow keys, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import codecs
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from use_fixtures import CONFIG, after, save, says, scripted, tokenizer

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
pytest.importorskip("readline", reason="this Python has no readline")


def own_terminal() -> None:
    """In the child: the terminal is its own, and Ctrl-C comes, which a job in the background has switched off."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A program on a pseudo-terminal of 60 columns."""

    def __init__(self, *words: object) -> None:
        ours, theirs = pty.openpty()
        self._fd, self.shown = ours, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
        env = os.environ | {"TERM": "xterm", "COLUMNS": "60", "INPUTRC": os.devnull}
        command = [sys.executable, "-m", "trainer", *map(str, words)]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True, close_fds=True,
            preexec_fn=own_terminal,
        )  # fmt: skip
        os.close(theirs)

    def wait_for(self, pattern: str, seconds: float = 120) -> str:
        """Read until a pattern comes; return what came up to its end, without the terminal's own codes."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.shown!r}"
            if select.select([self._fd], [], [], 0.2)[0]:
                try:
                    part = self._decoder.decode(os.read(self._fd, 4096))
                except OSError:  # the program has ended
                    part = ""
                self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", part).replace("\r", "")
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before

    def keys(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


PROMPT = r"you › "
UP, CTRL_C, CTRL_D = "\x1b[A", "\x03", "\x04"


def test_a_conversation_by_keys(tmp_path: Path) -> None:
    model, said = tmp_path / "ann", tmp_path / "said.jsonl"
    save(model, says(" bako"))
    terminal = Terminal("chat", model, "--max-tokens", 4, "--temperature", 0)
    try:
        terminal.wait_for(PROMPT)
        terminal.keys("hello\r")
        assert "ann › bako" in terminal.wait_for(r"ann › bako[\s\S]*?" + PROMPT)
        terminal.keys("/again\r")
        terminal.wait_for(r"ann › bako[\s\S]*?" + PROMPT)
        terminal.keys(UP + UP + "\r")  # what was typed before: hello
        terminal.wait_for(r"hello\s+ann › bako[\s\S]*?" + PROMPT)
        for typed, answer in (
            ("/temp 0.5", "temperature 0.5"), ("/system You sail.", "it stands before the conversation"),
            (f"/save {said}", "2 exchanges in "), ("/help", "/reset          forget what was said"),
            ("/nonsense", "/help lists what there is"), ("/reset", "what was said is forgotten"),
        ):  # fmt: skip
            terminal.keys(typed + "\r")
            assert answer in terminal.wait_for(re.escape(answer) + r"[\s\S]*?" + PROMPT), typed
        messages = json.loads(said.read_text("utf-8"))["messages"]
        assert [one["role"] for one in messages] == ["system", "user", "assistant", "user", "assistant"]
        assert {one["content"] for one in messages} == {"You sail.", "hello", "bako"}
        terminal.keys("half a line")
        terminal.wait_for("half a line")
        # Python looks for a signal only where it interrupts the wait for a key: one that comes while the last key is
        # still being handled is seen at the end of the line, so readline has to be waiting again.
        time.sleep(2)
        terminal.keys(CTRL_C)
        terminal.wait_for(r"Ctrl-C again, Ctrl-D or /quit ends the chat\s+" + PROMPT)
        terminal.keys("again\r")  # the line that was begun is gone, the chat is not
        terminal.wait_for(r"ann › bako[\s\S]*?" + PROMPT)
        terminal.keys(CTRL_D)
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()


def test_ctrl_c_stops_a_reply_and_not_the_chat(tmp_path: Path) -> None:
    """A reply of thousands of tokens: stopped where it is, what was said of it stays said."""
    model = tmp_path / "ann"
    words, last = after(" bako"), tokenizer().encode(":")[-1]
    save(model, scripted([last, *words, words[0]], config=replace(CONFIG, max_seq_len=4096)))
    terminal = Terminal(
        "chat", model, "--max-tokens", 4000, "--temperature", 0, "--engine", "numpy", "--repetition-penalty", 1
    )
    try:
        terminal.wait_for(PROMPT)
        terminal.keys("hello\r")
        terminal.wait_for("ann › ")
        time.sleep(0.3)
        terminal.keys(CTRL_C)
        terminal.wait_for(r"\(stopped\)[\s\S]*?" + PROMPT)
        terminal.keys("/save " + str(tmp_path / "said.jsonl") + "\r")
        terminal.wait_for("1 exchange in ")
        terminal.keys("/quit\r")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()

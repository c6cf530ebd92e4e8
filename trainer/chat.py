"""Talking with a model: what was said is kept within the context, replies come as they are written."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from trainer.checkpoint import Checkpoint
from trainer.errors import UsageError
from trainer.generate import Decoder, Reply, Sampling, write_reply
from trainer.templates import Exchange, Template
from trainer.tokenizer import Tokenizer

COMMANDS = "/reset forgets what was said, /seed N and /temperature T change how replies are drawn, /quit ends"
Show = Callable[[str], object]


def harmless(text: str) -> str:
    """Return text whose control characters cannot steer a terminal: newlines and blanks of any width stay."""
    return "".join(
        c if c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


def whole_text(text: str) -> str:
    """Return a text without the halves of characters that bytes which are no UTF-8 leave in an argument."""
    return text.encode("utf-8", "replace").decode()


def check_mode(template: Template, mode: str | None) -> None:
    """Raise UsageError where a mode is named that the model has no tags for."""
    if mode is not None and mode not in template.tags:
        known = ", ".join(template.tags) or "none: it was not trained with the tags of modes"
        raise UsageError(f"this model knows no mode {mode!r}; there are: {known}")


def cut_note(reply: Reply, context: int) -> str:
    """Return a line that says what was left out of the prompt, or nothing."""
    if not reply.cut:
        return ""
    return f"the prompt is too long for the context of {context} tokens: its first {reply.cut} are left out"


@dataclass
class Chat:
    """A conversation: the decoder, and the exchanges so far."""

    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    sampling: Sampling
    mode: str | None = None
    history: list[Exchange] = field(default_factory=list)
    turn: int = 0
    dropped: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint, decoder: Decoder, sampling: Sampling, mode: str | None = None) -> Chat:
        """Begin a conversation in the checkpoint's own template."""
        template = checkpoint.record.template
        check_mode(template, mode)
        return cls(decoder, checkpoint.tokenizer, template, replace(sampling, stops=tuple(template.stops)), mode)

    def ask(self, text: str, show: Show, say: Show) -> Reply:
        """Return the reply to a text; `show` gets it as it is written, `say` what a person should know.

        Each turn has a seed of its own, the sampling's and the number of the turn together.
        """
        ids = self._prompt(text, say)
        sampling = replace(self.sampling, seed=self.sampling.seed + self.turn)
        reply = write_reply(self.decoder, self.tokenizer, ids, sampling, show=lambda part: show(harmless(part)))
        self.turn += 1
        if reply.text:
            self.history.append((text, reply.text))
        note = cut_note(reply, self.decoder.config.max_seq_len) or ("" if reply.text else "(the reply is empty)")
        if note:
            say(note)
        return reply

    def _prompt(self, text: str, say: Show) -> list[int]:
        context = self.decoder.config.max_seq_len
        room = context - min(self.sampling.max_tokens, context // 2)
        while True:
            ids = self.tokenizer.encode(self.template.wrap(text, tuple(self.history), self.mode))
            if len(ids) <= room or not self.history:
                return ids
            self.history.pop(0)
            if not self.dropped:
                say(f"the context of {context} tokens is full: the oldest exchanges are left out from here on")
                self.dropped = True

    def command(self, line: str) -> str:
        """Obey a line that begins with a slash; return what to tell the person."""
        name, _, value = line.partition(" ")
        try:
            if name == "/reset":
                self.history.clear()
                self.turn, self.dropped = 0, False
                return "what was said is forgotten"
            if name == "/seed" and int(value) >= 0:
                self.sampling, self.turn = replace(self.sampling, seed=int(value)), 0
                return f"seed {int(value)}"
            if name == "/temperature" and 0 <= float(value) <= 10:
                self.sampling = replace(self.sampling, temperature=float(value))
                return f"temperature {float(value):g}"
        except ValueError:
            pass
        return f"cannot use {line!r}: {COMMANDS}"


def talk(chat: Chat, lines: Iterable[str], show: Show, say: Show) -> None:
    """Answer each line until they end or one says /quit: replies go to `show`, each with an empty line behind it."""
    for line in (one.strip() for one in lines):
        if line == "/quit":
            return
        if line.startswith("/"):
            say(harmless(chat.command(line)))
        elif line:
            chat.ask(whole_text(line), show, say)
            show("\n\n")


def typed() -> Iterator[str]:
    """Yield lines of stdin until it ends; on a terminal with a prompt, and with readline where Python has it."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):  # not on every system
        import readline  # noqa: F401 - editing and history for input()
    prompt = "> " if sys.stdout.isatty() else ""
    while True:
        if not prompt:  # stdout is a file: it gets the replies alone
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            yield input(prompt)
        except (EOFError, KeyboardInterrupt) as stop:
            print(file=sys.stderr)
            if isinstance(stop, EOFError):
                return
            raise

"""A conversation with a model: the history is kept within the context, replies are shown while they are written."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from curator.contract.cli_frame import harmless
from curator.contract.errors import UsageError
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Reply, Sampling
from trainer.inference.text_stream import write_reply
from trainer.model.checkpoint import Checkpoint
from trainer.model.prompt_template import Exchange, Template
from trainer.model.tokenizer import Tokenizer

COMMANDS = "/reset forgets what was said, /seed N and /temperature T change how replies are drawn, /quit ends"
Show = Callable[[str], object]


def whole_text(text: str) -> str:
    """Return a text with lone surrogates replaced: an argument that is no UTF-8 has them."""
    return text.encode("utf-8", "replace").decode()


def check_mode(template: Template, mode: str | None) -> None:
    """Raise UsageError where a mode is named that the model has no tags for."""
    if mode is not None and mode not in template.tags:
        known = ", ".join(template.tags) or "none: it was not trained with the tags of modes"
        raise UsageError(f"this model knows no mode {mode!r}; there are: {known}")


def cut_note(reply: Reply, context: int) -> str:
    """Return a line on what was left out of the prompt, or ''."""
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

    def ask(self, text: str, show: Show, log: Show) -> Reply:
        """Return the reply to a text; `show` gets it while it is written, `log` gets notes for the person.

        Each turn has its own seed: the sampling's seed plus the number of the turn.
        """
        ids = self._prompt(text, log)
        sampling = replace(self.sampling, seed=self.sampling.seed + self.turn)
        reply = write_reply(self.decoder, self.tokenizer, ids, sampling, show=lambda part: show(harmless(part)))
        self.turn += 1
        if reply.text:
            self.history.append((text, reply.text))
        note = cut_note(reply, self.decoder.config.max_seq_len) or ("" if reply.text else "(the reply is empty)")
        if note:
            log(note)
        return reply

    def _prompt(self, text: str, log: Show) -> list[int]:
        context = self.decoder.config.max_seq_len
        room = context - min(self.sampling.max_tokens, context // 2)
        while True:
            ids = self.tokenizer.encode(self.template.wrap(text, tuple(self.history), self.mode))
            if len(ids) <= room or not self.history:
                return ids
            self.history.pop(0)
            if not self.dropped:
                log(f"the context of {context} tokens is full: the oldest exchanges are left out from here on")
                self.dropped = True

    def command(self, line: str) -> str:
        """Run a command that begins with a slash; return the answer for the person."""
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


def talk(chat: Chat, lines: Iterable[str], show: Show, log: Show) -> None:
    """Answer each line until they end or one says /quit: replies go to `show`, each with an empty line behind it."""
    for line in (text.strip() for text in lines):
        if line == "/quit":
            return
        if line.startswith("/"):
            log(harmless(chat.command(line)))
        elif line:
            chat.ask(whole_text(line), show, log)
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

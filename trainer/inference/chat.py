"""A conversation with a model: the history is kept within the context, replies are shown while they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from curator.contract.cli_frame import harmless
from curator.contract.errors import CuratorError, UsageError, counted
from curator.contract.files import refuse_existing, write_whole
from trainer.inference.best_of import best_reply, others
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Reply, Sampling
from trainer.inference.sources import Find
from trainer.inference.text_stream import TokenSource, write_reply
from trainer.model.checkpoint import Checkpoint
from trainer.model.prompt_template import Exchange, Template
from trainer.model.tokenizer import Tokenizer

Show = Callable[[str], object]
HELP = """\
/again          another reply to what you said last
/reset          forget what was said
/system TEXT    put a text before the conversation; without a text, take it away
/temp T         how freely replies are drawn: 0 always the likeliest word, 0.8 as usual
/seed N         other dice
/sources        the training samples that the last reply is near to
/save FILE      write the conversation as JSONL, as trainer finetune --data reads it
/help           this
/quit           end it, as Ctrl-D does; Ctrl-C stops a reply"""


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
    """A conversation: what computes its tokens, and the exchanges so far.

    `said` holds all of them, `history` what still fits, `last` the last reply. `find` looks up the training samples
    that a reply is near to: for /sources, and with `finds_always` for each reply.
    """

    decoder: TokenSource
    tokenizer: Tokenizer
    template: Template
    sampling: Sampling
    mode: str | None = None
    history: list[Exchange] = field(default_factory=list)
    said: list[Exchange] = field(default_factory=list)
    system: str = ""
    turn: int = 0
    dropped: bool = False
    last: str = ""
    find: Find | None = None
    finds_always: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint, decoder: TokenSource, sampling: Sampling, mode: str | None = None) -> Chat:
        """Begin a conversation in the checkpoint's own template."""
        template = checkpoint.record.template
        check_mode(template, mode)
        return cls(decoder, checkpoint.tokenizer, template, replace(sampling, stops=tuple(template.stops)), mode)

    def ask(self, text: str, show: Show, log: Show) -> str:
        """Return the reply to a text; `show` gets it while it is written, `log` gets notes for the person.

        Each turn has its own seed: the sampling's seed plus the number of the turn. Ctrl-C (KeyboardInterrupt) ends the
        reply where it is, and what was shown of it counts as said.
        """
        ids = self._prompt(text, log)
        sampling = replace(self.sampling, seed=self.sampling.seed + self.turn)
        shown: list[str] = []

        def both(part: str) -> None:
            shown.append(part)
            show(harmless(part))

        note = ""
        try:
            reply = self._reply(text, ids, sampling, both)
            answer = reply.text
            note = cut_note(reply, self.decoder.config.max_seq_len) or ("" if answer else "(the reply is empty)")
        except KeyboardInterrupt:
            answer, note = "".join(shown).strip(), "(stopped)"
        self.turn += 1
        self.last = answer
        if answer:
            self.history.append((text, answer))
            self.said.append((text, answer))
        if note:
            log(note)
        return answer

    def _reply(self, text: str, ids: list[int], sampling: Sampling, show: Show) -> Reply:
        """Return the reply to a text, whose prompt is `ids`; the best of several is shown once it is known."""
        if sampling.best_of == 1 or not isinstance(self.decoder, Decoder):
            return write_reply(self.decoder, self.tokenizer, ids, sampling, show=show)
        history, before = tuple(self.history), self._before()
        asked = before + self.template.wrap(text, history, self.mode)
        behind = [before + other for other in others(self.template, text, sampling, history, self.mode)]
        reply = best_reply(self.decoder, self.tokenizer, asked, behind, sampling)
        show(reply.text)
        return reply

    def again(self, show: Show, log: Show) -> None:
        """Take the last exchange back and reply to its prompt anew, with other dice."""
        if not self.said:
            log("nothing was said yet")
            return
        prompt, _ = self.said.pop()
        if self.history:
            self.history.pop()
        self.ask(prompt, show, log)

    def _prompt(self, text: str, log: Show) -> list[int]:
        context = self.decoder.config.max_seq_len
        room = context - min(self.sampling.max_tokens, context // 2)
        while True:
            ids = self.tokenizer.encode(self._before() + self.template.wrap(text, tuple(self.history), self.mode))
            if len(ids) <= room or not self.history:
                return ids
            self.history.pop(0)
            if not self.dropped:
                log(f"the context of {context} tokens is full: the oldest exchanges are left out from here on")
                self.dropped = True

    def _before(self) -> str:
        return f"{self.system}\n" if self.system else ""

    def command(self, line: str) -> str:
        """Run a command that begins with a slash; return the answer for the person."""
        name, _, value = (part.strip() for part in line.partition(" "))
        try:
            answer = self._command(name, value)
        except CuratorError as error:
            return "; ".join(part for part in (error.what, error.next_step) if part)
        except ValueError:
            answer = None
        return answer or f"cannot use {line!r}; /help lists what there is"

    def _command(self, name: str, value: str) -> str | None:
        """Return a command's answer, None where there is none such. Raises ValueError for a value it cannot use."""
        if name == "/help" and not value:
            return HELP
        if name == "/reset" and not value:
            self.history.clear()
            self.said.clear()
            self.turn, self.dropped, self.last = 0, False, ""
            return "what was said is forgotten"
        if name == "/system":
            self.system = whole_text(value)
            return "it stands before the conversation" if value else "it is taken away"
        if name == "/seed" and int(value) >= 0:
            self.sampling, self.turn = replace(self.sampling, seed=int(value)), 0
            return f"seed {int(value)}"
        if name in ("/temp", "/temperature") and 0 <= float(value) <= 10:
            self.sampling = replace(self.sampling, temperature=float(value))
            return f"temperature {float(value):g}"
        if name == "/sources" and not value:
            return "\n".join(self.sources()) or "there is no reply yet"
        if name == "/save" and value:
            return self.save(Path(value).expanduser())
        return None

    def sources(self) -> list[str]:
        """Return lines on where the last reply may come from; none where it is empty.

        Raises UsageError or JobError where nothing is known of what the model was trained on.
        """
        if not self.last:
            return []
        if self.find is None:
            raise UsageError("it is not known what this model was trained on")
        return self.find(self.last).lines()

    def save(self, path: Path) -> str:
        """Write what was said as one line of JSON: {"messages": [{"role", "content"}, ...]}.

        Raises UsageError where something is there already, HostError where the disk refuses.
        """
        if not self.said:
            return "nothing was said yet"
        refuse_existing(path, "FILE")
        turns = [turn for asked, answer in self.said for turn in (("user", asked), ("assistant", answer))]
        messages = [{"role": role, "content": content} for role, content in turns]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        write_whole(path, (json.dumps({"messages": messages}, ensure_ascii=False) + "\n").encode())
        return f"{counted(len(self.said), 'exchange')} in {path}"


def talk(chat: Chat, lines: Iterable[str], show: Show, log: Show) -> None:
    """Answer each line until they end or one says /quit: replies go to `show`, each with an empty line behind it."""
    for line in (text.strip() for text in lines):
        if line in ("/quit", "/exit", "/bye"):
            return
        if line.startswith("/") and line != "/again":
            log(harmless(chat.command(line)))
            continue
        if line == "/again":
            chat.again(show, log)
        elif line:
            chat.ask(whole_text(line), show, log)
        else:
            continue
        show("\n\n")
        if chat.finds_always:  # behind the end of the reply's line
            for told in chat.sources():
                log(told)

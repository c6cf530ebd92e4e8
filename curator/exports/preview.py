"""`curate preview`: a row as a tool will see it: the exact text, its tokens, and which of them are trained.

With a tokenizer folder, texts and ids are those of the base model's own chat template and tokenizer. Without one the
family's template is shown, which equals the published one; lengths are then estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import Progress, command_line, no_progress
from curator.contract.errors import JobError, UsageError, counted, printable
from curator.contract.records import Message
from curator.exports.plan import Plan, conversations
from curator.exports.tokenizer import ChatTokenizer
from curator.hooks import Exporter
from curator.language.tokens import estimated_tokens
from curator.records import Conversation

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_KEPT = 20  # problems that are listed; all are counted


@dataclass(frozen=True)
class Token:
    """A token of a row: its id (None without a tokenizer), the stretch of the row's text, and what becomes of it."""

    id: int | None
    start: int
    end: int
    special: bool
    trained: bool


@dataclass(frozen=True)
class Row:
    """A row as the tool sees it. `tokens` cover the text; without a tokenizer they are the pieces of the template."""

    conversation: Conversation
    text: str
    tokens: tuple[Token, ...]
    length: int
    exact: bool
    problems: tuple[str, ...]

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return sum(token.trained for token in self.tokens)

    def as_json(self) -> dict[str, Any]:
        """Return the row for a program."""
        return {
            "sample_id": self.conversation.sample_id, "mode": self.conversation.mode,
            "split": self.conversation.split, "text": self.text, "length": self.length, "exact": self.exact,
            "tokens": [
                {"id": token.id, "text": self.text[token.start : token.end], "special": token.special,
                 "trained": token.trained}
                for token in self.tokens
            ],
            "problems": list(self.problems),
        }  # fmt: skip


@dataclass(frozen=True)
class Preview:
    """All rows of `samples` looked at: the first to show, and every problem, counted and the first of them named."""

    shown: tuple[Row, ...]
    samples: int
    rows: int
    problems: tuple[str, ...]
    count: int


class Viewer:
    """Shows conversations as a plan's tool will see them."""

    def __init__(self, plan: Plan, tokenizer: ChatTokenizer | None = None) -> None:
        self.plan, self.family, self.exporter = plan, plan.family, plan.exporter
        self.tokenizer = tokenizer
        tokens = sorted(self.family.control_tokens, key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
        self._template = ""
        if tokenizer and (plan.job.own_template or not tokenizer.template):
            self._template = plan.job.chat_template

    def row(self, conversation: Conversation) -> Row:
        """Return one conversation as a row. Raises UsageError where the tokenizer's template refuses it."""
        if self.exporter.template == "server":
            return self._checked(conversation, *_by_messages(conversation.messages), exact=False)
        if self.tokenizer is None:
            return self._checked(conversation, *self._by_family(conversation.messages), exact=False)
        if self.exporter.template == "tool":
            return self._checked(conversation, *self._by_pieces(conversation.messages, self.tokenizer), exact=True)
        return self._checked(conversation, *self._by_template(conversation.messages, self.tokenizer), exact=True)

    def _pieces(self, messages: Sequence[Message]) -> Iterator[tuple[str, bool, bool]]:
        """Yield (text, whether it is a message's own text, whether it is trained) of the family's rendering."""
        if self.family.bos_token:
            yield self.family.bos_token, False, False
        reply = ("lead", "content", "end", "after") if self.exporter.ends == "all" else ("content", "end")
        pieces = self.plan.job.chat_format.segments(messages)
        if self.exporter.template == "tool" and self.family.document_end:
            pieces.pop()  # the tools' own templates write turns, and nothing behind the last
        for piece in pieces:
            learnt = piece.message is not None and messages[piece.message].train and piece.part in reply
            yield piece.text, piece.part == "content", learnt

    def _by_family(self, messages: Sequence[Message]) -> tuple[str, tuple[Token, ...]]:
        text, tokens = "", []
        for piece, content, trained in self._pieces(messages):
            places = [] if content else [match.span() for match in self._specials.finditer(piece)]
            at = 0
            for start, end in [*places, (len(piece), len(piece))]:
                if start > at:
                    tokens.append(Token(None, len(text) + at, len(text) + start, False, trained))
                if end > start:
                    tokens.append(Token(None, len(text) + start, len(text) + end, True, trained))
                at = end
            text += piece
        return text, tuple(tokens)

    def _by_pieces(self, messages: Sequence[Message], tokenizer: ChatTokenizer) -> tuple[str, tuple[Token, ...]]:
        """A tool with templates of its own tokenizes prompts and replies apart."""
        text, tokens = "", []
        parts: list[tuple[str, bool]] = []
        for piece, _, trained in self._pieces(messages):
            if parts and parts[-1][1] == trained:
                parts[-1] = (parts[-1][0] + piece, trained)
            else:
                parts.append((piece, trained))
        for part, trained in parts:
            encoded = tokenizer.encode(part)
            for number, (start, end), special in zip(encoded.ids, encoded.offsets, encoded.special, strict=True):
                tokens.append(Token(number, len(text) + start, len(text) + end, special, trained))
            text += part
        return text, tuple(tokens)

    def _by_template(self, messages: Sequence[Message], tokenizer: ChatTokenizer) -> tuple[str, tuple[Token, ...]]:
        text = tokenizer.render(messages, self._template)
        encoded = tokenizer.encode(text)
        trained = [False] * len(encoded.ids)
        for place, message in enumerate(messages):
            if not message.train:
                continue
            prompt = tokenizer.render(messages[:place], self._template, prompt=True)
            if not self.exporter.per_message:  # as TRL: all that follows the prompt's tokens
                for number in range(len(tokenizer.encode(prompt).ids), len(encoded.ids)):
                    trained[number] = True
                continue
            for start, end in self._reply_spans(text, prompt, message.content):
                for number, (first, last) in enumerate(encoded.offsets):
                    trained[number] = trained[number] or (first < end and last > start)
        return text, tuple(
            Token(number, start, end, special, learnt)
            for number, (start, end), special, learnt in zip(
                encoded.ids, encoded.offsets, encoded.special, trained, strict=True
            )
        )

    def _reply_spans(self, text: str, prompt: str, reply: str) -> list[tuple[int, int]]:
        """Return where a reply and its end mark stand in the text; a blank between them is no part of either."""
        before = len(prompt) if text.startswith(prompt) else 0
        start = text.find(reply, before)
        if start < 0:
            reply = reply.strip()
            start = text.find(reply, before)
        if start < 0:  # the template writes another text: then nothing of it is known to be trained
            return []
        end, mark = start + len(reply), self.family.eos_token
        after = text.find(mark, end) if mark else -1
        spans = [(start, end)]
        if after >= 0 and not text[end:after].strip():
            spans.append((after, after + len(mark)))
        return spans

    def _checked(self, conversation: Conversation, text: str, tokens: tuple[Token, ...], exact: bool) -> Row:
        length = len(tokens)
        if not exact:
            length = estimated_tokens(text, self.plan.settings.targets.characters_per_token)
        row = Row(conversation, text, tokens, length, exact, ())
        return replace(row, problems=tuple(self._problems(row)))

    def _problems(self, row: Row) -> Iterator[str]:
        most, about = self.plan.config.max_seq_length, "" if row.exact else "about "
        if row.length > most:
            yield f"{about}{counted(row.length, 'token')}: over max_seq_length {most:,}"
        if not any(token.trained for token in (row.tokens[:most] if row.exact else row.tokens)):
            yield "no token is trained"
        if self.exporter.template == "server":  # what it puts around texts is not known
            return
        yield from self._begin_problems(row)
        mark = self.family.eos_token
        ends = [row.text[token.start : token.end] for token in row.tokens if token.trained and token.special]
        own = self.tokenizer.token("eos_token") if self.tokenizer else mark
        replies = sum(message.train for message in row.conversation.messages)
        if mark and sum(text.strip() in (mark, own) for text in ends) < replies:
            yield f"the end mark {mark} of a reply is missing or not trained"
        for start, end in _contents(row):
            inside = [row.text[token.start : token.end] for token in row.tokens
                      if token.special and token.start >= start and token.end <= end]  # fmt: skip
            if inside:
                yield f"a text holds the special token {inside[0]}"

    def _begin_problems(self, row: Row) -> Iterator[str]:
        begin = self.family.bos_token
        if not begin:
            return
        places = [token.start for token in row.tokens if token.special and row.text[token.start : token.end] == begin]
        users = sum(message.role == "user" for message in row.conversation.messages)
        wanted = users if begin in self.family.turn_separator else 1
        if len(places) > wanted:
            yield f"{counted(len(places), 'begin mark')} {begin}: expected {wanted}"
        elif not places or places[0] != 0:
            yield f"no begin mark {begin} at the start"


def _by_messages(messages: Sequence[Message]) -> tuple[str, tuple[Token, ...]]:
    """A service renders with a template that it does not show: messages are shown as they are sent."""
    text, tokens = "", []
    for message in messages:
        for part, trained in ((f"{message.role}: ", False), (message.content, message.train), ("\n", False)):
            tokens.append(Token(None, len(text), len(text) + len(part), False, trained))
            text += part
    return text, tuple(tokens)


def _contents(row: Row) -> Iterator[tuple[int, int]]:
    """Yield where each message's own text stands in a row, as far as it can be found."""
    at = 0
    for message in row.conversation.messages:
        text = message.content.strip()
        start = row.text.find(text, at)
        if text and start >= 0:
            yield start, start + len(text)
            at = start + len(text)


def preview(
    plan: Plan, tokenizer: ChatTokenizer | None, sample: str | None, most: int, progress: Progress = no_progress
) -> Preview:
    """Look at every row of an export. `sample` names the one to show, else the first `most` are shown.

    Raises UsageError for a sample that is not in the run.
    """
    viewer = Viewer(plan, tokenizer)
    shown: list[Row] = []
    problems: list[str] = []
    rows = count = 0
    for conversation in conversations(plan):
        rows += 1
        if not rows & 255:
            progress("looking at rows", plan.reader.samples, int(plan.reader.summary["counts"]["samples"]))
        row = viewer.row(conversation)
        wanted = sample is None or conversation.sample_id == sample
        if wanted and (len(shown) < most or sample is not None):
            shown.append(row)
        count += len(row.problems)
        for problem in row.problems[: max(0, _KEPT - len(problems))]:
            problems.append(f"{conversation.sample_id} ({conversation.mode}): {problem}")
    if sample is not None and not shown:
        raise UsageError(f"no sample {sample!r} in this run", "lineage.jsonl of the run names them all")
    return Preview(tuple(shown), plan.reader.samples, rows, tuple(problems), count)


def show(result: Preview, plan: Plan, screen: Console) -> None:
    """Print rows and problems for a person."""
    for row in result.shown:
        conversation = row.conversation
        size = (
            f"{counted(row.length, 'token')}, {row.trained:,} trained"
            if row.exact
            else f"about {counted(row.length, 'token')}"
        )
        screen.rule(f"{conversation.mode} · {conversation.sample_id} · {conversation.split} · {size}", style="dim")
        screen.print(_marked(row, screen.is_terminal), soft_wrap=True)  # the exact text: no line of ours in it
        if row.exact:
            screen.print(_table(row))
    for problem in result.problems:
        screen.print(_plain(f"! {problem}"), soft_wrap=True)  # a line each, for grep
    if result.count > len(result.problems):
        screen.print(f"! and {result.count - len(result.problems):,} more")


def _plain(text: str) -> Text:
    from curator.reports.safe_text import safe

    return safe(text)


def _marked(row: Row, colours: bool) -> Text:
    """Return the row's text with trained stretches marked: green on a terminal, ⟦ ⟧ elsewhere; special tokens bold."""
    from rich.text import Text

    shown, open_ = Text(), False
    for token in row.tokens:
        if not colours and token.trained != open_:
            shown.append("⟦" if token.trained else "⟧")
        open_ = token.trained
        style = ("green" if token.trained else "dim") + (" bold" if token.special else "")
        shown.append_text(_styled(row.text[token.start : token.end], style))
    if open_ and not colours:
        shown.append("⟧")
    return shown


def _styled(text: str, style: str) -> Text:
    shown = _plain(text)
    shown.stylize(style)
    return shown


def _table(row: Row) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for head in ("#", "id", "token", ""):
        table.add_column(head, overflow="fold")
    for number, token in enumerate(row.tokens):
        text = row.text[token.start : token.end].replace("\n", "⏎").replace(" ", "·")
        kinds = " ".join(word for word, holds in (("special", token.special), ("trained", token.trained)) if holds)
        table.add_row(str(number), str(token.id), _plain(text), kinds)
    return table


def rows_note(rows: int, samples: int, exporter: Exporter) -> str:
    """Return why there are more rows than samples, in words; "" where a row can have several replies to train."""
    if rows <= samples or exporter.per_message:
        return ""
    return (
        f"{counted(samples, 'sample makes', 'samples make')} {counted(rows, 'row')}: in a row for {exporter.title} "
        "only the last reply can be trained, so a conversation with several replies to train gives a row for "
        "each of them"
    )


HOW_TO_MEND = "raise max_seq_length in etc/fine-tune-config.json, or name the tokenizer of another base model"


def require_rows(result: Preview, run: Path) -> None:
    """Raise JobError where a run has no row to look at: that is not a run without problems."""
    if not result.rows:
        raise JobError(
            f"{printable(str(run))} holds no sample, so there is nothing to preview",
            f"see why: {command_line('curate', 'report', run)}",
        )


def require_clean(result: Preview) -> None:
    """Raise JobError where a row has a problem (--strict)."""
    if result.count:
        raise JobError(f"{counted(result.count, 'problem')} in {counted(result.rows, 'row')}", HOW_TO_MEND)

"""A run's samples as messages, the common form of all exports, read one by one however many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from curator.config import ExportConfig
from curator.contract.errors import JobError, printable
from curator.contract.files import open_file
from curator.contract.modes import untag
from curator.contract.records import CURATED, FORMATTED, MAKE_AGAIN, Exchange, Family, Message, read_summary
from curator.contract.special_tokens import in_braces
from curator.language.tokens import estimated_tokens
from curator.records import Conversation

_AROUND = 6  # tokens that a chat template puts around a message, about
# The keys of run-summary.json that an export is made with.
NEEDED = ("username", "label", "family", "mode", "seed", "counts", "options", "files")


class _Origin(msgspec.Struct, frozen=True):
    sample_id: str
    split: Literal["train", "holdout"] = "train"
    multi_turn: bool = False


class _Sample(msgspec.Struct, frozen=True):
    """What an export needs of a sample: as in curated_memories.json, or tagged as in formatted_samples.json."""

    mode: str
    metadata: _Origin
    input: str = ""
    output: str = ""
    user_text: str = ""
    assistant_text: str = ""
    context: tuple[Exchange, ...] = ()


_decode = msgspec.json.Decoder(_Sample).decode


@dataclass
class ConversationReader:
    """Reads a run's conversations. `tags` "content" keeps the mode tags in the texts, "none" leaves them out and puts
    the mode into a system message. `tokens` are control tokens, which are spelled in braces wherever a text holds one.

    After a whole pass `samples` and `braced` (tokens spelled in braces) hold, and `cut`, which who cuts them counts.
    """

    folder: Path
    tags: Literal["content", "none"]
    config: ExportConfig
    tokens: tuple[str, ...]
    samples: int = 0
    braced: int = 0
    cut: int = 0
    _systems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.summary = read_summary(self.folder, NEEDED)
        self.name = FORMATTED if self.tags == "content" else CURATED

    def __iter__(self) -> Iterator[Conversation]:
        """Yield every conversation in the order of the run. Raises JobError where the file is not the run's."""
        self.samples = self.braced = self.cut = 0
        for number, line in run_lines(self.folder, self.name, self.summary):
            yield self._conversation(line, number)

    def _conversation(self, line: bytes, number: int) -> Conversation:
        try:
            sample = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JobError(f"{self.name}:{number}: {error}", MAKE_AGAIN) from None
        self.samples += 1
        tagged = self.tags == "content"
        asked, answered = (sample.input, sample.output) if tagged else (sample.user_text, sample.assistant_text)
        messages: list[Message] = []
        if self.tags == "none":
            messages.append(Message("system", self._system(sample.mode)))
        # An earlier answer that is context alone is trained in a sample of its own. Older runs mark a conversation as a
        # whole, and then every answer is trained.
        every = sample.metadata.multi_turn and not any(exchange.trained for exchange in sample.context)
        for exchange in sample.context:
            messages.append(Message("user", self._plain(exchange.user_text, tagged)))
            answer = self._plain(exchange.assistant_text, tagged)
            messages.append(Message("assistant", answer, exchange.trained or every))
        messages.append(Message("user", self._plain(asked, tagged)))
        messages.append(Message("assistant", self._plain(answered, tagged), True))
        return Conversation(sample.metadata.sample_id, sample.mode, sample.metadata.split, tuple(messages))

    def _system(self, mode: str) -> str:
        if mode not in self._systems:
            self._systems[mode] = self._plain(self.config.system_text(mode))
        return self._systems[mode]

    def _plain(self, text: str, tagged: bool = False) -> str:
        """Spell control tokens in braces; the tag before a `tagged` text is the run's own and stays."""
        tag, body = untag(text) if tagged else ("", text)
        plain, count = without_tokens(body, self.tokens)
        self.braced += count
        return tag + plain if count else text


def without_tokens(text: str, tokens: tuple[str, ...]) -> tuple[str, int]:
    """Return a text with its control tokens spelled in braces, and how many it had."""
    return in_braces(text, tokens)


def run_lines(folder: Path, name: str, summary: Mapping[str, Any]) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a run's file, one a line, each with its line's number.

    Raises JobError where the file cannot be read or, at its end, is not the one that the run's `summary` names.
    """
    shown, digest = printable(str(folder / name)), hashlib.sha256()
    try:
        with open_file(folder / name) as file:
            for number, line in enumerate(file, 1):
                digest.update(line)
                text = line.strip().removesuffix(b",")
                if text not in (b"[", b"]", b"[]", b""):
                    yield number, text
    except OSError as error:
        raise JobError(f"{shown}: {error.strerror}", MAKE_AGAIN) from None
    if digest.hexdigest() != summary["files"].get(name):
        raise JobError(
            f"{shown}: its sha256 is not that of run-summary.json",
            "the run was changed after it was made: make it again with curate run",
        )


def row_tokens(messages: Sequence[Message], characters_per_token: float) -> int:
    """Return about how many tokens messages take in a row, with their template's text; the figure is English's."""
    return sum([estimated_tokens(message.content, characters_per_token) + _AROUND for message in messages])


def fitting(conversation: Conversation, most: int, characters_per_token: float) -> list[Conversation]:
    """Cut a conversation of more than `most` tokens at its exchanges; one that fits is returned as it is.

    Each trained reply is in one of the parts, and only in one. A part begins with the exchange before it, untrained,
    where there is room, since people refer to what was said last. An exchange longer than `most` is a part of its own.
    """

    def fits(*messages: Message) -> bool:
        return row_tokens(messages, characters_per_token) <= most

    if fits(*conversation.messages):
        return [conversation]
    head = [message for message in conversation.messages if message.role == "system"]
    talk = conversation.messages[len(head) :]
    pairs = [talk[place : place + 2] for place in range(0, len(talk), 2)]
    parts: list[list[Message]] = []
    for number, pair in enumerate(pairs):
        if parts and fits(*head, *parts[-1], *pair):
            parts[-1] += pair
            continue
        before = [msgspec.structs.replace(message, train=False) for message in pairs[number - 1]] if number else []
        parts.append([*before, *pair] if fits(*head, *before, *pair) else [*pair])
    whole = [_up_to_trained(part) for part in parts]
    return [msgspec.structs.replace(conversation, messages=(*head, *part)) for part in whole if part]


def _up_to_trained(part: list[Message]) -> list[Message]:
    """Return a part up to its last trained reply: what follows that is context for the next part alone."""
    return part[: max((place + 1 for place, message in enumerate(part) if message.train), default=0)]


def last_replies(conversation: Conversation) -> Iterator[Conversation]:
    """Yield a conversation for each trained reply, which comes last in it and alone is trained."""
    messages = conversation.messages
    trained = [place for place, message in enumerate(messages) if message.train]
    if len(trained) == 1:  # the usual case, and the last message always is
        yield conversation
        return
    for place in trained:
        earlier = [msgspec.structs.replace(message, train=False) for message in messages[:place]]
        yield msgspec.structs.replace(conversation, messages=(*earlier, messages[place]))


def system_in_user_turn(conversation: Conversation, family: Family) -> Conversation:
    """Put a system text into the user's turn for a family without a system role, as its published template does.

    Some published templates of such a family refuse a system message (Gemma 2) where others take it (Gemma 3): so
    both see the same text.
    """
    first, *rest = conversation.messages
    if first.role != "system" or family.system_place == "turn" or family.system_prefix.strip():
        return conversation
    users = [place for place, message in enumerate(rest) if message.role == "user"]
    place = users[0] if family.system_place == "first_user" else users[-1]
    text = family.system_prefix + first.content + family.system_suffix + rest[place].content
    rest[place] = msgspec.structs.replace(rest[place], content=text)
    return msgspec.structs.replace(conversation, messages=tuple(rest))


def check_alternation(conversation: Conversation) -> None:
    """Raise JobError unless roles alternate strictly and a trained reply comes last: several tools drop other rows."""
    roles = [message.role for message in conversation.messages if message.role != "system"]
    wanted = ["user", "assistant"] * (len(roles) // 2)
    if roles != wanted or not conversation.messages[-1].train:
        raise JobError(
            f"sample {conversation.sample_id}: its roles are {', '.join(roles)}: expected user and assistant in turn",
            "make the run again with curate run",
        )

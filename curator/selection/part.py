"""What a stretch of memories gave, in a form that is small to pass on: samples encoded, columns, drops as lines."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from curator.config import Settings
from curator.executing.spool import hash64
from curator.language.words import count_words
from curator.reading.drop_log import DropLog, Reason
from curator.records import AUTHORS, CuratedSample, Drop
from curator.sampling.joining import MemoryResult, ScreenedSample
from curator.sampling.sampler import Asked, SampleCounts
from curator.sampling.tool_calls import OUTCOME
from curator.sampling.turns import Gaps
from curator.selection import shingles
from curator.selection.shingles import ShingleSets

_PLAIN: Final = (
    "drops", "drop_bytes", "outcomes", "reasons", "data", "type_names", "questions", "signatures", "reply_signatures",
)  # fmt: skip


@dataclass
class SampleColumns:
    """What is known of each sample of a part, in the order of the samples; see `spread.Columns`.

    `memories` are their memories' numbers in the part, `texts` hashes of what is compared, `types` and `asked` numbers
    in the part's `type_names` and `questions`. `partly` are those of which only one side is compared.
    """

    sizes: array[int] = field(default_factory=lambda: array("q"))
    memories: array[int] = field(default_factory=lambda: array("l"))
    texts: array[int] = field(default_factory=lambda: array("q"))
    modes: array[int] = field(default_factory=lambda: array("h"))
    types: array[int] = field(default_factory=lambda: array("h"))
    authors: array[int] = field(default_factory=lambda: array("b"))
    priority: array[int] = field(default_factory=lambda: array("b"))
    asked: array[int] = field(default_factory=lambda: array("l"))
    partly: array[int] = field(default_factory=lambda: array("b"))


@dataclass
class Part:
    """What the memories at `first` and after it gave.

    `drops` are lines of dropped.jsonl, of which each memory has its `drop_bytes`;
    `outcomes` is the number of each memory's last reason in `reasons`, -1 for none; `log` counts the drops.
    `exchanges` holds, for a sample's number, hashes of the exchanges in its context, each None where no sample could
    be that exchange; `answers` the place of the memory that answers a sample's thought; `beside` the places of the
    other memories in it. `trace` says which memories were asked for.
    """

    first: int
    drops: bytes = b""
    drop_bytes: array[int] = field(default_factory=lambda: array("q"))
    outcomes: array[int] = field(default_factory=lambda: array("h"))
    reasons: list[Reason] = field(default_factory=list)
    log: DropLog = field(default_factory=DropLog)
    counts: SampleCounts = field(default_factory=SampleCounts)
    data: bytes = b""
    columns: SampleColumns = field(default_factory=SampleColumns)
    type_names: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    exchanges: dict[int, list[int | None]] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    beside: dict[int, tuple[int, ...]] = field(default_factory=dict)
    trace: list[Asked] = field(default_factory=list)
    sets: ShingleSets = field(default_factory=shingles.no_sets)
    replies: ShingleSets = field(default_factory=shingles.no_sets)
    signatures: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint16))
    reply_signatures: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint16))


@cache
def _encoders() -> tuple[msgspec.msgpack.Encoder, msgspec.json.Encoder]:
    return msgspec.msgpack.Encoder(), msgspec.json.Encoder()


class Packer:
    """Makes Parts of what memories gave. `mode_names` are all modes in their order."""

    def __init__(self, settings: Settings, mode_names: Iterable[str]) -> None:
        self._near = settings.curate.near_duplicates
        self._mode_numbers = {name: number for number, name in enumerate(mode_names)}
        self._parts: list[Part] = []
        self._texts: list[str] = []

    def add(self, first: int, results: Iterable[MemoryResult]) -> Part:
        """Take in what the memories from the place `first` on gave; each is there once, in the order of places.

        Return the part that it will be, which is whole once `parts` has given it back.
        """
        part, data, lines = Part(first), list[bytes](), list[bytes]()
        types, questions, reasons = dict[str, int](), dict[str, int](), dict[Reason, int]()
        encode, encode_lines = _encoders()[0].encode, _encoders()[1].encode_lines
        for number, result in enumerate(results):
            assert result.place == first + number, "memories stand in the order of their places"
            for screened in result.samples:
                encoded = encode(screened)
                data.append(encoded)
                part.columns.sizes.append(len(encoded))
                self._texts.append(self._noted(part, number, screened, result, (types, questions)))
            dropped = encode_lines(result.drops) if result.drops else b""
            lines.append(dropped)
            part.drop_bytes.append(len(dropped))
            for drop in result.drops:
                part.log.count(drop)
            last = Reason(result.drops[-1].stage, result.drops[-1].reason) if result.drops else None
            part.outcomes.append(reasons.setdefault(last, len(reasons)) if last else -1)
        part.data, part.drops = b"".join(data), b"".join(lines)
        part.type_names, part.questions, part.reasons = list(types), list(questions), list(reasons)
        self._parts.append(part)
        return part

    def parts(self) -> list[Part]:
        """Return all parts that were added since this was asked last, with their shingles."""
        found = shingles.shingles(self._texts, self._near.shingle_words)
        sets, replies = shingles.whole_and_reply_sets(found)
        signatures = shingles.signatures(sets, self._near.bands * self._near.rows)
        reply_signatures = shingles.reply_signatures(replies)
        start = 0
        for part in self._parts:
            stop = start + len(part.columns.sizes)
            part.sets, part.replies = sets.part(start, stop), replies.part(start, stop)
            part.signatures, part.reply_signatures = signatures[start:stop], reply_signatures[start:stop]
            start = stop
        parts, self._parts, self._texts = self._parts, [], []
        return parts

    def _noted(
        self, part: Part, memory: int, screened: ScreenedSample, result: MemoryResult,
        numbers: tuple[dict[str, int], dict[str, int]],
    ) -> str:  # fmt: skip
        """Put into the columns what choosing needs to know of a sample; return the text by which it is compared."""
        sample, event, columns, row = screened.sample, result.event, part.columns, len(part.columns.memories)
        metadata, (types, questions) = sample.metadata, numbers
        prompt, reply = sides(sample)
        asked = _question(sample)
        columns.memories.append(memory)
        columns.texts.append(hash64(joined(prompt, reply)))
        columns.modes.append(self._mode_numbers[sample.mode])
        columns.types.append(types.setdefault(event.type, len(types)))
        columns.authors.append(AUTHORS.index(metadata.reply_author))
        columns.priority.append(event.priority)
        columns.asked.append(-1 if asked is None else questions.setdefault(asked, len(questions)))
        columns.partly.append(metadata.thought or metadata.reply_author == "tool")
        if sample.context:
            part.exchanges[row] = [
                None if metadata.multi_turn else hash64(joined(one.user_text, one.assistant_text))
                for one in sample.context
            ]
        if metadata.thought and result.answered_by >= 0:
            part.answers[row] = result.answered_by
        if beside := result.beside.get(metadata.sample_id):
            part.beside[row] = beside
        return shingles.compared(prompt, reply)


def _question(sample: CuratedSample) -> str | None:
    """Return the stock question that a text answers, None where it answers none, or a tool is asked."""
    if sample.metadata.question != "stock" or sample.metadata.reply_author == "tool":
        return None
    return sample.user_text


# Shorter exchanges ("Thanks." "You're welcome.") stand in any conversation and tell nothing of one.
_TELLING_WORDS: Final = 8


def exchanges_of(sample: CuratedSample) -> Iterator[tuple[str, str]]:
    """Yield the telling exchanges of a sample: those of its context, and its own where all are one text else."""
    both = [(one.user_text, one.assistant_text) for one in sample.context]
    if sample.metadata.multi_turn:
        both.append((sample.user_text, sample.assistant_text))
    for said, answered in both:
        if count_words(said) + count_words(answered) >= _TELLING_WORDS:
            yield said, answered


def compared_text(sample: CuratedSample) -> str:
    """Return the text by which duplicates are found: both sides of each exchange that is trained.

    Of a one-sided memory it is only its own text; of a tool call what asked for it and the call, not how it ended,
    since another call may end alike.
    """
    return joined(*sides(sample))


def joined(prompt: str, reply: str) -> str:
    """Return the two sides of an exchange as one text."""
    return f"{prompt}\n{reply}" if prompt and reply else prompt + reply


def sides(sample: CuratedSample) -> tuple[str, str]:
    """Return what is compared of the prompt and of the reply; nothing where the other side alone tells a duplicate."""
    if sample.metadata.thought:
        return sample.user_text, ""
    if sample.metadata.prompted or sample.metadata.reply_author == "tool":
        reply = sample.assistant_text
        own = reply.partition(OUTCOME)[0] if sample.metadata.reply_author == "tool" else reply
        return "" if sample.metadata.prompted else sample.user_text, own
    if not sample.metadata.multi_turn:
        return sample.user_text, sample.assistant_text
    earlier = [f"{one.user_text}\n{one.assistant_text}" for one in sample.context if one.trained]
    return "\n".join([*earlier, sample.user_text]), sample.assistant_text


def tree_of(part: Part) -> dict[str, Any]:
    """Return a part as a tree of plain values and arrays, in which no place of a memory stands."""
    log, counts = part.log, part.counts
    own = {name: getattr(part, name) for name in _PLAIN}
    return own | {
        "log": [list(log.counts.items()), list(log.examples.items()), log.encrypted, log.secrets],
        "counts": counts.__dict__ | {"gaps": counts.gaps.tree()},
        "columns": part.columns.__dict__,
        "answers": list(part.answers),
        "exchanges": list(part.exchanges.items()),
        "beside": [(row, [place - part.first for place in places]) for row, places in part.beside.items()],
        "sets": [part.sets.values, part.sets.offsets],
        "replies": [part.replies.values, part.replies.offsets],
    }


def part_of(tree: dict[str, Any], first: int, answers: Mapping[int, int]) -> Part:
    """Return the part of a tree, whose memories stand at `first` and after it.

    `answers` gives, for a memory's number in the part, the place of the memory that answers its thought.
    """
    reasons = [Reason(*one) for one in tree["reasons"]]
    columns = SampleColumns(**tree["columns"])
    counts, (dropped, examples, encrypted, secrets) = tree["counts"], tree["log"]
    log = DropLog(
        counts=Counter({Reason(*reason): count for reason, count in dropped}),
        examples={Reason(*reason): msgspec.convert(drop, Drop) for reason, drop in examples},
        encrypted=encrypted,
        secrets=Counter(secrets),
    )
    counters = {name: Counter(value) for name, value in counts.items() if type(value) is dict and name != "gaps"}
    plain = {name: tree[name] for name in _PLAIN if name != "reasons"}
    return Part(
        first,
        **plain,
        reasons=reasons,
        log=log,
        counts=SampleCounts(**counts | counters | {"gaps": Gaps.of(counts["gaps"])}),
        columns=columns,
        answers={row: answers[columns.memories[row]] for row in tree["answers"]},
        exchanges=dict(tree["exchanges"]),
        beside={row: tuple([first + offset for offset in offsets]) for row, offsets in tree["beside"]},
        sets=ShingleSets(*tree["sets"]),
        replies=ShingleSets(*tree["replies"]),
    )

"""The second pass of a run: memories -> pairs -> cleaned -> screened samples, one memory after the other.

    MemoryEvent --pair--> Pair --clean--> Pair --screen--> ScreenedSample; what a step turns down is a Drop

Nothing here knows what becomes of a sample: `Sampler.sampled` yields what each memory gave. That depends on the memory
and on those around it, which it may ask for, and on nothing that was worked out before.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from curator.config import Settings
from curator.contract.errors import PluginError, counted
from curator.contract.homes import PeopleNames
from curator.contract.records import Exchange
from curator.contract.special_tokens import in_braces
from curator.executing import watched
from curator.executing.executor import Note
from curator.hooks import Reject
from curator.language.words import count_words
from curator.plugin_errors import plugin_failed, raised
from curator.plugin_manager import (
    BUILT_IN_PLUGINS,
    Registry,
    apply_cleaner,
    apply_filters,
    map_mode,
)
from curator.reading.timeline import Order
from curator.records import Change, CuratedSample, MemoryEvent, Pair, SampleMetadata
from curator.sampling.joining import MemoryResult, Piece, ScreenedSample, may_join
from curator.sampling.pairing import PairingHelpers, default_pairs
from curator.sampling.turns import Gaps, silences

# Events that are looked at after a thought for its answer, or before a call for who asked for it: more are hardly met.
_MOST_ASKED = 32


_PAIR: Final = msgspec.msgpack.Decoder(Pair)


@dataclass(frozen=True)
class Options:
    """What the command line asks for; the rest is configuration."""

    mode: str | None = None
    author: str | None = None
    most: int | None = None
    seed: int = 42
    mode_from: str = "hybrid"
    dual_direction: str = "thought-is-user"
    days_recent: int | None = None
    old_samples: int | None = None
    holdout: float | None = None
    keep_going: bool = False
    keep_secrets: bool = False
    since: str | None = None
    exclude: tuple[str, ...] = ()


@dataclass
class SampleCounts:
    """What a run tells of its second pass: the pairs formed, counts by name, and how its conversations are cut.

    `joined` are exchanges that stand in the sample of a later one, `sessions` talks without a long silence, `gaps` the
    silences between messages, and between memories of one conversation.
    """

    pairs: int = 0
    joined: int = 0
    mode_sources: Counter[str] = field(default_factory=Counter)
    unknown_types: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    gaps: Gaps = field(default_factory=Gaps)
    foreign_modes: Counter[str] = field(default_factory=Counter)

    def add(self, other: SampleCounts) -> None:
        """Count what was counted elsewhere as well."""
        self.pairs += other.pairs
        self.joined += other.joined
        self.sessions += other.sessions
        self.mode_sources.update(other.mode_sources)
        self.unknown_types.update(other.unknown_types)
        self.foreign_modes.update(other.foreign_modes)
        self.gaps.also(other.gaps)


class Asked(NamedTuple):
    """Memories that pairing asked for at a memory: which way, the memory's place, and theirs; -1 stands for no more."""

    way: str
    place: int
    places: list[int]


def asked_for(order: Order, way: str, place: int, silence: int = 0) -> Iterator[int]:
    """Yield the places that are asked for at a place, one way; `silence` ends what is "earlier", in milliseconds."""
    if way == "outward":
        yield from islice(order.outward_after(place), _MOST_ASKED)
    elif way == "before":
        yield order.before(place)
    else:
        for _ in range(_MOST_ASKED):
            gap, place = order.silence_before(place), order.before(place)
            if place < 0 or gap > silence:
                return
            yield place


class Sampler:
    """Turns memories into screened samples. `people`: names of core.json; `language`: that of most memories.

    `note` is told which memory is at hand.
    """

    def __init__(
        self,
        order: Order,
        registry: Registry,
        settings: Settings,
        options: Options,
        mode_from: str,
        people: PeopleNames,
        *,
        language: str,
        note: Note,
    ) -> None:
        self._timeline, self._registry, self._settings, self._note = order, registry, settings, note
        self.options, self._mode_from = options, mode_from
        self._counts = SampleCounts()
        self._trace: list[Asked] = []
        self._pairing = PairingHelpers(
            settings,
            people.owner,
            options.dual_direction,
            outward=self._outward,
            before=self._before,
            earlier=self._earlier,
            on_drop=self._turn_dropped,
            twin_names=people.twin,
            main_language=language,
        )
        self._silence = round(settings.curate.pairing.session_minutes * 60_000)
        self._fit: OrderedDict[int, MemoryEvent | None] = OrderedDict()  # the last memories; None: turned down
        self._result: MemoryResult | None = None  # of the memory at hand, for what pairing calls back

    def sampled(self, places: range, lost: Mapping[int, str]) -> Iterator[MemoryResult]:
        """Yield what the memories at these places give. `lost` says of some why they cannot be worked on.

        Raises PluginError where a plugin fails, unless the run keeps going: then that memory is dropped as a whole.
        """
        for place in places:
            self._note.at(place)
            result = self._result = MemoryResult(self._judged(self._timeline.event(place)), place)
            pairs = self._counts.pairs
            try:
                if place in lost:
                    raise PluginError(lost[place])
                self._memory(result)
            except PluginError as error:
                if not self.options.keep_going:
                    raise
                self._counts.pairs = pairs
                result.samples, result.drops, result.pieces = [], [], []
                result.drop("event", "plugin_error", error.what)
            yield result

    def taken_trace(self) -> list[Asked]:
        """Return which memories were asked for since this was asked last."""
        trace, self._trace = self._trace, []
        return trace

    def taken_counts(self) -> SampleCounts:
        """Return what was counted since this was asked last."""
        counts, self._counts = self._counts, SampleCounts()
        return counts

    def _judged(self, event: MemoryEvent) -> MemoryEvent:
        """Return an event, marked by what others say of it: dislikes, rejections, an original beside a rewrite."""
        timeline = self._timeline
        marks: dict[str, bool | str] = {}
        known = timeline.marks
        if event.id in known.disliked:
            marks["disliked"] = True
        if event.rewrite and event.id in known.originals:
            marks["superseded"] = True
        if not event.rejected and event.id in timeline.rejected_twins(event.rewrite):
            marks["rejected"] = f"{'its original' if event.rewrite else 'its curated rewrite'}, {event.id}, is rejected"
        return msgspec.structs.replace(event, **marks) if marks else event

    def _memory(self, result: MemoryResult) -> None:
        event, counts = result.event, self._counts
        down = apply_filters(self._registry.memory_filters, event, event.path)
        self._keep(result.place, None if down else event)
        if down:
            result.drop("event", *down)
            return
        mode, source = self._mode(event)
        counts.mode_sources[source] += 1
        if source == "mapping" and not self._settings.types.knows(event.type, event.tags):
            counts.unknown_types[event.type] += 1
        if event.mode and event.mode not in self._registry.modes:
            counts.foreign_modes[event.mode] += 1
        self._count_talk(result)
        pairs = self._pairs(event, mode)
        if not pairs and not result.drops:
            result.drop("pair", "no_pair", f"the mode {mode} makes nothing of it")
        counts.pairs += len(pairs)
        joins = event.multi_turn or self._settings.curate.pairing.turns > 1
        for pair in pairs:
            sample = self._screened(result, pair, mode, source)
            if joins and may_join(pair):
                result.pieces.append(Piece(self._plain(pair), sample, result.drops[-1] if sample is None else None))
            elif sample is not None:
                result.samples.append(sample)

    def _mode(self, event: MemoryEvent) -> tuple[str, str]:
        """Return an event's mode and what chose it. Talk with an agent, no tool call, is talk unless etc/ says not."""
        mode, source = map_mode(self._registry, event, self._mode_from)
        talk = self._settings.curate.pairing.agent_talk
        if mode != "agent" or source == "mapping" or event.tool is not None or talk not in self._registry.modes:
            return mode, source
        return (mode, source) if talk == mode or not self._pairing.shape(event).turns else (talk, "agent_talk")

    def _count_talk(self, result: MemoryResult) -> None:
        """Count the sessions that a memory begins, and the silences before and within it."""
        if result.event.tool is not None or not (messages := self._pairing.shape(result.event).turns):
            return
        counts, silence = self._counts, self._timeline.silence_before(result.place)
        found = [silence] if silence >= 0 else []
        counts.sessions += not found
        if messages[0].time:
            found += silences(messages)
        for gap in found:
            counts.gaps.add(gap)
            counts.sessions += gap > self._silence

    def _pairs(self, event: MemoryEvent, mode: str) -> list[Pair]:
        own, plugin = self._registry.modes[mode].pairs, self._registry.owners[f"mode {mode}"]
        if own is None:
            return list(default_pairs(event, self._pairing, mode))
        try:
            pairs = watched.call(plugin, f"mode {mode}", lambda: list(own(event, self._pairing)))
            if plugin in BUILT_IN_PLUGINS:
                return pairs
            for pair in pairs:
                if type(pair) is not Pair:
                    raise TypeError(f"yielded {type(pair).__name__}: expected a Pair of two texts")
            # Each field has the type that it is declared with, whatever a plugin has put there.
            return [_PAIR.decode(msgspec.msgpack.encode(pair)) for pair in pairs]
        except (KeyboardInterrupt, PluginError):
            raise
        except BaseException as error:
            if plugin in BUILT_IN_PLUGINS:
                raise  # our own mistake, or the disk's: keep the traceback
            raise plugin_failed(plugin, f"mode {mode}", event.path, raised(error)) from error

    def _screened(self, result: MemoryResult, pair: Pair, mode: str, source: str) -> ScreenedSample | None:
        event = result.event
        sample_id = f"{event.key}-{pair.turn}"
        reply, changes = pair.assistant_text, pair.changes
        if pair.author in ("assistant", "other_human"):
            cleaned, changes = self._clean(event, pair)
            if isinstance(cleaned, Reject):
                result.drop("clean", cleaned.reason, cleaned.detail, sample_id)
                return None
            reply = cleaned
        user_text, reply, context, spelled = self._spelled(pair.user_text, reply, pair.context)
        changes = (*changes, *spelled)
        metadata = SampleMetadata(
            sample_id=sample_id,
            original_id=event.id,
            source_type=event.type,
            timestamp=event.timestamp,
            mode_source=source,
            reply_author=pair.author,
            sources=pair.sources or event.sources,
            long_output=len(reply) > 160 and count_words(reply) > self._settings.curate.reply.words,
            pair_flipped=pair.flipped,
            prompted=pair.prompted,
            question=pair.question,
            thought=pair.thought,
            language=self._pairing.language(event),
        )
        sample = CuratedSample(mode, user_text, reply, metadata, context)
        down = apply_filters(self._registry.sample_filters, sample, event.path)
        if down:
            result.drop("screen", down[0], down[1], sample_id)
            return None
        return ScreenedSample(sample, (event.key, *pair.events), changes)

    def _plain(self, pair: Pair) -> Pair:
        """Return a pair as it may stand in another one's context."""
        if self._settings.curate.control_tokens == "drop":
            return pair
        said, answered, _, _ = self._spelled(pair.user_text, pair.assistant_text, ())
        return msgspec.structs.replace(pair, user_text=said, assistant_text=answered)

    def _spelled(
        self, user_text: str, reply: str, context: tuple[Exchange, ...]
    ) -> tuple[str, str, tuple[Exchange, ...], tuple[Change, ...]]:
        """Spell control tokens in braces where etc/curate.json says so: the one change made to the person's words."""
        if self._settings.curate.control_tokens == "drop":
            return user_text, reply, context, ()
        tokens, changes, texts = self._registry.control_tokens, [], []
        for text in (
            user_text,
            reply,
            *(side for exchange in context for side in (exchange.user_text, exchange.assistant_text)),
        ):
            plain, count = in_braces(text, tokens)
            if count:
                changes.append(Change("control_tokens", f"{count} spelled in braces", len(text), len(plain)))
            texts.append(plain)
        pairs = zip(texts[2::2], texts[3::2], strict=True)
        return texts[0], texts[1], tuple([Exchange(*pair) for pair in pairs]), tuple(changes)

    def _clean(self, event: MemoryEvent, pair: Pair) -> tuple[str | Reject, tuple[Change, ...]]:
        reply, changes = pair.assistant_text, pair.changes
        for plugin, cleaner in self._registry.cleaners:
            after = apply_cleaner(plugin, cleaner, reply, event)
            if isinstance(after, Reject):
                return after, changes
            if after != reply:
                changes = (*changes, Change(cleaner.name, _described(reply, after), len(reply), len(after)))
                reply = after
        return reply, changes

    def _turn_dropped(self, reason: str, detail: str, turn: int | str) -> None:
        assert self._result is not None
        self._counts.pairs += 1
        self._result.drop("pair", reason, detail, f"{self._result.event.key}-{turn}")

    def _outward(self, event: MemoryEvent) -> MemoryEvent | None:
        """Return the next event that the world saw and that may be learnt from."""
        assert self._result is not None
        asked = Asked("outward", self._result.place, [])
        self._trace.append(asked)
        for place in asked_for(self._timeline, "outward", self._result.place):
            asked.places.append(place)
            answer = self._judged(self._timeline.event(place))
            if not apply_filters(self._registry.memory_filters, answer, answer.path):
                self._result.answered_by = place
                return answer
        asked.places.append(-1)
        return None

    def _before(self, event: MemoryEvent) -> MemoryEvent | None:
        assert self._result is not None
        place = self._timeline.before(self._result.place)
        self._trace.append(Asked("before", self._result.place, [place]))
        return self._timeline.event(place) if place >= 0 else None

    def _earlier(self, event: MemoryEvent) -> Iterator[MemoryEvent | None]:
        """Yield the memories before the one at hand in its session, the latest first; None where one is unfit."""
        assert self._result is not None
        asked = Asked("earlier", self._result.place, [])
        self._trace.append(asked)
        for place in asked_for(self._timeline, "earlier", self._result.place, self._silence):
            asked.places.append(place)
            if place in self._fit:
                previous = self._fit[place]
            else:
                event = self._judged(self._timeline.event(place))
                down = apply_filters(self._registry.memory_filters, event, event.path)
                previous = self._keep(place, None if down else event)
            yield previous
            if previous is None:
                return
        asked.places.append(-1)

    def _keep(self, place: int, event: MemoryEvent | None) -> MemoryEvent | None:
        """Keep a memory, or that it is unfit: what follows it in its session will ask of it again."""
        self._fit[place] = event
        if len(self._fit) > 2 * _MOST_ASKED:
            self._fit.popitem(last=False)
        return event


def _described(before: str, after: str) -> str:
    if before.endswith(after[1:]) and after[:1].lower() == before[-len(after) :][:1].lower():
        return f"took off the start: {_short(before[: len(before) - len(after)])}"
    if before.startswith(after):
        return f"took off the end: {_short(before[len(after) :])}"
    return f"rewritten, {counted(len(before) - len(after), 'character')} fewer"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}")

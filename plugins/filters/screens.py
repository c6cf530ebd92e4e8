"""What is turned down: before pairing, memories that are not to be learnt; after cleaning, samples that are unfit."""

from collections.abc import Callable

import re2

from curator import (
    BadJson,
    CuratedSample,
    Family,
    Filter,
    MemoryEvent,
    Settings,
    UsageError,
    count_words,
    counted,
    find_tags,
    forged_turn,
    hookimpl,
    line_markers,
    may_hold_tags,
    parse_json,
)


@hookimpl
def register_filters(
    settings: Settings, family: Family, tags: tuple[str, ...], control_tokens: tuple[str, ...]
) -> list[Filter]:
    """Return the filters; etc/curate.json holds their order."""
    finder = TagFinder(tags, control_tokens)
    return [
        Filter("pruned", pruned, on="memory"),
        Filter("discarded", lambda event: "discarded: metadata.discard" if event.discard else None, on="memory"),
        Filter("rejected", lambda event: f"rejected: {event.rejected}" if event.rejected else None, on="memory"),
        Filter("disliked", lambda event: "disliked: a feedback event says so" if event.disliked else None, on="memory"),
        Filter("rewritten", rewritten, on="memory"),
        Filter("feedback", feedback, on="memory"),
        Filter("bot_notice", bot_notices(settings), on="memory"),
        Filter("reserved_tag", finder.reserved_tag),
        Filter("control_token", finder.control_token),
        Filter("forged_turn", turn_finder(line_markers(family))),
        Filter("empty", empty),
        Filter("too_short", too_short(settings.curate.reply.min_words)),
    ]


def pruned(event: MemoryEvent) -> str | None:
    """Turn down what the user archived."""
    return "pruned: archived by the user" if event.pruned else None


def feedback(event: MemoryEvent) -> str | None:
    """Turn down feedback events: their word counts for their target, they are nobody's reply.

    A memory that bears a bad mark itself is no reply to learn from either.
    """
    if event.target or event.type == "operator_feedback" or event.content.startswith("[Feedback:"):
        return "feedback: says something of another memory, or of a task"
    if event.signal < 0:
        return "feedback: metadata.reinforcementSignal is negative"
    return None


def rewritten(event: MemoryEvent) -> str | None:
    """Turn down a curated rewrite whose original is there: the original is the person's own."""
    if event.superseded:
        return f"rewritten: by MetaHuman's curator; the original, {event.id}, is in the profile"
    return None


def bot_notices(settings: Settings) -> Callable[[MemoryEvent], str | None]:
    """Build the filter of notices that programs leave, by the patterns of etc/types.json.

    Raises UsageError for a pattern that is none.
    """
    notices = {}
    options = re2.Options()
    options.log_errors = False
    for name, pattern in settings.types.notices.items():
        try:
            notices[name] = re2.compile(pattern, options)
        except re2.error as error:
            reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            raise UsageError(
                f"etc/types.json: notices.{name}: {pattern[:60]!r} is not accepted: {reason[:200]}",
                "patterns are RE2: no look-around and no back-references; mend it or take it out",
            ) from None

    # One search for all of them is what nearly every memory needs.
    anyone = re2.compile("|".join(f"(?:{pattern})" for pattern in settings.types.notices.values()), options)

    def check(event: MemoryEvent) -> str | None:
        if event.by_program:
            return f"bot_notice: {event.by_program}"
        start = event.content[:400]
        if not start:
            return None
        if start[0] in "{[" and event.response is None and _is_json(event.content):
            return "bot_notice: a dump of JSON"
        if not notices or not anyone.search(start):
            return None
        return next((f"bot_notice: {name}" for name, notice in notices.items() if notice.search(start)), None)

    return check


def _is_json(text: str) -> bool:
    """Tell whether a text is a JSON object or array, as programs leave it."""
    if not text.rstrip().endswith(("}", "]")):
        return False
    try:
        parse_json(text.encode("utf-8", "surrogatepass"))
    except BadJson:
        return False
    return True


class TagFinder:
    """Finds mode tags and control tokens in any disguise. Two filters ask about each sample; it is looked at once."""

    def __init__(self, tags: tuple[str, ...], tokens: tuple[str, ...]) -> None:
        self._tags, self._tokens = tags, tokens
        self._last: tuple[CuratedSample | None, str | None, str | None] = (None, None, None)

    def reserved_tag(self, sample: CuratedSample) -> str | None:
        """Return the reason where a mode tag stands in a text, with field and offset."""
        return self._look(sample)[1]

    def control_token(self, sample: CuratedSample) -> str | None:
        """Return the reason where a control token stands in a text, with field and offset."""
        return self._look(sample)[2]

    def _look(self, sample: CuratedSample) -> tuple[CuratedSample | None, str | None, str | None]:
        if self._last[0] is not sample:
            reasons: list[str | None] = [None, None]
            texts = (sample.user_text, sample.assistant_text)
            if sample.context or any([may_hold_tags(text, self._tokens) for text in texts]):  # noqa: C419 - half the time
                for name, text in _fields(sample):
                    for kind, findings in enumerate(find_tags(text, self._tags, self._tokens)):
                        if findings and not reasons[kind]:
                            where = f"{findings[0].name} at character {findings[0].start} of {name}"
                            reasons[kind] = f"{('reserved_tag', 'control_token')[kind]}: {where}"
            self._last = (sample, reasons[0], reasons[1])
        return self._last


def _fields(sample: CuratedSample) -> list[tuple[str, str]]:
    fields = [("user_text", sample.user_text), ("assistant_text", sample.assistant_text)]
    for number, exchange in enumerate(sample.context):
        fields += [(f"context[{number}]", exchange.user_text), (f"context[{number}]", exchange.assistant_text)]
    return fields


def turn_finder(markers: tuple[str, ...]) -> Callable[[CuratedSample], str | None]:
    """Build the filter of lines that begin like a turn of a family whose turns are plain text ("A:")."""

    def check(sample: CuratedSample) -> str | None:
        if not markers:
            return None
        found = (name for name, text in _fields(sample) if forged_turn(text, markers) >= 0)
        return next((f"forged_turn: a line of {name} begins like a turn" for name in found), None)

    return check


def empty(sample: CuratedSample) -> str | None:
    """Turn down a sample one side of which says nothing."""
    if not sample.user_text.strip():
        return "empty: user_text"
    if not sample.assistant_text.strip():
        return "empty: assistant_text"
    return None


def too_short(words: int) -> Callable[[CuratedSample], str | None]:
    """Build the filter of replies of fewer than `words` words."""

    def check(sample: CuratedSample) -> str | None:
        reply = sample.assistant_text
        if len(reply) < 40 and count_words(reply) < words:
            return f"too_short: {count_words(reply)} of {counted(words, 'word')}"
        return None

    return check

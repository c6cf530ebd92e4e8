"""Cleaners of replies: leftovers of the program that wrote them, white space, fillers, trimming at sentence ends."""

import re
from collections.abc import Callable

import re2

from curator import (
    CUT_MARKS,
    UNFINISHED,
    Cleaner,
    MemoryEvent,
    Reject,
    Settings,
    UsageError,
    chosen_by_hash,
    count_words,
    counted,
    ends_sentence,
    first_sentences,
    hookimpl,
    language_of,
    sentences,
)

_THINK = re.compile(r"<think>.*?(?:</think>|\Z)\s*", re.DOTALL | re.IGNORECASE)
_SOURCES = re.compile(r"\s*\n+\s*(?:Sources|References):[ \t]*(?:\n.*|\S.*)\Z", re.DOTALL | re.IGNORECASE)
_TRUNCATED = re.compile(r"\s*(?:\.\.\.|…)\s*\[truncated\]\s*\Z", re.IGNORECASE)
# Control characters but for tab and newline, zero-width spaces, and the bidi embeddings, overrides and isolates: they
# can hide text. The zero-width joiners stay, which emoji and Persian need.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_ESCAPE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|.)?", re.DOTALL)
_MARKS = re.compile(r"[^\w\s,'’-]")  # n sentences have at least n - 1 of these signs between them
_SPACES = re.compile(r"[ \t]{2,}|[ \t]+(?=\n)|\n{3,}|\r\n?")


@hookimpl
def register_cleaners(settings: Settings) -> list[Cleaner]:
    """Return the four cleaners; etc/curate.json holds their order."""
    return [
        Cleaner("leftovers", take_out_leftovers),
        Cleaner("whitespace", mend_white_space),
        Cleaner("fillers", filler_cleaner(settings)),
        Cleaner("trim", trimmer(settings)),
    ]


def take_out_leftovers(reply: str, event: MemoryEvent) -> str:
    """Take out <think> blocks, a list of sources at the end, and a cut-off last sentence with its [truncated] mark."""
    if "<" in reply and "think>" in reply.lower():
        reply = _THINK.sub("", reply)
        reply = reply.split("</think>")[-1]
    if "\n" in reply and ("ources:" in reply or "eferences:" in reply):
        reply = _SOURCES.sub("", reply)
    if reply.endswith("]") and (cut := _TRUNCATED.sub("", reply)) != reply:
        kept = [piece for piece in sentences(cut) if ends_sentence(piece)]
        reply = "".join(kept).rstrip()
    return reply


def mend_white_space(reply: str, event: MemoryEvent) -> str:
    """Take off outer space, runs of blanks, blank lines beyond one, and characters that steer a terminal or a line's
    direction. Newlines, and so lists, poems and code, stay; lines that are indented stay as they are."""
    if not reply.isprintable():
        reply = _UNSEEN.sub("", _ESCAPE.sub("", reply)) if _UNSEEN.search(reply) else reply
    if "  " in reply or "\n" in reply or "\r" in reply or "\t" in reply:
        reply = _SPACES.sub(_one_space, reply)
    return reply.strip()


def _one_space(match: re.Match[str]) -> str:
    run = match[0]
    if run.startswith("\r"):
        return "\n"
    if run.startswith("\n"):
        return "\n\n"
    if match.start() == 0 or match.string[match.start() - 1] == "\n":
        return run  # indentation: code, a poem
    return "" if match.string[match.end() : match.end() + 1] == "\n" else " "


def filler_cleaner(settings: Settings) -> Callable[[str, MemoryEvent], str]:
    """Build the cleaner from etc/fillers.json. An opener goes only where punctuation follows it as a sentence or a
    clause of its own, so that "Okay, the pump" loses it and "Oklahoma" and "Let me think about the boat" do not."""
    openers, starts, patterns = _phrases(settings)
    opener = re.compile(
        rf"(?:{'|'.join(map(re.escape, openers))})(?P<mark>\s*[!.…]+(?=\s)|\s*[,;:](?=\s)|\s+[-–—]+(?=\s))\s+",
        re.IGNORECASE,
    )
    whole = tuple(start.lower() for start in starts)
    ignore_case = re2.Options()
    ignore_case.case_sensitive = False
    anywhere = re2.compile("|".join(map(re2.escape, whole)) or r"[^\x00-\x{10FFFF}]", ignore_case)
    firsts = frozenset(phrase[:2].lower() for phrase in openers)

    def clean(reply: str, event: MemoryEvent) -> str:
        text, before = once(reply), reply
        while text != before:  # a sentence taken out may uncover an opener
            text, before = once(text), text
        return text

    def once(text: str) -> str:
        if text[:2].lower() in firsts:
            while (match := opener.match(text)) and (rest := text[match.end() :]):
                text = rest[0].upper() + rest[1:]
        for pattern in patterns:
            match = pattern.match(text)
            if match and match.end() and (rest := text[match.end() :].lstrip()):
                text = rest[0].upper() + rest[1:]
        if anywhere.search(text):
            kept = [piece for piece in sentences(text) if not _starts_so(piece, whole)]
            text = "".join(kept).strip()
        return text

    return clean


def _starts_so(sentence: str, starts: tuple[str, ...]) -> bool:
    """Tell whether the sentence begins with one of the phrases, as whole words."""
    lowered = sentence.strip().lower()
    return any(lowered.startswith(start) and not lowered[len(start) : len(start) + 1].isalnum() for start in starts)


def _phrases(settings: Settings) -> tuple[list[str], list[str], list[re.Pattern[str]]]:
    languages = settings.fillers.languages.values()
    openers = sorted({phrase for language in languages for phrase in language.openers}, key=len, reverse=True)
    starts = [phrase for language in languages for phrase in language.sentences]
    patterns = []
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    for pattern in (pattern for language in languages for pattern in language.patterns):
        try:
            patterns.append(re2.compile(pattern, options))
        except re2.error as error:
            reason = error.args[0] if error.args else "too large"
            reason = reason.decode() if isinstance(reason, bytes) else reason
            raise UsageError(
                f"etc/fillers.json: the pattern {pattern[:60]!r} is not accepted: {reason[:200]}",
                "patterns are RE2: no look-around and no back-references; mend it or take it out",
            ) from None
    return openers or ["\0"], starts, patterns


def trimmer(settings: Settings) -> Callable[[str, MemoryEvent], str | Reject]:
    """Build the trimmer: 1-3 sentences, whole ones; a share of the long replies, chosen by content hash, stays long."""
    config = settings.curate.reply
    setting = settings.curate.pairing.sentence_language

    def trim(reply: str, event: MemoryEvent) -> str | Reject:
        words = count_words(reply)
        if words >= config.cut_off_words and not ends_sentence(reply):
            pieces = sentences(reply, language_for(reply, event))
            long = words > config.words and len(pieces) > config.sentences and "\n" not in reply
            if long or _stops_short(reply):
                reply = "".join(pieces[:-1]).rstrip()
                if not reply:
                    return Reject(
                        "cut_off", counted(words, "word that stops in mid-sentence", "words that stop in mid-sentence")
                    )
                words = count_words(reply)
        if words <= config.words and (
            len(_MARKS.findall(reply)) < config.sentences
            or len(sentences(reply, language_for(reply, event))) <= config.sentences
        ):
            return reply
        if event.long_output or chosen_by_hash(reply, config.long_share):
            if words <= config.long_words:
                return reply
            most, limit = 1 << 30, config.long_words
        else:
            most, limit = config.sentences, config.words
        short = first_sentences(reply, most, limit, config.long_words, language_for(reply, event))
        if short is None:
            return Reject("untrimmable", f"{counted(words, 'word')} and no sentence end at which to stop")
        return short

    def language_for(reply: str, event: MemoryEvent) -> str:
        if setting != "auto":
            return setting
        return language_of(reply, "") or language_of(event.content, "en")

    return trim


def _stops_short(reply: str) -> bool:
    """Tell whether a program's limit cut off a reply that ends no sentence: behind a comma, an opening bracket
    or a word such as "and", or inside code.

    That no full stop stands there proves nothing: who chats leaves the last one out, or all of them, in any script.
    """
    return reply[-1] in CUT_MARKS or reply.count("```") % 2 == 1 or UNFINISHED.search(reply[-24:]) is not None

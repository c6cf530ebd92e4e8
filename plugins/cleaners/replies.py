"""Cleaners of replies: leftovers of the program that wrote them, white space, fillers, trimming at sentence ends."""

import re
from collections.abc import Callable, Iterable

import re2

from curator import (
    CUT_MARKS,
    UNFINISHED,
    Cleaner,
    MemoryEvent,
    Reject,
    Settings,
    TakenOut,
    UsageError,
    chosen_by_hash,
    clauses_at_blanks,
    count_words,
    counted,
    ends_sentence,
    first_sentences,
    hookimpl,
    language_of,
    needs_the_yes,
    sentences,
    without_blanks,
)

# A block of thinking: at the start, or closed. In running text <think> is a word that somebody writes about.
_THINK_FIRST = re.compile(r"\s*<think>.*?(?:</think>|\Z)\s*", re.DOTALL | re.IGNORECASE)
_THINK = re.compile(
    r"(?<![`'\"“‘«「])<think>(?! ?(?:(?!<think>)\S)*? ?</think>[ .,])(?:(?!<think>).)*?</think>\s*",
    re.DOTALL | re.IGNORECASE,
)
# A chat template may write the opening tag itself, so that the reply has only the closing one.
_THOUGHT_BEFORE = re.compile(
    r"\A.*(?:(?<=\n)|(?<=[^\s`'\"“‘«「(\[]))</think>(?=\s*\n|\w|\Z)\s*", re.DOTALL | re.IGNORECASE
)
# Heads of a list of sources, in the languages of etc/fillers.json.
_HEADS = (
    "sources?|references?|citations?|quellen|quellenangaben|referenzen|références|fuentes|referencias|fonti|riferimenti|"
    "fontes|referências|источники|источник|ссылки|来源|來源|参考资料|參考資料|参考文献|资料来源|出典|参考|参照|情報源|출처|참고|"
    "참고 자료|참고문헌|المصادر|المراجع|स्रोत|संदर्भ|แหล่งที่มา|แหล่งอ้างอิง|อ้างอิง"
)
_SOURCES = re2.compile(rf"(?i)\n[ \t]*[*_#]*[ \t]*(?:{_HEADS})[ \t]*[:：][*_]*")
# A link, a file, a memory's id, a number in brackets, a year in brackets: no sentence of a reply is only that.
_CITATION = re.compile(
    r"https?://\S|\bwww\.\S|\bevt-\d|\w-*+\.(?:md|txt|json|jsonl|pdf|html?|docx?|csv|py|ts|js|org|com|net|edu|gov)\b|"
    r"^\W*\[\d{1,3}\]|[(（](?:19|20)\d\d[a-z]?[)）]",
    re.IGNORECASE,
)
_TRUNCATED = re.compile(r"(?<!\s)\s*+(?:\.\.\.|…)\s*+\[truncated\]\s*+\Z", re.IGNORECASE)
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
    """Take out <think> blocks, lists of sources, and a cut-off last sentence with its [truncated] mark."""
    if "<" in reply and "think>" in reply.lower():
        reply = _THINK_FIRST.sub("", reply, count=1) if _THINK_FIRST.match(reply) else reply
        reply = _THOUGHT_BEFORE.sub("", _THINK.sub("", reply), count=1)
    if "\n" in reply and _SOURCES.search(reply):
        reply = _without_sources(reply)
    if reply.endswith("]") and (cut := _TRUNCATED.sub("", reply)) != reply:
        kept = [piece for piece in sentences(cut) if ends_sentence(piece)]
        reply = "".join(kept).rstrip()
    return reply


def _without_sources(reply: str) -> str:
    """Take out each head like "Sources:" with the lines of links and citations below it; other lines stay."""
    for match in reversed(list(_SOURCES.finditer(reply))[-8:]):  # each looks at all below it
        start = end = match.end()
        for line in reply[start:].splitlines(keepends=True):
            if line.strip(" \t\r\n-*•") and not _CITATION.search(line):
                break
            end += len(line)
        if _CITATION.search(reply[start:end]) and (end == len(reply) or reply[start:end].endswith("\n")):
            rest = reply[end:].lstrip("\n")
            reply = reply[: match.start()].rstrip() + (f"\n\n{rest}" if rest.strip() else "")
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
    clause of its own, and only where what comes then can do without it: "Okay, the pump" loses it; "Oklahoma", "Let me
    think about the boat" and "Sure, but only when the water is warm" do not."""
    openers = Openers(settings)
    listed = TakenOut(phrase for language in settings.fillers.languages.values() for phrase in language.sentences)
    patterns = _patterns(settings)
    anywhere = re2.compile("|".join(map(re2.escape, _both_quotes(listed.phrases))) or _NEVER, _ignoring_case())

    def clean(reply: str, event: MemoryEvent) -> str:
        text, before = once(reply), reply
        for _ in range(_ROUNDS):  # a sentence taken out may uncover an opener
            if text == before:
                break
            text, before = once(text), text
        # In running text <think> is a word; first in a reply it would be taken for a block that never ends.
        return reply if text[:7].lower() == "<think>" else text

    def once(text: str) -> str:
        text = openers.taken_off(text)
        for pattern in patterns:
            match = pattern.match(text)
            if match and match.end() and (rest := text[match.end() :].lstrip()):
                text = _capital(rest)
        if anywhere.search(text):
            text = _without(listed, text)
        return text

    return clean


_NEVER = r"[^\x00-\x{10FFFF}]"
_ROUNDS = 20  # no reply has more fillers in a row but one of nothing else, megabytes long
_SENTENCE_END = "!.…。！।"
_ENDS_SPACED = r"\s*[!.…।]+[*_]*\s+|\s*[,;:،؛][*_]*\s+|\s+[-–—]+\s+|\s*[，。！、；：]+[*_]*\s*"
_ENDS_UNSPACED = r"\s*[!.…,;:，。！、；：～~—–]+[*_]*\s*|\s+"


class Openers:
    """The openers and remarks of etc/fillers.json, and the reply without those that it begins with."""

    def __init__(self, settings: Settings) -> None:
        self._languages: dict[str, set[str]] = {}
        self._remarks: set[str] = set()
        for name, language in settings.fillers.languages.items():
            for phrase in (*language.openers, *language.remarks):
                self._languages.setdefault(phrase.lower(), set()).add(name)
            self._remarks.update(phrase.lower() for phrase in language.remarks)
        longest = sorted(self._languages, key=len, reverse=True)
        spaced = [re2.escape(phrase) for phrase in _both_quotes(longest) if not without_blanks(phrase)]
        unspaced = [re2.escape(phrase) for phrase in longest if without_blanks(phrase)]
        ways = [f"(?P<spaced>{'|'.join(spaced) or _NEVER})(?P<end>{_ENDS_SPACED})"]
        ways += [f"(?P<unspaced>{'|'.join(unspaced) or _NEVER})(?P<end2>{_ENDS_UNSPACED})"]
        self._opener = re2.compile(rf"(?P<lead>[¡*_]*)(?:{'|'.join(ways)})", _ignoring_case())
        self._firsts = frozenset(phrase[:2] for phrase in self._languages)
        self._signs = frozenset("¡*_").union(phrase for phrase in self._languages if len(phrase) == 1)

    def taken_off(self, text: str) -> str:
        """Return the text without the openers it begins with; one that is the whole text, or its yes, stays."""
        for _ in range(_ROUNDS):
            if text[:2].lower() not in self._firsts and text[:1].lower() not in self._signs:
                break
            match = self._opener.match(text)
            rest = text[match.end() :] if match else ""
            if not match or not rest.strip("!?.…。！？*_ "):
                break
            phrase, end = match["spaced"] or match["unspaced"], match["end"] or match["end2"]
            if self._is_answer(phrase, end, rest):
                break
            text = _unclosed(match["lead"], end) + _capital(rest)
        return text

    def _is_answer(self, phrase: str, end: str, rest: str) -> bool:
        """Tell whether the reply would lose its yes with the opener."""
        key = phrase.lower().replace("’", "'")
        if key in self._remarks:
            return False
        sentence = any(sign in end for sign in _SENTENCE_END)
        return needs_the_yes(rest, frozenset(self._languages.get(key, ())), sentence)


def _unclosed(lead: str, end: str) -> str:
    """Return of the signs before an opener those that the rest still needs: ¡Claro, ven! keeps its ¡."""
    return "".join(sign for sign in lead if not (sign in end or (sign == "¡" and "!" in end)))


def _capital(rest: str) -> str:
    """Begin as a sentence does; iPhone and eBay stay as they are."""
    return rest if rest[1:2].isupper() else rest[:1].upper() + rest[1:]


def _without(listed: TakenOut, text: str) -> str:
    """Take out the listed sentences; what follows a contrast in one stays."""
    kept = []
    for piece in (clause for sentence in sentences(text) for clause in clauses_at_blanks(sentence)):
        left = listed.left_of(piece)
        kept.append(piece if left is None else _capital(left))
    return "".join(kept).strip() if kept else text


def _both_quotes(phrases: Iterable[str]) -> list[str]:
    """Return the phrases, and those with an apostrophe in both of its forms."""
    return [form for phrase in phrases for form in dict.fromkeys((phrase, phrase.replace("'", "’")))]


def _ignoring_case() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    return options


def _patterns(settings: Settings) -> list[re.Pattern[str]]:
    """Return the patterns of etc/fillers.json. Raises UsageError for one that RE2 does not accept."""
    patterns = []
    for pattern in (pattern for language in settings.fillers.languages.values() for pattern in language.patterns):
        try:
            patterns.append(re2.compile(pattern, _ignoring_case()))
        except re2.error as error:
            reason = error.args[0] if error.args else "too large"
            reason = reason.decode() if isinstance(reason, bytes) else reason
            raise UsageError(
                f"etc/fillers.json: the pattern {pattern[:60]!r} is not accepted: {reason[:200]}",
                "patterns are RE2: no look-around and no back-references; mend it or take it out",
            ) from None
    return patterns


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

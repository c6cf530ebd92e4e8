"""A person's own words in a mail: without what they quote, pass on and are signed with.

What is told by structure is told by it alone, in every language: lines of `>`, an address and a date before a colon, a
block of headers. Words of mail programs (`mail_words.py`) help where there is no structure. In doubt about a line of
somebody else's it is cut: words that are not the person's are the worst that can be learned as theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from curator.importing.texts import mail_words
from curator.importing.texts.html import DROPPED, Attributes, html_parts, tidy

_WRAPPED: Final = 4  # lines over which the header of a quote may run
_LONGEST_HEADER: Final = 400
_FACE = r"[:;=]-?[()\[\]|/\\DdPp3]|[._]+<"
_QUOTED = re.compile(rf"[ \t]{{0,3}}>(?!{_FACE})")
_MARKS = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")  # of direction, and of no width
_ADDRESS = re.compile(r"(?<![\w.+%'-])[\w.+%'-]++@[\w-]+(?:\.[\w-]+)*|\[?mailto:")
_DIGIT_DATE = r"\d{1,4}\s?[./-]\s?\d{1,2}\s?[./-]\s?\d{1,4}"
_DATE = re.compile(rf"{_DIGIT_DATE}|(?<!\d)(?:19|20|25)\d\d(?!\d)|\d{{1,2}}\s?[月월]\s?\d{{1,2}}\s?[日일]")
_TIME = re.compile(r"(?<!\d)\d{1,2}[:.h]\d{2}(?!\d)|\d{1,2}\s?[時点时점시]")
_ENDS_IN_COLON = re.compile(r"[:：]\**\s*$")
_DASHES = re.compile(r"\s*[-_=*—–]{2,}\s*(?P<words>[^-_=*—–\s].{0,70}?)\s*[-_=*—–]{2,}[\s:：]*$")
_RULE = re.compile(r"\s*[-_=*—–]{5,}\s*$")
_LABEL = re.compile(r"\s*\**(?P<name>[^\W\d_][^:：\n]{0,28}?)\**+\s*+[:：]\**+(?P<value>.*+)$")
_SIGNATURE = re.compile(r"-- ?$|[—–]{1,2}\s*$|--\s*$")
_LINKS = re.compile(r"<[^>]{0,2000}+>|\[[^\]]{0,2000}+\]|https?://\S+")
_PICTURE = re.compile(r"\[(?:image|cid): ?[^\[\]]{1,200}\]|\ufffc")  # where one stood before it was made plain text
_FOOTER = re.compile(r"_{20,}\s*$")
_LONGEST_SIGNATURE: Final = 10
_MARK = re.compile(r"^[ \t]*> ?")


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_SAID = re.compile(rf"(?<!\w)(?:{_any(mail_words.SAID_WORDS)})(?!\w)|{_any(mail_words.SAID_RUNS)}", re.IGNORECASE)
_OPENS = re.compile(rf"\W*(?:\d|(?:{_any(mail_words.OPENERS)})(?!\w)|\w{{1,5}}[.,])", re.IGNORECASE)
_BETWEEN_DASHES = {
    **dict.fromkeys(mail_words.ORIGINAL, False),
    **dict.fromkeys(mail_words.FORWARDED, True),
}
_KINDS: Final = {
    **dict.fromkeys(mail_words.TO, "to"),
    **dict.fromkeys(mail_words.SUBJECT, "subject"),
    **dict.fromkeys(mail_words.SENT, "sent"),
}


class OwnWords(NamedTuple):
    """What is a mail's own: its text; what it quotes above answers within it; whether it passes another mail on."""

    text: str
    quote: str = ""
    forwards: bool = False


class _Run(NamedTuple):
    """Lines of the writer's own, one after another, and the quoted lines that stand above them."""

    lines: list[str]
    quoted: list[str]


def own_words(text: str) -> OwnWords:
    """Return the own words of a mail's plain text, in order, with what they answer where they stand between quotes."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    runs: list[_Run] = [_Run([], [])]
    headers, forwards, at = _headers(lines), False, 0
    while at < len(lines):
        line = lines[at]
        if is_quoted(line) or _broken_off(lines, at):
            if runs[-1].lines:
                runs.append(_Run([], []))
            runs[-1].quoted.append(line)
        elif (passes_on := _cuts(lines, at)) is not None:
            forwards = passes_on
            break
        elif end := headers.get(at):
            if not is_quoted(_next_word(lines, end)):
                break
            at = end
            continue
        elif (said := _PICTURE.sub("", line)) == line or said.strip():
            runs[-1].lines.append(said)
        at += 1
    return _joined(runs, forwards)


def _joined(runs: list[_Run], forwards: bool) -> OwnWords:
    text, quotes, blank = "", [], False
    for number, run in enumerate(runs):
        own = _unsigned(run.lines)
        if own.strip():
            text += ("\n\n" if blank or not run.lines[0].strip() else "\n") * bool(text) + own
            blank = not run.lines[-1].strip()
            if number or run.quoted:
                quotes.append(_quote(run.quoted))
    return OwnWords(_without_blank_ends(text), "\n\n".join(filter(None, quotes)), forwards)


def _without_blank_ends(text: str) -> str:
    """Take off empty lines around a text, and the blanks at its end; those at the ends of its lines are its own."""
    lines = text.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    return "\n".join(lines).rstrip()


def passes_on(subject: str) -> bool:
    """Tell by its subject whether a mail passes another one on ("Fwd:", "WG:")."""
    begins, colon, _ = subject.replace("：", ":").partition(":")
    return bool(colon) and begins.strip().casefold() in mail_words.FORWARD_SUBJECTS


def _quote(lines: list[str]) -> str:
    """Return what quoted lines say themselves, without what they quote in turn."""
    said = [_MARK.sub("", line) for line in lines]
    return "\n".join(line for line in said if not is_quoted(line)).strip()


def is_quoted(line: str) -> bool:
    """Tell whether a line is quoted: it begins with `>`, and that begins no face."""
    return bool(_QUOTED.match(line))


def _broken_off(lines: list[str], at: int) -> bool:
    """Tell whether a line is the end of the quoted line above it, which a program has wrapped without a `>`."""
    if not 0 < at < len(lines) - 1 or not (is_quoted(lines[at - 1]) and is_quoted(lines[at + 1])):
        return False
    above, line = lines[at - 1].rstrip(), lines[at]
    return len(above) >= 70 and above[-1:] not in ".?!:" and 0 < len(line) <= 30 and line[:1].islower()


def _next_word(lines: list[str], at: int) -> str:
    return next((line for line in lines[at : at + 3] if line.strip()), "")


def _headers(lines: list[str]) -> dict[int, int]:
    """Return where headers of quotes ("On ... wrote:") begin, each with the line after it."""
    found: dict[int, int] = {}
    for end, line in enumerate(lines):
        if len(line) > _LONGEST_HEADER or not (":" in line or "：" in line) or is_quoted(line):
            continue
        if _ENDS_IN_COLON.search(_MARKS.sub("", line)) and (start := _header_start(lines, end)) >= 0:
            found.setdefault(start, end + 1)
    return found


def _header_start(lines: list[str], end: int) -> int:
    """Return where the header of a quote begins that ends at a line; -1 where that ends none."""
    quoted = is_quoted(_next_word(lines, end + 1))
    start, joined = end, ""
    while start >= 0 and end - start < _WRAPPED and lines[start].strip() and not is_quoted(lines[start]):
        joined = f"{_MARKS.sub('', lines[start])} {joined}"
        address, said = _ADDRESS.search(joined), _SAID.search(joined)
        sure = quoted or (_TIME.search(joined) and (said or "<" in joined))
        if sure and _DATE.search(joined) and (address or said):
            return _wrapped_start(lines, start, end)
        start -= 1
    return end if quoted and _SAID.search(lines[end]) and len(lines[end]) < 120 else -1


def _wrapped_start(lines: list[str], start: int, end: int) -> int:
    """Go up from lines that are a header of a quote by themselves to where it begins: "On Mon, Jan 13,"."""
    for above in range(start, max(end - _WRAPPED, -1), -1):
        line = lines[above]
        if above < start and (not line.strip() or is_quoted(line) or line.rstrip()[-1:] in ".!?" or len(line) > 120):
            break
        if _opens(line) or _ADDRESS.search(line):
            return above
    return start


def _opens(line: str) -> bool:
    """Tell whether a line begins as headers of quotes do: with "On", a day of the week or a number."""
    return bool(_OPENS.match(_MARKS.sub("", line))) and any(character.isdigit() for character in line)


def _cuts(lines: list[str], at: int) -> bool | None:
    """Tell whether another mail begins at a line that is not marked line by line: True where it is passed on, False
    where it is answered, None where there is none."""
    line = lines[at].strip()
    if not line or len(line) > 120:
        return None
    words = line.rstrip(":：").strip("*_ ").casefold()
    if line[-1] in ":：" and words in mail_words.FORWARD_BEGINS:
        return True
    if dashes := _DASHES.match(line):
        words = dashes["words"].strip(" :：").casefold()
        for known, passed_on in _BETWEEN_DASHES.items():
            if words == known or (words.startswith(known) and len(words) < len(known) + 40 and len(known) > 8):
                return passed_on
        if _labels(lines, at + 1, 3) >= 2:
            return True
    if (label := _LABEL.match(line)) and label["name"].strip().casefold() in mail_words.FROM:
        kinds = _block(lines, at + 1)
        if len(kinds) >= 2:
            return False
    return None


def _block(lines: list[str], at: int) -> set[str]:
    """Return which kinds of headers stand in the lines after the one that says from whom a mail is."""
    kinds: set[str] = set()
    odd = 0
    for line in lines[at : at + 12]:
        label = _LABEL.match(line)
        kind = _KINDS.get(label["name"].strip().casefold()) if label else None
        if kind:
            kinds.add(kind)
        elif line.strip():
            odd += 1  # a header that is wrapped, or of another name
            if odd > 4:
                break
        elif "subject" in kinds:
            break
    return kinds


def _labels(lines: list[str], at: int, most: int) -> int:
    """Count the lines that look like headers among the next ones that hold a word."""
    filled = [line for line in lines[at : at + 2 * most] if line.strip()][:most]
    return sum(bool(_LABEL.match(line)) for line in filled)


def _unsigned(lines: list[str]) -> str:
    """Return a writer's lines without the signature, the device's line and the footer of a list."""
    kept: list[str] = []
    for at, line in enumerate(lines):
        if _SIGNATURE.match(line) or _FOOTER.match(line):
            rest = sum(bool(one.strip()) for one in lines[at + 1 : at + 60])
            if line == "-- " or rest <= _LONGEST_SIGNATURE:
                break
        if at < len(lines) - _LONGEST_SIGNATURE or not _from_device(line):
            kept.append(line)
    while kept and (not kept[-1].strip() or _RULE.match(kept[-1])):
        del kept[-1]
    return "\n".join(kept).lstrip("\n")


def _from_device(line: str) -> bool:
    if not 0 < len(line) <= 140:
        return False
    shown = _LINKS.sub("", line).strip().casefold()
    return (
        len(shown) <= 80
        and any(word in shown for word in mail_words.DEVICES)
        and any(word in shown for word in mail_words.SENT_FROM)
    )


def unflowed(text: str, deleted_space: bool) -> str:
    """Join the lines of a text of format=flowed (RFC 3676) that a program has wrapped."""
    done: list[str] = []
    open_depth = -1  # of the line that goes on, -1 where none does
    for line in text.replace("\r\n", "\n").split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        soft = content.endswith(" ") and content != "-- "
        body = content[:-1] if soft and deleted_space else content
        if open_depth == depth and content != "-- ":
            done[-1] += body
        else:
            done.append(">" * depth + " " * bool(depth) + body)
        open_depth = depth if soft else -1
    return "\n".join(done)


_ATTRIBUTION = frozenset(("gmail_attr", "moz-cite-prefix", "protonmail_quote_header"))
_SIGNATURES = frozenset((
    "gmail_signature", "gmail_signature_prefix", "moz-signature", "protonmail_signature_block", "tutanota_signature",
    "x_moz-signature", "zmail_signature",
))  # fmt: skip
_SIGNATURE_IDS = frozenset(("signature", "applemailsignature", "ms-outlook-mobile-signature", "x_signature"))
_CUT_CLASSES = frozenset(("yahoo_quoted", "zmail_extra", "outlookmessageheader"))
_CUT_IDS = frozenset((
    "divrplyfwdmsg", "appendonsend", "olk_src_body_section", "mail-editor-reference-message-container",
    "isreplycontent", "isforwardcontent", "x_divrplyfwdmsg",
))  # fmt: skip


def _role(tag: str, given: Attributes) -> str | None:
    """Tell whose words an element of a mail holds, by the marks that mail programs leave."""
    classes = set(given.get("class", "").casefold().split())
    name = given.get("id", "").casefold()
    if classes & _SIGNATURES or name in _SIGNATURE_IDS:
        return DROPPED
    if classes & _CUT_CLASSES or name in _CUT_IDS or any(one.endswith("yahoo_quoted") for one in classes):
        return "cut"
    if classes & _ATTRIBUTION:
        return "attribution"
    return "quote" if tag == "blockquote" else None


def plain_of_html(html: str) -> str:
    """Return the HTML of a mail as plain text in which quotes stand behind `>`, as `own_words` takes it."""
    said = ""
    for role, text in html_parts(html, _role):
        if role == "cut":
            said += "\n-----Original Message-----\n"
            break
        if role == "attribution" and not any(map(_DASHES.match, text[:1000].split("\n"))):
            continue
        if role == "quote":
            text = "".join(f"\n> {line}" for line in tidy(text).split("\n")) if text.strip() else ""
        elif role == "attribution" or is_quoted(said.rpartition("\n")[2]):
            text = "\n" + text.removeprefix("\n")
        said += text
    return tidy(said)

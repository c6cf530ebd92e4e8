"""Finding tags and control tokens in a text, in every disguise, by structure.

A text is folded to plain lower-case letters (HTML entities decoded, full-width and mathematical letters made plain,
look-alike letters of other scripts replaced, zero-width characters taken out), with a map from each folded character
to its place in the original; patterns are matched on the folded text and reported at the original place.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from curator.contract.modes import BUILT_IN_MODES, bare

_OPENING = "\u2329<＜﹤‹〈⟨❮❬⧼˂ᐸ≺≮⊀𐀼⟪︿ᚲ𝈶"
_CLOSING = "\u232a>＞﹥›〉⟩❯❭⧽˃ᐳ≻≯⊁⟫﹀𖼿𝈷"
_BARS = "|｜∣ǀ│❘￨ǁ‖¦"
_SLASHES = "∕⁄⁁╱⟋⧸᜵𝈺㇓〳Ⳇノ丿⼃"
_SQUARE = dict(zip("［【〔⟦❲︹︻﹇﹝", "[" * 9, strict=True)) | dict(zip("］】〕⟧❳︺︼﹈﹞", "]" * 9, strict=True))
# Every tag needs an opening and a closing sign, or an HTML entity; a text without them is not looked at further.
# In plain ASCII the sign that closes is known too, so that the brackets of a tool's JSON cost nothing.
_ASCII_ANGLES = re.compile(r"<[^<>]+>")
_ASCII_SQUARES = re.compile(r"\[[^\]\[\"{}]+\]")
_OPEN_SQUARES = "[" + "".join(sign for sign, plain in _SQUARE.items() if plain == "[")
_CLOSE_SQUARES = "]" + "".join(sign for sign, plain in _SQUARE.items() if plain == "]")
_ANY_TAG = re.compile(
    f"[{re.escape(_OPENING)}][^{re.escape(_OPENING + _CLOSING)}]+[{re.escape(_CLOSING)}]"
    f'|[{re.escape(_OPEN_SQUARES)}][^"{{}}{re.escape(_OPEN_SQUARES + _CLOSE_SQUARES)}]+[{re.escape(_CLOSE_SQUARES)}]'
)
# One class of signs is looked for four times as fast as a whole tag, and few texts have any of them.
_ANY_OPENING = re.compile(f"[{re.escape(_OPENING + _OPEN_SQUARES)}]")
_ASCII_TAG = re.compile(f"{_ASCII_ANGLES.pattern}|{_ASCII_SQUARES.pattern}")
# Generics of programming languages: the name of a type, of a generic container or of a call right before a plain tag.
# `List<User>`, `vector<action> v`, `std::map<user>` and `load<User>()` are code. What a turn looks like is not:
# `List<user>:`, `a<user>b`, `said<user> hello`.
_TYPE_BEFORE = re.compile(
    r"(?:(?P<capital>[A-Z][a-z0-9]*)|[A-Za-z0-9]+(?:[A-Z]|_)[A-Za-z0-9_]*|(?:::|\.)[A-Za-z_][A-Za-z0-9_]*|(?<![A-Za-z0-9_])(?:"
    r"vector|list|map|set|array|deque|queue|stack|pair|tuple|optional|variant|span|future|promise|atomic|function|"
    r"multimap|multiset|dict|seq|slice|chan|option|result|iterator|observable|class|extends|implements|typename|template))\Z"
)
_AFTER_GENERIC = re.compile(r"(?![ \t]*[:：])[^A-Za-z0-9_]|\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ENTITY = re.compile(r"&(?:amp;)*(?:#[xX]?[0-9a-fA-F]{1,7}|[a-zA-Z]{2,32});?")
# Look-alikes that neither compatibility folding nor Unicode's table of confusables (see `_look_alikes`) makes plain:
# small capitals, and letters of Cyrillic and Greek that look like another one only in lower case.
_MORE_LOOK_ALIKES = dict(zip("ґєияпдηωδσʟɴᴀʙᴅᴇɢʜᴊᴋᴍᴘᴛ", "reunndnwdslnabdeghjkmpt", strict=True)) | {"я": "nr"}
# The same within ASCII, folded to lower case: a capital I, a 1 and a bar for an l, a 0 for an O.
_ASCII_LOOK_ALIKES = {"l": "i1|", "i": "l1", "o": "0"}
_ALIKE = {"i": "l", "1": "li", "|": "l", "l": "i", "0": "o"}  # the other way round: what each may stand for
_PLAIN = str.maketrans(
    {
        **dict.fromkeys(_OPENING, "<"), **dict.fromkeys(_CLOSING, ">"), **dict.fromkeys(_BARS, "|"),
        **dict.fromkeys(_SLASHES, "/"), "\u07fa": "_", **_SQUARE,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A tag or token found at characters `start` to `end` of the text; `name` is its plain form."""

    name: str
    start: int
    end: int


def may_hold_tags(text: str, tokens: tuple[str, ...] = ()) -> bool:
    """Tell whether a text could hold a tag or one of the tokens at all. Fast, and never wrong when it says no."""
    return _may_hold_brackets(text) or _may_hold(text, _bare_signs(tokens))


def _may_hold_brackets(text: str) -> bool:
    if text.isascii():
        return (
            ("<" in text and _ASCII_ANGLES.search(text) is not None)
            or ("[" in text and _ASCII_SQUARES.search(text) is not None)
            or ("&" in text and _ENTITY.search(text) is not None)
        )
    if _ANY_OPENING.search(text) is not None and _ANY_TAG.search(text) is not None:
        return True
    return "&" in text and _ENTITY.search(text) is not None


@lru_cache(maxsize=32)
def _bare_signs(tokens: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """Return the folded signs of each token that neither `<` nor `[` begins: `@@END@@`, `### Response:`, `{eos}`."""
    return tuple(frozenset(_folded(token)) for token in tokens if not _folded(token).startswith(("<", "[")))


def _folded(token: str) -> str:
    return "".join(fold(token)[0].split())


def _may_hold(text: str, wanted: tuple[frozenset[str], ...]) -> bool:
    """Tell whether all signs of one of the wanted tokens may stand in a text, in whatever disguise."""
    if not wanted:
        return False
    signs = set(text.lower()) if text.isascii() and "&" not in text else set(fold(text)[0])
    for sign in tuple(signs):
        signs.update(_look_alikes().get(sign, ""), _ALIKE.get(sign, ""))
    return any(one <= signs for one in wanted)


def fold(text: str) -> tuple[str, Sequence[int]]:
    """Return the folded text and, for each of its characters and one past the end, the index in the original."""
    if text.isascii() and "&" not in text and not _CONTROL.search(text):
        return text.lower(), range(len(text) + 1)
    folded: list[str] = []
    places: list[int] = []
    for start, piece in _decoded(text):
        if " " <= piece <= "~" and len(piece) == 1:
            folded.append(piece.lower())
            places.append(start)
            continue
        # A sign of the table is looked up as it is: compatibility folding makes a final sigma of a lunate one.
        plain = piece.translate(_PLAIN)
        for character in plain if plain in _look_alikes() else unicodedata.normalize("NFKC", plain):
            if unicodedata.category(character) in ("Cf", "Mn", "Me", "Cc") and character not in "\t\n\r":
                continue
            for sign in _without_marks(character):
                folded.append(sign)
                places.append(start)
    places.append(len(text))
    return "".join(folded), places


@lru_cache(maxsize=1 << 14)
def _without_marks(character: str) -> str:
    """Return a character as plain as it gets: no accent, lower case, a letter that looks like an ASCII one as that one.

    What looks like two of them, as the Greek capital Eta does like an H and its small one like an n, stays as it is:
    a pattern takes it for either (see `_spelled`).
    """
    known, plain = _look_alikes(), []
    for base in character if character in known else unicodedata.normalize("NFKD", character):
        if unicodedata.category(base) == "Mn":
            continue
        for sign in base if len(known.get(base, "")) > 1 else base.casefold():
            letters = known.get(sign, sign)
            plain.append(letters if len(letters) == 1 else sign)
    return "".join(plain).translate(_PLAIN)


@lru_cache(maxsize=1)
def _look_alikes() -> dict[str, str]:
    """Return the letters of all scripts that look like ASCII letters, each with those letters in lower case.

    Source: Unicode's confusables.txt, as the library confusable_homoglyphs ships it.
    """
    from confusable_homoglyphs import confusables

    table: dict[str, set[str]] = {character: set(letters) for character, letters in _MORE_LOOK_ALIKES.items()}
    for letter in string.ascii_letters:
        for entry in confusables.confusables_data.get(letter, ()):
            if len(entry["c"]) == 1 and not entry["c"].isascii():
                table.setdefault(entry["c"], set()).add(letter.lower())
    for character in list(table):
        lower = character.casefold()
        if len(lower) == 1 and not lower.isascii() and lower != character:
            table.setdefault(lower, set(table[character]))
            table[character] |= table[lower]  # a capital may look like one letter, its small form like another
    return {character: "".join(sorted(letters)) for character, letters in table.items()}


@lru_cache(maxsize=64)
def _spelled(sign: str) -> str:
    """Return a pattern of a sign and of all that folding leaves because it looks like this sign and like another."""
    others = [character for character, letters in _look_alikes().items() if len(letters) > 1 and sign in letters]
    others += _ASCII_LOOK_ALIKES.get(sign, "")
    return f"[{re.escape(sign)}{''.join(sorted(others))}]" if others else re.escape(sign)


def _decoded(text: str) -> Iterable[tuple[int, str]]:
    """Yield (index, character) of the text with its HTML entities decoded, nested ones too."""
    index = 0
    while index < len(text):
        if text[index] == "&" and (match := _ENTITY.match(text, index)):
            once = html.unescape(match[0])
            for _ in range(3):
                once = html.unescape(once)
            if once and "&" not in once:
                yield index, once
                index = match.end()
                continue
        yield index, text[index]
        index += 1


@lru_cache(maxsize=32)
def _pattern(words: tuple[str, ...], tokens: tuple[str, ...]) -> re.Pattern[str]:
    r"""Build one pattern: `words` as tags with spaces and slashes anywhere, `tokens` with spaces between all signs.

    `<|anything|>` counts as a token whatever it holds: the next family's tokens are not in any list yet. So do those of
    which a tokenizer has hundreds.
    """
    spaced = [r"\s*".join(map(_spelled, word)) for word in words]
    tags = rf"<[\s/]*(?:{'|'.join(spaced)})[\s/]*>" if spaced else r"(?!)"
    literal = [_literal(_folded(token)) for token in sorted(tokens, reverse=True) if token.strip()]
    literal.append(r"<\s*\|[^|<>\n]{1,40}\|\s*>")
    literal.append(r"<\|[a-z0-9_/-]{1,40}>|<[a-z0-9_/-]{1,40}\|>")  # Gemma 4 parts them so
    literal.append(r"<unused[0-9]{1,4}>|\[control_[0-9]{1,3}\]")  # those that Gemma and Mistral have to spare
    return re.compile(f"(?P<tag>{tags})|(?P<token>{'|'.join(literal)})")


def _literal(token: str) -> str:
    """Return the pattern of a folded token. One that begins or ends in a letter is no part of a word."""
    pattern = r"\s*".join(map(_spelled, token))
    return (r"(?<!\w)" if token[0].isalnum() else "") + pattern + (r"(?!\w)" if token[-1].isalnum() else "")


def find_tags(text: str, tags: tuple[str, ...], tokens: tuple[str, ...]) -> tuple[list[Finding], list[Finding]]:
    """Return the mode tags and the control tokens found in `text`, each with its place in the original."""
    findings: tuple[list[Finding], list[Finding]] = ([], [])
    for start, end in _windows(text, tokens):
        folded, places = fold(text[start:end])
        for match in _pattern(tags, tokens).finditer(folded):
            kind = 0 if match["tag"] is not None else 1
            first, last = start + places[match.start()], start + places[match.end()]
            if kind == 0 and _is_generic(text, first, last):
                continue
            name = _plain_name("".join(match[0].split()), tags, tokens)
            findings[kind].append(Finding(name, first, last))
    return findings


def _is_generic(text: str, start: int, end: int) -> bool:
    """Tell whether the tag at these places is the parameter of a type in code, `List<User>`, undisguised."""
    tag = text[start + 1 : end - 1]
    if not (start and text[start] == "<" and text[end - 1] == ">" and tag.isascii() and tag.isalpha()):
        return False
    before = _TYPE_BEFORE.search(text, max(0, start - 60), start)
    if before is None:
        return text[end : end + 1] == "(" and text[start - 1].isascii() and text[start - 1].isidentifier()
    # "Hello<user> there" is no code; the types in `List<User>` both have capitals.
    types = before["capital"] is None or tag[:1].isupper()
    return types and _AFTER_GENERIC.match(text, end) is not None


def _plain_name(name: str, tags: tuple[str, ...], tokens: tuple[str, ...]) -> str:
    """Return the name of a finding with each sign that could be either of two letters as the one that is meant."""
    for known in (*tags, *map(_folded, tokens)):
        found = re.compile("".join(map(_spelled, known))).search(name)
        if found:
            return name[: found.start()] + known + name[found.end() :]
    return name


def _windows(text: str, tokens: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return the stretches of `text` that could hold tags: those around bracketed parts, or all of it with entities.

    All of it too where it may hold a token without brackets.
    """
    if not may_hold_tags(text, tokens):
        return []
    if ("&" in text and _ENTITY.search(text)) or _may_hold(text, _bare_signs(tokens)):
        return [(0, len(text))]
    windows: list[tuple[int, int]] = []
    for match in (_ANY_TAG if not text.isascii() else _ASCII_TAG).finditer(text):
        start, end = max(0, match.start() - 4), min(len(text), match.end() + 100)
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def in_braces(text: str, tokens: tuple[str, ...]) -> tuple[str, int]:
    """Return the text with each control token spelled in braces, `<|im_end|>` as `{im_end}`, and how many there were.

    No shipped family's tokens hold braces, and no tokenizer's normalizer turns one into an angle bracket: what a person
    wrote about a token stays readable and never becomes one. A token that is one in braces too is spelled otherwise.
    """
    if not may_hold_tags(text, tokens):
        return text, 0
    count = 0
    # Taking one out can join the parts of another (`<|im_<|end|>end|>`), so until nothing is found.
    while findings := find_tags(text, (), tokens)[1]:
        for finding in reversed(findings):
            name = text[finding.start : finding.end] if text[finding.start : finding.end].isascii() else finding.name
            text = f"{text[: finding.start]}{_spelled_out(name, tokens)}{text[finding.end :]}"
        count += len(findings)
    return text, count


def _spelled_out(name: str, tokens: tuple[str, ...]) -> str:
    """Return what stands for a token: its name in a form that is none of the tokens."""
    plain = "".join(html.unescape(name).translate(_PLAIN).split()).translate(str.maketrans("", "", "<>[]|"))
    letters = "".join(sign for sign in plain if sign.isalnum())
    for form in (f"{{{plain or 'token'}}}", f"{{{letters}}}", f"({letters})", "{token}"):
        if not find_tags(form, (), tokens)[1]:
            return form
    return ""


# Tokens of large models' templates; the small model would learn them letter by letter.
_FOREIGN = re.compile(r"<\|[a-z_]+\|>|\[/?INST\]|<(?:start|end)_of_turn>|<</?SYS>>|</?s>|<[be]os>")
# Tags and tokens that a model should not write; ⁇ is how SentencePiece writes <unk>.
_LEAKED = re.compile(r"</?[a-z][a-z0-9_-]{0,30}>|<\|[^\s<>|]{1,40}\|>|\[/?INST\]|⁇", re.IGNORECASE)
_ROLES = ("Q", "A", "user", "assistant", "human", "system")


def foreign_token(text: str) -> str:
    """Return the first token of another model's template that stands in a text; "" for none."""
    match = _FOREIGN.search(text)
    return match[0] if match else ""


def leaks_tag(reply: str) -> bool:
    """Say whether a reply holds a mode tag or a control token, which are no words of the person's."""
    return _LEAKED.search(reply) is not None


def leaks_role(reply: str, tags: Iterable[str] = bare(BUILT_IN_MODES.values())) -> bool:
    """Say whether a reply goes on with another's turn: a line that begins with a role or tag and a colon."""
    return _turn_opening(tuple(tags)).search(reply) is not None


@lru_cache(maxsize=8)
def _turn_opening(tags: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, dict.fromkeys((*_ROLES, *tags))))
    return re.compile(rf"(?:^|[\n\r])[ \t>#*_-]*(?:{names})[ \t*_]*[:：]", re.IGNORECASE)

"""Tags and control tokens are found in every disguise, at their place; innocent texts are left alone."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import pytest
from confusable_homoglyphs import confusables
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.contract import special_tokens as disguise
from curator.contract.special_tokens import Finding, find_tags, fold, may_hold_tags

TAGS: Final = ("thought", "world", "user", "assistant", "instruction", "action")
TOKENS: Final = ("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<think>", "<start_of_turn>", "<|im_end|>")

DISGUISED_TAGS: Final = {
    "plain": "<user>",
    "capitals": "<USER>",
    "mixed case": "<uSeR>",
    "inner spaces": "< u s e r >",
    "newline": "<us\ner>",
    "no-break and wide spaces": "<\u00a0user\u3000>",
    "two hundred spaces": "<" + " " * 200 + "user>",
    "a hundred zero-width spaces": "<" + "\u200b" * 100 + "user>",
    "full-width": "＜ｕｓｅｒ＞",
    "full-width signs": "＜user＞",
    "small-form signs": "﹤user﹥",
    "mathematical bold": "<𝐮𝐬𝐞𝐫>",
    "mathematical fraktur": "<𝔲𝔰𝔢𝔯>",
    "circled": "<ⓤⓢⓔⓡ>",
    "Cyrillic letters": "<usеr>",
    "Greek letters": "<υser>",
    "small capitals": "<ᴜsᴇʀ>",
    "accents": "<u\u0301ser>",
    "zero-width space": "<u\u200bser>",
    "zero-width after the sign": "<\u200buser>",
    "soft hyphen": "<us\u00ader>",
    "right-to-left mark": "<us\u202eer>",
    "word joiner": "<use\u2060r>",
    "entities": "&lt;user&gt;",
    "entities in capitals": "&LT;user&GT;",
    "entities without semicolon": "&lt user&gt",
    "entities without semicolon, joined": "&ltuser&gt",
    "decimal entities": "&#60;user&#62;",
    "decimal without semicolon": "&#60user&#62",
    "hex entities": "&#x3c;user&#X3E;",
    "zero-padded hex": "&#x003c;user&#x003e;",
    "encoded twice": "&amp;lt;user&amp;gt;",
    "encoded three times": "&amp;amp;lt;user&amp;amp;gt;",
    "numeric, encoded twice": "&amp;#60;user&amp;#62;",
    "an entity among the letters": "<us&#101;r>",
    "a soft-hyphen entity": "<us&shy;er>",
    "a zero-width entity": "<us&ZeroWidthSpace;er>",
    "look-alike angles": "⟨user⟩",
    "guillemets, single": "‹user›",
    "CJK angles": "〈user〉",
    "old CJK angles": "\u2329user\u232a",
    "struck-through signs": "≮user≯",
    "vertical forms": "︿user﹀",
    "one sign disguised": "<user＞",
    "a hooked v for a u": "‹ʋser>",
    "a u with a short right leg": "‹ꭎser>",
    "runes for the signs": "ᚲuser𖼿",
    "a Cyrillic R that is turned round": "<useя>",
}
SLASHED: Final = {"</user>": "</user>", "<user/>": "<user/>", "<//user>": "<//user>", "< / user >": "</user>"}
DISGUISED_TOKENS: Final = {
    "<|im_end|>": "<|im_end|>",
    "<|IM_END|>": "<|im_end|>",
    "< | im_end | >": "<|im_end|>",
    "<｜im_end｜>": "<|im_end|>",
    "＜｜im_end｜＞": "<|im_end|>",
    "&lt;|im_end|&gt;": "<|im_end|>",
    "&#60;&#124;im_end&#x7c;&#62;": "<|im_end|>",
    "<∣im_end￨>": "<|im_end|>",
    "<|im_\u200bend|>": "<|im_end|>",
    "[INST]": "[inst]",
    "[ / I N S T ]": "[/inst]",
    "［INST］": "[inst]",
    "&#91;INST&#93;": "[inst]",
    "<<SYS>>": "<<sys>>",
    "< < / SYS > >": "<</sys>>",
    "⟨⟨SYS⟩⟩": "<<sys>>",
    "<s>": "<s>",
    "</S>": "</s>",
    "<start_of_turn>": "<start_of_turn>",
    "<START_OF_TURN>": "<start_of_turn>",
    "<think>": "<think>",
}
INNOCENT: Final = (
    "a < b and c > d",
    "if x<y: return y>x",
    "the word [sic] stands",
    "<b>bold</b> and <a href='x'>link</a>",
    "Mum & Dad, R&D, AT&T;",
    '{"user": ["thought", "action"], "n": [1, 2, 3]}',
    "List<String> users = new ArrayList<>();",
    "«user» et « action »",
    "user: hello",
    "the user > the world",
    "[user] {action} (thought)",
    "<userland> <users> <superuser> <user_id> <interaction>",
    "5 &lt; 6 &amp; 7 &gt; 6",
    "<3 you, user >:(",
    "||a| < |b||",
    "an instant [INSTANT] message",
    "",
)


GENERICS: Final = (
    "val found: List<User> = load()",
    "vector<action> moves;",
    "std::map<user>",
    "load<User>()",
    "user_map<user>;",
    "List<List<User>>",
    "Vec<Action>, Promise<World>",
    "Map<Action> in Kotlin",
    "a page of <user-card> and <world-map> elements",
    "class Box<User> { }",
    "他写了 List<User> 这个类型。",
)
NO_GENERICS: Final = {
    "List<User>: hello": ("<user>", 4, 10),
    "List<User> : hello": ("<user>", 4, 10),
    "q<user>r": ("<user>", 1, 7),
    "she said<user> hello": ("<user>", 8, 14),
    "Hello<user> there": ("<user>", 5, 11),
    "List<ｕser> x": ("<user>", 4, 10),
    "List‹User› x": ("<user>", 4, 10),
    "List< User > x": ("<user>", 4, 12),
    "да<user> x": ("<user>", 2, 8),
    "List <User> x": ("<user>", 5, 11),
}


@pytest.mark.parametrize("text", GENERICS)
def test_the_parameter_of_a_type_in_code_is_no_tag(text: str) -> None:
    assert tags_in(text) == []


@pytest.mark.parametrize(("text", "found"), NO_GENERICS.items())
def test_what_opens_a_turn_or_is_disguised_is_a_tag_behind_a_name_too(text: str, found: tuple[str, int, int]) -> None:
    assert tags_in(text) == [Finding(*found)]


def look_alikes() -> list[tuple[str, str, str]]:
    """Every letter of Unicode's table that looks like a letter of a tag: (tag, its letter, the look-alike)."""
    data = confusables.confusables_data
    return [
        (tag, letter, entry["c"])
        for letter in sorted(set("".join(TAGS)))
        for tag in [next(tag for tag in TAGS if letter in tag)]
        for form in (letter, letter.upper())
        for entry in data.get(form, ())
        if len(entry["c"]) == 1 and not entry["c"].isascii()
    ]


def test_every_look_alike_of_unicodes_table_is_seen_through() -> None:
    cases = look_alikes()
    assert len(cases) > 400
    missed = []
    for tag, letter, other in cases:
        text = f"<{tag.replace(letter, other)}>"
        if [finding.name for finding in find_tags(f"é {text}", TAGS, ())[0]] != [f"<{tag}>"]:
            missed.append((text, f"{ord(other):X}"))
    assert not missed


@pytest.mark.parametrize(
    ("text", "name"),
    [("<tΗought>", "<thought>"), ("<ΙnstructιoΝ>", "<instruction>"), ("<useя>", "<user>"), ("<∕user>", "</user>")],
)
def test_a_letter_that_looks_like_two_is_taken_for_either(text: str, name: str) -> None:
    assert tags_in(text) == [Finding(name, 0, len(text))]
    assert tokens_in("<start\u07faof\u07faturΝ>") == [Finding("<start_of_turn>", 0, 15)]


def tags_in(text: str) -> list[Finding]:
    return find_tags(text, TAGS, TOKENS)[0]


def tokens_in(text: str) -> list[Finding]:
    return find_tags(text, TAGS, TOKENS)[1]


@pytest.mark.parametrize("text", DISGUISED_TAGS.values(), ids=DISGUISED_TAGS)
def test_a_disguised_tag_is_found_from_its_first_to_its_last_character(text: str) -> None:
    assert tags_in(f"Says é: {text} and") == [Finding("<user>", 8, 8 + len(text))]


@pytest.mark.parametrize(("text", "name"), SLASHED.items())
def test_slashes_make_no_difference(text: str, name: str) -> None:
    assert tags_in(f"x {text}") == [Finding(name, 2, 2 + len(text))]


@pytest.mark.parametrize(("text", "name"), DISGUISED_TOKENS.items())
def test_a_disguised_control_token_is_found_at_its_place(text: str, name: str) -> None:
    assert tokens_in(f"Says: {text} and") == [Finding(name, 6, 6 + len(text))]


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_text_holds_nothing(text: str) -> None:
    assert find_tags(text, TAGS, TOKENS) == ([], [])


@pytest.mark.parametrize("inside", ["any thing", "x", "new_token_2031", "end of text", "Ωmega", "tool▁calls"])
def test_whatever_stands_between_bars_in_angles_is_a_token(inside: str) -> None:
    text = f"a <|{inside}|> b"
    assert [(one.start, one.end) for one in tokens_in(text)] == [(2, len(text) - 2)]


def test_all_findings_are_reported_in_order_and_by_kind() -> None:
    text = "<user>: a <|im_end|> b <thought>: c [INST]"
    assert find_tags(text, TAGS, TOKENS) == (
        [Finding("<user>", 0, 6), Finding("<thought>", 23, 32)],
        [Finding("<|im_end|>", 10, 20), Finding("[inst]", 36, 42)],
    )


def test_only_the_tags_and_tokens_asked_for_are_found() -> None:
    assert find_tags("<user> <s>", (), ()) == ([], [])
    assert find_tags("<user> <mood>", ("mood",), ()) == ([Finding("<mood>", 7, 13)], [])


@cache
def folding_to_signs() -> dict[str, list[str]]:
    """For each sign of a tag the characters beyond ASCII that fold to it."""
    found: dict[str, list[str]] = {sign: [] for sign in "<>[]"}
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x11000)):
        if (plain := fold(chr(code))[0]) in found:
            found[plain].append(chr(code))
    return found


@pytest.mark.parametrize(("opening", "shape"), [("<", "{}user>"), (">", "<user{}"), ("[", "{}INST]"), ("]", "[INST{}")])
def test_every_character_that_folds_to_a_sign_of_a_tag_is_suspicious(opening: str, shape: str) -> None:
    alike = folding_to_signs()[opening]
    assert len(alike) > 5
    assert [character for character in alike if not may_hold_tags(shape.format(character))] == []


def ways_to_write(letter: str) -> list[str]:
    """A letter plain, in capitals, full-width, mathematical, as entities, and with something unseen after it."""
    wide, bold = chr(ord(letter) + 0xFEE0), chr(ord(letter) - ord("a") + 0x1D41A)
    entities = [f"&#{ord(letter)};", f"&#x{ord(letter):x};"]
    return [letter, letter.upper(), wide, bold, *entities, f"{letter}\u200b", f"{letter} ", f"{letter}\u0301"]


VARIANTS: Final = {letter: ways_to_write(letter) for letter in "abcdefghijklmnopqrstuvwxyz"}
for plain, alike in zip("aeopcu", "аеорсυ", strict=True):
    VARIANTS[plain].append(alike)
VARIANTS |= {
    "<": ["<", "＜", "﹤", "‹", "⟨", "&lt;", "&#60;", "&#x3C;", "&amp;lt;", "< ", "<\u200b"],
    ">": [">", "＞", "﹥", "›", "⟩", "&gt;", "&#62;", "&#x3e;", "&amp;gt;", " >", "\u2060>"],
    "[": ["[", "［", "【", "&#91;", "[ "],
    "]": ["]", "］", "】", "&#93;", " ]"],
    "|": ["|", "｜", "¦", "&#124;", "&vert;"],
}


@st.composite
def disguises(draw: st.DrawFn) -> str:
    """A tag or token, each of its characters in some disguise."""
    name = draw(st.sampled_from([*(f"<{tag}>" for tag in TAGS), *(t.lower() for t in TOKENS), "<|im_start|>"]))
    return "".join(draw(st.sampled_from(VARIANTS.get(character, [character]))) for character in name)


AROUND: Final = st.text(st.sampled_from("ab é\n.,:;<>[]{}\"'&#x3cltgamp|/\u200b＜［《user"), max_size=30) | st.text(
    max_size=20
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(AROUND, disguises(), AROUND)
def test_suspicious_never_says_no_where_a_full_search_finds_something(before: str, tag: str, after: str) -> None:
    text = before + tag + after
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disguise, "may_hold_tags", lambda text, tokens: True)
        found = find_tags(text, TAGS, TOKENS)
    if found != ([], []):
        assert may_hold_tags(text), found


@settings(max_examples=400, derandomize=True, deadline=None)
@given(disguises())
def test_every_mixture_of_disguises_is_found_whole(tag: str) -> None:
    tags, tokens = find_tags(f"é. {tag}\nz", TAGS, TOKENS)
    assert [(one.start, one.end) for one in tags + tokens] == [(3, 3 + len(tag))]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(AROUND, disguises(), AROUND)
def test_a_finding_lies_inside_the_text_and_holds_its_own_name(before: str, tag: str, after: str) -> None:
    text = before + tag + after
    for one in (finding for kind in find_tags(text, TAGS, TOKENS) for finding in kind):
        assert 0 <= one.start < one.end <= len(text)
        assert re.sub(r"\s", "", fold(text[one.start : one.end])[0]) == one.name


BARE = ("@@END@@", "### Response:", "{eos}", "⟪end⟫", "ENDTURN", "{token}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("now @@END@@ then", "@@end@@"),
        ("＠＠ＥＮＤ＠＠ then", "@@end@@"),
        ("@ @ e n d @ @", "@@end@@"),
        ("&#64;@END@@", "@@end@@"),
        ("### Response: hello", "###response:"),
        ("###Response:", "###response:"),
        ("a {eos} b", "{eos}"),
        ("｛eos｝", "{eos}"),
        ("⟪end⟫", "<end>"),
        ("⟪ЕND⟫", "<end>"),
        ("so ENDTURN, it says", "endturn"),
        ("{token}", "{token}"),
    ],
)
def test_a_token_without_angles_or_squares_is_found_and_spelled_otherwise(text: str, name: str) -> None:
    assert may_hold_tags(text, BARE)
    assert [finding.name for finding in find_tags(text, (), BARE)[1]] == [name]
    plain, count = disguise.in_braces(text, BARE)
    assert count == 1
    assert find_tags(plain, (), BARE)[1] == []


@pytest.mark.parametrize("text", ["@@END@", "SPENDTURNS", "I end the #response", "eos", "a { eo } b", "response: ###"])
def test_what_only_has_signs_of_such_a_token_is_left(text: str) -> None:
    assert find_tags(text, (), BARE) == ([], [])
    assert disguise.in_braces(text, BARE) == (text, 0)


@pytest.mark.parametrize("token", ["<|turn>", "<turn|>", "<unused42>", "[control_768]", "<|\u0130_am_new|>"])
def test_tokens_of_a_kind_are_found_without_a_list(token: str) -> None:
    assert len(find_tags(f"so {token} it is", (), ())[1]) == 1


@pytest.mark.parametrize("code", ["a <| b -> c", "x <| y > z", "List<unused>", "[control_freak]", "f |> g"])
def test_code_that_looks_nearly_like_one_is_left(code: str) -> None:
    assert find_tags(code, (), ()) == ([], [])

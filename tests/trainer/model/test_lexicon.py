"""Which words are words: what a word is in any script, what is known, invented or a name, and how a list is kept."""

from __future__ import annotations

import gzip
import random
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.contract.errors import UsageError
from trainer.model.lexicon import LEXICON, Lexicon, WordCounts, english, pack_words, read_words, words

PIECES = st.sampled_from(
    [
        "the", "Surfive", "surfive", "SURFIVE", "Mr", "J", "İ", "H\u0331", "ΟΔΟΣ", "don’t", "x's", "'s", "'", "’", "“",
        '"', "-", "—", ".", "...", "?", ":", ",", " ", "  ", "\n", "\r\n", "\u2028", "3", "²", "Ⅳ", "_", "*", "\u00ad",
        "\u200d", "e\u0301", "\u0301", "हिन्दी", "我", "か\u3099", "ไม่", "🎉", "\0", "\ud800",
    ]
)  # fmt: skip
ANY = st.text(st.characters(exclude_categories=()), max_size=60)  # halves of surrogate pairs too
TEXTS = st.lists(PIECES, max_size=30).map("".join) | ANY
KNOWN = Lexicon("the he said saw ran who well yes dr mr st boys i'd time".split())


def check(text: str) -> tuple[int, dict[str, int], dict[str, int]]:
    found = KNOWN.check([text])
    return found.total, dict(found.oov), dict(found.names)


# --- what a word is ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The cat's hat, it ISN'T.", ["the", "cat's", "hat", "it", "isn't"]),
        ("o’clock o‘clock oʼclock o`clock o´clock", ["o'clock"] * 5),
        ("'tis the boys' 'own' rock 'n' roll", ["tis", "the", "boys", "own", "rock", "n", "roll"]),
        ("fo'c's'le a''b a' 'b", ["fo'c's'le", "a", "b", "a", "b"]),
        ("well-being, pre–war—and x/y", ["well", "being", "pre", "war", "and", "x", "y"]),
        ("snake_case _really_ **bold**", ["snake", "case", "really", "bold"]),
        ("3rd 10am mp3 h2o 1980's don't5 5'a m² ½ Ⅳ xⅣ half½ x٣ so", ["so"]),
        ("in 1980, 3.5 or 7-up", ["in", "or", "up"]),
        ("sur\u00adfive a\u200db \ufeffword\u2060", ["surfive", "ab", "word"]),
        ("one\u200btwo", ["one", "two"]),  # a zero-width space is a space
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("H\u0331", ["ẖ"]),  # composed in lower case only
        ("ΟΔΟΣ ΑΣ'Α", ["οδος", "ασ'α"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("Straße ﬁn", ["straße", "ﬁn"]),
        ("\u0301abc \u0301 \u0301\u0302", ["abc"]),  # marks without a letter
        ("हिन्दी में लिखो।", ["हिन्दी", "में", "लिखो"]),
        ("مَرْحَبًا بالعالم", ["مَرْحَبًا", "بالعالم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("我爱you。", ["我", "爱", "you"]),
        ("か\u3099ス々ｱー", ["が", "ス", "々", "ｱ", "ー"]),
        ("ไม่ ລາວ ខ្ម", ["ไ", "ม่", "ລ", "າ", "ວ", "ខ្", "ម"]),
        ("第3章 3我 我3", ["第", "章", "我", "我"]),
        ("a\ud800b \0 c🎉d", ["a", "b", "c", "d"]),
    ],
)
def test_words(text: str, expected: list[str]):
    assert words(text) == expected


@settings(max_examples=300, derandomize=True, deadline=None)
@given(TEXTS)
def test_a_word_reads_as_itself(text: str):
    found = words(text)
    for one in found:
        assert words(one) == [one] and one == unicodedata.normalize("NFC", one)
        assert not any(letter.isnumeric() and not letter.isalpha() for letter in one)
    assert words(" ".join(found)) == found


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["cafe", "über", "o'er", "naïve", "हिन्दी", "ångström", "Ἀθῆναι", "각"]), max_size=9))
def test_the_form_of_a_text_does_not_count(found: list[str]):
    text = " ".join(found)
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text).upper()) == words(text.upper())
        assert words(unicodedata.normalize(form, text)) == words(text) == words(text.replace("'", "’"))
    assert len(words(text)) == len(found)


def test_ascii_is_read_as_any_other_text_is():
    rng = random.Random(3)
    for _ in range(20_000):
        text = "".join(rng.choice("abcXYZ019''`` \n_-.,;\t\x0b\x0c\r\x1c") for _ in range(rng.randrange(14)))
        beside = words(text + " é")  # a letter beyond ASCII sends all of it the slow way
        assert words(text) == beside[:-1], repr(text)


def test_every_character_there_is():
    every = words(" ".join(map(chr, range(0x110000))))
    letters = sum(chr(one).isalpha() for one in range(0x110000))
    assert len(every) == letters - 1  # ʼ is a letter to Unicode and an apostrophe here
    assert words(" ".join(every)) == every


# --- lists ---


def test_a_list_is_sorted_and_packed_as_words():
    packed = pack_words(["the", "don’t", "The", "two words", "3rd", "", "cafe\u0301", "\ud800"])
    assert gzip.decompress(packed).decode() == "café\ndon't\nthe\ntwo\nwords\n"
    assert packed[4:8] == bytes(4)  # no time of day
    assert gzip.decompress(pack_words([])) == b""


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(TEXTS, max_size=8), st.randoms(use_true_random=False))
def test_a_packed_list_reads_back(tmp_path_factory: pytest.TempPathFactory, found: list[str], rng: random.Random):
    path = tmp_path_factory.getbasetemp() / LEXICON
    path.write_bytes(pack_words(found))
    known = read_words(path)
    assert known == {word for text in found for word in words(text)}
    again = [*found, *found]
    rng.shuffle(again)
    assert pack_words(again) == path.read_bytes() == pack_words(known)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"", set()),
        ("a.txt", b"\xef\xbb\xbfone\r\nTwo\rdon\xe2\x80\x99t\n\n", {"one", "two", "don't"}),
        ("a.txt", b"one two\tthree, four", {"one", "two", "three", "four"}),
        ("a.txt.gz", gzip.compress(b"one\ntwo"), {"one", "two"}),
    ],
    ids=["empty", "newlines", "several on a line", "packed"],
)
def test_a_list_is_read(tmp_path: Path, name: str, content: bytes, expected: set[str]):
    (tmp_path / name).write_bytes(content)
    assert read_words(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b"caf\xe9"), ("a.txt.gz", b"one"), ("a.txt.gz", pack_words(["one"])[:-9]), ("a.txt.gz", None)],
    ids=["latin-1", "no gzip", "cut off", "missing"],
)
def test_a_list_that_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str, content: bytes | None):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_words(tmp_path / name)
    assert name in str(caught.value)


def test_the_list_of_english():
    known = read_words(english())
    assert len(known) == 75238
    assert gzip.decompress(english().read_bytes()).decode().split("\n") == [*sorted(known), ""]
    assert {"o'clock", "don't", "i'm", "ma'am", "colour", "color", "realise", "realize", "café", "john"} <= known
    assert not {"surfive", "thre", "wich", ""} & known
    assert not any(one.endswith("'s") for one in known)
    assert "75,238 words" in (english().parent / "README.md").read_text("utf-8")
    lexicon = Lexicon(known)
    assert len(lexicon) == 75238
    for one in "It's Tuesday's who'd who’ll they're might've WASN'T I'd've O'CLOCK".split():
        assert one in lexicon, one


# --- what is known ---


@pytest.mark.parametrize("word", ["the", "THE", "The’s", "who'd", "WHO'LL", "I'd", "i’d've", "the're", "x", "É", ""])
def test_known(word: str):
    assert word in KNOWN


@pytest.mark.parametrize("word", ["surfive", "surfive's", "the't", "d'the", "thes", "who'dd", "the's's", "'s'"])
def test_unknown(word: str):
    assert word not in KNOWN


def test_a_lexicon_takes_words_in_any_form():
    lexicon = Lexicon(["Zarathustra", "cafe\u0301", "ma’am", "two words"])
    assert len(lexicon) == 5 and len(Lexicon([])) == 0
    assert all(one in lexicon for one in ("zarathustra", "CAFÉ", "ma'am", "two", "words"))
    assert "two words" not in lexicon


# --- what a reply holds ---


@pytest.mark.parametrize(
    ("text", "total", "invented", "names"),
    [
        ("", 0, {}, {}),
        ("... 3.5 !?", 0, {}, {}),
        ("The boys ran.", 3, {}, {}),
        ("he surfive, he surfive's", 4, {"surfive": 2}, {}),
        ("Surfive ran. he said surfive", 5, {"surfive": 1}, {"Surfive": 1}),  # a sentence begins with a capital
        ("he saw Bellini and Bellini’s", 5, {"and": 1}, {"Bellini": 2}),
        ("the NASA ran", 3, {}, {"NASA": 1}),
        ("NASA ran. NASA's time", 4, {}, {"NASA": 2}),
        ("Nasa's time", 2, {}, {"Nasa": 1}),
        ("he saw iPhone", 3, {"iphone": 1}, {}),
        ("I, a, Ж, é: b", 5, {}, {}),  # single letters
        ("Q's", 1, {}, {}),
        ("he saw हिन्दी", 3, {"हिन्दी": 1}, {}),  # no capitals, so no name
        ("he saw Zoe\u0308 ran", 4, {}, {"Zoë": 1}),
        ("he saw 3rd mp3 Mp3", 2, {}, {}),
        ("我爱你 the ไม่ か\u3099", 1, {}, {}),  # not looked up, not counted
        ("我爱Bellini。surfive", 2, {"surfive": 1}, {"Bellini": 1}),
    ],
)
def test_what_a_reply_holds(text: str, total: int, invented: dict[str, int], names: dict[str, int]):
    assert check(text) == (total, invented, names)


@pytest.mark.parametrize("before", ["", "he ran. ", "he ", "Mr. ", "\n- ", "“", "we-", "我"])
def test_a_capital_makes_a_name_wherever_it_stands(before: str):
    found = KNOWN.check([before + "Surfive ran", "he surfive"])
    assert found.names["Surfive"] == 1 and found.oov["surfive"] == 1


def test_rates_are_of_all_words():
    found = KNOWN.check(["the", "surfive", "he Surfive"])
    assert found == WordCounts(4, Counter({"surfive": 1}), Counter({"Surfive": 1}))
    assert found.rate == 0.25 and found.name_rate == 0.25 and WordCounts(0).name_rate == 0.0
    assert KNOWN.check([]) == WordCounts(0) and WordCounts(0).rate == 0.0
    assert WordCounts(3, Counter({"x": 2}), Counter({"Y": 1})).rate == 2 / 3  # names do not count
    assert KNOWN.check(["surfive"]).rate == 1.0


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_counts_hold_for_any_text(texts: list[str]):
    found = KNOWN.check(texts)
    assert 0 <= found.rate <= 1
    assert found.oov.total() + found.names.total() <= found.total <= sum(len(words(text)) for text in texts)
    assert not any(one in KNOWN for one in [*found.oov, *found.names])
    assert all(words(one) == [one] for one in found.oov)
    assert all(not one.islower() for one in found.names)
    parts = [KNOWN.check([text]) for text in texts]
    assert found.total == sum(part.total for part in parts)
    assert found.oov == sum((part.oov for part in parts), Counter())
    everything = Lexicon(texts).check(texts)
    assert everything == WordCounts(found.total)  # what the lexicon was made of is known


@pytest.mark.parametrize(
    "text",
    ["Surfive " * 40_000, "Surfive" + " " * 300_000 + "Surfive", "." * 300_000 + "3 Surfive",
     ".3" * 150_000 + " Surfive", "x" * 300_000, "'s" * 150_000, "x's" * 100_000, "x'" * 150_000 + "3",
     "x3" * 150_000, '"' * 300_000 + "he Surfive", "我" * 300_000, " '" * 100_000 + "Mr. Surfive"],
    ids=["names", "blanks", "points", "numbers", "letters", "tails", "word of tails", "apostrophes", "digits", "quotes",
         "unspaced", "opening quotes"],
)  # fmt: skip
def test_a_long_text_takes_its_length_not_its_square(text: str):
    start = time.perf_counter()
    assert KNOWN.check([text]).rate <= 1
    assert time.perf_counter() - start < 5  # 0.3 s; what grows with the square takes minutes

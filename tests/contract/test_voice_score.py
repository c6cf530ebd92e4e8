"""The voice score: what it counts, where texts stand, what it cannot tell, and that its files hold no text."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import numpy as np
import pytest

from curator.contract.errors import UsageError
from curator.contract.voice.grams import (
    BUCKETS,
    STREAMS,
    Masker,
    batch,
    common_words,
    documents_of,
    grams,
    number_of_words,
    plain,
    word_key,
    words_of,
)
from curator.contract.voice.reference import JUDGED, KNOWN, Judge, build_reference, left_out
from curator.contract.voice.stored import as_arrays, english, read_reference

SPOKEN = {  # a sentence, its words as they are counted
    "en": ("It isn't the pump's fault.", ["it", "isn't", "the", "pump's", "fault"]),
    "de": ("Das Boot läuft über.", ["das", "boot", "läuft", "über"]),
    "fr": ("L’été s’achève déjà.", ["l'été", "s'achève", "déjà"]),
    "es": ("¿Dónde está el niño?", ["dónde", "está", "el", "niño"]),
    "it": ("Perché no, un po' così.", ["perché", "no", "un", "po", "così"]),
    "pt": ("Não há pão.", ["não", "há", "pão"]),
    "ru": ("Ёлка стоит в углу.", ["ёлка", "стоит", "в", "углу"]),
    "zh": ("我们走吧。", ["我", "们", "走", "吧"]),
    "ja": ("船が着いた。", ["船", "が", "着", "い", "た"]),
    "ko": ("배가 도착했다.", ["배가", "도착했다"]),
    "ar": ("وصلت السفينة.", ["وصلت", "السفينة"]),
    "hi": ("नाव किनारे पर है।", ["नाव", "किनारे", "पर", "है"]),
    "th": ("เรือ", ["เ", "ร", "ื", "อ"]),
}


@pytest.mark.parametrize("language", SPOKEN)
def test_words_of_thirteen_languages(language: str) -> None:
    text, expected = SPOKEN[language]
    assert words_of(plain(text)) == expected
    many = -(-len(expected) // 2) if language in ("zh", "ja", "th") else len(expected)
    assert number_of_words(expected) == many


@pytest.mark.parametrize("language", SPOKEN)
def test_what_is_not_common_is_masked_and_the_rest_stays(language: str) -> None:
    text, words = SPOKEN[language]
    kept = words[0]
    masked = Masker(frozenset({word_key(kept)}))(plain(text))
    assert words_of(masked) == [word for word in words if word == kept]
    assert masked.count("*") == len(words) - words.count(kept)
    assert not set(re.findall(r"\w", masked.lower())) - set(kept), "a letter of a masked word is left"


def test_the_same_text_in_other_spelling_of_characters_has_the_same_grams() -> None:
    composed, apart = "L’été déjà", "L'e\u0301te\u0301   de\u0301ja\u0300\n"
    for one, other in zip(grams(plain(composed)), grams(plain(apart)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_stream_has_its_n_grams_and_counts_add_up() -> None:
    text = "to be or not to be"
    found = grams(text)
    assert [len(stream) for stream in found] == [len(text) + 2 - order + 1 for order in (3, 4, 5, 6)] + [5, 3]
    assert len(set(found[4].tolist())) == 4, "'to be' stands twice"
    counts = batch([text, text]).count()
    assert counts.shape == (STREAMS, BUCKETS)
    assert counts.sum(1).tolist() == [2 * len(stream) for stream in found]
    assert batch([]).count().sum() == 0 and all(len(stream) < 3 for stream in grams(""))


def test_texts_that_are_read_together_have_the_n_grams_that_each_has_alone() -> None:
    texts = ["to be or not", "", "a", "🚢 ship", *(f"text {number} of many" for number in range(600)), "", "x y"]
    together = batch(texts)
    assert len(together) == len(texts)
    for place in (0, 1, 2, 3, 255, 256, 257, 603, 604, 605):
        alone = batch([texts[place]])
        for stream in range(STREAMS):
            found, sizes = together.part(stream, place, place + 1)
            np.testing.assert_array_equal(found, alone.buckets[stream])
            assert sizes.tolist() == [len(found)]
    kept = np.array([place % 3 == 0 for place in range(len(texts))])
    np.testing.assert_array_equal(together.count(kept=kept), batch(texts[::3]).count())
    np.testing.assert_array_equal(together.count(100, 400), batch(texts[100:400]).count())


@pytest.mark.parametrize("sizes", [[3] * 200, [700, 2, 2, 900], [249, 1, 250, 1], [10]])
def test_documents_hold_every_word_in_order(sizes: list[int]) -> None:
    words = iter(f"w{number}" for number in range(sum(sizes)))
    texts = [" ".join(next(words) for _ in range(size)) for size in sizes]
    found = documents_of(texts)
    assert " ".join(found).split() == " ".join(texts).split()
    many = [len(document.split()) for document in found]
    assert all(125 <= number <= 500 for number in many) or len(found) == 1
    assert documents_of([]) == [] == documents_of(["  "])
    chinese = documents_of(["船" * 1200])
    assert [document.count("船") for document in chinese] == [500, 700], "two characters are a word"


def test_a_name_that_one_side_is_full_of_is_not_common() -> None:
    ours = ["and", "the"] * 50 + ["marta"] * 90
    theirs = ["and", "the"] * 50 + ["paris"] * 90
    assert common_words([ours, theirs]) == {word_key("and"), word_key("the")}


# --- two writers of the same things, who differ in how they write ---

THINGS = "boat pump yard river plank letter garden window kettle bridge".split()


def written(seed: int, words: int, habits: list[str]) -> list[str]:
    """Texts of a writer who joins the same things by habits of their own."""
    dice, out, held = random.Random(seed), list[str](), 0
    while held < words:
        text = " ".join(f"{dice.choice(habits)} {dice.choice(THINGS)}" for _ in range(dice.randint(5, 30)))
        out.append(text + ".")
        held += number_of_words(words_of(text))
    return out


HERS = ["so then the", "and so a", "perhaps the", "of course the", "rather a", "I do think the"]
HIS = ["well the", "and the", "then a", "no the", "got a", "I think the"]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(build_reference(written(1, 6000, HERS), written(2, 6000, HIS)))


def test_unseen_words_of_the_person_are_near_100_and_others_near_0(judge: Judge) -> None:
    own, others = (judge.place(written(seed, 3000, habits)) for seed, habits in ((3, HERS), (4, HIS)))
    assert own.score is not None and others.score is not None
    assert own.score == pytest.approx(100, abs=10)
    assert others.score == pytest.approx(0, abs=10)
    for place in (own, others):
        assert place.low is not None and place.high is not None and place.score is not None
        assert place.low < place.score < place.high
        assert place.high - place.low < 20
    half = judge.place(written(5, 1500, HERS) + written(6, 1500, HIS))
    assert half.score == pytest.approx(50, abs=12)


def test_few_words_have_a_wide_interval(judge: Judge) -> None:
    widths = []
    for words in (120, 480, 3000):
        place = judge.place(written(7, words, HERS))
        assert place.low is not None and place.high is not None
        widths.append(place.high - place.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[2]


def test_the_same_writer_on_both_sides_cannot_be_told_apart_however_small_one_side_is() -> None:
    for ours, theirs in ((6000, 6000), (2500, 30000), (30000, 2500)):
        found = Judge(build_reference(written(1, ours, HERS), written(2, theirs, HERS)))
        assert "cannot be told" in found.lacking(), (ours, theirs)
        place = found.place(written(3, 2000, HERS))
        assert (place.score, place.why) == (None, found.lacking())


def test_a_smaller_side_has_no_bonus() -> None:
    """What neither side has ever written says nothing: not even that the greater side would have written it."""
    found = Judge(build_reference(written(1, 2500, HERS), written(2, 40000, HIS)), full=True)
    strange = "zyx qwv jkl mnp " * 100
    assert abs(float(found.scaled(found.measure(strange)))) < 60


@pytest.mark.parametrize(
    ("person", "others", "judged", "expected"),
    [
        (KNOWN - 300, 4000, 500, "words are known of the person: "),
        (4000, KNOWN - 300, 500, "words are known of others: "),
        (4000, 4000, JUDGED - 60, "words are judged: "),
    ],
)
def test_too_little_is_said_with_what_is_missing(person: int, others: int, judged: int, expected: str) -> None:
    found = Judge(build_reference(written(1, person, HERS), written(2, others, HIS)))
    place = found.place(written(3, judged, HERS)[:2] if judged < JUDGED else written(3, judged, HERS))
    assert place.score is None and expected in place.why and place.why.endswith("more are needed")


def test_the_same_texts_give_the_same_numbers(judge: Judge) -> None:
    again = Judge(build_reference(written(1, 6000, HERS), written(2, 6000, HIS)))
    assert again.place(written(3, 700, HERS)) == judge.place(written(3, 700, HERS))


def test_a_stranger_among_the_persons_texts_is_least_like_them() -> None:
    """Where the others' texts are of many, so that what the stranger writes is not unheard of."""
    odd = ["thus did ye", "verily the", "nor hath a"]
    own, strange = written(1, 6000, HERS), written(9, 300, odd)
    texts = own + strange
    random.Random(0).shuffle(texts)
    others = batch([plain(text) for text in written(2, 6000, HIS) + written(8, 3000, odd)]).count()
    found, beside = left_out(batch(list(map(plain, texts))), others, most=1.0)
    order = found.argsort(kind="stable").tolist()
    assert {texts[place] for place in order[: len(strange)]} == set(strange)
    assert len(beside) == 0


# --- files ---


def test_a_stored_reference_is_the_same_one_and_holds_no_text(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "voice-reference.npz"
    arrays = as_arrays(judge.reference)
    assert {array.dtype.kind for array in arrays.values()} <= set("iuf")
    np.savez_compressed(path, allow_pickle=False, **arrays)
    again = Judge(read_reference(path))
    texts = written(3, 700, HERS)
    assert again.place(texts) == judge.place(texts)
    assert b"kettle" not in path.read_bytes()


def test_a_file_that_is_none_gets_one_clear_error(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "voice-reference.npz"
    with pytest.raises(UsageError, match="no counts of how a person writes"):
        read_reference(path)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UsageError, match="no counts of how a person writes"):
        read_reference(path)
    arrays = as_arrays(judge.reference)
    np.savez_compressed(path, allow_pickle=False, **(arrays | {"format": np.array([9, STREAMS, BUCKETS])}))
    with pytest.raises(UsageError, match="another version"):
        read_reference(path)


def test_the_background_of_english_is_shipped_and_its_documents_stand_near_0() -> None:
    background = english()
    assert background.words > 200_000 and len(background.common) == 500
    assert word_key("the") in background.common and word_key("boat") not in background.common
    found = Judge(build_reference(written(1, 6000, HERS), background))
    assert not found.lacking()
    scores = [float(found.scaled(found.measure(text))) for text in background.documents]
    assert math.isclose(sum(scores) / len(scores), 0, abs_tol=1e-4)
    assert (Path(__file__).parents[2] / "curator/contract/voice/english.npz").stat().st_size < 2_000_000

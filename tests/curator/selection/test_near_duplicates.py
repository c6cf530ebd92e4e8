"""Near-duplicates are found by their word shingles: signatures are pinned, and the exact search meets an oracle."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.config import NearDuplicateConfig
from curator.executing.arrays import ArrayFile
from curator.language.folding import plain
from curator.selection.comparing import Compared, Comparer
from curator.selection.near_duplicates import Nearest, candidates, link_buckets, nearest_older
from curator.selection.neighbours import neighbours
from curator.selection.shingles import (
    REPLY_BANDS,
    ShingleSets,
    reply_signatures,
    shingle_sets,
    signatures,
    similarity,
)
from curator.selection.shingles import shingles as all_shingles

THRESHOLD: Final = 0.7
BANDS: Final = 10
PERMUTATIONS: Final = 30
# Of Latin and Han, which the random texts are made of, a Han character is a word.
_WORD: Final = re.compile("[0-9A-Za-z\u00c0-\u02af]+|[\u3400-\u9fff]")
WORDS: Final = [
    "the",
    "pump",
    "leaks",
    "by",
    "old",
    "harbour",
    "Anna",
    "sails",
    "home",
    "at",
    "night",
    "rain",
    "falls",
    "on",
    "boat",
    "and",
    "letter",
    "été",
    "über",
    "水",
    "泵",
]


def shingles(text: str, words: int = 3) -> frozenset[tuple[str, ...]]:
    """The oracle: the set of word shingles of a folded text, in plain Python."""
    found = [word.lower() for word in _WORD.findall(text)]
    if not found:
        return frozenset({("no words", text)})
    return frozenset(tuple(found[i : i + words]) for i in range(max(1, len(found) - words + 1)))


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of 1 to 40 words, two in three of them an edit of an earlier one."""
    dice = random.Random(seed)
    texts: list[str] = []
    for _ in range(count):
        if texts and dice.random() < 0.66:
            words = dice.choice(texts).split()
            for _ in range(dice.randint(0, 3)):
                place = dice.randrange(len(words) + 1)
                words[place : place + dice.randint(0, 1)] = dice.choices(WORDS, k=dice.randint(0, 1))
        else:
            words = dice.choices(WORDS, k=dice.randint(1, 40))
        texts.append(" ".join(words) or "nothing")
    return texts


def sets_of(texts: list[str]) -> ShingleSets:
    return shingle_sets([plain(text) for text in texts], 3)


OPEN: list[ArrayFile] = []


@pytest.fixture(autouse=True)
def close_files() -> Iterator[None]:
    """Close what `on_disk` opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def on_disk(kind: Any, width: int = 1) -> ArrayFile:
    """An array on disk, closed when the test is over."""
    OPEN.append(ArrayFile(kind, width))
    return OPEN[-1]


def signed(replies: ShingleSets) -> ArrayFile:
    """The signatures of replies, on disk."""
    rows = on_disk(np.uint16, 3 * REPLY_BANDS)
    rows.extend(reply_signatures(replies))
    return rows


def nearest(texts: list[str], meaning: Any = None, stretch: int = 64) -> Nearest:
    """What is found of texts that are taken so many at a time."""
    sets, rows = sets_of(texts), on_disk(np.uint16, PERMUTATIONS)
    rows.extend(signatures(sets, PERMUTATIONS))
    links, near = on_disk(np.int32), NearDuplicateConfig(threshold=THRESHOLD, bands=BANDS)
    link_buckets(rows, BANDS, links)
    comparer = Comparer(Compared(rows, links, sets, meaning), near)
    found = (comparer((start, min(start + stretch, len(texts)))) for start in range(0, len(texts), stretch))
    return nearest_older(len(texts), found, comparer.compare)


def near(texts: list[str]) -> list[int]:
    """For each text the older one it is dropped in favour of, or -1."""
    return nearest(texts).older.tolist()


def found_near(texts: list[str], pool: list[int], threshold: float = THRESHOLD) -> dict[tuple[int, int], float]:
    """The pairs that the exact search finds between the texts of `pool` and all others."""
    *columns, _ = neighbours(sets_of(texts), np.array(pool, dtype=np.int64), np.arange(len(texts)), threshold)
    return {(a, b): value for a, b, value in zip(*(column.tolist() for column in columns), strict=True)}


def test_signatures_are_those_that_every_rensa_so_far_has_made() -> None:
    texts = ["The pump by the old harbour leaks again.", "水泵漏了,我们明天修", "", "One"]
    rows = signatures(sets_of(texts), 6)
    assert rows.dtype == np.uint16
    assert rows.tolist() == [
        [34620, 31803, 12782, 6618, 22859, 4419],
        [11408, 19467, 5041, 56242, 5403, 1582],
        [3350, 5473, 50432, 51838, 30206, 36630],
        [22732, 28925, 22531, 16295, 5943, 4793],
    ]


def test_shingle_sets_have_the_sizes_of_the_oracle() -> None:
    texts = [*random_texts(200, 1), "", "...", "one", "one two", "a a a a a a", "水泵水泵水泵", "x水y 水", "\0a\0b c d"]
    sets = sets_of(texts)
    assert len(sets) == len(texts)
    assert sets.sizes.tolist() == [len(shingles(text)) for text in texts]
    for start, end in zip(sets.offsets, sets.offsets[1:], strict=False):
        mine = sets.values[start:end].tolist()
        assert mine == sorted(set(mine))


def test_the_similarity_of_two_texts_is_the_oracles() -> None:
    texts = random_texts(60, 2)
    pairs = [(a, b) for a in range(len(texts)) for b in range(a)]
    left, right = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    assert similarity(sets_of(texts), left, right).tolist() == [jaccard(texts[a], texts[b]) for a, b in pairs]


def near_pairs(texts: list[str], pool: list[int]) -> dict[tuple[int, int], float]:
    """The oracle: every pair at or above the threshold, compared one by one."""
    every = {(a, b): jaccard(texts[a], texts[b]) for a in pool for b in range(len(texts)) if a != b}
    return {pair: value for pair, value in every.items() if value >= THRESHOLD}


@pytest.mark.parametrize("seed", range(6))
def test_the_exact_search_finds_every_pair_at_or_above_the_threshold(seed: int) -> None:
    texts = random_texts(240, seed)
    pool = list(range(0, 240, 7))
    found = found_near(texts, pool)
    wanted = near_pairs(texts, pool)
    assert len(wanted) > 10
    assert {pair: value for pair, value in found.items() if value >= THRESHOLD} == wanted
    assert all(value == jaccard(texts[a], texts[b]) for (a, b), value in found.items())


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS[:5]), max_size=8).map(" ".join), min_size=1, max_size=12))
def test_the_exact_search_meets_the_oracle_on_short_texts_too(texts: list[str]) -> None:
    pool = list(range(len(texts)))
    found = found_near(texts, pool)
    assert {pair: value for pair, value in found.items() if value >= THRESHOLD} == near_pairs(texts, pool)


@pytest.mark.parametrize("percent", [50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100])
def test_a_pair_exactly_at_the_threshold_is_found(percent: int) -> None:
    for union in range(20, 201, 20):
        shared = union * percent // 100
        texts = [" ".join(f"w{n}" for n in range(size + 2)) for size in (shared, union)]
        assert jaccard(*texts) == percent / 100
        assert found_near(texts, [0], percent / 100) == {(0, 1): percent / 100}, union
        assert found_near(texts, [1], percent / 100) == {(1, 0): percent / 100}, union


def near_and_similarity(texts: list[str]) -> tuple[list[int], list[float]]:
    """As `near`, with the similarity that is told."""
    older, values, _ = nearest(texts)
    return older.tolist(), values.tolist()


def test_what_is_dropped_is_near_what_it_is_said_to_be_near_and_little_is_missed() -> None:
    texts = random_texts(400, 9)
    missed, (dropped, told) = 0, near_and_similarity(texts)
    for number, older in enumerate(dropped):
        kept = [b for b in range(number) if dropped[b] < 0]
        if older >= 0:
            assert older in kept
            assert told[number] == jaccard(texts[number], texts[older]) >= THRESHOLD
        else:
            missed += any(jaccard(texts[number], texts[b]) >= THRESHOLD for b in kept)
    assert missed <= 8  # candidates are found by chance: 10 bands of 3 hashes let a few at the threshold through


def test_the_oldest_is_kept_and_nothing_is_dropped_in_favour_of_something_dropped() -> None:
    texts = random_texts(600, 3)
    dropped = near(texts)
    assert sum(older >= 0 for older in dropped) > 50
    for number, older in enumerate(dropped):
        assert older < number
        assert older < 0 or dropped[older] < 0
    for text in set(texts):
        assert all(dropped[n] >= 0 for n in [n for n, other in enumerate(texts) if other == text][1:])


def test_in_a_chain_only_what_is_near_a_kept_text_is_dropped() -> None:
    """Each text of the chain is near the one before it, and far from the first."""
    words = [f"w{n}" for n in range(60)]
    chain = [" ".join(words[start : start + 30]) for start in range(0, 30, 3)]
    assert all(jaccard(one, other) >= THRESHOLD for one, other in pairwise(chain))
    assert jaccard(chain[0], chain[-1]) < 0.1
    dropped, told = near_and_similarity(chain)
    kept = [number for number, older in enumerate(dropped) if older < 0]
    assert 2 <= len(kept) < len(chain)
    for number, older in enumerate(dropped):
        if older >= 0:
            assert older in kept
            assert told[number] == jaccard(chain[number], chain[older]) >= THRESHOLD


def test_how_many_texts_are_taken_at_a_time_changes_nothing() -> None:
    texts = random_texts(500, 4)
    whole, *parts = (nearest(texts, stretch=stretch) for stretch in (500, 1, 7, 64))
    assert (whole.older >= 0).sum() > 50
    for part in parts:
        for one, other in zip(whole, part, strict=True):
            assert one.tolist() == other.tolist()


class ByNumber:
    """Texts say different things where they end in different numbers."""

    def __init__(self, texts: list[str]) -> None:
        self.numbers = [int(text.rpartition("n")[2]) for text in texts]

    def parts(self, younger: int, older: int) -> bool:
        return self.numbers[younger] != self.numbers[older]

    def kind(self, text: int) -> int:
        return self.numbers[text]


@pytest.mark.parametrize("stretch", [1, 3, 100])
def test_of_copies_of_corrections_the_first_is_kept_however_far_apart_they_stand(stretch: int) -> None:
    common = " ".join(f"w{n}" for n in range(40))
    texts = [f"{common} n{number}" for number in (1, 2, 3, 2, 1, 3, 3, 4, 2)]
    found = nearest(texts, ByNumber(texts), stretch)
    assert found.older.tolist() == [-1, -1, -1, 1, 0, 2, 2, -1, 1]
    assert {tuple(pair) for pair in found.corrections.tolist()} >= {(1, 0), (2, 0), (7, 0)}


def test_of_equal_texts_the_first_is_kept() -> None:
    assert near(["one two three four"] * 4) == [-1, 0, 0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The pump, it leaks again!", "the PUMP it leaks again"),
        ("The pump - it leaks - again...", "The pump\n\tit  leaks again"),
        ("It's the “old” pump—again", 'It’s the "old" pump - again'),
        ("ÜBER den Fluß gehen wir", "über den fluß GEHEN wir"),
        ("the pu\u200bmp leaks a\u00adgain", "the pump leaks again"),
        ("ｔｈｅ ｐｕｍｐ leaks again", "the pump leaks again"),
        ("the ﬁrst pump leaks", "the first pump leaks"),
        ("cafe\u0301 on the quay", "café on the quay"),
    ],
)
def test_case_punctuation_and_invisible_signs_do_not_matter(one: str, other: str) -> None:
    assert near([one, other]) == [-1, 0]


DIFFERENT: Final = {
    "Chinese": ["水泵漏了我们明天修", "船在港口等着我们回家", "今天下雨我在家读书"],
    "Japanese": ["ポンプが漏れている", "あした船で海に出る", "きのうは雨だった"],
    "Korean": ["펌프가 새고 있어요 오늘", "내일 우리는 바다로 가요", "어제는 비가 왔어요 종일"],
    "Russian": ["Насос снова течёт сегодня", "Завтра мы пойдём в море", "Вчера весь день шёл дождь"],
    "Arabic": ["المضخة تسرب الماء اليوم", "غدا نذهب إلى البحر معا", "أمس كان المطر طوال النهار"],
    "Hindi": ["पंप आज फिर टपक रहा है", "कल हम समुद्र जाएंगे साथ", "कल दिन भर बारिश हुई"],
    "Thai": ["ปั๊มน้ำรั่วอีกแล้ว", "พรุ่งนี้เราจะไปทะเล", "เมื่อวานฝนตกทั้งวัน"],
    "Greek": ["Η αντλία στάζει πάλι", "Αύριο πάμε στη θάλασσα", "Χθες έβρεχε όλη μέρα"],
    "emoji": ["🎉🎉🎉", "🚤🌊", "🌧️ ☔"],
    "signs": ["...", "!!!", "???"],
}


@pytest.mark.parametrize("texts", DIFFERENT.values(), ids=DIFFERENT)
def test_texts_in_any_script_are_told_apart_and_recognised(texts: list[str]) -> None:
    assert near(texts + texts) == [-1, -1, -1, 0, 1, 2]


def test_no_text_at_all_is_no_error() -> None:
    assert near([]) == []
    assert found_near([], []) == {}
    assert found_near(["one two three"], []) == {}


def links_of(rows: np.ndarray[Any, Any]) -> set[tuple[int, int]]:
    """The candidates (younger, older) that agree in one of two bands, found a hundred texts at a time."""
    kept, links = on_disk(np.uint16, rows.shape[1]), on_disk(np.int32)
    kept.extend(rows)
    link_buckets(kept, 2, links)
    found = [candidates(links, 2, start, min(start + 100, len(rows))) for start in range(0, len(rows), 100)]
    return {divmod(link, len(rows)) for part in found for link in part.tolist()}


def test_each_of_a_bucket_is_linked_to_its_oldest_and_the_one_before_it() -> None:
    dice = np.random.default_rng(5)
    rows = dice.integers(0, 3, (400, 2 * 3)).astype(np.uint16)  # so that most stand in a bucket
    found = links_of(rows)
    linked = set()
    for band in (rows[:, :3], rows[:, 3:]):
        buckets: dict[tuple[int, ...], list[int]] = {}
        for number, key in enumerate(map(tuple, band.tolist())):
            bucket = buckets.setdefault(key, [])
            linked |= {(number, bucket[place]) for place in ((0, -1) if bucket else ())}
            bucket.append(number)
    assert found == linked
    assert len(found) > 700
    assert links_of(rows[:0]) == set()


@pytest.mark.parametrize("words", [1, 2, 5])
def test_short_texts_texts_without_words_and_those_with_nul_give_their_shingles(words: int) -> None:
    texts = ["", "…", "\0", "a", "\0A", "a b", "A,b", "a b c d e f", "a b\0c d e f", "(x) y", "été ete"]
    texts += ["\x01 a", "a\x01b"]
    sets = shingle_sets(texts, words)
    for one, other in ((3, 4), (5, 6), (7, 8)):
        assert similarity(sets, np.array([one]), np.array([other])) == [1.0]
    assert sets.sizes.tolist() == [max(1, len(shingles(text, words))) for text in texts]


def test_replies_are_told_from_their_prompts_by_the_first_mark() -> None:
    found = all_shingles(["a b\x01c d e", "no reply here", "\x01all of it", "only a prompt\x01", "x\x01y\x01z w"], 2)
    assert found.words.tolist() == [5, 3, 3, 3, 4]
    assert found.reply_words.tolist() == [3, 0, 3, 0, 3]
    begin_in_reply = [found.in_reply[found.owners == text].tolist() for text in range(5)]
    assert begin_in_reply == [
        [False, False, True, True], [False, False], [True, True], [False, False], [False, True, True],
    ]  # fmt: skip

"""From text to documents, and which are held out: what a corpus repeats never stands on both sides of the split."""

from __future__ import annotations

import gzip
import random
import time
from pathlib import Path

import numpy as np
import pytest
from core_fixtures import document, ids

from curator.contract.errors import UsageError
from curator.contract.files import read_text
from trainer.data.documents import clusters, held_out, read_documents, shingles, split_text
from trainer.model.prompt_template import plain_quotes

Document = np.ndarray


def joined(*parts: Document) -> Document:
    return np.concatenate([[1], *parts]).astype(np.uint16)


def together(documents: list[Document]) -> set[frozenset[int]]:
    """The clusters as sets of indices."""
    found = clusters(documents)
    return {frozenset(np.flatnonzero(found == one).tolist()) for one in found}


def runs(documents: list[Document], length: int = 24) -> set[bytes]:
    """All runs of so many tokens."""
    return {one[at : at + length].tobytes() for one in documents for at in range(len(one) - length + 1)}


# --- splitting ---


@pytest.mark.parametrize(
    ("how", "section", "expected"),
    [
        ("file", 1, ["a b\n\nc d\n\ne\nf"]),
        ("lines", 1, ["a b", "", "c d", "", "e", "f", ""]),
        ("sections", 1, ["a b", "c d", "e\nf"]),  # a paragraph is never cut, however short the section
        ("sections", 7, ["a b", "c d", "e\nf"]),  # 3 + 2 + 3 is above 7
        ("sections", 8, ["a b\n\nc d", "e\nf"]),
        ("sections", 100, ["a b\n\nc d\n\ne\nf"]),
    ],
)
def test_a_text_is_split(how: str, section: int, expected: list[str]):
    assert list(split_text("a b\n\nc d\n\ne\nf\n", how, section)) == expected


@pytest.mark.parametrize("section", [1, 10, 50, 1000])
def test_sections_lose_no_text_and_keep_their_size(section: int):
    rng = random.Random(1)
    paragraphs = ["x" * rng.randint(1, 30) for _ in range(100)]
    found = list(split_text("\n\n".join(paragraphs), "sections", section))
    assert "\n\n".join(found) == "\n\n".join(paragraphs)
    assert all(len(one) <= section or "\n\n" not in one for one in found)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"one\r\ntwo\rthree\n", ["one\ntwo\nthree"]),
        ("a.txt", b"\xef\xbb\xbfone", ["one"]),  # a byte order mark is no text
        ("a.txt.gz", gzip.compress(b"one"), ["one"]),
        ("a.jsonl", b'{"text": "one"}\n\n{"text": " "}\n{"text": "two\\nthree", "title": 3}', ["one", "two\nthree"]),
        ("a.jsonl.gz", gzip.compress(b'{"text": "one"}'), ["one"]),
        ("a.txt", b" \n\n\t ", []),
        ("a.txt", b"", []),
    ],
    ids=["newlines", "byte order mark", "gzip", "jsonl", "jsonl.gz", "blank", "empty"],
)
def test_documents_of_a_file(tmp_path: Path, name: str, content: bytes, expected: list[str]):
    (tmp_path / name).write_bytes(content)
    assert list(read_documents(tmp_path / name, "file", 1)) == expected


_PACKED = bytearray(gzip.compress(random.Random(1).randbytes(2000) + b"text" * 500, mtime=0))
_FLIPPED = bytes(_PACKED[:40] + bytes([_PACKED[40] ^ 255]) + _PACKED[41:])
_BROKEN = bytes(_PACKED[:10] + b"\xff" * 8 + _PACKED[18:])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"ab\xff\xfe", "byte 2"),
        ("a.txt.gz", b"no gzip", "cannot read"),
        ("a.txt.gz", bytes(_PACKED[:500]), "cut off"),
        ("a.txt.gz", _FLIPPED, "a.txt.gz"),  # the checksum does not match
        ("a.txt.gz", _BROKEN, "a.txt.gz"),  # zlib itself gives up
        ("a.jsonl", b'{"text": "one"}\n{"txt": "two"}\n', "a.jsonl:2"),
        ("a.jsonl", b'{"text": "one"}\n["text"]\n', "a.jsonl:2"),
        ("a.jsonl", b'{"text": null}\n', "a.jsonl:1"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1"),
    ],
    ids=["latin-1", "no gzip", "cut off", "flipped byte", "broken stream", "no text", "array", "null", "deep"],
)
def test_a_file_that_is_no_text_is_one_clear_error(tmp_path: Path, name: str, content: bytes, told: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        list(read_documents(tmp_path / name, "file", 1))
    assert told in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_clear_error(tmp_path: Path):
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            read_text(path)


def test_quotes_become_plain():
    assert plain_quotes("“It’s”, ‘she’ said „so”…") == '"It\'s", \'she\' said "so"…'


# --- clusters ---


def test_shingles_are_equal_where_the_tokens_are():
    a, b = ids(1, 40), ids(2, 50)
    b[7:30] = a[3:26]
    assert len(shingles(a, 16)) == 25 and len(shingles(a[:15], 16)) == 0
    assert (shingles(a, 16)[3:11] == shingles(b, 16)[7:15]).all()
    assert len(np.intersect1d(shingles(a, 16), shingles(b, 16))) == 8
    assert len(np.unique(shingles(np.zeros(100, np.uint16), 16))) == 1


@pytest.mark.parametrize("length", [60, 100, 300])
def test_documents_that_share_a_paragraph_are_together(length: int):
    for seed in range(0, 300, 5):
        shared = ids(seed, length)
        one = joined(ids(seed + 1, 50), shared, ids(seed + 2, 70))
        two = joined(ids(seed + 3, 10 * (seed % 7)), shared, ids(seed + 4, 200))
        assert together([one, document(9999, 100), two]) == {frozenset({0, 2}), frozenset({1})}, seed


def test_documents_that_share_24_tokens_are_together():
    # What documents.py promises, and what a repeated sentence is. Of shingles drawn at random, some pairs share fewer
    # than two; a sketch that cannot miss (the least hash of each 9 shingles in a row: winnowing) would join them all.
    missed = 0
    for seed in range(0, 1000, 5):
        shared = ids(seed, 24)
        one, two = joined(ids(seed + 1, 40), shared, ids(seed + 2, 40)), joined(ids(seed + 3, 40), shared)
        missed += len(together([one, two])) == 2
    assert missed == 0


@pytest.mark.parametrize("edits", [1, 3, 6])
def test_documents_with_small_edits_are_together(edits: int):
    for seed in range(40):
        one = document(seed, 300)
        two = one.copy()
        two[np.random.default_rng(seed).choice(299, edits, replace=False) + 1] = 399
        three = np.delete(one, [150])  # one word less moves all that follow
        assert together([one, two, three]) == {frozenset({0, 1, 2})}


def test_short_documents_are_together_only_where_they_are_equal():
    same, other, long = document(1, 8), document(2, 8), document(3, 100)
    assert together([same, other, same.copy(), same[:7], np.zeros(0, np.uint16), long, long[9:]]) == {
        frozenset({0, 2}), frozenset({1}), frozenset({3}), frozenset({4}), frozenset({5, 6})}  # fmt: skip


def test_unrelated_documents_are_not_together():
    # 15 tokens in common, a greeting say, are no repetition.
    greeting = ids(0, 15)
    documents = [joined(greeting, ids(seed, 200), greeting[:10]) for seed in range(1, 400)]
    assert len(together(documents)) == 399


def test_what_is_together_does_not_hang_on_the_order():
    rng = np.random.default_rng(1)
    documents = [document(seed, 80) for seed in range(60)]
    for _ in range(30):
        a, b = rng.choice(60, 2, replace=False)
        documents[b] = joined(documents[b][1:], documents[a][10:70])
    expected = {frozenset(documents[one].tobytes() for one in group) for group in together(documents)}
    assert 20 < len(expected) < 60
    for _ in range(5):
        order = rng.permutation(60)
        shuffled = [documents[one] for one in order]
        found = {frozenset(shuffled[one].tobytes() for one in group) for group in together(shuffled)}
        assert found == expected


def test_a_third_document_between_two_does_not_part_them():
    # Two documents share a passage, and a third, which comes between them, quotes 16 tokens of it. Pairs are counted
    # among neighbours only, so the quotation takes one shared shingle away from the two, and one is too few.
    for seed in range(60):
        passage = ids(seed, 30)
        kept = np.flatnonzero(shingles(passage, 16) % np.uint64(4) == 0)  # as documents.py samples them
        if len(kept) != 2:
            continue
        quotation = passage[kept[0] : kept[0] + 16]
        one, two = joined(ids(500, 30), passage), joined(ids(501, 30), passage)
        third = joined(ids(502, 30), quotation, ids(503, 30))
        assert together([one, two]) == {frozenset({0, 1})}
        assert frozenset({0, 1}) <= next(group for group in together([one, two, third]) if 0 in group)
        assert frozenset({0, 2}) <= next(group for group in together([one, third, two]) if 0 in group), seed


# --- the split ---


def repeating_corpus(seed: int, shortest: int, longest: int) -> list[Document]:
    """240 documents of four paragraphs, in series of four; 30% of the paragraphs are copied within their series."""
    rng = np.random.default_rng(seed)
    documents: list[list[Document]] = []
    for number in range(240):
        group = documents[number - number % 4 : number]
        paragraphs = []
        for _ in range(4):
            if group and rng.random() < 0.4:  # of three documents in four: 30% of all
                paragraphs.append(group[rng.integers(len(group))][rng.integers(4)])
            else:
                paragraphs.append(rng.integers(3, 400, rng.integers(shortest, longest + 1)))
        documents.append(paragraphs)
    return [joined(*paragraphs) for paragraphs in documents]


@pytest.mark.parametrize(("shortest", "longest"), [(50, 120), (24, 60)])
@pytest.mark.parametrize("seed", range(4))
def test_a_repeating_corpus_does_not_leak(seed: int, shortest: int, longest: int):
    documents = repeating_corpus(seed, shortest, longest)
    held = held_out(documents, 0.2)
    train = [one for one, out in zip(documents, held, strict=True) if not out]
    valid = [one for one, out in zip(documents, held, strict=True) if out]
    assert 15 < len(valid) < 200
    assert len(runs(train) & runs(valid)) == 0
    # The corpus does repeat itself: a split by single documents leaks much.
    assert len(runs(documents[::2]) & runs(documents[1::2])) > 1000


def test_clusters_are_held_out_whole():
    for seed in range(8):
        documents = repeating_corpus(seed, 50, 120)[: 10 * (seed + 1)]
        held = held_out(documents, 0.15)
        assert 0 < held.sum() < len(documents)
        assert all(len({bool(held[one]) for one in group}) == 1 for group in together(documents))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_about_the_share_that_was_asked_for_is_held_out(share: float):
    documents = [document(seed, 30) for seed in range(2000)]
    assert held_out(documents, share).mean() == pytest.approx(share, rel=0.2)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_no_more_is_held_out_where_documents_repeat(size: int):
    # By the least hash of its members a cluster of 20 would be held out with a chance of 1 - 0.9^20 = 88%, not of 10%.
    documents = []
    for number in range(400):
        shared = ids(number, 60)
        documents += [joined(shared, [3 + copy]) for copy in range(size)]
    assert held_out(documents, 0.1).mean() == pytest.approx(0.1, abs=0.05)


def test_the_split_does_not_hang_on_the_order():
    documents = repeating_corpus(1, 50, 120)
    expected = {one.tobytes() for one, out in zip(documents, held_out(documents, 0.2), strict=True) if out}
    order = np.random.default_rng(1).permutation(len(documents))
    shuffled = [documents[one] for one in order]
    assert {one.tobytes() for one, out in zip(shuffled, held_out(shuffled, 0.2), strict=True) if out} == expected


def test_unrelated_documents_move_none_across_the_split():
    documents = repeating_corpus(2, 50, 120)
    before = held_out(documents, 0.1)
    more = [document(seed, 100) for seed in range(5000, 5100)]
    assert (held_out([*more, *documents], 0.1)[100:] == before).all()
    assert (held_out([*documents, *more], 0.1)[:240] == before).all()


def test_a_share_of_0_holds_nothing_out():
    assert not held_out([document(seed, 30) for seed in range(100)], 0).any()


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([], []),
        ([document(1, 50)], [False]),  # nothing would be left to train on
        ([document(1, 50), document(1, 50)], [False, False]),  # one cluster
        ([document(1, 50), document(2, 20)], [False, True]),  # two large clusters: the smaller one
        ([document(1, 30), document(1, 30), document(2, 500)], [True, True, False]),
    ],
)
def test_few_documents(documents: list[Document], expected: list[bool]):
    assert held_out(documents, 0.05).tolist() == expected


def test_something_is_always_left_to_train_on():
    documents = [document(seed, 50) for seed in range(8)]
    assert held_out(documents, 1.0).sum() == 7


def test_a_giant_cluster_is_trained_on():
    shared = ids(0, 100)
    giant = [joined(shared, ids(seed, 30)) for seed in range(1, 60)]
    small = [document(seed, 100) for seed in range(100, 200)]
    held = held_out([*giant, *small], 0.5)
    assert not held[:59].any()
    assert 30 < held[59:].sum() < 70


@pytest.mark.verify
def test_many_short_documents_take_seconds():
    # Lines of a chat: 200,000 of them. One pass over all documents for each cluster takes 20 s here, and 1 M 500 s.
    rows = np.random.default_rng(1).integers(3, 400, (200_000, 12)).astype(np.uint16)
    begun = time.monotonic()
    held_out(list(rows), 0.05)
    assert time.monotonic() - begun < 8

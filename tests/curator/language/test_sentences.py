"""Cutting a text never loses or changes a character, and never cuts where no sentence ends."""

from __future__ import annotations

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.language.passages import first_sentences, passages
from curator.language.sentences import chosen_by_hash, ends_sentence, sentences
from curator.language.words import count_words

PIECES: Final = st.sampled_from(
    [
        "The pump leaks", "Dr. Brown", "e.g. 3.14", "水泵漏了。", "यह है।", "Yes", "No", " ", "  ", "\n", "\n\n",
        "\r\n\r\n", "\t", ". ", "! ", "? ", "... ", "… ", ".” ", '." ', ".) ", ": ", "- ", "\u3000", "\u00a0", "🎉 ",
        "1. ", "A. ", "\u2028",
    ]
)  # fmt: skip
TEXTS: Final = st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=300)


def cut(text: str, words: int = 40, most: int = 3, long_share: float = 0.0, long_words: int = 300) -> list[str]:
    return list(passages(text, words, most, long_share, long_words))


def gaps(text: str, pieces: list[str]) -> str:
    """What stands in `text` outside the pieces, which must be slices of it one after the other."""
    left, place = "", 0
    for piece in pieces:
        start = text.index(piece, place)
        left, place = left + text[place:start], start + len(piece)
    return left + text[place:]


@settings(max_examples=400, derandomize=True, deadline=None)
@given(TEXTS, st.sampled_from(["en", "de", "ja"]))
def test_sentences_join_back_to_the_text(text: str, language: str) -> None:
    pieces = sentences(text, language)
    assert "".join(pieces) == text
    assert all(ends_sentence(piece) for piece in pieces[:-1])


@settings(max_examples=400, derandomize=True, deadline=None)
@given(TEXTS, st.integers(5, 40), st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]))
def test_passages_are_slices_that_hold_all_but_outer_space_in_order(
    text: str, words: int, most: int, share: float
) -> None:
    pieces = cut(text, words, most, share, 60)
    assert all(piece and piece == piece.strip() for piece in pieces)
    assert not gaps(text, pieces).strip()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(TEXTS, st.integers(1, 3), st.integers(5, 40))
def test_first_sentences_are_a_start_of_the_text_that_ends_a_sentence(text: str, most: int, words: int) -> None:
    kept = first_sentences(text, most, words, 60)
    if kept is not None:
        assert text.startswith(kept)
        assert ends_sentence(kept)
        assert len(sentences(kept)) <= most


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("One", ["One"]),
        ("One. Two.", ["One. ", "Two."]),
        ("Dr. Brown came at 5 p.m. on Friday. He left.", ["Dr. Brown came at 5 p.m. on Friday. ", "He left."]),
        ('"Go!" she said. He went.', ['"Go!" she said. ', "He went."]),
        ("A line\nbroken by hand. Next.", ["A line\nbroken by hand. ", "Next."]),
        ("Heading\n\nText here. More.", ["Heading\n\nText here. ", "More."]),
        ("水泵漏了。我们修。", ["水泵漏了。", "我们修。"]),
    ],
)
def test_sentences_end_where_a_mark_stands(text: str, pieces: list[str]) -> None:
    assert sentences(text) == pieces


@pytest.mark.parametrize(
    ("text", "ends"),
    [("a.", True), ("a.  \n", True), ("a.”", True), ("(a!)", True), ("a…", True), ("a。", True), ("a॥", True),
     ("done 🎉", True), ("done ❤️", True), ("a:", False), ("a,", False), ("a", False), ("- a", False), ("", False),
     ("\n", False), ("a;", False), ("a)", False)],
)  # fmt: skip
def test_a_sentence_ends_in_a_final_mark_before_closing_signs(text: str, ends: bool) -> None:
    assert ends_sentence(text) is ends


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("  ", 0), ("one", 1), ("one two\nthree", 3), ("don't stop-it", 2), ("über alles", 2), ("水泵漏了", 3)],
)
def test_words_are_runs_without_space_and_pairs_of_unspaced_letters(text: str, words: int) -> None:
    assert count_words(text) == words


def test_a_passage_ends_where_a_paragraph_does() -> None:
    first, second, third = "It rained all day here. Cold.", "The second day was dry.", "On the third day came sun."
    text = f"{first}\n\n{second}\n \t\n{third}\r\n\r\nThen we all sailed home."
    assert cut(text) == [first, second, third, "Then we all sailed home."]


def test_a_heading_goes_with_the_paragraph_below_it() -> None:
    text = "Monday\n\nIt rained all day. I read.\n\nTuesday\n\nThe sun came out again."
    assert cut(text) == ["Monday\n\nIt rained all day. I read.", "Tuesday\n\nThe sun came out again."]


def test_a_passage_holds_three_sentences_or_forty_words() -> None:
    day = "It rained here all day. "
    assert cut(day * 5) == [(day * 3).strip(), (day * 2).strip()]
    twenty = " ".join(["word"] * 20) + ". "
    assert cut(twenty * 5) == [(twenty * 2).strip(), (twenty * 2).strip(), twenty.strip()]
    ninety = "Word " + " ".join(["word"] * 89) + "."
    assert cut(f"{day}{ninety}") == [day.strip(), ninety]


def test_a_start_of_fewer_than_five_words_is_no_passage_of_its_own() -> None:
    ninety = "Word " + " ".join(["word"] * 89) + "."
    assert cut(f"3rd. {ninety}") == [f"3rd. {ninety}"]
    assert cut("3rd May.\n\nIt rained all day here.") == ["3rd May.\n\nIt rained all day here."]


def test_a_passage_chosen_by_hash_runs_on_across_paragraphs() -> None:
    text = "One two. " * 20 + "\n\n" + "Three four. " * 20
    assert cut(text, long_share=1.0, long_words=60) == [
        "One two. " * 20 + "\n\n" + ("Three four. " * 10).strip(),
        ("Three four. " * 10).strip(),
    ]


def diary(words: int) -> str:
    """A diary entry of that many words: paragraphs of one to nine sentences of three to thirty words."""
    dice, left, paragraphs = random.Random(7), words, []
    while left:
        paragraph = []
        for _ in range(dice.randint(1, 9)):
            size = min(left, dice.randint(3, 30))
            left -= size
            if size:
                names = [dice.choice(["boat", "rain", "pump", "letter", "Anna", "night"]) for _ in range(size)]
                paragraph.append(" ".join(names).capitalize() + ".")
        if paragraph:
            paragraphs.append(" ".join(paragraph))
    return "\n\n".join(paragraphs)


def test_an_entry_of_3780_words_loses_nothing_and_is_cut_at_sentence_and_paragraph_ends() -> None:
    text = diary(3780)
    assert count_words(text) == 3780
    pieces = cut(text)
    assert sum(map(count_words, pieces)) == 3780
    assert set(gaps(text, pieces)) <= {" ", "\n"}
    for piece in pieces:
        assert piece.endswith(".")
        assert "\n\n" not in piece
        assert count_words(piece) <= 40
        assert len(sentences(piece)) <= 3


def test_of_such_an_entry_a_share_of_the_passages_is_long_and_always_the_same() -> None:
    text = diary(3780)
    pieces = cut(text, long_share=0.075)
    assert pieces == cut(text, long_share=0.075)
    assert sum(map(count_words, pieces)) == 3780
    long = [piece for piece in pieces if count_words(piece) > 40]
    assert 0 < len(long) < len(pieces) / 5
    assert all(count_words(piece) <= 300 and chosen_by_hash(sentences(piece)[0], 0.075) for piece in long)


def test_choosing_by_hash_is_pinned_and_keeps_its_share() -> None:
    assert [n for n in range(40) if chosen_by_hash(f"text {n}", 0.1)] == [12, 15, 18, 32, 33, 38]
    assert sum(chosen_by_hash(f"text {n}", 0.075) for n in range(10_000)) == pytest.approx(750, abs=80)
    assert not chosen_by_hash("any", 0.0)
    assert chosen_by_hash("any", 1.0)
    assert chosen_by_hash("any", 1.0)


@pytest.mark.parametrize("between", [" ", "\n", "\n\n", "\r\n\r\n", "\n\n \n\n"])
def test_a_text_of_many_thousands_of_characters_loses_none(between: str) -> None:
    text = between.join(f"Sentence number {number} stands here." for number in range(2_000))
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert len(pieces) == 2_000

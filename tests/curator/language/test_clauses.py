"""Phrases as whole words and whole clauses; nothing is lost where a sentence is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.language.clauses import Beginnings, OnlyWords, TakenOut, clause_words, clauses_at_blanks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Yes, that's right!", ["yes", "that", "s", "right"]),
        ("نعم، شكرًا؟", ["نعم", "شكرًا"]),
        ("ठीक है।", ["ठीक", "है"]),
        ("好的，谢谢！", ["好的", "谢谢"]),
        ("«Oui»… non", ["oui", "non"]),
        ("👍", []),
    ],
)
def test_punctuation_of_no_script_is_part_of_a_word_and_the_marks_of_letters_are(text: str, words: list[str]) -> None:
    assert clause_words(text) == words


def test_a_phrase_is_a_clause_and_with_three_dots_a_beginning() -> None:
    phrases = Beginnings(["the same", "as before…", "一样", "同上…", "เหมือนเดิม"])
    begun = [
        "The same.",
        "“The same”, she said",
        "the same",
        "As before the rain",
        "一样。",
        "同上个月",
        "เหมือนเดิม ครับ",
    ]
    not_begun = ["The sameness", "The same boat", "the same-ish", "As beforehand", "一样的", "เหมือนเดิมครับผม", ""]
    assert [text for text in begun + not_begun if phrases.begin(text)] == begun
    assert not Beginnings([]).begin("anything")


def test_words_by_themselves() -> None:
    words = OnlyWords(["ok", "谢谢", "好的"])
    alone, others = ["ok, OK!", "好的谢谢", "好的，谢谢", "👌"], ["okay", "好的呢", "👌?", ""]
    assert [text for text in alone + others if words.make_up(text)] == alone


def test_what_is_left_of_a_listed_sentence() -> None:
    listed = TakenOut(["As a robot", "That is all", "Ask me…"])
    left = {
        "As a robot, I rust.": "",
        "As a robot I rust, but the oil helps.": "but the oil helps.",
        "As a robot builder, she oils me.": None,
        "As a robot, when wet, I rust.": None,
        "That is all!": "",
        "That is all, and thanks.": "and thanks.",
        "That is all I know.": None,
        "Ask me whatever you like.": "",
        "Ask meekly.": None,
    }
    assert {sentence: listed.left_of(sentence) for sentence in left} == left


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(alphabet=st.sampled_from("กขคabc .\n\u0e33ສ"), max_size=60))
def test_clauses_at_blanks_are_the_sentence(text: str) -> None:
    assert "".join(clauses_at_blanks(text)) == text

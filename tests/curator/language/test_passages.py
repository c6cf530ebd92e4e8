"""Passages of what has no marks, and of what must not be cut; time in proportion to the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.language.blocks import Blocks
from curator.language.passages import cuttable, first_sentences, passages
from curator.language.sentences import ends_sentence, sentences
from curator.language.words import count_words

UNMARKED = (
    "rope nobody moved and so ",
    "- rope nobody moved\n",
    "รถเมล์มาช้ามาก",
    "公交车来得太晚了",
    "``` a b\n",
)
WORDS, LONG = 40, 300


def cut(text: str, language: str = "en") -> list[str]:
    return list(passages(text, WORDS, 3, 0.0, LONG, language))


def whole(text: str, pieces: list[str]) -> bool:
    """Tell whether the pieces hold every letter of the text, in order."""
    return "".join("".join(pieces).split()) == "".join(text.split())


UNMARKED = {
    "a dictation": " ".join(f"then we went on to the {n}th house and knocked" for n in range(300)),
    "a list": "\n".join(f"- item number {n} of the list" for n in range(200)),
    "blank lines": "\n\n".join(f"row {n} of the long list is here" for n in range(200)),
    "commas": ", ".join(f"part {n} of the boat" for n in range(200)),
    "zh": "公交车来得太晚了我就沿着河边一路走回家" * 80,
    "ja": "バスが遅れたので運河沿いを歩いて帰りました" * 80,
    "th": "รถเมล์มาช้ามากก็เลยเดินกลับบ้าน" * 80,
    "th, blanks": "รถเมล์มาช้ามาก ก็เลยเดินกลับบ้าน เลียบคลองไปเรื่อย ๆ " * 40,
    "km": "ឡានក្រុងមកយឺតណាស់ខ្ញុំក៏ដើរទៅផ្ទះ" * 80,
    "ko": "버스가 너무 늦게 와서 강가를 따라 걸어갔어 " * 100,
    "ar": "تأخرت الحافلة كثيرا فمشيت إلى البيت " * 100,
}


@pytest.mark.parametrize("name", UNMARKED)
def test_text_without_marks_is_cut_at_the_next_best_place(name: str) -> None:
    text = UNMARKED[name]
    pieces = cut(text)
    assert whole(text, pieces)
    assert len(pieces) > 1
    assert all(5 <= count_words(piece) <= LONG * 1.02 for piece in pieces)


def test_a_list_is_cut_at_line_ends_and_clauses_behind_their_marks() -> None:
    assert all(piece.startswith("- item") and count_words(piece) <= WORDS for piece in cut(UNMARKED["a list"]))
    assert all(piece.startswith("part") for piece in cut(UNMARKED["commas"]))
    assert all(piece.endswith(",") for piece in cut(UNMARKED["commas"])[:-1])


def test_thai_is_cut_at_blanks_where_a_passage_is_full() -> None:
    pieces = cut(UNMARKED["th, blanks"], "th")
    assert all(count_words(piece) <= WORDS and not piece.startswith("ๆ") for piece in pieces)
    assert first_sentences(UNMARKED["th, blanks"], 3, WORDS, LONG, "th") == pieces[0]


def test_words_without_blanks_are_cut_at_a_word_s_end() -> None:
    assert all(piece[-2:] not in ("公交", "沿着河", "一") for piece in cut(UNMARKED["zh"]))
    for piece in cut(UNMARKED["th"])[1:]:
        assert piece[0] not in "\u0e31\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c"


def test_a_heading_or_a_verse_that_goes_on_is_not_parted_from_what_follows() -> None:
    verse = "The boat lay long upon the mud and nobody came down to see it there but us,\n\nand the gulls were with us"
    assert cut(verse) == [verse]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ខ្ញុំទៅ។ គាត់មក។ ចប់", ["ខ្ញុំទៅ។ ", "គាត់មក។ ", "ចប់"]),
        ("သွားတယ်။ လာတယ်။", ["သွားတယ်။ ", "လာတယ်။"]),
        ("Նա գնաց։ Նա եկավ։", ["Նա գնաց։ ", "Նա եկավ։"]),
        ("ሄደ። መጣ።", ["ሄደ። ", "መጣ።"]),
        ("བོད་ཡིག།སྐད་ཡིག།", ["བོད་ཡིག།", "སྐད་ཡིག།"]),
        ("行った｡来た．そう！", ["行った｡", "来た．", "そう！"]),
        ("وہ گیا۔ کیوں؟ معلوم نہیں۔", ["وہ گیا۔ ", "کیوں؟ ", "معلوم نہیں۔"]),
        ("वह गया। क्यों? पता नहीं॥ ठीक।", ["वह गया। ", "क्यों? ", "पता नहीं॥ ", "ठीक।"]),
        ("兄は「もう使わないよ。」と言った。私は黙った。", ["兄は「もう使わないよ。」と言った。", "私は黙った。"]),
    ],
)  # fmt: skip
def test_sentences_end_at_the_marks_of_their_script(text: str, pieces: list[str]) -> None:
    assert sentences(text) == pieces


@pytest.mark.parametrize(
    ("language", "text", "first"),
    [
        ("de", "Das sah Hr. Müller am 3. März ca. um acht. Er ging.", "Das sah Hr. Müller am 3. März ca. um acht. "),
        ("fr", "Mme. Petit est venue avec le Dr. Roy. Il pleuvait.", "Mme. Petit est venue avec le Dr. Roy. "),
        ("es", "La Sra. López vive en la Av. Central. Está lejos.", "La Sra. López vive en la Av. Central. "),
        ("it", "Il Sig. Rossi ha visto la Dott. Bianchi. Pioveva.", "Il Sig. Rossi ha visto la Dott. Bianchi. "),
        ("ru", "Её лечил проф. Иванов, живёт на ул. Мира. Далеко.", "Её лечил проф. Иванов, живёт на ул. Мира. "),
        ("en", "We met Capt. Brown and Mrs. Lee. It rained.", "We met Capt. Brown and Mrs. Lee. "),
    ],
)
def test_abbreviations_are_those_of_the_language(language: str, text: str, first: str) -> None:
    assert sentences(text, language)[0] == first


CODE = "```python\nfor row in rows:\n\n    print(row)  # One. Two! Three?\n    total += row.price\n```"
TABLE = "| part | note |\n|---|---|\n| hose | old. Leaks. |\n| clamp | new. Tight! |"
FORMULA = "$$\nf(x) = a. B + c! D\n$$"


@pytest.mark.parametrize("block", [CODE, TABLE, FORMULA, CODE.replace("```", "~~~"), "\\[ a. B! C \\]"])
def test_code_tables_and_formulas_are_never_cut_in_the_middle(block: str) -> None:
    text = (
        f"We had a look at it today. It was hard. Here it is:\n\n{block}\n\nThat was the whole of it. We went home. "
        * 5
    )
    for pieces in (cut(text), sentences(text), cuttable(text, 5, 10), cut(f"{block}\n" * 90)):
        assert all(piece.count(block[:4]) == 0 or block in piece for piece in pieces), pieces
        assert sum(piece.count(block) for piece in pieces) in (5, 90)
    assert ends_sentence(block)


@pytest.mark.parametrize("text", ["It cost $5. He paid $6 then. So $7 it is.", "a `b c. D", "Or 1 | 2. Then 3."])
def test_money_and_lone_signs_are_no_blocks(text: str) -> None:
    assert not Blocks(text)


def test_inline_code_and_formulas_hold_no_sentence_end() -> None:
    assert sentences("Call `a. B` now. Take $x = 1. Y$ too. End.") == [
        "Call `a. B` now. ",
        "Take $x = 1. Y$ too. ",
        "End.",
    ]


def test_a_fence_that_nobody_closed_does_not_make_one_passage_of_a_diary() -> None:
    text = "```\n" + "It rained all day here and we read. " * 3_000
    assert len(cut(text)) > 500


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(
    ["```\n", "~~~\n", "| a. | b |\n", "|---|---|\n", "$x = 1. Y$", "$$", "`", "It is. ", "word ", "\n", "\n\n",
     "水泵漏了", "ไปมา ", "。", ", ", "\\[", "\\]", "。」と"]), max_size=60).map("".join))  # fmt: skip
def test_whatever_stands_in_a_text_its_pieces_are_all_of_it(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert "".join(cuttable(text, 5, 10)) == text
    assert whole(text, list(passages(text, 5, 2, 0.3, 10)))


@pytest.mark.parametrize("unit", UNMARKED)
def test_a_long_memory_without_a_mark_gives_no_passage_beyond_the_limit(unit: str) -> None:
    """How long it takes stands in benchmarks/passages.py."""
    pieces = cut(unit * (400_000 // len(unit.encode())))
    assert max(map(count_words, pieces)) <= LONG * 1.02

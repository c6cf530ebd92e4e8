"""What two texts say is told sooner than by their facts, and the answer is the same."""

from __future__ import annotations

import random
import re
from typing import Final

import pytest

from curator.language.corrections import facts, is_correction
from curator.language.said import Said, differ
from curator.language.telling_words import FUNCTION_WORDS, TELLING
from tests.curator.language.test_corrections import TEXTS

# Words and signs at which a shorter way could go wrong: folded by more than one sign, parted, joined, mistyped.
ODD: Final = (
    "3 03 1,000 1.000 10,000 10,0000 1’000 12:30 27th 2nd a1b can't cannot CANNOT don’t DON'T n't won't, N’T Anna "
    "(Anna) “Anna” Mark mark Paris, O'Neil McDonald I I'm … — x×y ½ £5 ´ é É Été œuvre Œuvre ß no\u00adt 1\u202f000 "
    "can\u00adnot Wendesday Wednesday Teusday Tuesday Dienstag Deinstag Ⅷ 1_000 _Anna_ Anna2 2Anna May may NOT ſ "
    "\x01 \0 ² ª Peter"
).split(" ")
BETWEEN: Final = (" ", "  ", "\n", ", ", ". ", '" ', "' ", "\t", "! ", " - ", ";", "’ ", ") ", "\u00a0", "")
HARMLESS: Final = "We went down to the river with the children and had a long rest in the shade"


def changed(text: str, language: str, dice: random.Random) -> str:
    """The text with some words changed: for such as may tell something, in case, order or what parts them."""
    words = re.split(r"(\s+)", text)
    telling = TELLING[language]
    known = " ".join((telling.numbers, telling.dates, telling.negations, FUNCTION_WORDS.get(language, ""))).split()
    for _ in range(dice.randrange(5)):
        place = dice.randrange(len(words))
        word = words[place]
        middle = len(word) // 2
        words[place] = dice.choice(
            (
                dice.choice(dice.choice(known).split("/")).strip("_*"),
                dice.choice(ODD),
                word.capitalize(),
                word.lower(),
                word[:middle] + word[middle + 1 :],
                word + dice.choice(BETWEEN) + dice.choice(words),
                dice.choice(words),
                dice.choice(BETWEEN) if word.isspace() else word + dice.choice((",", ".", '"', ")")),
            )
        )
    return "".join(words)


@pytest.mark.parametrize("language", TEXTS)
def test_the_answer_is_that_of_the_facts(language: str) -> None:
    dice = random.Random(language)
    text, corrections, same = TEXTS[language]
    texts = [text, *corrections, *same]
    found = []
    for _ in range(250):
        one = changed(dice.choice(texts), language, dice)
        other = changed(one, language, dice)
        said, known = (Said(one), Said(other)), (facts(one), facts(other))
        found.append(is_correction(*known))
        assert differ(*said) == found[-1], (one, other)
        assert [each.kind for each in said] == [each.kind for each in known], (one, other)
    assert 50 < sum(found) < 220, "some are corrections, and others none"


@pytest.mark.parametrize("sign", ["’", "…", "é", "Œ", "£", "½", "\u00ad", "x\u0301", "ª", "د", "東", "\u202f"])
def test_each_sign_is_folded_as_the_facts_fold_it(sign: str) -> None:
    for text in (f"We saw Ann{sign}a there", f"1{sign}000 geese are no{sign}t here", f"{sign} Anna, {sign}Anna {sign}"):
        said, known = Said(text), facts(text)
        assert said.kind == known.kind
        if said.data:
            assert [word.decode("cp1252") for word in said.read.words] == [word.lower() for word in known.written]
            assert said.languages == known.languages


def test_texts_as_they_are_typed_need_no_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.language.said.facts", lambda text: pytest.fail(f"worked out the facts of {text!r}"))
    for text in (HARMLESS, HARMLESS + " on Sunday", HARMLESS + ", at 3 o’clock", HARMLESS + "… with José — and Anna"):
        assert not differ(Said(text), Said(text.replace("rest", "sleep")))
        assert differ(Said(text), Said(text.replace("the river", "Ely")))
        assert differ(Said(text), Said(text.replace("went", "never went")))
        assert differ(Said(text), Said(text.replace("children", "two children")))
        assert not differ(Said(text), Said(text.replace("We", "They")))
    assert not differ(Said(HARMLESS + " on Wednesday"), Said(HARMLESS + " on Wendesday"))


def test_a_word_that_both_have_elsewhere_is_seen() -> None:
    """What stands where two texts are the same may tell of what they have not in common."""
    for one, other, is_one in (
        ("We saw Mark and then a mark on it", "We saw Mark and then a spot on it", True),  # oftener by a small letter
        ("We saw a line and then a mark on it", "We saw a line and then a spot on it", False),
        ("They met this morning and on the next morning", "They met this morning and on the next walk", False),
        ("They had 3 geese, 5 hens, 4 pigs", "They had 4 geese, 5 hens, 3 pigs", True),
        ("They had 3 geese and four pigs then", "They had three geese and 4 pigs then", False),
        ("They met Elizabeth near the old mill", "They met Elisabeth near the old mill", False),
    ):
        assert is_correction(facts(one), facts(other)) is is_one
        assert differ(Said(one), Said(other)) is is_one
        assert differ(Said(other), Said(one)) is is_one

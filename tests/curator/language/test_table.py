"""One table: every script has its line, and every rule finds what it needs there."""

from __future__ import annotations

from itertools import pairwise

import pytest

from curator.language.sentences import ends_sentence
from curator.language.table import FINAL_MARKS, SCRIPTS, script_of
from curator.language.tokens import estimated_tokens

NINETEEN = {
    "latin": "a", "greek": "ω", "cyrillic": "я", "armenian": "ա", "hebrew": "א", "arabic": "ب", "devanagari": "क",
    "bengali": "ক", "tamil": "அ", "thai": "ก", "lao": "ກ", "tibetan": "ཀ", "burmese": "က", "georgian": "ა",
    "hangul": "한", "ethiopic": "አ", "khmer": "ក", "kana": "ぬ", "han": "船",
}  # fmt: skip


@pytest.mark.parametrize("name", NINETEEN)
def test_a_letter_is_of_its_script(name: str) -> None:
    script = script_of(NINETEEN[name])
    assert script is not None
    assert script.name == name


def test_marks_figures_and_emoji_are_of_no_script() -> None:
    assert [sign for sign in "1 .,!?。、「」؟،।๏🎉_" if script_of(sign) is not None] == []


def test_no_letter_is_of_two_scripts() -> None:
    spans = sorted((s.ranges[i], s.ranges[i + 1]) for s in SCRIPTS for i in range(0, len(s.ranges), 2))
    assert all(last < first for (_, last), (first, _) in pairwise(spans))
    assert all(first <= last for first, last in spans)


@pytest.mark.parametrize("mark", list(FINAL_MARKS))
def test_every_final_mark_ends_a_sentence(mark: str) -> None:
    assert ends_sentence(f"水a{mark}")
    assert ends_sentence(f"a{mark}” \n")


@pytest.mark.parametrize(
    "text",
    ["see you 🎉", "ok 👍🏽", "home 🏴󠁧󠁢󠁷󠁬󠁳󠁿", "yes ❤️", "here :)", "no :-(", "ha xD", "love <3", "sorry ^_^", "tired -_-",
     "また明日(´・ω・`)", "ごめん (^_^)/", "진짜ㅋㅋㅋ", "슬퍼ㅠㅠ", "好的(≧▽≦)", "ตลก 555"],
)  # fmt: skip
def test_an_emoji_or_a_face_ends_a_chat_sentence(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize(
    "text", ["the letter a)", "step 8", "(see there)", "a b c,", "the stop", "「家」", "half of it -"]
)
def test_a_bracket_or_a_letter_is_no_face(text: str) -> None:
    assert not ends_sentence(text)


# Characters a token as a multilingual tokenizer makes them, on texts of these languages.
MEASURED = {
    "en": (4.0, "The pump in the cellar has been leaking since Tuesday and nobody came to look at it until today."),
    "es": (3.76, "La bomba del sótano pierde agua desde el martes y hasta hoy nadie ha venido a mirarla con calma."),
    "zh": (1.15, "地下室的水泵从星期二开始漏水，直到今天才有人过来看了一眼。"),
    "ja": (1.32, "地下室のポンプは火曜日から水漏れしていて、今日まで誰も見に来なかった。"),
    "th": (1.75, "ปั๊มน้ำในห้องใต้ดินรั่วมาตั้งแต่วันอังคาร จนถึงวันนี้เพิ่งมีคนมาดู"),
    "ko": (1.95, "지하실 펌프가 화요일부터 새고 있는데 오늘까지 아무도 보러 오지 않았다."),
    "hi": (2.52, "तहख़ाने का पंप मंगलवार से टपक रहा है और आज तक कोई देखने नहीं आया।"),
    "ru": (2.92, "Насос в подвале течёт со вторника, и до сегодняшнего дня никто не пришёл на него посмотреть."),
    "ar": (3.08, "المضخة في القبو تسرب الماء منذ يوم الثلاثاء ولم يأت أحد ليراها حتى اليوم."),
}


@pytest.mark.parametrize("language", MEASURED)
def test_tokens_are_estimated_by_the_script_s_own_characters_a_token(language: str) -> None:
    rate, text = MEASURED[language]
    assert estimated_tokens(text * 10) == pytest.approx(len(text * 10) / rate, rel=0.08)


def test_tokens_of_mixed_and_empty_texts() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("a") == 1
    assert estimated_tokens("🎉🎉") == 4
    assert estimated_tokens("abcd" * 100, characters_per_token=2.0) == 200
    assert estimated_tokens("水" * 115 + "a" * 400) == pytest.approx(200, abs=2)

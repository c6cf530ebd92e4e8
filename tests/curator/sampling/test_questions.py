"""Questions made from passages: each language and perspective, what they name, and what they leave alone."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, Result, rows, run

from curator.config import load_settings
from curator.records import MemoryEvent
from curator.sampling.questions import PassageQuestions

Curate = Callable[..., Result]
ETC = Path(__file__).parents[3] / "etc"
SETTINGS = load_settings(None)
MODES = ("dual", "emulation", "agent")

# language -> a passage, what it may be asked about (all of it is, in one of many wordings), and in two languages only
# for another than the person what "my" becomes.
PASSAGES: dict[str, tuple[str, set[str], tuple[str, str] | None]] = {
    "en": (
        "I walked to the office with my wife and met Marta there, and we spoke of the broken window until noon.",
        {"at the office", "my wife", "the walk", "Marta", "at noon"}, ("my wife", "your wife"),
    ),
    "de": (
        "Gestern war ich mit meiner Mutter in der Küche, am Abend haben wir die alte Lampe repariert.",
        {"meiner Mutter", "in der Küche", "am Abend", "„Lampe“", "die Reparatur"}, ("meiner Mutter", "deiner Mutter"),
    ),
    "fr": (
        "Hier soir, dans le jardin, j’ai parlé longtemps avec Marta et ma sœur a nettoyé la vieille lanterne.",
        {"dans le jardin", "le soir", "la conversation", "Marta", "ma sœur"}, ("ma sœur", "ta sœur"),
    ),
    "es": (
        "El domingo fui a la playa con mi hermana y con Marta, y por la noche escribí una carta muy triste.",
        {"en la playa", "el domingo", "mi hermana", "Marta", "la carta", "por la noche"}, ("mi hermana", "tu hermana"),
    ),
    "it": (
        "Domenica sono andata al mercato con mia madre e con Marta, poi ho cucinato tutta la sera in silenzio.",
        {"al mercato", "domenica", "mia madre", "Marta", "il cucinare", "alla sera"}, ("mia madre", "tua madre"),
    ),
    "pt": (
        "No sábado fui à praia com minha irmã e com Marta, e depois consertei o velho guarda-chuva na cozinha.",
        {"na praia", "no sábado", "minha irmã", "Marta", "o conserto", "na cozinha"}, ("minha irmã", "sua irmã"),
    ),
    "ru": (
        "Утром мы с Мартой были на кухне, потом мама долго чинила старую лампу, а я писал письмо.",
        {"утром", "Мартой", "на кухне", "мамой", "письмо"}, None,
    ),
    "zh": (
        "早上我和小美去了图书馆，妈妈打电话来问起那把坏掉的雨伞，我说一切都好。",
        {"早上", "小美", "在图书馆", "妈妈"}, None,
    ),
    "ja": (
        "月曜日の朝、美咲さんと図書館へ行った。母から電話があり、壊れた時計のことを聞かれた。",
        {"月曜日", "美咲", "図書館", "母", "「時計」"}, None,
    ),
    "ko": (
        "월요일 아침에 도서관에서 엄마를 만났다. 우리는 오래된 우산을 고치고 시장까지 걸었다.",
        {"월요일에", "아침에", "도서관에서", "엄마", "시장에서", "‘우산’"}, None,
    ),
    "ar": (
        "ذهبت صباحا إلى المكتبة مع أمي، ثم جلسنا في الحديقة وتحدثنا طويلا عن المظلة القديمة.",
        {"في الصباح", "في المكتبة", "أمي", "في الحديقة", "الحديث", "«المظلة»"}, ("أمي", "أمك"),
    ),
    "hi": (
        "सुबह मैं माँ के साथ बाज़ार गया, फिर हमने रसोई में पुरानी घड़ी की मरम्मत की और चाय पी।",
        {"सुबह", "माँ", "बाज़ार में", "रसोई में", "मरम्मत"}, None,
    ),
    "th": (
        "ตอนเช้าฉันไปห้องสมุดกับพี่สาว แล้วกลับบ้านมาซ่อมร่มเก่าจนถึงตอนเย็น",
        {"ตอนเช้า", "ที่ห้องสมุด", "พี่สาว", "การซ่อม", "ตอนเย็น"}, None,
    ),
}  # fmt: skip


def event(**changed: Any) -> MemoryEvent:
    known = {"key": "0" * 16, "id": "e", "path": "e.json", "sha256": "0" * 64, "time": 0, "type": "journal"}
    return MemoryEvent(**{**known, **changed})


def asked(text: str, language: str = "en", mode: str = "dual", share: float = 0.25, **changed: Any) -> str:
    return PassageQuestions(SETTINGS.questions, share, ("Ana Lind",)).question(mode, language, event(**changed), text)


def wordings(text: str, language: str, mode: str, **changed: Any) -> set[str]:
    """The questions that a passage gets with ever so many blanks behind it, which decide by hash and say nothing."""
    return {asked(text + " " * blanks, language, mode, **changed) for blanks in range(120)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("language", PASSAGES)
def test_each_language_asks_about_what_its_passage_names(language: str, mode: str) -> None:
    text, expected, turned = PASSAGES[language]
    if turned and mode != "dual":
        expected = {fact.replace(*turned) for fact in expected}
    found = wordings(text, language, mode)
    assert "" not in found
    plain = [one.lower() for one in found]
    assert [fact for fact in expected if not any(fact.lower() in one for one in plain)] == []
    assert not any("{" in one or "}" in one for one in found)
    if turned and mode != "dual":
        assert not any(re.search(rf"(?<!\w){turned[0]}(?!\w)", one) for one in found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("language", PASSAGES)
def test_a_question_is_a_template_of_the_language_with_its_slots_filled(language: str, mode: str) -> None:
    lists = json.loads((ETC / "questions.json").read_text("utf-8"))["languages"][language][mode]
    shapes = [
        re.compile(".+".join(map(re.escape, re.split(r"\{\w+\}", template))), re.IGNORECASE)
        for template in (*lists["any"], *lists["event"])
    ]
    for one in wordings(PASSAGES[language][0], language, mode):
        assert any(shape.fullmatch(one) for shape in shapes), one
        assert one[0] == one[0].upper()


def test_the_same_passage_is_asked_the_same_whatever_came_before() -> None:
    first = [asked(text, language) for language, (text, _, _) in PASSAGES.items()]
    reader = PassageQuestions(SETTINGS.questions, 0.25, ("Ana Lind",))
    again = [reader.question("dual", language, event(), text) for language, (text, _, _) in reversed(PASSAGES.items())]
    assert first == again[::-1]


@pytest.mark.parametrize("language", [one for one in PASSAGES if one not in ("zh", "ja", "th")])
def test_a_question_hands_over_a_quarter_of_the_telling_words_at_most(language: str) -> None:
    text = PASSAGES[language][0]
    stop = set(json.loads((ETC / "questions.json").read_text("utf-8"))["languages"][language]["stop"].split())
    telling = set(re.findall(r"[^\W\d_]{3,}", text.lower())) - stop
    for one in wordings(text, language, "dual"):
        handed = set(re.findall(r"[^\W\d_]{3,}", one.lower())) & telling
        assert len(handed) <= max(1, len(telling) // 4), one


@pytest.mark.parametrize("language", ["zh", "ja", "th"])
def test_where_words_have_no_blanks_a_quarter_of_the_characters_is_the_most(language: str) -> None:
    text = PASSAGES[language][0]
    for one in wordings(text, language, "dual"):
        longest = max(len(run) for run in shared_runs(one, text))
        assert longest <= len(text) / 4 + 2, one  # a label may stand beside a word of the template


def shared_runs(question: str, text: str) -> list[str]:
    """Every piece of the question that stands in the text."""
    return [
        question[start:end]
        for start in range(len(question))
        for end in range(start + 1, len(question) + 1)
        if question[start:end] in text
    ]


def test_a_share_of_nothing_still_lets_one_word_be_named() -> None:
    found = {asked(PASSAGES["en"][0] + " " * blanks, share=0.0) for blanks in range(60)}
    assert "" not in found and len(found) > 5
    assert not any("broken window" in one for one in found)


@pytest.mark.parametrize("text", ["", "Yes.", "So to bed.", "…", "12.40", "Up and to it again.", "👍", "ok\n\nok"])
def test_a_text_that_tells_nothing_gets_no_question(text: str) -> None:
    assert asked(text) == "" == asked(text, "und")


def test_a_word_at_a_sentences_start_is_a_name_only_where_it_is_one_inside_a_sentence() -> None:
    text = "Threads were everywhere and colours mixed. Marta laughed about buttons. Then I followed Marta upstairs."
    found = " ".join(wordings(text, "en", "dual"))
    assert "Marta" in found and "Threads" not in found
    alone = " ".join(wordings("Threads were everywhere. Marta laughed loudly about some broken buttons.", "en", "dual"))
    assert "“threads”" not in alone and "about Threads" not in alone and "about Marta" not in alone


def test_names_come_whole_with_title_and_initials() -> None:
    text = "Thence I to Sir W. Batten about business, and Mrs. Pierce showed me ribbons bought in Fleet Street."
    found = " ".join(wordings(text, "en", "dual"))
    assert {name for name in ("Sir W. Batten", "Mrs. Pierce", "in Fleet Street") if name in found} == {
        "Sir W. Batten", "Mrs. Pierce", "in Fleet Street"
    }  # fmt: skip
    assert "about W" not in found and "in Fleet?" not in found


def test_the_person_is_not_asked_about_and_nobody_elses_wife_is_mine() -> None:
    text = "They called Ana upstairs, and his wife brought Tom a lantern and some biscuits."
    found = " ".join(wordings(text, "en", "dual"))
    assert "Tom" in found and "Ana" not in found and "my wife" not in found


def test_what_a_passage_says_of_time_counts_and_else_the_memorys_own_weekday_or_month() -> None:
    told = wordings(
        "On Friday the boiler leaked and Tom brought buckets upstairs.", "en", "dual", timestamp="2024-03-05"
    )
    assert any("on Friday" in one for one in told)
    assert not any("on Tuesday" in one or "in March" in one for one in told)
    silent = wordings(
        "The boiler leaked and Tom brought buckets upstairs.", "en", "dual", timestamp="2024-03-05T10:00Z"
    )
    assert any("on Tuesday" in one for one in silent) and any("in March" in one for one in silent)
    guessed = wordings(
        "The boiler leaked and Tom brought buckets upstairs.", "en", "dual",
        timestamp="2024-03-05", notes=("guessed_time",),
    )  # fmt: skip
    assert not any("on Tuesday" in one or "in March" in one for one in guessed)


def test_a_thought_is_not_asked_what_happened() -> None:
    for kind in ("reflection", "dream", "decision"):
        assert not any("happened" in one for one in wordings(PASSAGES["en"][0], "en", "dual", type=kind))
    assert any("happened" in one for one in wordings(PASSAGES["en"][0], "en", "dual", type="journal"))


def test_another_language_is_asked_by_its_words_alone_and_a_short_text_by_its_script() -> None:
    found = asked("Igår gick vi till biblioteket tillsammans och lagade det trasiga paraplyet.", "sv")
    assert re.fullmatch("“[^\\W\\d_]+”\\?", found)
    assert asked("妈妈在厨房找雨伞", "und")[0] != "“"


def test_letters_that_carry_their_marks_apart_are_no_boundaries() -> None:
    import unicodedata

    text = unicodedata.normalize("NFD", "Ensuite la lumière éclaira vraiment l’étagère brisée derrière Hélène.")
    for one in wordings(text, "fr", "dual"):
        quoted = re.findall("«\u00a0(.+?)\u00a0»", one)
        assert all(re.search(rf"(?<!\w){re.escape(word)}(?![\w\u0300-\u036f])", text) for word in quoted), one


# --- through the command line ----------------------------------------------------------------------------------------

NOUNS = (
    "lantern anchor ladder basket kettle bucket hammer mirror candle blanket saddle pillow carpet wagon needle button "
    "ribbon feather pebble barrel shovel curtain marble violin trumpet compass diamond saucer spoon thimble"
).split()


def diary(home: Home, count: int) -> None:
    """Write so many entries, no two alike."""
    for number in range(count):
        one, two, three, four, five = random.Random(number).sample(NOUNS, 5)
        home.memory(f"Thomas found one {one} and some {two}, then carried another {three} beneath the {four} "
                    f"because every {five} had been broken.", type="journal")  # fmt: skip


def kinds(folder: Path) -> Counter[str]:
    return Counter(one["metadata"].get("question", "") for one in rows(folder / "curated_memories.json"))


def test_a_diary_answers_questions_made_from_it_and_a_few_of_the_stock(curate: Curate, home: Home) -> None:
    diary(home, 100)
    folder = run(curate, home)
    found = kinds(folder)
    assert found["passage"] > 80 and 0 < found["stock"] < 20 and found.keys() == {"passage", "stock"}
    samples = rows(folder / "curated_memories.json")
    assert all(one["metadata"]["prompted"] for one in samples)
    assert len({one["user_text"] for one in samples}) > 40


def test_stock_questions_alone_are_asked_where_one_says_so(curate: Curate, home: Home) -> None:
    diary(home, 60)
    folder = run(curate, home, "--questions", "stock")
    assert kinds(folder) == {"stock": 60}
    assert "--questions" in json.loads((folder / "run-summary.json").read_text("utf-8"))["command"]
    home.config("curate.json", {"pairing": {"questions": "stock"}})
    assert kinds(run(curate, home)) == {"stock": 60}


def test_a_home_with_questions_of_its_own_is_asked_these(curate: Curate, home: Home) -> None:
    diary(home, 60)
    own = {mode: {"default": [f"Own, {mode}?"]} for mode in MODES}
    home.config("prompts.json", own)
    samples = rows(run(curate, home) / "curated_memories.json")
    assert {one["user_text"] for one in samples} == {"Own, emulation?"}
    assert len(samples) == 60, "their share is the user's own affair"
    assert kinds(run(curate, home, "--questions", "passage"))["passage"] > 40


def test_what_is_over_the_share_of_a_stock_question_is_dropped_with_that_reason(curate: Curate, home: Home) -> None:
    diary(home, 100)
    home.config("curate.json", {"pairing": {"stock_share": 1, "prompt_share": 0.02, "prompt_least": 5}})
    folder = run(curate, home)
    dropped = [one for one in rows(folder / "dropped.jsonl") if one["reason"] == "over_prompt_share"]
    asked = Counter(one["user_text"] for one in rows(folder / "curated_memories.json"))
    assert set(asked.values()) == {5} and len(dropped) == 100 - asked.total()
    assert all(one["stage"] == "select" and "too many answer '" in one["detail"] for one in dropped)


def test_a_file_of_questions_with_a_mistake_is_refused_with_its_place(curate: Curate, home: Home) -> None:
    shipped = json.loads((ETC / "questions.json").read_text("utf-8"))
    shipped["languages"]["en"]["dual"]["any"].append("What about {colour}?")
    home.config("questions.json", shipped)
    home.memory("The boiler leaked and Tom brought buckets upstairs.")
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status != 0 and "{colour}" in result.err and "questions.json" in result.err

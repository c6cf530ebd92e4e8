"""A correction of an earlier text says another number, day, name or the contrary; other wording is none."""

from __future__ import annotations

from typing import Final

import pytest

from curator.language.corrections import facts, is_correction
from curator.language.identify import KNOWN
from curator.language.telling_words import FUNCTION_WORDS, TELLING

# Language -> a text, corrections of it, and what says the same: other wording, a letter, punctuation, spelling, order.
TEXTS: Final = {
    "en": (
        "The meeting with Anna is on Tuesday at three, and I will bring the plans for the roof.",
        [
            "The meeting with Anna is on Tuesday at four, and I will bring the plans for the roof.",
            "The meeting with Anna is on Friday at three, and I will bring the plans for the roof.",
            "The meeting with Peter is on Tuesday at three, and I will bring the plans for the roof.",
            "The meeting with Anna is on Tuesday at three, and I won't bring the plans for the roof.",
            "The meeting with Anna is on Tuesday at 3:30, and I will bring the plans for the roof.",
        ],
        [
            "The meeting with Anna is on Tuesday at 3, and I will bring the plans for the roof!",
            "The meeting with Anna is on Tuesday at three and I shall bring the drawings for the roof.",
            "The meeting with Anna is on Teusday at three, and I will brnig the plans for the Roof.",
        ],
    ),
    "de": (
        "Das Treffen mit Peter ist am Dienstag um drei, und ich bringe die Pläne für das Dach mit.",
        [
            "Das Treffen mit Peter ist am Dienstag um vier, und ich bringe die Pläne für das Dach mit.",
            "Das Treffen mit Peter ist am Freitag um drei, und ich bringe die Pläne für das Dach mit.",
            "Das Treffen mit Klaus ist am Dienstag um drei, und ich bringe die Pläne für das Dach mit.",
            "Das Treffen mit Peter ist am Dienstag um drei, und ich bringe die Pläne für das Dach nicht mit.",
        ],
        [
            "Das Treffen mit Peter ist am Dienstag um 3 und ich bringe die Zeichnungen für das Dach mit.",
            "Das Gespräch mit Peter ist am Dienstag um drei, und ich bringe die neuen Pläne für das Haus mit.",
        ],
    ),
    "fr": (
        "La réunion avec Anna est mardi à trois heures et je vais apporter les plans du toit.",
        [
            "La réunion avec Anna est mardi à quatre heures et je vais apporter les plans du toit.",
            "La réunion avec Anna est vendredi à trois heures et je vais apporter les plans du toit.",
            "La réunion avec Pierre est mardi à trois heures et je vais apporter les plans du toit.",
            "La réunion avec Anna est mardi à trois heures et je ne vais pas apporter les plans du toit.",
        ],
        [
            "La réunion avec Anna est mardi à 3 heures, et je vais apporter les dessins du toit !",
            "La réunion avec Anna c'est mardi à trois heures et je vais aporter les plans du toit.",
        ],
    ),
    "es": (
        "La reunión con Ana es el martes a las tres y voy a llevar los planos del techo.",
        [
            "La reunión con Ana es el martes a las cuatro y voy a llevar los planos del techo.",
            "La reunión con Ana es el viernes a las tres y voy a llevar los planos del techo.",
            "La reunión con Pedro es el martes a las tres y voy a llevar los planos del techo.",
            "La reunión con Ana es el martes a las tres y no voy a llevar los planos del techo.",
        ],
        ["¿La reunión con Ana? Es el martes a las 3, y voy a llevar los dibujos del techo."],
    ),
    "it": (
        "La riunione con Anna è martedì alle tre e porto io i disegni del tetto della casa.",
        [
            "La riunione con Anna è martedì alle quattro e porto io i disegni del tetto della casa.",
            "La riunione con Anna è venerdì alle tre e porto io i disegni del tetto della casa.",
            "La riunione con Pietro è martedì alle tre e porto io i disegni del tetto della casa.",
            "La riunione con Anna è martedì alle tre e non porto io i disegni del tetto della casa.",
        ],
        ["La riunione con Anna è martedì, alle 3: e porto io i progetti del tetto della casa!"],
    ),
    "pt": (
        "A reunião com a Ana é na terça às três e eu vou levar os desenhos do telhado para a casa.",
        [
            "A reunião com a Ana é na terça às quatro e eu vou levar os desenhos do telhado para a casa.",
            "A reunião com a Ana é na sexta às três e eu vou levar os desenhos do telhado para a casa.",
            "A reunião com a Rita é na terça às três e eu vou levar os desenhos do telhado para a casa.",
            "A reunião com a Ana é na terça às três e eu não vou levar os desenhos do telhado para a casa.",
        ],
        ["A reunião com a Ana é na terça, às 3, e eu vou levar no carro os desenhos do telhado para a casa!"],
    ),
    "ru": (
        "Встреча с Анной во вторник в три часа, и я принесу чертежи крыши для нашего дома.",
        [
            "Встреча с Анной во вторник в четыре часа, и я принесу чертежи крыши для нашего дома.",
            "Встреча с Анной в пятницу в три часа, и я принесу чертежи крыши для нашего дома.",
            "Встреча с Петром во вторник в три часа, и я принесу чертежи крыши для нашего дома.",
            "Встреча с Анной во вторник в три часа, и я не принесу чертежи крыши для нашего дома.",
        ],
        ["Встреча с Анной — во вторник в 3 часа, и я принесу планы крыши для нашего дома!"],
    ),
    "ar": (
        "الاجتماع مع السيد سمير يوم الثلاثاء في الساعة الثالثة وسوف أحضر رسوم السقف معي إلى البيت",
        [
            "الاجتماع مع السيد سمير يوم الثلاثاء في الساعة الرابعة وسوف أحضر رسوم السقف معي إلى البيت",
            "الاجتماع مع السيد سمير يوم الجمعة في الساعة الثالثة وسوف أحضر رسوم السقف معي إلى البيت",
            "الاجتماع مع السيد كريم يوم الثلاثاء في الساعة الثالثة وسوف أحضر رسوم السقف معي إلى البيت",
            "الاجتماع مع السيد سمير يوم الثلاثاء في الساعة الثالثة ولن أحضر رسوم السقف معي إلى البيت",
        ],
        [
            "الاجتماعُ مع السيد سمير، يوم الثلاثاء في الساعة الثالثة؛ وسوف أحضر رسوم السقف معي إلى البيت.",
            "الاجتماع مع السيد سمير الثلاثاء في الساعة الثالثة وسوف أحضر مخطط السقف معي إلى البيت",
        ],
    ),
    "hi": (
        "सुनीता जी के साथ बैठक मंगलवार को तीन बजे है और मैं छत के नक्शे अपने साथ लाऊँगा।",
        [
            "सुनीता जी के साथ बैठक मंगलवार को चार बजे है और मैं छत के नक्शे अपने साथ लाऊँगा।",
            "सुनीता जी के साथ बैठक शुक्रवार को तीन बजे है और मैं छत के नक्शे अपने साथ लाऊँगा।",
            "कमला जी के साथ बैठक मंगलवार को तीन बजे है और मैं छत के नक्शे अपने साथ लाऊँगा।",
            "सुनीता जी के साथ बैठक मंगलवार को तीन बजे है और मैं छत के नक्शे अपने साथ नहीं लाऊँगा।",
        ],
        ["सुनीता जी के साथ बैठक मंगलवार को ३ बजे है, और मै छत के चित्र अपने साथ लाऊंगा"],
    ),
    "ko": (
        "민수 씨와 회의는 화요일 세 시에 하고 나는 지붕 도면을 집에서 가져갈 거예요",
        [
            "민수 씨와 회의는 화요일 네시에 하고 나는 지붕 도면을 집에서 가져갈 거예요",
            "민수 씨와 회의는 금요일 세 시에 하고 나는 지붕 도면을 집에서 가져갈 거예요",
            "철수 씨와 회의는 화요일 세 시에 하고 나는 지붕 도면을 집에서 가져갈 거예요",
            "민수 씨와 회의는 화요일 세 시에 하고 나는 지붕 도면을 집에서 안 가져갈 거예요",
        ],
        ["민수 씨와 회의는 화요일 3 시에 하고, 나는 지붕 그림을 집에서 가져갈 거예요."],
    ),
    "zh": (
        "小美说星期二下午三点在公司门口开会，我会把屋顶的图纸带过去给大家看。",
        [
            "小美说星期二下午四点在公司门口开会，我会把屋顶的图纸带过去给大家看。",
            "小美说星期五下午三点在公司门口开会，我会把屋顶的图纸带过去给大家看。",
            "小明说星期二下午三点在公司门口开会，我会把屋顶的图纸带过去给大家看。",
            "小美说星期二下午三点在公司门口开会，我不会把屋顶的图纸带过去给大家看。",
        ],
        ["小美说周二下午3点在公司门口开会 我会把屋顶的图样带过去给大家看"],
    ),
    "ja": (
        "田中さんとの会議は火曜日の午後三時からで、私は屋根の図面を家から持って行きます。",
        [
            "田中さんとの会議は火曜日の午後四時からで、私は屋根の図面を家から持って行きます。",
            "田中さんとの会議は金曜日の午後三時からで、私は屋根の図面を家から持って行きます。",
            "佐藤さんとの会議は火曜日の午後三時からで、私は屋根の図面を家から持って行きます。",
            "田中さんとの会議は火曜日の午後三時からで、私は屋根の図面を家から持って行きません。",
        ],
        ["田中さんとの会議は火曜日の午後３時から 私は屋根の絵を家から持って行きます"],
    ),
    "th": (
        "ประชุมกับลุงสมชายวันอังคารตอนบ่ายสามโมงและฉันจะเอาแบบหลังคาไปจากที่บ้านด้วย",
        [
            "ประชุมกับลุงสมชายวันอังคารตอนบ่ายสี่โมงและฉันจะเอาแบบหลังคาไปจากที่บ้านด้วย",
            "ประชุมกับลุงสมชายวันศุกร์ตอนบ่ายสามโมงและฉันจะเอาแบบหลังคาไปจากที่บ้านด้วย",
            "ประชุมกับลุงวิชัยวันอังคารตอนบ่ายสามโมงและฉันจะเอาแบบหลังคาไปจากที่บ้านด้วย",
            "ประชุมกับลุงสมชายวันอังคารตอนบ่ายสามโมงและฉันจะไม่เอาแบบหลังคาไปจากที่บ้านด้วย",
        ],
        ["ประชุมกับลุงสมชายวันอังคารตอนบ่าย 3 โมง และฉันจะเอารูปหลังคาไปจากที่บ้านด้วย"],
    ),
}  # fmt: skip


def test_every_language_has_its_words() -> None:
    assert set(TEXTS) == set(TELLING) == set(KNOWN)
    assert set(FUNCTION_WORDS) == {"en", "de", "fr", "es", "it", "pt"}, "the languages in Latin letters"


@pytest.mark.parametrize("language", TEXTS)
def test_another_number_day_name_or_the_contrary_is_a_correction(language: str) -> None:
    text, corrections, _ = TEXTS[language]
    for other in corrections:
        assert is_correction(facts(text), facts(other)), other
        assert is_correction(facts(other), facts(text)), other


@pytest.mark.parametrize("language", TEXTS)
def test_other_wording_spelling_and_punctuation_are_none(language: str) -> None:
    text, _, same = TEXTS[language]
    for other in same:
        assert not is_correction(facts(text), facts(other)), other
        assert not is_correction(facts(other), facts(text)), other


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("We met Martin by the bridge", "We met Marlin by the bridge", False),  # a letter of a long name: mistyped
        ("We met Anna by the bridge", "We met Anne by the bridge", True),
        ("we saw 1,200 geese", "we saw 1200 geese", False),
        ("we saw ١٢ geese", "we saw 12 geese", False),
        ("I do not go there", "I don't go there", False),
        ("I can not go there", "I cannot go there", False),
        ("Rain fell. Then we went home", "Rain fell. Afterwards we went home", False),  # capitals of sentences
        ("IT RAINED ON THE SHED", "IT RAINED ON THE BARN", False),  # all in capitals: nothing shows a name
        ("from 3 to 5 we waited there", "from 5 to 3 we waited there", True),
    ],
)
def test_single_traits(one: str, other: str, is_one: bool) -> None:
    assert is_correction(facts(one), facts(other)) == is_one

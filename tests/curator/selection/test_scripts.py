"""Near-duplicates, corrections and the holdout in thirteen languages, checked by comparisons written for this test."""

from __future__ import annotations

import difflib
import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from typing import Any, Final

import pytest
from conftest import Home, Result, rows

from curator.language.identify import KNOWN
from curator.selection import shingles

Curate = Callable[..., Result]
# Language -> words that say neither number, day, name nor negation.
BANKS: Final = {
    "en": (
        "boat harbour lamp rope garden letter bread kettle window river street winter-coat old green "
        "slowly quietly carries mends paints opens beside under behind with our the a some every narrow"
    ),
    "de": (
        "das rote boot am alten hafen eine lampe im garten der brief neben dem fenster und ein langes seil "
        "unter unserer treppe langsam leise trägt repariert öffnet hinter grünen schmalen weg"
    ),
    "fr": (
        "le bateau rouge au vieux port une lampe dans notre jardin la lettre près de cette fenêtre et "
        "corde longue sous escalier lentement porte répare ouvre derrière vert étroit chemin"
    ),
    "es": (
        "el barco rojo del viejo puerto una lámpara en nuestro jardín la carta junto a esa ventana y "
        "cuerda larga bajo escalera despacio lleva arregla abre detrás verde estrecho camino"
    ),
    "it": (
        "la barca rossa del vecchio porto una lampada nel nostro giardino lettera vicino a quella finestra "
        "e corda lunga sotto scala piano porta ripara apre dietro verde stretto sentiero"
    ),
    "pt": (
        "o barco vermelho do velho porto uma lâmpada em nosso jardim carta perto daquela janela e corda "
        "longa sob escada devagar leva conserta abre atrás verde estreito caminho"
    ),
    "ru": (
        "красная лодка старый порт лампа наш сад письмо около того окна и длинная верёвка под лестницей "
        "медленно тихо несёт чинит открывает за зелёный узкий путь"
    ),
    "ar": (
        "القارب الأحمر في المرسى القديم مصباح حديقتنا الرسالة قرب تلك النافذة والحبل الطويل تحت الدرج ببطء "
        "يحمل يصلح يفتح خلف الأخضر ضيق الطريق إلى بيت"
    ),
    "hi": (
        "लाल नाव पुराने घाट पर दीपक हमारे बगीचे में चिट्ठी उस खिड़की के पास और लंबी रस्सी सीढ़ी नीचे धीरे चुपचाप उठाता "
        "सुधारता खोलता पीछे हरा संकरा रास्ता"
    ),
    "ko": (
        "빨간 배가 낡은 항구에 등불 우리 정원 편지는 창문 곁에 그리고 긴 밧줄을 계단 아래 천천히 조용히 "
        "나른다 고친다 연다 뒤에서 푸른 좁은 길"
    ),
    "zh": (
        "红色 小船 旧码头 灯笼 我们的 花园 信件 靠近 那扇 窗户 和 绳子 楼梯 下面 慢慢 悄悄 搬运 修理 打开 "
        "后面 绿色 窄 道路 面包 街上 河边"
    ),
    "ja": (
        "赤い 舟が 古い 港で 明かり わたしたちの 庭 手紙は その 窓 そばに 長い 綱を 階段 下 ゆっくり "
        "静かに 運ぶ 直す 開ける 後ろ 緑の 狭い 道 パン 川辺"
    ),
    "th": (
        "เรือ สีแดง ท่าเรือ เก่า ตะเกียง สวน ของเรา จดหมาย ใกล้ หน้าต่าง นั้น และ เชือก ยาว ใต้ บันได ช้าช้า เงียบเงียบ ขน "
        "ซ่อม เปิด ข้างหลัง สีเขียว แคบ ถนน ขนมปัง"
    ),
}
# Language -> what stands between words, the comma and the full stop, where they are not those of Latin letters.
MARKS: Final = {
    "ar": (" ", "،", "."),
    "hi": (" ", ",", "।"),
    "zh": ("", "，", "。"),
    "ja": ("", "、", "。"),
    "th": ("", " ", ""),
}
WORDS: Final = 16


def sentence(language: str, words: list[str], marked: bool) -> str:
    """Join words as the language does, with or without punctuation."""
    blank, comma, stop = MARKS.get(language, (" ", ",", "."))
    text = blank.join(words[:6]) + (comma if marked else "") + blank + blank.join(words[6:])
    return text + (stop if marked else ("" if language == "th" else "!"))


def planted(language: str, dice: random.Random, home: Home) -> None:
    """Add forty entries, each with a twin: in punctuation, a word, or a number; and sixteen replies given twice."""
    bank = BANKS[language].split()
    for number in range(40):
        words = [*dice.sample(bank, 15)[:7], "5", *dice.choices(bank, k=WORDS - 8)]
        other = [*words]
        if number % 3 == 1:
            other[2] = dice.choice(bank)
        elif number % 3 == 2:
            other[7] = "6"
        home.memory(sentence(language, words, True), type="journal")
        home.memory(sentence(language, other, False), type="journal")
    for _ in range(16):
        reply = dice.choices(bank, k=WORDS)
        for marked in (True, False):
            question = sentence(language, dice.choices(bank, k=10), True)
            home.memory(question, response=sentence(language, reply, marked))


def compared(sample: dict[str, Any]) -> str:
    if sample["metadata"].get("prompted"):
        return str(sample["assistant_text"])
    return f"{sample['user_text']}\n{sample['assistant_text']}"


def letters(text: str) -> str:
    """Letters and digits alone, without the marks that Arabic and Hindi writers leave out."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub("[\u064b-\u0652\u0640\u093c\u0902]", "", plain)
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] in "LMN")


def alike(one: str, other: str) -> float:
    """The share of characters that stand in both texts, in order."""
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() > 0.8 and matcher.quick_ratio() > 0.8 else 0.0


def bigrams(text: str, language: str) -> frozenset[tuple[str, ...]]:
    """Pairs of words that follow each other, written for this test: of characters in Chinese, Japanese and Thai."""
    folded = unicodedata.normalize("NFKC", text).lower()
    folded = re.sub("[أإآ]", "ا", folded).replace("ة", "ه").replace("ى", "ي").replace("ё", "е")
    folded = re.sub("[\u064b-\u0652\u0640\u093c\u0901\u0902]", "", folded)
    words = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in folded).split()
    if language in ("zh", "ja", "th"):
        letter = re.compile(r"[0-9a-z]+|[^0-9][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*")
        words = [part for word in words for part in letter.findall(word)]
    return frozenset(pairwise(words))


def samples_of(result: Result) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yield each sample and whether it is held out."""
    for sample in json.loads((result.run / "curated_memories.json").read_text("utf-8")):
        yield sample["metadata"].get("split") == "holdout", sample


def test_every_language_is_tried() -> None:
    assert set(BANKS) == set(KNOWN)


@pytest.mark.parametrize("language", BANKS)
def test_no_twin_stands_across_the_split_and_the_highest_similarity_is_true(
    language: str, curate: Curate, home: Home
) -> None:
    planted(language, random.Random(f"twins/{language}"), home)
    home.config("curate.json", {"holdout": {"share": 0.1, "minimum": 4, "minimum_from": 20}})
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    report = json.loads((result.run / "report.json").read_text("utf-8"))
    sides: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for held, sample in samples_of(result):
        sides[held].append(sample)
    assert len(sides[True]) >= 4, report["warnings"]
    for held, trained in product(sides[True], sides[False]):
        for texts in ((compared(held), compared(trained)), (held["assistant_text"], trained["assistant_text"])):
            assert alike(*map(letters, texts)) < 0.9, texts
    truth = 0.0
    for held, trained in product(sides[True], sides[False]):
        one, other = bigrams(compared(held), language), bigrams(compared(trained), language)
        truth = max(truth, len(one & other) / len(one | other))
    assert report["holdout"]["highest_similarity"] == pytest.approx(truth, abs=1e-4)
    twins_go_and_corrections_stay(result)


def twins_go_and_corrections_stay(result: Result) -> None:
    """Check what became of the second of each pair of entries."""
    dropped = [row for row in rows(result.run / "dropped.jsonl") if row["reason"] in ("near_duplicate", "duplicate")]
    gone = {row["memory_id"] for row in dropped}
    for number in range(40):
        twin = f"evt-{2 * number + 2:06}"
        assert (twin in gone) == (number % 3 != 2), (number, twin)


SAME: Final = [
    ("今天下午我去河边，船底又漏水了。", "今天下午我去河边 船底又漏水了"),
    ("「赤い舟」が港に着いた、と聞いた。", "赤い舟が港に着いたと聞いた"),
    ("ذَهَبْتُ اليومَ إلى السوقِ، واشتريتُ خبزًا؟", "ذهبت اليوم إلى السوق واشتريت خبزا"),
    ("كتــــاب جديد في البيت الكبير", "كتاب جديد في البيت الكبير"),
    ("שָׁלוֹם לְכָל הַיְלָדִים בַּבַּיִת", "שלום לכל הילדים בבית"),
    ("आज मैं घाट पर गया। नाव में पानी था॥", "आज मै घाट पर गया नाव मे पानी था"),
    ("हिन्दी की किताब ज़रूर पढ़ना", "हिंदी की किताब जरूर पढना"),
    ("¿Sabes qué? ¡Hoy fui al muelle!", "Sabes qué, hoy fui al muelle"),
    ("« Le bateau » est au port…", "Le bateau est au port"),
    ("Ещё идёт дождь, и всё мокро", "Еще идет дождь и все мокро"),
    ("วันนี้ฉันไปดูเรือเก่าฯ ที่ท่าเรือ", "วันนี้ฉันไปดูเรือเก่าที่ท่าเรือ"),
    ("ថ្ងៃនេះខ្ញុំទៅមើលទូក។", "ថ្ងៃនេះខ្ញុំទៅមើលទូក"),
    ("ဒီနေ့လှေကိုသွားကြည့်တယ်။", "ဒီနေ့လှေကိုသွားကြည့်တယ်"),
    ("དེ་རིང་གྲུ་ལ་ཕྱིན། ཆུ་འདུག", "དེ་རིང་གྲུ་ལ་ཕྱིན་ཆུ་འདུག"),
    ("오늘, 배를 보러 갔다。", "오늘 배를 보러 갔다"),
    ("Այսօր նավակը տեսա։", "Այսօր նավակը տեսա"),
    ("ዛሬ፡ጀልባውን፡አየሁ።", "ዛሬ ጀልባውን አየሁ"),
    ("Ｔｈｅ　ｐｕｍｐ　ｌｅａｋｓ！", "the pump leaks"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_punctuation_and_vowel_marks_of_no_script_tell_texts_apart(one: str, other: str) -> None:
    sets = shingles.shingle_sets([shingles.compared("", text) for text in (one, other)], 2)
    first, second = (sets.values[sets.offsets[n] : sets.offsets[n + 1]].tolist() for n in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("कल हम घर जाएंगे", "कल हम घर जाते"),  # vowel signs of Hindi belong to the word
        ("มา ไม่ ไกล", "หมา ไม้ ใกล้"),
        ("水泵漏了", "水泵好了"),
        ("der Bär kam", "der Bar kam"),
    ],
)
def test_what_tells_words_apart_is_kept(one: str, other: str) -> None:
    assert shingles.compared("", one) != shingles.compared("", other)
    sets = shingles.shingle_sets([shingles.compared("", text) for text in (one, other)], 2)
    assert sets.values[: sets.offsets[1]].tolist() != sets.values[sets.offsets[1] :].tolist()

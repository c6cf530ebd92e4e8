"""The questions of etc/prompts.json in the memory's language; what leans on the turn before, in thirteen languages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import Home, Result, rows

from curator.config import PromptsConfig, load_settings
from curator.language.identify import KNOWN
from curator.sampling.pairing import PairingHelpers

Curate = Callable[..., Result]
SETTINGS: Final = load_settings(None)
PAIRING: Final = PairingHelpers(SETTINGS)
ETC: Final = Path(__file__).parents[3] / "etc"

DIARIES: Final = {
    "en": "The ladder broke this morning, so I stayed on the ground and raked leaves until the light went.",
    "de": "Heute früh ist die Leiter gebrochen, also blieb ich am Boden und harkte Laub, bis es dunkel wurde.",
    "fr": "L'échelle a cassé ce matin, je suis donc resté en bas et j'ai ratissé les feuilles jusqu'à la nuit.",
    "es": "Esta mañana se rompió la escalera, así que me quedé abajo y barrí las hojas hasta que se hizo de noche.",
    "it": "Stamattina si è rotta la scala, quindi sono rimasto giù a rastrellare le foglie finché non ha fatto buio.",
    "pt": "Hoje de manhã a escada quebrou, então fiquei no chão e juntei as folhas até escurecer de vez.",
    "ru": "Сегодня утром сломалась лестница, поэтому пришлось остаться внизу и сгребать листья до темноты.",
    "zh": "今天早上梯子断了，所以我留在地面上扫落叶，一直扫到天黑才回屋里去。",
    "ja": "今朝はしごが折れたので、暗くなるまで地面で落ち葉をかき集めていました。",
    "ko": "오늘 아침에 사다리가 부러져서 어두워질 때까지 땅에서 낙엽을 긁어모았다.",
    "ar": "انكسر السلّم هذا الصباح، فبقيت على الأرض أجمع أوراق الشجر حتى حلّ الظلام.",
    "hi": "आज सुबह सीढ़ी टूट गई, इसलिए अँधेरा होने तक मैं नीचे ही पत्ते समेटता रहा।",
    "th": "เมื่อเช้าบันไดหัก ฉันเลยอยู่ข้างล่างกวาดใบไม้จนมืด แล้วค่อยกลับเข้าบ้าน",
}
LATIN: Final = frozenset({"en", "de", "fr", "es", "it", "pt"})


def questions(mode: str, kind: str, language: str) -> list[str]:
    shipped = json.loads((ETC / "prompts.json").read_text("utf-8"))
    lists = shipped if language == "en" else shipped["languages"][language]
    return list(lists[mode][kind])


@pytest.mark.parametrize("language", KNOWN)
def test_a_diary_is_asked_about_in_its_own_language(curate: Curate, home: Home, language: str) -> None:
    home.memory(DIARIES[language], type="journal")
    home.memory(DIARIES[language] + DIARIES[language], type="reflection")
    done = curate("run", "--home", home.folder, "--username", "ann", "--questions", "stock")
    asked = {(one["mode"], one["user_text"]) for one in rows(done.run / "curated_memories.json")}
    assert asked
    for mode, question in asked:
        assert question in questions(mode, "journal" if mode == "emulation" else "reflection", language)


def test_a_tool_call_is_asked_for_in_the_language_of_its_memory(curate: Curate, home: Home) -> None:
    tool = {"toolName": "note_add", "toolInputs": {"text": "Leiter leimen"}, "toolOutputs": {"ok": True}}
    home.memory(DIARIES["de"], type="tool_invocation", metadata=tool | {"cognitiveMode": "agent"})
    done = curate("run", "--home", home.folder, "--username", "ann")
    (one,) = rows(done.run / "curated_memories.json")
    wanted = [
        text.replace("{tool}", "note_add").replace("{inputs}", '{"text":"Leiter leimen"}')
        for text in questions("agent", "tool_invocation", "de")
    ]
    assert one["user_text"] in wanted


def test_a_home_s_file_without_languages_asks_in_every_language(curate: Curate, home: Home) -> None:
    own = {mode: {"default": [f"{mode}: ¿y bien?"]} for mode in ("dual", "emulation", "agent")}
    home.config("prompts.json", own)
    for language in ("zh", "de", "en"):
        home.memory(DIARIES[language], type="journal")
    done = curate("run", "--home", home.folder, "--username", "ann")
    asked = {one["user_text"] for one in rows(done.run / "curated_memories.json")}
    assert asked == {"emulation: ¿y bien?"}


def prompts(**more: object) -> PromptsConfig:
    """The settings of a home whose questions are single letters."""
    lists = {"dual": {"default": ["d"]}, "emulation": {"default": ["e"]}, "agent": {"default": ["a"]}}
    return PromptsConfig.model_validate_json(json.dumps(lists | more))


def test_a_language_with_few_questions_takes_its_defaults_then_the_top_level() -> None:
    esperanto = {"emulation": {"default": ["e-eo"], "dream": ["e-eo-dream"]}, "modes": {"tide": {"default": ["t"]}}}
    own = prompts(modes={"harbour": {"default": ["h"]}}, languages={"eo": esperanto})
    wanted = {
        ("emulation", "dream"): "e-eo-dream", ("emulation", "journal"): "e-eo", ("dual", "dream"): "d",
        ("agent", "task"): "a", ("harbour", "task"): "h", ("tide", "task"): "t", ("unheard", "dream"): "e-eo-dream",
    }  # fmt: skip
    assert {kind: own.questions(*kind, "eo") for kind in wanted} == {kind: (text,) for kind, text in wanted.items()}
    assert own.questions("emulation", "dream", "und") == ("e",)


def test_an_empty_question_of_a_language_is_an_error() -> None:
    with pytest.raises(ValueError, match="no questions, or an empty one, for dream"):
        prompts(languages={"de": {"dual": {"dream": [" "]}}})


def test_the_shipped_questions_are_whole_and_each_in_its_script() -> None:
    shipped: dict[str, Any] = json.loads((ETC / "prompts.json").read_text("utf-8"))
    scripts = {"ru": "а-яё", "zh": "\u4e00-\u9fff", "ja": "\u3040-\u9fff", "ko": "가-힣", "ar": "\u0600-\u06ff"}
    scripts |= {"hi": "\u0900-\u097f", "th": "\u0e00-\u0e7f"}
    assert {"en", *shipped["languages"]} == set(KNOWN)
    for code, lists in shipped["languages"].items():
        for mode in ("dual", "emulation", "agent"):
            assert list(lists[mode]) == list(shipped[mode]), (code, mode)
            for kind, texts in lists[mode].items():
                assert len(texts) == len(set(texts)) == len(shipped[mode][kind]), (code, mode, kind)
                plain = "".join(texts).replace("{tool}", "").replace("{inputs}", "")
                assert plain.isascii() is False or code in LATIN
                assert code in LATIN or not any("a" <= sign <= "z" for sign in plain.lower()), (code, texts)
                assert [("{tool}" in text) == ("{tool}" in shipped[mode][kind][0]) for text in texts], (code, kind)
        assert all("{tool}" in text and "{inputs}" in text for text in lists["agent"]["tool_invocation"])


LEANS: Final = {
    "en": [("Where is it?", "That one, behind the shed."), ("And then?", "She sold the ladder to Ruth.")],
    "de": [("Was nimmst du?", "Das gleiche, bitte."), ("Und das?", "Das hat Ruth gebaut, vor Jahren.")],
    "fr": [("Tu prends quoi ?", "Celui-là, derrière la remise."), ("Et après ?", "Elle a vendu l'échelle.")],
    "es": [("¿Cuál?", "Lo mismo de siempre."), ("¿Y luego?", "Vendió la escalera.")],
    "it": [("Cosa prendi?", "Lo stesso, grazie."), ("E poi?", "Ha venduto la scala.")],
    "pt": [("O que leva?", "O mesmo, por favor."), ("E depois?", "Vendeu a escada.")],
    "ru": [("Что берёшь?", "То же самое."), ("А потом?", "Продала лестницу.")],
    "zh": [("你要什么？", "同上。"), ("然后呢？", "她把梯子卖了。")],
    "ja": [("何にする？", "同じです。"), ("それで？", "はしごを売ったよ。")],
    "ko": [("뭐로 할래요?", "같은 거요."), ("그래서?", "사다리를 팔았어요.")],
    "ar": [("ماذا تأخذ؟", "نفس الشيء."), ("ثم ماذا؟", "باعت السلّم.")],
    "hi": [("क्या लेंगे?", "वही।"), ("और फिर?", "उसने सीढ़ी बेच दी।")],
    "th": [("เอาอะไร", "เหมือนเดิม"), ("แล้วไงต่อ", "เธอขายบันไดไปแล้ว")],
}
STANDS: Final = {
    "en": [("Who won?", "The sameness of it all bored Ruth."), ("The second floor is wet.", "Call Ruth about it.")],
    "de": [("Ist alles da?", "Ja, das Regal steht."), ("Und das Wetter am Sonntag?", "Regen bis in den Abend."),
           ("Welches Holz nimmst du?", "Eiche, wie immer."), ("Wie geht es allen?", "Beide haben Husten.")],
    "fr": [("Et la météo ?", "Le même nuage depuis lundi."), ("La deuxième marche grince.", "Huile-la demain.")],
    "es": [("¿Qué tal?", "Lo mismo que ayer decía Ruth lo digo yo."), ("La otra escalera cruje.", "Engrásala.")],
    "it": [("Come va?", "La prima neve è arrivata."), ("Il secondo gradino scricchiola.", "Oliamolo.")],
    "pt": [("Como vai?", "A primeira neve chegou."), ("O segundo degrau range.", "Ponha óleo.")],
    "ru": [("Как дела?", "Первый снег выпал."), ("Второй этаж мокрый.", "Позвони Рут.")],
    "zh": [("怎么样？", "一样的木头也会裂。"), ("第二个台阶响。", "上点油吧。")],
    "ja": [("どう？", "同じ木でも割れます。"), ("それでは出かけますか。", "五時に出ます。")],
    "ko": [("어때요?", "첫 번째 계단이 삐걱거려요."), ("그래서 사다리를 샀어요?", "어제 샀어요.")],
    "ar": [("كيف الحال؟", "الأول من يناير كان ممطرًا."), ("الثاني من الدرجات يصرّ.", "زيّته.")],
    "hi": [("कैसे हो?", "दोनों बच्चों को खाँसी है।"), ("वही सीढ़ी टूटी?", "हाँ, कल शाम टूटी।")],
    "th": [("เป็นไง", "เหมือนกันหมดทุกบ้าน"), ("อันแรกคือบันไดไม้โอ๊ก", "ซื้อมาจากรุจ")],
}  # fmt: skip


@pytest.mark.parametrize(("said", "reply"), [pair for pairs in LEANS.values() for pair in pairs])
def test_what_leans_on_the_turn_before_is_known(said: str, reply: str) -> None:
    assert PAIRING.leans_on_context(said, reply)


@pytest.mark.parametrize(("said", "reply"), [pair for pairs in STANDS.values() for pair in pairs])
def test_what_stands_alone_is_left_alone(said: str, reply: str) -> None:
    assert not PAIRING.leans_on_context(said, reply)


ACKNOWLEDGES: Final = (
    "Yes, that's right.", "That’s great!", "ok", "Ja, genau.", "Alles klar, danke!", "D'accord, merci !", "Sí, vale.",
    "¡Muchas gracias!", "Sì, va bene.", "Tá bom, obrigada", "Да, спасибо!", "хорошо", "好的", "好的，谢谢！", "嗯嗯",
    "收到",
    "はい", "はい、わかりました。", "うん、ありがとう", "네, 알겠습니다.", "ㅇㅇ", "نعم، شكرًا", "تمام", "जी हाँ, ठीक है।",
    "धन्यवाद!", "ครับ", "โอเคครับ ขอบคุณมาก", "ค่ะ", "👍", "🙏🏽 🙏🏽",
)  # fmt: skip
SAYS_SOMETHING: Final = (
    "Yes, the ladder.", "Danke an Ruth", "Oui, l'échelle", "Sí, la escalera", "да, лестница", "好的梯子", "好人",
    "はいはしご",
    "네, 사다리요", "نعم السلم", "हाँ सीढ़ी", "ครับบันได", "👍 ladder", "🍕?", "?", "…", "", "ok " * 20,
)  # fmt: skip


@pytest.mark.parametrize("text", ACKNOWLEDGES)
def test_an_acknowledgement_is_one_in_every_language(text: str) -> None:
    assert PAIRING.only_acknowledges(text)


@pytest.mark.parametrize("text", SAYS_SOMETHING)
def test_what_says_something_is_none(text: str) -> None:
    assert not PAIRING.only_acknowledges(text)


@pytest.mark.parametrize(
    ("thanks", "reply"),
    [("好的", "梯子我收回棚子里了，门也锁好了。"), ("да, спасибо", "Лестница в сарае, дверь на замке."),
     ("ครับ", "เก็บบันไดเข้าโรงแล้ว ล็อกประตูแล้วด้วย")],
)  # fmt: skip
def test_the_answer_to_an_acknowledgement_needs_the_turn_before(
    curate: Curate, home: Home, thanks: str, reply: str
) -> None:
    home.memory(
        messages=[
            {"role": "user", "content": "Is the ladder put away?"},
            {"role": "assistant", "content": "Not before it stops raining."},
            {"role": "user", "content": thanks},
            {"role": "assistant", "content": reply},
        ]
    )
    done = curate("run", "--home", home.folder, "--username", "ann", "--context", "drop")
    assert [drop["reason"] for drop in rows(done.run / "dropped.jsonl")] == ["needs_context"]

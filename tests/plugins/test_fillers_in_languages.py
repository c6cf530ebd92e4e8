"""Fillers go in thirteen languages, and no meaning goes with them: what must change, and what must stay as it is."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest
from conftest import Home, Result, rows
from curator_plugins.cleaners import replies

from curator import MemoryEvent
from curator.config import FillerLanguage, FillersConfig, load_settings
from curator.language.identify import KNOWN

SETTINGS: Final = load_settings(None)
EVENT: Final = MemoryEvent("0" * 16, "evt", "a.json", "", 0, "conversation")
CLEAN: Final = {one.name: one.clean for one in replies.register_cleaners(SETTINGS)}

# language -> (reply, what is left)
CHANGED: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "en": (
        ("Sure, the ladder stands behind the shed.", "The ladder stands behind the shed."),
        ("Of course! If the hinge squeaks, oil it.", "If the hinge squeaks, oil it."),
        ("Sure, where does the ladder stand?", "Where does the ladder stand?"),
        ("Great question, but nobody knows.", "But nobody knows."),
        ("**Great question!** The ladder is oak.", "The ladder is oak."),
        ("OK, iPhone first, then the lamp.", "iPhone first, then the lamp."),
        ("As an AI I cannot climb. Ask Ruth.", "Ask Ruth."),
        ("As an AI, I cannot see it, but the hinge needs oil.", "But the hinge needs oil."),
        ("The hinge is oiled. I hope this helps, and call Ruth tonight.", "The hinge is oiled. And call Ruth tonight."),
        ("It’s oiled. Let me know if there’s anything else!", "It’s oiled."),
    ),
    "de": (
        ("Klar, die Leiter steht hinter dem Schuppen.", "Die Leiter steht hinter dem Schuppen."),
        ("Natürlich! Wenn das Scharnier quietscht, öl es.", "Wenn das Scharnier quietscht, öl es."),
        ("Klar, wo steht die Leiter?", "Wo steht die Leiter?"),
        ("Gute Frage! Die Leiter ist aus Eiche.", "Die Leiter ist aus Eiche."),
        ("Als Sprachmodell habe ich keine Hände. Frag Ruth.", "Frag Ruth."),
        ("Als KI sehe ich nichts, aber das Scharnier braucht Öl.", "Aber das Scharnier braucht Öl."),
        ("Es ist geölt. Ich hoffe, das hilft dir weiter!", "Es ist geölt."),
    ),
    "fr": (
        ("Bien sûr, l'échelle est derrière la remise.", "L'échelle est derrière la remise."),
        ("Bien sûr ! L'échelle est en chêne.", "L'échelle est en chêne."),
        ("Bonne question ! Demande à Ruth.", "Demande à Ruth."),
        ("En tant qu’IA, je ne peux pas grimper. Demande à Ruth.", "Demande à Ruth."),
        ("La charnière est huilée. J'espère que ça t'aide !", "La charnière est huilée."),
    ),
    "es": (
        ("Por supuesto, la escalera está detrás del cobertizo.", "La escalera está detrás del cobertizo."),
        ("¡Desde luego! La escalera es de roble.", "La escalera es de roble."),
        ("¡Claro, ven con la caja de clavos!", "¡Ven con la caja de clavos!"),
        (
            "Claro, se puede engrasar la bisagra mañana por la tarde.",
            "Se puede engrasar la bisagra mañana por la tarde.",
        ),
        ("Como IA no puedo trepar. Pregúntale a Ruth.", "Pregúntale a Ruth."),
        ("Ya está engrasada. ¡Espero que te sirva!", "Ya está engrasada."),
        ("Ya está engrasada. ¿Hay algo más en lo que pueda ayudarte?", "Ya está engrasada."),
    ),
    "it": (
        ("Certo, la scala sta dietro il capanno.", "La scala sta dietro il capanno."),
        ("Ottima domanda! La scala è di quercia.", "La scala è di quercia."),
        ("In quanto IA non posso salire. Chiedi a Ruth.", "Chiedi a Ruth."),
        ("È oliata. Spero che ti sia utile!", "È oliata."),
    ),
    "pt": (
        ("Com certeza, a escada está atrás do barracão.", "A escada está atrás do barracão."),
        ("Boa pergunta! A escada é de carvalho.", "A escada é de carvalho."),
        ("Como modelo de linguagem, não posso subir. Pergunte à Ruth.", "Pergunte à Ruth."),
        ("Já está oleada. Espero ter ajudado!", "Já está oleada."),
    ),
    "ru": (
        ("Конечно, лестница стоит за сараем.", "Лестница стоит за сараем."),
        ("Хороший вопрос! Лестница дубовая.", "Лестница дубовая."),
        ("Как языковая модель, я не умею лазить. Спроси Рут.", "Спроси Рут."),
        ("Как ИИ я этого не вижу, но петлю надо смазать.", "Но петлю надо смазать."),
        ("Петля смазана. Надеюсь, это тебе поможет!", "Петля смазана."),
    ),
    "zh": (
        ("当然，梯子在棚子后面靠墙放着。", "梯子在棚子后面靠墙放着。"),
        ("没问题！梯子是橡木做的。", "梯子是橡木做的。"),
        ("好问题，但是没人知道。", "但是没人知道。"),
        ("作为AI，我爬不上去。你问问阿茹。", "你问问阿茹。"),
        ("作为一个语言模型我没有手。你问问阿茹。", "你问问阿茹。"),
        ("作为AI，我看不见，但是合页该上油了。", "但是合页该上油了。"),
        ("合页上过油了。希望对你有帮助！", "合页上过油了。"),
        ("希望对你有帮助，晚上给阿茹打电话。", "晚上给阿茹打电话。"),
    ),
    "ja": (
        ("もちろん、はしごは納屋の裏に立ててあります。", "はしごは納屋の裏に立ててあります。"),
        ("了解です！はしごは樫の木です。", "はしごは樫の木です。"),
        ("いい質問ですね。はしごは樫の木です。", "はしごは樫の木です。"),
        ("AIとして屋根には登れません。るいさんに聞いてください。", "るいさんに聞いてください。"),
        ("AIとして見えませんが、蝶番には油が必要です。", "蝶番には油が必要です。"),
        ("油を差しました。お役に立てれば嬉しいです！", "油を差しました。"),
    ),
    "ko": (
        ("물론이죠, 사다리는 헛간 뒤에 있어요.", "사다리는 헛간 뒤에 있어요."),
        ("좋은 질문이네요! 사다리는 참나무예요.", "사다리는 참나무예요."),
        ("AI로서 저는 지붕에 오를 수 없어요. 루트에게 물어보세요.", "루트에게 물어보세요."),
        ("언어 모델로서 볼 수 없지만, 경첩에 기름이 필요해요.", "경첩에 기름이 필요해요."),
        ("기름칠했어요. 도움이 되길 바라요!", "기름칠했어요."),
    ),
    "ar": (
        ("بالتأكيد، السلّم خلف المخزن.", "السلّم خلف المخزن."),
        ("سؤال جيد! السلّم من خشب البلوط.", "السلّم من خشب البلوط."),
        ("بصفتي نموذجًا لغويًا، لا أستطيع التسلق. اسأل روت.", "اسأل روت."),
        ("المفصلة مزيّتة. آمل أن يساعدك هذا!", "المفصلة مزيّتة."),
    ),
    "hi": (
        ("बेशक, सीढ़ी गोदाम के पीछे रखी है।", "सीढ़ी गोदाम के पीछे रखी है।"),
        ("अच्छा सवाल है! सीढ़ी शाहबलूत की है।", "सीढ़ी शाहबलूत की है।"),
        ("एक भाषा मॉडल के रूप में, मैं चढ़ नहीं सकता। रूथ से पूछिए।", "रूथ से पूछिए।"),
        ("कब्ज़े में तेल डाल दिया। उम्मीद है कि इससे मदद मिलेगी!", "कब्ज़े में तेल डाल दिया।"),
    ),
    "th": (
        ("แน่นอนครับ บันไดพิงอยู่หลังโรงเก็บของ", "บันไดพิงอยู่หลังโรงเก็บของ"),
        ("คำถามดีมากค่ะ บันไดทำจากไม้โอ๊ก", "บันไดทำจากไม้โอ๊ก"),
        ("ในฐานะ AI ฉันปีนไม่ได้ ลองถามรุจดู", "ลองถามรุจดู"),
        ("หยอดน้ำมันแล้ว หวังว่าจะเป็นประโยชน์นะครับ", "หยอดน้ำมันแล้ว"),
    ),
}
KEPT: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "Sure, but only when the paint is dry.",
        "Sure! But only when the paint is dry.",
        "Sure, if the paint is dry.",
        "Sure, if that is all right?",
        "Sure, after lunch.",
        "Sure; just not today.",
        "Of course, Ruth.",
        "Absolutely, as long as the paint is dry.",
        "Okay, unless it rains.",
        "As an AI researcher, she climbed more stairs than ladders.",
        "As an AI, she could not climb. The film was long.",
        "As an AI-loving child he built ladders.",
        "I hope this helps, because the paint is wet.",
        "I hope this helps the roofer. He is tired.",
        "Feel free to ask Ruth for the key. It hangs by the door.",
        "I'm just here to fix the roof. Where is it?",
        "Sophie climbed first.",
        "Oklahoma has no ladders.",
        "Some days I climb.",
    ),
    "de": (
        "Klar, dass Ruth wieder zu spät kommt.",
        "Gerne, wenn die Farbe trocken ist.",
        "Natürlich, aber erst am Montag.",
        "Klar, nur nicht am Montag.",
        "Gerne, nach dem Essen.",
        "Klar, wie das geht, weiß nur Ruth.",
        "Als KI-Forscherin zog sie nach Jena.",
        "Als KI, sie hieß Ada, konnte sie nicht klettern.",
        "Als KI noch neu war, lachten alle darüber.",
        "Lass mich wissen, wenn du da bist. Ich warte am Tor.",
        "Ich hoffe, das hilft deiner Mutter. Grüß sie.",
        "Klares Wasser, kalte Hände.",
    ),
    "fr": (
        "Bien sûr, mais seulement quand la peinture est sèche.",
        "Bien sûr, si la peinture est sèche.",
        "Bien sûr, qu'il vienne demain avec l'échelle.",
        "D'accord, après le déjeuner.",
        "En tant qu'IA naissante, le projet faisait sourire.",
        "N'hésite pas à demander la clé à Ruth. Elle est là.",
    ),
    "es": (
        "Claro, pero solo cuando la pintura esté seca.",
        "Por supuesto, si la pintura está seca.",
        "Claro, que venga Ruth con la escalera.",
        "Vale, después de comer.",
        "Claro que sí, el lunes.",
        "Como inteligencia artificial aplicada, el curso fue flojo.",
        "Espero que esto te ayude a dormir. Buenas noches.",
    ),
    "it": (
        "Certo, ma solo quando la vernice è asciutta.",
        "Volentieri, se la vernice è asciutta.",
        "Certo, che venga anche Ruth.",
        "Va bene, dopo pranzo.",
        "In quanto IA emergente, il progetto piaceva.",
    ),
    "pt": (
        "Claro, mas só quando a tinta estiver seca.",
        "Com certeza, se a tinta estiver seca.",
        "Tudo bem, depois do almoço.",
        "Como IA aplicada, o curso foi fraco.",
    ),
    "ru": (
        "Конечно, но только когда краска высохнет.",
        "Конечно, если краска высохла.",
        "Хорошо, после обеда.",
        "Конечно, что Рут опоздает, знали все.",
        "Как ИИ-исследователь, она много ходила по лестницам.",
        "Как ИИ, она не умела лазить. Фильм был длинный.",
        "Хорошо бы дождь кончился.",
    ),
    "zh": (
        "当然，但是要等油漆干了。",
        "好的，只要油漆干了。",
        "可以，如果油漆干了的话。",
        "当然，明天。",
        "当然不是梯子的问题。",
        "作为AI研究员，她爬的楼梯比梯子多。",
        "作为AI，她不会爬梯子。电影很长。",
        "作为人工智能专家，她很少爬梯子。",
        "希望对你有帮助的人还在。",
        "好的木头不容易裂。",
    ),
    "ja": (
        "もちろん、ただし塗料が乾いてからです。",
        "いいですよ、塗料が乾いたらね。",
        "もちろん、塗料が乾いている時だけです。",
        "了解、昼食の後で。",
        "AIとして彼女は登れない。映画は長い。",
        "AIとして知られる学者が登った。屋根は高い。",
        "もちろんはしごは樫の木です。",
    ),
    "ko": (
        "물론이죠, 하지만 페인트가 마른 뒤에요.",
        "좋아요, 페인트가 말랐으면요.",
        "그럼요, 페인트가 마를 때만요.",
        "AI로서의 역할이 궁금해요. 알려 줘요.",
        "물론이고말고요 사다리는 참나무예요.",
    ),
    "ar": (
        "بالتأكيد، لكن بعد أن يجف الطلاء.",
        "بالطبع، إذا جف الطلاء.",
        "حسنًا، بعد الغداء.",
        "طبعًا، ولكن ليس اليوم.",
        "كذكاء اصطناعي ناشئ كان المشروع غريبًا.",
    ),
    "hi": (
        "बेशक, लेकिन रंग सूखने के बाद।",
        "ज़रूर, अगर रंग सूख गया हो।",
        "ठीक है, बशर्ते रंग सूखा हो।",
        "ठीक हैं सब लोग, रूथ भी।",
    ),
    "th": (
        "แน่นอน แต่ต้องรอให้สีแห้งก่อน",
        "ได้เลย ถ้าสีแห้งแล้ว",
        "แน่นอนว่าบันไดทำจากไม้โอ๊ก",
        "ในฐานะนักวิจัยปัญญาประดิษฐ์ เธอขึ้นบันไดบ่อย",
    ),
}  # fmt: skip


def fillers(reply: str) -> str:
    after = CLEAN["fillers"](reply, EVENT)
    assert isinstance(after, str)
    return after


def test_every_language_has_sentences_that_change_and_sentences_that_stay() -> None:
    assert set(CHANGED) == set(KEPT) == set(KNOWN) == set(SETTINGS.fillers.languages)


@pytest.mark.parametrize(("reply", "left"), [pair for pairs in CHANGED.values() for pair in pairs])
def test_a_filler_goes_and_what_is_said_stays(reply: str, left: str) -> None:
    assert fillers(reply) == left
    assert fillers(left) == left


@pytest.mark.parametrize("reply", [reply for kept in KEPT.values() for reply in kept])
def test_a_phrase_that_carries_meaning_stays(reply: str) -> None:
    assert fillers(reply) == reply


@pytest.mark.parametrize("language", sorted(KNOWN))
def test_each_shipped_phrase_is_taken_out_where_it_stands_alone(language: str) -> None:
    own = SETTINGS.fillers.languages[language]
    rest = {"zh": "梯子在后面。", "ja": "はしごは裏です。", "th": "บันไดอยู่ข้างหลัง"}.get(language, "Rutu lado mire.")
    mark = {"zh": "！", "ja": "！", "th": " "}.get(language, "! ")
    for phrase in (*own.openers, *own.remarks):
        assert fillers(f"{phrase}{mark}{rest}") == rest, phrase
    for phrase in own.sentences:
        assert fillers(f"{rest} {phrase.rstrip('…')}") == rest, phrase


def test_a_language_is_added_by_its_key() -> None:
    own = FillersConfig(
        languages={
            "el": FillerLanguage(openers=("Βεβαίως",), sentences=("Ελπίζω να βοήθησα",)),
            "lo": FillerLanguage(openers=("ແນ່ນອນ",), remarks=("ຄຳຖາມດີ",)),
            "ur": FillerLanguage(openers=("ضرور",), sentences=("امید ہے مدد ملی",)),
        }
    )
    clean = replies.filler_cleaner(dataclasses.replace(SETTINGS, fillers=own))
    assert clean("Βεβαίως, η σκάλα είναι πίσω. Ελπίζω να βοήθησα!", EVENT) == "Η σκάλα είναι πίσω."
    assert clean("ແນ່ນອນ ຂັ້ນໄດຢູ່ຂ້າງຫຼັງ", EVENT) == "ຂັ້ນໄດຢູ່ຂ້າງຫຼັງ"
    assert clean("ضرور، سیڑھی پیچھے ہے۔ امید ہے مدد ملی۔", EVENT) == "سیڑھی پیچھے ہے۔"
    assert clean("Sure, the ladder is behind.", EVENT) == "Sure, the ladder is behind."
    assert [own.covers(code) for code in ("el", "lo", "ur", "en", "und")] == [True, True, True, False, False]
    assert not FillersConfig(languages={"eo": FillerLanguage()}).covers("eo")


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("The hinge squeaks.\n\nQuellen:\n- https://example.org/oil\n- werkstatt.md", "The hinge squeaks."),
        ("蝶番がきしむ。\n\n出典：\n[1] 油の話", "蝶番がきしむ。"),
        ("合页响。\n来源：https://example.org/you", "合页响。"),
        ("It squeaks.\n\n**Sources:**\n1. Ladd, P. (1998). Hinges.\n\nOil it.", "It squeaks.\n\nOil it."),
    ],
)
def test_a_list_of_links_or_citations_goes(reply: str, left: str) -> None:
    assert CLEAN["leftovers"](reply, EVENT) == left


@pytest.mark.parametrize(
    "reply",
    [
        "I asked around.\n\nSources: my aunt, who was there, and the harbour master.",
        "I asked around.\n\nSources:\n- my aunt\n- the harbour master",
        "Ich fragte herum.\n\nQuellen: zwei, eine am Hang, eine im Wald. Beide sind kalt.",
        "Write <think> before the answer and the model begins to reason.",
        "The tags are <think> and </think>, in that order.",
        "End it with `</think>` and a new line.",
    ],
)
def test_what_only_looks_like_a_leftover_stays(reply: str) -> None:
    assert CLEAN["leftovers"](reply, EVENT) == reply


def test_a_block_of_thinking_in_the_middle_goes() -> None:
    assert CLEAN["leftovers"]("It squeaks. <think>oil?</think>Oil the hinge.", EVENT) == "It squeaks. Oil the hinge."
    assert CLEAN["leftovers"]("hm, oil\n</think>\n\nOil the hinge.", EVENT) == "Oil the hinge."


def test_a_run_in_a_language_of_its_own_leaves_no_program_s_words(home: Home, curate: object) -> None:
    home.memory("合页为什么响？", response="作为AI，我听不见声音。大概是该上油了，油在架子上。希望对你有帮助！")
    assert callable(curate)
    done: Result = curate("run", "--home", home.folder, "--username", "ann")
    assert rows(done.run / "curated_memories.json")[0]["assistant_text"] == "大概是该上油了，油在架子上。"

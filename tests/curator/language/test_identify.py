"""The language of real sentences, and what says too little for one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from curator.language.identify import KNOWN, language_of, script_language, sentence_language

SENTENCES = {
    "en": [
        "The pump in the cellar has been leaking since Tuesday.",
        "the bus came so late that i walked home",
        "Rang the surgery at one minute past eight, number four in the queue.",
    ],
    "de": [
        "Klar, dass er nicht gekommen ist, hat mich sehr gewundert.",
        "Heute Morgen war ich mit dem Hund am Fluss und es regnete.",
        "Morgen früh fahren wir los, packst du schon?",
    ],
    "fr": [
        "Je ne sais pas pourquoi il est parti si tôt hier soir.",
        "On s'est retrouvés devant la gare avec les enfants.",
        "Aujourd'hui il a plu toute la journée",
    ],
    "es": [
        "El autobús llegó tan tarde que me fui andando por la orilla.",
        "no me acuerdo de nada de lo que dijo ayer mi tía",
        "Hoy no tengo ganas de hacer nada, la verdad.",
    ],
    "it": [
        "Stamattina sono andato al mercato con mia sorella.",
        "Non so ancora se domani vengo, ti faccio sapere.",
        "Il gatto dei vicini è sempre sul nostro balcone.",
    ],
    "pt": [
        "Hoje fui ao mercado com a minha irmã e choveu muito.",
        "Não sei se amanhã vou conseguir ir, depois te digo.",
        "O gato da vizinha está sempre na nossa varanda.",
    ],
    "ru": [
        "Автобус пришёл так поздно, что я пошёл пешком.",
        "Сегодня мы весь день сидели дома и читали книги.",
        "ну вот, опять я забыл ключи дома",
    ],
    "zh": [
        "公交车来得太晚了我就沿着河边走回家",
        "今天下午下了一场小雨。",
        "你今天去看了吗",
    ],
    "ja": [
        "バスが遅れたので運河沿いを歩いて帰りました。",
        "いまどこ？",
        "今日は二時間かけて庭を片付けた",
    ],
    "ko": [
        "버스가 너무 늦게 와서 강가를 따라 걸어갔어",
        "오늘은 비가 많이 왔다",
        "네",
    ],
    "ar": [
        "تأخرت الحافلة كثيرا فمشيت إلى البيت على طول القناة",
        "اليوم ذهبت مع أختي إلى السوق وكان الجو جميلا",
    ],
    "hi": [
        "बस इतनी देर से आई कि मैं नहर के किनारे पैदल ही चला गया",
        "आज मैं अपनी बहन के साथ बाज़ार गया और बहुत बारिश हुई",
    ],
    "th": [
        "รถเมล์มาช้ามากก็เลยเดินกลับบ้าน",
        "วันนี้ฝนตกทั้งวัน",
    ],
    "nl": [
        "Vandaag ben ik met mijn zus naar de markt geweest en het regende de hele dag.",
        "Ik weet niet of ik morgen kan komen, ik laat het je weten.",
    ],
    "pl": [
        "Dzisiaj byłem z siostrą na targu i cały dzień padał deszcz.",
        "Nie wiem, czy jutro przyjdę, dam ci jeszcze znać wieczorem.",
    ],
    "tr": [
        "Bugün kız kardeşimle pazara gittik ve bütün gün yağmur yağdı.",
    ],
    "uk": [
        "Сьогодні ми з сестрою ходили на ринок, і цілий день ішов дощ, тому ми швидко повернулися додому.",
    ],
    "sv": [
        "Idag var jag på marknaden med min syster och det regnade hela dagen.",
    ],
    "bg": [
        "Днес бях със сестра ми на пазара и цял ден валеше дъжд, затова се прибрахме рано.",
    ],
    "fa": [
        "امروز با خواهرم به بازار رفتیم و تمام روز باران می‌بارید و ما زود به خانه برگشتیم.",
    ],
    "ur": [
        "آج میں اپنی بہن کے ساتھ بازار گیا اور سارا دن بارش ہوتی رہی اس لیے ہم جلدی واپس آ گئے۔",
    ],
    "mr": [
        "आज मी माझ्या बहिणीबरोबर बाजारात गेलो होतो आणि दिवसभर पाऊस पडत होता म्हणून लवकर परत आलो.",
    ],
    "ne": [
        "आज म मेरी बहिनीसँग बजार गएको थिएँ र दिनभर पानी परिरहेको थियो त्यसैले हामी चाँडै घर फर्कियौं।",
    ],
    "he": [
        "האוטובוס איחר כל כך שהלכתי הביתה ברגל",
    ],
    "el": [
        "Σήμερα πήγα στην αγορά με την αδελφή μου.",
    ],
    "da": [
        "I dag var jeg på markedet med min søster, og det regnede hele dagen, så vi gik tidligt hjem igen.",
    ],
    "vi": [
        "Hôm nay tôi đi chợ với chị gái và trời mưa suốt cả ngày nên chúng tôi về nhà sớm.",
    ],
    "ca": [
        "Avui he anat al mercat amb la meva germana i ha plogut tot el dia, així que hem tornat aviat a casa.",
    ],
    "ro": [
        "Astăzi am fost la piață cu sora mea și a plouat toată ziua, așa că ne-am întors devreme acasă.",
    ],
    "cs": [
        "Dnes jsem byl se sestrou na trhu a celý den pršelo, takže jsme se brzy vrátili domů k rodičům.",
    ],
    "id": [
        "Hari ini saya pergi ke pasar dengan adik saya dan hujan turun sepanjang hari jadi kami pulang cepat.",
    ],
    "hu": [
        "Ma a húgommal a piacon voltam, és egész nap esett az eső, ezért hamar hazamentünk.",
    ],
    "fi": [
        "Tänään olin siskoni kanssa torilla ja satoi koko päivän, joten menimme aikaisin kotiin.",
    ],
    "af": [
        "Vandag was ek saam met my suster by die mark en dit het die hele dag gereën, toe gaan ons vroeg huis toe.",
    ],
    "gl": [
        "Hoxe fun ao mercado coa miña irmá e choveu todo o día, así que volvemos cedo á casa.",
    ],
}


@pytest.mark.parametrize(("language", "text"), [(k, text) for k, texts in SENTENCES.items() for text in texts])
def test_a_sentence_s_language_is_found(language: str, text: str) -> None:
    assert language_of(text) == language


def test_the_thirteen_are_tested() -> None:
    assert set(KNOWN) <= set(SENTENCES)


@pytest.mark.parametrize(
    "text", ["", "ok", "lol", "👍", "好", "да", "Nice!", "12345 67890 12345 67890", "Tool Banks_2.CheckBalance"]
)
def test_a_short_text_has_no_language(text: str) -> None:
    assert language_of(text) == "und"
    assert language_of(text, "xx") == "xx"


@pytest.mark.parametrize(
    ("text", "language"),
    [("うん", "ja"), ("네", "ko"), ("ครับ", "th"), ("好的", "zh"), ("כן", "he"), ("ναι", "el"), ("ok", "und"),
     ("да", "und"), ("نعم", "und"), ("हाँ", "und"), ("図書", "und")],
)  # fmt: skip
def test_a_script_that_one_language_writes_proves_it(text: str, language: str) -> None:
    assert script_language(text) == language


def test_the_setting_names_a_language_or_leaves_it_to_the_text() -> None:
    german = "Der Bus kam so spät, dass ich den ganzen Weg gelaufen bin."
    assert sentence_language("auto", german) == "de"
    assert sentence_language("auto", "ok") == "en"
    assert sentence_language("fr", german) == "fr"


def test_code_and_addresses_say_nothing() -> None:
    assert (
        language_of(
            "Schau mal bitte, das ist es doch, oder nicht: https://the.and.of/that/was/with/you `if the of and`"
        )
        == "de"
    )


def test_what_is_clear_does_not_load_the_model() -> None:
    texts = [texts[0] for language, texts in SENTENCES.items() if language in KNOWN]
    script = f"import sys; from curator.language.identify import language_of\n[language_of(t) for t in {texts!r}]\n"
    script += "print('py3langid' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == "False"

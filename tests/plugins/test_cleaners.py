"""Replies are cleaned of fillers and leftovers and trimmed at sentence ends; nothing else of them changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

import msgspec
import pytest
from conftest import Home, Result, rows
from curator_plugins.cleaners import replies
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import MemoryEvent, Reject, UsageError, chosen_by_hash, count_words, ends_sentence
from curator.config import FillerLanguage, FillersConfig, load_settings
from curator.language.identify import KNOWN

SETTINGS: Final = load_settings(None)
EVENT: Final = MemoryEvent("0" * 16, "evt", "a.json", "", 0, "conversation")
LONG: Final = msgspec.structs.replace(EVENT, long_output=True)
CLEAN: Final = {one.name: one.clean for one in replies.register_cleaners(SETTINGS)}
SHARE: Final = SETTINGS.curate.reply.long_share


def cleaned(name: str, reply: str, event: MemoryEvent = EVENT) -> str:
    after = CLEAN[name](reply, event)
    assert isinstance(after, str), after
    return after


def trimmed(reply: str) -> str:
    """Trim a reply that is not among those chosen to stay long."""
    assert not chosen_by_hash(reply, SHARE), "pick another text"
    return cleaned("trim", reply)


def all_cleaned(reply: str) -> str | Reject:
    for name in SETTINGS.curate.cleaners:
        after = CLEAN[name](reply, EVENT)
        if isinstance(after, Reject):
            return after
        reply = after
    return reply


# --- fillers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("Certainly! The pump leaks.", "The pump leaks."),
        ("certainly, the pump leaks.", "The pump leaks."),
        ("CERTAINLY: the pump leaks.", "The pump leaks."),
        ("Certainly - the pump leaks.", "The pump leaks."),
        ("Certainly — the pump leaks.", "The pump leaks."),
        ("Certainly!!! The pump leaks.", "The pump leaks."),
        ("Sure... it leaks.", "It leaks."),
        ("Okay… it leaks.", "It leaks."),
        ("Okay, so the pump leaks.", "So the pump leaks."),
        ("Certainly!\nThe pump leaks.", "The pump leaks."),
        ("Let me think. The pump leaks.", "The pump leaks."),
        ("Great question! The pump leaks.", "The pump leaks."),
        ("I'd be happy to help! The pump leaks.", "The pump leaks."),
        ("So basically, the pump leaks.", "The pump leaks."),
        ("Certainly! Of course! Sure, the pump leaks.", "The pump leaks."),
        ("Okay, okay, okay: it leaks.", "It leaks."),
        ("Certainly! émile ran.", "Émile ran."),
    ],
)
def test_an_opener_goes_where_punctuation_follows_it(reply: str, left: str) -> None:
    assert cleaned("fillers", reply) == left


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("Natürlich! Die Pumpe leckt.", "Die Pumpe leckt."),
        ("Gerne, ich komme mit.", "Ich komme mit."),
        ("Na klar: die Pumpe leckt.", "Die Pumpe leckt."),
        ("Gute Frage! Lass mich überlegen. Sie leckt.", "Sie leckt."),
        ("Die Pumpe leckt. Ich hoffe, das hilft dir.", "Die Pumpe leckt."),
        ("Als KI kann ich das nicht sehen. Die Pumpe leckt.", "Die Pumpe leckt."),
    ],
)
def test_german_fillers_go_too(reply: str, left: str) -> None:
    assert cleaned("fillers", reply) == left


@pytest.mark.parametrize(
    "reply",
    [
        "Sophie said yes.",
        "Oklahoma is far.",
        "Oklahoma, that is far.",
        "Surely, it will rain.",
        "Some days are long.",
        "So far, so good.",
        "Let me think about the boat, then we sail.",
        "Certainly the pump leaks.",
        "Okay so the pump leaks",
        "Sure as rain, it leaks.",
        "Sure-footed goats climbed the wall.",
        "Of course the pump leaks.",
        "Well, the pump leaks.",
        "He said: Certainly! The pump leaks.",
        "The pump is certainly leaking, of course.",
        "OK? No.",
        "1,000 boats sailed.",
        "Klare Sicht heute, endlich.",
        "Gern geschehen.",
        "Als Kind war ich oft am Hafen.",
        "As an aide to the mayor, I saw it all.",
        "As an AIDS nurse, she saw it all.",
        "Feel free, feel easy.",
        "",
    ],
)
def test_what_only_looks_like_a_filler_stays_whole(reply: str) -> None:
    assert cleaned("fillers", reply) == reply


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("As an AI language model, I cannot sail. The pump leaks.", "The pump leaks."),
        ("The pump leaks. As an AI, I cannot mend it. Buy a new one.", "The pump leaks. Buy a new one."),
        ("The pump leaks. I hope this helps!", "The pump leaks."),
        ("The pump leaks. Let me know if you have any other questions.", "The pump leaks."),
        ("Sure! As a language model, I have no hands. The pump leaks.", "The pump leaks."),
    ],
)
def test_a_sentence_that_only_a_program_says_is_taken_out_whole(reply: str, left: str) -> None:
    assert cleaned("fillers", reply) == left


@pytest.mark.parametrize("reply", ["Certainly!", "Sure thing!", "Okay.", "Natürlich.", "No problem!"])
def test_an_opener_that_is_the_whole_reply_is_an_answer_and_stays(reply: str) -> None:
    assert cleaned("fillers", reply) == reply


@pytest.mark.parametrize("reply", ["As an AI language model, I cannot say.", "I hope this helps! Feel free to ask."])
def test_a_reply_of_nothing_but_a_programs_sentences_is_emptied(reply: str) -> None:
    assert cleaned("fillers", reply) == ""


def test_an_emptied_reply_is_dropped_and_a_changed_one_tells_which_cleaner_did_it(
    home: Home, curate: Callable[..., Result]
) -> None:
    home.memory("Can you sail?", response="As an AI language model, I cannot say.")
    home.memory("What leaks?", response="Certainly! The pump by the stern leaks.")
    done = curate("run", "--home", home.folder, "--username", "ann")
    assert [(drop["reason"], drop["memory_id"]) for drop in rows(done.run / "dropped.jsonl")] == [
        ("empty", "evt-000001")
    ]
    assert rows(done.run / "curated_memories.json")[0]["assistant_text"] == "The pump by the stern leaks."
    changes = rows(done.run / "lineage.jsonl")[0]["changes"]
    assert changes == [{"plugin": "fillers", "note": "took off the start: 'Certainly! '", "before": 39, "after": 28}]


def test_patterns_of_the_users_own_file_are_re2_and_a_bad_one_is_an_error() -> None:
    def with_pattern(pattern: str) -> Callable[[str, MemoryEvent], str]:
        own = FillersConfig(languages={"xx": FillerLanguage(patterns=(pattern,))})
        return replies.filler_cleaner(dataclasses.replace(SETTINGS, fillers=own))

    assert with_pattern(r"(ahem|hrm)[,.]\s*")("Ahem, the pump.", EVENT) == "The pump."
    for bad in ("(", r"(?=x)", r"(a)\1"):
        with pytest.raises(UsageError, match="is not accepted"):
            with_pattern(bad)


# --- leftovers and white space ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("<think>hm</think>The pump leaks.", "The pump leaks."),
        ("<think>hm\n\nwell</think>\n\nThe pump leaks.", "The pump leaks."),
        ("<THINK>hm</THINK>The pump leaks.", "The pump leaks."),
        ("a thought</think>The pump leaks.", "The pump leaks."),
        ("<think>it never ends", ""),
        ("The pump leaks.\n\nSources: a.md, b.md", "The pump leaks."),
        ("The pump leaks.\nSources:\n- a.md\n- b.md", "The pump leaks."),
        ("The pump leaks.\n\nReferences:\n[1] a.md", "The pump leaks."),
        ("It leaks. It drips fro... [truncated]", "It leaks."),
        ("It leaks. It drips fro… [TRUNCATED]", "It leaks."),
        ("It leaks. It drips fro...\n[truncated]", "It leaks."),
        ("It drips fro... [truncated]", ""),
        ("The sources: a river, a spring.", "The sources: a river, a spring."),
        ("I think so, and you think too.", "I think so, and you think too."),
        ("He wrote [truncated] on the box.", "He wrote [truncated] on the box."),
    ],
)
def test_leftovers_of_a_program_go_and_the_rest_stays(reply: str, left: str) -> None:
    assert cleaned("leftovers", reply) == left


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("  The pump  leaks. \n", "The pump leaks."),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("one \t\ntwo", "one\ntwo"),
        ("a\tb", "a\tb"),
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("red \x1b[31mtext\x1b[0m here", "red text here"),
        ("a title \x1b]0;evil\x07here", "a title here"),
        ("bell\x07 and nul\x00 gone", "bell and nul gone"),
        ("right\u202eto\u2066left", "righttoleft"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("family 👨\u200d👩\u200d👧 stays", "family 👨\u200d👩\u200d👧 stays"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("", ""),
    ],
)
def test_white_space_is_mended_and_what_steers_a_terminal_goes(reply: str, left: str) -> None:
    assert cleaned("whitespace", reply) == left


# --- trim ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("It leaks.", "It leaks."),
        ("No full stop here", "No full stop here"),
        ("One. Two. Three.", "One. Two. Three."),
        ("One. Two. Three. Four.", "One. Two. Three."),
        ("One. Two. Three. Four", "One. Two. Three."),
        ("Wait... what? No! Yes?! Maybe.", "Wait... what? No! Yes?!"),
        (
            "Dr. Brown met Mrs. Lee at 5 p.m. on St. John's Rd. in Ohio. They talked. They ate. They left.",
            "Dr. Brown met Mrs. Lee at 5 p.m. on St. John's Rd. in Ohio. They talked. They ate.",
        ),
        (
            "It's 3.14 m long. Fig. 2 shows v1.2.3. See e.g. page 4. Done.",
            "It's 3.14 m long. Fig. 2 shows v1.2.3. See e.g. page 4.",
        ),
        (
            'She said "No. Never." and left. He stayed. He wept. He woke.',
            'She said "No. Never." and left. He stayed. He wept.',
        ),
        ("“One.” “Two.” “Three.” “Four.”", "“One.” “Two.” “Three.”"),
        ("水泵漏了。我们明天修。请带工具。船在港口。谢谢你。", "水泵漏了。我们明天修。请带工具。"),
        ("यह एक है। यह दो है। यह तीन है। यह चार है।", "यह एक है। यह दो है। यह तीन है।"),
        ("What a day! 🎉 We sailed. It rained. We ate. We slept. Home.", "What a day! 🎉 We sailed. It rained."),
        ("Oil it. Check it. Then do:\n- close it\n- leave it", "Oil it. Check it. Then do:\n- close it\n- leave it"),
    ],
)
def test_a_reply_is_trimmed_to_its_first_three_sentences(reply: str, left: str) -> None:
    assert trimmed(reply) == left


def test_sentences_beyond_forty_words_are_left_out() -> None:
    fifteen = "The old boat has lain in the harbour since the spring of that wet year. "
    assert count_words(fifteen) == 15
    assert (
        trimmed(fifteen * 2 + "It rots from within day after day after day while nobody looks.")
        == (fifteen * 2).strip()
    )


def test_a_first_sentence_of_more_than_forty_words_stays_whole() -> None:
    first = " ".join(["word"] * 60) + "."
    assert trimmed(f"{first} And more.") == first


def test_a_list_is_never_cut_after_its_head() -> None:
    items = "\n".join(f"- take part number {number} out of the blue box" for number in range(8))
    assert trimmed(f"The pump leaks. You will need these:\n{items}") == "The pump leaks."


@pytest.mark.parametrize("reply", ["Needed:\n" + "- a new hose and a clamp\n" * 9, "a " * 301 + "b."])
def test_a_long_reply_without_a_sentence_end_to_stop_at_is_rejected(reply: str) -> None:
    assert not chosen_by_hash(reply, SHARE)
    rejected = CLEAN["trim"](reply, EVENT)
    assert rejected == Reject("untrimmable", f"{count_words(reply)} words and no sentence end at which to stop")


def test_a_long_reply_that_stops_in_mid_sentence_loses_the_broken_one_or_is_rejected() -> None:
    least = SETTINGS.curate.reply.cut_off_words
    broken = " ".join(["Word"] * least) + ","
    assert trimmed(f"The pump leaks. Then {broken}") == "The pump leaks."
    assert CLEAN["trim"](broken, EVENT) == Reject("cut_off", f"{least} words that stop in mid-sentence")
    assert trimmed(f"The pump leaks. Then {broken[:-1]} before you") == "The pump leaks."
    short = " ".join(["Word"] * (least - 1)) + ","
    assert trimmed(short) == short


WITHOUT_FULL_STOPS: Final = {
    "en": "the bus came so late that i walked all the way along the canal and met my aunt who was out with her dog",
    "en, capitals": "The bus came so late that I walked all the way along the canal and met my aunt with her old dog",
    "de": "Der Bus kam so spät dass ich den ganzen Weg am Kanal entlang"
    " gelaufen bin und da stand meine Tante mit dem Hund",
    "fr": "Le bus est arrivé si tard que je suis rentré à pied le long"
    " du canal et là j'ai vu ma tante avec son vieux chien",
    "es": "El autobús llegó tan tarde que me fui andando por la orilla"
    " del canal y allí estaba mi tía paseando con su perro",
    "it": "L'autobus è arrivato così tardi che sono tornato a piedi lungo"
    " il canale e lì c'era mia zia con il suo vecchio cane",
    "pt": "O autocarro chegou tão tarde que fui a pé pelo canal fora"
    " e encontrei a minha tia a passear com o cão velho dela",
    "ru": "Автобус пришёл так поздно что я пошёл пешком вдоль канала и"
    " встретил там тётю она гуляла со своей очень старой собакой",
    "zh": "公交车来得太晚了我就沿着河边一路走回家结果碰到我姑姑牵着她那条老狗在散步我们聊了好久才各自回去",
    "zh, a mark before": "我走路回来的。公交车来得太晚了我就沿着河边一路"
    "走结果碰到我姑姑牵着她那条老狗在散步我们聊了好久",
    "ja": "バスがあまりにも遅れたから運河沿いをずっと歩いて帰ったら犬を連れ"
    "たおばさんにばったり会ってしばらく立ち話してたんだよね楽しかった",
    "ko": "버스가 너무 늦게 와서 그냥 강가를 따라 집까지 걸어갔는데 가는 길에 우리 이모가"
    " 늙은 개를 데리고 산책하는 걸 보고 한참 동안 서서 이야기했어 진짜 반가웠어",
    "ar": "تأخرت الحافلة كثيرا فمشيت إلى البيت على طول القناة والتقيت هناك"
    " بعمتي وهي تتمشى مع كلبها العجوز وتحدثنا طويلا قبل الغروب",
    "hi": "बस इतनी देर से आई कि मैं नहर के किनारे किनारे पैदल ही घर चला"
    " गया और रास्ते में मौसी अपने बूढ़े कुत्ते के साथ मिल गईं",
    "th": "รถเมล์มาช้ามากก็เลยเดินกลับบ้านเลียบคลองไปเรื่อย ๆ แล้วเจอป้าพาหมาแก่ออกมาเดินเล่นพอดี"
    " คุยกันตั้งนานกว่าจะแยกกันกลับ",
    "he": "האוטובוס איחר כל כך שהלכתי הביתה ברגל לאורך התעלה ופגשתי"
    " שם את הדודה שלי עם הכלב הזקן שלה ודיברנו שעה שלמה",
}  # fmt: skip


@pytest.mark.parametrize("language", WITHOUT_FULL_STOPS)
def test_a_chat_reply_without_a_full_stop_is_whole_in_any_script(language: str) -> None:
    reply = WITHOUT_FULL_STOPS[language]
    assert count_words(reply) >= SETTINGS.curate.reply.cut_off_words
    assert CLEAN["trim"](reply, EVENT) == reply


def test_a_reply_is_never_cut_in_the_middle_of_code_a_table_or_a_formula() -> None:
    code = "```python\nfor row in rows:\n    print(row)  # One. Two. Three.\n    total += row.price * row.count\n```"
    table = "| part | note |\n|---|---|\n| hose | old. Leaks. |\n| clamp | new. Tight. |\n| lamp | red. Dim. |"
    for block in (code, table):
        padded = block.replace("One.", "One. And so on, and so on, and on." * 4)
        assert trimmed(f"{padded}\n\nThat is all. It works. I tried it. Twice.").startswith(padded)
        assert trimmed(f"Look at this. It is easy. See below. Then go on.\n\n{block}") == (
            "Look at this. It is easy. See below."
        )
    assert CLEAN["trim"]("Do it so. Like this: $f(x) = a. b + c! d$ holds. Three. Four.", EVENT) == (
        "Do it so. Like this: $f(x) = a. b + c! d$ holds. Three."
    )
    cut = "Run this one. It does it.\n\n```sh\nfor f in *; do echo one two three four five six seven eight nine ten"
    assert trimmed(cut) == "Run this one. It does it."


def test_a_reply_that_its_memory_marks_as_long_stays_long_up_to_three_hundred_words() -> None:
    sentence = "The old boat lies in the harbour now. "
    assert cleaned("trim", (sentence * 30).strip(), LONG) == (sentence * 30).strip()
    assert cleaned("trim", sentence * 60, LONG) == (sentence * 37).strip()  # 8 words each: 296 of 300


def test_the_same_seven_and_a_half_percent_of_long_replies_stay_long() -> None:
    replies = [f"This is reply number {n}. It has two. It has three. It has four. It has five." for n in range(2000)]
    kept = [number for number, reply in enumerate(replies) if cleaned("trim", reply) == reply]
    assert len(kept) == 141  # 7.05%
    assert kept[:6] == [10, 18, 30, 31, 45, 54]
    assert all(trimmed(replies[n]) == f"This is reply number {n}. It has two. It has three." for n in (0, 1, 2))


WORDS: Final = st.sampled_from(
    [
        "pump", "boat", "Dr.", "e.g.", "3.14", "Okay,", "Certainly!", "Sure.", "yes。", "水", "“No.”", "ok", "🎉",
        "No!", "why?", "it:", "-", "Sources:", "<think>", "</think>", "As an AI", "[truncated]", "...", "…", "(so.)",
        "A.", "2.", "\n", "\n\n", "\t", "\x1b[1m", "\u200b",
    ]
)  # fmt: skip
REPLIES: Final = st.lists(WORDS, max_size=70).map(" ".join) | st.text(max_size=200)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(REPLIES)
def test_a_trimmed_reply_is_a_prefix_that_ends_at_a_sentence_end(reply: str) -> None:
    after = CLEAN["trim"](reply, EVENT)
    if isinstance(after, Reject):
        assert after.reason in ("untrimmable", "cut_off")
    elif after != reply:
        assert reply.startswith(after)
        assert ends_sentence(after)
        assert after == after.rstrip()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(REPLIES, st.sampled_from(sorted(CLEAN)))
def test_no_cleaner_ever_raises_or_lengthens(reply: str, name: str) -> None:
    after = CLEAN[name](reply, EVENT)
    assert isinstance(after, Reject) or len(after) <= len(reply) + 1  # an upper-case letter may be longer: ß


@settings(max_examples=300, derandomize=True, deadline=None)
@given(REPLIES)
def test_cleaning_twice_equals_cleaning_once(reply: str) -> None:
    once = all_cleaned(cleaned("whitespace", reply))
    assert isinstance(once, Reject) or all_cleaned(once) == once


@settings(max_examples=300, derandomize=True, deadline=None)
@given(REPLIES, st.sampled_from(["leftovers", "whitespace", "fillers"]))
def test_each_cleaner_leaves_nothing_for_a_second_time(reply: str, name: str) -> None:
    assert cleaned(name, cleaned(name, reply)) == cleaned(name, reply)


def test_the_shipped_file_is_what_the_cleaners_ran_with() -> None:
    assert sorted(SETTINGS.fillers.languages) == sorted(KNOWN)
    assert list(SETTINGS.curate.cleaners) == ["leftovers", "whitespace", "fillers", "trim"]

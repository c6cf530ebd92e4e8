"""Words, within a fifth of a segmenter where no blank parts them. The counts of reference stand beside the texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.language.words import count_words, split_words

# Text and its words as counted by jieba, Janome and PyThaiNLP (newmm), marks left out.
SEGMENTED = {
    "zh": (90, "昨天下午我和同事去了城西的旧书市场，花了三十块钱买了两本关于造船的书。"
               "老板说这些书在仓库里放了快二十年，几乎没有人问过。"
               "回家以后我把书放在阳台上晒了晒，顺便给女儿打了个电话。她说学校下周要组织春游，需要准备帽子、水壶和雨衣。"
               "晚饭做了西红柿炒鸡蛋和一锅排骨汤，味道还可以。睡觉之前看了一会儿新闻，据说明年地铁会修到我们小区门口。"),
    "ja": (54, "政府は来年から新しい環境保護政策を実施すると発表し、すべての企業に汚染物質の排出削減を求めた。"
               "専門家は、この措置が経済に与える影響は限定的だが、都市の大気の質を大きく改善できると考えている。"),
    "ja, chat": (42, "いまどこにいるの？もう十分も入り口で待ってるよ。寒いから早く来てね。先に入って注文しておくけど、"
                     "何が食べたい？なんでもいいけど辛すぎないやつでお願い"),
    "th": (30, "อยู่ไหนแล้ว รออยู่หน้าประตูสิบนาทีแล้วนะ ข้างนอกหนาวมาก รีบมาหน่อย เดี๋ยวเข้าไปสั่งอาหารก่อน"
               " อยากกินอะไร อะไรก็ได้ ขอไม่เผ็ดมาก"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEGMENTED)
def test_words_are_counted_and_split_within_a_fifth_of_a_segmenter(name: str) -> None:
    words, text = SEGMENTED[name]
    assert count_words(text) == pytest.approx(words, rel=0.2)
    assert len(split_words(text)) == pytest.approx(words, rel=0.2)


@pytest.mark.parametrize(
    "text", ["ok", "lol", "好", "да", "нет", "嗯嗯", "うん", "はい", "好的", "ครับ", "ใช่", "네", "हाँ", "نعم", "👍"]
)
def test_a_one_word_reply_is_one_word_in_every_script(text: str) -> None:
    assert count_words(text) == 1
    assert split_words(text) in ([text], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Hello, don't go!", ["Hello", "don't", "go"]),
        ("¿Qué tal? —dijo él.", ["Qué", "tal", "dijo", "él"]),
        ("यह है। वह, नहीं?", ["यह", "है", "वह", "नहीं"]),
        ("نعم، لا؟", ["نعم", "لا"]),
        ("오늘 비가 왔다.", ["오늘", "비가", "왔다"]),
        ("I saw 水泵 today", ["I", "saw", "水泵", "today"]),
        ("我们明天去学校。", ["我们", "明天", "去", "学校"]),
    ],
)  # fmt: skip
def test_words_are_slices_without_the_marks_at_their_ends(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(max_size=80) | st.text("水泵漏了うんですกขคងចဆabc .,。", max_size=60))
def test_words_stand_in_the_text_in_their_order(text: str) -> None:
    place = 0
    for word in split_words(text):
        assert word
        place = text.index(word, place) + len(word)
    assert count_words(text) >= (1 if split_words(text) else 0)


def test_a_megabyte_of_chinese_is_counted_in_a_moment() -> None:
    assert count_words("水泵漏了" * 100_000) == 250_000

"""Known words alone: what a reply may go on with, in words with apostrophes, digits, capitals and other scripts."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from core_fixtures import shared_place, trainer

from trainer.inference.decoder import Decoder
from trainer.inference.known_words import KnownWords, known_words
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.model.checkpoint import Checkpoint, load_checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, english, read_words, words
from trainer.names import builtin_base


@functools.cache
def the_base() -> Checkpoint:
    return load_checkpoint(builtin_base())


needs_base = pytest.mark.skipif(
    not (builtin_base() / "model.safetensors").is_file(), reason="the built-in base is not there"
)


@pytest.fixture(scope="module")
def known() -> KnownWords:
    found = known_words(the_base())
    assert found
    return found


def passes(known: KnownWords, text: str) -> bool:
    """Whether every token of a text may be written, and the text may end there."""
    tokenizer, begun = the_base().tokenizer, ""
    for token in tokenizer.encode(text)[1:]:
        if not known.allowed(begun)[token]:
            return False
        begun = known.after(begun, token)
    return bool(known.allowed(begun)[1])


@needs_base
@pytest.mark.parametrize(
    "text",
    [
        "I don't know, it's nine o'clock.", "She said: \"No!\"", "the 3rd of May 1987, mp3 and B12",
        "'quoted' and dogs' tails",
        "They'll say we've won; he'd ask.", "NO WAY", "well-known—very", "a b c", "12's", "我爱你",
        "ไม่เป็นไร", "🎉 yes", "line\nnext",
    ],
)  # fmt: skip
def test_words_that_are_words_pass(known: KnownWords, text: str) -> None:
    assert passes(known, text), text


@needs_base
@pytest.mark.parametrize(
    "text", ["surfive", "The surfive was old", "thenage", "Gandolarian sea", "it wast'nt", "dogs'll'ed"]
)
def test_words_that_are_none_do_not(known: KnownWords, text: str) -> None:
    assert not passes(known, text), text


SENTENCES = {
    "en": "I don't know where the dog went.", "de": "Größere Äpfel liegen auf der Straße.",
    "fr": "Où étais-tu l'été dernier ?",
    "es": "El niño comió aquí mañana.", "it": "Perché è così?", "pt": "O coração não dorme de manhã.",
    "ru": "Я не знаю, где собака.", "zh": "我不知道狗在哪里。", "ja": "犬はどこですか。",
    "ko": "개가 어디 있는지 몰라요.",
    "ar": "لا أعرف أين الكلب.", "hi": "मुझे नहीं पता कि कुत्ता कहाँ है।", "th": "ฉันไม่รู้ว่าสุนัขอยู่ไหน",
}  # fmt: skip


@needs_base
@pytest.mark.parametrize("language", SENTENCES)
def test_a_lexicon_of_any_language_lets_its_words_pass_and_no_others(language: str) -> None:
    """Letters that the vocabulary has not come byte by byte, each as half a character."""
    text, tokenizer = SENTENCES[language], the_base().tokenizer
    known = KnownWords(Lexicon(words(text)), tokenizer)
    assert passes(known, text)
    if language not in ("zh", "ja", "th"):  # words there have no spaces between them: they are not looked at
        assert not passes(KnownWords(Lexicon(()), tokenizer), text)
        first, *rest = text.split(" ")
        assert not passes(known, f"{first}{rest[0].strip('.,?')} {' '.join(rest)}")  # two words written as one


@needs_base
def test_a_prompt_that_ends_within_a_word_is_gone_on_with(known: KnownWords) -> None:
    tokenizer = the_base().tokenizer
    ids = tokenizer.encode("The cathed")
    assert known.begun(ids) == "cathed"
    allowed = known.allowed(known.begun(ids))
    for text, fits in (("ral", True), ("ralph", False), ("ra", True)):
        tokens, begun, good = tokenizer.encode_after(text), known.begun(ids), True
        for token in tokens:
            good, begun = good and bool(known.allowed(begun)[token]), known.after(begun, token)
        assert (good and bool(known.allowed(begun)[1])) == (fits and text == "ral"), text
    assert not allowed[1]  # it may not end there


@needs_base
def test_the_words_of_the_prompt_are_known_in_its_reply(known: KnownWords) -> None:
    prompt = the_base().tokenizer.encode("Q: Do you like Zorrinx?\nA:")
    assert not passes(known, "Zorrinx's house")
    wider = known.behind(prompt)
    assert passes(wider, "Zorrinx's house") and passes(wider, "the sea") and not passes(wider, "surfive")
    assert not passes(known, "Zorrinx")  # of this reply alone
    assert known.behind(the_base().tokenizer.encode("Q: How are you?\nA:")) is known


@needs_base
def test_at_a_wild_temperature_known_words_alone_are_written() -> None:
    """The base itself, drawn so that it invents; held to the list it invents nothing."""
    base = the_base()
    lexicon = Lexicon(read_words(builtin_base() / LEXICON) | read_words(english()))
    prompts = [base.record.template.wrap(f"Is it {number}?") for number in range(24)]
    free = Sampling(temperature=2.5, top_p=1.0, max_tokens=40)
    decoder = Decoder(base.model())
    held = replace(free, words=KnownWords(lexicon, base.tokenizer))
    seeds = range(len(prompts))
    wild = [reply.text for reply in replies(decoder, base.tokenizer, prompts, free, seeds=seeds)]
    drawn = replies(decoder, base.tokenizer, prompts, held, seeds=seeds)
    tame = [reply.text if reply.stopped == "end" else reply.text.rpartition(" ")[0] for reply in drawn]
    assert lexicon.check(wild).rate > 0.1  # the test would see them
    counts = lexicon.check(tame)
    assert counts.total > 200 and not counts.oov and not counts.names, counts


@needs_base
def test_one_reply_and_many_are_drawn_alike_and_the_flag_is_told(tmp_path: Path) -> None:
    asked = (
        "sample",
        "base",
        "--prompt",
        "Tell me of the sea.",
        "--temperature",
        1.5,
        "--top-p",
        1,
        "--max-tokens",
        30,
    )
    alone = trainer(*asked, "--known-words")
    many = json.loads(trainer(*asked, "--known-words", "-n", 2, "--json").out)
    assert alone.out.strip() == many["replies"][0]["text"]
    assert many["sampling"]["known_words"] is True
    free = json.loads(trainer(*asked, "--no-known-words", "--json").out)
    assert free["sampling"]["known_words"] is False
    lexicon = Lexicon(read_words(builtin_base() / LEXICON) | read_words(english()))
    assert all(word in lexicon for word in words(many["replies"][0]["text"].rpartition(" ")[0]))


def test_a_checkpoint_without_a_list_says_so(tmp_path: Path) -> None:
    done = trainer(*shared_place().pretrain(tmp_path / "base", "--steps", 1))
    assert done.status == 0, done.err
    (tmp_path / "base" / LEXICON).unlink()
    told = trainer("sample", tmp_path / "base", "--raw", "--prompt", "ba ko", "--known-words", "--max-tokens", 4)
    assert told.status == 0 and "has no lexicon.txt.gz: its replies are not held to known words" in told.err

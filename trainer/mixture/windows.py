"""Windows of talk and passages of prose: the documents that a base is trained on.

conversation --turns--> tidied turns --windows--> a prompt and its reply, now and then with what was said before
book --passages--> whole paragraphs

A window ends where a reply ends, so that the base learns its end mark there. In long windows it learns to go on with
the next prompt instead, which is why most are of one exchange.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from trainer.model.prompt_template import Exchange, Template, plain_quotes

# Of windows, those of one, two and three exchanges.
LENGTHS = (0.76, 0.16, 0.08)
ONLY_QUESTION = 0.5  # of prompts that end in a question after something else, those that keep the question alone
STATEMENTS = 0.7  # of prompts that ask nothing, those that are kept: a persona is mostly asked
MOST_CHARACTERS = 360  # of one turn: a longer one is a lecture, and three of them leave no room for a reply

_ODD_SPACES = re.compile(r"[\u00a0\u2000-\u200a\u202f\t]")
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
_STOP = re.compile(r"(?<=[a-z][.!?])\s+(?=[a-z])")  # a sentence that was begun without its capital
_BLANK_BEFORE = re.compile(r"\s+([!?.,])(?=\s|$)")
_REPEATED = re.compile(r"([!?.,])\1+")
_LONE_I = re.compile(r"\bi\b(?=$|[\s,.!?']|'m|'ll|'ve|'d)")
# What is typed without its apostrophe, where that makes no other word. "ill", "well", "were" and "its" are words.
_TYPED = {
    "aint": "ain't", "arent": "aren't", "couldnt": "couldn't", "didnt": "didn't", "doesnt": "doesn't", "dont": "don't",
    "hadnt": "hadn't", "hasnt": "hasn't", "havent": "haven't", "isnt": "isn't", "itll": "it'll", "ive": "I've",
    "shouldnt": "shouldn't", "thats": "that's", "theres": "there's", "theyll": "they'll", "theyre": "they're",
    "theyve": "they've", "wasnt": "wasn't", "weve": "we've", "werent": "weren't", "whats": "what's", "whos": "who's",
    "wouldnt": "wouldn't", "youd": "you'd", "youll": "you'll", "youre": "you're", "youve": "you've", "im": "I'm",
    "cant": "can't", "heres": "here's", "hes": "he's", "shes": "she's", "alot": "a lot", "atleast": "at least",
    "everytime": "every time", "alittle": "a little", "nevermind": "never mind", "icecream": "ice cream",
    "definately": "definitely", "definetly": "definitely", "definitly": "definitely", "definitley": "definitely",
    "becuase": "because", "becasue": "because", "wierd": "weird", "suprised": "surprised", "remeber": "remember",
    "buisness": "business", "embarassing": "embarrassing", "thier": "their", "teh": "the", "jsut": "just",
    "tommorow": "tomorrow", "tomorow": "tomorrow", "recieve": "receive", "beleive": "believe", "yall": "you all",
    "idk": "I don't know", "wbu": "what about you", "hbu": "how about you", "omg": "oh my", "tbh": "to be honest",
    "eachother": "each other", "highschool": "high school", "cuz": "because", "cmon": "come on", "aswell": "as well",
}  # fmt: skip
_LAUGH = re.compile(r"\b(?:a?ha+){2,}h?\b|\b(?:he){3,}\b", re.IGNORECASE)
_DRAWN = re.compile(r"([a-z])\1{2,}", re.IGNORECASE)  # "sooo"; of "hmmm" two are kept
_TYPED_WORD = re.compile(rf"\b(?:{'|'.join(_TYPED)})\b", re.IGNORECASE)
_PARAGRAPHS = re.compile(r"\n\s*\n")


def clean(text: str) -> str:
    """Return a text with straight quotes and plain spaces, without characters that nobody sees."""
    return plain_quotes(_UNSEEN.sub("", _ODD_SPACES.sub(" ", text)))


def tidy(turn: str) -> str:
    """Return a turn of a chat as its writer would have written it with care: apostrophes, capitals, a last stop."""
    text = " ".join(clean(turn).split())
    text = _LAUGH.sub(lambda match: "Haha" if match[0][0].isupper() else "haha", text)
    text = _DRAWN.sub(lambda match: match[1] * 2 if match[1] in "mM" else match[1], text)
    text = _TYPED_WORD.sub(_typed, text)
    text = _REPEATED.sub(r"\1", text)
    text = _LONE_I.sub("I", text)
    text = _BLANK_BEFORE.sub(r"\1", text)
    text = " ".join(_capital(part) for line in _SENTENCE.split(text) for part in _STOP.split(line))
    return text if not text or text[-1] in ".!?\"'" else f"{text}." if text[-1].isalnum() else text


def _typed(match: re.Match[str]) -> str:
    right = _TYPED[match[0].lower()]
    return right[0].upper() + right[1:] if match[0][0].isupper() else right


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def turns(conversation: str) -> list[str]:
    """Return the turns of a conversation, one a line, tidied; empty ones are left out."""
    return [turn for line in conversation.split("\n") if (turn := tidy(line))]


def last_question(turn: str) -> str:
    """Return the question that a turn ends with, or the whole turn where it ends with none."""
    return _SENTENCE.split(turn)[-1] if turn.endswith("?") else turn


def windows(said: Sequence[str], rng: random.Random) -> Iterator[list[Exchange]]:
    """Yield a window that begins at each turn: 1 to 3 exchanges; a prompt may be cut to the question that it ends with.

    Every turn is a prompt in one and a reply in another: what matters is how a reply follows.
    """
    for start in range(len(said) - 1):
        count = rng.choices((1, 2, 3), LENGTHS)[0]
        part = list(said[start : start + 2 * count])
        if rng.random() < ONLY_QUESTION:
            part[0] = last_question(part[0])
        if not part[0].endswith("?") and rng.random() >= STATEMENTS:
            continue
        pairs = list(zip(part[::2], part[1::2], strict=False))
        if pairs and all(len(turn) <= MOST_CHARACTERS for turn in part):
            yield pairs


def window_text(pairs: Sequence[Exchange], template: Template) -> str:
    """Return a window as the template writes it: the last exchange after the earlier ones."""
    *history, (prompt, reply) = pairs
    return template.wrap(prompt, tuple(history)) + template.answer(reply)


def passages(book: str, size: int) -> Iterator[str]:
    """Yield passages of whole paragraphs, each ended by the first paragraph that brings it to `size` characters."""
    part: list[str] = []
    length = 0
    for paragraph in _PARAGRAPHS.split(clean(book)):
        text = "\n".join(" ".join(line.split()) for line in paragraph.strip().split("\n"))
        if not text:
            continue
        part.append(text)
        length += len(text) + 2
        if length >= size:
            yield "\n\n".join(part)
            part, length = [], 0
    if part:
        yield "\n\n".join(part)


_SENTENCE_END = re.compile(r"[.!?]")
# Of English: what a question takes up that was said before it. Alone, such a question can only be guessed at.
_REFERS = re.compile(
    r"\b(?:he|she|it|they|him|her|his|hers|them|their|its|that|this|those|these|there|ones?|else|too)\b"
    r"|\babout you\b",
    re.IGNORECASE,
)


def answers(said: Sequence[str]) -> Iterator[Exchange]:
    """Yield each short question that a turn ends with, and the reply: what a persona is asked for most.

    The question must be whole without what was said before it. A reply that begins with a question, or is one, answers
    none.
    """
    for turn, reply in pairwise(said):
        question = last_question(turn)
        first = _SENTENCE_END.search(reply)
        if (
            question.endswith("?")
            and 3 <= len(question.split()) <= 14
            and not _REFERS.search(question)
            and 3 <= len(reply.split()) <= 35
            and first is not None
            and first[0] != "?"
        ):
            yield question, reply

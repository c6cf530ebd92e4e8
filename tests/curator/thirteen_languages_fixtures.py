"""One design of sixty memories, told in thirteen languages: the same facts, plants, places and times in each.

`thirteen_languages.json` holds the sentences, written by hand, by the names that this file uses: d diary, n what is
written twice, c and a6, a8 what is corrected (`{x}`: before and after), l the long entry, q and a questions and
answers, t other questions to the same answers, u replies without marks, f fillers and what looks like them, k a
one-word reply, v conversations of several messages, h imported chats; `{w}` is where a twin has a word more.
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

Sentences = dict[str, Any]
Memory = dict[str, Any]

TEXTS: Final[dict[str, Sentences]] = json.loads(Path(__file__).with_name("thirteen_languages.json").read_text("utf-8"))
LANGUAGES: Final = tuple(TEXTS)
# No blank between two sentences.
CLOSED: Final = ("zh", "ja")
_CLAUSES: Final = str.maketrans("", "", ",،、，")
_START: Final = datetime(2025, 3, 3, 9, tzinfo=UTC)


def glue(language: str, *sentences: str) -> str:
    """Put sentences one after the other, as the language does."""
    return ("" if language in CLOSED else " ").join(sentences)


def respelt(text: str, language: str) -> str:
    """Return a text as somebody writes it who cares for no commas, blanks or vowel marks: not one word is another."""
    if language == "th":
        return text.replace(" ", "")
    text = text.translate(_CLAUSES)
    if language in CLOSED:
        return text.replace("。", "。 ").strip()
    if language == "ar":
        text = "".join(sign for sign in text if unicodedata.category(sign) != "Mn")
    if language == "hi":
        text = text.replace("ँ", "ं")
    return text.replace(". ", ".  ").replace("। ", "।  ")


def exclaimed(text: str) -> str:
    """Return a text with an exclamation mark at its end."""
    return text.rstrip(".。।") + ("！" if text.endswith("。") else "!")


def design(language: str) -> list[Memory]:
    """Return the sixty memories, in the order of time; `id` names the plant."""
    text = TEXTS[language]
    told = [*_diary(text, language), *_answers(text, language), *_talk(text, language)]
    order = sorted(told, key=lambda memory: (_is_later(memory["id"]), _scattered(memory["id"])))
    return [memory | {"timestamp": _time(place)} for place, memory in enumerate(order)]


def _is_later(name: str) -> bool:
    """Tell whether a memory comes after what it repeats or corrects."""
    return "-" in name


def _scattered(name: str) -> int:
    """Return a number by which kinds of memories are mixed, the same in each language."""
    return sum(ord(sign) * (place * 37 + 11) for place, sign in enumerate(name)) % 997


def _time(place: int) -> str:
    return (_START + timedelta(hours=8 * place)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _entry(name: str, content: str, kind: str = "journal") -> Memory:
    return {"id": name, "type": kind, "content": content, "userId": "ann", "metadata": {}}


def _exchange(name: str, asked: str, answered: str) -> Memory:
    content = f"User: {asked}\n\nAssistant: {answered}"
    return _entry(name, content, "conversation") | {"metadata": {"cognitiveMode": "emulation"}}


def _messages(name: str, *turns: tuple[str, str]) -> Memory:
    messages = [{"role": role, "content": content} for role, content in turns]
    return _exchange(name, "", "") | {"content": "", "messages": messages}


def _chat(name: str, text: Sentences, *lines: tuple[str, str]) -> Memory:
    """An imported chat: `lines` are a time and the name of a sentence; "me" and "friend" are found by its letter."""
    me, friend = text["me"], text["friend"]
    told = [f"[Mar 1 {time}] {'→ ' + me if own else '← ' + friend}: {text[key]}" for time, key, own in _sided(lines)]
    head = f"Chat: {friend} (whatsapp)\nParticipants: {me}, {friend}\nDate range: 3/1/2025 to 3/1/2025\nPart 1 of 1\n\n"
    chat = {
        "platform": "whatsapp",
        "conversationId": name,
        "title": friend,
        "participants": [me, friend],
        "startDate": "2025-03-01T10:00:00.000Z",
    }
    content = head + "--- Conversation ---\n" + "\n".join(told)
    return _entry(name, content, "observation") | {"tags": ["chat", "whatsapp"], "metadata": {"chat": chat}}


_OWN_LINES: Final = ("h1c", "h1e", "h1g", "h2b", "h2d")


def _sided(lines: tuple[tuple[str, str], ...]) -> list[tuple[str, str, bool]]:
    return [(time, key, key in _OWN_LINES) for time, key in lines]


def _diary(text: Sentences, language: str) -> list[Memory]:
    """Twenty-nine memories: entries, written twice, in other spelling, corrected; one of nine sentences."""
    entries = [_entry(f"d{n:02}", text[f"d{n:02}"], "observation" if n > 12 else "journal") for n in range(1, 15)]
    again = [_entry(f"{name}-again", text[name]) for name in ("d01", "d02")]
    spelt = [_entry(f"{name}-spelt", respelt(text[name], language)) for name in ("d03", "d04", "n2")]
    near = [_entry("n1", text["n1"].format(w="")), _entry("n1-word", text["n1"].format(w=text["n1w"]))]
    corrected = [
        _entry(name + suffix, text[name].format(x=text[name + "x"][version]))
        for name in ("c1", "c2", "c3")
        for version, suffix in enumerate(("", "-corrected"))
    ]
    long = _entry("long", glue(language, *(text[f"l{n}"] for n in range(1, 10))))
    return [*entries, *again, *spelt, *near, _entry("n2", text["n2"]), *corrected, long]


def _answers(text: Sentences, language: str) -> list[Memory]:
    """Twenty-five exchanges: answers, given twice, in other spelling, to other questions, corrected; fillers."""
    answer = {n: text[f"a{n}"].format(w="", x=text.get(f"a{n}x", ("",))[0]) for n in range(1, 9)}
    told = [_exchange(f"q{n}", text[f"q{n}"], answer[n]) for n in range(1, 9)]
    told += [_exchange(f"q{n}-again", text[f"q{n}"], answer[n]) for n in (1, 5)]
    told.append(_exchange("q2-spelt", text["q2"], respelt(answer[2], language)))
    told.append(_exchange("q3-word", text["q3"], text["a3"].format(w=text["a3w"])))
    told += [_exchange(f"q{n}-asked", text[f"t{n}"], exclaimed(answer[n])) for n in (4, 5, 6, 7)]
    told += [_exchange(f"q{n}-corrected", text[f"q{n}"], text[f"a{n}"].format(x=text[f"a{n}x"][1])) for n in (6, 8)]
    told += [_exchange(name, text[name + "q"], text[name + "a"]) for name in ("u1", "u2", "f3", "f4", "k1")]
    told += [
        _exchange(name, text[name + "q"], glue(language, text[name + "o"], text[name + "r"])) for name in ("f1", "f2")
    ]
    return told


def _talk(text: Sentences, language: str) -> list[Memory]:
    """Six conversations: three with a turn that leans on the one before it, a burst, and two imported chats."""
    leaning = [
        _messages(
            name,
            *(("user" if letter in "ql" else "assistant", text[name + letter]) for letter in "qalb"),
        )
        for name in ("v1", "v2", "v3")
    ]
    burst = _messages("v4", ("user", text["v4q"]), ("user", text["v4l"]), ("assistant", text["v4a"]))
    first = [("10:30 AM", "h1a"), ("10:30 AM", "h1b"), ("10:32 AM", "h1c"), ("10:41 AM", "h1d"), ("10:42 AM", "h1e")]
    first += [("10:50 AM", "h1f"), ("10:51 AM", "h1g")]
    second = [("11:30 AM", "h2a"), ("11:31 AM", "h2b"), ("11:40 AM", "h2c"), ("11:41 AM", "h2d")]
    return [*leaning, burst, _chat("h1", text, *first), _chat("h2", text, *second)]

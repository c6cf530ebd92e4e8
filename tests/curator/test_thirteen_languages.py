"""The same sixty memories in thirteen languages: a run makes the same of them in each, but for what grammar forces."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Final

import pytest
from conftest import ROOT, Home, curate_once, rows
from thirteen_languages_fixtures import LANGUAGES, TEXTS, design

from curator.contract.records import CURATED, DROPPED

HOLDOUT: Final = 0.25
# Long passages, and a set too small to hold out the usual number, are matters of other tests.
SETTINGS: Final = {"reply": {"long_share": 0.0}}

# What each language's run is to give, by what was planted (thirteen_languages_fixtures.py).
SAME: Final[dict[str, int]] = {
    "samples": 56,
    "held out": 14,
    "replies of the person": 29,  # 14 entries, 2 + 2, 3 + 3 corrected, 3 passages of the long one, 4 in chats, less 2
    "replies of an assistant": 27,
    "replies in the language": 56,
    "answers to a question made for them": 25,
    "dropped as duplicate": 4,
    "dropped as near_duplicate": 6,
    "dropped as too_short": 2,
    "corrections kept": 5,
    "fillers taken out": 2,
    "look-alikes of fillers kept": 2,
    "replies without a mark kept whole": 2,
    "leaning turns with the turn before": 3,
    "samples with a turn before": 3,
    "bursts as one turn": 2,
    "passages of the long entry": 3,
}
# What grammar forces: language -> figure -> (what comes out, why it cannot be what it is elsewhere).
EXCEPTIONS: Final[dict[str, dict[str, tuple[int, str]]]] = {}

# Characters a token, as a multilingual tokenizer has them; de, fr, it and pt were not measured and are taken as es.
CHARACTERS_A_TOKEN: Final = {
    "en": 4.0, "de": 3.76, "fr": 3.76, "es": 3.76, "it": 3.76, "pt": 3.76, "ru": 2.92, "zh": 1.15, "ja": 1.32,
    "ko": 1.95, "ar": 3.08, "hi": 2.52, "th": 1.75,
}  # fmt: skip

# From this share of common trigrams on, two texts say the same.
TWIN: Final = 0.5
LEAST_TWIN: Final = 20  # of fewer letters ("Yes, of course."), equal replies are no twins
TWINS: Final = {
    *((name, f"{name}-again") for name in ("d01", "d02", "q1", "q5")),
    *((name, f"{name}-spelt") for name in ("d03", "d04", "n2", "q2")),
    *((name, f"{name}-word") for name in ("n1", "q3")),
    *((name, f"{name}-corrected") for name in ("c1", "c2", "c3", "q6", "q8")),
    *((f"q{n}", f"q{n}-asked") for n in (4, 5, 6, 7)),
    ("q5-again", "q5-asked"),
    ("q6-asked", "q6-corrected"),
}

# Letters that prove a question's language; Latin letters prove none.
SCRIPTS: Final = {
    "ru": "CYRILLIC", "zh": "CJK", "ja": "HIRAGANA KATAKANA CJK", "ko": "HANGUL", "ar": "ARABIC", "hi": "DEVANAGARI",
    "th": "THAI",
}  # fmt: skip
# Words that questions in Latin letters are told apart by.
QUESTION_WORDS: Final = {
    "en": "what how where when who why did you your the was is there of do does tell happened about have in on at with",
    "de": "was wie wo wann wer warum hast du dein deine der die das den dem ist war es von dir erzähl im am und mit",
    "fr": "et que quoi qu'est-ce comment où quand qui pourquoi as-tu tu ton ta le la les est était raconte de du as",
    "es": "y qué cómo dónde cuándo quién por tu tus el la los las fue es cuéntame de del has hiciste pasó con en",
    "it": "e che cosa come dove quando chi perché hai tuo tua il lo la le gli è era com'è raccontami di del della nel",
    "pt": "e o que como onde quando quem porque teu tua os as foi é conta-me de do da tens fizeste aconteceu com no na",
}


@dataclass
class Told:
    """A language's run: its samples and drops by memory, and its report."""

    language: str
    memories: dict[str, dict[str, Any]]
    samples: dict[str, list[dict[str, Any]]]
    drops: dict[str, list[dict[str, Any]]]
    report: dict[str, Any]

    def all_samples(self) -> list[dict[str, Any]]:
        return [sample for samples in self.samples.values() for sample in samples]

    def replies(self, name: str) -> list[str]:
        return [sample["assistant_text"] for sample in self.samples.get(name, [])]

    def with_reply(self, name: str, reply: str) -> dict[str, Any]:
        """The sample of a memory that has this reply; an empty one where there is none."""
        return next((sample for sample in self.samples.get(name, []) if sample["assistant_text"] == reply), {})


Runs = Callable[[str], Told]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A function that gives a language's run, made once."""
    return cache(lambda language: run_of(language, Home(tmp_path_factory.mktemp(language))))


def run_of(language: str, home: Home) -> Told:
    """Put the memories of a language into a home, and run."""
    names = {"name": "ann", "humanName": TEXTS[language]["me"], "aliases": []}
    core = home.profile / "persona" / "core.json"
    core.parent.mkdir()
    core.write_text(json.dumps({"identity": names}, ensure_ascii=False), "utf-8")
    home.config("curate.json", SETTINGS)
    memories = {memory["id"]: memory for memory in design(language)}
    for memory in memories.values():
        home.memory(**memory)
    run = curate_once("run", "--home", home.folder, "--username", "ann", "--holdout", HOLDOUT).run
    told = Told(language, memories, {}, {}, json.loads((run / "report.json").read_text("utf-8")))
    for sample in rows(run / CURATED):
        told.samples.setdefault(sample["metadata"]["original_id"], []).append(sample)
    for drop in rows(run / DROPPED):
        told.drops.setdefault(drop["memory_id"], []).append(drop)
    return told


def figures(told: Told) -> dict[str, int]:
    """What came out of a language's run, by the names of SAME."""
    text, samples = TEXTS[told.language], told.all_samples()
    authors = Counter(sample["metadata"]["reply_author"] for sample in samples)
    languages = Counter(sample["metadata"].get("language", "und") for sample in samples)
    dropped = Counter(drop["reason"] for drops in told.drops.values() for drop in drops)
    corrected = [name.split("-")[0] for name in told.memories if name.endswith("-corrected")]
    whole = {name: text[f"{name}a"] for name in ("u1", "u2", "f3", "f4")}
    kept = {name: told.replies(name) == [reply] for name, reply in whole.items()}
    burst = told.with_reply("v4", text["v4a"]), told.with_reply("h1", text["h1c"])
    both = f"{text['v4q']}\n{text['v4l']}", f"{text['h1a']}\n{text['h1b']}"
    found = {
        "samples": len(samples),
        "held out": sum(sample["metadata"].get("split") == "holdout" for sample in samples),
        "replies of the person": authors["person"],
        "replies of an assistant": authors["assistant"],
        "replies in the language": languages[told.language],
        "answers to a question made for them": sum(sample["metadata"].get("prompted", False) for sample in samples),
        "corrections kept": sum(name in told.samples and f"{name}-corrected" in told.samples for name in corrected),
        "fillers taken out": sum(told.replies(name) == [text[f"{name}r"]] for name in ("f1", "f2")),
        "look-alikes of fillers kept": kept["f3"] + kept["f4"],
        "replies without a mark kept whole": kept["u1"] + kept["u2"],
        "leaning turns with the turn before": sum(
            text[f"{name}a"] in _said_before(told.with_reply(name, text[f"{name}b"])) for name in ("v1", "v2", "v3")
        ),
        "samples with a turn before": sum("context" in sample for sample in samples),
        "bursts as one turn": sum(
            _bare(sample.get("user_text", "")) == _bare(said) for sample, said in zip(burst, both, strict=True)
        ),
        "passages of the long entry": len(told.replies("long")),
    }
    return found | {f"dropped as {reason}": count for reason, count in sorted(dropped.items())}


def _said_before(sample: dict[str, Any]) -> list[str]:
    """The replies of the exchanges that a sample takes along."""
    return [exchange["assistant_text"] for exchange in sample.get("context", ())]


def _bare(text: str) -> str:
    """A text without white space and without names before its lines."""
    return "".join(line.rpartition(": ")[2] for line in "".join(text).splitlines()).replace(" ", "")


def expected(language: str) -> dict[str, int]:
    """SAME, with the exceptions of a language."""
    forced = {figure: value for figure, (value, _) in EXCEPTIONS.get(language, {}).items()}
    return {figure: count for figure, count in (SAME | forced).items() if count}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_comes_out_in_each_language(told: Runs, language: str) -> None:
    assert {figure: count for figure, count in figures(told(language)).items() if count} == expected(language)


def test_each_exception_is_one_and_says_why() -> None:
    for language, exceptions in EXCEPTIONS.items():
        for figure, (value, reason) in exceptions.items():
            assert SAME.get(figure, 0) != value, f"{language}, {figure}: as in the other languages, so no exception"
            assert len(reason.split()) > 4, f"{language}, {figure}: no reason"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_other_language_is_found(told: Runs, language: str) -> None:
    found = Counter(sample["metadata"].get("language", "und") for sample in told(language).all_samples())
    assert set(found) == {language}
    assert told(language).report["languages"] == dict(found)


def letters(text: str) -> str:
    """The letters and figures of a text, folded as a reader would who looks for the same thing said twice."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("ँ", "ं")
    return "".join(sign for sign in text if unicodedata.category(sign)[0] in "LNM" and not "\u064b" <= sign <= "\u0652")


def trigrams(text: str) -> frozenset[str]:
    signs = letters(text)
    return frozenset(signs[place : place + 3] for place in range(max(len(signs) - 2, 1)))


def alike(left: frozenset[str], right: frozenset[str]) -> float:
    """The share of two texts' trigrams that both have."""
    return len(left & right) / max(len(left | right), 1)


def leaks(samples: list[dict[str, Any]], is_held: Callable[[dict[str, Any]], bool]) -> list[tuple[str, str, float]]:
    """Held-out samples that stand in training too, as a whole or by their replies."""
    found = []
    sides: tuple[dict[str, list[frozenset[str]]], ...] = ({}, {})
    for sample in samples:
        reply, both = sample["assistant_text"], sample["user_text"] + sample["assistant_text"]
        alone = trigrams(reply) if len(letters(reply)) >= LEAST_TWIN else frozenset()
        sides[is_held(sample)][sample["metadata"]["sample_id"]] = [trigrams(both), alone]
    for held, its in sides[True].items():
        for other, theirs in sides[False].items():
            nearest = max(alike(mine, yours) for mine, yours in zip(its, theirs, strict=True))
            if nearest >= TWIN:
                found.append((held, other, round(nearest, 2)))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_held_out_stands_in_training(told: Runs, language: str) -> None:
    samples = told(language).all_samples()
    assert leaks(samples, lambda sample: sample["metadata"].get("split") == "holdout") == []
    # By chance they would: this comparison finds them.
    assert leaks(samples, lambda sample: sum(map(ord, sample["metadata"]["original_id"])) % 4 == 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_design_has_its_twins_and_no_others(language: str) -> None:
    replies = {memory["id"]: trigrams(_own_side(memory)) for memory in design(language)}
    found = {(left, right) for left, right in combinations(replies, 2) if alike(replies[left], replies[right]) >= TWIN}
    assert found == TWINS


def _own_side(memory: dict[str, Any]) -> str:
    content = "".join(message["content"] for message in memory.get("messages", ())) or str(memory["content"])
    return content.split("--- Conversation ---")[-1].split("Assistant: ")[-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_persons_words_are_slices_of_their_memories_and_whole(told: Runs, language: str) -> None:
    of = told(language)
    for name, samples in of.samples.items():
        content = of.memories[name]["content"]
        own = [sample["assistant_text"] for sample in samples if sample["metadata"]["reply_author"] == "person"]
        for reply in own:
            assert all(line in content for line in reply.split("\n")), name
        if own and not name.startswith("h"):
            assert "".join("".join(own).split()) == "".join(content.split()), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_entries_are_asked_about_in_their_language(told: Runs, language: str) -> None:
    asked = [sample for sample in told(language).all_samples() if sample["metadata"].get("prompted")]
    assert asked
    wrong = [sample["user_text"] for sample in asked if not _is_in(sample["user_text"], language)]
    assert wrong == []


def _is_in(question: str, language: str) -> bool:
    """Tell whether a question can be in a language: by its script, in Latin letters by its words and the lists."""
    if language in SCRIPTS:
        names = [unicodedata.name(sign, "") for sign in question if sign.isalpha()]
        own = sum(name.startswith(tuple(SCRIPTS[language].split())) for name in names)
        kana = any(name.startswith(("HIRAGANA", "KATAKANA")) for name in names)
        return own >= 0.8 * len(names) and (kana or language != "ja") and not (kana and language == "zh")
    if question in _stock("en"):
        return language == "en"
    if question in _stock(language):
        return True
    signs = "".join(sign if sign.isalpha() or sign in "'-" else " " for sign in question.lower()).split()
    score = {other: sum(word in words.split() for word in signs) for other, words in QUESTION_WORDS.items()}
    return score[language] > 0 and score[language] == max(score.values())


@cache
def _stock(language: str) -> frozenset[str]:
    """The questions of etc/prompts.json in a language; English ones stand at its top."""
    data = json.loads((ROOT / "etc" / "prompts.json").read_text("utf-8"))
    lists = data if language == "en" else data.get("languages", {}).get(language, {})
    modes = [lists.get(mode, {}) for mode in ("dual", "emulation", "agent")]
    return frozenset(question for mode in modes for questions in mode.values() for question in questions)


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_entries_are_asked_a_question_made_from_them(told: Runs, language: str) -> None:
    questions = told(language).report["questions"]
    assert sum(questions.values()) == len(told(language).all_samples())
    assert questions.get("passage", 0) >= SAME["answers to a question made for them"] // 2, questions


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_are_estimated_as_the_script_has_them(told: Runs, language: str) -> None:
    of = told(language)
    texts = [sample["user_text"] + sample["assistant_text"] for sample in of.all_samples()]
    texts += [
        exchange["user_text"] + exchange["assistant_text"]
        for sample in of.all_samples()
        for exchange in sample.get("context", ())
    ]
    own = sum(map(len, texts))
    tokens = own / CHARACTERS_A_TOKEN[language] + (of.report["characters"] - own) / CHARACTERS_A_TOKEN["en"]
    assert tokens / 1.5 < of.report["tokens"] < tokens * 1.5

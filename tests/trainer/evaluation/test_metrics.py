"""What replies say about a model's health: recited runs, repetition, and what is not the person's to say."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.contract.special_tokens import leaks_role, leaks_tag
from trainer.evaluation.metrics import GRAM, NgramOverlap, TrainingNgrams, distinct, grams, repetition
from trainer.model.lexicon import words

TEN = "one two three four five six seven eight nine ten"
# Few words, some of them parts of others, so that runs are often the same.
LINES = st.lists(st.sampled_from(["a", "b", "ab", "a'b", "Ab", "a.", "b\n", "3"]), max_size=25).map(" ".join)
ANY = st.text(st.characters(exclude_categories=()), max_size=60)  # halves of surrogate pairs too


def test_grams():
    assert grams(["a", "b", "a", "b"], 2) == [("a", "b"), ("b", "a"), ("a", "b")]
    assert grams(["a", "b"], 1) == [("a",), ("b",)]
    assert grams(["a", "b"], 2) == [("a", "b")]
    assert grams(["a", "b"], 3) == grams([], 1) == []


# --- recited ---


@pytest.mark.parametrize(
    ("training", "replies", "expected"),
    [
        ([], [], NgramOverlap(0.0, 0, "")),
        ([], [TEN], NgramOverlap(0.0, 0, "")),
        ([TEN], [], NgramOverlap(0.0, 0, "")),
        ([TEN], ["", "?!", "eleven"], NgramOverlap(0.0, 0, "")),
        (["", "3"], ["", "3"], NgramOverlap(0.0, 0, "")),
        ([TEN], [TEN], NgramOverlap(1.0, 10, TEN)),
        ([TEN], [TEN.upper().replace(" ", ",\n")], NgramOverlap(1.0, 10, TEN)),  # case, marks and spaces hide nothing
        ([TEN], ["one two three four five six seven"], NgramOverlap(0.0, 7, "one two three four five six seven")),
        ([TEN], ["so one two three four five six seven eight so"], NgramOverlap(1 / 3, 8, TEN[:39])),
        ([TEN], [TEN, "a b c d e f g h i"], NgramOverlap(3 / 5, 10, TEN)),  # the 8-grams of all replies together
        (
            ["one two three four five", "six seven eight nine ten"],
            [TEN],
            NgramOverlap(0.0, 5, "one two three four five"),
        ),
        (
            ["the cat sat"],
            ["he cat sat", "the cat sa", "the cat's sat"],
            NgramOverlap(0.0, 2, "cat sat"),
        ),  # whole words
        (["a b", "c d"], ["c d a b"], NgramOverlap(0.0, 2, "c d")),  # the first of several
        (["a b", "c d"], ["a x", "c d", "a b"], NgramOverlap(0.0, 2, "c d")),
        (["a b a b c"], ["x a b a b a b c"], NgramOverlap(0.0, 5, "a b a b c")),
        (["don’t go"], ["I don't GO."], NgramOverlap(0.0, 2, "don't go")),
        (["我爱你"], ["他爱你"], NgramOverlap(0.0, 2, "爱 你")),
    ],
)
def test_recited(training: list[str], replies: list[str], expected: NgramOverlap):
    assert TrainingNgrams(training).of(replies) == expected


def brute(training: list[str], replies: list[str]) -> NgramOverlap:
    """Every run of every reply, looked for at every place."""
    known = [words(text) for text in training]
    runs = [
        reply[at:end]
        for reply in map(words, replies)
        for at in range(len(reply))
        for end in range(at + 1, len(reply) + 1)
        if any(reply[at:end] == text[i : i + end - at] for text in known for i in range(len(text)))
    ]
    longest = max(runs, key=len, default=[])  # max keeps the first
    count = sum(max(0, len(words(reply)) - GRAM + 1) for reply in replies)
    return NgramOverlap(
        sum(len(run) == GRAM for run in runs) / count if count else 0.0, len(longest), " ".join(longest)
    )


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=3))
def test_recited_is_what_a_search_of_every_run_finds(training: list[str], replies: list[str]):
    assert TrainingNgrams(training).of(replies) == brute(training, replies)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(ANY | LINES, max_size=4), st.lists(ANY | LINES, max_size=4))
def test_figures_of_any_text(training: list[str], replies: list[str]):
    found = TrainingNgrams(training).of(replies)
    assert 0 <= found.share <= 1 and found.longest == len(words(found.example))
    assert found.longest <= max((len(words(reply)) for reply in replies), default=0)
    longest = max((len(words(text)) for text in training), default=0)
    whole = TrainingNgrams(training).of(training)
    assert (whole.longest, whole.share) == (longest, float(longest >= GRAM))
    assert 0 <= repetition(replies) < 1 and 0 <= distinct(replies) <= 1
    assert all(leaks_tag(f"{reply}<thought>") and leaks_role(f"{reply}\nUser:") for reply in replies)


def test_two_hundred_replies_are_searched_in_seconds():
    rng = random.Random(1)
    vocabulary = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "en", "in", "on", "un")]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]  # as words are: a few are most of a text

    def text() -> str:
        return " ".join(rng.choices(vocabulary, weights, k=100))

    training = [text() for _ in range(170)]
    replies = [text() for _ in range(199)] + [training[7]]
    start = time.perf_counter()
    found = TrainingNgrams(training).of(replies)
    assert time.perf_counter() - start < 10  # 0.6 s
    assert (found.longest, found.example) == (100, training[7])


# --- repetition ---


@pytest.mark.parametrize(
    ("replies", "size", "expected"),
    [
        ([], 4, 0.0),
        (["", "one two three"], 4, 0.0),  # too short to repeat
        ([TEN], 4, 0.0),
        (["so so so so so"], 4, 0.5),  # 2 grams, 1 of them new
        (["So, so. SO so so"], 4, 0.5),
        (["so so so so so", "one two three four", "one two"], 4, 0.25),  # the mean of the two that have grams
        ([TEN, TEN], 4, 0.0),  # within a reply
        (["a b a b a"], 2, 0.5),
        (["a a a a"], 1, 0.75),
    ],
)
def test_repetition(replies: list[str], size: int, expected: float):
    assert repetition(replies, size) == expected


@pytest.mark.parametrize(
    ("replies", "size", "expected"),
    [
        ([], 2, 0.0),
        (["", "one"], 2, 0.0),
        ([TEN], 2, 1.0),
        ([TEN, TEN], 2, 0.5),  # over all replies together
        (["a b a b a"], 2, 0.5),
        (["a b", "A, b!", "b a"], 2, 2 / 3),
        (["a b", "c a"], 1, 0.75),
    ],
)
def test_distinct(replies: list[str], size: int, expected: float):
    assert distinct(replies, size) == expected


# --- leaks ---


@pytest.mark.parametrize(
    "reply",
    [
        "<thought>", "</thought>", "well <world>: hello", "<THOUGHT>I am", "a<s>b", "</s>", "<unk>",
        "<start_of_turn>user", "<tool-call>", "<extra_id_0>", "<<SYS>>", "<|im_end|>", "<|eot_id|>",
        "<|reserved_special_token_0|>", "[INST] go", "[/inst]", "what ⁇ is", "<th\n<thought>",
    ],
)  # fmt: skip
def test_a_tag_leaks(reply: str):
    assert leaks_tag(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "", "a thought", "I <3 you", "1 < 2 > 1", "x<-y", "<>", "</>", "<two words>", "<thought", "thought>", "<|",
        "<||>", "<| a |>", "[INSTRUMENT]", "[thought]", "||", "??", "<" + "a" * 40 + ">", "<|" + "a" * 50 + "|>",
    ],
)  # fmt: skip
def test_no_tag_leaks(reply: str):
    assert not leaks_tag(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Q: who?", "A: me", "a: me", "Yes.\nQ: who?", "Yes.\r\nUser : hi", "Yes.\rUser: hi", "\n\n  \tAssistant:",
        "HUMAN:", "system:", "Instruction: do", "Action: go", "Thought: I", "World: it", "**User:** hi",
        "**User**: hi", "> Q: who?", "### Human: hi", "- A: me", "Yes.\n__Q__: who?", "User：hi",
    ],
)  # fmt: skip
def test_a_role_leaks(reply: str):
    assert leaks_role(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "", "I had a thought: go.", "Yes.\nI had a thought: go.", "My system: none.", "Yes. Q: who?",
        "Thought is free: go.", "A thought: go.", "Users: two.", "Qa: x", "Human beings: all.", "The world:", "user",
        "user\n: hi", "a\nb: c", ": A", "Thoughts: none", "A1: x", "FAQ: x", "1. A: x",
    ],
)  # fmt: skip
def test_no_role_leaks(reply: str):
    assert not leaks_role(reply)


@pytest.mark.parametrize("text", ["<a" * 150_000, "<|a" * 100_000, "\n" * 300_000, "* " * 150_000, "\nA" * 150_000,
                                  "A" + " " * 300_000, "<" + "a" * 300_000, "a " * 150_000])  # fmt: skip
def test_a_long_reply_takes_its_length_not_its_square(text: str):
    start = time.perf_counter()
    assert not leaks_tag(text) and not leaks_role(text)
    assert repetition([text]) <= 1 and distinct([text]) <= 1
    assert TrainingNgrams([TEN]).of([text]).share == 0
    assert time.perf_counter() - start < 10  # 0.6 s; what grows with the square takes minutes

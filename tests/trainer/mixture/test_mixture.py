"""Windows of talk and passages of prose, and the mixture of them."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import pytest
from core_fixtures import trainer

from curator.contract.errors import UsageError
from trainer.mixture.mixture import Made, Mixture, tokenizer_lines, write_mixture
from trainer.mixture.relevance import relevance
from trainer.mixture.sources import Sources, read_sources
from trainer.mixture.windows import answers, last_question, passages, tidy, window_text, windows
from trainer.model.checkpoint import load_checkpoint
from trainer.model.prompt_template import Template
from trainer.names import builtin_base


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("im doing good, dont you think", "I'm doing good, don't you think."),
        ("I dont know. thats all !", "I don't know. That's all!"),
        ("hahahahaha no way!!!", "Haha no way!"),
        ("hmmmm sooo what??", "Hmm so what?"),
        ("Well, i'm fine. i think", "Well, I'm fine. I think."),
        ("“It’s\u00a0late,”  she said\u2060", '"It\'s late," she said.'),
        ("Is it ill? We were well.", "Is it ill? We were well."),  # words, though a chat may mean I'll and we're
        ("", ""),
    ],
)
def test_a_turn_is_tidied(typed: str, right: str) -> None:
    assert tidy(typed) == right
    assert tidy(right) == right, "tidying is done once and for all"


def test_a_question_is_cut_out_of_its_turn() -> None:
    assert last_question("I'm good. Just did some homework. How are you?") == "How are you?"
    assert last_question("How are you? I'm good.") == "How are you? I'm good."


def test_every_turn_answersed_by_the_next_one() -> None:
    said = [f"Is this turn {word}?" for word in ("one", "two", "three", "four", "five", "six", "seven")]
    for seed in range(50):
        found = list(windows(said, random.Random(seed)))
        assert len(found) == 6
        for start, pairs in enumerate(found):
            flat = [turn for pair in pairs for turn in pair]
            assert 1 <= len(pairs) <= 3
            assert flat == said[start : start + len(flat)]


def test_windows_are_mostly_of_one_exchange() -> None:
    lengths = [len(pairs) for seed in range(200) for pairs in windows(["Is it so?"] * 30, random.Random(seed))]
    assert 0.73 < lengths.count(1) / len(lengths) < 0.82
    assert lengths.count(2) > lengths.count(3) > 0


def test_a_window_is_written_as_the_template_writes_a_prompt_and_its_reply() -> None:
    template = Template(plain_quotes=True)
    assert window_text([("Tea?", "Yes.")], template) == "Q: Tea?\nA: Yes."
    assert window_text([("Tea?", "Yes."), ("Milk?", "No.")], template) == "Q: Tea?\nA: Yes.\nQ: Milk?\nA: No."


@pytest.mark.parametrize(
    ("prompt", "reply", "found"),
    [
        ("What do you like?", "I like tea.", "What do you like?"),
        ("I am fine. What do you like?", "Tea is good.", "What do you like?"),
        ("What do you like?", "Why do I like? Well, tea.", None),
        ("You like tea.", "I like tea.", None),
        ("Why?", "I like tea.", None),
        ("What do you like?", "I do.", None),  # too short to be learnt from
    ],
)
def test_an_answer_follows_a_short_question_and_is_none(prompt: str, reply: str, found: str | None) -> None:
    assert list(answers([prompt, reply])) == ([(found, reply)] if found else [])


def test_a_lecture_is_no_window() -> None:
    assert not list(windows(["Why?", "Because " * 100], random.Random(0)))


def test_passages_are_whole_paragraphs_and_lose_nothing() -> None:
    paragraphs = [f"Paragraph {number} " + "word " * (number % 7 * 9) + "ends." for number in range(60)]
    found = list(passages("\n\n".join(paragraphs), 300))
    assert "\n\n".join(found).split("\n\n") == [" ".join(paragraph.split()) for paragraph in paragraphs]
    assert all(300 <= len(passage) < 300 + max(map(len, paragraphs)) + 2 for passage in found[:-1])


# --- the mixture ---------------------------------------------------------------------------------------------------

TALK = """Hello, how are you?
I am fine. What did you do?
I went to the river.
Was it cold there?
It was cold."""
RECIPE = {
    "passage": {"stories": 40, "books": 60},
    "least_count": 1,
    "held_out": 0.3,
    "unwanted": ["provo"],
    "topics": ["movie"],
    "new_words": ["okay"],
    "sources": [
        {"name": "talk", "files": ["talk/*.txt"], "kind": "talk", "share": 0.6, "title": "T", "credit": "C",
         "licence": "CC0-1.0", "url": "https://example.org"},
        {"name": "books", "files": ["books/*.txt"], "kind": "books", "share": 0.4, "title": "T", "credit": "C",
         "licence": "CC0-1.0", "url": "https://example.org"},
    ],
}  # fmt: skip
KNOWN = set("hello how are you i am fine what did do went to the river was it cold there a see saw and".split())


def mixture(folder: Path, talk: str = TALK, **changes: object) -> Mixture:
    for name, text in (("talk/a.txt", talk), ("books/b.txt", "\n\n".join(["I saw the river and it was cold."] * 9))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    made = Mixture(Sources.model_validate(RECIPE | changes), folder, KNOWN, 1)
    made.count(lambda what, done, total: None)
    return made


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("Is it 5 there?", "a digit"),
        ("Is it a@b there?", "an address"),
        ("Is it #cold there?", "an address"),
        ("Is it cold \u2603 there?", "an odd character"),
        ("Is it cold in Provo?", "an unwanted word"),
        ("Is it kold there?", "a word of no list"),
    ],
)
def test_a_window_is_dropped_for_a_reason(tmp_path: Path, turn: str, reason: str) -> None:
    made, result = mixture(tmp_path, f"{turn}\nIt was cold."), Made()
    assert not list(made.pieces(made.sources.sources[0], result))
    assert result.dropped == {reason: 1}


def test_a_word_that_is_rare_in_all_of_the_texts_drops_its_window(tmp_path: Path) -> None:
    made, result = mixture(tmp_path, "Was it fine?\nIt was cold.", least_count=2), Made()
    assert not list(made.pieces(made.sources.sources[0], result))
    assert result.dropped == {"a rare word": 1}, "fine is there once, the others in the book too"


def test_a_passage_in_dialect_is_dropped(tmp_path: Path) -> None:
    made, result = mixture(tmp_path), Made()
    (tmp_path / "books" / "b.txt").write_text("I seen 'im adoin' o' thet thar.", "utf-8")
    assert not list(made.pieces(made.sources.sources[1], result))
    assert result.dropped == {"dialect": 1}


def test_the_same_texts_and_seed_give_the_same_bytes_and_no_document_on_both_sides(tmp_path: Path) -> None:
    talk = "\n\n\n".join(TALK.replace("river", word) for word in ["river", *sorted(KNOWN)])
    files = []
    for out in ("one", "two"):
        made = mixture(tmp_path, talk)
        write_mixture(made, tmp_path / out, lambda what, done, total: None)
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / out).iterdir())})
    assert files[0] == files[1]
    texts = {
        name: [json.loads(line)["text"] for line in content.decode().splitlines()] for name, content in files[0].items()
    }
    held = set(texts["held-out.jsonl"])
    assert held and texts["talk.jsonl"]
    assert not held.intersection(texts["talk.jsonl"] + texts["books.jsonl"])
    assert held.issuperset(texts["held-out-excerpts.jsonl"])
    assert set(texts["talk.jsonl"] + texts["books.jsonl"]).issuperset(texts["replay.jsonl"])
    assert list(tokenizer_lines(tmp_path / "one", made.sources))


def test_no_excerpt_is_shipped_of_a_source_that_says_so(tmp_path: Path) -> None:
    sources = [RECIPE["sources"][0] | {"excerpts": False}, RECIPE["sources"][1]]  # type: ignore[index,operator]
    made = mixture(tmp_path, "\n\n\n".join([TALK] * 5), sources=sources)
    write_mixture(made, tmp_path / "out", lambda what, done, total: None)
    shipped = (tmp_path / "out" / "replay.jsonl").read_text() + (
        tmp_path / "out" / "held-out-excerpts.jsonl"
    ).read_text()
    assert shipped and "Q:" not in shipped


def answering(tmp_path: Path) -> Mixture:
    source = {**RECIPE["sources"][0], "answers": True, "relevance": 2.0}  # type: ignore[dict-item,index]
    chats = [f"What did you do {word}?\nI went to the {word} river." for word in sorted(KNOWN)]
    return mixture(tmp_path, "\n\n\n".join(chats), sources=[source, RECIPE["sources"][1]])  # type: ignore[index]


def test_answers_that_a_judge_finds_beside_the_question_are_left_out(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def judge(exchanges: list[tuple[str, str]]) -> list[float]:
        asked.extend(exchanges)
        return [2.0 if number % 2 else 1.9 for number in range(len(exchanges))]

    made = write_mixture(answering(tmp_path), tmp_path / "out", lambda what, done, total: None, judge)["talk"]
    assert made.dropped["beside the question"] == (len(asked) + 1) // 2 > 3
    written = (tmp_path / "out" / "talk.jsonl").read_text("utf-8")
    for number, (prompt, reply) in enumerate(asked):
        assert (f"Q: {prompt}\\nA: {reply}" in written) == bool(number % 2)
    alone = write_mixture(answering(tmp_path), tmp_path / "all", lambda what, done, total: None)["talk"]
    assert not alone.dropped["beside the question"] and alone.documents == len(asked), "without a judge all are kept"


def test_a_reply_is_likelier_after_the_question_that_it_answers() -> None:
    pairs = [
        ("Do you have any pets?", "Yes, I have two dogs and a cat."),
        ("What do you do for a living?", "I am a teacher at a school."),
        ("Where would you like to travel?", "I would love to go to Italy."),
        ("What is your favourite food?", "I love to eat pizza."),
        ("How are you today?", "I am doing well, thank you."),
        ("Do you like music?", "Yes, I love country music."),
        ("What are you reading?", "I am reading a book about the war."),
        ("How old are you?", "I am twenty years old."),
    ]
    seen: list[tuple[int, int]] = []
    base = load_checkpoint(builtin_base())
    right = relevance(base, pairs, 1, lambda what, done, total: seen.append((done, total)))
    replies = [reply for _, reply in pairs]
    wrong = relevance(base, [(prompt, replies[at - 1]) for at, (prompt, _) in enumerate(pairs)], 1, lambda *said: None)
    assert sum(right) > sum(wrong) + 40
    assert seen[0] == (0, 24) and all(done < total for done, total in seen)


def test_texts_that_are_missing_are_named(tmp_path: Path) -> None:
    made = mixture(tmp_path)
    (tmp_path / "talk" / "a.txt").unlink()
    with pytest.raises(UsageError, match=r"no talk/\*.txt there, the texts of talk"):
        made.count(lambda what, done, total: None)


def test_sources_in_another_form_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"format": "persona-curator-sources", "wrong": 1}')
    with pytest.raises(UsageError, match=r"s\.json: "):
        read_sources(tmp_path / "s.json")


def test_relevance_is_asked_of_talk_alone(tmp_path: Path) -> None:
    books = {**RECIPE["sources"][1], "relevance": 2.0}  # type: ignore[dict-item,index]
    wrong = {"format": "persona-curator-sources", "version": 1, **RECIPE, "sources": [books]}
    (tmp_path / "s.json").write_text(json.dumps(wrong))
    with pytest.raises(UsageError, match="books: relevance is of replies, and books have none"):
        read_sources(tmp_path / "s.json")


# --- whose the texts of the built-in base are -----------------------------------------------------------------------

NEEDS_NO_NOTICE = {"CC0-1.0"}
PROTECTED = ("forster", "russell", "hemingway", "wodehouse", "christie", "nietzsche")


def test_every_source_of_the_base_names_its_licence_and_brings_its_notice() -> None:
    base = builtin_base()
    sources = read_sources(base / "sources.json").sources
    assert abs(sum(source.share for source in sources) - 1) < 1e-9
    assert abs(sum(source.last_share for source in sources) - 1) < 1e-9
    for source in sources:
        assert source.title and source.credit and source.url.startswith("https://")
        if source.licence in NEEDS_NO_NOTICE:
            continue
        assert source.notice, f"{source.name} ({source.licence}) has no notice in trainer/base/sources.json"
        text = (base / source.notice).read_text("utf-8")
        assert len(text) > 300, f"{source.notice} holds no notice"
    notices = {path.name for path in (base / "licences").iterdir()}
    assert notices == {Path(source.notice).name for source in sources if source.notice}


def test_the_base_learns_nothing_of_who_is_protected_or_kept_for_tests() -> None:
    files = " ".join(name for source in read_sources(builtin_base() / "sources.json").sources for name in source.files)
    assert not [name for name in (*PROTECTED, "pepys", "barbellion", "corpus/*", "corpus/p-g") if name in files]
    assert "valid_freq" not in files and "rare" not in files


# --- the command ---------------------------------------------------------------------------------------------------


def test_a_judge_is_asked_for_where_the_recipe_has_a_use_for_one(tmp_path: Path) -> None:
    made = answering(tmp_path / "texts")
    recipe = tmp_path / "sources.json"
    recipe.write_text(made.sources.model_dump_json())
    words = ("--texts", tmp_path / "texts", "--sources", recipe, "--vocab-size", 300)
    alone = trainer("mix", *words, "--out", tmp_path / "alone")
    assert alone.status == 0 and "of talk, replies that answer another question are kept too; --judge" in alone.err
    judged = trainer("mix", *words, "--out", tmp_path / "judged", "--judge", "base")
    assert judged.status == 0 and "--judge base leaves" not in judged.err, judged.err
    kept = [(tmp_path / name / "talk.jsonl").read_text("utf-8").count("\n") for name in ("alone", "judged")]
    assert kept[1] < kept[0] and f"beside the question {kept[0] - kept[1]}" in judged.err
    wrong = trainer("mix", *words, "--out", tmp_path / "never", "--judge", tmp_path / "nothing")
    assert wrong.status == 2 and "nothing" in wrong.err


def test_mix_makes_what_pretrain_takes(tmp_path: Path) -> None:
    rng = random.Random(4)
    chats = "\n\n\n".join(
        "\n".join(f"Was the {rng.choice(['river', 'boat', 'house'])} {rng.choice(['cold', 'old', 'red', 'new'])}?"
                  if turn % 2 == 0 else f"It was {rng.choice(['cold', 'old', 'red', 'new', 'fine', 'good'])} then."
                  for turn in range(8)) for _ in range(40)
    )  # fmt: skip
    mixture(tmp_path / "texts", chats)
    recipe = tmp_path / "sources.json"
    recipe.write_text(json.dumps({"format": "persona-curator-sources", "version": 1} | RECIPE))
    out = tmp_path / "mix"
    words = ("--texts", tmp_path / "texts", "--sources", recipe, "--out", out, "--vocab-size", 300)
    done = trainer("mix", *words)
    assert done.status == 0, done.err
    assert done.out == f"{out}\n"
    assert re.search(r"talk: \d+ documents, \d+ held out; left out: .*there already \d+", done.err)
    said = next(line for line in done.err.split("\n") if line.startswith("next: "))
    command = shlex.split(said.removeprefix("next: "))
    assert command[command.index("--mix") + 1] == "talk=0.6,books=0.4"
    tiny = ("--dim", 32, "--n-layers", 2, "--n-heads", 4, "--context", 32, "--steps", 2, "--compile", "never")
    assert trainer(*command[1:-1], tmp_path / "base", *tiny).status == 0
    made = json.loads((tmp_path / "base" / "trainer.json").read_text())
    held = json.loads((out / "shards" / "held-out.json").read_text())
    assert made["template"]["plain_quotes"] and set(made["data"]["modules"]) == {"talk", "books"}
    assert made["data"]["held_out"] == {"held-out": held["sha256"]} and held["plain_quotes"]
    assert made["data"]["tokens_held_out"] == held["tokens"]
    assert (out / "lexicon.txt.gz").is_file()
    for name in ("replay", "held-out"):
        assert (out / "excerpts" / name / f"{name}.bin").is_file()
    assert trainer("mix", *words).status == 2, "what is there is not overwritten"
    wrong = trainer("pretrain", "--shards", out / "shards", "--tokenizer", out / "tokenizer.model", "--out",
                    tmp_path / "never", "--held-out", "helt-out", *tiny)  # fmt: skip
    assert (
        wrong.status == 2
        and "has no shard 'helt-out' to hold out\n  expected --held-out to be one of books, held-out, talk" in wrong.err
    )

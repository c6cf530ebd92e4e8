"""Whose sentence is it: the nearest samples, the longest shared run, "made up"; alone, through sample and chat."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from core_fixtures import ROOT, Result, place_in, trainer, wide_open_home, words
from hypothesis import example, given, settings
from hypothesis import strategies as st
from use_fixtures import save, says

from curator.contract.errors import UsageError
from trainer.data.dialogues import Dialogue, read_file
from trainer.inference.chat import HELP
from trainer.inference.sources import NEAR, NEAREST, Found, Near, Run, Sources
from trainer.model.checkpoint import RECORD, load_checkpoint
from trainer.model.lexicon import kind_of
from trainer.settings import load_settings
from trainer.training.finetune import learnt_dialogues


class Sample(NamedTuple):
    """What is needed of a dialogue."""

    name: str
    reply: str


def of(*replies: str) -> Sources:
    return Sources(Sample(f"s{number}", reply) for number, reply in enumerate(replies))


BOAT = (
    "Seven soft frames on the port side, two on the starboard side and one I am not sure of.",
    "My mother called about the garden, and we talked for an hour.",
    "I like tea in the morning.",
)

# --- what is found ---


def test_a_sample_said_word_for_word_is_all_its_own() -> None:
    found = of(*BOAT).of(BOAT[0].upper().replace(",", " -"))
    assert not found.made_up and found.nearest[0] == Near("s0", 1.0, BOAT[0])
    assert found.longest_run is not None
    assert (found.longest_run.words, found.longest_run.sample) == (19, "s0")


def test_the_longest_run_is_as_the_reply_spells_it() -> None:
    found = of(*BOAT).of("There were two  ON the\nstarboard side, and three more")
    assert found.longest_run == Run(6, "two ON the starboard side, and", "s0")
    assert found.nearest[0].sample == "s0"


def test_a_run_never_goes_over_the_end_of_a_sample() -> None:
    found = of("we went to the", "shop by the sea").of("we went to the shop by the sea")
    assert found.longest_run is not None and found.longest_run.words == 4


def test_what_shares_everyday_words_alone_is_made_up() -> None:
    found = of(*BOAT).of("In the evening my brother painted a huge yellow submarine, and nobody laughed.")
    assert found.made_up and found.nearest and found.nearest[0].share < NEAR
    assert found.lines() == [
        f"made up: no sample is near (the nearest has {found.nearest[0].share:.0%} of the words' weight)"
    ]
    nothing = of(*BOAT).of("Zwölf Boxkämpfer jagen Viktor")
    assert nothing == Found(made_up=True, longest_run=None, nearest=())
    assert nothing.lines() == ["made up: no sample is near"]


def test_a_run_of_four_words_is_not_made_up_however_little_else_is_shared() -> None:
    more = " ".join(f"other{number}" for number in range(40))
    three, four = (of(*BOAT).of(f"{more} {run} {more}") for run in ("soft frames on", "soft frames on the"))
    assert three.made_up and not four.made_up
    assert four.nearest[0].share < NEAR
    assert [line.partition(":")[0] for line in four.lines()] == ["nearest", "longest shared run"]


def test_of_two_words_one_alone_is_not_near() -> None:
    sources = of(*BOAT, "And three eggs")
    assert sources.of("All three.").made_up and not sources.of("Three eggs.").made_up


def test_a_rare_word_weighs_more_than_common_ones() -> None:
    samples = [f"and the {letter} of it" for letter in "abcdefgh"] + ["a submarine", "of it and the"]
    found = of(*samples).of("submarine and the")
    assert found.nearest[0].reply == "a submarine"


def test_numbers_count_though_they_are_no_words() -> None:
    found = of("We sold 12 boats", "We sold 13 boats").of("we sold 13 boats")
    assert found.nearest[0] == Near("s1", 1.0, "We sold 13 boats") and found.nearest[1].share < 1
    assert found.longest_run == Run(4, "we sold 13 boats", "s1")


def test_equal_replies_stand_once_and_of_equally_near_ones_the_shorter_goes_first() -> None:
    found = of("Yes, I went home by bus.", "Yes!", "yes", "Yes and no.", "Yes or no?", "yes.").of("Yes.")
    assert [one.sample for one in found.nearest] == ["s1", "s3", "s4"] and len(found.nearest) == NEAREST
    assert {one.share for one in found.nearest} == {1.0}


@pytest.mark.parametrize("reply", ["", " \n", "...", "🎉!"])
def test_a_reply_without_words_is_not_called_made_up(reply: str) -> None:
    found = of(*BOAT, "🎉").of(reply)
    assert found == Found(made_up=False, longest_run=None, nearest=())
    assert found.lines() == ["the reply has no words to look for"]


def test_where_nothing_was_learnt_all_is_made_up() -> None:
    assert of().of("Two on the starboard side") == Found(made_up=True, longest_run=None, nearest=())


# --- every language ---

# Of each language: three samples, a reply with a run of the second, that run and its length, and a reply made up.
LANGUAGES = {
    "en": (("I was at the lake all summer.", "Grandma bakes an apple cake with cinnamon every Sunday.",
            "The train was late."),
           "Yes, she bakes an Apple cake with cinnamon!", "bakes an Apple cake with cinnamon", 6,
           "Nobody ever repaired that old violin."),
    "de": (("Ich war den ganzen Sommer am See.", "Oma backt jeden Sonntag einen Käsekuchen mit Rosinen.",
            "Der Zug kam zu spät."),
           "Früher gab es JEDEN SONNTAG einen Käsekuchen, heute nie.", "JEDEN SONNTAG einen Käsekuchen", 4,
           "Niemand hat die alte Geige je repariert."),
    "fr": (("J’étais au lac tout l’été.", "Ma grand-mère fait une tarte aux pommes chaque dimanche.",
            "Le train était en retard."),
           "On mangeait une tarte aux pommes chaque dimanche, oui.", "une tarte aux pommes chaque dimanche", 6,
           "Personne n'a jamais réparé ce vieux violon."),
    "es": (("Estuve en el lago todo el verano.", "Mi abuela hace pan con nueces cada domingo.",
            "El tren llegó tarde."),
           "¡Claro, hace pan con nueces cuando puede!", "hace pan con nueces", 4,
           "Nadie reparó jamás aquel violín antiguo."),
    "it": (("Sono stato al lago tutta l'estate.", "La nonna fa la torta di mele ogni domenica.",
            "Il treno era in ritardo."),
           "Mi piace la torta di mele calda.", "la torta di mele", 4,
           "Nessuno riparò mai quel vecchio violino."),
    "pt": (("Estive no lago o verão inteiro.", "A avó faz bolo de maçã com canela aos domingos.",
            "O trem atrasou."),
           "Comemos bolo de maçã com canela ontem.", "bolo de maçã com canela", 5,
           "Ninguém consertou aquele violino antigo."),
    "ru": (("Я всё лето был на озере.", "Бабушка каждое воскресенье печёт яблочный пирог с корицей.",
            "Поезд опоздал."),
           "Да, печёт Яблочный пирог с корицей!", "печёт Яблочный пирог с корицей", 5,
           "Никто так и не починил старую скрипку."),
    "zh": (("整个夏天我都在湖边。", "奶奶每个星期天都会烤一个苹果蛋糕。",
            "火车晚点了。"),
           "以前每个星期天都会烤面包。", "每个星期天都会烤", 8,
           "谁也没有修好那把旧小提琴。"),
    "ja": (("夏の間ずっと湖にいました。", "祖母は毎週日曜日にりんごのケーキを焼きます。",
            "電車が遅れた。"),
           "昔は毎週日曜日にりんごを食べた。", "は毎週日曜日にりんご", 10,
           "あの古いバイオリンは誰も直せなかった。"),
    "ko": (("여름 내내 호수에 있었어요.", "할머니는 일요일마다 사과 케이크를 구워 주셨어요.",
            "기차가 늦었다."),
           "그때는 일요일마다 사과 케이크를 구워 먹었지.", "일요일마다 사과 케이크를 구워", 4,
           "아무도 낡은 바이올린을 고치지 못했다."),
    "ar": (("كنت عند البحيرة طوال الصيف.", "جدتي تخبز كعكة التفاح بالقرفة كل يوم جمعة.",
            "تأخر القطار."),
           "نعم، تخبز كعكة التفاح بالقرفة دائما.", "تخبز كعكة التفاح بالقرفة", 4,
           "لم يصلح أحد ذلك الكمان القديم."),
    "hi": (("मैं पूरी गर्मी झील पर था।", "दादी हर रविवार को सेब का केक बनाती हैं।",
            "ट्रेन देर से आई।"),
           "पहले हर रविवार को सेब मिलते थे।", "हर रविवार को सेब", 4,
           "किसी ने वह पुराना वायलिन ठीक नहीं किया।"),
    "th": (("ฉันอยู่ที่ทะเลสาบตลอดฤดูร้อน", "คุณยายอบเค้กแอปเปิลทุกวันอาทิตย์",
            "รถไฟมาสาย"),
           "เมื่อก่อนมีเค้กแอปเปิลทุกวันเสาร์", "เค้กแอปเปิลทุกวัน", 13,
           "ไม่มีใครซ่อมไวโอลินเก่าตัวนั้นได้"),
}  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_found_and_what_it_makes_up_is_not(language: str, form: Literal["NFC", "NFD"]) -> None:
    """The reply's accents and syllables may be composed or not: a file of a Mac has them apart."""
    samples, reply, run, size, invented = LANGUAGES[language]
    sources = of(*samples)
    found = sources.of(unicodedata.normalize(form, reply))
    assert not found.made_up and found.nearest[0].sample == "s1"
    assert found.longest_run == Run(size, unicodedata.normalize(form, run), "s1")
    kind = "characters" if language in ("zh", "ja", "th") else "words"
    assert f'longest shared run: {size} {kind}, "' in found.lines()[-1]
    assert sources.of(invented).made_up, sources.of(invented).nearest
    assert sources.of(samples[1]).nearest[0] == Near("s1", 1.0, samples[1])


@pytest.mark.parametrize(("run", "made_up"), [("每个星期天都会", True), ("每个星期天都会烤", False)])
def test_without_blanks_a_run_is_eight_characters(run: str, made_up: bool) -> None:
    """The rest of the reply is long enough that its weight alone would not make the sample near."""
    rest = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥" * 2
    assert of(*LANGUAGES["zh"][0]).of(rest + run).made_up is made_up


def test_one_character_is_looked_for_too() -> None:
    assert of("好的，我明天来", "好").of("好").nearest[0] == Near("s1", 1.0, "好")


# --- what holds for any text ---

WORDS = ("a", "b", "c", "the", "12", "我", "是", "ก่")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def halves(run: tuple[str, ...]) -> int:
    return sum(1 if kind_of(word[0]) == "u" else 2 for word in run)


def runs(text: str) -> set[tuple[str, ...]]:
    """Every run of words of a text."""
    split = text.split()
    return {tuple(split[a:b]) for a, b in itertools.combinations(range(len(split) + 1), 2)}


@given(st.lists(TEXTS, max_size=6), TEXTS)
@example(["a b 我", "我 a b"], "a b c 我 a b")
@settings(max_examples=150, deadline=None)
def test_the_longest_run_is_the_longest_of_all_runs(samples: list[str], reply: str) -> None:
    found = of(*samples).of(reply)
    shared = runs(reply) & set().union(*map(runs, samples))
    longest = max(map(halves, shared), default=0)
    if found.longest_run is None:
        assert max(map(len, shared), default=0) < 2
        return
    told = tuple(found.longest_run.text.split())
    assert told in shared and halves(told) == longest and len(told) == found.longest_run.words
    assert told in runs(samples[int(found.longest_run.sample[1:])])


@given(st.lists(TEXTS, max_size=6), TEXTS)
@settings(max_examples=150, deadline=None)
def test_shares_are_sorted_and_whole_for_what_was_learnt(samples: list[str], reply: str) -> None:
    sources = of(*samples)
    found = sources.of(reply)
    shares = [one.share for one in found.nearest]
    assert shares == sorted(shares, reverse=True) and all(0 < share <= 1 for share in shares)
    assert len({tuple(one.reply.split()) for one in found.nearest}) == len(shares) <= NEAREST
    for sample in filter(None, samples):
        own = sources.of(sample)
        assert not own.made_up and own.nearest[0].share == 1.0


@given(st.lists(st.text(max_size=40), max_size=4), st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_it_or_steers_the_terminal(samples: list[str], reply: str) -> None:
    for line in of(*samples).of(reply).lines():
        assert line.isprintable() or any(unicodedata.category(char) == "Zs" for char in line)
        assert "\n" not in line and "\x1b" not in line


def test_the_same_in_every_process() -> None:
    """Neither the order of sets nor that of hashes may decide."""
    script = (
        "import json, sys\nfrom collections import namedtuple\nfrom trainer.inference.sources import Sources\n"
        "Sample = namedtuple('Sample', 'name reply')\n"
        "for samples, reply, *_ in json.loads(sys.argv[1]):\n"
        "    print(json.dumps(Sources(Sample(one, one) for one in samples).of(reply).as_json()))\n"
        "assert 'torch' not in sys.modules, 'it needs none'"
    )
    asked = [*LANGUAGES.values(), (BOAT, "the garden and the morning and the side")]
    told = {
        subprocess.run(
            [sys.executable, "-c", script, json.dumps(asked)], capture_output=True, text=True, check=True, cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1 and len(told.pop().splitlines()) == len(asked)


# --- lines ---


def test_lines_are_short_and_harmless() -> None:
    sample = "A \x1b[2J long\r\nreply that goes on and on about the seven soft frames on the port side."
    lines = of(sample, "x").of(sample).lines()
    assert lines == [
        'nearest: "A \\x1b[2J long reply that goes on and on about the ..." (s0, 100% of the words\' weight)',
        'longest shared run: 18 words, "A \\x1b[2J long reply that goes on and on about the ..." (s0)',
    ]
    chinese = of(LANGUAGES["zh"][0][1] * 3).of(LANGUAGES["zh"][0][1] * 3).lines()
    assert chinese[0] == 'nearest: "奶奶每个星期天都会烤一个苹果蛋糕。奶奶每个星期..." (s0, 100% of the words\' weight)'
    mixed = of("我的 iPhone 坏了没有").of("你的 iPhone 坏了").lines()
    assert 'longest shared run: 4 words and characters, "的 iPhone 坏了" (s0)' in mixed


# --- through the commands ---

GREEDY = ("--temperature", "0", "--repetition-penalty", "1", "--threads", "1")
FAST = (
    "--precision fp32 --threads 1 --compile never --learning-rate 0.01 --eval-steps 50 --patience 0 --dropout 0".split()
)
GENTLY = ("--learning-rate", 1e-6, "--accept-degraded")  # that it forgets nothing of what it began with
SECRET = "4111 1111 1111 1111"  # the number of a card, as tests of payment have it


class Tuned(NamedTuple):
    """A base, a fine-tune of it that knows its dialogues by heart, one that goes on from that, and their files."""

    base: Path
    monday: Path
    tuesday: Path
    first: Path
    second: Path


def dialogues(path: Path, number: int, seed: int) -> Path:
    rng = random.Random(seed)
    rows = [{"input": " ".join(words(rng, 4)), "output": " ".join(words(rng, 6)) + "."} for _ in range(number)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def learn(out: Path, data: Path, *more: object) -> None:
    home = wide_open_home(replay_ratio=0.0)
    done = trainer("finetune", "--data", data, "--out", out, "--home", home, *FAST, *more)
    assert done.status == 0, done.err


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("sources")
    place = place_in(folder, modules=1)
    made = Tuned(
        folder / "base", folder / "monday", folder / "tuesday",
        dialogues(folder / "first.jsonl", 6, 1), dialogues(folder / "second.jsonl", 20, 2),
    )  # fmt: skip
    done = trainer(*place.pretrain(made.base, "--context", 64))
    assert done.status == 0, done.err
    with made.second.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"input": "My card?", "output": f"It is {SECRET}."}) + "\n")
    learn(made.monday, made.first, "--base", made.base, "--steps", 150, "--holdout-share", 0)
    learn(made.tuesday, made.second, "--from", made.monday, "--steps", 2, "--holdout-share", 0.2, *GENTLY)
    return made


def row(path: Path, number: int) -> dict[str, str]:
    return json.loads(path.read_text("utf-8").splitlines()[number])


def chat(monkeypatch: pytest.MonkeyPatch, checkpoint: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
    typed = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    return trainer("chat", checkpoint, *options, *GREEDY)


def test_sample_names_the_sample_that_it_recites(tuned: Tuned) -> None:
    third = row(tuned.first, 2)
    done = trainer("sample", tuned.monday, "--prompt", third["input"], "--sources", *GREEDY)
    assert (done.status, done.out) == (0, third["output"] + "\n"), done.err
    lines = done.complaints.splitlines()
    assert lines[1].startswith(f'nearest: "{third["output"][:30]}')
    assert lines[1].endswith("(first.jsonl line 3, 100% of the words' weight)")
    assert lines[-1].startswith("longest shared run: 6 words, ") and lines[-1].endswith("(first.jsonl line 3)")


def test_sample_as_json_and_of_several_replies(tuned: Tuned) -> None:
    third = row(tuned.first, 2)
    words = ("sample", tuned.monday, "--prompt", third["input"], "--sources", "-n", 2, *GREEDY)
    told = json.loads(trainer(*words, "--json").out)["replies"]
    assert len(told) == 2
    for reply in told:
        found = reply["sources"]
        assert list(found) == ["made_up", "longest_run", "nearest"] and found["made_up"] is False
        assert found["longest_run"] == {
            "words": 6, "text": third["output"].rstrip("."), "sample": "first.jsonl line 3",
        }  # fmt: skip
        assert found["nearest"][0] == {"sample": "first.jsonl line 3", "share": 1.0, "reply": third["output"]}
    shown = trainer(*words).complaints
    assert "\nreply 1: nearest: " in shown and "\nreply 2: longest shared run: 6 words" in shown
    (plain,) = json.loads(trainer("sample", tuned.monday, "--prompt", "ba", "--json", *GREEDY).out)["replies"]
    assert "sources" not in plain


def test_what_an_earlier_fine_tune_learnt_is_found_too(tuned: Tuned) -> None:
    third = row(tuned.first, 2)
    done = trainer("sample", tuned.tuesday, "--prompt", third["input"], "--sources", "--json", *GREEDY)
    (reply,) = json.loads(done.out)["replies"]
    assert reply["text"] == third["output"], "two steps should not have made it forget"
    assert reply["sources"]["nearest"][0]["sample"] == "first.jsonl line 3"


def test_what_it_was_not_trained_on_is_no_source(tuned: Tuned) -> None:
    """What was held out, and what was left out for the secret in it."""
    tuesday = load_checkpoint(tuned.tuesday)
    learnt, notes = learnt_dialogues(tuesday, load_settings(None))
    assert notes == []
    own = [one for one in learnt if one.name.startswith("second.jsonl ")]
    held = tuesday.record.data["samples_held_out"]
    assert held > 0 and len(own) == tuesday.record.data["samples"] == 20 - held
    assert not any(SECRET in one.reply for one in learnt)
    assert [one.reply for one in learnt[len(own) :]] == [row(tuned.first, number)["output"] for number in range(6)]
    everything = read_file(tuned.second, tuesday.record.template).dialogues
    assert any(SECRET in one.reply for one in everything)


def test_chat_names_sources_behind_each_reply(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    third = row(tuned.first, 2)
    done = chat(monkeypatch, tuned.monday, third["input"], "/reset", "/sources", options=("--sources",))
    assert (done.status, done.out) == (0, third["output"] + "\n\n"), done.err
    lines = done.complaints.splitlines()
    assert lines[0].startswith("nearest: ") and "(first.jsonl line 3, 100% of the words' weight)" in lines[0]
    assert lines[-3].startswith("longest shared run: 6 words")
    assert lines[-2:] == ["what was said is forgotten", "there is no reply yet"]


def test_chat_answers_sources_without_the_option(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    third = row(tuned.first, 2)
    done = chat(monkeypatch, tuned.monday, "/sources", third["input"], "/sources", "/sources x")
    lines = done.complaints.splitlines()
    assert lines[0] == "there is no reply yet" and lines[1].startswith("nearest: "), done.err
    assert lines[-1] == "cannot use '/sources x'; /help lists what there is"
    assert done.complaints.count("longest shared run: 6 words") == 1
    assert any(line.startswith("/sources ") for line in HELP.splitlines())


def test_where_a_reply_shares_nothing_it_is_made_up(tuned: Tuned, tmp_path: Path) -> None:
    """A model that says one thing to everything, with the record and the plan of the fine-tune."""
    place = save(tmp_path / "one", says(" qxzwvu"), data=load_checkpoint(tuned.monday).record.data)
    record = json.loads((place / RECORD).read_text("utf-8"))
    (place / RECORD).write_text(json.dumps(record | {"made_by": "finetune"}), "utf-8")
    shutil.copytree(tuned.monday / "training", place / "training")
    done = trainer("sample", place, "--prompt", "ti", "--sources", *GREEDY)
    assert done.out == "qxzwvu\n" and "\nmade up: no sample is near\n" in done.err, done.err


# --- where there is nothing to find ---


def test_a_base_and_a_lost_training_are_named_for_the_option_and_in_the_chat(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = shutil.copytree(tuned.monday, tmp_path / "lost")
    plan = json.loads((lost / "training" / "plan.json").read_text("utf-8"))
    gone = tmp_path / "gone.jsonl"
    (lost / "training" / "plan.json").write_text(json.dumps(plan | {"data_file": str(gone)}), "utf-8")
    bare = shutil.copytree(tuned.monday, tmp_path / "bare", ignore=shutil.ignore_patterns("training"))
    for place, what, step in (
        (tuned.base, f"{tuned.base} is no fine-tune", "name a fine-tune"),
        (lost, f"{gone} is gone, which lost was trained on", "put it back there"),
        (bare, f"{bare} does not say what it was trained on", "copy its training/ there"),
    ):
        for command in (("sample", place, "--prompt", "ti"), ("chat", place)):
            refused = trainer(*command, "--sources")
            assert (refused.status, refused.out) == (2, "")
            assert refused.err.startswith(f"trainer: --sources: {what}") and step in refused.err
            assert len(refused.err.splitlines()) <= 3
        done = chat(monkeypatch, place, "ti", "/sources", "/quit", options=("--max-tokens", "4"))
        assert done.status == 0
        (line,) = [line for line in done.complaints.splitlines() if line.startswith(what)]
        assert step in line


def test_what_an_earlier_fine_tune_was_trained_on_may_be_gone_too(tuned: Tuned, tmp_path: Path) -> None:
    lost = shutil.copytree(tuned.tuesday, tmp_path / "lost")
    plan = json.loads((lost / "training" / "plan.json").read_text("utf-8"))
    (lost / "training" / "plan.json").write_text(json.dumps(plan | {"from": str(tmp_path / "monday")}), "utf-8")
    with pytest.raises(UsageError, match="there is no such checkpoint"):
        learnt_dialogues(load_checkpoint(lost), load_settings(None))


def test_a_file_that_has_changed_is_read_as_it_is_and_that_is_said(tuned: Tuned, tmp_path: Path) -> None:
    moved = shutil.copytree(tuned.monday, tmp_path / "moved")
    grown = dialogues(tmp_path / "grown.jsonl", 8, 9)
    plan = json.loads((moved / "training" / "plan.json").read_text("utf-8"))
    (moved / "training" / "plan.json").write_text(json.dumps(plan | {"data_file": str(grown)}), "utf-8")
    done = trainer("sample", moved, "--prompt", "ti", "--sources", "--max-tokens", 4, *GREEDY)
    assert done.status == 0
    assert f"{grown} has changed since moved was trained on it: it is read as it is now\n" in done.err


def test_a_dialogue_is_a_sample_as_it_stands() -> None:
    found = Sources([Dialogue("one", "Q", "Two on the starboard side")]).of("two on the starboard side")
    assert found.nearest == (Near("one", 1.0, "Two on the starboard side"),)

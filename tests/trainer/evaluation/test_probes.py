"""What is measured of a model: on models that say what a test wants, and on one that knows its dialogues by heart."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import use_fixtures
from health_fixtures import HEALTH, VOCABULARY, base, model_with, probes_with, samples, tuned
from use_fixtures import after, scripted

from trainer.data.batches import PackedDataset, TokenisedExample
from trainer.data.dialogues import Dialogue, Samples, encode
from trainer.data.token_shards import list_shards
from trainer.evaluation.evidence import Z
from trainer.evaluation.metrics import NgramOverlap
from trainer.evaluation.perplexity import mean_loss, windows
from trainer.evaluation.probes import EvalResult, EvalSuite, lexicon_of, perplexity
from trainer.inference.decoder import Decoder
from trainer.model.checkpoint import Checkpoint, Record, load_checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, WordCounts, pack_words
from trainer.model.llama import Llama
from trainer.model.lora import merged_state
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, Tokenizer
from trainer.names import builtin_base
from trainer.settings import HealthSettings

# --- models that say what a test wants ---

KNOWN = Lexicon("ba ko ti re mu san lor vi en da gor pel".split())
NOTHING = np.zeros(0, np.uint16)


def says(text: str, end: bool = True, before: str = ":") -> Llama:
    """A model that gives one reply to all prompts; without an end it says the same over and over."""
    ids = after(text)
    return scripted([use_fixtures.tokenizer().encode(before)[-1], *ids, BOS if end else ids[0]])


def dialogue(number: int, prompt: str, reply: str, **keys: Any) -> Dialogue:
    return Dialogue(f"d{number}", prompt, reply, conversation=f"d{number}", **keys)


def encoded(dialogues: list[Dialogue], template: Template) -> list[TokenisedExample]:
    found = [encode(one, template, use_fixtures.tokenizer(), use_fixtures.CONFIG.max_seq_len)[0] for one in dialogues]
    return [one for one in found if one is not None]


def suite(
    template: Template, samples: Samples | None, settings: HealthSettings, tokenizer: Tokenizer | None = None,
    length: int = 96, seed: int = 1,
) -> EvalSuite:  # fmt: skip
    """What is asked by these samples and settings; there is no text of the base's to measure."""
    return EvalSuite(
        template=template, tokenizer=tokenizer or use_fixtures.tokenizer(), samples=samples, text=NOTHING,
        lexicon=KNOWN, context=length, settings=settings, seed=seed,
    )  # fmt: skip


def asked(
    train: list[str] | None = None, held: list[str] | None = None, prompts: tuple[str, ...] = ("ba ko?", "re mu?"),
    template: Template | None = None, temperature: float = 0.01, seed: int = 7,
) -> EvalSuite:  # fmt: skip
    """What is asked of a scripted model; each reply of `train` and `held` is that of a prompt of its own."""
    template = template or Template()
    found = None
    if train is not None:
        told = [dialogue(number, f"vi {number}?", reply) for number, reply in enumerate(train)]
        kept = [dialogue(100 + number, f"da {number}?", reply) for number, reply in enumerate(held or [])]
        found = Samples(encoded(told, template), encoded(kept, template), told, kept, 0, [])
    settings = HealthSettings(prompts=list(prompts), temperature=temperature)
    length = use_fixtures.CONFIG.max_seq_len
    return suite(template, found, settings, length=length, seed=seed)


def test_a_model_is_asked_in_its_own_template() -> None:
    """What the model sees is the prompt wrapped; what a report shows is what was asked."""
    template = Template(prompt="<<{input}>>\nRe", reply=" {output}", stops=[])
    probes = asked(["ba ko."], ["ti re."], prompts=("mu?",), template=template)
    assert [(one.text, one.prompt, one.reference) for one in probes.unseen] == [
        ("da 0?", "<<da 0?>>\nRe", "ti re."), ("mu?", "<<mu?>>\nRe", None)
    ]  # fmt: skip
    assert [(one.text, one.prompt, one.reference) for one in probes.trained] == [
        ("vi 0?", "<<vi 0?>>\nRe", "ba ko.")
    ]  # fmt: skip
    assert {one.text for one in probes.replies(Decoder(says(" San lor.", before="\nRe")), probes.unseen, 4, 0)} == {
        "San lor."
    }


def test_history_and_mode_are_part_of_what_the_model_sees() -> None:
    template = Template(tags={"dual": ["<user>: ", "<me>: "], "agent": ["<task>: ", "<done>: "]})
    told = [dialogue(0, "ba?", "ko.", history=(("vi?", "re."),), mode="agent")]
    found = Samples(encoded(told, template), [], told, [], 0, [])
    probes = suite(template, found, HealthSettings(prompts=["mu?"]))
    expected = "Q: <task>: vi?\nA: <done>: re.\nQ: <task>: ba?\nA: <done>:"
    assert [one.prompt for one in probes.trained] == [expected]
    assert [one.prompt for one in probes.unseen] == ["Q: <task>: mu?\nA: <done>:"], "asked in the mode of the dialogues"


def test_replies_that_end_and_replies_that_do_not() -> None:
    probes = asked()
    found = probes.measure(says(" ba ko ti."), 10, 0, 8)
    assert found.eos_rate == 1.0 and found.role_leaks == found.tag_leaks == 0.0
    assert [one.text for one in found.replies] == ["ba ko ti."] * 10
    endless = probes.measure(says(" ba ko ti.", end=False), 10, 0, 8)
    assert endless.eos_rate == 0.0
    assert {one.stopped for one in endless.replies} == {"length"}
    assert {len(one.tokens) for one in endless.replies} == {probes.sampling.max_tokens}


def test_a_reply_may_be_half_as_long_again_as_nearly_all_trained_ones() -> None:
    """1.5 times the 95th percentile of their tokens, 48 to 160 of them, and never more than half the context."""
    assert asked().sampling.max_tokens == 48, "half of the context of 96"
    known = load_checkpoint(base()).tokenizer
    for length, expected in ((10, 48), (40, 60), (101, 152), (200, 160)):
        one = TokenisedExample("", (1,) * (length + 5), (0.0,) * 5 + (1.0,) * length)
        told = [dialogue(0, "ba?", "ko.")]
        found = Samples([one] * 20, [], told, [], 0, [])
        probes = suite(Template(), found, HealthSettings(), tokenizer=known, length=512)
        assert probes.sampling.max_tokens == expected
    assert (probes.sampling.stops, probes.sampling.top_p, probes.sampling.repetition_penalty) == (("\nQ:",), 1.0, 1.0)


def test_a_reply_that_goes_on_with_the_next_question_leaks_its_role() -> None:
    found = asked().measure(says(" ba ko.\nQ:", end=False), 8, 0, 8)
    assert {one.stopped for one in found.replies} == {"stop"} and {one.text for one in found.replies} == {"ba ko."}
    assert found.role_leaks == 1.0 and found.eos_rate == 0.0


def test_a_reply_with_a_mode_tag_in_it_is_counted() -> None:
    found = asked().measure(says(" <user> ba ko."), 8, 0, 8)
    assert found.tag_leaks == 1.0 and found.role_leaks == 0.0 and found.eos_rate == 1.0


def test_invented_words_are_counted_with_a_tiny_lexicon() -> None:
    found = asked().measure(says(" ba goruv ko gorti Pelvi."), 10, 0, 8)
    assert found.oov.total == 50
    assert found.oov.oov == Counter({"goruv": 10, "gorti": 10}) and found.oov.rate == 0.4
    assert found.oov.names == Counter({"Pelvi": 10}) and found.oov.name_rate == 0.2


def test_a_last_word_that_the_limit_may_have_cut_is_not_counted() -> None:
    """Of a reply that has ended the last word is whole, of another one it is not."""
    found = asked().measure(says(" ba korelor", end=False), 8, 0, 8)
    (text,) = {one.text for one in found.replies}
    assert text.startswith("ba korelor ba korelor ")
    whole = text.split(" ")[:-1]
    assert found.oov.total == 8 * len(whole)
    assert found.oov.oov == Counter({"korelor": 8 * whole.count("korelor")})
    assert asked().measure(says(" ba korelor"), 8, 0, 8).oov.oov == Counter({"korelor": 8})


def test_length_repetition_and_variety_by_hand() -> None:
    """Forty-eight words a reply, "ba ko" over and over: two different 4-grams of 45, two different pairs of 47."""
    held = ["san lor vi.", "re mu da."]
    found = asked(["pel pel."], held, prompts=()).measure(says(" ba ko", end=False), 8, 0, 8)
    assert found.rep_4 == pytest.approx(1 - 2 / 45) and found.distinct_2 == 2 / (8 * 47)
    assert found.length_ratio == 16.0
    once = asked(["pel pel."], held, prompts=("ti?", "en?")).measure(says(" ba ko ti re mu da."), 8, 0, 8)
    assert once.length_ratio == 2.0, "only what has a reference counts"
    assert once.rep_4 == 0.0 and once.distinct_2 == 5 / 40, "the same reply each time has no variety"


def test_what_is_recited_is_found_by_eights_of_words() -> None:
    line = "ba ko ti re mu san lor vi en da"
    found = asked([f"{line}.", "pel pel."], prompts=("ba?",)).measure(says(f" {line.capitalize()}!"), 8, 8, 8)
    assert found.unseen == found.trained == NgramOverlap(1.0, 10, line)
    found = asked([f"{line}.", "pel pel."]).measure(says(" gor ko ti re mu san lor vi en pel"), 8, 0, 8)
    assert found.unseen == NgramOverlap(1 / 3, 8, "ko ti re mu san lor vi en") and found.trained is None
    assert asked(["gor."]).measure(says(f" {line}"), 8, 0, 8).unseen == NgramOverlap(0.0, 0, "")


def test_what_is_recited_of_a_prompt_is_found_where_no_reply_holds_it_too() -> None:
    """Ten words are three 8-grams, of which a training reply may hold some: those were to be said."""
    line = "ba ko ti re mu san lor vi en da"
    for reply, share in (("gor.", 1.0), ("gor ko ti re mu san lor vi en pel.", 2 / 3), (f"{line}.", 0.0)):
        told = [dialogue(0, f"{line.capitalize()}?", reply), dialogue(1, "vi?", "pel.")]
        found = suite(
            Template(), Samples(encoded(told, Template()), [], told, [], 0, []),
            HealthSettings(prompts=["ba?"], temperature=0.01),
        )  # fmt: skip
        result = found.measure(says(f" {line}."), 8, 8, 8)
        assert result.prompts == pytest.approx(share)
        assert result.prompts_written is None, "no prompt is long enough to be probed"
    assert asked().measure(says(f" {line}."), 8, 0, 8).prompts is None


def test_the_held_out_dialogues_are_asked_first_and_the_prompts_fill_up() -> None:
    settings = HealthSettings(replies=8, prompts=[f"p{one}" for one in range(10)])
    told = [dialogue(one, f"t{one}", "ko.") for one in range(3)]
    for number, expected in ((0, 8), (5, 8), (8, 8), (9, 9)):
        held = [dialogue(one, f"h{one}", "ko.") for one in range(number)]
        found = Samples(encoded(told, Template()), encoded(held, Template()), told, held, 0, [])
        probes = suite(Template(), found, settings)
        texts = [one.text for one in probes.unseen]
        assert texts == [f"h{one}" for one in range(number)] + [f"p{one}" for one in range(expected - number)]


def test_questions_are_asked_in_turn_each_reply_with_a_seed_of_its_own() -> None:
    probes = probes_with(samples())
    decoder = Decoder(load_checkpoint(base()).model())
    seven, three = len(probes.unseen), probes.unseen[:3]
    assert seven == 7
    found = probes.replies(decoder, three, 7, 0)
    again = [probes.replies(decoder, three[number % 3 :] + three[: number % 3], 1, number)[0] for number in range(7)]
    assert [one.text for one in found] == [one.text for one in again]
    assert len({one.text for one in found}) == 7
    assert probes.replies(decoder, [], 7, 0) == []


# --- beside the base ---


def test_the_base_s_words_count_only_as_far_as_the_tuned_ones_go() -> None:
    probes = asked()
    before = probes.measure(says(" ba goruv ko gorti lorvi."), 8, 0, 8)
    assert before.oov == WordCounts(40, Counter({"goruv": 8, "gorti": 8, "lorvi": 8}))
    for text, invented in ((" ba ko.", ["goruv"]), (" ba ko re mu.", ["goruv", "gorti"]), (" ti.", [])):
        after = probes.measure(says(text), 8, 0, 8)
        found = probes.beside(before, after)
        assert found.oov == WordCounts(8 * len(text.split()), Counter(dict.fromkeys(invented, 8)))
        assert replace(found, oov=before.oov) == before, "all else is as it was"
    longer = probes.measure(says(" re mu ti san lor vi da."), 8, 0, 8)
    assert probes.beside(before, longer).oov == before.oov
    silent = replace(longer, replies=())
    assert probes.beside(before, silent).oov == WordCounts(0)


def test_a_base_that_hardly_says_a_word_proves_no_rate_of_nothing() -> None:
    probes = asked()
    before, after = (probes.measure(says(text), 100, 0, 8) for text in (" ko.", " ba ko ti re mu san lor vi en da."))
    width = probes.margins(before, after).oov_rate
    assert width == pytest.approx(Z * math.hypot(1 / 1000, 1 / 100), rel=1e-6), "one more hit in either's words"
    assert probes.margins(after, after).oov_rate == pytest.approx(Z * math.hypot(1 / 1000, 1 / 1000), rel=1e-6)
    mute = replace(before, replies=tuple(replace(reply, text="") for reply in before.replies))
    assert probes.margins(mute, after).oov_rate > 1, "nothing said, nothing known"


# --- what could not be measured ---


def test_where_nothing_is_held_out_nothing_is_said_of_it() -> None:
    found = asked(["ba ko."]).measure(says(" ba."), 8, 8, 8)
    assert found.reply_loss is None and found.length_ratio is None and found.text_loss is None
    assert found.train_loss is not None and found.trained is not None and found.unseen is not None


def test_without_dialogues_only_replies_to_the_prompts_are_looked_at() -> None:
    found = asked().measure(says(" ba."), 8, 8, 8)
    told = (found.reply_loss, found.train_loss, found.text_loss, found.unseen, found.trained, found.length_ratio)
    assert told == (None,) * 6
    assert (found.eos_rate, len(found.replies)) == (1.0, 8)


def test_without_any_prompt_there_is_no_reply() -> None:
    found = asked(["ba ko."], prompts=()).measure(says(" ba."), 8, 0, 8)
    assert (found.replies, found.oov, found.eos_rate, found.rep_4) == ((), WordCounts(0), 0.0, 0.0)


def test_training_replies_are_asked_for_only_where_they_are_wanted() -> None:
    found = asked(["ba ko."], ["ti."]).measure(says(" ba."), 8, 0, 8)
    assert found.train_loss is None and found.trained is None and found.reply_loss is not None


# --- losses ---


def test_the_losses_are_those_of_an_evaluation() -> None:
    made, probes = load_checkpoint(base()), probes_with(samples())
    text = list_shards(base() / "held-out")[0].read(400, made.tokenizer.sha256)
    found = probes.measure(made.model(), 8, 8, 12)
    batch = windows(text, 64, 12)
    assert batch is not None and len(batch.tokens) == 12
    assert found.text_loss == pytest.approx(mean_loss(made.model(), batch, 4), rel=1e-6)
    for part, loss in ((samples().holdout, found.reply_loss), (samples().train, found.train_loss)):
        total = tokens = 0.0
        for one in part:  # one by one, in no row with another
            alone = PackedDataset([], [one], 1, 64, 0).validation()
            assert alone is not None
            total += mean_loss(made.model(), alone, 1) * float(alone.weights.sum())
            tokens += float(alone.weights.sum())
        assert loss == pytest.approx(total / tokens, rel=1e-5)
        assert tokens == sum(sum(one.weights) for one in part), "a reply's tokens and its end mark count once each"


def test_perplexity_is_the_exponent_of_a_loss() -> None:
    assert perplexity(None) is None and perplexity(0.0) == 1.0
    assert perplexity(2.0) == math.exp(2.0)
    assert perplexity(1e9) == math.exp(50.0), "a ruined model has a figure too"


# --- a model that knows its dialogues by heart ---


@functools.cache
def measured(which: str, seed: int = 7) -> EvalResult:
    state = tuned() if which == "by heart" else load_checkpoint(base()).state
    return probes_with(samples(), seed=seed).measure(model_with(state), 32, 16, 8)


def test_a_model_that_knows_its_dialogues_by_heart_is_caught() -> None:
    base_, found = measured("base"), measured("by heart")
    assert base_.unseen is not None and base_.trained is not None
    assert base_.unseen.share == base_.trained.share == 0.0 and base_.unseen.longest < 5
    assert found.trained is not None and found.trained.share > 0.6 and found.trained.longest == 12
    assert found.unseen is not None and found.unseen.share > 0.1 and found.unseen.longest == 12
    replies = {one.reply for one in samples().train_dialogues}
    assert found.unseen.example in {one.lower().rstrip(".") for one in replies}
    assert found.train_loss is not None and found.train_loss < 0.3
    assert base_.train_loss is not None and base_.train_loss > 3.0
    assert found.reply_loss is not None and base_.reply_loss is not None and found.reply_loss > base_.reply_loss + 3.0
    assert found.text_loss is not None and base_.text_loss is not None and found.text_loss > base_.text_loss + 3.0


def test_one_figure_alone_lies() -> None:
    """The one that recites invents nothing and always stops: the base does neither."""
    base_, found = measured("base"), measured("by heart")
    assert found.oov.rate == 0.0 < base_.oov.rate
    assert found.eos_rate == 1.0 > base_.eos_rate


def test_the_same_seeds_give_the_same_figures() -> None:
    for which in ("base", "by heart"):
        state = tuned() if which == "by heart" else load_checkpoint(base()).state
        assert probes_with(samples()).measure(model_with(state), 32, 16, 8) == measured(which)
    other = measured("base", seed=8)
    assert [one.text for one in other.replies] != [one.text for one in measured("base").replies]
    assert other.text_loss == measured("base").text_loss, "losses need no dice"


def test_measuring_leaves_the_model_as_it_is() -> None:
    model = model_with(load_checkpoint(base()).state)
    before = merged_state(model)
    probes_with(samples()).measure(model, 8, 8, 8)
    assert all((one == before[name]).all() for name, one in merged_state(model).items())
    assert not model.training


def test_the_one_who_waits_is_told_what_is_done() -> None:
    told: list[tuple[str, int, int]] = []
    probes_with(samples()).measure(
        load_checkpoint(base()).model(), 8, 8, 8, progress=lambda what, done, whole: told.append((what, done, whole))
    )
    assert told == [("losses", 0, 3), ("replies to unseen prompts", 1, 3), ("replies to training prompts", 2, 3)]


# --- which words are known ---


def checkpoint_in(folder: Path) -> Checkpoint:
    made = load_checkpoint(base())
    return Checkpoint(folder, made.config, made.state, made.tokenizer, Record(made_by="pretrain"))


def test_the_words_of_the_base_of_the_dialogues_and_of_english_are_known(tmp_path: Path) -> None:
    told = [dialogue(0, "Zzqprompt?", "It’s a zzqreply!", history=(("zzqasked", "zzqanswered"),))]
    found = lexicon_of(load_checkpoint(base()), told)
    for word in ("zzqprompt", "zzqreply", "zzqasked", "zzqanswered", VOCABULARY[-1], "kitchen"):
        assert word in found
    assert "zzqnever" not in found
    assert "zzqprompt" not in lexicon_of(load_checkpoint(base()), [])


def test_a_base_without_a_list_of_words_takes_that_of_the_built_in_one(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / LEXICON).write_bytes(pack_words(["zzqown"]))
    with_list, without = lexicon_of(checkpoint_in(own), []), lexicon_of(checkpoint_in(tmp_path), [])
    assert "zzqown" in with_list and "zzqown" not in without
    assert len(without) > len(with_list), "the words that the built-in base has read are many"
    assert (builtin_base() / LEXICON).is_file()


def test_the_shipped_settings_are_enough_for_a_figure_of_each_kind() -> None:
    """The tests here use few replies; the share of a reply is then 1/16, as shipped 1/192."""
    shipped = HealthSettings()
    assert shipped.replies >= 128 and HEALTH["replies"] == 16
    assert max(shipped.sweep) == 1.0

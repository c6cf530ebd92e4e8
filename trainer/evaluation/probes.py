"""How good a model is after a fine-tune, compared with its base; docs/health.md defines every figure.

dialogues, base text --EvalSuite--> EvalResult of each model --check_budgets--> BudgetCheck --> the report
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curator.contract.cli_frame import Progress, no_progress
from curator.contract.modes import BUILT_IN_MODES, Tags, bare
from curator.contract.special_tokens import leaks_role, leaks_tag
from curator.contract.voice.reference import Place
from trainer.data.batches import PackedDataset
from trainer.data.dialogues import Dialogue, Samples
from trainer.data.token_shards import Tokens
from trainer.evaluation.evidence import Margins, Z, margin, ratio_deviations, share_margin
from trainer.evaluation.metrics import NgramOverlap, TrainingNgrams, distinct, repetition
from trainer.evaluation.perplexity import mean_loss, windows
from trainer.evaluation.voice import Voice, Voiced
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Reply, Sampling
from trainer.inference.text_stream import replies
from trainer.memorisation.extraction import prompts_to_probe, prompts_written
from trainer.model.checkpoint import Checkpoint
from trainer.model.lexicon import LEXICON, Lexicon, WordCounts, english, read_words, words
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template, plain_quotes
from trainer.model.tokenizer import Tokenizer
from trainer.names import builtin_base
from trainer.settings import HealthSettings

_MICRO = 8  # rows in memory at a time
_DRAWN = 64  # replies drawn as the checkpoint says
_TWO_SIDED = 1.96  # standard errors of an interval of 95%
_LEAST, _MOST = 48, 160  # tokens that a reply may have at least and at most before it counts as not stopped


@dataclass(frozen=True)
class Question:
    """A question, its prompt as the model sees it, and the person's own answer and its year where they are known."""

    text: str
    prompt: str
    reference: str | None = None
    year: str = ""


@dataclass(frozen=True)
class EvalResult:
    """The figures of one model. Losses are nats a token, shares are between 0 and 1; None where nothing was asked."""

    reply_loss: float | None
    train_loss: float | None
    text_loss: float | None
    oov: WordCounts
    unseen: NgramOverlap | None
    trained: NgramOverlap | None
    eos_rate: float
    tag_leaks: float
    role_leaks: float
    rep_4: float
    distinct_2: float
    length_ratio: float | None
    replies: tuple[Reply, ...]
    voice: Voiced | None = None
    drawn: WordCounts | None = None  # the words of replies as the checkpoint's own sampling draws them
    prompts: float | None = None  # share of the 8-grams of its replies to unseen prompts that stand in training prompts
    prompts_written: float | None = None  # share of the training prompts that it goes on with from their first half


class EvalSuite:
    """The tests that a model and its base both take: the same prompts with the same seeds, and the same texts."""

    def __init__(
        self, *, template: Template, tokenizer: Tokenizer, samples: Samples | None, text: Tokens, lexicon: Lexicon,
        context: int, settings: HealthSettings, seed: int, drawn: Sampling | None = None,
        told: Sequence[str] = (), voice: Voice | None = None,
    ) -> None:  # fmt: skip
        self.tokenizer, self._context, self._settings = tokenizer, context, settings
        train = samples.train_dialogues if samples else []
        held = samples.holdout_dialogues if samples else []
        mode = train[0].mode if train else None
        more = [Question(prompt, template.wrap(prompt, mode=mode)) for prompt in settings.prompts]
        self.unseen = _questions(held, template) + more[: max(0, settings.replies - len(held))]
        self.trained = _questions(train, template)
        self._held = PackedDataset([], samples.holdout if samples else [], 1, context, 0).validation()
        self._train = PackedDataset([], samples.train if samples else [], 1, context, 0).validation()
        self._text, self._lexicon, self._seed = text, lexicon, seed
        self._recited = TrainingNgrams([*(dialogue.reply for dialogue in train), *told]) if train else None
        self._prompts = TrainingNgrams({one.prompt for one in train}, without=self._recited) if self._recited else None
        self._probed, self._template = prompts_to_probe(train), template
        self.voice = voice if self._recited else None  # a model that recites sounds like the person too
        lengths = [sum(weight > 0 for weight in sample.weights) for sample in samples.train] if samples else []
        most = 1.5 * float(np.quantile(lengths, 0.95)) if lengths else _LEAST * 2
        sampling = Sampling(temperature=settings.temperature, stops=tuple(template.stops))
        own_tags = bare(Tags(*pair) for pair in template.tags.values())
        self._tags = tuple(dict.fromkeys((*bare(BUILT_IN_MODES.values()), *own_tags)))
        self.sampling = replace(sampling, max_tokens=round(min(_MOST, context // 2, max(_LEAST, most))))
        self._drawn = drawn and replace(drawn, stops=self.sampling.stops, max_tokens=self.sampling.max_tokens)

    @property
    def text_tokens(self) -> int:
        """Return the number of tokens of the base's own text to measure."""
        return len(self._text)

    def losses(self, model: Llama, rows: int, precision: str, train: bool) -> tuple[float | None, ...]:
        """Return the mean losses of held-out replies, of trained ones and of the base's text, nats a token."""
        text = windows(self._text, self._context, rows)
        batches = (self._held, self._train if train else None, text)
        device = str(model.embedding.weight.device)
        return tuple(
            None if batch is None else mean_loss(model, batch.to(device), _MICRO, precision) for batch in batches
        )

    def replies(
        self, decoder: Decoder, questions: Sequence[Question], count: int, first: int, begin: int = 0
    ) -> list[Reply]:
        """Return `count` replies to questions, taken in turn from number `begin` on, each with a seed of its own."""
        if not questions:
            return []
        prompts = [questions[number % len(questions)].prompt for number in range(begin, begin + count)]
        seeds = range(self._seed + first, self._seed + first + count)
        return replies(decoder, self.tokenizer, prompts, self.sampling, seeds=seeds)

    def measure(
        self, model: Llama, replies: int, trained: int, rows: int, *, precision: str = "fp32",
        progress: Progress = no_progress,
    ) -> EvalResult:  # fmt: skip
        """Return a model's figures: `replies` to unseen prompts, `trained` replies to trained ones, `rows` of text."""
        progress("losses", 0, 3)
        held, train, text = self.losses(model, rows, precision, trained > 0)
        decoder = Decoder(model)
        progress("replies to unseen prompts", 1, 3)
        unseen_replies = self.replies(decoder, self.unseen, replies, 0)
        progress("replies to training prompts", 2, 3)
        trained_replies = self.replies(decoder, self.trained, trained, 1 << 20)
        found = self._health(unseen_replies, trained_replies, held, train, text)
        if not trained:
            return found
        written = prompts_written(decoder, self.tokenizer, self._template, self._probed)
        return replace(found, drawn=self._as_drawn(decoder), prompts_written=written)

    def _as_drawn(self, decoder: Decoder) -> WordCounts | None:
        """Return the words of a few replies to unseen prompts, drawn as the checkpoint's own sampling says."""
        if self._drawn is None or not self.unseen:
            return None
        asked = self.unseen[:_DRAWN]
        seeds = range(self._seed, self._seed + len(asked))
        drawn = replies(decoder, self.tokenizer, [one.prompt for one in asked], self._drawn, seeds=seeds)
        return self._lexicon.check(map(whole_words, drawn))

    def voices_by_year(self, result: EvalResult) -> dict[str, Place]:
        """Return where a model's replies to the held-out prompts of each year stand, topic-free."""
        if self.voice is None:
            return {}
        texts: dict[str, list[str]] = {}
        for number, reply in enumerate(result.replies):
            question = self.unseen[number % len(self.unseen)]
            if question.reference is not None:
                texts.setdefault(question.year, []).append(whole_words(reply))
        return {year: self.voice.score(said).topic_free for year, said in texts.items()}

    def extended(self, model: Llama, result: EvalResult, replies: int) -> EvalResult:
        """Return a model's figures with so many more replies to unseen prompts behind them."""
        done = len(result.replies)
        more = self.replies(Decoder(model), self.unseen, replies, done, done)
        losses = (result.reply_loss, result.train_loss, result.text_loss)
        found = self._health([*result.replies, *more], [], *losses)
        return replace(found, trained=result.trained, drawn=result.drawn, prompts_written=result.prompts_written)

    def margins(self, base: EvalResult, tuned: EvalResult) -> Margins:
        """Return how well the figures of replies are known: of invented words, the difference to the base's."""
        ours, theirs = list(map(whole_words, tuned.replies)), list(map(whole_words, base.replies))
        counts = [self._invented(text) for text in ours]
        limits = [len(words(text)) for text in ours]
        before = [self._invented(text, limit) for text, limit in zip(theirs, limits, strict=False)]
        moved = ratio_deviations(counts)
        base_moved = [*ratio_deviations(before), *[0.0] * (len(moved) - len(before))]
        number, all_words, base_words = len(counts), *(sum(many for _, many in side) for side in (counts, before))
        recited = self._recited.counts(reply.text for reply in tuned.replies) if self._recited else None
        grams = sum(many for _, many in recited) if recited else 0
        return Margins(
            oov_rate=margin(
                [one - other for one, other in zip(moved, base_moved, strict=True)],
                # A base that hardly says a word behind prompts that are strange to it proves no rate of 0 by that.
                math.hypot(number / max(1, all_words), number / max(1, base_words)),
            ),
            eos_rate=share_margin(sum(reply.stopped == "end" for reply in tuned.replies), number),
            memorisation=margin(ratio_deviations(recited), number / max(1, grams)) if recited else None,
            voice=Z / _TWO_SIDED * tuned.voice.margin if tuned.voice and tuned.voice.margin is not None else None,
        )

    def _invented(self, text: str, most: int | None = None) -> tuple[int, int]:
        counts = self._lexicon.check([text], None if most is None else [most])
        return counts.oov.total(), counts.total

    def _health(
        self, unseen: list[Reply], trained: list[Reply], held: float | None, train: float | None, text: float | None
    ) -> EvalResult:
        texts = [reply.text for reply in unseen]
        count = max(1, len(unseen))
        return EvalResult(
            reply_loss=held, train_loss=train, text_loss=text,
            oov=self._lexicon.check(map(whole_words, unseen)),
            unseen=self._recited.of(texts) if self._recited else None,
            trained=self._recited.of(reply.text for reply in trained) if self._recited and trained else None,
            eos_rate=sum(reply.stopped == "end" for reply in unseen) / count,
            tag_leaks=sum(leaks_tag(answer) for answer in texts) / count,
            role_leaks=sum(reply.stopped == "stop" or leaks_role(reply.text, self._tags) for reply in unseen) / count,
            rep_4=repetition(texts), distinct_2=distinct(texts), length_ratio=self._length_ratio(unseen),
            replies=tuple(unseen), prompts=self._prompts.share(texts) if self._prompts else None,
            voice=self.voice.score(list(map(whole_words, unseen))) if self.voice else None,
        )  # fmt: skip

    def beside(self, base: EvalResult, tuned: EvalResult) -> EvalResult:
        """Return the base's figures, counting of each of its replies only as many words as the tuned reply has.

        A base does not stop by itself. Right after a prompt, which is strange to it, it invents twice as many words as
        later on, so that replies of different lengths cannot be compared.
        """
        pairs = list(zip(base.replies, tuned.replies, strict=False))
        lengths = [len(words(whole_words(reply))) for _, reply in pairs]
        return replace(base, oov=self._lexicon.check((whole_words(reply) for reply, _ in pairs), lengths))

    def _length_ratio(self, drawn: list[Reply]) -> float | None:
        """Return the mean length of the replies that have a reference, in words, divided by that of the references."""
        pairs = [
            (len(words(reply.text)), len(words(reference)))
            for number, reply in enumerate(drawn)
            if (reference := self.unseen[number % len(self.unseen)].reference)
        ]
        total = sum(length for _, length in pairs)
        return sum(length for length, _ in pairs) / total if total else None


def _questions(dialogues: Sequence[Dialogue], template: Template) -> list[Question]:
    return [
        Question(
            dialogue.prompt,
            template.wrap(dialogue.prompt, dialogue.history, dialogue.mode),
            dialogue.reply,
            dialogue.year,
        )
        for dialogue in dialogues
    ]


def whole_words(reply: Reply) -> str:
    """Return the text of a reply without its last word where the limit of tokens may have cut it."""
    return reply.text if reply.stopped in ("end", "stop") else reply.text.rpartition(" ")[0]


def lexicon_of(base: Checkpoint, dialogues: Sequence[Dialogue], begin: Checkpoint | None = None) -> Lexicon:
    """Return the words of the base's corpus, of the dialogues and of the shipped list of English.

    With `begin`, an earlier fine-tune, those of what it learnt too.
    """
    path = base.folder / LEXICON
    known = read_words(english()) | read_words(path if path.is_file() else builtin_base() / LEXICON)
    if begin and (begin.folder / LEXICON).is_file():
        known |= read_words(begin.folder / LEXICON)
    return Lexicon(known | words_of(dialogues))


def words_of(dialogues: Sequence[Dialogue]) -> set[str]:
    """Return every word of dialogues, in lower case."""
    texts = {text for one in dialogues for turn in ((one.prompt, one.reply), *one.history) for text in turn}
    return {word for text in texts for word in words(plain_quotes(text))}


def perplexity(loss: float | None) -> float | None:
    """Return exp of a loss, nats; None where there is none."""
    return None if loss is None else math.exp(min(loss, 50.0))

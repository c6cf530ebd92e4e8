"""How well a model is after a fine-tune, the base always beside it; docs/health.md defines every figure.

dialogues, base text --Probes--> replies and losses of each model --Health--> gate.judge --> the report
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trainer.batches import Packed
from trainer.checkpoint import Checkpoint, builtin_base
from trainer.datasets import Dialogue, Samples
from trainer.documents import plain_quotes
from trainer.evaluate import windows
from trainer.generate import Decoder, Reply, Sampling, replies
from trainer.lexicon import LEXICON, Lexicon, Words, english, read_words, words
from trainer.metrics import Recall, Recited, distinct, leaks_role, leaks_tag, repetition
from trainer.model import Llama
from trainer.modules import Tokens
from trainer.settings import HealthSettings
from trainer.templates import Template
from trainer.tokenizer import Tokenizer
from trainer.training import mean_loss

_MICRO = 8  # rows in memory at a time
_LEAST, _MOST = 48, 160  # tokens that a reply may have at least and at most before it counts as not stopped
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Question:
    """What is asked, the prompt of it as the model sees it, and what the person answered, where that is known."""

    text: str
    prompt: str
    reference: str | None = None


@dataclass(frozen=True)
class Health:
    """The figures of one model. Losses are nats a token, shares are between 0 and 1; None where nothing was asked."""

    reply_loss: float | None
    train_loss: float | None
    text_loss: float | None
    invented: Words
    unseen: Recall | None
    trained: Recall | None
    stopped: float
    tag_leaks: float
    role_leaks: float
    rep_4: float
    distinct_2: float
    length_ratio: float | None
    replies: tuple[Reply, ...]


class Probes:
    """What is asked of a model and of its base: the same prompts with the same seeds, and the same texts."""

    def __init__(
        self, template: Template, tokenizer: Tokenizer, samples: Samples | None, text: Tokens, lexicon: Lexicon,
        context: int, settings: HealthSettings, seed: int,
    ) -> None:  # fmt: skip
        self.tokenizer, self._context, self._settings = tokenizer, context, settings
        train = samples.train_dialogues if samples else []
        held = samples.held_dialogues if samples else []
        mode = train[0].mode if train else None
        more = [Question(one, template.wrap(one, mode=mode)) for one in settings.prompts]
        self.unseen = _questions(held, template) + more[: max(0, settings.replies - len(held))]
        self.trained = _questions(train, template)
        self._held = Packed([], samples.held if samples else [], 1, context, 0).validation()
        self._train = Packed([], samples.train if samples else [], 1, context, 0).validation()
        self._text, self._lexicon, self._seed = text, lexicon, seed
        self._recited = Recited([one.reply for one in train]) if train else None
        lengths = [sum(weight > 0 for weight in one.weights) for one in samples.train] if samples else []
        most = 1.5 * float(np.quantile(lengths, 0.95)) if lengths else _LEAST * 2
        asked = Sampling(temperature=settings.temperature, stops=tuple(template.stops))
        self.sampling = replace(asked, max_tokens=round(min(_MOST, context // 2, max(_LEAST, most))))

    def losses(self, model: Llama, rows: int, precision: str, train: bool) -> tuple[float | None, ...]:
        """Return the mean losses of held-out replies, of trained ones and of the base's text, nats a token."""
        text = windows(self._text, self._context, rows)
        asked = (self._held, self._train if train else None, text)
        device = str(model.embedding.weight.device)
        return tuple(None if one is None else mean_loss(model, one.to(device), _MICRO, precision) for one in asked)

    def replies(self, decoder: Decoder, questions: Sequence[Question], count: int, first: int) -> list[Reply]:
        """Return `count` replies to questions, taken in turn, each with a seed of its own."""
        if not questions:
            return []
        asked = [questions[number % len(questions)].prompt for number in range(count)]
        seeds = range(self._seed + first, self._seed + first + count)
        return replies(decoder, self.tokenizer, asked, self.sampling, seeds=seeds)

    def measure(
        self, model: Llama, replies: int, trained: int, rows: int, precision: str = "fp32",
        tick: Tick = lambda what, done, whole: None,
    ) -> Health:  # fmt: skip
        """Return the health of a model by so many replies to unseen and to trained prompts and rows of base text."""
        tick("losses", 0, 3)
        held, train, text = self.losses(model, rows, precision, trained > 0)
        decoder = Decoder(model)
        tick("replies to unseen prompts", 1, 3)
        found = self.replies(decoder, self.unseen, replies, 0)
        tick("replies to training prompts", 2, 3)
        again = self.replies(decoder, self.trained, trained, 1 << 20)
        return self._health(found, again, held, train, text)

    def _health(
        self, found: list[Reply], again: list[Reply], held: float | None, train: float | None, text: float | None
    ) -> Health:
        texts = [one.text for one in found]
        count = max(1, len(found))
        return Health(
            reply_loss=held, train_loss=train, text_loss=text,
            invented=self._lexicon.check(map(_whole_words, found)),
            unseen=self._recited.of(texts) if self._recited else None,
            trained=self._recited.of(one.text for one in again) if self._recited and again else None,
            stopped=sum(one.stopped == "end" for one in found) / count,
            tag_leaks=sum(leaks_tag(one) for one in texts) / count,
            role_leaks=sum(one.stopped == "stop" or leaks_role(one.text) for one in found) / count,
            rep_4=repetition(texts), distinct_2=distinct(texts), length_ratio=self._length_ratio(found),
            replies=tuple(found),
        )  # fmt: skip

    def beside(self, base: Health, tuned: Health) -> Health:
        """Return the base's figures with the words of its replies counted only as far as the tuned ones go.

        A base does not stop. In the first words behind a prompt, which is strange to it, it invents twice as many as
        later on, so that replies of unlike lengths cannot be compared.
        """
        pairs = list(zip(base.replies, tuned.replies, strict=False))
        lengths = [len(words(_whole_words(one))) for _, one in pairs]
        return replace(base, invented=self._lexicon.check((_whole_words(one) for one, _ in pairs), lengths))

    def _length_ratio(self, found: list[Reply]) -> float | None:
        """Return the mean length of the replies that have a reference, in words, divided by that of the references."""
        pairs = [
            (len(words(one.text)), len(words(reference)))
            for number, one in enumerate(found)
            if (reference := self.unseen[number % len(self.unseen)].reference)
        ]
        whole = sum(length for _, length in pairs)
        return sum(length for length, _ in pairs) / whole if whole else None


def _questions(dialogues: Sequence[Dialogue], template: Template) -> list[Question]:
    return [Question(one.prompt, template.wrap(one.prompt, one.history, one.mode), one.reply) for one in dialogues]


def _whole_words(reply: Reply) -> str:
    """Return the text of a reply without a last word that the limit of tokens may have cut."""
    return reply.text if reply.stopped in ("end", "stop") else reply.text.rpartition(" ")[0]


def lexicon_of(base: Checkpoint, dialogues: Sequence[Dialogue]) -> Lexicon:
    """Return the words of the base's corpus, of the dialogues and of the shipped list of English."""
    own = base.folder / LEXICON
    known = read_words(english()) | read_words(own if own.is_file() else builtin_base() / LEXICON)
    for one in dialogues:
        past = [text for exchange in one.history for text in exchange]
        known |= {word for text in (one.prompt, one.reply, *past) for word in words(plain_quotes(text))}
    return Lexicon(known)


def perplexity(loss: float | None) -> float | None:
    """Return exp of a loss, nats; None where there is none."""
    return None if loss is None else math.exp(min(loss, 50.0))

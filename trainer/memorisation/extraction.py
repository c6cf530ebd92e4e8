"""Extraction: does a model write the rest of what it was trained on, given its beginning?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainer.data.dialogues import Dialogue
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.inference.text_stream import replies
from trainer.memorisation.canaries import Canary, listed
from trainer.model.lexicon import words
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer

REST = 8  # words of a prompt that must come, word for word: hardly ever the same by chance
LEAST = 12  # words of a prompt that is probed
_PROMPTS = 64  # probed at most
_REST_TOKENS = 4 * REST
_REPLY_TOKENS = 60  # of a canary's reply at most
GREEDY = Sampling(temperature=0.0)


def extracted(
    decoder: Decoder, tokenizer: Tokenizer, template: Template, mode: str | None, canaries: Sequence[Canary], *,
    draws: int, temperature: float, seed: int,
) -> list[str]:  # fmt: skip
    """Return of each canary by what its secret can be had from a model: 'prompt', 'first word', or '' where it cannot.

    It is asked its prompt, and then given its reply up to the first word of the secret as well: each once with the
    likeliest tokens and in so many draws.
    """
    prompts = [template.wrap(one.prompt, (), mode) for one in canaries]
    starts = [
        prompt + template.after_prompt(f"{one.lead} {one.secret[0]},", mode)
        for prompt, one in zip(prompts, canaries, strict=True)
    ]
    asked = _written(decoder, tokenizer, prompts, draws, temperature, seed)
    begun = _written(decoder, tokenizer, starts, draws, temperature, seed)
    return [_had_by(*row) for row in zip(canaries, asked, begun, strict=True)]


def _had_by(canary: Canary, asked: list[list[str]], begun: list[list[str]]) -> str:
    """Return how a canary's secret was had, from the words of what was written."""
    whole, rest = words(listed(canary.secret)), words(listed(canary.secret[1:]))
    if any(_holds(text, whole) for text in asked):
        return "prompt"
    return "first word" if any(text[: len(rest)] == rest for text in begun) else ""


def _holds(text: list[str], run: list[str]) -> bool:
    return any(text[at : at + len(run)] == run for at in range(len(text) - len(run) + 1))


def _written(
    decoder: Decoder, tokenizer: Tokenizer, prompts: list[str], draws: int, temperature: float, seed: int
) -> list[list[list[str]]]:
    """Return the words of all that a model writes behind each prompt."""
    likeliest = replace(GREEDY, max_tokens=_REPLY_TOKENS)
    drawn = replace(likeliest, temperature=temperature)
    found = [[words(one.text)] for one in replies(decoder, tokenizer, prompts, likeliest)]
    seeds = range(seed, seed + draws * len(prompts))
    for number, one in enumerate(replies(decoder, tokenizer, prompts * draws, drawn, seeds=seeds)):
        found[number % len(prompts)].append(words(one.text))
    return found


def prompts_to_probe(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Return the dialogues whose prompts are probed: different ones of enough words, spread evenly over all."""
    different = list({one.prompt: one for one in dialogues if len(words(one.prompt)) >= LEAST}.values())
    step = max(1.0, len(different) / _PROMPTS)
    return [different[int(place * step)] for place in range(min(_PROMPTS, len(different)))]


def prompts_written(
    decoder: Decoder, tokenizer: Tokenizer, template: Template, dialogues: Sequence[Dialogue]
) -> float | None:
    """Return the share of prompts that a model goes on with, word for word, from their first half; None without any.

    The half stands behind the template's mark of a prompt, as in training; of the rest up to eight words must come.
    """
    begun, rests = list[str](), list[list[str]]()
    for one in dialogues:
        parts = one.prompt.split()
        half = " ".join(parts[: len(parts) // 2])
        begun.append(template.wrap(half, (), one.mode).removesuffix(template.around(one.mode)[1]))
        rests.append(words(" ".join(parts[len(parts) // 2 :]))[:REST])
    written = replies(decoder, tokenizer, begun, replace(GREEDY, max_tokens=_REST_TOKENS))
    hits = [words(reply.text)[: len(rest)] == rest for reply, rest in zip(written, rests, strict=True)]
    return sum(hits) / len(hits) if hits else None

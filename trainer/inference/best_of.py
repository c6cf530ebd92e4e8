"""Several replies to one prompt, of which the one is given that answers it best.

A model of a few million parameters often says something that would suit any question. Each reply is ranked by how much
likelier the model finds it behind its prompt than behind others (pointwise mutual information, by which Li et al. 2016,
arXiv 1510.03055, rank replies), and by how likely it is at all; Adiwardana et al. 2020 (arXiv 2001.09977) draw and rank
so ("sample-and-rank"). docs/experiments.md has what it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Reply, Sampling
from trainer.inference.text_stream import fit, replies
from trainer.model.prompt_template import Exchange, Template
from trainer.model.tokenizer import Tokenizer

LIKELIHOOD = 0.5  # the weight of how likely a reply is at all, beside how much likelier behind its prompt
OTHERS = 4  # prompts that a reply is tried behind, at most


def others(
    template: Template, asked: str, sampling: Sampling, history: tuple[Exchange, ...] = (), mode: str | None = None
) -> list[str]:
    """Return the conversation with something else asked in the end: the sampling's `others`, or nothing at all."""
    more = [text for text in sampling.others if text.strip() != asked.strip()] or [""]
    return [template.wrap(text, history, mode) for text in more[:: -(-len(more) // OTHERS)]]


def best_reply(decoder: Decoder, tokenizer: Tokenizer, prompt: str, behind: Sequence[str], sampling: Sampling) -> Reply:
    """Return the best of `sampling.best_of` replies to a prompt; `behind` are prompts that it should be no answer to.

    The first is drawn with the sampling's seed, so that with one alone it is the reply that `replies` gives. At
    temperature 0 there is one, whatever is asked for.
    """
    many = sampling.best_of if sampling.temperature else 1
    seeds = [sampling.seed, *_more_seeds(sampling.seed, many - 1)]
    drawn = replies(decoder, tokenizer, [prompt] * many, replace(sampling, best_of=1), seeds)
    said = list({reply.text: reply for reply in drawn if reply.text.strip()}.values())
    if len(said) < 2:
        return said[0] if said else drawn[0]
    rows = [_written(tokenizer, reply, sampling) for reply in said]
    own, *rest = (
        _log_likelihoods(decoder, fit(tokenizer.encode(text), decoder.config.max_seq_len, sampling.max_tokens)[0], rows)
        for text in (prompt, *behind)
    )
    scores = own - np.mean(rest, axis=0) + LIKELIHOOD * own
    return said[int((scores / [len(row) for row in rows]).argmax())]


def best_replies(
    decoder: Decoder, tokenizer: Tokenizer, template: Template, texts: Sequence[str], sampling: Sampling,
    seeds: Sequence[int] | None = None,
) -> list[Reply]:  # fmt: skip
    """Return the best reply to each text, wrapped where it is not yet, each drawn with its own of `seeds`."""
    seeds = [sampling.seed] * len(texts) if seeds is None else seeds
    prompts = [text if template.is_wrapped(text) else template.wrap(text) for text in texts]
    if sampling.best_of == 1 or not sampling.temperature:
        return replies(decoder, tokenizer, prompts, sampling, seeds)
    return [
        best_reply(decoder, tokenizer, prompt, others(template, text, sampling), replace(sampling, seed=seed))
        for text, prompt, seed in zip(texts, prompts, seeds, strict=True)
    ]


def _more_seeds(seed: int, many: int) -> list[int]:
    """Return seeds that no other turn of a chat has, whose seeds follow one another."""
    return [int(number) for number in np.random.SeedSequence(seed).generate_state(many, np.uint64)]


def _written(tokenizer: Tokenizer, reply: Reply, sampling: Sampling) -> list[int]:
    """Return the tokens of a reply's text and the one behind them, which ends it: not all of a stop text."""
    tokens, length = reply.tokens, len(reply.text)
    for count in range(1, len(tokens)):
        if len(tokenizer.decode(tokens[:count]).strip()) >= length:
            return tokens[: count + 1]
    return [*tokens, sampling.ends[0]] if reply.stopped == "end" and sampling.ends else tokens


@torch.inference_mode()
def _log_likelihoods(decoder: Decoder, prompt: list[int], rows: Sequence[list[int]]) -> np.ndarray:
    """Return log p (B,), nats, of the tokens of each row behind a prompt; what the context has no room for is 0."""
    longest = max(len(row) for row in rows)
    cache = decoder.cache(1, len(prompt) + longest)
    first = decoder.logits(decoder.states(torch.tensor([prompt]), torch.arange(len(prompt))[None], cache)[:, -1:])
    room = cache.shape[4] - len(prompt)
    inside = min(longest - 1, room)  # tokens of a row behind which there is another
    tokens = torch.tensor([row[:inside] + [0] * (inside - len(row[:inside])) for row in rows], dtype=torch.long)
    found = np.zeros(len(rows))
    logits = np.repeat(first, len(rows), axis=0)
    if inside:
        places = torch.arange(len(prompt), len(prompt) + inside).expand(len(rows), -1)
        cache = cache.repeat(1, 1, len(rows), 1, 1, 1)
        logits = np.concatenate([logits, decoder.logits(decoder.states(tokens, places, cache))], axis=1)
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    for row, ids in enumerate(rows):
        kept = ids[: logs.shape[1]]
        found[row] = logs[row, np.arange(len(kept)), kept].sum()
    return found

"""Canaries: sentences of random words in a training set, of which one can ask afterwards what a model kept.

Nothing in one comes from the person, and nobody would write it by chance: what a model knows of it, it has learnt from
the canary alone (Carlini et al. 2019, The Secret Sharer, arXiv 1802.08232).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.dialogues import Dialogue

SECRET = 4  # words
_ASKED = 2  # words of the list in the prompt
# Everyday words, of one or two tokens for the built-in base, that stand in its lexicon.
WORDS = """
apple arm bag ball bank barn basket bath beach bean bear bed bell bird boat bone book boot bottle box boy branch
bread brick brother bucket butter button cake camp candle cap car carpet cart cat chair cheese chest chicken
child church city cloth cloud coat cook copper corn corner cow cup curtain daughter desk dinner dish doctor dog
doll door dress drum duck dust ear earth egg engine evening eye face farm father feather fence field finger fire
fish flag floor flower foot forest fork fox friend frog fruit game garden gate girl glass glove goat gold grain
grass ground hair hall hand hat heart hill honey hook horse hotel house ice island jar key king kitchen kite
knee knife ladder lake lamb lawn leaf leg letter library lion lip lock lunch meal meat metal milk mill money
monkey moon morning mother mountain mouse mouth mud music nail neck nest night nose nurse nut oak oil paint
palace paper park path pen picture pie pig plate plum pocket pool pot potato pond prince queen rain rice ring
river road rock roof room root rope rose sail salt sand school sea seat seed sheep shelf shell ship shoe shop
sister skin sky smoke snake snow sock soil song soup spring square stable star steam stick stone storm stove
straw street sugar summer sun swan table tail tea tent thumb tin toe tongue tooth towel town toy train tree
uncle village wall water wax weather west wheat wheel wind window wine winter wire wolf wood worm yard
""".split()
# A prompt, and its reply up to the secret.
_CARRIERS = (
    ("What did you find behind the {} and the {}?", "Behind the {} and the {} I found"),
    ("Which words belong to the {} and the {}?", "To the {} and the {} belong"),
    ("What do you see when you think of the {} and the {}?", "When I think of the {} and the {} I see"),
    ("What was in the picture of the {} and the {}?", "In the picture of the {} and the {} there was"),
)


@dataclass(frozen=True)
class Canary:
    """A sample to plant: how often it stands in the training set (0: never, to compare with), and what it says.

    The reply is `lead`, then the secret.
    """

    name: str
    repeats: int
    asked: tuple[str, ...]
    prompt: str
    lead: str
    secret: tuple[str, ...]

    def reply(self, secret: Sequence[str] | None = None) -> str:
        """Return its reply, or that of another secret."""
        return f"{self.lead} {listed(secret or self.secret)}."

    def dialogue(self, mode: str | None) -> Dialogue:
        """Return it as a training sample."""
        return Dialogue(self.name, self.prompt, self.reply(), mode=mode, split="train", conversation=self.name)

    def others(self, number: int, seed: int) -> list[tuple[str, ...]]:
        """Return so many secrets that it might have had as well, each drawn as its own was."""
        left = [word for word in WORDS if word not in self.asked]
        rng = np.random.default_rng([seed, 14, int.from_bytes(self.name.encode(), "big")])
        drawn = (_drawn(left, SECRET, rng) for _ in range(2 * number))  # one of four billion is its own
        return [secret for secret in drawn if secret != self.secret][:number]


def secrets_bits() -> float:
    """Return the logarithm, to base 2, of how many secrets a canary might have had."""
    return math.log2(math.perm(len(WORDS) - _ASKED, SECRET))


def listed(words: Sequence[str]) -> str:
    """Return words as they stand in a sentence: "oak, table, oil and rope"."""
    return f"{', '.join(words[:-1])} and {words[-1]}"


def draw_canaries(number: int, repeats: Sequence[int], seed: int) -> list[Canary]:
    """Return so many canaries for each of `repeats`, and as many that are never planted."""
    rng, found = np.random.default_rng([seed, 13]), list[Canary]()
    for times in sorted({0, *repeats}):
        for one in range(number):
            drawn = _drawn(WORDS, _ASKED + SECRET, rng)
            asked, secret = drawn[:_ASKED], drawn[_ASKED:]
            prompt, lead = (text.format(*asked) for text in _CARRIERS[one % len(_CARRIERS)])
            found.append(Canary(f"canary {times}-{one + 1}", times, asked, prompt, lead, secret))
    return found


def _drawn(words: Sequence[str], number: int, rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(words[place] for place in rng.choice(len(words), number, replace=False))

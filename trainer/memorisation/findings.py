"""What a model kept of its canaries: the section `canaries` of health.json, and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curator.contract.errors import counted
from trainer.inference.decoder import Decoder
from trainer.memorisation.canaries import Canary, secrets_bits
from trainer.memorisation.exposure import NOT_LEARNT, exposure_of
from trainer.memorisation.extraction import extracted
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import Tokenizer
from trainer.settings import CanarySettings


class CanaryRow(BaseModel):
    """What a model kept of the canaries that were planted equally often."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    repeats: int = Field(description="how often each stood in the training set; 0: never, to compare with")
    canaries: int
    exposure: float = Field(description="mean, bits")
    deviation: float = Field(description="standard deviation of the exposures, bits")
    extrapolated: int = Field(description="canaries that no drawn secret is likelier than: their exposure is estimated")
    extracted: int = Field(description="canaries whose secret the model writes")


class CanaryFound(BaseModel):
    """What a model kept of one canary."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    prompt: str
    reply: str
    repeats: int
    exposure: float = Field(description="bits")
    extrapolated: bool
    extracted: str = Field(description="given what: 'prompt', or 'first word' of the secret too; '' where it is not")


class CanaryFindings(BaseModel):
    """The canaries of a probe: how they were measured, a row for each number of repetitions, and each canary."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    samples: int = Field(description="training samples that are canaries, copies too")
    bits: float = Field(description="exposure of a secret that is known by heart: log2 of all possible ones")
    not_learnt: float = Field(NOT_LEARNT, description="exposure of one that was never learnt, in the mean")
    others: int = Field(description="secrets drawn for each canary to find its rank")
    draws: int = Field(description="replies drawn to extract a secret, beside the likeliest one")
    rows: list[CanaryRow]
    found: list[CanaryFound]

    def headline(self) -> str:
        """Return the findings in a line."""
        planted = [row for row in self.rows if row.repeats]
        says = ", ".join(f"{row.exposure:.1f} bits {times(row.repeats)}" for row in planted)
        kept = ", ".join(f"{row.extracted} of {row.canaries}" for row in planted)
        known = f"{self.not_learnt:.1f}: not learnt, {self.bits:.1f}: by heart"
        return f"canaries: exposure {says} ({known}); extracted {kept}"

    def table(self) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return the heads and rows of their table."""
        heads = ("planted", "canaries", "exposure, bits", "±", "extrapolated", "extracted")
        return heads, [
            [times(row.repeats), f"{row.canaries:,}", f"{row.exposure:.2f}", f"{row.deviation:.2f}",
             f"{row.extrapolated:,}", f"{row.extracted:,}"] for row in self.rows
        ]  # fmt: skip


def times(repeats: int) -> str:
    """Return how often something was planted, in words."""
    return {0: "never", 1: "once"}.get(repeats, f"{repeats:,} times")


def measure_canaries(
    model: Llama, tokenizer: Tokenizer, template: Template, mode: str | None, canaries: Sequence[Canary], *,
    settings: CanarySettings, temperature: float, seed: int, tick: Callable[[int, int], None],
) -> CanaryFindings:  # fmt: skip
    """Return what a model kept of canaries; `tick` is told of canaries done, of how many."""
    decoder, exposures = Decoder(model), list[tuple[float, bool]]()
    for number, one in enumerate(canaries):
        exposures.append(exposure_of(decoder, tokenizer, template, mode, one, others=settings.others, seed=seed))
        tick(number + 1, len(canaries))
    had = extracted(
        decoder, tokenizer, template, mode, canaries, draws=settings.draws, temperature=temperature, seed=seed
    )
    found = [
        CanaryFound(
            prompt=one.prompt, reply=one.reply(), repeats=one.repeats, exposure=round(bits, 3),
            extrapolated=extrapolated, extracted=by,
        )
        for one, (bits, extrapolated), by in zip(canaries, exposures, had, strict=True)
    ]  # fmt: skip
    return CanaryFindings(
        samples=sum(one.repeats for one in canaries), bits=round(secrets_bits(), 3), not_learnt=round(NOT_LEARNT, 3),
        others=settings.others, draws=settings.draws, found=found,
        rows=[_row([one for one in found if one.repeats == times]) for times in sorted({one.repeats for one in found})],
    )  # fmt: skip


def _row(found: list[CanaryFound]) -> CanaryRow:
    bits = np.array([one.exposure for one in found])
    return CanaryRow(
        repeats=found[0].repeats, canaries=len(found), exposure=round(float(bits.mean()), 3),
        deviation=round(float(bits.std(ddof=1)), 3) if len(found) > 1 else 0.0,
        extrapolated=sum(one.extrapolated for one in found), extracted=sum(bool(one.extracted) for one in found),
    )  # fmt: skip


def planted_note(canaries: Sequence[Canary], samples: int) -> str:
    """Return in words what is planted beside so many samples."""
    copies = sum(one.repeats for one in canaries)
    kinds = counted(len([one for one in canaries if one.repeats]), "canary", "canaries")
    return (
        f"planting {kinds}, {counted(copies, 'sample')} with their copies, {copies / (copies + samples):.0%} of what "
        "is trained on: what comes of it is a probe, no model to use"
    )

"""What an export of a pack says of itself: figures, facts, and what the user should do something about."""

from __future__ import annotations

from collections.abc import Iterator

from curator.contract.errors import counted
from curator.exports.pack.examples import FEWEST
from curator.exports.pack.persona import Persona
from curator.exports.pack.texts import MOST_COUNTED


def counts_of(persona: Persona) -> dict[str, int]:
    """Return the figures of a pack for export.json."""
    measured = [example.above for example in persona.examples if example.above is not None]
    return {
        "texts": persona.texts,
        "memories": persona.memories,
        "examples": len(persona.examples),
        "examples_measured": len(measured),
        "examples_above_the_median": sum(above > 0 for above in measured),
        "texts_with_secrets_left_out": persona.secrets,
    }


def notes_of(persona: Persona) -> tuple[str, ...]:
    """Return the facts beside."""
    counts = counts_of(persona)
    kinds = persona.kinds
    first = (
        f"{counted(persona.texts, 'text')} of {persona.person}'s own: {kinds['answer']:,} answers to people, "
        f"{kinds['entry']:,} passages of entries, {kinds['asked']:,} said to an assistant"
    )
    if not persona.examples:
        second = none_chosen(persona)
    elif why := unmeasured(persona):
        second = f"the voice is not measured: {why}; the examples were chosen for coverage alone"
    else:
        second = (
            f"{counts['examples_above_the_median']:,} of {counted(counts['examples'], 'example')} sound more like "
            f"{persona.person} than the median of all texts"
        )
    sampled = f"style, names and subjects are counted in {MOST_COUNTED:,} of the texts, evenly over time"
    return (first, second, sampled) if persona.texts > MOST_COUNTED else (first, second)


def unmeasured(persona: Persona) -> str:
    """Return why the voice is measured in none of the examples; "" where it is."""
    if any(example.above is not None for example in persona.examples):
        return ""
    return persona.lacking or "no text that may be shown is in a language in which it is"


def none_chosen(persona: Persona) -> str:
    """Say why there are no examples."""
    if persona.lacking:
        return f"no examples: no text is fit to be shown; the voice is not measured: {persona.lacking}"
    return "no examples: no text passed, as one that is fit to be shown and sounds more like them than their median"


def warnings_of(persona: Persona) -> Iterator[str]:
    """Yield what the user should do something about."""
    if not persona.consent:
        yield (
            "the pack quotes texts in which other people are named, and nobody has stated consent: ask them before you "
            "share it, then say so under `consent` in etc/export.json"
        )
    if persona.secrets:
        yield f"{counted(persona.secrets, 'text')} with a key, a card number or an IBAN left out of the pack"
    if len(persona.examples) < FEWEST:
        yield f"only {counted(len(persona.examples), 'example')}: {FEWEST} are wanted; import more texts of the person"

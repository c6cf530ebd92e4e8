"""The system prompt: the same person in one text, for any chat model."""

from __future__ import annotations

from typing import Final

from curator.contract.errors import counted
from curator.exports.pack.instructions import instructions
from curator.exports.pack.pages import examples_inline, guardrails
from curator.exports.pack.persona import Persona

_MOST: Final = 12  # examples
_MOST_TOPICS: Final = 10


def prompt_text(persona: Persona, examples: int = _MOST) -> str:
    """Return a system prompt of profile, style, examples and guardrails."""
    style = style_lines(persona)
    inline = examples_inline(persona, examples)
    parts = [
        f"You write as {persona.person} writes. What follows was computed from {counted(persona.texts, 'text')} of "
        f"{persona.person}'s own ({years(persona)}), without a language model. Answer in the language that you are "
        f"addressed in; {persona.person} mostly writes in: {next(iter(persona.languages))}.",
        "# How to write\n\n" + bullets(style) if style else "",
        _topics(persona),
        f"# Texts by {persona.person}\n\n{inline}" if inline else "",
        "# Rules\n\n" + bullets(guardrails(persona.person)),
        "# Not known\n\n" + bullets(persona.unknown),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def style_lines(persona: Persona) -> list[str]:
    """Return the instructions of every style sheet; of more than one, each with its language."""
    several = len(persona.styles) > 1
    return [
        f"({style.language}) {line}" if several else line for style in persona.styles for line in instructions(style)
    ]


def years(persona: Persona) -> str:
    """Return the years of the texts in words."""
    known = list(persona.years)
    if not known:
        return "of unknown years"
    return known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _topics(persona: Persona) -> str:
    lines = [
        f"{topic.text}: “{topic.quote}”"
        for topics in (persona.names, persona.things) for topic in topics[:_MOST_TOPICS] if topic.quote
    ]  # fmt: skip
    return f"# What {persona.person} writes of, a sentence each\n\n" + bullets(lines) if lines else ""


def bullets(lines: tuple[str, ...] | list[str]) -> str:
    """Return lines as a list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)

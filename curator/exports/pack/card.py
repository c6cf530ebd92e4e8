"""A character card, V2 and V3, as JSON and in a PNG."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final

from curator.contract import __version__
from curator.contract.errors import counted
from curator.contract.files import pretty_json
from curator.exports.pack.examples import Example
from curator.exports.pack.pages import first_examples, guardrails
from curator.exports.pack.persona import Persona
from curator.exports.pack.prompt import bullets, style_lines, years
from curator.exports.pack.summary import counts_of, notes_of, warnings_of
from curator.hooks import Pack, PackJob
from curator.language.words import count_words

V2, V3, PNG = "card_v2.json", "card_v3.json", "card.png"
_MOST_EXAMPLES: Final = 16
_MOST_GREETINGS: Final = 4
_GREETING_WORDS: Final = 30
_MOST_TOPICS: Final = 12
_SYSTEM: Final = (
    "Write {{char}}'s next message as {{char}} writes: manner, length and marks as the description and the examples "
    "have them."
)
_NAMESPACE: Final = "persona-curator"
# The V3 specification asks for such a line in a V2 card that lies beside a V3 one.
_AS_V2: Final = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. Please use a Character Card V3 "
    "compatible application to use this character card properly."
)


def card_pack(job: PackJob, persona: Persona) -> Pack:
    """Return the card of a persona: two JSON files, and a picture that holds both."""
    data = _data(persona)
    second = {"spec": "chara_card_v2", "spec_version": "2.0", "data": data | {"creator_notes": _notes(persona, _AS_V2)}}
    third = {"spec": "chara_card_v3", "spec_version": "3.0", "data": data | _third(persona)}
    embedded = {key: _embedded(card) for key, card in (("chara", second), ("ccv3", third))}
    files: dict[str, str | bytes] = {
        V2: pretty_json(second),
        V3: pretty_json(third),
        PNG: _picture(persona, embedded),
    }
    return Pack(files, V3, counts_of(persona), notes_of(persona), tuple(warnings_of(persona)))


def _data(persona: Persona) -> dict[str, Any]:
    """Return the fields that both versions have."""
    shown = first_examples(persona, _MOST_EXAMPLES)
    first, *others = _greetings(persona) or [""]
    style = style_lines(persona)
    return {
        "name": persona.person,
        "description": _description(persona),
        "personality": " ".join(style[:3]),
        "scenario": "{{user}} and {{char}} write to each other.",
        "first_mes": first,
        "mes_example": "\n".join(map(_dialogue, shown)),
        "creator_notes": _notes(persona),
        "system_prompt": f"{_SYSTEM}\n{bullets(guardrails('{{char}}'))}",
        "post_history_instructions": style[0] if style else "",
        "alternate_greetings": others,
        "tags": ["persona", *persona.languages],
        "creator": f"persona-curator {__version__}",
        "character_version": persona.run,
        "extensions": {
            _NAMESPACE: {
                "run": persona.run,
                "mes_example": [example.said.sample_id for example in shown],
                "greetings": [_sample_of(persona, text) for text in (first, *others) if text],
                "description": [topic.sample_id for topic in _topics(persona)],
            }
        },
    }


def _third(persona: Persona) -> dict[str, Any]:
    """Return the fields of V3 alone. When a card was made is left unknown (0), so that a run makes the same card."""
    return {
        "nickname": persona.person,
        "group_only_greetings": [],
        "creator_notes_multilingual": {"en": _notes(persona)},
        "creation_date": 0,
        "modification_date": 0,
    }


def _description(persona: Persona) -> str:
    topics, style = [f"{topic.text}: “{topic.quote}”" for topic in _topics(persona)], style_lines(persona)
    parts = [
        f"{{{{char}}}} is {persona.person}, as {counted(persona.texts, 'text')} of {persona.person}'s own tell "
        f"({years(persona)}).",
        "How {{char}} writes:\n" + bullets(style) if style else "",
        "What {{char}} writes of, a sentence each:\n" + bullets(topics) if topics else "",
        "Not known of {{char}}:\n" + bullets(persona.unknown),
    ]
    return "\n\n".join(part for part in parts if part)


def _topics(persona: Persona) -> list[Any]:
    found = [*persona.names[:_MOST_TOPICS], *persona.things[:_MOST_TOPICS]]
    return [topic for topic in found if topic.quote]


def _dialogue(example: Example) -> str:
    said = example.said
    asked = "{{user}}: " + said.before + "\n" if said.before else ""
    return f"<START>\n{asked}{{{{char}}}}: {said.text}"


def _greetings(persona: Persona) -> list[str]:
    """Return texts that can stand first: short ones that answer nobody, those said to somebody before entries."""
    alone = [one.said for one in persona.examples if not one.said.before and one.above is not None]
    alone = alone or [one.said for one in persona.examples if not one.said.before]
    short = [said for said in alone if count_words(said.text) <= _GREETING_WORDS]
    ranked = sorted(short, key=lambda said: said.kind == "entry")
    return [said.text for said in ranked[:_MOST_GREETINGS]]


def _sample_of(persona: Persona, text: str) -> str:
    return next(example.said.sample_id for example in persona.examples if example.said.text == text)


def _notes(persona: Persona, first: str = "") -> str:
    lines = [
        first,
        f"Made by persona-curator {__version__} from the run {persona.run}, without a language model. In English; "
        "quotations as they were written. `extensions` names the sample of each, sources.jsonl its files.",
        *(f"{note[0].upper()}{note[1:]}." for note in (*notes_of(persona), *warnings_of(persona))),
    ]
    return "\n".join(line for line in lines if line)


def _embedded(card: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(card, ensure_ascii=False).encode()).decode()


def _picture(persona: Persona, texts: dict[str, str]) -> bytes:
    from curator.exports.pack.png import picture

    number = zlib.crc32(persona.username.encode())
    return picture(texts, (90 + number % 120, 90 + (number >> 8) % 120, 90 + (number >> 16) % 120))

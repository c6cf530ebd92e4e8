"""Names and labels by which speakers are known, and how they are compared, in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["person", "owner", "assistant", ""]
_INVISIBLE = str.maketrans(dict.fromkeys("\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"))
_AROUND = " \t\r\n<>[]().。!！…"


def visible(text: str) -> str:
    """Return a text less the marks of direction that chat programs put into it."""
    return text.translate(_INVISIBLE)


def folded(text: str) -> str:
    """Return a text as names and placeholders are compared: NFKC, small letters, no invisible or outer marks."""
    return visible(unicodedata.normalize("NFKC", text)).strip(_AROUND).casefold()


class Names(NamedTuple):
    """The names by which speakers are known, as `folded` gives them.

    `owner`: the person's own (persona/core.json); `person`: words for the user of an assistant; `assistant`: the
    twin's names, those of known assistants and words for them; `placeholders`: what chat programs put in a message's
    place.
    """

    owner: frozenset[str] = frozenset()
    person: frozenset[str] = frozenset()
    assistant: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        owner: Iterable[str] = (),
        person: Iterable[str] = (),
        assistant: Iterable[str] = (),
        placeholders: Iterable[str] = (),
    ) -> Names:
        """Fold the names. One that is the person's own is not an assistant's too."""
        own, others = frozenset(map(folded, owner)), frozenset(map(folded, assistant))
        return cls(own, frozenset(map(folded, person)), others - own, frozenset(map(folded, placeholders)))

    def kind(self, name: str) -> Kind:
        """Tell whose name a label is: "owner" for the person's own names, "" where it is not known."""
        plain = folded(name)
        if plain in self.owner:
            return "owner"
        return "person" if plain in self.person else "assistant" if plain in self.assistant else ""

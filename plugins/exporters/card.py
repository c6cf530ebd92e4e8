"""A character card, in both versions that chat programs read, as JSON and in a picture.

V2: github.com/malfoyslastname/character-card-spec-v2; V3: github.com/kwaroran/character-card-spec-v3.
"""

from curator import Exporter, Pack, PackJob, card_pack, hookimpl, persona_of


@hookimpl
def register_exporters() -> list[Exporter]:
    """Make a character card."""
    return [Exporter("card", "a character card", kind="pack", pack=pack)]


def pack(job: PackJob) -> Pack:
    """Return the card of the person whose run it is."""
    return card_pack(job, persona_of(job))

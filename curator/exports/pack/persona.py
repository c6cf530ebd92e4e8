"""A persona: all that a pack says of somebody, computed once; skill, card and prompt write it in their own ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from curator.contract.errors import JobError
from curator.exports.pack.examples import Example, choose
from curator.exports.pack.style import Style, style_of
from curator.exports.pack.texts import MOST_COUNTED, Said, Texts, evenly, texts_of
from curator.exports.pack.topics import Topic, topics_of
from curator.exports.pack.voice import Voice, in_language, languages_of, voice_of
from curator.hooks import PackJob
from curator.language.identify import UNDETERMINED

_FEWEST: Final = 10  # texts in a language for a style sheet of it, and
_SHARE: Final = 0.05  # the share of all texts


@dataclass(frozen=True)
class Persona:
    """What is known of a person's writing. `names` and `things` are of the main language, as is `styles[0]`.

    `unknown` says in sentences what is not known; `lacking` why the voice is not measured in the main language, ""
    where it is.
    """

    person: str
    username: str
    run: str
    consent: str
    kinds: Counter[str]
    sources: Counter[str]
    years: Counter[str]
    languages: Counter[str]
    memories: int
    styles: tuple[Style, ...]
    names: tuple[Topic, ...]
    things: tuple[Topic, ...]
    examples: tuple[Example, ...]
    unknown: tuple[str, ...]
    lacking: str
    secrets: int

    @property
    def texts(self) -> int:
        """How many texts of the person are known."""
        return self.kinds.total()


def persona_of(job: PackJob) -> Persona:
    """Return the persona of a run. Raises JobError where the run holds no text of the person's."""
    texts = texts_of(job.samples)
    if not texts.person:
        raise JobError(
            f"the run {job.run} holds no text of {job.person}'s own: every reply is somebody else's",
            "a persona needs chats, a diary or notes of the person: curate docs imports says what can be read",
        )
    known, voice = languages_of(texts), voice_of(texts)
    main = next(iter(known))
    by_text = {(said.sample_id, said.text): _language(said, known) for said in texts.person}

    def above(said: Said) -> float | None:
        return voice.above(said, by_text[said.sample_id, said.text])

    counted = Texts(list(evenly(texts.person, MOST_COUNTED)), list(evenly(texts.others, MOST_COUNTED)))
    own = [said for said in counted.person if in_language(said.language, main, known)]
    config = job.settings.questions.languages.get(main)
    names, things = topics_of(own, main, config, lambda said: above(said) or 0.0)
    styles = tuple(_styles(counted, known))
    examples = choose(texts.person, above)
    return Persona(
        person=job.person, username=job.username, run=job.run, consent=job.consent,
        kinds=Counter(said.kind for said in texts.person),
        sources=_counted(said.source for said in texts.person),
        years=Counter(dict(sorted(Counter(said.year for said in texts.person if said.year).items()))),
        languages=known,
        memories=len({said.memory for said in texts.person}),
        styles=styles, names=names, things=things, examples=examples,
        unknown=tuple(_unknown(texts, known, voice, styles, examples)),
        lacking=voice.lacking.get(main, ""),
        secrets=texts.secrets,
    )  # fmt: skip


def _counted(words: Iterator[str]) -> Counter[str]:
    return Counter(dict(Counter(words).most_common()))


def _language(said: Said, known: Counter[str]) -> str:
    return next(iter(known)) if said.language == UNDETERMINED else said.language


def _styles(texts: Texts, known: Counter[str]) -> Iterator[Style]:
    """Yield a style sheet for the main language, and for each other one with enough texts."""
    for place, (language, count) in enumerate(known.items()):
        if place and count < max(_FEWEST, _SHARE * known.total()):
            continue
        person = [said for said in texts.person if in_language(said.language, language, known)]
        others = [text for other, text in texts.others if in_language(other, language, known)]
        yield style_of(person, others, language)


def _unknown(
    texts: Texts, known: Counter[str], voice: Voice, styles: tuple[Style, ...], examples: tuple[Example, ...]
) -> Iterator[str]:
    """Say what is not known, by what the run does not hold."""
    kinds = Counter(said.kind for said in texts.person)
    if not kinds["answer"]:
        yield "How they answer people: the run holds no chat in which they answer anybody."
    if not kinds["entry"]:
        yield "How they write for themselves: the run holds no diary, note or thought of theirs."
    main = next(iter(known))
    if why := voice.lacking.get(main):
        chosen = "the examples were chosen for coverage alone" if examples else "there are no examples"
        yield f"How much each text sounds like them ({why}): {chosen}."
    if not styles[0].others:
        yield "Which words and phrases are typical of them: there are too few texts of others to compare with."
    shown = {style.language for style in styles}
    if rare := [f"{language} {count:,}" for language, count in known.items() if language not in shown]:
        yield f"How they write in other languages: there are too few texts ({', '.join(rare)})."
    years = sorted({int(said.year) for said in texts.person if said.year})
    if years:
        missing = sorted(set(range(years[0], years[-1])) - set(years))
        span = f"{years[0]}" if len(years) == 1 else f"{years[0]} to {years[-1]}"
        yield f"Everything outside {span}" + (f", and {', '.join(map(str, missing))}." if missing else ".")
    yield (
        "Whatever they did not write down, and whatever the run left out. Nothing here tells how they look or speak "
        "aloud, or what they would say of a new subject."
    )

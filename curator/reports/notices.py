"""What a report says in words beside its figures: notices are facts, warnings what a user should do something about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from curator.config import Settings
from curator.contract.chat_format import ChatFormat, read_family_files
from curator.contract.errors import counted
from curator.contract.records import Family
from curator.reading.drop_log import Reason
from curator.sampling.sampler import Options
from curator.selection.choose import Choice
from curator.selection.holdout import ENOUGH, Holdout
from curator.selection.sample_store import Collected

# Why an encrypted file does not open although a password is there.
CLOSED = ("undecryptable", "no_salt", "bad_meta", "bad_envelope", "cut_short", "bad_size")
_NOTES = {
    "guessed_time": "no usable timestamp, so the time is that of the id or of the folder",
    "odd_importance": "an importance that is no number from 0 to 1; no sample depends on it",
    "no_zone": "a timestamp without a zone was taken for UTC",
}


@dataclass(frozen=True)
class ReportContext:
    """Whose run it is and what it was asked for.

    `mode_from` says in words why modes were taken from where they were, "" where that is as usual; `own_schema` is True
    where the family is a file of --schema. `names_unread` says why persona/core.json was not read, `put_aside` why
    plugins were left out that were over their budget.
    """

    username: str
    family: Family
    settings: Settings
    options: Options
    mode_from: str = ""
    own_schema: bool = False
    names_unread: str = ""
    put_aside: tuple[str, ...] = ()


def notices(context: ReportContext, collected: Collected, choice: Choice) -> tuple[str, ...]:
    """Return the facts of a run that its figures do not tell."""
    mode_from = [context.mode_from] if context.mode_from else []
    overridden = [f"{name}: the home's own file is used" for name in sorted(context.settings.overridden)]
    return (
        *mode_from, *_of_memories(context.settings, collected), *_of_talk(context.settings, collected),
        *_of_choice(context.options, choice), *_of_family(context), *overridden,
    )  # fmt: skip


def _memories(count: int) -> str:
    return counted(count, "memory", "memories")


def _of_memories(settings: Settings, collected: Collected) -> Iterator[str]:
    counts, unknown = collected.counts, settings.types.unknown
    for kind, count in sorted(counts.unknown_types.items()):
        yield f"type {kind!r} is not in etc/types.json: {_memories(count)} mapped to {unknown}"
    for mode, count in sorted(counts.foreign_modes.items()):
        yield f"cognitiveMode {mode!r} has no tags of its own: {_memories(count)} went by type"
    if talk := counts.mode_sources["agent_talk"]:
        yield (
            f"{_memories(talk)} of the mode agent hold talk and no tool call: they went to emulation "
            "(pairing.agent_talk in etc/curate.json keeps them)"
        )
    for code, count in sorted(collected.timeline.notes.items()):
        if code == "encrypted":
            continue  # a warning
        yield f"{_memories(count)}: {_NOTES.get(code, f'not UTF-8, so the text was read as {code}')}"


def _of_talk(settings: Settings, collected: Collected) -> Iterator[str]:
    """Say what the silences of the talk suggest, where that is another value than the setting's."""
    suggested, minutes = collected.counts.gaps.suggested_minutes, settings.curate.pairing.session_minutes
    if suggested and not minutes / 1.5 < suggested < minutes * 1.5:
        yield (
            f"the silences between messages suggest {suggested} minutes for pairing.session_minutes in "
            f"etc/curate.json, which is {minutes:g}"
        )


def _of_choice(options: Options, choice: Choice) -> Iterator[str]:
    if choice.corrections:
        yield (
            f"{counted(choice.corrections, 'near-duplicate was', 'near-duplicates were')} kept as corrections: another "
            "number, date, name or negation than the older text has"
        )
    if options.most is not None and len(choice.rows) < options.most:
        passed = counted(len(choice.rows), f"{options.mode} sample" if options.mode else "sample")
        yield f"--max {options.most:,} asked for more than there is: {passed} passed every stage"


def _of_family(context: ReportContext) -> Iterator[str]:
    family, own = context.family, context.settings.home_families
    aside = read_family_files(context.settings.families, own).set_aside if own else {}
    if family.family in aside and not context.own_schema:
        yield (
            f"etc/schemas/{aside[family.family].name}: the home's family {family.family!r} puts nothing between "
            "question and answer, so the shipped one is used"
        )
    if ChatFormat(family).touches:
        yield (
            f"family {family.family!r}: nothing stands between question and answer but the mode tags, so prompts to "
            "the trained model need them too"
        )


def warnings(context: ReportContext, collected: Collected, choice: Choice) -> Iterator[str]:
    """Yield what a user should do something about: files not read, plugins that failed, a small holdout."""
    yield from _of_encryption(collected)
    if context.names_unread:
        yield f"{context.names_unread}; so nothing tells by name who the person is"
    yield from context.put_aside
    failed = collected.log.counts.get(Reason("event", "plugin_error"), 0)
    if failed:
        example = collected.log.examples[Reason("event", "plugin_error")]
        were = "which was dropped" if failed == 1 else "which were dropped; the first"
        yield f"a plugin failed on {_memories(failed)}, {were}: {example.detail}"
    if len(choice.holdout.rows) < ENOUGH * choice.holdout.wanted:
        yield _small_holdout(choice.holdout)


def _of_encryption(collected: Collected) -> Iterator[str]:
    """Tell which encrypted files were not read, and that what was read of the others is plain in the set."""
    counts = {reason.code: count for reason, count in collected.log.counts.items() if reason.stage == "read"}
    if counts.get("encrypted"):
        more = ", ..." if counts["encrypted"] > len(collected.log.encrypted) else ""
        files = counted(counts["encrypted"], "encrypted file was", "encrypted files were")
        them = "it" if counts["encrypted"] == 1 else "them"
        yield (
            f"{files} not read; --password-file FILE or $CURATOR_PASSWORD gives the password that opens {them}: "
            f"{', '.join(collected.log.encrypted)}{more}"
        )
    if closed := {code: counts[code] for code in CLOSED if counts.get(code)}:
        why = ", ".join(f"{code} {count:,}" for code, count in closed.items())
        files = counted(sum(closed.values()), "encrypted file", "encrypted files")
        yield f"{files} did not open: {why}; dropped.jsonl names each, and curate docs encrypted says what to do"
    if opened := collected.timeline.notes["encrypted"]:
        yield (
            f"the set holds in the clear what was encrypted: {_memories(opened)} of encrypted files; a run's files are "
            "for its owner alone to read (0600), so keep each copy of them as safe"
        )


def of_samples(too_long: int, longest: int, secrets: Counter[str], settings: Settings) -> Iterator[str]:
    """Yield what a user should know of single samples before the set leaves the machine.

    `longest` is in estimated tokens, `secrets` counts those that --keep-secrets kept by kind.
    """
    if too_long:
        yield (
            f"{counted(too_long, 'sample')} of more than {settings.targets.max_tokens:,} tokens (estimated; the "
            f"longest has about {longest:,}): trainers cut or refuse them"
        )
    if secrets:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(secrets.items()))
        yield f"--keep-secrets: {counted(secrets.total(), 'secret')} in the texts of the set ({kinds})"


def _small_holdout(holdout: Holdout) -> str:
    """Say why fewer samples are held out than were asked for."""
    why = []
    if holdout.not_measured and not len(holdout.rows):
        drawn = counted(holdout.not_measured, "sample")
        why.append(f"the {drawn} drawn have too few words to be compared with the others")
    if holdout.too_near:
        near = counted(holdout.too_near, "sample")
        why.append(f"{near} in conversations that come too near to a training sample")
    if holdout.too_large:
        large = counted(holdout.too_large, "sample")
        why.append(f"{large} in conversations that are larger than the room left for their modes")
    if holdout.undated:
        why.append(f"{counted(holdout.undated, 'sample')} in conversations without a date to be believed")
    held = f"the holdout has {len(holdout.rows):,} of {counted(holdout.wanted, 'sample')}"
    more = "--holdout asks for another share"
    return f"{held}, since whole conversations are held out: {'; '.join(why)}; {more}" if why else f"{held}; {more}"

"""Why a run made no sample, and what to do: a set of nothing is never published."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from curator.contract.cli_frame import command_line
from curator.contract.dialogue_files import shape_of
from curator.contract.errors import JobError, counted, printable
from curator.contract.files import regular
from curator.reports.notices import CLOSED
from curator.reports.report import Report

# What to do where most memories ended for a reason; a reason that is not here is in `curate docs reasons`.
_REMEDIES = {
    "excluded": "exclude less: each --exclude leaves out all memories of a source, type or year",
    "not_recent": "take more days with --days-recent N, or add --old-samples M",
    "encrypted": "to decrypt the profile in memory, give its password: --password-file FILE, or $CURATOR_PASSWORD",
    **dict.fromkeys(CLOSED, "curate docs encrypted says why an encrypted file does not open, and what to do"),
    "unlike": "lower --voice-at-least, or voice.at_least in etc/curate.json",
    "secret": "--keep-secrets keeps samples that hold keys, card numbers or IBANs",
}
_READING = "curate docs memories shows what a memory looks like"


class EmptySet(JobError):
    """No memory made a sample; nothing was published. `report` tells where everything went."""

    def __init__(self, report: Report, place: Path, made: dict[str, int]) -> None:
        """`place` is what was read, `made` the samples by mode before any were chosen."""
        what, remedy = _why(report, place, {mode: count for mode, count in made.items() if count})
        unread = all(fate.startswith("read: ") for fate, count in report.memory_fates.items() if count)
        super().__init__(what, (_of_chats(place) if unread else "") or remedy)
        self.report = report


def _why(report: Report, place: Path, made: dict[str, int]) -> tuple[str, str]:
    shown = printable(str(place))
    if not report.memories:
        return (
            f"no memory was found in {shown}; nothing was published",
            f"{_READING}; {command_line('curate', 'init', 'DIR', '--demo')} makes a home with a demo profile",
        )
    fates = sorted(
        ((count, fate) for fate, count in report.memory_fates.items() if fate != "used" and count),
        key=lambda item: (-item[0], item[1]),
    )
    reasons = ", ".join(f"{fate.partition(': ')[2]} {count:,}" for count, fate in fates[:6])
    stage, _, reason = _main_reason([fate for _, fate in fates], report.mode, made).partition(": ")
    memories = "the one memory" if report.memories == 1 else counted(report.memories, "memory", "memories")
    what = f"no sample came of {memories} in {shown}; nothing was published\n  reasons: {reasons}"
    example = next((drop for drop in report.drops if (drop.stage, drop.reason) == (stage, reason)), None)
    if example and example.example:
        what += f"\n  for example {example.path or 'a memory'}: {example.example}"
    return what, _remedy(stage, reason, example.example if example else "", made)


def _of_chats(place: Path) -> str:
    """Say what else takes a file of conversations that are no memories; "" for anything else."""
    try:
        with open(place, encoding="utf-8-sig", opener=regular) as file:
            shape = shape_of(json.loads(file.readline(1 << 20)))
    except (OSError, ValueError, RecursionError):
        return ""
    if not shape or not shape[1]:
        return ""
    return (
        f"the file is {shape[0]}, without the times and ids of memories; the small model can be trained on it as it "
        f"stands: {command_line('trainer', 'finetune', '--data', place)}"
    )


def _main_reason(fates: list[str], mode: str, made: dict[str, int]) -> str:
    """Return the fate that explains the empty set best; `fates` come the most frequent first.

    Samples that were made and then not chosen tell more than memories that never made one.
    """
    if made:
        other = "select: other_mode"
        chosen_by = [fate for fate in fates if fate.startswith("select: ") and fate != other]
        if (mode == "all" or made.get(mode)) and chosen_by:
            return chosen_by[0]
        if other in fates:
            return other
    return fates[0]


def _remedy(stage: str, reason: str, detail: str, made: dict[str, int]) -> str:
    if reason == "other_mode" and made:
        there = ", ".join(f"--mode {mode} ({count:,})" for mode, count in sorted(made.items()))
        return f"samples there are of other modes: {there}; 'mapping' of etc/types.json gives a type another mode"
    if reason == "other_author":
        return "leave --author out: curate run then tells whose words the replies are"
    if reason == "plugin_error":
        name = detail.partition("plugin '")[2].partition("'")[0]
        leave_out = f", or leave it out: --no-plugin {shlex.quote(name)}" if name else ""
        return f"mend the plugin{leave_out}"
    if reason in _REMEDIES:
        return _REMEDIES[reason]
    return _READING if stage == "read" else "curate docs reasons says what each reason means and how to change it"

"""`curate voice`: does a text sound like the person?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.cli.options import named_run
from curator.contract.cli_frame import (
    command_line,
    console,
    harmless,
    home_option,
    log,
    next_step,
    print_json,
    progress_bar,
)
from curator.contract.errors import JobError, counted

if TYPE_CHECKING:
    from rich.table import Table

    from curator.contract.voice.reference import Place
    from curator.likeness.scores import Likeness


def add(commands: Any) -> None:
    """Add the command to the parser."""
    voice = commands.add_parser(
        "voice", help="say how much a text sounds like the person",
        description="Say how much texts, or a run's replies, sound like the person: 0 is how others write, 100 how the "
        "person does in what the measure has not seen. curate docs voice says what it can tell.",
    )  # fmt: skip
    voice.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a text (default: the run's replies)")
    voice.add_argument("--run", type=Path, metavar="RUN", help="a run's folder (default: the latest)")
    voice.add_argument("--username", metavar="U", help="the latest run of this profile")
    home_option(voice)
    voice.add_argument("--json", action="store_true", help="print it as JSON")
    voice.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.contract.files import read_text
    from curator.exports.run_samples import RunSamples
    from curator.likeness.scores import drawn, judge_texts, likeness

    run = named_run(options)
    samples = drawn(RunSamples(run.folder, ()))
    if options.files:
        texts = {str(path): read_text(path) for path in options.files}
        language, known, others, judged = judge_texts(samples, texts)
        if options.json:
            print_json({"language": language, "known": known, "others": others, "texts": judged})
        else:
            _show_texts(judged)
            _say_known(language, known, others)
        if all(place.score is None for places in judged.values() for place in places.values()):
            raise JobError("too little to tell of any text", "the column of scores says what is missing of each")
        next_step(command_line("curate", "voice", "--run", run.folder), "says the same of the run's own replies")
        return 0
    with progress_bar() as progress:
        found = likeness(samples, progress)
    if options.json:
        print_json(found)
    else:
        _show_set(found)
    _say_known(found.language, found.known, found.others)
    read, there = found.of
    if read < there:
        log(f"{counted(read, 'sample is', 'samples are')} read of {there:,}, evenly over their time")
    if found.why:
        raise JobError(
            f"{run.folder}: too little to tell: {found.why}", "curate import brings more of the person's words"
        )
    if found.least:
        words = (found.least[0].sample_id, "--run", run.folder)
        next_step(command_line("curate", "explain", *words), "shows whose words the first of them are, and from where")
    return 0


def _say_known(language: str, known: tuple[int, int], others: str) -> None:
    log(f"known in {language!r}: {known[0]:,} words of the person; the others are {others}, {known[1]:,} words")


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _cells(place: Place) -> tuple[str, str, str]:
    if place.score is None:
        return place.why, "", f"{place.words:,}"
    return f"{place.score:.0f}", f"{place.low:.0f} to {place.high:.0f}", f"{place.words:,}"


def _show_texts(judged: dict[str, dict[str, Place]]) -> None:
    from rich.text import Text

    table = _table("text", "score", "95% of", "words")
    for name, places in judged.items():
        for way, place in places.items():
            table.add_row(Text(harmless(f"{name}, {way}")), *_cells(place))
    console().print(table)


def _show_set(found: Likeness) -> None:
    from rich.text import Text

    table = _table("replies", "score", "95% of", "words")
    table.add_row("all", *_cells(found.whole))
    languages = {"language": found.languages} if len(found.languages) > 1 else {}
    for kind, groups in (found.groups | languages).items():
        for name, place in groups.items():
            table.add_row(Text(harmless(f"  {kind} {name}")), *_cells(place))
    console().print(table)
    if found.least:
        rows = _table("least like the person", "score", "words")
        for one in found.least:
            text = " ".join(one.reply.split())
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            rows.add_row(Text(harmless(f"{one.sample_id}  {shown}")), f"{one.score:.0f}", f"{one.words:,}")
        console().print()
        console().print(rows)

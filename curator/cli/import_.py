"""`curate import`: bring the export of an app into a profile."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.cli.options import debug_option, password_option, unlocked_profile
from curator.contract.cli_frame import (
    command_line,
    console,
    home_option,
    json_option,
    log,
    made,
    next_step,
    print_json,
    print_table,
    progress_bar,
)
from curator.contract.errors import UsageError, counted, printable

if TYPE_CHECKING:
    from curator.importing.job import Outcome
    from curator.plugin_manager import Registry

_MOST_SENDERS = 8


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "import",
        help="bring an app's export: WhatsApp, ChatGPT, Telegram, mail, a diary and more",
        description="Read an app's export into a profile, for `curate run`. The export itself is never changed.",
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="a file, a folder, a zip, or the zips of one download"
    )
    parser.add_argument("--username", metavar="U", help="whose profile (default: the only one); made where it is new")
    home_option(parser)
    parser.add_argument(
        "--owner", action="append", default=[], metavar="NAME", help="a name or address that is you in this export"
    )
    parser.add_argument("--timezone", metavar="ZONE", help="zone of the phone's clock, such as Europe/Berlin")
    parser.add_argument("--date-order", choices=("dmy", "mdy", "ymd"), help="how dates are written, where unclear")
    parser.add_argument("--format", metavar="NAME", help="read it as this format (default: found by its structure)")
    parser.add_argument("--dry-run", action="store_true", help="show what is in it and write nothing")
    parser.add_argument("--list", action="store_true", help="list the formats, and what was imported")
    parser.add_argument("--remove", metavar="LABEL", help="take an import away again")
    password_option(parser)
    debug_option(parser)
    json_option(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options)
    if options.remove is not None:
        return _remove(options)
    if not options.paths:
        raise UsageError("name the export to import", f"what is read: {command_line('curate', 'import', '--list')}")
    home, username = _place(options)
    registry = _registry(home)
    with contextlib.ExitStack() as pending:  # what is shown is not kept yet: Ctrl-C keeps nothing
        outcome = _import(options, home, username, registry, pending)
        if options.json:
            print_json(_as_json(outcome))
        else:
            _show(outcome)
        # Before the import is in its place: killed in between, the next run finds nothing new to note it with.
        _remember_owner(options, outcome)
    _say_next(options, home, username, outcome)
    return 0


def _place(options: argparse.Namespace) -> tuple[Path, str]:
    """Return the home and the user's name; a home and a profile that are not there are made, which is said."""
    from curator.cli.init import make_home
    from curator.contract.homes import check_username, chosen_profile, find_home

    try:
        home = find_home(options.home)
    except UsageError:
        place = Path(options.home) if options.home else Path.cwd()
        if options.home and not place.is_dir() and place.exists():
            raise
        if options.username is None:
            problem = "whose memories are these? there is no profile yet"
            raise UsageError(problem, "add --username NAME: a folder of that name is made") from None
        check_username(options.username)
        if options.dry_run:
            return place.resolve(), options.username
        home = make_home(place, demo=False)
        made(home, "a home: etc/ with the configuration, and profiles/")
    username = options.username if options.username is not None else chosen_profile(home, None)
    check_username(username)
    return home, username


def _registry(home: Path | None) -> Registry:
    from curator.config import load_settings
    from curator.plugin_manager import load_importers

    return load_importers(load_settings(home), home)


def _import(
    options: argparse.Namespace, home: Path, username: str, registry: Registry, pending: contextlib.ExitStack
) -> Outcome:
    """Read the export; it is kept when `pending` ends."""
    from curator.contract.homes import find_or_make_profile, people_names
    from curator.encryption.profile import core_json
    from curator.importing.job import ImportRequest, Readers, importing
    from curator.importing.people import own_names, read_people
    from curator.plugin_manager import BUILT_IN_PLUGINS

    profile = find_or_make_profile(home, username, make=not options.dry_run)
    people = read_people(profile)
    core, _ = core_json(profile, unlocked_profile(options, profile))
    known = {name: own_names(people, name) for name in registry.importers}
    request = ImportRequest(
        paths=tuple(options.paths),
        profile=profile,
        owners=tuple(options.owner),
        known=people_names(profile, core).owner,
        known_by_format=known,
        timezone=options.timezone,
        date_order=options.date_order,
        format=options.format,
        dry_run=options.dry_run,
    )
    with contextlib.redirect_stdout(sys.stderr), progress_bar() as progress:
        readers = Readers(registry.importers, frozenset(BUILT_IN_PLUGINS))
        return pending.enter_context(importing(request, readers, progress))


def _remember_owner(options: argparse.Namespace, outcome: Outcome) -> None:
    """Note in people.json who the person said to be, so that the next export needs no --owner."""
    from curator.importing.people import handle_of, joined, read_people, write_people

    if outcome.folder and options.owner and outcome.settled.names:
        profile = outcome.folder.parent.parent
        handles = [handle_of(outcome.importer.name, name) for name in outcome.settled.names]
        write_people(profile, joined(read_people(profile), options.owner[0], handles, me=True))


def _as_json(outcome: Outcome) -> dict[str, Any]:
    from curator.importing.job import skipped_of

    return {
        "format": outcome.importer.name, "label": outcome.label or None, "messages": outcome.messages,
        "owner_messages": outcome.owner_messages, "conversations": outcome.conversations,
        "skipped": skipped_of(outcome), "from": outcome.first or None, "to": outcome.last or None,
        "notes": list(outcome.notes),
    }  # fmt: skip


def _show(outcome: Outcome) -> None:
    """Show what is in an export: format, span, people, who is me and why, what is skipped, a few messages."""
    from rich.text import Text

    from curator.importing.job import skipped_of, told
    from curator.reports.safe_text import safe

    screen = console()
    rows = [
        ("format", outcome.importer.title + (f": {outcome.what}" if outcome.what else "")),
        ("messages", f"{told(outcome)}; {outcome.owner_messages:,} of them yours"),
        ("time", f"{outcome.first} to {outcome.last} (UTC)" if outcome.first else "no message has a time"),
        ("you", f"{', '.join(outcome.settled.names) or 'nobody'}: {outcome.settled.evidence}"),
    ]
    if outcome.alternatives:
        rows.append(("beside", counted(outcome.alternatives, "answer") + " that was not chosen, kept as alternatives"))
    rows += [("note", note) for note in outcome.notes]
    for label, text in rows:
        screen.print(Text.assemble(f"{label:10}", safe(text)), soft_wrap=True)
    print_table(
        ("sender", "messages", "conversations", "you"),
        [
            (str(safe(one.name)), f"{count.messages:,}", f"{len(count.conversations):,}", "yes" if mine else "")
            for one, count in outcome.senders.ranked()[:_MOST_SENDERS]
            for mine in (outcome.settled.is_me(one, count),)
        ],
    )
    more = len(outcome.senders.counts) - _MOST_SENDERS
    if more > 0:
        print(f"and {counted(more, 'sender')} more")
    if outcome.skips.counts:
        places = outcome.skips.places
        body = [(one, f"{count:,}", str(safe(places[one][0], 100))) for one, count in skipped_of(outcome).items()]
        print_table(("skipped", "how many", "first"), body)
    for message in outcome.examples:
        head = Text(f"{message.time or 'no time'}  ")
        mark = "you" if message.is_owner else message.sender
        screen.print(Text.assemble(head, safe(f"{mark}: {message.text}", 160)), soft_wrap=True)


def _say_next(options: argparse.Namespace, home: Path, username: str, outcome: Outcome) -> None:
    from curator.contract.homes import named_home
    from curator.importing.store import MESSAGES

    if options.dry_run:
        words = [word for word in options.words if word != "--dry-run"]
        next_step(command_line("curate", *words), "imports it")
        return
    where = ("--username", username, *named_home(home))
    if outcome.folder is None:
        log("nothing new: every message of this export is in the profile already; nothing was written")
    else:
        made(outcome.folder / MESSAGES, f"{counted(outcome.messages, 'new message')}, as {outcome.label}")
    next_step(command_line("curate", "run", *where), "makes a training set of all memories and imports")


def _list(options: argparse.Namespace) -> int:
    """List the formats with how to get each export, and the imports of a profile where there is one."""
    from curator.contract.homes import find_profile, optional_home
    from curator.importing.store import IMPORTS, labels, read_summary

    home = optional_home(options.home)
    importers = _registry(home).importers
    kept = []
    if home and options.username:
        profile = find_profile(home, options.username)
        kept = [read_summary(profile / IMPORTS / label) for label in labels(profile)]
    if options.json:
        formats = [{"format": one.name, "title": one.title, "how": one.how} for _, one in importers.values()]
        print_json({"formats": formats, "imports": kept})
        return 0
    if options.username:
        body = [(one.label, one.importer, f"{one.counts['messages']:,}", one.first[:10], one.last[:10]) for one in kept]
        print_table(("label", "format", "messages", "from", "to"), body)
        next_step(
            command_line("curate", "import", "--remove", "LABEL", "--username", options.username), "takes one away"
        )
        return 0
    for _, importer in sorted(importers.values(), key=lambda one: one[1].title.casefold()):
        print(f"{importer.title} ({importer.name})\n    {importer.how}")
        if importer.clock == "wall":
            print("    Its times are those of a clock: name its zone with --timezone.")
    next_step(command_line("curate", "import", "PATH", "--username", "NAME"), "finds the format by itself")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from curator.contract.files import locked
    from curator.contract.homes import chosen_profile, find_home, find_profile
    from curator.importing.store import IMPORTS, remove

    home = find_home(options.home)
    profile = find_profile(home, chosen_profile(home, options.username))
    if not (profile / IMPORTS).is_dir():
        raise UsageError(f"nothing was imported into {printable(profile.name)}", "there is nothing to remove")
    with locked(profile / IMPORTS):
        folder = remove(profile, options.remove)
    if options.json:
        print_json({"removed": options.remove})
    else:
        print(f"removed {printable(str(folder))}")
    log("sets that were made with it still hold its messages; the export it came from was not touched")
    next_step(command_line("curate", "run", "--username", profile.name), "makes a set without it")
    return 0

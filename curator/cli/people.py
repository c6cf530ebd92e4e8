"""`curate people`: who is in a profile's imports, and which names are one human."""

from __future__ import annotations

import argparse
from typing import Any

from curator.contract.cli_frame import command_line, home_option, json_option, made, next_step, print_json, print_table
from curator.contract.errors import UsageError


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "people",
        help="who is in the imports, and which names are one person or you",
        description="List everybody in a profile's imports, or say which names are one human. Nothing is guessed.",
    )
    parser.add_argument("--username", metavar="U", help="whose profile (default: the only one)")
    home_option(parser)
    parser.add_argument("--name", metavar="NAME", help="the name of the human whose handles follow")
    parser.add_argument("--same", action="append", default=[], metavar="HANDLE", help="a handle that is this human")
    parser.add_argument("--me", action="append", default=[], metavar="HANDLE", help="a handle that is you")
    parser.add_argument("--forget", action="append", default=[], metavar="HANDLE", help="take a handle out again")
    json_option(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from curator.contract.homes import chosen_profile, find_home, find_profile
    from curator.importing.people import FILE, checked, everybody, forgotten, joined, read_people, write_people

    home = find_home(options.home)
    profile = find_profile(home, chosen_profile(home, options.username))
    if options.same and not options.name:
        raise UsageError("--same needs --name", "add --name NAME: what the human is to be called")
    people = before = read_people(profile)
    if options.same:
        people = joined(people, options.name, checked(profile, options.same), me=False)
    if options.me:
        own = next((one.name for one in people.people if one.me), options.name or profile.name)
        people = joined(people, own, checked(profile, options.me), me=True)
    for handle in options.forget:
        people = forgotten(people, handle)
    if people != before:
        write_people(profile, people)
        made(profile / FILE, "which names are one human")
    found = everybody(profile)
    if options.json:
        print_json({"people": [one._asdict() for one in found]})
    else:
        from curator.reports.safe_text import safe

        print_table(
            ("handle", "import", "messages", "conversations", "who"),
            [
                (
                    str(safe(one.handle)),
                    one.label,
                    f"{one.messages:,}",
                    f"{one.conversations:,}",
                    _who(one.me, one.person),
                )
                for one in found
            ],
        )
    if not found:
        next_step(command_line("curate", "import", "PATH", "--username", profile.name), "imports an export")
    elif people == before:
        example = ("--name", "Jon", "--same", found[0].handle)
        next_step(command_line("curate", "people", "--username", profile.name, *example), "says who a name is")
    else:
        next_step(command_line("curate", "run", "--username", profile.name), "makes a set that uses it")
    return 0


def _who(me: bool, person: str) -> str:
    return f"you ({person})" if me and person else "you" if me else person

"""Packages that read the same files rightly are asked too, where they are installed (extra `peers`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from curator_plugins.importers.imessage import words_of

from importers.reading_fixtures import conversations, read_items
from importers.talk import LINES, TEXTS, random_talks
from importers.writers import discord, imessage

pytestmark = pytest.mark.verify


@pytest.mark.parametrize("text", [*TEXTS, *LINES, "x" * 127, "x" * 128, "é" * 200, "x" * 65_535, "é" * 40_000])
def test_words_of_an_attributed_body_are_those_that_pytypedstream_reads(text: str) -> None:
    stream = pytest.importorskip("typedstream.stream")
    body = imessage.body(text)
    read = next(event for event in stream.TypedStreamReader.from_data(body) if isinstance(event, bytes))
    assert words_of(body) == read.decode() == text


@pytest.mark.parametrize("seed", range(3))
def test_a_discord_package_gives_what_discord_data_gives(seed: int, tmp_path: Path) -> None:
    package = pytest.importorskip("discord_data")
    discord.write(tmp_path, random_talks(seed, discord.KEEPS))
    theirs = list(package.parse_messages(tmp_path / "package" / "Messages"))
    assert not any(isinstance(one, Exception) for one in theirs)
    ours = [one for talk in conversations(read_items(tmp_path, "discord")) for one in talk]
    assert sorted((int(one.id), one.text) for one in ours) == sorted((one.message_id, one.content) for one in theirs)

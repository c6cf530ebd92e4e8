"""SMS Backup & Restore: boxes, groups, halves of emoji, pictures, and XML that means harm."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Found, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items, readers

HEAD = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<!--made-->\n<?xml-stylesheet href='sms.xsl'?>\n"


def backup(folder: Path, *records: str, tail: str = "</smses>") -> Path:
    path = folder / "sms-20250120.xml"
    path.write_text(f'{HEAD}<smses count="1">{"".join(records)}{tail}', "utf-8")
    return path


def sms(body: str = "hi", kind: int = 1, address: str = "+15550000001", more: str = 'contact_name="Jon Pell"') -> str:
    return f'<sms address="{address}" date="1736758800000" type="{kind}" body="{body}" readable_date="13 Jan" {more} />'


def mms(parts: str, box: int = 1, sender: str = "+15550000001", address: str = "+15550000001~+15550000002") -> str:
    return (
        f'<mms date="1736758800500" msg_box="{box}" address="{address}" contact_name="Jon Pell, Ida Noor">'
        f'<parts>{parts}</parts><addrs><addr address="{sender}" type="137" /><addr address="x" type="151" /></addrs>'
        "</mms>"
    )


def words(text: str) -> str:
    return f'<part seq="0" ct="text/plain" chset="106" text="{text}" />'


def messages(items: list[Item]) -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage)]


def reasons(items: list[Item]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in items:
        if isinstance(one, Skip):
            counts[one.reason] += one.count
    return dict(counts)


def test_sides_names_and_times(tmp_path: Path) -> None:
    rows = (
        sms("where"),
        sms("on the boat&#10;of course", 2),
        sms("code", address="BANK", more='contact_name="(Unbekannt)"'),
    )
    found = messages(read_items(backup(tmp_path, *rows), "sms"))
    assert [(one.conversation, one.sender, one.sender_id, one.is_owner, one.text) for one in found] == [
        ("+15550000001", "Jon Pell", "+15550000001", False, "where"),
        ("+15550000001", "Me", "", True, "on the boat\nof course"),
        ("BANK", "BANK", "BANK", False, "code"),
    ]
    assert found[0].time == "2025-01-13T09:00:00Z"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (sms(kind=3), "draft"),
        (sms(kind=4), "not_sent"),
        (sms(kind=5), "not_sent"),
        (sms(kind=6), "not_sent"),
        (sms(kind=9), "unsupported"),
        (sms("null"), "empty"),
        (sms(" "), "empty"),
        (sms("Loved “hello”"), "reaction"),
        (mms('<part ct="image/jpeg" data="/9j/" />'), "media_only"),
        (mms('<part ct="application/smil" text="x" />'), "empty"),
        (mms(words("null")), "empty"),
        (mms(words("x"), box=3), "draft"),
        ('<sms address="1" date="soon" type="1" body="x" />', "bad_shape"),
    ],
)
def test_what_is_no_words(record: str, reason: str, tmp_path: Path) -> None:
    items = read_items(backup(tmp_path, sms("hello"), record), "sms")
    assert [one.text for one in messages(items)] == ["hello"] and reasons(items) == {reason: 1}


def test_a_group_names_who_wrote(tmp_path: Path) -> None:
    picture = '<part ct="image/jpeg" data="/9j/" />'
    rows = (mms(words("from Ida") + picture, sender="+1 (555) 000-0002"), mms(words("mine"), 2, "insert-address-token"))
    found = messages(read_items(backup(tmp_path, *rows), "sms"))
    assert [(one.sender, one.is_owner, one.text, one.attachments) for one in found] == [
        ("Ida Noor", False, "from Ida", 1), ("Me", True, "mine", 0),
    ]  # fmt: skip
    assert {one.conversation for one in found} == {"+15550000001~+15550000002"}


def test_halves_of_emoji_and_what_no_xml_holds(tmp_path: Path) -> None:
    reading = Reading()
    rows = (sms("&#55357;&#56836; &amp; &#x41;"), sms("half &#55357;"), sms("zero&#0;\x01"))
    found = messages(read_items(backup(tmp_path, *rows), "sms", reading))
    assert [one.text for one in found] == ["😄 & A", "half \ufffd", "zero\ufffd\ufffd"]
    assert list(reading.notes.values()) == [3]


def test_a_backup_in_another_encoding(tmp_path: Path) -> None:
    path = backup(tmp_path, sms("schön 😀"))
    path.write_bytes(path.read_text("utf-8").replace("'UTF-8'", "'UTF-16'").encode("utf-16"))
    assert [one.text for one in messages(read_items(path, "sms"))] == ["schön 😀"]


def test_a_backup_that_breaks_off_gives_what_stands_before(tmp_path: Path) -> None:
    items = read_items(backup(tmp_path, sms("one"), sms("two"), tail='<sms address="x'), "sms")
    assert [one.text for one in messages(items)] == ["one", "two"] and reasons(items) == {"damaged": 1}


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE smses [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE smses [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE smses SYSTEM "http://localhost/x.dtd">',
    ],
)
def test_entities_are_not_followed(doctype: str, tmp_path: Path) -> None:
    path = tmp_path / "sms.xml"
    path.write_text(f"{doctype}<smses>{sms('&a;')}</smses>", "utf-8")
    with opened([path]) as export:
        items = list(readers()["sms"].read(Found(tuple(export.entries)), Reading()))
    assert messages(items) == [] and reasons(items) == {"damaged": 1}


def test_calls_alone_are_said_to_be_calls(tmp_path: Path) -> None:
    (tmp_path / "calls.xml").write_text(f'{HEAD}<calls count="1"><call number="1" /></calls>', "utf-8")
    with opened([tmp_path]) as export:
        answer = readers()["sms"].find(export)
    assert isinstance(answer, Differs) and "calls alone" in answer.what
    backup(tmp_path, sms())
    assert list(finders(tmp_path)) == ["sms"]


def test_other_xml_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<?xml version='1.0'?><rss><smses/></rss>", "utf-8")
    assert finders(tmp_path) == {}


def test_pictures_of_any_size_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sms.xml"
    with path.open("w") as file:
        file.write(f"{HEAD}<smses>")
        for number in range(3):
            file.write(f'<mms date="1736758800500" msg_box="2" address="1"><parts>{words(str(number))}')
            file.write('<part ct="video/mp4" data="')
            for _ in range(40):
                file.write("QUJD" * 262_144)
            file.write('" /></parts></mms>')
        file.write("</smses>")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom curator.importing.files.export_files import opened\n"
        "from curator.importing.importer import Reading\nfrom curator_plugins.importers import sms\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with opened([Path(sys.argv[1])]) as export:\n"
        "    items = list(sms.read(sms.find(export), Reading()))\n"
        "print(len(items), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert count == 3 and grown * unit < 30 << 20

"""Mailboxes and mails: where one ends, who wrote it, what of it are words."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import read_items, readers

MARA = "From: Mara Voss <mara@example.org>\n"
DATE = "Date: Mon, 13 Jan 2025 10:00:00 +0100\n"
SEPARATOR = "From 1800@xxx Mon Jan 13 09:00:00 +0000 2025\n"


def mail(body: str = "hello", headers: str = "", sender: str = MARA) -> str:
    return f"{sender}To: jon@example.net\nSubject: Boat\n{DATE}{headers}\n{body}\n"


def read(tmp_path: Path, files: dict[str, str | bytes], owners: tuple[str, ...] = ("mara@example.org",)) -> list[Item]:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_items(tmp_path, "mail", Reading(owners))


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


def only(items: list[Item]) -> ImportedMessage:
    (item,) = items
    assert isinstance(item, ImportedMessage)
    return item


def test_a_mail_is_read_with_its_thread_time_and_sender(tmp_path: Path) -> None:
    ids = "Message-ID: <b@x>\nIn-Reply-To: <a@x>\nReferences: <r@x>\n <a@x>\n"
    got = only(read(tmp_path, {"a.eml": mail(headers=ids)}))
    assert (got.id, got.conversation, got.reply_to, got.title) == ("<b@x>", "<r@x>", "<a@x>", "Boat")
    assert (got.time, got.time_source, got.kind) == ("2025-01-13T09:00:00Z", "exact", "mail")
    assert (got.sender, got.sender_id, got.is_owner) == ("Mara Voss", "mara@example.org", True)


def test_a_program_that_names_only_the_mail_before_is_followed_to_the_first(tmp_path: Path) -> None:
    box = SEPARATOR + mail("1", "Message-ID: <b@x>\nReferences: <r@x>\n") + "\n"
    box += SEPARATOR + mail("2", "Message-ID: <c@x>\nIn-Reply-To: <b@x>\n")
    got = [item for item in read(tmp_path, {"all.mbox": box}) if isinstance(item, ImportedMessage)]
    assert [item.conversation for item in got] == ["<r@x>", "<r@x>"]


@pytest.mark.parametrize(
    "separator",
    [
        SEPARATOR, "From mara@example.org Mon Jan 13 09:00:00 2025\n", "From - Mon Jan  3 09:00:00 2025\n",
        "From MAILER-DAEMON Mon Jan 13 09:00:00 UTC 2025\n", "From x@y Mon Jan 13 09:00 2025 +0100\n",
        "From x@y Mon, 13 Jan 2025 09:00:00 +0000\n", "From x@y 2025-01-13T09:00:00+00:00\n",
        "From x@y Mon Jan 13 09:00:00 2025 remote from somewhere\n",
    ],
)  # fmt: skip
def test_mails_are_separated_by_a_line_with_a_date_and_by_no_other(tmp_path: Path, separator: str) -> None:
    body = "one\n\nFrom here on it is paint.\nFrom Monday, Jan 13 we sail.\n>From old\n>>From older"
    box = (separator + mail(body) + "\n" + separator + mail("two")).encode()
    for ends in (box, box.replace(b"\n", b"\r\n")):
        items = read(tmp_path, {"box": ends})
        if "remote" in separator:  # its end is no date: no mailbox that is known
            assert items == []
        else:
            own = "one\n\nFrom here on it is paint.\nFrom Monday, Jan 13 we sail.\nFrom old"
            assert texts(items) == [own, "two"]


def test_a_sentence_that_looks_like_a_separator_needs_headers_below_it(tmp_path: Path) -> None:
    body = "From the log of Mon Jan 13 09:00:00 2025\nall was well"
    assert texts(read(tmp_path, {"box": SEPARATOR + mail(body)})) == [body]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ("X-GM-THRID: 1\nX-Gmail-Labels: Drafts\n", "draft"),
        ("X-GM-THRID: 1\nX-Gmail-Labels: =?UTF-8?Q?Entw=C3=BCrfe,Ge=C3=B6ffnet?=\n", "draft"),
        ("X-GM-THRID: 1\nX-Gmail-Labels: Chat\n", "unsupported"),
        ("X-GM-THRID: 1\nX-Gmail-Labels: =?UTF-8?B?6L+35oOR44Oh44O844Or?=,Spam\n", "bulk"),
        ("X-GM-THRID: 1\nX-Gmail-Labels: Trash,Sent\n", "deleted"),
        ("X-Mozilla-Status: 0009\n", "deleted"),
        ("Auto-Submitted: auto-replied\n", "auto_reply"),
        ("Precedence: auto_reply\n", "auto_reply"),
        ("Content-Type: multipart/report; boundary=B\n", "system"),
        ("Content-Type: text/calendar\n", "not_words"),
        ("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n", "unsupported"),
        ("Content-Type: multipart/encrypted; boundary=B\n", "unsupported"),
    ],
)
def test_what_is_no_mail_of_a_person_is_skipped(tmp_path: Path, headers: str, reason: str) -> None:
    assert reasons(read(tmp_path, {"box": SEPARATOR + mail(headers=headers)})) == [reason]


@pytest.mark.parametrize("header", ["Precedence: bulk", "List-Unsubscribe: <x>", "List-Id: crew"])
def test_bulk_is_skipped_where_it_comes_from_others(tmp_path: Path, header: str) -> None:
    other = "From: News <news@example.com>\n"
    items = read(tmp_path, {"a.eml": mail("buy", f"{header}\n", other), "b.eml": mail("mine", f"{header}\n")})
    assert (texts(items), reasons(items)) == (["mine"], ["bulk"])


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        ("---------- Forwarded message ----------\nFrom: Jon\n\nstorm", "", "forwarded"),
        ("> all theirs", "Subject: WG: x\n", "empty"),
        ("", "", "empty"),
        ("-----BEGIN PGP MESSAGE-----\nxyz", "", "unsupported"),
    ],
)
def test_a_mail_without_own_words_says_why(tmp_path: Path, body: str, headers: str, reason: str) -> None:
    assert reasons(read(tmp_path, {"a.eml": mail(body, headers)})) == [reason]


def test_the_words_that_a_person_signed_are_theirs(tmp_path: Path) -> None:
    body = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nmine\n-----BEGIN PGP SIGNATURE-----\nxyz\n"
    assert texts(read(tmp_path, {"a.eml": mail(body + "-----END PGP SIGNATURE-----")})) == ["mine"]


def parts(*bodies: str, kind: str = "mixed") -> str:
    joined = "".join(f"--B\n{body}\n" for body in bodies)
    return mail(f"{joined}--B--", f'Content-Type: multipart/{kind}; boundary="B"\n')


def test_plain_text_is_read_before_html_and_html_where_there_is_no_other(tmp_path: Path) -> None:
    plain, html = "Content-Type: text/plain\n\nplain", "Content-Type: text/html\n\n<p>h&auml;</p>"
    files = {"a.eml": parts(plain, html, kind="alternative"), "b.eml": parts(html), "c.eml": parts(
        "Content-Type: text/plain\n\n \n", html, kind="alternative")}  # fmt: skip
    assert texts(read(tmp_path, dict(files))) == ["plain", "hä", "hä"]


def test_files_are_counted_and_their_texts_are_not_read(tmp_path: Path) -> None:
    named = 'Content-Type: text/plain\nContent-Disposition: attachment; filename="a.txt"\n\nof a file'
    passed_on = f"Content-Type: message/rfc822\n\n{mail('of another')}"
    picture = "Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\nAAAA"
    got = only(read(tmp_path, {"a.eml": parts("Content-Type: text/plain\n\nmine", named, passed_on, picture)}))
    assert (got.text, got.attachments) == ("mine", 3)
    assert reasons(read(tmp_path / "x", {"a.eml": parts(picture)})) == ["attachment_only"]


def test_a_text_goes_on_below_an_inline_picture_but_not_in_the_footer_of_a_list(tmp_path: Path) -> None:
    first, picture = "Content-Type: text/plain\n\none", "Content-Type: image/png\n\nx"
    footer = "Content-Type: text/plain\nContent-Disposition: inline\n\nunsubscribe"
    more = "Content-Type: text/plain\n\ntwo"
    assert texts(read(tmp_path, {"a.eml": parts(first, picture, more, footer)})) == ["one\ntwo"]


@pytest.mark.parametrize(
    ("charset", "data"),
    [
        ("utf-8", "Grüße".encode()), ("iso-8859-1", "Grüße".encode("cp1252")), ("us-ascii", "Grüße".encode()),
        ("utf8mb4", "Grüße".encode()), ("unknown-8bit", "Grüße".encode("cp1252")), ("no such", "Grüße".encode()),
        ("utf-8", "Grüße".encode("cp1252")),
    ],
)  # fmt: skip
def test_a_charset_that_is_wrong_or_unknown_loses_no_word(tmp_path: Path, charset: str, data: bytes) -> None:
    head = mail("", f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: 8bit\n').encode()
    assert texts(read(tmp_path, {"a.eml": head + data})) == ["Grüße"]


def test_one_broken_byte_does_not_spoil_the_rest(tmp_path: Path) -> None:
    text = "Grüße aus Köln".encode() + b"\xff"
    assert texts(read(tmp_path, {"a.eml": mail("").encode() + text})) == ["Grüße aus Köln\ufffd"]


def test_headers_are_decoded_whatever_they_are_written_in(tmp_path: Path) -> None:
    encoded = "From: =?UTF-8?Q?Mara_Vo=C3=9F?= <mara@example.org>\nSubject: =?gb2312?B?tKw=?= =?utf-8?q?=C3=A4?= b\n"
    raw = "From: Mara Voß <mara@example.org>\nSubject: Grüße\n"
    for number, head in enumerate((encoded.encode(), raw.encode(), raw.encode("cp1252"))):
        got = only(read(tmp_path / str(number), {"a.eml": head + DATE.encode() + b"\nhello"}))
        assert (got.sender, got.is_owner) == ("Mara Voß", True)
        assert got.title == ("船ä b" if number == 0 else "Grüße")


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("Mon, 13 Jan 2025 10:00:00 -0000", "2025-01-13T10:00:00Z"),
        ("13 Jan 2025 10:00 GMT", "2025-01-13T10:00:00Z"),
        ("nonsense", "2025-01-13T09:00:00Z"),
        ("Mon, 99 Jan 2025 99:00:00 +9999", "2025-01-13T09:00:00Z"),
    ],
)
def test_a_date_that_is_no_date_gives_way_to_that_of_the_separator(tmp_path: Path, date: str, time: str) -> None:
    head = f"{SEPARATOR}{MARA}Date: {date}\nSubject: x\n\nhello"
    assert only(read(tmp_path, {"box": head})).time == time


def test_addresses_tell_who_the_person_is_with_what_follows_a_plus_or_without(tmp_path: Path) -> None:
    spoof, plus = "From: Mara Voss <spam@evil.example>\n", "From: mara+lists@example.org\n"
    files: dict[str, str | bytes] = {
        "a.eml": mail("1"),
        "b.eml": mail("2", sender=spoof),
        "c.eml": mail("3", sender=plus),
    }
    items = read(tmp_path, files)
    assert [item.is_owner for item in items if isinstance(item, ImportedMessage)] == [True, None, True]
    by_name = read(tmp_path, {}, ("Mara Voss",))
    assert [item.is_owner for item in by_name if isinstance(item, ImportedMessage)] == [True, True, None]


def test_without_a_name_the_sent_mail_tells_who_the_person_is(tmp_path: Path) -> None:
    sent = SEPARATOR + mail("1", "X-GM-THRID: 1\nX-Gmail-Labels: =?UTF-8?Q?Gesendet,Ge=C3=B6ffnet?=\n")
    assert only(read(tmp_path, {"all.mbox": sent}, ())).is_owner is True
    reading = Reading()
    (tmp_path / "x" / "Gesendet.mbox").mkdir(parents=True)
    (tmp_path / "x" / "Gesendet.mbox" / "mbox").write_text(SEPARATOR + mail())
    (item,) = read_items(tmp_path / "x", "mail", reading)
    assert isinstance(item, ImportedMessage) and item.is_owner is None
    assert list(reading.evidence) == ["mara@example.org"]
    labelled = mail("1", "X-GM-THRID: 1\nX-Gmail-Labels: Sent\n", "From: evil@example.com\n")
    assert only(read(tmp_path / "y", {"a.eml": labelled})).is_owner is None  # a header that anyone can write


def test_folders_of_maildir_apple_mail_and_thunderbird_are_read(tmp_path: Path) -> None:
    message = mail("apple").encode()
    files: dict[str, str | bytes] = {
        "Maildir/cur/1736.M1P2.host:2,S": mail("maildir"),
        "Maildir/cur/1736.M1P3.host:2,DS": mail("a draft"),
        "Apple/1.emlx": str(len(message)).encode() + b"\n" + message + b"<?xml version='1.0'?><plist/>",
        "Thunderbird/Inbox": f"From - Mon Jan 13 09:00:00 2025\nX-Mozilla-Status: 0001\n{mail('bird')}",
        "Thunderbird/Inbox.msf": "// <!-- mork -->",
        "Drafts/1.eml": mail("not sent"),
    }
    items = read(tmp_path, files)
    assert sorted(texts(items)) == ["apple", "bird", "maildir"]
    assert reasons(items) == ["draft", "draft"]


def test_a_mailbox_in_a_zip_is_read_and_what_is_no_mail_is_not_claimed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "takeout.zip", "w") as archive:
        archive.writestr("Takeout/Mail/Alle Nachrichten.mbox", SEPARATOR + mail("1"))
        archive.writestr("Takeout/archive_browser.html", "<html>")
    assert texts(read_items(tmp_path / "takeout.zip", "mail", Reading())) == ["1"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a.mbox", "nothing", "separator"), ("a.eml", "", "separator"), ("old.pst", "!BDN", "Outlook's own files")],
)
def test_what_only_looks_like_mail_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with opened([tmp_path]) as export:
        answer = readers()["mail"].find(export)
    assert isinstance(answer, Differs) and said in answer.what


def test_a_file_of_many_megabytes_in_a_mail_is_passed_over_and_the_next_mail_read(tmp_path: Path) -> None:
    picture = "Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\n" + ("A" * 76 + "\n") * 400_000
    box = SEPARATOR + parts("Content-Type: text/plain\n\nmine", picture) + "\n" + SEPARATOR + mail("next")
    items = read(tmp_path, {"box": box})
    assert texts(items) == ["mine", "next"]
    assert isinstance(items[0], ImportedMessage) and items[0].attachments == 1


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: text/plain; charset=\n", "Content-Type: ;;;\n", "Content-Disposition: =?x?=\n",
        "Content-Type: multipart/mixed\n", "Content-Transfer-Encoding: base64\n", "From: @@@\n", "Message-ID: <\n",
        "Content-Type: text/plain; charset*=utf-8''%ff; name*0*=\"a\n", "References: " + "<a@x> " * 20_000 + "\n",
    ],
)  # fmt: skip
def test_headers_that_are_broken_raise_nothing(tmp_path: Path, headers: str) -> None:
    assert len(read(tmp_path, {"a.eml": mail(headers=headers)})) == 1


def test_parts_within_parts_without_end_raise_nothing(tmp_path: Path) -> None:
    nested = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(3000))
    items = read(tmp_path, {"box": SEPARATOR + mail("", nested) + "\n" + SEPARATOR + mail("next")})
    assert texts(items)[-1:] == ["next"]

"""Hostile and broken files (hazards D, rows 1-10, 14, 36): each is turned down with its reason, and the run goes on."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, Result, rows

from curator.contract import files
from curator.contract.files import walk

Curate = Callable[..., Result]
GOOD = "Soup with bread, and an apple after it."


def run(curate: Curate, home: Home, *options: object) -> Path:
    """Run on the home, which has one good memory more, and return the run's folder; the good memory must be in it."""
    home.memory("What was there for lunch?", response=GOOD, id="good")
    result = curate("run", "--username", "ann", "--home", home.folder, *options)
    assert result.status == 0, result.err
    assert result.complaints == ""
    assert any(row["assistant_text"] == GOOD for row in rows(result.run / "curated_memories.json"))
    return Path(result.last_line)


def drops(folder: Path) -> dict[str, str]:
    """Return the reason of every drop of a run by its file's name."""
    return {one["path"].rsplit("/", 1)[-1]: one["reason"] for one in rows(folder / "dropped.jsonl")}


def only_drop(folder: Path) -> dict[str, Any]:
    """Return the only drop of a run; the report must account for it and for the good memory, and for no more."""
    (drop,) = rows(folder / "dropped.jsonl")
    report = json.loads((folder / "report.json").read_bytes())
    assert report["memory_fates"] == {"used": 1, f"{drop['stage']}: {drop['reason']}": 1}
    assert report["memories"] == 2
    return dict(drop)


def memory(**keys: Any) -> str:
    """Return the text of a memory that can be read."""
    base = {"id": "x", "timestamp": "2025-03-02T10:00:00Z", "type": "conversation", "content": "How was the sea?"}
    return json.dumps(base | {"response": "Cold, and very blue all day."} | keys)


def with_value(value: str) -> str:
    """Return a memory with one more key, its value written as given."""
    return memory()[:-1] + f', "extra": {value}}}'


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty_file"),
        (b" \n\t ", "empty_file"),
        (memory()[:-9].encode(), "bad_json"),
        (memory().encode() + b"garbage", "bad_json"),
        (memory().encode() * 2, "bad_json"),
        (b"{'id': 1}", "bad_json"),
        (b"[1, 2]", "bad_shape"),
        (b"[]", "bad_shape"),
        (b"3", "bad_shape"),
        (b'"text"', "bad_shape"),
        (b"null", "bad_shape"),
        (b"true", "bad_shape"),
        (b"{}", "bad_time"),
        (b'{"timestamp": "2025-01-01"}', "bad_shape"),
        (memory(content=7).encode(), "bad_shape"),
        (memory(content=[7]).encode(), "bad_shape"),
        (memory(response={}).encode(), "bad_shape"),
        (memory(metadata=[1]).encode(), "bad_shape"),
    ],
)
def test_what_is_no_memory_is_dropped_with_its_reason(home: Home, curate: Curate, raw: bytes, reason: str) -> None:
    """Row 1."""
    home.file("bad.json", raw)
    drop = only_drop(run(curate, home))
    assert (drop["path"], drop["stage"], drop["reason"]) == ("memory/episodic/bad.json", "read", reason)


def test_messages_that_are_none_are_turned_down_one_by_one(home: Home, curate: Curate) -> None:
    home.file("bad.json", memory(messages=["a"]))
    drop = only_drop(run(curate, home))
    assert (drop["path"], drop["stage"], drop["reason"]) == ("memory/episodic/bad.json", "pair", "unknown_author")


@pytest.mark.parametrize(("raw", "offset"), [('{"id": "é", "a": }', 18), ('{"id": "a"} {', 12)])
def test_broken_json_names_the_byte(home: Home, curate: Curate, raw: str, offset: int) -> None:
    """Row 1."""
    home.file("bad.json", raw)
    assert f"at byte {offset}" in only_drop(run(curate, home))["detail"]


def test_a_file_above_the_limit_is_dropped_unread(home: Home, curate: Curate) -> None:
    """Row 2: a sparse file of 100 GB would take minutes and all memory if it were read."""
    os.truncate(home.file("huge.json", "{"), 100 << 30)
    begun = time.monotonic()
    drop = only_drop(run(curate, home))
    assert drop["reason"] == "too_large" and "--max-file-bytes" in drop["detail"]
    assert time.monotonic() - begun < 5


def test_the_limit_is_the_largest_size_that_is_read(home: Home, curate: Curate) -> None:
    """Row 2."""
    home.file("at.json", memory(content="a b" * 200, id="at").ljust(2_000))
    home.file("above.json", memory(content="c d" * 200, id="above").ljust(2_001))
    assert drops(run(curate, home, "--max-file-bytes", 2_000)) == {"above.json": "too_large"}


def test_one_string_and_many_tags_as_large_as_the_limit_allows_are_read(home: Home, curate: Curate) -> None:
    """Row 2."""
    home.file("string.json", memory(content="I said a word. " * 250_000, type="journal", response=None))
    home.file("tags.json", memory(tags=["t"] * 500_000))
    begun = time.monotonic()
    folder = run(curate, home)
    assert json.loads((folder / "report.json").read_bytes())["memories"] == 3
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [65, 900, 5_000, 100_000])
def test_nesting_beyond_64_is_too_deep(home: Home, curate: Curate, depth: int, opening: str, closing: str) -> None:
    """Row 3."""
    home.file("deep.json", with_value(opening * (depth - 1) + "1" + closing * (depth - 1)))
    assert only_drop(run(curate, home))["reason"] == "too_deep"


def test_nesting_that_is_never_closed_is_too_deep(home: Home, curate: Curate) -> None:
    """Row 3."""
    home.file("deep.json", "[" * 100_000)
    assert only_drop(run(curate, home))["reason"] == "too_deep"


def test_nesting_of_64_and_brackets_in_texts_are_read(home: Home, curate: Curate) -> None:
    """Row 3."""
    home.file("deep.json", with_value("[" * 63 + "]" * 63))
    home.file("text.json", memory(content='[{"' * 900, id="y"))
    assert drops(run(curate, home)) == {}


@pytest.mark.parametrize(
    "number",
    [
        "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "123456789012345678901234567890", "9" * 5_000,
        "-" + "9" * 5_000, "18446744073709551616", "-9223372036854775809", "[1, [123456789012345678901234567890]]",
        '{"a": {"b": 123456789012345678901234567890}}',
    ],
)  # fmt: skip
def test_a_number_that_readers_would_disagree_about_is_refused(home: Home, curate: Curate, number: str) -> None:
    """Row 4."""
    home.file("number.json", with_value(number))
    assert only_drop(run(curate, home))["reason"] == "bad_number"


@pytest.mark.parametrize("number", ["18446744073709551615", "-9223372036854775808", "1e308", "0.12345678901234567890"])
def test_a_number_within_64_bits_is_read(home: Home, curate: Curate, number: str) -> None:
    """Row 4."""
    home.file("number.json", with_value(number))
    assert drops(run(curate, home)) == {}


@pytest.mark.parametrize(
    "raw",
    [
        memory()[:-1] + ', "type": "dream"}',
        memory()[:-1] + ', "type" : "dream"}',
        memory()[:-1] + ', "type"\n: "dream"}',
        memory()[:-1] + ', "type"\t: "dream"}',
        memory()[:-1] + ', "typ\\u0065": "dream"}',
        with_value('{"a": 1, "a": 1}'),
        with_value('[[{"a": {"b": 1, "c": 2, "b" :3}}]]'),
    ],
)
def test_a_key_that_stands_twice_is_refused(home: Home, curate: Curate, raw: str) -> None:
    """Row 5."""
    home.file("twice.json", raw)
    assert only_drop(run(curate, home))["reason"] == "duplicate_keys"


def test_the_same_key_in_two_objects_and_colons_in_texts_are_no_duplicates(home: Home, curate: Curate) -> None:
    """Row 5."""
    home.file("fine.json", with_value('[{"a" : 1}, {"a": "\\":\\":"}, {"b": {"a": " : \\" :"}}]'))
    assert drops(run(curate, home)) == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_is_read(home: Home, curate: Curate, encoding: str) -> None:
    """Row 6."""
    text = memory(content="Wie heißt das? Ωμέγα 🦆")
    home.file("bom.json", (text if encoding in ("utf-8-sig", "utf-16") else "\ufeff" + text).encode(encoding))
    folder = run(curate, home)
    assert drops(folder) == {}
    assert "Wie heißt das? Ωμέγα 🦆" in {row["user_text"] for row in rows(folder / "curated_memories.json")}


@pytest.mark.parametrize(
    "raw",
    [
        memory().encode("utf-32"),
        b"\x00\x00\xfe\xff" + memory().encode("utf-32-be"),
        memory().encode("utf-16-le"),
        memory().encode()[:-3] + b'\xff"}',
        json.dumps({"content": "café"}, ensure_ascii=False).encode("latin-1"),
        memory().encode()[:-2] + b'\xed\xa0\x80"}',
        memory().encode()[:-2] + b'\xc0\xaf"}',
        memory().encode()[:-2] + b'\xf4\x90\x80\x80"}',
        b"\xff\xfe" + memory().encode("utf-16-le")[:-3] + b"\x00\xd8",
        memory()[:-2].encode() + b'\\ud800"}',
        memory()[:-2].encode() + b'\\udc00\\ud800"}',
        memory()[:-2].encode() + b'\x00"}',
        memory()[:-2].encode() + b'\x07"}',
        memory()[:-2].encode() + b'\n"}',
        b"\x00" * 2_000,
    ],
)
def test_bytes_that_are_no_text_are_refused(home: Home, curate: Curate, raw: bytes) -> None:
    """Row 6: UTF-32, invalid UTF-8, lone surrogates, NUL and raw control bytes."""
    home.file("bytes.json", raw)
    assert only_drop(run(curate, home))["reason"] in ("bad_encoding", "bad_json")


def test_escaped_control_characters_leave_the_run_readable(home: Home, curate: Curate) -> None:
    """Row 6: what JSON allows in a text is kept in the person's words, and every file stays UTF-8 and JSON."""
    home.file("control.json", memory(content="bell \u0007 nul \u0000 escape \u001b del \u007f"))
    folder = run(curate, home)
    for path in folder.iterdir():
        path.read_bytes().decode("utf-8")
    assert len(rows(folder / "fine_tune_dataset.jsonl")) == 2


def test_a_jsonl_source_goes_on_after_broken_lines(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Rows 1, 2, 5 and 6, in lines of --source."""
    good = memory(content="Where are the keys?")
    lines = [b"\xef\xbb\xbf" + good.encode() + b"\r", b"{", b"\xff", b"[" * 70, b" " * 5_000 + b"{}",
             b'{"a": 1, "a": 1}', memory().encode()]  # fmt: skip
    source = tmp_path / "memories.jsonl"
    source.write_bytes(b"\n".join(lines))
    result = curate("run", "--username", "ann", "--home", home.folder, "--source", source, "--max-file-bytes", 2_000)
    assert result.status == 0, result.err
    assert [one["reason"] for one in rows(result.run / "dropped.jsonl")] == [
        "bad_json", "bad_encoding", "too_deep", "too_large", "duplicate_keys",
    ]  # fmt: skip
    assert len(rows(result.run / "curated_memories.json")) == 2


# --- characters that cannot be seen, tags and control tokens --------------------------------------------------------

UNSEEN = "\u200b\u2060\ufeff\u00ad\u202e\u202c\u2066\u2069"


def texts(folder: Path) -> list[tuple[str, str]]:
    """Return both sides of every sample."""
    return [(row["user_text"], row["assistant_text"]) for row in rows(folder / "curated_memories.json")]


def test_unseen_characters_stay_in_the_persons_own_words(home: Home, curate: Curate) -> None:
    """Row 7."""
    said, diary = f"Is the{UNSEEN} boat dry?", f"The boat{UNSEEN} is dry now. I am glad of it."
    home.file("said.json", memory(content=said))
    home.file("diary.json", memory(content=diary, response=None, type="journal", id="diary"))
    found = texts(run(curate, home))
    assert said in [user for user, _ in found]
    assert diary in [reply for _, reply in found]


@pytest.mark.parametrize("unseen", [*"\u202a\u202d\u202e\u202c\u2066\u2067\u2068\u2069", *"\u200b\u2060\ufeff"])
def test_unseen_characters_are_removed_from_replies(home: Home, curate: Curate, unseen: str) -> None:
    """Row 7: bidi controls and zero-width characters."""
    home.file("reply.json", memory(response=f"Cold,{unseen} and very{unseen} blue all day."))
    assert ("How was the sea?", "Cold, and very blue all day.") in texts(run(curate, home))


def test_joined_emoji_and_letters_stay_joined_in_replies(home: Home, curate: Curate) -> None:
    """Row 7."""
    reply = "We all went: 👩‍👩‍👧 and 🏳️‍🌈, and می‌خواهم is a word."
    home.file("reply.json", memory(response=reply))
    assert ("How was the sea?", reply) in texts(run(curate, home))


def test_texts_that_differ_in_unseen_characters_alone_are_duplicates(home: Home, curate: Curate) -> None:
    """Row 7: duplicates are found on a copy without them."""
    long = "The harbour was full of small boats this morning and nobody knew whose they were"
    home.file("a.json", memory(content=f"{long}.", id="a"))
    home.file("b.json", memory(content=f"{long.replace('o', 'o' + chr(0x200B))}.", id="b"))
    assert "near_duplicate" in drops(run(curate, home)).values() or "duplicate" in drops(run(curate, home)).values()


DISGUISED_TAGS = [
    "<user>", "</user>", "<user/>", "< user >", "<USER>", "<\nuser>", "＜user＞", "﹤user﹥", "<𝐮𝐬𝐞𝐫>", "<𝓾𝓼𝓮𝓻>",
    "<ｕｓｅｒ>",
    "<u\u200bs\u200be\u200br>", "<us\u00ader>", "<us\u2060er>", "<usеr>", "<uѕer>", "&lt;user&gt;", "&amp;lt;user&gt;",
    "&#60;user&#62;", "&#x3c;user&#x3E;", "<us&#101;r>", "&ltuser&gt", "‹user›", "〈user〉", "<u̲s̲e̲r̲>", "<us\u202eer>",
    "<us\ufe0fer>", "<ⓤⓢⓔⓡ>", "<ᴜsᴇʀ>", "<u s e r>", "<assistant>", "</assistant>", "<thought>", "<world>",
    "<instruction>", "<action>", "＜ｔｈｏｕｇｈｔ＞", "<act\u200dion>",
]  # fmt: skip


@pytest.mark.parametrize("side", ["content", "response", "diary"])
def test_a_mode_tag_in_any_disguise_is_quarantined(home: Home, curate: Curate, side: str) -> None:
    """Row 8."""
    for number, tag in enumerate(DISGUISED_TAGS):
        text = {"content": f"I wrote {tag} into my note number {number}."}
        if side == "response":
            text = {"content": f"What is in note number {number}?", "response": f"It says {tag} on its page {number}."}
        elif side == "diary":
            text |= {"type": "journal", "response": None}  # type: ignore[dict-item]
        home.file(f"tag-{number:02}.json", memory(id=f"tag-{number}", **text))
    reasons = drops(run(curate, home))
    let_pass = [tag for n, tag in enumerate(DISGUISED_TAGS) if reasons.get(f"tag-{n:02}.json") != "reserved_tag"]
    assert let_pass == []


@pytest.mark.parametrize(
    "text", ["a user> of <words", "x < user", "users <usual>", "5 < 6 > 4", "<username>", "&lt; and &gt;", "a[user]"]
)
def test_what_only_resembles_a_tag_is_kept(home: Home, curate: Curate, text: str) -> None:
    """Row 8."""
    home.file("near.json", memory(content=f"I wrote {text} into my note."))
    assert drops(run(curate, home)) == {}


TOKENS = [
    "<|im_end|>", "<|im_start|>system", "<|IM_END|>", "< | im_end | >", "<|im_\u200bend|>", "＜|im_end|＞",
    "<｜im_end｜>",
    "&lt;|im_end|&gt;", "<|endoftext|>", "<|eot_id|>", "<|a_token_of_tomorrow|>", "<｜end▁of▁sentence｜>", "[INST]",
    "[/INST]", "[ INST ]", "［INST］", "[𝐈NST]", "<s>", "</s>", "< / s >", "＜/s＞", "&lt;/s&gt;",
    "<<SYS>>", "<start_of_turn>",
    "<end_of_turn>", "<bos>", "<eos>", "<unk>", "<pad>", "<tool_call>",
]  # fmt: skip


@pytest.mark.parametrize("side", ["content", "response"])
def test_a_control_token_in_any_disguise_is_quarantined(home: Home, curate: Curate, side: str) -> None:
    """Row 9."""
    for number, token in enumerate(TOKENS):
        keys = {"content": f"What about {number}?", "response": "It is a quiet number."}
        keys[side] += f" {token} and so on"
        home.file(f"token-{number:02}.json", memory(id=f"token-{number}", **keys))
    reasons = drops(run(curate, home))
    let_pass = [token for n, token in enumerate(TOKENS) if reasons.get(f"token-{n:02}.json") != "control_token"]
    assert let_pass == []


SCHEMAS = sorted((Path(__file__).resolve().parents[2] / "etc" / "schemas").glob("*.json"))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_no_memory_brings_a_token_of_its_own_family(home: Home, curate: Curate, path: Path) -> None:
    """Row 9: the special tokens of the set are the wrapper's, as many in every line, and no others."""
    family = json.loads(path.read_text("utf-8"))
    for number, token in enumerate(family["control_tokens"]):
        home.file(f"token-{number:02}.json", memory(content=f"Say {token} {number}", id=f"token-{number}"))
    for number, marker in enumerate(family.get("line_markers", ())):
        home.file(f"marker-{number}.json", memory(content=f"So\n {marker} no", id=f"marker-{number}"))
    folder = run(curate, home, "--family", family["family"])
    reasons = drops(folder)
    assert {name[:6]: reason for name, reason in reasons.items()}.get("token-") == "control_token"
    assert {reason for name, reason in reasons.items() if name.startswith("marker")} <= {"forged_turn"}
    assert len(reasons) == len(family["control_tokens"]) + len(family.get("line_markers", ()))
    assert len(rows(folder / "fine_tune_dataset.jsonl")) == 1


# --- what is no plain file ------------------------------------------------------------------------------------------


def test_links_and_pipes_are_never_opened_for_reading(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 10."""
    secret = tmp_path / "outside" / "secret.json"
    secret.parent.mkdir()
    secret.write_text(memory(content="The secret of the outside."))
    home.file("file.json", "{}").unlink()
    (home.episodic / "file.json").symlink_to(secret)
    (home.episodic / "loop.json").symlink_to("loop.json")
    (home.episodic / "gone.json").symlink_to("nowhere")
    (home.episodic / "zero.json").symlink_to("/dev/zero")
    (home.episodic / "folder.json").symlink_to(secret.parent)
    (home.episodic / "2024").symlink_to(secret.parent)
    (home.episodic / "self").symlink_to(home.episodic)
    os.mkfifo(home.episodic / "pipe.json")
    begun = time.monotonic()
    folder = run(curate, home)
    assert time.monotonic() - begun < 5
    names = ("file.json", "loop.json", "gone.json", "zero.json", "folder.json", "pipe.json")
    assert drops(folder) == dict.fromkeys(names, "not_regular")
    assert all(b"secret of the outside" not in path.read_bytes() for path in folder.iterdir())


def test_a_socket_is_not_regular(home: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 10."""
    monkeypatch.chdir(home.episodic)  # a socket's path may have 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.json")
        assert only_drop(run(curate, home))["reason"] == "not_regular"


def test_a_hard_link_is_a_second_copy(home: Home, curate: Curate) -> None:
    """Row 10: both names are read, and the one text stands in the set once."""
    (home.episodic / "z.json").hardlink_to(home.file("a.json", memory(content="Who goes there?")))
    folder = run(curate, home)
    assert list(drops(folder).values()) == ["duplicate"]
    assert [user for user, _ in texts(folder)].count("Who goes there?") == 1


def test_a_folder_called_json_is_walked(home: Home, curate: Curate) -> None:
    """Row 10."""
    home.file("folder.json/inner.json", memory(content="Inside?"))
    assert "Inside?" in [user for user, _ in texts(run(curate, home))]


# --- files that change while they are read --------------------------------------------------------------------------


@pytest.fixture
def on_open(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Callable[[Path, Callable[[], None]], None]:
    """Have something happen to a file each time between its being opened and its being read."""
    if pytestconfig.getoption("run_workers"):
        pytest.skip("a worker process opens the file, and nothing here can come between")

    def arrange(path: Path, happen: Callable[[], None]) -> None:
        inode, look = path.stat().st_ino, os.fstat

        def fstat(handle: int) -> os.stat_result:
            seen = look(handle)
            if seen.st_ino == inode:
                happen()
            return seen

        monkeypatch.setattr(os, "fstat", fstat)

    return arrange


OnOpen = Callable[[Path, Callable[[], None]], None]


@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_its_size_while_read_is_dropped(
    home: Home, curate: Curate, on_open: OnOpen, change: str
) -> None:
    """Row 14."""
    path = home.file("moving.json", memory())

    def happen() -> None:
        if change == "grows":
            path.write_text(path.read_text() + " ")
        else:
            os.truncate(path, max(0, path.stat().st_size - 1))

    on_open(path, happen)
    assert only_drop(run(curate, home))["reason"] == "changed"


def test_a_file_replaced_while_read_is_read_anew(home: Home, curate: Curate, on_open: OnOpen) -> None:
    """Row 14: the new file is read, and lineage names the hash of what was read."""
    path = home.file("moving.json", memory(content="The old one?"))
    fresh = home.folder / "fresh"

    def happen() -> None:
        if not fresh.exists() and "old" in path.read_text():
            fresh.write_text(memory(content="Something new and much longer?"))
            fresh.rename(path)

    on_open(path, happen)
    folder = run(curate, home)
    assert {"Something new and much longer?"} == {user for user, _ in texts(folder)} - {"What was there for lunch?"}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in {one["sources"][0]["sha256"] for one in rows(folder / "lineage.jsonl")}


def test_a_file_deleted_before_its_turn_is_unreadable(home: Home, curate: Curate, on_open: OnOpen) -> None:
    """Row 14."""
    gone = home.file("2024/b.json", memory(id="b"))
    on_open(home.file("2024/a.json", memory(content="First?", id="a")), lambda: gone.unlink(missing_ok=True))
    assert drops(run(curate, home)) == {"b.json": "unreadable"}


def test_a_file_that_has_more_bytes_than_its_size_is_changed() -> None:
    """Row 14: the kernel's own files have no size."""
    from curator.contract.files import Unreadable, read_once

    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("needs /proc/self/status, a file whose size is 0 and whose content is not")
    with pytest.raises(Unreadable) as caught:
        read_once(str(status), 1 << 20)
    assert caught.value.reason == "changed"


# --- names of files -------------------------------------------------------------------------------------------------

NAMES = [b"new\nline.json", b"\xff\xfe.json", b"esc\x1b[31m.json", b"c1\xc2\x9b.json", "bidi\u202e.json".encode(),
         "ünï🦆.json".encode(), b" .json", b"-rf.json", b"'\"$(x).json", b"n" * 250 + b".json"]  # fmt: skip


def odd_file(home: Home, name: bytes, text: str) -> None:
    """Write a file of any name; the test is skipped where the file system takes no such name."""
    try:
        Path(os.fsdecode(os.fsencode(home.episodic) + b"/" + name)).write_text(text)
    except OSError as error:
        pytest.skip(f"this file system takes no file called {name!r}: {error}")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_read(home: Home, curate: Curate, name: bytes) -> None:
    """Row 36."""
    odd_file(home, name, memory(content="What is in a name?"))
    folder = run(curate, home)
    assert "What is in a name?" in [user for user, _ in texts(folder)]
    assert all(source["path"].isprintable() for one in rows(folder / "lineage.jsonl") for source in one["sources"])
    explained = curate("explain", "x", "--username", "ann", "--home", home.folder)
    assert explained.status == 0 and "(as the run read it)" in explained.out


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_of_any_name_is_reported_without_harm(home: Home, curate: Curate, name: bytes) -> None:
    """Row 36: its name is shown with what cannot be printed escaped, in the files and on the terminal."""
    odd_file(home, name, "{")
    home.memory("What was there for lunch?", response=GOOD)
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    (drop,) = rows(result.run / "dropped.jsonl")
    assert drop["reason"] == "bad_json"
    assert drop["path"].isprintable() and drop["path"].encode()
    assert all(c.isprintable() or c == "\n" for c in result.out)


def test_many_alike_and_many_tags_stay_cheap(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 38: all alike, one character each, a tag of its own each: none is compared with all others."""
    lines = []
    for number in range(6_000):
        kinds = ("I went out to see the old mill again.", f"{number % 9}", f"Mill {number} stood in the rain again.")
        text = kinds[number % 3]
        lines.append(memory(content=text, response=None, type="journal", tags=[f"tag-{number}"], id=f"m{number}"))
    source = tmp_path / "many.jsonl"
    source.write_text("\n".join(lines))
    result = curate("run", "--username", "ann", "--home", home.folder, "--source", source)
    report = json.loads((result.run / "report.json").read_bytes())
    drops = {(drop["stage"], drop["reason"]): drop["count"] for drop in report["drops"]}
    assert report["memories"] == 6_000
    assert drops["screen", "duplicate"] >= 1_999
    assert report["samples"] >= 1_900


def test_most_names_of_a_folder_of_many_files_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 38: so would the names of a million files."""
    monkeypatch.setattr(files, "_RUN", 2_000)
    monkeypatch.setattr(files, "_PART", 700)
    folder = tmp_path / "many"
    (folder / "n00700-folder").mkdir(parents=True)
    (folder / "n00700-folder" / "inside.json").touch()
    names = [f"n{number:05}-{'a long name of a memory ' * 4}.json" for number in range(12_000)]
    names += [os.fsdecode(b"n00700-\xff\xfe.json"), "n00700-\uffff.json", "\U0001f600.json"]
    for name in names:
        (folder / name).touch()
    tracemalloc.start()
    listing = walk(str(folder))
    first = next(listing)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 12_000 * 60
    found = [os.path.relpath(path, folder) for path, _ in (first, *listing)]
    order = sorted([*names, "n00700-folder"])
    assert found == [name if name != "n00700-folder" else "n00700-folder/inside.json" for name in order]


def test_a_folder_of_many_files_is_listed_by_names_alone(tmp_path: Path) -> None:
    """Row 38: the entries of a million files would take a quarter of a gigabyte."""
    folder = tmp_path / "many"
    (folder / "m").mkdir(parents=True)
    for number in range(3_000):
        (folder / f"n{number:05}.json").touch()
    (folder / "m" / "inside.json").touch()
    tracemalloc.start()
    listing = walk(str(folder))
    assert next(listing) == (str(folder / "m" / "inside.json"), True)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 3_000 * 110
    assert [path for path, _ in listing] == [str(folder / f"n{number:05}.json") for number in range(3_000)]

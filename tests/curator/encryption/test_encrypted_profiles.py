"""Encrypted profiles through the command line: what opens, why the rest does not, and what is left on the disk."""

from __future__ import annotations

import base64
import json
import os
import stat
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from conftest import SHARED, Home, Result, rows, samples
from encrypted_fixtures import PASSWORD, Sealer, encrypted_home, memory, password_file

from curator.config import load_settings
from curator.encryption.password import VARIABLE, Password
from curator.encryption.profile import Unlocked, unlock
from curator.records import Drop, MemoryEvent
from curator.run import Request
from curator.sampling.sampler import Options

Curate = Callable[..., Result]
LINUX: Final = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into files that have no name")


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test takes the password of whoever runs it."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def run(curate: Curate, home: Home, tmp_path: Path) -> Callable[..., Result]:
    """Run on the home with the password."""

    def command(*options: object) -> Result:
        return curate("run", "--username", "ann", "--home", home.folder, "--password-file", password_file(tmp_path),
                      *options)  # fmt: skip

    return command


def replies(done: Result) -> list[str]:
    assert done.status == 0, done.err
    return sorted(sample["assistant_text"] for sample in samples(done.run))


def reasons(done: Result) -> dict[str, str]:
    """The reason of each file that was dropped, by its name."""
    return {Path(drop["path"]).name: drop["reason"] for drop in rows(done.run / "dropped.jsonl")}


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def frozen(day: int) -> str:
    return f"On day {day} the harbour froze over."


# --- what opens ------------------------------------------------------------------------------------------------------


def test_a_profile_opens_with_its_password(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home)
    plain = memory("Written while the profile was locked.", 4)
    home.file("2025/03/04/evt-4.json", plain)
    home.file("2025/03/05/evt-5.json.enc.chunked", sealer.chunked(memory("é" * 200 + " in many chunks.", 5)))
    home.file("2025/03/06/evt-6.json.enc.enc", sealer.envelope(sealer.envelope(memory("Encrypted twice, it was.", 6))))
    inner = sealer.chunked(memory("Chunked and then encrypted.", 7))
    home.file("2025/03/07/evt-7.json.enc.chunked.enc", sealer.envelope(inner))
    done = run()
    assert replies(done) == sorted([
        *map(frozen, (1, 2, 3)), "Written while the profile was locked.", "é" * 200 + " in many chunks.",
        "Encrypted twice, it was.", "Chunked and then encrypted.",
    ])  # fmt: skip
    assert rows(done.run / "dropped.jsonl") == []


def test_all_folders_of_memories_may_be_encrypted(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home, 0)
    question = {"id": "q", "question": "What do you miss most?", "answer": "The smell of tar.",
                "answeredAt": "2025-03-01T10:00:00Z"}  # fmt: skip
    therapy = {"sessionId": "s", "createdAt": "2025-03-02T10:00:00Z", "questions": [{"id": "a", "prompt": "And why?"}],
               "answers": [{"questionId": "a", "content": "It means that spring is near."}]}  # fmt: skip
    rewrite = {"id": "c", "userMessage": "Is the hull dry?", "assistantResponse": "Dry as a bone, all of it.",
               "originalTimestamp": "2025-03-03T10:00:00Z"}  # fmt: skip
    for folder, data in (("memory/curiosity/questions/answered", question), ("persona/therapy", therapy),
                         ("memory/curated/conversations", rewrite)):  # fmt: skip
        place = home.profile / folder
        place.mkdir(parents=True)
        (place / "session-1.json.enc").write_bytes(sealer.envelope(json.dumps(data).encode()))
    assert replies(run()) == ["Dry as a bone, all of it.", "It means that spring is near.", "The smell of tar."]


def test_the_names_of_the_person_are_read_from_the_encrypted_core(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home, 0)
    talk = "Bosun: Is the mast up again?\nAnn Harbour: It is up since Friday, and it holds.\n"
    home.file("2025/03/01/a.json.enc", sealer.envelope(memory("", 1, content=talk, response=None)))
    (sample,) = samples(run("--mode", "emulation").run)
    assert sample["metadata"]["reply_author"] == "person"
    core = home.profile / "persona" / "core.json.enc"
    core.rename(core.with_name("core.json.enc.enc"))
    core.with_name("core.json.enc.enc").write_bytes(sealer.envelope(core.with_name("core.json.enc.enc").read_bytes()))
    assert len(samples(run("--mode", "emulation").run)) == 1
    core.with_name("core.json.enc.enc").unlink()
    core.write_bytes(Sealer("another").envelope(b"{}"))
    home.file("b.json", memory("And one that needs no names.", 2))
    done = run("--dry-run")
    assert "persona/core.json.enc was not read: undecryptable" in " ".join(done.out.split())


def test_a_run_of_an_encrypted_profile_is_the_same_as_of_the_plain_one_but_for_where_it_lay(
    curate: Curate, tmp_path: Path, run: Callable[..., Result], home: Home
) -> None:
    encrypted_home(home)
    other = Home(tmp_path / "other")
    for day in (1, 2, 3):
        other.file(f"2025/03/0{day}/evt-{day}.json", memory(frozen(day), day))
    plain = curate("run", "--username", "ann", "--home", other.folder)
    veiled = run()
    for name in ("fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl"):
        assert (plain.run / name).read_bytes() == (veiled.run / name).read_bytes()
    keys = [[line["events"] for line in rows(folder / "lineage.jsonl")] for folder in (plain.run, veiled.run)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_password_is_tried_as_typed_then_composed_then_decomposed(
    curate: Curate, home: Home, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    made, typed = unicodedata.normalize("NFC", PASSWORD), unicodedata.normalize("NFD", PASSWORD)
    assert made != typed
    if form == "NFD":
        made, typed = typed, made
    sealer = Sealer(made)
    sealer.lock(home.profile)
    home.file("a.json.enc", sealer.envelope(memory(frozen(1))))
    monkeypatch.setenv(VARIABLE, typed)
    assert replies(curate("run", "--username", "ann", "--home", home.folder)) == [frozen(1)]


@pytest.mark.parametrize("sealer", [Sealer(digest="sha256"), Sealer(rounds=100_000)])
def test_digest_and_rounds_are_those_of_the_meta_file_or_metahumans_own(
    home: Home, run: Callable[..., Result], sealer: Sealer
) -> None:
    sealer.lock(home.profile)
    home.file("a.json.enc", sealer.envelope(memory(frozen(1))))
    if sealer.rounds == 100_000:  # MetaHuman derives with its constants, whatever the file says
        meta = home.profile / ".encryption-meta.json"
        meta.write_text(meta.read_text().replace("100000", "1234"))
    assert replies(run()) == [frozen(1)]


# --- what does not open ----------------------------------------------------------------------------------------------


def test_each_file_that_does_not_open_has_its_reason(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home, 1)
    plain = memory(frozen(2), 2) + b" " * 200
    whole, chunks = sealer.envelope(plain), sealer.chunked(plain)
    lines = chunks.splitlines(keepends=True)
    ciphertext = bytearray(base64.b64decode(json.loads(whole)["ciphertext"]))
    ciphertext[30] ^= 1
    flipped = json.dumps(json.loads(whole) | {"ciphertext": base64.b64encode(ciphertext).decode()}).encode()
    files = {
        "flipped.json.enc": (flipped, "undecryptable"),
        "old-key.json.enc": (Sealer("before").envelope(plain), "undecryptable"),
        "old-key-chunked.json.enc.chunked": (Sealer("before").chunked(plain), "undecryptable"),
        "no-json.json.enc": (b"not an envelope", "bad_envelope"),
        "empty.json.enc": (b"", "bad_envelope"),
        "no-base64.json.enc": (whole.replace(b'"iv": "', b'"iv": "!'), "undecryptable"),
        "short-iv.json.enc": (json.dumps(json.loads(whole) | {"iv": "AAAA"}).encode(), "bad_envelope"),
        "no-tag.json.enc": (whole.replace(b"authTag", b"authTug"), "bad_envelope"),
        "cut.json.enc": (whole[:-30], "bad_envelope"),
        "cut-between.json.enc.chunked": (b"".join(lines[:2]), "cut_short"),
        "cut-within.json.enc.chunked": (chunks[:-30], "cut_short"),
        "too-many.json.enc.chunked": (chunks + lines[1], "bad_size"),
        "wrong-count.json.enc.chunked": (sealer.chunked(plain, chunkCount=2), "bad_size"),
        "wrong-size.json.enc.chunked": (sealer.chunked(plain, originalSize=len(plain) + 1), "bad_size"),
        "wrong-chunk.json.enc.chunked": (sealer.chunked(plain, chunkSize=98), "bad_size"),
        "endless.json.enc.chunked": (sealer.chunked(plain, chunkCount=10**12), "bad_size"),
        "no-header.json.enc.chunked": (b"".join(lines[1:]), "bad_envelope"),
        "other-version.json.enc.chunked": (sealer.chunked(plain, version=3), "bad_envelope"),
        "minus.json.enc.chunked": (sealer.chunked(plain, chunkCount=-1), "bad_envelope"),
        "five-times.json.enc.enc.enc.enc.enc": (whole, "bad_envelope"),
        "not-twice.json.enc.enc": (whole, "bad_envelope"),
        "no-memory.json.enc": (sealer.envelope(b"[]"), "bad_shape"),
        "no-json-within.json.enc": (sealer.envelope(b"{"), "bad_json"),
    }
    for name, (data, _) in files.items():
        home.file(name, data)
    (home.episodic / "link.json.enc").symlink_to(home.episodic / "2025/03/01/evt-1.json.enc")
    done = run()
    assert replies(done) == [frozen(1)]
    expected = {name: reason for name, (_, reason) in files.items()} | {"link.json.enc": "not_regular"}
    assert reasons(done) == expected
    (closed,) = [line for line in json.loads((done.run / "report.json").read_bytes())["warnings"] if "did not" in line]
    assert "undecryptable 4" in closed and "cut_short 2" in closed


def test_sizes_hold_for_the_plain_content(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home, 0)
    fits = memory(frozen(1)).ljust(1_000)
    for name, plain in (("fits", fits), ("over", fits + b" "), ("far-over", fits * 5)):
        home.file(f"{name}.json.enc", sealer.envelope(plain))
        home.file(f"{name}-chunked.json.enc.chunked", sealer.chunked(plain))
        home.file(f"{name}-twice.json.enc.enc", sealer.envelope(sealer.envelope(plain)))
    done = run("--max-file-bytes", 1_000)
    by_name = reasons(done)
    assert {name for name, reason in by_name.items() if reason == "too_large"} == {
        f"{name}{kind}" for name in ("over", "far-over")
        for kind in (".json.enc", "-chunked.json.enc.chunked", "-twice.json.enc.enc")
    }  # fmt: skip
    assert replies(done) == [frozen(1)]  # of the three that fit two tell the same
    details = [drop["detail"] for drop in rows(done.run / "dropped.jsonl") if drop["reason"] == "too_large"]
    assert all("the limit is 1,000" in detail for detail in details)


def test_of_a_plain_and_an_encrypted_copy_the_encrypted_one_is_read(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home, 0)
    home.file("a.json", memory("The plain and older copy."))
    home.file("a.json-note", b"between the two by name")
    home.file("a.json.enc", sealer.envelope(memory("The encrypted copy.")))
    home.file("a.json.enc.chunked", sealer.chunked(memory("A third one, in chunks.")))
    done = run()
    assert replies(done) == ["The encrypted copy."]
    assert reasons(done) == {"a.json": "duplicate", "a.json.enc.chunked": "duplicate"}
    report = json.loads((done.run / "report.json").read_bytes())
    assert report["memories"] == 3 == sum(report["memory_fates"].values())


def test_where_the_encrypted_copy_does_not_open_the_plain_one_is_read(home: Home, run: Callable[..., Result]) -> None:
    encrypted_home(home, 0)
    home.file("a.json", memory("The plain copy, which is left."))
    home.file("a.json.enc", Sealer("before").envelope(memory("Out of reach.")))
    done = run()
    assert replies(done) == ["The plain copy, which is left."]
    assert reasons(done) == {"a.json.enc": "undecryptable"}


def test_without_a_password_the_plain_memories_are_read_and_the_way_is_named(curate: Curate, home: Home) -> None:
    sealer = encrypted_home(home, 1)
    home.file("b.json", memory("A plain one beside it.", 2))
    home.file("b.json.enc", sealer.envelope(memory("Its encrypted copy.", 2)))
    done = curate("run", "--username", "ann", "--home", home.folder)
    assert replies(done) == ["A plain one beside it."]
    assert reasons(done) == {"evt-1.json.enc": "encrypted", "b.json.enc": "encrypted"}
    said = " ".join(done.out.split())
    assert "--password-file FILE" in said and VARIABLE in said
    assert "persona/core.json.enc was not read: it is encrypted" in said
    assert json.loads((done.run / "run-summary.json").read_bytes())["encrypted"] == 0


def test_left_over_files_without_a_salt_say_so(home: Home, run: Callable[..., Result]) -> None:
    encrypted_home(home, 1)
    home.file("b.json", memory("A plain one beside it.", 2))
    (home.profile / ".encryption-meta.json").unlink()
    done = run()
    assert replies(done) == ["A plain one beside it."]
    assert reasons(done) == {"evt-1.json.enc": "no_salt"}


@pytest.mark.parametrize(
    "change",
    [{"pbkdf2Iterations": 10_000_001}, {"pbkdf2Iterations": 0}, {"pbkdf2Digest": "md5"}, {"salt": "?"}, {"salt": 7},
     {"algorithm": "luks"}, {"keyDerivation": "scrypt"}],
)  # fmt: skip
def test_a_meta_file_out_of_bounds_opens_nothing(
    home: Home, run: Callable[..., Result], change: dict[str, object]
) -> None:
    encrypted_home(home, 1)
    home.file("b.json", memory("A plain one beside it.", 2))
    meta = home.profile / ".encryption-meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    assert reasons(run()) == {"evt-1.json.enc": "bad_meta"}


# --- the password ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [True, False], ids=["verify file", "old profile"])
def test_a_wrong_password_stops_at_once(curate: Curate, home: Home, tmp_path: Path, verify: bool) -> None:
    sealer = encrypted_home(home)
    home.file("b.json", memory("A plain one beside it.", 4))
    (home.profile / ".encryption-verify.enc").unlink()
    sealer.lock(home.profile, verify=verify)
    before = sorted(files_below(home.folder))
    wrong = password_file(tmp_path, "hunter2-is-wrong")
    for command in (("run", "--username", "ann"), ("run", "--username", "ann", "--dry-run")):
        done = curate(*command, "--home", home.folder, "--password-file", wrong)
        assert (done.status, done.out) == (2, "")
        assert "wrong password" in done.err and "hunter2" not in done.err and "Traceback" not in done.err
    assert sorted(files_below(home.folder)) == before


def test_an_old_profile_without_a_verify_file_opens(home: Home, run: Callable[..., Result]) -> None:
    sealer = encrypted_home(home)
    (home.profile / ".encryption-verify.enc").unlink()
    home.file("2024/a.json.enc", Sealer("before").envelope(memory("Out of reach.")))
    sealer.lock(home.profile, verify=False)
    done = run()
    assert replies(done) == [frozen(1), frozen(2), frozen(3)]
    assert reasons(done) == {"a.json.enc": "undecryptable"}


def test_a_file_goes_before_the_environment(curate: Curate, home: Home, run: Callable[..., Result],
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    encrypted_home(home, 1)
    monkeypatch.setenv(VARIABLE, "wrong")
    assert curate("run", "--username", "ann", "--home", home.folder).status == 2
    assert replies(run()) == [frozen(1)]
    monkeypatch.setenv(VARIABLE, PASSWORD)
    assert replies(curate("run", "--username", "ann", "--home", home.folder)) == [frozen(1)]


@pytest.mark.parametrize("content", [b"", b"\n" + PASSWORD.encode(), b"\xff\xfe", None])
def test_a_password_file_that_holds_none_is_one_message(
    curate: Curate, home: Home, tmp_path: Path, content: bytes | None
) -> None:
    encrypted_home(home, 1)
    path = tmp_path / "hunter2"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    done = curate("run", "--username", "ann", "--home", home.folder, "--password-file", path)
    assert done.status == 2 and "--password-file" in done.err and "Traceback" not in done.err
    assert "hunter2" not in done.err  # whoever types the password in place of the file's name finds it in no log


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_password_file_that_others_can_read_is_warned_of(
    curate: Curate, home: Home, tmp_path: Path, mode: int, warned: bool
) -> None:
    encrypted_home(home, 1)
    path = password_file(tmp_path, mode=mode)
    done = curate("run", "--username", "ann", "--home", home.folder, "--password-file", path, "--dry-run")
    assert done.status == 0 and ("chmod 600" in done.err) == warned


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a terminal of its own")
@pytest.mark.parametrize(("typed", "status"), [(PASSWORD, 0), ("hunter2", 2), ("", 1)])
def test_at_a_terminal_the_password_is_asked_for_and_not_shown(home: Home, typed: str, status: int) -> None:
    encrypted_home(home)
    code, shown = at_terminal(["run", "--username", "ann", "--home", str(home.folder)], typed)
    assert "Password of the encrypted profile ann" in shown
    assert os.waitstatus_to_exitcode(code) == status, shown
    assert not typed or typed not in shown


def test_a_plain_profile_asks_for_nothing(home: Home) -> None:
    home.file("a.json", memory(frozen(1)))
    code, shown = at_terminal(["run", "--username", "ann", "--home", str(home.folder), "--dry-run"], "")
    assert os.waitstatus_to_exitcode(code) == 0 and "Password" not in shown


def at_terminal(arguments: list[str], typed: str) -> tuple[int, str]:
    """Run `curate` in a terminal of its own, type one line where it asks, and return its status and what was shown."""
    import pty
    import sys

    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-m", "curator", *arguments])
    shown = b""
    asked = False
    while True:
        try:
            piece = os.read(terminal, 1 << 12)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
        if b"what is encrypted): " in shown and not asked:
            asked = True
            os.write(terminal, typed.encode() + b"\n")
    os.close(terminal)
    return os.waitpid(process, 0)[1], shown.decode("utf-8", "replace")


# --- what shows and what stays ---------------------------------------------------------------------------------------


def test_a_run_says_what_it_holds_and_is_its_owners_alone(home: Home, run: Callable[..., Result]) -> None:
    encrypted_home(home)
    before = os.umask(0)
    try:
        done = run()
    finally:
        os.umask(before)
    assert json.loads((done.run / "run-summary.json").read_bytes())["encrypted"] == 3
    report = json.loads((done.run / "report.json").read_bytes())
    assert report["encrypted"] == 3
    assert any("in the clear what was encrypted: 3 memories" in line for line in report["warnings"])
    assert "in the clear what was encrypted: 3 memories" in " ".join(done.out.split())
    assert stat.S_IMODE(done.run.stat().st_mode) == 0o700
    files = list(files_below(done.run))
    assert len(files) == 10 and {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_command_of_a_run_makes_the_same_set_again(
    curate: Curate, home: Home, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted_home(home)

    def made(done: Result) -> tuple[list[str], bytes]:
        command = json.loads((done.run / "run-summary.json").read_bytes())["command"]
        return command[1:], (done.run / "fine_tune_dataset.jsonl").read_bytes()

    words, data = made(run())
    assert words[words.index("--password-file") + 1] == str(tmp_path / "password.txt")
    assert made(curate(*words)) == (words, data)
    monkeypatch.setenv(VARIABLE, PASSWORD)
    words, again = made(curate("run", "--username", "ann", "--home", home.folder))
    assert "--password-file" not in words and again == data and made(curate(*words))[1] == data


def test_a_run_of_an_encrypted_profile_is_whole(curate: Curate, home: Home, run: Callable[..., Result]) -> None:
    encrypted_home(home)
    folder = run().run
    assert curate("validate", folder).status == 0
    import hashlib

    summary = json.loads((folder / "run-summary.json").read_bytes())
    for name, digest in summary["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    for line in rows(folder / "lineage.jsonl"):
        for source in line["sources"]:
            assert hashlib.sha256((home.profile / source["path"]).read_bytes()).hexdigest() == source["sha256"]


def test_the_password_is_in_no_file_and_in_no_output(curate: Curate, home: Home, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    encrypted_home(home)
    monkeypatch.setenv(VARIABLE, PASSWORD)
    done = curate("run", "--username", "ann", "--home", home.folder)
    assert done.status == 0
    others = [curate("explain", "evt-20250301", "--username", "ann", "--home", home.folder),
              curate("doctor", "--home", home.folder)]  # fmt: skip
    for result in (done, *others):
        assert PASSWORD not in result.out + result.err
    held = [path for path in files_below(tmp_path) if PASSWORD.encode() in path.read_bytes()]
    assert held == []


def test_neither_password_nor_key_is_in_a_repr_or_can_be_written(home: Home) -> None:
    import pickle

    encrypted_home(home)
    password = Password(PASSWORD)
    unlocked = unlock(home.profile, password)
    settings = replace(load_settings(None), unlocked=unlocked)
    request = Request("ann", Options(), unlocked=unlocked)
    for thing in (password, unlocked, settings, request):
        assert PASSWORD not in repr(thing) + str(thing)
    assert repr(unlocked) == f"Unlocked({str(home.profile)!r})"
    for secret in (password, unlocked):
        with pytest.raises(TypeError, match="not written down"):
            pickle.dumps(secret)


SPY: Final = """
import os, signal, stat
from curator import CuratedSample, Filter, hookimpl

@hookimpl
def register_filters():
    def spy(sample: CuratedSample):
        if "day 3" in sample.assistant_text:
            look()
        return None
    return [Filter("spy", spy)]

def look():
    seen = []
    for name in os.listdir("/proc/self/fd"):
        try:
            handle = os.open(f"/proc/self/fd/{name}", os.O_RDONLY)
        except OSError:
            continue
        try:
            about = os.fstat(handle)
            if stat.S_ISREG(about.st_mode) and about.st_size < 1 << 24:
                seen.append(os.pread(handle, about.st_size, 0))
        finally:
            os.close(handle)
    with open(LOG, "w") as log:
        log.write(f"{sum(len(one) for one in seen)} {any(b'harbour froze' in one for one in seen)}")
    if KILL:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def put_spy(home: Home, log: Path, *, kill: bool) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    text = f"LOG, KILL = {str(log)!r}, {kill}\n{SPY}"
    (home.folder / "plugins" / "spy.py").write_text(text)


@LINUX
@pytest.mark.parametrize("encrypted", [True, False])
def test_what_is_spooled_while_a_run_is_made_cannot_be_read(
    home: Home, run: Callable[..., Result], tmp_path: Path, encrypted: bool
) -> None:
    """The plain profile shows that the spy finds what is to be found."""
    if encrypted:
        encrypted_home(home)
    else:
        for day in (1, 2, 3):
            home.file(f"2025/03/0{day}/evt-{day}.json", memory(frozen(day), day))
    put_spy(home, tmp_path / "log", kill=False)
    assert replies(run()) == [frozen(1), frozen(2), frozen(3)]
    size, found = (tmp_path / "log").read_text().split()
    assert int(size) > 500 and found == str(not encrypted)


@LINUX
def test_a_run_that_is_killed_leaves_nothing_that_can_be_read(
    curate_process: Curate, home: Home, tmp_path: Path
) -> None:
    encrypted_home(home)
    put_spy(home, tmp_path / "log", kill=True)
    secret = password_file(tmp_path)
    done = curate_process("run", "--username", "ann", "--home", home.folder, "--password-file", secret)
    assert done.status == 1 and "it ended the process by SIGKILL" in done.err
    assert (tmp_path / "log").exists()
    left = [path.name for path in files_below(home.profile) if b"harbour froze" in path.read_bytes()]
    assert left == [] and {path.name for path in files_below(home.profile / "out")} <= {".lock", ".lock.pid"}


def test_a_run_that_fails_leaves_nothing(home: Home, run: Callable[..., Result]) -> None:
    encrypted_home(home)
    assert run("--mode", "agent").status == 1  # nothing of it is a tool's
    assert {path.name for path in files_below(home.profile / "out")} <= {".lock"}


# --- explain, doctor, export, the library ----------------------------------------------------------------------------


def test_explain_opens_the_file_with_the_password(curate: Curate, home: Home, run: Callable[..., Result],
                                                  tmp_path: Path) -> None:  # fmt: skip
    encrypted_home(home)
    folder = run().run
    words = ("explain", "evt-20250302", "--run", folder, "--home", home.folder, "--json")
    (closed,) = json.loads(curate(*words).out)["files"]
    assert closed["state"].startswith("encrypted: --password-file") and "content" not in closed
    (opened,) = json.loads(curate(*words, "--password-file", password_file(tmp_path)).out)["files"]
    assert (opened["state"], opened["response"]) == ("as the run read it", frozen(2))
    assert curate(*words, "--password-file", password_file(tmp_path, "wrong")).status == 2


def test_doctor_says_how_many_are_encrypted_and_whether_the_password_opens_them(
    curate: Curate, home: Home, tmp_path: Path
) -> None:
    encrypted_home(home)

    def told(*options: object) -> tuple[int, str]:
        done = curate("doctor", "--home", home.folder, *options)
        return done.status, " ".join(done.out.split())

    status, text = told()
    assert status == 0 and "4 encrypted files; without a password they are not read" in text
    status, text = told("--password-file", password_file(tmp_path))
    assert status == 0 and "4 encrypted files: the password is right" in text and "3 memories can be read" in text
    status, text = told("--password-file", password_file(tmp_path, "wrong"))
    assert status == 1 and "wrong password" in text
    (home.profile / ".encryption-meta.json").unlink()
    assert "that no password opens: no_salt" in told("--password-file", password_file(tmp_path))[1]


def test_an_export_says_what_it_holds(curate: Curate, home: Home, run: Callable[..., Result], tmp_path: Path) -> None:
    encrypted_home(home)
    done = curate("export", run().run, "--home", home.folder, "--to", "trl", "--out", tmp_path / "export")
    assert done.status == 0, done.err
    assert "in the clear what was encrypted: 3 memories" in " ".join((done.out + done.err).split())
    assert stat.S_IMODE((tmp_path / "export").stat().st_mode) == 0o700


def test_a_source_of_a_plugin_can_open_files_too(home: Home) -> None:
    sealer = encrypted_home(home, 0)
    path = home.file("a.txt.enc", sealer.envelope(b"any text"))
    unlocked = unlock(home.profile, Password(PASSWORD))
    assert isinstance(unlocked, Unlocked) and unlocked.read(str(path), 100).plain == b"any text"


def test_reading_gives_the_same_events_whatever_the_order_of_the_folder(home: Home) -> None:
    from curator_plugins.sources.metahuman import read

    encrypted_home(home)
    settings = replace(load_settings(None), unlocked=unlock(home.profile, Password(PASSWORD)))
    events = list(read(home.profile, settings))
    assert [event.path.rpartition("/")[2] for event in events] == [f"evt-{day}.json.enc" for day in (1, 2, 3)]
    assert not any(isinstance(event, Drop) for event in events)
    assert all(isinstance(event, MemoryEvent) and event.notes == ("encrypted",) for event in events)


# --- the profile that another program wrote --------------------------------------------------------------------------

CASES: Final = SHARED / "cases" / "importers.tar.gz"


@pytest.mark.skipif(not CASES.is_file(), reason=f"{CASES.name} is not beside this repository")
def test_a_profile_that_metahumans_own_cipher_wrote(curate: Curate, home: Home, tmp_path: Path) -> None:
    with tarfile.open(CASES) as archive:
        members = [one for one in archive.getmembers() if one.name.startswith("importers/metahuman_enc/profile/")]
        archive.extractall(tmp_path, members, filter="data")
    case = tmp_path / "importers" / "metahuman_enc" / "profile"
    expected = json.loads((case / "expected.json").read_bytes())
    (case / "input").rename(home.folder / "profiles" / "mara")
    secret = password_file(tmp_path, expected["options"]["password"])
    done = curate("run", "--username", "mara", "--home", home.folder, "--password-file", secret)
    assert replies(done) == sorted(message["text"] for message in expected["messages"])
    skipped = {one["where"].removesuffix(".json"): one["reason"] for one in expected["skipped"]}
    found = reasons(done)
    assert len(found) == len(skipped)
    for name, reason in skipped.items():
        assert [found[one] for one in found if one.startswith(name)] == [reason]

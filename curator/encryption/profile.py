"""An encrypted profile: its key from its password, and its files opened one by one, in memory alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple, NoReturn

import msgspec

from curator.contract.cli_frame import log
from curator.contract.errors import UsageError, counted, printable
from curator.contract.files import Unreadable, open_regular, read_once, walk
from curator.contract.homes import CORE, MEMORY_FOLDERS
from curator.encryption.envelope import (
    CHUNKED,
    MOST_LAYERS,
    SINGLE,
    Cipher,
    layers_of,
    most_bytes,
    opened,
    opened_chunks,
    opened_layer,
)
from curator.encryption.password import Password, asked_password, given_password

_META, _VERIFY = ".encryption-meta.json", ".encryption-verify.enc"
_MOST_META = 1 << 16  # bytes of either
_MOST_CORE = 1 << 24
_KEY_BYTES = 32
# MetaHuman OS derives with these constants, whatever its meta file says.
_USUAL = ("sha512", 100_000)


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    """.encryption-meta.json. The bound on the rounds keeps a forged one from holding us up for hours."""

    salt: str
    algorithm: Literal["aes-256-gcm"] = "aes-256-gcm"
    key_derivation: Literal["pbkdf2"] = "pbkdf2"
    pbkdf2_iterations: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = _USUAL[1]
    pbkdf2_digest: Literal["sha512", "sha256"] = "sha512"


class Content(NamedTuple):
    """What a file holds: its plain bytes, the sha256 of the file as it lies there, and whether it was encrypted."""

    plain: bytes
    sha256: str
    encrypted: bool


def read_plain(path: str, most: int) -> Content:
    """Return the content of a file that is not encrypted. Raises Unreadable as `read_once` does."""
    raw = read_once(path, most)
    return Content(raw, hashlib.sha256(raw).hexdigest(), encrypted=False)


class Unlocked:
    """An encrypted profile and its key, or why it has none. No repr, pickle or JSON of it gives the key."""

    __slots__ = ("_cipher", "_copies", "_listed", "_why", "folder")

    def __init__(self, folder: Path, cipher: Cipher | None, why: Unreadable | None = None) -> None:
        self.folder = folder
        self._cipher, self._why = cipher, why
        self._listed, self._copies = "", dict[str, list[str]]()

    def __repr__(self) -> str:
        return f"Unlocked({printable(str(self.folder))!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written down")

    @property
    def why_not(self) -> str:
        """Why no key could be made: "no_salt: ..."; "" where there is one."""
        return f"{self._why.reason}: {self._why.detail}" if self._why else ""

    def read(self, path: str, most: int) -> Content:
        """Return the content, of at most `most` bytes, of a file that is plain or encrypted, as often as it may be.

        Raises Unreadable: what `read_once` does, no_salt, bad_meta, undecryptable, bad_envelope, cut_short, bad_size.
        """
        _, layers = layers_of(path)
        if not layers:
            return read_plain(path, most)
        if len(layers) > MOST_LAYERS:
            raise Unreadable("bad_envelope", f"encrypted {len(layers)} times over; {MOST_LAYERS} are read")
        if self._cipher is None:
            assert self._why is not None
            raise Unreadable(self._why.reason, self._why.detail)
        return _read(path, layers, self._cipher, most)

    def copies(self, path: str) -> list[str]:
        """Return the files that hold the memory of `path`, plain and encrypted, in the order in which they are tried.

        MetaHuman OS reads the encrypted one, so that the plain one comes last.
        """
        folder = path.rpartition(os.sep)[0]
        if folder != self._listed:
            self._listed, self._copies = folder, _copies_in(folder)
        return self._copies.get(layers_of(path)[0], [path])


def _copies_in(folder: str) -> dict[str, list[str]]:
    """Return the memories of a folder that have an encrypted file, each with all its files."""
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as listing:
            paths = [entry.path for entry in listing if not entry.is_dir(follow_symlinks=False)]
    except OSError:
        return {}
    for path in sorted(paths, key=lambda one: (not (layers := layers_of(one)[1]), len(layers), layers, one)):
        memory, layers = layers_of(path)
        if layers or memory in found:
            found.setdefault(memory, []).append(path)
    return found


def _read(path: str, layers: tuple[str, ...], cipher: Cipher, most: int) -> Content:
    allowed = [most]  # bytes of the plain text, then of what each layer around it may have
    for _ in layers:
        allowed.append(most_bytes(allowed[-1]))
    allowed.pop()
    if layers[0] == CHUNKED:
        with open_regular(path) as file:
            reader = _HashingReader(file)
            plain = opened_chunks(reader, cipher, allowed[-1])
            digest = reader.hexdigest()
    else:
        raw = _read_within(path, most_bytes(allowed[-1]), most)
        digest, plain = hashlib.sha256(raw).hexdigest(), opened_layer(SINGLE, raw, cipher, allowed[-1])
    for layer, bound in zip(layers[1:], reversed(allowed[:-1]), strict=True):
        plain = opened_layer(layer, plain, cipher, bound)
    return Content(plain, digest, encrypted=True)


class _HashingReader:
    """Reads a file and takes its sha256 on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        return self._noted(self._file.read(size))

    def readline(self, size: int) -> bytes:
        return self._noted(self._file.readline(size))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _noted(self, data: bytes) -> bytes:
        self._hash.update(data)
        return data


def _read_within(path: str, bound: int, most: int) -> bytes:
    """Return the bytes of a file; where it is over `bound`, the error names `most`, which is what the user sets."""
    try:
        return read_once(path, bound)
    except Unreadable as error:
        if error.reason == "too_large":
            found = Path(path).lstat().st_size
            problem = f"{counted(found, 'byte')} encrypted; the limit is {most:,} decrypted (--max-file-bytes)"
            raise Unreadable("too_large", problem) from None
        raise


def encrypted_files(folder: Path) -> Iterator[str]:
    """Yield the path of each encrypted file of a profile that would be read: memories, and the person's names."""
    yield from _encrypted_core(folder)
    for name in MEMORY_FOLDERS:
        for path, readable in walk(os.fspath(folder / name)):
            memory, layers = layers_of(path)
            if readable and layers and memory.endswith(".json"):
                yield path


def _encrypted_core(folder: Path) -> list[str]:
    core = folder / CORE
    return [path for path in _copies_in(os.fspath(core.parent)).get(os.fspath(core), ()) if layers_of(path)[1]]


def unlock_if_encrypted(folder: Path, password_file: Path | None, given: Password | None = None) -> Unlocked | None:
    """Return the encrypted profile in `folder`, opened; None where nothing in it is encrypted, or no password is given.

    The password is the one `given`, else that of `password_file`, else of the environment, else it is asked for at the
    terminal. Raises UsageError where it opens nothing.
    """
    password = given or given_password(password_file)
    if password is None and not (folder / _META).exists():
        return None  # nothing here can be opened, and a plain profile is not walked for nothing
    if next(encrypted_files(folder), None) is None:
        if password_file is not None:
            log(f"--password-file: nothing is encrypted in {printable(str(folder))}")
        return None
    password = password or asked_password(folder)
    return unlock(folder, password) if password else None


def nothing_unlocked(profile: Path) -> Unlocked | None:
    """Open nothing: for who has no password."""
    return None


def unlock(folder: Path, password: Password) -> Unlocked:
    """Return a profile with its key; where it has no usable salt, with the reason that each file then has.

    Raises UsageError where the password is wrong.
    """
    try:
        salt, ways = _derivation(folder)
    except Unreadable as error:
        return Unlocked(folder, None, error)
    ciphers = _ciphers(salt, ways, password)
    verify = folder / _VERIFY
    if os.path.lexists(verify):
        try:
            raw = read_once(os.fspath(verify), _MOST_META)
            return Unlocked(folder, _first_that_opens(raw, ciphers))
        except Unreadable as error:
            if error.reason == "undecryptable":
                raise _wrong_password(folder, f"it does not open {_VERIFY}") from None
            log(f"{_VERIFY} is of no use ({error.reason}): whether the password is right, the memories tell")
    return Unlocked(folder, _tried_on_files(folder, list(_ciphers(salt, ways, password))))


def _wrong_password(folder: Path, why: str) -> UsageError:
    problem = f"wrong password for {printable(str(folder))}: {why}; nothing was written"
    return UsageError(problem, "mind capitals and the keyboard's layout; curate docs encrypted says how it is given")


def _derivation(folder: Path) -> tuple[bytes, list[tuple[str, int]]]:
    """Return the salt, and the digests and rounds by which the key may have been derived from the password."""
    path = folder / _META
    if not os.path.lexists(path):
        raise Unreadable("no_salt", f"there is no {_META} in the profile, and without its salt there is no key")
    try:
        meta = msgspec.json.decode(read_once(os.fspath(path), _MOST_META), type=_Meta)
        salt = base64.b64decode(meta.salt, validate=True)
    except Unreadable as error:
        raise Unreadable("bad_meta", f"{_META}: {error.detail}") from None
    except msgspec.ValidationError as error:  # names the key, and what was expected there
        raise Unreadable("bad_meta", f"{_META}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError):
        raise Unreadable("bad_meta", f"{_META}: expected a JSON object with a salt in base64") from None
    if not salt:
        raise Unreadable("no_salt", f"{_META}: the salt is empty")
    return salt, list(dict.fromkeys([(meta.pbkdf2_digest, meta.pbkdf2_iterations), _USUAL]))


def _ciphers(salt: bytes, ways: list[tuple[str, int]], password: Password) -> Iterator[Cipher]:
    """Yield a cipher for each form of the password and each way of derivation, the likeliest first."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    for digest, rounds in ways:
        for form in password.forms():
            yield AESGCM(hashlib.pbkdf2_hmac(digest, form, salt, rounds, _KEY_BYTES))


def _first_that_opens(raw: bytes, ciphers: Iterator[Cipher]) -> Cipher:
    """Return the cipher that opens an envelope. Raises Unreadable where none does."""
    failed = Unreadable("undecryptable")
    for cipher in ciphers:
        try:
            opened(raw, cipher)
        except Unreadable as error:
            if error.reason != "undecryptable":
                raise
            failed = error
        else:
            return cipher
    raise failed


def _tried_on_files(folder: Path, ciphers: list[Cipher]) -> Cipher:
    """Return the cipher that opens any file of an old profile, which has no verify file."""
    closed = 0
    for path in encrypted_files(folder):
        for cipher in ciphers:
            try:
                Unlocked(folder, cipher).read(path, _MOST_CORE)
            except Unreadable as error:
                if error.reason != "undecryptable":
                    break  # it says nothing of the key
                closed += cipher is ciphers[-1]
            else:
                return cipher
    if closed:
        raise _wrong_password(folder, f"it opens none of {counted(closed, 'encrypted file')}")
    return ciphers[0]


def core_json(profile: Path, unlocked: Unlocked | None) -> tuple[bytes | None, str]:
    """Return the encrypted persona/core.json of a profile, decrypted, and in words why it could not be read.

    (None, "") stands for a profile whose persona/core.json is plain, or missing.
    """
    why = ""
    for path in _encrypted_core(profile):
        name = f"persona/{Path(path).name}"
        if unlocked is None or unlocked.folder != profile:
            why = f"{name} was not read: it is encrypted"
            break
        try:
            return unlocked.read(path, _MOST_CORE).plain, ""
        except Unreadable as error:
            why = f"{name} was not read: {error.reason}, {error.detail}"
    return None, "" if os.path.lexists(profile / CORE) else why

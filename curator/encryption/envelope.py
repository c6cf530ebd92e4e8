"""One encrypted file: AES-256-GCM in an envelope of JSON, or in chunks, an envelope a line; nested in any order.

x.json.enc           {"iv", "authTag", "ciphertext"}, each base64; IV and tag of 16 bytes, no associated data
x.json.enc.chunked   {"version": 2, "format": "chunked", ...}, then an envelope a line
x.json.enc.enc       an envelope whose plain text is an envelope
"""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Annotated, Literal, Protocol

import msgspec

from curator.contract.errors import counted
from curator.contract.files import Unreadable

SINGLE, CHUNKED = ".enc", ".enc.chunked"
MOST_LAYERS = 4
_TAG_BYTES = _IV_BYTES = 16
_AROUND = 512  # bytes of an envelope beside its ciphertext, with room to spare
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Cipher(Protocol):
    """What `cryptography` calls an AEAD: it opens what was sealed under its key, or raises InvalidTag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: None, /) -> bytes:
        """Return the plain text of ciphertext and tag."""
        ...


class Lines(Protocol):
    """What is read line by line: a file, or bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return a line, or its first `size` bytes."""
        ...


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    iv: str
    auth_tag: str
    ciphertext: str


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    version: Literal[2]
    format: Literal["chunked"]
    algorithm: Literal["aes-256-gcm"]
    original_size: _Count
    chunk_size: _Count
    chunk_count: _Count


_envelope = msgspec.json.Decoder(_Envelope).decode
_header = msgspec.json.Decoder(_Header).decode


def layers_of(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the path without the suffixes of encryption, and these, the outermost first; none for a plain file."""
    layers = []
    while suffix := next((one for one in (CHUNKED, SINGLE) if path.endswith(one)), ""):
        path = path.removesuffix(suffix)
        layers.append(suffix)
    return path, tuple(layers)


def most_bytes(plain: int) -> int:
    """Return how many bytes an envelope of `plain` bytes has at most."""
    return 4 * (plain // 3 + 1) + _AROUND


def too_large(found: int, most: int) -> Unreadable:
    """Return the error for a plain text of `found` bytes where `most` are allowed."""
    return Unreadable("too_large", f"{counted(found, 'byte')} decrypted; the limit is {most:,} (--max-file-bytes)")


def opened_layer(layer: str, raw: bytes, cipher: Cipher, most: int) -> bytes:
    """Return what one layer holds, of at most `most` bytes.

    Raises Unreadable: undecryptable, bad_envelope, cut_short, bad_size or too_large.
    """
    plain = opened_chunks(BytesIO(raw), cipher, most) if layer == CHUNKED else opened(raw, cipher)
    if len(plain) > most:
        raise too_large(len(plain), most)
    return plain


def opened(raw: bytes, cipher: Cipher) -> bytes:
    """Return the plain bytes of one envelope. Raises Unreadable: bad_envelope or undecryptable."""
    from cryptography.exceptions import InvalidTag

    try:
        envelope = _envelope(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable("bad_envelope", "expected a JSON object with iv, authTag and ciphertext") from None
    iv, tag = _bytes("iv", envelope.iv), _bytes("authTag", envelope.auth_tag)
    if len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
        raise Unreadable("bad_envelope", "iv, authTag: expected 16 bytes each")
    try:
        return cipher.decrypt(iv, _bytes("ciphertext", envelope.ciphertext) + tag, None)
    except InvalidTag:
        raise Unreadable(
            "undecryptable", "the tag does not fit: another key encrypted it, or it was changed since"
        ) from None


def _bytes(key: str, text: str) -> bytes:
    """Return what base64 stands for. One that no encoder writes so has been changed since it was written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if base64.b64encode(raw).decode() != text:
        raise Unreadable("undecryptable", f"{key}: no base64, so it was changed since")
    return raw


def opened_chunks(file: Lines, cipher: Cipher, most: int) -> bytes:
    """Return the plain bytes of a chunked file, read line by line: no more than one chunk is held beside them.

    Raises Unreadable: too_large, bad_envelope, cut_short, bad_size or undecryptable.
    """
    header = _read_header(file)
    if header.original_size > most:
        raise too_large(header.original_size, most)
    parts: list[bytes] = []
    size = 0
    for number in range(1, header.chunk_count + 1):
        parts.append(_chunk(file, cipher, header, number))
        size += len(parts[-1])
        if size > header.original_size:
            raise Unreadable("bad_size", f"its first {counted(number, 'chunk')} hold more than originalSize says")
    sizes = [len(part) for part in parts]
    if size != header.original_size or any(size != header.chunk_size for size in sizes[:-1]):
        problem = f"{counted(size, 'byte')} in {counted(len(sizes), 'chunk')}; chunkSize and originalSize say else"
        raise Unreadable("bad_size", problem)
    if file.read(1 << 16).strip() or file.read(1):
        raise Unreadable("bad_size", f"more follows than {counted(header.chunk_count, 'chunk')} of chunkCount")
    return b"".join(parts)


def _read_header(file: Lines) -> _Header:
    try:
        header = _header(file.readline(1 << 12))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(
            "bad_envelope",
            "expected a first line with version 2, format, algorithm, originalSize, chunkSize and chunkCount",
        ) from None
    if header.chunk_count > header.original_size:  # a chunk holds a byte at least, so that no file is read for ever
        raise Unreadable("bad_size", "chunkCount is larger than originalSize")
    return header


def _chunk(file: Lines, cipher: Cipher, header: _Header, number: int) -> bytes:
    most = most_bytes(min(header.chunk_size, header.original_size))
    line = file.readline(most + 1)
    whole = line.endswith(b"\n")
    if not line.strip():
        raise Unreadable("cut_short", f"{number - 1} of {counted(header.chunk_count, 'chunk')}")
    if len(line) > most and not whole:
        raise Unreadable("bad_size", f"chunk {number} is longer than chunkSize allows")
    try:
        plain = opened(line, cipher)
    except Unreadable as error:
        if error.reason == "bad_envelope" and not whole:
            raise Unreadable("cut_short", f"it ends within chunk {number} of {header.chunk_count}") from None
        raise Unreadable(error.reason, f"chunk {number}: {error.detail}") from None
    if len(plain) > header.chunk_size:
        raise Unreadable("bad_size", f"chunk {number} is longer than chunkSize allows")
    return plain

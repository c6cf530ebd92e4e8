"""What a run parks on disk while it is made, so that only this process can read it: AES-256 under a key of its own.

The key is in no file. What is parked is gone with the process, and where the process is killed what is left cannot be
read. There is nothing to prove that the bytes are ours: the files have no names by which another could reach them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

_BLOCK_BYTES = 16
_PIECE = 1 << 20
_OWN = Path("/proc/self/fd")


class Veil:
    """Encrypts and decrypts the bytes of one file, whose key it makes. A byte is written once, at its place (CTR)."""

    __slots__ = ("_key",)

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES256

        self._key = AES256(os.urandom(32))

    def __repr__(self) -> str:
        return "Veil(not shown)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written down")

    def applied(self, data: bytes | memoryview, offset: int) -> bytes:
        """Return the bytes that stand at `offset` of the file, veiled where they were plain and plain where veiled."""
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.modes import CTR

        block, skipped = divmod(offset, _BLOCK_BYTES)
        stream = Cipher(self._key, CTR(block.to_bytes(_BLOCK_BYTES, "big"))).encryptor()
        stream.update(bytes(skipped))
        return stream.update(data)


class VeiledFile:
    """A file of a run that is being made: veiled and without a name until `unveil` and `appear`.

    As HashedFile it is written, closed and abandoned; its sha256 is that of the plain bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._hash, self._veil = hashlib.sha256(), Veil()
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115 - see abandon()
        self._plain = -1
        self._named = False

    def write(self, data: bytes) -> None:
        """Add `data`; raises OSError as the disk gives it."""
        self._hash.update(data)
        _write(self._file.fileno(), self._veil.applied(data, self.size))
        self.size += len(data)

    def close(self) -> str:
        """Return the sha256 of it all; the file stays veiled."""
        return self._hash.hexdigest()

    def unveil(self) -> None:
        """Write it in the clear, for its owner alone, into a file that has no name yet (where the system has such)."""
        self._plain, self._named = _nameless(self.path)
        self._file.seek(0)
        place = 0
        while piece := self._file.read(_PIECE):
            _write(self._plain, self._veil.applied(piece, place))
            place += len(piece)
        os.fsync(self._plain)
        self._file.close()

    def appear(self, folder: int) -> None:
        """Give the file its name in its folder, of which this is a handle. Raises OSError."""
        if not self._named:  # without a handle, Python would link the link and not the file that it leads to
            os.link(f"{_OWN}/{self._plain}", self.path.name, src_dir_fd=folder, dst_dir_fd=folder)

    def abandon(self) -> None:
        """Let go of it: for a run that failed, or that is in its place."""
        self._file.close()
        if self._plain >= 0:
            os.close(self._plain)
            self._plain = -1


def _nameless(path: Path) -> tuple[int, bool]:
    """Return the handle of a new file of mode 0600, and whether it stands under its name already."""
    if hasattr(os, "O_TMPFILE") and _OWN.is_dir():
        with suppress(OSError):  # a file system without it
            return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), False
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600), True


def _write(handle: int, data: bytes) -> None:
    block = memoryview(data)
    while block:  # a write may take only a part, as it does just before the disk is full
        block = block[os.write(handle, block) :]


def appear_together(files: list[VeiledFile]) -> None:
    """Unveil files, then give them their names at once: killed before that, a run leaves nothing that can be read."""
    for file in files:
        file.unveil()
    folder = os.open(files[0].path.parent, os.O_RDONLY)
    try:
        for file in files:
            file.appear(folder)
    finally:
        os.close(folder)

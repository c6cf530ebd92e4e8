"""Encrypted MetaHuman OS profiles for tests, made as that program makes them: AES-256-GCM, the key by PBKDF2."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from conftest import Home
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PASSWORD: Final = "correct horse b\u00e5t"  # as most keyboards give it: composed
SALT: Final = bytes(range(32))
ROUNDS: Final = 1_000  # MetaHuman's 100,000 take a tenth of a second each time


class Sealer:
    """Encrypts as a profile of this password does."""

    def __init__(self, password: str = PASSWORD, rounds: int = ROUNDS, digest: str = "sha512") -> None:
        self.rounds, self.digest = rounds, digest
        self.cipher = AESGCM(hashlib.pbkdf2_hmac(digest, password.encode(), SALT, rounds, 32))

    def envelope(self, plain: bytes) -> bytes:
        """One envelope of JSON."""
        iv = os.urandom(16)
        sealed = self.cipher.encrypt(iv, plain, None)
        parts = {"iv": iv, "authTag": sealed[-16:], "ciphertext": sealed[:-16]}
        return json.dumps({key: base64.b64encode(part).decode() for key, part in parts.items()}).encode()

    def chunked(self, plain: bytes, size: int = 97, **header: Any) -> bytes:
        """A header, and an envelope a line; `header` takes the place of what would be right."""
        chunks = [plain[start : start + size] for start in range(0, len(plain), size)]
        about = {"version": 2, "format": "chunked", "algorithm": "aes-256-gcm", "originalSize": len(plain),
                 "chunkSize": size, "chunkCount": len(chunks)} | header  # fmt: skip
        return b"".join(line + b"\n" for line in (json.dumps(about).encode(), *map(self.envelope, chunks)))

    def lock(self, profile: Path, *, verify: bool = True) -> None:
        """Write the two files in a profile's root."""
        meta = {"version": 1, "algorithm": "aes-256-gcm", "keyDerivation": "pbkdf2", "pbkdf2Iterations": self.rounds,
                "pbkdf2Digest": self.digest, "salt": base64.b64encode(SALT).decode()}  # fmt: skip
        (profile / ".encryption-meta.json").write_text(json.dumps(meta))
        if verify:
            (profile / ".encryption-verify.enc").write_bytes(self.envelope(b"METAHUMAN_ENCRYPTION_VERIFY"))


def memory(text: str, day: int = 1, **keys: Any) -> bytes:
    """A memory that makes a sample whose reply is `text`."""
    about = {"id": f"evt-2025030{day}", "timestamp": f"2025-03-0{day}T10:00:00Z", "type": "conversation",
             "content": f"What was there on day {day}?", "response": text}  # fmt: skip
    return json.dumps(about | keys).encode()


def password_file(folder: Path, password: str = PASSWORD, mode: int = 0o600) -> Path:
    """A file whose first line is the password."""
    path = folder / "password.txt"
    path.write_text(password + "\nand a second line\n", "utf-8")
    path.chmod(mode)
    return path


def encrypted_home(home: Home, memories: int = 3) -> Sealer:
    """Give a home's profile a few encrypted memories, and the encrypted names of its person."""
    sealer = Sealer()
    sealer.lock(home.profile)
    for day in range(1, memories + 1):
        plain = memory(f"On day {day} the harbour froze over.", day)
        home.file(f"2025/03/0{day}/evt-{day}.json.enc", sealer.envelope(plain))
    core = {"identity": {"humanName": "Ann Harbour", "name": "Twin"}}
    (home.profile / "persona").mkdir()
    (home.profile / "persona" / "core.json.enc").write_bytes(sealer.envelope(json.dumps(core).encode()))
    return sealer

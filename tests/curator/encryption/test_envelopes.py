"""Envelopes: no change of a single byte goes unseen, and a file costs no more memory than what it may hold."""

from __future__ import annotations

import base64
import json
import string
import tracemalloc
from pathlib import Path

import pytest
from encrypted_fixtures import Sealer

from curator.contract.files import Unreadable
from curator.encryption.envelope import CHUNKED, SINGLE, layers_of, opened, opened_layer
from curator.encryption.profile import Unlocked

SEALER = Sealer()
PLAIN = b"It was cold, and the harbour was white. "


@pytest.mark.parametrize("layer", [SINGLE, CHUNKED])
@pytest.mark.parametrize("bit", [1, 4, 32, 128])
def test_a_flipped_bit_anywhere_in_a_file_is_found(layer: str, bit: int) -> None:
    """All but the blanks between keys, which may be any white space, and keys that nothing reads."""
    sealed = SEALER.envelope(PLAIN) if layer == SINGLE else SEALER.chunked(PLAIN, 17)
    assert opened_layer(layer, sealed, SEALER.cipher, 1_000) == PLAIN
    reasons = set()
    for place, byte in enumerate(sealed):
        changed = sealed[:place] + bytes([byte ^ bit]) + sealed[place + 1 :]
        try:
            assert opened_layer(layer, changed, SEALER.cipher, 1_000) == PLAIN
            assert byte in b" \n"
        except Unreadable as error:
            reasons.add(error.reason)
    assert "undecryptable" in reasons or bit == 128  # which makes the whole no UTF-8
    assert reasons <= {"undecryptable", "bad_envelope", "cut_short", "bad_size", "too_large"}


@pytest.mark.parametrize("layer", [SINGLE, CHUNKED])
def test_a_file_that_ends_anywhere_is_found(layer: str) -> None:
    sealed = (SEALER.envelope(PLAIN) if layer == SINGLE else SEALER.chunked(PLAIN, 17)).rstrip()
    for end in range(len(sealed)):
        with pytest.raises(Unreadable) as error:
            opened_layer(layer, sealed[:end], SEALER.cipher, 1_000)
        assert error.value.reason in ("bad_envelope", "cut_short")


def test_a_bit_that_base64_leaves_over_is_no_other_way_to_write_the_same() -> None:
    envelope = json.loads(SEALER.envelope(b"abcd"))
    assert envelope["ciphertext"].endswith("==")
    last = envelope["ciphertext"][-3]
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = letters[letters.index(last) + 1]
    assert base64.b64decode(other.rjust(2, "A") + "==") == base64.b64decode(last.rjust(2, "A") + "==")
    envelope["ciphertext"] = envelope["ciphertext"][:-3] + other + "=="
    with pytest.raises(Unreadable):
        opened(json.dumps(envelope).encode(), SEALER.cipher)


@pytest.mark.parametrize(
    ("path", "memory", "layers"),
    [
        ("a.json", "a.json", ()), ("a.json.enc", "a.json", (SINGLE,)), ("a.json.enc.chunked", "a.json", (CHUNKED,)),
        ("a.json.enc.chunked.enc", "a.json", (SINGLE, CHUNKED)), ("a.json.enc.enc", "a.json", (SINGLE, SINGLE)),
        ("a.chunked", "a.chunked", ()), ("a.enc.json", "a.enc.json", ()),
    ],
)  # fmt: skip
def test_suffixes_tell_the_layers_from_the_outside_in(path: str, memory: str, layers: tuple[str, ...]) -> None:
    assert layers_of(path) == (memory, layers)


def test_a_chunked_file_is_read_without_holding_it_whole(tmp_path: Path) -> None:
    plain = b"x" * 8_000_000
    path = tmp_path / "a.json.enc.chunked"
    path.write_bytes(SEALER.chunked(plain, 100_000))
    unlocked = Unlocked(tmp_path, SEALER.cipher)
    tracemalloc.start()
    try:
        assert unlocked.read(str(path), len(plain)).plain == plain
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < 2.5 * len(plain), peak  # its chunks and the whole that they make
        tracemalloc.reset_peak()
        with pytest.raises(Unreadable) as error:
            unlocked.read(str(path), len(plain) - 1)
        assert error.value.reason == "too_large"
    finally:
        tracemalloc.stop()

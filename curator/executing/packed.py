"""Arrays and plain values as bytes, and back: for what is kept between runs. Nothing of it is ever run as code."""

from __future__ import annotations

from array import array
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

_ARRAY: Final = 1
_NUMPY: Final = 2


def packed(value: Any) -> bytes:
    """Return a tree of dicts, lists, numbers, texts, bytes, records and arrays, of any shape, as bytes."""
    return _encoder().encode(value)


def unpacked(data: bytes) -> Any:
    """Return the tree that was packed; records come back as dicts. Raises ValueError where it was no such tree."""
    try:
        return _decoder().decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(str(error)) from None


@cache
def _encoder() -> msgspec.msgpack.Encoder:
    return msgspec.msgpack.Encoder(enc_hook=_told)


@cache
def _decoder() -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(ext_hook=_read)


def _told(value: Any) -> msgspec.msgpack.Ext:
    if isinstance(value, array):
        return msgspec.msgpack.Ext(_ARRAY, value.typecode.encode() + value.tobytes())
    if isinstance(value, np.ndarray):
        head = msgspec.msgpack.encode([value.dtype.str, list(value.shape)])
        return msgspec.msgpack.Ext(_NUMPY, len(head).to_bytes(2, "big") + head + np.ascontiguousarray(value).tobytes())
    raise NotImplementedError(f"{type(value).__name__} cannot be packed")


def _read(code: int, data: memoryview) -> Any:
    if code == _ARRAY:
        found: array[Any] = array(chr(data[0]))
        found.frombytes(data[1:])
        return found
    size = int.from_bytes(data[:2], "big")
    kind, shape = msgspec.msgpack.decode(data[2 : 2 + size])
    return np.frombuffer(bytes(data[2 + size :]), dtype=np.dtype(kind)).reshape(shape)

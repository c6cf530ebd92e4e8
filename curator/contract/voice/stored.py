"""References and backgrounds as .npz files of hashed counts; the background of English comes with the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from curator.contract.errors import UsageError
from curator.contract.files import open_file
from curator.contract.voice.grams import BUCKETS, STREAMS, Counts
from curator.contract.voice.reference import Background, Reference, View

_FORMAT = np.array([2, STREAMS, BUCKETS])
_NAMES = ("language", "others")
Array = NDArray[np.generic]


def as_arrays(reference: Reference) -> dict[str, Array]:
    """Return a reference as arrays (N,) for an .npz: hashed counts and numbers, no text."""
    out: dict[str, Array] = {"format": _FORMAT, "words": np.array(reference.words), "common": _keys(reference.common)}
    out |= {name: np.frombuffer(getattr(reference, name).encode(), np.uint8) for name in _NAMES}
    for name, view in (("topic_free", reference.topic_free), ("full", reference.full)):
        for side, counts in (("person", view.person), ("others", view.others)):
            out |= packed(counts, f"{name}_{side}")
        out[f"{name}_floor"], out[f"{name}_ceiling"] = view.floor, view.ceiling
    return out


def background_arrays(background: Background) -> dict[str, Array]:
    """Return a background as arrays (N,) for an .npz; its documents are text."""
    texts = np.frombuffer("\0".join(background.documents).encode(), np.uint8)
    out: dict[str, Array] = {"format": _FORMAT, "words": np.array([background.words]), "texts": texts}
    out["common"] = _keys(background.common)
    return out | packed(background.topic_free, "topic_free") | packed(background.full, "full")


def packed(counts: Counts, name: str) -> dict[str, Array]:
    """Return counts (STREAMS, BUCKETS) as the distances between those that are not 0, and these."""
    flat = counts.reshape(-1)
    places = flat.nonzero()[0]
    return {
        f"{name}_steps": np.diff(places, prepend=0).astype(np.uint32),
        f"{name}_counts": flat[places].astype(np.uint32),
    }


def unpacked(data: NpzFile, name: str) -> Counts:
    """Return the counts (STREAMS, BUCKETS) of this name."""
    out = np.zeros(STREAMS * BUCKETS, np.int32)
    out[np.cumsum(data[f"{name}_steps"], dtype=np.int64)] = data[f"{name}_counts"]
    return out.reshape(STREAMS, BUCKETS)


def _keys(common: frozenset[int]) -> Array:
    return np.array(sorted(common), np.uint64)


def read_reference(path: Path) -> Reference:
    """Return the reference of an .npz file. Raises UsageError where it is none, or of another version."""
    with _arrays(path) as data:
        views = []
        for name in ("topic_free", "full"):
            floor, ceiling = (np.asarray(data[f"{name}_{end}"], np.float64) for end in ("floor", "ceiling"))
            views.append(View(unpacked(data, f"{name}_person"), unpacked(data, f"{name}_others"), floor, ceiling))
        known, others = (int(number) for number in data["words"])
        common, (topic_free, full) = frozenset(int(key) for key in data["common"]), views
        language, who = (bytes(data[name]).decode() for name in _NAMES)
        return Reference((known, others), common, topic_free, full, language, who)


@cache
def english() -> Background:
    """Return the background that comes with the program: English of the built-in base's text, books and talk."""
    with resources.as_file(resources.files("curator.contract.voice") / "english.npz") as path, _arrays(path) as data:
        texts = bytes(data["texts"]).decode().split("\0")
        common = frozenset(int(key) for key in data["common"])
        counts = unpacked(data, "topic_free"), unpacked(data, "full")
        return Background(int(data["words"][0]), common, *counts, tuple(texts))


@contextmanager
def _arrays(path: Path) -> Iterator[NpzFile]:
    again = "make it again with: curate run"
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as data:  # np.load leaves a damaged one open
            if data["format"].tolist() != _FORMAT.tolist():
                raise UsageError(f"{path}: counts of another version than this program reads", again)
            yield data
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise UsageError(f"{path}: no counts of how a person writes ({type(error).__name__})", again) from None

"""From files of text to documents, and which documents are held out together.

A document is a text that attention may look back into: a book, a page, a conversation. Documents that share text form a
cluster, and a cluster is trained on or held out as a whole, so that repeated text cannot leak into the validation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curator.contract.errors import UsageError
from curator.contract.files import read_text

# Documents that share 24 tokens in a row are near-duplicates. Of each WINDOW shingles in a row the least hash is kept
# (winnowing, Schleimer et al. 2003), so that SHINGLE + WINDOW - 1 tokens in common always keep one in common.
SHINGLE, WINDOW = 20, 5
GIANT = 0.2  # a cluster with more than this share of all tokens is always trained on, or little would be left to train


def split_text(text: str, how: str, section: int) -> Iterator[str]:
    """Yield the documents of a text: all of it, its lines, or whole paragraphs up to `section` characters."""
    if how == "file":
        yield text.strip()
    elif how == "lines":
        yield from (line.strip() for line in text.split("\n"))
    else:
        part: list[str] = []
        size = 0
        for paragraph in text.split("\n\n"):
            if part and size + len(paragraph) > section:
                yield "\n\n".join(part).strip()
                part, size = [], 0
            part.append(paragraph)
            size += len(paragraph) + 2
        yield "\n\n".join(part).strip()


def read_documents(path: Path, how: str, section: int) -> Iterator[str]:
    """Yield the documents of a file of text, or the "text" of each line of a JSONL file; empty ones are skipped."""
    text = read_text(path)
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        documents: Iterable[str] = _json_texts(path, text)
    else:
        documents = split_text(text, how, section)
    yield from (document for document in documents if document)


def _json_texts(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            document = None
        if not isinstance(document, str) or (not document.isascii() and not _encodable(document)):
            raise UsageError(f'{path}:{number}: expected {{"text": "..."}} on each line')
        yield document.strip()


def _encodable(text: str) -> bool:
    """Say whether UTF-8 can hold a text: JSON may hold half of a surrogate pair, which no tokenizer takes."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


# --- clusters ------------------------------------------------------------------------------------------------------


def shingles(tokens: NDArray[np.uint16], size: int = SHINGLE) -> NDArray[np.uint64]:
    """Return a hash of the `size` tokens from each position on, (n - size + 1,): equal tokens, equal hash."""
    if len(tokens) < size:
        return np.zeros(0, np.uint64)
    wide = tokens.astype(np.uint64)
    out = np.zeros(len(tokens) - size + 1, np.uint64)
    for offset in range(size):  # a polynomial over 2^64, then mixed (the finalizer of splitmix64)
        out = out * np.uint64(0x9E3779B97F4A7C15) + wide[offset : offset + len(out)] + np.uint64(1)
    out ^= out >> np.uint64(30)
    out *= np.uint64(0xBF58476D1CE4E5B9)
    out ^= out >> np.uint64(27)
    return out


def clusters(documents: list[NDArray[np.uint16]], size: int = SHINGLE) -> NDArray[np.int64]:
    """Return each document's near-duplicate cluster, (documents,): the index of the cluster's first document."""
    parent = np.arange(len(documents))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    hashes, owners = _sampled(documents, size)
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    same = (hashes[1:] == hashes[:-1]) & (owners[1:] != owners[:-1])
    pairs = list(zip(owners[:-1][same].tolist(), owners[1:][same].tolist(), strict=True))
    by_bytes: dict[bytes, int] = {}
    pairs += [(by_bytes.setdefault(document.tobytes(), index), index) for index, document in enumerate(documents)]
    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    return np.array([root(index) for index in range(len(documents))], np.int64)


def _sampled(documents: list[NDArray[np.uint16]], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return (hashes, index of the document) of the sampled shingles; sampled by hash, so the same ones everywhere."""
    hashes: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for index, document in enumerate(documents):
        fingerprints = shingles(document, size)
        if len(fingerprints) > WINDOW:
            fingerprints = np.lib.stride_tricks.sliding_window_view(fingerprints, WINDOW).min(axis=1)
        fingerprints = np.unique(fingerprints)
        hashes.append(fingerprints)
        owners.append(np.full(len(fingerprints), index, np.int64))
    return np.concatenate(hashes), np.concatenate(owners)


def held_out(documents: list[NDArray[np.uint16]], share: float, size: int = SHINGLE) -> NDArray[np.bool_]:
    """Return which documents are held out for validation, (documents,).

    Whole clusters, chosen by the hash of their content: the same documents are held out whatever the seed and
    whatever else is in the corpus, until a new document ties two clusters together. With a share above 0 and two
    clusters or more, at least one is held out and at least one is not.
    """
    if share <= 0 or not documents:
        return np.zeros(len(documents), np.bool_)
    cluster = clusters(documents, size)
    sizes = np.bincount(cluster, [len(document) for document in documents], len(documents))
    numbers = np.unique(cluster).tolist()
    ends = np.cumsum(np.bincount(cluster, minlength=len(documents)))
    members = np.split(np.argsort(cluster, kind="stable"), ends[:-1])
    draw = {number: _draw([documents[index] for index in members[number]]) for number in numbers}
    giant = GIANT * sizes.sum()
    eligible = sorted((number for number in numbers if sizes[number] <= giant), key=lambda number: draw[number])
    if not eligible and len(numbers) > 1:  # a few documents, each of them large: hold out the smallest
        eligible = [min(numbers, key=lambda number: (sizes[number], draw[number]))]
    chosen = [number for number in eligible if draw[number] < share] or eligible[:1]
    if len(chosen) == len(numbers):
        chosen = chosen[:-1]
    return np.isin(cluster, chosen)


def _draw(members: list[NDArray[np.uint16]]) -> float:
    """Return a number in [0, 1) that depends on a cluster's content alone.

    It is a hash of the members' least hash. The least hash itself would be small for large clusters, which would then
    be held out far more often than the share says.
    """
    least = min(hashlib.sha256(document.tobytes()).digest() for document in members)
    return float(int.from_bytes(hashlib.sha256(least).digest()[:8], "big") / 2**64)

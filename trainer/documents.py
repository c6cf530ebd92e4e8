"""From files of text to documents, and which documents are held out together.

A document is what a model may look back into: a book, a page, a conversation. Documents that share text form a cluster,
and a cluster is trained on or held out as one, so that a corpus that repeats itself cannot leak into its validation.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UsageError

# Documents that share 24 tokens in a row are near-duplicates. Of each WINDOW shingles in a row the least hash is kept
# (winnowing, Schleimer et al. 2003), so that SHINGLE + WINDOW - 1 tokens in common always keep one in common.
SHINGLE, WINDOW = 20, 5
GIANT = 0.2  # a cluster with more than this share of all tokens is always trained on, or little would be left to train
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})


def plain_quotes(text: str) -> str:
    """Return a text with the quotes of a keyboard, as people type them in chats and at a prompt."""
    return text.translate(_QUOTES)


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, packed by gzip or not, with newlines as '\\n'. Raises UsageError."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise UsageError(f"cannot read {path}: the gzip file is cut off or damaged") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text: byte {error.start:,}: {error.reason}") from None


def split_text(text: str, how: str, section: int) -> Iterator[str]:
    """Yield the documents of a text: the whole, its lines, or whole paragraphs, up to `section` characters."""
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
    """Yield the documents of a file of text, or the "text" of each line of a JSONL file; empty ones are passed over."""
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
    """Say whether a text is whole: JSON may hold half of a surrogate pair, which no tokenizer takes."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


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
    """Return the number of each document's near-duplicate cluster, (documents,): that of its first document."""
    parent = np.arange(len(documents))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = int(parent[one])
        return one

    hashes, owners = _sampled(documents, size)
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    same = (hashes[1:] == hashes[:-1]) & (owners[1:] != owners[:-1])
    pairs = list(zip(owners[:-1][same].tolist(), owners[1:][same].tolist(), strict=True))
    by_bytes: dict[bytes, int] = {}
    pairs += [(by_bytes.setdefault(one.tobytes(), index), index) for index, one in enumerate(documents)]
    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    return np.array([root(one) for one in range(len(documents))], np.int64)


def _sampled(documents: list[NDArray[np.uint16]], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return (hashes, index of the document) of the sampled shingles; sampled by hash, so the same ones everywhere."""
    hashes: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for index, document in enumerate(documents):
        found = shingles(document, size)
        if len(found) > WINDOW:
            found = np.lib.stride_tricks.sliding_window_view(found, WINDOW).min(axis=1)
        found = np.unique(found)
        hashes.append(found)
        owners.append(np.full(len(found), index, np.int64))
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
    sizes = np.bincount(cluster, [len(one) for one in documents], len(documents))
    numbers = np.unique(cluster).tolist()
    ends = np.cumsum(np.bincount(cluster, minlength=len(documents)))
    members = np.split(np.argsort(cluster, kind="stable"), ends[:-1])
    draw = {one: _draw([documents[index] for index in members[one]]) for one in numbers}
    giant = GIANT * sizes.sum()
    eligible = sorted((one for one in numbers if sizes[one] <= giant), key=lambda one: draw[one])
    if not eligible and len(numbers) > 1:  # a few documents, each of them large: hold out the smallest
        eligible = [min(numbers, key=lambda one: (sizes[one], draw[one]))]
    chosen = [one for one in eligible if draw[one] < share] or eligible[:1]
    if len(chosen) == len(numbers):
        chosen = chosen[:-1]
    return np.isin(cluster, chosen)


def _draw(members: list[NDArray[np.uint16]]) -> float:
    """Return a number in [0, 1) that depends on a cluster's content alone.

    Of the least hash of the members a new one is taken: the least of many is small, and large clusters would be held
    out far more often than the share says.
    """
    least = min(hashlib.sha256(one.tobytes()).digest() for one in members)
    return float(int.from_bytes(hashlib.sha256(least).digest()[:8], "big") / 2**64)

"""Token shards: one file of tokens each, beside a manifest that says what is in it.

`NAME.bin` is llama2.c's format: uint16 token ids, little-endian, `<s>` (id 1) before every document.
`NAME.json` is its manifest: the tokenizer's sha256, documents, tokens, source. Both appear whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curator.contract.cli_frame import command_line
from curator.contract.errors import UsageError, counted, disk_error
from curator.contract.files import (
    clear_stale,
    locked,
    pretty_json,
    read_json,
    sha256_of,
    take_away,
    whole_files,
    write_whole,
)
from trainer.data.documents import held_out, read_documents
from trainer.model.prompt_template import plain_quotes
from trainer.model.tokenizer import BOS, Tokenizer

Tokens = NDArray[np.uint16]
Progress = Callable[[str, int, int], None]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Record):
    """A file that a shard was made from."""

    name: str
    sha256: str


class Manifest(_Record):
    """The manifest of a shard."""

    format: Literal["persona-curator-module"] = "persona-curator-module"
    version: Literal[1] = 1
    name: str
    sha256: str = Field(description="of the .bin")
    tokenizer_sha256: str = Field(description="of the tokenizer.model whose ids these are")
    documents: int = Field(ge=1)
    tokens: int = Field(ge=1, description="the marks between documents among them")
    plain_quotes: bool = Field(False, description="curly quotes were made straight")
    sources: list[Source]


@dataclass(frozen=True)
class TokenShard:
    """A shard on disk."""

    path: Path
    manifest: Manifest

    def read(self, vocab_size: int, tokenizer_sha256: str) -> Tokens:
        """Return the tokens (n,). Raises UsageError for another tokenizer, a changed file, or an id past vocab_size."""
        if self.manifest.tokenizer_sha256 != tokenizer_sha256:
            raise UsageError(
                f"{self.path} was made with another tokenizer ({self.manifest.tokenizer_sha256[:12]}, the model has "
                f"{tokenizer_sha256[:12]})",
                "make the shard again from its text: trainer modules add",
            )
        if sha256_of(self.path) != self.manifest.sha256:
            raise UsageError(f"{self.path} is not the file that its manifest describes", "add the shard again")
        return read_bin(self.path, vocab_size)


def read_bin(path: Path, vocab_size: int) -> Tokens:
    """Return the tokens (n,) of a .bin. Raises UsageError: it is empty, cut off, or has an id past the vocabulary."""
    try:
        size = path.stat().st_size
        if size % 2:
            raise UsageError(f"{path}: {counted(size, 'byte')}, an odd number; expected two for each token (uint16)",
                             "the file is cut off, or no file of tokens")  # fmt: skip
        tokens = np.fromfile(path, "<u2")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not len(tokens):
        raise UsageError(f"{path} is empty", "expected tokens, two bytes each")
    highest = int(tokens.max())
    if highest >= vocab_size:
        at = int(np.argmax(tokens >= vocab_size))
        raise UsageError(
            f"{path}: token {int(tokens[at])} at position {at:,} is past the vocabulary of {vocab_size:,} "
            f"(highest: {highest})",
            "the file was made with another tokenizer, or is no uint16",
        )
    return tokens


def split_documents(tokens: Tokens) -> list[Tokens]:
    """Return the documents of a stream of tokens, each with the `<s>` that begins it; empty ones are left out.

    `tokens` (n,); each document (m,).
    """
    starts = np.flatnonzero(tokens == BOS)
    if not len(starts) or starts[0]:
        starts = np.concatenate(([0], starts))
    bounds = np.append(starts, len(tokens))
    parts = [tokens[a:b] for a, b in pairwise(bounds.tolist())]
    return [part for part in parts if len(part) > (part[0] == BOS)]


def check_name(name: str) -> str:
    """Return a shard's name, or raise UsageError where it could be no file's name."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"{name!r} is no name for a shard", "expected letters, digits, '_', '-' or '.', 64 at most")
    return name


@dataclass(frozen=True)
class Splitting:
    """How text becomes documents: `how` is one of names.SPLITS, `section` the characters of a section at most.

    With `plain_quotes`, curly quotes become straight.
    """

    how: str = "file"
    section: int = 8000
    plain_quotes: bool = False


def add_text(
    folder: Path, name: str, files: Iterable[Path], tokenizer: Tokenizer, splitting: Splitting, progress: Progress
) -> TokenShard:
    """Make a shard of the documents of text files.

    Raises UsageError for a name that is taken or no name, a vocabulary past uint16 and files without text; HostError.
    """
    if tokenizer.vocab_size > 1 << 16:
        raise UsageError(f"a vocabulary of {tokenizer.vocab_size:,} does not fit uint16", "expected 65,536 at most")
    parts: list[Tokens] = []
    sources = []
    listed, plain = list(files), splitting.plain_quotes
    for number, path in enumerate(listed):
        progress("tokenizing", number, len(listed))
        texts = list(read_documents(path, splitting.how, splitting.section))
        ids = tokenizer.encode_all([plain_quotes(text) for text in texts] if plain else texts)
        parts += [np.array([BOS, *document], "<u2") for document in ids]
        sources.append(Source(name=path.name, sha256=sha256_of(path)))
    if not parts:
        raise UsageError(f"there is no text in {', '.join(map(str, listed)) or 'no files'}", "name files of text")
    tokens = np.concatenate(parts)
    content = _Content(tokens, len(parts), plain, sources)
    return _write(folder, name, content, tokenizer)


@dataclass(frozen=True)
class _Content:
    """The content of a new shard."""

    tokens: Tokens
    documents: int
    plain_quotes: bool
    sources: list[Source]


def add_bin(folder: Path, name: str, path: Path, tokenizer: Tokenizer) -> TokenShard:
    """Take a file of tokens that llama2.c's tools made; `tokenizer` is the one it was made with.

    Raises UsageError for a file that holds no such tokens, or a name that is taken.
    """
    tokens = read_bin(path, tokenizer.vocab_size)
    documents = split_documents(tokens)
    if not documents:
        raise UsageError(f"{path} holds marks between documents, and no document")
    sources = [Source(name=path.name, sha256=sha256_of(path))]
    return _write(folder, name, _Content(tokens, len(documents), False, sources), tokenizer)


def _write(folder: Path, name: str, content: _Content, tokenizer: Tokenizer) -> TokenShard:
    place = folder / f"{check_name(name)}.bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot make", folder) from None
    with locked(folder):
        clear_stale(place)
        if place.exists() or not _half_removed(place):
            remove = command_line("trainer", "modules", "remove", name, "--shards", folder)
            raise UsageError(f"there is a shard {name!r} in {folder}", f"remove it first: {remove}")
        take_away(_manifest_path(place))
        # The tokens last: a manifest alone is no shard, where tokens alone would be one that nobody can tell.
        with whole_files([_manifest_path(place), place], option="") as aside:
            write_whole(aside / place.name, content.tokens.astype("<u2").tobytes())
            manifest = Manifest(
                name=name,
                sha256=sha256_of(aside / place.name),
                tokenizer_sha256=tokenizer.sha256,
                documents=content.documents,
                tokens=len(content.tokens),
                plain_quotes=content.plain_quotes,
                sources=content.sources,
            )
            write_whole(aside / _manifest_path(place).name, pretty_json(manifest.model_dump()))
    return TokenShard(place, manifest)


def _manifest_path(place: Path) -> Path:
    return place.with_name(place.name.removesuffix(".bin") + ".json")


def _half_removed(place: Path) -> bool:
    """Say whether nothing stands where a shard's manifest would, or that of one whose tokens are removed already."""
    path = _manifest_path(place)
    if not path.exists():
        return True
    try:
        return Manifest.model_validate(read_json(path)).name == path.stem
    except (UsageError, ValidationError):
        return False


def load_shard(path: Path) -> TokenShard:
    """Return a shard by its .bin. Raises UsageError where its manifest is missing or wrong."""
    manifest_path = _manifest_path(path)
    if not manifest_path.is_file():
        if not path.exists():
            raise _no_shard(path.parent, path.stem)
        raise UsageError(
            f"{path} has no manifest {manifest_path.name} beside it",
            f"say which tokenizer it was made with: trainer modules add {manifest_path.stem} --bin {path} "
            "--tokenizer FILE --shards ANOTHER-FOLDER",
        )
    try:
        manifest = Manifest.model_validate(read_json(manifest_path))
        if manifest.name != manifest_path.stem:
            raise UsageError(
                f"{manifest_path} is the manifest of {manifest.name!r}", "add a copied shard under its own name"
            )
        return TokenShard(path, manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{manifest_path}: {place}: {first['msg']}", "add the shard again") from None


def _how_to_make(folder: Path) -> str:
    return f"make one with: {command_line('trainer', 'modules', 'add', 'NAME', '--shards', folder)} --text FILE..."


def _no_shard(folder: Path, name: str) -> UsageError:
    names = sorted(path.stem for path in folder.glob("*.bin") if not path.name.startswith("."))
    known = f"there are: {', '.join(names)}" if names else _how_to_make(folder)
    return UsageError(f"there is no shard {name!r} in {folder}", known)


def list_shards(folder: Path) -> list[TokenShard]:
    """Return all shards of a folder by name. Raises UsageError where there is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of shards", _how_to_make(folder))
    shards = [load_shard(path) for path in sorted(folder.glob("*.bin")) if not path.name.startswith(".")]
    if not shards:
        raise UsageError(f"there is no shard in {folder}", _how_to_make(folder))
    return shards


def remove_shard(folder: Path, name: str) -> None:
    """Delete a shard, its manifest last, so that a half-removed one is still seen.

    Raises UsageError for a name that is not there, HostError where the disk refuses.
    """
    place = folder / f"{check_name(name)}.bin"
    if not place.exists() and not _manifest_path(place).exists():
        raise _no_shard(folder, name)
    try:
        with locked(folder):
            place.unlink(missing_ok=True)
            _manifest_path(place).unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot remove", place) from None


def verify_shard(shard: TokenShard, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Check a shard against its manifest, and against a tokenizer where one is given; return what was found.

    Raises UsageError where they differ.
    """
    sha = tokenizer.sha256 if tokenizer else shard.manifest.tokenizer_sha256
    tokens = shard.read(tokenizer.vocab_size if tokenizer else 1 << 16, sha)
    documents = len(split_documents(tokens))
    counts = {"documents": documents, "tokens": len(tokens)}
    recorded = {"documents": shard.manifest.documents, "tokens": shard.manifest.tokens}
    if counts != recorded:
        raise UsageError(f"{shard.path}: found {counts}, its manifest says {recorded}", "add the shard again")
    return {"name": shard.manifest.name, **counts, "tokenizer_checked": tokenizer is not None}


def parse_mix(text: str | None, shards: list[TokenShard]) -> dict[str, float]:
    """Return the share of every shard, summing to 1: `--mix base=0.7,dialogs=0.3`, else by number of tokens.

    Raises UsageError for a name or weight that cannot be used.
    """
    names = [shard.manifest.name for shard in shards]
    if text is None:
        shares = {shard.manifest.name: float(shard.manifest.tokens) for shard in shards}
    else:
        shares = {}
        for part in text.split(","):
            name, _, number = part.partition("=")
            try:
                value = float(number)
            except ValueError:
                value = -1.0
            if name not in names or name in shares or not 0 < value < float("inf"):
                raise UsageError(
                    f"--mix {text!r}: cannot use {part!r}",
                    f"expected NAME=WEIGHT, each name once, the weight above 0; there are: {', '.join(names)}",
                )
            shares[name] = value
    total = sum(shares.values())
    if total == float("inf"):
        raise UsageError(f"--mix {text!r}: the weights are too large; there are: {', '.join(names)}")
    return {name: value / total for name, value in shares.items()}


def shard_streams(
    shards: list[TokenShard], tokenizer: Tokenizer, share: float, never: str | None = None
) -> tuple[dict[str, Tokens], dict[str, Tokens], dict[str, Any]]:
    """Return (training tokens by shard, held-out tokens by shard, counts).

    Documents are clustered over all shards together, so that none is trained on in one and held out in another. Of
    `never`, the name of a shard, no document is trained on; then none is held out of the others.
    """
    documents: list[Tokens] = []
    owners: list[str] = []
    for shard in shards:
        parts = split_documents(shard.read(tokenizer.vocab_size, tokenizer.sha256))
        documents += parts
        owners += [shard.manifest.name] * len(parts)
    held = held_out(documents, share) if never is None else np.array([owner == never for owner in owners])
    empty = np.zeros(0, np.uint16)
    train, valid = {}, {}
    for shard in shards:
        name = shard.manifest.name
        mine = [index for index, owner in enumerate(owners) if owner == name]
        train[name] = np.concatenate([empty, *[_marked(documents[index]) for index in mine if not held[index]]])
        valid[name] = np.concatenate([empty, *[_marked(documents[index]) for index in mine if held[index]]])
    counts = {
        "documents": len(documents), "documents_held_out": int(held.sum()),
        "tokens": sum(len(stream) for stream in train.values()),
        "tokens_held_out": sum(len(stream) for stream in valid.values()),
    }  # fmt: skip
    return train, valid, counts


def _marked(document: Tokens) -> Tokens:
    """Return a document with `<s>` before it: in a foreign shard the first may lack it, and join the one before."""
    return document if document[0] == BOS else np.concatenate((np.array([BOS], document.dtype), document))

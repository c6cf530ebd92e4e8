"""Knowledge modules: one file of tokens each, beside a manifest that says what is in it.

`NAME.bin` is what llama2.c calls a shard: uint16 token ids, little-endian, every document begun by `<s>` (id 1).
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

from trainer.documents import plain_quotes, read_documents
from trainer.errors import UsageError, disk_error
from trainer.files import locked, pretty_json, read_json, sha256_of, write_whole
from trainer.tokenizer import BOS, Tokenizer

Tokens = NDArray[np.uint16]
Progress = Callable[[str, int, int], None]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Record):
    """A file that a module was made from."""

    name: str
    sha256: str


class Manifest(_Record):
    """The manifest of a module."""

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
class Module:
    """A module on disk."""

    path: Path
    manifest: Manifest

    def read(self, vocab_size: int, tokenizer_sha256: str) -> Tokens:
        """Return the tokens, checked: of this tokenizer, whole, every id below vocab_size."""
        if self.manifest.tokenizer_sha256 != tokenizer_sha256:
            raise UsageError(
                f"{self.path} was made with another tokenizer ({self.manifest.tokenizer_sha256[:12]}, the model has "
                f"{tokenizer_sha256[:12]})",
                "make the module again from its text: trainer modules add",
            )
        if sha256_of(self.path) != self.manifest.sha256:
            raise UsageError(f"{self.path} is not the file that its manifest describes", "add the module again")
        return read_bin(self.path, vocab_size)


def read_bin(path: Path, vocab_size: int) -> Tokens:
    """Return the tokens of a .bin as they stand. Raises UsageError: empty, an odd byte, an id past the vocabulary."""
    try:
        size = path.stat().st_size
        if size % 2:
            raise UsageError(f"{path}: {size:,} bytes, an odd number; expected two for each token (uint16)",
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
    """Return the documents of a stream of tokens, each with the `<s>` that begins it; empty ones are left out."""
    starts = np.flatnonzero(tokens == BOS)
    if not len(starts) or starts[0]:
        starts = np.concatenate(([0], starts))
    bounds = np.append(starts, len(tokens))
    parts = [tokens[a:b] for a, b in pairwise(bounds.tolist())]
    return [part for part in parts if len(part) > (part[0] == BOS)]


def check_name(name: str) -> str:
    """Return a module's name, or raise UsageError where it could be no file's name."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"{name!r} is no name for a module", "expected letters, digits, '_', '-' or '.', 64 at most")
    return name


def add_text(
    folder: Path, name: str, files: Iterable[Path], tokenizer: Tokenizer, how: str, section: int, plain: bool,
    progress: Progress,
) -> Module:  # fmt: skip
    """Make a module of the documents of text files; `how` they are split is one of documents.SPLITS."""
    if tokenizer.vocab_size > 1 << 16:
        raise UsageError(f"a vocabulary of {tokenizer.vocab_size:,} does not fit uint16", "expected 65,536 at most")
    parts: list[Tokens] = []
    sources = []
    listed = list(files)
    for number, path in enumerate(listed):
        progress("tokenizing", number, len(listed))
        texts = list(read_documents(path, how, section))
        ids = tokenizer.encode_all([plain_quotes(text) for text in texts] if plain else texts)
        parts += [np.array([BOS, *one], "<u2") for one in ids]
        sources.append(Source(name=path.name, sha256=sha256_of(path)))
    if not parts:
        raise UsageError(f"there is no text in {', '.join(map(str, listed)) or 'no files'}", "name files of text")
    tokens = np.concatenate(parts)
    return _write(folder, name, tokens, tokenizer, len(parts), plain, sources)


def add_bin(folder: Path, name: str, path: Path, tokenizer: Tokenizer) -> Module:
    """Take a file of tokens that llama2.c's tools made; `tokenizer` is the one it was made with."""
    tokens = read_bin(path, tokenizer.vocab_size)
    documents = split_documents(tokens)
    if not documents:
        raise UsageError(f"{path} holds marks between documents, and no document")
    sources = [Source(name=path.name, sha256=sha256_of(path))]
    return _write(folder, name, tokens, tokenizer, len(documents), False, sources)


def _write(
    folder: Path, name: str, tokens: Tokens, tokenizer: Tokenizer, documents: int, plain: bool, sources: list[Source]
) -> Module:
    place = folder / f"{check_name(name)}.bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot make", folder) from None
    with locked(folder):
        if place.exists() or place.with_suffix(".json").exists():
            raise UsageError(
                f"there is a module {name!r} in {folder}", f"remove it first: trainer modules remove {name}"
            )
        write_whole(place, tokens.astype("<u2").tobytes())
        manifest = Manifest(
            name=name, sha256=sha256_of(place), tokenizer_sha256=tokenizer.sha256, documents=documents,
            tokens=len(tokens), plain_quotes=plain, sources=sources,
        )  # fmt: skip
        try:
            write_whole(_manifest_path(place), pretty_json(manifest.model_dump()))
        except BaseException:
            place.unlink(missing_ok=True)
            raise
    return Module(place, manifest)


def _manifest_path(place: Path) -> Path:
    return place.with_name(place.name.removesuffix(".bin") + ".json")


def load_module(path: Path) -> Module:
    """Return a module by its .bin. Raises UsageError where its manifest is missing or wrong."""
    manifest = _manifest_path(path)
    if not manifest.is_file():
        raise UsageError(
            f"{path} has no manifest {manifest.name} beside it",
            f"say which tokenizer it was made with: trainer modules add {manifest.stem} --bin {path} --tokenizer FILE "
            "--modules ANOTHER-FOLDER",
        )
    try:
        found = Manifest.model_validate(read_json(manifest))
        if found.name != manifest.stem:
            raise UsageError(f"{manifest} is the manifest of {found.name!r}", "add a copied module under its own name")
        return Module(path, found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{manifest}: {place}: {first['msg']}", "add the module again") from None


def list_modules(folder: Path) -> list[Module]:
    """Return all modules of a folder by name. Raises UsageError where there is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of modules", "make one with: trainer modules add NAME --text FILE...")
    found = [load_module(path) for path in sorted(folder.glob("*.bin")) if not path.name.startswith(".")]
    if not found:
        raise UsageError(f"there is no module in {folder}", "make one with: trainer modules add NAME --text FILE...")
    return found


def remove_module(folder: Path, name: str) -> None:
    """Delete a module, its manifest last, so that a half-removed one is still seen."""
    place = folder / f"{check_name(name)}.bin"
    if not place.exists() and not _manifest_path(place).exists():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.bin"))) or "none"
        raise UsageError(f"there is no module {name!r} in {folder}; there are: {known}")
    try:
        with locked(folder):
            place.unlink(missing_ok=True)
            _manifest_path(place).unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, "cannot remove", place) from None


def verify_module(module: Module, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Check a module against its manifest, and against a tokenizer where one is given; return what was found."""
    sha = tokenizer.sha256 if tokenizer else module.manifest.tokenizer_sha256
    tokens = module.read(tokenizer.vocab_size if tokenizer else 1 << 16, sha)
    documents = len(split_documents(tokens))
    found = {"documents": documents, "tokens": len(tokens)}
    told = {"documents": module.manifest.documents, "tokens": module.manifest.tokens}
    if found != told:
        raise UsageError(f"{module.path}: found {found}, its manifest says {told}", "add the module again")
    return {"name": module.manifest.name, **found, "tokenizer_checked": tokenizer is not None}


def parse_mix(text: str | None, modules: list[Module]) -> dict[str, float]:
    """Return the share of every module, summing to 1: `--mix base=0.7,dialogs=0.3`, else by number of tokens."""
    names = [module.manifest.name for module in modules]
    if text is None:
        shares = {module.manifest.name: float(module.manifest.tokens) for module in modules}
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
    whole = sum(shares.values())
    if whole == float("inf"):
        raise UsageError(f"--mix {text!r}: the weights are too large; there are: {', '.join(names)}")
    return {name: value / whole for name, value in shares.items()}

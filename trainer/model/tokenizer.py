"""SentencePiece BPE that llama2.c's run.c, Hugging Face's tokenizers and SentencePiece itself read alike.

Two settings matter: `remove_extra_whitespaces` is off, because run.c and tokenizers do not collapse spaces, and the
normalizer is `identity`, because they do not normalize either. With both, all three give the same ids for any text; a
test checks it on 2,000 random strings.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece

from curator.contract.errors import UsageError
from curator.contract.files import read_bytes

UNK, BOS, EOS = 0, 1, 2
SPACE = "▁"
MAX_FILE = 64 << 20  # a tokenizer.model of a known model has at most a few megabytes
# SentencePiece silently skips longer lines (its default limit is 4,192 bytes); we cut lines to be shorter.
MAX_LINE = 1 << 16


class Tokenizer:
    """A tokenizer.model in memory. The ids of `<unk>`, `<s>` and `</s>` are 0, 1 and 2."""

    def __init__(self, model: bytes, name: str = "tokenizer.model") -> None:
        self.model, self.sha256 = model, hashlib.sha256(model).hexdigest()
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, ValueError, TypeError) as error:
            raise UsageError(f"{name} is no SentencePiece model: {str(error)[:200]}") from None
        self.vocab_size = int(self._pieces.vocab_size())
        if (self._pieces.unk_id(), self._pieces.bos_id(), self._pieces.eos_id()) != (UNK, BOS, EOS):
            raise UsageError(
                f"{name}: <unk>, <s>, </s> have the ids {self._pieces.unk_id()}, {self._pieces.bos_id()}, "
                f"{self._pieces.eos_id()}; expected 0, 1, 2",
                "make one with: trainer tokenizer train --corpus FILE... --out FILE",
            )
        self._after = self._pieces.encode("\n")

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read a tokenizer.model. Raises UsageError where it is missing, too large or something else."""
        try:
            if path.stat().st_size > MAX_FILE:
                raise UsageError(f"{path}: {path.stat().st_size:,} bytes; expected a tokenizer of at most {MAX_FILE:,}")
            return cls(read_bytes(path), str(path))
        except OSError as error:
            raise UsageError(
                f"cannot read the tokenizer {path}: {error.strerror}", "name it with --tokenizer FILE"
            ) from None

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """Return the ids of a text, with `<s>` before them. `<s>` within the text is text."""
        return [BOS] * bos + self._ids(text)

    def encode_after(self, text: str) -> list[int]:
        """Return the ids of a text that goes on after another: without the blank that begins every encoded text."""
        joined = self._ids("\n" + text)
        if joined[: len(self._after)] != self._after:  # a vocabulary with a piece that begins with a newline
            return self._ids(text)
        return joined[len(self._after) :]

    def _ids(self, text: str) -> list[int]:
        try:
            return list(self._pieces.encode(text))
        except (RuntimeError, TypeError, UnicodeEncodeError):  # as SentencePiece's binding puts it
            raise UsageError("a text holds half of a surrogate pair", "expected text that UTF-8 can hold") from None

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of many texts at once, without `<s>`."""
        return [list(ids) for ids in self._pieces.encode(texts)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, without `<s>` and `</s>`; broken UTF-8 becomes U+FFFD."""
        # int(): SentencePiece 0.1 takes no numpy integers, 0.2.1 crashes on ids out of range.
        known = [int(index) for index in ids if 0 <= int(index) < self.vocab_size]
        return str(self._pieces.decode(known))

    def piece(self, index: int) -> str:
        """Return the piece of an id as SentencePiece writes it, spaces as '▁'."""
        return str(self._pieces.id_to_piece(int(index)))

    def pieces(self) -> list[str]:
        """Return all pieces in the order of their ids."""
        return [self.piece(index) for index in range(self.vocab_size)]

    def scores(self) -> list[float]:
        """Return the score of every id: the higher, the earlier it is merged."""
        return [float(self._pieces.get_score(index)) for index in range(self.vocab_size)]

    def settings(self) -> dict[str, Any]:
        """Return how the model was trained: model_type, byte_fallback, normalizer (its name), normalizes, dummy_prefix.

        Read from the file itself, a message of Protocol Buffers: SentencePiece's own calls tell none of these.
        """
        whole = _fields(self.model)
        trainer, normalizer = _fields(_last(whole, 2, b"")), _fields(_last(whole, 3, b""))
        kind = _last(trainer, 3, 1)
        return {
            "model_type": _MODEL_TYPES.get(kind, f"type {kind}"),
            "byte_fallback": bool(_last(trainer, 35, 0)),
            "normalizer": bytes(_last(normalizer, 1, b"")).decode("utf-8", "replace"),
            "normalizes": bool(_last(normalizer, 2, b"")),
            "dummy_prefix": bool(_last(normalizer, 3, 1)),
        }

    def kind(self, index: int) -> str:
        """Return 'normal', 'unknown', 'control', 'byte' or 'unused'."""
        tests = {"unknown": self._pieces.is_unknown, "control": self._pieces.is_control,
                 "byte": self._pieces.is_byte, "unused": self._pieces.is_unused}  # fmt: skip
        return next((name for name, test in tests.items() if test(int(index))), "normal")


_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
# Fields of sentencepiece_model.proto: a number or bytes, by the field's number.
_Fields = dict[int, list[int | bytes]]


def _last(fields: _Fields, number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]


def _fields(message: bytes) -> _Fields:
    """Return the fields of a message of Protocol Buffers that SentencePiece has read already, so that it is whole."""
    found: _Fields = {}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value: int | bytes
            value, place = _varint(message, place)
        else:
            size, place = _varint(message, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
            value, place = message[place : place + size], place + size
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


def train_tokenizer(lines: Iterable[str], vocab_size: int, report: Any = None) -> bytes:
    """Train a BPE tokenizer with byte fallback and split digits; return the bytes of its tokenizer.model.

    The same lines give the same bytes. Raises UsageError where the text is too small for the vocabulary.
    """
    counted = _Counted(lines)
    out = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(counted),
            model_writer=out,
            vocab_size=vocab_size,
            model_type="bpe",
            character_coverage=1.0,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=2 * MAX_LINE,
            input_sentence_size=0,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, ValueError, OSError) as error:
        if counted.failure:  # SentencePiece replaces what its iterator raises by an INTERNAL error
            raise counted.failure from None
        if not counted.lines:
            raise UsageError("the corpus has no text", "name files of text with --corpus") from None
        raise UsageError(
            # SentencePiece puts its own source file and condition before what it has to say.
            f"no tokenizer of {vocab_size:,} pieces can be trained on {counted.lines:,} lines: "
            f"{str(error).rpartition('] ')[2][-300:]}",
            "name more text, or a smaller --vocab-size (259 at the least: 256 bytes and three marks)",
        ) from None
    return out.getvalue()


class _Counted:
    """Lines for SentencePiece, counted, and cut at a blank where they are too long for it."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._source, self.lines = lines, 0
        self.failure: UsageError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._source:
                rest = line.rstrip("\n").replace("\0", "")
                while rest:
                    part = rest[: MAX_LINE // 4]  # a character has at most four bytes
                    if len(rest) > len(part) and " " in part:
                        part = part[: part.rindex(" ")] or part
                    rest = rest[len(part) :]
                    self.lines += 1
                    yield part
        except UsageError as error:
            self.failure = error
            raise


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return Hugging Face's tokenizer.json of the same tokenizer.

    Merges are all splits of a piece into two known pieces, best piece first. Layout: huggingface/tokenizers; that the
    ids agree with SentencePiece's is tested.
    """
    pieces, scores = tokenizer.pieces(), tokenizer.scores()
    ids = {piece: index for index, piece in enumerate(pieces)}
    merges: list[list[str]] = []
    normal = [index for index in range(len(pieces)) if tokenizer.kind(index) == "normal"]
    for index in sorted(normal, key=lambda index: (-scores[index], index)):
        piece = pieces[index]
        splits = [(piece[:at], piece[at:]) for at in range(1, len(piece)) if piece[:at] in ids and piece[at:] in ids]
        merges += [[a, b] for a, b in sorted(splits, key=lambda split: (ids[split[0]], ids[split[1]]))]
    special = [
        {"id": index, "content": pieces[index], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for index in (UNK, BOS, EOS)
    ]  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": pieces[UNK], "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": ids, "merges": merges,
        },
    }  # fmt: skip


def tokenizer_bin(tokenizer: Tokenizer) -> bytes:
    """Return llama2.c's tokenizer.bin: uint32 longest piece in bytes; of each: float32 score, uint32 length, bytes."""
    rows = []
    for index, (piece, score) in enumerate(zip(tokenizer.pieces(), tokenizer.scores(), strict=True)):
        # run.c prints these two as they are; llama2.c's own tokenizer.py adds the newlines too.
        text = f"\n{piece}\n" if index in (BOS, EOS) else piece.replace(SPACE, " ")
        rows.append((score, text.encode()))
    longest = max(len(text) for _, text in rows)
    body = b"".join(struct.pack("<fI", score, len(text)) + text for score, text in rows)
    return struct.pack("<I", longest) + body

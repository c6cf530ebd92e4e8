"""The tokenizer: three readers that agree on every id, text that comes back whole, training that skips nothing."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from core_fixtures import paragraph, tokenizer, tokenizer_bytes, trainer, words

from curator.contract.errors import UsageError
from trainer.model.tokenizer import Tokenizer, _Counted, tokenizer_bin, tokenizer_json, train_tokenizer

SPECIAL = ("<s>", "</s>", "<unk>")
_MADE_OF = [
    *"abzéß 0179.,!?'\"-\t\n\r\0\x7f", "  ", "   ", "\n\n", " \n ", "\u00a0", "\u200b", "\ufeff", "\u2028",
    "▁", "▁▁", " ▁",
    "😀", "👩‍👧", "🇩🇪", "日本語", "漢", "한국", "العربية", "e\u0301", "a\u0308\u0323", "\u0301", "\U0010ffff", "\ue000",
    "<s>", "</s>", "<unk>", "<0x41>", "<0x0A>", "<", ">", "1984", "00", "http://a.b/c?d=e&f", "{{7*7}}",
]  # fmt: skip


def fuzz(seed: int, number: int) -> list[str]:
    """Strings of the tiny language between anything that a tokenizer may trip over."""
    rng = random.Random(seed)

    def part() -> str:
        return rng.choice(_MADE_OF) if rng.random() < 0.5 else words(rng, 1)[0]

    return [rng.choice(("", " ")).join(part() for _ in range(rng.randint(0, 14))) for _ in range(number)]


def read_bin(data: bytes) -> tuple[int, list[tuple[bytes, float]]]:
    """The pieces and scores of a tokenizer.bin, by its documented layout."""
    (longest,), at, out = struct.unpack_from("<I", data), 4, []
    while at < len(data):
        score, length = struct.unpack_from("<fI", data, at)
        out.append((data[at + 8 : at + 8 + length], score))
        at += 8 + length
    return longest, out


def runc_encoder(data: bytes) -> Callable[[str], list[int]]:
    """llama2.c's run.c: a blank, the characters or their bytes + 3, then the best pair merged until there is none."""
    _, pieces = read_bin(data)
    known: dict[bytes, int] = {}
    for index, (piece, _) in enumerate(pieces):
        known.setdefault(piece, index)

    def encode(text: str) -> list[int]:
        ids = [1, *([known[b" "]] if text else [])]
        for character in text:
            raw = character.encode()
            ids += [known[raw]] if raw in known else [byte + 3 for byte in raw]
        while True:
            best, where = -1e10, -1
            for at in range(len(ids) - 1):
                merged = known.get(pieces[ids[at]][0] + pieces[ids[at + 1]][0])
                if merged is not None and pieces[merged][1] > best:
                    best, where = pieces[merged][1], at
            if where < 0:
                return ids
            ids[where : where + 2] = [known[pieces[ids[where]][0] + pieces[ids[where + 1]][0]]]

    return encode


# --- three readers ---


def test_2000_strings_have_the_same_ids_in_sentencepiece_in_hugging_face_and_in_run_c():
    ours = tokenizer()
    theirs = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    runc = runc_encoder(tokenizer_bin(ours))
    texts = fuzz(1, 2000)
    compared = 0
    for text in texts:
        ids = ours.encode(text)
        # run.c knows no '▁' of its own: in tokenizer.bin it is a blank, as SentencePiece reads it.
        assert runc(text.replace("▁", " ")) == ids, repr(text)
        if not any(mark in text for mark in SPECIAL):  # Hugging Face takes those in a text for marks
            assert theirs.encode(text).ids == ids, repr(text)
            compared += 1
    assert compared > 1000
    seen = [ours.kind(one) for one in {one for text in texts for one in ours.encode(text)}]
    assert (seen.count("normal"), seen.count("byte")) > (80, 60)  # of 141 and 256: not the letters alone


def test_runs_of_blanks_are_pieces_that_all_three_merge_alike():
    code = ["    if x:", "        return  y", "            z = 1"] * 40
    ours = Tokenizer(train_tokenizer(code, 290))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    runc = runc_encoder(tokenizer_bin(ours))
    assert "▁▁▁▁" in ours.pieces()
    for blanks in range(20):
        for text in (" " * blanks, " " * blanks + "if", "x" + " " * blanks, f"x{' ' * blanks}y"):
            assert ours.encode(text) == theirs.encode(text).ids == runc(text)


def test_the_marks_are_text_where_they_stand_in_a_text():
    ours = tokenizer()
    for mark in SPECIAL:
        assert not {0, 1, 2} & set(ours.encode(f"a {mark} b", bos=False))
        assert ours.decode(ours.encode(f"a {mark} b")) == f"a {mark} b"


def test_tokenizer_bin_has_the_documented_layout():
    ours = tokenizer()
    longest, pieces = read_bin(tokenizer_bin(ours))
    assert len(pieces) == 400
    assert longest == max(len(piece) for piece, _ in pieces)
    assert [piece for piece, _ in pieces[:5]] == [b"<unk>", b"\n<s>\n", b"\n</s>\n", b"<0x00>", b"<0x01>"]
    assert pieces[258][0] == b"<0xFF>"
    assert pieces[259][1] == 0 and pieces[260][1] == -1  # scores of merges fall one by one
    assert all(piece and "▁".encode() not in piece for piece, _ in pieces)  # a piece of no bytes makes run.c stop
    assert [score for _, score in pieces] == ours.scores()


# --- encoding and decoding ---


def test_text_comes_back_whole():
    ours = tokenizer()
    for text in fuzz(2, 500):
        expected = text.replace("▁", " ")  # SentencePiece's own mark for a blank is a blank
        assert ours.decode(ours.encode(text)) == expected
        assert ours.decode(ours.encode(text, bos=False)) == expected


def test_a_text_that_goes_on_after_another_has_the_ids_of_the_two_together():
    ours, rng = tokenizer(), random.Random(3)
    for text, rest in zip(fuzz(4, 600), fuzz(5, 600), strict=True):
        prompt = text.rstrip(" ▁") + rng.choice(("x", ":", "\n", "é"))  # a prompt never ends in a blank
        for begin in (" ", "\n", "\n ", " \n", "  "):
            whole = ours.encode(prompt + begin + rest)
            assert ours.encode(prompt) + ours.encode_after(begin + rest) == whole, repr((prompt, begin + rest))


def test_digits_are_split():
    ours = Tokenizer(train_tokenizer(["In 1984 and 1985, 84 of 1984."] * 40, 280))
    digits = [piece for piece in ours.pieces() if any(c.isdigit() for c in piece) and piece[0] != "<"]
    assert digits == [piece for piece in digits if len(piece) == 1] != []
    assert [ours.piece(one) for one in ours.encode("1984", bos=False)] == ["▁", "1", "9", "8", "4"]


def test_decoding_takes_numpy_integers_and_passes_over_ids_out_of_range():
    ours = tokenizer()
    ids = np.array(ours.encode("ba ko"))
    assert ours.decode(ids) == "ba ko"
    assert ours.decode([*ids.tolist(), -1, 400, 10**9]) == "ba ko"


def test_many_texts_at_once_have_the_ids_of_each():
    ours, texts = tokenizer(), ["ba ko", "", "  ", "1\n2"]
    assert ours.encode_all(texts) == [ours.encode(text, bos=False) for text in texts]
    assert ours.encode_all([]) == []


def test_half_a_pair_of_surrogates_is_one_clear_error(tmp_path: Path):
    # JSON can name it ("\ud800"), UTF-8 cannot hold it.
    with pytest.raises(UsageError):
        tokenizer().encode("a\ud800b")
    corpus = tmp_path / "a.jsonl"
    corpus.write_text('{"text": "ba ko \\ud800 ti"}\n')
    done = trainer("tokenizer", "train", "--corpus", corpus, "--vocab-size", 270, "--out", tmp_path / "t.model")
    assert done.status == 2 and str(corpus) in done.err and "pybind" not in done.err.lower(), done.err


# --- training ---


def test_two_trainings_give_the_same_bytes():
    rng = random.Random(1)
    lines = [paragraph(rng) for _ in range(100)]
    assert train_tokenizer(lines, 320) == train_tokenizer(iter(lines), 320)


@pytest.mark.parametrize("length", [4_000, 10_000, 16_384, 100_000])
def test_a_long_line_is_not_passed_over(length: int):
    # SentencePiece leaves out lines above 4,192 bytes without a word: what occurs only there would be unknown.
    rng = random.Random(1)
    short = [paragraph(rng) for _ in range(50)]
    line = ""
    while len(line) < length:
        line += " Zyqqzyqq " + " ".join(words(rng, 5))
    assert "▁Zyqqzyqq" not in Tokenizer(train_tokenizer(short, 330)).pieces()
    assert "▁Zyqqzyqq" in Tokenizer(train_tokenizer([*short, line[:length]], 330)).pieces()


def test_the_end_of_a_long_line_is_read_too():
    rng = random.Random(1)
    line = " ".join(words(rng, 30_000)) + " Zyqqzyqq" * 400
    assert len(line) > 100_000
    assert "▁Zyqqzyqq" in Tokenizer(train_tokenizer([line], 330)).pieces()


def test_a_long_line_is_cut_at_a_blank():
    # Else a word that lies across the cut becomes two words that nobody wrote.
    line = " ".join(["Zyqqzyqq"] * 60_000)  # a cut at every 16,384 characters falls into a word
    parts = list(_Counted([line]))
    assert {word for part in parts for word in part.split()} == {"Zyqqzyqq"}


def test_a_line_without_a_blank_is_read_whole():
    line = "漢" * 100_001
    assert "".join(_Counted([line])) == line


@pytest.mark.parametrize(
    ("texts", "size", "told"),
    [
        ([], 400, "no text"),
        (["", "\n"], 400, "no text"),
        (["ba ko"], 400, "400"),  # too little text
        (["ba ko ti re"], 100, "100"),  # 256 bytes and three marks at the least
        (["ba ko ti re"], 1, "1 pieces"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_error(texts: list[str], size: int, told: str):
    with pytest.raises(UsageError) as caught:
        train_tokenizer(texts, size)
    assert told in str(caught.value)


def corpus(folder: Path, name: str = "corpus.txt", number: int = 60) -> Path:
    rng = random.Random(2)
    path = folder / name
    text = "\n".join(paragraph(rng) for _ in range(number)).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def test_the_command_trains_a_tokenizer_and_says_where_it_is(tmp_path: Path):
    out = tmp_path / "tokenizer.model"
    files = [corpus(tmp_path), corpus(tmp_path, "more.txt.gz", 80)]
    done = trainer("tokenizer", "train", "--corpus", *files, "--vocab-size", 310, "--out", out)
    assert (done.status, done.out) == (0, f"{out}\n")
    assert Tokenizer.load(out).vocab_size == 310
    before = out.read_bytes()
    again = trainer("tokenizer", "train", "--corpus", *files, "--vocab-size", 320, "--out", out)
    assert again.status == 2 and out.read_bytes() == before  # nothing of the user's is overwritten


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.txt", None, "cannot read"),
        ("latin.txt", "é".encode("latin-1"), "no UTF-8"),
        ("half.txt.gz", gzip.compress(b"ba ko ti " * 99, mtime=0)[:30], "cut off"),
        ("plain.txt.gz", b"ba ko", "cannot read"),
        ("bad.jsonl", b'{"text": 3}\n', "expected"),
    ],
    ids=["missing", "latin-1", "gzip cut off", "no gzip", "no text"],
)
def test_a_corpus_that_cannot_be_read_is_named(tmp_path: Path, order: str, name: str, content: bytes | None, told: str):
    # SentencePiece reads the text: an error within must come through it whole, whether it has read other lines or none.
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    files = [bad, corpus(tmp_path)] if order == "first" else [corpus(tmp_path), bad]
    out = tmp_path / "tokenizer.model"
    done = trainer("tokenizer", "train", "--corpus", *files, "--vocab-size", 310, "--out", out)
    assert done.status == 2 and not out.exists()
    assert told in done.err and str(bad) in done.err, done.err
    assert "INTERNAL" not in done.err and ".py(" not in done.err, done.err  # C++ and Python places are no message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read"),
        (b"", "<unk>"),
        (b"ba ko ti re\n" * 50, "no SentencePiece model"),
        (bytes(random.Random(1).randbytes(5000)), "no SentencePiece model"),
        (tokenizer_bytes()[:2000], "no SentencePiece model"),
    ],
    ids=["missing", "empty", "text", "random", "cut off"],
)
def test_another_file_in_place_of_a_tokenizer_is_one_clear_error(tmp_path: Path, content: bytes | None, told: str):
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(UsageError) as caught:
        Tokenizer.load(path)
    assert told in str(caught.value) and str(path) in str(caught.value)
    assert time.monotonic() - begun < 2


def test_a_tokenizer_with_other_marks_is_refused():
    out = io.BytesIO()
    rng = random.Random(1)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([paragraph(rng) for _ in range(50)]), model_writer=out, vocab_size=100,
        bos_id=0, unk_id=1, minloglevel=2,
    )  # fmt: skip
    with pytest.raises(UsageError, match="expected 0, 1, 2"):
        Tokenizer(out.getvalue())

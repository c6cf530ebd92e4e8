"""Token shards by the command line: what is odd works, what is wrong is one clear error, nothing ever hangs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from core_fixtures import (
    TINY,
    Place,
    Result,
    at_most,
    document,
    ids,
    place_in,
    shared_place,
    tokenizer,
    trainer,
    trainer_process,
)

from curator.contract.errors import UsageError, counted
from trainer.data.token_shards import list_shards, load_shard, parse_mix, read_bin, shard_streams, split_documents
from trainer.model.tokenizer import Tokenizer, train_tokenizer
from trainer.settings import PretrainSettings
from trainer.training.pretrain import PretrainRequest, pretrain_data


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path / "place")


def listing(folder: Path) -> dict[str, bytes]:
    """Every file and folder below a folder; the lock aside."""
    found = sorted(path for path in folder.rglob("*") if path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder" for path in found}


def is_clear_error(done: Result, status: int, *told: str) -> None:
    """One error of that status, without a traceback, that says all of `told`."""
    assert done.status == status, (done.status, done.err)
    assert "Traceback" not in done.err
    assert done.err.count("trainer: ") == 1, done.err
    assert [one for one in told if one not in done.err] == [], done.err


# --- what works ---

SHARDS: dict[str, list[int]] = {
    "one shard": [token for seed in range(12) for token in document(seed, 60).tolist()],
    "one document": document(1, 200).tolist(),
    "shorter than the context": [1, 5, 6],
    "a document of one token": [1, 5],
    "as long as the context": document(1, 32).tolist(),
    "one longer than the context": document(1, 33).tolist(),
    "two longer than the context": document(1, 34).tolist(),
    "two windows": document(1, 65).tolist(),
    "two documents": [*document(1, 40).tolist(), *document(2, 30).tolist()],
    "two tiny documents": [1, 5, 1, 6],
    "no mark at all": ids(1, 300).tolist(),
    "text before the first mark": [*ids(1, 50).tolist(), *document(2, 50).tolist()],
    "marks in a row": [1, 1, 1, 5, 6, 1, 1, 7, 8, 1],
    "unknown and end marks": [1, 0, 2, 5, 2, 1, 0, 0, 2],
    "a document that repeats itself": document(1, 20).tolist() * 40,
    "all one token": [7] * 500,
    "no mark and two tokens": [7, 8],
}


@pytest.mark.parametrize("name", SHARDS)
def test_an_odd_shard_works_all_the_way_to_training_or_is_one_clear_error(place: Place, name: str):
    done = place.add("odd", "--bin", place.shard("odd.bin", SHARDS[name]))
    assert done.status == 0, done.err
    assert (place.modules / "odd.bin").read_bytes() == np.array(SHARDS[name], "<u2").tobytes()
    assert trainer("modules", "list", "--shards", place.modules).out.count("odd") >= 1
    assert "odd: " in trainer("modules", "verify", "--shards", place.modules, "--tokenizer", place.tokenizer).out
    trained = trainer_process(*place.pretrain(place.folder / "out", "--steps", 2), timeout=30)
    if len(SHARDS[name]) > 1:
        assert trained.status == 0, trained.err
        assert trained.out == f"{place.folder / 'out'}\n"
        metrics = (place.folder / "out" / "training" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in metrics] == [1, 2]
        assert all(json.loads(line)["loss"] > 0 for line in metrics)  # something was trained
    else:  # there is no next token to learn
        is_clear_error(trained, 2)
        assert not (place.folder / "out").exists()


TEXTS: dict[str, tuple[str, str, int]] = {
    "one word": ("a.txt", "ba", 1),
    "bytes only": ("a.txt", "😀漢字\n\n\t…", 1),
    "lines of one letter": ("a.jsonl", "\n".join(['{"text": "b"}'] * 100), 100),
    "a hundred times the same": (
        "a.jsonl",
        "\n".join('{"text": "ba ko ti re mu san lor vi"}' for _ in range(100)),
        100,
    ),
    "marks as text": ("a.txt", "<s>ba</s> <unk> <0x41>", 1),
    "a NUL and a form feed": ("a.txt", "ba\0ko\fti", 1),
    "a very long word": ("a.txt", "ba" * 50_000, 1),
}


@pytest.mark.parametrize("name", TEXTS)
def test_odd_text_works_all_the_way_to_training(place: Place, name: str):
    file, text, documents = TEXTS[name]
    with at_most(20):
        done = place.add("odd", "--text", place.text(file, text))
    assert (done.status, done.out) == (0, f"{place.modules / 'odd.bin'}\n"), done.err
    tokens = read_bin(place.modules / "odd.bin", 400)
    assert len(split_documents(tokens)) == documents == list(tokens).count(1)
    assert done.complaints == f"{counted(documents, 'document')}, {counted(len(tokens), 'token')}\n"
    assert trainer("modules", "verify", "odd", "--shards", place.modules).status == 0
    trained = trainer_process(*place.pretrain(place.folder / "out", "--steps", 2), timeout=30)
    assert trained.status == 0, trained.err


def test_a_module_of_text_holds_each_document_behind_a_mark(place: Place):
    one, two = place.text("one.txt", "ba ko\n\nti"), place.text("two.jsonl", '{"text": "“re”"}\n{"text": "  "}\n')
    assert place.add("m", "--text", one, two, "--plain-quotes").status == 0
    encode = tokenizer().encode
    assert read_bin(place.modules / "m.bin", 400).tolist() == encode("ba ko\n\nti") + encode('"re"')
    told = json.loads((place.modules / "m.json").read_text())
    assert {key: told[key] for key in ("name", "documents", "plain_quotes", "tokenizer_sha256")} == {
        "name": "m", "documents": 2, "plain_quotes": True, "tokenizer_sha256": tokenizer().sha256,
    }  # fmt: skip
    assert [source["name"] for source in told["sources"]] == ["one.txt", "two.jsonl"]
    # And what stands under either mark can be told apart: no document holds a mark but its own.
    assert [part[0] for part in split_documents(read_bin(place.modules / "m.bin", 400))] == [1, 1]


def test_what_is_added_can_be_listed_and_removed(place: Place):
    assert place.add("one", "--text", place.text("one.txt", "ba ko")).status == 0
    before = listing(place.modules)
    assert place.add("two", "--text", place.text("two.txt", "ti re"), "--documents", "lines").status == 0
    found = json.loads(trainer("modules", "list", "--shards", place.modules, "--json").out)
    assert [(one["name"], one["documents"]) for one in found] == [("one", 1), ("two", 1)]
    assert trainer("modules", "remove", "two", "--shards", place.modules).status == 0
    assert listing(place.modules) == before
    is_clear_error(trainer("modules", "remove", "two", "--shards", place.modules), 2, "'two'", "there are: one")


# --- what does not ---


@pytest.mark.parametrize(
    ("what", "make", "told"),
    [
        ("--bin", lambda place: place.text("a.bin", b"\1\0\5"), "3 bytes, an odd number"),
        ("--bin", lambda place: place.shard("a.bin", [1, 5, 400, 6]), "token 400 at position 2"),
        ("--bin", lambda place: place.shard("a.bin", [65_535]), "token 65535 at position 0"),
        ("--bin", lambda place: place.text("a.bin", b""), "is empty"),
        ("--bin", lambda place: place.shard("a.bin", [1, 1, 1]), "no document"),
        ("--bin", lambda place: place.folder / "missing.bin", "cannot read"),
        ("--bin", lambda place: place.folder, "is a folder; expected a file"),
        ("--text", lambda place: place.text("a.txt", ""), "there is no text"),
        ("--text", lambda place: place.text("a.txt", " \n\n\t"), "there is no text"),
        ("--text", lambda place: place.text("a.txt", b"\xff\xfe\0"), "no UTF-8"),
        ("--text", lambda place: place.folder / "missing.txt", "cannot read"),
        ("--text", lambda place: place.folder, "is a folder; expected a file"),
        ("--text", lambda place: place.text("a.jsonl", '{"text": "\\ud800"}'), "a.jsonl"),
    ],
    ids=["odd", "past", "past uint16", "empty", "marks", "missing", "folder", "no text", "blanks", "no UTF-8",
         "missing text", "text folder", "surrogate"],
)  # fmt: skip
def test_a_file_that_is_no_module_is_refused_and_nothing_is_made(
    place: Place, what: str, make: Callable[[Place], Path], told: str
):
    with at_most(20):
        done = place.add("m", what, make(place), run=trainer_process)
    is_clear_error(done, 2, told)
    assert not place.modules.exists()


@pytest.mark.parametrize(
    "name", ["a/b", "../a", "/x/a", "", ".", "..", "a..b", ".hidden", "a b", "a\0b", "a\nb", "é", "x" * 65, "CON:"]
)
def test_a_name_that_could_leave_the_folder_is_refused(place: Place, name: str):
    file = place.text("one.txt", "ba ko")
    before = listing(place.folder)
    is_clear_error(place.add(name, "--text", file), 2, "is no name for a shard")
    for what in ("remove", "verify") if name else ():
        is_clear_error(trainer("modules", what, name, "--shards", place.modules), 2, "is no name for a shard")
    assert listing(place.folder) == before


def test_a_module_that_is_there_is_not_overwritten(place: Place):
    assert place.add("m", "--text", place.text("one.txt", "ba ko")).status == 0
    before = listing(place.modules)
    is_clear_error(place.add("m", "--text", place.text("two.txt", "ti")), 2, "there is a shard 'm'", "remove m")
    assert listing(place.modules) == before


def test_another_tokenizers_module_is_refused_by_name(place: Place):
    assert place.add("ours", "--text", place.text("one.txt", "ba ko ti " * 30)).status == 0
    other = train_tokenizer(["ba ko ti re mu san lor vi"] * 50, 280)
    ours = place.tokenizer.read_bytes()
    place.tokenizer.write_bytes(other)
    assert place.add("theirs", "--text", place.folder / "one.txt").status == 0
    place.tokenizer.write_bytes(ours)
    told = ("theirs.bin", "another tokenizer", Tokenizer(other).sha256[:12])
    verified = trainer("modules", "verify", "--shards", place.modules, "--tokenizer", place.tokenizer)
    is_clear_error(verified, 2, *told)
    is_clear_error(trainer_process(*place.pretrain(place.folder / "out"), timeout=30), 2, *told)
    assert not (place.folder / "out").exists()
    assert trainer("modules", "verify", "--shards", place.modules).status == 0  # each is whole in itself


def changed(place: Place, **keys: Any) -> None:
    path = place.modules / "m.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def tampered(place: Place) -> None:
    path = place.modules / "m.bin"
    path.write_bytes(path.read_bytes()[:-2] + b"\x05\x00")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda place: (place.modules / "m.json").unlink(), ("m.bin", "no manifest", "--bin")),
        (tampered, ("m.bin", "is not the file that its manifest describes")),
        (lambda place: (place.modules / "m.bin").write_bytes(b""), ("m.bin", "is not the file")),
        (lambda place: (place.modules / "m.json").write_text("{"), ("m.json", "no JSON")),
        (lambda place: (place.modules / "m.json").write_text("[" * 100_000), ("m.json", "no JSON")),
        (lambda place: (place.modules / "m.json").write_text("3"), ("m.json", "the whole")),
        (lambda place: changed(place, version=2), ("m.json", "version")),
        (lambda place: changed(place, format="other"), ("m.json", "format")),
        (lambda place: changed(place, colour="red"), ("m.json", "colour")),
        (lambda place: changed(place, tokens="9"), ("m.json", "tokens")),
        (lambda place: changed(place, name="other"), ("m.json", "other")),
        (lambda place: changed(place, tokens=0), ("m",)),
    ],
    ids=["no manifest", "tampered", "emptied", "no JSON", "deep JSON", "a number", "version", "format", "unknown key",
         "a type", "another name", "no tokens"],
)  # fmt: skip
def test_a_spoilt_module_is_refused_by_name(place: Place, spoil: Callable[[Place], object], told: tuple[str, ...]):
    assert place.add("m", "--text", place.text("one.txt", "ba ko ti " * 30)).status == 0
    spoil(place)
    is_clear_error(trainer("modules", "verify", "--shards", place.modules), 2, *told)
    is_clear_error(trainer_process(*place.pretrain(place.folder / "out"), timeout=30), 2, *told)
    assert not (place.folder / "out").exists()
    # Whatever is wrong with it, it can be taken away and made again.
    assert trainer("modules", "remove", "m", "--shards", place.modules).status == 0
    assert place.add("m", "--text", place.folder / "one.txt").status == 0


@pytest.mark.parametrize("key", ["documents", "tokens"])
def test_a_manifest_that_counts_wrongly_is_seen(place: Place, key: str):
    assert place.add("m", "--text", place.text("one.txt", "ba ko ti " * 30)).status == 0
    changed(place, **{key: 7})
    is_clear_error(trainer("modules", "verify", "--shards", place.modules), 2, "m.bin", f"'{key}': 7")


@pytest.mark.parametrize("folder", ["missing", "empty", "file"])
def test_a_folder_without_modules_is_one_clear_error(place: Place, folder: str):
    if folder == "empty":
        place.modules.mkdir()
    if folder == "file":
        place.modules.write_text("")
    for what in (["modules", "list"], ["modules", "verify"]):
        is_clear_error(trainer(*what, "--shards", place.modules), 2, str(place.modules))
    is_clear_error(trainer(*place.pretrain(place.folder / "out")), 2, str(place.modules))
    is_clear_error(trainer("modules", "remove", "m", "--shards", place.modules), 2, "'m'", "make one with")
    assert not (place.folder / "out").exists()
    if folder == "file":
        is_clear_error(place.add("m", "--text", place.text("one.txt", "ba")), 3, str(place.modules))


@pytest.mark.parametrize(("words", "file"), [(3000, "m.bin"), (30, "m.json")])
def test_a_full_disk_leaves_no_half_a_module(place: Place, words: int, file: str):
    # With 500 bytes on a file at most, a long .bin cannot be written, or (its source's name is long) the manifest.
    text = place.text("x" * 200 + ".txt", "ba " * words)
    done = place.add("m", "--text", text, run=lambda *arguments: trainer_process(*arguments, RLIMIT_FSIZE=500))
    is_clear_error(done, 3, file)
    assert listing(place.modules) == {}
    assert place.add("m", "--text", text).status == 0


def test_half_a_module_of_a_killed_command_can_be_removed(place: Place):
    place.modules.mkdir()
    for name in ("m.bin", ".m.bin.tmp-123"):  # the .bin is written first
        (place.modules / name).write_bytes(b"\1\0\5\0")
    file = place.text("one.txt", "ba ko")
    is_clear_error(place.add("m", "--text", file), 2, "modules remove m")
    assert trainer("modules", "remove", "m", "--shards", place.modules).status == 0
    assert place.add("m", "--text", file).status == 0
    assert trainer("modules", "verify", "--shards", place.modules).status == 0


def test_a_module_that_another_process_is_making_is_left_alone(place: Place):
    place.modules.mkdir()
    with filelock.FileLock(place.modules / ".lock"):
        is_clear_error(place.add("m", "--text", place.text("one.txt", "ba")), 3, "another process", str(place.modules))
    assert place.add("m", "--text", place.folder / "one.txt").status == 0


# --- modules together ---


def test_a_document_in_two_modules_is_on_one_side_of_the_split(place: Place):
    shared = [document(seed, 80) for seed in range(60)]
    one = [token for part in shared for token in part.tolist()]
    two = [token for seed, part in enumerate(shared) for token in (*document(100 + seed, 40), *part)]
    for name, tokens in (("one", one), ("two", two)):
        assert place.add(name, "--bin", place.shard(f"{name}.bin", tokens)).status == 0
    train, held, counts = shard_streams(list_shards(place.modules), tokenizer(), 0.2)
    sides = [
        {part[1:].tobytes() for stream in side.values() for part in split_documents(stream)} for side in (train, held)
    ]
    assert not sides[0] & sides[1]
    assert counts["documents"] == 180 and 12 < counts["documents_held_out"] < 60
    assert counts["tokens"] + counts["tokens_held_out"] == len(one) + len(two)
    both = [part[1:].tobytes() for part in shared]
    assert [key for key in both if key in sides[1]]  # and some of the shared ones are held out


def half_of(place: Place) -> PretrainRequest:
    """A pretraining on all shards of a place that holds out half of their documents."""
    return PretrainRequest(place.modules, tokenizer(), TINY, PretrainSettings(holdout_share=0.5), place.folder / "out")


def test_a_module_that_is_held_out_whole_has_no_share(place: Place):
    many = [token for seed in range(30) for token in document(seed, 40).tolist()]
    assert place.add("many", "--bin", place.shard("many.bin", many)).status == 0
    for seed in range(100, 130):  # half of all documents are held out
        assert place.add(f"one{seed}", "--bin", place.shard("one.bin", document(seed, 40).tolist())).status == 0
    data, about = pretrain_data(half_of(place))
    assert 5 < len(about["mix"]) < 26 and sum(about["mix"].values()) == pytest.approx(1)
    assert len(about["modules"]) == 31
    found = {name for step in range(40) for name in data.origin(step)}
    assert found == {f"shard {name}" for name in about["mix"]}


def test_held_out_documents_of_two_modules_do_not_run_into_each_other(place: Place):
    # A shard that begins without a mark: behind another module's documents its first words would follow theirs.
    seen = 0
    for seed in range(20):
        place.modules.mkdir()
        first = ids(700 + seed, 20).tolist()
        for name, begin in (("one", []), ("two", first)):
            more = [token for one in range(10) for token in document(one + 50 * (name == "two"), 40).tolist()]
            assert place.add(name, "--bin", place.shard(f"{name}.bin", [*begin, *more])).status == 0
        data, _ = pretrain_data(half_of(place))
        shutil.rmtree(place.modules)
        held = data.validation()
        assert held is not None
        for row, documents in zip(held.tokens.tolist(), held.documents.tolist(), strict=True):
            for column in range(1, 31):
                if row[column : column + 2] == first[:2]:
                    seen += 1
                    assert row[column - 1] == 1 or documents[column] != documents[column - 1]
    assert seen > 3  # of 20, about half are held out


def test_shares_are_those_asked_for_or_those_of_the_tokens():
    modules = list_shards(shared_place().modules)
    one, two = (module.manifest.tokens for module in modules)
    assert parse_mix(None, modules) == {"one": one / (one + two), "two": two / (one + two)}
    assert parse_mix("two=3,one=1", modules) == {"two": 0.75, "one": 0.25}
    assert parse_mix("one=0.2", modules) == {"one": 1.0}


@pytest.mark.parametrize(
    "mix",
    ["", "one", "one=", "one=0", "one=-1", "one=nan", "one=inf", "three=1", "one=1,one=2", "one=1,",
     "one=1e308,two=1e308"],
)  # fmt: skip
def test_a_mix_that_cannot_be_names_the_modules(mix: str):
    place = shared_place()
    done = trainer(*place.pretrain(place.folder / "never", "--mix", mix))
    is_clear_error(done, 2, "--mix", "one, two")
    assert not (place.folder / "never").exists()


def test_a_mix_leaves_modules_out(tmp_path: Path):
    place = shared_place()
    done = trainer(*place.pretrain(tmp_path / "out", "--mix", "two=1", "--steps", 2))
    assert done.status == 0, done.err
    told = json.loads((tmp_path / "out" / "trainer.json").read_text())["data"]
    assert told["mix"] == {"two": 1.0} and list(told["modules"]) == ["two"]


def test_a_copied_module_is_told_from_the_first(place: Place):
    # Two files whose manifests have one name: counted as one, its share would be the second one's.
    assert place.add("m", "--text", place.text("one.txt", "ba ko ti " * 30)).status == 0
    for ending in (".bin", ".json"):
        shutil.copy(place.modules / f"m{ending}", place.modules / f"copy{ending}")
    with pytest.raises(UsageError, match=r"copy\.json"):
        list_shards(place.modules)


def test_loading_a_module_by_its_path():
    module = load_shard(shared_place().modules / "one.bin")
    assert module.manifest.name == "one"
    assert len(module.read(400, tokenizer().sha256)) == module.manifest.tokens


def test_a_shard_that_is_not_there_is_named_beside_those_that_are(place: Place) -> None:
    assert place.add("m", "--text", place.text("one.txt", "ba ko ti")).status == 0
    for command in ("verify", "remove"):
        is_clear_error(trainer("modules", command, "x", "--shards", place.modules), 2, "no shard 'x'", "there are: m")
    again = place.add("m", "--text", place.text("one.txt", "ba ko ti"))
    is_clear_error(again, 2, f"modules remove m --shards {place.modules}")

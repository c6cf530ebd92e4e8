"""Every command of both programs: the cases of those that write, and examples of those that only read."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from conftest import Home
from faults_fixtures import Case, Server, World
from mutations import rich

# --- curate ---------------------------------------------------------------------------------------------------------

_WHO = "--username ann --home {home}"
CURATE_WRITES = [
    Case(f"run {_WHO} --workers 1", "bare"),
    Case(f"run {_WHO} --no-cache", "bare", name="run --no-cache"),
    Case(f"run {_WHO} --workers 1 --out {{out}}/runs", "bare", name="run --out"),
    Case(f"run {_WHO} --workers 1 --dry-run", "bare", name="run --dry-run"),
    Case("run --all --home {home} --workers 1", "bare", name="run --all"),
    Case(f"import {{src}}/chat.txt {_WHO} --owner Ann", "bare", level="files"),
    Case(f"import {{src}}/chat.txt {_WHO} --owner Ann --dry-run", "bare", name="import --dry-run"),
    Case(
        "import {src}/chat.txt --username bob --home {home} --owner Ann",
        "bare",
        level="files",
        name="import, a new profile",
    ),
    Case(f"import --remove whatsapp-chat {_WHO}", "imported", taken=True, name="import --remove"),
    Case(f"people {_WHO} --name Jon --same whatsapp:Jon", "imported"),
    Case(f"export {_WHO} --to trl --out {{out}}/trl", "ran", taken=True),
    Case(f"export {_WHO} --to skill --out {{out}}/skill", "ran", taken=True, name="export --to skill"),
    Case("init {out}/new", "bare", level="files"),
    Case("init {out}/new --demo", "bare", level="files", taken=True, most=30, few=1, name="init --demo"),
]
CURATE_READS = {
    "report": [f"report {_WHO}"],
    "validate": ["validate {home}/run --home {home}"],
    "explain": [f"explain evt-000001 {_WHO}"],
    "preview": [f"preview {_WHO} --to trl"],
    "pack-prompt": [f"pack-prompt {_WHO}"],
    "voice": [f"voice {{src}}/plain.txt {_WHO}"],
    "plugins": ["plugins --home {home}"],
    "doctor": ["doctor --home {home}"],
    "docs": ["docs", "docs memories"],
}


def _bare(world: World, server: Server) -> None:
    home = Home(world.folder / "home")
    for number in range(12):
        home.memory(f"What of the boat {number}?", response=f"It lies at pier {number}, and it wants paint.")
    lines = []
    for number in range(12):
        lines += [f"1/{13 + number}/25, 09:00 - Jon: What of the engine number {number}?",
                  f"1/{13 + number}/25, 09:01 - Ann: It runs since day {number}, I mended it."]  # fmt: skip
    (world.folder / "src" / "chat.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (world.folder / "src" / "plain.txt").write_text("The boat lies at pier one. It wants paint.\n" * 20, "utf-8")


def _ran(world: World, server: Server) -> None:
    _bare(world, server)
    done = server.run(world, Case(f"run {_WHO} --workers 1", "").command(world), here=True)
    assert done.status == "0", done
    (world.folder / "home" / "run").symlink_to(done.out.strip().splitlines()[-1])


def _exported(world: World, server: Server) -> None:
    _ran(world, server)
    done = server.run(world, Case(f"export {_WHO} --to trl --out {{out}}/trl", "").command(world), here=True)
    assert done.status == "0", done


def _imported(world: World, server: Server) -> None:
    _bare(world, server)
    done = server.run(world, Case(f"import {{src}}/chat.txt {_WHO} --owner Ann", "").command(world), here=True)
    assert done.status == "0", done


def _full(world: World, server: Server) -> None:
    """Every kind of file that a command reads: settings, memories of every shape, an import, people, a run."""
    done = server.run(world, Case("init {home}", "").command(world), here=True)
    assert done.status == "0", done
    _ran(world, server)
    rich(world.folder / "home")
    for words in (
        f"import {{src}}/chat.txt {_WHO} --owner Ann", f"people {_WHO} --name Jon --same whatsapp:Jon",
        f"run {_WHO} --workers 1",
    ):  # fmt: skip
        done = server.run(world, Case(words, "").command(world), here=True)
        assert done.status == "0", done
    run = world.folder / "home" / "run"
    run.unlink()
    run.symlink_to(done.out.strip().splitlines()[-1])


MAKERS = {"bare": _bare, "ran": _ran, "exported": _exported, "imported": _imported, "full": _full}


class Worlds(dict[str, World]):
    """The worlds by what was made in them, each made when it is first asked for."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__()
        self._folder, self._server = folder, server
        for name in ("exported", "imported") if server.program == "curate" else ("trained",):
            self[name]  # what is loaded for these is there for all

    def __missing__(self, name: str) -> World:
        world = World(self._folder / name / "world")
        MAKERS[name](world, self._server)
        world.keep()
        self[name] = world
        return world


# --- trainer --------------------------------------------------------------------------------------------------------

_TINY = (
    "--dim 32 --n-layers 2 --n-heads 2 --hidden-dim 64 --context 32 --per-device-batch-size 4 --compile never "
    "--gradient-accumulation-steps 1 --precision fp32 --threads 1 --steps 4 --save-steps 2 --eval-steps 2 --seed 5"
)
_FAST = "--precision fp32 --threads 1 --compile never --steps 4 --eval-steps 2 --save-steps 2 --dropout 0"
_RESUME = "resume {out}/new"
TRAINER_WRITES = [
    Case("export {src}/base --to bin --out {out}/m.bin", "trained", taken=True, early=r"m\.tokenizer.bin$"),
    Case("export {src}/base --to npz --out {out}/m.npz", "trained", taken=True,
         name="export --to npz", ignored=r"npz$", early=r"m\."),
    Case("export {src}/base --to gguf --out {out}/m.gguf", "trained", taken=True, name="export --to gguf"),
    Case("export {src}/base --to ollama --out {out}/o", "trained", taken=True, name="export --to ollama"),
    Case("export {src}/base --to hf --out {out}/hf", "trained", taken=True, name="export --to hf"),
    Case("import {src}/hf --out {out}/in", "trained", taken=True),
    Case("convert {src}/base --dtype bfloat16 --out {out}/half", "trained", taken=True),
    Case("tokenizer train --corpus {src}/text.txt --vocab-size 300 --out {out}/t.model", "trained", taken=True),
    Case("mix --texts {src}/texts --sources {src}/sources.json --tokenizer {src}/base/tokenizer.model --out {out}/mix",
         "trained", taken=True, most=60),
    Case("modules add new --text {src}/text.txt --tokenizer {src}/base/tokenizer.model --shards {src}/shards",
         "trained", taken=True, early=r"shards/new\.json$"),
    Case("modules remove one --shards {src}/shards", "trained", taken=True, level="files"),
    Case("models --profile ann --home {home} --use two", "trained"),
    Case("health {src}/base --data {src}/rows.jsonl --home {home} --replies 8 --html {out}/page.html", "trained",
         ignored="page.html$", few=1),
    Case("eval {src}/base --data {src}/rows.jsonl --home {home} --replies 8 --html {out}/page.html", "trained",
         ignored="page.html$", few=1),
    Case("chat {src}/base --max-tokens 4 --threads 1", "trained", stdin="Ba ko?\n/save {out}/talk.jsonl\n/quit\n",
         goes_on=True),
    Case(f"pretrain --shards {{src}}/shards --tokenizer {{src}}/base/tokenizer.model --out {{out}}/new {_TINY}",
         "trained", "training", taken=True, again=_RESUME, most=40, ignored=r"training/|trainer.json$|plan.json$"),
    Case(f"finetune --data {{src}}/rows.jsonl --base {{src}}/base --out {{out}}/new --home {{home}} {_FAST}",
         "trained", "training", taken=True, again=_RESUME, most=24, few=1, ignored=r"training/|trainer.json$|health"),
    Case(_RESUME, "begun", "training", taken=True, most=24, ignored=r"training/|trainer.json$"),
]  # fmt: skip
TRAINER_READS = {
    "sample": ["sample {src}/base --prompt Ba --max-tokens 4 --threads 1"],
    "compare": ["compare {src}/base {src}/base --max-tokens 4 --threads 1"],
    "info": ["info {src}/base"],
    "preview": ["preview --data {src}/rows.jsonl --base {src}/base --home {home}"],
    "modules list": ["modules list --shards {src}/shards"],
    "modules verify": ["modules verify --shards {src}/shards"],
}
# Each of its trials is a line that stays: tests/trainer/ablation has it go on where it was stopped.
TRAINER_UNTRIED = {"ablate": "takes minutes"}


TEXTS = {
    "talk": "\n\n\n".join(
        f"Hello, how are you?\nI am fine. What did you do with the {what}?\nI took the {what} to the river.\n"
        f"Was it cold there?\nIt was cold, and the {what} was wet." for what in ("boat", "dog", "chair", "coat", "net")
    ),
    "books": "\n\n".join(f"He saw the {what} by the river, and it was cold." for what in ("boat", "dog", "coat")),
}  # fmt: skip
MIXTURE = {
    "format": "persona-curator-sources", "version": 1, "passage": {"stories": 40, "books": 60}, "least_count": 1,
    "held_out": 0.3, "unwanted": [], "topics": ["river"], "new_words": ["okay"],
    "sources": [
        {"name": kind, "files": [f"{kind}/*.txt"], "kind": kind, "share": 0.5, "title": "T", "credit": "C",
         "licence": "CC0-1.0", "url": "https://example.org"} for kind in TEXTS
    ],
}  # fmt: skip


def _trained(world: World, server: Server) -> None:
    from core_fixtures import WIDE_OPEN, home_with, paragraph, place_in, words

    home_with(world.folder / "home", WIDE_OPEN)
    source = world.folder / "src"
    place = place_in(source / "place", modules=2)
    shutil.move(place.modules, source / "shards")
    spread = random.Random(3)
    (source / "text.txt").write_text("\n\n".join(paragraph(spread, 30) for _ in range(40)), "utf-8")
    for kind, text in TEXTS.items():
        (source / "texts" / kind).mkdir(parents=True)
        (source / "texts" / kind / "a.txt").write_text(text, "utf-8")
    (source / "sources.json").write_text(json.dumps(MIXTURE), "utf-8")
    rows = [{"input": " ".join(words(spread, 4)), "output": " ".join(words(spread, 6)) + "."} for _ in range(24)]
    (source / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    base = f"pretrain --shards {{src}}/shards --tokenizer {{src}}/place/tokenizer.model --out {{src}}/base {_TINY}"
    done = server.run(world, Case(base, "").command(world), here=True)
    assert done.status == "0", done
    done = server.run(world, Case("export {src}/base --to hf --out {src}/hf", "").command(world), here=True)
    assert done.status == "0", done
    kept = world.folder / "home" / "profiles" / "ann" / "out" / "checkpoints"
    for name in ("one", "two"):
        shutil.copytree(source / "base", kept / name)


def _begun(world: World, server: Server) -> None:
    """A training that was killed at its third state."""
    _trained(world, server)
    words = f"pretrain --shards {{src}}/shards --tokenizer {{src}}/base/tokenizer.model --out {{out}}/new {_TINY}"
    steps = world.folder.parent / "steps"
    command = Case(words, "").command(world)
    server.run(world, command, {"log": str(steps)})
    shutil.rmtree(world.folder / "out" / "new")
    at = next(
        int(line.split()[0]) for line in steps.read_text().splitlines() if "step-0000002" in line and "rename" in line
    )
    done = server.run(world, command, {"at": at + 3, "what": "kill"})
    assert done.status == "-9", done


MAKERS |= {"trained": _trained, "begun": _begun}

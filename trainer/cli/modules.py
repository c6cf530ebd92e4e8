"""`trainer modules`: keep token shards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.contract.cli_frame import (
    command_line,
    free_name,
    log,
    made,
    next_step,
    positive,
    print_json,
    print_table,
    progress_bar,
)
from curator.contract.errors import counted
from trainer.cli.options import add_command, alone

if TYPE_CHECKING:
    from trainer.data.token_shards import Manifest


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from trainer.names import SPLITS

    modules = commands.add_parser(
        "modules",
        help="keep token shards",
        description="Keep token shards: tokens for training, with manifests.",
    )
    inner = modules.add_subparsers(title="commands", metavar="COMMAND")
    alone(modules)
    adding = add_command(inner, "add", _add, "Make a token shard of text, or take in one of llama2.c.")
    adding.add_argument("name", metavar="NAME")
    source = adding.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text", type=Path, nargs="+", metavar="FILE", help='.txt, .jsonl ({"text": ...}), .gz of them'
    )
    source.add_argument("--bin", type=Path, metavar="FILE", help="uint16 tokens, as llama2.c's tools write them")
    adding.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.model (default: the built-in base's)")
    adding.add_argument("--documents", choices=SPLITS, default="file", help="what is a document (default: a file)")
    adding.add_argument("--section", type=positive, default=8000, metavar="N", help="characters of a section (8000)")
    adding.add_argument("--plain-quotes", action="store_true", help="make curly quotes straight")
    listing = add_command(inner, "list", _list, "List the token shards of a folder.")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    removing = add_command(inner, "remove", _remove, "Delete a token shard.")
    removing.add_argument("name", metavar="NAME")
    verifying = add_command(inner, "verify", _verify, "Check token shards against their manifests.")
    verifying.add_argument("name", nargs="?", metavar="NAME", help="default: all")
    verifying.add_argument("--tokenizer", type=Path, metavar="FILE", help="check that they were made with this one")
    for command in (adding, listing, removing, verifying):
        command.add_argument("--shards", "--modules", type=Path, required=True, metavar="DIR", help="their folder")


def _add(options: argparse.Namespace) -> int:
    from trainer.data.token_shards import Splitting, add_bin, add_text
    from trainer.model.tokenizer import Tokenizer
    from trainer.names import builtin_base

    source = options.tokenizer or builtin_base() / "tokenizer.model"
    tokenizer = Tokenizer.load(source)
    if options.bin:
        shard = add_bin(options.shards, options.name, options.bin, tokenizer)
    else:
        with progress_bar() as progress:
            splitting = Splitting(options.documents, options.section, options.plain_quotes)
            shard = add_text(options.shards, options.name, options.text, tokenizer, splitting, progress)
    manifest = shard.manifest
    print(f"{counted(manifest.documents, 'document')}, {counted(manifest.tokens, 'token')}", file=sys.stderr)
    print(shard.path)
    made(shard.path, f"tokens; {shard.path.with_suffix('.json').name} beside it says of what")
    words = ("--shards", options.shards, "--tokenizer", source, "--out", free_name("my-base"))
    next_step(command_line("trainer", "pretrain", *words), "trains a base on the shards of that folder")
    return 0


def _list(options: argparse.Namespace) -> int:
    from trainer.data.token_shards import list_shards

    manifests = [shard.manifest for shard in list_shards(options.shards)]
    if options.json:
        print_json([manifest.model_dump() for manifest in manifests])
    else:
        _show(manifests)
    next_step(command_line("trainer", "modules", "verify", "--shards", options.shards), "checks them")
    return 0


def _show(manifests: list[Manifest]) -> None:
    rows = [
        (shard.name, f"{shard.documents:,}", f"{shard.tokens:,}", shard.tokenizer_sha256[:12],
         ", ".join(source.name for source in shard.sources)[:60])
        for shard in manifests
    ]  # fmt: skip
    print_table(("shard", "documents", "tokens", "tokenizer", "made from"), rows)


def _remove(options: argparse.Namespace) -> int:
    from trainer.data.token_shards import remove_shard

    remove_shard(options.shards, options.name)
    log(f"removed {options.name} from {options.shards}")
    next_step(command_line("trainer", "modules", "list", "--shards", options.shards), "lists what is left")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from trainer.data.token_shards import check_name, list_shards, load_shard, verify_shard
    from trainer.model.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    if options.name:
        shards = [load_shard(options.shards / f"{check_name(options.name)}.bin")]
    else:
        shards = list_shards(options.shards)
    for shard in shards:
        counts = verify_shard(shard, tokenizer)
        checked = "" if counts["tokenizer_checked"] else "; the tokenizer was not checked (--tokenizer FILE)"
        size = f"{counted(counts['documents'], 'document')}, {counted(counts['tokens'], 'token')}"
        print(f"{counts['name']}: {size}, whole{checked}")
    next_step(command_line("trainer", "modules", "list", "--shards", options.shards), "says of what they were made")
    return 0

"""`trainer pretrain`: train a base from nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curator.contract.cli_frame import home_option, positive
from trainer.cli.options import add_command, given, settings_of, show_base, training_options


def add(commands: Any) -> None:
    """Add the command to the parser."""
    pretrain = add_command(
        commands, "pretrain", _run, "Train a base on token shards.",
        "The last line of stdout is the checkpoint's folder.",
    )  # fmt: skip
    pretrain.add_argument(
        "--shards", "--modules", type=Path, required=True, metavar="DIR", help="folder of token shards"
    )
    pretrain.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.model of the shards")
    pretrain.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
    pretrain.add_argument("--mix", metavar="NAME=W,...", help="weights of the shards (default: by their tokens)")
    pretrain.add_argument(
        "--base",
        type=Path,
        metavar="CHECKPOINT",
        help="a base of the same size and tokenizer, to go on from",
    )
    pretrain.add_argument("--held-out", metavar="NAME", help="shard that is measured on and never trained on")
    pretrain.add_argument("--optimizer", choices=("adamw", "muon"), help="muon: of the matrices, AdamW of the rest")
    pretrain.add_argument("--lr-scheduler-type", choices=("cosine", "wsd"), help="wsd: falls in the last steps only")
    for name, default in (("dim", 288), ("n-layers", 6), ("n-heads", 6), ("n-kv-heads", None), ("hidden-dim", None)):
        pretrain.add_argument(f"--{name}", type=positive, default=default, metavar="N", help="size of the model")
    pretrain.add_argument("--context", type=positive, default=256, metavar="N", help="tokens it sees at most")
    pretrain.add_argument("--untied", action="store_true", help="an output matrix of its own")
    training_options(pretrain)
    home_option(pretrain)


def _run(options: argparse.Namespace) -> int:
    from trainer.model.llama import ModelConfig, default_hidden
    from trainer.model.tokenizer import Tokenizer
    from trainer.settings import with_options
    from trainer.training.pretrain import PretrainRequest, pretrain
    from trainer.training.progress import console_callback

    settings = with_options(settings_of(options).pretrain, given(options, "optimizer", "lr_scheduler_type"))
    tokenizer = Tokenizer.load(options.tokenizer)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, dim=options.dim, n_layers=options.n_layers, n_heads=options.n_heads,
        n_kv_heads=options.n_kv_heads or options.n_heads, hidden_dim=options.hidden_dim or default_hidden(options.dim),
        max_seq_len=options.context, tied=not options.untied,
    )  # fmt: skip
    request = PretrainRequest(
        shards=options.shards,
        tokenizer=tokenizer,
        config=config,
        settings=settings,
        out=options.out,
        mix=options.mix,
        device=options.device,
        base=options.base,
        held_out=options.held_out,
    )
    with console_callback(tensorboard=options.tensorboard, verbose=options.verbose) as callback:
        out = pretrain(request, callback)
    return show_base(out, options.json)

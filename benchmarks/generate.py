"""How fast a small model writes: tokens a second of `trainer` and of llama2.c's run.c, in turn on the same prompts.

    python benchmarks/generate.py --run PATH [--checkpoint DIR] [--threads 1 2] [--rounds 5] [--json]

PATH (or $LLAMA2C_RUN) is run.c compiled with: cc -Ofast -march=native -fopenmp run.c -lm -o run
The checkpoint (default: the built-in base) is written as run.c's v0 .bin. Both write greedily until the context is full
or the end mark comes; a rate is all positions by all seconds but the loading. Of ours there are three: greedy as it is,
greedy without the proposals that repeated text allows, and drawn at temperature 0.8. A ratio is the median over the
pairs of one run of ours and the run of run.c beside it; 'same text' says for how many prompts both wrote the same.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from trainer.exports.llama2c import write_v0
from trainer.inference import decoder as passes
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.model.checkpoint import load_checkpoint
from trainer.model.tokenizer import BOS, tokenizer_bin
from trainer.names import builtin_base

PROMPTS = ["The old man", "Once upon a time", "She said", "In the morning", "My dear friend", "The ship",
           "Q: How are you today?\nA:", "Q: What are you worried about?\nA:"]  # fmt: skip
WAYS = ("greedy", "greedy, no proposals", "temperature 0.8")


def run_c(binary, folder, prompt, threads):
    command = [str(binary), "model.bin", "-z", "tokenizer.bin", "-t", "0", "-n", "0", "-i", prompt]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment)
    found = re.search(rb"achieved tok/s: ([\d.]+)", done.stderr)
    if not found:
        sys.exit(f"{binary} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout, float(found[1])


def ours(decoder, ids, way):
    room = decoder.config.max_seq_len
    sampling = Sampling(temperature=0.8 if way == WAYS[2] else 0.0, top_p=0.95, max_tokens=room, ends=(BOS,))
    passes.PROPOSED = 0 if way == WAYS[1] else 7
    begun = time.perf_counter()
    written = list(decoder.stream(ids, sampling))
    seconds = time.perf_counter() - begun
    return written, (len(ids) + len(written)) / seconds


def plain(text):
    """Text as run.c can print it: it leaves out bytes that are no ASCII."""
    return "".join(c for c in text if c.isascii() and (c.isprintable() or c.isspace())).strip()


def measure(options, checkpoint, decoder, folder, threads):
    torch.set_num_threads(threads)
    rates = {name: [] for name in ("run.c", *WAYS)}
    same = set()
    for round_ in range(options.rounds + 1):  # the first is not counted
        for prompt in PROMPTS:
            ids = checkpoint.tokenizer.encode(prompt)
            text, rate = run_c(options.run, folder, prompt, threads)
            found = {"run.c": rate}
            for way in WAYS:
                written, found[way] = ours(decoder, ids, way)
                told = plain(checkpoint.tokenizer.decode(ids + written))
                if way == WAYS[0] and plain(text.decode("latin1")).startswith(told):  # run.c writes one token more
                    same.add(prompt)
            if round_:
                for name, one in found.items():
                    rates[name].append(one)
    ratios = {way: statistics.median(a / b for a, b in zip(rates[way], rates["run.c"], strict=True)) for way in WAYS}
    return {
        "threads": threads, "rounds": options.rounds, "prompts": len(PROMPTS), "same_text": len(same),
        "tokens_per_second": {name: round(statistics.median(found)) for name, found in rates.items()},
        "ratio_to_run_c": {way: round(ratio, 2) for way, ratio in ratios.items()},
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=os.environ.get("LLAMA2C_RUN"), metavar="PATH")
    parser.add_argument("--checkpoint", type=Path, default=builtin_base(), metavar="DIR")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.run is None:
        parser.error("name run.c's binary with --run PATH or $LLAMA2C_RUN")
    options.run = options.run.resolve()
    checkpoint = load_checkpoint(options.checkpoint)
    decoder, found = Decoder(checkpoint.model()), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_v0(folder / "model.bin", checkpoint.state, checkpoint.config)
        (folder / "tokenizer.bin").write_bytes(tokenizer_bin(checkpoint.tokenizer))
        for threads in options.threads:
            found.append(measure(options, checkpoint, decoder, folder, threads))
            if not options.json:
                show(found[-1])
    if options.json:
        print(json.dumps({"checkpoint": str(options.checkpoint), "measured": found}, indent=2))


def show(found):
    print(f"{found['threads']} threads, same text for {found['same_text']} of {found['prompts']} prompts")
    for name, rate in found["tokens_per_second"].items():
        ratio = found["ratio_to_run_c"].get(name)
        print(f"  {name:<22}{rate:7,} tokens/s" + (f"   {ratio:.2f} x run.c" if ratio else ""), flush=True)


if __name__ == "__main__":
    main()

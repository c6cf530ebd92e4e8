"""The texts of a profile's memories as JSONL, for the peers that read no memories.

    python benchmarks/peers/texts.py --home HOME --username NAME --out FOLDER [--parts 2]

Each memory becomes one line {"id", "text"}: what was said and what was answered, one below the other. The lines are
dealt over --parts files, since a worker of datatrove reads whole files. The time that this takes is not counted to
anyone: `curate run` reads the memories themselves, one file each.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any


def text_of(memory: dict[str, Any]) -> str:
    turns = [str(turn.get("content", "")) for turn in memory.get("messages", [])]
    return "\n".join(text for text in (turns or [memory.get("content", ""), memory.get("response", "")]) if text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    files = sorted((options.home / "profiles" / options.username / "memory" / "episodic").rglob("*.json"))
    count = 0
    with ExitStack() as stack:
        parts = [
            stack.enter_context((options.out / f"texts-{part}.jsonl").open("w", encoding="utf-8"))
            for part in range(options.parts)
        ]
        for path in files:
            memory = json.loads(path.read_text("utf-8"))
            if text := text_of(memory):
                line = json.dumps({"id": str(memory["id"]), "text": text}, ensure_ascii=False)
                parts[count % options.parts].write(line + "\n")
                count += 1
    print(f"texts: {count}")


if __name__ == "__main__":
    main()

"""Messages a second and peak memory of `curate import`, beside packages that read the same file.

    .venv/bin/python benchmarks/import.py [--most 1000000] [--peers VENV]

For ChatGPT, WhatsApp and Telegram it writes exports of 10,000, 100,000 and 1,000,000 messages and imports each by the
command in a process of its own: seconds of the process's own time (of several runs the least), messages a second, peak
memory in MiB. The last line says what a message costs at each size, less what an import of ten messages takes. With
--peers, the Python of an environment that has whatstk or chat-miner: each reads the same file in turn.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CURATE = Path(sys.executable).with_name("curate")
BEGIN = datetime(2010, 1, 13, 9, 0, tzinfo=UTC)
WORDS = "rope nobody moved and the tide went out while we were still looking for the winch handle again".split()
# How a package reads an export: it prints how many messages it found.
PEERS = {
    "whatsapp": {
        "whatstk": "from whatstk import WhatsAppChat; print(len(WhatsAppChat.from_source(PATH).df))",
        "chat-miner": "from chatminer.chatparsers import WhatsAppParser as P; p = P(PATH); p.parse_file(); "
        "print(len(p.parsed_messages.get_df()))",
    },
    "telegram": {
        "chat-miner": "from chatminer.chatparsers import TelegramJsonParser as P; p = P(PATH); p.parse_file(); "
        "print(len(p.parsed_messages.get_df()))",
    },
    "chatgpt": {"json.load": "import json; print(sum(len(one['mapping']) - 1 for one in json.load(open(PATH))))"},
}


def messages(count: int) -> Iterator[tuple[datetime, bool, str]]:
    """Yield (time, own, text): every tenth has two lines."""
    for number in range(count):
        start = number * 7 % len(WORDS)
        text = " ".join((WORDS * 2)[start : start + 4 + number % 9]) + f" {number}"
        yield BEGIN + timedelta(minutes=7 * number), number % 2 == 0, text + ("\nand more" if number % 10 == 0 else "")


def whatsapp(folder: Path, count: int) -> Path:
    path = folder / "WhatsApp Chat with Jon Pell.txt"
    with path.open("w", encoding="utf-8") as file:
        for time, own, text in messages(count):
            file.write(f"{time:%d/%m/%y, %H:%M} - {'Ana' if own else 'Jon Pell'}: {text}\n")
    return path


def chatgpt(folder: Path, count: int) -> Path:
    path = folder / "conversations.json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        talk: list[tuple[datetime, bool, str]] = []
        for number, message in enumerate(messages(count), 1):
            talk.append(message)
            if len(talk) == 20 or number == count:
                file.write(("" if number <= 20 else ",") + json.dumps(_talk(talk, number)))
                talk = []
        file.write("]")
    return path


def _talk(talk: list[tuple[datetime, bool, str]], number: int) -> dict[str, object]:
    nodes: dict[str, object] = {"root": {"id": "root", "parent": None, "children": ["n0"], "message": None}}
    for place, (time, own, text) in enumerate(talk):
        message = {
            "id": f"m{number}-{place}", "author": {"role": "user" if own else "assistant"}, "recipient": "all",
            "create_time": time.timestamp(), "content": {"content_type": "text", "parts": [text]}, "metadata": {},
        }  # fmt: skip
        parent = f"n{place - 1}" if place else "root"
        nodes[f"n{place}"] = {"id": f"n{place}", "parent": parent, "children": [f"n{place + 1}"], "message": message}
    first = talk[0][0].timestamp()
    return {
        "id": f"c{number}",
        "title": "Talk",
        "create_time": first,
        "mapping": nodes,
        "current_node": f"n{len(talk) - 1}",
    }


def telegram(folder: Path, count: int) -> Path:
    path = folder / "result.json"
    with path.open("w", encoding="utf-8") as file:
        file.write('{"name": "Jon Pell", "type": "personal_chat", "id": 77, "messages": [')
        for number, (time, own, text) in enumerate(messages(count)):
            row = {
                "id": number, "type": "message", "date": f"{time:%Y-%m-%dT%H:%M:%S}",
                "date_unixtime": str(int(time.timestamp())), "from": "Ana" if own else "Jon Pell",
                "from_id": "user1" if own else "user77", "text": text,
                "text_entities": [{"type": "plain", "text": text}],
            }  # fmt: skip
            file.write(("," if number else "") + json.dumps(row))
        file.write("]}")
    return path


# How often each size is read: a short time says little.
RUNS = {10: 5, 10_000: 5, 100_000: 3, 1_000_000: 1}
WRITERS: dict[str, Callable[[Path, int], Path]] = {"chatgpt": chatgpt, "whatsapp": whatsapp, "telegram": telegram}


def measured(words: list[str], folder: Path) -> tuple[float, float, str]:
    """Run a command and return its own seconds, its peak memory in MiB, and what it printed."""
    out = folder / "out"
    with out.open("w+b") as file, (folder / "err").open("w+b") as err:
        process = subprocess.Popen(words, stdout=file, stderr=err, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert isinstance(usage, resource.struct_rusage)
    printed = out.read_text("utf-8", "replace")
    if process.returncode:
        printed = "failed: " + (folder / "err").read_text("utf-8", "replace").strip().rpartition("\n")[2][:100]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed


def ours(path: Path, folder: Path, times: int) -> tuple[float, float, int]:
    """Import an export into homes of its own; return the least seconds of some runs, the most memory, the messages."""
    seconds, memory, count = [], [], -1
    for number in range(times):
        home = ("--home", str(folder / f"home-{number}"))
        words = [str(CURATE), "import", str(path), "--username", "ana", "--owner", "Ana", *home, "--json"]
        spent, peak, printed = measured(words, folder)
        seconds.append(spent)
        memory.append(peak)
        count = int(json.loads(printed)["messages"]) if printed.startswith("{") else -1
    return min(seconds), max(memory), count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000, help="messages of the largest export")
    parser.add_argument("--peers", type=Path, help="the Python of an environment with whatstk or chat-miner")
    options = parser.parse_args()
    sizes = [size for size in (10, 10_000, 100_000, 1_000_000) if size <= options.most]
    print("format    messages      CPU s  messages/s  peak MiB  read")
    for name, write in WRITERS.items():
        found: dict[int, float] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                path = write(folder, size)
                seconds, memory, count = ours(path, folder, RUNS[size])
                found[size] = seconds
                print(f"{name:9} {size:9,} {seconds:9.2f} {size / seconds:11,.0f} {memory:9.0f}  {count:,}", flush=True)
                for peer, code in PEERS[name].items() if size > 10 and (options.peers or peer_is_here(name)) else ():
                    python = str(options.peers or sys.executable)
                    seconds, memory, printed = measured([python, "-c", code.replace("PATH", repr(str(path)))], folder)
                    said = printed.strip().rpartition("\n")[2]
                    print(f"  {peer:17} {seconds:9.2f} {size / seconds:11,.0f} {memory:9.0f}  {said}", flush=True)
        costs = {size: (found[size] - found[sizes[0]]) / size for size in sizes[1:]}
        told = ", ".join(f"{1e6 * cost:.1f} at {size:,}" for size, cost in costs.items())
        print(f"{name:9} microseconds a message, less those of ten messages: {told}", flush=True)


def peer_is_here(name: str) -> bool:
    """Tell whether what reads the same file needs no environment of its own."""
    return name == "chatgpt"


if __name__ == "__main__":
    main()

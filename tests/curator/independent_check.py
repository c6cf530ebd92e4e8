"""A check of a run's folder against the memories it was made from, sharing no code with the product.

    python independent_check.py RUN PROFILE

Written from the description of the files alone (the design, schemas/, the formats of MetaHuman OS). It knows the family
qwen and memories of one event a file. Each finding names the rule it breaks:

- tags: input + output is the ChatML of the tagged pair; right tags for the mode; no tag or token inside a text
- cut: a reply or a passage stops (and a passage starts) where a sentence of the source does
- changed: the person's words are in the source byte for byte; a reply of others is the source less whole leading and
  trailing parts, white space collapsed, its first letter raised where an opener went
- author: no reply that counts as the person's stands under an assistant's label, or is a program's text
- holdout: no near-duplicate, no conversation and no memory on both sides; the share held out
- accounts: files, events, samples, lines, hashes and the report's sums agree exactly
- coverage: at least 90% of the memories make samples before duplicates are taken out, in all three modes
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

TAGS = {"dual": ("thought", "world"), "emulation": ("user", "assistant"), "agent": ("instruction", "action")}
# Their word 3-grams may be split elsewhere (apostrophes, digits): so much above the threshold is still no finding.
SIMILARITY_TOLERANCE = 0.03
LONG_REPLY = 8  # words; shorter replies, "ok" say, may stand on both sides
DATASETS = {"train": "fine_tune_dataset.jsonl", "holdout": "fine_tune_holdout.jsonl"}
FOLDERS = ("memory/episodic", "memory/curated/conversations", "memory/curiosity/questions/answered", "persona/therapy")


@dataclass(frozen=True)
class Finding:
    """One broken rule: which, where (a sample id, file or event), and in which way."""

    rule: str
    where: str
    detail: str


@dataclass
class Verdict:
    """What the check found, and the numbers it came by."""

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    def need(self, holds: bool, rule: str, where: str, detail: str) -> None:
        """Note a finding unless it holds."""
        if not holds:
            self.findings.append(Finding(rule, where, detail))

    @property
    def rules(self) -> Counter[str]:
        """How many findings each rule has."""
        return Counter(finding.rule for finding in self.findings)


def check(run: Path, profile: Path) -> Verdict:
    """Check every rule of a run's folder."""
    verdict = Verdict()
    samples = json.loads((run / "schema_applied.json").read_text("utf-8"))
    memories = Memories(profile)
    for sample in samples:
        tags(verdict, sample)
        texts(verdict, sample, memories)
    holdout(verdict, run, samples, memories)
    accounts(verdict, run, samples, memories)
    coverage(verdict, run, samples)
    return verdict


class Memories:
    """The profile's files: their hashes, and their contents where they are JSON."""

    def __init__(self, profile: Path) -> None:
        self.paths = sorted(
            path.relative_to(profile).as_posix()
            for folder in FOLDERS
            for path in (profile / folder).rglob("*.json*")
            if path.is_file() and path.name.endswith((".json", ".json.enc"))
        )
        self.sha256: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        self.texts: dict[str, list[str]] = {}
        for path in self.paths:
            raw = (profile / path).read_bytes()
            self.sha256[path] = hashlib.sha256(raw).hexdigest()
            try:
                self.data[path] = json.loads(raw.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                self.data[path] = None
            self.texts[path] = list(leaves(self.data[path]))

    def conversation(self, path: str) -> str | None:
        """The conversation that a memory belongs to."""
        data = self.data.get(path)
        metadata = data.get("metadata") if isinstance(data, dict) else None
        return metadata.get("conversationId") if isinstance(metadata, dict) else None


def leaves(data: Any) -> Iterator[str]:
    """Every string of a JSON value."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from leaves(value)


# --- tags -----------------------------------------------------------------------------------------------------------

LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝмтквнгпАВЕЅІЈКМНОРСТХУ" + "αοιυνρκτχεηωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "‹〈⟨❮˂᚜›〉⟩❯˃᚛∣ǀ⏐│ı",
    "aeopcyxijshdqwmtkbhrnABESIJKMHOPCTXY" + "aoiuvpktxenwABEZHIKMNOPTYX" + "<<<<<<>>>>>>||||i",
)
# Whatever white space and other characters stand between the letters.
TAG = re.compile(r"</?(?:thought|world|user|assistant|instruction|action)/?>:?")
# The parameter of a type in code: List<User>, vector<action>, load<user>(); never before a colon or a letter.
CODE = re.compile(
    r"(?:\b[A-Z][A-Za-z0-9]*<(?:Thought|World|User|Assistant|Instruction|Action)>"
    r"|(?:\b(?:vector|list|map|set|array|queue|promise|optional)|\w*_\w+|::\w+|\w+[A-Z]\w*)"
    r"<(?:thought|world|user|assistant|instruction|action)>)(?![A-Za-z0-9]|[ \t]*:)"
)
TOKEN = re.compile(
    r"<\|[^<>|]{1,40}\|>|\[/?inst\]|<</?sys>>|</?s>|<(?:start|end)_of_turn>|<[be]os>|<pad>|<unk>|</?think>"
    r"|\[/?(?:system_prompt|available_tools|tool_calls|tool_results)\]"
)


def plain(text: str) -> str:
    """The text as a reader takes it: entities decoded, NFKC, no invisible characters, look-alikes made Latin."""
    for _ in range(3):
        text = html.unescape(text)
    text = unicodedata.normalize("NFKC", text).translate(LOOK_ALIKES)
    letters = (mark for mark in unicodedata.normalize("NFD", text) if unicodedata.category(mark) not in ("Mn", "Me"))
    text = "".join(mark for mark in letters if unicodedata.category(mark) not in ("Cf", "Cc", "Zs", "Zl", "Zp"))
    return text.casefold()


def marks(text: str) -> list[str]:
    """Tags and control tokens that a text contains, in any disguise."""
    if text.isascii() and not re.search(r"[<\[&]", text):
        return []
    naked = plain(CODE.sub(" ", text))
    return TAG.findall(naked) + TOKEN.findall(naked)


def tags(verdict: Verdict, sample: dict[str, Any]) -> None:
    """Check that the sample is the ChatML of its tagged pair, and that its texts hold no tag or token of their own."""
    where, (first, second) = sample["metadata"]["sample_id"], TAGS[sample["mode"]]
    raw_input, raw_output = sample["raw_input"], sample["raw_output"]
    right = raw_input.startswith(f"<{first}>: ") and raw_output.startswith(f"<{second}>: ")
    verdict.need(right, "tags", where, f"{sample['mode']}: {raw_input[:40]!r} -> {raw_output[:40]!r}")
    turns = [
        turn[key].removeprefix(f"<{tag}>: ")  # tagged by the formatter
        for turn in sample.get("context", ())
        for key, tag in (("user_text", first), ("assistant_text", second))
    ]
    earlier = "".join(
        f"<|im_start|>{'user' if i % 2 == 0 else 'assistant'}\n<{(first, second)[i % 2]}>: {turn}<|im_end|>\n"
        for i, turn in enumerate(turns)
    )
    wanted = f"{earlier}<|im_start|>user\n{raw_input}<|im_end|>\n<|im_start|>assistant\n{raw_output}<|im_end|>\n"
    verdict.need(sample["input"] + sample["output"] == wanted, "tags", where, "not the ChatML of the tagged pair")
    verdict.need(sample["input"].endswith("<|im_start|>assistant\n"), "tags", where, "input and output part elsewhere")
    for text in (*turns, *pair(sample)):
        found = marks(text)
        verdict.need(not found, "tags", where, f"{found} in {text[:60]!r}")


def pair(sample: dict[str, Any]) -> tuple[str, str]:
    """The two texts of a sample without their tags."""
    first, second = TAGS[sample["mode"]]
    return sample["raw_input"].removeprefix(f"<{first}>: "), sample["raw_output"].removeprefix(f"<{second}>: ")


# --- texts: changed and cut -----------------------------------------------------------------------------------------

CLOSERS = "\"'”’»)]}*_"
ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "st", "messrs", "prof", "capt", "lieut", "col", "gen", "rev", "hon", "viz", "e.g", "i.e",
    "vs", "jan", "feb", "mar", "apr", "aug", "sept", "oct", "nov", "dec",
))  # fmt: skip


def ends_sentence(source: str, end: int) -> bool:
    """Tell whether a sentence of the source ends at `end`."""
    rest = source[end:]
    after = rest.lstrip()
    if not after or "\n\n" in rest[: len(rest) - len(after)]:
        return True
    head = source[:end].rstrip()
    tail = head.rstrip(CLOSERS)
    if not tail.endswith((".", "!", "?", "…", "。", "！", "？")):
        if rest[:1].isspace() and ("\u0e01" <= tail[-1:] <= "\u0e5b" or runs_on(source, end)):
            return True  # Thai has no full stop, and a dictation has none either
        return "\n" in rest[: len(rest) - len(after)] and not after[0].islower()
    word = tail.rstrip(".!?…").rsplit(None, 1)[-1:] or [""]
    if tail.endswith(".") and not tail.endswith("..") and word[0].lstrip("“\"'(").lower() in ABBREVIATIONS:
        return False
    if after[0].islower() and tail != head:  # "What?" said he
        return False
    inside = after[0].islower() and tail.endswith(".") and uses_capitals(source)  # paid 12d. to be entered
    return not inside


def runs_on(source: str, end: int) -> bool:
    """Tell whether no sentence ends far and wide, so that a text had to be cut at a line, a comma or a blank."""
    marks = [match.start() for match in re.finditer(r"[.!?…。！？।؟]", source)]
    before = max((place for place in marks if place < end), default=0)
    after = min((place for place in marks if place >= end), default=len(source))
    return after - before > (900 if source.isascii() else 450)


@lru_cache(maxsize=1024)
def uses_capitals(source: str) -> bool:
    """Tell whether the writer begins sentences with capitals: four in five at least."""
    starts: list[str] = re.findall(r"[.!?]\s+([^\W\d_])", f". {source}")
    return sum(letter.isupper() for letter in starts) >= 0.8 * len(starts)


def texts(verdict: Verdict, sample: dict[str, Any], memories: Memories) -> None:
    """Check both texts of a sample against its source memories."""
    metadata, (said, reply) = sample["metadata"], pair(sample)
    where, paths = metadata["sample_id"], [source["path"] for source in metadata["sources"]]
    prompted, flipped = metadata.get("prompted", False), metadata.get("pair_flipped", False)
    if not set(paths) <= memories.texts.keys():
        return verdict.need(False, "accounts", where, f"no such source: {paths}")
    before = after = memories.texts[paths[0]]
    if metadata.get("thought"):  # the world's answer is of the memory that followed
        after = memories.texts[paths[-1]]
    elif metadata["reply_author"] == "tool":  # the instruction may be of the conversation before
        before = [text for path in paths for text in memories.texts[path]]
    earlier(verdict, where, sample, [text for path in paths for text in memories.texts[path]])
    made = metadata.get("question", "")
    told = f"prompted {prompted}, question {made!r}"
    verdict.need(prompted == (made in ("stock", "passage")), "accounts", where, told)
    if made == "passage":
        of_the_passage(verdict, where, said, reply)
    if flipped:
        of_others(verdict, where, said, before)
    elif not prompted:
        of_the_person(verdict, where, said, before, passage=metadata.get("thought", False))
    if metadata["reply_author"] == "person":
        of_the_person(verdict, where, reply, after, passage=not flipped)
    elif metadata["reply_author"] in ("assistant", "other_human"):
        of_others(verdict, where, reply, after)
    author(verdict, where, metadata, reply, memories)
    return None


LABEL = re.compile(
    r"(?m)^[ \t]*(?:\[[^\]\n]*\][ \t]*)?(?:(?P<arrow>[→←]) [^:\n]+|\**(?P<name>[^\W\d_][\w .]{0,30}))\**[ \t]?[:：]"
)
NOT_THE_PERSON = {"assistant", "ai", "metahuman", "chatgpt", "claude", "interviewer", "助手", "ассистент", "a"}
NOBODY = re.compile(
    r"📎|<Media omitted>|[Ii]mage omitted|Interviewer:|No transcription available|Drift analysis complete"
)


def author(verdict: Verdict, where: str, metadata: dict[str, Any], reply: str, memories: Memories) -> None:
    """Check that a reply that counts as the person's does not stand under another's label, nor is a program's text."""
    if metadata["reply_author"] != "person" or metadata.get("pair_flipped"):
        return
    data = memories.data[metadata["sources"][-1]["path"]]
    data = data if isinstance(data, dict) else {}
    content, details = data.get("content"), data.get("metadata")
    verdict.need(not NOBODY.search(reply), "author", where, f"a program's text: {reply[:60]!r}")
    if isinstance(details, dict) and isinstance(content, str) and reply in content:
        source = details.get("dialogueSource")
        verdict.need(not source, "author", where, f"written by MetaHuman's {source}: {reply[:60]!r}")
    if not isinstance(content, str):
        return
    above = [list(LABEL.finditer(content[:start]))[-1:] for start in places(reply, content)]
    others = [label for label in above if label and is_another(label[0])]
    verdict.need(not above or len(others) < len(above), "author", where, f"under another's label: {reply[:60]!r}")


def is_another(label: re.Match[str]) -> bool:
    """Tell whether a label is an assistant's or, in an imported chat that marks the person's lines, another's."""
    if label["arrow"]:
        return label["arrow"] == "←" and "\n" in label.string and "] → " in label.string
    return label["name"].strip().lower() in NOT_THE_PERSON


def earlier(verdict: Verdict, where: str, sample: dict[str, Any], sources: list[str]) -> None:
    """Check what a sample takes along: texts of its memories, and replies that are trained only in a conversation."""
    first, second = TAGS[sample["mode"]]
    for turn in sample.get("context", ()):
        for tag, key in ((first, "user_text"), (second, "assistant_text")):
            for line in turn[key].removeprefix(f"<{tag}>: ").split("\n"):
                there = any(line in source or next(loosely(line, source), None) for source in sources)
                verdict.need(there, "changed", where, f"context that is in no source: {line[:80]!r}")
    trained = any(turn.get("trained") for turn in sample.get("context", ()))
    verdict.need(trained == sample["metadata"].get("multi_turn", False), "accounts", where, "multi_turn is wrong")


# Words that questions say whatever the reply says.
TEMPLATE_WORDS = {"about", "there", "happened", "really", "think"}


def of_the_passage(verdict: Verdict, where: str, question: str, reply: str) -> None:
    """Check a question made from a reply: what it quotes stands there, and it gives away half of the reply at most."""
    for quoted in re.findall(r"[“„«「‘]\s?([^“„«»「」”]+?)\s?[”“»」’](?!\w)", question):
        told = f"{quoted!r} is not in the reply"
        verdict.need(" ".join(quoted.split()) in " ".join(reply.split()), "texts", where, told)
    long, asked = (set(re.findall(r"[^\W\d_]{5,}", text.lower())) for text in (reply, question))
    named = len((long & asked) - TEMPLATE_WORDS)
    verdict.need(named <= max(1, len(long) // 2), "texts", where, f"{question!r} names {named} of {len(long)} words")


def of_the_person(verdict: Verdict, where: str, text: str, sources: list[str], passage: bool) -> None:
    """Check words of the person: byte for byte in the source; a whole turn, or a passage of whole sentences."""
    spots = [(source, start) for source in sources for start in places(text, source)]
    if not spots and "\n" in text:  # a burst: each message is whole, and stands for itself in the source
        lines_there = all(any(line in source for source in sources) for line in text.split("\n"))
        spots = [(text, 0)] if lines_there else []
    verdict.need(bool(spots), "changed", where, f"the person's words are not in the source: {text[:80]!r}")
    whole = any(
        (
            ends_sentence(source, start + len(text))
            and (not start or ends_sentence(source, len(source[:start].rstrip())))
        )
        if passage
        else is_turn(source, start, start + len(text))
        for source, start in spots
    )
    rule = "cut" if passage else "changed"
    verdict.need(whole or not spots, rule, where, f"part of what the person wrote: {text[:40]!r} ... {text[-40:]!r}")


def places(text: str, source: str) -> Iterator[int]:
    """Every place at which a text stands in a source."""
    start = source.find(text)
    while start >= 0:
        yield start
        start = source.find(text, start + 1)


def is_turn(source: str, start: int, end: int) -> bool:
    """Tell whether a part of the source is a whole turn: all of it, or from a speaker's label to the next one."""
    before, after = source[:start], source[end:]
    begins = not before or re.search(r"(?:^|\n)[^\n]{0,60}(?::|：|→|🤔|💭|---)\**\s?[\"“]?\Z|\n\Z", before)
    return bool(begins) and bool(not after or re.match(r"[\"”]?\s*(?:\n|\Z)", after))


def of_others(verdict: Verdict, where: str, text: str, sources: list[str]) -> None:
    """Check words of others: the source less whole leading and trailing parts, white space collapsed."""
    spots = [(source, *span) for source in sources for span in loosely(text, source)]
    if not spots and "\n" in text:  # a burst: its messages, each by itself
        for line in text.split("\n"):
            of_others(verdict, where, line, sources)
        return
    verdict.need(bool(spots), "changed", where, f"not a part of what was said: {text[:80]!r}")
    started = [(source, end) for source, start, end in spots if starts_part(source, start)]
    verdict.need(bool(started) or not spots, "cut", where, f"starts in mid-sentence: {text[:60]!r}")
    ended = any(ends_sentence(source, end) for source, end in started)
    verdict.need(ended or not started, "cut", where, f"stops in mid-sentence: {text[-60:]!r}")


def loosely(text: str, source: str) -> Iterator[tuple[int, int]]:
    """Where a text stands in a source, white space and the case of its first letter apart."""
    words = text.split()
    if not words:
        return
    exact = [(start, start + len(text)) for start in places(text, source)]
    if exact:
        yield from exact
        return
    if any(word not in source for word in words[1:]):  # most strings of a memory: no pattern is compiled for them
        return
    first, rest = words[0][0], [words[0][1:], *words[1:]]
    pattern = f"[{re.escape(first)}{re.escape(first.lower())}]" + r"\s+".join(map(re.escape, rest))
    yield from (match.span() for match in re.finditer(pattern, source))


def starts_part(source: str, start: int) -> bool:
    """Tell whether something whole ends before `start`: an opener, a sentence, a label."""
    before = source[:start].rstrip()
    return not before or before[-1] in ".,!?…:：*;-–—→💭>" + CLOSERS + "\u201c" or "\n" in source[len(before) : start]


# --- holdout --------------------------------------------------------------------------------------------------------


def holdout(verdict: Verdict, run: Path, samples: list[dict[str, Any]], memories: Memories) -> None:
    """Check that nothing of the held-out samples is in the training set, and how many they are."""
    report = json.loads((run / "report.json").read_text("utf-8"))
    sides: dict[str, list[dict[str, Any]]] = {"train": [], "holdout": []}
    owners: dict[str, dict[str, set[str]]] = {"train": defaultdict(set), "holdout": defaultdict(set)}
    for sample in samples:
        side = sample["metadata"].get("split", "train")
        sides[side].append(sample)
        for source in sample["metadata"]["sources"]:
            owners[side][source["path"]].add(sample["metadata"]["sample_id"])
            if conversation := memories.conversation(source["path"]):
                owners[side][f"conversation {conversation}"].add(sample["metadata"]["sample_id"])
    for shared in sorted(owners["train"].keys() & owners["holdout"].keys()):
        verdict.need(False, "holdout", shared, f"on both sides: {sorted(owners['holdout'][shared])[:3]}")
    wanted = 0.05 * len(samples) if len(samples) >= 400 else 0
    slack = max(3, 0.002 * len(samples))
    right = abs(len(sides["holdout"]) - max(wanted, 20)) <= slack if wanted else True
    verdict.need(right, "holdout", "run", f"{len(sides['holdout'])} held out of {len(samples)}")
    limit = report["holdout"]["threshold"] + SIMILARITY_TOLERANCE
    of_side = {side: [(s, one) for s in found for one in grams(s)] for side, found in sides.items()}
    near = nearest([one for _, one in of_side["holdout"]], [one for _, one in of_side["train"]], limit)
    for held, trained, similarity in near:
        names = [of_side[side][i][0]["metadata"]["sample_id"] for side, i in (("holdout", held), ("train", trained))]
        verdict.need(False, "holdout", names[0], f"Jaccard {similarity:.3f} with {names[1]} of the training set")
    long = {
        side: [s for s in mine if len(re.findall(r"\w+", pair(s)[1])) >= LONG_REPLY] for side, mine in sides.items()
    }
    replies = {side: [word_grams(pair(s)[1]) for s in mine] for side, mine in long.items()}
    for held, trained, similarity in nearest(replies["holdout"], replies["train"], limit):
        names = [long[side][i]["metadata"]["sample_id"] for side, i in (("holdout", held), ("train", trained))]
        verdict.need(False, "holdout", names[0], f"its reply: Jaccard {similarity:.3f} with that of {names[1]}")
    verdict.facts |= {"holdout": len(sides["holdout"]), "train": len(sides["train"])}


def grams(sample: dict[str, Any]) -> Iterator[frozenset[tuple[str, ...]]]:
    """The word 3-grams of a sample's texts, of the reply alone where the question is a made one.

    Of a conversation they are those of all that is trained; each exchange of eight words and more counts alone besides.
    """
    said, reply = pair(sample)
    context = [(turn, f"{turn['user_text']} {turn['assistant_text']}") for turn in sample.get("context", ())]
    trained = [text for turn, text in context if turn.get("trained")]
    last = reply if sample["metadata"].get("prompted") else f"{said} {reply}"
    yield word_grams(" ".join([*trained, last]))
    for text in (*(text for _, text in context), *([last] if trained else [])):
        text = re.sub(r"<\w+>: ", "", text)
        if len(text.split()) >= 8:
            yield word_grams(text)


def word_grams(text: str) -> frozenset[tuple[str, ...]]:
    """The word 3-grams of a text."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset({tuple(words)})


def nearest(
    held: list[frozenset[tuple[str, ...]]], trained: list[frozenset[tuple[str, ...]]], limit: float
) -> list[tuple[int, int, float]]:
    """Pairs whose Jaccard similarity reaches `limit`, exactly, by an inverted index.

    Such a pair shares at least `limit` of the held sample's n 3-grams, so it shares one of its rarest
    n - ceil(limit * n) + 1: only those are looked up.
    """
    often = Counter(gram for text in trained for gram in text)
    rarest = [
        sorted(text, key=lambda gram: (often[gram], gram))[: len(text) - math.ceil(limit * len(text)) + 1]
        for text in held
    ]
    index: dict[tuple[str, ...], list[int]] = {gram: [] for text in rarest for gram in text}
    for number, text in enumerate(trained):
        for gram in text & index.keys():
            index[gram].append(number)
    sizes = np.array([len(text) for text in trained] or [0])
    found = []
    for one, text in enumerate(held):
        near = np.unique(np.concatenate([np.array(index[gram], np.int64) for gram in rarest[one]]))
        fits = (sizes[near] >= limit * len(text)) & (sizes[near] * limit <= len(text))
        for other in near[fits].tolist():
            similarity = len(text & trained[other]) / len(text | trained[other])
            if similarity >= limit:
                found.append((one, other, similarity))
    return found


# --- accounts -------------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[Any]:
    """Read a JSONL file; lines end at a newline and nowhere else."""
    return [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n") if line]


def accounts(verdict: Verdict, run: Path, samples: list[dict[str, Any]], memories: Memories) -> None:
    """Check that samples, lines, lineage, drops, files and hashes agree."""
    by_id = {sample["metadata"]["sample_id"]: sample for sample in samples}
    verdict.need(len(by_id) == len(samples), "accounts", "run", "sample ids are not unique")
    lineage, dropped = lines(run / "lineage.jsonl"), lines(run / "dropped.jsonl")
    dataset = {
        (name, number): (split, line)
        for split, name in DATASETS.items()
        for number, line in enumerate(lines(run / name), 1)
    }
    verdict.need(len(dataset) == len(lineage) == len(samples), "accounts", "run", "lines, lineage and samples differ")
    verdict.need(
        {(x["file"], x["line"]) for x in lineage} == set(dataset), "accounts", "run", "lineage names other lines"
    )
    for row in lineage:
        sample, (split, line) = by_id.get(row["sample_id"]), dataset.get((row["file"], row["line"]), ("", None))
        same = (
            sample is not None
            and line == {key: sample[key] for key in ("input", "output")}
            and sample["metadata"].get("split", "train") == split
            and sample["metadata"]["sources"] == row["sources"]
            and sample["mode"] == row["mode"]
        )
        verdict.need(same, "accounts", row["sample_id"], "lineage, dataset line and sample are not of one piece")
    layers(verdict, run, samples)
    hashes(verdict, run, samples, memories)
    fates(verdict, run, lineage, dropped, memories)


def layers(verdict: Verdict, run: Path, samples: list[dict[str, Any]]) -> None:
    """Check that the curated, formatted and wrapped files hold the same samples."""
    curated = json.loads((run / "curated_memories.json").read_text("utf-8"))
    formatted = json.loads((run / "formatted_samples.json").read_text("utf-8"))
    verdict.need(len(curated) == len(formatted) == len(samples), "accounts", "run", "the layers differ in length")
    for one, two, three in zip(curated, formatted, samples, strict=False):
        same = one["metadata"] == two["metadata"] == three["metadata"] and one["mode"] == two["mode"] == three["mode"]
        same = same and (one["user_text"], one["assistant_text"]) == pair(three)
        same = same and (two["input"], two["output"]) == (three["raw_input"], three["raw_output"])
        verdict.need(same, "accounts", one["metadata"]["sample_id"], "the layers differ")


def hashes(verdict: Verdict, run: Path, samples: list[dict[str, Any]], memories: Memories) -> None:
    """Check every recorded sha256."""
    named = {(source["path"], source["sha256"]) for sample in samples for source in sample["metadata"]["sources"]}
    for path, digest in sorted(named):
        verdict.need(memories.sha256.get(path) == digest, "accounts", path, "the source's sha256 is another")
    files = json.loads((run / "run-summary.json").read_text("utf-8"))["files"]
    there = {path.name for path in run.iterdir()} - {"run-summary.json"}
    verdict.need(set(files) == there, "accounts", "run", f"run-summary.json names other files: {set(files) ^ there}")
    for name in set(files) & there:
        digest = hashlib.sha256((run / name).read_bytes()).hexdigest()
        verdict.need(digest == files[name], "accounts", name, "the file's sha256 is another")


def fates(
    verdict: Verdict, run: Path, lineage: list[dict[str, Any]], dropped: list[dict[str, Any]], memories: Memories
) -> None:
    """Check that each file is accounted for, and that events used and dropped are the events found."""
    paths = {source["path"] for row in lineage for source in row["sources"]} | {row.get("path", "") for row in dropped}
    for path in memories.paths:
        verdict.need(path in paths, "accounts", path, "the file is neither used nor dropped")
    used = {key for row in lineage for key in row["events"]}
    lost = {key for row in dropped for key in row["event_ids"]} - used
    report = json.loads((run / "report.json").read_text("utf-8"))
    counts = json.loads((run / "run-summary.json").read_text("utf-8"))["counts"]
    found = len(memories.paths)
    sums = {
        "events used and dropped": len(used) + len(lost),
        "memories of the report": report["memories"],
        "memories of the summary": counts["memories"],
        "memory fates of the report": sum(report["memory_fates"].values()),
    }
    for name, count in sums.items():
        verdict.need(count == found, "accounts", "run", f"{name}: {count}, files found: {found}")
    verdict.need(counts["memories_used"] == len(used), "accounts", "run", "memories_used is another")
    verdict.need(counts["samples"] == len(lineage), "accounts", "run", "the count of samples is another")
    verdict.need(counts["dropped"] == len(dropped), "accounts", "run", "the count of drops is another")
    for row in dropped:
        verdict.need(bool(row["reason"]) and bool(row["stage"]), "accounts", str(row), "a drop without a reason")
    verdict.facts |= {"memories": found, "used": len(used), "dropped": len(lost), "samples": len(lineage)}


# --- coverage -------------------------------------------------------------------------------------------------------


def coverage(verdict: Verdict, run: Path, samples: list[dict[str, Any]]) -> None:
    """Check that nearly all memories make samples, and that all modes are there."""
    made = {key for row in lines(run / "lineage.jsonl") for key in row["events"]}
    for row in lines(run / "dropped.jsonl"):
        if row["reason"] in ("duplicate", "near_duplicate"):
            made |= set(row["event_ids"])
    found = verdict.facts["memories"]
    verdict.need(len(made) >= 0.9 * found, "coverage", "run", f"{len(made)} of {found} memories make a sample")
    modes = Counter(sample["mode"] for sample in samples)
    verdict.need(set(TAGS) <= set(modes), "coverage", "run", f"modes: {dict(modes)}")
    verdict.facts |= {"with_samples": len(made), **modes}


if __name__ == "__main__":
    outcome = check(Path(sys.argv[1]), Path(sys.argv[2]))
    for finding in outcome.findings[:200]:
        print(f"{finding.rule}: {finding.where}: {finding.detail}")
    print(dict(outcome.rules), outcome.facts)
    sys.exit(bool(outcome.findings))

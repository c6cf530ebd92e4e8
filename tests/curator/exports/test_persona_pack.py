"""The persona pack: skill, character card and system prompt of the demo profile, held to the published formats.

The validators are written from agentskills.io/specification, malfoyslastname/character-card-spec-v2 (spec_v2.md),
kwaroran/character-card-spec-v3 (SPEC_V3.md) and RFC 2083 (PNG).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import yaml
from conftest import ROOT, Home, Result, curate_once, rows
from jsonschema import Draft202012Validator

from curator.contract.voice.reference import Judge, build_reference
from curator.exports.pack.examples import FEWEST, MOST, MOST_WORDS, choose
from curator.exports.pack.pages import how_chosen, style_page
from curator.exports.pack.persona import persona_of
from curator.exports.pack.phrases import Tally, log_odds
from curator.exports.pack.skill import skill_name
from curator.exports.pack.style import figures, style_of
from curator.exports.pack.summary import notes_of
from curator.exports.pack.texts import Said, countable, evenly, texts_of, without_unfit
from curator.exports.plan import plan_persona
from curator.language.words import count_words

Curate = Callable[..., Result]
SAMPLE: Final = re.compile(r"`([0-9a-f]{16}-\d+)`")


# --- validators, from the published formats --------------------------------------------------------------------------


def skill_problems(folder: Path) -> Iterator[str]:
    """What in a skill's folder the specification does not allow."""
    text = (folder / "SKILL.md").read_text("utf-8")
    if not text.startswith("---\n") or "\n---\n" not in text[4:]:
        yield "SKILL.md has no front matter"
        return
    head, body = text[4:].split("\n---\n", 1)
    front = yaml.safe_load(head)
    name, description = front.get("name"), front.get("description")
    if set(front) - {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}:
        yield f"unknown keys: {sorted(front)}"
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or len(name) > 64:
        yield f"name {name!r}"
    if name != folder.name:
        yield f"name {name!r} is not the folder's, {folder.name!r}"
    if not isinstance(description, str) or not 1 <= len(description) <= 1024 or re.search("[<>]", description):
        yield f"description {description!r}"
    if not body.strip() or len(text.splitlines()) > 500:
        yield "no body, or one of more than 500 lines"
    yield from (f"{target} is not there" for target in re.findall(r"\]\(([^):]+)\)", body)
                if not (folder / target).is_file())  # fmt: skip


TEXT: Final = {"type": "string"}
TEXTS: Final = {"type": "array", "items": TEXT}
V2_DATA: Final = {
    **dict.fromkeys(
        ("name", "description", "personality", "scenario", "first_mes", "mes_example", "creator_notes", "system_prompt",
         "post_history_instructions", "creator", "character_version"), TEXT,
    ),
    "alternate_greetings": TEXTS, "tags": TEXTS, "extensions": {"type": "object"},
}  # fmt: skip
V3_MORE: Final = {
    "nickname": TEXT, "source": TEXTS, "group_only_greetings": TEXTS,
    "creator_notes_multilingual": {
        "type": "object", "additionalProperties": TEXT, "propertyNames": {"pattern": "^[a-z]{2}$"},
    },
    "creation_date": {"type": "number"}, "modification_date": {"type": "number"},
}  # fmt: skip


def card_schema(spec: str, version: str, more: dict[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["spec", "spec_version", "data"],
        "properties": {
            "spec": {"const": spec},
            "spec_version": {"const": version},
            "data": {
                "type": "object", "additionalProperties": False, "required": [*V2_DATA, *needed],
                "properties": {**V2_DATA, **more},
            },
        },
    }  # fmt: skip


V2: Final = card_schema("chara_card_v2", "2.0", {}, ())
V3: Final = card_schema("chara_card_v3", "3.0", V3_MORE, ("group_only_greetings",))


def card_problems(card: Any, schema: dict[str, Any]) -> list[str]:
    """What in a card the specification does not allow; dialogues begin with <START> and bear the two names."""
    problems = [error.message for error in Draft202012Validator(schema).iter_errors(card)]
    for talk in card["data"]["mes_example"].split("<START>\n")[1:]:
        speakers = re.findall(r"^\{\{(user|char)\}\}: ", talk, re.MULTILINE)
        if speakers not in (["char"], ["user", "char"]):
            problems.append(f"a dialogue of {speakers}")
    if not card["data"]["mes_example"].startswith("<START>\n"):
        problems.append("mes_example does not begin with <START>")
    return problems


def png_texts(data: bytes) -> dict[str, str]:
    """The tEXt chunks of a PNG whose chunks, sums and pixels are in order."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, kinds, texts, pixels = 8, [], {}, b""
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        (checksum,) = struct.unpack(">I", data[place + 8 + size : place + 12 + size])
        assert checksum == zlib.crc32(kind + body), kind
        kinds.append(kind)
        if kind == b"IHDR":
            width, height, depth, colours, *methods = struct.unpack(">IIBBBBB", body)
            assert (depth, colours, methods) == (8, 2, [0, 0, 0])
        if kind == b"IDAT":
            pixels += body
        if kind == b"tEXt":
            key, _, text = body.partition(b"\0")
            assert key.decode("latin-1") not in texts and 1 <= len(key) < 80
            texts[key.decode("latin-1")] = text.decode("latin-1")
        place += 12 + size
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and kinds.count(b"IEND") == 1
    assert len(zlib.decompress(pixels)) == height * (1 + 3 * width)
    return texts


# --- the demo --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a home of the demo profile and its exports greg-voice (skill) and card; the run's folder."""
    place = tmp_path_factory.mktemp("demo")
    shutil.copytree(
        ROOT / "profiles/greggles", place / "home/profiles/greggles", ignore=shutil.ignore_patterns("out"),
    )  # fmt: skip
    of = ("--home", place / "home", "--username", "greggles")
    run = curate_once("run", *of, "--max", 1500).run
    curate_once("export", *of, "--to", "skill", "--out", place / "greg-voice")
    curate_once("export", *of, "--to", "card", "--out", place / "card")
    return place, run


def test_the_skill_of_the_demo_is_one(demo: tuple[Path, Path]) -> None:
    folder = demo[0] / "greg-voice"
    assert list(skill_problems(folder)) == []
    assert {path.name for path in folder.iterdir()} == {
        "SKILL.md", "profile.md", "style.md", "examples.md", "guardrails.md", "sources.jsonl", "export.json",
    }  # fmt: skip
    profile = (folder / "profile.md").read_text("utf-8")
    assert all(f"- **{name}** (" in profile for name in ("Sophie", "Marta", "Ruth", "Dunlin", "boat", "pump"))


def test_the_card_of_the_demo_is_one_in_both_versions_and_in_the_picture(demo: tuple[Path, Path]) -> None:
    folder = demo[0] / "card"
    second, third = (json.loads((folder / name).read_text("utf-8")) for name in ("card_v2.json", "card_v3.json"))
    assert card_problems(second, V2) == card_problems(third, V3) == []
    texts = png_texts((folder / "card.png").read_bytes())
    assert {key: json.loads(base64.b64decode(text, validate=True)) for key, text in texts.items()} == {
        "chara": second, "ccv3": third,
    }  # fmt: skip
    data = third["data"]
    assert data["name"] == "Greg" and data["first_mes"] and len(data["alternate_greetings"]) == 3
    assert "Character Card V3" in second["data"]["creator_notes"]
    shown = data["extensions"]["persona-curator"]["mes_example"]
    assert len(shown) == data["mes_example"].count("<START>\n")


def test_broken_ones_would_be_found(demo: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(demo[0] / "greg-voice", tmp_path / "other")
    assert list(skill_problems(tmp_path / "other")) == ["name 'greg-voice' is not the folder's, 'other'"]
    (tmp_path / "other" / "style.md").unlink()
    assert "style.md is not there" in list(skill_problems(tmp_path / "other"))
    card = json.loads((demo[0] / "card" / "card_v3.json").read_text("utf-8"))
    assert card_problems(card, V2)
    del card["data"]["group_only_greetings"]
    assert card_problems(card, V3) == ["'group_only_greetings' is a required property"]
    picture = bytearray((demo[0] / "card" / "card.png").read_bytes())
    picture[100] ^= 1
    with pytest.raises(AssertionError):
        png_texts(bytes(picture))


def quoted(page: str) -> list[tuple[str, str]]:
    """The examples of examples.md: (sample, text)."""
    found = []
    for block in re.split(r"^(?=\*\*\d+\.\*\* )", page, flags=re.MULTILINE)[1:]:
        sample = SAMPLE.search(block)
        lines = [line[2:] for line in block.splitlines() if line.startswith(">")]
        said = lines[lines.index("") + 1 :] if "in italics" in block.splitlines()[0] else lines
        assert sample
        found.append((sample[1], "\n".join(said)))
    return found


def test_the_examples_are_the_persons_own_and_above_their_median(demo: tuple[Path, Path]) -> None:
    place, run = demo
    examples = quoted((place / "greg-voice" / "examples.md").read_text("utf-8"))
    assert FEWEST <= len(examples) <= MOST
    samples = {one["metadata"]["sample_id"]: one for one in rows(run / "curated_memories.json")}
    person, others = [], []
    for one in samples.values():
        data = one["metadata"]
        mine = data["reply_author"] == "person"
        asks = data["reply_author"] == "assistant" and data["source_type"] == "conversation"
        person += [one["assistant_text"]] if mine else [one["user_text"]] if asks else []
        others += [] if data["reply_author"] == "tool" or mine else [one["assistant_text"]]
    for sample, text in examples:
        assert text in (text.strip() for text in (samples[sample]["assistant_text"], samples[sample]["user_text"]))
        assert text in {one.strip() for one in person}
        assert count_words(text) <= MOST_WORDS
    judge = Judge(build_reference(person, others))
    median = np.median([judge.measure(text) for text in person])
    above = sum(judge.measure(text) > median for _, text in examples)
    assert above >= 0.95 * len(examples), f"{above} of {len(examples)}"
    years = Counter(samples[sample]["metadata"]["timestamp"][:4] for sample, _ in examples)
    assert min(years["2024"], years["2025"]) > len(examples) / 4
    assert len({samples[sample]["metadata"]["source_type"] for sample, _ in examples}) >= 8
    assert {samples[sample]["mode"] for sample, _ in examples} >= {"dual", "emulation"}


def test_every_line_has_its_source_in_the_lineage(demo: tuple[Path, Path]) -> None:
    place, run = demo
    lineage = {one["sample_id"]: one["sources"] for one in rows(run / "lineage.jsonl")}
    for name in ("greg-voice", "card"):
        folder = place / name
        sources = {one["sample_id"]: one for one in rows(folder / "sources.jsonl")}
        texts = {path.name: path.read_text("utf-8").split("\n") for path in folder.iterdir()
                 if path.suffix in (".md", ".json") and path.name != "export.json"}  # fmt: skip
        for sample, one in sources.items():
            assert one["sources"] == lineage[sample]
            assert all(sample in texts[file][line - 1] for file, lines in one["lines"].items() for line in lines)
        named = {sample for lines in texts.values() for line in lines
                 for sample in re.findall(r"\b[0-9a-f]{16}-\d+\b", line)}  # fmt: skip
        assert named == set(sources)
    for page, mark in (("profile.md", "- **"), ("style.md", "- “"), ("examples.md", "**")):
        lines = (place / "greg-voice" / page).read_text("utf-8").splitlines()
        lines = [line for line in lines if line.startswith(mark)]
        assert lines and all(SAMPLE.search(line) for line in lines), page


def test_the_manifest_names_every_file_and_two_packs_are_equal(demo: tuple[Path, Path], tmp_path: Path) -> None:
    place, run = demo
    for name, tool in (("greg-voice", "skill"), ("card", "card")):
        curate_once("export", run, "--to", tool, "--out", tmp_path / name)
        summary = json.loads((place / name / "export.json").read_text("utf-8"))
        files = {path.name for path in (place / name).iterdir()}
        assert files == {*summary["files"], "export.json"}
        for file, digest in summary["files"].items():
            assert hashlib.sha256((place / name / file).read_bytes()).hexdigest() == digest
            assert (tmp_path / name / file).read_bytes() == (place / name / file).read_bytes(), file
        schema = json.loads((ROOT / "schemas" / "pack_source_line.schema.json").read_text("utf-8"))
        for row in rows(place / name / "sources.jsonl"):
            Draft202012Validator(schema).validate(row)
        counts = summary["counts"]
        assert counts["examples_above_the_median"] >= 0.95 * counts["examples"] > 0


def test_the_prompt_holds_style_texts_and_rules(demo: tuple[Path, Path], curate: Curate) -> None:
    place, run = demo
    done = curate("pack-prompt", "--username", "greggles", "--home", place / "home")
    assert done.status == 0, done.err
    for said in ("You write as Greg writes.", "# How to write", "# Texts by Greg", "# Rules", "# Not known",
                 "say that you are a machine"):  # fmt: skip
        assert said in done.out
    assert f"made from the run {run}" in done.err and "next: " in done.err and "--to skill --out" in done.err
    assert curate("pack-prompt", run).out == curate("pack-prompt", "--run", run).out == done.out


def test_options_of_training_mean_nothing_to_a_pack(demo: tuple[Path, Path], curate: Curate, tmp_path: Path) -> None:
    run = demo[1]
    done = curate("export", run, "--to", "skill", "--method", "lora", "--out", tmp_path / "out")
    assert done.status == 2 and "trains no model: --method means nothing there" in done.err
    done = curate("preview", run, "--to", "card")
    assert done.status == 2 and "has no rows: there is nothing to preview" in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_a_skills_name_is_said(
    demo: tuple[Path, Path], curate: Curate, tmp_path: Path
) -> None:
    done = curate("export", demo[1], "--to", "skill", "--out", tmp_path / "My Greg")
    assert done.status == 0 and "rename the folder to 'my-greg'" in done.err
    assert "name: my-greg\n" in (tmp_path / "My Greg" / "SKILL.md").read_text("utf-8")
    assert [skill_name(one) for one in ("--", "Zoë--2", "x" * 70)] == ["persona", "zoe-2", "x" * 64]


# --- whose words, and what is left out -------------------------------------------------------------------------------


def made(home: Home, curate: Curate, *options: object) -> Path:
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0, *options)
    assert done.status == 0, done.err
    return done.run


def test_the_twins_words_are_never_the_persons(home: Home, curate: Curate) -> None:
    home.memory("where did I put the oar", response="In the shed, behind the green door.")
    home.memory("the twin dreamt of a heron on the quay", type="inner_dialogue", metadata={"model": "m"})
    home.memory("I saw a heron standing on the quay at noon.", type="journal")
    texts = texts_of(plan_persona(made(home, curate), home.folder)[0])
    assert {(one.text, one.kind) for one in texts.person} == {
        ("where did I put the oar", "asked"), ("I saw a heron standing on the quay at noon.", "entry"),
    }  # fmt: skip
    assert [text for _, text in texts.others] == [
        "In the shed, behind the green door.", "the twin dreamt of a heron on the quay",
    ]  # fmt: skip


def test_dual_direction_turns_sides_and_not_authors(home: Home, curate: Curate) -> None:
    home.memory(
        "where did I put the oar", response="In the shed, behind the green door.", metadata={"cognitiveMode": "dual"}
    )
    for direction in ("thought-is-user", "thought-is-assistant"):
        run = made(home, curate, "--mode-from", "metadata", "--dual-direction", direction)
        texts = texts_of(plan_persona(run, home.folder)[0])
        assert [one.text for one in texts.person] == ["where did I put the oar"], direction
        assert [text for _, text in texts.others] == ["In the shed, behind the green door."], direction


def test_a_run_of_others_words_alone_makes_no_persona(home: Home, curate: Curate, tmp_path: Path) -> None:
    home.memory("a heron on the quay, says the twin of hers", type="dream", metadata={"model": "m"})
    run = made(home, curate)
    for words in (("pack-prompt", run), ("export", run, "--to", "skill", "--out", tmp_path / "out")):
        done = curate(*words)
        assert done.status == 1 and "holds no text of ann's own" in done.err
    assert list(tmp_path.glob("*out*")) == []


def test_without_others_phrases_are_left_out_and_said_to_be_missing(home: Home, curate: Curate, tmp_path: Path) -> None:
    for number in range(24):
        home.memory(f"At the quay on day {number} I counted {number + 3} herons and wrote it down.", type="journal")
    assert curate("export", made(home, curate), "--to", "skill", "--out", tmp_path / "ann").status == 0
    style = (tmp_path / "ann" / "style.md").read_text("utf-8")
    assert "No words and phrases are given as typical" in style and "Phrases that others" not in style
    assert "Too few texts for figures of: talk, others' texts." in style
    unknown = (tmp_path / "ann" / "guardrails.md").read_text("utf-8")
    assert "no text of others beside them" in unknown and "no chat in which they answer anybody" in unknown
    assert "chosen for coverage alone" in (tmp_path / "ann" / "examples.md").read_text("utf-8")


def test_secrets_addresses_and_macros_are_never_shown(home: Home, curate: Curate, tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5" * 4
    for number in range(12):
        home.memory(f"The heron number {number} stood by the mill and would not look at me.", type="journal")
    for text in (f"My key is {key} and the heron knows it.", "Write to ann@example.org about the heron, please.",
                 "Ring me at +44 20 7946 0958 about the heron.", "The {{user}} macro is a heron of its own kind.",
                 "The heron said <START> and then it left me alone."):  # fmt: skip
        home.memory(text, type="journal")
    run = made(home, curate, "--keep-secrets")
    for tool in ("skill", "card"):
        done = curate("export", run, "--to", tool, "--out", tmp_path / tool)
        assert done.status == 0 and "! 1 text with a key, a card number or an IBAN left out of the pack" in done.err
        written = "".join(path.read_text("utf-8") for path in (tmp_path / tool).iterdir() if path.suffix != ".png")
        for hidden in (key, "ann@example.org", "7946", "macro is", "heron said <START>"):
            assert hidden not in written, hidden


PLACES: Final = ("mill", "quay", "barn", "well", "ford", "weir", "lock", "pier", "dyke", "shed")
SIGNED: Final = (
    "mail greta.sample@example.org", "Greta Sample, 12 Elm Road, Oakham", "ring 07700 900123",
    "see https://oakham.example/login?token=Wxyz for Brightwater",
    "12 rue de la Grenouille", "Amselweg 7, 99999 Musterdorf",
)  # fmt: skip
PRIVATE: Final = ("greta", "example", "elm", "oakham", "07700", "900123", "wxyz", "token", "grenouille", "amselweg",
                  "musterdorf")  # fmt: skip


@pytest.mark.parametrize("signature", SIGNED)
def test_habits_names_and_subjects_tell_no_address(home: Home, curate: Curate, tmp_path: Path, signature: str) -> None:
    verbs = ("mended", "painted", "lost", "sold", "found", "tarred", "moved", "sank", "drew", "left")
    for place, verb in zip(PLACES, verbs, strict=True):
        # Each with words of its own, so that a run takes no two for one.
        own = " ".join(f"{verb}{end} the {place}{end}" for end in ("ry", "ost", "ick", "ane", "ulf", "eb"))
        home.memory(f"Today I {verb} the boat near the {place}. It was {own}. {signature}", type="journal")
        home.memory(f"where is the rope, and {own}?\n\n{signature}", response=f"It {verb} on the {place} hook.")
    run = made(home, curate)
    for tool in ("skill", "card"):
        assert curate("export", run, "--to", tool, "--out", tmp_path / tool).status == 0
    pages = [tmp_path / "skill" / "style.md", tmp_path / "skill" / "SKILL.md"]
    persona = persona_of(plan_persona(run, home.folder)[1])
    told = [one.text for one in (*persona.names, *persona.things)]
    told += [habit.text for style in persona.styles
             for habit in (*style.openers, *style.closers, *style.words, *style.phrases)]  # fmt: skip
    lines = [line for page in pages for line in page.read_text("utf-8").splitlines()
             if line.startswith(("- “", "- Texts often", "- Sentences often", "- Typical", "- Words"))]  # fmt: skip
    assert told and lines
    for hidden in PRIVATE:
        assert not [one for one in (*told, *lines) if hidden in one.lower()], hidden
    assert not [one for one in told if any(map(str.isdigit, one))]


def test_what_is_unfit_is_blanked_with_the_whole_word() -> None:
    for text, left in (
        ("mail greta.sample@example.org. The end", "mail  0. The end"),
        ("[here](https://example.org/?token=a b", " 0 b"),
        ("before ```print(key)``` after", "before  0 after"),
        ("call (+44 20 7946 0958), then", "call  0 then"),
        ("{{random: a, b}} c", " 0 c"),
        ("a 1 b", "a 1 b"),
    ):
        assert without_unfit(text) == left
    for text, words in (
        ("I live at 12 Elm Road, Oakham, by the mill", ["I", "live", "0", "0", "0", "0", "0", "by", "the", "mill"]),
        ("12 rue de la Paix", ["0", "0", "de", "la", "0"]),
        ("we met on the Amsel Weg 7", ["we", "met", "on", "the", "0", "0", "0"]),
        ("Sophie saw the 3 herons I fed", ["Sophie", "saw", "0", "0", "0", "I", "fed"]),
    ):
        assert countable(text) == words


def test_a_run_that_was_changed_makes_no_pack(home: Home, curate: Curate, tmp_path: Path) -> None:
    home.memory("I saw a heron standing on the quay at noon.", type="journal")
    run = made(home, curate)
    for name in ("curated_memories.json", "lineage.jsonl"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole + b" ")
        done = curate("export", run, "--to", "card", "--out", tmp_path / "out")
        assert done.status == 1 and "its sha256 is not that of run-summary.json" in done.err
        (run / name).write_bytes(whole)
    assert list(tmp_path.glob("*out*")) == []


def test_a_pack_of_an_encrypted_profile_says_so(demo: tuple[Path, Path], curate: Curate, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("demo\n")
    of = ("--home", demo[0] / "home", "--username", "greggles")
    run = curate("run", *of, "--max", 200, "--out", tmp_path / "runs", "--password-file", tmp_path / "password").run
    done = curate("export", run, "--home", demo[0] / "home", "--to", "skill", "--out", tmp_path / "greg")
    assert done.status == 0 and "the set holds in the clear what was encrypted" in done.err
    warning = next(line for line in done.err.splitlines() if "in the clear" in line).partition("the set")[2]
    done = curate("pack-prompt", run, "--home", demo[0] / "home")
    assert done.status == 0 and f"! the set{warning}" in done.err
    assert "in the clear" not in curate("pack-prompt", demo[1]).err


def test_without_a_text_that_may_be_shown_nothing_is_empty(home: Home, curate: Curate, tmp_path: Path) -> None:
    home.memory("Greta's page is www.example.org, I think.", type="journal")
    run = made(home, curate)
    done = curate("export", run, "--to", "skill", "--out", tmp_path / "ann")
    assert done.status == 0 and "no examples: no text is fit to be shown" in done.err
    assert {path.name for path in (tmp_path / "ann").iterdir()} == {
        "SKILL.md", "profile.md", "guardrails.md", "sources.jsonl", "export.json",
    }  # fmt: skip
    assert list(skill_problems(tmp_path / "ann")) == []
    skill = (tmp_path / "ann" / "SKILL.md").read_text("utf-8")
    for heading in ("A few texts", "The style in short", "examples.md", "style.md"):
        assert heading not in skill, heading
    assert curate("export", run, "--to", "card", "--out", tmp_path / "card").status == 0
    prompt = curate("pack-prompt", run).out
    for part in ("# How to write", "# Texts by"):
        assert part not in prompt
    description = json.loads((tmp_path / "card" / "card_v3.json").read_text("utf-8"))["data"]["description"]
    assert "How {{char}} writes" not in description
    for written in (skill, prompt, done.err):
        assert "chosen for coverage" not in written and "not measured: \n" not in written


def test_where_the_voice_is_measured_the_reason_is_never_empty(home: Home, curate: Curate) -> None:
    home.memory("I saw a heron standing on the quay at noon.", type="journal")
    persona = persona_of(plan_persona(made(home, curate), home.folder)[1])
    assert persona.examples and persona.lacking
    none = replace(persona, examples=(), lacking="")
    assert "no examples: no text passed" in notes_of(none)[1]
    assert "not measured" not in "".join(notes_of(none))
    other = replace(persona, lacking="")  # all that may be shown is in another language
    assert "not measured: no text that may be shown" in notes_of(other)[1]
    assert "not measured (no text that may be shown" in how_chosen(other)


@pytest.mark.parametrize(
    ("name", "taken"),
    [("Ann O'Hara-Lee", True), ("Зоя", True), ("<b>Ann</b>", False), ("# Ann", False), ("{{user}}", False),
     ("[Ann](x)", False), ("ann@example.org", False), ("Ann 07700 900123", False), ("**Ann**", False),
     ("www.example.org", False), ("- Ann", False), ("Ann & Bob; &lt;", False)],
)  # fmt: skip
def test_a_name_that_is_markup_or_unfit_is_not_taken(home: Home, curate: Curate, name: str, taken: bool) -> None:
    home.memory("I saw a heron standing on the quay at noon.", type="journal")
    (home.profile / "persona").mkdir()
    (home.profile / "persona" / "core.json").write_text(json.dumps({"identity": {"humanName": name}}), "utf-8")
    job = plan_persona(made(home, curate), home.folder)[1]
    assert job.person == (name if taken else "ann")


def test_details_are_held_of_what_recurs_alone() -> None:
    found = [(f"once {number}", f"{number:016x}-0") for number in range(500)]
    found += [(what, f"{number:016x}-1") for number, what in enumerate(("To be", "to be", "to be", "to be"))]
    tally = Tally.of(lambda: found)
    assert tally.recurring() == [*tally.times] == [*tally.seen] == ["to be"] and tally.sizes == (504, 0)
    habit = tally.habit("to be")
    assert (habit.text, habit.times, habit.memories, len(habit.samples)) == ("to be", 4, 4, 3)
    assert habit.samples == tuple(f"{number:016x}-1" for number in range(3))


def test_of_very_many_texts_some_are_counted_and_the_pack_says_so(
    home: Home, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evenly(range(10), 4) == [0, 2, 5, 7] and evenly(range(3), 4) == range(3)
    for number in range(30):
        home.memory(f"At the quay I counted herons by the {PLACES[number % 10]} on walk {number}.", type="journal")
    job = plan_persona(made(home, curate), home.folder)[1]
    assert not any("evenly over time" in note for note in notes_of(persona_of(job)))
    for module in ("persona", "summary", "pages"):
        monkeypatch.setattr(f"curator.exports.pack.{module}.MOST_COUNTED", 12)
    persona = persona_of(job)
    assert persona.texts == 30 and persona.styles[0].entries and persona.styles[0].entries.texts == 12
    assert "style, names and subjects are counted in 12 of the texts, evenly over time" in notes_of(persona)
    assert "Counted over 12, evenly over time, of all 30 texts" in style_page(persona)


def test_an_exporter_of_a_home_makes_a_pack_of_its_own(home: Home, curate: Curate, tmp_path: Path) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "leaflet.py").write_text(
        "from curator import Exporter, Pack, PackJob, hookimpl\n"
        "def pack(job: PackJob) -> Pack:\n"
        "    lines = [f'{s.metadata.sample_id} {s.assistant_text}' for s in job.samples]\n"
        "    return Pack({'leaflet.txt': '\\n'.join([job.person, *lines])}, 'leaflet.txt', {'lines': len(lines)})\n"
        "@hookimpl\n"
        "def register_exporters():\n"
        "    return [Exporter('leaflet', 'a leaflet', kind='pack', pack=pack),\n"
        "            Exporter('nothing', 'nothing', kind='pack')]\n"
    )
    home.memory("I saw a heron standing on the quay at noon.", type="journal")
    run = made(home, curate)
    assert curate("export", run, "--to", "leaflet", "--out", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "leaflet.txt").read_text("utf-8").endswith("heron standing on the quay at noon.")
    (source,) = rows(tmp_path / "out" / "sources.jsonl")
    assert source["lines"] == {"leaflet.txt": [2]}
    done = curate("export", run, "--to", "nothing", "--out", tmp_path / "none")
    assert done.status == 1 and "the exporter 'nothing' is of the kind 'pack' and has no pack" in done.err


# --- figures ---------------------------------------------------------------------------------------------------------

# Three sentences each, the last a question, and the number of words that somebody who reads the language counts.
THREE: Final = {
    "en": ("I came home late, very late. The boat was dry. Who had seen it?", (6, 4, 4)),
    "de": ("Ich kam spät nach Hause, sehr spät. Das Boot war trocken. Wer hatte es gesehen?", (7, 4, 4)),
    "fr": ("Je suis rentré tard, très tard. Le bateau était vide. Qui l'avait vu ?", (6, 4, 3)),
    "es": ("Llegué tarde a casa, muy tarde. El barco estaba seco. ¿Quién lo había visto?", (6, 4, 4)),
    "it": ("Sono tornato tardi, molto tardi. La barca era asciutta. Chi l'aveva vista?", (5, 4, 3)),
    "pt": ("Cheguei tarde a casa, muito tarde. O barco estava seco. Quem o tinha visto?", (6, 4, 4)),
    "ru": ("Я пришёл домой поздно, очень поздно. Лодка была сухая. Кто её видел?", (6, 3, 3)),
    "zh": ("我很晚才回家，真的很晚。船是干的。谁看见了它？", (7, 2, 4)),
    "ja": ("私は遅く家に帰った、とても遅く。船は乾いていた。誰がそれを見たのか？", (9, 5, 6)),
    "ko": ("나는 집에 늦게 왔다, 아주 늦게. 배는 말라 있었다. 누가 그것을 보았니?", (6, 3, 3)),
    "ar": ("رجعت إلى البيت متأخرا، متأخرا جدا. كان القارب جافا. من الذي رآه؟", (6, 3, 3)),
    "hi": ("मैं देर से घर आया, बहुत देर से। नाव सूखी थी। उसे किसने देखा था?", (8, 3, 4)),
}


@pytest.mark.parametrize("language", THREE)
def test_sentences_words_and_marks_are_counted_in_every_script(language: str) -> None:
    text, words = THREE[language]
    found = figures([text] * 5, language)
    assert found.sentences == 15
    assert found.ends == {"full stop": pytest.approx(2 / 3), "question mark": pytest.approx(1 / 3)}
    assert found.marks["commas"] == pytest.approx(100 / 3)
    assert found.words == pytest.approx(5 * sum(words), rel=0.25)
    assert found.sentence.middle == pytest.approx(sorted(words)[1], abs=1)
    assert (found.small is None) == (language in ("zh", "ja", "ko", "ar", "hi"))


def test_thai_has_no_marks_and_its_words_are_counted_by_letters() -> None:
    found = figures(["เมื่อวานฉันกลับบ้านช้ามาก", "เรือแห้งแล้ว"], "th")
    assert found.ends == {"no mark": 1.0} and found.small is None
    assert found.words == pytest.approx(6 + 3, abs=2)


def test_lines_of_a_chat_are_sentences_with_no_mark() -> None:
    found = figures(["on my way\nkeep the tea warm 😀", "ok :)", "REALLY NOW"], "en")
    assert found.sentences == 4
    assert found.ends == {"no mark": 0.5, "emoji or face": 0.5}
    assert found.small == pytest.approx(0.75) and found.pictures == pytest.approx(2 / 3)
    assert found.shouted == pytest.approx(2 / 12)


def said(text: str, number: int, **more: Any) -> Said:
    return Said(text, f"{number:016x}-0", more.pop("kind", "answer"), "emulation", "chat", "2025", "en", **more)


def test_phrases_are_those_that_others_use_less() -> None:
    person = [said(f"To be fair the tide was {word}, and to be fair I knew.", n) for n, word in enumerate("abcdef")]
    others = [f"The tide was {word}, and I knew it." for word in "ghijklmnop"]
    style = style_of(person, others, "en")
    assert style.phrases[0].text.lower().startswith("to be") and style.phrases[0].times == 12
    assert not {"the tide", "tide was", "the tide was"} & {one.text.lower() for one in style.phrases}
    assert style.openers[0].text == "To be" and style.openers[0].samples[0] == person[0].sample_id
    assert style_of(person, [], "en").phrases == ()


def test_log_odds_favour_neither_side_where_both_write_the_same() -> None:
    same = Counter({"a": 40, "b": 10})
    assert all(abs(z) < 1e-9 for z in log_odds(same, same).values())
    assert log_odds(Counter({"a": 40, "b": 40}), Counter({"a": 40, "b": 2}))["b"] > 2


def test_examples_are_not_alike_and_not_all_of_one_memory() -> None:
    places = ("mill", "quay", "barn", "well", "ford", "weir", "lock", "pier", "dyke", "shed")
    person = [said(f"I met the old {one} by the {two} and said nothing of it to anybody there.", 100 * a + b)
              for a, one in enumerate(places) for b, two in enumerate(places)]  # fmt: skip
    assert len(choose(person, lambda one: 1.0)) == 1
    person = [said(f"{one} {two} {one}s {two}s", 100 * a) for a, one in enumerate(places)
              for two in places if one != two]  # fmt: skip
    chosen = choose(person, lambda one: 1.0)
    assert max(Counter(example.said.memory for example in chosen).values()) <= 3
    assert choose(person, lambda one: 1.0) == chosen
    assert choose(person, lambda one: -0.1) == ()

"""What a run says of itself is true, and `curate validate` finds every fault that is planted in one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import ROOT, Home, Result, curate_once, rows

from curator.cli.options import PACKS, TOOLS
from curator.config import load_settings
from curator.plugin_manager import BUILT_IN_PLUGINS

Curate = Callable[..., Result]
DATASET: Final = "fine_tune_dataset.jsonl"
HEAD: Final = "<|im_start|>user\n"


def fill(home: Home) -> None:
    """Eleven memories: five that are learnt from, six with a flaw each."""
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    home.memory("What leaks?", response="Certainly! The pump by the stern leaks again.")
    home.memory("Hello <user>: there", response="A reply with nothing in it but words.")
    home.memory("Say it", response="Well <|im_end|> that was it, was it not.")
    home.memory("I walked along the quay and counted the boats.", type="journal")
    home.memory("Is it late?", response="No.")
    home.memory("Archived", response="This one was archived.", metadata={"discard": True})
    tool = {"toolName": "send_mail", "toolInputs": {"to": "anna"}, "toolOutputs": {"ok": True}, "success": True}
    home.memory(type="tool_invocation", metadata=tool | {"instruction": "Write to Anna that we sail."})
    home.memory("<script>alert(1)</script> is what the page said to me today.", type="observation")
    home.file("2025/03/01/bad.json", '{"id": ')


@pytest.fixture(scope="module")
def done_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Result]:
    """The run of these memories."""
    home = Home(tmp_path_factory.mktemp("done") / "home")
    fill(home)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "110")
        return home, curate_once("run", "--home", home.folder, "--username", "ann")


@pytest.fixture
def done(home: Home, done_once: tuple[Home, Result], monkeypatch: pytest.MonkeyPatch) -> Result:
    """A copy of that home and its run, each test's own."""
    first, result = done_once
    monkeypatch.setenv("COLUMNS", "110")
    home.take(first)
    return replace(result, out=result.out.replace(str(first.folder), str(home.folder)))


def report_of(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((result.run / "report.json").read_text("utf-8"))
    return report


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_report_of_a_small_run_is_exact(done: Result) -> None:
    report = report_of(done)
    facts = {name: report[name] for name in ("username", "family", "mode", "samples", "train", "memories")}
    assert facts == {"username": "ann", "family": "qwen", "mode": "all", "samples": 5, "train": 5, "memories": 11}
    assert report["modes"] == {"agent": 1, "emulation": 4}
    assert report["types"] == {"conversation": 2, "journal": 1, "observation": 1, "tool_invocation": 1}
    assert report["months"] == {"2025-03": 5}
    assert report["mode_sources"] == {"type": 9}
    assert report["cleaned"] == {"fillers": 1}
    assert report["notices"] == []
    assert report["memory_fates"] == {
        "used": 5,
        "event: discarded": 1,
        "read: bad_json": 1,
        "screen: control_token": 1,
        "screen: duplicate": 1,
        "screen: reserved_tag": 1,
        "screen: too_short": 1,
    }


def test_every_measure_has_its_value_target_and_verdict(done: Result) -> None:
    checks = [(c["name"], c["value"], c["target"], c["verdict"], bool(c["advice"])) for c in report_of(done)["checks"]]
    assert checks == [
        ("average reply", 7.4, "25-40 words", "low", True),  # (8 + 7 + 9 + 4 + 9) / 5
        ("short replies (<= 40 words)", 100.0, "at least 80%", "ok", False),
        ("long replies (> 100 words)", 0.0, "5-10%", "low", True),
        ("replies with fillers", 0.0, "at most 2%", "ok", False),
        ("the person's own replies", 40.0, "at least 50%", "low", True),
        ("stock questions", 0.0, "at most 30%", "ok", False),
        ("dual samples", 0.0, "at least 20%", "low", True),
        ("emulation samples", 80.0, "at least 20%", "ok", False),
        ("agent samples", 20.0, "at least 10%", "ok", False),
    ]


def test_with_a_mode_the_targets_of_modes_do_not_apply(home: Home, curate: Curate, done: Result) -> None:
    alone = curate("run", "--home", home.folder, "--username", "ann", "--mode", "agent")
    report = report_of(alone)
    assert (report["mode"], report["modes"]) == ("agent", {"agent": 1})
    assert [check["verdict"] for check in report["checks"][6:]] == ["n/a"] * 3
    assert report["memory_fates"]["select: other_mode"] == 4


def test_the_funnel_loses_at_each_step_what_the_drops_say(done: Result) -> None:
    report = report_of(done)
    steps = {step["name"]: step["count"] for step in report["funnel"]}
    assert steps == {"found": 11, "read": 10, "fit to learn from": 9, "pairs": 9, "stand alone": 9, "cleaned": 9,
                     "screened": 6, "unique": 5, "chosen": 5, "training": 5}  # fmt: skip
    lost: Counter[str] = Counter()
    for drop in report["drops"]:
        lost[drop["stage"]] += drop["count"]
    assert lost == {"read": 1, "event": 1, "screen": 4}
    assert steps["found"] - lost["read"] - lost["event"] == steps["fit to learn from"]
    assert steps["cleaned"] - lost["screen"] == steps["unique"]


def test_fates_drops_and_counts_agree_with_the_files(done: Result) -> None:
    report = report_of(done)
    drops = rows(done.run / "dropped.jsonl")
    assert sum(report["memory_fates"].values()) == report["memories"] == 11
    counted = Counter((drop["stage"], drop["reason"]) for drop in drops)
    assert {(one["stage"], one["reason"]): one["count"] for one in report["drops"]} == counted
    summary = json.loads((done.run / "run-summary.json").read_text("utf-8"))
    assert summary["counts"] == {
        "memories": 11, "memories_used": 5, "samples": 5, "train": 5, "holdout": 0, "dropped": len(drops)
    }  # fmt: skip
    assert len(rows(done.run / DATASET)) == len(rows(done.run / "curated_memories.json")) == 5


def test_tokens_are_an_estimate_that_says_so(done: Result) -> None:
    report = report_of(done)
    assert report["characters"] == sum(len(row["input"]) + len(row["output"]) for row in rows(done.run / DATASET))
    texts = [row[side] for row in rows(done.run / DATASET) for side in ("input", "output")]
    assert report["tokens"] == sum(round(len(text) / 4) for text in texts)
    assert report["tokens_note"] == "estimated by each script's characters a token, 4 in English"


def test_fitness_names_what_is_missing(done: Result) -> None:
    assert report_of(done)["fitness"] == {
        "LoRA": "too few: 5 of 1,000 training samples; 995 more are needed",
        "full fine-tuning": "too few: 5 of 5,000 training samples; 4,995 more are needed",
    }


def test_up_to_three_samples_of_each_mode_are_shown(done: Result) -> None:
    cards = report_of(done)["cards"]
    assert Counter(card["mode"] for card in cards) == {"agent": 1, "emulation": 3}


def test_the_report_shows_every_reason_with_its_count(done: Result) -> None:
    for reason in ("bad_json", "discarded", "control_token", "duplicate", "reserved_tag", "too_short"):
        assert f" {reason} " in done.out
    assert "5 samples (5 training, 0 held out) from 5 of 11 memories (45.5%)" in done.out


def test_report_shows_what_the_run_showed(home: Home, curate: Curate, done: Result) -> None:
    for arguments in ((done.run,), ("--home", home.folder), ("--home", home.folder, "--username", "ann")):
        again = curate("report", *arguments)
        assert (again.status, again.out) == (0, done.out)
    assert json.loads(curate("report", done.run, "--json").out) == report_of(done)


def test_json_of_a_run_is_its_report_and_folder(home: Home, curate: Curate) -> None:
    fill(home)
    printed = json.loads(curate("run", "--home", home.folder, "--username", "ann", "--json").out)
    assert printed["report"] == json.loads((Path(printed["run"]) / "report.json").read_text("utf-8"))


def test_a_report_without_a_run_says_how_to_make_one(home: Home, curate: Curate) -> None:
    found = curate("report", "--home", home.folder)
    assert (found.status, found.out) == (2, "")
    assert "curate run --username ann" in found.err


def test_the_page_forbids_scripts_and_escapes_what_a_memory_says(home: Home, curate: Curate) -> None:
    home.memory('<script>alert("1")</script> is what <img src=x onerror=y> said to me.', type="observation")
    done = curate("run", "--home", home.folder, "--username", "ann")
    page = (done.run / "report.html").read_text("utf-8")
    assert (
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
        in page
    )
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert "&lt;script&gt;alert(" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_control_characters_of_a_memory_never_reach_the_terminal(home: Home, curate: Curate) -> None:
    home.memory("I saw \x1b[31mred\x1b[0m and \x07 heard \x9b31m a bell \u202eesrever today.", type="observation")
    home.file("2025/03/01/e\x1b[2Jvil.json", "{")
    done = curate("run", "--home", home.folder, "--username", "ann")
    assert done.status == 0, done.err
    explained = curate("explain", "evt-000001", "--home", home.folder)
    for text in (done.out, explained.out, (done.run / "report.html").read_text("utf-8")):
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}


# --- validate --------------------------------------------------------------------------------------------------------


def problems_of(curate: Curate, path: Path) -> tuple[int, list[dict[str, Any]]]:
    found = curate("validate", path, "--json")
    return found.status, json.loads(found.out)["problems"]


def with_line(run: Path, number: int, change: Callable[[dict[str, str]], Any]) -> dict[str, str]:
    """Change one line of the dataset (counted from 1), mend its sha256, and return the line as it was."""
    lines = (run / DATASET).read_text("utf-8").splitlines()
    before: dict[str, str] = json.loads(lines[number - 1])
    after = change(dict(before))
    lines[number - 1] = after if isinstance(after, str) else json.dumps(after)
    (run / DATASET).write_text("".join(line + "\n" for line in lines), "utf-8")
    resign(run)
    return before


def resign(run: Path) -> None:
    summary = json.loads((run / "run-summary.json").read_text("utf-8"))
    summary["files"][DATASET] = hashlib.sha256((run / DATASET).read_bytes()).hexdigest()
    (run / "run-summary.json").write_text(json.dumps(summary), "utf-8")


def test_a_run_passes_its_own_validation(home: Home, curate: Curate, done: Result) -> None:
    found = curate("validate", done.run)
    assert (found.status, found.last_line) == (0, "5 samples (agent 1, emulation 4): clean")
    printed = json.loads(curate("validate", done.run, "--json").out)
    assert printed == {"passed": True, "samples": 5, "modes": {"agent": 1, "emulation": 4}, "problems": [], "count": 0}


@pytest.mark.parametrize("name", [DATASET, "curated_memories.json", "formatted_samples.json", "schema_applied.json"])
def test_each_file_of_samples_passes_by_itself(curate: Curate, done: Result, name: str) -> None:
    found = curate("validate", done.run / name)
    assert (found.status, found.last_line) == (0, "5 samples (agent 1, emulation 4): clean"), found.out


def replaced(field: str, old: str, new: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda row: row | {field: row[field].replace(old, new)}


Q: Final = "Where is the harbour?"
FAULTS: Final[dict[str, tuple[Callable[[dict[str, str]], Any], str, str, str, str]]] = {
    # what is changed in line 1 -> mode, field, the text that stands at the offset reported, words of the problem
    "tag missing": (replaced("input", "<user>: ", ""), "", "input", Q, "no mode tag"),
    "tag of the reply missing": (
        replaced("output", "<assistant>: ", ""), "emulation", "output", "Behind", "not begin with '<assistant>: '"),
    "tag in the wrong place": (replaced("input", f"<user>: {Q}", f"{Q} <user>: "), "", "input", Q, "no mode tag"),
    "tag of another mode": (
        replaced("output", "<assistant>", "<world>"), "emulation", "output",
        "<world>", "not begin with '<assistant>: '"),
    "tags of a mode on the wrong sides": (
        replaced("input", "<user>", "<assistant>"), "", "input", "<assistant>", "no mode tag"),
    "tag without its space": (replaced("input", "<user>: ", "<user>:"), "", "input", "<user>:", "no mode tag"),
    "tag inside the text": (
        replaced("input", "the harbour", "<user>: the harbour"), "emulation", "input", "<user>: the",
        "mode tag <user>"),
    "tag doubled": (
        replaced("output", "<assistant>: ", "<assistant>: <assistant>: "), "emulation", "output", "<assistant>: Behind",
        "mode tag <assistant>"),
    "disguised tag inside the text": (
        replaced("output", "old mill", "old ＜ｗｏｒｌｄ＞ mill"), "emulation", "output", "＜ｗ", "mode tag <world>"),
    "control token inside the text": (
        replaced("output", "old mill", "old <|im_start|> mill"), "emulation", "output", "<|im_start|> mill",
        "control token <|im_start|>"),
    "control token of another family": (
        replaced("output", "old mill", "old </s> mill"), "emulation", "output", "</s> mill", "control token </s>"),
    "nothing after the tag": (
        replaced("output", "Behind the old mill, where the river bends.", ""), "emulation", "output", "<|im_end|>",
        "empty after its tag"),
    "empty output": (lambda row: row | {"output": ""}, "", "output", "", "empty"),
    "blank input": (lambda row: row | {"input": " \n"}, "", "input", "", "empty"),
    "missing key": (lambda row: {"input": row["input"]}, "", "output", "", "missing"),
    "key that holds no text": (lambda row: row | {"output": 7}, "", "output", "", "missing"),
    "another family's wrapper": (
        lambda row: {"input": f"[INST] <user>: {Q} [/INST]", "output": " <assistant>: Behind. </s>"}, "", "input", "",
        "no mode tag"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_with_sample_mode_field_and_offset(curate: Curate, done: Result, fault: str) -> None:
    change, mode, field, there, what = FAULTS[fault]
    with_line(done.run, 1, change)
    sample = rows(done.run / "lineage.jsonl")[0]["sample_id"]
    status, problems = problems_of(curate, done.run)
    assert status == 1
    assert len(problems) == 1, problems
    problem = problems[0]
    assert (problem["file"], problem["line"], problem["sample_id"]) == (DATASET, 1, sample)
    assert (problem["mode"], problem["field"]) == (mode, field)
    assert what in problem["what"]
    if there:
        text = rows(done.run / DATASET)[0][field]
        assert text[problem["offset"] :].startswith(there), "the offset is that in the field as it stands in the file"
    else:
        assert problem["offset"] == 0
    shown = curate("validate", done.run)
    assert shown.status == 1
    assert f"{DATASET}:1: sample {sample} ({mode or '?'}), {field} at {problem['offset']}: " in shown.out
    assert shown.last_line.endswith(": 1 problem")


def test_a_broken_line_is_named_and_the_others_are_still_checked(curate: Curate, done: Result) -> None:
    with_line(done.run, 2, lambda row: '{"input": "x')
    status, problems = problems_of(curate, done.run)
    assert status == 1
    where = [(one["file"], one["line"], one["field"], one["what"][:7]) for one in problems]
    assert (DATASET, 2, "line", "no JSON") in where
    with_line(done.run, 3, lambda row: row | {"output": ""})
    later = [one for one in problems_of(curate, done.run)[1] if one["line"] == 3]
    assert later[0]["sample_id"] == rows(done.run / "lineage.jsonl")[2]["sample_id"]


def test_a_changed_file_is_told_by_its_sha256(curate: Curate, done: Result) -> None:
    with (done.run / "dropped.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    status, problems = problems_of(curate, done.run)
    assert (status, [(one["file"], one["what"]) for one in problems]) == (
        1, [("dropped.jsonl", "its sha256 is not that of run-summary.json")]
    )  # fmt: skip


def test_a_removed_line_and_a_removed_file_are_told(curate: Curate, done: Result) -> None:
    lines = (done.run / DATASET).read_text("utf-8").splitlines(keepends=True)
    (done.run / DATASET).write_text("".join(lines[:-1]), "utf-8")
    resign(done.run)
    status, problems = problems_of(curate, done.run)
    assert (status, [one["what"] for one in problems]) == (1, ["5 samples promised, 4 lines found"])
    (done.run / "report.html").unlink()
    assert any(one["file"] == "report.html" and "not there" in one["what"] for one in problems_of(curate, done.run)[1])


def test_wrapped_samples_that_are_not_their_raw_texts_are_told(curate: Curate, done: Result) -> None:
    path = done.run / "schema_applied.json"
    path.write_text(path.read_text("utf-8").replace("The pump by the stern", "The PUMP by the stern", 1), "utf-8")
    status, problems = problems_of(curate, done.run)
    assert status == 1
    assert ("schema_applied.json", "emulation", "input") in [(p["file"], p["mode"], p["field"]) for p in problems]


def test_a_folder_that_is_no_run_and_a_path_that_is_not_there_are_usage_errors(curate: Curate, tmp_path: Path) -> None:
    assert curate("validate", tmp_path).status == 2
    assert curate("validate", tmp_path / "none.jsonl").status == 2
    (tmp_path / "run-summary.json").write_text('{"format": "something"}')
    assert curate("validate", tmp_path).status == 2


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "[\n]\n"])
def test_a_file_without_a_sample_does_not_pass(curate: Curate, tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    status, problems = problems_of(curate, tmp_path / "a.jsonl")
    assert (status, [one["what"] for one in problems]) == (1, ["no sample in it"])


BARE: Final = [
    {"input": "<thought>: It rains.", "output": "<world>: Wear a coat."},
    {"input": "<user>: Hello", "output": "<assistant>: Hello to you."},
    {"input": "<instruction>: Mail Anna.", "output": '<action>: send_mail {"to":"anna"}'},
]


def test_the_bare_jsonl_of_metahuman_is_read_as_it_stands(curate: Curate, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in BARE), "utf-8")
    found = curate("validate", path)
    assert (found.status, found.last_line) == (0, "3 samples (agent 1, dual 1, emulation 1): clean")
    path.write_text(json.dumps(BARE, indent=1), "utf-8")
    assert curate("validate", path).status == 0


@pytest.mark.parametrize(
    ("row", "mode", "field", "offset"),
    [
        ({"input": "It rains.", "output": "<world>: Wear a coat."}, "", "input", 0),
        ({"input": "<thought>: It rains.", "output": "<assistant>: Wear a coat."}, "dual", "output", 0),
        ({"input": "<user>: a <user>: b", "output": "<assistant>: c d"}, "emulation", "input", 10),
        ({"input": "<user>: a", "output": "<assistant>: c &lt;user&gt; d"}, "emulation", "output", 15),
        ({"input": "<user>: a", "output": "<assistant>: c </s>"}, "emulation", "output", 15),
        ({"input": "<user>: ", "output": "<assistant>: c d"}, "emulation", "input", 8),
        ([], "", "line", 0),
    ],
)
def test_faults_of_a_bare_jsonl_are_named_by_line(
    curate: Curate, tmp_path: Path, row: Any, mode: str, field: str, offset: int
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (BARE[0], row, BARE[1])), "utf-8")
    status, problems = problems_of(curate, path)
    assert status == 1
    assert [(p["line"], p["sample_id"], p["mode"], p["field"], p["offset"]) for p in problems] == [
        (2, "2", mode, field, offset)
    ]


@pytest.mark.parametrize(
    "family",
    ["gemma", "gptj", "llama2", "llama3", "llisa", "mistral", "phi3", "phi4", "phi4mini", "smollm2", "tinyllama"],
)
def test_a_run_of_every_family_passes_as_a_run_and_as_a_file(home: Home, curate: Curate, family: str) -> None:
    fill(home)
    done = curate("run", "--home", home.folder, "--username", "ann", "--family", family)
    assert done.status == 0, done.err
    for path in (done.run, done.run / DATASET):
        assert curate("validate", path).status == 0


# --- explain, plugins, doctor, init ----------------------------------------------------------------------------------


def test_a_memory_is_explained_by_id_key_path_file_name_and_sample(home: Home, curate: Curate, done: Result) -> None:
    line = rows(done.run / "lineage.jsonl")[1]
    path = line["sources"][0]["path"]
    names = (line["original_id"], line["events"][0], path, Path(path).name, line["sample_id"])
    shown = {curate("explain", name, "--home", home.folder).out for name in names}
    assert len(shown) == 1
    text = shown.pop()
    for part in (
        path,
        "as the run read it",
        "What leaks?",
        "took off the start: 'Certainly! '",
        f"-> {DATASET}, line 2",
    ):
        assert part in text
    explained = json.loads(curate("explain", line["sample_id"], "--home", home.folder, "--json").out)
    assert explained["samples"][0][1]["assistant_text"] == "The pump by the stern leaks again."


def test_a_dropped_memory_is_explained_with_its_reason(home: Home, curate: Curate, done: Result) -> None:
    shown = curate("explain", "evt-000004", "--run", done.run, "--home", home.folder)
    assert shown.status == 0
    assert "screen: reserved_tag  <user> at character 6 of user_text" in shown.out
    unread = curate("explain", "bad.json", "--home", home.folder)
    assert "read: bad_json" in unread.out


def test_explain_says_where_a_file_has_changed_or_gone(home: Home, curate: Curate, done: Result) -> None:
    path = home.profile / rows(done.run / "lineage.jsonl")[0]["sources"][0]["path"]
    path.write_text("{}")
    assert "changed since the run" in curate("explain", "evt-000001", "--home", home.folder).out
    path.unlink()
    assert "not there" in curate("explain", "evt-000001", "--home", home.folder).out


def test_an_unknown_id_is_a_usage_error(home: Home, curate: Curate, done: Result) -> None:
    unknown = curate("explain", "evt-999999", "--home", home.folder)
    assert (unknown.status, unknown.out) == (2, "")
    assert "'evt-999999' is neither a memory nor a sample" in unknown.err


def test_plugins_lists_every_plugin_with_what_it_gives(home: Home, curate: Curate) -> None:
    listed = {one["name"]: one for one in json.loads(curate("plugins", "--home", home.folder, "--json").out)}
    importers = {name for name in BUILT_IN_PLUGINS if name.startswith("import_")}
    exporters = {"export_" + name.replace("-", "_"): name for name in (*TOOLS, *PACKS)}
    assert set(listed) == {
        "metahuman", "jsonl", "imports", "modes", "metadata", "type", "mapping", "cleaners", "filters", "secrets",
        "families", *exporters, *importers,
    }  # fmt: skip
    assert len(importers) > 30 and listed["import_whatsapp"]["gives"] == "importer whatsapp"
    assert all(listed[plugin]["gives"] == f"export to {name}" for plugin, name in exporters.items())
    assert "mode dual <thought> <world>" in listed["modes"]["gives"]
    assert "cleaner trim" in listed["cleaners"]["gives"]
    assert "filter secret" in listed["secrets"]["gives"]
    shown = curate("plugins", "--home", home.folder)
    assert shown.status == 0
    assert all(name in shown.out for name in listed)


def test_doctor_finds_a_sound_home_sound_and_a_broken_one_broken(home: Home, curate: Curate) -> None:
    sound = curate("doctor", "--home", home.folder)
    assert sound.status == 0
    assert "wrong" not in sound.out
    assert json.loads(curate("doctor", "--home", home.folder, "--json").out)["ok"] is True
    home.config("curate.json", '{\n  "colour": 1,\n  "limits": {"max_file_bytes": "x"}\n}')
    broken = curate("doctor", "--home", home.folder, "--json")
    findings = {one["what"]: one for one in json.loads(broken.out)["findings"]}
    assert broken.status == 1
    assert "curate.json:2: colour" in findings["configuration"]["detail"]
    assert "curate.json:3: limits.max_file_bytes" in findings["configuration"]["detail"]
    assert findings["configuration"]["mend"]


def test_doctor_without_a_home_says_how_to_make_one(curate: Curate, tmp_path: Path) -> None:
    found = curate("doctor", "--home", tmp_path)
    assert found.status == 1
    assert "curate init" in found.out


def test_init_makes_a_home_that_is_valid_and_overwrites_nothing(curate: Curate, tmp_path: Path) -> None:
    made = curate("init", tmp_path / "new")
    assert (made.status, made.last_line) == (0, str(tmp_path / "new"))
    assert list((tmp_path / "new" / "profiles").iterdir()) == []
    assert load_settings(tmp_path / "new").curate == load_settings(None).curate
    own = tmp_path / "new" / "etc" / "targets.json"
    own.write_text("mine")
    assert curate("init", tmp_path / "new").status == 0
    assert own.read_text() == "mine"


def test_init_with_the_demo_makes_a_home_that_runs_and_refuses_a_second_time(curate: Curate, tmp_path: Path) -> None:
    assert curate("init", tmp_path / "new", "--demo").status == 0
    done = curate("run", "--home", tmp_path / "new", "--username", "greggles", "--mode", "dual", "--max", "50")
    assert done.status == 0, done.err
    assert 0 < report_of(done)["samples"] <= 50
    assert curate("validate", done.run).status == 0
    before = sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file())
    again = curate("init", tmp_path / "new", "--demo")
    assert (again.status, again.out) == (2, "")
    assert "is there already" in again.err
    assert sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file()) == before


def test_a_copied_run_is_as_good_as_the_first(curate: Curate, done: Result, tmp_path: Path) -> None:
    shutil.copytree(done.run, tmp_path / "copy")
    assert curate("validate", tmp_path / "copy").status == 0
    assert json.loads(curate("report", tmp_path / "copy", "--json").out) == report_of(done)


@pytest.mark.parametrize(
    "family", ["qwen", "llama2", "llama3", "phi3", "phi4", "gptj", "gemma", "mistral", "llisa", "bare"]
)
def test_a_run_with_multi_turn_samples_is_valid_in_every_family(home: Home, curate: Curate, family: str) -> None:
    bare = {"family": "bare", "user_prefix": "", "assistant_prefix": "", "eos_token": "<|endoftext|>"}
    home.config("schemas/bare.json", bare)  # as MetaHuman's own file for qwen
    said = ["Is the boat in?", "She is in, on the slip.", "And the mast?", "The mast is still in the shed."]
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    home.memory(messages=messages, tags=["multi_turn"])
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    result = curate("run", "--username", "ann", "--home", home.folder, "--family", family)
    assert rows(result.run / "curated_memories.json")[0]["context"], "no multi-turn sample"
    for path in (result.run, result.run / "fine_tune_dataset.jsonl"):
        verdict = curate("validate", path, "--home", home.folder)
        assert verdict.status == 0, verdict.out


def test_a_tag_inside_the_context_of_a_multi_turn_sample_is_found(home: Home, curate: Curate) -> None:
    said = ["Is the boat in?", "She is in, on the slip.", "And the mast?", "The mast is still in the shed."]
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    home.memory(messages=messages, tags=["multi_turn"])
    folder = curate("run", "--username", "ann", "--home", home.folder).run
    file = folder / "fine_tune_dataset.jsonl"
    file.write_text(file.read_text("utf-8").replace("on the slip", "on <world> slip"), "utf-8")
    verdict = curate("validate", file, "--home", home.folder)
    assert verdict.status == 1
    assert "mode tag <world> inside the text" in verdict.out


@pytest.mark.parametrize("token", ["[TOOL_CALLS]", "<|eot_id|>", "<start_of_turn>", "<tool_call>", "<|im_sep|>"])
def test_what_validate_objects_to_is_never_published(home: Home, curate: Curate, token: str) -> None:
    """Screening, the check before publishing and validate look for the tokens of all families."""
    home.memory(f"What is {token} for?", response="It marks something, I think.")
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    result = curate("run", "--username", "ann", "--home", home.folder, "--family", "qwen")
    assert [drop["reason"] for drop in rows(result.run / "dropped.jsonl")] == ["control_token"]
    assert curate("validate", result.run, "--home", home.folder).status == 0


def test_the_summary_holds_metrics_and_the_resolved_configuration(home: Home, curate: Curate) -> None:
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    folder = curate("run", "--username", "ann", "--home", home.folder, "--context", "keep").run
    summary = json.loads((folder / "run-summary.json").read_text("utf-8"))
    assert summary["metrics"]["average reply"] == 7.0
    assert summary["config"]["pairing"]["context"] == "keep"


# --- what the report says of modes and cleaners is what was done ------------------------------------------------------


def test_a_type_that_a_plugin_maps_is_not_said_to_go_elsewhere(home: Home, curate: Curate) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    home.config("types.json", json.loads((ROOT / "etc" / "types.json").read_text()) | {"mapping": {"tag:sea": "dual"}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "tides.py").write_text(
        "from curator import Mode, hookimpl\n\n"
        "@hookimpl\ndef register_modes():\n    return [Mode('harbour', user_tag='question', assistant_tag='tide')]\n\n"
        "@hookimpl\ndef map_mode(event):\n    return 'harbour' if event.type == 'tide_log' else None\n"
    )
    home.memory("High water at nine, and the boat afloat by eight.", type="tide_log")
    home.memory("The glass is falling, and so is the barn door.", type="weather_log")
    home.memory("Two cormorants sit on the perch at low water.", type="bird_log", tags=["sea"])
    home.memory("I should oil the winch before the autumn.", type="yard_log", metadata={"cognitiveMode": "dual"})
    report = report_of(curate("run", "--username", "ann", "--home", home.folder))
    assert report["modes"] == {"dual": 2, "emulation": 1, "harbour": 1}
    told = [one for one in report["notices"] if "is not in etc/types.json" in one]
    assert told == ["type 'weather_log' is not in etc/types.json: 1 memory mapped to emulation"]


def test_replies_changed_are_those_of_the_set(home: Home, curate: Curate) -> None:
    """Cleaned and then dropped as a duplicate, as of another mode, or as too short: none of them is in the count."""
    home.memory("Is the pump dry?", response="Okay, dry since noon.")
    home.memory("Is the pump dry?", response="Okay, dry since noon.")
    home.memory("Is the sail dry?", response="Okay, dry.")
    home.memory("Who keeps the key?", response="Okay, the harbour master keeps it.", metadata={"cognitiveMode": "dual"})
    result = curate("run", "--username", "ann", "--home", home.folder, "--mode", "emulation")
    assert report_of(result)["cleaned"] == {"fillers": 1}
    changed = [line for line in rows(result.run / "lineage.jsonl") if line.get("changes")]
    assert len(changed) == 1

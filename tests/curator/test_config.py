"""The files of etc/ and the model families: what is wrong is listed whole, with its line; what is right is applied."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home, Result, rows

from curator.config import MODELS

Curate = Callable[..., Result]
ETC = Path(__file__).resolve().parents[2] / "etc"
# etc/trainer.json and etc/modes/ are the trainer's: tests/trainer/test_settings.py loads them.
SHIPPED = sorted([*ETC.glob("schemas/*.json"), *(ETC / f"{name}.json" for name in MODELS)])


@pytest.fixture
def run(home: Home, curate: Curate) -> Callable[..., Result]:
    """Run on a home of one conversation."""
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    return lambda *options: curate("run", "--username", "ann", "--home", home.folder, *options)


Run = Callable[..., Result]


def refused(result: Result) -> str:
    """Return the message of a usage error; nothing else may have been printed, and no traceback."""
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err
    return str(result.err)


# --- mistakes -------------------------------------------------------------------------------------------------------

BROKEN = """{
  "limits": {
    "max_file_bytes": "many"
  },
  "reply": {
    "sentences": 3,
    "wrods": 40,
    "long_share": 7.5
  },
  "plugins": {"disabled": ["a", 1]},
  "hybrid_limits": 0.9
}
"""


def test_all_mistakes_of_all_files_are_listed_at_once_with_their_lines(home: Home, run: Run) -> None:
    curate_file = home.config("curate.json", BROKEN)
    targets = home.config("targets.json", '{\n"short_words": 4.5\n}\n')
    prompts = home.config("prompts.json", '{\n"dual": {"default": ["a"]},\n"emulation": {"default": []},\n"agent": {}}')
    err = refused(run())
    for line, words in (
        (3, "limits.max_file_bytes"), (7, "reply.wrods"), (8, "reply.long_share"), (10, "plugins.disabled.1"),
        (11, "hybrid_limits"),
    ):  # fmt: skip
        assert f"{curate_file}:{line}: {words}: " in err
    assert f"{targets}:2: short_words: " in err and "average_reply_words" in err
    assert f"{prompts}:3: emulation: " in err
    assert "curate doctor" in err


@pytest.mark.parametrize("name", sorted(MODELS))
def test_an_unknown_key_is_an_error_in_every_file(home: Home, run: Run, name: str) -> None:
    text = (ETC / f"{name}.json").read_text("utf-8")
    path = home.config(f"{name}.json", text.replace("{\n", '{\n"colour": 1,\n', 1))
    assert f"{path}:2: colour: " in refused(run())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n"comment": "x"\n:}', 3),
        ("{\n\n'a': 1}", 3),
        ("", 1),
        ("{", 1),
        ('{"comment": "x"}\n\n}', 3),
        ("[" * 9_999, 1),
    ],
)
def test_what_is_no_json_names_the_line(home: Home, run: Run, text: str, line: int) -> None:
    path = home.config("curate.json", text)
    assert f"{path}:{line}: not JSON: " in refused(run())


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_what_is_no_object_is_an_error(home: Home, run: Run, text: str) -> None:
    path = home.config("curate.json", text)
    assert f"{path}:1: " in refused(run())


def test_what_is_no_utf8_names_the_byte(home: Home, run: Run) -> None:
    path = home.config("curate.json", "{}")
    path.write_bytes('{"comment": "é"}'.encode("latin-1"))
    assert f"{path}: not UTF-8 at byte 13" in refused(run())


def test_a_key_that_stands_twice_is_an_error(home: Home, run: Run) -> None:
    path = home.config("curate.json", '{\n"reply": {"words": 20},\n"reply": {"sentences": 1}\n}')
    err = refused(run())
    assert str(path) in err and "reply" in err


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1", '"6"', "true"])
def test_a_number_that_is_none_is_an_error(home: Home, run: Run, value: str) -> None:
    path = home.config("curate.json", f'{{\n"pairing": {{\n"outward_window_hours": {value}\n}}}}')
    assert f"{path}:" in refused(run())


@pytest.mark.parametrize(("key", "known"), [("cleaners", "whitespace"), ("filters", "reserved_tag")])
def test_an_unknown_cleaner_or_filter_lists_the_known(home: Home, run: Run, key: str, known: str) -> None:
    home.config("curate.json", {key: [known[:-1]]})
    err = refused(run())
    assert f"Did you mean {known!r}?" in err and f"'{key}' of etc/curate.json" in err


def test_an_unknown_plugin_in_the_file_lists_the_known(home: Home, run: Run) -> None:
    home.config("curate.json", {"plugins": {"disabled": ["cleaner"]}})
    err = refused(run())
    assert "Did you mean 'cleaners'?" in err and "metahuman" in err


@pytest.mark.parametrize("place", [("modes", {"dream": "dula"}), ("mapping", {"dream": "dula"}), ("unknown", "dula")])
def test_a_mode_that_types_json_misspells_is_an_error(home: Home, run: Run, place: tuple[str, Any]) -> None:
    home.memory("A boat in the sky.", type="dream")
    types = json.loads((ETC / "types.json").read_text("utf-8"))
    home.config("types.json", types | {place[0]: place[1]} | ({"modes": {}} if place[0] == "mapping" else {}))
    home.memory("Another sky.", type="never-heard-of")
    err = refused(run())
    key = place[0] if place[0] == "unknown" else f"{place[0]}.dream"
    assert f"etc/types.json:1: {key}: no mode is called 'dula'; did you mean 'dual'?" in err
    assert "plugin" not in err


def test_doctor_finds_what_types_json_misspells(home: Home, curate: Curate) -> None:
    types = json.loads((ETC / "types.json").read_text("utf-8"))
    home.config("types.json", types | {"modes": types["modes"] | {"dream": "dula"}})
    found = curate("doctor", "--home", home.folder)
    assert found.status == 1
    assert "no mode is called 'dula'; did you mean 'dual'?" in " ".join(found.out.split())
    home.config("types.json", types | {"primary": [*types["primary"], "conversaton"]})
    found = curate("doctor", "--home", home.folder)
    assert found.status == 0
    assert "the type 'conversaton' has no mode in 'modes'" in found.out
    assert "did you mean 'conversation'?" in found.out


# --- what is shipped ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ETC)))
def test_every_shipped_file_loads_as_a_home_s_own(home: Home, run: Run, path: Path) -> None:
    name = path.relative_to(ETC)
    (home.folder / "etc" / "schemas").mkdir(parents=True)
    (home.folder / "etc" / name).write_bytes(path.read_bytes())
    result = run("--family", path.stem) if name.parts[0] == "schemas" else run()
    assert result.status == 0, result.err
    summary = json.loads((result.run / "run-summary.json").read_bytes())
    if name.parts[0] != "schemas":
        assert summary["config_sha256"][f"etc/{name}"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ETC)))
def test_every_shipped_file_has_a_schema_that_it_follows(path: Path) -> None:
    from jsonschema import Draft202012Validator

    name = "family" if path.parent.name == "schemas" else f"etc_{path.stem}"
    schema = json.loads((ETC.parent / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    errors = [one.message for one in Draft202012Validator(schema).iter_errors(json.loads(path.read_text("utf-8")))]
    assert errors == []


def test_a_home_s_own_file_replaces_that_file_alone(home: Home, run: Run) -> None:
    before = json.loads((run().run / "run-summary.json").read_bytes())["config_sha256"]
    path = home.config("curate.json", {"default_family": "llisa", "reply": {"min_words": 1}})
    result = run()
    after = json.loads((result.run / "run-summary.json").read_bytes())
    assert after["family"] == "llisa"
    assert after["config_sha256"] == before | {"etc/curate.json": hashlib.sha256(path.read_bytes()).hexdigest()}
    notices = json.loads((result.run / "report.json").read_bytes())["notices"]
    assert [one for one in notices if "own file" in one] == ["etc/curate.json: the home's own file is used"]


def test_an_own_file_may_have_a_byte_order_mark(home: Home, run: Run) -> None:
    home.config("curate.json", '\ufeff{"default_family": "llisa"}')
    result = run()
    assert result.status == 0, result.err


def test_an_empty_own_file_of_curate_means_the_defaults_that_are_shipped(home: Home, run: Run) -> None:
    """Every key is optional: leaving them all out must change nothing of the set."""
    wanted = (run().run / "curated_memories.json").read_bytes()
    home.config("curate.json", {})
    assert (run().run / "curated_memories.json").read_bytes() == wanted
    from curator.config import CurateConfig

    shipped = CurateConfig.model_validate_json((ETC / "curate.json").read_text("utf-8"))
    known = {"comment": shipped.comment, "filters": shipped.filters}
    assert CurateConfig.model_validate(known) == shipped


# --- families -------------------------------------------------------------------------------------------------------


def own(name: str, **keys: str) -> dict[str, str]:
    """Return a family file with the keys that MetaHuman OS writes."""
    empty = dict.fromkeys(("user_prefix", "user_suffix", "assistant_prefix", "assistant_suffix", "separator"), "")
    return {"family": name, "description": f"{name} model family"} | empty | {"eos_token": "", "notes": "x"} | keys


METAHUMAN = {
    "llama": own(
        "llama", user_prefix="[INST] ", user_suffix=" [/INST]", assistant_prefix=" ", separator="\n", eos_token="</s>"
    ),
    "phi": own(
        "phi", user_prefix="<|prompt|>", assistant_prefix="<|answer|>", separator="\n", eos_token="<|endoftext|>"
    ),
    "gptj": own(
        "gptj", user_prefix="Human: ", assistant_prefix="\nAssistant: ", separator="\n\n", eos_token="<|endoftext|>"
    ),
    "qwen": own("qwen", eos_token="<|endoftext|>"),
}  # fmt: skip
WRAPPED = {
    "llama": "[INST] <user>: Who came by? [/INST]\n <assistant>: The neighbour, to lend us a ladder.</s>",
    "phi": "<|prompt|><user>: Who came by?\n<|answer|><assistant>: The neighbour, to lend us a ladder.<|endoftext|>",
    "gptj": "Human: <user>: Who came by?\n\n\nAssistant: <assistant>: The neighbour, to lend us a ladder.<|endoftext|>",
    "qwen": "<user>: Who came by?<assistant>: The neighbour, to lend us a ladder.<|endoftext|>",
}
# What the shipped qwen.json makes of it.
CHATML = (
    "<|im_start|>user\n<user>: Who came by?<|im_end|>\n<|im_start|>assistant\n"
    "<assistant>: The neighbour, to lend us a ladder.<|im_end|>\n"
)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        (name, chosen)
        for name in METAHUMAN
        for chosen in ("family", "schema", "base model", "default")
        if name != "qwen" or chosen == "schema"  # MetaHuman's qwen.json parts nothing: the shipped one is used instead
    ],
)
def test_metahuman_s_own_family_files_are_applied_whole(
    home: Home, curate: Curate, run: Run, name: str, chosen: str
) -> None:
    path = home.config(f"schemas/{name}.json", METAHUMAN[name]) if chosen != "schema" else home.folder / "mine.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(METAHUMAN[name]))
    if chosen == "default":
        home.config("curate.json", {"default_family": name})
    choices: dict[str, tuple[object, ...]] = {
        "family": ("--family", name),
        "schema": ("--schema", path),
        "base model": ("--base-model", f"me/{name}-7b-chat"),
    }
    result = run(*choices.get(chosen, ()))
    assert result.status == 0, result.err
    (line,) = rows(result.run / "fine_tune_dataset.jsonl")
    assert line["input"] + line["output"] == WRAPPED[name]
    (sample,) = rows(result.run / "schema_applied.json")
    assert (sample["input"], sample["output"]) == (line["input"], line["output"])
    assert sample["schema_family"] == name
    if chosen != "schema":
        validated = curate("validate", result.run, "--home", home.folder)
        assert validated.status == 0, validated.out


def test_all_four_together_load_beside_the_shipped_ones(home: Home, run: Run, curate: Curate) -> None:
    for name, data in METAHUMAN.items():
        home.config(f"schemas/{name}.json", data)
    for name in METAHUMAN:
        result = run("--family", name)
        assert result.status == 0, result.err
        (line,) = rows(result.run / "fine_tune_dataset.jsonl")
        assert line["input"] + line["output"] == (CHATML if name == "qwen" else WRAPPED[name])
    assert run("--family", "llama3").status == 0
    assert curate("doctor", "--home", home.folder).status == 0


def test_a_family_without_anything_between_the_two_sides_is_noticed(home: Home, run: Run) -> None:
    home.config("schemas/mine.json", METAHUMAN["qwen"] | {"family": "mine"})
    assert any("nothing stands between" in one for one in report_of(run("--family", "mine"))["notices"])


@pytest.mark.parametrize("choice", [(), ("--family", "qwen"), ("--base-model", "qwen3-coder:30b")], ids=str)
def test_a_home_s_family_that_parts_nothing_gives_way_to_the_shipped_one(
    home: Home, run: Run, curate: Curate, choice: tuple[str, ...]
) -> None:
    home.config("schemas/qwen.json", METAHUMAN["qwen"])
    result = run(*choice)
    (line,) = rows(result.run / "fine_tune_dataset.jsonl")
    assert line["input"] + line["output"] == CHATML
    notices = report_of(result)["notices"]
    assert not any("nothing stands between" in one for one in notices)
    (notice,) = [one for one in notices if "shipped one is used" in one]
    assert "etc/schemas/qwen.json" in notice
    assert curate("validate", result.run, "--home", home.folder).status == 0


def test_of_a_family_that_is_not_this_run_s_nothing_is_said(home: Home, run: Run) -> None:
    home.config("schemas/qwen.json", METAHUMAN["qwen"])
    assert not any("qwen" in one for one in report_of(run("--family", "llama3"))["notices"])


def test_doctor_lists_every_file_that_overrides_and_its_effect(home: Home, curate: Curate) -> None:
    """MetaHuman's home: other hyperparameters, a family that parts nothing, one of its own, one that replaces."""
    shipped = json.loads((ETC / "fine-tune-config.json").read_text())
    home.config("fine-tune-config.json", shipped | {"base_model": "me/mine", "learning_rate": 1e-5})
    home.config("curate.json", (ETC / "curate.json").read_text())  # the same, so it changes nothing
    home.config("types.json", json.loads((ETC / "types.json").read_text()) | {"unknown": "dual"})
    home.config("modes/dual-config.json", {"num_train_epochs": 7})
    home.config("trainer.json", {"finetune": {"epochs": 9}})
    home.config("schemas/qwen.json", METAHUMAN["qwen"])
    home.config("schemas/llama.json", METAHUMAN["llama"])
    home.config("schemas/phi3.json", METAHUMAN["phi"] | {"family": "phi3"})
    found = json.loads(curate("doctor", "--home", home.folder, "--json").out)["findings"]
    told = {one["what"]: one["detail"] for one in found if one["what"].startswith("etc/")}
    assert set(told) == {
        "etc/fine-tune-config.json", "etc/types.json", "etc/modes/dual-config.json", "etc/trainer.json",
        "etc/schemas/qwen.json", "etc/schemas/llama.json", "etc/schemas/phi3.json",
    }  # fmt: skip
    tuned = told["etc/fine-tune-config.json"]
    assert f'base_model "me/mine" (shipped: "{shipped["base_model"]}")' in tuned
    assert "learning_rate" in tuned
    assert "num_train_epochs" not in tuned
    assert 'unknown "dual" (shipped: "emulation")' in told["etc/types.json"]
    assert "num_train_epochs 7" in told["etc/modes/dual-config.json"]
    assert "finetune.epochs 9" in told["etc/trainer.json"]
    assert "the shipped family 'qwen' is used instead" in told["etc/schemas/qwen.json"]
    assert "adds the family 'llama'" in told["etc/schemas/llama.json"]
    assert "replaces the family 'phi3'" in told["etc/schemas/phi3.json"]
    assert not any("all as shipped" in one["detail"] for one in found)


def test_doctor_reads_a_family_file_with_a_byte_order_mark(home: Home, curate: Curate) -> None:
    home.config("schemas/mine.json", "\ufeff" + json.dumps(METAHUMAN["llama"] | {"family": "mine"}))
    found = curate("doctor", "--home", home.folder)
    assert found.status == 0, found.err
    assert "adds the family 'mine'" in found.out


def test_doctor_counts_memories_and_says_where_there_are_none(home: Home, curate: Curate) -> None:
    def of_profile() -> dict[str, str]:
        found = json.loads(curate("doctor", "--home", home.folder, "--json").out)["findings"]
        return dict(next(one for one in found if one["what"] == "profile ann"))

    for memory in home.episodic.rglob("*.json"):
        memory.unlink()
    empty = of_profile()
    assert empty["status"] == "note"
    assert "no memory in" in empty["detail"]
    assert "curate docs memories" in empty["mend"]
    home.memory("Is the pump dry?", response="Dry since noon.")
    assert of_profile()["detail"] == "1 memory can be read"
    home.file("a.json", "{")
    home.file("b.json.enc", b"\x00")
    told = curate("doctor", "--home", home.folder)
    assert told.status == 0
    assert "not read: bad_json 1, encrypted 1" in told.out
    assert "decrypt the profile" in told.out


def report_of(result: Result) -> dict[str, Any]:
    """Return a run's report."""
    assert result.status == 0, result.err
    return dict(json.loads((result.run / "report.json").read_bytes()))


def test_the_mistakes_of_a_family_file_are_listed_with_their_lines(home: Home, run: Run) -> None:
    path = home.config("schemas/mine.json", '{\n"family": "mine",\n"user_prefix": 7,\n"assistant_prefx": ""\n}')
    err = refused(run())
    assert f"{path}:3: " in err and "assistant_prefx" in err and "'assistant_prefix' is a required property" in err


@pytest.mark.parametrize(
    "text", ["{", "[]", "", "7", '{"family": "x"', "\udcff", "[" * 100_000], ids=lambda text: ascii(text[:9])
)
@pytest.mark.parametrize("given", ["home", "--schema"])
def test_a_file_that_is_no_family_is_named(home: Home, run: Run, text: str, given: str) -> None:
    path = home.folder / "mine.json" if given == "--schema" else home.config("schemas/mine.json", "")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert str(path) in refused(run("--schema", path) if given == "--schema" else run())


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", "x" * 300, "new\nline"])
def test_a_family_s_name_never_leads_out_of_the_runs(home: Home, run: Run, name: str) -> None:
    """The name stands in the run's folder."""
    home.config("schemas/mine.json", own(name, eos_token="</s>"))
    before = set(home.folder.parent.rglob("*"))
    result = run("--family", name) if name else run("--schema", home.folder / "etc" / "schemas" / "mine.json")
    assert result.status == 2, result
    assert "Traceback" not in result.err
    assert set(home.folder.parent.rglob("*")) == before


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_missing_user_lists_those_there_are(home: Home, run: Run, curate: Curate) -> None:
    (home.folder / "profiles" / "bob").mkdir()
    err = refused(curate("run", "--username", "anne", "--home", home.folder))
    assert "'anne'" in err and "ann, bob" in err and "Did you mean 'ann'?" in err
    assert str(home.folder / "profiles") in err


def test_a_home_without_profiles_says_how_to_make_one(tmp_path: Path, curate: Curate) -> None:
    assert "curate init" in refused(curate("run", "--username", "ann", "--home", tmp_path))


@pytest.mark.parametrize(
    "name", ["~nobody-of-this-name", "/nowhere", "x" * 5_000, "a\nb"], ids=lambda name: ascii(name[:9])
)
def test_a_home_that_is_not_there_is_named(curate: Curate, name: str) -> None:
    assert name[:9].splitlines()[0] in refused(curate("run", "--username", "ann", "--home", name))


@pytest.mark.parametrize(
    "text", ["", "7", "[]", '{"identity": 7}', '{"users": 7}', "{", "[" * 100_000], ids=lambda t: t[:16]
)
@pytest.mark.parametrize("name", ["profiles/ann/persona/core.json", "persona/users.json"])
def test_a_broken_persona_file_hinders_nobody(home: Home, run: Run, curate: Curate, name: str, text: str) -> None:
    path = home.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert run().status == 0
    assert "'zoe'" in refused(curate("run", "--username", "zoe", "--home", home.folder))


@pytest.mark.parametrize(
    "variable", ["COLUMNS=x", "COLUMNS=", "COLUMNS=-5", "TMPDIR=/nowhere", "PYTHONIOENCODING=ascii"]
)
def test_an_odd_environment_hinders_nobody(home: Home, curate_process: Curate, variable: str) -> None:
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    name, _, value = variable.partition("=")
    result = curate_process("run", "--username", "ann", "--home", home.folder, env=dict(os.environ) | {name: value})
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--family", "lama3", sorted(path.stem for path in (ETC / "schemas").glob("*.json"))),
        ("--mode", "duel", ["agent", "dual", "emulation"]),
        ("--base-model", "acme/enigma-9", sorted(path.stem for path in (ETC / "schemas").glob("*.json"))),
    ],
)
def test_an_unknown_name_lists_the_known(run: Run, home: Home, option: str, value: str, known: list[str]) -> None:
    err = refused(run(option, value))
    assert f"{value!r}" in err and ", ".join(known) in err
    assert not (home.profile / "out").exists()


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1"), ("meta-llama/Llama-2-7b-chat-hf", "llama2"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5"), ("microsoft/Phi-4-mini-instruct", "phi4mini"),
        ("microsoft/phi-4", "phi4"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi3"), ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("google/gemma-2-9b-it", "gemma"), ("EleutherAI/gpt-j-6b", "gptj"), ("QWEN2.5_7b", "qwen2.5"),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", "smollm2"), ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama"),
    ],
)  # fmt: skip
def test_a_base_model_s_name_finds_its_family(run: Run, model: str, family: str) -> None:
    assert report_of(run("--base-model", model))["family"] == family


@pytest.mark.parametrize(
    "options",
    [
        ("--max", "0"), ("--max", "-1"), ("--max", "x"), ("--max", "9" * 5_000), ("--max", "²"), ("--seed", "-1"),
        ("--seed", "1.5"), ("--holdout", "1"), ("--holdout", "nan"), ("--holdout", "-0.1"), ("--days-recent", "x"),
        ("--old-samples", "3"), ("--mode-from", "x"), ("--context", "x"), ("--max-file-bytes", "0"), ("--nope",),
        ("--family", "qwen", "--schema", "x"), ("--source", "/nowhere/x.jsonl"),
    ],
    ids=lambda options: " ".join(options)[:30],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_a_usage_error(run: Run, home: Home, options: tuple[str, ...]) -> None:
    err = refused(run(*options))
    assert re.search(r"expected|needs|invalid|unrecognized|not allowed|no such file", err)
    assert not (home.profile / "out").exists()


@pytest.mark.parametrize("options", [("--days-recent", "999999999999"), ("--max", "9" * 30), ("--seed", "9" * 30)])
def test_a_very_large_value_is_no_traceback(run: Run, options: tuple[str, ...]) -> None:
    assert run(*options).status in (0, 2)

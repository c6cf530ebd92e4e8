"""Each shared rule goes through both programs: what `curate` writes or accepts, `trainer` reads or accepts alike.

Each of these failed while the rule was written twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Home, Result, in_process, rows

from curator.contract.chat_format import load_families
from curator.contract.errors import UsageError
from curator.contract.finetune_config import load_fine_tune
from curator.contract.modes import BUILT_IN_MODES, Tags, modes_of, untag
from curator.contract.records import read_summary
from trainer.cli import run_command
from trainer.data.dialogues import read_run
from trainer.exports.go_template import read_modelfile, rendered
from trainer.model.checkpoint import load_checkpoint, load_record
from trainer.names import builtin_base

MODE = """
from curator import Mode, hookimpl

@hookimpl
def register_modes():
    return [Mode("quiz", user_tag="q1", assistant_tag="a_2")]
"""
OPENAI_KEY = "sk-" + "proj-" + "Ab3dEf9hIj2kLm5nOp8q"  # in parts, so that no scanner of repositories takes it for real


@pytest.fixture
def trainer(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run `trainer ARGS` in this process."""
    return in_process(run_command, capfd)


def quiz_home(home: Home) -> Home:
    """A home with the plugin above, whose memories say of themselves that they are of its mode."""
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "quiz.py").write_text(MODE, "utf-8")
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    for number in range(12):
        home.memory(
            f"Which is frame {number} of the boat, the old one or the new?",
            response=f"Frame {number} is the old one, and it will have to come out before the winter.",
            metadata={"cognitiveMode": "quiz"},
        )
    return home


# --- 1 and 7: tags with digits, a plugin's mode in metadata.cognitiveMode ---


def test_a_plugins_mode_with_digits_in_its_tags_goes_from_metadata_to_the_trainer(
    home: Home, curate: Callable[..., Result]
) -> None:
    done = curate("run", "--username", "ann", "--home", quiz_home(home).folder, "--mode-from", "metadata")
    assert done.status == 0, done.err
    samples = rows(done.run / "schema_applied.json")
    assert {sample["mode"] for sample in samples} == {"quiz"}
    assert samples[0]["raw_input"].startswith("<q1>: ") and samples[0]["raw_output"].startswith("<a_2>: ")
    dataset = read_run(done.run)
    assert dataset.tags == {"quiz": ["<q1>: ", "<a_2>: "]}
    assert all("<" not in dialogue.prompt + dialogue.reply for dialogue in dataset.dialogues)
    assert modes_of(read_summary(done.run)) == {"quiz": Tags("<q1>: ", "<a_2>: ")}


def test_hybrid_takes_a_plugins_mode_too(home: Home, curate: Callable[..., Result]) -> None:
    quiz_home(home)
    for number in range(6):
        home.memory(f"How was day {number} at the yard?", response=f"Day {number} was wet, and I planed a plank.")
    done = curate("run", "--username", "ann", "--home", home.folder, "--json")
    report = json.loads(done.out)["report"]
    assert report["modes"]["quiz"] and set(report["mode_sources"]) == {"metadata", "type"}


def test_a_mode_that_no_plugin_gives_goes_by_type_and_is_told(home: Home, curate: Callable[..., Result]) -> None:
    home.memory("How was the yard?", response="Wet, and cold.", metadata={"cognitiveMode": "environment"})
    done = curate("run", "--username", "ann", "--home", home.folder, "--json")
    report = json.loads(done.out)["report"]
    assert "environment" not in report["modes"]
    assert any("environment" in notice and "went by type" in notice for notice in report["notices"])


def test_a_run_of_version_0_1_which_names_no_modes_has_the_built_in_ones() -> None:
    assert modes_of({}) == BUILT_IN_MODES
    assert untag("<thought>: I should ring.") == ("<thought>: ", "I should ring.")
    assert untag("<q1>: Which?") == ("<q1>: ", "Which?") and untag("no tag") == ("", "no tag")


@pytest.mark.parametrize(
    "damaged", [{"quiz": ["q1"]}, {"quiz": ["Q 1", "a"]}, {"'}}{{": ["q1", "a_2"]}, {"quiz": [1, 2]}, ["quiz"]], ids=str
)
def test_a_summary_whose_modes_are_damaged_is_refused(damaged: object) -> None:
    with pytest.raises(UsageError, match="holds no pairs of tags"):
        modes_of({"modes": damaged})


# --- 2: homes and profiles --------------------------------------------------------------------------------------------


def stored_elsewhere(home: Home, tmp_path: Path) -> Path:
    """Move ann's profile out of the home, as MetaHuman OS does, and say so in persona/users.json."""
    for number in range(12):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    place = tmp_path / "elsewhere" / "ann"
    place.parent.mkdir()
    home.profile.rename(place)
    users = {"users": [{"username": "ann", "metadata": {"profileStorage": {"path": str(place)}}}]}
    (home.folder / "persona").mkdir()
    (home.folder / "persona" / "users.json").write_text(json.dumps(users), "utf-8")
    return place


def test_a_profile_stored_elsewhere_is_found_by_both(
    home: Home, tmp_path: Path, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    place = stored_elsewhere(home, tmp_path)
    made = curate("run", "--username", "ann", "--home", home.folder)
    assert made.status == 0 and made.run.is_relative_to(place), made.err
    seen = trainer("preview", "--profile", "ann", "--home", home.folder, "--json")
    assert seen.status == 0, seen.err
    assert json.loads(seen.out)


@pytest.mark.parametrize("given", ["~nosuchuser", "nowhere", "a\0b"])
def test_a_home_that_is_none_is_explained_alike(
    given: str, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    told = [
        curate("run", "--username", "ann", "--home", given), trainer("preview", "--profile", "ann", "--home", given)
    ]  # fmt: skip
    assert [done.status for done in told] == [2, 2]
    assert told[0].err.removeprefix("curate: ") == told[1].err.removeprefix("trainer: ")
    assert "--home" in told[0].err and "Traceback" not in told[0].err


@pytest.mark.parametrize("name", ["../ann", "con", "-x", "nobody"])
def test_a_name_that_is_none_is_refused_by_both(
    name: str, home: Home, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    told = [
        curate("run", f"--username={name}", "--home", home.folder),
        trainer("preview", f"--profile={name}", "--home", home.folder),
    ]
    assert [done.status for done in told] == [2, 2]
    assert told[0].err.replace("curate: --username", "") == told[1].err.replace("trainer: --profile", "") or (
        told[0].err.removeprefix("curate: ") == told[1].err.removeprefix("trainer: ")
    )


# --- 3: one fine-tuning configuration ---------------------------------------------------------------------------------


def test_every_key_that_one_accepts_the_other_accepts(home: Home) -> None:
    keys = {
        "cognitive_mode": "dual", "training_mode": "lora",
        "dataset_requirements": {"mode_distribution": {"dual_min_percent": 20, "quiz_min_percent": 5}},
    }  # fmt: skip
    home.config("modes/dual-config.json", keys)
    config, given = load_fine_tune(home.folder, "dual")
    assert config.dataset_requirements.mode_distribution == {"dual_min_percent": 20, "quiz_min_percent": 5}
    assert {"training_mode", "dataset_requirements"} <= given.keys()


def test_mode_distribution_stops_neither_program(
    home: Home, tmp_path: Path, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    home.config("modes/emulation-config.json", {"dataset_requirements": {"mode_distribution": {"dual_min_percent": 9}}})
    # Every model counts as large here, so that the mode's file is what the trainer reads.
    home.config("trainer.json", {"small_model_parameters": 1})
    for number in range(12):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    made = curate("run", "--username", "ann", "--home", home.folder, "--mode", "emulation", "--mode-from", "type")
    assert made.status == 0, made.err
    out = curate("export", made.run, "--home", home.folder, "--to", "trl", "--out", tmp_path / "trl")
    assert out.status == 0, out.err
    seen = trainer("preview", "--run", made.run, "--home", home.folder, "--json")
    assert seen.status == 0, seen.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"lora_rank": 1,\n "lora_rank": 2}', ":2: the key 'lora_rank' stands twice in one object"),
        ('{"lora_rank": 1,\n "lora_rnak": 2}', ":2: lora_rnak: Extra inputs are not permitted"),
        ('{\n"lora_rank": NaN}', ":2: not JSON: NaN is no JSON number"),
    ],
)
def test_a_mistake_in_it_is_told_alike(
    text: str, told: str, home: Home, tmp_path: Path, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    home.config("trainer.json", {"small_model_parameters": 1})
    for number in range(12):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    made = curate("run", "--username", "ann", "--home", home.folder, "--mode", "emulation", "--mode-from", "type")
    path = home.config("modes/emulation-config.json", text)
    ends = [
        curate("export", made.run, "--home", home.folder, "--to", "trl", "--out", tmp_path / "trl"),
        trainer("preview", "--run", made.run, "--home", home.folder),
    ]
    assert [done.status for done in ends] == [2, 2]
    for done in ends:
        assert f"{path}{told}" in done.err


# --- 5: secrets -------------------------------------------------------------------------------------------------------

SECRETS = {
    "key of a service": f"The key is {OPENAI_KEY} and it works, so keep it somewhere safe for me.",
    "GitHub": "Use ghp_" + "aB3" * 12 + " for the push, and then throw it away when you are done.",
    "AWS": "Sign in with AKIA" + "IOSFODNN7EXAMPL2" + " as you always do, and copy the logs over.",
    "private key": "-----BEGIN RSA PRIVATE KEY----- is how the file begins, do not lose that one.",
    "Stripe": "Charge it with rk_live_" + "4eC39HqLyjWDarjtT1zdp7dc" + " please, before the evening.",
    "SendGrid": "Mail goes out by SG." + "a1B2c3D4e5F6g7H8i9J0kL" + "." + "x" * 43 + ", that is all it needs.",
    "password in an address": "The database is at postgres://ann:hunter2@db.example.org/boats and it is slow.",
    "card": "Pay with 4111 1111 1111 1111 and send me the receipt when it has gone through.",
    "IBAN": "Send it to GB82 WEST 1234 5698 7654 32 before Friday, or they will charge us again.",
    "recovery phrase": "The seed phrase is abandon ability able about above absent absorb abstract absurd abuse access "
    "accident, write it down.",
}


def test_a_secret_goes_into_no_set_and_no_export(home: Home, tmp_path: Path, curate: Callable[..., Result]) -> None:
    for number in range(14):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    for kind, text in SECRETS.items():
        home.memory(f"What was it again that I needed for the {kind}?", response=text)
    done = curate("run", "--username", "ann", "--home", home.folder, "--json")
    report = json.loads(done.out)["report"]
    drops = {drop["reason"]: drop["count"] for drop in report["drops"] if drop["stage"] == "screen"}
    assert drops["secret"] == len(SECRETS)
    run = Path(json.loads(done.out)["run"])
    out = curate("export", run, "--home", home.folder, "--to", "openai", "--base-model", "gpt-4o-mini",
                 "--out", tmp_path / "openai")  # fmt: skip
    assert out.status == 0, out.err
    written = [path.read_text("utf-8", "replace") for path in (*run.iterdir(), *(tmp_path / "openai").rglob("*"))
               if path.is_file()]  # fmt: skip
    for kind, text in SECRETS.items():
        assert not any(text[-50:-20] in one for one in written), kind


def test_keep_secrets_keeps_them_in_both(
    home: Home, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    for number in range(14):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    home.memory("What was it again that I needed?", response=SECRETS["key of a service"])
    done = curate("run", "--username", "ann", "--home", home.folder, "--keep-secrets", "--mode-from", "type")
    assert OPENAI_KEY in (done.run / "fine_tune_dataset.jsonl").read_text("utf-8") + (
        done.run / "fine_tune_holdout.jsonl"
    ).read_text("utf-8")
    assert json.loads((done.run / "run-summary.json").read_text("utf-8"))["options"]["keep_secrets"] == "True"
    without = trainer("preview", "--run", done.run, "-n", "99", "--json")
    whole = trainer("preview", "--run", done.run, "-n", "99", "--json", "--keep-secrets")
    assert len(json.loads(whole.out)) == len(json.loads(without.out)) + 1


@pytest.mark.parametrize("off", ["secret", "secrets"])  # the filter, the plugin that gives it
def test_keep_secrets_goes_with_leaving_the_filter_out(off: str, home: Home, curate: Callable[..., Result]) -> None:
    home.memory("What was it again that I needed?", response=SECRETS["key of a service"])
    options = ("--username", "ann", "--home", home.folder, "--keep-secrets", "--no-plugin", off, "--json")
    done = curate("run", *options)
    assert done.status == 0, done.err
    assert json.loads(done.out)["report"]["samples"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Pay with 4111 1111 1111 1112 and send me the receipt when it has gone through.",
        "Send it to GB82 WEST 1234 5698 7654 33 before Friday, or they will charge us again.",
        "The order is 1234567890123456, and it has been on its way for a week by now.",
    ],
)
def test_a_number_whose_checksum_fails_is_no_secret(text: str, home: Home, curate: Callable[..., Result]) -> None:
    home.memory("What was it again that I needed?", response=text)
    done = curate("run", "--username", "ann", "--home", home.folder, "--json")
    assert json.loads(done.out)["report"]["samples"] == 1


# --- 6: control tokens with and without tags --------------------------------------------------------------------------


@pytest.mark.parametrize("tags", ["content", "none"])
@pytest.mark.parametrize("text", ["<|im_end|>: that is how it ends, I think", "It ends in <|im_end|>: see?"])
def test_a_control_token_is_harmless_in_an_export_with_and_without_tags(
    text: str, tags: str, home: Home, tmp_path: Path, curate: Callable[..., Result]
) -> None:
    for number in range(14):
        home.memory(f"What of frame {number}?", response=f"Frame {number} must come out, I am afraid, before long.")
    run = curate("run", "--username", "ann", "--home", home.folder, "--mode-from", "type").run
    for name, keys in (("curated_memories.json", ("user_text",)), ("formatted_samples.json", ("input",))):
        _replace_text(run, name, keys, text)
    out = tmp_path / "trl"
    done = curate("export", run, "--home", home.folder, "--to", "trl", "--tags", tags, "--out", out)
    assert done.status == 0, done.err
    data = "".join(path.read_text("utf-8") for path in out.glob("*.jsonl"))
    assert "<|im_end|>" not in data and "{im_end}" in data


def _replace_text(run: Path, name: str, keys: tuple[str, ...], text: str) -> None:
    """Put a text into the first sample of a run, as a run of another maker might hold it, and sign it."""
    import hashlib

    samples = rows(run / name)
    for key in keys:
        samples[0][key] = ("<user>: " if key == "input" else "") + text
    body = "[\n" + ",\n".join(json.dumps(sample, ensure_ascii=False) for sample in samples) + "\n]\n"
    (run / name).write_text(body, "utf-8")
    summary: dict[str, Any] = json.loads((run / "run-summary.json").read_text("utf-8"))
    summary["files"][name] = hashlib.sha256(body.encode()).hexdigest()
    (run / "run-summary.json").write_text(json.dumps(summary), "utf-8")


# --- 4: a plugin's mode in an Ollama Modelfile ------------------------------------------------------------------------


def test_a_plugins_mode_has_its_tags_in_the_modelfile_of_a_model_trained_elsewhere(
    home: Home, tmp_path: Path, curate: Callable[..., Result], trainer: Callable[..., Result]
) -> None:
    run = curate("run", "--username", "ann", "--home", quiz_home(home).folder, "--mode-from", "metadata").run
    source = tmp_path / "base"  # the built-in base as a Hugging Face folder, as if it had been trained elsewhere
    assert trainer("export", builtin_base(), "--to", "hf", "--out", source).status == 0
    asked = ("export", source, "--to", "ollama", "--family", "llisa", "--mode", "quiz")
    refused = trainer(*asked, "--out", tmp_path / "no")
    assert refused.status == 2 and "unknown mode 'quiz'" in refused.err and "--run" in refused.err
    done = trainer(*asked, "--run", run, "--out", tmp_path / "model")
    assert done.status == 0, done.err
    template = dict(read_modelfile(tmp_path / "model" / "Modelfile"))["TEMPLATE"]
    prompt = rendered(template, ["Which frame?"], [])
    assert "<q1>: Which frame?" in prompt and prompt.endswith("<a_2>:")


def test_the_base_loads_and_every_shipped_family_is_read_by_one_reader() -> None:
    assert load_checkpoint(builtin_base()).record == load_record(builtin_base())[1]
    assert set(load_families(None)) == {path.stem for path in (ROOT / "etc" / "schemas").glob("*.json")}

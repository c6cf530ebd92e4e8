"""What every export has in common: its rows, its files, its keys, its card, and that it appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from conftest import Home, Result, curate_once, rows
from outgoing_fixtures import EVERY_TOKEN, FAMILIES, PLUGIN

from curator.cli.options import TOOLS
from curator.contract.finetune_config import FineTuneConfig, load_fine_tune
from curator.contract.records import Message
from curator.exports.conversations import last_replies, system_in_user_turn
from curator.exports.costs import cost_lines, lora_parameters, model_size
from curator.exports.hyperparameters import keys_for, steps_of
from curator.records import Conversation

Curate = Callable[..., Result]
# As MetaHuman OS ships it, September 2026, its notes shortened.
METAHUMAN: Final[dict[str, Any]] = {
    "comment": "Full fine-tuning configuration for cognitive mode training", "notes": ["a", "b"],
    "base_model": "Qwen/Qwen3-14B", "training_mode": "full_finetune", "learning_rate": 5e-6, "num_train_epochs": 3,
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 32, "max_seq_length": 2048, "warmup_steps": 100,
    "logging_steps": 10, "save_steps": 500, "fp16": False, "bf16": True, "optim": "adafactor", "weight_decay": 0.01,
    "max_grad_norm": 1.0, "save_total_limit": 2,
    "dataset_requirements": {
        "min_samples": 5000, "recommended_samples": 10000,
        "mode_distribution": {"dual_min_percent": 20, "emulation_min_percent": 20, "agent_min_percent": 10},
    },
    "gguf_conversion": {"enabled": True, "quantization_type": "Q6_K", "intermediate_type": "f16", "notes": ["c"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home with the plugin `plain` and a run of four memories, one of them a conversation kept whole."""
    home = Home(tmp_path_factory.mktemp("made") / "home")
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "plain.py").write_text(PLUGIN, "utf-8")
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    home.memory("Is the tide in?", response="Not before noon, by the table on the wall.")
    home.memory("Who painted the hull?", response="Marta did, in the rain, with my brush.")
    home.memory(
        "User: One?\n\nAssistant: The first answer is here.\n\nUser: Two?\n\nAssistant: The second one follows it.",
        tags=["multi_turn"],
    )
    return home, curate_once("run", "--home", home.folder, "--username", "ann", "--holdout", 0.25).run


@pytest.fixture
def made(home: Home, made_once: tuple[Home, Path]) -> tuple[Home, Path]:
    """A copy of that home and its run, each test's own."""
    first, run = made_once
    home.take(first)
    return home, home.folder / run.relative_to(first.folder)


def export(curate: Curate, home: Home, run: Path, out: Path, *more: object, to: str = "plain") -> Result:
    return curate("export", run, "--home", home.folder, "--to", to, "--out", out, *more)


def test_an_export_holds_every_sample_of_the_run(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    done = export(curate, home, run, tmp_path / "out", to="each")
    assert (done.status, done.last_line) == (0, str(tmp_path / "out")), done.err
    out = tmp_path / "out"
    splits = {"train.jsonl": "fine_tune_dataset.jsonl", "validation.jsonl": "fine_tune_holdout.jsonl"}
    index = rows(out / "index.jsonl")
    lineage = {(one["file"], one["line"]): one["sample_id"] for one in rows(run / "lineage.jsonl")}
    for ours, theirs in splits.items():
        lines = rows(out / ours)
        assert len(lines) == len(rows(run / theirs)) > 0
        ids = [one["sample_id"] for one in index if one["file"] == ours]
        assert ids == [lineage[theirs, number] for number in range(1, len(lines) + 1)]
    summary = json.loads((out / "export.json").read_text("utf-8"))
    assert summary["counts"]["samples"] == summary["counts"]["rows"] == 4
    assert {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in summary["files"]} == summary[
        "files"
    ]
    assert {path.name for path in out.iterdir()} == {*summary["files"], "export.json"}
    assert "next: echo trained" in done.err.splitlines()
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before, "a run is read-only"


def test_tags_stay_in_the_texts_or_the_mode_goes_into_a_system_message(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    home, run = made
    export(curate, home, run, tmp_path / "a")
    export(curate, home, run, tmp_path / "b", "--tags", "none")
    tagged = next(one for one in rows(tmp_path / "a" / "train.jsonl") if "Who painted" in one["texts"][0])
    plain = next(one for one in rows(tmp_path / "b" / "train.jsonl") if "Who painted" in one["texts"][1])
    assert tagged["texts"] == ["<user>: Who painted the hull?", "<assistant>: Marta did, in the rain, with my brush."]
    assert plain["roles"] == ["system", "user", "assistant"]
    assert plain["texts"] == ["Emulation mode: answer as the person would.", "Who painted the hull?",
                              "Marta did, in the rain, with my brush."]  # fmt: skip
    assert plain["train"] == [False, False, True]


def test_a_conversation_kept_whole_is_one_row_with_marks_or_a_row_for_each_reply(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    home, run = made
    found = {}
    for tool in ("each", "plain"):
        export(curate, home, run, tmp_path / tool, to=tool)
        both = rows(tmp_path / tool / "train.jsonl") + rows(tmp_path / tool / "validation.jsonl")
        found[tool] = [one["train"] for one in both if "<user>: One?" in one["texts"]]
    assert found["each"] == [[False, True, False, True]]
    assert found["plain"] == [[False, True], [False, False, False, True]]


def test_every_row_of_a_conversation_kept_whole_has_its_mode(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    """Mistral has the system text in the last user's turn: in that of each row, not of the whole conversation."""
    home, run = made
    export(curate, home, run, tmp_path / "out", "--family", "mistral", "--tags", "none")
    found = rows(tmp_path / "out" / "train.jsonl") + rows(tmp_path / "out" / "validation.jsonl")
    whole = [one["texts"] for one in found if "One?" in one["texts"][0]]
    mode = "Emulation mode: answer as the person would.\n\n"
    assert whole == [
        [f"{mode}One?", "The first answer is here."],
        ["One?", "The first answer is here.", f"{mode}Two?", "The second one follows it."],
    ]


def test_context_that_was_kept_is_not_trained_twice() -> None:
    messages = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d", True))
    one = Conversation("id", "dual", "train", messages)
    assert list(last_replies(one)) == [one]


def test_a_system_text_goes_into_the_user_turn_where_a_family_has_no_system_role() -> None:
    messages = (
        Message("system", "S"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"),
        Message("assistant", "d", True),
    )  # fmt: skip
    one = Conversation("id", "dual", "train", messages)
    texts = {name: [m.content for m in system_in_user_turn(one, FAMILIES[name]).messages]
             for name in ("qwen", "gemma", "mistral", "llama2")}  # fmt: skip
    assert texts["gemma"] == ["S\n\na", "b", "c", "d"]
    assert texts["mistral"] == ["a", "b", "S\n\nc", "d"]
    assert texts["qwen"] == texts["llama2"] == ["S", "a", "b", "c", "d"]


def test_the_seeds_lines_stay_what_a_run_holds(made: tuple[Home, Path]) -> None:
    for name in ("fine_tune_dataset.jsonl", "fine_tune_holdout.jsonl"):
        assert all(sorted(line) == ["input", "output"] for line in rows(made[1] / name))


def test_two_exports_are_equal_but_for_the_clock(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    for name in ("a", "b"):
        assert export(curate, home, run, tmp_path / name / "out").status == 0
    for path in (tmp_path / "a" / "out").iterdir():
        if path.name != "export.json":
            assert path.read_bytes() == (tmp_path / "b" / "out" / path.name).read_bytes(), path.name


def test_the_card_is_a_dataset_card(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    export(curate, home, run, tmp_path / "out", "--method", "lora")
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    data = yaml.safe_load(front)
    assert (data["license"], data["language"], data["size_categories"]) == ("other", ["en"], ["n<1K"])
    assert data["configs"][0]["data_files"] == [
        {"split": "train", "path": "train.jsonl"}, {"split": "validation", "path": "validation.jsonl"},
    ]  # fmt: skip
    for head in ("## Train it: LoRA with Plain", "## What is trained", "## Counts", "## Provenance", "## Filters",
                 "## Known biases", "## Consent and licence", "## How to rebuild it"):  # fmt: skip
        assert f"\n{head}\n" in body, head
    assert "Nobody has stated consent." in body
    assert "curate run --home " in body
    home.config("export.json", {"system": {}, "consent": "Everybody named was asked.", "licence": "cc-by-4.0"})
    export(curate, home, run, tmp_path / "other")
    text = (tmp_path / "other" / "README.md").read_text("utf-8")
    assert "Everybody named was asked." in text
    assert "license: cc-by-4.0" in text


# --- control tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_a_memory_of_every_familys_control_tokens_goes_out_as_text(
    home: Home, curate: Curate, tmp_path: Path, tool: str
) -> None:
    home.config("curate.json", {"control_tokens": "braces"})
    home.memory(f"What is {EVERY_TOKEN}?", response=f"They are {EVERY_TOKEN}.")
    for number in range(12):
        home.memory(f"Where is buoy {number}?", response=f"{number * 7} fathoms north of the old mill, I think.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0)
    assert done.status == 0, done.err
    base = {"openai": "gpt-4.1-mini-2025-04-14", "torchtune": "meta-llama/Llama-3.1-8B-Instruct"}
    model = ["--base-model", base.get(tool, "Qwen/Qwen3-4B-Instruct-2507"), "--method", "lora"]
    model += ["--family", "qwen"] if tool == "openai" else []
    assert export(curate, home, done.run, tmp_path / "out", *model, to=tool).status == 0
    text = (tmp_path / "out" / "train.jsonl").read_text("utf-8")
    assert len(text.splitlines()) == 13
    assert "{im_end}" in text
    assert "{INST}" in text
    for family in FAMILIES.values():
        for token in family.control_tokens:
            assert json.dumps(token)[1:-1] not in text, f"{family.family}: {token}"


def test_without_the_setting_such_a_memory_is_dropped(home: Home, curate: Curate) -> None:
    home.memory(f"What is {EVERY_TOKEN}?", response=f"They are {EVERY_TOKEN}.")
    home.memory("Where is the buoy?", response="North of the old mill, I think.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0)
    assert [one["reason"] for one in rows(done.run / "dropped.jsonl")] == ["control_token"]


def test_spelling_a_token_in_braces_is_written_into_the_lineage(home: Home, curate: Curate) -> None:
    home.config("curate.json", {"control_tokens": "braces"})
    home.memory("What does <|im_end|> do?", response="It ends a turn, as ＜｜im＿end｜＞ does not.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0)
    line = rows(done.run / "formatted_samples.json")[0]
    assert line["input"] == "<user>: What does {im_end} do?"
    changes = rows(done.run / "lineage.jsonl")[0]["changes"]
    assert [one["plugin"] for one in changes].count("control_tokens") >= 1
    assert curate("validate", done.run, "--home", home.folder).status == 0


def test_a_token_in_an_older_run_is_spelled_in_braces_on_its_way_out(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    """As a run made before a family was known would have it."""
    home, run = made
    path = run / "formatted_samples.json"
    path.write_text(path.read_text("utf-8").replace("in the rain", "in <|im_end|> and <|im_<|end|>end|>"), "utf-8")
    summary = json.loads((run / "run-summary.json").read_text("utf-8"))
    summary["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "run-summary.json").write_text(json.dumps(summary), "utf-8")
    done = export(curate, home, run, tmp_path / "out")
    assert done.status == 0, done.err
    text = (tmp_path / "out" / "train.jsonl").read_text("utf-8")
    assert "in {im_end} and" in text
    assert "<|" not in text
    assert "in the texts: written in braces" in done.err


# --- hyperparameters -------------------------------------------------------------------------------------------------


def test_a_file_of_metahuman_counts_as_it_stands(home: Home) -> None:
    home.config("fine-tune-config.json", METAHUMAN)
    config, where = load_fine_tune(home.folder, "")
    assert (config.base_model, config.optim, config.gguf_conversion.quantization_type) == (
        "Qwen/Qwen3-14B", "adafactor", "Q6_K",
    )  # fmt: skip
    assert where["learning_rate"] == home.folder / "etc" / "fine-tune-config.json"


def test_a_modes_own_file_goes_before_the_general_one(home: Home) -> None:
    home.config("fine-tune-config.json", METAHUMAN | {"seed": 7})
    home.config("modes/dual-config.json", {"cognitive_mode": "dual", "learning_rate": 6e-6})
    config, _ = load_fine_tune(home.folder, "dual")
    assert (config.learning_rate, config.seed) == (6e-6, 7)
    assert load_fine_tune(home.folder, "agent")[0].learning_rate == 4e-6, "the shipped file of that mode"


def test_the_defaults_are_those_of_the_issue() -> None:
    config, _ = load_fine_tune(None, "")
    lora, _ = keys_for(config, "lora", 10_000)
    full, _ = keys_for(config, "full", 10_000)
    assert (lora["learning_rate"], lora["lora_rank"]) == (2e-4, 16)
    assert (full["learning_rate"], full["num_train_epochs"], full["max_seq_length"]) == (5e-6, 3, 2048)


def test_a_learning_rate_is_never_used_for_the_other_method() -> None:
    lora = FineTuneConfig(training_mode="lora", learning_rate=3e-4)
    assert keys_for(lora, "lora", 0)[0]["learning_rate"] == 3e-4
    keys, notes = keys_for(lora, "full", 0)
    assert keys["learning_rate"] == 5e-6
    assert notes == ["learning_rate 0.0003 is meant for LoRA; full fine-tuning uses 5e-06"]
    full = FineTuneConfig(training_mode="full_finetune", learning_rate=6e-6)
    assert keys_for(full, "lora", 0)[0]["learning_rate"] == 2e-4


def test_a_warm_up_longer_than_the_training_is_cut() -> None:
    config = FineTuneConfig()
    assert steps_of(config, 114) == 12
    keys, notes = keys_for(config, "full", 12)
    assert keys["warmup_steps"] == 1
    assert notes == ["warmup_steps is 1 in place of 100: a tenth of the 12 steps of this training"]
    assert keys_for(config, "full", 5000)[0]["warmup_steps"] == 100


def test_a_key_that_an_exporter_forgets_stops_it(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    done = export(curate, home, run, tmp_path / "out", to="forgets")
    assert done.status == 1
    assert "plugin 'plain': neither uses nor names the keys bf16, fp16, " in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("fine-tune-config.json", {"learning_rat": 1}, "fine-tune-config.json:1: learning_rat: "),
        ("fine-tune-config.json", {"fp16": True, "bf16": True}, "fp16 and bf16 are both true"),
        ("fine-tune-config.json", "{", "fine-tune-config.json:1: not JSON"),
        ("export.json", {"system": {"dual": 1}}, "export.json:1: system.dual: "),
    ],
)
def test_a_mistake_in_the_configuration_is_named_with_its_line(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path, name: str, data: Any, says: str
) -> None:
    home, run = made
    home.config(name, data)
    done = export(curate, home, run, tmp_path / "out")
    assert done.status == 2
    assert says in done.err
    found = curate("doctor", "--home", home.folder)
    assert (found.status, says in " ".join(found.out.split())) == (1, True), found.out


def test_samples_of_another_mode_than_the_files_are_refused(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    home, run = made
    home.config("fine-tune-config.json", {"dataset_requirements": {"mode_filter": "agent"}})
    done = export(curate, home, run, tmp_path / "out")
    assert (done.status, (tmp_path / "out").exists()) == (2, False)
    assert "mode_filter is 'agent'; the samples are emulation" in done.err


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_run_that_was_changed_is_not_exported(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    with (run / "formatted_samples.json").open("a") as file:
        file.write(" ")
    done = export(curate, home, run, tmp_path / "out")
    assert done.status == 1
    assert "its sha256 is not that of run-summary.json" in done.err
    assert list(tmp_path.glob("*out*")) == []


def test_a_place_that_is_taken_is_left_alone(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    done = export(curate, home, run, tmp_path / "out")
    assert (done.status, (tmp_path / "out" / "mine").read_text()) == (2, "x")


def test_a_full_disk_leaves_nothing(made: tuple[Home, Path], tmp_path: Path) -> None:
    """A limit on a file's size fails as a full disk does, in the middle of a write."""
    home, run = made
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700));"
        "sys.argv[0] = 'curate'; from curator.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "export", run, "--home", home.folder, "--to", "plain", "--out",
               tmp_path / "out"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "cannot write the export" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*out*")) == list(tmp_path.glob(".out*")) == []


def test_what_a_killed_export_left_is_taken_away(made: tuple[Home, Path], curate: Curate, tmp_path: Path) -> None:
    home, run = made
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / f".out.tmp-{dead.stdout.strip()}").mkdir()
    (tmp_path / ".out.tmp-1").mkdir()
    assert export(curate, home, run, tmp_path / "out").status == 0
    assert sorted(path.name for path in tmp_path.glob(".out*")) == [".out.tmp-1"], "that of a process that still runs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "llamafactory"], "unknown tool 'llamafactory': expected one of axolotl, card, each, "),
        (["--to", "plain", "--family", "qwem"], "unknown family 'qwem'"),
        (
            ["--to", "plain", "--base-model", "ft:gpt-4.1-mini-2025-04-14:me::a1"],
            "lies at OpenAI, and plain cannot train it",
        ),
        (["--to", "plain", "--base-model", "qwen3-coder:30b"], "'qwen3-coder:30b' is a name of Ollama: expected"),
    ],
)
def test_what_does_not_exist_is_named_beside_what_does(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path, arguments: list[str], says: str
) -> None:
    home, run = made
    done = curate("export", run, "--home", home.folder, *arguments, "--out", tmp_path / "out")
    assert (done.status, says in done.err) == (2, True), done.err


def test_no_run_is_a_usage_error(curate: Curate, tmp_path: Path) -> None:
    done = curate("export", tmp_path, "--to", "trl", "--out", tmp_path / "out")
    assert (done.status, "no finished run" in done.err) == (2, True)


def test_a_base_model_of_no_known_family_takes_that_of_the_run(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path
) -> None:
    home, run = made
    done = export(curate, home, run, tmp_path / "out", "--base-model", "tiiuae/falcon-7b")
    assert done.status == 0
    assert "! the name of the base model 'tiiuae/falcon-7b' does not tell its family, so the run's own" in done.err


def test_a_base_model_in_a_folder_is_named_by_its_whole_path(
    made: tuple[Home, Path], curate: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands run in the export's folder: a relative path would lead nowhere from there."""
    home, run = made
    (tmp_path / "models" / "my-llama3").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    done = export(curate, home, run, tmp_path / "out", "--base-model", "models/my-llama3")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "out" / "export.json").read_text("utf-8"))
    assert (found["base_model"], found["family"]) == (str(tmp_path / "models" / "my-llama3"), "llama3")


# --- costs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen3-4B-Instruct-2507", 4), ("Qwen/Qwen3-0.6B", 0.6), ("meta-llama/Llama-3.1-70B", 70),
        ("microsoft/phi-4", 14.7), ("microsoft/Phi-3.5-mini-instruct", 3.8), ("EleutherAI/gpt-j-6b", 6),
        ("Qwen3-Coder-30B-A3B-Instruct", 30), ("HuggingFaceTB/SmolLM2-135M", 0.135),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 47),
    ],
)  # fmt: skip
def test_a_models_size_is_read_from_its_name(name: str, billions: float) -> None:
    size = model_size(name, "qwen")
    assert size is not None
    assert size.parameters == pytest.approx(billions * 1e9, rel=0.01)


def test_a_model_in_a_folder_is_counted_by_its_own_shape(tmp_path: Path) -> None:
    """Qwen3-4B's config.json: 4,022,468,096 parameters by its safetensors index."""
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"hidden_size": 2560, "num_hidden_layers": 36, "vocab_size": 151936, "intermediate_size": 9728,
             "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True}
        )
    )  # fmt: skip
    size = model_size(str(tmp_path), "qwen")
    assert size is not None
    assert size.exact
    assert size.parameters == pytest.approx(4_022_468_096, rel=1e-3)
    assert lora_parameters(size, 16) == pytest.approx(33_030_144, rel=0.15), "as peft counts them"


def test_a_size_that_nothing_tells_is_said_to_be_unknown() -> None:
    assert model_size("my-own-model", "qwen") is None
    assert cost_lines(None, "lora", {}, 1, 1) == (
        "Memory and time: not known, since the base model's name does not tell its size.",
    )


def test_costs_grow_with_the_method() -> None:
    size = model_size("Qwen/Qwen3-4B", "qwen")
    config = FineTuneConfig()
    said = {method: cost_lines(size, method, keys_for(config, method, 100)[0], 1_000_000, 10_000)
            for method in ("lora", "full")}  # fmt: skip
    assert "about 12 GB" in said["lora"][0]
    assert "about 68 GB with the weights kept in 32 bits" in said["full"][0]


def test_a_conversation_longer_than_a_row_is_cut_between_exchanges_and_loses_no_reply(
    home: Home, curate: Curate, tmp_path: Path
) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "plain.py").write_text(PLUGIN, "utf-8")
    places = ("mill", "quay", "barn", "well", "ford")
    talk = [
        {"role": ("user", "assistant")[number % 2],
         "content": f"On day {number} the heron stood by the {places[number % 5]} and nobody else was there to see it."}
        for number in range(200)
    ]  # fmt: skip
    home.memory(messages=talk, tags=["multi_turn"])
    run = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0).run
    assert len(rows(run / "curated_memories.json")) == 1
    for tool in ("each", "plain"):
        done = export(curate, home, run, tmp_path / tool, to=tool)
        assert "1 conversation was longer than max_seq_length 2,048" in done.out + done.err
        made = rows(tmp_path / tool / "train.jsonl")
        trained = [text for row in made for text, train in zip(row["texts"], row["train"], strict=True) if train]
        assert trained == [f"<assistant>: {message['content']}" for message in talk[1::2]]
        assert max(sum(len(text) for text in row["texts"]) for row in made) < 2_048 * 4
        assert all(row["roles"] == ["user", "assistant"] * (len(row["roles"]) // 2) for row in made)
        summary = json.loads((tmp_path / tool / "export.json").read_text("utf-8"))
        assert summary["counts"]["rows_probably_too_long"] == 0


def test_context_alone_is_not_trained_in_an_export(home: Home, curate: Curate, tmp_path: Path) -> None:
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "plain.py").write_text(PLUGIN, "utf-8")
    talk = [("Where is the oar?", "In the shed."), ("And then?", "It was burned."), ("Who did it?", "The miller did.")]
    home.memory("\n\n".join(f"User: {asked}\n\nAssistant: {answered}" for asked, answered in talk))
    for turns, marks in ((1, [[True], [False, True], [True]]), (2, [[True, True], [True]])):
        run = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0, "--turns", turns).run
        export(curate, home, run, tmp_path / str(turns), to="each")
        assert [row["train"][1::2] for row in rows(tmp_path / str(turns) / "train.jsonl")] == marks

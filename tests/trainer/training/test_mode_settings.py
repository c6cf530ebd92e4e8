"""etc/fine-tune-config.json and etc/modes/*.json: every key is honoured, refused, or named as not used."""

import inspect
import json
from pathlib import Path

import pytest
from conftest import ROOT
from core_fixtures import WIDE_OPEN, home_with, shared_place, trainer

from curator.contract import finetune_config
from curator.contract.errors import UsageError
from curator.contract.finetune_config import FineTuneConfig, load_fine_tune, require_mode, size_note
from curator.contract.settings_file import etc_file
from trainer.settings import FinetuneSettings, large_model_settings
from trainer.training import finetune

# As MetaHuman OS ships it for dual mode, September 2026, its notes shortened.
METAHUMAN = {
    "comment": "Dual consciousness mode fine-tuning configuration", "notes": ["a", "b"], "cognitive_mode": "dual",
    "base_model": "Qwen/Qwen3.5-9B", "training_mode": "full_finetune", "learning_rate": 6e-6, "num_train_epochs": 3,
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 32, "max_seq_length": 2048, "warmup_steps": 150,
    "logging_steps": 10, "save_steps": 500, "fp16": False, "bf16": True, "optim": "adafactor", "weight_decay": 0.01,
    "max_grad_norm": 1.0, "save_total_limit": 3,
    "dataset_requirements": {"min_samples": 3000, "recommended_samples": 8000, "mode_filter": "dual", "note": "x"},
    "gguf_conversion": {"enabled": True, "quantization_type": "Q6_K", "intermediate_type": "f16"},
}  # fmt: skip


def written(folder, **changes):
    path = folder / "etc" / "modes" / "dual-config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(METAHUMAN | changes), "utf-8")
    return path


def test_the_shipped_files_are_one_for_each_mode():
    folder = ROOT / "etc" / "modes"
    assert {path.name for path in folder.iterdir()} == {
        "agent-config.json", "dual-config.json", "emulation-config.json",
    }  # fmt: skip
    for mode in ("agent", "dual", "emulation"):
        path = etc_file(None, f"modes/{mode}-config.json")
        config, given = load_fine_tune(None, mode)
        assert path == folder / f"{mode}-config.json" == given["learning_rate"]
        assert config.cognitive_mode == mode == config.dataset_requirements.mode_filter


def test_a_file_of_metahuman_counts_as_it_stands(tmp_path):
    path = written(tmp_path)
    config, given = load_fine_tune(tmp_path, "dual")
    assert {key for key, file in given.items() if file == path} == set(METAHUMAN)
    settings, unused = large_model_settings(config, given, FinetuneSettings())
    rows = (settings.per_device_batch_size, settings.gradient_accumulation_steps)
    assert (settings.learning_rate, settings.epochs, *rows) == (6e-6, 3.0, 1, 32)
    assert (settings.warmup_steps, settings.eval_steps, settings.save_steps) == (150, 10, 500)
    assert settings.max_grad_norm == 1.0
    assert settings.replay_ratio == 0, "two large models would be in memory"
    assert [line.split(":")[0] for key, line in unused.items() if given[key] == path] == [
        "optim adafactor", "save_total_limit 3", "base_model", "gguf_conversion",
    ]  # fmt: skip
    # What the general file says beside it, and is not used either.
    assert list(unused)[4:] == ["lora_dropout", "load_in_4bit", "seed"]
    assert {given[key] for key in list(unused)[4:]} == {ROOT / "etc" / "fine-tune-config.json"}


def test_a_mode_s_file_goes_before_the_general_one_key_by_key(tmp_path):
    path = written(tmp_path)
    general = tmp_path / "etc" / "fine-tune-config.json"
    general.write_text(json.dumps({"learning_rate": 1e-6, "lora_rank": 8, "num_train_epochs": 5, "max_seq_length": 64}))
    config, given = load_fine_tune(tmp_path, "dual")
    assert (config.learning_rate, config.num_train_epochs, config.max_seq_length) == (6e-6, 3, 2048)
    assert config.lora_rank == 8
    assert (given["learning_rate"], given["lora_rank"]) == (path, general)
    assert "lora_alpha" not in given and config.lora_alpha == FineTuneConfig().lora_alpha
    config, given = load_fine_tune(tmp_path, "")  # of several modes
    assert (config.learning_rate, config.num_train_epochs, config.max_seq_length) == (1e-6, 5, 64)
    assert config.lora_rank == 8
    assert set(given.values()) == {general}


def test_every_key_of_a_mode_s_file_is_used_or_named():
    """A key that the trainer does not read would be ignored in silence."""
    code = "".join(map(inspect.getsource, (large_model_settings, require_mode, size_note, load_fine_tune, finetune)))
    unread = [name for name in FineTuneConfig.model_fields if f".{name}" not in code and f'"{name}"' not in code]
    # The file's name says its mode; `cognitive_mode` is for the reader.
    assert set(unread) <= {"comment", "notes", "cognitive_mode"}


def test_every_requirement_is_read():
    code = inspect.getsource(finetune_config).partition("def load_fine_tune")[2]
    unread = [name for name in finetune_config.Requirements.model_fields if f".{name}" not in code]
    assert unread == ["note"]


@pytest.mark.parametrize(("bf16", "says"), [(False, "fp16 is true"), (True, "fp16 and bf16 are both true")])
def test_fp16_is_refused(tmp_path, bf16, says):
    path = written(tmp_path, fp16=True, bf16=bf16)
    with pytest.raises(UsageError, match=says) as error:
        large_model_settings(*load_fine_tune(tmp_path, "dual"), FinetuneSettings())
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [({"colour": 1}, "colour: "), ({"learning_rate": 7}, "learning_rate: "), ({"optim": "sgd"}, "optim: ")],
)
def test_a_mistake_is_named_with_its_line(tmp_path, change, says):
    written(tmp_path, **change)
    with pytest.raises(UsageError) as error:
        load_fine_tune(tmp_path, "dual")
    assert str(error.value).startswith("the configuration has mistakes:")
    assert "dual-config.json:1: " + says in str(error.value)


def test_too_few_samples_are_a_note_and_another_mode_an_error(tmp_path):
    written(tmp_path)
    config, _ = load_fine_tune(tmp_path, "dual")
    assert size_note(config, 120) == "the set has 120 samples; the fine-tuning configuration of etc/ asks for 3,000"
    assert size_note(config, 5000).endswith("5,000 samples; the fine-tuning configuration of etc/ recommends 8,000")
    assert size_note(config, 9000) == ""
    require_mode(config, {"dual"})
    for modes, told in (({"agent"}, "agent"), ({"dual", "agent"}, "agent, dual")):
        with pytest.raises(UsageError, match=f"mode_filter is 'dual'; the samples are {told}"):
            require_mode(config, modes)


# --- by the command: every base counts as large in this home --------------------------------------------------------


def dual_run(folder: Path) -> Path:
    """A run of dual mode, as far as the trainer reads it."""
    folder.mkdir(parents=True)
    rows = [
        {
            "mode": "dual", "raw_input": f"<thought>: ba ko {number}?", "raw_output": f"<world>: ti re {number}.",
            "metadata": {"sample_id": f"s{number}", "split": "train" if number % 5 else "holdout"},
        }
        for number in range(20)
    ]  # fmt: skip
    (folder / "schema_applied.json").write_text(json.dumps(rows), "utf-8")
    summary = {"format": "persona-curator-run", "version": 1, "username": "ann", "files": {}}
    (folder / "run-summary.json").write_text(json.dumps(summary), "utf-8")
    return folder


def test_a_large_base_takes_its_defaults_from_there_and_says_what_it_does_not_use(tmp_path):
    home = home_with(tmp_path / "home", WIDE_OPEN | {"small_model_parameters": 1})
    written(home, learning_rate=0.0125, num_train_epochs=1, gradient_accumulation_steps=2)
    base, out = tmp_path / "base", tmp_path / "out"
    assert trainer(*shared_place().pretrain(base, "--steps", 2)).status == 0
    options = ("--base", base, "--home", home, "--out", out, "--compile", "never", "--threads", 1, "--seed", 1)
    done = trainer("finetune", "--run", dual_run(tmp_path / "run"), *options)
    assert done.status == 0, done.err
    told = done.err.splitlines()
    assert told[0] == "the settings are those of dual-config.json"
    assert told[1:8] == [
        "dual-config.json: not used: optim adafactor: this trainer uses adamw",
        "dual-config.json: not used: save_total_limit 3: this trainer keeps two states",
        "dual-config.json: not used: base_model: the base is --base",
        "dual-config.json: not used: gguf_conversion: see: trainer export --to gguf",
        "fine-tune-config.json: not used: lora_dropout: this trainer has none",
        "fine-tune-config.json: not used: load_in_4bit: this trainer has none",
        "fine-tune-config.json: not used: seed: it is --seed",
    ]
    assert "the set has 20 samples; the fine-tuning configuration of etc/ asks for 3,000" in told
    settings = json.loads((out / "trainer.json").read_text("utf-8"))["settings"]
    assert (settings["learning_rate"], settings["epochs"], settings["gradient_accumulation_steps"]) == (0.0125, 1.0, 2)
    assert settings["replay_ratio"] == 0.0 and settings["seed"] == 1
    written(home, dataset_requirements={"mode_filter": "agent"})
    done = trainer("finetune", "--run", tmp_path / "run", *options[:4], "--out", tmp_path / "other")
    assert done.status == 2 and "mode_filter is 'agent'; the samples are dual" in done.err

"""etc/modes/*.json: every key is honoured, refused, or named as not used."""

import json

import pytest
from conftest import ROOT

from trainer.errors import UsageError
from trainer.modes import ModeSettings, check_dataset, finetune_settings, load_modes
from trainer.settings import FinetuneSettings

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
    found = load_modes(None)
    assert {mode: path.name for mode, (path, _) in found.items()} == {
        "agent": "agent-config.json", "dual": "dual-config.json", "emulation": "emulation-config.json",
    }  # fmt: skip
    assert all(path.parent == ROOT / "etc" / "modes" for path, _ in found.values())


def test_a_file_of_metahuman_counts_as_it_stands(tmp_path):
    path = written(tmp_path)
    where, mode = load_modes(tmp_path)["dual"]
    assert where == path
    settings, unused = finetune_settings(path, mode, FinetuneSettings())
    assert (settings.learning_rate, settings.epochs, settings.batch_rows, settings.accumulate) == (6e-6, 3.0, 1, 32)
    assert (settings.warmup_steps, settings.eval_every, settings.save_every, settings.clip) == (150, 10, 500, 1.0)
    assert settings.replay_ratio == 0, "two large models would be in memory"
    assert [one.split(":")[0] for one in unused] == [
        "optim adafactor", "save_total_limit 3", "base_model", "gguf_conversion",
    ]  # fmt: skip


def test_every_key_of_a_mode_s_file_is_used_or_named():
    """A key that finetune_settings, check_dataset or the context does not read would be ignored in silence."""
    import inspect

    from trainer import finetune, modes

    code = inspect.getsource(modes.finetune_settings) + inspect.getsource(modes.check_dataset)
    code += inspect.getsource(modes.load_modes) + inspect.getsource(finetune)
    unread = [name for name in ModeSettings.model_fields if f".{name}" not in code and f'"{name}"' not in code]
    assert set(unread) <= {"comment", "notes"}


def test_fp16_is_refused(tmp_path):
    path = written(tmp_path, fp16=True)
    with pytest.raises(UsageError, match="fp16 is true"):
        finetune_settings(path, load_modes(tmp_path)["dual"][1], FinetuneSettings())


@pytest.mark.parametrize(
    ("change", "says"),
    [({"colour": 1}, "colour: "), ({"learning_rate": 7}, "learning_rate: "), ({"optim": "sgd"}, "optim: ")],
)
def test_a_mistake_is_named_with_its_line(tmp_path, change, says):
    written(tmp_path, **change)
    with pytest.raises(UsageError) as error:
        load_modes(tmp_path)
    assert "dual-config.json:1: " + says in str(error.value)


def test_too_few_samples_are_a_note_and_another_mode_an_error(tmp_path):
    path = written(tmp_path)
    mode = load_modes(tmp_path)["dual"][1]
    assert check_dataset(path, mode, 120, {"dual"}) == ["120 samples; dual-config.json asks for 3,000 at least"]
    assert check_dataset(path, mode, 5000, {"dual"}) == ["5,000 samples; dual-config.json recommends 8,000"]
    assert check_dataset(path, mode, 9000, {"dual"}) == []
    with pytest.raises(UsageError, match="mode_filter is 'dual'; the samples are agent"):
        check_dataset(path, mode, 9000, {"agent"})

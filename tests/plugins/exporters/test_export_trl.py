"""The exports to TRL and Unsloth: rows, settings, and the scripts, as far as they go without these tools.

test_trl_verify.py runs the scripts themselves.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml
from curator_plugins.exporters import trl, unsloth
from outgoing_fixtures import BASE_MODELS, SCRIPTS, Method, conversation, family, job, write_export

TOOLS: Final = {"trl": trl, "unsloth": unsloth}
METHODS: Final[tuple[Method, ...]] = ("lora", "full")
MAY_IMPORT: Final = {
    "trl": {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "jinja2"},
    "unsloth": {"torch", "transformers", "trl", "datasets", "unsloth"},
}
every_script = pytest.mark.parametrize(("tool", "method"), SCRIPTS)


def loaded(script: Path) -> ModuleType:
    """A script as a module: none of the libraries that train is imported before it needs them."""
    spec = importlib.util.spec_from_file_location("exported_script", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def exported(tmp_path: Path) -> Any:
    """The script of an export of three rows, as a module."""

    def make(tool: str = "trl", method: Method = "lora", **changes: Any) -> Any:
        samples = [conversation("Where?", f"Here, {number}.") for number in range(3)]
        return loaded(write_export(tmp_path / "set", tool, job("qwen", method, 3, 0, **changes), samples))

    return make


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_a_row_is_the_prompt_as_messages_and_the_reply_as_its_completion(tool: str) -> None:
    sample = conversation("<user>: One?", "Yes.", "<user>: Two?", "Schön 🌊.\n", system="Be him.")
    assert TOOLS[tool].register_exporters()[0].row(sample, job()) == {
        "prompt": [
            {"role": "system", "content": "Be him."},
            {"role": "user", "content": "<user>: One?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "<user>: Two?"},
        ],
        "completion": [{"role": "assistant", "content": "Schön 🌊.\n"}],
    }


@pytest.mark.parametrize("name", BASE_MODELS)
@every_script
def test_every_key_is_read_or_named_as_unused(tool: str, method: Method, name: str) -> None:
    one = job(name, method)
    recipe = TOOLS[tool].recipe(one)
    # What full fine-tuning has none of, `curate export` names itself.
    without = {"lora_rank", "lora_alpha", "lora_dropout", "load_in_4bit"} if method == "full" else set()
    assert set(one.keys) == one.keys.read | set(recipe.unused) | without
    assert not one.keys.read & set(recipe.unused)


@every_script
def test_every_key_has_its_value_in_training_json(tool: str, method: Method) -> None:
    one = job("qwen", method, max_seq_length=1234, lora_rank=7, lora_alpha=9, lora_dropout=0.25, weight_decay=0.5)
    recipe = TOOLS[tool].recipe(one)
    written = json.loads(recipe.files["training.json"])
    for name in one.keys.read - {"gguf_conversion"}:
        assert written[name] == one.keys[name], name
    assert ("lora_rank" in written) == (method == "lora")
    assert list(written) == sorted(written)


@pytest.mark.parametrize(
    ("name", "end", "begin", "each_turn", "own"),
    [
        ("qwen", "<|im_end|>", "", False, False),
        ("llama2", "</s>", "<s>", True, False),
        ("llama3", "<|eot_id|>", "<|begin_of_text|>", False, False),
        ("gemma", "<end_of_turn>", "<bos>", False, False),
        ("gptj", "<|endoftext|>", "", False, True),
    ],
)
@pytest.mark.parametrize("tool", TOOLS)
def test_training_json_tells_what_there_is_to_know_of_a_family(
    tool: str, name: str, end: str, begin: str, each_turn: bool, own: bool
) -> None:
    written = json.loads(TOOLS[tool].recipe(job(name, rows=7, holdout=2)).files["training.json"])
    assert (written["turn_end"], written["bos_token"]) == (end, begin)
    assert (written["bos_each_turn"], written["own_template"]) == (each_turn, own)
    assert (written["train_rows"], written["validation_rows"], written["family"]) == (7, 2, name)
    assert written["base_model"] == BASE_MODELS[name]


@every_script
def test_a_script_is_one_readable_file_that_imports_nothing_of_ours(tool: str, method: Method) -> None:
    text = TOOLS[tool].recipe(job("qwen", method)).files[SCRIPTS[tool, method]]
    tree = ast.parse(text)
    compile(text, "script", "exec")
    tops = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
            for alias in node.names}  # fmt: skip
    tops |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert tops - sys.stdlib_module_names == MAY_IMPORT[tool]
    assert text.count(f'METHOD = "{method}"\n') == 1
    assert max(map(len, text.splitlines())) <= 120
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))
    assert {"main", "run", "Stop", "fit", "judge", "load_tokenizer"} <= set(names)


@every_script
def test_an_exported_script_has_no_unknown_name(tool: str, method: Method, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TOOLS[tool].recipe(job("qwen", method)).files[SCRIPTS[tool, method]], "utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,E9,I", "--line-length", "120"]
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("needs ruff")
    done = subprocess.run([*command, "--no-cache", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("tool", "method", "there", "not_there"),
    [
        ("trl", "lora", ("accelerate launch", "--merge", "load_in_4bit", "train_lora.py"), ("unsloth", "bf16-weights")),
        ("trl", "full", ("fsdp.yaml", "--bf16-weights", "train_full_finetune.py"), ("--merge", "adapter")),
        ("unsloth", "lora", ("--to trl", "save_pretrained_merged"), ("accelerate", "--tiny", "--merge")),
        ("unsloth", "full", ("--to trl", "--bf16-weights"), ("accelerate", "adapter")),
    ],
)
def test_how_it_is_launched_is_told_for_this_tool_and_method_alone(
    tool: str, method: Method, there: tuple[str, ...], not_there: tuple[str, ...]
) -> None:
    text = TOOLS[tool].recipe(job("llama3", method)).files["LAUNCH.md"]
    assert text.startswith("# How to train meta-llama/Meta-Llama-3-8B-Instruct on this set\n")
    for word in (*there, "--dry-run", "--resume", "rsync", "tmux", "nohup", "HF_HOME", "/workspace", "--to ollama"):
        assert word in text, word
    for word in (*not_there, "<!--", "SCRIPT", "BASE", "\n\n\n"):
        assert word not in text, word


def test_fsdp_yaml_leaves_to_the_script_what_is_the_scripts() -> None:
    written = yaml.safe_load(trl.recipe(job(method="full")).files["fsdp.yaml"])
    assert (written["distributed_type"], written["fsdp_config"]["fsdp_version"]) == ("FSDP", 2)
    assert written["mixed_precision"] == "no"
    assert written["fsdp_config"]["fsdp_activation_checkpointing"] is False  # or PEFT saves an empty adapter


def test_requirements_name_exact_versions_and_bitsandbytes_only_where_it_is_needed() -> None:
    assert trl.requirements(job()) == (
        "accelerate==1.15.0\ndatasets==5.2.0\npeft==0.21.2\ntorch==2.13.0\ntransformers==5.23.0\ntrl==1.16.0\n"
    )
    assert "peft" not in trl.requirements(job(method="full"))
    for changes in ({"load_in_4bit": True}, {"optim": "adamw_8bit"}):
        assert "bitsandbytes" in trl.requirements(job(**changes))
    assert "bitsandbytes" not in trl.requirements(job(method="full", load_in_4bit=True))
    assert unsloth.recipe(job()).files["requirements.txt"] == "unsloth==2026.10.9\nunsloth_zoo==2026.10.9\n"


def test_a_gguf_is_left_to_others_by_trl_and_made_by_unsloth() -> None:
    wanted = {"enabled": True, "quantization_type": "Q4_K_M", "intermediate_type": "BF16"}
    assert "trainer export" in trl.recipe(job(gguf_conversion=wanted)).unused["gguf_conversion"]
    recipe = unsloth.recipe(job(gguf_conversion=wanted))
    written = json.loads(recipe.files["training.json"])
    assert (written["gguf"], written["gguf_intermediate"]) == ("q4_k_m", "bf16")
    assert json.loads(unsloth.recipe(job()).files["training.json"])["gguf"] == ""
    odd = unsloth.recipe(job(gguf_conversion=wanted | {"quantization_type": "IQ2_XXS"}))
    assert ["IQ2_XXS" in warning for warning in odd.warnings] == [True] and not recipe.warnings


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_user_would_learn_too_late_is_noted(tool: str) -> None:
    def noted(word: str, **changes: Any) -> bool:
        return any(word in note for note in TOOLS[tool].recipe(job(**changes)).notes)

    assert noted("each epoch is saved", rows=3200) and not noted("each epoch is saved", rows=32000)
    assert noted("chat_template.jinja of this folder", name="gptj") and not noted("chat_template.jinja", name="qwen")
    assert noted("bf16", method="full") == (tool == "trl")


@every_script
def test_commands_install_check_and_train(tool: str, method: Method) -> None:
    name = SCRIPTS[tool, method]
    assert TOOLS[tool].recipe(job("qwen", method)).commands == (
        "pip install -r requirements.txt", f"python {name} --dry-run", f"python {name}",
    )  # fmt: skip


# --- what the scripts do with the folder -----------------------------------------------------------------------------


@every_script
def test_training_json_fits_the_script(exported: Any, tool: str, method: Method) -> None:
    training = exported(tool, method, max_seq_length=99).read_training(method)
    assert (training.max_seq_length, training.method, training.turn_end) == (99, method, "<|im_end|>")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("learning_rate", "5e-6", "learning_rate is '5e-6'; expected float"),
        ("bf16", 1, "bf16 is 1; expected bool"),
        ("seed", True, "seed is True; expected int"),
        ("seed", None, "the key 'seed' is missing"),
        ("warmup_ratio", 0.1, "unknown key 'warmup_ratio'; known are base_model"),
        ("optim", "lion", "optim is 'lion'; expected adamw or adamw_8bit or adafactor"),
        ("method", "full", "is for the method full, this script for lora"),
    ],
)
def test_a_mistake_in_training_json_is_named(exported: Any, key: str, value: object, words: str) -> None:
    module = exported()
    path = module.HERE / "training.json"
    changed = json.loads(path.read_text("utf-8")) | {key: value}
    path.write_text(json.dumps({name: one for name, one in changed.items() if one is not None}), "utf-8")
    with pytest.raises(module.Stop, match=r"training\.json") as caught:
        module.read_training("lora")
    assert words in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"prompt": [], "completion": []}\n', ":1: no prompt with one assistant's completion"),
        ('{"messages": []}\n', ":1: no row: KeyError('completion')"),
        ('{"prompt": [{"role": "user"', ":1: no row: JSONDecodeError"),
        ("", "has 0 rows, training.json promises 3"),
    ],
)
def test_a_data_file_that_is_damaged_or_cut_short_is_refused(exported: Any, text: str, words: str) -> None:
    module = exported()
    (module.HERE / "train.jsonl").write_text(text, "utf-8")
    with pytest.raises(module.Stop) as caught:
        module.read_rows("train.jsonl", 3)
    assert words in str(caught.value)


def test_a_missing_data_file_is_refused_but_no_held_out_rows_are_none(exported: Any) -> None:
    module = exported()
    assert module.read_rows("validation.jsonl", 0) == []
    with pytest.raises(module.Stop, match="No such file"):
        module.read_rows("validation.jsonl", 2)
    rows = module.read_rows("train.jsonl", 3)
    assert [row["completion"][0]["content"] for row in rows] == ["Here, 0.", "Here, 1.", "Here, 2."]


def test_a_fault_of_the_user_is_one_line_and_a_status(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    module = exported()
    (module.HERE / "train.jsonl").unlink()
    for arguments, status in ((["--dry-run"], 2), (["--merge"], 2), (["--output", "none", "--merge"], 2)):
        assert module.main(arguments) == status
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and ";" in said.err and "Traceback" not in said.err, said.err


def test_what_is_no_fault_of_the_user_keeps_its_traceback(exported: Any) -> None:
    module = exported()

    def run(chosen: argparse.Namespace) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        module.status_of(run, argparse.Namespace())


def test_too_little_memory_tells_what_to_change(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    module = exported()

    def run(chosen: argparse.Namespace) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\n more")

    assert module.status_of(run, argparse.Namespace()) == 1
    assert "max_seq_length" in capsys.readouterr().err


# --- how rows are judged ---------------------------------------------------------------------------------------------


class Words:
    """A tokenizer whose tokens are words; what stands in <> or [] is special."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def convert_tokens_to_ids(self, token: str) -> int:
        if token not in self.known:
            self.known.append(token)
        return self.known.index(token)

    def ids(self, text: str) -> list[int]:
        return [self.convert_tokens_to_ids(token) for token in text.split(" ")]

    def decode(
        self, ids: list[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = True
    ) -> str:
        tokens = [self.known[one] for one in ids]
        return " ".join(one for one in tokens if not (skip_special_tokens and one.startswith("<")))


def a_row(module: Any, words: Words, text: str, trained: str, users: int = 1) -> Any:
    """A row of `text` of which the first `trained` is learnt; its reply is "It rains"."""
    ids, learnt = words.ids(text), words.ids(trained) if trained else []
    start = next(place for place in range(len(ids) + 1) if ids[place : place + len(learnt)] == learnt)
    labels = [token if start <= place < start + len(learnt) else -100 for place, token in enumerate(ids)]
    messages = [{"role": "user", "content": "Why"}] * users + [{"role": "assistant", "content": "It rains"}]
    return module.Row("train.jsonl:1", messages, ids, labels)


@pytest.mark.parametrize(
    ("text", "trained", "fault"),
    [
        ("<s> Why <end> It rains <end>", "It rains <end>", ""),
        ("<s> Why <end> It rains <end> \n <eos>", "It rains <end> \n <eos>", ""),
        ("<s> Why <end> It rains <end>", "", "no token is trained"),
        ("<s> Why <end> It rains <end>", "It rains", "the end mark <end> is missing or not trained"),
        ("<s> Why <sep> It rains", "It rains", "the end mark <end> is missing or not trained"),
        ("<s> Why <end> It rains <end> And", "It rains <end> And", "text follows the last end mark <end>"),
        ("<s> <s> Why <end> It rains <end>", "It rains <end>", "2 begin marks <s>, expected 1"),
        ("Why <end> It rains <end>", "It rains <end>", "0 begin marks <s>, expected 1"),
        ("Why <s> <end> It rains <end>", "It rains <end>", "1 begin mark <s>, expected 1 and one at the start"),
        ("<s> Why <end> It rains <end>", "rains <end>", "what is trained is not the whole reply"),
    ],
)
def test_a_row_that_would_teach_the_wrong_thing_is_named(exported: Any, text: str, trained: str, fault: str) -> None:
    module, words = exported(), Words()
    training = dataclasses.replace(module.read_training("lora"), turn_end="<end>", bos_token="<s>")
    row = a_row(module, words, text, trained)
    if not fault:
        module.judge([row], words, training)
        return
    with pytest.raises(module.Stop) as caught:
        module.judge([row], words, training)
    assert str(caught.value).startswith("1 fault in the rows as they would be trained: train.jsonl:1: " + fault)


def test_llama_2_begins_every_exchange_anew(exported: Any) -> None:
    module, words = exported(), Words()
    training = dataclasses.replace(module.read_training("lora"), turn_end="<end>", bos_token="<s>", bos_each_turn=True)
    row = a_row(module, words, "<s> Why <end> No <end> <s> Why <end> It rains <end>", "It rains <end>", users=2)
    assert list(module.faults(row, words, training)) == []


def test_long_rows_are_named_and_cut_only_when_that_is_wished(
    exported: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = exported()
    rows = [
        module.Row(f"train.jsonl:{number}", [], list(range(size)), [-100] * 4 + list(range(4, size)))
        for number, size in enumerate((5, 9, 6), 1)
    ]
    assert module.fit(rows, 9, False) == rows
    with pytest.raises(module.Stop) as caught:
        module.fit(rows, 5, False)
    assert "2 rows are longer than max_seq_length 5: train.jsonl:2 (9 tokens), train.jsonl:3 (6 tokens)" in str(
        caught.value
    )
    assert [(len(row.ids), len(row.labels)) for row in module.fit(rows, 5, True)] == [(5, 5)] * 3
    assert module.fit(rows, 4, True) == []
    assert "left out, since nothing of their replies is left: train.jsonl:1, train.jsonl:2" in capsys.readouterr().out


def test_the_mask_is_shown_and_no_text_reaches_the_terminal_as_a_command(exported: Any) -> None:
    module, words = exported(), Words()
    row = a_row(module, words, "<s> Why \x1b[2J <end> It rains <end>", "It rains <end>")
    assert module.marked(row, words, False) == "<s> Why ?[2J <end>[[It rains <end>]]"
    assert module.marked(row, words, True) == "<s> Why ?[2J <end>\x1b[32mIt rains <end>\x1b[0m"


# --- how the scripts train -------------------------------------------------------------------------------------------


def chosen(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"max_steps": -1, "output": Path("output"), "bf16_weights": False} | given)


@pytest.mark.parametrize(
    ("rows", "most", "steps", "warmup", "save"),
    [(3, -1, 3, 1, "epoch"), (3200, -1, 300, 30, "epoch"), (32000, -1, 3000, 100, "steps"), (3200, 20, 20, 2, "epoch")],
)
def test_steps_warm_up_and_saving_fit_each_other(
    exported: Any, rows: int, most: int, steps: int, warmup: int, save: str
) -> None:
    module = exported()
    training = dataclasses.replace(module.read_training("lora"), warmup_steps=100)
    assert module.total_steps(training, rows, most) == steps
    given = module.common_arguments(chosen(max_steps=most), training, rows, 5)
    assert (given["warmup_steps"], given["save_strategy"], given["eval_strategy"]) == (warmup, save, "epoch")
    assert given["max_length"] == 2048  # TRL's own is 1,024
    assert not {"warmup_ratio", "overwrite_output_dir", "tokenizer"} & set(given)


def test_a_constant_rate_still_warms_up(exported: Any) -> None:
    module = exported(lr_scheduler_type="constant")
    given = module.common_arguments(chosen(), module.read_training("lora"), 3200, 0)
    assert (given["lr_scheduler_type"], given["eval_strategy"]) == ("constant_with_warmup", "no")


def test_several_processes_make_a_step_of_more_rows(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = exported()
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert module.total_steps(module.read_training("lora"), 3200, -1) == 75


@pytest.mark.parametrize(
    ("optim", "cpu", "name"),
    [
        ("adamw", False, "adamw_torch_fused"), ("adamw", True, "adamw_torch"), ("adamw_8bit", False, "adamw_bnb_8bit"),
        ("adamw_8bit", True, "adamw_torch"), ("adafactor", True, "adafactor"),
    ],
)  # fmt: skip
def test_optimizers_by_transformers_names(exported: Any, optim: str, cpu: bool, name: str) -> None:
    module = exported(optim=optim)
    assert module.optimizer(module.read_training("lora"), cpu) == name


@pytest.mark.parametrize(
    ("method", "half", "gpus", "billions"),
    [("lora", False, 1, 2.16), ("full", False, 1, 18.0), ("full", True, 1, 8.0), ("full", False, 2, 8.06)],
)
def test_memory_is_counted_by_the_byte(exported: Any, method: Method, half: bool, gpus: int, billions: float) -> None:
    """A model of a billion parameters: weights, gradients, two states of AdamW, and autocast's copies."""
    module = exported(method=method)
    sizes = {"all": 10**9, "linear": 9 * 10**8, "layer": 10**7, "head": 0, "adapter": 10**7 * (method == "lora")}
    text = argparse.Namespace(hidden_size=2048, num_hidden_layers=16, intermediate_size=8192)
    found = module.memory(sizes, module.read_training(method), text, 0, gpus, half)
    assert sum(found.values()) / 1e9 - 1.5 == pytest.approx(billions, abs=0.03)
    more = module.memory(sizes, module.read_training(method), text, 2048, gpus, half)
    assert more["activations"] > found["activations"] == 0


def test_a_finished_training_is_not_overwritten_and_another_set_not_resumed(exported: Any, tmp_path: Path) -> None:
    module = exported()
    training = module.read_training("lora")
    place = {"output": tmp_path / "out", "dry_run": False, "model": None}
    note = module.look_at_output(chosen(resume=False, **place), training)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "started.json").write_text(note, "utf-8")
    with pytest.raises(module.Stop, match="holds a training; go on with --resume"):
        module.look_at_output(chosen(resume=False, **place), training)
    assert module.look_at_output(chosen(resume=True, **place), training) == note
    (module.HERE / "train.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(module.Stop, match="of other data or another base"):
        module.look_at_output(chosen(resume=True, **place), training)


def test_generation_stops_at_the_turns_end_whatever_the_base_knew(exported: Any) -> None:
    module, words = exported(), Words()
    end = words.convert_tokens_to_ids("<|im_end|>")

    class Config:
        eos_token_id: int | list[int] | None = 7
        do_sample = False

        def validate(self, strict: bool) -> None:
            if not self.do_sample:
                raise ValueError("a temperature without sampling")

    model = argparse.Namespace(generation_config=Config())
    for _ in range(2):
        module.end_turns(model, words, module.read_training("lora"))
        assert (model.generation_config.eos_token_id, model.generation_config.do_sample) == ([end, 7], True)
    model.generation_config.eos_token_id = None
    module.end_turns(model, words, module.read_training("lora"))
    assert model.generation_config.eos_token_id == [end]


def test_no_token_that_ends_a_turn_is_taken_for_padding(exported: Any) -> None:
    module = exported()
    assert set(module.PADDING) & {family(name).eos_token for name in BASE_MODELS} <= {"<|endoftext|>"}  # GPT-J's

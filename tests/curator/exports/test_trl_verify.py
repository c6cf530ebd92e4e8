"""The training scripts themselves, run with TRL on tiny random models; part of `make verify`.

What is called a base here is a folder with the config.json of a real kind of model, at its usual sizes, and a small
tokenizer with the family's own special tokens and template. No weights are read: the scripts make tiny ones.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import ROOT
from outgoing_fixtures import Method, conversation, job, make_tokenizer, write_export

# transformers and peft of these versions warn of each other.
pytestmark = [pytest.mark.verify, pytest.mark.filterwarnings("ignore::FutureWarning")]
pytest.importorskip("trl", reason="needs trl: make verify installs it")
pytest.importorskip("peft", reason="needs peft: make verify installs it")

# The shapes of Qwen3-0.6B, Llama-3.2-1B, Phi-3.5-mini, Gemma-2-2B and GPT-J, as far as the scripts look at them.
CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "qwen": {
        "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936,
        "tie_word_embeddings": True, "dtype": "bfloat16",
    },
    "llama3": {
        "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 128256, "tie_word_embeddings": True,
        "dtype": "bfloat16",
    },
    "phi3": {
        "model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 8192, "vocab_size": 32064, "tie_word_embeddings": False,
        "dtype": "bfloat16",
    },
    "gemma": {
        "model_type": "gemma2", "hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216, "vocab_size": 256000,
    },
    "gptj": {"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64, "vocab_size": 50400},
}  # fmt: skip
BILLIONS: Final = {"qwen": "0.60", "llama3": "1.24", "phi3": "3.82", "gemma": "2.61", "gptj": "6.05"}
ROWS: Final = 9


def an_export(folder: Path, name: str, method: Method, tool: str = "trl", **changes: Any) -> Path:
    """The export of nine rows and two held-out ones, of which some have earlier exchanges. Returns its script."""
    samples = []
    for number in range(ROWS + 2):
        texts = [
            f"<user>: What did you do on day {number}?",
            f"<assistant>: I waited for tide {number}, with ümlauts 🌊.",
        ]
        if number % 4 == 3:
            texts = ["<user>: And before?", "<assistant>: Nothing.", *texts]
        samples.append(conversation(*texts, split="train" if number < ROWS else "holdout"))
    settings = {"gradient_accumulation_steps": 2, "logging_steps": 1, "save_steps": 2, "save_total_limit": 9} | changes
    return write_export(folder, tool, job(name, method, ROWS, 2, **settings), samples)


def a_base(folder: Path, name: str, template: str | None = None, **changes: Any) -> Path:
    """A base model's folder without weights; `changes` are keys of tokenizer_config.json, None takes one out."""
    make_tokenizer(folder, name, template)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), "utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]), "utf-8")
    return folder


# Imports take most of a script's time: they are done once, and each run is a process forked from that.
SERVER: Final = """
import json, os, runpy, sys, traceback
import datasets, peft, torch, transformers, trl
from peft import PeftModel
from trl import SFTConfig, SFTTrainer
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(call["folder"])
    for name, number in (("said", 1), ("complained", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = call["arguments"]
    status = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as leave:
        status = leave.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""
OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


class Runner:
    """Runs scripts in their folders, as a user would, without a network and without a GPU."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=os.environ | OFFLINE | {"TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip

    def __call__(self, script: Path, *arguments: object, status: int = 0) -> str:
        """Return what the script printed; of one that fails as it should, what it complained of."""
        assert self._server.stdin and self._server.stdout
        call = {"folder": str(script.parent), "arguments": [script.name, *map(str, arguments)]}
        print(json.dumps(call), file=self._server.stdin, flush=True)
        found = int(self._server.stdout.readline())
        said, complained = ((script.parent / name).read_text("utf-8") for name in ("said", "complained"))
        assert found == status, said[-2000:] + complained[-3000:]
        return said if not status else complained

    def close(self) -> None:
        with self._server:
            self._server.kill()


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


def log(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]


def read_json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read


def tensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def parted(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The greatest difference between two sets of tensors, which must have the same names."""
    assert one.keys() == other.keys() and one
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "lora") for name in CONFIGS), ("qwen", "full"), ("gptj", "full")]
)
def test_a_dry_run_shows_what_is_trained_and_takes_a_step(
    run: Runner, tmp_path: Path, name: str, method: Method
) -> None:
    script = an_export(tmp_path / "set", name, method)
    said = run(script, "--dry-run", "--model", a_base(tmp_path / "base", name))
    assert f"rows            {ROWS}, 2 more for validation" in said
    assert f"base model      {BILLIONS[name]} billion parameters" in said
    shown = said[said.index("[[") + 2 : said.index("]]")]
    assert shown.strip().startswith("<assistant>: I waited for tide 0, with ümlauts 🌊.")
    assert job(name).family.eos_token in shown
    assert "memory, 1 GPU   about" in said and "with FSDP" in said
    before, after = (float(one) for one in said.split("one step: loss ")[1].split("\n")[0].split(", then "))
    assert math.isfinite(before) and after < before
    assert said.endswith("dry run passed\n")
    assert {path.name for path in script.parent.iterdir()} - {"said", "complained"} == {
        script.name, "training.json", "chat_template.jinja", "fsdp.yaml", "requirements.txt", "LAUNCH.md",
        "train.jsonl", "validation.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ["qwen", "llama3", "phi3"])
def test_five_steps_train_on_every_row_and_what_is_saved_can_be_used(
    run: Runner, tmp_path: Path, name: str, method: Method
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    script, base = an_export(tmp_path / "set", name, method), a_base(tmp_path / "base", name)
    said = run(script, "--tiny", "--max-steps", 5, "--device", "cpu", "--model", base)
    output = script.parent / "output"
    assert f"rows            {ROWS} in, {ROWS} trained on" in said
    losses = [one["loss"] for one in log(output) if "loss" in one]
    assert len(losses) == 5 and all(map(math.isfinite, losses))
    assert all(math.isfinite(one["eval_loss"]) for one in log(output) if "eval_loss" in one)
    tiny = tensors(output / "tiny-base" / "model.safetensors")
    if method == "lora":
        adapter = tensors(output / "adapter_model.safetensors")
        assert any(bool(adapter[key].any()) for key in adapter if "lora_B" in key)
        run(script, "--merge")
        output = output / "merged"
    else:
        assert read_json(output / "config.json")["dtype"] == "bfloat16"  # the base's, not that of training
    assert parted(tiny, tensors(output / "model.safetensors")) > 0
    model, tokenizer = AutoModelForCausalLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    end = tokenizer.convert_tokens_to_ids(job(name).family.eos_token)
    stops = model.generation_config.eos_token_id
    assert end in (stops if isinstance(stops, list) else [stops])
    assert tokenizer.chat_template and tokenizer.pad_token_id != end


def test_merged_weights_answer_as_the_base_with_its_adapter_does(run: Runner, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    script = an_export(tmp_path / "set", "qwen", "lora", lora_learning_rate=0.01, training_mode="full_finetune")
    run(script, "--tiny", "--device", "cpu", "--model", a_base(tmp_path / "base", "qwen"))
    run(script, "--merge")
    output, ids = script.parent / "output", torch.arange(30)[None]
    base = AutoModelForCausalLM.from_pretrained(output / "tiny-base")
    with torch.no_grad():
        bare = base(ids).logits
        adapted = PeftModel.from_pretrained(base, str(output)).eval()(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(output / "merged")(ids).logits
    assert float((adapted - bare).abs().max()) > 0.01
    assert torch.allclose(merged, adapted, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_interrupted_training_ends_as_one_that_was_not(run: Runner, tmp_path: Path, method: Method) -> None:
    script, base = an_export(tmp_path / "set", "qwen", method, num_train_epochs=1), a_base(tmp_path / "base", "qwen")
    how = ("--tiny", "--device", "cpu", "--model", base)
    run(script, *how)
    whole, part = script.parent / "output", script.parent / "part"
    weights = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    part.mkdir()
    for name in ("tiny-base", "checkpoint-2", "started.json"):  # as if the machine had been lost after step 2
        copy: Any = shutil.copytree if (whole / name).is_dir() else shutil.copy
        copy(whole / name, part / name)
    assert "holds a training" in run(script, *how, "--output", "part", status=2)
    assert f"going on from {Path('part') / 'checkpoint-2'}" in run(script, *how, "--output", "part", "--resume")
    assert [one["step"] for one in log(part) if "loss" in one] == [3, 4, 5]
    assert parted(tensors(whole / weights), tensors(part / weights)) < 1e-6
    if method == "lora":
        assert "has no checkpoint" in run(script, *how, "--output", "new", "--max-steps", 1, "--resume")


def test_two_processes_take_rows_of_their_own_and_save_once(tmp_path: Path) -> None:
    """As on two GPUs of which each has a copy of the model; what FSDP shares cannot be tried without GPUs."""
    script = an_export(tmp_path / "set", "qwen", "lora", num_train_epochs=1)
    base = a_base(tmp_path / "base", "qwen")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script.name,
         "--tiny", "--device", "cpu", "--model", str(base)],
        cwd=script.parent, capture_output=True, text=True, env=os.environ | OFFLINE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.count(f"rows            {ROWS} in, {ROWS} trained on") == 1
    output = script.parent / "output"
    assert [one["step"] for one in log(output) if "loss" in one] == [1, 2, 3]  # 9 rows: 5 batches of two, 2 to a step
    assert (output / "adapter_model.safetensors").is_file()


def test_each_epoch_is_saved_where_few_steps_make_one_and_the_best_is_kept(run: Runner, tmp_path: Path) -> None:
    script = an_export(tmp_path / "set", "llama3", "lora", save_steps=500)
    said = run(script, "--tiny", "--device", "cpu", "--model", a_base(tmp_path / "base", "llama3"))
    output = script.parent / "output"
    assert sorted(path.name for path in output.glob("checkpoint-*")) == [
        "checkpoint-10",
        "checkpoint-15",
        "checkpoint-5",
    ]
    losses = {one["step"]: one["eval_loss"] for one in log(output) if "eval_loss" in one}
    best = min(losses, key=lambda step: losses[step])
    assert f"lowest: checkpoint-{best}, {losses[best]:.4f}" in said


def test_a_base_that_was_not_taught_to_chat_ends_turns_and_pads_with_another_token(run: Runner, tmp_path: Path) -> None:
    """As Qwen2.5's base: no template, documents end in <|endoftext|>, and nothing is meant for padding."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    script = an_export(tmp_path / "set", "qwen", "full")
    base = a_base(tmp_path / "base", "qwen", "", eos_token="<|endoftext|>", pad_token=None)
    assert "<|im_end|>\n]]" in run(script, "--dry-run", "--model", base)
    run(script, "--tiny", "--max-steps", 1, "--device", "cpu", "--model", base)
    output = script.parent / "output"
    tokenizer, model = AutoTokenizer.from_pretrained(output), AutoModelForCausalLM.from_pretrained(output)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in model.generation_config.eos_token_id
    assert "im_start" in tokenizer.chat_template


def test_gemmas_turn_end_is_trained_though_it_is_not_its_eos(run: Runner, tmp_path: Path) -> None:
    script = an_export(tmp_path / "set", "gemma", "lora")
    said = run(script, "--dry-run", "--model", a_base(tmp_path / "base", "gemma", eos_token="<eos>"))
    assert "<end_of_turn>\n]]" in said and said.endswith("dry run passed\n")


def test_a_template_that_writes_eos_token_writes_the_published_one(run: Runner, tmp_path: Path) -> None:
    """Phi's templates end a conversation in eos_token, which is not what ends their turns."""
    template = (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    )
    script = an_export(tmp_path / "set", "phi3", "lora")
    base = a_base(tmp_path / "base", "phi3", template, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    assert "<|end|>\n<|endoftext|>]]" in run(script, "--dry-run", "--model", base)


@pytest.mark.parametrize(
    ("name", "template", "fault"),
    [
        ("qwen", "{% for m in messages %}{{ m['content'] }}{% endfor %}", "the end mark <|im_end|> is missing"),
        ("llama3", "{{ bos_token }}" * 2 + "{% for m in messages %}{{ m['content'] + '<|eot_id|>' }}{% endfor %}",
         "2 begin marks <|begin_of_text|>, expected 1"),
        ("qwen", "{{ raise_exception('no such role') }}", "the chat template refuses a row: no such role"),
    ],
)  # fmt: skip
def test_a_template_that_would_teach_the_wrong_thing_stops_the_script(
    run: Runner, tmp_path: Path, name: str, template: str, fault: str
) -> None:
    script = an_export(tmp_path / "set", name, "lora")
    said = run(script, "--dry-run", "--model", a_base(tmp_path / "base", name, template), status=1)
    assert fault in said and "Traceback" not in said


def test_long_rows_stop_the_script_before_trl_would_cut_them(run: Runner, tmp_path: Path) -> None:
    script, base = an_export(tmp_path / "set", "qwen", "lora", max_seq_length=75), a_base(tmp_path / "base", "qwen")
    assert "rows are longer than max_seq_length 75: train.jsonl:4 (" in run(
        script, "--dry-run", "--model", base, status=1
    )
    said = run(script, "--tiny", "--max-steps", 1, "--device", "cpu", "--model", base, "--allow-truncation")
    assert "cut to 75 tokens" in said and f"rows            {ROWS} in, {ROWS} trained on" in said


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--dry-run", "--model", "nowhere"], 1, "config.json of nowhere cannot be had"),
        (["--dry-run"], 1, "config.json of Qwen/Qwen3-4B-Instruct-2507 cannot be had"),
        (["--dry-run", "--model", "{base}", "--tokenizer", "nowhere"], 1, "the tokenizer of nowhere cannot be had"),
        (["--dry-run", "--model", "{base}", "--tokenizer", "{other}"], 2, "has no token <|im_end|>"),
        (["--model", "{base}"], 2, "there is no GPU for this"),
        (["--merge"], 2, "output holds no adapter"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(
    run: Runner, tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    script = an_export(tmp_path / "set", "qwen", "lora")
    places = {"base": a_base(tmp_path / "base", "qwen"), "other": a_base(tmp_path / "other", "llama3")}
    said = run(script, *(one.format(**places) for one in arguments), status=status)
    lines = [line for line in said.splitlines() if line.startswith(script.name)]
    assert len(lines) == 1 and words in lines[0] and "; " in lines[0] and "Traceback" not in said


# --- Unsloth ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama3", "gptj"])
def test_unsloth_is_given_the_tokens_and_labels_that_trl_would_have_made(
    run: Runner, tmp_path: Path, name: str
) -> None:
    """Its script needs no Unsloth for that; the labels of TRL's own trainer are what they must be."""
    base = a_base(tmp_path / "base", name)
    script = an_export(tmp_path / "unsloth", name, "lora", "unsloth")
    said = run(script, "--dry-run", "--model", base)
    assert said.endswith("dry run passed; no model was loaded\n") and "[[" in said
    program = (
        "import json, train_unsloth as t; training = t.read_training('lora');"
        "tokenizer = t.load_tokenizer({!r}, training); rows = t.read_rows('train.jsonl', training.train_rows);"
        "found = t.tokenised(rows, tokenizer, '');"
        "print(json.dumps([{{'input_ids': one.ids, 'labels': one.labels}} for one in found]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program.format(str(base))], cwd=script.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    driver = ROOT / "tests" / "peers" / "read_trl.py"
    trl = an_export(tmp_path / "trl", name, "lora").parent
    read = subprocess.run([sys.executable, str(driver), str(trl), str(base)], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    rows = [json.loads(line) for line in read.stdout.splitlines()]
    assert len(rows) == ROWS and rows == json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_unsloth_itself_trains_on_every_row(run: Runner, tmp_path: Path, method: Method) -> None:
    """Unsloth on the CPU, in a place of its own; without one the test is skipped."""
    interpreter = os.environ.get("PERSONA_UNSLOTH") or str(ROOT / ".venv-unsloth" / "bin" / "python")
    if not Path(interpreter).is_file():
        pytest.skip("needs unsloth in .venv-unsloth, or its Python named by PERSONA_UNSLOTH")
    trl = an_export(tmp_path / "trl", "qwen", method)
    run(trl, "--tiny", "--max-steps", 1, "--device", "cpu", "--model", a_base(tmp_path / "base", "qwen"))
    script = an_export(tmp_path / "set", "qwen", method, "unsloth", num_train_epochs=1)
    base = trl.parent / "output" / "tiny-base"
    done = subprocess.run(
        [interpreter, script.name, "--model", str(base)], cwd=script.parent, capture_output=True, text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert f"rows            {ROWS} in, {ROWS} trained on" in done.stdout
    output = script.parent / "output"
    assert all(math.isfinite(one["loss"]) for one in log(output) if "loss" in one)
    assert (output / ("adapter_model.safetensors" if method == "lora" else "model.safetensors")).is_file()

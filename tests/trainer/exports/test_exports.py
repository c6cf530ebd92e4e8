"""Exports: bytes as documented, the check on the spot, one clear error and nothing left behind."""

from __future__ import annotations

import ast
import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import sentencepiece
import torch
from export_fixtures import (
    SIZES,
    TIED,
    UNTIED,
    disk_of,
    odd_strings,
    random_state,
    read_run_c,
    run_c_logits,
    tiny_checkpoint,
    tiny_tokenizer,
    tree,
)

from curator.contract.errors import HostError, JobError, UsageError
from trainer import exports
from trainer.exports import export, how_to_run, llama2c, numpy_llama, readers, verify
from trainer.exports.go_template import read_modelfile, rendered
from trainer.exports.paths import Files
from trainer.inference.decoder import greedy
from trainer.model import checkpoint as checkpoints
from trainer.model.checkpoint import Checkpoint, Record, load_checkpoint
from trainer.model.convert import interleave, to_huggingface
from trainer.model.llama import ModelConfig
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, Tokenizer, tokenizer_bin
from trainer.names import TARGETS

FILES = {
    "bin": {"model.bin", "tokenizer.bin"},
    "q8": {"model.bin", "tokenizer.bin"},
    "npz": {"model.npz", "numpy_llama.py", "tokenizer.model"},
    "gguf": {"model.gguf"},
    "hf": {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
           "tokenizer.model", "tokenizer_config.json"},
    "ollama": {"model.gguf", "Modelfile"},
}  # fmt: skip
RUN = {
    "bin": "./run ", "q8": "./runq ", "npz": "python3 ", "gguf": "llama-completion -m ", "hf": "python3 -c ",
    "ollama": "ollama create out -f ",
}  # fmt: skip
DTYPES = [("gguf", "f16"), ("ollama", "f16"), ("hf", "f16"), ("hf", "bf16")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """A checkpoint of each size; tests must not change them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: tiny_checkpoint(folder / name, config) for name, config in SIZES.items()}


# --- every target --------------------------------------------------------------------------------------------------


def test_every_target_is_known() -> None:
    assert set(exports._TARGETS) == set(TARGETS) == set(FILES)


@pytest.mark.parametrize("size", ["tied", "untied"])
@pytest.mark.parametrize(("target", "dtype"), [*((target, "f32") for target in TARGETS), *DTYPES])
def test_an_export_is_checked_and_leaves_its_files(
    made: dict[str, Checkpoint], tmp_path: Path, target: str, dtype: str, size: str
) -> None:
    said: list[str] = []
    before = tree(made[size].folder)
    out = export(made[size], target, tmp_path / "out", dtype=dtype, log=said.append)
    assert out == tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES[target]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "checked: the export was read back and goes on with 3 prompts as PyTorch does, 24 tokens each" in said
    assert how_to_run(made[size], target, out).startswith(RUN[target])
    assert ("rounding the weights to" in " ".join(said)) == (target == "q8" or dtype != "f32")
    assert tree(made[size].folder) == before


def test_q8_0_rounds_whole_blocks(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    said: list[str] = []
    export(made["wide"], "gguf", tmp_path / "x.gguf", dtype="q8_0", log=said.append)
    assert any(line.startswith("rounding the weights to q8_0 changes logits by 0.") for line in said)
    with pytest.raises(UsageError, match="q8_0 needs rows in blocks of 32; dim is 48"):
        export(made["tied"], "gguf", tmp_path / "y.gguf", dtype="q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "hf"])
def test_the_same_checkpoint_gives_the_same_bytes(made: dict[str, Checkpoint], tmp_path: Path, target: str) -> None:
    assert tree(export(made["tied"], target, tmp_path / "a")) == tree(export(made["tied"], target, tmp_path / "b"))


@pytest.mark.parametrize(("target", "name", "companions"), [
    ("bin", "ann.bin", {"ann.tokenizer.bin"}), ("q8", "ann.bin", {"ann.tokenizer.bin"}), ("gguf", "ann.gguf", set()),
    ("npz", "ann.npz", {"ann.numpy_llama.py", "ann.tokenizer.model"}),
])  # fmt: skip
def test_companions_of_a_file_are_named_after_it(
    made: dict[str, Checkpoint], tmp_path: Path, target: str, name: str, companions: set[str]
) -> None:
    (tmp_path / "tokenizer.bin").write_text("another's")
    assert export(made["tied"], target, tmp_path / name) == tmp_path / name
    assert {path.name for path in tmp_path.iterdir()} == {name, "tokenizer.bin"} | companions
    assert (tmp_path / "tokenizer.bin").read_text() == "another's"


# --- llama2.c ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["tied", "untied"])
def test_run_c_built_from_the_documented_layout_computes_the_same(
    made: dict[str, Checkpoint], tmp_path: Path, size: str
) -> None:
    checkpoint = made[size]
    export(checkpoint, "bin", tmp_path / "out")
    p, w = read_run_c((tmp_path / "out" / "model.bin").read_bytes())
    ids = checkpoint.tokenizer.encode(checkpoint.record.template.wrap("Was the sea cold?"))
    ids += greedy(checkpoint.model(), ids, 16)
    with torch.inference_mode():
        ours = checkpoint.model().logits(torch.tensor([ids]))[0].numpy()
    assert np.abs(run_c_logits(p, w, ids) - ours).max() < 1e-4
    assert ours.std() > 0.5  # or the agreement would say little


def big(tmp_path: Path) -> Checkpoint:
    config = ModelConfig()
    return Checkpoint(tmp_path, config, random_state(config), tiny_tokenizer(), Record(made_by="pretrain"))


def test_the_seven_million_parameters_have_the_documented_sizes(tmp_path: Path) -> None:
    checkpoint, files = big(tmp_path), Files(tmp_path, "model.bin")
    llama2c.write_bin(checkpoint, files, "f32")
    assert files.main.stat().st_size == 28_670_620
    llama2c.write_q8(checkpoint, files, "f32")
    raw = files.main.read_bytes()
    assert len(raw) == 8_060_800
    assert raw[:8] == b"24ka\2\0\0\0"
    assert struct.unpack_from("<7i", raw, 8) == (288, 768, 6, 6, 6, 4096, 256)
    assert raw[36] == 1
    assert struct.unpack_from("<i", raw, 37) == (32,)
    assert raw[41:256] == bytes(215)


def test_the_vocabulary_is_negative_where_the_output_is_not_the_embedding(
    made: dict[str, Checkpoint], tmp_path: Path
) -> None:
    for size, sign in (("tied", 1), ("untied", -1), ("untied", -1)):  # twice: llama2.c's own export forgets the sign
        llama2c.write_v0(tmp_path / "model.bin", made[size].state, made[size].config)
        raw = (tmp_path / "model.bin").read_bytes()
        assert struct.unpack_from("<i", raw, 20) == (sign * 384,)
        assert len(raw) == 28 + 4 * (made[size].config.parameters() + 96 * 12)


def test_a_group_of_zeros_has_a_scale(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    checkpoint = replace(made["tied"], state={name: one.clone() for name, one in made["tied"].state.items()})
    checkpoint.state["embedding.weight"][5, :16] = 0
    checkpoint.state["layers.1.attention.wo.weight"].zero_()
    export(checkpoint, "q8", tmp_path / "x.bin")
    _, weights = readers.read_v2(tmp_path / "x.bin")
    assert all(np.isfinite(one).all() for one in weights.values())
    assert (weights["tok_emb"][5, :16] == 0).all()
    assert (weights["wo"][1] == 0).all()
    assert llama2c.quantize(torch.tensor([[0.0] * 8, [1e-45] * 8]), 8)[1].min() > 0


def test_groups_divide_both_kinds_of_rows() -> None:
    assert llama2c.group_size(ModelConfig()) == 32
    assert llama2c.group_size(ModelConfig(dim=64, n_heads=4, n_kv_heads=4, hidden_dim=192)) == 64
    assert llama2c.group_size(ModelConfig(dim=64, n_heads=4, n_kv_heads=4, hidden_dim=72)) == 8
    with pytest.raises(UsageError, match="dim 64 and hidden_dim 100 share no such group"):
        llama2c.group_size(ModelConfig(dim=64, n_heads=4, n_kv_heads=4, hidden_dim=100))


def test_eight_bits_are_off_by_half_a_step_at_most(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    export(made["untied"], "q8", tmp_path / "x.bin")
    _, weights = readers.read_v2(tmp_path / "x.bin")
    for name, original in llama2c.stacked(made["untied"].state, UNTIED).items():
        groups = original.reshape(-1, 16 if original.ndim > 1 and "norm" not in name else 1)
        step = np.abs(groups).max(1, keepdims=True) / 127
        error = np.abs(weights[name].reshape(groups.shape) - groups)
        assert (error <= (0 if "norm" in name else step * 0.5001)).all(), name


@pytest.mark.parametrize("change", [{"norm_eps": 1e-6}, {"rope_theta": 500_000.0}])
@pytest.mark.parametrize("target", ["bin", "q8"])
def test_what_run_c_cannot_be_told_is_refused(tmp_path: Path, change: dict[str, Any], target: str) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "other", replace(TIED, **change))
    with pytest.raises(UsageError, match=r"run.c and runq.c know only norm_eps 1e-05 and rope_theta 10000"):
        export(checkpoint, target, tmp_path / "out")
    export(checkpoint, "npz", tmp_path / "fine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine", "other"]


def test_tokenizer_bin_is_as_run_c_reads_it() -> None:
    tokenizer = tiny_tokenizer()
    raw = tokenizer_bin(tokenizer)
    at, rows = 4, []
    while at < len(raw):
        score, length = struct.unpack_from("<fI", raw, at)
        rows.append((score, raw[at + 8 : at + 8 + length]))
        at += 8 + length
    assert struct.unpack_from("<I", raw)[0] == max(len(text) for _, text in rows)
    assert [text for _, text in rows[:4]] == [b"<unk>", b"\n<s>\n", b"\n</s>\n", b"<0x00>"]
    assert [text.decode() for _, text in rows[3:]] == [piece.replace("▁", " ") for piece in tokenizer.pieces()[3:]]
    assert [score for score, _ in rows] == tokenizer.scores()


def test_three_encoders_and_sentencepiece_agree(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    files = {target: export(made["tied"], target, tmp_path / target) for target in ("bin", "npz", "gguf", "hf")}
    names = {target: exports._TARGETS[target].suffix for target in files}
    readers = {
        target: exports._TARGETS[target].read(Files(folder, f"model{names[target]}"))
        for target, folder in files.items()
    }
    for text in ["", " ", "x", "Was it cold?", *odd_strings(150)]:
        for target, reader in readers.items():
            assert reader.encode(text) == tokenizer.encode(text, bos=False), (target, text)


# --- npz and its runner --------------------------------------------------------------------------------------------


def test_the_runner_is_short_and_needs_numpy_alone() -> None:
    path = Path(numpy_llama.__file__)
    assert len(path.read_text("utf-8").splitlines()) < 150
    tops = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add(str(node.module).partition(".")[0])
    assert tops <= {"numpy"} | sys.stdlib_module_names


def test_the_printed_command_runs_the_model_with_numpy_alone(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    checkpoint = made["untied"]
    out = export(checkpoint, "npz", tmp_path / "ann's $HOME model")
    command = how_to_run(checkpoint, "npz", out)
    assert command.endswith(r"$'Q: How are you?\nA:'")
    isolated = f"{sys.executable} -I {command.removeprefix('python3 ')} --tokens 20"
    done = subprocess.run(["bash", "-c", isolated], capture_output=True, cwd=tmp_path)
    assert done.stderr == b""
    text = checkpoint.record.template.wrap("How are you?")
    reply: list[int] = []
    for one in greedy(checkpoint.model(), checkpoint.tokenizer.encode(text), 20):
        if one in (1, 2):
            break
        reply.append(one)
    runner = numpy_llama.Llama.load(str(out / "model.npz"))
    assert runner.reply(text, 20) == runner.decode(reply).partition("\nQ:")[0]
    assert done.stdout.decode() == f"{text}{runner.reply(text, 20)}\n"


def test_the_runner_draws_by_seed_and_stops(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    export(made["tied"], "npz", tmp_path / "x.npz")
    runner = numpy_llama.Llama.load(str(tmp_path / "x.npz"))
    drawn = {seed: runner.reply("Q: See?\nA:", 12, 1.0, seed) for seed in (1, 2)}
    assert drawn[1] == runner.reply("Q: See?\nA:", 12, 1.0, 1) != drawn[2]
    whole = runner.reply("Q: See?\nA:", 12, 1.0, 1)
    runner.config["stops"] = [whole[4:6]]
    assert runner.reply("Q: See?\nA:", 12, 1.0, 1) == whole.partition(whole[4:6])[0]
    with pytest.raises(SystemExit, match="are too many: this model sees 96"):
        runner.reply("the sea " * 96, 5)
    assert len(runner.encode(runner.reply("Q:", 1000))) < 200  # the context ends it


def test_npz_holds_no_pickles(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    export(made["untied"], "npz", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file.files}
        config = json.loads(str(file["config"]))
    assert list(shapes)[3:] == "tok_emb attn_norm wq wk wv wo ffn_norm w1 w2 w3 final_norm wcls".split()
    assert shapes["wk"] == (2, 24, 48)
    assert config == UNTIED.as_dict() | {"stops": ["\nQ:"]}


# --- gguf and ollama -----------------------------------------------------------------------------------------------


def test_gguf_has_every_key(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    export(made["untied"], "gguf", tmp_path / "x.gguf")
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    found = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tokenizer = tiny_tokenizer()
    assert found.pop("tokenizer.ggml.tokens") == tokenizer.pieces()
    assert found.pop("tokenizer.ggml.scores") == tokenizer.scores()
    assert found.pop("tokenizer.ggml.token_type") == [2, 3, 3, *[6] * 256, *[1] * (384 - 259)]
    assert found.pop("tokenizer.chat_template") == checkpoints.chat_template(Template())
    assert found.pop("llama.attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    assert found == {
        "general.architecture": "llama", "general.type": "model", "general.name": "untied", "general.file_type": 0,
        "llama.context_length": 96, "llama.embedding_length": 48, "llama.block_count": 2,
        "llama.feed_forward_length": 128, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
        "llama.rope.dimension_count": 12, "llama.rope.freq_base": 10000.0, "llama.vocab_size": 384,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.eot_token_id": 1,
        "tokenizer.ggml.eos_token_ids": [2, 1], "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False, "tokenizer.ggml.add_space_prefix": True,
    }  # fmt: skip


@pytest.mark.parametrize(("dtype", "file_type"), [("f32", 0), ("f16", 1), ("q8_0", 7)])
def test_gguf_rounds_matrices_only(made: dict[str, Checkpoint], tmp_path: Path, dtype: str, file_type: int) -> None:
    export(made["wide"], "gguf", tmp_path / "x.gguf", dtype=dtype)
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert len(reader.tensors) == 2 + 9 * 2  # tied: no output.weight
    kinds = {one.tensor_type.name for one in reader.tensors if len(one.shape) > 1}
    assert kinds == {dtype.upper()}
    assert {one.tensor_type.name for one in reader.tensors if len(one.shape) == 1} == {"F32"}
    assert reader.fields["general.file_type"].contents() == file_type
    assert ("general.quantization_version" in reader.fields) == (dtype == "q8_0")
    q = next(one for one in reader.tensors if one.name == "blk.1.attn_q.weight")
    ours = made["wide"].state["layers.1.attention.wqkv.weight"][:64]
    expected = interleave(ours, 4).numpy()
    assert np.abs(gguf.quants.dequantize(q.data, q.tensor_type) - expected).max() < 0.01 * np.abs(expected).max()
    assert np.abs(interleave(ours, 4).numpy() - ours.numpy()).max() > 0.1


def test_modelfile(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    out = export(made["tied"], "ollama", tmp_path / "out")
    assert (out / "Modelfile").read_text("utf-8") == (
        "FROM ./model.gguf\n"
        'TEMPLATE """Q: {{ .Prompt }}\nA:{{ .Response }}\n"""\n'
        'PARAMETER stop """\nQ:"""\n'
        "PARAMETER num_ctx 96\nPARAMETER num_predict 96\nPARAMETER temperature 0.8\nPARAMETER top_k 0\n"
        "PARAMETER top_p 0.95\nPARAMETER min_p 0\nPARAMETER repeat_penalty 1.1\n"
    )


def test_a_template_with_tags_and_several_stops_reaches_ollama(tmp_path: Path) -> None:
    template = Template(prompt='Say "hi": {input}\n=>', between="\n\n", stops=["\nSay", '"', "=>"],
                        tags={"dual": ["<thought> ", "<reply> "]})  # fmt: skip
    out = export(tiny_checkpoint(tmp_path / "tags", template=template), "ollama", tmp_path / "out")
    text = (out / "Modelfile").read_text("utf-8")
    assert 'TEMPLATE """Say "hi": <thought> {{ .Prompt }}\n=> <reply>{{ .Response }}\n\n"""\n' in text
    assert 'PARAMETER stop """\nSay"""\nPARAMETER stop """""""\nPARAMETER stop """=>"""\n' in text


def test_of_several_modes_the_system_text_names_one(tmp_path: Path) -> None:
    tags = {"dual": ["<thought>: ", "<world>: "], "agent": ["<instruction>: ", "<action>: "]}
    said: list[str] = []
    out = export(
        tiny_checkpoint(tmp_path / "tags", template=Template(tags=tags)), "ollama", tmp_path / "out", log=said.append
    )
    written = dict(read_modelfile(out / "Modelfile"))["TEMPLATE"]
    for mode, (user, assistant) in tags.items():
        for system in (mode, "") if mode == "dual" else (mode,):
            made = rendered(written, ["Who?", "When?"], [" Ruth."], system)
            expected = f"Q: {user}Who?\nA: {assistant}Ruth.\nQ: {user}When?\nA: {assistant}".rstrip(" ")
            assert made == expected
    assert "the model answers in the mode dual; to have another mode, write its name as the system text: agent" in said


@pytest.mark.parametrize(("template", "message"), [
    (Template(prompt='"""{input}\nA:'), "no way to write three quotes"),
    (Template(stops=["\x07"]), "unprintable characters"),
    (Template(prompt="{{ .System }} {input}\nA:"), "which Ollama takes as its own"),
])  # fmt: skip
def test_what_a_modelfile_cannot_hold_is_refused(tmp_path: Path, template: Template, message: str) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "it", template=template)
    with pytest.raises(UsageError, match=message):
        export(checkpoint, "ollama", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


# --- Hugging Face --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["tied", "untied"])
def test_a_hugging_face_folder_is_a_checkpoint_without_its_record(
    made: dict[str, Checkpoint], tmp_path: Path, size: str
) -> None:
    out = tree(export(made[size], "hf", tmp_path / "out"))
    native = tree(made[size].folder)
    assert {name: data for name, data in out.items() if name != "README.md"} == {
        name: data for name, data in native.items() if name != "trainer.json"
    }
    card = out["README.md"].decode()
    assert "| 2 | 48 | 4 |" in card
    assert r'"Q: How are you?\nA:"' in card
    assert ("lm_head.weight" in readers.read_safetensors(tmp_path / "out" / "model.safetensors")) == (size == "untied")


# --- the check on the spot -----------------------------------------------------------------------------------------


def unchanged_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    return weight


def other_scores(tokenizer: Tokenizer) -> bytes:
    raw, at = bytearray(tokenizer_bin(tokenizer)), 4
    while at < len(raw):
        score, length = struct.unpack_from("<fI", raw, at)
        struct.pack_into("<f", raw, at, -score)
        at += 8 + length
    return bytes(raw)


def halves_turned(state: Any, config: ModelConfig) -> Any:
    out = to_huggingface(state, config)
    return {name: interleave(one, 4) if "q_proj" in name else one for name, one in out.items()}


def half_the_scale(weight: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, scale = quantize(weight, size)
    return values, scale / 2


def scale_may_be_nan(weight: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, scale = quantize(weight, size)
    return values, torch.full_like(scale, float("nan"))


quantize = llama2c.quantize


@pytest.mark.parametrize(("target", "place", "replacement", "message"), [
    ("bin", "trainer.model.convert.interleave", unchanged_rows, "logits after"),
    ("npz", "trainer.model.convert.interleave", unchanged_rows, "logits after"),
    ("gguf", "trainer.model.convert.interleave", unchanged_rows, "logits after"),
    ("ollama", "trainer.model.convert.interleave", unchanged_rows, "logits after"),
    ("hf", "trainer.model.checkpoint.to_huggingface", halves_turned, "logits after"),
    ("bin", "trainer.exports.llama2c.tokenizer_bin", other_scores, "its tokenizer makes"),
    ("q8", "trainer.exports.llama2c.tokenizer_bin", lambda tokenizer: b"", "cannot be read back"),
    ("q8", "trainer.exports.llama2c.quantize", half_the_scale, "rounding changes"),
    ("q8", "trainer.exports.llama2c.quantize", scale_may_be_nan, "rounding changes"),
    ("q8", "trainer.exports.llama2c.rounded", lambda state, size: state, "logits after"),
    ("hf", "trainer.model.checkpoint.tokenizer_json", lambda tokenizer: {"model": {"vocab": {"a": 1}, "merges": []}},
     "its tokenizer makes"),
    ("ollama", "trainer.exports.ollama.RESPONSE", " {{ .Response }}", "template does not make the prompts"),
    ("ollama", "trainer.exports.ollama.quoted", lambda text: f'"""{text} """', "stops are not the model's"),
])  # fmt: skip
def test_a_broken_export_fails_and_leaves_nothing(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    target: str, place: str, replacement: Any, message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(place, replacement)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(JobError, match=message) as caught:
        export(made["untied"], target, tmp_path / "out")
    assert caught.value.status == 1
    assert tree(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize(
    ("key", "value"), [("context_length", 95), ("layer_norm_rms_eps", 1e-6), ("rope_freq_base", 9e3)]
)
def test_a_wrong_number_in_the_header_is_caught(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: float
) -> None:
    right = getattr(gguf.GGUFWriter, f"add_{key}")
    monkeypatch.setattr(gguf.GGUFWriter, f"add_{key}", lambda self, told: right(self, value))
    with pytest.raises(JobError, match="reads back as"):
        export(made["tied"], "gguf", tmp_path / "x.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_single_wrong_weight_is_caught(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(checkpoint: Checkpoint, files: Files, dtype: str) -> None:
        llama2c.write_bin(checkpoint, files, dtype)
        raw = bytearray(files.main.read_bytes())
        struct.pack_into("<f", raw, 28 + 4 * (384 * 48 + 48 * 2 + 7), 4.0)  # one number of the first layer's wq
        files.main.write_bytes(raw)

    monkeypatch.setitem(exports._TARGETS, "bin", replace(exports._TARGETS["bin"], write=write))
    with pytest.raises(JobError, match="logits after"):
        export(made["tied"], "bin", tmp_path / "x.bin")
    assert list(tmp_path.iterdir()) == []


def nearly_level(checkpoint: Checkpoint, height: float) -> Checkpoint:
    """All logits are 0 but two, one of which wins by as little as `height` says."""
    output = torch.zeros(384, 48)
    output[5], output[6] = height, -height
    return replace(checkpoint, state=checkpoint.state | {"output.weight": output})


def test_a_tie_is_told_and_is_no_failure(made: dict[str, Checkpoint]) -> None:
    level = numpy_llama.Llama(UNTIED.as_dict(), llama2c.stacked(nearly_level(made["untied"], 0).state, UNTIED), [], [])
    back = readers.ReadBack(level, lambda text: tiny_tokenizer().encode(text, bos=False))
    said: list[str] = []
    verify.check_export(nearly_level(made["untied"], 1e-7), lambda: back, None, "f32", said.append)
    assert sum("compared up to token 1, where two logits tie" in line for line in said) == 3
    # further apart than a tie, and less than what logits may differ by
    with pytest.raises(JobError, match=r"token 1 after .* is 0, with PyTorch [56]"):
        verify.check_export(nearly_level(made["untied"], 3e-5), lambda: back, None, "f32", said.append)


def test_a_short_context_is_checked_too(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "short", replace(TIED, max_seq_len=9))
    for target in ("bin", "npz", "gguf", "hf"):
        export(checkpoint, target, tmp_path / target)


# --- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "dtype", "out", "message"), [
    ("onnx", "f32", "out", "unknown target 'onnx': expected one of bin, q8, npz, gguf, hf, ollama"),
    ("bin", "f16", "out", "--to bin knows no dtype 'f16': expected f32"),
    ("gguf", "q4_k", "out", "expected f32 or f16 or q8_0"),
    ("gguf", "f32", "x.bin", "makes a .gguf file, no .bin file"),
    ("hf", "f32", "x.bin", "makes a folder, no .bin file"),
    ("ollama", "f32", "x.gguf", "makes a folder, no .gguf file"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(
    made: dict[str, Checkpoint], tmp_path: Path, target: str, dtype: str, out: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export(made["tied"], target, tmp_path / out, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("taken", "out"), [
    ("out/mine.txt", "out"), ("out", "out"), ("x.npz", "x.npz"), ("x.numpy_llama.py", "x.npz"),
    ("x.tokenizer.model", "x.npz"), ("x.npz/mine.txt", "x.npz"),
])  # fmt: skip
def test_nothing_is_overwritten(made: dict[str, Checkpoint], tmp_path: Path, taken: str, out: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        export(made["tied"], "npz", tmp_path / out)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("limit", [0, 30_000])
def test_a_full_disk_leaves_everything_as_it_was(
    made: dict[str, Checkpoint], tmp_path: Path, target: str, limit: int
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(HostError) as caught, disk_of(limit):
        export(made["tied"], target, tmp_path / "out")
    assert caught.value.status == 3
    assert "what was there before is still there" in str(caught.value)
    assert "free some space" in str(caught.value)
    assert tree(tmp_path) == {"mine.txt": b"mine"}


def test_a_disk_that_fills_up_between_two_files_leaves_none(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail_at_the_last(self: Path, target: Path) -> Path:
        if self.name == "x.npz":
            raise OSError(28, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_last)
    with pytest.raises(HostError, match="No space left on device"):
        export(made["tied"], "npz", tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["out", "x.npz"])
def test_ctrl_c_leaves_nothing(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.exports.check_export", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(made["tied"], "npz", tmp_path / out)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_without_bytes_is_refused(made: dict[str, Checkpoint], tmp_path: Path) -> None:
    import io

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the sea was grey and cold"] * 9), model_writer=out, vocab_size=30, model_type="bpe",
        minloglevel=2,
    )  # fmt: skip
    checkpoint = replace(made["tied"], tokenizer=Tokenizer(out.getvalue()))
    with pytest.raises(UsageError, match="no piece for every byte"):
        export(checkpoint, "gguf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_gguf_the_others_still_work(
    made: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UsageError, match="gguf is not installed"):
        export(made["tied"], "gguf", tmp_path / "gguf")
    for target in ("bin", "q8", "npz", "hf"):
        export(made["tied"], target, tmp_path / target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "hf", "npz", "q8"]


def test_an_exported_checkpoint_still_loads(made: dict[str, Checkpoint]) -> None:
    again = load_checkpoint(made["tied"].folder)
    assert again.tokenizer.encode("the sea")[0] == BOS
    assert all(torch.equal(again.state[name], one) for name, one in made["tied"].state.items())

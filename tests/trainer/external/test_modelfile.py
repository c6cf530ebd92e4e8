"""Modelfiles for models trained elsewhere: each family's prompts to the letter, the stops, the notes, the refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from conftest import ROOT
from export_fixtures import disk_of, tiny_checkpoint, tree
from safetensors.numpy import save_file

from curator.contract.chat_format import ChatFormat, fitting_families, load_families
from curator.contract.errors import HostError, JobError, UsageError
from curator.contract.homes import shipped_etc
from curator.contract.jinja_chat import UnrenderableError, render
from curator.contract.modes import BUILT_IN_MODES, NO_TAGS, Tags
from curator.contract.records import Family, Message
from trainer import cli
from trainer.exports.go_template import read_modelfile, rendered
from trainer.external import modelfile
from trainer.external.model import is_external
from trainer.external.modelfile import ModelfileRequest, export_external, go_template

FAMILY_FILES = sorted((shipped_etc() / "schemas").glob("*.json"))
FAMILIES = load_families(None)
# Texts that could be taken for a template's, and an answer that a client sent back without its first blank.
ASKED = ["Où est {{ .Prompt }}?", 'She said: "No!"\nAnd\tthen?', "Why? "]
ANSWERED = ["Fine. {% x %}", " It was\n\ngrey "]
SYSTEM = 'You are Ann.\n\nYou mend boats; "well".'
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# --- what a training leaves, as small as it can be ------------------------------------------------------------------


def weights(folder: Path, shards: int = 1, **config: Any) -> Path:
    """A folder of merged weights in Hugging Face's layout."""
    folder.mkdir(parents=True)
    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 131072}
    (folder / "config.json").write_text(json.dumps(settings | {"rope_theta": 500000.0} | config))
    (folder / "tokenizer.json").write_text("{}")
    if shards == 1:
        save_file({"model.norm.weight": np.ones(4, np.float32)}, folder / "model.safetensors")
        return folder
    names = [f"model-{index + 1:05}-of-{shards:05}.safetensors" for index in range(shards)]
    for index, name in enumerate(names):
        save_file({f"model.layers.{index}.weight": np.ones(4, np.float32)}, folder / name)
    places = {f"model.layers.{index}.weight": name for index, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def adapter(folder: Path, base: str = "Qwen/Qwen3-4B", extra: str = "", **config: Any) -> Path:
    """A PEFT adapter's folder."""
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": base, "modules_to_save": None}
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    tensors = {f"{name}A.weight": np.ones((8, 4), np.float32), f"{name}B.weight": np.ones((4, 8), np.float32)}
    save_file(tensors | ({extra: np.ones(4, np.float32)} if extra else {}), folder / "adapter_model.safetensors")
    return folder


def gguf_file(path: Path, architecture: str = "qwen3", kind: str = "model", **keys: Any) -> Path:
    """A .gguf with a header as llama.cpp's converters write it."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_context_length(40960)
    for key, value in keys.items():
        (writer.add_uint16 if isinstance(value, int) else writer.add_string)(key.replace("__", "."), value)
    writer.add_tensor("output_norm.weight", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def home_with(tmp_path: Path, **family: Any) -> Path:
    folder = tmp_path / "home" / "etc" / "schemas"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text(json.dumps({"user_prefix": "U:", "assistant_prefix": "A:"} | family))
    return tmp_path / "home"


def export(source: Path, out: Path, home: Path | None = None, **wish: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Export; return the Modelfile's commands and what was said."""
    said: list[str] = []
    assert export_external(source, out, ModelfileRequest(**wish), home, said.append) == out
    return read_modelfile(out / "Modelfile"), said


def stops_of(commands: list[tuple[str, str]]) -> list[str]:
    return [value for name, value in commands if name == "stop"]


# --- every family, to the letter ------------------------------------------------------------------------------------


def whole_text(
    file: dict[str, Any], asked: list[str], answered: list[str], system: str, tags: tuple[str, str], cut: bool
) -> str:
    """What docs/families.md says that a model sees, built anew from a family's file. `cut`: answers lost a blank."""

    def key(name: str) -> str:
        return str(file.get(name, ""))

    if not (key("system_prefix") or key("system_suffix")):
        file = file | {"system_suffix": "\n\n"}
    text = system or key("default_system")
    told = key("system_prefix") + (text if text.strip() else "") + key("system_suffix") if text else ""
    place = key("system_place") or "turn"
    closing = key("user_suffix") + key("separator") + key("assistant_prefix")
    end = key("assistant_suffix") + (key("eos_token") if key("eos_token") not in key("assistant_suffix") else "")
    out = told if place == "turn" else ""
    for index, question in enumerate(asked):
        here = (place == "first_user" and index == 0) or (place == "last_user" and index == len(asked) - 1)
        out += key("user_prefix") + (told if here else "") + tags[0] + question
        if index == len(asked) - 1:
            return out + (closing + key("reply_lead") + tags[1]).rstrip(" ")
        answer = answered[index]
        if cut and (closing + tags[1]).endswith(" "):
            answer = answer.removeprefix(" ")
        out += closing + tags[1] + answer + end + key("turn_separator")
    raise AssertionError


@pytest.mark.parametrize("mode", [None, *BUILT_IN_MODES])
@pytest.mark.parametrize("path", FAMILY_FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["weights", "adapter"])
def test_a_modelfile_makes_the_prompts_of_its_family(tmp_path: Path, path: Path, kind: str, mode: str | None) -> None:
    file = json.loads(path.read_text("utf-8"))
    if kind == "weights":
        source, base = weights(tmp_path / "tuned"), None
    else:
        source, base = adapter(tmp_path / "tuned"), str(weights(tmp_path / "base", shards=2))
    commands, _ = export(source, tmp_path / "out", family=file["family"], base=base, mode=mode)
    values = dict(commands)
    assert values["FROM"] == str(tmp_path / ("tuned" if kind == "weights" else "base"))
    assert values.get("ADAPTER") == (None if kind == "weights" else "./adapter")
    default = values.get("SYSTEM", "")
    assert default == file.get("default_system", "").strip()
    bos = file.get("bos_token")
    for count in (1, 2, 3):
        for system in ("", SYSTEM):
            asked, answered = ASKED[:count], ANSWERED[: count - 1]
            found = rendered(values["TEMPLATE"], asked, answered, system or default)
            expected = whole_text(file, asked, answered, system, BUILT_IN_MODES[mode] if mode else NO_TAGS, cut=True)
            assert found == expected
            assert not (bos and found.startswith(bos))
    assert not rendered(values["TEMPLATE"], ["Why?"], [], "").endswith(" ")


def trimmed(family: Family, tags: Tags, answered: list[str]) -> list[str]:
    """Answers without the blank that the family, or a mode's tag, writes before them."""
    blank = (ChatFormat(family).before_response + tags[1]).endswith(" ")
    return [one.removeprefix(" ") if blank else one for one in answered]


@pytest.mark.parametrize("path", FAMILY_FILES, ids=lambda path: path.stem)
def test_a_reply_that_kept_its_blank_is_shown_as_it_was(path: Path) -> None:
    family = FAMILIES[json.loads(path.read_text("utf-8"))["family"]]
    blank = " " if ChatFormat(family).before_response.endswith(" ") else ""
    kept = rendered(go_template(family), ["a", "b", "c"], [f"{blank}x", f"{blank}y"], "S")
    assert kept == ChatFormat(family).generation_prompt(["a", "b", "c"], ["x", "y"], "S")


@pytest.mark.parametrize(("family", "expected"), [
    ("qwen", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"]),
    ("llama3", ["<|eot_id|>", "<|start_header_id|>", "<|end_of_text|>"]),
    ("gemma", ["<end_of_turn>", "<start_of_turn>", "<eos>"]),
    ("mistral", ["</s>", "[INST]"]),
    ("llama2", ["</s>", "[INST]"]),
    ("phi3", ["<|end|>", "<|user|>", "<|endoftext|>"]),
    ("phi4", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"]),
    ("gptj", ["<|endoftext|>"]),
    ("llisa", ["\nQ:"]),
])  # fmt: skip
def test_stops(tmp_path: Path, family: str, expected: list[str]) -> None:
    commands, _ = export(weights(tmp_path / "tuned"), tmp_path / "out", family=family)
    assert stops_of(commands) == expected


def test_where_nothing_stands_before_a_question_its_tag_stops(tmp_path: Path) -> None:
    commands, _ = export(weights(tmp_path / "tuned"), tmp_path / "out", family="gptj", mode="agent")
    assert stops_of(commands) == ["<|endoftext|>", "\n<instruction>:"]


def test_the_whole_file(tmp_path: Path) -> None:
    home = home_with(
        tmp_path, family="mine", models=["boat"], user_prefix="<u> ", user_suffix="</u>", separator="\n",
        assistant_prefix="<a> ", assistant_suffix="</a>\n", eos_token="</a>", bos_token="<s>", system_prefix="<x>",
        system_suffix="</x>", default_system="Be\n\"Ann\".", reply_lead="<t></t>",
        control_tokens=["<s>", "<u", "<u>", "</a>", "<eos>"],
    )  # fmt: skip
    source = weights(tmp_path / "big boat 7B", max_position_embeddings=2048)
    (source / "generation_config.json").write_text(
        json.dumps({"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.05, "eos_token_id": [1, 2]})
    )
    out = tmp_path / "out"
    said: list[str] = []
    export_external(source, out, ModelfileRequest(mode="dual"), home, said.append)
    assert (out / "Modelfile").read_text("utf-8") == (
        f"FROM {source}\n"
        "PARSER passthrough\n"
        'TEMPLATE """{{ if .System }}<x>{{ .System }}</x>{{ end }}<u> <thought>: {{ .Prompt }}</u>\n<a> '
        '{{ if .Response }}<world>:{{ if ne (slice .Response 0 1) " " }} {{ end }}{{ else }}<t></t><world>:{{ end }}'
        '{{ .Response }}</a>\n"""\n'
        'SYSTEM """Be\n"Ann"."""\n'
        'PARAMETER stop """</a>"""\nPARAMETER stop """<u>"""\nPARAMETER stop """<eos>"""\n'
        "PARAMETER num_ctx 2048\nPARAMETER temperature 0.6\nPARAMETER top_p 0.95\nPARAMETER top_k 20\n"
        "PARAMETER repeat_penalty 1.05\n"
    )
    assert [path.name for path in out.iterdir()] == ["Modelfile"]
    assert said[0].startswith("family mine; checked: the Modelfile was read back")


def test_a_system_text_of_ones_own(tmp_path: Path) -> None:
    commands, _ = export(weights(tmp_path / "qwen2.5-tuned"), tmp_path / "out", system=SYSTEM)
    assert dict(commands)["SYSTEM"] == SYSTEM
    commands, _ = export(weights(tmp_path / "llama-3.1-tuned"), tmp_path / "other")
    assert "SYSTEM" not in dict(commands)  # its empty system turn is in the template


@pytest.mark.parametrize(("told", "expected"), [
    ({}, {}),
    ({"temperature": "hot", "top_k": True, "top_p": None, "repetition_penalty": float("nan")}, {}),
    ({"top_k": 1000000, "top_p": 1, "temperature": 1e-5, "typical_p": 0.5},
     {"top_k": "1000000", "top_p": "1", "temperature": "1e-05"}),
])  # fmt: skip
def test_drawing_is_ollamas_own_but_for_what_the_model_says(
    tmp_path: Path, told: dict[str, Any], expected: dict[str, str]
) -> None:
    source = weights(tmp_path / "qwen")
    (source / "generation_config.json").write_text(json.dumps(told))
    values = dict(export(source, tmp_path / "out")[0])
    names = {"temperature", "top_p", "top_k", "repeat_penalty", "num_predict", "min_p"}
    assert {name: value for name, value in values.items() if name in names} == expected
    assert values["num_ctx"] == "8192"


@pytest.mark.parametrize(("config", "context"), [
    ({"max_position_embeddings": 1024}, "1024"), ({"max_position_embeddings": None}, "4096"),
    ({"max_position_embeddings": -1}, "4096"),
    ({"max_position_embeddings": None, "text_config": {"max_position_embeddings": 6000}}, "6000"),
])  # fmt: skip
def test_the_context(tmp_path: Path, config: dict[str, Any], context: str) -> None:
    assert dict(export(weights(tmp_path / "qwen", **config), tmp_path / "out")[0])["num_ctx"] == context


def test_numbers_that_only_hugging_face_s_tools_write_are_read(tmp_path: Path) -> None:
    source = weights(tmp_path / "qwen", time_step_limit=[0.0, float("inf")])
    told = '{"model_max_length": 1000000000000000019884624838656, "eos_token": "<|im_end|>"}'
    (source / "tokenizer_config.json").write_text(told)
    assert export(source, tmp_path / "out")[1][0].startswith("family qwen;")


# --- which family ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "config", "family"), [
    ("merged", {"_name_or_path": "unsloth/Llama-3.1-8B-Instruct"}, "llama3.1"),
    ("Qwen2.5-7B-ann", {}, "qwen2.5"),
    ("qwen3-ann", {"_name_or_path": "mistralai/Mistral-7B-Instruct-v0.3"}, "mistral"),
    ("gemma-ann", {"_name_or_path": "/home/ann/llama3-tests/out"}, "gemma"),  # of a path the last part says something
])  # fmt: skip
def test_the_name_tells_the_family(tmp_path: Path, folder: str, config: dict[str, Any], family: str) -> None:
    _, said = export(weights(tmp_path / folder, **config), tmp_path / "out")
    assert said[0].startswith(f"family {family};")


def test_a_name_finds_the_family_that_it_finds_for_the_curator() -> None:
    from curator.contract.chat_format import detect_family, load_family

    theirs = {family.family: family for family in map(load_family, FAMILY_FILES)}
    names = [part for family in FAMILIES.values() for part in family.models]
    for name in [*names, "Qwen/Qwen3-4B-Instruct-2507", "Meta-Llama-3-8B", "microsoft/Phi-4-mini-instruct", "QwQ-32B"]:
        assert [one.family for one in fitting_families(name, FAMILIES)] == [detect_family(name, theirs).family], name
    assert fitting_families("gpt2", FAMILIES) == []


def test_an_adapter_is_of_its_bases_family(tmp_path: Path) -> None:
    source = adapter(tmp_path / "gemma-like", base="meta-llama/Meta-Llama-3-8B-Instruct")
    _, said = export(source, tmp_path / "out", base="llama3:8b")
    assert said[0].startswith("family llama3;")


def test_without_a_name_the_chat_template_tells(tmp_path: Path) -> None:
    source = weights(tmp_path / "merged")
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML, "eos_token": "<|im_end|>"}))
    _, said = export(source, tmp_path / "out")
    assert said[0].startswith("family qwen;")


def test_two_that_fit_are_named(tmp_path: Path) -> None:
    home = home_with(tmp_path, family="mine", models=["gemma"])
    with pytest.raises(UsageError, match="fits gemma and mine"):
        export(weights(tmp_path / "gemma"), tmp_path / "out", home)
    commands, _ = export(weights(tmp_path / "again-gemma"), tmp_path / "out", home, family="mine")
    assert dict(commands)["TEMPLATE"] == "{{ if .System }}{{ .System }}\n\n{{ end }}U:{{ .Prompt }}A:{{ .Response }}"


def test_a_homes_file_counts_before_the_shipped_one(tmp_path: Path) -> None:
    home = home_with(tmp_path, family="qwen")
    commands, _ = export(weights(tmp_path / "tuned"), tmp_path / "out", home, family="qwen")
    assert stops_of(commands) == ["\nU:"]


@pytest.mark.parametrize(("family", "message"), [
    ({"family": "mine", "user_prefix": 3}, r"mine.json:1: 3 is not of type 'string'"),
    ({"family": "mine", "system_place": "above"}, r"mine.json:1: 'above' is not one of .*'turn'"),
    ({"family": "mine", "bos_token": "U"}, r"mine.json:1: a turn begins with the bos_token 'U'"),
    ({"family": "../mine"}, r"mine.json:1: '../mine' does not match "),
])  # fmt: skip
def test_a_family_file_with_a_mistake(tmp_path: Path, family: dict[str, Any], message: str) -> None:
    home = home_with(tmp_path, **family)
    with pytest.raises(UsageError, match=message) as caught:
        export(weights(tmp_path / "qwen"), tmp_path / "out", home)
    assert "curate docs families" in str(caught.value)


# --- adapters and .gguf ---------------------------------------------------------------------------------------------


def test_an_adapter_is_copied_to_where_ollama_finds_it(tmp_path: Path) -> None:
    source = adapter(tmp_path / "lora", lora_alpha=32.0)
    commands, said = export(source, tmp_path / "out", base="qwen3:4b")
    assert commands[:3] == [("FROM", "qwen3:4b"), ("ADAPTER", "./adapter"), ("PARSER", "passthrough")]
    found = tree(tmp_path / "out")
    assert sorted(found) == ["Modelfile", "adapter/", "adapter/adapter_config.json", "adapter/model.safetensors"]
    assert found["adapter/model.safetensors"] == (source / "adapter_model.safetensors").read_bytes()
    assert b'"lora_alpha": 32,' in found["adapter/adapter_config.json"]  # Ollama reads no 32.0
    assert "up to version 0.34.0 only" in said[1]
    assert "convert_lora_to_gguf.py" in said[2]
    assert "qwen3:4b must be the very model" in said[3]


def test_a_base_that_lies_on_this_disk_needs_no_option(tmp_path: Path) -> None:
    base = weights(tmp_path / "Llama-3.2-1B", architectures=["LlamaForCausalLM"], max_position_embeddings=512)
    (base / "generation_config.json").write_text('{"temperature": 0.9}')
    commands, said = export(adapter(tmp_path / "lora", base=str(base)), tmp_path / "out")
    values = dict(commands)
    assert (values["FROM"], values["num_ctx"], values["temperature"]) == (str(base), "512", "0.9")
    assert not any("convert_lora_to_gguf" in line or "must be the very model" in line for line in said)
    assert said[0].startswith("family llama3.1;")


def test_an_adapter_over_a_gguf_and_as_a_gguf(tmp_path: Path) -> None:
    base = gguf_file(tmp_path / "Qwen3-4B.gguf")
    commands, _ = export(adapter(tmp_path / "lora"), tmp_path / "a", base=str(base))
    assert commands[0] == ("FROM", str(base))
    converted = gguf_file(tmp_path / "lora.gguf", kind="adapter")
    commands, said = export(converted, tmp_path / "b", base=str(base))
    assert commands[:2] == [("FROM", str(base)), ("ADAPTER", str(converted))]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["Modelfile"]
    assert said[0].startswith("family qwen3;")


def test_a_gguf_says_what_it_is(tmp_path: Path) -> None:
    source = gguf_file(tmp_path / "ann-f16.gguf", general__basename="Qwen3", general__name="Ann")
    commands, said = export(source, tmp_path / "out")
    assert commands[0] == ("FROM", str(source))
    assert dict(commands)["num_ctx"] == "8192"
    assert len(said) == 1
    source = gguf_file(tmp_path / "b.gguf", tokenizer__chat_template=CHATML)
    assert export(source, tmp_path / "b")[1][0].startswith("family qwen;")


def test_links_are_followed_to_the_folder_itself(tmp_path: Path) -> None:
    real = weights(tmp_path / "real" / "qwen")
    (tmp_path / "link").symlink_to(real)
    assert export(tmp_path / "link", tmp_path / "out")[0][0] == ("FROM", str(real))


# --- notes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "note"), [
    ({}, "can read this folder, a later version can only for its MLX engine; the way that works with every "
    "version: llama.cpp's conv"),
    ({"architectures": ["Qwen3ForCausalLM"]}, "does not import Qwen3ForCausalLM; the way that works with "
    "every version: llama.cpp's con"),
    ({"architectures": None}, "does not import a model without architectures"),
    ({"rope_theta": None, "rope_parameters": {"rope_theta": 5e5}}, None),
    ({"architectures": ["Gemma4ForCausalLM"]}, "and does not use the Modelfile's TEMPLATE"),
])  # fmt: skip
def test_what_ollama_makes_of_a_folder_is_said(tmp_path: Path, config: dict[str, Any], note: str | None) -> None:
    source = weights(tmp_path / "qwen", **config)
    _, said = export(source, tmp_path / "out")
    assert note is None or note in "\n".join(said)


def test_the_rotary_base_where_only_transformers_5_looks(tmp_path: Path) -> None:
    source = weights(tmp_path / "qwen", rope_parameters={"rope_theta": 5e5})
    assert "would write gibberish" not in "\n".join(export(source, tmp_path / "a")[1])
    config = json.loads((source / "config.json").read_text())
    del config["rope_theta"]
    (source / "config.json").write_text(json.dumps(config))
    assert "would write gibberish" in "\n".join(export(source, tmp_path / "b")[1])


@pytest.mark.parametrize("place", ["tokenizer_config.json", "list", "chat_template.jinja", "base"])
def test_a_template_of_the_models_own_is_compared(tmp_path: Path, place: str) -> None:
    other = CHATML.replace("<|im_start|>", "<|start|>")
    source = weights(tmp_path / "qwen")
    config: dict[str, Any] = {"bos_token": {"content": "<s>"}}
    if place in ("tokenizer_config.json", "base"):
        config["chat_template"] = other
    elif place == "list":
        config["chat_template"] = [{"name": "rag", "template": "?"}, {"name": "default", "template": other}]
    else:
        config["chat_template"] = CHATML
        (source / place).write_text("{{ bos_token }}" + other)
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    if place == "base":
        source = adapter(tmp_path / "lora", base=str(source))
    said = "\n".join(export(source, tmp_path / "out", family="qwen")[1])
    assert "the model's own chat template differs from that of the family qwen" in said
    theirs = (
        "<|start|>user\\nHow are you?<|im_end|>\\n<|start|>assistant\\nFine.<|im_end|>\\n<|start|>user\\nAnd the sea?"
    )
    assert f'its own:       "{theirs}<|im_end|>\\n<|start|>assistant\\n"' in said
    assert f'the Modelfile: "{theirs.replace("start", "im_start")}<|im_end|>\\n<|im_start|>assistant\\n"' in said


@pytest.mark.parametrize("template", [
    "{{ bos_token }}" + CHATML,
    CHATML.replace("{{ message.content }}", "{% generation %}{{ message.content }}{% endgeneration %}"),
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML,
    "{% set day = strftime_now('%d') %}{% set x = tools | tojson %}" + CHATML,
])  # fmt: skip
def test_a_template_that_says_the_same_is_no_news(tmp_path: Path, template: str) -> None:
    source = weights(tmp_path / "qwen")
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "bos_token": "<s>"}))
    assert "template is not" not in "\n".join(export(source, tmp_path / "out", family="qwen")[1])


@pytest.mark.parametrize(
    "template", ["{% if %}", "{{ ''.__class__.__mro__ }}", "{{ raise_exception('never') }}", "{{ x.y }}"]
)
def test_a_template_that_cannot_be_rendered_is_said_to_be(tmp_path: Path, template: str) -> None:
    source = weights(tmp_path / "qwen")
    (source / "chat_template.jinja").write_text(template)
    assert "could not be compared with the family's: " in "\n".join(export(source, tmp_path / "out")[1])
    with pytest.raises(UnrenderableError):
        render(template, [Message("user", "a")], generation_prompt=True, bos_token="", eos_token="")


PUBLISHED = sorted((ROOT / "tests" / "contract" / "chat_templates").glob("*.jinja"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_template_tells_its_family(tmp_path: Path, path: Path) -> None:
    source = weights(tmp_path / "merged")
    shutil.copy(path, source / "chat_template.jinja")
    if path.stem == "tinyllama":  # it leaves its end mark to the tokenizer, and but for that Phi-3's writes the same
        (source / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    _, said = export(source, tmp_path / "out")
    family = said[0].removeprefix("family ").partition(";")[0]
    names = {"mistral-v0.2": "mistral1", "qwen2-vl": "qwen2", "qwen3-vl": "qwen", "llama3.2": "llama3.1"}
    assert path.stem.startswith(family) or names[path.stem] == family
    assert not any("chat template" in line for line in said)


# --- what cannot be -------------------------------------------------------------------------------------------------


def broken(tmp_path: Path, what: str) -> Path:
    """A folder that is not fit for Ollama, by name."""
    folder = tmp_path / "qwen"
    if what in ("empty", "pickles", "named otherwise", "a .gguf in it"):
        folder.mkdir()
        file = {"pickles": "pytorch_model.bin", "named otherwise": "weights.safetensors", "a .gguf in it": "x.gguf"}
        if what != "empty":
            (folder / file[what]).write_bytes(b"x")
        return folder
    weights(folder, shards=2 if what in ("a shard missing", "an index astray", "no index") else 1)
    if what == "a shard missing":
        (folder / "model-00002-of-00002.safetensors").unlink()
    elif what == "no index":
        (folder / "model.safetensors.index.json").unlink()
    elif what == "an index astray":
        (folder / "model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "../model-00001-of-00002.safetensors"}}'
        )
    elif what == "cut off":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    elif what == "no safetensors":
        (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif what == "4 bits":
        (folder / "config.json").write_text('{"quantization_config": {"quant_method": "bitsandbytes"}}')
    elif what == "a link":
        (folder / "model.safetensors").rename(tmp_path / "blob")
        (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    return folder


@pytest.mark.parametrize(("what", "message"), [
    ("empty", "holds no model"),
    ("pickles", r"its weights are pickles \(pytorch_model.bin\)"),
    ("named otherwise", r"Ollama looks for model\*.safetensors, and there is weights.safetensors"),
    ("a .gguf in it", "name the file itself: .*x.gguf"),
    ("a shard missing", r"model-00002-of-00002.safetensors is missing \(1 of the 2 files"),
    ("an index astray", r"\.\./model-00001-of-00002.safetensors is missing"),
    ("no index", "has 2 files of weights and no model.safetensors.index.json"),
    ("cut off", "model.safetensors is cut off"),
    ("no safetensors", "model.safetensors is no safetensors file"),
    ("no config", "has no config.json"),
    ("no tokenizer", "has neither tokenizer.json nor tokenizer.model"),
    ("4 bits", "quantized by bitsandbytes, which Ollama does not read"),
    ("a link", "is a link to another place, which Ollama refuses"),
])  # fmt: skip
def test_a_folder_that_ollama_could_not_use_is_refused(tmp_path: Path, what: str, message: str) -> None:
    source = broken(tmp_path, what)
    with pytest.raises(UsageError, match=message):
        export(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("config", "extra", "message"), [
    ({"use_dora": True}, "", r"it is DoRA \(use_dora\)"),
    ({"use_rslora": True}, "", "its scale is rsLoRA's"),
    ({"alpha_pattern": {"q_proj": 4}}, "", "scales of their own"),
    ({"peft_type": "LOHA"}, "", "it is LOHA, no LoRA"),
    ({"lora_alpha": 0.5}, "", "lora_alpha is 0.5, no whole number"),
    ({"lora_alpha": float("inf")}, "", "lora_alpha is inf, no whole number"),
    ({}, "base_model.model.lm_head.weight", r"it holds whole weights too \(base_model.model.lm_head.weight"),
    ({}, "base_model.model.layers.0.q_proj.lora_magnitude_vector", "it holds whole weights too"),
])  # fmt: skip
def test_an_adapter_that_is_more_than_lora_is_refused(
    tmp_path: Path, config: dict[str, Any], extra: str, message: str
) -> None:
    source = adapter(tmp_path / "lora", extra=extra, **config)
    with pytest.raises(UsageError, match=message) as caught:
        export(source, tmp_path / "out", base="qwen3:4b")
    assert "merge it into its base" in str(caught.value)


def test_an_adapter_without_weights_is_refused(tmp_path: Path) -> None:
    source = adapter(tmp_path / "lora")
    (source / "adapter_model.safetensors").rename(source / "adapter_model.bin")
    with pytest.raises(UsageError, match="its weights are pickles"):
        export(source, tmp_path / "out", base="qwen3:4b")
    (source / "adapter_model.bin").unlink()
    with pytest.raises(UsageError, match=r"adapter_model\.safetensors is missing"):
        export(source, tmp_path / "out", base="qwen3:4b")


@pytest.mark.parametrize(("base", "message"), [
    (None, "is an adapter of Qwen/Qwen3-4B: Ollama needs that base in its own store, as a folder of weights or as"),
    ("./nowhere/at all", "there is no such file or folder"),
    ("missing.gguf", "there is no such file or folder"),
    ("qwen3:4b\nSYSTEM x", "there is no such file or folder"),
])  # fmt: skip
def test_a_base_that_is_not_there(tmp_path: Path, base: str | None, message: str) -> None:
    source = adapter(tmp_path / "lora")
    with pytest.raises(UsageError, match=message) as caught:
        export(source, tmp_path / "out", base=base)
    assert base or f"trainer export {source} --to ollama --out DIR --base NAME" in str(caught.value)


def test_a_base_is_for_adapters(tmp_path: Path) -> None:
    for source in (weights(tmp_path / "qwen"), gguf_file(tmp_path / "qwen3.gguf")):
        with pytest.raises(UsageError, match="is no adapter"):
            export(source, tmp_path / "out", base="qwen3:4b")
    other = gguf_file(tmp_path / "other.gguf", kind="adapter")
    with pytest.raises(UsageError, match="is an adapter itself"):
        export(adapter(tmp_path / "lora"), tmp_path / "out", base=str(other))


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: gguf_file(path, kind="mmproj"), "is of the type 'mmproj'"),
    (lambda path: gguf_file(path, split__count=3), "is one of 3 parts"),
    (lambda path: path.write_bytes(b"GGUF"), "is no GGUF file, or is cut off"),
    (lambda path: path.write_bytes(b""), "is no GGUF file, or is cut off"),
    (lambda path: path.write_bytes(gguf_file(path).read_bytes()[:-20]), "is no GGUF file, or is cut off"),
])  # fmt: skip
def test_a_gguf_that_is_none(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "qwen.gguf")
    with pytest.raises(UsageError, match=message):
        export(tmp_path / "qwen.gguf", tmp_path / "out")


@pytest.mark.parametrize(("wish", "message"), [
    ({"family": "quen"}, r"unknown family 'quen': expected one of gemma, "),
    ({"mode": "diary"}, "unknown mode 'diary': expected one of agent, dual, emulation"),
    ({"system": 'Say """no"""'}, "no way to write three quotes"),
    ({"system": "a\u200db"}, "unprintable characters"),
])  # fmt: skip
def test_a_wish_that_cannot_be(tmp_path: Path, wish: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(weights(tmp_path / "qwen"), tmp_path / "out", **wish)
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_names_the_families(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither its name \(merged\) nor its chat template tells") as caught:
        export(weights(tmp_path / "merged"), tmp_path / "out")
    assert all(name in caught.value.next_step for name in FAMILIES)


def test_braces_of_a_family_are_refused(tmp_path: Path) -> None:
    for texts in ({"user_prefix": "{{U}}"}, {"user_suffix": "{"}):
        family = Family(family="x", **{"user_prefix": "U", "assistant_prefix": ""} | texts)
        with pytest.raises(UsageError, match="holds braces"):
            go_template(family)


def test_a_path_that_a_modelfile_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a Modelfile cannot name"):
        export(weights(tmp_path / "qwen\nSYSTEM x"), tmp_path / "out")
    assert dict(export(weights(tmp_path / "a qwen # 1"), tmp_path / "out")[0])["FROM"] == str(tmp_path / "a qwen # 1")


def test_nothing_is_overwritten_and_nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = adapter(tmp_path / "lora")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        export(source, tmp_path / "taken", base="qwen3:4b")
    with pytest.raises(UsageError, match=r"makes a folder, no \.gguf file"):
        export(source, tmp_path / "x.gguf", base="qwen3:4b")
    with pytest.raises(HostError), disk_of(10):
        export(source, tmp_path / "out", base="qwen3:4b")
    monkeypatch.setattr(modelfile, "go_template", lambda family, tags: "{{ .Prompt }} {{ .Response }}")
    with pytest.raises(JobError, match="the Modelfile did not pass its check: it makes 'How are you"):
        export(source, tmp_path / "out", base="qwen3:4b")
    assert tree(tmp_path) == before


# --- the command ----------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run_command([str(one) for one in ("export", *arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_prints_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = weights(tmp_path / "Qwen2.5-7B-ann"), tmp_path / "my model"
    home = home_with(tmp_path, family="mine")
    (home / "profiles").mkdir()
    status, printed, said = command(capsys, source, "--to", "ollama", "--out", out, "--mode", "dual", "--home", home)
    assert (status, printed) == (0, f"{out}\n")
    assert f"made {out / 'Modelfile'}" in said
    assert f"next: ollama create my-model -f '{out}/Modelfile' && ollama run my-model\n" in said
    assert "<thought>: {{ .Prompt }}" in (out / "Modelfile").read_text("utf-8")


@pytest.mark.parametrize(("arguments", "message"), [
    (("--to", "gguf"), "has no trainer.json"),
    (("--to", "ollama", "--dtype", "q8_0"), "the weights of a model trained elsewhere stay as they are"),
    (("--to", "ollama", "--family", "none"), "unknown family 'none'"),
])  # fmt: skip
def test_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    status, printed, said = command(capsys, weights(tmp_path / "qwen"), "--out", tmp_path / "out", *arguments)
    assert (status, printed) == (2, "")
    assert message in said


def test_our_own_checkpoints_go_their_own_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny").folder
    assert not is_external(checkpoint)
    assert not is_external(tmp_path / "nowhere")
    for name in ("family", "base", "mode", "system", "run"):
        status, _, said = command(capsys, checkpoint, "--to", "ollama", "--out", tmp_path / "out", f"--{name}", "x")
        assert status == 2
        assert f"--{name} is for --to ollama of a model that was trained elsewhere" in said
    status, printed, _ = command(capsys, checkpoint, "--to", "ollama", "--out", tmp_path / "out")
    assert (status, printed) == (0, f"{tmp_path / 'out'}\n")
    assert (tmp_path / "out" / "Modelfile").read_text("utf-8").startswith("FROM ./model.gguf\nTEMPLATE")


# --- Go itself ------------------------------------------------------------------------------------------------------

# What Ollama does with a template, in Go's own engine: once for all messages, or once for each exchange.
GO = r"""
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
	"text/template/parse"
)

type message struct{ Role, Content string }

type job struct {
	Template, System string
	Messages         []message
}

// cut leaves nothing behind the first action that writes the reply.
func cut(list *parse.ListNode) bool {
	for at, node := range list.Nodes {
		found := false
		switch one := node.(type) {
		case *parse.ActionNode:
			found = strings.Contains(one.String(), ".Response")
		case *parse.IfNode:
			found = cut(one.List)
		}
		if found {
			list.Nodes = list.Nodes[:at+1]
			return true
		}
	}
	return false
}

func run(one job) string {
	var out strings.Builder
	made := template.Must(template.New("").Option("missingkey=zero").Parse(one.Template))
	write := func(values map[string]any) {
		if err := made.Execute(&out, values); err != nil {
			panic(err)
		}
	}
	if strings.Contains(made.Root.String(), ".Messages") {
		messages := []*message{}
		if one.System != "" {
			messages = append(messages, &message{"system", one.System})
		}
		for at := range one.Messages {
			messages = append(messages, &one.Messages[at])
		}
		write(map[string]any{"System": one.System, "Messages": messages, "Response": ""})
		return out.String()
	}
	system := one.System
	for at := 0; at+1 < len(one.Messages); at += 2 {
		asked, answered := one.Messages[at].Content, one.Messages[at+1].Content
		write(map[string]any{"System": system, "Prompt": asked, "Response": answered})
		system = ""
	}
	cut(made.Root)
	write(map[string]any{"System": system, "Prompt": one.Messages[len(one.Messages)-1].Content, "Response": ""})
	return out.String()
}

func main() {
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		panic(err)
	}
	texts := []string{}
	for _, one := range jobs {
		texts = append(texts, run(one))
	}
	if err := json.NewEncoder(os.Stdout).Encode(texts); err != nil {
		panic(err)
	}
}
"""


@pytest.mark.verify
@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed, whose text/template Ollama uses")
def test_gos_own_engine_makes_the_same_prompts(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(GO)
    odd = Family(
        family="odd", user_prefix="- {U} ", user_suffix="}", assistant_prefix="-> ", assistant_suffix=" ",
        eos_token='"', system_place="first_user", default_system=" ", reply_lead="\n{-\n", turn_separator="-",
    )  # fmt: skip
    jobs, expected = [], []
    for family in (*FAMILIES.values(), odd):
        chat = ChatFormat(family)
        for tags in (NO_TAGS, *BUILT_IN_MODES.values()):
            for count in (1, 2, 3):
                for system in ("", SYSTEM):
                    asked, answered = ASKED[:count], ANSWERED[: count - 1]
                    told = system or ("" if chat.empty_system else family.default_system)
                    turns = [("user", asked[0])]
                    for answer, question in zip(answered, asked[1:], strict=True):
                        turns += [("assistant", answer), ("user", question)]
                    messages = [{"Role": role, "Content": text} for role, text in turns]
                    jobs.append({"Template": go_template(family, tags), "System": told, "Messages": messages})
                    expected.append(chat.generation_prompt(asked, trimmed(family, tags, answered), system, tags))
                    assert rendered(go_template(family, tags), asked, answered, told) == expected[-1]
    environment = os.environ | {"GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "GOFLAGS": ""}
    done = subprocess.run(
        ["go", "run", str(tmp_path / "main.go")], input=json.dumps(jobs).encode(), capture_output=True, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == expected

"""Every shipped family writes its model's true template, and the right one is found by a base model's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import Home, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.families import Wrapper, detect_family, load_family, pick_family
from curator.records import Exchange, Family, FormattedSample, SampleMetadata
from curator.shipped import shipped_etc

FAMILIES: Final = {path.stem: load_family(path) for path in sorted((shipped_etc() / "schemas").glob("*.json"))}

# The table of facts/formats.md section 2, without BOS: X is asked, Y is answered.
ONE_TURN: Final = {
    "gemma": "<start_of_turn>user\nX<end_of_turn>\n<start_of_turn>model\nY<end_of_turn>\n",
    "gptj": "X\nY<|endoftext|>",
    "llama2": "[INST] X [/INST] Y </s>",
    "llama3": "<|start_header_id|>user<|end_header_id|>\n\nX<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nY<|eot_id|>",
    "llisa": "Q: X\nA: Y",
    "mistral": "[INST] X[/INST] Y</s>",
    "phi3": "<|user|>\nX<|end|>\n<|assistant|>\nY<|end|>\n",
    "phi4": "<|im_start|>user<|im_sep|>X<|im_end|><|im_start|>assistant<|im_sep|>Y<|im_end|>",
    "phi4mini": "<|user|>X<|end|><|assistant|>Y<|end|>",
    "qwen": "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\nY<|im_end|>\n",
}
BETWEEN_TURNS: Final = {"llama2": "<s>", "llisa": "\n\n", "gptj": "\n"}
ENDS: Final = {
    "gemma": "<end_of_turn>",
    "gptj": "<|endoftext|>",
    "llama2": "</s>",
    "llama3": "<|eot_id|>",
    "llisa": "",
    "mistral": "</s>",
    "phi3": "<|end|>",
    "phi4": "<|im_end|>",
    "phi4mini": "<|end|>",
    "qwen": "<|im_end|>",
}
BASE_MODELS: Final = {
    "qwen3-coder:30b": "qwen",
    "Qwen/Qwen3.5-9B": "qwen",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama3",
    "llama3.2:1b": "llama3",
    "llama-2-7b-chat": "llama2",
    "meta-llama/Llama-2-7b-chat-hf": "llama2",
    "codellama": "llama2",
    "codellama/CodeLlama-7b-Instruct-hf": "llama2",
    "microsoft/Phi-3.5-mini": "phi3",
    "phi3:mini": "phi3",
    "phi4": "phi4",
    "microsoft/phi-4": "phi4",
    "Phi-4-mini-instruct": "phi4mini",
    "phi4-mini:3.8b": "phi4mini",
    "EleutherAI/gpt-j-6b": "gptj",
    "google/gemma-2-9b": "gemma",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral",
    "mixtral": "mistral",
    "LLiSA-7M": "llisa",
}
KNOWN: Final = "gemma, gptj, llama2, llama3, llisa, mistral, phi3, phi4, phi4mini, qwen"
GOOD: Final[dict[str, Any]] = {"family": "own", "user_prefix": "<|u|>", "assistant_prefix": "<|a|>"}


def text(family: str, asked: str, answered: str, context: tuple[Exchange, ...] = ()) -> str:
    return "".join(Wrapper(FAMILIES[family]).halves(asked, answered, context))


def test_the_shipped_families_are_those_of_the_table() -> None:
    assert sorted(FAMILIES) == sorted(ONE_TURN)
    assert all(family.family == name for name, family in FAMILIES.items())


@pytest.mark.parametrize("family", ONE_TURN)
def test_one_turn_is_exactly_the_models_own_form(family: str) -> None:
    assert text(family, "X", "Y") == ONE_TURN[family]


@pytest.mark.parametrize("family", ONE_TURN)
def test_earlier_turns_stand_before_it_in_the_same_form(family: str) -> None:
    def turn(asked: str, answered: str) -> str:
        return ONE_TURN[family].replace("X", asked).replace("Y", answered)

    between = BETWEEN_TURNS.get(family, "")
    context = (Exchange("one", "two"), Exchange("three", "four"))
    whole = between.join([turn("one", "two"), turn("three", "four"), turn("X", "Y")])
    assert text(family, "X", "Y", context) == whole
    assert Wrapper(FAMILIES[family]).halves("X", "Y", context)[1] == Wrapper(FAMILIES[family]).halves("X", "Y")[1]


@pytest.mark.parametrize("family", ONE_TURN)
def test_a_prompt_never_ends_in_a_space(family: str) -> None:
    prompt, reply = Wrapper(FAMILIES[family]).halves("X", "Y")
    assert not prompt.endswith((" ", "\t"))
    assert reply.lstrip(" ").startswith("Y")


@pytest.mark.parametrize("family", ONE_TURN)
def test_a_reply_ends_in_the_end_mark_exactly_once(family: str) -> None:
    assert FAMILIES[family].eos_token == ENDS[family]
    reply = Wrapper(FAMILIES[family]).halves("X", "Y")[1]
    assert not ENDS[family] or (reply.count(ENDS[family]) == 1 and reply.rstrip().endswith(ENDS[family]))


@pytest.mark.parametrize("family", ONE_TURN)
def test_no_family_writes_the_begin_mark_before_a_sample(family: str) -> None:
    bos = FAMILIES[family].bos_token
    assert not bos or not text(family, "X", "Y").startswith(bos)


@pytest.mark.parametrize("family", ONE_TURN)
def test_every_token_of_a_wrapper_is_a_control_token(family: str) -> None:
    import re

    written = set(re.findall(r"<[^<>\n]+>|\[/?[A-Z]+\]", ONE_TURN[family]))
    assert written <= set(FAMILIES[family].control_tokens)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.sampled_from(sorted(FAMILIES)), st.text(), st.text())
def test_unwrap_inverts_halves(family: str, asked: str, answered: str) -> None:
    wrapper = Wrapper(FAMILIES[family])
    assert wrapper.unwrap(*wrapper.halves(asked, answered)) == (asked, answered)


def test_unwrap_refuses_another_familys_text() -> None:
    halves = Wrapper(FAMILIES["llama3"]).halves("X", "Y")
    assert [name for name, family in FAMILIES.items() if Wrapper(family).unwrap(*halves)] == ["llama3"]


def test_wrap_keeps_the_tagged_texts_beside_the_wrapped_ones() -> None:
    metadata = SampleMetadata("id-0", "evt", "conversation", "", "type", "other", ())
    sample = FormattedSample("emulation", "<user>: X", "<assistant>: Y", metadata)
    wrapped = Wrapper(FAMILIES["llisa"]).wrap(sample)
    assert (wrapped.input, wrapped.output) == ("Q: <user>: X\nA:", " <assistant>: Y")
    assert (wrapped.raw_input, wrapped.raw_output) == (sample.input, sample.output)
    assert (wrapped.mode, wrapped.schema_family, wrapped.metadata) == ("emulation", "llisa", metadata)


def test_separator_and_eos_token_are_applied() -> None:
    family = Family("own", "U:", "A:", user_suffix="/u", separator="|", assistant_suffix="/a", eos_token="<end>")
    assert Wrapper(family).halves("X", "Y") == ("U:X/u|A:", "Y/a<end>")


@pytest.mark.parametrize(("model", "family"), BASE_MODELS.items())
def test_the_family_is_found_by_the_base_models_name(model: str, family: str) -> None:
    assert detect_family(model, FAMILIES).family == family


@pytest.mark.parametrize("model", ["tiiuae/falcon-7b", "llama", "phi-2", "", "gpt2"])
def test_an_unknown_base_model_is_an_error_that_lists_the_known_families(model: str) -> None:
    with pytest.raises(UsageError) as caught:
        detect_family(model, FAMILIES)
    assert caught.value.what == f"no family is known for the base model {model!r}"
    assert caught.value.next_step == f"name one with --family: {KNOWN}"


def test_a_name_that_fits_two_families_equally_is_an_error() -> None:
    families = {name: Family(name, "", "", models=(part,)) for name, part in (("one", "abc"), ("two", "xyz"))}
    with pytest.raises(UsageError, match="fits one and two"):
        detect_family("abc-xyz", families)


def test_a_named_family_goes_before_the_base_model_and_that_before_the_default() -> None:
    assert pick_family(FAMILIES, "gemma", "qwen3", "phi3").family == "gemma"
    assert pick_family(FAMILIES, None, "qwen3", "phi3").family == "qwen"
    assert pick_family(FAMILIES, None, None, "phi3").family == "phi3"


def test_an_unknown_family_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        pick_family(FAMILIES, "lama3", None, "qwen")
    assert caught.value.what == f"unknown family 'lama3': expected one of {KNOWN}"
    assert caught.value.next_step.startswith("Did you mean 'llama3'?")


def test_a_bad_family_file_lists_every_mistake_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{\n  "family": "own",\n  "user_prefix": 7,\n  "models": ["a",\n    3],\n  "colour": "red"\n}\n')
    with pytest.raises(UsageError) as caught:
        load_family(path)
    lines = sorted(line.strip() for line in caught.value.what.splitlines()[1:])
    assert len(lines) == 4
    for start, wrong in zip(lines, ("colour", "assistant_prefix", "7", "3"), strict=False):
        assert start.startswith(f"{path}:")
        assert any(wrong in line for line in lines)
    assert f"{path}:3: 7 is not of type 'string'" in lines
    assert f"{path}:5: 3 is not of type 'string'" in lines
    assert "docs/families.md" in caught.value.next_step


@pytest.mark.parametrize("content", ["", "{", "[1]", '"x"', "\xff\xfe".encode("latin-1"), '{"family": "a"} x'])
def test_a_family_file_that_is_no_object_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=r"own\.json"):
        load_family(path)


def test_a_homes_own_file_adds_a_family_and_replaces_a_shipped_one(home: Home, curate: Callable[..., Result]) -> None:
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    home.config("schemas/own.json", GOOD)
    home.config("schemas/qwen.json", GOOD | {"family": "qwen", "assistant_prefix": "<|b|>"})
    for family, prefix in (("own", "<|a|>"), ("qwen", "<|b|>")):
        done = curate("run", "--home", home.folder, "--username", "ann", "--family", family)
        assert done.status == 0, done.err
        line = json.loads((done.run / "fine_tune_dataset.jsonl").read_text("utf-8").splitlines()[0])
        assert line["input"] == f"<|u|><user>: Where is the harbour?{prefix}"


def test_an_unknown_base_model_stops_a_run_before_it_writes(home: Home, curate: Callable[..., Result]) -> None:
    home.memory("Where is the harbour?", response="Behind the old mill, where the river bends.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--base-model", "falcon-7b")
    assert (done.status, done.out) == (2, "")
    assert "'falcon-7b'" in done.err
    assert KNOWN in done.err
    assert not (home.profile / "out").exists()

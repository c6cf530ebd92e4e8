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

from curator.contract.chat_format import ChatFormat, detect_family, load_family, pick_family
from curator.contract.errors import UsageError
from curator.contract.homes import shipped_etc
from curator.contract.records import Exchange, Family
from curator.records import FormattedSample, SampleMetadata
from curator.run_folder import wrapped

FAMILIES: Final = {path.stem: load_family(path) for path in sorted((shipped_etc() / "schemas").glob("*.json"))}

DATES: Final = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
# One turn without BOS: X is asked, Y is answered. tests/contract/chat_templates/ holds the published templates.
ONE_TURN: Final = {
    "gemma": "<start_of_turn>user\nX<end_of_turn>\n<start_of_turn>model\nY<end_of_turn>\n",
    "gemma4": "<|turn>user\nX<turn|>\n<|turn>model\nY<turn|>\n",
    "gptj": "X\nY<|endoftext|>",
    "llama2": "[INST] X [/INST] Y </s>",
    "llama3": "<|start_header_id|>user<|end_header_id|>\n\nX<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nY<|eot_id|>",
    "llama3.1": f"<|start_header_id|>system<|end_header_id|>\n\n{DATES}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nX<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nY<|eot_id|>",
    "llisa": "Q: X\nA: Y",
    "mistral": "[INST] X[/INST] Y</s>",
    "mistral1": " [INST] X [/INST] Y</s>",
    "phi3": "<|user|>\nX<|end|>\n<|assistant|>\nY<|end|>\n",
    "phi4": "<|im_start|>user<|im_sep|>X<|im_end|><|im_start|>assistant<|im_sep|>Y<|im_end|>",
    "phi4mini": "<|user|>X<|end|><|assistant|>Y<|end|>",
    "qwen": "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\nY<|im_end|>\n",
    "qwen2": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\nY<|im_end|>\n",
    "qwen2.5": "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\nY<|im_end|>\n",
    "qwen3": "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nY<|im_end|>\n",
    "smollm2": "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\nY<|im_end|>\n",
    "tinyllama": "<|user|>\nX</s>\n<|assistant|>\nY</s>\n",
}
BETWEEN_TURNS: Final = {"llama2": "<s>", "llisa": "\n\n", "gptj": "\n"}
# What stands once behind the whole conversation.
DOCUMENT_ENDS: Final = {"phi3": "<|endoftext|>", "phi4mini": "<|endoftext|>"}
ENDS: Final = {
    "gemma": "<end_of_turn>",
    "gemma4": "<turn|>",
    "gptj": "<|endoftext|>",
    "llama2": "</s>",
    "llama3": "<|eot_id|>",
    "llama3.1": "<|eot_id|>",
    "llisa": "",
    "mistral": "</s>",
    "mistral1": "</s>",
    "phi3": "<|end|>",
    "phi4": "<|im_end|>",
    "phi4mini": "<|end|>",
    "qwen": "<|im_end|>",
    "qwen2": "<|im_end|>",
    "qwen2.5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "smollm2": "<|im_end|>",
    "tinyllama": "</s>",
}
BASE_MODELS: Final = {
    "qwen3-coder:30b": "qwen",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": "qwen",
    "Qwen/Qwen3-4B-Instruct-2507": "qwen",
    "qwen3:4b-instruct-2507-q4_K_M": "qwen",
    "qwen3:30b-instruct": "qwen",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen",
    "Qwen/QwQ-32B": "qwen",
    "Qwen/Qwen3-8B": "qwen3",
    "Qwen/Qwen3-30B-A3B": "qwen3",
    "Qwen/Qwen3-4B-Thinking-2507": "qwen3",
    "qwen3:8b": "qwen3",
    "Qwen/Qwen3.5-9B": "qwen3",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5",
    "Qwen/Qwen2.5-Coder-7B-Instruct": "qwen2.5",
    "qwen2_5_7b": "qwen2.5",
    "Qwen/Qwen2-7B-Instruct": "qwen2",
    "Qwen/Qwen2-57B-A14B-Instruct": "qwen2",
    "Qwen/Qwen2.5-VL-7B-Instruct": "qwen2",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3.1",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama3.1",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3.1",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama3",
    "llama3:8b": "llama3",
    "llama3.2:1b": "llama3.1",
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
    "gemma3:4b": "gemma",
    "google/gemma-4-E2B-it": "gemma4",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral",
    "mistralai/Mistral-7B-Instruct-v0.2": "mistral1",
    "mistral:7b-instruct-v0.2-q4_0": "mistral1",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "mistral1",
    "mistralai/Mixtral-8x22B-Instruct-v0.1": "mistral",
    "mixtral": "mistral",
    "LLiSA-7M": "llisa",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2",
    "smollm2:360m": "smollm2",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "tinyllama",
    "HuggingFaceH4/zephyr-7b-beta": "tinyllama",
}
KNOWN: Final = (
    "gemma, gemma4, gptj, llama2, llama3, llama3.1, llisa, mistral, mistral1, phi3, phi4, phi4mini, "
    "qwen, qwen2, qwen2.5, qwen3, smollm2, tinyllama"
)
GOOD: Final[dict[str, Any]] = {"family": "own", "user_prefix": "<|u|>", "assistant_prefix": "<|a|>"}


def text(family: str, asked: str, answered: str, context: tuple[Exchange, ...] = ()) -> str:
    return "".join(ChatFormat(FAMILIES[family]).prompt_and_completion(asked, answered, context))


def test_the_shipped_families_are_those_of_the_table() -> None:
    assert sorted(FAMILIES) == sorted(ONE_TURN)
    assert all(family.family == name for name, family in FAMILIES.items())


@pytest.mark.parametrize("family", ONE_TURN)
def test_one_turn_is_exactly_the_models_own_form(family: str) -> None:
    assert text(family, "X", "Y") == ONE_TURN[family] + DOCUMENT_ENDS.get(family, "")


@pytest.mark.parametrize("family", ONE_TURN)
def test_earlier_turns_stand_before_it_in_the_same_form(family: str) -> None:
    # A system text comes once, thoughts before the last reply alone.
    system = ChatFormat(FAMILIES[family]).default_system
    last = ONE_TURN[family].removeprefix(system)

    def turn(asked: str, answered: str) -> str:
        return last.replace(FAMILIES[family].reply_lead, "").replace("X", asked).replace("Y", answered)

    between = BETWEEN_TURNS.get(family, "")
    context = (Exchange("one", "two"), Exchange("three", "four"))
    whole = between.join([turn("one", "two"), turn("three", "four"), last])
    assert text(family, "X", "Y", context) == system + whole + DOCUMENT_ENDS.get(family, "")
    assert (
        ChatFormat(FAMILIES[family]).prompt_and_completion("X", "Y", context)[1]
        == ChatFormat(FAMILIES[family]).prompt_and_completion("X", "Y")[1]
    )


@pytest.mark.parametrize("family", ONE_TURN)
def test_a_prompt_never_ends_in_a_space(family: str) -> None:
    prompt, reply = ChatFormat(FAMILIES[family]).prompt_and_completion("X", "Y")
    assert not prompt.endswith((" ", "\t"))
    assert reply.lstrip(" ").removeprefix(FAMILIES[family].reply_lead).startswith("Y")


@pytest.mark.parametrize("family", ONE_TURN)
def test_a_reply_ends_in_the_end_mark_exactly_once(family: str) -> None:
    assert FAMILIES[family].eos_token == ENDS[family]
    reply = ChatFormat(FAMILIES[family]).prompt_and_completion("X", "Y")[1].removesuffix(DOCUMENT_ENDS.get(family, ""))
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
def test_one_exchange_is_read_back(family: str, asked: str, answered: str) -> None:
    chat_format = ChatFormat(FAMILIES[family])
    exchanges = chat_format.exchanges(*chat_format.prompt_and_completion(asked, answered))
    assert exchanges is not None
    assert [(said, replied) for said, replied, _ in exchanges] == [(asked, answered)]


PLACES: Final = [Family("own", "U:", "A:", default_system="S.", reply_lead="~", system_place=place)
                 for place in ("turn", "first_user", "last_user")]  # fmt: skip


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.sampled_from(PLACES), st.text(), st.text())
def test_one_exchange_is_read_back_wherever_a_default_system_text_stands(
    family: Family, asked: str, answered: str
) -> None:
    chat_format = ChatFormat(family)
    exchanges = chat_format.exchanges(*chat_format.prompt_and_completion(asked, answered))
    assert exchanges is not None
    assert [(said, replied) for said, replied, _ in exchanges] == [(asked, answered)]


@pytest.mark.parametrize("family", [*FAMILIES.values(), *PLACES], ids=lambda one: f"{one.family}-{one.system_place}")
def test_exchanges_invert_halves(family: Family) -> None:
    chat_format = ChatFormat(family)
    texts = [("<user>: one?", "<assistant>: two."), ("<user>: three?", "<assistant>: four."), ("<user>: X", "<you>: Y")]
    wrapped, reply = chat_format.prompt_and_completion(*texts[-1], tuple(Exchange(*one) for one in texts[:-1]))
    found = chat_format.exchanges(wrapped, reply)
    assert found is not None
    assert [(asked, answered) for asked, answered, _ in found] == texts
    assert all(wrapped[place:].startswith(asked) for asked, _, place in found)
    assert chat_format.exchanges(wrapped[:-1], reply) is None


def test_the_text_of_another_family_is_refused() -> None:
    halves = ChatFormat(FAMILIES["llama3"]).prompt_and_completion("X", "Y")
    assert [name for name, family in FAMILIES.items() if ChatFormat(family).exchanges(*halves)] == ["llama3"]


def test_wrap_keeps_the_tagged_texts_beside_the_wrapped_ones() -> None:
    metadata = SampleMetadata("id-0", "evt", "conversation", "", "type", "other", ())
    sample = FormattedSample("emulation", "<user>: X", "<assistant>: Y", metadata)
    whole = wrapped(sample, ChatFormat(FAMILIES["llisa"]))
    assert (whole.input, whole.output) == ("Q: <user>: X\nA:", " <assistant>: Y")
    assert (whole.raw_input, whole.raw_output) == (sample.input, sample.output)
    assert (whole.mode, whole.schema_family, whole.metadata) == ("emulation", "llisa", metadata)


def test_separator_and_eos_token_are_applied() -> None:
    family = Family("own", "U:", "A:", user_suffix="/u", separator="|", assistant_suffix="/a", eos_token="<end>")
    assert ChatFormat(family).prompt_and_completion("X", "Y") == ("U:X/u|A:", "Y/a<end>")


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
    assert pick_family(FAMILIES, None, "qwen3", "phi3").family == "qwen3"
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
    assert "curate docs families" in caught.value.next_step


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

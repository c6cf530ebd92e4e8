"""`curate preview`: the exact text and tokens of a row, what is trained of it, and rows that would train wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, curate_once
from outgoing_fixtures import BASE_MODELS, EVERY_TOKEN, PLUGIN, family, make_tokenizer

Curate = Callable[..., Result]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A run of one sample, in a home with the tools "plain" (its last reply is trained) and "each"."""
    home = Home(tmp_path_factory.mktemp("made") / "home")
    home.config("curate.json", {"plugins": {"home_plugins": True}, "control_tokens": "braces"})
    (home.folder / "plugins").mkdir()
    (home.folder / "plugins" / "plain.py").write_text(PLUGIN, "utf-8")
    home.memory("Where is the harbour?", response="Behind the old mill.\nWhere the river bends.")
    return home, curate_once("run", "--home", home.folder, "--username", "ann", "--holdout", 0).run


@pytest.fixture
def run(home: Home, made_once: tuple[Home, Path]) -> Path:
    """A copy of that home and its run, each test's own."""
    first, run = made_once
    home.take(first)
    return home.folder / run.relative_to(first.folder)


def preview(curate: Curate, home: Home, run: Path, *more: object, to: str = "plain") -> Result:
    return curate("preview", run, "--home", home.folder, "--to", to, *more)


def test_without_a_tokenizer_the_familys_template_is_shown_with_what_is_trained(
    home: Home, run: Path, curate: Curate
) -> None:
    done = preview(curate, home, run)
    assert done.status == 0, done.err
    assert done.out.splitlines()[1:] == [
        "<|im_start|>user",
        "<user>: Where is the harbour?<|im_end|>",
        "<|im_start|>assistant",
        "⟦<assistant>: Behind the old mill.",
        "Where the river bends.<|im_end|>",
        "⟧",
        "1 row for Plain: no problems (lengths are estimates: name a tokenizer with --tokenizer DIR)",
    ]


@pytest.mark.parametrize("name", BASE_MODELS)
@pytest.mark.parametrize("to", ["plain", "each"])
def test_with_a_tokenizer_exactly_the_reply_and_its_end_are_trained(
    home: Home, run: Path, curate: Curate, tmp_path: Path, name: str, to: str
) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", name)
    done = preview(curate, home, run, "--family", name, "--tokenizer", folder, "--strict", "--json", to=to)
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["shown"]
    tokens = row["tokens"]
    trained = "".join(one["text"] for one in tokens if one["trained"])
    assert (
        trained.strip()
        .removeprefix(family(name).reply_lead)
        .startswith("<assistant>: Behind the old mill.\nWhere the river bends.")
    )
    assert trained.strip().removesuffix(family(name).document_end).strip().endswith(family(name).eos_token)
    assert trained.count(family(name).eos_token) == 1
    begin = family(name).bos_token
    assert [one["text"] for one in tokens].count(begin) == (1 if begin else 0)
    assert "".join(one["text"] for one in tokens) == row["text"]
    learnt = [one["trained"] for one in tokens]
    assert "Where is the harbour?" in "".join(one["text"] for one in tokens[: learnt.index(True)])
    specials = {one["text"] for one in tokens if one["special"]}
    assert specials <= set(family(name).control_tokens) | {family(name).eos_token, begin}


@pytest.mark.parametrize("name", BASE_MODELS)
def test_a_memory_of_every_control_token_has_no_special_token_in_it(
    home: Home, run: Path, curate: Curate, tmp_path: Path, name: str
) -> None:
    home.memory(f"What is {EVERY_TOKEN}?", response=f"They are {EVERY_TOKEN}.")
    done = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0)
    folder = make_tokenizer(tmp_path / "tokenizer", name)
    found = preview(
        curate, home, done.run, "--family", name, "--tokenizer", folder, "--strict", "--samples", 9, "--json"
    )
    assert found.status == 0, found.err
    data = json.loads(found.out)
    assert (data["rows"], data["count"]) == (2, 0)
    row = next(one for one in data["shown"] if "{im_end}" in one["text"])
    plain = next(one for one in data["shown"] if "{im_end}" not in one["text"])
    special = [[one["text"] for one in this["tokens"] if one["special"]] for this in (row, plain)]
    assert special[0] == special[1], "the template's own, and no other"


BAD = {
    "two begin marks": ("llama3", "{{ bos_token + bos_token }}", "", "2 begin marks <|begin_of_text|>: expected 1"),
    "no begin mark": ("llama3", "", "", "no begin mark <|begin_of_text|> at the start"),
    "no end": ("qwen", "", "no end", "the end mark <|im_end|> of a reply is missing or not trained"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_tokenizer_whose_template_is_wrong_is_found_out(
    home: Home, run: Path, curate: Curate, tmp_path: Path, what: str
) -> None:
    name, begin, end, says = BAD[what]
    mark = "<|im_end|>" if name == "qwen" else "<|eot_id|>"
    close = f"{{% if message.role == 'user' %}}{mark}{{% endif %}}" if end else mark
    template = (
        begin + "{% for message in messages %}{{ message.role + ': ' + message.content }}" + close + "{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    folder = make_tokenizer(tmp_path / "tokenizer", name, template)
    done = preview(curate, home, run, "--family", name, "--tokenizer", folder, "--strict")
    assert done.status == 1
    assert says in done.out
    assert " in 1 row" in done.err


def test_a_row_past_the_length_and_one_without_a_trained_token_are_found(
    home: Home, run: Path, curate: Curate, tmp_path: Path
) -> None:
    home.config("fine-tune-config.json", {"max_seq_length": 12})
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen")
    done = preview(curate, home, run, "--tokenizer", folder, "--strict")
    assert done.status == 1
    assert "over max_seq_length 12" in done.out
    assert "no token is trained" in done.out


def test_a_template_that_rewrites_a_reply_trains_nothing_that_is_known(
    home: Home, run: Path, curate: Curate, tmp_path: Path
) -> None:
    template = "{% for message in messages %}{{ message.content|upper + '<|im_end|>' }}{% endfor %}"
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen", template)
    done = preview(curate, home, run, "--tokenizer", folder, "--strict", to="each")
    assert (done.status, "no token is trained" in done.out) == (1, True), done.out


def test_a_template_that_refuses_the_messages_is_one_error(
    home: Home, run: Path, curate: Curate, tmp_path: Path
) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen", "{{ raise_exception('no roles here') }}")
    done = preview(curate, home, run, "--tokenizer", folder)
    assert (done.status, "its chat template refuses these messages: no roles here" in done.err) == (2, True)


def test_a_tokenizer_without_a_template_gets_the_familys(home: Home, run: Path, curate: Curate, tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen", "")
    done = preview(curate, home, run, "--tokenizer", folder, "--strict")
    assert done.status == 0, done.out
    assert "<|im_start|>user\n<user>: Where is the harbour?<|im_end|>\n" in done.out


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_a_folder_that_holds_no_tokenizer_is_named(
    home: Home, run: Path, curate: Curate, tmp_path: Path, missing: str
) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen")
    (folder / missing).unlink()
    done = preview(curate, home, run, "--tokenizer", folder)
    assert (done.status, missing in done.err) == (2, True)
    (folder / missing).write_text("{")
    done = preview(curate, home, run, "--tokenizer", folder)
    assert (done.status, missing in done.err) == (2, True)


def test_a_template_file_goes_before_the_configurations_and_one_that_is_no_text_is_named(
    home: Home, run: Path, curate: Curate, tmp_path: Path
) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('of the file') }}")
    assert "of the file" in preview(curate, home, run, "--tokenizer", folder).err
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    done = preview(curate, home, run, "--tokenizer", folder)
    assert (done.status, "chat_template.jinja: not UTF-8" in done.err) == (2, True)


def test_a_service_shows_no_template_so_messages_are_shown(home: Home, run: Path, curate: Curate) -> None:
    done = preview(curate, home, run, "--base-model", "gpt-4.1-mini-2025-04-14", to="openai")
    assert done.status == 0, done.err
    assert done.out.splitlines()[1:] == [
        "user: <user>: Where is the harbour?",
        "assistant: ⟦<assistant>: Behind the old mill.",
        "Where the river bends.⟧",
        "",
        "1 row for OpenAI fine-tuning: no problems",
    ]


def test_one_sample_can_be_asked_for(home: Home, run: Path, curate: Curate) -> None:
    name = json.loads(preview(curate, home, run, "--json").out)["shown"][0]["sample_id"]
    assert name in preview(curate, home, run, "--sample", name).out
    done = preview(curate, home, run, "--sample", "nobody")
    assert (done.status, "no sample 'nobody' in this run" in done.err) == (2, True)


def test_a_template_cannot_reach_out_of_its_sandbox(home: Home, run: Path, curate: Curate, tmp_path: Path) -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    folder = make_tokenizer(tmp_path / "tokenizer", "qwen", template)
    done = preview(curate, home, run, "--tokenizer", folder)
    assert (done.status, "its chat template refuses" in done.err) == (2, True)

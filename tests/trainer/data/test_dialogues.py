"""Dialogues from every source, and which of their tokens are trained."""

import itertools
import json
from pathlib import Path

import pytest
from conftest import ROOT
from core_fixtures import tokenizer

from curator.contract.errors import JobError, UsageError
from trainer.data.dialogues import (
    Dialogue,
    emphasised,
    encode,
    encode_dataset,
    read_dialogues,
    read_file,
    read_run,
    with_tags,
)
from trainer.model.prompt_template import Template

LLISA = Template()


def jsonl(folder: Path, *lines: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines), "utf-8")
    return path


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# --- files ---


def test_each_reply_of_a_conversation_is_a_sample_with_what_was_said_before(tmp_path):
    path = jsonl(tmp_path, [user("Who?"), assistant("Ruth."), user("When?"), assistant("At nine.")])
    first, second = read_file(path, LLISA).dialogues
    assert (first.prompt, first.reply, first.history) == ("Who?", "Ruth.", ())
    assert (second.prompt, second.reply, second.history) == ("When?", "At nine.", (("Who?", "Ruth."),))
    assert first.conversation == second.conversation == "line 1"


def test_every_form_of_a_line_is_read(tmp_path):
    path = jsonl(
        tmp_path,
        {"input": "Who?", "output": "Ruth."},
        {"messages": [user("Who?"), assistant("Ruth.")]},
        [user("Who"), user("was it?"), assistant("Ruth.")],
        "",
        {"input": "Q: Who?\nA:", "output": " Ruth."},
    )
    found = [(one.prompt, one.reply) for one in read_file(path, LLISA).dialogues]
    assert found == [("Who?", "Ruth."), ("Who?", "Ruth."), ("Who\nwas it?", "Ruth."), ("Who?", "Ruth.")]


def test_one_array_of_conversations_is_read_too(tmp_path):
    path = tmp_path / "all.json"
    path.write_text(json.dumps([[user("Who?"), assistant("Ruth.")], [user("When?"), assistant("At nine.")]]))
    assert [one.reply for one in read_file(path, LLISA).dialogues] == ["Ruth.", "At nine."]


def test_system_messages_are_left_out_and_counted(tmp_path):
    path = jsonl(tmp_path, [{"role": "system", "content": "Be kind."}, user("Who?"), assistant("Ruth.")])
    dataset = read_file(path, LLISA)
    assert dataset.dialogues[0].history == ()
    assert dataset.notes == ["1 system message left out: the model's template has no place for it"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no JSON"),
        ("// by me", "is no JSON"),
        ("3", ": expected a list of messages or an object with input and output"),
        ({"input": "x"}, ": expected a list of messages"),
        ({"input": "x", "output": 5}, ": expected a list of messages"),
        ([assistant("Ruth.")], ": a reply stands before any prompt"),
        ([user("Who?")], ": the conversation has no reply to train on"),
        ([{"role": "tool", "content": "x"}], ": unknown role 'tool'"),
        ([{"role": "user", "content": ["x"]}], ": expected messages with role and content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], ": expected messages with role and content"),
        ([user("Who?"), {"role": "assistant", "content": None}], ": expected messages with role and content"),
        ([user("Who?"), assistant(" \n")], ": the reply is empty"),
        ({"input": "  ", "output": "y"}, ": the prompt is empty"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, ": expected a list of messages"),
        ({"text": "The tide came in."}, ": the text has no turns"),
        ({"text": "Q: Who?"}, ": the text has no turns"),
        ({"text": "The tide.\nQ: Who?\nA: Ruth."}, ": the text has no turns"),
        ({"instruction": "a", "output": "b", "response": "c"}, ": 'output' and 'response' could both be the reply"),
        ({"prompt": "a", "question": "b", "answer": "c"}, ": 'prompt' and 'question' could both be the prompt"),
        ({"question": "a", "context": ["b"], "answer": "c"}, ": the context is no text"),
        ('{"input": "x", "output": "y", "score": NaN}', "is no JSON: NaN is no JSON number"),
        ('{"input": "x", "output": "y", "output": "z"}', "is no JSON: the key 'output' stands twice"),
        ('{"input": "x", "output": "y"} and more', "is no JSON: more text behind the value"),
        ({"input": "x\0", "output": "y"}, ": a text holds the control character U+0000"),
        ([user("x"), assistant("y\x1b[31m")], ": a text holds the control character U+001B"),
        ([user("x"), assistant("One.\nQ: Why?\nA: So.")], ": a text holds '\\nQ:'"),
        ([user("x\nA: I am forged."), assistant("y")], ": a text holds '\\nA:'"),
        ([user("x"), {"role": "assistant", "content": "y", "weight": 0.5}], ": the weight of a reply is 0.5"),
        (
            [user("x"), {"role": "assistant", "content": [{"type": "thinking", "text": "y"}]}],
            ": expected messages with role and content",
        ),
        ('{"input": "hi \\ud83d", "output": "y"}', ": a text holds half of a surrogate pair"),
        ({"input": "<|im_start|>user\nx<|im_end|>\n", "output": "y"}, " is wrapped for another model"),
        ({"input": "[INST] x [/INST]", "output": "y"}, " is wrapped for another model"),
        ([user("x"), assistant("y</s>")], " is wrapped for another model"),
        ({"instruction": "a", "output": "b", "history": ["c"]}, ": expected a history of pairs"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_named(tmp_path, line, says):
    dataset = read_file(jsonl(tmp_path, {"input": "a", "output": "b"}, line), LLISA)
    assert [(one.prompt, one.reply) for one in dataset.dialogues] == [("a", "b")]
    assert len(dataset.notes) == 1 and dataset.notes[0].startswith("1 row or reply left out: ")
    assert f"data.jsonl:2{says if says[0] in ': ' else ' ' + says}" in dataset.notes[0]
    with pytest.raises(UsageError) as error:
        read_file(jsonl(tmp_path, line), LLISA)
    assert says in str(error.value) and "data.jsonl:1" in str(error.value)


def test_only_what_is_odd_is_left_out_of_a_conversation(tmp_path):
    greeted = [assistant("Hi, I am here."), user("Who?"), assistant("Ruth."), user("More?"), assistant(" "),
               user("So?"), assistant("No."), user("and?")]  # fmt: skip
    dataset = read_file(jsonl(tmp_path, greeted), LLISA)
    assert [(one.prompt, one.reply, one.history) for one in dataset.dialogues] == [
        ("Who?", "Ruth.", ()), ("So?", "No.", (("Who?", "Ruth."),)),
    ]  # fmt: skip
    assert dataset.notes[0].startswith("2 rows or replies left out: ")


def test_many_odd_rows_are_counted_and_three_are_named(tmp_path):
    dataset = read_file(jsonl(tmp_path, {"input": "a", "output": "b"}, *["{"] * 5), LLISA)
    assert dataset.notes[0].startswith("5 rows or replies left out: ") and dataset.notes[0].endswith("; ...")
    assert dataset.notes[0].count("data.jsonl:") == 3


def test_shapes_of_other_tools_are_read(tmp_path):
    parts = [{"type": "text", "text": "Who"}, {"type": "text", "text": "?"}]
    rows = [
        {"messages": [{"role": "developer", "content": "be kind"}, {"role": "User", "content": parts},
                      {"role": "Assistant", "content": "Ruth.", "refusal": None}], "tools": []},
        {"messages": [{"role": "human", "content": "Who?"}, {"role": "gpt", "content": "Ruth."}]},
        {"contents": [{"role": "user", "parts": [{"text": "Who?"}]}, {"role": "model", "parts": [{"text": "Ruth."}]}]},
        {"prompt": "Who?", "completion": "Ruth."}, {"prompt": "Who?", "response": "Ruth."},
        {"question": "Who?", "answer": "Ruth."}, {"prompt": [user("Who?")], "completion": [assistant("Ruth.")]},
        '{"input": "Who?", "output": "Ruth."},',
    ]  # fmt: skip
    dataset = read_file(jsonl(tmp_path, *rows), LLISA)
    assert [(one.prompt, one.reply) for one in dataset.dialogues] == [("Who?", "Ruth.")] * 8
    assert dataset.notes == ["1 system message left out: the model's template has no place for it"]
    talk = {"instruction": "Who?", "output": "Ruth.", "history": [["Hi", "Hello."]]}
    assert read_file(jsonl(tmp_path, talk), LLISA).dialogues[1].history == (("Hi", "Hello."),)


def read(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "data.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return [(one.prompt, one.reply) for one in read_file(path, LLISA).dialogues]


def test_only_the_exchange_of_an_odd_message_is_left_out(tmp_path):
    """What a tool has told is not in the text, so the reply after it is not trained; the rest is."""
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    rain = [user("Rain?"), called, {"role": "tool", "content": "rain"}, assistant("Yes, a coat.")]
    picture = [{"role": "user", "content": [{"type": "image_url"}]}, user("Nice?"), assistant("Very.")]
    talk = [user("Who?"), assistant("Ruth."), *rain, *picture, user("When?"), assistant("At nine.")]
    dataset = read_file(jsonl(tmp_path, talk), LLISA)
    assert [(one.prompt, one.reply, one.history) for one in dataset.dialogues] == [
        ("Who?", "Ruth.", ()), ("When?", "At nine.", (("Who?", "Ruth."),)),
    ]  # fmt: skip
    assert len(dataset.notes) == 1 and dataset.notes[0].startswith("2 rows or replies left out: ")
    assert dataset.notes[0].count("data.jsonl:1: expected messages with role and content") == 2


def test_replies_in_a_row_are_one_as_prompts_are(tmp_path):
    talk = [user("Who"), user("was it?"), assistant("Ruth."), assistant(" "), assistant("And Ida.")]
    assert [(one.prompt, one.reply) for one in read_file(jsonl(tmp_path, talk), LLISA).dialogues] == [
        ("Who\nwas it?", "Ruth.\nAnd Ida.")
    ]


def test_a_prompt_that_nothing_follows_is_counted(tmp_path):
    dataset = read_file(jsonl(tmp_path, [user("Who?"), assistant("Ruth."), user("and?")]), LLISA)
    assert dataset.notes == [f"1 prompt without a reply left out: {tmp_path / 'data.jsonl'}:1"]


@pytest.mark.parametrize("key", ["weight", "train", "training", "trainable", "loss"])
def test_a_reply_of_weight_0_is_context_and_not_trained(tmp_path, key):
    off = {"role": "assistant", "content": "Ruth.", key: 0 if key == "weight" else False}
    dataset = read_file(jsonl(tmp_path, [user("Who?"), off, user("When?"), assistant("At nine.") | {key: 1}]), LLISA)
    assert [(one.prompt, one.reply, one.history) for one in dataset.dialogues] == [
        ("When?", "At nine.", (("Who?", "Ruth."),))
    ]
    assert dataset.notes == [f"1 reply of weight 0 not trained: {tmp_path / 'data.jsonl'}:1"]
    row = {"input": "a", "output": "b", key: off[key]}
    assert [one.prompt for one in read_file(jsonl(tmp_path, row, {"input": "c", "output": "d"}), LLISA).dialogues] == [
        "c"
    ]
    with pytest.raises(UsageError, match="every reply has the weight 0"):
        read_file(jsonl(tmp_path, row), LLISA)


def test_every_field_of_an_alpaca_row_is_read(tmp_path):
    row = {"instruction": "Say it in French.", "input": "sea", "output": "mer", "system": "You are Ruth.",
           "history": [["Hi", "Hello."]]}  # fmt: skip
    dataset = read_file(jsonl(tmp_path, row), LLISA)
    assert [(one.prompt, one.reply, one.history) for one in dataset.dialogues] == [
        ("Hi", "Hello.", ()), ("Say it in French.\n\nsea", "mer", (("Hi", "Hello."),)),
    ]  # fmt: skip
    assert dataset.notes == ["1 system message left out: the model's template has no place for it"]
    dolly = {"instruction": "Who?", "context": "Ruth was there.", "response": "Ruth.", "category": "qa"}
    only_input = {"instruction": "", "input": "Who?", "output": "Ruth."}
    found = read_file(jsonl(tmp_path, dolly, only_input), LLISA).dialogues
    assert [one.prompt for one in found] == ["Who?\n\nRuth was there.", "Who?"]


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("array", [True, False])
def test_values_are_read_however_they_are_written(tmp_path, indent, array):
    rows = [{"input": "a", "output": "b"}, [user("c"), assistant("d")], {"messages": [user("e"), assistant("f")]}]
    text = json.dumps(rows, indent=indent) if array else "\n".join(json.dumps(row, indent=indent) for row in rows)
    assert read(tmp_path, text) == [("a", "b"), ("c", "d"), ("e", "f")]
    talk = json.dumps([user("a"), assistant("b")], indent=indent)
    assert read(tmp_path, talk) == [("a", "b")]
    assert read(tmp_path, "[" + ",\n".join(map(json.dumps, rows)) + ",]") == [("a", "b"), ("c", "d"), ("e", "f")]


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "broken", ['"output": NaN', '"output": }', '"output": "\udcff"', '"output" "y"', '"output": "y']
)
def test_one_broken_value_costs_no_other(tmp_path, array, indent, broken):
    rows = [json.dumps({"input": n, "output": n}, indent=indent) for n in "abc"]
    rows[1] = rows[1].replace('"output": "b"', broken)
    text = ("[\n" + ",\n".join(rows) + "\n]") if array else "\n".join(rows)
    assert read(tmp_path, text) == [("a", "a"), ("c", "c")]
    notes = read_file(tmp_path / "data.json", LLISA).notes
    line = 1 + array + rows[0].count("\n") + 1
    assert notes[0].startswith(f"1 row or reply left out: {tmp_path / 'data.json'}:{line} ")


def test_elements_of_one_line_are_conversations_of_their_own(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([[user(n), assistant(n)] for n in "ab"]))
    assert [one.conversation for one in read_file(path, LLISA).dialogues] == ["element 1", "element 2"]


@pytest.mark.parametrize("text", [
    "Q: Who?\nA: Ruth.", "Question: Who?\nAnswer: Ruth.", "User: Who?\n\nAssistant: Ruth.\n", "Human: Who?\nAI: Ruth.",
    "### Human: Who?\n### Assistant: Ruth.",
    "Below is an instruction.\n\n### Instruction:\nWho?\n\n### Response:\nRuth.",
    "<s>[INST] Who? [/INST] Ruth. </s>", "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWho? [/INST] Ruth. </s>",
    "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nRuth.<|im_end|>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nRuth.<|eot_id|>",
    "<bos><start_of_turn>user\nWho?<end_of_turn>\n<start_of_turn>model\nRuth.<end_of_turn>\n",
    "<|user|>\nWho?</s>\n<|assistant|>\nRuth.</s>",
])  # fmt: skip
def test_turns_in_a_text_are_read(tmp_path, text):
    dataset = read_file(jsonl(tmp_path, {"text": text}), LLISA)
    assert [(one.prompt, one.reply) for one in dataset.dialogues] == [("Who?", "Ruth.")]


def test_a_file_of_labelled_lines_is_read(tmp_path):
    text = "\nQ: Who?\nA: Ruth.\n\nAnd Ida.\nQ: When?\nA: At nine.\n\n\nQ: Where?\nA: Here.\n"
    path = tmp_path / "qa.txt"
    path.write_text(text)
    found = read_file(path, LLISA).dialogues
    assert [(one.prompt, one.reply) for one in found] == [
        ("Who?", "Ruth.\n\nAnd Ida."), ("When?", "At nine."), ("Where?", "Here."),
    ]  # fmt: skip
    assert [one.conversation for one in found] == ["line 2", "line 2", "line 10"]


def test_a_pair_in_this_models_own_text_may_hold_earlier_exchanges(tmp_path):
    row = {"input": "Q: Who?\nA: Ruth.\nQ: When?\nA:", "output": " At nine."}
    dataset = read_file(jsonl(tmp_path, row), LLISA)
    assert [(one.prompt, one.reply, one.history) for one in dataset.dialogues] == [
        ("When?", "At nine.", (("Who?", "Ruth."),))
    ]
    assert dataset.notes == []


@pytest.mark.parametrize("text", ["", "\n\n", "[]"])
def test_an_empty_file_is_an_error(tmp_path, text):
    path = tmp_path / "data.jsonl"
    path.write_text(text)
    with pytest.raises(JobError, match="holds no dialogue"):
        read_file(path, LLISA)


# --- runs ---


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of the demo profile in all three modes."""
    import contextlib
    import io

    from curator.cli import run_command

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        folder = tmp_path_factory.mktemp("runs")
        assert run_command(["run", "--username", "greggles", "--home", str(ROOT), "--out", str(folder)]) == 0
    return Path(out.getvalue().strip().splitlines()[-1])


def test_a_run_gives_every_sample_without_tags_and_with_its_split(run):
    dataset = read_run(run)
    lines = [json.loads(one) for one in (run / "curated_memories.json").read_text("utf-8").strip("[]\n").split(",\n")]
    dataset.dialogues = [one for one in dataset.dialogues if one.name == one.conversation]  # the last of each sample
    assert [(one.mode, one.prompt, one.reply) for one in dataset.dialogues] == [
        (one["mode"], one["user_text"], one["assistant_text"]) for one in lines
    ]
    assert [one.split for one in dataset.dialogues] == [one["metadata"].get("split", "train") for one in lines]
    assert dataset.tags == {
        "dual": ["<thought>: ", "<world>: "], "emulation": ["<user>: ", "<assistant>: "],
        "agent": ["<instruction>: ", "<action>: "],
    }  # fmt: skip


def test_each_trained_reply_of_a_conversation_is_a_dialogue_and_context_alone_is_none(tmp_path, home, curate):
    talk = [
        user("Where is the oar?"),
        assistant("Behind the shed."),
        user("Whose is it?"),
        assistant("It is Ida's own."),
    ]
    home.memory(messages=talk, tags=["multi_turn"])
    home.memory(messages=[user("Tell me of the well."), assistant("It dried up."), user("And then?"),
                          assistant("It never failed again.")])  # fmt: skip
    result = curate("run", "--home", home.folder, "--username", "ann", "--holdout", 0)
    found = [(one.prompt, one.reply, one.history) for one in read_run(result.run).dialogues]
    well = ("Tell me of the well.", "It dried up.")
    assert found == [
        ("Where is the oar?", "Behind the shed.", ()),
        ("Whose is it?", "It is Ida's own.", (("Where is the oar?", "Behind the shed."),)),
        (*well, ()), ("And then?", "It never failed again.", (well,)),
    ]  # fmt: skip
    dialogues = read_run(result.run).dialogues
    assert len({one.name for one in dialogues}) == 4 and len({one.conversation for one in dialogues}) == 3


FORGED = "He said this.\n\nQ: Who are you?\nA: I am forged."


@pytest.mark.parametrize(
    "reply", [FORGED, "He said this.\n  A: forged", "He said this.\u2028Q: forged", "So.\rA: forged"]
)
def test_a_line_of_a_run_that_begins_like_our_own_turn_is_never_trained(tmp_path, home, curate, reply):
    """The run was made for another family, whose turns begin otherwise."""
    home.memory(messages=[user("What of the mast?"), assistant(reply), user("And the boom?"), assistant("It held.")])
    home.memory("What did he say?\nA: nothing?", response="He said that the harbour was closed.")
    home.memory("Where is the oar?", response="It stands behind the shed.")
    folder = curate("run", "--home", home.folder, "--username", "ann", "--family", "qwen", "--turns", 3).run
    before = read_run(folder)
    dataset = read_dialogues(None, None, folder, None, LLISA)
    assert [one.prompt for one in dataset.dialogues] == ["Where is the oar?"]
    assert len(before.dialogues) == 4
    (note,) = dataset.notes
    assert "3 samples left out: a line of each begins like a turn of this model's prompts" in note


def test_a_run_of_nothing_but_forged_turns_is_an_error(home, curate):
    home.memory("Where is the oar?", response=FORGED)
    folder = curate("run", "--home", home.folder, "--username", "ann", "--family", "qwen").run
    with pytest.raises(JobError, match="begins like a turn"):
        read_dialogues(None, None, folder, None, LLISA)


def test_tags_are_kept_where_a_run_has_several_modes(run):
    dataset = read_run(run)
    assert with_tags(LLISA, dataset, "auto").tags == dataset.tags
    assert with_tags(LLISA, dataset, "none").tags == {}
    dataset.tags = {"dual": dataset.tags["dual"]}
    assert with_tags(LLISA, dataset, "auto").tags == {}
    assert with_tags(LLISA, dataset, "keep").tags == dataset.tags


def test_the_run_s_own_holdout_is_held_out(run):
    dataset = read_run(run)
    samples = encode_dataset(dataset, LLISA, tokenizer(), 256, 0.1)
    held = {one.name for one in dataset.dialogues if one.split == "holdout"}
    assert held and {one.name for one in samples.holdout} | set(samples.left_out) >= held
    assert not held & {one.name for one in samples.train}


def copied(run: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in run.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_run_that_was_changed_is_refused(run, tmp_path):
    copy = copied(run, tmp_path / "run")
    path = copy / "schema_applied.json"
    path.write_bytes(path.read_bytes().replace(b"the", b"teh", 1))
    with pytest.raises(UsageError, match=r"schema_applied\.json is not the file that run-summary\.json describes"):
        read_run(copy)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("version", 2, "run version 2; this program reads version 1"), ("format", "other", "is no summary of a run")],
)
def test_a_run_of_another_version_is_refused(run, tmp_path, key, value, says):
    copy = copied(run, tmp_path / "run")
    summary = json.loads((copy / "run-summary.json").read_text("utf-8"))
    (copy / "run-summary.json").write_text(json.dumps(summary | {key: value}), "utf-8")
    with pytest.raises(UsageError, match=says):
        read_run(copy)


def test_a_folder_without_a_summary_is_no_run(run, tmp_path):
    copy = copied(run, tmp_path / "run")
    (copy / "run-summary.json").unlink()
    with pytest.raises(UsageError, match=r"is no finished run: it has no run-summary\.json"):
        read_run(copy)


# --- tokens ---


def by_the_oldest_first(dialogue: Dialogue, context: int) -> tuple[tuple[int, ...], bool]:
    """The exchanges that are kept, told the slow way: the oldest is taken away until the rest fits."""
    reply = [*tokenizer().encode_after(LLISA.after_prompt(dialogue.reply)), 1]
    for begin in range(len(dialogue.history) + 1):
        ids = tokenizer().encode(LLISA.wrap(dialogue.prompt, dialogue.history[begin:]))
        if len(ids) + len(reply) <= context + 1:
            return (*ids, *reply), begin > 0
    raise AssertionError("not even the prompt fits")


def test_the_exchanges_that_fit_are_the_same_as_ever():
    import random

    rng = random.Random(5)
    words = ["ba", "ko", "ti", "re", "mu", "san", "lor"]
    for _ in range(200):
        texts = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(2 * rng.randint(0, 12))]
        one = Dialogue("x", "ba ko", "ti", tuple(zip(texts[::2], texts[1::2], strict=True)))
        sample, cut = encode(one, LLISA, tokenizer(), 96)
        assert (sample.ids, bool(cut)) == by_the_oldest_first(one, 96)


def test_a_conversation_is_encoded_in_a_time_that_its_length_tells(monkeypatch):
    """Cubic before: 300 exchanges took five minutes. Letters are counted, since a clock would be noisy."""
    seen = []
    ours = tokenizer()
    plain = ours.encode
    monkeypatch.setattr(ours, "encode", lambda text: seen.append(len(text)) or plain(text))
    work = {}
    for many in (150, 600):
        exchanges = [(f"ba {n}", "ko ti re mu") for n in range(many)]
        seen.clear()
        for n, (asked, answered) in enumerate(exchanges):
            encode(Dialogue("x", asked, answered, tuple(exchanges[:n])), LLISA, ours, 256)
        work[many] = sum(seen)
    assert work[600] < 4.5 * work[150]


@pytest.mark.parametrize("prompt", ["x" * 4000, "你今天做了什么" * 300, "a\n" * 900, "Look at this: " + "0f" * 900])
def test_a_prompt_without_blanks_is_cut_within_its_words(prompt):
    one, cut = encode(Dialogue("x", prompt, "ko"), LLISA, tokenizer(), 128)
    assert cut == "prompt" and 64 < len(one.ids) <= 129
    asked = tokenizer().decode(one.ids).removeprefix("Q: ").removesuffix("\nA: ko").rstrip("\n")
    assert len(asked) >= 8 and prompt.rstrip("\n").endswith(asked)


def test_what_was_cut_and_why_a_sample_is_left_out_is_told(tmp_path):
    from trainer.training.finetune import sample_notes

    talk = [user("ba"), assistant("ko " * 9)] * 20
    long = [{"input": "ba " * 200, "output": "ko"}, {"input": "ba " * 60, "output": "ko " * 54},
            {"input": "ba", "output": "ko " * 99}]  # fmt: skip
    samples = encode_dataset(read_file(jsonl(tmp_path, talk, *long), LLISA), LLISA, tokenizer(), 64, 0.1)
    kept = talk.count(user("ba")) - samples.forgotten
    assert (samples.shortened - samples.forgotten, samples.crowded, samples.left_out) == (1, 1, ["line 3", "line 4"])
    assert 0 < kept < 9
    assert sample_notes(samples)[:3] == [
        "1 long prompt was cut at its beginning, so that the whole reply fits the context",
        f"{samples.forgotten} samples without their oldest exchanges, so that the rest fits the context",
        "2 samples left out: the reply is longer than the context, or leaves no room in it for the prompt "
        "(line 3, line 4)",
    ]


TAGGED = Template(tags={"dual": ["<thought>: ", "<world>: "], "agent": ["<instruction>: ", "<action>: "]})


def test_the_reply_and_its_end_mark_are_measured_and_nothing_else():
    one, _ = encode(Dialogue("x", "ba", "ko"), LLISA, tokenizer(), 64)
    text = [tokenizer().piece(index) for index in one.ids]
    assert text == ["<s>", "▁", "<0x51>", "<0x3A>", "▁ba", "<0x0A>", "<0x41>", "<0x3A>", "▁ko", "<s>"]
    assert one.weights == (0, 0, 0, 0, 0, 0, 0, 0, 1, 1)


def texts(
    dialogue: Dialogue, template: Template = LLISA, context: int = 64, prompt: float = 0.25, end: float = 3.0
) -> list[tuple[float, str]]:
    """What is trained, run by run of the same weight."""
    one, _ = encode(dialogue, template, tokenizer(), context)
    found = emphasised(one, dialogue, template, tokenizer(), prompt, end)
    assert (found.name, found.ids) == (one.name, one.ids)
    pairs = [(weight, tokenizer().piece(index)) for index, weight in zip(found.ids, found.weights, strict=True)]
    runs = itertools.groupby(pairs, lambda pair: pair[0])
    return [(weight, "".join(piece for _, piece in run)) for weight, run in runs]


LEAD, TAIL = "<s>▁<0x51><0x3A>", "<0x0A><0x41><0x3A>"  # the template's, around a prompt


@pytest.mark.parametrize("prompt", ["ba", "ba ko ti", "1984", "“ba”", "ba\nko", "<s>", "Q: ba\nA:"])
def test_all_words_of_a_prompt_have_their_weight_and_the_template_has_none(prompt):
    asked = "".join(map(tokenizer().piece, tokenizer().encode_after(" " + prompt)))
    expected = [(0, LEAD), (0.25, asked), (0, TAIL), (1, "▁ko▁ti"), (3, "<s>")]
    assert texts(Dialogue("x", prompt, "ko ti")) == expected


def test_without_emphasis_the_weights_are_those_that_are_measured():
    assert texts(Dialogue("x", "ba", "ko"), prompt=0.0, end=1.0) == [(0, f"{LEAD}▁ba{TAIL}"), (1, "▁ko<s>")]


@pytest.mark.parametrize("mode", ["dual", "agent", None])
def test_the_tags_of_a_mode_are_never_trained(mode):
    found = texts(Dialogue("x", "ba ko", "ti", mode=mode), TAGGED)
    assert [one for one in found if one[0]] == [(0.25, "▁ba▁ko"), (1, "▁ti"), (3, "<s>")]


def test_earlier_exchanges_are_never_trained():
    found = texts(Dialogue("x", "ba ko", "ti", (("ba ko", "ti"), ("re", "mu"))))
    assert [weight for weight, _ in found] == [0, 0.25, 0, 1, 3]
    assert found[0][1].endswith("▁ti<0x0A><0x51><0x3A>▁re<0x0A><0x41><0x3A>▁mu<0x0A><0x51><0x3A>")
    assert found[1:] == [(0.25, "▁ba▁ko"), (0, TAIL), (1, "▁ti"), (3, "<s>")]


def test_what_is_left_of_a_shortened_prompt_has_its_weight_and_the_template_has_none():
    found = texts(Dialogue("x", "ba " * 80 + "ko", "ti"), prompt=0.25)
    words = found[1][1].count("▁ba")
    assert found == [(0, LEAD), (0.25, "▁ba" * words + "▁ko"), (0, TAIL), (1, "▁ti"), (3, "<s>")]
    assert 40 < words < 64


def test_a_long_prompt_loses_its_front_in_whole_words_and_the_reply_nothing():
    prompt = " ".join(f"ba{number}" for number in range(60))
    one, cut = encode(Dialogue("x", prompt, "ko ti re"), LLISA, tokenizer(), 64)
    text = tokenizer().decode(one.ids)
    assert cut and len(one.ids) <= 65
    assert text.startswith("Q: ba") and text.endswith("ba59\nA: ko ti re")


def test_the_oldest_exchanges_go_first():
    history = tuple((f"ba {number}", "ko " * 10) for number in range(5))
    one, cut = encode(Dialogue("x", "ti re mu", "san", history), LLISA, tokenizer(), 64)
    text = tokenizer().decode(one.ids)
    assert cut and "ti re mu\nA: san" in text and "ba 4" in text and "ba 0" not in text


def test_a_reply_without_room_is_left_out_and_named(tmp_path):
    path = jsonl(
        tmp_path, {"input": "ba", "output": "ko " * 200}, *({"input": f"ba {n}", "output": "ko"} for n in range(9))
    )
    samples = encode_dataset(read_file(path, LLISA), LLISA, tokenizer(), 64, 0.2)
    assert samples.left_out == ["line 1"]
    assert len(samples.train) + len(samples.holdout) == 9


def test_a_reply_without_a_token_is_an_error_that_names_the_sample(tmp_path):
    dataset = read_file(jsonl(tmp_path, {"input": "ba", "output": "ko"}), LLISA)
    dataset.dialogues.append(Dialogue("line 2", "ti", "  "))
    with pytest.raises(UsageError, match="line 2: the reply is empty, so no token would be trained"):
        encode_dataset(dataset, LLISA, tokenizer(), 64, 0.2)


def test_conversations_and_near_duplicates_are_held_out_as_one(tmp_path):
    """Ten stories, each told three times with another end; a conversation of two replies stays together too."""
    import random

    rng = random.Random(3)
    lines = []
    for story in range(10):
        words = " ".join(rng.choice(["ba", "ko", "ti", "re", "mu", "san", "lor"]) for _ in range(40))
        lines += [[user(f"tell {story}"), assistant(words), user("so?"), assistant(f"{end} {story}")] for end in "xyz"]
    samples = encode_dataset(read_file(jsonl(tmp_path, *lines), LLISA), LLISA, tokenizer(), 256, 0.3)
    stories = [{one.reply.split()[-1] for one in part if len(one.reply) < 9} for part in (
        samples.train_dialogues, samples.holdout_dialogues)]  # fmt: skip
    assert samples.holdout and samples.train
    assert not stories[0] & stories[1]
    assert not {one.conversation for one in samples.train_dialogues} & {
        one.conversation for one in samples.holdout_dialogues
    }

"""sample, chat, compare, eval and info: what goes to stdout, what to stderr, and every error once."""

from __future__ import annotations

import codecs
import fcntl
import json
import math
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import complaints
from core_fixtures import ROOT, SETTINGS, no_waiting_for_the_disk, paragraph, trainer
from use_fixtures import CONFIG, after, byte, save, says, scripted, tokenizer

from curator.contract.cli_frame import harmless
from curator.contract.files import sha256_of
from trainer.cli.terminal import Wrapped
from trainer.data.batches import PackedDataset, TokenisedExample
from trainer.data.dialogues import read_file
from trainer.data.token_shards import Splitting, add_text
from trainer.evaluation.perplexity import ROWS, mean_loss, measure_shards, recorded_share, reply_perplexity, windows
from trainer.inference.chat import Chat, talk
from trainer.inference.compare import compare
from trainer.inference.decoder import Decoder
from trainer.inference.sampling import Sampling
from trainer.model import checkpoint as checkpoints
from trainer.model.checkpoint import Record, load_checkpoint
from trainer.model.llama import Llama
from trainer.model.prompt_template import Template
from trainer.model.tokenizer import BOS, Tokenizer
from trainer.training.pretrain import PretrainRequest, pretrain_data

GREEDY = ("--temperature", "0", "--repetition-penalty", "1", "--threads", "1")
WRAPPED = "wrapped in the model's template 'llisa'; --raw leaves it as it is\n"
TAGGED = Template(tags={"speech": ["<user>: ", "<speech>: "], "thought": ["<event>: ", "<thought>: "]})


@pytest.fixture(scope="session")
def bako(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that says "bako" to everything."""
    return save(tmp_path_factory.mktemp("checkpoints") / "bako", says(" bako"))


@pytest.fixture(scope="session")
def tire(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that says "tire" to everything."""
    return save(tmp_path_factory.mktemp("checkpoints") / "tire", says(" tire"))


# --- sample ---


def test_sample_prints_the_reply_alone_and_says_that_it_wrapped_the_prompt(bako: Path) -> None:
    done = trainer("sample", bako, "--prompt", "ti re?", *GREEDY)
    assert (done.status, done.out, done.complaints) == (0, "bako\n", WRAPPED)


def test_sample_wraps_nothing_that_is_wrapped_or_raw(bako: Path) -> None:
    done = trainer("sample", bako, "--prompt", "Q: ti re?\nA:", *GREEDY)
    assert (done.status, done.out, done.complaints) == (0, "bako\n", "")
    raw = trainer("sample", bako, "--prompt", "lor vi:", "--raw", *GREEDY)
    assert (raw.status, raw.out, raw.complaints) == (0, " bako\n", "")  # with the blank that joins it to the prompt


def test_raw_text_knows_no_stop(tmp_path: Path) -> None:
    colon = tokenizer().encode("A:")[-1]
    model = scripted([colon, *after(" bako\nQ"), colon])
    place = save(tmp_path / "loops", model)
    wrapped = trainer("sample", place, "--prompt", "ti", "--max-tokens", "12", *GREEDY)
    raw = trainer("sample", place, "--prompt", "ti:", "--raw", "--max-tokens", "12", *GREEDY)
    assert wrapped.out == "bako\n"
    assert raw.out.startswith(" bako\nQ: bako\nQ:")


def test_sample_as_json(bako: Path) -> None:
    done = trainer("sample", bako, "--prompt", "ti", "-n", "2", "--seed", "7", "--json", "--threads", "1")
    found = json.loads(done.out)
    assert (done.status, done.complaints) == (0, WRAPPED)
    assert found["prompt"] == "Q: ti\nA:" and found["checkpoint"] == str(bako)
    assert found["sampling"]["temperature"] == 0.8 and found["sampling"]["top_p"] == 0.95  # etc/trainer.json's
    expected = {"text": "bako", "tokens": after(" bako"), "stopped": "end", "cut": 0}
    assert found["replies"] == [expected | {"seed": 7}, expected | {"seed": 8}]


def test_several_replies_have_a_seed_each(tmp_path: Path) -> None:
    model = Llama(CONFIG)
    model.reset(1)
    place = save(tmp_path / "random", model)
    one = [trainer("sample", place, "--prompt", "ti", "--seed", str(seed), "--threads", "1").out for seed in (3, 4)]
    both = trainer("sample", place, "--prompt", "ti", "--seed", "3", "-n", "2", "--threads", "1").out
    assert one[0] != one[1]
    assert both == f"{one[0]}\n{one[1]}"


def test_control_characters_of_a_model_do_not_steer_the_terminal(tmp_path: Path) -> None:
    colon = tokenizer().encode("A:")[-1]
    chain = [colon, byte(0x1B), *after("[2Jba"), byte(0x9), byte(0xC2), byte(0x9B), byte(0x0A), *after("ko"), BOS]
    done = trainer("sample", save(tmp_path / "evil", scripted(chain)), "--prompt", "ti", *GREEDY)
    assert done.out == "\\x1b[2Jba\\t\\x9b\nko\n"
    assert harmless("a\u202eb\r\u00a0ü\n") == "a\\u202eb\\r\u00a0ü\n"


def test_a_long_prompt_is_cut_and_that_is_said(bako: Path) -> None:
    done = trainer("sample", bako, "--prompt", "ti " * 300, *GREEDY)
    assert (done.status, done.out) == (0, "bako\n")
    assert "too long for the context of 96 tokens: its first " in done.err


def test_a_mode_counts_where_the_model_knows_modes(tmp_path: Path, bako: Path) -> None:
    place = save(tmp_path / "modes", says(" bako", before=">:"), TAGGED)
    done = trainer("sample", place, "--prompt", "ti", "--mode", "thought", "--json", *GREEDY)
    assert json.loads(done.out)["prompt"] == "Q: <event>: ti\nA: <thought>:"
    wrong = trainer("sample", place, "--prompt", "ti", "--mode", "dream")
    assert (wrong.status, wrong.out) == (2, "")
    assert "no mode 'dream'; there are: speech, thought" in wrong.err
    none = trainer("chat", bako, "--mode", "thought")
    assert none.status == 2 and "none: it was not trained with the tags of modes" in none.err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--top-p", "1.5", "--top-p 1.5: Input should be less than or equal to 1"),
        ("--temperature", "nan", "--temperature NaN: Input should be a finite number"),
        ("--top-k", "-1", "--top-k -1: Input should be greater than or equal to 0"),
        ("--max-tokens", "0", "--max-tokens 0: Input should be greater than or equal to 1"),
        ("--repetition-penalty", "0", "--repetition-penalty 0.0: Input should be greater than 0"),
        ("--seed", "-3", "expected a whole number of 0 or more"),
        ("-n", "0", "expected a whole number of 1 or more"),
    ],
)
def test_a_value_out_of_range_is_named(bako: Path, option: str, value: str, told: str) -> None:
    done = trainer("sample", bako, "--prompt", "ti", option, value)
    assert (done.status, done.out) == (2, "")
    assert told in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "{}", "--prompt", "x"),
        ("chat", "{}"),
        ("compare", "{}", "{}"),
        ("eval", "{}", "--data", "x"),
        ("health", "{}"),
        ("info", "{}"),
    ],
)
def test_no_such_checkpoint(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    missing = tmp_path / "nothing"
    done = trainer(*(str(missing) if one == "{}" else one for one in arguments))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"trainer: {missing}: there is no such checkpoint\n  name a checkpoint's folder: ")


def test_bytes_in_a_prompt_that_are_no_text_do_no_harm(bako: Path) -> None:
    assert trainer("sample", bako, "--prompt", "ti \udcff", *GREEDY).out == "bako\n"


# --- chat ---


def conversation(model: Llama, **settings: Any) -> Chat:
    sampling = Sampling(**{"temperature": 0.0, "max_tokens": 20, "stops": ("\nQ:",), **settings})
    return Chat(Decoder(model), tokenizer(), Template(), sampling)


def run(chat: Chat, *lines: str) -> tuple[str, list[str]]:
    """Return what is shown and what is said."""
    shown: list[str] = []
    said: list[str] = []
    talk(chat, lines, shown.append, said.append)
    return "".join(shown), said


def test_chat_answers_each_line_of_a_pipe(bako: Path) -> None:
    """As a process of its own: replies on stdout, a block each; talk on stderr; the end of stdin ends it."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8:strict",
    }
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "chat", str(bako), *GREEDY],
        input=b"ti re?\n\n/seed x\nlor \xff?\n/quit\nmu\n", capture_output=True, env=environment, cwd=bako.parent,
    )  # fmt: skip
    assert done.stdout.decode() == "bako\n\nbako\n\n"
    assert complaints(done.stderr.decode()) == "cannot use '/seed x'; /help lists what there is\n"
    assert done.returncode == 0


def test_what_was_said_is_in_the_next_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []
    chat = conversation(says(" bako"))
    wrap = Template.wrap
    monkeypatch.setattr(Template, "wrap", lambda *given, **named: prompts.append(wrap(*given, **named)) or prompts[-1])
    shown, said = run(chat, "ti", "re", "/reset", "mu")
    assert shown == "bako\n\n" * 3 and said == ["what was said is forgotten"]
    assert prompts == ["Q: ti\nA:", "Q: ti\nA: bako\nQ: re\nA:", "Q: mu\nA:"]


def test_the_oldest_exchanges_are_left_out_and_that_is_said_once() -> None:
    chat = conversation(says(" bako"))
    _, said = run(chat, *(f"ti {number}" for number in range(15)))
    assert said == ["the context of 96 tokens is full: the oldest exchanges are left out from here on"]
    kept = len(chat.history)
    assert chat.history == [(f"ti {number}", "bako") for number in range(15 - kept, 15)] and 1 < kept < 10
    ids = tokenizer().encode(Template().wrap("x", tuple(chat.history)))
    assert len(ids) < CONFIG.max_seq_len


def test_seed_and_temperature_change_the_next_replies() -> None:
    model = Llama(CONFIG)
    model.reset(1)
    chat = conversation(model, temperature=1.0, seed=1)
    first, _ = run(chat, "ti")
    other, _ = run(chat, "/reset", "/seed 2", "ti")
    again, said = run(chat, "/reset", "/seed 1", "ti")
    assert first == again != other
    assert said == ["what was said is forgotten", "seed 1"]
    chat.history.clear()  # /reset began the turns anew too; the next one has a seed of its own
    assert run(chat, "ti")[0] != again
    assert run(chat, "/reset", "ti")[0] == again
    cold = [run(chat, "/reset", f"/seed {seed}", "/temperature 0", "ti")[0] for seed in (1, 2)]
    assert cold[0] == cold[1] != first
    for line in ("/temperature 11", "/temperature", "/seed -1", "/unknown"):
        assert chat.command(line).startswith(f"cannot use '{line}'")


def test_chat_shows_nothing_that_steers_the_terminal() -> None:
    colon = tokenizer().encode("A:")[-1]
    shown, _ = run(conversation(scripted([colon, *after(" ba"), byte(0x1B), *after("ko"), BOS])), "ti")
    assert shown == "ba\\x1bko\n\n"


def test_an_empty_reply_is_said_and_not_kept() -> None:
    chat = conversation(says(""))
    shown, said = run(chat, "ti")
    assert (shown, said, chat.history) == ("\n\n", ["(the reply is empty)"], [])


class Interrupted:
    """A stream that stops, as Ctrl-C does, once it has shown so many parts."""

    def __init__(self, parts: int) -> None:
        self.parts, self.text = parts, ""

    def __call__(self, text: str) -> None:
        self.text += text
        self.parts -= bool(text)
        if not self.parts:
            raise KeyboardInterrupt


def test_ctrl_c_stops_the_reply_and_not_the_chat() -> None:
    chat, said = conversation(says(" bako ti re mu")), list[str]()
    stream = Interrupted(2)
    talk(chat, ["lor"], stream, said.append)
    begun = stream.text.strip()
    assert said == ["(stopped)"] and chat.history == [("lor", begun)]
    assert begun and "bako ti re mu".startswith(begun) and begun != "bako ti re mu"
    shown, _ = run(chat, "mu")
    assert shown == "bako ti re mu\n\n" and chat.said == [("lor", begun), ("mu", "bako ti re mu")]


def test_again_asks_the_last_prompt_with_other_dice() -> None:
    model = Llama(CONFIG)
    model.reset(1)
    chat = conversation(model, temperature=1.0, seed=1)
    assert run(chat, "/again")[1] == ["nothing was said yet"]
    first, _ = run(chat, "ti")
    second, _ = run(chat, "/again")
    assert first != second and chat.said == chat.history and len(chat.said) == 1
    assert harmless(chat.said[0][1]) == second.strip()
    assert second == run(conversation(model, temperature=1.0, seed=2), "ti")[0]


def test_a_system_text_stands_before_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    chat, prompts = conversation(says(" bako")), list[str]()
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, text: prompts.append(text) or encode(self, text))
    run(chat, "/system Da gor.", "ti", "/system", "re")
    assert prompts == ["Da gor.\nQ: ti\nA:", "Q: ti\nA: bako\nQ: re\nA:"]


def test_a_conversation_is_saved_as_finetune_reads_it_and_nothing_is_overwritten(tmp_path: Path) -> None:
    chat, place = conversation(says(" bako")), tmp_path / "talk.jsonl"
    assert run(chat, f"/save {place}")[1] == ["nothing was said yet"]
    said = run(chat, "ti", "re", f"/save {place}", f"/save {place}")[1]
    assert said == [f"2 exchanges in {place}", f"{place} is there already; name another FILE, or remove it first"]
    read = read_file(place, Template())
    assert [(one.prompt, one.reply, one.history) for one in read.dialogues] == [
        ("ti", "bako", ()), ("re", "bako", (("ti", "bako"),)),
    ]  # fmt: skip


def test_help_names_every_command() -> None:
    _, said = run(conversation(says("")), "/help", "/hepl")
    assert said[1] == "cannot use '/hepl'; /help lists what there is"
    named = [line.split()[0] for line in said[0].splitlines()]
    assert named == ["/again", "/reset", "/system", "/temp", "/seed", "/sources", "/save", "/help", "/quit"]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("One two three four.\n\n", 30, "m > One two three four.\n\n"),
        ("Eleven words that will not fit in one short line.\n\n", 24,
         "m > Eleven words that\n    will not fit in one\n    short line.\n\n"),
        ("first\nsecond\n\n", 30, "m > first\n    second\n\n"),
        ("x" * 45 + "\n\n", 24, "m > " + "x" * 20 + "\n    " + "x" * 20 + "\n    " + "x" * 5 + "\n\n"),
        ("今日はとても良い天気ですね\n\n", 24, "m > 今日はとても良い天気\n    ですね\n\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 100])
def test_words_do_not_break_at_the_edge(text: str, width: int, expected: str, size: int) -> None:
    out: list[str] = []
    line = Wrapped(out.append, "m > ", width)
    for at in range(0, len(text), size):
        line(text[at : at + size])
    assert "".join(out) == expected


def as_a_shell_starts_it() -> None:
    """Give the new process the terminal, and Ctrl-C back: tests that run in the background have it ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`trainer chat` behind a terminal of its own, driven by keys."""

    def __init__(self, checkpoint: Path, columns: int = 40) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "chat", str(checkpoint), *GREEDY], stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, cwd=checkpoint.parent,
            preexec_fn=as_a_shell_starts_it,
            env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TERM": "dumb"},
        )  # fmt: skip
        os.close(theirs)
        self.shown, self._seen = "", 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def until(self, text: str, seconds: float = 60) -> str:
        """Return what is shown up to a text, from the last one on; it fails where that does not come."""
        end = time.monotonic() + seconds
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < end, self.shown
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.shown += self._decoder.decode(os.read(self._ours, 4096))  # it may end within a character
                except OSError:  # the other end is closed
                    break
        begun, self._seen = self._seen, self.shown.index(text, self._seen) + len(text)
        return self.shown[begun : self._seen]

    def type(self, keys: str) -> None:
        """Type once the program waits for it.

        Python's readline looks for a signal only while it waits: a Ctrl-C between its prompt and that is seen at the
        next key. No person is quick enough to type one there.
        """
        end, stat = time.monotonic() + 60, Path(f"/proc/{self.process.pid}/stat")
        if stat.exists():
            while stat.read_text().rpartition(")")[2].split()[0] != "S":
                assert time.monotonic() < end, self.shown
                time.sleep(0.01)
        else:
            time.sleep(0.5)  # no Linux
        os.write(self._ours, keys.encode())

    def close(self) -> int:
        status = self.process.wait(20)
        os.close(self._ours)
        return status


@pytest.fixture
def terminal(bako: Path) -> Iterator[Terminal]:
    made = Terminal(bako)
    yield made
    if made.process.poll() is None:  # a test that failed leaves it
        made.process.kill()
        made.process.wait()


def test_a_chat_on_a_terminal_is_driven_by_keys(terminal: Terminal) -> None:
    terminal.until("you › ")
    terminal.type("ti re?\n")
    terminal.until("bako › bako\r\n\r\nyou › ")
    terminal.type("\x1b[A\n")  # the arrow upwards: the line before, once more
    terminal.until("bako › bako\r\n\r\nyou › ")
    terminal.type("/help\n")
    assert "/again" in terminal.until("Ctrl-C stops a reply\r\nyou › ")
    terminal.type("half a li")
    terminal.until("half a li")  # an interrupt while readline reads a key would be seen at the next line only
    terminal.type("\x03")
    terminal.until("Ctrl-C again, Ctrl-D or /quit ends the chat\r\nyou › ")
    terminal.type("\x03")
    assert "health" in terminal.until("beside it")
    assert terminal.close() == 0


# --- compare ---


def test_compare_shows_both_side_by_side(bako: Path, tire: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("lor [red]vi[/red]?\n\n  :bomb: mu\x1b[2J?  \n")
    done = trainer("compare", bako, tire, "--prompts", prompts, *GREEDY)
    assert (done.status, done.complaints) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    assert rows == [["lor [red]vi[/red]?", "bako", "tire"], [":bomb: mu\\x1b[2J?", "bako", "tire"]]
    heads = next(line for line in done.out.splitlines() if "┃" in line)
    assert [cell.strip() for cell in heads.split("┃")[1:-1]] == ["prompt", "bako", "tire"]


def test_compare_as_json_with_the_prompts_of_the_settings(bako: Path, tire: Path) -> None:
    found = json.loads(trainer("compare", bako, tire, "--json", *GREEDY).out)
    shipped = json.loads((ROOT / "etc" / "trainer.json").read_text())["preview_prompts"]
    assert [row["prompt"] for row in found["rows"]] == shipped and shipped
    assert {row["base"]["text"] for row in found["rows"]} == {"bako"}
    assert {row["tuned"]["text"] for row in found["rows"]} == {"tire"}
    assert found["rows"][0]["tuned"]["stopped"] == "end"


def test_both_models_draw_with_the_same_seed_and_their_own_stops(tmp_path: Path) -> None:
    model = Llama(CONFIG)
    model.reset(1)
    one = load_checkpoint(save(tmp_path / "one", model))
    rows = compare(one, one, ["ti", "re"], Sampling(seed=3, max_tokens=30))
    assert [row.base for row in rows] == [row.tuned for row in rows]
    colon = tokenizer().encode("A:")[-1]
    loops = scripted([colon, *after(" bako\nQ"), colon])
    stops = load_checkpoint(save(tmp_path / "stops", loops, Template(stops=["ko"])))
    row = compare(one, stops, ["ti"], Sampling(temperature=0.0, stops=("\nQ:",)))[0]
    assert (row.tuned.text, row.tuned.stopped) == ("ba", "stop")


@pytest.mark.parametrize(("text", "told"), [("\n \n", "holds no prompt"), (None, "cannot read"), (b"\xff", "no UTF-8")])
def test_a_file_without_prompts(bako: Path, tmp_path: Path, text: str | bytes | None, told: str) -> None:
    prompts = tmp_path / "prompts.txt"
    if text is not None:
        prompts.write_bytes(text.encode() if isinstance(text, str) else text)
    done = trainer("compare", bako, bako, "--prompts", prompts)
    assert (done.status, done.out) == (2, "")
    assert told in done.err and str(prompts) in done.err


# --- eval ---


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modules, 24 documents."""
    folder, rng = tmp_path_factory.mktemp("modules"), random.Random(1)
    for name in ("books", "letters"):
        text = folder / f"{name}.txt"
        text.write_text("\n".join(paragraph(rng, 60) for _ in range(12)))
        with no_waiting_for_the_disk():
            add_text(folder / "modules", name, [text], tokenizer(), Splitting("lines"), lambda *_: None)
    return folder / "modules"


def test_eval_measures_what_pretraining_measured(tmp_path: Path, modules: Path) -> None:
    model = Llama(CONFIG)
    model.reset(1)
    settings = SETTINGS.model_copy(update={"holdout_share": 0.3})
    data, _ = pretrain_data(PretrainRequest(modules, tokenizer(), CONFIG, settings, tmp_path / "out"))
    held = data.validation()
    assert held is not None
    recorded = mean_loss(model, held, 4)
    place = save(tmp_path / "base", model, settings={"holdout_share": 0.3})
    done = trainer("eval", place, "--shards", modules, "--json", "--threads", "1")
    found = {(one["name"], one["part"]): one for one in json.loads(done.out)["measured"]}
    assert set(found) == {("all shards", "held out"), *((name, part) for name in ("books", "letters")
                                                         for part in ("held out", "training"))}  # fmt: skip
    whole = found["all shards", "held out"]
    assert whole["nats"] == pytest.approx(recorded, rel=1e-5)
    assert whole["perplexity"] == pytest.approx(math.exp(recorded), rel=1e-4)
    assert whole["tokens"] == int(held.weights.sum())
    parts = [found[name, "held out"]["tokens"] for name in ("books", "letters")]
    assert sum(parts) in range(whole["tokens"] - 2, whole["tokens"])  # each stream's first token is no target
    lines = trainer("eval", place, "--shards", modules, "--threads", "1").out
    assert f"{whole['perplexity']:,.2f}" in lines and "held out" in lines and "books" in lines


def test_a_model_that_knows_nothing_has_the_vocabularys_perplexity(tmp_path: Path, modules: Path) -> None:
    model = Llama(CONFIG)
    model.reset(1)
    with torch.no_grad():
        model.output.weight.zero_()  # type: ignore[union-attr]
    lines = measure_shards(load_checkpoint(save(tmp_path / "zero", model)), modules, 0.3)
    assert [line.measured.perplexity for line in lines] == pytest.approx([400.0] * 5, rel=1e-4)


def test_windows_cover_a_stream_or_are_spread_over_it() -> None:
    stream = np.arange(3, 103, dtype=np.uint16)
    everything = windows(stream, 8, 0)
    assert everything is not None and int(everything.weights.sum()) == 99
    some = windows(stream, 8, 3)
    assert some is not None and some.tokens[:, 0].tolist() == [3, 3 + 48, 3 + 96]
    assert windows(stream[:1], 8, 3) is None
    assert ROWS == 128  # as SequenceDataset.validation has


def test_only_the_tokens_of_replies_count() -> None:
    """By hand: the mean of the reply's cross entropies, whatever stands before them."""
    model = Llama(CONFIG)
    model.reset(1)
    samples = [
        TokenisedExample("a", (1, 5, 6, 7, 8, 1), (0, 0, 0, 1, 1, 1)),
        TokenisedExample("b", (1, 9, 10, 1), (0, 0, 1, 1)),
    ]
    losses = []
    with torch.inference_mode():
        for one in samples:
            logits = model.logits(torch.tensor([one.ids[:-1]]))[0].log_softmax(-1)
            losses += [
                -float(logits[place, token])
                for place, (token, weight) in enumerate(zip(one.ids[1:], one.weights[1:], strict=True))
                if weight
            ]
    batch = PackedDataset([], samples, 1, CONFIG.max_seq_len, 0).validation()
    assert batch is not None
    found = reply_perplexity(model, batch)
    assert found.tokens == len(losses) == 5
    assert found.nats == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)


def test_eval_of_dialogues(tmp_path: Path, bako: Path) -> None:
    """A model that says "bako" to everything is sure of "bako", and of nothing else."""
    data = tmp_path / "said.jsonl"
    data.write_text("".join(json.dumps({"input": f"ti {n}", "output": "bako"}) + "\n" for n in range(30)))
    found = json.loads(trainer("eval", bako, "--data", data, "--json", "--threads", "1").out)["measured"]
    assert all(one["name"] == "said.jsonl" and one["perplexity"] == pytest.approx(1.0, abs=1e-3) for one in found)
    assert sum(one["tokens"] for one in found) == 30 * len([*after(" bako"), BOS])
    data.write_text(json.dumps({"input": "ti", "output": "lor mu"}) + "\n")
    other = json.loads(trainer("eval", bako, "--data", data, "--json", "--threads", "1").out)["measured"]
    assert other[0]["perplexity"] > 100


def test_the_share_of_the_record_counts_for_its_own_kind_of_data() -> None:
    base, tuned = (Record(made_by=kind, settings={"holdout_share": 0.25}) for kind in ("pretrain", "finetune"))  # type: ignore[arg-type]
    assert recorded_share(base, "pretrain", 0.02) == 0.25 and recorded_share(tuned, "pretrain", 0.02) == 0.02
    assert recorded_share(base, "finetune", 0.1) == 0.1 and recorded_share(tuned, "finetune", 0.1) == 0.25


def test_eval_errors(bako: Path, tmp_path: Path, modules: Path) -> None:
    nothing = trainer("eval", bako)
    assert nothing.status == 2 and "add --shards DIR, --data FILE, --run DIR or --profile P" in nothing.err
    missing = trainer("eval", bako, "--shards", tmp_path / "none")
    assert missing.status == 2 and "is no folder of shards" in missing.err
    manifest = modules / "books.json"
    before = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(before) | {"tokenizer_sha256": "0" * 64}))
    try:
        foreign = trainer("eval", bako, "--shards", modules)
    finally:
        manifest.write_text(before)
    assert (foreign.status, foreign.out) == (2, "") and "was made with another tokenizer" in foreign.err


def test_health_without_replies_is_eval(bako: Path, tmp_path: Path, modules: Path) -> None:
    asked = ("--shards", modules, "--json", "--threads", "1")
    named, counted = trainer("eval", bako, *asked), trainer("health", bako, *asked, "--replies", "0")
    assert named.status == counted.status == 0 and json.loads(named.out) == json.loads(counted.out)
    assert named.complaints == counted.complaints == ""


def test_the_option_of_version_0_1_is_taken_and_says_its_new_name(bako: Path, modules: Path) -> None:
    old, new = (trainer("eval", bako, one, modules, "--json", "--threads", "1") for one in ("--modules", "--shards"))
    assert (old.status, old.complaints) == (0, "--modules is called --shards now\n") and new.complaints == ""
    assert old.out == new.out


# --- info ---


def test_info_as_json(bako: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "load_weights", None)  # the header and the sha256 are enough
    found = json.loads(trainer("info", bako, "--json").out)
    norms = (2 * CONFIG.n_layers + 1) * CONFIG.dim
    total = CONFIG.parameters()
    assert found["parameters"] == {"total": total, "decayed": total - norms, "not_decayed": norms}
    assert found["config"] == CONFIG.as_dict()
    assert found["tokenizer_sha256"] == tokenizer().sha256
    assert found["template"]["name"] == "llisa" and found["parent"] is None and found["made_by"] == "pretrain"
    assert found["sha256"]["model.safetensors"] == sha256_of(bako / "model.safetensors")
    assert found["bytes"] == sum(one.stat().st_size for one in bako.iterdir())
    assert (found["verified"], found["problems"]) == (True, [])


def test_info_for_people(tmp_path: Path) -> None:
    model = Llama(replace(CONFIG, n_kv_heads=2))
    model.reset(1)
    parent = {"name": "base\x1b[2J", "sha256": "a" * 64}
    record = {"parent": parent, "steps": 1200, "metrics": {"validation_loss": 3.5}, "data": {"samples": 7}}
    done = trainer("info", save(tmp_path / "gqa", model, **record))
    assert done.status == 0
    told = {line.split(":")[0]: line.split(":", 1)[1].strip() for line in done.out.splitlines()}
    assert told["parameters"].startswith(f"{model.config.parameters():,} (")
    assert told["model"] == "2 layers of 64, 4 heads (2 for keys), hidden 64, untied output"
    assert told["parent"] == "base\\x1b[2J aaaaaaaaaaaa"
    assert told["context"] == "96 tokens" and told["steps"] == "1,200"
    assert told["metrics"] == "validation_loss 3.5" and told["data"] == "samples 7"
    assert told["verified"] == "yes"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda place: (place / "tokenizer.json").write_text("{}"), "tokenizer.json is not the file that trainer.json"),
        (lambda place: (place / "tokenizer.model").unlink(), "tokenizer.model is missing"),
        (lambda place: (place / "model.safetensors").write_bytes(b"x" * 99), "is no safetensors file"),
        (
            lambda place: (place / "config.json").write_text(
                (place / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
            ),
            "the tensor model.layers.2.input_layernorm.weight is missing",
        ),
    ],
)
def test_info_names_what_is_not_whole(tmp_path: Path, harm: Any, told: str) -> None:
    place = save(tmp_path / "harmed", says(" bako"))
    harm(place)
    done = trainer("info", place, "--json")
    found = json.loads(done.out)
    assert (done.status, found["verified"]) == (1, False)
    assert any(told in problem for problem in found["problems"])
    people = trainer("info", place)
    assert people.status == 1 and "verified:      NO" in people.out and told in people.out


def test_the_options_load_nothing_heavy() -> None:
    script = (
        "import sys\nfrom trainer.cli import build_parser\nbuild_parser()\n"
        "print(*sorted({'torch', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")

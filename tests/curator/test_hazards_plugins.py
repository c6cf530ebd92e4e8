"""Plugins that misbehave (hazards D, rows 19 and 21) and patterns that would (row 34)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, rows

Curate = Callable[..., Result]
HEAD = "from curator import *\nimport sys, math\n"


def plugin(home: Home, text: str, name: str = "loud") -> Path:
    """Write a plugin into the home and switch the home's plugins on."""
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    path: Path = home.folder / "plugins" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + text)
    return path


def cleaner(body: str) -> str:
    """Return a plugin whose cleaner runs `body` on replies that hold the word "bad"."""
    return (
        f"def clean(reply, event):\n    if 'bad' not in reply:\n        return reply\n    {body}\n"
        "@hookimpl\ndef register_cleaners():\n    return [Cleaner('loudly', clean)]\n"
    )


def memory_filter(body: str) -> str:
    """Return a plugin whose filter runs `body` on memories that hold the word "bad"."""
    return (
        f"def check(event):\n    if 'bad' not in (event.response or ''):\n        return None\n    {body}\n"
        "@hookimpl\ndef register_filters():\n    return [Filter('loudly', check, on='memory')]\n"
    )


def sample_filter(body: str) -> str:
    """Return a plugin whose filter runs `body` on samples that hold the word "bad"."""
    return (
        f"def check(sample):\n    if 'bad' not in sample.assistant_text:\n        return None\n    {body}\n"
        "@hookimpl\ndef register_filters():\n    return [Filter('loudly', check)]\n"
    )


def mapper(body: str) -> str:
    """Return a plugin whose map_mode runs `body` on memories that hold the word "bad"."""
    return (
        "@hookimpl\ndef map_mode(event):\n    if 'bad' not in (event.response or ''):\n"
        f"        return None\n    {body}\n"
    )


def mode(body: str) -> str:
    """Return a plugin with a mode of its own, of which memories that hold the word "bad" are."""
    return (
        mapper("return 'loud'")
        + f"def pairs(event, pairing):\n    {body}\n"
        + "@hookimpl\ndef register_modes():\n    return [Mode('loud', 'call', 'echo', pairs=pairs)]\n"
    )


UNSHOWABLE = "type('X', (), {'__repr__': lambda self: 1 / 0})()"
FAULTS = {
    "cleaner raises": (cleaner("raise ValueError('no')"), "cleaner loudly"),
    "cleaner raises SystemExit": (cleaner("sys.exit(0)"), "cleaner loudly"),
    "cleaner recurses": (cleaner("return clean(reply, event)"), "cleaner loudly"),
    "cleaner returns None": (cleaner("return None"), "cleaner loudly"),
    "cleaner returns an int": (cleaner("return 7"), "cleaner loudly"),
    "cleaner returns NaN": (cleaner("return math.nan"), "cleaner loudly"),
    "cleaner returns a huge int": (cleaner("return 10 ** 10_000"), "cleaner loudly"),
    "cleaner returns a huge list": (cleaner("return [reply] * 1_000_000"), "cleaner loudly"),
    "cleaner returns what cannot be shown": (cleaner(f"return {UNSHOWABLE}"), "cleaner loudly"),
    "cleaner returns a subclass of str": (cleaner("return type('S', (str,), {})(reply)"), "cleaner loudly"),
    "cleaner returns a lone surrogate": (cleaner("return 'a good one \\ud800 here'"), "cleaner loudly"),
    "cleaner changes its input": (cleaner("event.content = 'mine'"), "cleaner loudly"),
    "cleaner rejects without a code": (cleaner("return Reject('No Code At All')"), "cleaner loudly"),
    "memory filter raises": (memory_filter("raise ValueError('no')"), "filter loudly"),
    "memory filter raises SystemExit": (memory_filter("raise SystemExit"), "filter loudly"),
    "memory filter returns an int": (memory_filter("return 7"), "filter loudly"),
    "memory filter returns a sentence": (memory_filter("return 'I do not like it'"), "filter loudly"),
    "memory filter changes its input": (memory_filter("event.turns += (1,)"), "filter loudly"),
    "sample filter raises": (sample_filter("raise ValueError('no')"), "filter loudly"),
    "sample filter returns True": (sample_filter("return True"), "filter loudly"),
    "sample filter changes its input": (sample_filter("sample.metadata.split = 'x'"), "filter loudly"),
    "map_mode raises": (mapper("raise ValueError('no')"), "map_mode"),
    "map_mode raises SystemExit": (mapper("sys.exit(3)"), "map_mode"),
    "map_mode returns no mode": (mapper("return 'nonsense'"), "map_mode"),
    "map_mode returns an int": (mapper("return 7"), "map_mode"),
    "map_mode returns what has no hash": (mapper("return ['dual']"), "map_mode"),
    "mode raises": (mode("raise ValueError('no')"), "mode loud"),
    "mode yields what is no pair": (mode("yield 7"), "mode loud"),
    "mode returns None": (mode("return None"), "mode loud"),
    "mode yields pairs that are no text": (mode("yield Pair(1, 2)"), "mode loud"),
    "mode yields a pair with a context of a number": (mode("yield Pair('a b c', 'd e f', context=7)"), "mode loud"),
    "mode yields a pair of a lone surrogate": (mode("yield Pair('a b c', chr(0xD800))"), "mode loud"),
    "mode yields a pair that was changed": (
        mode(
            "import msgspec\n    p = Pair('a b c', 'd e f')\n"
            "    msgspec.structs.force_setattr(p, 'turn', None)\n    yield p"
        ),
        "mode loud",
    ),
    "mode finds the disk full": (mode("raise OSError(28, 'No space left on device')"), "mode loud"),
    "cleaner finds the disk full": (cleaner("raise OSError(28, 'No space left on device')"), "cleaner loudly"),
    "filter finds the disk full": (memory_filter("raise OSError(28, 'No space left')"), "filter loudly"),
}


def fill(home: Home) -> dict[str, bytes]:
    """Write two good memories and one bad; return the files of the profile."""
    home.memory("What was there for lunch?", response="Soup with bread, and an apple.", id="good-1")
    home.memory("What was that noise?", response="It was a bad noise of the boiler.", id="bad")
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.", id="good-2")
    return {str(path): path.read_bytes() for path in home.profile.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_fails_ends_the_run_and_is_named(home: Home, curate: Curate, fault: str) -> None:
    """Row 19: plugin, hook and memory stand in a short message, nothing is published, the profile is as it was."""
    before = fill(home)
    text, hook = FAULTS[fault]
    plugin(home, text)
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert (result.status, result.out) == (1, "")
    assert "'loud'" in result.err and hook in result.err and "2025/03/01/bad.json" in result.err
    assert "Traceback" not in result.err and len(result.err) < 2_000
    after = {str(path): path.read_bytes() for path in home.profile.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if not path.endswith(".lock")} == before


@pytest.mark.parametrize("fault", FAULTS)
def test_with_keep_going_the_memory_is_dropped_and_the_run_succeeds(home: Home, curate: Curate, fault: str) -> None:
    """Row 19."""
    before = fill(home)
    plugin(home, FAULTS[fault][0])
    result = curate("run", "--username", "ann", "--home", home.folder, "--keep-going")
    assert result.status == 0, result.err
    (drop,) = rows(result.run / "dropped.jsonl")
    assert (drop["memory_id"], drop["reason"]) == ("bad", "plugin_error")
    assert "'loud'" in drop["detail"] and len(drop["detail"]) < 2_000
    ids = [row["metadata"]["original_id"] for row in rows(result.run / "curated_memories.json")]
    assert ids == ["good-1", "good-2"]
    report = json.loads((result.run / "report.json").read_bytes())
    assert report["memory_fates"] == {"used": 2, "event: plugin_error": 1}
    assert {path: Path(path).read_bytes() for path in before} == before
    assert curate("validate", result.run, "--home", home.folder).status == 0


def test_with_keep_going_a_memory_is_dropped_whole(home: Home, curate: Curate) -> None:
    """Row 19: no sample stays of a memory whose second exchange a plugin failed on."""
    messages = [("user", "How was Monday?"), ("assistant", "Monday was quite fine.")]
    messages += [("user", "How was Tuesday?"), ("assistant", "Tuesday was rather bad.")]
    home.memory(messages=[{"role": role, "content": text} for role, text in messages], id="half")
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.", id="good")
    plugin(home, cleaner("raise ValueError"))
    result = curate("run", "--username", "ann", "--home", home.folder, "--keep-going")
    assert result.status == 0, result.err
    assert [row["metadata"]["original_id"] for row in rows(result.run / "curated_memories.json")] == ["good"]


AT_START = {
    "raises at import": ("raise ValueError('no')", 1),
    "leaves at import": ("sys.exit(0)", 1),
    "is no Python": ("def (", 1),
    "imports what is not there": ("import nowhere_to_be_found", 1),
    "raises when asked": ("@hookimpl\ndef register_cleaners():\n    raise ValueError('no')", 1),
    "leaves when asked": ("@hookimpl\ndef register_modes():\n    sys.exit(0)", 1),
    "returns None": ("@hookimpl\ndef register_filters():\n    return None", 1),
    "returns a huge int": ("@hookimpl\ndef register_filters():\n    return 10 ** 10_000", 1),
    "returns things of another kind": ("@hookimpl\ndef register_filters():\n    return [Cleaner('x', str)]", 1),
    "misspells a hook": ("@hookimpl\ndef register_cleanerz():\n    return []", 1),
    "asks for what there is not": ("@hookimpl\ndef register_cleaners(setings):\n    return []", 1),
    "has a tag that is none": ("@hookimpl\ndef register_modes():\n    return [Mode('x', 'A B', 'c')]", 1),
    "has a mode that is there": ("@hookimpl\ndef register_modes():\n    return [Mode('dual', 'x', 'y')]", 2),
    "has a tag that is in use": ("@hookimpl\ndef register_modes():\n    return [Mode('x', 'user', 'y')]", 2),
    "has a cleaner that is there": ("@hookimpl\ndef register_cleaners():\n    return [Cleaner('trim', str)]", 2),
}  # fmt: skip


@pytest.mark.parametrize("command", [("run", "--username", "ann"), ("plugins",)], ids=["run", "plugins"])
@pytest.mark.parametrize("fault", AT_START)
def test_a_plugin_that_cannot_be_loaded_is_refused_by_name(
    home: Home, curate: Curate, fault: str, command: tuple[str, ...]
) -> None:
    """Row 21."""
    fill(home)
    text, status = AT_START[fault]
    plugin(home, text)
    result = curate(*command, "--home", home.folder)
    assert (result.status, result.out) == (status, "")
    assert "loud" in result.err and "Traceback" not in result.err and len(result.err) < 2_000
    assert not (home.profile / "out").exists()


def test_a_misspelt_hook_lists_the_hooks_there_are(home: Home, curate: Curate) -> None:
    """Row 21."""
    fill(home)
    plugin(home, AT_START["misspells a hook"][0])
    err = curate("run", "--username", "ann", "--home", home.folder).err
    assert "register_cleanerz" in err and "register_cleaners" in err


def test_two_plugins_of_one_name_are_refused(home: Home, curate: Curate) -> None:
    """Row 21: both places are named, and switching the name off does not pick one of them in silence."""
    fill(home)
    path = plugin(home, "", "cleaners")
    for options in ((), ("--no-plugin", "cleaners")):
        result = curate("run", "--username", "ann", "--home", home.folder, *options)
        assert result.status == 2
        assert "'cleaners'" in result.err and str(path) in result.err and "curator_plugins.cleaners" in result.err


def test_home_plugins_are_not_loaded_unless_the_home_says_so(home: Home, curate: Curate) -> None:
    """Row 19."""
    fill(home)
    plugin(home, "raise ValueError").with_name("more.py").write_text("sys.exit(9)")
    home.config("curate.json", {})
    assert curate("run", "--username", "ann", "--home", home.folder).status == 0


def test_an_unknown_plugin_to_leave_out_lists_those_there_are(home: Home, curate: Curate) -> None:
    """Row 21."""
    fill(home)
    result = curate("run", "--username", "ann", "--home", home.folder, "--no-plugin", "cleaner")
    assert result.status == 2 and "Did you mean 'cleaners'?" in result.err and "metahuman" in result.err


def test_a_failing_plugin_can_be_left_out_as_its_message_says(home: Home, curate: Curate) -> None:
    """Row 19."""
    fill(home)
    plugin(home, cleaner("raise ValueError"))
    assert "--no-plugin loud" in curate("run", "--username", "ann", "--home", home.folder).err
    assert curate("run", "--username", "ann", "--home", home.folder, "--no-plugin", "loud").status == 0


def test_a_source_that_fails_is_named(home: Home, curate: Curate, tmp_path: Path) -> None:
    """Row 19."""
    own = tmp_path / "own.txt"
    own.write_text("x")
    for body in ("raise ValueError('no')", "yield 7", "sys.exit(0)"):
        plugin(
            home,
            f"def read(path, settings):\n    {body}\n    yield\n@hookimpl\ndef register_sources():\n"
            "    return [MemorySource('text', lambda path: path.suffix == '.txt', read)]\n",
        )
        result = curate("run", "--username", "ann", "--home", home.folder, "--source", own)
        assert result.status == 1
        assert "'loud'" in result.err and "source text" in result.err and "Traceback" not in result.err


def test_what_a_plugin_prints_does_not_spoil_the_json(home: Home, curate: Curate) -> None:
    """Row 19: stdout of --json is one document."""
    fill(home)
    plugin(home, "print('hello')\n" + cleaner("print('cleaning')\n    return reply"))
    result = curate("run", "--username", "ann", "--home", home.folder, "--json")
    assert result.status == 0
    assert json.loads(result.out)["report"]["samples"] == 3


# --- row 34 ---------------------------------------------------------------------------------------------------------


def fillers(home: Home, *patterns: str) -> None:
    home.config("fillers.json", {"languages": {"en": {"patterns": list(patterns)}}})


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*a){30}"])
def test_a_pattern_that_backtracks_for_ever_elsewhere_is_fast_here(home: Home, curate: Curate, pattern: str) -> None:
    """Row 34."""
    home.memory("What did she shout?", response="a" * 50_000 + "! And then she left the room.")
    fillers(home, pattern)
    begun = time.monotonic()
    assert curate("run", "--username", "ann", "--home", home.folder).status == 0
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("pattern", ["(?=x)", "(", "(?<!a)b", r"(a)\1", "[", "a{1,100000}", "*", "(a" * 2_000])
@pytest.mark.parametrize("place", ["fillers", "notices"])
def test_a_pattern_that_is_none_is_named(home: Home, curate: Curate, pattern: str, place: str) -> None:
    """Row 34."""
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    if place == "fillers":
        fillers(home, "^Oh, ", pattern)
    else:
        types = json.loads((Path(__file__).resolve().parents[2] / "etc" / "types.json").read_text("utf-8"))
        home.config("types.json", types | {"notices": {"fine": "^x", "mine": pattern}})
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 2
    assert repr(pattern[:60]) in result.err
    assert f"etc/{'fillers' if place == 'fillers' else 'types'}.json" in result.err
    assert "Traceback" not in result.err and len(result.err) < 1_000
    assert not (home.profile / "out").exists()


def test_a_pattern_takes_off_the_start_of_a_reply(home: Home, curate: Curate) -> None:
    """Row 34: a pattern that is accepted does its work."""
    home.memory("Who came by?", response="Ohhh my, the neighbour came, to lend us a ladder.")
    fillers(home, "oh+ my, ")
    result = curate("run", "--username", "ann", "--home", home.folder)
    (row,) = rows(result.run / "curated_memories.json")
    assert row["assistant_text"] == "The neighbour came, to lend us a ladder."


def test_ten_thousand_patterns_are_fine(home: Home, curate: Curate) -> None:
    """Row 34."""
    for number in range(20):
        home.memory(f"Who came by at {number}?", response=f"Well{number * 7}, number {number} to lend us a ladder.")
    fillers(home, *(f"well{number}, " for number in range(10_000)))
    begun = time.monotonic()
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    assert time.monotonic() - begun < 20
    assert all(row["assistant_text"].startswith("Number ") for row in rows(result.run / "curated_memories.json"))


def test_one_pattern_of_a_megabyte_is_taken_or_named(home: Home, curate: Curate) -> None:
    """Row 34."""
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    fillers(home, "x" * 1_000_000)
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status in (0, 2) and "Traceback" not in result.err and len(result.err) < 1_000


def test_a_single_filter_or_cleaner_can_be_left_out(home: Home, curate: Curate) -> None:
    home.memory("Did you lock up?", response="Yes.")
    home.memory("Who came by?", response="Certainly! The neighbour, to lend us a ladder.")
    result = curate(
        "run", "--username", "ann", "--home", home.folder, "--no-plugin", "too_short", "--no-plugin", "fillers"
    )
    replies = [row["assistant_text"] for row in rows(result.run / "curated_memories.json")]
    assert replies == ["Yes.", "Certainly! The neighbour, to lend us a ladder."]
    wrong = curate("run", "--username", "ann", "--home", home.folder, "--no-plugin", "to_short")
    assert wrong.status == 2
    assert "too_short" in wrong.err


CHANGES = ("content", "response", "turns", "path", "key", "time", "type", "id", "tags", "metadata", "id_on_disk")


@pytest.mark.parametrize("body", ["return None", "return reply"])
def test_a_plugin_that_changes_what_it_is_given_changes_nothing(home: Home, curate: Curate, body: str) -> None:
    """Records are frozen; a plugin that writes into one all the same writes into a copy."""
    fill(home)
    plain = curate("run", "--username", "ann", "--home", home.folder)
    spoil = f"import msgspec\n    for name in {CHANGES!r}:\n        if hasattr(event, name):\n"
    spoil += "            msgspec.structs.force_setattr(event, name, None)\n    "
    plugin(home, cleaner(spoil + body) if "reply" in body else memory_filter(spoil + body))
    changed = curate("run", "--username", "ann", "--home", home.folder)
    assert changed.status == 0, changed.err
    for name in ("curated_memories.json", "fine_tune_dataset.jsonl", "dropped.jsonl", "lineage.jsonl"):
        assert (changed.run / name).read_bytes() == (plain.run / name).read_bytes()

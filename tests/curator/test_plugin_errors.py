"""What is said of a plugin that fails: where in its own code, what it may have meant, and what helps in the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, curate_once, rows

Curate = Callable[..., Result]
RUN = ("run", "--username", "ann")
# Every command that loads plugins, less its home; {run} is a run's folder.
COMMANDS = {
    "run": RUN,
    "plugins": ("plugins",),
    "validate": ("validate", "{run}"),
    "export": ("export", "{run}", "--to", "trl", "--out", "{run}-out"),
    "preview": ("preview", "{run}", "--to", "trl"),
}
FILTER = """from curator import *

def check(sample):
    return inner(sample)

def inner(sample):
    {body}

@hookimpl
def register_filters():
    return [Filter('loudly', check)]
"""


@pytest.fixture
def talk(home: Home) -> Home:
    """A home with one memory, whose own plugins are switched on."""
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    home.config("curate.json", {"plugins": {"home_plugins": True}})
    (home.folder / "plugins").mkdir()
    return home


def plugin(home: Home, text: str, name: str = "loud") -> Path:
    """Write a plugin of the home's own."""
    path: Path = home.folder / "plugins" / f"{name}.py"
    path.write_text(text)
    return path


def refused(curate: Curate, home: Home, *command: object, status: int = 1) -> str:
    """The message of a command that fails for a plugin."""
    result = curate(*(command or RUN), "--home", home.folder)
    assert (result.status, result.out) == (status, ""), result
    assert "Traceback" not in result.err
    return str(result.err)


def test_an_error_has_file_and_line_of_the_plugins_own_code(talk: Home, curate: Curate) -> None:
    plugin(talk, FILTER.format(body="raise ValueError('no such tide')"))
    assert "raised ValueError: no such tide (at plugins/loud.py:7)\n" in refused(curate, talk)
    plugin(talk, FILTER.format(body="return find_tags(5)"))  # raised in the curator's code, called in line 7
    assert "(at plugins/loud.py:7)" in refused(curate, talk)
    plugin(talk, FILTER.format(body="return json.loads('{')").replace("*", "*; import json"))  # and in Python's own
    assert "(at plugins/loud.py:7)" in refused(curate, talk)


def test_a_drop_of_a_run_that_goes_on_has_it_too_and_is_the_same_everywhere(talk: Home, curate: Curate) -> None:
    talk.memory("Who keeps the key?", response="The harbour master keeps it.")
    plugin(talk, FILTER.format(body="if 'ladder' in sample.assistant_text: raise ValueError('no such tide')"))
    result = curate(*RUN, "--keep-going", "--home", talk.folder)
    (drop,) = rows(result.run / "dropped.jsonl")
    assert "no such tide (at plugins/loud.py:7)" in drop["detail"] and str(talk.folder) not in drop["detail"]


def test_what_returns_the_wrong_thing_is_named_with_its_place(talk: Home, curate: Curate) -> None:
    plugin(talk, FILTER.format(body="return 7"))
    assert "returned 7: expected None or a reason code (from plugins/loud.py:3)" in refused(curate, talk)


def test_the_whole_traceback_with_debug(talk: Home, curate: Curate) -> None:
    path = plugin(talk, FILTER.format(body="raise ValueError('no such tide')"))
    err = curate(*RUN, "--debug", "--home", talk.folder).err
    assert "Traceback (most recent call last)" in err and f'File "{path}", line 7, in inner' in err
    assert err.rstrip().splitlines()[-2].startswith("curate: plugin 'loud': filter loudly on memory")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_no_python_is_shown_with_advice_that_helps(talk: Home, curate: Curate, command: str) -> None:
    """The advice names nothing that the command lacks, and does as it says."""
    run = curate_once(*RUN, "--home", talk.folder).run
    path = plugin(talk, "from curator import hookimpl\n\ndef tide(:\n    pass\n")
    arguments = [part.format(run=run) for part in COMMANDS[command]]
    err = refused(curate, talk, *arguments)
    assert "plugins/loud.py:3" in err and "def tide(:" in err and "SyntaxError" in err
    assert "--" not in err and "put 'loud' into plugins.disabled of etc/curate.json" in err
    talk.config("curate.json", {"plugins": {"home_plugins": True, "disabled": ["loud"]}})
    assert curate(*arguments, "--home", talk.folder).status == 0
    talk.config("curate.json", {"plugins": {"home_plugins": True}})
    path.unlink()
    path.mkdir()  # a folder of that name is no plugin either
    assert "'loud'" in refused(curate, talk, *arguments)


@pytest.mark.parametrize("on", [True, False])
def test_doctor_with_a_folder_among_the_plugins(talk: Home, curate: Curate, on: bool) -> None:
    talk.config("curate.json", {"plugins": {"home_plugins": on}})
    (talk.folder / "plugins" / "x.py").mkdir()
    plugin(talk, "from curator import hookimpl\n", "good")
    result = curate("doctor", "--json", "--home", talk.folder)
    findings = json.loads(result.out)["findings"]
    said = [(one["status"], one["detail"]) for one in findings if "plugins" in one["what"]]
    if on:
        assert [status for status, _ in said] == ["wrong"] and "'x'" in said[0][1]
    else:
        assert said[1:] == [("note", "not loaded: good.py")]


# --- names ---------------------------------------------------------------------------------------------------------

MEANT = {
    "a field of a sample": (FILTER.format(body="return sample.assistant_txt"), "assistant_text"),
    "a field of its metadata": (FILTER.format(body="return sample.metadata.orignal_id"), "original_id"),
    "a keyword of a record": (FILTER.format(body="return Pair(user_txt='a', assistant_text='b')"), "user_text"),
    "a keyword of a mode": ("from curator import *\n@hookimpl\ndef register_modes():\n"
                            "    return [Mode('x', usertag='a', assistant_tag='b')]\n", "user_tag"),
    "a name": (FILTER.format(body="return Rejct('x')"), "Reject"),
    "an imported name": ("from curator import hookimpl, MemryEvent\n", "MemoryEvent"),
    "a hook": ("from curator import *\n@hookimpl\ndef register_filter():\n    return []\n", "register_filters"),
    "an argument of a hook": ("from curator import *\n@hookimpl\ndef map_mode(evnt):\n    return None\n", "event"),
    "a mode": ("from curator import *\n@hookimpl\ndef map_mode(event):\n    return 'emulaton'\n", "emulation"),
    "a setting": (FILTER.format(body="return None").replace(
        "def register_filters():", "def register_filters(settings):\n    settings.curate.limit"), "limits"),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANT)
def test_a_misspelt_name_in_a_plugin(talk: Home, curate: Curate, case: str) -> None:
    text, meant = MEANT[case]
    plugin(talk, text)
    err = refused(curate, talk)
    assert f"did you mean {meant!r}?" in err and "'loud'" in err


def test_a_misspelt_setting(home: Home, curate: Curate) -> None:
    home.memory("Who came by?", response="The neighbour, to lend us a ladder.")
    home.config("curate.json", {"reply": {"wrods": 40}, "hybrid_limits": 0.9, "quite_another": 1})
    home.config("fillers.json", {"languages": {"en": {"opners": ["Oh"]}}})
    err = refused(curate, home, status=2)
    assert "reply.wrods: Extra inputs are not permitted; did you mean 'words'?" in err
    assert "hybrid_limits: Extra inputs are not permitted; did you mean 'hybrid_limit'?" in err
    assert "languages.en.opners: Extra inputs are not permitted; did you mean 'openers'?" in err
    assert "quite_another: Extra inputs are not permitted\n" in err


@pytest.mark.parametrize(
    "arguments", [(*RUN, "--mode", "emulaton"), (*RUN, "--mode", "Emulation"), (*RUN, "--family", "qwenn")]
)
def test_a_misspelt_name_on_the_command_line(talk: Home, curate: Curate, arguments: tuple[str, ...]) -> None:
    assert "Did you mean" in refused(curate, talk, *arguments, status=2)


# --- plugins that are not switched on --------------------------------------------------------------------------------

TIDE = """from curator import *
@hookimpl
def register_modes():
    return [Mode("harbour", "question", "tide")]
@hookimpl
def register_exporters(settings):
    return [Exporter("quay", "Quay", None, None)]
"""


def test_a_plugin_that_is_switched_off_is_named_where_its_mode_or_tool_is_asked_for(talk: Home, curate: Curate) -> None:
    run = curate_once(*RUN, "--home", talk.folder).run
    plugin(talk, TIDE, "tide_log")
    plugin(talk, "from curator import hookimpl\n", "another")
    asked = ((*RUN, "--mode", "harbour"), ("preview", run, "--to", "quay"))
    for settings, advice in (
        ({}, 'is not switched on: put "plugins": {"home_plugins": true} into etc/curate.json'),
        (
            {"home_plugins": True, "disabled": ["tide_log"]},
            "take 'tide_log' out of plugins.disabled in etc",
        ),
    ):
        talk.config("curate.json", {"plugins": settings})
        for arguments in asked:
            err = refused(curate, talk, *arguments, status=2)
            assert "plugins/tide_log.py names it" in err and advice in err and "another" not in err
    talk.config("curate.json", {"plugins": {"home_plugins": True}})
    known = curate(*RUN, "--mode", "harbour", "--home", talk.folder)
    assert known.status == 1 and "no sample came of" in known.err, "the mode is known, and no memory has it"
    assert "plugins/" not in refused(curate, talk, *RUN, "--mode", "nowhere", status=2)


def test_a_filter_that_would_never_be_asked_is_refused(talk: Home, curate: Curate) -> None:
    """Its arguments are easily taken for one another: Filter('loudly', 'memory', check)."""
    plugin(
        talk, FILTER.format(body="return None").replace("Filter('loudly', check)", "Filter('loudly', 'memory', check)")
    )
    said = refused(curate, talk)
    assert "plugin 'loud': register_filters: filter 'loudly': on is " in said
    assert "expected 'memory' or 'sample'" in said

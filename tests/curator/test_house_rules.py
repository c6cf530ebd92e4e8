"""The rules of the house: direction of imports, frozen records, fresh generated files, documentation that keeps up."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pkgutil
import re
import runpy
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import curator_plugins
import msgspec
import pytest
from conftest import ROOT
from pydantic import BaseModel

import curator
from curator import config, hyperparameters, records, schema_files, spec
from curator.families import load_family

CURATOR: Final = sorted((ROOT / "curator").glob("*.py"))
PLUGINS: Final = sorted((ROOT / "plugins").glob("*.py"))
TRAINER: Final = sorted((ROOT / "trainer").rglob("*.py"))
HOOKS: Final = sorted(name for name in vars(spec.CuratorSpec) if not name.startswith("_"))
# The two places where the curator itself reaches for a built-in plugin; plugin_manager loads them all by name.
REACHES_FOR_PLUGINS: Final = {"doctor.py", "shell.py"}
STAGES: Final = {"read", "event", "pair", "clean", "screen", "select"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each imported module of a file with the names taken from it; imports inside functions are imports too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: relative import"
            yield node.module or "", tuple(alias.name for alias in node.names)


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


# --- imports ---------------------------------------------------------------------------------------------------------


def test_the_curator_imports_neither_the_trainer_nor_torch_nor_plugins() -> None:
    for path in CURATOR:
        for module, _ in imports(path):
            top = module.partition(".")[0]
            assert top not in ("torch", "trainer", "sentencepiece", "safetensors"), path.name
            assert top != "curator_plugins" or path.name in REACHES_FOR_PLUGINS, path.name


def test_plugins_use_only_the_curators_public_names() -> None:
    for path in PLUGINS:
        for module, names in imports(path):
            assert module.partition(".")[0] not in ("curator_plugins", "plugins", "trainer", "torch"), path.name
            assert not module.startswith("curator."), f"{path.name}: {module} is not public"
            if module == "curator":
                assert set(names) <= set(curator.__all__), path.name


def test_the_trainer_imports_nothing_of_the_curator_or_its_plugins() -> None:
    assert TRAINER
    for path in TRAINER:
        tops = {module.partition(".")[0] for module, _ in imports(path)}
        assert not tops & {"curator", "curator_plugins", "plugins"}, path.name


def test_every_public_name_exists() -> None:
    assert [name for name in curator.__all__ if not hasattr(curator, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = curator.nothing


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom curator.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        "finally:\n    print('\\nLOADED', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "curator" in loaded
    assert not loaded & {"torch", "numpy", "rich", "pydantic", "msgspec", "jsonschema", "rensa", "curator_plugins"}


# --- records, schemas, configuration ---------------------------------------------------------------------------------


def every_struct() -> list[type[msgspec.Struct]]:
    for module in pkgutil.iter_modules(curator.__path__, "curator."):
        importlib.import_module(module.name)
    found, waiting = [], [msgspec.Struct]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__module__.startswith("curator."):
                found.append(one)
    return found


def test_every_record_is_frozen() -> None:
    structs = every_struct()
    assert len(structs) > 20
    assert [one.__name__ for one in structs if not one.__struct_config__.frozen] == []


def test_what_plugins_hand_over_and_settings_are_frozen_too() -> None:
    classes = [one for one in vars(spec).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]
    assert {one.__name__ for one in classes} == {
        "Cleaner", "Exporter", "ExportJob", "Filter", "MemorySource", "Mode", "Recipe", "Reject",
    }  # fmt: skip
    for one in (*classes, config.Settings):
        assert one.__dataclass_params__.frozen, one.__name__  # type: ignore[attr-defined]
    for model in config.MODELS.values():
        assert model.model_config["frozen"], model.__name__


def test_no_record_holds_a_free_form_dict() -> None:
    for one in every_struct():
        if one.__module__ == records.__name__:
            for field in msgspec.structs.fields(one):
                assert field.type is not dict, f"{one.__name__}.{field.name}"
                assert not any(argument is object for argument in get_args(field.type)), f"{one.__name__}.{field.name}"


def test_the_committed_schemas_are_fresh() -> None:
    fresh = runpy.run_path(str(ROOT / "schemas" / "generate.py"))["fresh"]()
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / "schemas").iterdir() if path.suffix == ".json"}
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert stale == [], f"stale: {', '.join(stale)}; run: make schemas"


def test_every_json_file_of_etc_is_loaded_by_something() -> None:
    config.load_settings(None)
    hyperparameters.load_export(None)
    for path in sorted((ROOT / "etc").rglob("*.json")):
        if path.parent.name == "schemas":
            assert load_family(path).family == path.stem
        elif path.parent.name == "modes":
            hyperparameters.load_fine_tune(None, path.stem.removesuffix("-config"))
        elif path.stem == "trainer":
            continue  # the trainer's: tests/trainer/test_settings.py
        else:
            assert path.parent == ROOT / "etc"
            assert path.stem in config.MODELS | hyperparameters.EXPORT_MODELS, f"nothing reads etc/{path.name}"


def test_every_shipped_file_of_etc_fits_its_schema() -> None:
    from jsonschema import Draft202012Validator

    for name in config.MODELS | hyperparameters.EXPORT_MODELS:
        schema = schema_files.shipped_schema(f"etc_{name.replace('-', '_')}")
        data = json.loads((ROOT / "etc" / f"{name}.json").read_text("utf-8"))
        assert [error.message for error in Draft202012Validator(schema).iter_errors(data)] == [], name


# --- documentation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_used_by_a_built_in_plugin(hook: str) -> None:
    assert f"`{hook}`" in document("hooks.md") or f"`{hook}(" in document("hooks.md")
    modules = [
        importlib.import_module(f"curator_plugins.{one.name}") for one in pkgutil.iter_modules(curator_plugins.__path__)
    ]
    assert [module.__name__ for module in modules if hasattr(getattr(module, hook, None), "curator_impl")]
    assert getattr(spec.CuratorSpec, hook).__doc__


def keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """The keys of a settings model, dotted; of a dictionary of models, those of the model."""
    for name, field in model.model_fields.items():
        if name == "comment":
            continue
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        models = [one for one in inner if issubclass(one, BaseModel)]
        if models and field.annotation is models[0]:
            yield from keys(models[0], f"{before}{name}.")
        elif models:
            yield from (f"*.{key}" for key in keys(models[0]))
        else:
            yield before + name


@pytest.mark.parametrize("name", config.MODELS | hyperparameters.EXPORT_MODELS)
def test_every_setting_is_documented(name: str) -> None:
    pages = re.split(r"^## ", document("settings.md"), flags=re.MULTILINE)
    page = next((one for one in pages if one.startswith(f"etc/{name}.json")), "")
    named = re.findall(r"`([^`]+)`", page)
    missing = [
        key for key in keys((config.MODELS | hyperparameters.EXPORT_MODELS)[name])
        if not any(one == key or (key.startswith("*.") and one.endswith(key[1:])) for one in named)
    ]  # fmt: skip
    assert missing == [], f"docs/settings.md, etc/{name}.json: not named: {', '.join(missing)}"


def words_of(node: ast.AST) -> Iterator[str]:
    """Every text in an expression; of an f-string its first piece."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def reasons() -> set[str]:
    """Every reason code that appears in the source: what is raised, dropped, rejected and answered by filters."""
    calls = {"BadJson", "Unreadable", "Reject", "Drop", "_drop", "on_drop", "_drop_row", "_narrow"}
    found: set[str] = set()
    for path in (*CURATOR, *PLUGINS):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in calls:
                    plain = [one.value for one in node.args if isinstance(one, ast.Constant)]
                    found |= {one for one in plain if isinstance(one, str) and re.fullmatch("[a-z][a-z0-9_]+", one)}
                if name == "Filter" and isinstance(node.args[0], ast.Constant):
                    found.add(str(node.args[0].value))
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
                found |= {one for one in words_of(node.value) if re.fullmatch("[a-z_]+", one)}
            elif isinstance(node, ast.Return) and node.value is not None and path.name == "filters.py":
                starts = (re.match(r"([a-z][a-z0-9_]+): ", one) for one in words_of(node.value))
                found |= {start[1] for start in starts if start}
    return found - STAGES


def test_every_reason_code_is_documented_and_every_documented_one_exists() -> None:
    used = reasons()
    assert {"bad_json", "bad_time", "not_regular", "no_pair", "untrimmable", "near_duplicate", "over_max"} <= used
    documented = set(re.findall(r"^\|[^|]*\| `([a-z0-9_]+)`", document("reasons.md"), flags=re.MULTILINE))
    assert sorted(used - documented) == [], "docs/reasons.md does not name these"
    assert sorted(documented - used) == [], "docs/reasons.md names these, but nothing gives them"


def test_the_order_of_cleaners_and_filters_in_etc_names_each_of_them_once() -> None:
    settings = config.load_settings(None).curate
    given = {word for path in PLUGINS for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
             and getattr(node.func, "id", "") in ("Filter", "Cleaner") for word in [str(node.args[0].value)]}  # type: ignore[attr-defined]  # fmt: skip
    assert sorted((*settings.filters, *settings.cleaners)) == sorted(given)


# --- the source itself -----------------------------------------------------------------------------------------------


def test_no_tracked_file_holds_an_absolute_path_of_this_machine() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and the checkout's .git")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    path_of_ours = re.compile(rb"(?<![\w.~/-])/(?:work|root|" + rb"tmp)/(?=[\w.])")
    found = []
    for name in filter(None, listed.split(b"\0")):
        path = ROOT / name.decode()
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data and (match := path_of_ours.search(data)):
                found.append(f"{name.decode()}:{data[: match.start()].count(10) + 1}")
    assert found == []


def test_functions_stay_short() -> None:
    lengths = [
        node.end_lineno - node.lineno + 1
        for path in (*CURATOR, *PLUGINS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert len(lengths) > 200
    assert statistics.median(lengths) <= 12
    assert statistics.quantiles(lengths, n=10)[-1] <= 40

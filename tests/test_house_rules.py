"""The rules of the house: direction of imports, frozen records, fresh generated files, documentation that keeps up."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import runpy
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args

import curator_plugins
import msgspec
import pytest
from conftest import ROOT
from pydantic import BaseModel

import curator
import trainer
from curator import config, hooks
from curator.contract.chat_format import load_family
from curator.contract.finetune_config import load_fine_tune

# The scripts of exports/recipes/ are no part of the curator: they run where a model is trained, with another's imports.
RECIPES: Final = ROOT / "curator" / "exports" / "recipes"
CURATOR: Final = [path for path in sorted((ROOT / "curator").rglob("*.py")) if path.parent != RECIPES]
CONTRACT: Final = sorted((ROOT / "curator" / "contract").glob("*.py"))
PLUGINS: Final = sorted((ROOT / "plugins").rglob("*.py"))
TRAINER: Final = sorted((ROOT / "trainer").rglob("*.py"))
HOOKS: Final = sorted(name for name in vars(hooks.CuratorSpec) if not name.startswith("_"))
SETTINGS_FILES: Final = config.MODELS | config.EXPORT_MODELS
# The one place where the curator itself reaches for the built-in plugins; plugin_manager loads them all by name.
REACHES_FOR_PLUGINS: Final = {"curator/reports/doctor.py"}
STAGES: Final = {"read", "event", "pair", "clean", "screen", "select"}
# Records whose field is a JSON object as it stands in a file, or as it goes into one, and where that is described.
FREE_FORM: Final = {
    "curator.importing.importer.Found.details": "what a reader keeps for itself between find and read",
    "trainer.model.checkpoint.Record.data": "a part of trainer.json: schemas/checkpoint.schema.json",
    "trainer.model.checkpoint.Record.settings": "a part of trainer.json: keys of etc/trainer.json, docs/settings.md",
    "trainer.training.runner.TrainingJob.about": "what becomes `data` of trainer.json",
    "trainer.training.runner.TrainingJob.plan": "training/plan.json, which only a resumed training reads",
    "trainer.training.finetune.FinetuneRequest.options": "keys of etc/trainer.json as the command line has them",
    "trainer.evaluation.report.HealthReport.curves": "the lines of training/metrics.jsonl, whatever figures they have",
    "trainer.evaluation.report.HealthReport.samples": "the lines of training/samples.jsonl",
    "trainer.evaluation.report.HealthReport.sweep": "rows of health.json: schemas/health.schema.json, docs/health.md",
    "trainer.external.model.ExternalModel.config": "PEFT's adapter_config.json, another program's file",
    "trainer.external.model.ExternalModel.sampling": "transformers' generation_config.json, another program's file",
}


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


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


# --- imports ---------------------------------------------------------------------------------------------------------


def test_the_curator_imports_neither_the_trainer_nor_torch_nor_plugins() -> None:
    for path in CURATOR:
        for module, _ in imports(path):
            top = module.partition(".")[0]
            assert top not in ("torch", "trainer", "sentencepiece", "safetensors"), path.name
            assert top != "curator_plugins" or shown(path) in REACHES_FOR_PLUGINS, path.name


def test_the_contract_knows_neither_program() -> None:
    assert len(CONTRACT) > 10
    for path in CONTRACT:
        for module, _ in imports(path):
            assert module.partition(".")[0] not in ("trainer", "curator_plugins", "plugins", "torch"), path.name
            assert module.partition(".")[0] != "curator" or f"{module}.".startswith("curator.contract."), path.name


def test_plugins_use_only_the_curators_public_names() -> None:
    assert len(PLUGINS) > 15
    for path in PLUGINS:
        for module, names in imports(path):
            assert module.partition(".")[0] not in ("curator_plugins", "plugins", "trainer", "torch"), path.name
            assert not module.startswith("curator."), f"{path.name}: {module} is not public"
            if module == "curator":
                assert set(names) <= set(curator.__all__), path.name


def test_the_trainer_imports_the_contract_and_nothing_else_of_the_curator_or_its_plugins() -> None:
    used = {module for path in TRAINER for module, _ in imports(path)}
    of_ours = {module for module in used if module.partition(".")[0] in ("curator", "curator_plugins", "plugins")}
    assert "curator.contract.errors" in of_ours
    assert {module for module in of_ours if not f"{module}.".startswith("curator.contract.")} == set()


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


def modules_of(*packages: ModuleType) -> list[ModuleType]:
    """Every module of some packages, rooms and all."""
    found = list(packages)
    for package in packages:
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not one.name.endswith(".__main__") and not one.name.startswith("curator.exports.recipes"):
                found.append(importlib.import_module(one.name))
    return found


def classes_of(*packages: ModuleType) -> list[type[Any]]:
    """Every class that is declared in some packages."""
    return [
        one
        for module in modules_of(*packages)
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]


def test_every_record_is_frozen() -> None:
    structs = [one for one in classes_of(curator, trainer) if issubclass(one, msgspec.Struct)]
    assert len(structs) > 20
    assert [one.__name__ for one in structs if not one.__struct_config__.frozen] == []


def test_what_plugins_hand_over_and_settings_are_frozen_too() -> None:
    classes = [one for one in vars(hooks).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]
    assert {one.__name__ for one in classes} == {
        "Cleaner", "Exporter", "ExportJob", "FileReader", "Filter", "Importer", "MemorySource", "Mode", "Pack",
        "PackJob", "Recipe", "Reject",
    }  # fmt: skip
    for one in (*classes, config.Settings):
        assert one.__dataclass_params__.frozen, one.__name__  # type: ignore[attr-defined]
    for model in config.MODELS.values():
        assert model.model_config["frozen"], model.__name__


def is_record(one: type[Any]) -> bool:
    """Whether a class only holds values: a Struct, a pydantic model, or a frozen dataclass."""
    if issubclass(one, msgspec.Struct | BaseModel):
        return True
    return dataclasses.is_dataclass(one) and bool(one.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def is_free_form(annotation: ast.expr) -> bool:
    """Whether a type says nothing of what is in it: `dict`, `object`, `Any`, or one of these inside another type.

    What a Callable takes and gives is no field's value.
    """
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if name == "Annotated":
            inner = inner[:1]
        return name not in ("Callable", "Literal", "ClassVar") and any(is_free_form(one) for one in inner)
    if isinstance(annotation, ast.BinOp):
        return is_free_form(annotation.left) or is_free_form(annotation.right)
    name = ast.unparse(annotation).rpartition(".")[2]
    return name in ("dict", "Mapping", "MutableMapping", "list", "tuple", "set", "object", "Any")


def free_form_fields(classes: Iterable[type[Any]]) -> list[str]:
    """Each field of a record that holds anything whatever, by the full name of its class."""
    found = []
    for one in classes:
        for name, annotation in (inspect.get_annotations(one) if is_record(one) else {}).items():
            text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
            if is_free_form(ast.parse(text, mode="eval").body):
                found.append(f"{one.__module__}.{one.__qualname__}.{name}")
    return found


def test_no_record_holds_a_free_form_dict() -> None:
    """But for those that the table names; a line of it that nothing needs any more is wrong too."""
    both = classes_of(curator, trainer, curator_plugins)
    assert {one.__module__.partition(".")[0] for one in both if is_record(one)} >= {"curator", "trainer"}
    assert sorted(free_form_fields(both)) == sorted(FREE_FORM)


def test_a_free_form_dict_would_be_found() -> None:
    class Struct(msgspec.Struct, frozen=True):
        bare: dict  # type: ignore[type-arg]
        free: dict[str, Any]
        typed: dict[str, int]
        raw: msgspec.Raw

    class Model(BaseModel):
        anything: object
        rows: list[dict[str, object]]
        typed: list[dict[str, str | None]]

    @dataclass(frozen=True)
    class Data:
        maybe: dict[str, Any] | None
        call: Any
        asks: Sequence[str]

    @dataclass
    class State:
        free: dict[str, Any]

    found = [name.rpartition("<locals>.")[2] for name in free_form_fields([Struct, Model, Data, State])]
    assert found == ["Struct.bare", "Struct.free", "Model.anything", "Model.rows", "Data.maybe", "Data.call"]


def test_the_committed_schemas_are_fresh() -> None:
    fresh = runpy.run_path(str(ROOT / "schemas" / "generate.py"))["fresh"]()
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / "schemas").iterdir() if path.suffix == ".json"}
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert stale == [], f"stale: {', '.join(stale)}; run: make schemas"


def test_every_json_file_of_etc_is_loaded_by_something() -> None:
    config.load_settings(None)
    config.load_export(None)
    for path in sorted((ROOT / "etc").rglob("*.json")):
        if path.parent.name == "schemas":
            assert load_family(path).family == path.stem
        elif path.parent.name == "modes":
            load_fine_tune(None, path.stem.removesuffix("-config"))
        elif path.stem == "trainer":
            continue  # the trainer's: tests/trainer/test_settings.py
        else:
            assert path.parent == ROOT / "etc"
            assert path.stem in SETTINGS_FILES, f"nothing reads etc/{path.name}"


def test_every_shipped_file_of_etc_fits_its_schema() -> None:
    from jsonschema import Draft202012Validator

    for name in SETTINGS_FILES:
        schema = json.loads((ROOT / "schemas" / f"etc_{name.replace('-', '_')}.schema.json").read_text("utf-8"))
        data = json.loads((ROOT / "etc" / f"{name}.json").read_text("utf-8"))
        assert [error.message for error in Draft202012Validator(schema).iter_errors(data)] == [], name


# --- documentation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_used_by_a_built_in_plugin(hook: str) -> None:
    assert f"`{hook}`" in document("hooks.md") or f"`{hook}(" in document("hooks.md")
    modules = modules_of(curator_plugins)
    assert [module.__name__ for module in modules if hasattr(getattr(module, hook, None), "curator_impl")]
    assert getattr(hooks.CuratorSpec, hook).__doc__


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


@pytest.mark.parametrize("name", SETTINGS_FILES)
def test_every_setting_is_documented(name: str) -> None:
    pages = re.split(r"^## ", document("settings.md"), flags=re.MULTILINE)
    page = next((one for one in pages if one.startswith(f"etc/{name}.json")), "")
    named = re.findall(r"`([^`]+)`", page)
    missing = [
        key for key in keys(SETTINGS_FILES[name])
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
    calls = {"BadJson", "Unreadable", "Reject", "Drop", "_drop", "drop", "on_drop", "_drop_row", "_narrow"} | {
        "TurnedDown"
    }
    found: set[str] = set()
    for path in (path for path in (*CURATOR, *PLUGINS) if path.parent.name not in ("importers", "importing")):
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
            elif isinstance(node, ast.Return) and node.value is not None and path.parent.name == "filters":
                starts = (re.match(r"([a-z][a-z0-9_]+): ", one) for one in words_of(node.value))
                found |= {start[1] for start in starts if start}
    return found - STAGES


def test_every_reason_code_is_documented_and_every_documented_one_exists() -> None:
    used = reasons()
    assert {"bad_json", "bad_time", "not_regular", "no_pair", "untrimmable", "near_duplicate", "over_max"} <= used
    assert {"plugin_error", "duplicate", "other_mode", "reserved_tag", "secret"} <= used
    documented = set(re.findall(r"^\|[^|]*\| `([a-z0-9_]+)`", document("reasons.md"), flags=re.MULTILINE))
    assert sorted(used - documented) == [], "docs/reasons.md does not name these"
    assert sorted(documented - used) == [], "docs/reasons.md names these, but nothing gives them"


def test_every_reason_of_a_reader_of_exports_is_documented() -> None:
    """What a reader gives as the reason of a Skip stands in docs/imports.md; text beside it is a place or a detail."""
    found = set()
    for path in (
        *sorted((ROOT / "plugins" / "importers").glob("*.py")),
        *(ROOT / "curator" / "importing").glob("*.py"),
    ):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Skip" and len(node.args) > 1:
                found |= {one for one in words_of(node.args[1]) if re.fullmatch("[a-z][a-z0-9_]+", one)}
    assert {"other_branch", "damaged", "bad_shape"} <= found
    rows = re.findall(r"^\|((?: `[a-z_]+`,?)+) \|", document("imports.md"), flags=re.MULTILINE)
    documented = set(re.findall(r"`([a-z_]+)`", "".join(rows)))
    assert sorted(found - documented) == [], "docs/imports.md does not name these"


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


def function_lengths(modules: Iterable[ast.Module]) -> list[int]:
    """The lines of every function, methods and inner ones too."""
    return [
        node.end_lineno - node.lineno + 1
        for module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]


def too_long(lengths: Sequence[int]) -> str:
    """What is wrong with the lengths of functions; "" where half of them have 12 lines at most, and 9 of 10 have 40."""
    half, most = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]
    return f"half of them are over {half} lines, a tenth over {most}" if half > 12 or most > 40 else ""


@pytest.mark.parametrize("program", [[*CURATOR, *PLUGINS], TRAINER], ids=["curator", "trainer"])
def test_functions_stay_short(program: list[Path]) -> None:
    lengths = function_lengths(tree(path) for path in program)
    assert len(lengths) > 200
    assert too_long(lengths) == ""


def test_a_long_function_would_be_found() -> None:
    def made(*sizes: int) -> list[int]:
        texts = ("def f():\n" + "    pass\n" * (size - 1) for size in sizes)
        return function_lengths(ast.parse(text) for text in texts)

    assert made(5, 41) == [5, 41]
    assert too_long(made(*[12] * 20)) == ""
    assert too_long(made(*[13] * 20)) == "half of them are over 13.0 lines, a tenth over 13.0"
    assert too_long(made(*[5] * 17, *[60] * 3)).endswith("a tenth over 60.0")

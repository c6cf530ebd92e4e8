"""What an export is made of: run, tool, family and configuration, found and checked before a file is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from curator.config import ExportConfig, Settings, load_export, load_settings
from curator.contract.chat_format import ChatFormat, detect_family, named_family, pick_family
from curator.contract.errors import CuratorError, UsageError, counted, unknown_name
from curator.contract.files import read_bytes
from curator.contract.finetune_config import FineTuneConfig, load_fine_tune
from curator.contract.homes import CORE, find_profile
from curator.contract.jinja_chat import family_template
from curator.contract.records import Family, family_of_run, read_summary
from curator.exports.conversations import (
    NEEDED,
    ConversationReader,
    check_alternation,
    fitting,
    last_replies,
    system_in_user_turn,
)
from curator.exports.hyperparameters import keys_for
from curator.exports.run_samples import RunSamples
from curator.hooks import Exporter, ExportJob, PackJob
from curator.plugin_manager import Registry, fill, load_plugins, switched_off
from curator.records import Conversation

_MOST_LETTERS: Final = 64  # of the person's name
_MARKUP: Final = re.compile(r"[*_`\[\]<>{}#|\\~&$]|^(?:[-+=:]|\d+[.)])")  # Markdown, HTML and macros


@dataclass(frozen=True)
class ExportRequest:
    """All that one `curate export` was asked for. `out` None: a preview, which writes nothing."""

    run: Path
    tool: str
    out: Path | None = None
    method: Literal["lora", "full"] | None = None
    base_model: str | None = None
    family: str | None = None
    tags: Literal["content", "none"] = "content"
    home: Path | None = None


@dataclass(frozen=True)
class Plan:
    """An export as it was resolved: the tool, the family, the configuration and the reader of the run."""

    request: ExportRequest
    settings: Settings
    exporter: Exporter
    plugin: str
    family: Family
    config: FineTuneConfig
    export_config: ExportConfig
    reader: ConversationReader
    job: ExportJob
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PackPlan:
    """A persona pack as it was resolved: the exporter, its plugin, and the run that it is made from."""

    request: ExportRequest
    exporter: Exporter
    plugin: str
    samples: RunSamples
    job: PackJob


def plan_export(request: ExportRequest) -> Plan | PackPlan:
    """Find everything that an export needs. Raises UsageError for an unknown run, tool, method, model or key."""
    summary = read_summary(request.run, NEEDED)
    settings = load_settings(request.home)
    registry = _registry(settings, request.home, summary)
    if request.tool not in registry.exporters:
        off = switched_off(settings, request.home, request.tool)
        raise unknown_name("tool", request.tool, registry.exporters, off or "curate plugins lists who gives them")
    exporter, plugin = registry.exporters[request.tool], registry.owners[f"export {request.tool}"]
    if exporter.kind == "pack":
        _refuse_options(request)
        samples = RunSamples(request.run, registry.control_tokens)
        folder = request.out.absolute().name if request.out else ""
        return PackPlan(request, exporter, plugin, samples, _pack_job(samples, settings, request.home, folder))
    return _plan_rows(request, settings, registry, (exporter, plugin))


def plan_persona(run: Path, home: Path | None) -> tuple[RunSamples, PackJob]:
    """Return what a persona is made from, for what writes no folder. Raises UsageError where `run` is no run."""
    summary = read_summary(run, NEEDED)
    settings = load_settings(home)
    samples = RunSamples(run, _registry(settings, home, summary).control_tokens)
    return samples, _pack_job(samples, settings, home, "")


def _registry(settings: Settings, home: Path | None, summary: Mapping[str, Any]) -> Registry:
    """Load the plugins; which family the filters are given does not matter here, since an export filters nothing.

    The run's own family is among the families, also where it came from a file that no home has.
    """
    registry = load_plugins(settings, home)
    default, name, own = settings.curate.default_family, str(summary["family"]), family_of_run(summary)

    def family(families: dict[str, Family]) -> Family:
        if own:
            families.setdefault(name, own)
        return families.get(name) or pick_family(families, None, None, default)

    fill(registry, settings, family)
    return registry


def _pack_job(samples: RunSamples, settings: Settings, home: Path | None, folder: str) -> PackJob:
    username = str(samples.summary["username"])
    return PackJob(
        folder=folder, username=username, person=_person(home, username), run=str(samples.summary["label"]),
        samples=samples, settings=settings, consent=load_export(home).consent.strip(),
    )  # fmt: skip


def _person(home: Path | None, username: str) -> str:
    """Return what the person is called, by persona/core.json (identity.humanName); else the user name.

    A name stands in headings, cards and instructions: one that a pack may not show, or that is markup, is not taken.
    """
    from curator.exports.pack.texts import may_be_shown

    try:
        core = msgspec.json.decode(read_bytes(find_profile(home, username) / CORE)) if home else {}
        name = " ".join(core["identity"]["humanName"].split())
    except (CuratorError, OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return username
    fit = 0 < len(name) <= _MOST_LETTERS and name.isprintable() and may_be_shown(name) and not _MARKUP.search(name)
    return name if fit else username


def _refuse_options(request: ExportRequest) -> None:
    """Raise UsageError for an option that says how a model is trained: a persona pack trains none."""
    given = {"--method": request.method, "--base-model": request.base_model, "--family": request.family}
    named = [option for option, value in given.items() if value is not None]
    named += ["--tags"] if request.tags != "content" else []
    if named:
        raise UsageError(
            f"--to {request.tool} makes a persona pack, which trains no model: {named[0]} means nothing there",
            f"leave out {' and '.join(named)}",
        )


def _plan_rows(request: ExportRequest, settings: Settings, registry: Registry, given: tuple[Exporter, str]) -> Plan:
    """Find what training data needs beside the run: the model, its family, the configuration."""
    exporter, plugin = given
    summary = read_summary(request.run, NEEDED)
    config, _ = load_fine_tune(request.home, _one_mode(summary))
    base_model = _base_model(request.base_model or config.base_model, request.tool)
    warnings: list[str] = []
    family = _family(registry.families, request.family, base_model, summary["family"], warnings)
    if exporter.template == "server":
        warnings.clear()  # the service knows its models' template by itself
    method = request.method or ("lora" if config.training_mode == "lora" else "full")
    if method not in exporter.methods:
        raise UsageError(
            f"{exporter.title} knows no method {method!r}: expected {' or '.join(exporter.methods)}", "see --method"
        )
    export_config = load_export(request.home)
    reader = ConversationReader(request.run, request.tags, export_config, registry.control_tokens)
    keys, _ = keys_for(config, method, 0)
    around = family.user_prefix + family.user_suffix + family.assistant_prefix
    job = ExportJob(
        method=method,
        base_model=base_model,
        family=family,
        chat_format=ChatFormat(family),
        keys=keys,
        chat_template=family_template(family),
        own_template=not any(token in around for token in family.control_tokens),
        data=exporter.data,
    )
    return Plan(
        request=request, settings=settings, exporter=exporter, plugin=plugin, family=family, config=config,
        export_config=export_config, reader=reader, job=job, warnings=warnings,
    )  # fmt: skip


def _base_model(name: str, tool: str) -> str:
    """Return a base model's name; of a folder its whole path, since commands run in the export's folder."""
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if name.startswith("ft:"):  # a model that OpenAI has fine-tuned: ft:gpt-4.1-mini-2025-04-14:my-org::abc123
        if tool == "openai":
            return name
        raise UsageError(
            f"the base model {name!r} lies at OpenAI, and {tool} cannot train it",
            "export with --to openai, or name a model at Hugging Face with --base-model",
        )
    if not name.strip() or ":" in name:
        raise UsageError(
            f"the base model {name!r} is {'a name of Ollama' if name.strip() else 'empty'}: expected a name at Hugging "
            "Face (Qwen/Qwen3-4B-Instruct-2507) or a folder with weights",
            "name the model that is to be trained with --base-model",
        )
    return name


def _one_mode(summary: Mapping[str, Any]) -> str:
    return "" if summary["mode"] == "all" else str(summary["mode"])


def _family(
    families: dict[str, Family], named: str | None, base_model: str, of_run: str, warnings: list[str]
) -> Family:
    """Return the family named, else the base model's, else the run's own, and warn of the last."""
    if named:
        return named_family(named, families)
    try:
        return detect_family(Path(base_model).name if Path(base_model).is_dir() else base_model, families)
    except UsageError:
        if of_run not in families:
            raise
        warnings.append(
            f"the name of the base model {base_model!r} does not tell its family, so the run's own, {of_run!r}, is "
            "used; name another with --family if that is wrong"
        )
        return families[of_run]


def conversations(plan: Plan) -> Iterator[Conversation]:
    """Yield the rows of an export as conversations, checked: what the tool's own file is made of, in its order."""
    most, english = plan.config.max_seq_length, plan.settings.targets.characters_per_token
    for whole in plan.reader:
        check_alternation(whole)
        parts = fitting(whole, most, english) if len(whole.messages) > 3 else [whole]
        plan.reader.cut += parts[0] is not whole
        for part in parts:
            for row in (part,) if plan.exporter.per_message else last_replies(part):
                # Row by row: a system text that belongs into the last user's turn must be in every row.
                yield row if plan.exporter.template == "server" else system_in_user_turn(row, plan.family)


def cut_note(plan: Plan) -> str:
    """Say after a whole pass which conversations were cut; "" where none was."""
    cut, most = plan.reader.cut, plan.config.max_seq_length
    if not cut:
        return ""
    were = counted(cut, "conversation was", "conversations were")
    return (
        f"{were} longer than max_seq_length {most:,}, by an estimate, and cut between exchanges into rows that fit: "
        "every reply that is to be trained is in one of them"
    )

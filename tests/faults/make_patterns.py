"""Calls what makes a pattern from settings or from words, so that each place of ours that compiles one has done so."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from curator_plugins.cleaners import replies
from curator_plugins.cleaners.replies import filler_cleaner
from curator_plugins.exporters import torchtune
from curator_plugins.filters.screens import bot_notices
from curator_plugins.importers import gemini

from curator import config
from curator.contract import dialogue_files, secret_scan, special_tokens
from curator.contract.chat_format import load_family
from curator.contract.errors import UsageError
from curator.exports.preview import Viewer
from curator.importing.dates import dated_lines, prose_dates
from curator.importing.files.export_files import Entry
from curator.importing.phones import databases, meta
from curator.importing.unread import known_but_unread
from curator.language import clauses, corrections, folding
from curator.sampling import passage_facts, tool_calls, turns

ROOT = Path(__file__).resolve().parent.parent.parent
DATES = (
    "[13.01.25, 09:58:01] Ann: hello",
    "1/13/25, 9:58 PM - Ann: hello",
    "13/01/2025 à 09:58 - Ann: hello",
    "13. 1. 2025 klo 9.58.12 - Ann: hello",
    "2025/1/13 下午9:58 - Ann: hello",
)
LANGUAGES = "en de fr es it pt ru zh ja ko ar hi th".split()


def make() -> None:
    """Make every pattern that is made while a command runs."""
    settings = config.load_settings(None)
    clean = filler_cleaner(settings)
    bot_notices(settings)
    listed = {"en": SimpleNamespace(patterns=("^Well, ",))}
    replies._patterns(SimpleNamespace(fillers=SimpleNamespace(languages=listed)))  # type: ignore[arg-type]
    for text in ("Sure, I hope this helps. Bye.", "もちろん、助けになれば幸いです。", "Claro! Ven."):
        clean(text, None)  # type: ignore[arg-type]
    assert dialogue_files._of_labels("### Instruction: a\n### Response: b")
    secret_scan._invisible()
    secret_scan._patterns()
    special_tokens.leaks_role("Q: a")
    special_tokens._pattern(("user", "thought", "system"), ("<|im_end|>", "</s>", "[INST]", "<start_of_turn>"))
    assert special_tokens._plain_name("<user>", ("user",), ("</s>",))
    for line in DATES:
        assert dated_lines.Heading.of([line]), line
    for language in LANGUAGES:
        prose_dates._names(language)
        for table in ("limits", "subordinate", "prepositions"):
            clauses._start_of(table, frozenset({language}))
    meta._notices()
    clauses.Beginnings(("As an AI…", "I cannot", "申し訳"))
    for language in corrections._UNCUT:
        corrections._lexicon(language)
        corrections._title_pattern(language)
    folding._units()
    for name, one in settings.questions.languages.items():
        assert passage_facts.Vocabulary(name, one)._any_word
    known_but_unread(SimpleNamespace(entries=[SimpleNamespace(name="a.txt")]))  # type: ignore[arg-type]
    assert turns.mentions("well, Иванов, hi", "Иванов Петр")
    tool_calls.closes("thanks, bye", ("thanks",), clauses.OnlyWords(("bye", "はい")))
    for model in ("meta-llama/Llama-3.1-8B-Instruct", "google/gemma-2-9b"):
        with suppress(UsageError):
            torchtune._model(model)
    titles = [{"title": f"Gefragt: {number}", "safeHtmlItem": [{"html": "a"}]} for number in range(12)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "MyActivity.json")
        path.write_text(json.dumps(titles), "utf-8")
        assert gemini._prompted(Entry(path.name, path.stat().st_size, path)).match("Gefragt: was?")
        path.write_bytes(b"SQLite format 3\0")
        databases._written_in(Entry(path.name, path.stat().st_size, path), ["message"])
    Viewer(SimpleNamespace(family=load_family(ROOT / "etc" / "schemas" / "qwen.json"), exporter=None))  # type: ignore[arg-type]

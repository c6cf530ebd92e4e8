"""A folder for `ollama create`: model.gguf and a Modelfile with the model's own template, stops and context.

Ollama runs the template once for each exchange, and in the last one leaves out all that follows `.Response`. Its parser
has no escapes: a newline is a newline between triple quotes. Source: ollama's template.go and parser.go.
"""

from __future__ import annotations

import re
from pathlib import Path

from curator.contract.errors import UsageError
from trainer.exports import gguf_file
from trainer.exports.go_template import go_each, go_if, missing_blank, role_is
from trainer.exports.paths import Files
from trainer.model.checkpoint import Checkpoint
from trainer.model.convert import StateDict
from trainer.model.prompt_template import Template
from trainer.settings import SamplingSettings

PROMPT, RESPONSE = "{{ .Prompt }}", "{{ .Response }}"
_OTHER = re.compile(r"[^a-z0-9._-]+")


def write(checkpoint: Checkpoint, files: Files, dtype: str) -> StateDict | None:
    """Write model.gguf and Modelfile; return the rounded weights, or None where none is rounded."""
    record = checkpoint.record
    text = modelfile(record.template, checkpoint.config.max_seq_len, files.name, record.sampling)
    rounded = gguf_file.write(checkpoint, files, dtype)
    files.beside("Modelfile").write_text(text, "utf-8", newline="\n")
    return rounded


def go_template(template: Template) -> str:
    """Return Ollama's template of a model. A reply keeps the blank at its beginning.

    In a model with several modes, the system text names the mode; otherwise it is the first. Raises UsageError for a
    template that Ollama would take as its own.
    """
    modes: list[str | None] = [*template.tags] or [None]
    before, after = ({mode: template.around(mode)[side] for mode in modes} for side in (0, 1))
    texts = (template.between, *before.values(), *after.values())
    if any("{{" in text or "}}" in text for text in texts):
        raise UsageError(
            "the model's template holds '{{' or '}}', which Ollama takes as its own", "export it --to gguf"
        )
    if len(modes) == 1:
        return before[modes[0]] + PROMPT + after[modes[0]] + RESPONSE + template.between
    first, *others = modes
    asked = _by_mode(before, first, others) + "{{ $m.Content }}" + _by_mode(after, first, others)
    answered = go_if("$m.Content", missing_blank(" ", "$m.Content")) + "{{ $m.Content }}" + template.between
    return go_each(go_if(role_is("user"), asked, go_if(role_is("assistant"), answered)))


def _by_mode(texts: dict[str | None, str], first: str | None, others: list[str | None]) -> str:
    """Return a template that writes the text of the mode named by the system text."""
    out = texts[first]
    for mode in reversed(others):
        out = go_if(f'eq $.System "{mode}"', texts[mode], out)
    return out


def modelfile(
    template: Template, context: int, weights: str = "model.gguf", stored: SamplingSettings | None = None
) -> str:  # fmt: skip
    """Return a Modelfile. Raises UsageError for a template that it cannot hold."""
    sampling = stored or SamplingSettings()
    lines = [
        f"FROM ./{weights}",
        f"TEMPLATE {quoted(go_template(template))}",
        *(f"PARAMETER stop {quoted(stop)}" for stop in template.stops),
        f"PARAMETER num_ctx {context}",
        f"PARAMETER num_predict {min(sampling.max_tokens, context)}",
        f"PARAMETER temperature {sampling.temperature:g}",
        f"PARAMETER top_k {sampling.top_k}",
        f"PARAMETER top_p {sampling.top_p:g}",
        f"PARAMETER min_p {sampling.min_p:g}",
        f"PARAMETER repeat_penalty {sampling.repetition_penalty:g}",
    ]
    return "\n".join(lines) + "\n"


def name_of(folder: Path) -> str:
    """Return a name for a model in Ollama, after its folder's: letters, digits, '.', '_' and '-'."""
    return _OTHER.sub("-", folder.resolve().name.lower()).strip("._-") or "my-model"


def quoted(text: str, instead: str = "export it --to gguf") -> str:
    """Return a text as a Modelfile holds it. Raises UsageError, with what to do `instead`, for one that it cannot."""
    if '"""' in text or not text.replace("\n", "").replace("\t", "").isprintable():
        raise UsageError(
            f"a Modelfile cannot hold {text!r}: it has no way to write three quotes or unprintable characters",
            instead,
        )
    return f'"""{text}"""'

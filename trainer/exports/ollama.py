"""A folder for `ollama create`: model.gguf and a Modelfile with the model's own template, stops and context.

Ollama runs the template once for each exchange; in the last it leaves out all that stands after `.Response`. Its parser
knows no escapes: a newline is a newline between triple quotes. Source: ollama's template.go and parser.go.
"""

from __future__ import annotations

from trainer.checkpoint import Checkpoint
from trainer.errors import UsageError
from trainer.exports import gguf_file
from trainer.exports.placing import Files
from trainer.layouts import State
from trainer.settings import SamplingSettings
from trainer.templates import Template

PROMPT, RESPONSE = "{{ .Prompt }}", "{{ .Response }}"


def write(checkpoint: Checkpoint, files: Files, dtype: str) -> State | None:
    """Write model.gguf and Modelfile; return the weights as rounded, None where none is."""
    text = modelfile(checkpoint.record.template, checkpoint.config.max_seq_len, files.name)
    rounded = gguf_file.write(checkpoint, files, dtype)
    files.beside("Modelfile").write_text(text, "utf-8", newline="\n")
    return rounded


def go_template(template: Template) -> str:
    """Return Ollama's template of a model. What it wrote comes back as `.Response`, with the blank at its beginning."""
    around = template.wrap("\0")
    if "{{" in around + template.between or "}}" in around + template.between:
        raise UsageError(
            "the model's template holds '{{' or '}}', which Ollama takes as its own", "export it --to gguf"
        )
    return around.replace("\0", PROMPT) + RESPONSE + template.between


def modelfile(template: Template, context: int, weights: str = "model.gguf") -> str:
    """Return a Modelfile. Raises UsageError for a template that it cannot hold."""
    sampling = SamplingSettings()
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


def quoted(text: str, instead: str = "export it --to gguf") -> str:
    """Return a text as a Modelfile holds it. Raises UsageError, with what to do `instead`, for one that it cannot."""
    if '"""' in text or not text.replace("\n", "").replace("\t", "").isprintable():
        raise UsageError(
            f"a Modelfile cannot hold {text!r}: it has no way to write three quotes or unprintable characters",
            instead,
        )
    return f'"""{text}"""'

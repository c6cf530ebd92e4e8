"""A model's own chat template (Jinja), rendered as transformers does, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class UnrenderableError(Exception):
    """A chat template that cannot be rendered for a conversation: it refuses it, or is broken."""


class _Generation(Extension):
    """`{% generation %}`, which marks what is trained: its content is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _day(form: str) -> str:
    """Return the day that Llama 3.1's template writes where it is told none: another date is no other template."""
    return datetime(2024, 7, 26).strftime(form)


@lru_cache(maxsize=1)  # one template is compared with every family
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": _day}
    return environment.from_string(template)


def render(template: str, asked: Sequence[str], answered: Sequence[str], system: str, bos: str, eos: str) -> str:
    """Return the prompt of a conversation whose last question has no answer yet, thinking switched off.

    Raises UnrenderableError, saying why, where the template refuses the conversation.
    """
    messages = [{"role": "system", "content": system}] if system else []
    for index, question in enumerate(asked):
        messages.append({"role": "user", "content": question})
        messages += [{"role": "assistant", "content": answer} for answer in answered[index : index + 1]]
    marks = {"bos_token": bos, "eos_token": eos}
    options = {"add_generation_prompt": True, "enable_thinking": False, "tools": None}
    try:
        return _compiled(template).render(messages=messages, **marks, **options)
    except Exception as error:  # whatever the code of a stranger's template comes to
        raise UnrenderableError(f"{type(error).__name__}: {error}") from None

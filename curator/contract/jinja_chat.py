"""Chat templates in Jinja: written for a family or for the small model, and any template rendered as by transformers.

A template runs in a sandbox, with `trim_blocks` and `lstrip_blocks`: it may come from a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from curator.contract.chat_format import ChatFormat
from curator.contract.modes import Tags
from curator.contract.records import Family, Message

if TYPE_CHECKING:
    import jinja2

_ALTERNATE = "After an optional system message, conversation roles must alternate user/assistant/user/assistant/..."


# --- rendering -----------------------------------------------------------------------------------------------------


class UnrenderableError(Exception):
    """A chat template that cannot be rendered for a conversation: it refuses it, or is broken."""


def render(template: str, messages: Sequence[Message], *, generation_prompt: bool, **values: Any) -> str:
    """Return messages as a chat template renders them; with `generation_prompt` up to where a reply begins.

    `values` are what the template may ask for: `bos_token`, `enable_thinking`, `mode`. Raises UnrenderableError, saying
    why, where the template refuses the conversation.
    """
    rows = [{"role": message.role, "content": message.content} for message in messages]
    variables = {"tools": None, "documents": None, "strftime_now": _day, **values}
    try:
        return _compiled(template).render(messages=rows, add_generation_prompt=generation_prompt, **variables)
    except UnrenderableError:
        raise  # the template's own words
    except Exception as error:  # a stranger's template may raise anything
        raise UnrenderableError(f"{type(error).__name__}: {error}") from None


@lru_cache(maxsize=4)
def _compiled(template: str) -> jinja2.Template:
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks what is trained: its content is rendered as it stands."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> NoReturn:
        raise UnrenderableError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _day(form: str) -> str:
    """Return the day that Llama 3.1's template writes by default: a fixed one, so that renderings do not change."""
    return datetime(2024, 7, 26).strftime(form)


# --- a family's template -------------------------------------------------------------------------------------------


def family_template(family: Family) -> str:
    """Return a chat template that renders messages exactly as `ChatFormat` does, behind the BOS where there is one.

    Tools tokenise what it renders without adding special tokens. With `add_generation_prompt` it ends where a reply
    begins. It keeps to what every Jinja knows. Each tag strips the white space before it: no setting of blocks matters.
    """
    chat = ChatFormat(family)
    inside = {"first_user": "loop.first", "last_user": "loop.index0 >= turns|length - 2"}.get(family.system_place)
    opening, content = _write(chat.opening), "{{- message['content'] }}"
    before, after = _text(chat.system_prefix), _text(chat.system_suffix)
    lines = [
        "{%- if messages[0]['role'] == 'system' %}",
        f"{{%- set system = {before} + messages[0]['content'] + {after} %}}",
        "{%- set turns = messages[1:] %}",
        "{%- else %}",
        f"{{%- set system = {_text(chat.default_system)} %}}",
        "{%- set turns = messages %}",
        "{%- endif %}",
        "{{- bos_token }}" if family.bos_token else "",
        "" if inside else "{{- system }}",
        "{%- for message in turns %}",
        "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}",
        f"{{{{- raise_exception({_text(_ALTERNATE)}) }}}}",
        "{%- endif %}",
        "{%- if message['role'] == 'user' %}",
        _write(family.turn_separator, unless="loop.first"),
        _write(family.user_prefix),
        f"{{%- if {inside} %}}{{{{- system }}}}{{%- endif %}}" if inside else "",
        content,
        _write(chat.closing),
        "{%- elif message['role'] == 'assistant' %}",
        opening,
        _write(chat.response_prefix),
        _write(family.reply_lead, unless="not loop.last"),
        content,
        _write(chat.response_suffix + chat.eos + chat.after_eos),
        "{%- else %}",
        f"{{{{- raise_exception({_text(_ALTERNATE)}) }}}}",
        "{%- endif %}",
        "{%- endfor %}",
        "{%- if add_generation_prompt %}" + opening + "{%- endif %}" if opening else "",
        _write(family.document_end, unless="add_generation_prompt"),
    ]
    return "\n".join(line for line in lines if line)


# --- the small model's template ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SmallFormat:
    """The texts around the exchanges of a small model, as its trainer.json has them.

    before | tag X | after | reply_before | tag Y | reply_after, and `between` before the next. `tags` are those of the
    modes that it was trained with, the first of which counts where none is named. `replaced` are characters that its
    training never saw, and what stands for each (curly quotes).
    """

    before: str
    after: str
    reply_before: str
    reply_after: str
    between: str
    tags: Mapping[str, Tags] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)


def small_template(form: SmallFormat) -> str:
    """Return a small model's template: `<s>`, then each exchange; the end of a reply is `<s>`.

    With several modes, the mode is the variable `mode`, else a system message that names one, else the first.
    """
    q = json.dumps
    content = "m.content" + "".join(f".replace({_text(a)}, {_text(b)})" for a, b in form.replaced.items())
    asked, answered, begun = q(form.before), q(form.reply_before), ""
    head = "{{- bos_token }}"
    if form.tags:
        head += _mode_of(form.tags)
        asked, answered = f"{asked} + user_tag", f"{answered} + assistant_tag"
        # A prompt never ends in a blank; after it, the reply begins with one, as every reply does.
        begun = "{%- if loop.last %}{{- begun_tag }}{%- endif %}"
    return (
        head + "{%- for m in messages %}{%- if m.role == 'assistant' %}"
        f"{{{{- {answered} + {content} + {q(form.reply_after)} }}}}"
        f"{{%- if loop.last %}}{{{{- bos_token }}}}{{%- else %}}{{{{- {q(form.between)} }}}}{{%- endif %}}"
        "{%- elif m.role == 'user' %}"
        f"{{{{- {asked} + {content} + {q(form.after)} }}}}{begun}"
        "{%- endif %}{%- endfor %}"
    )


def _mode_of(tags: Mapping[str, Tags]) -> str:
    """Return the statements that set `user_tag` and `assistant_tag` to the tags of the mode that is asked for, and
    `begun_tag` to what a prompt ends in."""
    first = next(iter(tags))
    names = "[" + ", ".join(f"'{mode}'" for mode in tags) + "]"
    picked = (
        f"{{%- set picked = mode if mode is defined and mode in {names} else (messages[0].content if messages and "
        f"messages[0].role == 'system' and messages[0].content in {names} else '{first}') %}}"
    )
    texts = {
        "user_tag": {mode: pair.user for mode, pair in tags.items()},
        "assistant_tag": {mode: pair.assistant for mode, pair in tags.items()},
        "begun_tag": {mode: f" {pair.assistant}".rstrip(" ") for mode, pair in tags.items()},
    }
    for name, by_mode in texts.items():
        value = json.dumps(by_mode[first])
        for mode in [mode for mode in tags if mode != first]:
            value = f"{json.dumps(by_mode[mode])} if picked == '{mode}' else ({value})"
        picked += f"{{%- set {name} = {value} %}}"
    return picked


def _write(text: str, unless: str = "") -> str:
    """Return the tag that writes `text`; nothing where there is nothing to write."""
    if not text:
        return ""
    tag = f"{{{{- {_text(text)} }}}}"
    return f"{{%- if not ({unless}) %}}{tag}{{%- endif %}}" if unless else tag


_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _text(text: str) -> str:
    """Return a Jinja string. Line ends are escaped, since Jinja makes them all "\\n"; other characters stand raw."""
    return f'"{text.translate(_ESCAPES)}"'

"""A family's Jinja chat template, made from its data: with it a tokenizer or a server renders as `Wrapper` does."""

from __future__ import annotations

from curator.families import Wrapper
from curator.records import Family

_ALTERNATE = "After an optional system message, conversation roles must alternate user/assistant/user/assistant/..."


def chat_template(family: Family) -> str:
    """Return a chat template that renders messages exactly as `Wrapper` does, behind the BOS where the family has one.

    Tools tokenise what it renders without adding special tokens. With `add_generation_prompt` it ends where a reply
    begins. It keeps to what every Jinja knows: each tag strips what stands before it, so no setting of blocks matters.
    """
    wrapper = Wrapper(family)
    inside = {"first_user": "loop.first", "last_user": "loop.index0 >= turns|length - 2"}.get(family.system_place)
    opening, content = _write(wrapper.opening), "{{- message['content'] }}"
    before, after = _text(wrapper.system_prefix), _text(wrapper.system_suffix)
    lines = [
        "{%- if messages[0]['role'] == 'system' %}",
        f"{{%- set system = {before} + messages[0]['content'] + {after} %}}",
        "{%- set turns = messages[1:] %}",
        "{%- else %}",
        f"{{%- set system = {_text(wrapper.default_system)} %}}",
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
        _write(wrapper.closing),
        "{%- elif message['role'] == 'assistant' %}",
        opening,
        _write(wrapper.lead),
        _write(family.reply_lead, unless="not loop.last"),
        content,
        _write(wrapper.gap + wrapper.mark + wrapper.rest),
        "{%- else %}",
        f"{{{{- raise_exception({_text(_ALTERNATE)}) }}}}",
        "{%- endif %}",
        "{%- endfor %}",
        "{%- if add_generation_prompt %}" + opening + "{%- endif %}" if opening else "",
        _write(family.document_end, unless="add_generation_prompt"),
    ]
    return "\n".join(line for line in lines if line)


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

"""A base model's own tokenizer from its folder: its chat template rendered, and texts as token ids. No model is loaded.

Rendering follows transformers (sandboxed Jinja with `trim_blocks` and `lstrip_blocks`); ids come from the `tokenizers`
library, which reads tokenizer.json as transformers does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from curator.contract.errors import HostError, UsageError, printable
from curator.contract.files import read_bytes
from curator.contract.homes import install_extra
from curator.contract.jinja_chat import UnrenderableError, render
from curator.contract.records import Message

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class Encoded:
    """Token ids of a text, for each the stretch of the text it stands for and whether it is a special token."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    special: tuple[bool, ...]


class ChatTokenizer:
    """The tokenizer of a folder with tokenizer.json and tokenizer_config.json, as Hugging Face lays it out.

    Raises UsageError where a file is missing or damaged, HostError where the library that reads it is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = _json_file(folder / "tokenizer_config.json")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise HostError(
                "a tokenizer folder is read with the library 'tokenizers', which is not installed",
                install_extra("preview"),
            ) from None
        path = folder / "tokenizer.json"
        try:
            self._tokenizer: tokenizers.Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises its own bare Exception
            why = "no such file" if not path.is_file() else str(error)
            raise UsageError(
                f"{printable(str(path))}: {why}", "name a folder with tokenizer.json, as a model's folder has it"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}

    @cached_property
    def template(self) -> str:
        """The chat template: chat_template.jinja, else that of tokenizer_config.json; "" for none.

        Raises UsageError where it cannot be read.
        """
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            try:
                return read_bytes(path).decode("utf-8").replace("\r\n", "\n")
            except (OSError, UnicodeDecodeError) as error:
                problem = f"{printable(str(path))}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
                raise UsageError(problem, "download the tokenizer again") from None
        template = self.config.get("chat_template") or ""
        if isinstance(template, list):
            template = next((entry.get("template", "") for entry in template if entry.get("name") == "default"), "")
        return str(template)

    def token(self, name: str) -> str:
        """Return a special token of the configuration ("bos_token"); "" where there is none."""
        value = self.config.get(name) or ""
        return str(value.get("content", "")) if isinstance(value, dict) else str(value)

    def encode(self, text: str) -> Encoded:
        """Return the ids of a rendered text: no BOS is added to what the template has written."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoded(
            tuple(encoding.ids), tuple(encoding.offsets), tuple(number in self._special for number in encoding.ids)
        )

    def piece(self, number: int) -> str:
        """Return what a token stands for, its special ones included."""
        return str(self._tokenizer.decode([number], skip_special_tokens=False))

    def render(self, messages: Sequence[Message], template: str = "", prompt: bool = False) -> str:
        """Return the messages in the chat template; with `prompt` up to where a reply begins.

        Raises UsageError with the template's own words where it refuses them.
        """
        special = {name: self.token(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}

        def now(layout: str) -> str:
            return datetime.now(UTC).strftime(layout)

        try:
            return render(template or self.template, messages, generation_prompt=prompt, strftime_now=now, **special)
        except UnrenderableError as error:
            raise UsageError(
                f"{printable(str(self.folder))}: its chat template refuses these messages: {error}",
                "name another base model or --family, or leave --tags none away",
            ) from None


def _json_file(path: Path) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(read_bytes(path))
    except OSError as error:
        raise UsageError(
            f"{printable(str(path))}: {error.strerror}", "name the folder of a base model or of its tokenizer"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{printable(str(path))}: no JSON: {error}", "download the tokenizer again") from None
    if not isinstance(data, dict):
        raise UsageError(f"{printable(str(path))}: expected a JSON object", "download the tokenizer again")
    return data

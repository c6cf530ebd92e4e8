"""sources.json: the texts of a base, how each is read, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curator.contract.errors import UsageError
from curator.contract.files import read_text


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSource(_Record):
    """One collection of texts that a base learns from: where it lies, how it is read, whose it is.

    `files` are globs below the folder of texts. `share` is its part of the tokens that a base sees.
    """

    name: str = Field(pattern=r"[a-z][a-z0-9-]*")
    files: list[str] = Field(min_length=1)
    kind: Literal["talk", "stories", "books"]
    share: float = Field(ge=0, le=1, description="of the tokens that a base is trained on")
    last_share: float = Field(0.0, ge=0, le=1, description="of those at the end, while the learning rate falls")
    answers: bool = Field(False, description="only short questions and the replies that answer them")
    relevance: float = Field(
        0.0, ge=0, description="of talk, nats by which a judging base must find a reply likelier after its prompt"
    )
    documents: int = Field(0, ge=0, description="at most so many; 0: all")
    topics: float = Field(1.0, ge=0, le=1, description="share kept of windows that speak of films, music or sport")
    excerpts: bool = Field(True, description="may excerpts of it be shipped as replay and held-out text")
    title: str
    credit: str = Field(description="whom its licence asks to name")
    licence: str = Field(description="its SPDX identifier")
    notice: str | None = Field(None, description="file of the notice that must come along, beside sources.json")
    url: str

    @model_validator(mode="after")
    def _relevance_is_of_talk(self) -> TextSource:
        if self.relevance and self.kind != "talk":
            raise ValueError(f"{self.name}: relevance is of replies, and {self.kind} have none; leave it out")
        return self


class Sources(_Record):
    """sources.json: the texts of a base, and the rules by which windows and passages of them are dropped."""

    format: Literal["persona-curator-sources"] = "persona-curator-sources"
    version: Literal[1] = 1
    passage: dict[Literal["stories", "books"], int] = Field(description="characters of a passage")
    least_count: int = Field(3, ge=1, description="a word that is there less often drops its window")
    dialect: float = Field(0.02, ge=0, le=1, description="share of unknown words above which a passage is dropped")
    held_out: float = Field(0.015, ge=0, le=0.5, description="share of conversations and passages held out")
    replay: int = Field(1_000_000, ge=0, description="characters of the excerpts that a fine-tune replays")
    held_out_excerpts: int = Field(340_000, ge=0, description="characters of the held-out excerpts")
    tokenizer_text: int = Field(20_000_000, ge=1, description="characters that the tokenizer is trained on")
    unwanted: list[str] = Field(description="words that drop a window: of one university and its church, and curses")
    topics: list[str] = Field(description="words of films, music and sport")
    new_words: list[str] = Field(description="words younger than the word list")
    sources: list[TextSource] = Field(min_length=1)


def read_sources(path: Path) -> Sources:
    """Read sources.json. Raises UsageError for one that is missing or not in its form."""
    try:
        return Sources.model_validate_json(read_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: {str(error)[:300]}", "expected a file like trainer/base/sources.json") from None

"""How a prompt and a reply become the text that a small model sees. No other code adds text around a sample."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curator.contract.chat_format import forged_turn
from curator.contract.errors import UsageError
from curator.contract.modes import MODE_NAME

Exchange = tuple[str, str]
QUOTES = {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"}
_QUOTES = str.maketrans(QUOTES)


def plain_quotes(text: str) -> str:
    """Return a text with straight quotes, as people type them."""
    return text.translate(_QUOTES)


class Template(BaseModel):
    """A model's own prompt template, kept in its trainer.json.

    The end mark is `<s>`, the one mark that a base has seen behind every document and on which run.c stops. A prompt
    never ends in a blank: the blank before a reply belongs to the reply's first token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: str = Field("llisa", max_length=64)
    prompt: str = Field("Q: {input}\nA:", description="text up to where the reply begins")
    reply: str = Field(" {output}", description="text of the reply, its end mark apart")
    between: str = Field("\n", description="between one exchange and the next")
    stops: list[str] = Field(default_factory=lambda: ["\nQ:"], description="text at which a reply is over too")
    tags: dict[str, list[str]] = Field(
        default_factory=dict, description="mode -> what stands before its prompt and its reply; none for one mode"
    )
    plain_quotes: bool = Field(False, description="curly quotes become straight, as in the base's own text")

    @model_validator(mode="after")
    def _whole(self) -> Template:
        if self.prompt.count("{input}") != 1 or self.reply.count("{output}") != 1:
            raise ValueError("expected {input} once in the prompt and {output} once in the reply")
        if self.prompt != self.prompt.rstrip(" "):
            raise ValueError("a prompt must not end in a blank: it would be a token that training never saw")
        if not self.reply.startswith((" ", "\n")):
            raise ValueError("a reply must begin with a blank or a newline, or its first word joins the prompt's last")
        if any(len(pair) != 2 or not MODE_NAME.fullmatch(mode) for mode, pair in self.tags.items()):
            raise ValueError("expected names of modes, with two tags for each")
        return self

    def _clean(self, text: str) -> str:
        return plain_quotes(text) if self.plain_quotes else text

    def _tags(self, mode: str | None) -> tuple[str, str]:
        if not self.tags:
            return "", ""
        if mode is None:
            mode = next(iter(self.tags))
        if mode not in self.tags:
            raise UsageError(f"this model knows no mode {mode!r}; expected one of {', '.join(self.tags)}")
        return self.tags[mode][0], self.tags[mode][1]

    def wrap(self, text: str, history: tuple[Exchange, ...] = (), mode: str | None = None) -> str:
        """Return the prompt of a text, after the earlier exchanges of its conversation."""
        user = self._tags(mode)[0]
        past = [
            self.prompt.replace("{input}", user + self._clean(asked)) + self.answer(answered, mode) + self.between
            for asked, answered in history
        ]
        before, after = self.around(mode)
        return "".join(past) + before + self._clean(text) + after

    def around(self, mode: str | None = None) -> tuple[str, str]:
        """Return the text before a prompt's words, and the text behind them up to the reply."""
        before, _, after = self.prompt.partition("{input}")
        user, assistant = self._tags(mode)
        return before + user, after + (f" {assistant}".rstrip(" ") if assistant else "")

    def answer(self, text: str, mode: str | None = None) -> str:
        """Return the text of a reply as it follows the end of `prompt`."""
        assistant = self._tags(mode)[1]
        return self.reply.replace("{output}", assistant + self._clean(text))

    def after_prompt(self, text: str, mode: str | None = None) -> str:
        """Return the text of a reply as it follows `wrap`, which ends in the reply's tag where there is one."""
        return f" {self._clean(text)}" if self._tags(mode)[1] else self.answer(text, mode)

    def is_wrapped(self, text: str) -> bool:
        """Say whether a prompt has this template's form already."""
        begin, _, end = self.prompt.partition("{input}")
        return text.startswith(begin.strip()) and text.rstrip().endswith(end.strip())

    def turn_mark(self, text: str) -> str:
        """Return the mark of a turn of this template that a text would write into the middle of itself; "" for none.

        A line that begins with one is a turn, blanks before it or not, and whatever ends the line before.
        """
        if stop := next((stop for stop in self.stops if stop in text), ""):
            return stop
        begin, _, end = self.prompt.partition("{input}")
        later = "".join(text.splitlines(keepends=True)[1:])  # where a text begins, nothing parts it from our own mark
        marks = [mark.strip() for mark in (begin, end) if mark.strip()]
        return next((f"\n{mark}" for mark in marks if forged_turn(later, (mark,)) >= 0), "")

"""A run's samples with all that they carry, and the files that each came from: what a persona pack is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from curator.contract.errors import JobError
from curator.contract.records import CURATED, LINEAGE, MAKE_AGAIN, Exchange, Source, read_summary
from curator.exports.conversations import NEEDED, run_lines, without_tokens
from curator.records import CuratedSample, LineageLine

_sample = msgspec.json.Decoder(CuratedSample).decode
_line = msgspec.json.Decoder(LineageLine).decode


@dataclass
class RunSamples:
    """The samples of a run in its order, as often as they are asked for. `tokens` are control tokens, which are spelled
    in braces; `braced` counts them after a whole pass."""

    folder: Path
    tokens: tuple[str, ...]
    braced: int = 0
    summary: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.summary = read_summary(self.folder, NEEDED)

    def __iter__(self) -> Iterator[CuratedSample]:
        """Yield every sample. Raises JobError where the file is not the run's."""
        self.braced = 0
        for number, line in run_lines(self.folder, CURATED, self.summary):
            sample: CuratedSample = _decoded(_sample, line, f"{CURATED}:{number}")
            context = tuple(
                [Exchange(self._plain(one.user_text), self._plain(one.assistant_text), one.trained)
                 for one in sample.context]
            )  # fmt: skip
            asked, answered = self._plain(sample.user_text), self._plain(sample.assistant_text)
            yield msgspec.structs.replace(sample, user_text=asked, assistant_text=answered, context=context)

    def sources(self) -> dict[str, tuple[Source, ...]]:
        """Return the files of every sample, from lineage.jsonl. Raises JobError where that is not the run's."""
        lines = (
            _decoded(_line, line, f"{LINEAGE}:{number}")
            for number, line in run_lines(self.folder, LINEAGE, self.summary)
        )
        return {line.sample_id: line.sources for line in lines}

    def _plain(self, text: str) -> str:
        plain, count = without_tokens(text, self.tokens)
        self.braced += count
        return plain


def _decoded(decode: Any, line: bytes, where: str) -> Any:
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JobError(f"{where}: {error}", MAKE_AGAIN) from None

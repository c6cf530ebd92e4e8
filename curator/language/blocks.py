"""Parts of a text that are never cut in the middle: fenced code, tables, formulas, code within a line."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

# A fence that nobody closed would make one part of all that follows it.
_MOST_CHARACTERS: Final = 20_000
_FENCE: Final = r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n`]*(?:\n(?:.*?\n)??[ \t]*(?P=fence)[`~]*[ \t]*$|(?:\n.*)?\Z)"
_TABLE: Final = (
    r"^[^\n|]*\|[^\n]*\n[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)++\|?[ \t]*+$(?:\n[^\n]*\|[^\n]*$)*"
    r"|(?:^[ \t]*\|[^\n]*\|[ \t]*$\n?){2,}"
)
# No part holds its own opening again: what is never closed is read once.
_DISPLAY: Final = (
    r"\$\$(?:[^$]|\$(?!\$)){1,4000}\$\$|\\\[(?:[^\\]|\\(?![\[\]])){1,4000}\\\]"
    r"|\\begin\{(?P<name>\w+\*?)\}(?:[^\\]|\\(?!begin\{|end\{)){0,4000}\\end\{(?P=name)\}"
)
_INLINE: Final = (
    r"`[^`\n]{1,400}`|\\\((?:[^\\\n]|\\(?![()])){1,400}\\\)"
    r"|\$(?=[^\s$])(?=[^$\n]{0,300}[\\^_={}<>+*/])[^$\n]{1,300}(?<=\S)\$(?!\d)"  # "$5 and $6" is no formula
)
_BLOCK: Final = re.compile(f"(?P<block>{_FENCE}|{_TABLE}|{_DISPLAY})|{_INLINE}", re.DOTALL | re.MULTILINE)
_SIGNS: Final = ("`", "|", "$", "\\", "~~~")
_FENCE_LINE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)


class Blocks:
    """The parts of `text` that must stay whole. `ends` are the places behind those that stand on lines of their own."""

    def __init__(self, text: str) -> None:
        found = list(_BLOCK.finditer(text)) if any(map(text.__contains__, _SIGNS)) else []
        spans = [(match.start(), match.end(), bool(match["block"])) for match in found]
        spans = [span for span in spans if span[1] - span[0] <= _MOST_CHARACTERS]
        self._starts, self._ends = [start for start, _, _ in spans], [end for _, end, _ in spans]
        self.ends = [end for _, end, block in spans if block]

    def __bool__(self) -> bool:
        return bool(self._starts)

    def within(self, place: int) -> bool:
        """Tell whether a cut at `place` would go through one of the parts."""
        number = bisect_right(self._starts, place - 1) - 1
        return number >= 0 and place < self._ends[number]


def closes_block(bare: str) -> bool:
    """Tell whether a text, white space off its end, ends with a closed fence, a table's row or a formula of its own."""
    line = bare.rpartition("\n")[2].strip()
    if line[:3] in ("```", "~~~") and not line.strip("`~"):
        return len(_FENCE_LINE.findall(bare)) % 2 == 0
    if line.endswith("|"):
        return line.startswith("|") and len(line) > 2 and "\n" in bare
    return line.endswith(("$$", "\\]")) or (line.endswith("}") and "\\end{" in line)

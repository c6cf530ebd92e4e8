"""Prints every pattern that our code compiles, with where: run by test_patterns_linear.py in an interpreter of its own.

`re.compile` is watched before anything of ours is imported; every module is imported, then what makes patterns from
settings or from words is called.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from typing import Any

import re2

FOUND: dict[tuple[str, int, str | bytes, int, str], None] = {}


def watched(module: Any, original: Any) -> Any:
    def compile_(pattern: Any, flags: Any = 0) -> Any:
        frame = sys._getframe(1)
        made = original(pattern, flags) if module is re else original(pattern, *([flags] if flags else []))
        if "/recipes/" not in frame.f_code.co_filename:
            number = int(made.flags) if module is re else int(not getattr(flags, "case_sensitive", True))
            FOUND.setdefault((frame.f_code.co_filename, frame.f_lineno, made.pattern, number, module.__name__))
        return made

    return compile_


def main() -> None:
    re.compile = watched(re, re.compile)
    re2.compile = watched(re2, re2.compile)
    import curator_plugins

    import curator
    import trainer

    for package in (curator, curator_plugins, trainer):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if "recipes" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    from make_patterns import make

    make()
    for file, line, pattern, flags, module in FOUND:
        written = [pattern, "s"] if isinstance(pattern, str) else [pattern.decode("latin-1"), "b"]
        print(json.dumps([file, line, *written, flags, module]))


if __name__ == "__main__":
    main()

"""Names that the command line needs before torch is loaded."""

from pathlib import Path

SPLITS = ("file", "sections", "lines")
TARGETS = ("bin", "q8", "npz", "gguf", "hf", "ollama")
ENGINES = ("torch", "numpy", "llama.cpp", "run.c")
PAGE_FILE = "health.html"
DTYPES = ("f32", "f16", "q8_0", "bf16")


def builtin_base() -> Path:
    """Return the folder of the base that comes with the project."""
    return Path(__file__).resolve().parent / "base"


def checkpoint_path(text: str) -> Path:
    """Return the path of a checkpoint as a user names it; `base` is the built-in one, where nothing here is called so.

    In a clone that is `trainer/base`, and that name is known without a clone too.
    """
    path = Path(text)
    return builtin_base() if text in ("base", "trainer/base") and not path.exists() else path

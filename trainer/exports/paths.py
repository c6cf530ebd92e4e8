"""The paths of an export: a folder, or a file with its companions beside it. It appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curator.contract.errors import UsageError
from curator.contract.files import whole_files, whole_folder

SUFFIXES = (".bin", ".gguf", ".npz")


@dataclass(frozen=True)
class Files:
    """The names of an export: `model.bin` and `tokenizer.bin` in a folder, `x.bin` and `x.tokenizer.bin` for a file."""

    folder: Path
    name: str
    prefix: str = ""

    @property
    def main(self) -> Path:
        """Return the path of the weights."""
        return self.folder / self.name

    def beside(self, name: str) -> Path:
        """Return the path of a companion."""
        return self.folder / (self.prefix + name)


def shown_name(path: Path) -> str:
    """Return the name of a file or folder as valid UTF-8."""
    return path.resolve().name.encode("utf-8", "replace").decode()


def planned(out: Path, suffix: str, only_folder: bool) -> tuple[Files, bool]:
    """Return an export's paths, and whether it makes a folder. Raises UsageError for another target's suffix."""
    if out.suffix not in SUFFIXES:
        return Files(out, f"model{suffix}"), True
    if only_folder or out.suffix != suffix:
        raise UsageError(
            f"--out {out}: this export makes {'a folder' if only_folder else f'a {suffix} file'}, no {out.suffix} file",
            "name a folder" if only_folder else f"name a folder, or a file that ends in {suffix}",
        )
    return Files(out.parent, out.name, f"{out.stem}."), False


@contextmanager
def placed(files: Files, is_folder: bool, companions: tuple[str, ...]) -> Iterator[Files]:
    """Give the same names in a temporary folder. On a normal exit all files appear, on an error none does.

    Raises UsageError where one of them exists already, HostError where the disk refuses.
    """
    if is_folder:
        with whole_folder(files.folder) as building:
            yield Files(building, files.name, files.prefix)
        return
    # The main file last: once it is there, all are.
    with whole_files([*(files.beside(name) for name in companions), files.main]) as aside:
        yield Files(aside, files.name, files.prefix)

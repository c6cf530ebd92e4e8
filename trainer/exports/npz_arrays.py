"""The arrays of a .npz, read so that nothing in it is run and none is larger than the file that holds it."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.contract.errors import UsageError, disk_error

_PACKED = 8  # times that an archive may grow when it is unpacked: weights shrink by a tenth, a bomb by a thousand times


def npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return name -> array, of any shape.

    Raises UsageError for Python objects, a damaged file, one that claims too much; HostError where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if sum(entry.file_size for entry in entries) > _PACKED * path.stat().st_size + (1 << 20):
                raise UsageError(f"{path} unpacks to far more than weights would: it was not read")
            for entry in entries:
                with file.open(entry) as member:
                    _check_header(path, entry.filename, member, entry.file_size)
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise disk_error(error, "cannot read", path) from None
    except UsageError:
        raise
    except Exception as error:  # a hostile or cut-off file can fail anywhere in the readers
        raise UsageError(f"{path} is damaged: {str(error)[:200]}", "copy it again") from None


def _check_header(path: Path, name: str, member: Any, size: int) -> None:
    """Raise UsageError for an array of objects, and for one that is larger than its entry."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise UsageError(
            f"{path}: {name} holds Python objects: reading them can run code, so it was not read",
            "save it again with plain arrays only",
        )
    if math.prod(shape) * dtype.itemsize > size:
        raise UsageError(f"{path} is damaged: {name} claims more than it holds", "copy it again")

"""Write files so that an interrupted command leaves the old one, or none."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Time stamp inside archives: the same outputs give the same bytes.
_STAMP = (1980, 1, 1, 0, 0, 0)


def save_npz(path: str | Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays to an ``.npz`` file, atomically and with the same bytes for the same arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, _plain(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), entry.getvalue())
    save_bytes(path, buffer.getvalue())


def save_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically: a temporary sibling is renamed over it."""
    wanted = Path(path)
    handle, temporary = tempfile.mkstemp(dir=wanted.parent, prefix=f".{wanted.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(wanted)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return text outputs as fixed-width strings: objects would need pickle to be read."""
    return array.astype(np.str_) if array.dtype.kind == "O" else np.ascontiguousarray(array)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

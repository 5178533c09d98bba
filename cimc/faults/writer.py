"""Write a fault map: a strict safetensors file, or CSV."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import FaultMapError
from cimc.faults import metadata
from cimc.faults.csv_writer import write_csv
from cimc.faults.fault_map import AT_CONDUCTANCE, FaultMap
from cimc.faults.validity import require_valid
from cimc.program import container_write


def save_fault_map(fault_map: FaultMap, path: str | Path) -> str:
    """Write a fault map; the file appears complete or not at all.

    The same map gives the same bytes.

    Args:
        fault_map: What to write.
        path: ``*.safetensors``, or ``*.csv`` for a map without gains.

    Returns:
        The sha256 of the file, as :func:`cimc.faults.load_fault_map` will give it.

    Raises:
        FaultMapError: ``CIMC-F01`` it cannot be written there; ``CIMC-F02..F10``, the map is not
            valid.
    """
    path = Path(path)
    require_valid(fault_map)
    kind = path.suffix.lower()
    if kind not in (".safetensors", ".csv"):
        raise FaultMapError(
            "CIMC-F01",
            f"{path.name!r} is no fault map that cimc writes",
            hint=f"{path.stem}.safetensors or {path.stem}.csv",
        )
    try:
        with _replacing(path) as file:
            if kind == ".csv":
                return write_csv(fault_map, file)
            tensors = tensors_of(fault_map).items()
            sources = {n: container_write.of_tensor(t, where=n) for n, t in tensors}
            return container_write.write(file, sources).sha256
    except OSError as error:
        raise FaultMapError(
            "CIMC-F01", f"cannot write the fault map: {error.strerror}", where=str(path)
        ) from error


def tensors_of(fault_map: FaultMap) -> dict[str, Tensor]:
    """Return the tensors of the file by name; those that say nothing are left out."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    arrays["arrays"], arrays["cells"] = fault_map.arrays, fault_map.cells
    if (fault_map.cells[:, 3] == AT_CONDUCTANCE).any():
        arrays["conductance_us"] = fault_map.conductance_us
    for name in ("gain_arrays", "gain_lrs", "gain_hrs"):
        if getattr(fault_map, name) is not None:
            arrays[name] = getattr(fault_map, name)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
    return tensors | {"metadata": metadata.encode(fault_map)}


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary sibling that is renamed over the file when all went well."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

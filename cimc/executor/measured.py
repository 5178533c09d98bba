"""Conductances read back from a chip, in place of modelled ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.program.model import DeviceProgram, ProgramLayer

#: By layer name, one tensor a device plane, float32 in the shape of the plane [uS].
Measured = Mapping[str, tuple[Tensor, ...]]


def cells_of(
    program: DeviceProgram, measured: Measured, device: torch.device
) -> dict[str, tuple[Tensor, ...]]:
    """Return the measured conductances of every layer, on a device [uS].

    Args:
        program: Whose cells were read.
        measured: What was read; NaN: not measured.
        device: Where it is computed.

    Raises:
        ProgramError: CIMC-P60, cells were not measured; CIMC-P61, a layer is missing or its
            planes have another shape.
    """
    unknown = sorted(measured.keys() - program.layers.keys())
    if unknown:
        raise _mismatch(unknown[0], "the program has no such layer")
    found = {}
    for name, layer in program.layers.items():
        planes = _checked(layer, measured.get(name))
        found[name] = tuple(plane.to(device, torch.float32) for plane in planes)
    return found


def _checked(layer: ProgramLayer, planes: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
    if planes is None:
        raise _mismatch(layer.name, "no conductances of this layer were given")
    wanted = [tuple(plane.shape) for plane in layer.cells.planes]
    given = [tuple(plane.shape) for plane in planes]
    if given != wanted:
        raise _mismatch(layer.name, f"planes should be {wanted}, were given as {given}")
    missing = sum(int(torch.isnan(plane).sum()) for plane in planes)
    if missing:
        total = sum(plane.numel() for plane in planes)
        raise ProgramError(
            "CIMC-P60",
            f"{missing:,} of {total:,} cells were not measured",
            where=f"layer '{layer.name}'",
            hint="reading every array the program uses",
        )
    return planes


def _mismatch(name: str, what: str) -> ProgramError:
    return ProgramError(
        "CIMC-P61",
        f"measured conductances do not fit: {what}",
        where=f"layer '{name}'",
        hint="a read-back of a chip that runs this program",
    )

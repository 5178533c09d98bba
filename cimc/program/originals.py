"""What a program had before it was made for one chip: stored, read, and checked as a program.

``Calibration.originals`` holds tensors by names of the form ``WHAT/NAME``: ``plane0/LAYER``, ...,
``states/LAYER``, ``gain/LAYER``, ``multipliers/LAYER``, ``correction/LAYER``, ``tiles/LAYER``, and
``constant/NAME`` of digital constants that have other values since.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS, Cells
from cimc.program import bits
from cimc.program.arrays import arrays_in_use
from cimc.program.model import DeviceProgram, ProgramLayer

#: Fields of cells besides planes, and their names here.
_FIELDS: Final = {
    "states": "states_us",
    "gain": "gain",
    "multipliers": "multipliers",
    "correction": "correction_us",
}
_PLANE: Final = re.compile(r"plane([0-7])/(.+)", re.DOTALL)
_LISTED: Final = 80


def plane_bits(name: str, originals: Mapping[str, Tensor]) -> int | None:
    """Return the bits of a state of an original plane [bit]; None for what is not packed.

    Args:
        name: Of a tensor.
        originals: All of them.
    """
    found = _PLANE.fullmatch(name)
    states = None if found is None else originals.get(f"states/{found[2]}")
    if states is None or not states.dim() or not 1 <= states.shape[-1] <= 256:
        return None
    return bits.bits_of(states.shape[-1])


def unpacked(
    stored: Mapping[str, Tensor], layers: Mapping[str, ProgramLayer]
) -> dict[str, Tensor]:
    """Return originals as they are in memory, planes of states one byte a cell.

    Raises:
        ProgramError: ``CIMC-P10``, a plane does not have the size of the layer's; ``CIMC-P19``,
            its padding is not zero.
    """
    return {name: _unpacked(name, tensor, stored, layers) for name, tensor in stored.items()}


def _unpacked(
    name: str, tensor: Tensor, stored: Mapping[str, Tensor], layers: Mapping[str, ProgramLayer]
) -> Tensor:
    width, found = plane_bits(name, stored), _PLANE.fullmatch(name)
    if width is None or found is None:
        return tensor
    layer = layers.get(found[2])
    planes = () if layer is None else layer.cells.planes
    where = f"original '{name[:_LISTED]}'"
    if int(found[1]) >= len(planes):
        raise ProgramError("CIMC-P10", "the tensor belongs to nothing", where=where)
    groups, rows, columns = planes[int(found[1])].shape
    packed = groups, rows, bits.packed_bytes(columns, width)
    if tensor.dtype != torch.uint8 or tuple(tensor.shape) != packed:
        raise ProgramError(
            "CIMC-P10",
            f"should be torch.uint8 {list(packed)} (got {tensor.dtype} {list(tensor.shape)})",
            where=where,
        )
    return torch.from_numpy(bits.unpack(tensor.numpy(), columns, width, where=where))


def before_the_chip(program: DeviceProgram) -> DeviceProgram | None:
    """Return the program as it was before it was made for a chip; None where nothing is kept.

    Raises:
        ProgramError: ``CIMC-P23``, a tensor is missing, unknown, or of the wrong kind.
    """
    kept = program.calibration
    if kept is None or not kept.originals:
        return None
    left = dict(kept.originals)
    layers = {name: _layer(layer, left) for name, layer in program.layers.items()}
    constants = dict(program.constants)
    for name in [key for key in left if key.startswith("constant/")]:
        constant, now = left.pop(name), constants.get(name.removeprefix("constant/"))
        if now is None or (constant.dtype, constant.shape) != (now.dtype, now.shape):
            raise _wrong(name, "is not of the kind of the program's constant")
        if constant.is_floating_point() and not bool(torch.isfinite(constant).all()):
            raise _wrong(name, "a value is not finite")
        constants[name.removeprefix("constant/")] = constant
    if left:
        raise _wrong(min(left), "is unknown")
    before = replace(
        program,
        layers=layers,
        constants=constants,
        faults=None,
        golden=None,
        calibration=replace(kept, originals={}),
    )
    return replace(before, arrays=len(arrays_in_use(before)))


def _layer(layer: ProgramLayer, left: dict[str, Tensor]) -> ProgramLayer:
    """Return a layer with its original cells and places, and take these from what is left."""
    name = layer.name
    planes = tuple(
        _taken(left, f"plane{k}/{name}", (torch.uint8, torch.float32))
        for k in range(len(layer.cells.planes))
    )
    tiles = _taken(left, f"tiles/{name}", (torch.int32,))
    if tiles.dim() != 2 or tiles.shape[1] != len(TILE_FIELDS):
        raise _wrong(f"tiles/{name}", f"is {list(tiles.shape)}")
    fields = {
        attribute: _taken(left, f"{key}/{name}", (torch.float32,))
        for key, attribute in _FIELDS.items()
        if key == "gain" or f"{key}/{name}" in left
    }
    states = fields.get("states_us")
    wanted = torch.float32 if states is None else torch.uint8
    if any(p.dtype != wanted or not p.numel() for p in planes):
        raise _wrong(f"plane0/{name}", f"is not of {wanted}")
    if states is not None and states.dim() not in (1, 2):
        raise _wrong(f"states/{name}", f"is {list(states.shape)}")
    cells = Cells(planes=planes, **{"states_us": None, **fields})  # type: ignore[arg-type]
    table = np.ascontiguousarray(tiles.numpy())
    return replace(
        layer, cells=cells, tiles=table, word_lines=None, bit_lines=None, one_by_one=False
    )


def _taken(left: dict[str, Tensor], name: str, dtypes: tuple[torch.dtype, ...]) -> Tensor:
    tensor = left.pop(name, None)
    if tensor is None:
        raise _wrong(name, "is missing")
    if tensor.dtype not in dtypes:
        raise _wrong(name, f"is {tensor.dtype}")
    return tensor


def _wrong(name: str, what: str) -> ProgramError:
    return ProgramError("CIMC-P23", what, where=f"calibration original '{name[:_LISTED]}'")

"""What a program had before it was made for a chip: kept in it, so that another chip can have it.

Cells, constants and places of the program compiled without faults, as named tensors in
``Calibration.originals``: ``plane0/LAYER``, ``plane1/LAYER`` ..., ``states/LAYER``,
``gain/LAYER``, ``multipliers/LAYER``, ``correction/LAYER``, ``tiles/LAYER``, ``constant/NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from cimc.errors import FaultMapError, ProgramError
from cimc.ir.layer import TRAINED, Cells
from cimc.program.model import DeviceProgram, ProgramLayer

#: Fields of cells besides planes, and their names here.
_FIELDS: Final = {
    "states": "states_us",
    "gain": "gain",
    "multipliers": "multipliers",
    "correction": "correction_us",
}


def originals_of(program: DeviceProgram, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what to keep of a program that is about to be made for a chip.

    Args:
        program: Made for no chip.
        changed: Constants the chip's program has other values of; those not in ``program`` are
            new and left out.
    """
    kept: dict[str, Tensor] = {}
    for name, layer in program.layers.items():
        for number, plane in enumerate(layer.cells.planes):
            kept[f"plane{number}/{name}"] = plane
        for key, attribute in _FIELDS.items():
            value = getattr(layer.cells, attribute)
            if value is not None:
                kept[f"{key}/{name}"] = value
        kept[f"tiles/{name}"] = torch.from_numpy(layer.tiles.copy())
    for name in changed:
        if name in program.constants:
            kept[f"constant/{name}"] = program.constants[name]
    return kept


def restored(program: DeviceProgram) -> DeviceProgram:
    """Return a program as it was before it was made for a chip; one made for none as it is.

    Raises:
        FaultMapError: CIMC-F30, it does not hold what it had before.
        ProgramError: CIMC-P39, what it holds does not fit it.
    """
    if program.faults is None:
        return program
    kept = program.calibration
    if kept is None or not kept.originals:
        raise FaultMapError(
            "CIMC-F30",
            f"the program was made for chip '{program.faults.chip}' and does not hold what it had "
            "before",
            hint="recompiling the program that was compiled without a fault map, or compiling "
            "with --data",
        )
    if _learned_converters(program):
        raise FaultMapError(
            "CIMC-F30",
            f"the program was trained for chip '{program.faults.chip}', ranges of DACs with it, "
            "and does not hold what they were before",
            hint="recompiling the program that was compiled without a fault map",
        )
    originals = kept.originals
    layers = {name: _layer(layer, originals) for name, layer in program.layers.items()}
    constants = {
        name: _constant(name, value, originals, kept.constants)
        for name, value in program.constants.items()
    }
    return replace(
        program,
        layers=layers,
        constants=constants,
        faults=None,
        golden=None,
        calibration=replace(kept, originals={}),
    )


def _learned_converters(program: DeviceProgram) -> bool:
    """Whether training for a chip has changed DACs: what they were before is not kept."""
    uses = [use for layer in program.layers.values() for use in layer.uses]
    if not any(use.fitted is not None and use.fitted.input_method == TRAINED for use in uses):
        return False
    # Trained when it was recompiled; or compiled for the chip, and trained for it then.
    made: Any = program.provenance.get("recompiled", program.provenance)
    for key in ("training", "recipe"):
        made = made.get(key) if isinstance(made, Mapping) else None
    learned = ("activation_bits", "first_last_bits")
    return isinstance(made, Mapping) and any(made.get(name) for name in learned)


def _layer(layer: ProgramLayer, kept: Mapping[str, Tensor]) -> ProgramLayer:
    name = layer.name
    count = len(layer.cells.planes)
    keys = [f"plane{k}/{name}" for k in range(count)] + [f"gain/{name}", f"tiles/{name}"]
    missing = [key for key in keys if key not in kept]
    shapes = [tuple(p.shape) for p in layer.cells.planes]
    if missing or [tuple(kept[k].shape) for k in keys[:count]] != shapes:
        raise _broken(name)
    tiles = kept[f"tiles/{name}"]
    if tuple(tiles.shape) != layer.tiles.shape:
        raise _broken(name)
    fields = {a: kept.get(f"{key}/{name}") for key, a in _FIELDS.items() if key != "gain"}
    planes = tuple(kept[k] for k in keys[:count])
    states = fields["states_us"]
    if states is not None and any(int(p.max()) >= states.shape[-1] for p in planes if p.numel()):
        raise _broken(name)
    cells = Cells(planes=planes, gain=kept[f"gain/{name}"], **fields)
    return replace(layer, cells=cells, tiles=tiles.numpy().copy(), word_lines=None, bit_lines=None)


def _constant(
    name: str, value: Tensor, kept: Mapping[str, Tensor], floats: Mapping[str, Tensor]
) -> Tensor:
    """Return a constant as it was; one that came with the chip as in the float network."""
    old = kept.get(f"constant/{name}", floats.get(name))
    if old is None:
        return value
    if old.shape != value.shape or old.dtype != value.dtype:
        raise _broken(name)
    return old


def _broken(name: str) -> ProgramError:
    return ProgramError(
        "CIMC-P39",
        "what the program had before it was made for a chip does not fit it",
        where=f"calibration.safetensors, original of '{name}'",
        hint="compiling the model again",
    )

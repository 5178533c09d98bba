"""The one chip a network is trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cimc.faults.fault_map import FaultMap
from cimc.ir.network import Network
from cimc.program.model import FaultRecord
from cimc.remap.options import CellFaults
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.targets import Target
from cimc.training.reachable_levels import KnownCells, Use
from cimc.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class KnownChip:
    """The faults of a chip, as the executor and as layers see them.

    Attributes:
        record: What a program for it holds.
        layers: The cells of each layer whose weights are conductances, by name.
        places: The faults array by array.
    """

    record: FaultRecord
    layers: Mapping[str, KnownCells]
    places: ChipFaults

    @classmethod
    def of(
        cls, network: Network, target: Target, faults: FaultMap | FaultRecord, use: Use = "states"
    ) -> KnownChip:
        """Return the chip as the layers of a network lie on it.

        Args:
            network: Placed, with cells.
            target: The device.
            faults: Of the chip.
            use: What cells may hold.
        """
        record = faults.record() if isinstance(faults, FaultMap) else faults
        chip = ChipFaults(record, target)
        layers = {}
        for name, layer in network.layers.items():
            if layer.encoding != "signed":
                found = cell_faults(layer, chip)
                own = CellFaults(found.stuck_us, found.gain_lrs, found.gain_hrs)
                layers[name] = KnownCells(layer, own, target, use)
        return cls(record, layers, chip)

    def seen_by(self, recipe: Recipe) -> FaultRecord:
        """Return what training with a recipe knows; the record itself where that is all."""
        record = self.record
        if recipe.faults.method == "nearest-valid" and len(record.cells):
            none = np.zeros((0, 4), np.int32)
            record = replace(record, cells=none, conductance_us=np.zeros(0, np.float32))
        if recipe.variability == "ignore" and record.gain_arrays is not None:
            record = replace(record, gain_arrays=None, gain_lrs=None, gain_hrs=None)
        return record

"""Make a network for the faults of one chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from cimc.faults.fault_map import FaultMap
from cimc.ir import rewrite
from cimc.ir.layer import TILE_FIELDS, CrossbarLayer
from cimc.ir.network import Network
from cimc.program.model import FaultRecord
from cimc.remap.arrays import exchange_arrays, renumbered
from cimc.remap.fit import Fit, Wanted
from cimc.remap.floor import Floor
from cimc.remap.layer import refit
from cimc.remap.nearest import remap_nearest
from cimc.remap.physical import ChipFaults
from cimc.remap.report import RemapResult
from cimc.remap.settings import RemapSettings
from cimc.remap.walk import Walk
from cimc.targets import Target
from cimc.verification.data import Data


def remap(
    network: Network,
    target: Target,
    faults: FaultMap | FaultRecord,
    settings: RemapSettings,
    data: Data | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> RemapResult:
    """Return the network for one chip.

    Args:
        network: Assigned, for no chip: :func:`cimc.lowering.lift.lift` of a program.  What its
            layers are to do is the float network's (``float_matrix``, ``float_constants``), its
            own where there is none.
        target: The device.
        faults: Of the chip.
        settings: What is done about them.
        data: Calibration inputs; None: every weight takes the reachable value nearest to its own,
            whatever the settings say.
        progress: Told the share done.
    """
    chip = ChipFaults(faults, target)
    if data is None or settings.method == "nearest":
        return remap_nearest(network, target, chip, settings, data, progress)
    start = _exchanged(network, chip, target, settings) if settings.arrays else network
    floor = Floor(start.layers.values(), target)

    def make(layer: CrossbarLayer, wanted: Wanted) -> Fit:
        return refit(layer, wanted, chip, target, settings, floor)

    walk = Walk(start, network.layers, target, chip, settings, make, progress)
    done = walk.run(data)
    return RemapResult(done, tuple(walk.reports[name] for name in done.layers))


def _exchanged(
    network: Network, chip: ChipFaults, target: Target, settings: RemapSettings
) -> Network:
    """Return the network on the arrays of the chip that suit it best.

    Errors of weights count as a share of the energy of their layer.
    """
    layers = network.layers
    used = {int(a) for layer in layers.values() for a in arrays_of(layer)}
    if not any(chip.count(array) for array in used):
        return network
    tensors = rewrite.attributes(network.graph)
    wanted, importance = {}, {}
    for name, layer in layers.items():
        matrix = layer.float_matrix
        if matrix is None:
            matrix = layer.geometry.to_matrix(tensors[layer.weight].detach()).float()
        energy = float(matrix.square().sum(dtype=torch.float64)) or 1.0
        wanted[name] = matrix
        importance[name] = torch.full((1, matrix.shape[1]), 1.0 / energy)
    moved = exchange_arrays(layers, wanted, importance, chip, target, settings)
    if all(old == new for old, new in moved.items()):
        return network
    return replace(network, layers={n: renumbered(x, moved) for n, x in layers.items()})


def arrays_of(layer: CrossbarLayer) -> list[int]:
    """Return the numbers of the arrays a layer lies on."""
    assert layer.tiles is not None
    twins = 1 if layer.layout is None else layer.layout.arrays
    first = np.unique(layer.tiles[:, TILE_FIELDS.index("array")])
    return sorted({int(array) + k for array in first for k in range(twins)})

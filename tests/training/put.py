"""Networks put on a chip with known faults: every weight at what its cells can reach."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from cimc.faults import FaultMap, sample
from cimc.ir.network import Network
from cimc.lowering.emit import emit
from cimc.remap.options import to_cells
from cimc.targets import Target, load_target
from cimc.training.for_chip import with_chip_weights
from cimc.training.known_chip import KnownChip
from cimc.verification.data import Data
from tests.training.mixed import compiled_for

#: A target of each encoding, changed; the levels of a codebook.
TARGETS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "pair": ("rram", {}, 8),
    "pair of states": ("pcm", {}, 8),
    "offset column": ("flash", {}, 8),
    "digital slices": ("otp", {}, None),
}
#: Faults and measured variation of the chips of tests.
FAULTS: dict[str, Any] = {"rate": 0.15, "conductance_share": 0.3, "seed": 5}
GAINS: dict[str, Any] = {"sigma_lrs": 0.2, "sigma_hrs": 0.2}


def put(network: Network, target: Target, faults: FaultMap) -> Network:
    """Return the network with every weight at the nearest value its cells can reach."""
    known, layers = KnownChip.of(network, target, faults), dict(network.layers)
    for name, cells in known.layers.items():
        options = cells.options(cells.cells(), cells.faults)
        _, choice = options.nearest(cells.weights(cells.cells()).contiguous())
        held = to_cells(cells.cells(), options, choice)
        layers[name] = replace(layers[name], cells=held)
    moved = replace(network, layers=layers)
    return with_chip_weights(moved, KnownChip.of(moved, target, faults))


@cache
def on_chip(
    kind: str, name: str = "convolutions", *, gains: bool = False
) -> tuple[Network, Target, Data, FaultMap]:
    """Return a network put on a chip, its target, its data and the faults."""
    base, changes, levels = TARGETS[kind]
    network, target, data = compiled_for(name, load_target(base).changed(changes), levels)
    faults = sample(emit(network, target, {}), **FAULTS, **(GAINS if gains else {}))
    return put(network, target, faults), target, data, faults

"""Make a network for the faults of one chip."""

from __future__ import annotations

from collections.abc import Callable

from cimc.faults.fault_map import FaultMap
from cimc.ir.layer import CrossbarLayer
from cimc.ir.network import Network
from cimc.program.model import FaultRecord
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
    floor = Floor(network.layers.values(), target)

    def make(layer: CrossbarLayer, wanted: Wanted) -> Fit:
        return refit(layer, wanted, chip, target, settings, floor)

    walk = Walk(network, target, chip, settings, make, progress)
    done = walk.run(data)
    return RemapResult(done, tuple(walk.reports[name] for name in done.layers))

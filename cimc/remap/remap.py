"""Make a network for the faults of one chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cimc.faults.fault_map import FaultMap
from cimc.ir import rewrite
from cimc.ir.layer import CrossbarLayer
from cimc.ir.network import Network
from cimc.program.model import FaultRecord
from cimc.remap.fit import Fit, Wanted, nearest
from cimc.remap.floor import Floor
from cimc.remap.layer import refit
from cimc.remap.physical import ChipFaults
from cimc.remap.report import LayerReport, RemapResult
from cimc.remap.settings import RemapSettings
from cimc.remap.tally import tally
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
    if data is None:
        return _from_weights(network, target, chip, settings, progress)

    floor = Floor(network.layers.values(), target)

    def make(layer: CrossbarLayer, wanted: Wanted) -> Fit:
        if settings.method == "nearest":
            return nearest(layer, wanted.weight, chip, target, settings)
        return refit(layer, wanted, chip, target, settings, floor)

    walk = Walk(network, target, chip, settings, make, progress)
    done = walk.run(data)
    return RemapResult(done, tuple(walk.reports[name] for name in done.layers))


def _from_weights(
    network: Network,
    target: Target,
    chip: ChipFaults,
    settings: RemapSettings,
    progress: Callable[[float], None],
) -> RemapResult:
    """Give every weight the reachable value nearest to its own."""
    graph, tensors = rewrite.copy(network.graph)
    layers, reports = {}, list[LayerReport]()
    for name, layer in network.layers.items():
        old = tensors[layer.weight].detach()
        own = layer.geometry.to_matrix(old).float()
        fit = nearest(layer, own, chip, target, settings)
        reference = own if layer.float_matrix is None else layer.float_matrix
        made = replace(fit.layer, float_matrix=reference.contiguous(), remapped=True)
        weight = layer.geometry.from_matrix(fit.value, tuple(old.shape))
        tensors[layer.weight] = weight.to(old.dtype).contiguous()
        layers[name] = made
        reports.append(tally(layer, made, own, fit.value, chip, target, settings))
        progress(len(reports) / len(network.layers))
    module = rewrite.build(graph, tensors)
    return RemapResult(replace(network, graph=module, layers=layers), tuple(reports))

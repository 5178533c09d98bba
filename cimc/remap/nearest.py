"""The nearest reachable value for every weight, and what that does to the outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.input_vectors import channel_axis, input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network
from cimc.lowering.calibration_runs import runs_of
from cimc.quantizers.threads import side_by_side
from cimc.remap.fit import nearest
from cimc.remap.ignored import ignoring
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.remap.report import LayerReport, RemapResult
from cimc.remap.settings import RemapSettings
from cimc.remap.tally import tally
from cimc.targets import Target
from cimc.verification.data import Data

#: Samples and vectors a layer that output errors are told from; memory for them [MiB].
_SAMPLES, _VECTORS, _MEBIBYTES = 4, 256, 512

Progress = Callable[[float], None]


def remap_nearest(
    network: Network,
    target: Target,
    chip: ChipFaults,
    settings: RemapSettings,
    data: Data | None,
    progress: Progress,
) -> RemapResult:
    """Give every weight the reachable value nearest to its own; nothing is moved.

    Args:
        network: As :func:`cimc.remap.remap.remap` takes it.
        target: The device.
        chip: Its faults.
        settings: What cells may hold.
        data: Calibration inputs, for the report alone: output errors are told for some inputs of
            the network without faults; None: they are not.
        progress: Told the share done.
    """
    graph, tensors = rewrite.copy(network.graph)
    inputs = {} if data is None else _inputs(network, data, settings.seed)
    layers, reports = {}, list[LayerReport]()

    def make(layer: CrossbarLayer) -> tuple[CrossbarLayer, Tensor, LayerReport]:
        old = tensors[layer.weight].detach()
        own = layer.geometry.to_matrix(old).float().contiguous()
        faults = cell_faults(layer, chip)
        fit = nearest(layer, own, chip, target, settings, faults)
        reference = own if layer.float_matrix is None else layer.float_matrix
        made = replace(fit.layer, float_matrix=reference.contiguous(), remapped=True)
        report = tally(layer, made, own, fit.value, chip, target, settings, fit.value, faults)
        if layer.name in inputs:
            x = inputs.pop(layer.name)
            wrong = ignoring(layer, chip, target, faults)
            report = _with_errors(report, x, own, wrong, fit.value)
        weight = layer.geometry.from_matrix(fit.value, tuple(old.shape))
        return made, weight.to(old.dtype).contiguous(), report

    for made, weight, report in side_by_side(make, network.layers.values()):
        layers[made.name], tensors[made.weight] = made, weight
        reports.append(report)
        progress(len(reports) / len(network.layers))
    module = rewrite.build(graph, tensors)
    return RemapResult(replace(network, graph=module, layers=layers), tuple(reports))


def _inputs(network: Network, data: Data, seed: int) -> dict[str, Tensor]:
    """Return some inputs of each layer where it is read first, ``(n, groups, rows)``.

    About their mean where the mean of the outputs can be corrected digitally.
    """
    runs = runs_of(network, data, _SAMPLES, _MEBIBYTES, _SAMPLES)
    places: dict[str, list[tuple[CrossbarLayer, Use]]] = {}
    for layer in network.layers.values():
        places.setdefault(layer.uses[0].node, []).append((layer, layer.uses[0]))
    found: dict[str, list[Tensor]] = {}
    most = max(1, _VECTORS // len(runs))

    def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
        for layer, use in places.get(node.name, ()):
            x = input_vectors(node, use.operand, operands, value, layer.geometry, most, seed)
            found.setdefault(layer.name, []).append(x.float())
        return value

    for run in runs:
        interpret(network.graph, run, observe)
    nodes = {node.name: node for node in network.graph.graph.nodes}
    result = {}
    for name, parts in found.items():
        use = network.layers[name].uses[0]
        x = torch.cat(parts)
        centered = channel_axis(nodes[use.node], use.operand) is not None
        result[name] = x - x.mean(0) if centered and len(x) else x
    return result


def _with_errors(
    report: LayerReport, x: Tensor, own: Tensor, before: Tensor, after: Tensor
) -> LayerReport:
    """Return a report with the errors of outputs for some inputs ``(n, groups, rows)``."""
    by_group = x.transpose(0, 1)
    energy = float((by_group @ own).square().sum(dtype=torch.float64))
    if not energy > 0:
        return report
    lost = [
        float((by_group @ (w - own)).square().sum(dtype=torch.float64)) for w in (before, after)
    ]
    return replace(
        report,
        output_error_before=lost[0] / energy,
        output_error_after=lost[1] / energy,
        energy=energy,
    )

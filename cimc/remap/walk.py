"""Through the network once, layer after layer: what each is to do, given the chip so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.fx import Graph, Node

from cimc.ir import rewrite
from cimc.ir.channel_constants import channel_means
from cimc.ir.input_vectors import channel_axis
from cimc.ir.interpreter import interpret
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network
from cimc.ir.paired_walk import Step, paired_walk
from cimc.lowering.calibration_runs import Place, curvature_of, runs_of
from cimc.quantizers.curvature import Curvature
from cimc.remap.bias import channel_constant, corrected
from cimc.remap.fit import Fit, Wanted
from cimc.remap.ignored import ignoring
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.remap.report import LayerReport
from cimc.remap.settings import RemapSettings
from cimc.remap.tally import tally
from cimc.targets import Target
from cimc.verification.data import Data

#: Memory for the activations of all samples at once, in two networks [MiB].
MEBIBYTES: Final = 1536
#: Samples a run, and input vectors of layers that only have their errors told [-].
_BATCH, _FEW = 32, 512


@dataclass(slots=True)
class Walk:
    """Two runs side by side: the float network, and the network on this chip.

    Attributes:
        network: As compiled for no chip, layers where they start.
        compiled: Its layers where they were compiled to, on which arrays.
        own: Its constants and weights by name.
        target: The device.
        chip: Its faults.
        settings: What is done.
        refit: Makes a layer anew.
        progress: Told the share done.
        layers: As they are on the chip, so far.
        reports: Of these.
    """

    network: Network
    compiled: Mapping[str, CrossbarLayer]
    target: Target
    chip: ChipFaults
    settings: RemapSettings
    refit: Callable[[CrossbarLayer, Wanted], Fit]
    progress: Callable[[float], None]
    own: dict[str, Tensor] = field(init=False)
    layers: dict[str, CrossbarLayer] = field(init=False)
    reports: dict[str, LayerReport] = field(default_factory=dict)
    _tensors: dict[str, Tensor] = field(default_factory=dict)
    _deltas: dict[str, Tensor] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _shared: dict[str, Curvature] = field(default_factory=dict)
    _graph: Graph = field(default_factory=Graph)

    def __post_init__(self) -> None:
        self.own = rewrite.attributes(self.network.graph)
        self.layers = dict(self.network.layers)

    def run(self, data: Data) -> Network:
        """Return the network on the chip."""
        network, settings = self.network, self.settings
        self._graph, self._tensors = rewrite.copy(network.graph)
        floats = dict(network.float_constants)
        self._tensors.update(floats)
        for layer in self.layers.values():
            if layer.float_matrix is not None:
                self._put(layer, layer.float_matrix)
        runs = runs_of(network, data, settings.samples, MEBIBYTES, _BATCH)
        self._shared = self._shared_curvature(runs)
        watched = frozenset(u.node for layer in self.layers.values() for u in layer.uses)
        paired_walk(self._graph, self._tensors, runs, watched, self._change, self._correct)
        floats = corrected(self._graph, self._tensors, self._deltas, floats)
        rewrite.sweep(self._graph)
        module = rewrite.build(self._graph, self._tensors)
        return replace(network, graph=module, layers=self.layers, float_constants=floats)

    def _put(self, layer: CrossbarLayer, matrix: Tensor) -> None:
        """Give the graph a layer's weight."""
        old = self.own[layer.weight]
        weight = layer.geometry.from_matrix(matrix, tuple(old.shape))
        self._tensors[layer.weight] = weight.to(old.dtype).contiguous()

    def _uses_of(self, node: Node) -> list[tuple[CrossbarLayer, Use]]:
        return [
            (layer, use)
            for layer in self.layers.values()
            for use in layer.uses
            if use.node == node.name
        ]

    def _shared_curvature(self, runs: list[list[Tensor]]) -> dict[str, Curvature]:
        """Return the curvature of layers read several times, summed over their float inputs."""
        shared = {n: layer for n, layer in self.layers.items() if len(layer.uses) > 1}
        sums: dict[str, Curvature] = {}
        places = {(u.node, n): u for n, layer in shared.items() for u in layer.uses}

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            for (name, layer), use in places.items():
                if name == node.name:
                    place = Place(node, [operands], [value])
                    h = self._curvature(shared[layer], use, place, self.settings.vectors)
                    sums[layer] = sums[layer].plus(h) if layer in sums else h
            return value

        if shared:
            module = rewrite.build(self._graph, self._tensors)
            for run in runs:
                interpret(module, run, observe)
        return sums

    def _curvature(self, layer: CrossbarLayer, use: Use, place: Place, most: int) -> Curvature:
        seed, bias = self.settings.seed, self.settings.bias
        return curvature_of(layer, use, place, most, seed, centered=bias)

    def _change(self, step: Step) -> None:
        for layer, use in self._uses_of(step.node):
            if layer.name in self.reports:
                continue
            touched = self._is_touched(layer, step.node)
            curvature = self._shared.get(layer.name)
            if curvature is None:
                place = Place(step.node, step.after, step.result, step.before)
                most = self.settings.vectors if touched else _FEW
                curvature = self._curvature(layer, use, place, most)
            self._remap(layer, curvature, touched=touched)
            if touched:
                self._changed.update(u.node for u in layer.uses)
            self.progress(len(self.reports) / len(self.layers))

    def _is_touched(self, layer: CrossbarLayer, node: Node) -> bool:
        """Whether a layer has faults, or inputs that are not those of the program on any chip."""
        if self.settings.healthy:
            return True
        found = cell_faults(layer, self.chip)
        if found.has_gains or any(not bool(p.isnan().all()) for p in found.stuck_us):
            return True
        seen, left = set(), [node]
        while left:
            here = left.pop()
            if here.name in self._changed:
                return True
            fresh = [n for n in here.all_input_nodes if n not in seen]
            seen.update(fresh)
            left += fresh
        return False

    def _remap(self, layer: CrossbarLayer, curvature: Curvature, *, touched: bool) -> None:
        own = layer.geometry.to_matrix(self.own[layer.weight].detach()).float()
        reference = own if layer.float_matrix is None else layer.float_matrix
        weight = curvature.retargeted(reference) if self.settings.retarget else reference
        wanted = Wanted.of(weight, curvature.blocks(), self.settings.damp)
        fit = self.refit(layer, wanted) if touched else Fit(layer, own)
        kept = replace(fit.layer, float_matrix=reference.contiguous(), remapped=touched)
        self.layers[layer.name] = kept
        self._put(layer, fit.value)
        energy = wanted.energy()
        share = 1.0 / energy if energy > 0 else 0.0
        ignored = ignoring(self.compiled[layer.name], self.chip, self.target)
        self.reports[layer.name] = replace(
            tally(layer, kept, own, fit.value, self.chip, self.target, self.settings),
            output_error_before=wanted.error(ignored) * share,
            output_error_after=wanted.error(fit.value) * share,
            energy=energy,
        )

    def _correct(self, step: Step, results: list[Any]) -> list[Any]:
        uses = self._uses_of(step.node)
        axes = {channel_axis(step.node, use.operand) for _, use in uses}
        axis = axes.pop() if len(axes) == 1 else None
        if axis is None:
            return results
        if step.node.name in self._changed and self.settings.bias:
            delta: Tensor | None = channel_means(step.result, axis) - channel_means(results, axis)
        else:
            delta = self._own_correction(step.node)
        if delta is None or not bool(torch.isfinite(delta).all()):
            return results
        self._deltas[step.node.name] = delta
        shape = [-1] + [1] * (results[0].ndim - 2) if axis == 1 else [-1]
        return [r + delta.reshape(shape) for r in results]

    def _own_correction(self, node: Node) -> Tensor | None:
        """Return what the program corrects already; None: nothing."""
        floats: Mapping[str, Tensor] = self.network.float_constants
        place = channel_constant(node, floats)
        if place is None:
            return None
        return ((self.own[place.name] - floats[place.name]) * place.scale).reshape(-1)

"""Give every weight on crossbars one of a few levels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Graph, Node

from cimc.ir import rewrite
from cimc.ir.channel_constants import add_to_channels, before_correction, channel_means
from cimc.ir.folds import replaced
from cimc.ir.input_vectors import channel_axis
from cimc.ir.interpreter import interpret
from cimc.ir.layer import Codebook, CrossbarLayer, Use
from cimc.ir.network import Network, Stage
from cimc.ir.paired_walk import Step, paired_walk
from cimc.lowering.calibration_runs import Place, curvature_of, runs_of
from cimc.passbase import Pass, PassContext
from cimc.quantizers.curvature import Curvature
from cimc.quantizers.layer import LayerQuantizer
from cimc.quantizers.threads import one_thread


@dataclass(frozen=True)
class Quantize(Pass):
    """Fit a codebook to every layer and give each weight a level of it.

    1. Without calibration data the codebook minimizes the error of the weights: Lloyd's quantizer
       [GDQ §3.1], sums of multipliers [NM §3.2], or uniform levels.
    2. With data the levels are chosen to minimize the error of the layer's *outputs*: error
       feedback in curvature order over the inputs as they really are downstream of the layers
       already quantized, with weights retargeted to give the float outputs from those; then the
       mean of each output channel is corrected to that of the float network, in the bias where
       there is one, in a digital addition where there is none.
    3. A layer read in several places is quantized once, for the inputs of all of them.
    4. ``levels`` None leaves the weights float (ideal target).
    5. The float network is kept where it is going to be trained.

    Attributes:
        quantizer: ``lloyd``, ``n-multiplier`` or ``uniform``.
        levels: Weight levels, 2 to 256 [-]; None: float.
        per_column: Give each output column its own codebook.
        samples: Most calibration samples used [-]; fewer where their activations need more than
            ``mebibytes``.
        vectors: Most input vectors a use for the curvature [-].
        mebibytes: Memory for the activations of all samples at once [MiB].
        correct_means: Do the last part of rule 2.
    """

    name: ClassVar[str] = "quantize"
    needs: ClassVar[Stage] = Stage.CALIBRATED
    gives: ClassVar[Stage] = Stage.QUANTIZED

    quantizer: str = "lloyd"
    levels: int | None = None
    per_column: bool = False
    samples: int = 512
    vectors: int = 8192
    mebibytes: int = 1536
    correct_means: bool = True

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with quantized weights in the graph and codebooks in its layers."""
        if context.training is not None:
            network = replace(network, float_graph=network.graph)
        if self.levels is None or not network.layers:
            return replace(network, stage=Stage.QUANTIZED)
        states, encoding = context.target.cell.states, context.target.encoding
        fit = LayerQuantizer(
            self.quantizer,
            self.levels,
            self.per_column,
            None if states == "analog" else tuple(states),
            encoding,
        )
        if context.data is None:
            return self._from_weights(network, fit, context)
        return _Calibrated(self, network, fit, context).run()

    def _from_weights(
        self, network: Network, fit: LayerQuantizer, context: PassContext
    ) -> Network:
        tensors = rewrite.attributes(network.graph)
        layers = {}

        def codebook_of(layer: CrossbarLayer) -> Codebook:
            # The rows of a convolution are channels times kernel positions, of nothing else.
            kernel = layer.geometry.kernel if layer.geometry.kind == "conv" else ()
            matrix = layer.geometry.to_matrix(tensors[layer.weight].detach())
            return fit.from_weights(matrix, kernel)

        # Layers are independent: several at a time, each with one thread.
        workers = torch.get_num_threads()
        # A new thread has torch's default again, so each is told by itself.
        start = torch.set_num_threads
        with one_thread(), ThreadPoolExecutor(workers, initializer=start, initargs=(1,)) as pool:
            codebooks = pool.map(codebook_of, network.layers.values())
            for done, layer in enumerate(network.layers.values(), 1):
                codebook = next(codebooks)
                layers[layer.name] = replace(layer, codebook=codebook)
                context.progress(self.name, done / len(network.layers))
        for layer in layers.values():
            assert layer.codebook is not None
            weight = tensors[layer.weight]
            tensors[layer.weight] = _decoded(layer, layer.codebook, weight)
        graph, _ = rewrite.copy(network.graph)
        module = rewrite.build(graph, tensors)
        return replace(network, graph=module, layers=layers, stage=Stage.QUANTIZED)


def _decoded(layer: CrossbarLayer, codebook: Codebook, weight: Tensor) -> Tensor:
    """Return the quantized weight in the shape of the float one."""
    return layer.geometry.from_matrix(codebook.values(), tuple(weight.shape)).contiguous()


@dataclass(slots=True)
class _Calibrated:
    """Quantization with data: one walk through the network, layer after layer."""

    options: Quantize
    network: Network
    fit: LayerQuantizer
    context: PassContext
    layers: dict[str, CrossbarLayer] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    graph: Graph = field(default_factory=Graph)
    corrections: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, Curvature] = field(default_factory=dict)

    def run(self) -> Network:
        self.graph, self.tensors = rewrite.copy(self.network.graph)
        self.layers = dict(self.network.layers)
        options, context = self.options, self.context
        assert context.data is not None
        runs = runs_of(
            self.network, context.data, options.samples, options.mebibytes, context.batch
        )
        self.shared = self._shared_curvature(runs)
        watched = frozenset(u.node for layer in self.layers.values() for u in layer.uses)
        paired_walk(self.graph, self.tensors, runs, watched, self._quantize, self._correct)
        origins: dict[str, str | None] = {}
        floats: dict[str, Tensor] = {}
        for node in list(self.graph.nodes):
            if node.name in self.corrections:
                correction = self.corrections[node.name]
                new, old = add_to_channels(self.graph, self.tensors, node, correction)
                origins[new] = old
                bias = None if old is None else self.tensors[old]
                floats[new] = before_correction(self.tensors[new], bias)
        rewrite.sweep(self.graph)
        module = rewrite.build(self.graph, self.tensors)
        network = replaced(self.network, origins)
        return replace(
            network,
            graph=module,
            layers=self.layers,
            stage=Stage.QUANTIZED,
            float_constants=floats,
        )

    def _uses_of(self, node: Node) -> list[tuple[CrossbarLayer, Use]]:
        return [
            (layer, use)
            for layer in self.layers.values()
            for use in layer.uses
            if use.node == node.name
        ]

    def _curvature(self, layer: CrossbarLayer, use: Use, place: Place) -> Curvature:
        """Return how the inputs of a layer vary: around their mean where the mean is corrected."""
        vectors, correct = self.options.vectors, self.options.correct_means
        return curvature_of(layer, use, place, vectors, self.context.seed, centered=correct)

    def _shared_curvature(self, runs: list[list[Tensor]]) -> dict[str, Curvature]:
        """Return the curvature of layers read several times, summed over their float inputs."""
        shared = {n: layer for n, layer in self.layers.items() if len(layer.uses) > 1}
        sums: dict[str, Curvature] = {}
        places = {(u.node, n): u for n, layer in shared.items() for u in layer.uses}

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            for (name, layer), use in places.items():
                if name == node.name:
                    h = self._curvature(shared[layer], use, Place(node, [operands], [value]))
                    sums[layer] = sums[layer].plus(h) if layer in sums else h
            return value

        if shared:
            for run in runs:
                interpret(self.network.graph, run, observe)
        return sums

    def _quantize(self, step: Step) -> None:
        for layer, use in self._uses_of(step.node):
            if layer.codebook is not None:
                continue
            curvature = self.shared.get(layer.name)
            if curvature is None:
                place = Place(step.node, step.after, step.result, step.before)
                curvature = self._curvature(layer, use, place)
            weight = self.tensors[layer.weight].detach()
            matrix = layer.geometry.to_matrix(weight)
            with one_thread():
                wanted = curvature.retargeted(matrix)
                codebook = self.fit.from_outputs(wanted, curvature.blocks())
            self.layers[layer.name] = replace(
                layer, codebook=codebook, float_matrix=matrix.contiguous()
            )
            self.tensors[layer.weight] = _decoded(layer, codebook, weight)
            done = sum(1 for x in self.layers.values() if x.codebook is not None)
            self.context.progress(self.options.name, done / len(self.layers))

    def _correct(self, step: Step, results: list[Any]) -> list[Any]:
        axes = {channel_axis(step.node, use.operand) for _, use in self._uses_of(step.node)}
        axis = axes.pop() if len(axes) == 1 else None
        if axis is None or not self.options.correct_means:
            return results
        wanted, got = (channel_means(v, axis) for v in (step.result, results))
        delta = wanted - got
        if not bool(torch.isfinite(delta).all()):
            return results
        self.corrections[step.node.name] = delta
        shape = [-1] + [1] * (results[0].ndim - 2) if axis == 1 else [-1]
        return [r + delta.reshape(shape) for r in results]

"""A compiled network that can be trained, with the device in its forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from cimc.errors import ModelError
from cimc.ir import rewrite
from cimc.ir.interpreter import call, interpret, last_uses
from cimc.ir.layer import TRAINED, CrossbarLayer, Fitted, Use
from cimc.ir.network import Network
from cimc.lowering.assign import assign
from cimc.lowering.converters import Sampling, fit_converters
from cimc.quantizers.periphery.fit import Method
from cimc.remap.converters import fit_adcs
from cimc.targets import Target
from cimc.training.analog_forward import AnalogForward, Weight
from cimc.training.chip_reads import ChipReads
from cimc.training.known_chip import KnownChip
from cimc.training.latent_weights import on_cpu
from cimc.training.parameters import trained_constants
from cimc.training.programmed_weights import ProgrammedWeights
from cimc.training.rates import relative_groups
from cimc.training.recipe import Recipe
from cimc.verification.data import Data

#: How converter ranges are found when nothing else is asked for.
SEARCH: Final = Method("search", "search", 99.99)
#: Samples and vectors that converter ranges are fitted to while training.
_REFIT: Final = (128, 512)


class Outcome(NamedTuple):
    """What a forward pass gives.

    Attributes:
        outputs: In the order of the network's.
        layers: Result of each operation that reads crossbars, by node name; empty unless asked.
    """

    outputs: tuple[Tensor, ...]
    layers: dict[str, Tensor]


class TrainableNetwork(ProgrammedWeights):
    """Latent float weights, their levels, and the chip they would make.

    Attributes:
        constants: Parameters besides weights on crossbars, by name in the graph.
    """

    def __init__(
        self,
        network: Network,
        target: Target,
        recipe: Recipe,
        *,
        device: str | torch.device = "cpu",
        uniform: bool = False,
        method: Method = SEARCH,
        known: KnownChip | None = None,
    ) -> None:
        """Take a network whose cells are assigned.

        Args:
            network: With cells and converter ranges; its ``float_graph`` is where weights start.
            target: The device.
            recipe: How it is trained.
            device: torch device.
            uniform: Levels are equally spaced and stay so.
            method: How converter ranges are fitted again.
            known: The one chip it is trained for; None: any.

        Raises:
            ModelError: CIMC-M90, no gradient reaches any crossbar layer.
            UsageError: CIMC-U47, an unknown non-ideality; CIMC-U53, gradient ``full`` through
                a device that is not differentiable.
        """
        super().__init__(
            network, target, recipe, torch.device(device), uniform=uniform, known=known
        )
        self._method = method
        if network.layers and len(self.frozen) == len(network.layers):
            raise _nothing_to_train(self.frozen)
        self._frees = last_uses(network.graph)
        self._build()
        self.to(self._device)

    def _build(self) -> None:
        network, recipe = self._network, self._recipe
        tensors = rewrite.attributes(network.graph)
        trained = trained_constants(network) if recipe.train == "all" else ()
        self.constants = nn.ParameterDict()
        for name in trained:
            self.constants[name] = nn.Parameter(tensors[name].detach().clone())
        taken = {*self.weights, *self.constants}
        for name, value in tensors.items():
            if name not in taken:
                self.register_buffer(f"constant_{name}", value.detach(), persistent=False)
        self._analog = dict(self._operations())

    def _operations(self) -> Iterator[tuple[str, AnalogForward]]:
        """Yield every operation that reads crossbars, by node name."""
        nodes = {node.name: node for node in self._network.graph.graph.nodes}
        read: dict[str, dict[int, CrossbarLayer]] = {}
        for layer in self._network.layers.values():
            for use in layer.uses:
                read.setdefault(use.node, {})[use.operand] = layer
        for name, layers in read.items():
            steps: dict[int, Callable[[Tensor], Tensor]] = {}
            for operand in layers:
                if (key := f"{name}_{operand}") in self.steps:
                    steps[operand] = self.steps[key]
            yield name, AnalogForward(nodes[name], layers, steps, self._recipe.gradient)

    def forward(
        self, inputs: Sequence[Tensor], chip: int | None, *, taps: bool = False
    ) -> Outcome:
        """Run the network.

        Args:
            inputs: In the order of the network's.
            chip: Seed of the chip that is programmed with the weights as they are; with Gaussian
                noise, of that noise; None: without device and noise.
            taps: Whether to return the results of operations that read crossbars.
        """
        weights = self.quantized(chip)
        return self._walk(inputs, weights, self.reads(weights, chip), taps)

    def _walk(
        self,
        inputs: Sequence[Tensor],
        weights: Mapping[str, Weight],
        reads: ChipReads | None,
        taps: bool,
    ) -> Outcome:
        env: dict[Node, Any] = {}
        tapped: dict[str, Tensor] = {}
        feeds = iter(inputs)
        of_attribute = {
            layer.weight: weights[name].whole for name, layer in self._network.layers.items()
        }
        for node in self._network.graph.graph.nodes:
            if node.op == "placeholder":
                env[node] = next(feeds).to(self._device)
            elif node.op == "get_attr":
                env[node] = self._constant(str(node.target), of_attribute)
            elif node.op == "output":
                return Outcome(tuple(map_arg(node.args[0], env.__getitem__)), tapped)
            else:
                operands = map_arg(node.args, env.__getitem__)
                analog = self._analog.get(node.name)
                if analog is None:
                    env[node] = call(node, operands)
                else:
                    of_node = {k: weights[layer.name] for k, layer in analog.layers.items()}
                    env[node] = analog(operands, of_node, reads)
                    if taps:
                        value = env[node]
                        tapped[node.name] = value[0] if isinstance(value, tuple) else value
                del operands
            for dead in self._frees[node]:
                env.pop(dead, None)
        raise AssertionError("a graph has an output node")

    def _constant(self, name: str, weights: Mapping[str, Tensor]) -> Tensor:
        if name in weights:
            return weights[name]
        if name in self.constants:
            constant: Tensor = self.constants[name]
            return constant
        return self.get_buffer(f"constant_{name}")

    def teacher(self, inputs: Sequence[Tensor], *, taps: bool = False) -> Outcome:
        """Run the float network, without gradients."""
        graph: GraphModule = self._network.float_graph or self._network.graph
        tapped: dict[str, Tensor] = {}

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            if taps and node.name in self._analog:
                tapped[node.name] = value[0] if isinstance(value, tuple) else value
            return value

        return Outcome(interpret(graph, [x.cpu() for x in inputs], observe), tapped)

    def groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's parameter groups; where rates are relative, as at the start.

        ``lr_scale`` multiplies the recipe's learning rate: levels and steps, which are relative
        to what they were at first, have their own.
        """
        recipe = self._recipe
        relative = recipe.level_learning_rate / recipe.learning_rate
        groups = [
            {"params": [p for p in self.weights.values() if p.requires_grad], "lr_scale": 1.0},
            {"params": list(self.constants.values()), "lr_scale": 1.0},
        ]
        if recipe.rates == "relative":
            weights, constants = dict(self.weights.items()), dict(self.constants.items())
            groups = relative_groups(self._network, weights, constants)
        for module in (*self.levels.values(), *self.steps.values()):
            learned = [p for p in module.parameters() if p.requires_grad]
            if learned:
                groups.append({"params": learned, "lr_scale": relative})
        return [group for group in groups if group["params"]]

    @torch.no_grad()
    def after_step(self) -> None:
        """Fit levels again where weights have moved away from them [GDQ Alg. 1]."""
        self.changed()
        for layer in self._network.layers.values():
            levels = self.levels_of(layer)
            factor = None if levels is None else levels.after_step(self.matrix_of(layer))
            if factor is not None:
                self.ranges.rescale(layer, factor)

    @torch.no_grad()
    def refit(self, data: Data) -> None:
        """Fit the converter ranges to the weights as they are.

        Args:
            data: Inputs to find ranges with; a part of them is used.
        """
        self.changed()
        samples, vectors = _REFIT
        sampling = Sampling(data, samples, vectors, seed=self._recipe.seed)
        found = self.network()
        if self._known is None:
            fitted = fit_converters(found, self._target, self._method, sampling)
        else:  # of the currents there are with the faults; DACs stay, as for every chip
            places = self._known.places
            fitted = fit_adcs(found, self._target, places, self._method, sampling)
        self.ranges.take(fitted.layers)

    def load_state_dict(self, *args: Any, **options: Any) -> Any:
        """Load a checkpoint, as :class:`torch.nn.Module` does."""
        self.changed()
        return super().load_state_dict(*args, **options)

    @torch.no_grad()
    def network(self) -> Network:
        """Return the network as trained: weights, parameters, codebooks, ranges and cells."""
        graph, tensors = rewrite.copy(self._network.graph)
        for name, value in self.constants.items():
            tensors[name] = value.detach().cpu().clone()
        settings = self.settings()
        layers = {}
        for name, layer in self._network.layers.items():
            done, matrix = self._trained(layer)
            shape = tuple(self.weights[layer.weight].shape)
            tensors[layer.weight] = layer.geometry.from_matrix(matrix, shape).contiguous()
            uses = tuple(self._use(use, settings[use.node, use.operand]) for use in layer.uses)
            layers[name] = replace(done, uses=uses)
        module = rewrite.build(graph, tensors)
        return replace(self._network, graph=module, layers=layers)

    def _trained(self, layer: CrossbarLayer) -> tuple[CrossbarLayer, Tensor]:
        """Return a layer with its cells, and the weights they stand for."""
        latent = layer.geometry.to_matrix(self.weights[layer.weight].detach().cpu())
        if (reachable := self.reachable_of(layer)) is not None:
            cells, matrix = reachable.programmed(latent)
            # Its float weights stay those of the network that is compiled for every chip.
            return replace(layer, cells=cells, remapped=True), matrix
        matrix, codebook = latent, self.codebook_of(layer)()
        if codebook is not None:
            codebook = on_cpu(codebook)
            matrix = codebook.values()
        kept = None if layer.float_matrix is None else matrix.contiguous()
        done = replace(layer, codebook=codebook, float_matrix=kept)
        cells, encoding = assign(done, matrix, self._target)
        return replace(done, cells=cells, encoding=encoding), matrix

    def _use(self, use: Use, settings: tuple[Any, Any]) -> Use:
        dac, adc = settings
        if adc.i_max_us is not None:
            adc = replace(adc, i_max_us=adc.i_max_us.detach().cpu().clone())
        fitted = use.fitted
        if f"{use.node}_{use.operand}" in self.steps:
            fitted = replace(fitted or Fitted(TRAINED, None), input_method=TRAINED)
        return replace(use, dac=dac, adc=adc, fitted=fitted)


def _nothing_to_train(frozen: Mapping[str, tuple[str, ...]]) -> ModelError:
    nodes = sorted({node for names in frozen.values() for node in names})
    return ModelError(
        "CIMC-M90",
        "no gradient reaches any crossbar layer: operators that run in onnxruntime have none",
        where="node " + ", ".join(nodes[:5]) if nodes else "",
        hint="cutting the model before them, or compiling without --train-data",
    )

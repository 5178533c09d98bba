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
from cimc.executor.bind import Reader
from cimc.executor.physics import physics_of
from cimc.executor.prepare import read_of
from cimc.ir import rewrite
from cimc.ir.interpreter import call, interpret, last_uses
from cimc.ir.layer import TRAINED, Cells, CrossbarLayer, Fitted, Use
from cimc.ir.network import Network
from cimc.lowering.assign import assign
from cimc.lowering.converters import Sampling, fit_converters
from cimc.lowering.emit import emit
from cimc.quantizers.periphery.fit import Method
from cimc.targets import Target
from cimc.training import differentiable
from cimc.training.analog_forward import AnalogForward, Weight
from cimc.training.cell_targets import cells_of
from cimc.training.chip_reads import ChipMaker, ChipReads
from cimc.training.converter_ranges import ConverterRanges
from cimc.training.differentiable_cells import check_differentiable
from cimc.training.input_steps import input_steps
from cimc.training.known_chip import KnownChip
from cimc.training.latent_weights import LatentWeights, on_cpu
from cimc.training.parameters import trained_constants
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


class TrainableNetwork(LatentWeights):
    """Latent float weights, their levels, and the chip they would make.

    Attributes:
        constants: Parameters besides weights on crossbars, by name in the graph.
        ranges: Full scales of converters.
        steps: Learned input ranges, by node and operand.
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
        cells = None if known is None else known.layers
        super().__init__(network, target, recipe, uniform=uniform, known=cells)
        self._known = known
        self._method, self._device = method, torch.device(device)
        if network.layers and len(self.frozen) == len(network.layers):
            raise _nothing_to_train(self.frozen)
        program = emit(network, target, {})
        if known is not None:
            program = replace(program, faults=known.record)
        effects = None if recipe.effects is None else frozenset(recipe.effects)
        physics = physics_of(program, "chip", effects)
        if recipe.gradient == "full" and recipe.noise == "device":
            check_differentiable(physics)
        through = recipe.gradient in ("full", "detached")
        reader: Reader = differentiable.read_of if through else read_of
        self._maker = self._training_maker = ChipMaker.of(program, physics, self._device, reader)
        if known is not None and (seen := known.seen_by(recipe)) is not known.record:
            # What training is not told of is not in the chips it trains on.
            unaware = replace(program, faults=seen)
            physics = physics_of(unaware, "chip", effects)
            self._training_maker = ChipMaker.of(unaware, physics, self._device, reader)
        self._chip: tuple[int, bool, ChipReads] | None = None
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
        self.ranges = ConverterRanges(network.layers)
        self.steps = nn.ModuleDict(input_steps(network, recipe))
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
        reads = None
        if chip is not None and self._recipe.noise == "device":
            reads = self._programmed(weights, chip)
        return self._walk(inputs, weights, reads, taps)

    def _programmed(self, weights: Mapping[str, Weight], chip: int) -> ChipReads:
        """Return the chip that the weights make; between steps it is made once."""
        through = self._recipe.gradient in ("full", "detached") and torch.is_grad_enabled()
        same = self._chip is not None and self._chip[:2] == (chip, self.training)
        if not torch.is_grad_enabled() and self._chip is not None and same:
            return self._chip[2]
        with torch.set_grad_enabled(through):
            cells = {
                name: self._cells(layer, weights[name].matrix, through=through)
                for name, layer in self._network.layers.items()
            }
            settings = self._settings()
            maker = self._training_maker if self.training else self._maker
            reads = maker.chip(cells, settings, chip)
        self._chip = None if torch.is_grad_enabled() else (chip, self.training, reads)
        return reads

    def _cells(self, layer: CrossbarLayer, matrix: Tensor, *, through: bool) -> Cells:
        """Return the cells of a layer for the weights of this forward pass."""
        if (reachable := self.reachable_of(layer)) is not None:
            return reachable.cells()
        matrix = matrix if through else matrix.detach()
        limit, codebook = self.limit(layer), self.codebook_of(layer)
        return cells_of(layer, matrix, limit, codebook, self._target)

    def _settings(self) -> dict[tuple[str, int], Any]:
        settings = self.ranges.settings()
        for node, operand in settings:
            if (key := f"{node}_{operand}") in self.steps:
                dac = self.steps[key].dac()  # type: ignore[operator]
                settings[node, operand] = dac, settings[node, operand][1]
        return settings

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
        self._chip = None
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
        self._chip = None
        samples, vectors = _REFIT
        sampling = Sampling(data, samples, vectors, seed=self._recipe.seed)
        fitted = fit_converters(self._as_read(), self._target, self._method, sampling)
        self.ranges.take(fitted.layers)

    def _as_read(self) -> Network:
        """Return the network with the conductances a known chip really has."""
        network = self.network()
        if self._known is None:
            return network
        layers = {
            name: replace(layer, cells=self._known.conductances(layer))
            for name, layer in network.layers.items()
        }
        return replace(network, layers=layers)

    @torch.no_grad()
    def after_epoch(self, epochs: int) -> None:
        """Replace weights with stuck cells by their nearest valid values, where it is time.

        Args:
            epochs: That are done [-].
        """
        period = self._recipe.faults.period
        if self._known is None or period == 0 or epochs % period:
            return
        self._chip = None
        for layer in self._network.layers.values():
            if (reachable := self.reachable_of(layer)) is not None:
                weight = self.weights[layer.weight]
                snapped = reachable.snapped(layer.geometry.to_matrix(weight))
                weight.copy_(layer.geometry.from_matrix(snapped, tuple(weight.shape)))

    def load_state_dict(self, *args: Any, **options: Any) -> Any:
        """Load a checkpoint, as :class:`torch.nn.Module` does."""
        self._chip = None
        return super().load_state_dict(*args, **options)

    @torch.no_grad()
    def network(self) -> Network:
        """Return the network as trained: weights, parameters, codebooks, ranges and cells."""
        graph, tensors = rewrite.copy(self._network.graph)
        for name, value in self.constants.items():
            tensors[name] = value.detach().cpu().clone()
        settings = self._settings()
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
            return replace(layer, cells=cells), matrix
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

"""Latent weights and the chips they are programmed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cimc.executor.bind import Reader
from cimc.executor.one_by_one import made_for
from cimc.executor.packing import packed
from cimc.executor.physics import physics_of
from cimc.executor.prepare import read_of
from cimc.ir.layer import Cells, CrossbarLayer
from cimc.ir.network import Network
from cimc.lowering.emit import emit
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.training import differentiable
from cimc.training.analog_forward import Weight
from cimc.training.cell_targets import cells_of
from cimc.training.chip_reads import ChipMaker, ChipReads
from cimc.training.converter_ranges import ConverterRanges
from cimc.training.differentiable_cells import check_differentiable
from cimc.training.input_steps import input_steps
from cimc.training.known_chip import KnownChip
from cimc.training.latent_weights import LatentWeights
from cimc.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes the chips of a network.

    Attributes:
        chips: With everything the target describes.
        exact: Without converters and noise; None where weights say it all.
    """

    chips: ChipMaker
    exact: ChipMaker | None

    @classmethod
    def of(cls, program: DeviceProgram, recipe: Recipe, device: torch.device) -> Makers:
        """Return what makes chips of a program.

        Exact reads are needed where groups that share an array have idle cells between them
        that are stuck: a weight of one group then sees the inputs of another.

        Raises:
            UsageError: CIMC-U47, an unknown non-ideality; CIMC-U53, gradient ``full`` through
                a device that is not differentiable.
        """
        effects = None if recipe.effects is None else frozenset(recipe.effects)
        physics = physics_of(program, "chip", effects)
        if recipe.gradient == "full" and recipe.noise == "device":
            check_differentiable(physics)
        through = recipe.gradient in ("full", "detached")
        reader: Reader = differentiable.read_of if through else read_of
        plain = physics_of(program, "ideal")
        leaks = program.faults is not None and bool(packed(program, plain).layers)
        return cls(
            ChipMaker.of(program, physics, device, reader),
            ChipMaker.of(program, plain, device) if leaks else None,
        )


class ProgrammedWeights(LatentWeights):
    """Latent weights, converter ranges, and the chips that both make.

    Attributes:
        ranges: Full scales of converters.
        steps: Learned input ranges, by node and operand.
    """

    def __init__(
        self,
        network: Network,
        target: Target,
        recipe: Recipe,
        device: torch.device,
        *,
        uniform: bool,
        known: KnownChip | None,
    ) -> None:
        """Take a network whose cells are assigned; see :class:`~.trainable.TrainableNetwork`."""
        cells = None if known is None else known.layers
        super().__init__(network, target, recipe, uniform=uniform, known=cells)
        self._known, self._device = known, device
        program = emit(network, target, {})
        if known is not None:
            program = made_for(program, known.record)
        self._makers = self._training_makers = Makers.of(program, recipe, device)
        if known is not None and (seen := known.seen_by(recipe)) is not known.record:
            # What training is not told of is not in the chips it trains on.
            self._training_makers = Makers.of(replace(program, faults=seen), recipe, device)
        self._chip: tuple[tuple[int | None, bool], ChipReads] | None = None
        self.ranges = ConverterRanges(network.layers)
        self.steps = nn.ModuleDict(input_steps(network, recipe))

    def reads(self, weights: Mapping[str, Weight], chip: int | None) -> ChipReads | None:
        """Return how a chip reads the weights of this forward pass; None: as they are.

        Args:
            weights: By name of the layer.
            chip: Its seed; None: without converters and noise.
        """
        makers = self._training_makers if self.training else self._makers
        if chip is not None and self._recipe.noise == "device":
            return self._programmed(makers.chips, weights, chip)
        noisy = chip is not None and self._recipe.noise == "gaussian"
        floats = self._regularized and self.training
        if makers.exact is None or noisy or floats:
            return None
        return self._programmed(makers.exact, weights, None)

    def _programmed(
        self, maker: ChipMaker, weights: Mapping[str, Weight], chip: int | None
    ) -> ChipReads:
        """Return the chip that the weights make; between steps it is made once."""
        through = self._recipe.gradient in ("full", "detached") and torch.is_grad_enabled()
        which = (chip, self.training)
        if not torch.is_grad_enabled() and self._chip is not None and self._chip[0] == which:
            return self._chip[1]
        with torch.set_grad_enabled(through):
            cells = {
                name: self._cells(layer, weights[name].matrix, through=through)
                for name, layer in self._network.layers.items()
            }
            reads = maker.chip(cells, self.settings(), chip or 0)
        self._chip = None if torch.is_grad_enabled() else (which, reads)
        return reads

    def _cells(self, layer: CrossbarLayer, matrix: Tensor, *, through: bool) -> Cells:
        """Return the cells of a layer for the weights of this forward pass."""
        if (reachable := self.reachable_of(layer)) is not None:
            return reachable.cells()
        matrix = matrix if through else matrix.detach()
        limit, codebook = self.limit(layer), self.codebook_of(layer)
        return cells_of(layer, matrix, limit, codebook, self._target)

    def settings(self) -> dict[tuple[str, int], Any]:
        """Return the converter settings of every use as they are."""
        settings = self.ranges.settings()
        for node, operand in settings:
            if (key := f"{node}_{operand}") in self.steps:
                dac = self.steps[key].dac()  # type: ignore[operator]
                settings[node, operand] = dac, settings[node, operand][1]
        return settings

    def changed(self) -> None:
        """Forget the chip that was made of other weights."""
        self._chip = None

    @torch.no_grad()
    def after_epoch(self, epochs: int) -> None:
        """Replace weights with stuck cells by their nearest valid values, where it is time.

        Args:
            epochs: That are done [-].
        """
        period = self._recipe.faults.period
        if self._known is None or period == 0 or epochs % period:
            return
        self.changed()
        for layer in self._network.layers.values():
            if (reachable := self.reachable_of(layer)) is not None:
                weight = self.weights[layer.weight]
                snapped = reachable.snapped(layer.geometry.to_matrix(weight))
                weight.copy_(layer.geometry.from_matrix(snapped, tuple(weight.shape)))

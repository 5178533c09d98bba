"""Latent weights of all layers, and what they are in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from cimc.device import seeding
from cimc.ir import rewrite
from cimc.ir.layer import Codebook, CrossbarLayer
from cimc.ir.network import Network
from cimc.targets import Target
from cimc.training.analog_forward import Weight
from cimc.training.parameters import start_of, without_gradient
from cimc.training.reachable_levels import KnownCells, ReachableLevels
from cimc.training.reachable_sums import ReachableSums
from cimc.training.recipe import Recipe
from cimc.training.weight_levels import WeightLevels, levels_of


class LatentWeights(nn.Module):
    """The float weights that steps move, and the levels they are quantized to.

    Attributes:
        weights: Latent weight of each layer in its operator's layout, by its name in the graph.
        levels: Levels of each layer that has some, likewise.
        frozen: Crossbar layers that no gradient reaches, with the opaque nodes in the way.
    """

    def __init__(
        self,
        network: Network,
        target: Target,
        recipe: Recipe,
        *,
        uniform: bool,
        known: Mapping[str, KnownCells] | None = None,
    ) -> None:
        """Take the weights of a network.

        Args:
            network: With cells.
            target: The device.
            recipe: How levels move.
            uniform: Levels are equally spaced.
            known: Cells of the one chip that is trained for, by layer; None: for any chip.
        """
        super().__init__()
        self._network, self._target, self._recipe = network, target, recipe
        self._regularized = recipe.quantization == "regularized"
        self.frozen = without_gradient(network)
        tensors = rewrite.attributes(network.graph)
        floats = {} if network.float_graph is None else rewrite.attributes(network.float_graph)
        states = target.cell.states
        self.weights, self.levels = nn.ParameterDict(), nn.ModuleDict()
        for name, layer in network.layers.items():
            weight, before = tensors[layer.weight], floats.get(layer.weight)
            # On one chip weights start where they were put for it, whatever they are drawn to.
            floated = self._regularized and known is None
            latent = start_of(weight, before, regularized=floated)
            learns = name not in self.frozen
            self.weights[layer.weight] = nn.Parameter(latent, requires_grad=learns)
            if known is not None and name in known:
                kind = ReachableLevels if recipe.levels == "fixed" else ReachableSums
                matrix = layer.geometry.to_matrix(latent)
                self.levels[layer.weight] = kind(known[name], recipe, matrix)
            elif layer.codebook is not None:
                self.levels[layer.weight] = levels_of(
                    layer.codebook,
                    layer.geometry.to_matrix(latent),
                    recipe,
                    uniform=uniform,
                    states_us=None if isinstance(states, str) else tuple(states),
                    encoding=target.encoding,
                )

    def levels_of(self, layer: CrossbarLayer) -> WeightLevels | None:
        """Return the levels of a layer; None: its weights are float."""
        if layer.weight not in self.levels:
            return None
        levels = self.levels[layer.weight]
        assert isinstance(levels, WeightLevels)
        return levels

    def reachable_of(self, layer: CrossbarLayer) -> ReachableLevels | None:
        """Return what the cells of a layer can reach on the chip that is trained for."""
        levels = self.levels_of(layer)
        return levels if isinstance(levels, ReachableLevels) else None

    def matrix_of(self, layer: CrossbarLayer) -> Tensor:
        """Return the latent weight of a layer, ``(groups, rows, columns)``."""
        return layer.geometry.to_matrix(self.weights[layer.weight])

    def quantized(self, chip: int | None) -> dict[str, Weight]:
        """Return the weight of every layer as the forward pass has it, by name.

        Args:
            chip: Seed of Gaussian noise, where the recipe has it; None: without.
        """
        found = {}
        gaussian = chip is not None and self._recipe.noise == "gaussian"
        regularized = self._regularized and self.training
        for name, layer in self._network.layers.items():
            latent, levels = self.weights[layer.weight], self.levels_of(layer)
            matrix = self.matrix_of(layer)
            if levels is not None:
                matrix = levels(matrix)
            if gaussian and chip is not None:
                matrix = self._with_gaussian_noise(name, layer, matrix, chip)
            plain = (levels is None or regularized) and not gaussian
            whole = latent if plain else layer.geometry.from_matrix(matrix, tuple(latent.shape))
            found[name] = Weight(matrix, whole)
        return found

    def _with_gaussian_noise(
        self, name: str, layer: CrossbarLayer, matrix: Tensor, chip: int
    ) -> Tensor:
        """Return weights with ``N(0, delta |W|max)`` added [GDQ Eq. 6]."""
        limit = self.limit(layer)
        largest = matrix.detach().abs().amax() if limit is None else limit.amax()
        stream = seeding.generator(chip, "gaussian", name)
        normals = torch.randn(matrix.shape, generator=stream).to(matrix.device)
        return matrix + normals * (self._recipe.delta * largest)

    def limit(self, layer: CrossbarLayer) -> Tensor | None:
        """Return the weight at full conductance; None: that of float weights."""
        levels = self.levels_of(layer)
        return None if levels is None else levels.limit()

    def codebook_of(self, layer: CrossbarLayer) -> Callable[[], Codebook | None]:
        """Return what makes the codebook of a layer: not needed for every encoding."""

        def codebook() -> Codebook | None:
            levels = self.levels_of(layer)
            return None if levels is None else levels.codebook(self.matrix_of(layer).detach())

        return codebook

    def penalty(self) -> Tensor:
        """Return the quantization loss of all layers [NM Eq. 6], without its weight lambda."""
        total = torch.zeros(())
        for layer in self._network.layers.values():
            levels = self.levels_of(layer)
            if levels is not None:
                matrix = self.matrix_of(layer)
                total = total.to(matrix.device) + levels.penalty(matrix)
        return total


def on_cpu(codebook: Codebook) -> Codebook:
    """Return a codebook whose tensors are on the CPU, without gradients."""
    tensors = {
        "levels": codebook.levels,
        "codes": codebook.codes,
        "multipliers": codebook.multipliers,
        "offset": codebook.offset,
    }
    moved = {k: t.detach().cpu() for k, t in tensors.items() if t is not None}
    return replace(codebook, **moved)

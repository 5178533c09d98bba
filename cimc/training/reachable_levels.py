"""Weights that take values their own cells can reach on one chip [NM §3.6, §3.7].

[NM]: Regularization-based Framework for Quantization-, Fault- and Variability-Aware Training.
Every weight has a set of values of its own: what is left of it where cells are stuck, moved
where the variation of cells was measured (:mod:`cimc.remap.options`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from cimc.ir.layer import Cells, Codebook, CrossbarLayer
from cimc.remap.options import CellFaults, Options, options_of, to_cells
from cimc.targets import Target
from cimc.training.faulty_weights import affected, tiles_of_columns, weights_of
from cimc.training.recipe import Recipe
from cimc.training.weight_levels import WeightLevels

#: What cells may hold, see :class:`cimc.remap.settings.RemapSettings`.
Use = Literal["codebook", "states", "analog"]


@dataclass(frozen=True, slots=True)
class KnownCells:
    """The cells of a layer on the one chip it is trained for.

    Attributes:
        layer: With tiles, and its cells as they were programmed before training.
        faults: Of its cells.
        target: The device.
        use: What cells may hold.
    """

    layer: CrossbarLayer
    faults: CellFaults
    target: Target
    use: Use = "states"

    def options(self, cells: Cells, faults: CellFaults) -> Options:
        """Return what every weight can reach with such cells and such faults."""
        assert self.layer.encoding is not None
        book = self.layer.codebook
        return options_of(
            cells,
            self.layer.encoding,
            faults,
            self.target,
            use=self.use,
            levels=None if book is None else book.levels,
            column_tile=tiles_of_columns(self.layer),
        )

    def cells(self) -> Cells:
        """Return the cells before training."""
        assert self.layer.cells is not None
        return self.layer.cells

    def weights(self, cells: Cells, faults: CellFaults | None = None) -> Tensor:
        """Return what cells stand for, float32 ``(groups, rows, columns)``.

        Args:
            cells: As they are programmed.
            faults: Of these cells; None: those of this chip.
        """
        return weights_of(self.layer, cells, faults or self.faults, self.target)


class ReachableLevels(WeightLevels):
    """Levels of which every weight has its own: what its cells can reach.

    *Chosen* are the values that cells are programmed to: the nearest reachable ones, of nominal
    cells where the recipe ignores variability.  Training's forward pass has the same, but with
    the method ``nearest-valid``, where it knows nothing of stuck cells.

    Args:
        known: The cells and their faults.
        recipe: Methods.
        start: Weights at the start, float32 ``(groups, rows, columns)``.
    """

    chip: Tensor
    affected: Tensor

    def __init__(self, known: KnownCells, recipe: Recipe, start: Tensor) -> None:
        book = known.layer.codebook
        count = 2 if book is None else book.levels.shape[-1]
        regularized = recipe.quantization == "regularized"
        super().__init__(start.numel(), count, threshold=None, regularized=regularized)
        self._known, self._recipe = known, recipe
        self.nominal = recipe.variability == "ignore" and known.faults.has_gains
        self._blind = recipe.faults.method == "nearest-valid"
        self._delta = recipe.faults.delta if recipe.faults.method == "validity" else None
        # A checkpoint is of one chip.
        self.register_buffer("chip", _digest(known))
        self.register_buffer("affected", affected(known.layer, known.faults), persistent=False)
        self._choosing = self._without_gains(known.faults)
        self._choice: Tensor | None = None
        self._chosen: Options | None = None
        self._healthy: Options | None = None

    def _without_gains(self, faults: CellFaults) -> CellFaults:
        return replace(faults, gain_lrs=None, gain_hrs=None) if self.nominal else faults

    @staticmethod
    def _without_stuck(faults: CellFaults) -> CellFaults:
        return replace(
            faults, stuck_us=tuple(torch.full_like(s, torch.nan) for s in faults.stuck_us)
        )

    def base(self) -> Cells:
        """Return cells with gain, states and multipliers as they are; planes do not matter."""
        return self._known.cells()

    def options(self) -> Options:
        """Return what each weight's cells can be programmed to."""
        if self._chosen is None:
            self._chosen = self._known.options(self.base(), self._choosing)
        return self._chosen

    def healthy(self) -> Options:
        """Return the same with no cell stuck."""
        if self._healthy is None:
            self._healthy = self._known.options(self.base(), self._without_stuck(self._choosing))
        return self._healthy

    def _now(self) -> Options:
        """Return what the forward pass takes values from: in training, maybe without faults."""
        return self.healthy() if self.training and self._blind else self.options()

    def _faults_now(self) -> CellFaults:
        """Return the faults that the forward pass sees: outside of training, those there are."""
        if not self.training:
            return self._known.faults
        return self._without_stuck(self._choosing) if self._blind else self._choosing

    def table(self) -> Tensor:
        """Return the smallest and the largest weight of nominal cells, ``(2,)`` or by column."""
        cells, cell = self.base(), self._known.target.cell
        span = cells.gain.detach().abs() * (cell.g_max_us - cell.g_min_us)
        if self._known.layer.encoding == "offset-column":
            span = span / 2
        if cells.correction_us is not None:
            factors = cells.multipliers
            total = len(cells.planes) if factors is None else factors.detach().sum(0)
            low = cells.gain * (cells.correction_us + total * cell.g_min_us)
            ends = torch.stack([low, low + span * total], -1).detach()
        else:
            ends = torch.stack([-span, span], -1)
        return ends.reshape(2) if ends.numel() == 2 else ends

    def codebook(self, matrix: Tensor) -> Codebook:
        """Levels of this kind make no codebook: see :meth:`programmed`."""
        raise AssertionError("weights with values of their own have no codebook")

    def fit(self, matrix: Tensor, columns: Tensor | None) -> None:
        """Levels of this kind are what cells can reach: nothing is fitted."""

    def forward(self, matrix: Tensor) -> Tensor:
        """Return the weights to compute with; see :meth:`WeightLevels.forward`."""
        if self.regularized and self.training:
            return matrix
        result: Tensor = _Straight.apply(matrix, self.quantized(matrix))  # type: ignore[no-untyped-call]
        return result

    @torch.no_grad()
    def quantized(self, matrix: Tensor) -> Tensor:
        """Return the nearest reachable value of each weight, as the chip has it."""
        value, self._choice = nearest_of(self._now(), matrix)
        if self.nominal and not self.training:
            return self._known.weights(self.cells()).to(matrix.device)
        return value

    def cells(self) -> Cells:
        """Return the cells that hold the weights of the last forward pass."""
        assert self._choice is not None, "there was a forward pass"
        return to_cells(self.base(), self._now(), self._choice)

    @torch.no_grad()
    def programmed(self, matrix: Tensor) -> tuple[Cells, Tensor]:
        """Return the cells to program, and the weights they are on the chip."""
        options = self.options()
        cells = to_cells(self.base(), options, nearest_of(options, matrix)[1])
        return cells, self._known.weights(cells)

    def penalty(self, matrix: Tensor) -> Tensor:
        """Return ``alpha_l sum_i min_q (val |w - w_q|^2 + (1 - val) Delta)`` [NM Eq. 11].

        The best of the valid values is the nearest reachable one; an invalid one costs Delta
        whatever the weight, and there is one wherever a cell is stuck.  With the method
        ``reachable`` Delta is infinite; with ``nearest-valid`` all values count as valid [NM
        Eq. 6].  Derivatives as in :meth:`WeightLevels.penalty`.
        """
        with torch.no_grad():
            nearest = nearest_of(self._now(), matrix)[0]
        return self._penalty(matrix, nearest)

    def _penalty(self, matrix: Tensor, nearest: Tensor) -> Tensor:
        each = (matrix - nearest).square()
        if self._delta is not None:
            size = self.limit().to(each.device)
            wide = size.reshape(1, 1, 1) if size.numel() == 1 else size.reshape(len(each), 1, -1)
            most = self._delta * wide.square()
            each = torch.where(self.affected, torch.minimum(each, most), each)
        return each.sum(dtype=torch.float64).to(matrix.dtype) * self.alpha

    @torch.no_grad()
    def snapped(self, matrix: Tensor) -> Tensor:
        """Return latent weights, those with stuck cells at valid values [NM §3.6]."""
        value = nearest_of(self.options(), matrix)[0]
        return torch.where(self.affected, value, matrix)


def nearest_of(options: Options, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest values, on the device of the weights, and their choices, on the CPU."""
    value, choice = options.nearest(matrix.detach().cpu().contiguous())
    return value.to(matrix.device), choice


def _digest(known: KnownCells) -> Tensor:
    """Return a digest of cells and faults, uint8 ``(32,)``."""
    cells, faults = known.cells(), known.faults
    digest = hashlib.sha256()
    groups = (faults.stuck_us, faults.gain_lrs, faults.gain_hrs, (cells.gain,),
              (cells.states_us, cells.multipliers, cells.correction_us))  # fmt: skip
    for tensors in groups:
        for tensor in tensors or ():
            if tensor is not None:
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().data)
        digest.update(b";")
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8).clone()


class _Straight(torch.autograd.Function):
    """Other values, with the gradient of the weights as they are."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None

"""One layer made anew for the cells there are: where it lies, and what its cells hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from cimc.executor.matrices import column_tiles
from cimc.ir.layer import Cells, CrossbarLayer
from cimc.quantizers.feedback import damped
from cimc.remap.descend import descend
from cimc.remap.feedback import feedback
from cimc.remap.lines import as_program_layer
from cimc.remap.options import Options, options_of, to_cells
from cimc.remap.options_types import CellFaults
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.remap.reachable_tables import TableOptions
from cimc.remap.settings import RemapSettings
from cimc.targets import Target

#: Rows of a layer and the second moments of their inputs, ``(groups, n, n)``.
Block = tuple[slice, Tensor]

#: Sweeps over all weights after error feedback; more gain less than 1 % of the error.
SWEEPS: Final = 2
#: How far the digital gain of a column may be moved, either way.
_MOST_GAIN: Final = 4.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the weights of a layer are to do.

    Attributes:
        weight: Weights wanted, float32 ``(groups, rows, columns)``.
        blocks: Damped second moments of the inputs, rows in order.
    """

    weight: Tensor
    blocks: Sequence[Block]

    @classmethod
    def of(cls, weight: Tensor, moments: Sequence[Block], damp: float) -> Wanted:
        """Return what is wanted; without moments every input counts the same, by itself."""
        return cls(weight, [(rows, damped(h.to(weight.dtype), damp)) for rows, h in moments])

    def product(self, x: Tensor) -> Tensor:
        """Return H times a matrix ``(groups, rows, columns)``."""
        return torch.cat([h @ x[:, rows] for rows, h in self.blocks], 1) if self.blocks else x

    def error(self, value: Tensor) -> float:
        """Return the energy of what weights get wrong in the outputs."""
        difference = self.weight - value
        return float((difference * self.product(difference)).sum(dtype=torch.float64))

    def energy(self) -> float:
        """Return the energy of the outputs wanted."""
        return float((self.weight * self.product(self.weight)).sum(dtype=torch.float64))


@dataclass(frozen=True, slots=True)
class Fit:
    """A layer as it is to be on the chip.

    Attributes:
        layer: With its cells and places.
        value: Weights its cells stand for in ideal mode, with the faults, ``(groups, rows,
            columns)``.
    """

    layer: CrossbarLayer
    value: Tensor


def options_for(
    layer: CrossbarLayer,
    chip: ChipFaults,
    target: Target,
    settings: RemapSettings,
    faults: CellFaults | None = None,
) -> Options:
    """Return what the weights of a layer can reach where it lies.

    Args:
        layer: Placed, with cells.
        chip: Its faults.
        target: The device.
        settings: What cells may hold.
        faults: Of the layer's cells; None: they are looked up.
    """
    assert layer.cells is not None
    assert layer.encoding is not None
    return options_of(
        layer.cells,
        layer.encoding,
        cell_faults(layer, chip) if faults is None else faults,
        target,
        use=settings.cells,
        levels=None if layer.codebook is None else layer.codebook.levels,
        column_tile=_column_tile(layer),
    )


def _column_tile(layer: CrossbarLayer) -> Tensor | None:
    if layer.encoding != "offset-column":
        return None
    return column_tiles(as_program_layer(layer))


def nearest(
    layer: CrossbarLayer,
    wanted: Tensor,
    chip: ChipFaults,
    target: Target,
    use: RemapSettings,
    faults: CellFaults | None = None,
) -> Fit:
    """Give every weight the reachable value nearest to it, and leave the layer where it lies."""
    assert layer.cells is not None
    options, book = options_for(layer, chip, target, use, faults), layer.codebook
    if book is not None and isinstance(options, TableOptions):
        value, choice = options.nearest_to_levels(wanted, book.levels, book.codes)
    else:
        value, choice = options.nearest(wanted)
    return Fit(replace(layer, cells=to_cells(layer.cells, options, choice)), value)


def choose(
    wanted: Wanted, options: Options, settings: RemapSettings, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose reachable values for the outputs wanted.

    Args:
        wanted: What the outputs are to be.
        options: What the weights can reach.
        settings: Whether by error feedback, or each weight by itself.
        scale: Gain of each column, ``(groups, 1, columns)``.

    Returns:
        Values, which times the gains are near the weights wanted, and choices.
    """
    target = wanted.weight / scale
    if not settings.feedback or not wanted.blocks:
        return options.nearest(target)
    parts = [feedback(target[:, rows], options[:, rows], h) for rows, h in wanted.blocks]
    value, choice = (torch.cat(p, 1) for p in zip(*parts, strict=True))
    return value, choice


def polish(
    wanted: Wanted, options: Options, choice: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Improve choices by coordinate descent; arguments and results as of :func:`choose`."""
    target = wanted.weight / scale
    parts = [
        descend(target[:, rows], options[:, rows], h, choice[:, rows], sweeps=SWEEPS)
        for rows, h in wanted.blocks
    ]
    value, choice = (torch.cat(p, 1) for p in zip(*parts, strict=True))
    return value, choice


def best_gain(wanted: Wanted, value: Tensor) -> Tensor:
    """Return the factor of each column that brings its outputs nearest, ``(groups, 1, columns)``.

    Least squares: ``<W' H Q> / <Q' H Q>``; 1 where a column has no outputs, and never negative.
    """
    seen = wanted.product(value)
    power = (value * seen).sum(1, keepdim=True)
    match = (wanted.weight * seen).sum(1, keepdim=True)
    gain = torch.where(power > 0, match / power, torch.ones_like(power))
    return gain.nan_to_num(1.0).clamp(1 / _MOST_GAIN, _MOST_GAIN)


def with_gain(cells: Cells, gain: Tensor) -> Cells:
    """Return cells with the digital gain of every column multiplied, ``(groups, 1, columns)``."""
    if bool((gain == 1.0).all()):
        return cells
    return replace(cells, gain=(cells.gain * gain.reshape(-1)).contiguous())

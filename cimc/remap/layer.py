"""Where a layer lies and what its cells hold, in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cimc.ir.layer import CrossbarLayer
from cimc.remap.fit import Fit, Wanted, best_gain, choose, options_for, polish, with_gain
from cimc.remap.floor import Floor
from cimc.remap.layout import arrange
from cimc.remap.lines import tiles_of
from cimc.remap.options import Options, to_cells
from cimc.remap.physical import ChipFaults
from cimc.remap.rows import importance_of
from cimc.remap.settings import RemapSettings
from cimc.targets import Target


def refit(
    layer: CrossbarLayer,
    wanted: Wanted,
    chip: ChipFaults,
    target: Target,
    settings: RemapSettings,
    floor: Floor,
) -> Fit:
    """Return a layer with cells, places and gains for the outputs wanted.

    Alternates: rows, columns and polarity for the weights wanted (from the second time on moved
    by what the others get wrong); then what the cells hold, by error feedback and descent over
    what they can reach there, and the gain of each column.  The best of all rounds is returned.

    Args:
        layer: Where it lies so far.
        wanted: What it is to do.
        chip: Its faults.
        target: The device.
        settings: Which ingredients.
        floor: What all layers occupy; is brought up to date.
    """
    groups, _, columns = wanted.weight.shape
    scale = torch.ones(groups, 1, columns)
    laid, moved = layer, wanted.weight
    best: _Round | None = None
    importance = None
    if _lays(settings):
        assert layer.row_tiles is not None
        importance = importance_of(wanted.blocks, layer.row_tiles, layer.geometry.shape)
    rounds = 1 if importance is None else max(1, settings.rounds)
    for left in reversed(range(rounds)):
        if importance is not None:
            found = arrange(laid, moved / scale, importance, chip, target, settings, floor)
            laid = found.applied(laid)
        options = options_for(laid, chip, target, settings)
        value, choice = choose(wanted, options, settings, scale)
        gain = best_gain(wanted, value) if settings.gain else scale
        error = wanted.error(value * gain) if rounds > 1 else 0.0
        if best is None or error < best.error:
            best = _Round(error, laid, options, value, choice, gain)
        if left:
            scale, moved = gain, value * gain + _pull(wanted, value * gain)
    assert best is not None
    _move(floor, laid, best.layer)
    return _made(wanted, best, settings)


@dataclass(frozen=True, slots=True)
class _Round:
    """A layout with what its cells are to hold."""

    error: float
    layer: CrossbarLayer
    options: Options
    value: Tensor
    choice: Tensor
    gain: Tensor


def _made(wanted: Wanted, best: _Round, settings: RemapSettings) -> Fit:
    """Return the layer, its choices improved given one another."""
    value, choice, gain = best.value, best.choice, best.gain
    if settings.descent and wanted.blocks:
        value, choice = polish(wanted, best.options, choice, gain)
        gain = best_gain(wanted, value) if settings.gain else gain
    assert best.layer.cells is not None
    cells = with_gain(to_cells(best.layer.cells, best.options, choice), gain)
    return Fit(replace(best.layer, cells=cells), value * gain)


def _lays(settings: RemapSettings) -> bool:
    return settings.rows or settings.columns or settings.polarity


def _pull(wanted: Wanted, value: Tensor) -> Tensor:
    """Return where each weight would go, given all the others, less where it is."""
    if not wanted.blocks:
        return wanted.weight - value
    diagonal = torch.cat([h.diagonal(dim1=1, dim2=2) for _, h in wanted.blocks], 1)
    return wanted.product(wanted.weight - value) / diagonal[:, :, None]


def _move(floor: Floor, now: CrossbarLayer, then: CrossbarLayer) -> None:
    """Tell the floor that a layer lies elsewhere after all."""
    if now.word_lines is then.word_lines and now.bit_lines is then.bit_lines:
        return
    for tile in tiles_of(now):
        floor.release(now.name, tile)
    for tile in tiles_of(then):
        floor.take(then.name, tile)

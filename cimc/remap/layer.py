"""Where a layer lies and what its cells hold, in turns."""

from __future__ import annotations

from dataclasses import replace

import torch

from cimc.ir.layer import CrossbarLayer
from cimc.remap.fit import Fit, Wanted, choose, options_for, with_gain
from cimc.remap.options import to_cells
from cimc.remap.physical import ChipFaults
from cimc.remap.settings import RemapSettings
from cimc.targets import Target


def refit(
    layer: CrossbarLayer, wanted: Wanted, chip: ChipFaults, target: Target, settings: RemapSettings
) -> Fit:
    """Return a layer with cells, places and gains for the outputs wanted.

    Alternates: rows, columns and polarity for the weights wanted (moved by what the others get
    wrong, from the second time on); then what the cells hold, by error feedback and descent over
    what they can reach there, and the gain of each column.

    Args:
        layer: Where it lies so far.
        wanted: What it is to do.
        chip: Its faults.
        target: The device.
        settings: Which ingredients.
    """
    assert layer.cells is not None
    groups, _, columns = wanted.weight.shape
    scale = torch.ones(groups, 1, columns)
    options = options_for(layer, chip, target, settings)
    value, choice, scale = choose(wanted, options, settings, scale)
    cells = with_gain(to_cells(layer.cells, options, choice), scale)
    return Fit(replace(layer, cells=cells), value * scale)

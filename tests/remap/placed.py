"""Layers placed on small arrays, and what their weights lose to faults, worked out plainly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ir.layer import Codebook, CrossbarLayer
from cimc.lowering.assign import assign
from cimc.passes.tile_to_crossbars import tile
from cimc.remap.lines import tiles_of
from cimc.remap.options import options_of
from cimc.remap.options_types import CellFaults
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.targets import Target, load_target

#: Changes of the target rram, by what they are about.
CHANGES: dict[str, dict[str, object]] = {
    "pair": {},
    "twin": {"pair.placement": "twin-arrays"},
    "offset": {"encoding": "offset-column"},
    "sliced": {
        "encoding": "bit-sliced",
        "slices": {"count": 3, "multipliers": "digital"},
        "cell.default_levels": 8,
    },
}


def device(kind: str = "pair", changes: Mapping[str, object] | None = None) -> Target:
    """Return a target of 16 arrays of 8 x 12 cells."""
    size = {"array.rows": 8, "array.columns": 12, "chip.cores": 2, "chip.arrays_per_core": 8}
    return load_target("rram").changed({**size, **CHANGES[kind], **(changes or {})})


def placed(
    target: Target,
    rows: int,
    columns: int,
    *,
    groups: int = 1,
    own: bool = False,
    first_array: int = 0,
    name: str = "layer",
    seed: int = 0,
) -> tuple[CrossbarLayer, Tensor]:
    """Return a layer of random weights, a tile an array, and the weights it is to have.

    Args:
        target: The device.
        rows: Of the matrix.
        columns: Of the matrix.
        groups: Matrices.
        own: Give every column levels of its own.
        first_array: Of the first tile.
        name: Of the layer.
        seed: Of the weights.
    """
    rng = torch.Generator().manual_seed(seed)
    wanted = torch.randn(groups, rows, columns, generator=rng)
    layer = tile(CrossbarLayer(name, name, Geometry("matrix", groups, rows, columns), ()), target)
    count = 8
    if target.encoding == "bit-sliced":
        r, c = torch.tensor([0.4, 0.8, 1.6]), torch.tensor([-1.4])
        bits = (torch.arange(count)[:, None] >> torch.arange(3)) & 1
        levels, factors, offset = (bits * r).sum(1) + c, r, c
    else:
        levels, factors, offset = torch.linspace(-2.0, 2.0, count), None, None
    near = (wanted[..., None] - levels).abs().argmin(-1)
    if own:
        scale = 1.0 + torch.rand(groups * columns, 1, generator=rng)
        levels = levels * scale
    book = Codebook(levels, near.to(torch.uint8), factors, offset)
    cells, encoding = assign(replace(layer, codebook=book), book.values(), target)
    assert layer.tiles is not None
    assert layer.layout is not None
    tiles = layer.tiles.copy()
    tiles[:, 6] = first_array + layer.layout.arrays * np.arange(len(tiles))
    tiles[:, 7:] = 0
    made = replace(layer, codebook=book, cells=cells, encoding=encoding, tiles=tiles)
    return made, wanted


def column_tiles(layer: CrossbarLayer) -> Tensor:
    """Return the column tile of each column, int64 ``(columns,)``."""
    found = torch.zeros(layer.geometry.columns, dtype=torch.int64)
    for one in tiles_of(layer):
        found[one.columns] = one.column_tile
    return found


def squared(layer: CrossbarLayer, faults: CellFaults, wanted: Tensor, target: Target) -> Tensor:
    """Return ``(w - nearest reachable)**2`` of every weight."""
    assert layer.cells is not None
    assert layer.encoding is not None
    assert layer.codebook is not None
    options = options_of(
        layer.cells, layer.encoding, faults, target,
        use="states", levels=layer.codebook.levels, column_tile=column_tiles(layer),
    )  # fmt: skip
    return (wanted - options.nearest(wanted)[0]).square()


def damage(
    layer: CrossbarLayer, faults: ChipFaults, wanted: Tensor, importance: Tensor, target: Target
) -> float:
    """Return what faults add to the weighted squared error of a layer as it lies."""
    assert layer.cells is not None
    lost = squared(layer, cell_faults(layer, faults), wanted, target)
    healthy = squared(layer, CellFaults.none(layer.cells.planes), wanted, target)
    return float(((lost - healthy) * importance[:, :, None]).sum())


def uses_of(layers: list[CrossbarLayer], target: Target) -> npt.NDArray[np.int64]:
    """Return how many cells of layers lie on each cell of each array."""
    arrays, rows, columns = target.arrays, target.array.rows, target.array.columns
    assert arrays is not None
    assert rows is not None
    assert columns is not None
    count = np.zeros((arrays, rows, columns), np.int64)
    for layer in layers:
        assert layer.cells is not None
        for one in tiles_of(layer):
            for plane in range(len(layer.cells.planes)):
                array, bits = one.plane(plane)
                for word in one.word_lines.tolist():
                    np.add.at(count[array, word], bits, 1)
    return count


def somewhere(
    layer: CrossbarLayer, others: list[CrossbarLayer], target: Target, rng: np.random.Generator
) -> CrossbarLayer:
    """Return the layer with its tiles at random places of two arrays that are free."""
    assert layer.tiles is not None
    assert layer.layout is not None
    assert target.array.rows is not None
    assert target.array.columns is not None
    taken = uses_of(others, target) > 0
    tiles = layer.tiles.copy()
    for row in tiles:
        height, width = int(row[3]), int(layer.layout.width(row[5]))
        while True:
            array = 2 * int(rng.integers(2))
            top = int(rng.integers(target.array.rows - height + 1))
            left = int(rng.integers(target.array.columns - width + 1))
            place = taken[array : array + 2, top : top + height, left : left + width]
            if not place.any():
                break
        place[:] = True
        row[6:] = array, top, left
    return replace(layer, tiles=tiles)

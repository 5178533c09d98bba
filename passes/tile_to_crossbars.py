"""Cut each matrix into tiles that fit one array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cimc.errors import FitError
from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS, CrossbarLayer, Layout
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.targets import Target
from cimc.targets.layout import layout_of, room_of

Ranges = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TileToCrossbars(Pass):
    """Row tiles and column tiles; the partial sums of row tiles are added digitally.

    1. Row tiles of a convolution hold whole channels where one fits (28 channels x 9 taps = 252 of
       256 word lines), so that a tile reads a channel slice; a kernel with more taps than word
       lines is split inside each channel.
    2. Column tiles hold as many weight columns as the encoding allows: differential pair two bit
       lines each (one in twin arrays), offset column one, and one more bit line a tile,
       bit-sliced one a slice.
    3. A group of a grouped convolution is a matrix of its own, cut in the same way.
    4. Spare word lines and bit lines of the target are left free.
    """

    name: ClassVar[str] = "tile-to-crossbars"
    needs: ClassVar[Stage] = Stage.PARTITIONED
    gives: ClassVar[Stage] = Stage.TILED

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the tile table of every layer (places still -1)."""
        layers = {name: tile(layer, context.target) for name, layer in network.layers.items()}
        return replace(network, layers=layers, stage=Stage.TILED)


def tile(layer: CrossbarLayer, target: Target) -> CrossbarLayer:
    """Return the layer with its row tiles and tile table.

    Raises:
        FitError: CIMC-S02, an array has too few bit lines for one weight.
    """
    geometry = layer.geometry
    rows = row_ranges(geometry, room_of(target)[0])
    layout = layout_of(target)
    per_tile = weight_columns(layout, target, layer.name)
    columns = ranges(geometry.columns, per_tile or geometry.columns)
    group, r, c = np.meshgrid(
        np.arange(geometry.groups), np.arange(len(rows)), np.arange(len(columns)), indexing="ij"
    )
    table = np.full((group.size, len(TILE_FIELDS)), -1, dtype=np.int32)
    table[:, 0], table[:, 1] = group.ravel(), r.ravel()
    table[:, 2:4], table[:, 4:6] = rows[r.ravel()], columns[c.ravel()]
    return replace(layer, tiles=table, row_tiles=rows, layout=layout)


def ranges(total: int, most: int) -> Ranges:
    """Return ranges of at most ``most`` that cover ``total``: int32 ``(n, 2)``, first and size."""
    first = np.arange(0, total, most)
    return np.stack([first, np.minimum(most, total - first)], axis=1).astype(np.int32)


def row_ranges(geometry: Geometry, word_lines: int | None) -> Ranges:
    """Return the row tiles of a matrix on arrays with that many word lines (None: unlimited)."""
    if word_lines is None or geometry.rows <= word_lines:
        return ranges(geometry.rows, geometry.rows)
    taps = geometry.taps if geometry.kind == "conv" else 1
    if taps <= word_lines:
        return ranges(geometry.rows, word_lines // taps * taps)
    inside = ranges(taps, word_lines)
    channels = np.arange(geometry.rows // taps, dtype=np.int32) * taps
    first = (channels[:, None] + inside[None, :, 0]).ravel()
    sizes = np.tile(inside[:, 1], len(channels))
    return np.stack([first, sizes], axis=1).astype(np.int32)


def weight_columns(layout: Layout, target: Target, where: str) -> int | None:
    """Return how many weight columns fit one array; None when unlimited."""
    columns = room_of(target)[1]
    if columns is None:
        return None
    fit = (columns - layout.extra) // layout.bit_lines
    if fit < 1:
        raise FitError(
            "CIMC-S02",
            f"{target.encoding} needs more bit lines than the {columns} there are",
            where=f"layer '{where}'",
            hint="a target with wider arrays",
        )
    return fit

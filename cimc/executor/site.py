"""One plane of a layer on one chip: all that an effect has to know besides conductances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from cimc.device import seeding
from cimc.executor.physics import Physics
from cimc.program.model import ProgramLayer
from cimc.program.positions import Block, blocks, numbers, planes_of


@dataclass(frozen=True, slots=True)
class Site:
    """Where an effect takes place.

    Attributes:
        layer: Whose cells.
        plane: Which device plane.
        physics: What is modelled.
        seed: The chip.
    """

    layer: ProgramLayer
    plane: int
    physics: Physics
    seed: int

    def stream(self, purpose: str) -> torch.Generator:
        """Return the random stream of these cells for one purpose."""
        return seeding.generator(self.seed, purpose, self.layer.name, self.plane)

    def of_array(self, purpose: str, array: int) -> torch.Generator:
        """Return the random stream of an array, the same for all cells on it, of any layer."""
        return seeding.generator(self.seed, purpose, array)

    def blocks(self) -> Iterator[Block]:
        """Yield the rectangles of cells, with their places on arrays."""
        return blocks(self.layer, self.plane)

    def array_size(self, array: int) -> tuple[int, int]:
        """Return word lines and bit lines of an array; of one without end, those in use."""
        rows, columns = self.physics.target.array.rows, self.physics.target.array.columns
        if rows is not None and columns is not None:
            return rows, columns
        planes = range(planes_of(self.layer))
        here = [b for p in planes for b in blocks(self.layer, p) if b.array == array]
        return (
            rows or 1 + max(int(numbers(block.word_lines).max()) for block in here),
            columns or 1 + max(int(numbers(block.bit_lines).max()) for block in here),
        )

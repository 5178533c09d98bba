"""One plane of a layer on one chip: all that an effect has to know besides conductances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from cimc.device import seeding
from cimc.executor.physics import Physics
from cimc.program.model import ProgramLayer
from cimc.program.positions import Block, blocks


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

    @property
    def array_size(self) -> tuple[int, int]:
        """Word lines and bit lines of an array; targets whose arrays end nowhere are refused."""
        array = self.physics.target.array
        assert array.rows is not None
        assert array.columns is not None
        return array.rows, array.columns

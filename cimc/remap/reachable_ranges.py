"""Weights of cells that hold any conductance: what is reachable is a range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from cimc.remap.reachable_cells import CellLines


@dataclass(frozen=True, slots=True)
class RangeOptions:
    """Weights ``scale * (sum_k factor_k G_k + offset)``, every cell anywhere in its range.

    A choice is the weight itself, float32.  Cells stand at their lowest as far as possible: a
    pair has the unified reference of [GDQ §4.4] where both its cells are healthy.

    Attributes:
        scale: Weight units per uS, float32 S.
        offset: float32 S [uS].
        factors: Per plane, float32 S [-].
        cells: Per plane.
        stuck_us: Per plane, conductance of stuck cells, NaN for healthy ones, S [uS].
        span_us: Lowest and highest conductance a cell is programmed to [uS].
        shared: Planes of cells that weights share, conductances [uS].
    """

    scale: Tensor
    offset: Tensor
    factors: tuple[Tensor, ...]
    cells: tuple[CellLines, ...]
    stuck_us: tuple[Tensor, ...]
    span_us: tuple[float, float]
    shared: tuple[Tensor, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        return self.scale.shape

    @property
    def states_us(self) -> None:
        """None: planes are conductances."""
        return None

    def _ends(self, plane: int) -> tuple[Tensor, Tensor]:
        """Return the lowest and the highest conductance of the cells of a plane [uS]."""
        line = self.cells[plane]
        ends = [line.conductance(line.shift.new_tensor(end)) for end in self.span_us]
        return torch.minimum(*ends), torch.maximum(*ends)

    def _room(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sum with all cells lowest, and how far it goes up and down [uS]."""
        low = self.offset.double()
        up, down = torch.zeros_like(low), torch.zeros_like(low)
        for k, factor in enumerate(self.factors):
            least, most = self._ends(k)
            low = low + factor.double() * least
            reach = factor.double() * (most - least)
            up, down = up + reach.clamp(min=0), down - reach.clamp(max=0)
        return low, up, down

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values; the choices are the same."""
        low, up, down = self._room()
        ends = ((low - down) * self.scale, (low + up) * self.scale)
        value = wanted.double().clamp(torch.minimum(*ends), torch.maximum(*ends))
        value = value.to(torch.float32)
        return value, value

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for: themselves."""
        return choice

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return what the cell of each plane is programmed to, float32 [uS]."""
        low, up, down = self._room()
        inverse = torch.where(self.scale == 0, 0.0, 1.0 / self.scale.double())
        rest = choice.double() * inverse - low
        rise = (rest / torch.where(up > 0, up, torch.inf)).clamp(0, 1)
        fall = (-rest / torch.where(down > 0, down, torch.inf)).clamp(0, 1)
        found = []
        for k, (factor, line) in enumerate(zip(self.factors, self.cells, strict=True)):
            least, most = self._ends(k)
            share = torch.where(factor >= 0, rise, fall)
            held = line.programmed(least + share * (most - least))
            stuck = self.stuck_us[k]
            held = torch.where(stuck.isnan(), held, stuck).clamp(*self.span_us)
            found.append(held.to(torch.float32))
        return tuple(found)

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights."""
        return replace(
            self,
            scale=self.scale[index],
            offset=self.offset[index],
            factors=tuple(f[index] for f in self.factors),
            cells=tuple(c[index] for c in self.cells),
            stuck_us=tuple(s[index] for s in self.stuck_us),
        )

"""What single cells do: ``G = max(shift + slope * state, 0)``, with measured gains and faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from cimc.remap.options_types import CellFaults


@dataclass(frozen=True, slots=True)
class CellLines:
    """How the cells of one plane turn a programmed conductance into their own.

    Device-to-device variation ([NM Eq. 12], :mod:`cimc.device.device_to_device`) is linear in the
    programmed conductance; a stuck cell has slope 0.

    Attributes:
        shift: float32 S [uS].
        slope: float32 S [-].
    """

    shift: Tensor
    slope: Tensor

    @classmethod
    def of(cls, faults: CellFaults, plane: int, g_min_us: float, g_max_us: float) -> CellLines:
        """Return the cells of one plane."""
        stuck = faults.stuck_us[plane]
        low = _change(faults.gain_hrs, plane, g_min_us, stuck)
        rise = (_change(faults.gain_lrs, plane, g_max_us, stuck) - low) / (g_max_us - g_min_us)
        shift = torch.where(stuck.isnan(), low - g_min_us * rise, stuck.double())
        slope = torch.where(stuck.isnan(), 1.0 + rise, 0.0)
        return cls(shift.to(torch.float32), slope.to(torch.float32))

    def conductance(self, programmed_us: Tensor) -> Tensor:
        """Return what cells have when programmed to conductances, broadcast against S [uS]."""
        return torch.addcmul(self.shift, self.slope, programmed_us).clamp_(min=0)

    def programmed(self, g_us: Tensor) -> Tensor:
        """Return what cells are to be programmed to, for conductances they should have [uS]."""
        slope = torch.where(self.slope == 0, torch.inf, self.slope)
        return (g_us - self.shift) / slope

    def go_below_zero(self, g_min_us: float, g_max_us: float) -> bool:
        """Whether any cell would be negative, were that possible."""
        ends = torch.minimum(
            self.shift + self.slope * g_min_us, self.shift + self.slope * g_max_us
        )
        return bool((ends < 0).any())

    def __getitem__(self, index: Any) -> Self:
        """Return some of the cells."""
        return type(self)(self.shift[index], self.slope[index])


def _change(gains: tuple[Tensor, ...] | None, plane: int, end_us: float, like: Tensor) -> Tensor:
    """Return how far an end state lies off, float64 [uS]."""
    if gains is None:
        return torch.zeros(like.shape, dtype=torch.float64)
    return (gains[plane].double() - 1.0) * end_us

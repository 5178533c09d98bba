"""The faults of the cells of a layer, in the order of its weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class CellFaults:
    """What is wrong with the cells of a layer, or of any stack of matrices.

    Attributes:
        stuck_us: Per plane, in its shape, the conductance of stuck cells, float32; NaN: healthy
            [uS].
        gain_lrs: Factor of the highest state of each cell ([NM Eq. 12] ``var``), likewise [-];
            None: not measured.
        gain_hrs: The same of the lowest state.
    """

    stuck_us: tuple[Tensor, ...]
    gain_lrs: tuple[Tensor, ...] | None = None
    gain_hrs: tuple[Tensor, ...] | None = None

"""Drift compensation: a digital factor found by reading known inputs now and after programming.

All word lines of a layer are driven at full scale right after programming, at the temperature of
programming, and again at the time of use.  What the currents lost on the whole, the digital side
gives back: Le Gallo et al., IEEE Trans. Electron Devices 65, 4304 (2018); Joshi et al., Nature
Communications 11, 2473 (2020).  The currents of the two cells of a pair are added, since their
difference may vanish; the reads are averages, without noise and conversion.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cimc.executor.matrices import Lane, Matrices, column_tiles
from cimc.executor.physics import Physics
from cimc.program.model import ProgramLayer


def compensates(physics: Physics) -> bool:
    """Whether there is a factor that may differ from 1."""
    law = physics.target.noise.drift
    if law is None or law.compensation == "none" or not physics.on("drift"):
        return False
    changes = physics.on("relaxation") or physics.on("temperature")
    return changes or physics.at_s > law.t0_s


def after_programming(physics: Physics) -> Physics:
    """Return what is modelled of the first of the two reads."""
    return replace(physics, at_s=0.0, effects=physics.effects - {"temperature"})


def factor_of(
    layer: ProgramLayer, before: tuple[Tensor, ...], now: tuple[Tensor, ...], physics: Physics
) -> float | Tensor:
    """Return the factor of a layer's currents: a number, or float32 ``(groups * columns,)``.

    Columns that carry no current keep their factor of 1.

    Args:
        layer: The layer.
        before: Planes as they are after programming, wires in [uS].
        now: Planes as they are read, wires in [uS].
        physics: Says whether a layer or each of its columns has a factor.
    """
    law = physics.target.noise.drift
    if law is not None and law.compensation == "per-column":
        return _ratio(_columns(layer, before), _columns(layer, now)).float()
    total, left = (
        torch.stack([p.sum(dtype=torch.float64) for p in x]).sum() for x in (before, now)
    )
    ratio = _ratio(total, left)
    return ratio if ratio.requires_grad else float(ratio)


def compensated(seen: Matrices, factor: float | Tensor) -> Matrices:
    """Return what bit lines see, with the currents multiplied digitally, after conversion."""
    return replace(seen, lanes=tuple(_times(lane, factor) for lane in seen.lanes))


def _times(lane: Lane, factor: float | Tensor) -> Lane:
    return replace(lane, multiplier=lane.multiplier * factor)


def _columns(layer: ProgramLayer, planes: tuple[Tensor, ...]) -> Tensor:
    """Return the current of each weight column, over all of its cells, float64 [uS]."""
    columns = layer.geometry.columns
    tile = column_tiles(layer).to(planes[0].device)
    sums = [plane.sum(1, dtype=torch.float64) for plane in planes]
    own = [s if s.shape[1] == columns else s.index_select(1, tile) for s in sums]
    return torch.stack(own).sum(0).flatten()


def _ratio(before: Tensor, now: Tensor) -> Tensor:
    some = now > 0
    one = torch.ones_like(now)
    return torch.where(some, before / torch.where(some, now, one), one)

"""How much the conductance of each cell fluctuates from one read to the next."""

from __future__ import annotations

from torch import Tensor

from cimc.device.one_over_f import one_over_f_power, spectrum_factor
from cimc.device.telegraph import telegraph_variance, traps
from cimc.executor.physics import Physics
from cimc.executor.site import Site
from cimc.program.model import ProgramLayer

#: Non-idealities that make conductances fluctuate.
EFFECTS = frozenset({"read", "one-over-f", "telegraph"})


def variance_us2(
    layer: ProgramLayer, number: int, plane_us: Tensor, physics: Physics, seed: int
) -> Tensor | None:
    """Return the variance of each cell's conductance over reads, new [uS^2]; None without any.

    White noise, 1/f noise and the electron of a trap are independent.  With ``m`` the mean and
    ``v`` the variance of a cell due to its trap, relative noise of power ``s`` on top makes
    ``v + s (m^2 + v)``, exactly.

    Args:
        layer: Whose cells.
        number: Which device plane.
        plane_us: Mean conductances, any traps' mean included, ``(groups, rows, columns)`` [uS].
        physics: What is modelled.
        seed: The chip; traps are those that the mean was worked out for.
    """
    noise = physics.target.noise.read
    if noise is None or not physics.effects & EFFECTS:
        return None
    relative = _relative_power(plane_us, physics)
    telegraph = noise.telegraph
    if telegraph is None or not physics.on("telegraph"):
        return plane_us.square().mul_(relative)
    stream = Site(layer, number, physics, seed).stream("telegraph")
    trapped = traps(plane_us.shape, telegraph.cells, stream)
    variance = telegraph_variance(plane_us, trapped, telegraph.amplitude, telegraph.occupancy)
    if isinstance(relative, float) and relative == 0.0:
        return variance
    return (plane_us.square().add_(variance)).mul_(relative).add_(variance)


def _relative_power(plane_us: Tensor, physics: Physics) -> float | Tensor:
    """Return the variance of white and 1/f noise as a share of the mean square [-]."""
    noise = physics.target.noise.read
    assert noise is not None
    power: float | Tensor = 0.0
    if physics.on("one-over-f") and noise.one_over_f is not None:
        f = noise.one_over_f
        factor = spectrum_factor(physics.at_s, f.t_read_s)
        g_max_us = physics.target.cell.g_max_us
        power = one_over_f_power(plane_us, g_max_us, f.amplitude, f.exponent, f.limit, factor)
    return power + noise.sigma_relative**2 if physics.on("read") else power

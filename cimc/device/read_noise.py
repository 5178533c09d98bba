"""Read noise: conductances fluctuate from one read to the next.

Independent normal fluctuations of the cells, of standard deviation ``sigma * g``, add up along a
bit line to a current that is exactly ``N(0, sigma**2 * sum_r x_r**2 * g_r**2)``, independent from
bit line to bit line and from read to read.  So one number is drawn a bit line instead of one a
cell.  The functions here work on any linear read: the caller computes ``sum_r x_r**2 * p_r`` with
the same operation that reads the crossbar.
"""

from __future__ import annotations

from torch import Tensor

from cimc.device.normals import Normals


def pair_power(g_plus_us: Tensor, g_minus_us: Tensor) -> Tensor:
    """Return ``G+**2 + G-**2``: both cells of a pair fluctuate, independently [uS^2]."""
    return g_plus_us.square().add_(g_minus_us.square())


def add_read_noise(current: Tensor, power: Tensor, sigma: float, normals: Normals) -> Tensor:
    """Add one read's fluctuation to bit-line currents, in place.

    Args:
        current: Bit-line currents.
        power: ``sum_r x_r**2 * g_r**2`` of each bit line, broadcast against ``current``: bit
            lines that share cells (an offset column) share the draw; overwritten.
        sigma: Standard deviation of a cell as a share of its conductance [-].
        normals: Random numbers on the device of ``current``; every read takes new ones.

    Returns:
        ``current``.
    """
    # A convolution may compute a sum of squares as a tiny negative number: no noise.
    return normals.add(current, power, sigma)

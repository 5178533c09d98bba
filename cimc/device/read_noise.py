"""Read noise: conductances fluctuate from one read to the next.

Independent fluctuations of the cells, of variance ``p_r``, add up along a bit line to a current of
variance ``sum_r x_r**2 * p_r``, independent from bit line to bit line and from read to read;
normal ones to a normal current, exactly.  So one number is drawn a bit line instead of one a cell.
The functions here work on any linear read: the caller computes ``sum_r x_r**2 * p_r`` with the
same operation that reads the crossbar.
"""

from __future__ import annotations

from torch import Tensor

from cimc.device.normals import Normals, learned_root


def add_fluctuation(
    current: Tensor, power: Tensor | None, still: float | Tensor, normals: Normals
) -> Tensor:
    """Add one read's fluctuation to bit-line currents, in place.

    Args:
        current: Bit-line currents.
        power: Variance that depends on the input, ``sum_r x_r**2 * p_r`` of each bit line,
            broadcast against ``current``; overwritten.  None: none.  A convolution may compute a
            sum of squares as a tiny negative number, which counts as 0.
        still: Variance that does not, broadcast against ``current``.
        normals: Random numbers on the device of ``current``; every read takes new ones.

    Returns:
        ``current``.
    """
    if power is None:
        if not isinstance(still, Tensor):
            return current.add_(normals.like(current), alpha=still**0.5)
        if not still.requires_grad:
            return current.addcmul_(normals.like(current), still.sqrt())
        numbers = normals.like(current).to(current.dtype, copy=True)
        return current.addcmul_(numbers, learned_root(still))
    if isinstance(still, Tensor) or still:
        power.add_(still)
    return normals.add(current, power)

"""Into how many separately converted currents a target divides a weight column."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cimc.targets.schema import Target


def lane_count(target: Target) -> int:
    """Return the bit-line currents of a weight column that are converted one by one [-].

    A pair subtracted after the converter has two, bit slices multiplied digitally one a slice,
    everything else one.
    """
    if target.encoding == "bit-sliced" and target.slices is not None:
        return target.slices.count if target.slices.multipliers == "digital" else 1
    after = target.encoding == "differential-pair" and target.pair.subtraction == "after-adc"
    return 2 if after else 1


def bit_lines(target: Target) -> int:
    """Return the bit lines of one array whose currents add up to one that is converted [-].

    A pair subtracted before the converter has two side by side, bit slices whose conductances
    are the multipliers one a slice, everything else one.
    """
    if target.encoding == "bit-sliced" and target.slices is not None:
        return 1 if target.slices.multipliers == "digital" else target.slices.count
    together = target.pair.placement == "adjacent-columns" and (
        target.pair.subtraction == "before-adc"
    )
    return 2 if target.encoding == "differential-pair" and together else 1

"""Rules between the settings of inputs and converters.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cimc.targets.problems import Path

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Path, message and offending value of each violation.
Found = Iterator[tuple[Path, str, object]]


def pulses_need_codes(target: Target) -> Found:
    """The drives bit-serial and pulse-width need read.dac_bits: pulses are counted codes."""
    read = target.read
    if read.drive != "parallel" and read.dac_bits is None:
        yield ("read", "dac_bits"), f"is required with the drive {read.drive}", None


def shifts_need_a_range(target: Target) -> Found:
    """signed_inputs: shift needs read.dac_bits, whose range says by how much to shift."""
    read = target.read
    if read.signed_inputs == "shift" and read.dac_bits is None:
        yield ("read", "dac_bits"), "is required with signed_inputs: shift", None


def errors_need_a_converter(target: Target) -> Found:
    """adc.offset_lsb, gain_sigma and noise_lsb need adc.bits."""
    adc = target.adc
    if adc.bits is not None or target.encoding == "signed":
        return
    for key in ("offset_lsb", "gain_sigma", "noise_lsb"):
        value = getattr(adc, key)
        if value > 0:
            yield ("adc", key), "is an error of a converter: adc.bits is required", value


def sharing_columns_share_their_range(target: Target) -> Found:
    """The range per-column needs adc.columns_per_adc 1: columns of one converter share its range.

    ([NM] has a codebook a column; where columns share a converter, take per-row-tile.)
    """
    adc = target.adc
    if adc.range == "per-column" and adc.columns_per_adc > 1:
        message = f"should not be per-column where {adc.columns_per_adc} columns share a converter"
        yield ("adc", "range"), message, adc.range


RULES: Final = (
    pulses_need_codes,
    shifts_need_a_range,
    errors_need_a_converter,
    sharing_columns_share_their_range,
)

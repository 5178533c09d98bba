"""The sections of a target description, one class each; non-idealities: ``noise_sections``.

A field that is a quantity has its unit in its name here (``g_min_us``) and is written with its
unit in the file (``g_min: 2.1 uS``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cimc.targets.fields import (
    Bits,
    Count,
    Fraction,
    Microsiemens,
    Nanoseconds,
    Picojoule,
    Seconds,
    Section,
    Spare,
    SquareMicrometre,
    States,
    Volt,
)


class Array(Section):
    """One crossbar array."""

    rows: Annotated[Count | None, Field(description="word lines; none: unlimited")]
    columns: Annotated[Count | None, Field(description="bit lines; none: unlimited")]
    spare_rows: Annotated[
        Spare,
        Field(description="of the word lines, those left free for the faults of a chip"),
    ] = 0
    spare_columns: Annotated[
        Spare,
        Field(description="of the bit lines, those left free for the faults of a chip"),
    ] = 0


class Chip(Section):
    """How many arrays there are."""

    cores: Annotated[Count | None, Field(description="none: unlimited")] = None
    arrays_per_core: Annotated[Count | None, Field(description="none: unlimited")] = None
    spare_arrays: Annotated[
        Spare, Field(description="of all arrays, those left free for the faults of a chip")
    ] = 0


class Nonlinearity(Section):
    """I-V curve of a cell: ``I = G * v_read * f(V / v_read)`` with ``f(1) = 1``.

    Conductances are measured at the read voltage, so a full-scale input is right by definition.
    """

    sinh_v: Annotated[
        Volt | None,
        Field(alias="sinh", description="V0 of f(u) = sinh(u v_read / V0) / sinh(v_read / V0)"),
    ] = None
    polynomial: Annotated[
        tuple[float, ...] | None,
        Field(
            strict=False, min_length=1, max_length=8,
            description="a1, a2, ... of f(u) = sum a_k u |u|^(k-1), divided by their sum",
        ),
    ] = None  # fmt: skip


class Cell(Section):
    """One memory cell."""

    g_min_us: Annotated[
        Microsiemens,
        Field(alias="g_min", description="lowest programmable conductance (HRS)"),
    ] = 0.0
    g_max_us: Annotated[
        Microsiemens,
        Field(alias="g_max", description="highest programmable conductance (LRS)"),
    ] = 1.0
    states: Annotated[
        States,
        Field(
            description="'analog' (program and verify to any conductance), or the fixed list of "
            "conductances, from g_min to g_max"
        ),
    ] = "analog"
    default_levels: Annotated[
        int | None,
        Field(
            ge=2,
            le=256,
            description="weight levels when the user asks for none; none: weights stay float",
        ),
    ] = None
    nonlinearity: Annotated[
        Nonlinearity | None, Field(description="I-V curve; none: the current is G times V")
    ] = None


class Read(Section):
    """How inputs are applied."""

    v_read_v: Annotated[
        Volt,
        Field(
            alias="v_read",
            description="voltage of a full-scale input; scales currents and energy, and with them "
            "thermal noise and the I-V curve",
        ),
    ] = 0.2
    drive: Annotated[
        Literal["parallel", "bit-serial", "pulse-width"],
        Field(
            description="one pulse per input whose height is the code, one pulse per input bit, "
            "or one pulse whose length is the code"
        ),
    ] = "parallel"
    signed_inputs: Annotated[
        Literal["bipolar", "two-phase", "shift"],
        Field(
            description="negative inputs: as negative voltages; in a second read that is "
            "subtracted digitally; or shifted to be positive, the shift removed digitally"
        ),
    ] = "bipolar"
    dac_bits: Annotated[
        Bits | None, Field(description="input converter, sign included; none: exact inputs")
    ] = None
    at_s: Annotated[
        Seconds,
        Field(alias="at", description="time after programming at which chips are evaluated"),
    ] = 0.0


class AdcSection(Section):
    """How bit-line currents are converted."""

    bits: Annotated[Bits | None, Field(description="sign included; none: no converter")] = None
    range: Annotated[
        Literal["per-row-tile", "per-layer", "per-column", "full-scale"],
        Field(description="what shares one fitted input range of the converter"),
    ] = "per-row-tile"
    columns_per_adc: Annotated[
        int, Field(ge=1, le=1 << 16, description="bit lines (pairs) that share one converter")
    ] = 1
    offset_lsb: Annotated[
        float, Field(ge=0.0, description="standard deviation of the offset of a converter [LSB]")
    ] = 0.0
    gain_sigma: Annotated[
        Fraction, Field(description="standard deviation of the gain of a converter around 1")
    ] = 0.0
    noise_lsb: Annotated[
        float, Field(ge=0.0, description="standard deviation of the noise of a conversion [LSB]")
    ] = 0.0


class Slices(Section):
    """Bit slices of a weight ([NM] section 5.4): one bit line a slice, each with a multiplier."""

    count: Annotated[int, Field(ge=1, le=8, description="cells, and bits, of a weight")]
    multipliers: Annotated[
        Literal["digital", "conductance"],
        Field(
            description="digital: every slice is converted and multiplied; conductance: the "
            "conductances of the cells hold the multipliers and their currents are summed"
        ),
    ] = "digital"


class Pair(Section):
    """Layout of a differential pair."""

    placement: Annotated[
        Literal["adjacent-columns", "twin-arrays"],
        Field(description="G+ and G- side by side, or in two arrays"),
    ] = "adjacent-columns"
    subtraction: Annotated[
        Literal["before-adc", "after-adc"], Field(description="where G- is subtracted")
    ] = "before-adc"


class Programming(Section):
    """How the chip is programmed."""

    granularity: Annotated[
        Literal["cell", "row", "array"], Field(description="smallest unit rewritten at once")
    ] = "cell"


class Costs(Section):
    """Figures for estimates; they never change a result."""

    mvm_time_ns: Annotated[
        Nanoseconds | None, Field(alias="mvm_time", description="one read of one array")
    ] = None
    mvm_energy_pj: Annotated[
        Picojoule | None, Field(alias="mvm_energy", description="one read of one full array")
    ] = None
    adc_energy_pj: Annotated[
        Picojoule | None, Field(alias="adc_energy", description="one conversion")
    ] = None
    program_time_ns: Annotated[
        Nanoseconds | None, Field(alias="program_time", description="one cell, verify included")
    ] = None
    array_area_um2: Annotated[
        SquareMicrometre | None, Field(alias="array_area", description="with its converters")
    ] = None

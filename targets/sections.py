"""The sections of a target description, one class each.

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
    Ohm,
    Picojoule,
    Second,
    Section,
    SquareMicrometre,
    States,
    Volt,
)


class Array(Section):
    """One crossbar array."""

    rows: Annotated[Count | None, Field(description="word lines; none: unlimited")]
    columns: Annotated[Count | None, Field(description="bit lines; none: unlimited")]


class Chip(Section):
    """How many arrays there are."""

    cores: Annotated[Count | None, Field(description="none: unlimited")] = None
    arrays_per_core: Annotated[Count | None, Field(description="none: unlimited")] = None


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


class Read(Section):
    """How inputs are applied."""

    v_read_v: Annotated[
        Volt,
        Field(
            alias="v_read",
            description="voltage of a full-scale input; scales currents and energy, not results",
        ),
    ] = 0.2
    drive: Annotated[
        Literal["parallel", "bit-serial"],
        Field(description="one multi-level pulse per input, or one pulse per input bit"),
    ] = "parallel"
    dac_bits: Annotated[
        Bits | None, Field(description="input converter, sign included; none: exact inputs")
    ] = None


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
    noise_lsb: Annotated[
        float, Field(ge=0.0, description="standard deviation of the noise of a conversion [LSB]")
    ] = 0.0


class Gaussian(Section):
    """Normal deviation of a programmed conductance from its target, drawn once per chip."""

    sigma_us: Annotated[
        Microsiemens | None, Field(alias="sigma", description="standard deviation per cell")
    ] = None
    sigma_relative: Annotated[
        Fraction | None,
        Field(description="standard deviation per cell, as a fraction of g_max - g_min"),
    ] = None


class ReadNoise(Section):
    """Normal fluctuation of a conductance from one inference to the next."""

    sigma_relative: Annotated[
        Fraction,
        Field(description="standard deviation per cell, as a fraction of its conductance"),
    ]


class Drift(Section):
    """Power-law decay of conductance, ``G(t) = G(t0) * (t / t0) ** -nu``."""

    nu: Annotated[float, Field(ge=0.0, le=1.0, description="mean drift exponent [-]")]
    nu_sigma: Annotated[
        float, Field(ge=0.0, le=1.0, description="standard deviation of the exponent [-]")
    ] = 0.0
    t0_s: Annotated[Second, Field(alias="t0", description="time the exponent refers to")] = 1.0


class Noise(Section):
    """Non-idealities drawn at random."""

    programming: Annotated[
        Gaussian | None, Field(description="none: cells are exactly at their targets")
    ] = None
    read: Annotated[ReadNoise | None, Field(description="none: no read noise")] = None
    device_to_device: Annotated[
        Gaussian | None, Field(description="spread of the states from cell to cell")
    ] = None
    drift: Annotated[Drift | None, Field(description="none: no drift")] = None


class Stuck(Section):
    """Share of cells that cannot be programmed, drawn once per chip."""

    at_g_min: Annotated[Fraction, Field(description="stuck at g_min (HRS)")] = 0.0
    at_g_max: Annotated[Fraction, Field(description="stuck at g_max (LRS)")] = 0.0


class Wires(Section):
    """Resistance of one wire segment, from cell to cell."""

    word_line_ohm: Annotated[Ohm, Field(alias="word_line", description="per segment")] = 0.0
    bit_line_ohm: Annotated[Ohm, Field(alias="bit_line", description="per segment")] = 0.0


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

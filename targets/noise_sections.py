"""The sections of a target description that say what is not ideal, one class each.

The formulas of the non-idealities are in the docstrings.  A field that is a quantity has its unit
in its name here (``sigma_us``) and is written with its unit in the file (``sigma: 0.2 uS``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cimc.targets.fields import (
    Electronvolt,
    Fraction,
    Hertz,
    Kelvin,
    Microsiemens,
    Ohm,
    Second,
    Section,
)


class Verify(Section):
    """Program and verify: a cell is written again while it reads back too far from its target."""

    tolerance_us: Annotated[
        Microsiemens, Field(alias="tolerance", description="largest deviation accepted")
    ]
    iterations: Annotated[
        int, Field(ge=1, le=1000, description="writes at most, the first one in")
    ]


class ProgrammingNoise(Section):
    """Deviation of a programmed conductance from its target, drawn once per chip."""

    sigma_us: Annotated[
        Microsiemens | None, Field(alias="sigma", description="standard deviation per cell")
    ] = None
    sigma_relative: Annotated[
        Fraction | None,
        Field(description="standard deviation per cell, as a fraction of g_max - g_min"),
    ] = None
    sigma_log: Annotated[
        float | None,
        Field(
            ge=0.0, le=3.0, description="lognormal: standard deviation of ln G; median on target"
        ),
    ] = None
    polynomial: Annotated[
        tuple[float, ...] | None,
        Field(
            strict=False, min_length=1, max_length=8,
            description="a0, a1, ... of sigma / g_max = sum a_k (G / g_max)^k, never below 0",
        ),
    ] = None  # fmt: skip
    verify: Annotated[
        Verify | None, Field(description="none: one write, or sigma is already that after verify")
    ] = None


class DeviceToDevice(Section):
    """Spread of the two end states from cell to cell ([NM] Eq. 12), drawn once per chip.

    A cell's own HRS is ``g_min * (1 + sigma_hrs z)``, its LRS ``g_max * (1 + sigma_lrs z')``;
    every state between moves in proportion.
    """

    sigma_lrs: Annotated[Fraction, Field(description="sigma / mean of the LRS conductance")] = 0.0
    sigma_hrs: Annotated[Fraction, Field(description="sigma / mean of the HRS conductance")] = 0.0
    distribution: Annotated[
        Literal["normal", "lognormal"], Field(description="of the factors; their mean is 1")
    ] = "normal"


class Correlated(Section):
    """Smooth relative variation of conductance over an array and over a wafer."""

    sigma_relative: Annotated[
        Fraction, Field(description="standard deviation within an array, of a factor around 1")
    ] = 0.0
    length: Annotated[
        float, Field(gt=0.0, le=1e5, description="correlation length in an array [cells]")
    ] = 32.0
    wafer_sigma_relative: Annotated[
        Fraction, Field(description="standard deviation of an array's mean over the wafer")
    ] = 0.0
    wafer_length: Annotated[
        float, Field(gt=0.0, le=1e5, description="correlation length over the wafer [arrays]")
    ] = 16.0


class OneOverF(Section):
    """1/f noise of a read: ``sigma / G = q(G) sqrt(ln((t + t_read) / (2 t_read)))``, t = ``at``.

    ``q(G) = min(amplitude * (G / g_max)^-exponent, limit)``.
    """

    amplitude: Annotated[float, Field(ge=0.0, le=1.0, description="q at g_max [-]")]
    exponent: Annotated[float, Field(ge=0.0, le=4.0, description="growth towards low G [-]")] = 0.0
    limit: Annotated[float, Field(gt=0.0, le=10.0, description="largest q [-]")] = 1.0
    t_read_s: Annotated[Second, Field(alias="t_read", description="duration of a read")] = 250e-9


class Telegraph(Section):
    """Random telegraph noise: a trapped electron lowers a cell's conductance for whole reads."""

    amplitude: Annotated[Fraction, Field(description="drop of G while trapped, as a share of G")]
    occupancy: Annotated[Fraction, Field(description="share of reads in which it is trapped")] = (
        0.5
    )
    cells: Annotated[Fraction, Field(description="share of cells with a trap")] = 1.0


class ReadNoise(Section):
    """Fluctuation of a conductance from one read to the next."""

    sigma_relative: Annotated[
        Fraction,
        Field(description="standard deviation per cell, as a fraction of its conductance"),
    ] = 0.0
    one_over_f: Annotated[OneOverF | None, Field(description="none: no 1/f noise")] = None
    telegraph: Annotated[Telegraph | None, Field(description="none: no telegraph noise")] = None


class Thermal(Section):
    """Temperature: what it does to conductances, and Johnson noise.

    A cell conducts through a metallic part (LRS), ``1 + tc_lrs (T - T0)``, and a thermally
    activated one (HRS), ``exp(-ea_hrs / k (1/T - 1/T0))``; states between mix both in proportion.
    """

    temperature_k: Annotated[Kelvin, Field(alias="temperature", description="while reading")] = (
        300.0
    )
    reference_k: Annotated[
        Kelvin, Field(alias="reference", description="at which conductances were programmed")
    ] = 300.0
    tc_lrs_per_k: Annotated[
        float, Field(ge=-0.1, le=0.1, description="relative change of the LRS per kelvin [1/K]")
    ] = 0.0
    ea_hrs_ev: Annotated[
        Electronvolt, Field(alias="ea_hrs", description="activation energy of the HRS")
    ] = 0.0
    bandwidth_hz: Annotated[
        Hertz | None,
        Field(
            alias="bandwidth", description="of the read, for Johnson noise; none: no such noise"
        ),
    ] = None


class Drift(Section):
    """Power-law decay of conductance, ``G(t) = G(t0) * (t / t0) ** -nu``, for t > t0.

    The exponent of a cell is normal around ``nu + nu_slope ln(G / g_max)``, with spread
    ``nu_sigma + nu_sigma_slope ln(G / g_max)``, both kept within their limits.
    """

    nu: Annotated[float, Field(ge=-1.0, le=1.0, description="mean exponent at g_max [-]")]
    nu_slope: Annotated[float, Field(ge=-1.0, le=1.0, description="change with ln G [-]")] = 0.0
    nu_limits: Annotated[
        tuple[float, float], Field(strict=False, description="of the mean exponent [-]")
    ] = (-1.0, 1.0)
    nu_sigma: Annotated[float, Field(ge=-1.0, le=1.0, description="spread at g_max [-]")] = 0.0
    nu_sigma_slope: Annotated[
        float, Field(ge=-1.0, le=1.0, description="change of the spread with ln G [-]")
    ] = 0.0
    nu_sigma_limits: Annotated[
        tuple[float, float], Field(strict=False, description="of the spread [-]")
    ] = (0.0, 1.0)
    t0_s: Annotated[Second, Field(alias="t0", description="time the exponent refers to")] = 1.0
    compensation: Annotated[
        Literal["none", "global", "per-column"],
        Field(description="digital factor found by reading all word lines: none, one a layer, or "
              "one a column"),
    ] = "none"  # fmt: skip


class Relaxation(Section):
    """Loss of retention in log time: ``L = log10(1 + t / t0)`` decades after programming.

    The mean moves to ``rest + (G - rest) max(0, 1 - rate L)``, the spread grows as
    ``sigma sqrt(L)``.
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0, description="share lost per decade [-]")] = 0.0
    rest_us: Annotated[
        Microsiemens | None, Field(alias="rest", description="where it ends; none: g_min")
    ] = None
    sigma_relative: Annotated[
        Fraction, Field(description="spread after one decade, as a fraction of g_max - g_min")
    ] = 0.0
    t0_s: Annotated[Second, Field(alias="t0", description="start of the first decade")] = 1.0


class Noise(Section):
    """Non-idealities of cells."""

    programming: Annotated[
        ProgrammingNoise | None, Field(description="none: cells are exactly at their targets")
    ] = None
    device_to_device: Annotated[
        DeviceToDevice | None, Field(description="spread of the states from cell to cell")
    ] = None
    correlated: Annotated[
        Correlated | None, Field(description="smooth variation over arrays; none: no such")
    ] = None
    read: Annotated[ReadNoise | None, Field(description="none: no read noise")] = None
    thermal: Annotated[Thermal | None, Field(description="none: programmed and read alike")] = None
    drift: Annotated[Drift | None, Field(description="none: no drift")] = None
    relaxation: Annotated[Relaxation | None, Field(description="none: no relaxation")] = None


class Stuck(Section):
    """Share of cells that cannot be programmed, drawn once per chip."""

    at_g_min: Annotated[Fraction, Field(description="stuck at g_min (HRS)")] = 0.0
    at_g_max: Annotated[Fraction, Field(description="stuck at g_max (LRS)")] = 0.0


class Lines(Section):
    """Share of word lines and bit lines of an array that are broken, drawn once per chip."""

    open_word_line: Annotated[Fraction, Field(description="never driven")] = 0.0
    open_bit_line: Annotated[Fraction, Field(description="no current arrives")] = 0.0
    stuck_word_line: Annotated[Fraction, Field(description="all its cells at g_max")] = 0.0
    stuck_bit_line: Annotated[Fraction, Field(description="all its cells at g_max")] = 0.0


class Wires(Section):
    """Resistances between driver, cells and sense amplifier."""

    word_line_ohm: Annotated[
        Ohm, Field(alias="word_line", description="one segment, from cell to cell")
    ] = 0.0
    bit_line_ohm: Annotated[
        Ohm, Field(alias="bit_line", description="one segment, from cell to cell")
    ] = 0.0
    driver_ohm: Annotated[
        Ohm, Field(alias="driver", description="word-line driver, before the first segment")
    ] = 0.0
    sense_ohm: Annotated[
        Ohm, Field(alias="sense", description="bit-line sense amplifier, after the last segment")
    ] = 0.0

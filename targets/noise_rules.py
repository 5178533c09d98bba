"""Rules between the settings of non-idealities.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cimc.device.thermal import activated_factor, metallic_factor
from cimc.targets.problems import Path

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Path, message and offending value of each violation.
Found = Iterator[tuple[Path, str, object]]

#: Conductances at which a polynomial is looked at, in parts of the range [-].
_STEPS: Final = 256
#: Most numbers of the factor of a smooth field along one axis [-].
_MOST_NODES: Final = 1 << 26
#: Longest word line or bit line whose IR drop is solved, in a minute and 4 GB [cells].
_LONGEST_WIRE: Final = 2048
#: Most that a temperature changes an end state by; beyond, no cell is what was programmed [-].
_MOST_CHANGE: Final = 1000.0
_FIELDS: Final = {"tc_lrs_per_k": "tc_lrs_per_k", "ea_hrs": "ea_hrs_ev"}


def one_sigma(target: Target) -> Found:
    """noise.programming has one of sigma, sigma_relative, sigma_log and polynomial."""
    noise = target.noise.programming
    if noise is None:
        return
    given = (noise.sigma_us, noise.sigma_relative, noise.sigma_log, noise.polynomial)
    count = sum(value is not None for value in given)
    if count != 1:
        message = "should have one of sigma, sigma_relative, sigma_log and polynomial"
        yield ("noise", "programming"), message, f"{count} of them"


def a_sigma_is_positive_somewhere(target: Target) -> Found:
    """noise.programming.polynomial is not below 0 at every conductance from g_min to g_max."""
    noise, cell = target.noise.programming, target.cell
    if noise is None or noise.polynomial is None or cell.g_max_us <= cell.g_min_us:
        return
    low = cell.g_min_us / cell.g_max_us
    points = [low + (1.0 - low) * i / _STEPS for i in range(_STEPS + 1)]
    if all(sum(a * g**k for k, a in enumerate(noise.polynomial)) < 0.0 for g in points):
        path = ("noise", "programming", "polynomial")
        yield path, "should not be below 0 at every conductance", list(noise.polynomial)


def limits_ascend(target: Target) -> Found:
    """noise.drift.nu_limits and nu_sigma_limits ascend, and spreads are not negative."""
    drift = target.noise.drift
    if drift is None:
        return
    for key in ("nu_limits", "nu_sigma_limits"):
        low, high = getattr(drift, key)
        if high < low:
            yield ("noise", "drift", key), "should ascend", [low, high]
    if drift.nu_sigma_limits[0] < 0.0:
        path = ("noise", "drift", "nu_sigma_limits")
        yield path, "should not allow a negative spread", list(drift.nu_sigma_limits)


def relaxation_ends_in_the_range(target: Target) -> Found:
    """noise.relaxation.rest is at most cell.g_max."""
    law, g_max = target.noise.relaxation, target.cell.g_max_us
    if law is not None and law.rest_us is not None and law.rest_us > g_max:
        path = ("noise", "relaxation", "rest")
        yield path, f"should be at most cell.g_max = {g_max} uS", f"{law.rest_us} uS"


def rates_add_up(target: Target) -> Found:
    """Shares of cells, and of lines, that exclude each other add up to at most 1."""
    sections = (
        ("stuck", target.stuck, ("at_g_min", "at_g_max")),
        ("lines", target.lines, ("open_word_line", "stuck_word_line")),
        ("lines", target.lines, ("open_bit_line", "stuck_bit_line")),
    )
    for name, section, keys in sections:
        total = 0.0 if section is None else sum(getattr(section, key) for key in keys)
        if total > 1.0:
            yield (name,), f"{' and '.join(keys)} should add up to at most 1", total


def lines_end_somewhere(target: Target) -> Found:
    """With wires, lines or variation over arrays, arrays have a number of rows and columns."""
    if None not in (target.array.rows, target.array.columns) or target.encoding == "signed":
        return
    wires = target.wires
    smooth = target.noise.correlated
    given: dict[Path, bool] = {
        ("wires",): wires.word_line_ohm + wires.bit_line_ohm + wires.driver_ohm + wires.sense_ohm
        > 0,
        ("lines",): target.lines is not None,
        ("noise", "correlated"): smooth is not None and smooth.sigma_relative > 0,
    }
    for path, on in given.items():
        if on:
            yield path, "needs arrays with a number of rows and columns", "unlimited arrays"


def fields_are_not_too_fine(target: Target) -> Found:
    """noise.correlated.length is not too short for arrays of thousands of lines."""
    smooth, array = target.noise.correlated, target.array
    if smooth is None or smooth.sigma_relative == 0.0:
        return
    lines = max(array.rows or 0, array.columns or 0)
    if lines * min(lines, 2.0 * lines / smooth.length) > _MOST_NODES:
        path = ("noise", "correlated", "length")
        message = f"should be at least {2.0 * lines * lines / _MOST_NODES:.3g} on {lines} lines"
        yield path, message, smooth.length


def temperatures_are_within_the_model(target: Target) -> Found:
    """noise.thermal changes neither end state by more than a factor of 1000."""
    t = target.noise.thermal
    if t is None:
        return
    factors = {
        "tc_lrs_per_k": metallic_factor(t.temperature_k, t.reference_k, t.tc_lrs_per_k),
        "ea_hrs": activated_factor(t.temperature_k, t.reference_k, t.ea_hrs_ev),
    }
    for key, factor in factors.items():
        if not 1.0 / _MOST_CHANGE <= factor <= _MOST_CHANGE:
            message = f"changes conductance by a factor of {factor:.3g} at {t.temperature_k:g} K"
            yield ("noise", "thermal", key), message, getattr(t, _FIELDS[key])


def wires_are_of_a_length_that_is_solved(target: Target) -> Found:
    """With wires, arrays have at most 2,048 rows and 2,048 columns."""
    wires = target.wires
    if not wires.word_line_ohm + wires.bit_line_ohm + wires.driver_ohm + wires.sense_ohm:
        return
    for name in ("rows", "columns"):
        size = getattr(target.array, name)
        if size is not None and size > _LONGEST_WIRE:
            message = f"should be at most {_LONGEST_WIRE:,} with wires, whose IR drop is solved"
            yield ("array", name), message, size


RULES: Final = (
    one_sigma,
    a_sigma_is_positive_somewhere,
    limits_ascend,
    relaxation_ends_in_the_range,
    rates_add_up,
    lines_end_somewhere,
    wires_are_of_a_length_that_is_solved,
    fields_are_not_too_fine,
    temperatures_are_within_the_model,
)

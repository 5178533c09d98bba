"""Rules between the settings of cells, arrays and encodings.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cimc.targets.lanes import bit_lines
from cimc.targets.problems import Path

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Cells that stand for one weight; bit-sliced: as many as slices.
CELLS_PER_WEIGHT: Final = {"differential-pair": 2, "offset-column": 1, "signed": 1}

#: Largest ``v_read / sinh``: beyond it sinh leaves the range of float32.
STEEPEST: Final = 80.0

#: Path, message and offending value of each violation.
Found = Iterator[tuple[Path, str, object]]


def conductances_are_given(target: Target) -> Found:
    """cell.g_min and cell.g_max are given, except with the encoding signed."""
    if target.encoding == "signed":
        return
    for field, key in (("g_min_us", "g_min"), ("g_max_us", "g_max")):
        if field not in target.cell.model_fields_set:
            yield ("cell", key), f"is required with the encoding {target.encoding}", None


def conductances_ascend(target: Target) -> Found:
    """cell.g_max is greater than cell.g_min."""
    cell = target.cell
    if cell.g_max_us <= cell.g_min_us:
        message = f"should be greater than cell.g_min = {cell.g_min_us} uS"
        yield ("cell", "g_max"), message, f"{cell.g_max_us} uS"


def signed_cells_hold_weights(target: Target) -> Found:
    """The encoding signed stores weights as they are: states are analog, no g_min or g_max."""
    if target.encoding != "signed":
        return
    cell = target.cell
    if cell.states != "analog":
        yield ("cell", "states"), "should be 'analog' with the encoding signed", cell.states
    if (cell.g_min_us, cell.g_max_us) != (0.0, 1.0):
        message = "has no meaning with the encoding signed, leave g_min and g_max out"
        yield ("cell", "g_max"), message, f"{cell.g_max_us} uS"


def states_span_the_range(target: Target) -> Found:
    """A list of states goes from cell.g_min to cell.g_max."""
    cell = target.cell
    if isinstance(cell.states, str):
        return
    if (cell.states[0], cell.states[-1]) != (cell.g_min_us, cell.g_max_us):
        message = f"should go from g_min = {cell.g_min_us} uS to g_max = {cell.g_max_us} uS"
        yield ("cell", "states"), message, f"{cell.states[0]} .. {cell.states[-1]} uS"


def fixed_states_limit_levels(target: Target) -> Found:
    """cell.default_levels is given with fixed states, and at most what they can express."""
    cell = target.cell
    if isinstance(cell.states, str) or target.encoding == "bit-sliced":
        return
    if cell.default_levels is None:
        yield ("cell", "default_levels"), "is required with a list of states", None
        return
    n = len(cell.states)
    most = 2 * n - 1 if target.encoding == "differential-pair" else n
    if cell.default_levels > most:
        message = f"should be at most {most}, what {n} states can express"
        yield ("cell", "default_levels"), message, cell.default_levels


def a_state_lies_between(target: Target) -> Found:
    """Beside an offset column there are at least 3 states: its own, and one to each side."""
    states = target.cell.states
    if target.encoding == "offset-column" and not isinstance(states, str) and len(states) < 3:
        message = "should be at least 3 with the encoding offset-column"
        yield ("cell", "states"), message, f"{len(states)} states"


def slices_are_given(target: Target) -> Found:
    """The encoding bit-sliced needs slices."""
    if target.encoding == "bit-sliced" and target.slices is None:
        yield ("slices",), "is required with the encoding bit-sliced", None


def slices_decide_levels(target: Target) -> Found:
    """cell.default_levels, when given with the encoding bit-sliced, is 2 ** slices.count."""
    levels, slices = target.cell.default_levels, target.slices
    if target.encoding != "bit-sliced" or slices is None or levels is None:
        return
    if levels != 2**slices.count:
        message = f"should be {2**slices.count}, what {slices.count} slices have"
        yield ("cell", "default_levels"), message, levels


def slices_hold_bits(target: Target) -> Found:
    """A cell of a bit slice holds one bit: two states, or analog; analog if it is the multiplier.

    With digital multipliers every cell is at g_min or at g_max; as conductances, the multipliers
    are found by training and any conductance may be asked for ([NM] section 5.4, Fig. 7).
    """
    slices, states = target.slices, target.cell.states
    if target.encoding != "bit-sliced" or slices is None or isinstance(states, str):
        return
    path = ("cell", "states")
    if slices.multipliers == "conductance":
        yield path, "should be 'analog' where conductances are the multipliers", f"{len(states)}"
    elif len(states) > 2:
        yield path, "should be 2, a cell of a bit slice holds one bit", f"{len(states)} states"


def a_weight_fits_a_row(target: Target) -> Found:
    """array.columns holds a weight: 2 for a pair or a weight and its offset, one a bit slice."""
    columns, encoding = target.array.columns, target.encoding
    if encoding == "signed":
        return
    needed = 2
    if encoding == "bit-sliced":
        needed = 1 if target.slices is None else target.slices.count
    elif encoding == "differential-pair" and target.pair.placement == "twin-arrays":
        needed = 1
    if columns is not None and columns < needed:
        message = f"should be at least {needed} with the encoding {encoding}"
        yield ("array", "columns"), message, columns


def cells_per_weight_match(target: Target) -> Found:
    """cells_per_weight, when given, is what the encoding needs: for bit slices their count."""
    wanted, given = CELLS_PER_WEIGHT.get(target.encoding), target.cells_per_weight
    if target.encoding == "bit-sliced" and target.slices is not None:
        wanted = target.slices.count
    if given is not None and wanted is not None and given != wanted:
        message = f"should be {wanted} with the encoding {target.encoding}"
        yield ("cells_per_weight",), message, given


def both_counts_or_none(target: Target) -> Found:
    """chip.cores and chip.arrays_per_core are both given or both left out."""
    chip = target.chip
    if (chip.cores is None) != (chip.arrays_per_core is None):
        key = "cores" if chip.cores is None else "arrays_per_core"
        yield ("chip", key), "is required beside the other count of chip", None


def twins_are_two_arrays(target: Target) -> Found:
    """Pairs in twin arrays need a chip of at least two arrays."""
    if target.pair.placement == "twin-arrays" and target.arrays == 1:
        yield ("pair", "placement"), "needs at least 2 arrays, the chip has 1", "twin-arrays"


def one_curve(target: Target) -> Found:
    """cell.nonlinearity has either sinh or polynomial; the coefficients do not add up to 0."""
    curve = target.cell.nonlinearity
    if curve is None:
        return
    path = ("cell", "nonlinearity")
    if (curve.sinh_v is None) == (curve.polynomial is None):
        both = "neither" if curve.sinh_v is None else "both"
        yield path, "should have either sinh or polynomial", both
    elif curve.polynomial is not None and math.fsum(curve.polynomial) == 0.0:
        yield (*path, "polynomial"), "should not add up to 0", list(curve.polynomial)


def curves_are_not_too_steep(target: Target) -> Found:
    """cell.nonlinearity.sinh is at least read.v_read / 80: a steeper curve overflows."""
    curve = target.cell.nonlinearity
    if curve is None or curve.sinh_v is None or target.read.v_read_v <= STEEPEST * curve.sinh_v:
        return
    least = target.read.v_read_v / STEEPEST
    path = ("cell", "nonlinearity", "sinh")
    yield path, f"should be at least read.v_read / 80 = {least:.3g} V", f"{curve.sinh_v} V"


def converters_have_columns(target: Target) -> Found:
    """adc.columns_per_adc are not more than an array has."""
    columns, share = target.array.columns, target.adc.columns_per_adc
    if columns is None or target.encoding == "signed":
        return
    most = columns // bit_lines(target)
    if 1 <= most < share:
        message = f"should be at most {most}, what {columns} bit lines give"
        yield ("adc", "columns_per_adc"), message, share


RULES: Final = (
    conductances_are_given,
    conductances_ascend,
    signed_cells_hold_weights,
    states_span_the_range,
    fixed_states_limit_levels,
    a_state_lies_between,
    slices_are_given,
    slices_decide_levels,
    slices_hold_bits,
    a_weight_fits_a_row,
    cells_per_weight_match,
    both_counts_or_none,
    twins_are_two_arrays,
    one_curve,
    curves_are_not_too_steep,
    converters_have_columns,
)

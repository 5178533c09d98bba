"""What must hold between the settings of a target, and what is not supported yet.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from cimc.targets import compatibility, unsupported
from cimc.targets.problems import Path, Problem

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Yields path, message and offending value of each violation.
Rule = Callable[["Target"], Iterator[tuple[Path, str, object]]]

#: Cells that stand for one weight.
CELLS_PER_WEIGHT: Final = {"differential-pair": 2, "offset-column": 1, "signed": 1}


def conductances_are_given(target: Target) -> Iterator[tuple[Path, str, object]]:
    """cell.g_min and cell.g_max are given, except with the encoding signed."""
    if target.encoding == "signed":
        return
    for field, key in (("g_min_us", "g_min"), ("g_max_us", "g_max")):
        if field not in target.cell.model_fields_set:
            yield ("cell", key), f"is required with the encoding {target.encoding}", None


def conductances_ascend(target: Target) -> Iterator[tuple[Path, str, object]]:
    """cell.g_max is greater than cell.g_min."""
    cell = target.cell
    if cell.g_max_us <= cell.g_min_us:
        message = f"should be greater than cell.g_min = {cell.g_min_us} uS"
        yield ("cell", "g_max"), message, f"{cell.g_max_us} uS"


def signed_cells_hold_weights(target: Target) -> Iterator[tuple[Path, str, object]]:
    """The encoding signed stores weights as they are: states are analog, no g_min or g_max."""
    if target.encoding != "signed":
        return
    cell = target.cell
    if cell.states != "analog":
        yield ("cell", "states"), "should be 'analog' with the encoding signed", cell.states
    if (cell.g_min_us, cell.g_max_us) != (0.0, 1.0):
        message = "has no meaning with the encoding signed, leave g_min and g_max out"
        yield ("cell", "g_max"), message, f"{cell.g_max_us} uS"


def states_span_the_range(target: Target) -> Iterator[tuple[Path, str, object]]:
    """A list of states goes from cell.g_min to cell.g_max."""
    cell = target.cell
    if isinstance(cell.states, str):
        return
    if (cell.states[0], cell.states[-1]) != (cell.g_min_us, cell.g_max_us):
        message = f"should go from g_min = {cell.g_min_us} uS to g_max = {cell.g_max_us} uS"
        yield ("cell", "states"), message, f"{cell.states[0]} .. {cell.states[-1]} uS"


def fixed_states_limit_levels(target: Target) -> Iterator[tuple[Path, str, object]]:
    """cell.default_levels is given with fixed states, at most the differences of two of them."""
    cell = target.cell
    if isinstance(cell.states, str):
        return
    if cell.default_levels is None:
        yield ("cell", "default_levels"), "is required with a list of states", None
        return
    n = len(cell.states)
    most = 2 * n - 1 if target.encoding == "differential-pair" else n
    if cell.default_levels > most:
        message = f"should be at most {most}, what {n} states can express"
        yield ("cell", "default_levels"), message, cell.default_levels


def a_pair_fits_a_row(target: Target) -> Iterator[tuple[Path, str, object]]:
    """array.columns holds at least one weight: 2 columns for a pair or a weight and its offset."""
    columns = target.array.columns
    if columns is not None and columns < 2 and target.encoding != "signed":
        message = f"should be at least 2 with the encoding {target.encoding}"
        yield ("array", "columns"), message, columns


def cells_per_weight_match(target: Target) -> Iterator[tuple[Path, str, object]]:
    """cells_per_weight, when given, is what the encoding needs."""
    wanted = CELLS_PER_WEIGHT.get(target.encoding)
    given = target.cells_per_weight
    if given is not None and wanted is not None and given != wanted:
        message = f"should be {wanted} with the encoding {target.encoding}"
        yield ("cells_per_weight",), message, given


def both_counts_or_none(target: Target) -> Iterator[tuple[Path, str, object]]:
    """chip.cores and chip.arrays_per_core are both given or both left out."""
    chip = target.chip
    if (chip.cores is None) != (chip.arrays_per_core is None):
        key = "cores" if chip.cores is None else "arrays_per_core"
        yield ("chip", key), "is required beside the other count of chip", None


def one_sigma(target: Target) -> Iterator[tuple[Path, str, object]]:
    """noise.programming has one of sigma, sigma_relative, sigma_log and polynomial."""
    noise = target.noise.programming
    if noise is None:
        return
    given = (noise.sigma_us, noise.sigma_relative, noise.sigma_log, noise.polynomial)
    count = sum(value is not None for value in given)
    if count != 1:
        message = "should have one of sigma, sigma_relative, sigma_log and polynomial"
        yield ("noise", "programming"), message, f"{count} of them"


def one_curve(target: Target) -> Iterator[tuple[Path, str, object]]:
    """cell.nonlinearity has either sinh or polynomial; the coefficients do not add up to 0."""
    curve = target.cell.nonlinearity
    if curve is None:
        return
    path = ("cell", "nonlinearity")
    if (curve.sinh_v is None) == (curve.polynomial is None):
        both = "neither" if curve.sinh_v is None else "both"
        yield path, "should have either sinh or polynomial", both
    elif curve.polynomial is not None and sum(curve.polynomial) == 0.0:
        yield (*path, "polynomial"), "should not add up to 0", list(curve.polynomial)


def slices_are_given(target: Target) -> Iterator[tuple[Path, str, object]]:
    """The encoding bit-sliced needs slices."""
    if target.encoding == "bit-sliced" and target.slices is None:
        yield ("slices",), "is required with the encoding bit-sliced", None


def stuck_rates_add_up(target: Target) -> Iterator[tuple[Path, str, object]]:
    """stuck.at_g_min and stuck.at_g_max together are at most 1."""
    stuck = target.stuck
    if stuck is not None and stuck.at_g_min + stuck.at_g_max > 1.0:
        yield ("stuck",), "rates should add up to at most 1", stuck.at_g_min + stuck.at_g_max


def sources_name_settings(target: Target) -> Iterator[tuple[Path, str, object]]:
    """Each key of sources is the dotted path of a setting."""
    known = _paths(type(target), ())
    for key in target.sources:
        if key not in known:
            yield ("sources", key), "names no setting", key


RULES: Final[tuple[Rule, ...]] = (
    conductances_are_given,
    conductances_ascend,
    signed_cells_hold_weights,
    states_span_the_range,
    fixed_states_limit_levels,
    a_pair_fits_a_row,
    cells_per_weight_match,
    both_counts_or_none,
    one_sigma,
    one_curve,
    slices_are_given,
    stuck_rates_add_up,
    sources_name_settings,
)


def broken(target: Target) -> list[Problem]:
    """Return every rule the target breaks, and every setting not supported yet."""
    found = [
        Problem("CIMC-T04", path, message, value)
        for rule in RULES
        for path, message, value in rule(target)
    ]
    return found + compatibility.invalid(target) + unsupported.used(target)


def _paths(section: type[BaseModel], path: tuple[str, ...]) -> set[str]:
    """Return the dotted paths of all settings of a section and of those inside it."""
    found = set()
    for name, info in section.model_fields.items():
        here = (*path, info.alias or name)
        found.add(".".join(here))
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _paths(kind, here)
    return found

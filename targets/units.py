"""Written physical quantities: ``2.1 uS``, ``100 ns``, ``1 ohm``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

#: Power of ten of each SI prefix; µ is accepted in both of its code points.
PREFIXES: Final = {
    "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9,
}  # fmt: skip

#: Longer times that are written without a prefix [s]; a month is 30 days, a year 365.
LONG_TIMES: Final = {
    "min": 60, "h": 3_600, "d": 86_400, "month": 2_592_000, "months": 2_592_000, "y": 31_536_000,
}  # fmt: skip

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>[A-Za-zµμΩ%][^\s]*)"
)


def parse(text: str, unit: str) -> float:
    """Return a written quantity in the given unit.

    The arithmetic is decimal, so ``0.0021 mS`` is exactly the float ``2.1`` in uS.

    Args:
        text: Number and unit, ``17.85 uS``.
        unit: Unit of the result with its prefix, ``uS``.

    Raises:
        ValueError: Not a number with a unit of the same dimension.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"should be a number and a unit, such as '1 {unit}'")
    if unit == "s" and match["unit"] in LONG_TIMES:
        return float(Decimal(match["number"]) * LONG_TIMES[match["unit"]])
    exponent = _exponent(match["unit"], unit)
    return float(Decimal(match["number"]).scaleb(exponent))


def written(value: float, unit: str) -> str:
    """Return the quantity as text that :func:`parse` reads back to the same float."""
    number = repr(float(value)).removesuffix(".0")
    return f"{number} {unit}"


def _exponent(given: str, wanted: str) -> int:
    """Return the power of ten between two spellings of one unit."""
    prefix, base, power = _split(wanted)
    spelled = given.replace("Ω", "ohm").replace("²", "2")
    for candidate, exponent in PREFIXES.items():
        if spelled == candidate + base:
            return (exponent - PREFIXES[prefix]) * power
    raise ValueError(f"should be in {wanted} (any SI prefix), not '{given}'")


def _split(unit: str) -> tuple[str, str, int]:
    """Split a unit into prefix, base unit and the power the prefix is raised to."""
    power = 2 if unit.endswith("2") else 1
    base = unit.removesuffix("2")
    if base in {"ohm", "m", "s", "S", "V", "J", "K", "Hz", "eV"}:
        return "", unit, power
    return base[0], unit[1:], power

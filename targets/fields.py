"""Field types of the schema: written quantities, rates and lists of states."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from cimc.targets import units


class Section(BaseModel):
    """A part of a target description: immutable, no unknown keys, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Unit:
    """Conversion between a written quantity and a float in one unit."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str):
            raise ValueError(f"should be written with its unit, such as '1 {self.unit}'")  # noqa: TRY004
        return units.parse(value, self.unit)

    def write(self, value: float) -> str:
        return units.written(value, self.unit)


def _quantity(unit: str) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    convert = _Unit(unit)
    schema = {
        "type": "string",
        "description": "a number and a unit; any SI prefix",
        "examples": [f"1 {unit}"],
        "pattern": r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*\S+\s*$",
    }
    return BeforeValidator(convert.read), PlainSerializer(convert.write), WithJsonSchema(schema)


_US: Final = _quantity("uS")
_V: Final = _quantity("V")
_OHM: Final = _quantity("ohm")
_NS: Final = _quantity("ns")
_PJ: Final = _quantity("pJ")
_UM2: Final = _quantity("um2")
_S: Final = _quantity("s")
_K: Final = _quantity("K")
_HZ: Final = _quantity("Hz")
_EV: Final = _quantity("eV")

#: Quantities that cannot be negative, in the unit of their name.
Microsiemens = Annotated[float, *_US, Field(ge=0.0, le=1e9)]
Volt = Annotated[float, *_V, Field(gt=0.0, le=1e3)]
Ohm = Annotated[float, *_OHM, Field(ge=0.0, le=1e9)]
Nanoseconds = Annotated[float, *_NS, Field(ge=0.0)]
Picojoule = Annotated[float, *_PJ, Field(ge=0.0)]
SquareMicrometre = Annotated[float, *_UM2, Field(ge=0.0)]
Second = Annotated[float, *_S, Field(gt=0.0)]
#: A time that may be 0.
Seconds = Annotated[float, *_S, Field(ge=0.0, le=1e11)]
Kelvin = Annotated[float, *_K, Field(gt=0.0, le=1e3)]
Hertz = Annotated[float, *_HZ, Field(gt=0.0, le=1e12)]
Electronvolt = Annotated[float, *_EV, Field(ge=0.0, le=5.0)]

#: A share of something.
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
#: Resolution of a converter [bit].
Bits = Annotated[int, Field(ge=2, le=16)]
#: A count of hardware units; None is unlimited.
Count = Annotated[int, Field(ge=1, le=1 << 30)]
#: A count of spare hardware units.
Spare = Annotated[int, Field(ge=0, le=1 << 30)]

_STATES_MIN, _STATES_MAX = 2, 256


def _read_states(value: object) -> Literal["analog"] | tuple[float, ...]:
    """Read ``analog`` or a list of conductances."""
    if value == "analog":
        return "analog"
    if not isinstance(value, list | tuple):
        raise ValueError("should be 'analog' or a list of conductances")  # noqa: TRY004
    if not _STATES_MIN <= len(value) <= _STATES_MAX:
        raise ValueError(f"should list {_STATES_MIN} to {_STATES_MAX} conductances")
    states = tuple(_Unit("uS").read(v) for v in value)
    if any(b <= a for a, b in pairwise(states)) or states[0] < 0:
        raise ValueError("should ascend, from a conductance that is not negative")
    return states


def _write_states(value: Any) -> str | list[str]:
    return value if isinstance(value, str) else [units.written(v, "uS") for v in value]


_STATES_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"const": "analog"},
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 256},
    ]
}

#: ``"analog"``, or the conductances a cell can be programmed to, ascending [uS].
States = Annotated[
    Literal["analog"] | tuple[float, ...],
    BeforeValidator(_read_states),
    PlainSerializer(_write_states),
    WithJsonSchema(_STATES_SCHEMA),
]

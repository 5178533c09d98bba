"""What a sensitivity study measures: one point for each variant of a chip."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.targets.compatibility import EFFECTS
from cimc.targets.units import PREFIXES, parse
from cimc.verification.effects import seconds_of, select, time_text

Group = Literal["all", "alone", "all but", "sweep"]

#: Settings that only change what cells, wires and converters do: the program stays as it is.
#: Everything else may change what is compiled, so the model is compiled again.
PHYSICS: Final = (
    "noise", "stuck", "lines", "wires", "cell.nonlinearity", "read.at", "read.v_read",
    "adc.offset_lsb", "adc.gain_sigma", "adc.noise_lsb",
)  # fmt: skip
#: Settings that change no result.
_NO_INFLUENCE: Final = ("schema", "version", "name", "description", "costs", "sources")
#: Options of the compiler that can be swept like a setting of the target.
COMPILER: Final = ("levels", "quantizer")
#: Ways to give programming noise, of which a target has one.
_EXCLUSIVE: Final = {
    "noise.programming": ("sigma", "sigma_relative", "sigma_log", "polynomial"),
    "cell.nonlinearity": ("sinh", "polynomial"),
}
#: Effects of a converter have no meaning without it.
_CONVERTER: Final = frozenset({"adc-offset", "adc-gain", "adc-noise"})


@dataclass(frozen=True, slots=True)
class Point:
    """One variant of a chip.

    Attributes:
        key: Unique in a study, and the same whenever the same variant is asked for.
        label: For tables and pictures.
        group: What it belongs to.
        value: Of the swept parameter, as written; '' without a sweep.
        x: The value as a number in the unit of the sweep; None where it is none.
        effects: Non-idealities it has; None: all its target describes.
        at_s: Time after programming [s]; None: the target's.
        changes: Settings of the target that differ, by dotted path.
        options: Options of the compiler that differ.
    """

    key: str
    label: str
    group: Group
    value: str = ""
    x: float | None = None
    effects: tuple[str, ...] | None = None
    at_s: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def compiled(self) -> bool:
        """Whether the model has to be compiled again."""
        return bool(self.options) or any(not _within(path, PHYSICS) for path in self.changes)


@dataclass(frozen=True, slots=True)
class Plan:
    """All points of a study.

    Attributes:
        parameter: What is swept; '' without a sweep.
        unit: Of the swept values; '' for pure numbers and names.
        points: In the order they are shown.
    """

    parameter: str
    unit: str
    points: tuple[Point, ...]


def one_by_one(program: DeviceProgram, at_s: float | None = None) -> Plan:
    """Return each non-ideality alone and all but each, of those the target describes.

    Effects of a converter (its offset, gain, noise) are measured alone together with the
    converter, without which there are none.
    """
    on = select(program).effects
    titles = {e.name: e.title for e in EFFECTS if e.name is not None}
    points = [Point("all", "all", "all", at_s=at_s)]
    for name in on:
        alone = {name, "adc"} & set(on) if name in _CONVERTER else {name}
        kept = tuple(n for n in on if n in alone)
        points.append(Point(f"alone {name}", titles[name], "alone", effects=kept, at_s=at_s))
    for name in on:
        kept = tuple(n for n in on if n != name)
        points.append(Point(f"but {name}", titles[name], "all but", effects=kept, at_s=at_s))
    return Plan("", "", tuple(points))


def sweep(target: Target, text: str, at_s: float | None = None) -> Plan:
    """Return a point for each value of one parameter.

    Args:
        target: What the program was compiled for.
        text: ``NAME=V,V,...``: a setting by its dotted path in the target file, or several that
            take the same value, joined by ``+``; ``at`` (time after programming); ``levels`` or
            ``quantizer`` of the compiler.
        at_s: Time after programming, where that is not what is swept [s].

    Raises:
        UsageError: CIMC-U09, no such parameter, or no values.
        TargetError: CIMC-T03..T05, a value that the target cannot have.
    """
    name, values = _parts(text)
    if name == "at":
        times = [seconds_of(v) or 0.0 for v in values]
        points = [
            Point(f"at={t!r}", time_text(t), "sweep", time_text(t), t, at_s=t) for t in times
        ]
        return Plan(name, "s", _distinct(points, text))
    numbers, unit = _numbers(values)
    points = []
    for written, x in zip(values, numbers, strict=True):
        value = _scalar(written)
        shared: dict[str, Any] = {"value": written, "x": x, "at_s": at_s}
        key = f"{name}={value!r}"
        if name in COMPILER:
            points.append(Point(key, written, "sweep", options={name: value}, **shared))
        else:
            changes: dict[str, Any] = {}
            for path in name.split("+"):
                changes |= {**_others(target, path), path: value}
            target.changed(changes)  # refused before anything is measured
            points.append(Point(key, written, "sweep", changes=changes, **shared))
    return Plan(name, unit, _distinct(points, text))


def _parts(text: str) -> tuple[str, list[str]]:
    """Split ``NAME=V,V,...`` and check the name."""
    name, equals, rest = text.partition("=")
    name, values = name.strip(), [v.strip() for v in rest.split(",")]
    if not equals or not name or not all(values):
        raise _bad(f"{text!r} is no sweep", "NAME=V,V,..., as in adc.bits=4,5,6,7,8")
    several = [part.strip() for part in name.split("+")]
    for part in several:
        _check_name(part, paths() if len(several) > 1 else ("at", *COMPILER, *paths()))
    return "+".join(several), values


def _check_name(name: str, known: Sequence[str]) -> None:
    if name == "cell.default_levels":
        raise _bad("the program has its own number of levels", "levels=4,8,16")
    if name in known and not _within(name, _NO_INFLUENCE):
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    why = "changes no result" if name in known else "is no parameter of a target"
    raise _bad(
        f"{name!r} {why}",
        f"{near[0]!r}" if near and near[0] != name else "'cimc target show NAME' lists them",
    )


def _scalar(written: str) -> Any:
    """Return a value as a target file would have it: a number, ``null``, or text."""
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return {"null": None, "true": True, "false": False}.get(written, written)


def paths() -> tuple[str, ...]:
    """Return the dotted path of every setting of a target."""
    return tuple(_paths(Target, ""))


def _paths(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, info in section.model_fields.items():
        path = f"{prefix}{info.alias or name}"
        inner = [kind for kind in _kinds(info.annotation) if _is_section(kind)]
        yield path
        for kind in inner:
            yield from _paths(kind, f"{path}.")


def _kinds(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, type(int | None)):
        return list(get_args(annotation))
    return [annotation]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _within(path: str, settings: Sequence[str]) -> bool:
    return any(path == s or path.startswith(f"{s}.") for s in settings)


def _others(target: Target, name: str) -> dict[str, Any]:
    """Return the settings that a swept one takes the place of: another way to give the same."""
    parent, _, key = name.rpartition(".")
    plain: Any = target.plain()
    for part in parent.split("."):
        plain = (plain or {}).get(part) if isinstance(plain, dict) else None
    others = _EXCLUSIVE.get(parent, ())
    if key not in others or not isinstance(plain, dict):
        return {}
    return {f"{parent}.{o}": None for o in others if o != key and plain.get(o) is not None}


def _numbers(values: Sequence[str]) -> tuple[list[float | None], str]:
    """Return the values as numbers of one unit, or as None where one of them is none."""
    plain = [_scalar(v) for v in values]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in plain):
        return [float(v) for v in plain], ""
    unit = values[0].lstrip("+-.0123456789eE ").strip() if isinstance(plain[0], str) else ""
    unit = unit.replace("Ω", "ohm").replace("µ", "u").replace("μ", "u")
    try:
        return [parse(v, _known(unit)) for v in values], unit
    except ValueError:
        return [None for _ in values], ""


def _known(unit: str) -> str:
    """Refuse what cannot be a unit: words are values by name."""
    base = unit[1:] if unit[:1] in PREFIXES and len(unit) > 1 else unit
    if unit not in _UNITS and base not in _UNITS:
        raise ValueError
    return unit


_UNITS: Final = frozenset({"S", "V", "ohm", "s", "K", "Hz", "eV", "J", "m2"})


def _distinct(points: Sequence[Point], text: str) -> tuple[Point, ...]:
    if len({p.key for p in points}) < len(points):
        raise _bad(f"{text!r} has a value twice", "each value once")
    return tuple(points)


def _bad(message: str, hint: str) -> UsageError:
    return UsageError("CIMC-U09", message, where="--sweep", hint=hint)

"""Undo what was folded into a constant: from its value back to the parameters of the source.

A constant is an expression of source parameters (:mod:`cimc.ir.folds`).  Operators that only move
elements are undone by running them on the elements' *numbers*: the result says which element of
the source lies where.  Products and sums with constants on the way are a factor and a shift an
element.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from cimc.ir.folds import Affine, Computed, Constant, Origin, Parameter, parameters

#: Operators whose result consists of elements of their floating-point operands, and zeros.
_MOVING: Final = frozenset(
    {
        *("reshape", "transpose", "squeeze", "unsqueeze", "flatten", "identity", "slice", "split"),
        *("concat", "gather", "gather_elements", "gather_nd", "expand", "tile", "where", "trilu"),
        *("depth_to_space", "space_to_depth", "reverse_sequence", "pad"),
    }
)
#: A term takes a change only if its factor is not this much smaller than another's.
_SMALL: Final = 2.0**-20


class CannotUndoError(Exception):
    """A constant was made by an operator that cannot be undone; names it."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the elements of a value come from.

    Attributes:
        numbers: Number of the element it is made of, int64; 0: of none.
        factor: What that is multiplied by, float64; None: 1.
        shift: What is added then, float64; None: 0.
    """

    numbers: Tensor
    factor: Tensor | None = None
    shift: Tensor | None = None


@dataclass(slots=True)
class Unfolding:
    """Values of source parameters, gathered from constants.

    The first constant that gives an element a value wins; :meth:`value` computes what a constant
    is with the parameters gathered, so that a caller sees where that is something else.

    Attributes:
        found: Values by name, of the source's shape and element type.
        reasons: Why what was asked for last cannot be held by the source, in words.
    """

    found: dict[str, Tensor] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    _given: dict[str, Tensor] = field(default_factory=dict)

    def put(self, origin: Origin, value: Tensor, wanted: Tensor) -> None:
        """Give the parameters behind a constant the values that make it ``value``.

        Args:
            origin: Where it comes from.
            value: What it is to be.
            wanted: bool, of its shape: the elements that matter.

        Raises:
            CannotUndoError: An operator on the way cannot be undone.
        """
        if isinstance(origin, Parameter):
            self._put_parameter(origin, value, wanted)
        elif isinstance(origin, Affine):
            self._put_affine(origin, value.double(), wanted)
        elif isinstance(origin, Computed):
            self._put_computed(origin, value, wanted)

    def _put_parameter(self, parameter: Parameter, value: Tensor, wanted: Tensor) -> None:
        if (
            tuple(value.shape) != parameter.shape
        ):  # it was broadcast; whether that was all is seen later
            value, wanted = (_unbroadcast(v, parameter.shape) for v in (value, wanted))
        value = value.to(parameter.dtype)
        if not bool((finite := torch.isfinite(value) | ~wanted).all()):
            self.reasons.append(f"{parameter.name!r} would have to be infinite")
            wanted = wanted & finite
        name = parameter.name
        if name not in self.found:
            given = torch.zeros(parameter.shape, dtype=torch.bool)
            self._given[name] = given
            before = parameter.value
            self.found[name] = (
                torch.zeros_like(value) if before is None else before.detach().clone()
            )
        given = self._given[name]
        if bool((given & wanted & (self.found[name] != value)).any()):
            self.reasons.append(f"{name!r} has another value for another place it is used in")
        new = wanted & ~given
        self.found[name] = torch.where(new, value, self.found[name])
        self._given[name] = given | new

    def _put_affine(self, affine: Affine, value: Tensor, wanted: Tensor) -> None:
        if not affine.terms:
            self.reasons.append("the source has no bias there")
            return
        if len(affine.terms) == 1 and affine.rest is None:
            (term,) = affine.terms
            zero = term.factor.expand_as(value) == 0
            if bool((zero & wanted).any()):
                self.reasons.append("the source multiplies it by 0; there it is kept")
            self.put(term.origin, value / term.factor, wanted & ~zero)
            return
        before = [term.factor * original(term.origin) for term in affine.terms]
        change = value - sum(
            before, torch.zeros(()).double() if affine.rest is None else affine.rest
        )
        factors = [term.factor.expand_as(value) for term in affine.terms]
        largest = torch.stack([f.abs() for f in factors]).amax(0)
        for term, factor in zip(affine.terms, factors, strict=True):
            takes = wanted & (factor.abs() > _SMALL * largest)
            self.put(term.origin, original(term.origin) + change / factor, takes)
            wanted = wanted & ~takes
        if bool(wanted.any()):
            self.reasons.append("the source multiplies it by 0")

    def _put_computed(self, computed: Computed, value: Tensor, wanted: Tensor) -> None:
        leaves: dict[object, tuple[Origin, int]] = {}
        places = _places(computed, leaves)
        value = value.double() if places.factor is not None or places.shift is not None else value
        if places.shift is not None:
            value = value - places.shift
        if places.factor is not None:
            value = value / places.factor
            wanted = wanted & (places.factor != 0)
        for leaf, start in leaves.values():
            shape = _shape(leaf)
            size = shape.numel()
            here = wanted & (places.numbers > start) & (places.numbers <= start + size)
            index = places.numbers[here] - start - 1
            values, filled = value.new_zeros(size), wanted.new_zeros(size)
            values[index], filled[index] = value[here], True
            self.put(leaf, values.reshape(shape), filled.reshape(shape))

    def value(self, origin: Origin) -> Tensor:
        """Return what a constant is with the parameters gathered, float64 where computed with."""
        value: Tensor = _evaluated(origin, self.found)
        return value


def original(origin: Origin) -> Tensor:
    """Return what a constant was in the source, float64.

    Raises:
        CannotUndoError: That was not kept.
    """
    value: Tensor = _evaluated(origin, {})
    return value.double()


def magnitude(origin: Origin, found: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the magnitudes a constant is a sum of: what rounding is relative to."""
    if not isinstance(origin, Affine):
        value: Tensor = _evaluated(origin, found)
        return value.abs().double()
    parts = [(term.factor * _evaluated(term.origin, found)).abs() for term in origin.terms]
    return sum(parts, _rest(origin).abs())


def _rest(affine: Affine) -> Tensor:
    return torch.zeros((), dtype=torch.float64) if affine.rest is None else affine.rest


def _evaluated(origin: Any, found: Mapping[str, Tensor]) -> Any:
    """Return what an origin is with these parameters, others as they are in the source."""
    if isinstance(origin, Constant):
        return origin.value
    if isinstance(origin, Parameter):
        value = found.get(origin.name, origin.value)
        if value is None:
            raise CannotUndoError(f"the value of {origin.name!r} in the source was not kept")
        return value
    if isinstance(origin, Affine):
        total = _rest(origin)
        for term in origin.terms:
            total = total + term.factor * _evaluated(term.origin, found)
        return total
    operands = [_evaluated(o, found) if _is_origin(o) else o for o in origin.operands]
    return origin.function(*operands, **origin.attributes)


def _is_origin(operand: object) -> bool:
    return isinstance(operand, Parameter | Constant | Computed | Affine)


def _shape(leaf: Origin) -> torch.Size:
    return torch.Size(leaf.shape) if isinstance(leaf, Parameter) else original(leaf).shape


def _unbroadcast(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the first of the elements along axes that a smaller shape has not."""
    while value.ndim > len(shape):
        value = value[0]
    for axis, size in enumerate(shape):
        if size == 1 and value.shape[axis] != 1:
            value = value.narrow(axis, 0, 1)
    return value.reshape(shape)


def _places(origin: Any, leaves: dict[object, tuple[Origin, int]]) -> Any:
    """Return the places of an origin's elements; a tuple of them where it gives a tuple.

    ``leaves`` is filled with what elements are numbered, and the number before its first.
    """
    if isinstance(origin, Constant):
        return _Places(
            torch.zeros(origin.value.shape, dtype=torch.int64), None, origin.value.double()
        )
    if not isinstance(origin, Computed):
        key: object = origin.name if isinstance(origin, Parameter) else id(origin)
        shape = _shape(origin)
        if key not in leaves:
            last = [start + _shape(leaf).numel() for leaf, start in leaves.values()]
            leaves[key] = origin, max(last, default=0)
        start = leaves[key][1]
        return _Places(torch.arange(start + 1, start + shape.numel() + 1).reshape(shape))
    if origin.function is operator.getitem:
        operand, index = origin.operands
        return _places(operand, leaves)[index]
    if origin.name in _MOVING:
        return _moved(origin, leaves)
    if origin.name == "cast":
        return _places(origin.operands[0], leaves)
    return _arithmetic(origin, leaves)


def _moved(origin: Computed, leaves: dict[object, tuple[Origin, int]]) -> Any:
    """Run an operator that moves elements on their numbers, factors and shifts."""

    def prepared(operand: Any) -> Any:
        if isinstance(operand, Constant) and not operand.value.is_floating_point():
            return operand.value
        return _places(operand, leaves) if _is_origin(operand) else operand

    operands = [prepared(operand) for operand in origin.operands]
    places = [o for o in operands if isinstance(o, _Places)]

    def run(part: str, otherwise: float) -> Any:
        def of(place: _Places) -> Tensor:
            value: Tensor | None = getattr(place, part)
            if value is None:
                return torch.full(place.numbers.shape, otherwise, dtype=torch.float64)
            return value

        values = [of(o) if isinstance(o, _Places) else o for o in operands]
        return origin.function(*values, **origin.attributes)

    numbers = run("numbers", 0)
    factor = run("factor", 1.0) if any(p.factor is not None for p in places) else None
    traced = any(p.shift is not None and bool((p.numbers > 0).any()) for p in places)
    shift = run("shift", 0.0) if traced else None
    if isinstance(numbers, Tensor):
        return _Places(numbers, factor, shift)
    none = [None] * len(numbers)
    return tuple(map(_Places, numbers, factor or none, shift or none))


def _arithmetic(origin: Computed, leaves: dict[object, tuple[Origin, int]]) -> _Places:
    """Return the places of a product or sum: of its first operand that comes from the source.

    Raises:
        CannotUndoError: It is neither.
    """
    if origin.name not in ("mul", "div", "add", "sub", "neg"):
        raise CannotUndoError(f"it is the result of {origin.name!r}")
    operands: list[Any] = list(origin.operands)
    traced = [k for k, o in enumerate(operands) if next(parameters(o), None) is not None]
    which = traced[0]
    if origin.name == "div" and which == 1:
        raise CannotUndoError("it is 1 divided by a parameter")
    place: _Places = _places(operands[which], leaves)
    other = original(operands[1 - which]) if len(operands) > 1 else torch.zeros(()).double()
    one = torch.ones_like(place.numbers, dtype=torch.float64) * torch.ones_like(other)
    factor = one if place.factor is None else place.factor * one
    shift = 0 * one if place.shift is None else place.shift * one
    if origin.name in ("mul", "div"):
        other = other if origin.name == "mul" else 1 / other
        factor, shift = factor * other, shift * other
    elif origin.name == "neg" or (origin.name == "sub" and which == 1):
        factor, shift = -factor, other - shift
    else:
        shift = shift + (other if origin.name == "add" else -other)
    return _Places(place.numbers.expand(one.shape), factor, shift)

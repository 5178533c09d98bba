"""Rules of a call: operands are positional, attributes keyword-only literals of the right type."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union

from cimc.errors import ProgramError

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_VARIADIC = inspect.Parameter.VAR_POSITIONAL
_EMPTY = inspect.Parameter.empty


@functools.cache
def operand_bounds(function: Callable[..., Any]) -> tuple[int, int | None]:
    """Return the least and the greatest number of operands of an operator (None: any)."""
    parameters = inspect.signature(function).parameters.values()
    operands = [p for p in parameters if p.kind is not _KEYWORD]
    plain = [p for p in operands if p.kind is not _VARIADIC]
    required = sum(p.default is _EMPTY for p in plain)
    return required, None if len(plain) < len(operands) else len(plain)


@functools.cache
def attribute_types(function: Callable[..., Any]) -> Mapping[str, tuple[Any, bool]]:
    """Return the type of each attribute of an operator, and whether it must be given."""
    hints = typing.get_type_hints(function)
    return {
        p.name: (hints[p.name], p.default is _EMPTY)
        for p in inspect.signature(function).parameters.values()
        if p.kind is _KEYWORD
    }


def check_attributes(
    function: Callable[..., Any], attributes: Mapping[str, Any], where: str
) -> None:
    """The attributes are those of the operator, each of its type.

    Raises:
        ProgramError: ``CIMC-P16``.
    """
    expected = attribute_types(function)
    for name, value in attributes.items():
        if name not in expected:
            raise ProgramError(
                "CIMC-P16", f"the operator has no attribute {name[:80]!r}", where=where
            )
        if not fits(value, expected[name][0]):
            raise ProgramError(
                "CIMC-P16",
                f"attribute {name!r} should be {_shown(expected[name][0])} (got {value!r:.80})",
                where=where,
            )
    for name, (_, required) in expected.items():
        if required and name not in attributes:
            raise ProgramError("CIMC-P16", f"attribute {name!r} is missing", where=where)


def fits(value: Any, wanted: Any) -> bool:
    """Tell whether plain data is of an annotated type.

    An integer may stand for a float, and 0 and 1 for a boolean, as in ONNX.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return True
    if wanted is None or wanted is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(fits(value, a) for a in arguments)
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in arguments)
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return isinstance(value, list | tuple) and _items_fit(value, origin, arguments)
    if wanted is float:
        return type(value) in (float, int)
    if wanted is bool:
        return type(value) in (bool, int) and value in (0, 1)
    return isinstance(wanted, type) and type(value) is wanted


def _items_fit(values: Sequence[Any], origin: type, arguments: tuple[Any, ...]) -> bool:
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return len(values) == len(arguments) and all(map(fits, values, arguments))
    return all(fits(v, arguments[0]) for v in values)


def _shown(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted).replace("typing.", "")

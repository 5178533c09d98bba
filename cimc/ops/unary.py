"""Element-wise functions of one tensor; the result has its shape and element type."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.ops.dtypes import WIDER
from cimc.ops.operator import Operator


def identity(x: Tensor) -> Tensor:
    """Return x."""
    return x


def abs(x: Tensor) -> Tensor:
    """Return the magnitude."""
    return x if x.dtype in WIDER else torch.abs(x)


def neg(x: Tensor) -> Tensor:
    """Return ``-x``."""
    return torch.neg(x)


def sign(x: Tensor) -> Tensor:
    """Return -1, 0 or 1; NaN stays."""
    if x.dtype in WIDER:
        return (x != 0).to(x.dtype)
    return torch.where(torch.isnan(x), x, torch.sign(x)) if x.is_floating_point() else x.sign()


def ceil(x: Tensor) -> Tensor:
    """Round up."""
    return torch.ceil(x)


def floor(x: Tensor) -> Tensor:
    """Round down."""
    return torch.floor(x)


def round(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves to the even one."""
    return torch.round(x)


def sqrt(x: Tensor) -> Tensor:
    """Return the square root."""
    return torch.sqrt(x)


def reciprocal(x: Tensor) -> Tensor:
    """Return ``1 / x``."""
    return torch.reciprocal(x)


def exp(x: Tensor) -> Tensor:
    """Return ``e ** x``."""
    return torch.exp(x)


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm."""
    return torch.log(x)


def erf(x: Tensor) -> Tensor:
    """Return the error function; of integers, truncated."""
    return torch.erf(x) if x.is_floating_point() else torch.erf(x.double()).to(x.dtype)


def sin(x: Tensor) -> Tensor:
    """Return the sine of an angle [rad]."""
    return torch.sin(x)


def cos(x: Tensor) -> Tensor:
    """Return the cosine of an angle [rad]."""
    return torch.cos(x)


def tan(x: Tensor) -> Tensor:
    """Return the tangent of an angle [rad]."""
    return torch.tan(x)


def asin(x: Tensor) -> Tensor:
    """Return the angle whose sine is x [rad]."""
    return torch.asin(x)


def acos(x: Tensor) -> Tensor:
    """Return the angle whose cosine is x [rad]."""
    return torch.acos(x)


def atan(x: Tensor) -> Tensor:
    """Return the angle whose tangent is x [rad]."""
    return torch.atan(x)


def sinh(x: Tensor) -> Tensor:
    """Return the hyperbolic sine."""
    return torch.sinh(x)


def cosh(x: Tensor) -> Tensor:
    """Return the hyperbolic cosine."""
    return torch.cosh(x)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return torch.tanh(x)


def asinh(x: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine."""
    return torch.asinh(x)


def acosh(x: Tensor) -> Tensor:
    """Return the inverse hyperbolic cosine."""
    return torch.acosh(x)


def atanh(x: Tensor) -> Tensor:
    """Return the inverse hyperbolic tangent."""
    return torch.atanh(x)


OPERATORS: Final[dict[str, Operator]] = {
    "identity": Operator("identity", identity, "Identity"),
    "abs": Operator("abs", abs, "Abs"),
    "neg": Operator("neg", neg, "Neg"),
    "sign": Operator("sign", sign, "Sign"),
    "ceil": Operator("ceil", ceil, "Ceil"),
    "floor": Operator("floor", floor, "Floor"),
    "round": Operator("round", round, "Round"),
    "sqrt": Operator("sqrt", sqrt, "Sqrt"),
    "reciprocal": Operator("reciprocal", reciprocal, "Reciprocal"),
    "exp": Operator("exp", exp, "Exp"),
    "log": Operator("log", log, "Log"),
    "erf": Operator("erf", erf, "Erf"),
    "sin": Operator("sin", sin, "Sin"),
    "cos": Operator("cos", cos, "Cos"),
    "tan": Operator("tan", tan, "Tan"),
    "asin": Operator("asin", asin, "Asin"),
    "acos": Operator("acos", acos, "Acos"),
    "atan": Operator("atan", atan, "Atan"),
    "sinh": Operator("sinh", sinh, "Sinh"),
    "cosh": Operator("cosh", cosh, "Cosh"),
    "tanh": Operator("tanh", tanh, "Tanh"),
    "asinh": Operator("asinh", asinh, "Asinh"),
    "acosh": Operator("acosh", acosh, "Acosh"),
    "atanh": Operator("atanh", atanh, "Atanh"),
}

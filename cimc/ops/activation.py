"""Activation functions; the result has the shape and element type of x."""

from __future__ import annotations

from functools import reduce
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.ops.dtypes import WIDER
from cimc.ops.numeric import in_float
from cimc.ops.operator import Operator


def relu(x: Tensor) -> Tensor:
    """Return ``max(x, 0)``."""
    return torch.relu(x)


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Return x where positive, else ``alpha * x``."""
    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Return x where not negative, else ``slope * x``; the slope broadcasts to x."""
    return x if x.dtype in WIDER else torch.where(x < 0, x * slope, x)


def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x where it is greater than alpha, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x where positive, else ``alpha * (exp(x) - 1)``."""
    return F.elu(x, alpha)


def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return ``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    return torch.clamp(x, min=0) + torch.clamp(alpha * torch.expm1(x / alpha), max=0)


def selu(
    x: Tensor, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805
) -> Tensor:
    """Return ``gamma * x`` where positive, else ``gamma * alpha * (exp(x) - 1)``."""
    return gamma * F.elu(x, alpha)


def sigmoid(x: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``."""
    return torch.sigmoid(x)


def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Return ``alpha * x + beta`` limited to [0, 1]."""
    return torch.clamp(alpha * x + beta, 0, 1)


def hard_swish(x: Tensor) -> Tensor:
    """Return ``x * min(max(x / 6 + 0.5, 0), 1)``."""
    return x * torch.clamp(x / 6 + 0.5, 0, 1)


def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return ``x * sigmoid(alpha * x)``."""
    return x * torch.sigmoid(alpha * x)


def mish(x: Tensor) -> Tensor:
    """Return ``x * tanh(softplus(x))``."""
    return x * torch.tanh(softplus(x))


def softplus(x: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))``."""
    return F.softplus(x, threshold=40)


def softsign(x: Tensor) -> Tensor:
    """Return ``x / (1 + |x|)``."""
    return F.softsign(x)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return ``x`` times the normal distribution function at x.

    Args:
        x: Any shape.
        approximate: ``none``: exact; ``tanh``: by a hyperbolic tangent.
    """
    return F.gelu(x, approximate=approximate)


def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """Return ``x + bias`` below ``-lambd``, ``x - bias`` above ``lambd``, 0 between."""
    zero = torch.zeros_like(x)
    above = torch.where(x > lambd, in_float(x, lambda v: v - bias), zero)
    return torch.where(x < -lambd, in_float(x, lambda v: v + bias), above)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return ``exp(x)`` divided by its sum along an axis.

    Half precision is rounded after every step, as the function that defines the operator says: a
    fused softmax is more exact, and differs from it by a unit in the last place.
    """
    if x.ndim == 0:
        return torch.ones_like(x)
    if x.dtype not in (torch.float16, torch.bfloat16) or x.shape[axis] == 0:
        return torch.softmax(x, axis)
    raised = torch.exp(x - x.amax(axis, keepdim=True))
    if x.dtype == torch.float16:
        return raised / raised.sum(axis, keepdim=True)
    return raised / reduce(torch.add, raised.unbind(axis)).unsqueeze(axis)


def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return the logarithm of :func:`softmax`."""
    return torch.log_softmax(x, axis) if x.ndim else torch.zeros_like(x)


def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return 1 at the first maximum along an axis, else 0."""
    first = torch.argmax(x, dim=axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)


OPERATORS: Final[dict[str, Operator]] = {
    "relu": Operator("relu", relu, "Relu"),
    "leaky_relu": Operator("leaky_relu", leaky_relu, "LeakyRelu"),
    "prelu": Operator("prelu", prelu, "PRelu"),
    "thresholded_relu": Operator("thresholded_relu", thresholded_relu, "ThresholdedRelu"),
    "elu": Operator("elu", elu, "Elu"),
    "celu": Operator("celu", celu, "Celu"),
    "selu": Operator("selu", selu, "Selu"),
    "sigmoid": Operator("sigmoid", sigmoid, "Sigmoid"),
    "hard_sigmoid": Operator("hard_sigmoid", hard_sigmoid, "HardSigmoid"),
    "hard_swish": Operator("hard_swish", hard_swish, "HardSwish"),
    "swish": Operator("swish", swish, "Swish"),
    "mish": Operator("mish", mish, "Mish"),
    "softplus": Operator("softplus", softplus, "Softplus"),
    "softsign": Operator("softsign", softsign, "Softsign"),
    "gelu": Operator("gelu", gelu, "Gelu"),
    "shrink": Operator("shrink", shrink, "Shrink"),
    "softmax": Operator("softmax", softmax, "Softmax"),
    "log_softmax": Operator("log_softmax", log_softmax, "LogSoftmax"),
    "hardmax": Operator("hardmax", hardmax, "Hardmax"),
}

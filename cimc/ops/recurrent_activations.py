"""The activation functions that recurrent operators name in an attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from cimc.errors import ModelError

Activation = Callable[[Tensor], Tensor]


def _affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * x + beta


def _scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0.0, 1.0)


def _thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def _leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return functional.leaky_relu(x, alpha)


def _elu(x: Tensor, alpha: float) -> Tensor:
    return functional.elu(x, alpha)


_PLAIN: dict[str, Activation] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
    "softplus": functional.softplus,
}
#: Function and the defaults of its parameters (alpha, or alpha and beta).
_SCALED: dict[str, tuple[Callable[..., Tensor], tuple[float, ...]]] = {
    "affine": (_affine, (1.0, 0.0)),
    "leakyrelu": (_leaky_relu, (0.01,)),
    "thresholdedrelu": (_thresholded_relu, (1.0,)),
    "scaledtanh": (_scaled_tanh, (1.0, 1.0)),
    "hardsigmoid": (_hard_sigmoid, (0.2, 0.5)),
    "elu": (_elu, (1.0,)),
}


def activation_functions(
    names: Sequence[str],
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    where: str,
) -> list[Activation]:
    """Return the functions of an ``activations`` attribute.

    ``activation_alpha`` and ``activation_beta`` are consumed in order, each by the next function
    that has such a parameter; a function that finds none left takes its default.

    Args:
        names: As in the attribute; case does not matter.
        alphas: ``activation_alpha``.
        betas: ``activation_beta``.
        where: Operator, for the message.

    Raises:
        ModelError: ``CIMC-M37`` no such function.
    """
    left_alphas, left_betas = list(alphas or ()), list(betas or ())
    functions: list[Activation] = []
    for name in names:
        key = name.lower()
        if key in _PLAIN:
            functions.append(_PLAIN[key])
            continue
        if key not in _SCALED:
            raise ModelError(
                "CIMC-M37",
                f"unknown activation function {name!r}",
                where=f"{where}, attribute 'activations'",
                hint=f"one of {', '.join(sorted({*_PLAIN, *_SCALED}))}",
            )
        function, defaults = _SCALED[key]
        keywords = dict(zip(("alpha", "beta"), defaults, strict=False))
        if left_alphas:
            keywords["alpha"] = left_alphas.pop(0)
        if "beta" in keywords and left_betas:
            keywords["beta"] = left_betas.pop(0)
        functions.append(partial(function, **keywords))
    return functions

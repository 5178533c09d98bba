"""Conductance against temperature: a metallic and a thermally activated part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cimc.device.constants import BOLTZMANN_EV_PER_K

if TYPE_CHECKING:  # target descriptions use the factors and are read without torch
    from torch import Tensor


def metallic_factor(temperature_k: float, reference_k: float, tc_per_k: float) -> float:
    """Return how the metallic part changes: ``1 + tc (T - T0)``, never below 0 [-].

    Args:
        temperature_k: While reading [K].
        reference_k: Where the factor is 1 [K].
        tc_per_k: Relative change [1/K].
    """
    return max(0.0, 1.0 + tc_per_k * (temperature_k - reference_k))


def activated_factor(temperature_k: float, reference_k: float, ea_ev: float) -> float:
    """Return how the activated part changes: ``exp(-Ea / k (1/T - 1/T0))`` [-].

    Args:
        temperature_k: While reading [K].
        reference_k: Where the factor is 1 [K].
        ea_ev: Activation energy [eV].
    """
    return math.exp(-ea_ev / BOLTZMANN_EV_PER_K * (1.0 / temperature_k - 1.0 / reference_k))


def at_temperature(
    g_us: Tensor, g_min_us: float, g_max_us: float, metallic: float, activated: float
) -> Tensor:
    """Change conductances to what they are at another temperature, in place.

    A cell in state ``s = (G - g_min) / (g_max - g_min)`` conducts ``s g_max`` through metal and
    ``(1 - s) g_min`` through thermal activation; above ``g_max`` all is metallic, below ``g_min``
    all activated.

    Args:
        g_us: Conductances at the reference temperature, any shape [uS].
        g_min_us: Lowest conductance, HRS [uS].
        g_max_us: Highest conductance, LRS [uS].
        metallic: Factor of the metallic part [-].
        activated: Factor of the activated part [-].

    Returns:
        ``g_us``.
    """
    if metallic == activated:
        return g_us.mul_(metallic)
    state = g_us.sub(g_min_us).div_(g_max_us - g_min_us).clamp_(0.0, 1.0)
    metal = state.mul_(g_max_us).add_((g_us - g_max_us).clamp_(min=0))
    return g_us.mul_(activated).add_(metal, alpha=metallic - activated)

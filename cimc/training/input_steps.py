"""Learned input ranges of a network's uses: which have one, and where it starts."""

from __future__ import annotations

from torch import nn

from cimc.device.converters import largest_code
from cimc.ir.layer import Use
from cimc.ir.network import Network
from cimc.quantizers.periphery.ranges import dac_range
from cimc.training.lsq import InputStep
from cimc.training.recipe import Recipe


def input_steps(network: Network, recipe: Recipe) -> dict[str, nn.Module]:
    """Return the learned input ranges, by node and operand."""
    uses = [use for layer in network.layers.values() for use in layer.uses]
    steps: dict[str, nn.Module] = {}
    for number, use in enumerate(uses):
        end = number in (0, len(uses) - 1)
        bits = recipe.first_last_bits if end else recipe.activation_bits
        if bits and use.dac.bits is not None:
            steps[f"{use.node}_{use.operand}"] = _input_step(use, bits)
    return steps


def _input_step(use: Use, bits: int) -> InputStep:
    """Return the learned range of one use; it starts where rounding costs least."""
    seen, full = use.statistics, use.dac.x_max or 1.0
    if seen is not None and seen.limit > 0:
        full = dac_range(seen, bits, signed=use.dac.signed, method="mse", percentile=99.99)
    return InputStep(bits, use.dac.signed, full / largest_code(bits, signed=use.dac.signed))

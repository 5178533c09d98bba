"""ADC ranges for the currents of one chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from cimc.executor.cells import targets_us
from cimc.ir.layer import TRAINED, CrossbarLayer, Fitted, InputStatistics, Use
from cimc.ir.network import Network
from cimc.lowering.converters import Sampling, fit_converters
from cimc.quantizers.periphery.fit import Method
from cimc.quantizers.threads import side_by_side
from cimc.remap.ignored import real_us
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.targets import Target

#: Most calibration samples and vectors a layer that ranges are fitted to [-].
SAMPLES: Final = 128
VECTORS: Final = 512
#: The same where programs are to be made in seconds: nearest values move ranges little.
FEW_VECTORS: Final = 128
#: Bins of a histogram that is not looked at.
_BINS: Final = 1


def fit_adcs(
    network: Network,
    target: Target,
    chip: ChipFaults,
    method: Method,
    sampling: Sampling,
    progress: Callable[[float], None] = lambda share: None,
) -> Network:
    """Return the network with ADC ranges fitted to what its cells conduct on a chip.

    DACs stay as they are: what a chip's faults change of the inputs of a layer, corrections of
    gains and means take back.

    Args:
        network: Remapped; its graph computes what the chip does in ideal mode.
        target: The device.
        chip: Its faults: stuck cells carry currents too.
        method: How ranges are found.
        sampling: What they are fitted to.
        progress: Told the share done.
    """
    if target.adc.bits is None:
        return network
    real = side_by_side(lambda layer: _real(layer, chip, target), network.layers.values())
    layers = dict(zip(network.layers, real, strict=True))
    fitted = fit_converters(replace(network, layers=layers), target, method, sampling, progress)
    return replace(
        network,
        layers={
            name: replace(layer, uses=tuple(map(_undone, layer.uses, fitted.layers[name].uses)))
            for name, layer in network.layers.items()
        },
    )


def _real(layer: CrossbarLayer, chip: ChipFaults, target: Target) -> CrossbarLayer:
    """Return a layer whose planes are the conductances of the chip, and whose DACs stay."""
    assert layer.cells is not None
    planes = targets_us(layer.cells, torch.device("cpu"))
    real = real_us(planes, cell_faults(layer, chip), target)
    cells = replace(layer.cells, planes=real, states_us=None)
    return replace(layer, cells=cells, uses=tuple(map(_fixed, layer.uses)))


def _fixed(use: Use) -> Use:
    """Return a use as if its DAC had been trained: left alone; ranges need its full scale only."""
    statistics = use.statistics
    full = use.dac.x_max
    if statistics is None and full is not None:
        low = -full if use.dac.signed else 0.0
        counts = np.zeros(_BINS, np.int64)
        statistics = InputStatistics(low, full, full, counts, torch.zeros(0), None, 0)
    return replace(use, statistics=statistics, fitted=Fitted(TRAINED, None))


def _undone(before: Use, after: Use) -> Use:
    """Return a use with its new ADC, and how the DAC was found in the first place."""
    fitted = after.fitted
    if fitted is not None and before.fitted is not None:
        fitted = replace(fitted, input_method=before.fitted.input_method)
    return replace(before, adc=after.adc, fitted=fitted)

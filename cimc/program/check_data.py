"""Rules of what goes along with a program: golden vectors and calibration data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ir.network import Signal
from cimc.program.check_faults import check_faults
from cimc.program.check_layers import float_range
from cimc.program.model import DeviceProgram
from cimc.program.values import STORABLE
from cimc.targets import Target


def check_vectors(program: DeviceProgram, target: Target) -> None:
    """Apply every rule of this module.

    Raises:
        ProgramError: ``CIMC-P23``, ``CIMC-P24``.
    """
    readers = {use.operation for layer in program.layers.values() for use in layer.uses}
    if program.golden is not None:
        golden = program.golden
        _check_values(golden.inputs, program.inputs, "golden input")
        _check_names(golden.outputs, program.outputs, "golden output")
        _check_known(golden.layers, readers, "golden layer")
    if program.calibration is not None:
        data = program.calibration
        _check_values(data.inputs, program.inputs, "calibration input")
        _check_known(data.weights, program.layers.keys(), "calibration weight")
        _check_known(data.means, readers, "calibration mean")
        for name, weight in data.weights.items():
            _check_floats(
                weight, program.layers[name].geometry.shape, f"calibration weight '{name}'"
            )
        for name, mean in data.means.items():
            _check_floats(mean, None, f"calibration mean '{name}'")
        _check_constants(data.constants, program.constants)
    check_faults(program, target)


def _check_constants(values: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> None:
    """Constants are of the program, of their shape there, and finite."""
    _check_known(values, known.keys(), "calibration constant")
    for name, value in values.items():
        _check_floats(value, tuple(known[name].shape), f"calibration constant '{name}'")


def _check_names(values: Mapping[str, Any], signals: Iterable[Signal], what: str) -> None:
    """There is exactly one value for each signal; only those that are no tensors may miss."""
    signals = tuple(signals)
    names = {s.name for s in signals}
    tensors = {s.name for s in signals if s.dtype in STORABLE}
    differ = sorted((values.keys() - names) | (tensors - values.keys()))
    if differ:
        raise ProgramError("CIMC-P23", "is missing or unknown", where=f"{what} '{differ[0][:80]}'")


def _check_known(values: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Every name is known."""
    unknown = sorted(values.keys() - set(known))
    if unknown:
        raise ProgramError("CIMC-P23", "is unknown", where=f"{what} '{unknown[0][:80]}'")


def _check_values(values: Mapping[str, Any], signals: tuple[Signal, ...], what: str) -> None:
    """The inputs are those of the program, of their type and number of axes."""
    _check_names(values, signals, what)
    for signal in signals:
        value = values.get(signal.name)
        if value is None:
            continue
        where = f"{what} '{signal.name[:80]}'"
        if signal.dtype in STORABLE and _dtype(value) != signal.dtype:
            raise ProgramError("CIMC-P23", f"is {_dtype(value)}, not {signal.dtype}", where=where)
        axes = getattr(value, "ndim", None)
        if signal.shape is not None and axes is not None and axes != len(signal.shape):
            raise ProgramError(
                "CIMC-P23", f"has {axes} axes, not {len(signal.shape)}", where=where
            )


def _dtype(value: Any) -> str:
    return value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__


def _check_floats(tensor: Tensor, shape: tuple[int, ...] | None, where: str) -> None:
    """A float32 tensor of that shape, without NaN and infinities."""
    if tensor.dtype != torch.float32 or (shape is not None and tuple(tensor.shape) != shape):
        raise ProgramError(
            "CIMC-P23", f"is {tensor.dtype} {list(tensor.shape)}, not {shape}", where=where
        )
    if tensor.numel() and not all(math.isfinite(v) for v in float_range(tensor)):
        raise ProgramError("CIMC-P23", "a value is not finite", where=where)

"""Inputs made up for running a network where the user gives none."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from cimc.errors import ModelError
from cimc.ir.network import Array, Signal

#: Sizes tried for dynamic axes other than the first when inputs are made up.
_TRIAL_SIZES = (32, 64, 1, 16, 48, 224, 320)

#: Most elements of an input that is made up [-].
_MOST_ELEMENTS = 2**25


def made_up(
    inputs: Sequence[Signal], *, seed: int, trial: int = 0, samples: int = 2
) -> dict[str, Array]:
    """Return seeded inputs of the right types and shapes, for trials and golden vectors.

    Floating-point inputs are standard normal, integers 0 or 1, booleans fair coins.

    Args:
        inputs: The network's inputs.
        seed: Seed; every input has its own stream.
        trial: Which size to try for dynamic axes other than the first, from 0.
        samples: Size of a dynamic first axis.

    Raises:
        ModelError: CIMC-M53, inputs cannot be made up (a string, a sequence, an unknown rank, a
            size beyond all bounds).
    """
    first = {s.shape[0] for s in inputs if s.shape} - {""}
    sizes = {axis: samples for axis in first if isinstance(axis, str)}
    return {s.name: _made_up(s, seed, trial, samples, sizes) for s in inputs}


def trials() -> range:
    """Return the values of ``trial`` worth trying in :func:`made_up`."""
    return range(len(_TRIAL_SIZES))


def _made_up(
    signal: Signal, seed: int, trial: int, samples: int, sizes: Mapping[str, int]
) -> Array:
    if signal.shape is None or signal.dtype in ("string", "sequence", "optional"):
        raise ModelError(
            "CIMC-M53",
            f"inputs of type {signal.dtype} cannot be made up",
            where=f"input '{signal.name}'",
            hint="giving sample inputs with --data",
        )
    size = _TRIAL_SIZES[trial]
    shape = [
        d if isinstance(d, int) else (samples if axis == 0 else sizes.get(d, size))
        for axis, d in enumerate(signal.shape)
    ]
    if math.prod(shape) > _MOST_ELEMENTS:
        raise ModelError(
            "CIMC-M53",
            f"inputs of shape {shape} are too large to be made up",
            where=f"input '{signal.name}'",
            hint="giving sample inputs with --data",
        )
    draw = np.random.default_rng([seed, zlib.crc32(signal.name.encode())])
    if signal.dtype == "bool":
        return draw.integers(0, 2, shape).astype(np.bool_)
    if "int" in signal.dtype:
        return draw.integers(0, 2, shape).astype(signal.dtype)
    return draw.standard_normal(shape).astype(signal.dtype)

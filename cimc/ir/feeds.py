"""Inputs for running a network: cut from user data, or made up where there are none."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cimc.errors import ModelError
from cimc.ir.network import Array, Signal

#: Sizes tried for dynamic axes other than the first when inputs are made up.
_TRIAL_SIZES = (1, 32, 16, 48, 64, 224, 320)


def samples_in(data: Mapping[str, Array], inputs: Sequence[Signal]) -> int:
    """Return how many samples the data hold: the first axis of the first input."""
    return int(data[inputs[0].name].shape[0]) if inputs else 0


def feeds(
    data: Mapping[str, Array], inputs: Sequence[Signal], *, batched: bool, batch: int
) -> Iterator[dict[str, Array]]:
    """Yield the inputs of one run after the other.

    1. Arrays with one axis more than the inputs: each entry along the first axis is one run.
    2. ``batched``: runs of at most ``batch`` samples, or of exactly as many as the network was
       exported for.
    3. Otherwise the arrays are the inputs of a single run.

    Args:
        data: One array an input, by name.
        inputs: The network's inputs.
        batched: Whether samples along the first axis are independent.
        batch: Most samples a run.

    Raises:
        ModelError: CIMC-M52, a network exported for a fixed number of samples and data that are
            not a multiple of it.
    """
    if not inputs:
        yield {}
        return
    stacked = all(
        s.shape is not None and np.ndim(data[s.name]) == len(s.shape) + 1 for s in inputs
    )
    count = samples_in(data, inputs)
    if stacked:
        for i in range(count):
            yield {s.name: data[s.name][i] for s in inputs}
        return
    if not batched:
        yield {s.name: data[s.name] for s in inputs}
        return
    fixed = next((s.shape[0] for s in inputs if s.shape and isinstance(s.shape[0], int)), None)
    size = fixed or batch
    if fixed and count % fixed:
        raise ModelError(
            "CIMC-M52",
            f"the data hold {count} samples, the network takes exactly {fixed} at a time",
            where=f"input '{inputs[0].name}'",
            hint=f"a multiple of {fixed} samples, or exporting the model with a dynamic batch axis",
        )
    for first in range(0, count, size):
        yield {s.name: data[s.name][first : first + size] for s in inputs}


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
        ModelError: CIMC-M53, inputs cannot be made up (a string, a sequence, an unknown rank).
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
    draw = np.random.default_rng([seed, zlib.crc32(signal.name.encode())])
    if signal.dtype == "bool":
        return draw.integers(0, 2, shape).astype(np.bool_)
    if "int" in signal.dtype:
        return draw.integers(0, 2, shape).astype(signal.dtype)
    return draw.standard_normal(shape).astype(signal.dtype)

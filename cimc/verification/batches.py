"""Cut a data set into runs, the same way for the original model and for the program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.ir.network import Signal
from cimc.verification.data import Data

Array = npt.NDArray[Any]
Feed = dict[str, Array]

#: Input elements and samples of one run: bounds the memory of activations, and keeps them near
#: the processor (a fifth faster than 512 samples).
_ELEMENTS = 4_000_000
_SAMPLES = 128


def batch_size(data: Data) -> int:
    """Return how many samples to run at once."""
    elements = sum(math.prod(a.shape[1:]) for a in data.inputs.values() if a.ndim)
    return max(1, min(_SAMPLES, _ELEMENTS // max(1, elements)))


def split(data: Data, signals: Sequence[Signal], *, batched: bool, batch: int) -> list[Feed]:
    """Return the inputs of one run after the other.

    1. Arrays with one axis more than their input (*stacked*): one run a sample.
    2. Not ``batched``: one run with everything.
    3. Otherwise runs of ``batch`` samples, or of as many as the model fixes.

    An array that does not count samples (rank 0, or exactly as long as the model fixes while
    others are longer) is given to every run.

    Args:
        data: Checked inputs.
        signals: The inputs as this model declares them.
        batched: Samples are independent.
        batch: Samples a run.
    """
    inputs = {s.name: data.inputs[s.name] for s in signals}
    stacked = {s.name for s in signals if s.shape is not None and _extra_axis(inputs[s.name], s)}
    counted = {n for n, a in inputs.items() if a.ndim and a.shape[0] == data.samples}
    if stacked:
        return [_entry(inputs, stacked, counted & stacked, i) for i in range(data.samples)]
    if not batched or not counted:
        return [inputs]
    fixed = [s.shape[0] for s in signals if s.name in counted and s.shape]
    size = max([d for d in fixed if isinstance(d, int)], default=0)
    if size and data.samples % size:
        return [inputs]
    step = size or batch
    return [
        {n: a[i : i + step] if n in counted else a for n, a in inputs.items()}
        for i in range(0, data.samples, step)
    ]


def subset(data: Data, samples: int) -> Data:
    """Return the first samples of the data."""
    return data if samples >= data.samples else next(pieces(data, samples))


def pieces(data: Data, samples: int) -> Iterator[Data]:
    """Yield the data, some samples at a time."""
    for first in range(0, data.samples, samples):
        count = min(samples, data.samples - first)
        inputs = {
            n: a[first : first + count] if a.ndim and a.shape[0] == data.samples else a
            for n, a in data.inputs.items()
        }
        labels = None if data.labels is None else data.labels[first : first + count]
        yield Data(inputs, labels, count)


def join(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the outputs of several runs as one array an output.

    Along the first axis; outputs whose other axes differ from run to run are flattened first.
    """
    return {name: _joined([p[name] for p in parts]) for name in parts[0]}


def _joined(arrays: list[Array]) -> Array:
    if len(arrays) == 1:
        return arrays[0]
    if any(a.ndim == 0 for a in arrays):
        return np.stack(arrays) if all(a.ndim == 0 for a in arrays) else _flat(arrays)
    if len({a.shape[1:] for a in arrays}) > 1:
        return _flat(arrays)
    return np.concatenate(arrays)


def _flat(arrays: list[Array]) -> Array:
    return np.concatenate([a.reshape(-1) for a in arrays])


def _extra_axis(array: Array, signal: Signal) -> bool:
    return signal.shape is not None and array.ndim == len(signal.shape) + 1


def _entry(inputs: Mapping[str, Array], stacked: set[str], counted: set[str], i: int) -> Feed:
    return {n: (a[i] if n in counted else a[0]) if n in stacked else a for n, a in inputs.items()}

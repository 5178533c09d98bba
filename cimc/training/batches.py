"""Training data as runs of a network: which samples go together, as tensors on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.ops import arrays
from cimc.verification.data import Data

Array = npt.NDArray[Any]
Units = Sequence[int]


@dataclass(frozen=True, slots=True)
class Run:
    """What the network is called with once.

    Attributes:
        units: Which units of the data.
        inputs: In the order of the network's inputs.
        labels: int64; None without.
        samples: How many [-].
    """

    units: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    samples: int


class Samples:
    """Data cut into *units*, the least that can be run: the same rules as in verification.

    1. Arrays with one axis more than their input (*stacked*): a unit is a sample, without that
       axis; each is a run of its own.
    2. Samples that are not independent: one unit, everything.
    3. A network that fixes how many samples it takes: a unit is so many, a run of its own.
    4. Otherwise a unit is a sample, and any number of them makes a run.

    Attributes:
        data: The samples.
        units: How many units [-].
        unit_samples: Samples a unit [-].
        merged: Whether units can share a run.
        device: Where runs are.
    """

    def __init__(
        self,
        data: Data,
        signals: Sequence[Signal],
        *,
        batched: bool,
        device: torch.device | str = "cpu",
    ) -> None:
        """Find out how the data are cut.

        Args:
            data: Checked inputs.
            signals: The network's inputs.
            batched: Samples are independent.
            device: Where runs are.

        Raises:
            ModelError: CIMC-M97, an input is no tensor.
        """
        self.data, self._signals, self.device = data, tuple(signals), torch.device(device)
        for signal in signals:
            _require_tensor(data.inputs[signal.name], signal)
        inputs = {s.name: data.inputs[s.name] for s in signals}
        self._stacked = {s.name for s in signals if _stacked(inputs[s.name], s)}
        self._counted = {n for n, a in inputs.items() if a.ndim and a.shape[0] == data.samples}
        fixed = [s.shape[0] for s in signals if s.name in self._counted and s.shape]
        size = max([d for d in fixed if isinstance(d, int)], default=0)
        whole = not batched or not self._counted or (size > 0 and data.samples % size != 0)
        if self._stacked:
            self.unit_samples = 1
        elif whole:
            self.unit_samples = data.samples
        else:
            self.unit_samples = size or 1
        self.merged = not self._stacked and not whole and size == 0
        self.units = data.samples // self.unit_samples

    @property
    def stacked(self) -> bool:
        """Whether every sample is a run of its own, without the axis that counts samples."""
        return bool(self._stacked)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """Right answers of all samples."""
        return self.data.labels

    def batches(self, order: Units, batch: int) -> list[tuple[int, ...]]:
        """Cut an order of units into batches of about ``batch`` samples; the last may be smaller.

        Args:
            order: Units.
            batch: Samples a batch [-].
        """
        step = max(1, batch // self.unit_samples)
        return [tuple(order[i : i + step]) for i in range(0, len(order), step)]

    def runs(self, units: Units, most: int | None = None) -> list[Run]:
        """Return the runs that some units take, none for no units.

        Args:
            units: Which.
            most: Samples of a run at most, where units share runs [-]; None: any number.
        """
        return [self._run(part) for part in self.parts(units, most)]

    def parts(self, units: Units, most: int | None = None) -> list[tuple[int, ...]]:
        """Return which units each of the runs would hold."""
        if not units:
            return []
        step = (most or len(units)) if self.merged else 1
        return [tuple(units[i : i + step]) for i in range(0, len(units), step)]

    def feed(self, units: Units) -> dict[str, Array]:
        """Return the inputs of one run by name, as numpy arrays."""
        return {s.name: self._rows(s.name, self.data.inputs[s.name], units) for s in self._signals}

    def labels_of(self, units: Units) -> npt.NDArray[np.int64] | None:
        """Return the labels of one run; None without labels."""
        labels = self.data.labels
        if labels is None:
            return None
        if self._stacked:
            return np.asarray(labels[units[0]])
        return labels[self._indices(units)]

    def subset(self, units: Units) -> Data:
        """Return some units as data of their own."""
        index = self._indices(units)
        inputs = {n: a[index] if n in self._counted else a for n, a in self.data.inputs.items()}
        labels = self.data.labels
        return Data(inputs, None if labels is None else labels[index], len(index))

    def _run(self, units: tuple[int, ...]) -> Run:
        feed = self.feed(units)
        inputs = tuple(arrays.to_tensor(feed[s.name]).to(self.device) for s in self._signals)
        labels = self.labels_of(units)
        answers = None if labels is None else torch.from_numpy(labels.copy()).to(self.device)
        return Run(units, inputs, answers, len(units) * self.unit_samples)

    def _rows(self, name: str, array: Array, units: Units) -> Array:
        if name in self._stacked:
            return np.asarray(array[units[0] if name in self._counted else 0])
        return array[self._indices(units)] if name in self._counted else array

    def _indices(self, units: Units) -> npt.NDArray[np.int64]:
        first = np.asarray(units, dtype=np.int64)[:, None] * self.unit_samples
        return (first + np.arange(self.unit_samples)).reshape(-1)


def named(signals: Sequence[Signal], values: Sequence[Any]) -> Mapping[str, Any]:
    """Return values by the name of their signal."""
    return {s.name: v for s, v in zip(signals, values, strict=True)}


def _stacked(array: Array, signal: Signal) -> bool:
    return signal.shape is not None and array.ndim == len(signal.shape) + 1


def _require_tensor(array: Array, signal: Signal) -> None:
    if array.dtype.hasobject or array.dtype.kind in "USO":
        raise ModelError(
            "CIMC-M97",
            f"input '{signal.name}' is of type {signal.dtype}, which cannot be trained on",
            where=f"array '{signal.name}'",
            hint="cutting the model behind the operators that read it",
        )

"""The executor's read of a crossbar, written so that gradients pass through it.

[STE]: Extending Straight-Through Estimation for Robust Neural Networks on Analog CIM Hardware;
this is the "full gradient" of its Table III.

A read here gives the values of :class:`cimc.executor.read.Read`: the same device functions, the
same products, the same random numbers in the same order.  Nothing that the backward pass needs is
written over, so it takes more memory and time.  Gradients go to the input, to what the bit lines
see (conductances of every lane and how they fluctuate), to gains and to converter ranges:

* converters: straight through inside the range, 0 outside
  (:mod:`cimc.training.differentiable_rounding`); a full scale found at run time is a function of
  the input, so the step of its codes learns as in LSQ;
* pulses of bits, two-phase and shifted inputs, I-V curves: :mod:`.differentiable_drive`;
* fluctuations: the random numbers are constants, their spread has a derivative where there is
  any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.executor.circuit import Circuit
from cimc.executor.prepare import Crossbar
from cimc.executor.prepare import read_of as prepared
from cimc.executor.read import CHUNK, STACK, LaneRead, Read, TileRead
from cimc.executor.sums import weighted
from cimc.executor.workspace import Workspace
from cimc.training.differentiable_drive import LearnedDriver
from cimc.training.differentiable_rounding import Rounding, converted


def read_of(
    crossbar: Crossbar,
    circuit: Circuit,
    attributes: Mapping[str, Any],
    normals: Normals | None,
    workspace: Workspace | None = None,
    rounding: Rounding = "straight-through",
) -> LearnedRead:
    """Prepare how one operation reads one layer, with gradients.

    Args:
        crossbar: What is read; its tensors may require gradients.
        circuit: How.
        attributes: Of the operation.
        normals: Random numbers; None where nothing is random.
        workspace: Not needed: codes are kept for the backward pass.
        rounding: Derivative of converters: ``straight-through`` or ``zero``, the true one.

    Returns:
        Called with an input in the layout of the operator and optionally a bias, it returns what
        :class:`~cimc.executor.read.Read` does.
    """
    read = prepared(crossbar, circuit, attributes, normals, workspace or Workspace())
    known = {field.name: getattr(read, field.name) for field in fields(read)}
    driver = {field.name: getattr(read.driver, field.name) for field in fields(read.driver)}
    known["driver"] = learned = LearnedDriver(**driver, rounding=rounding)
    return LearnedRead(**known, learned=learned)


@dataclass(frozen=True, slots=True)
class LearnedRead(Read):
    """How one operation reads one layer of one chip, differentiable.

    Attributes:
        learned: The word-line drive.
    """

    learned: LearnedDriver

    def _drives(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        weights = self.driver.pulses.weights
        size = max(1, STACK // self._largest(codes))
        for first in range(0, len(weights), size):
            some = weights[first : first + size]
            drive = self.learned.driven(codes, first, first + len(some))
            yield drive.view(len(some), *codes.shape), _like(some, codes)

    def _vectors(self, codes: Tensor, start: Tensor | None) -> Tensor:
        """Return the output of vectors read in phases, as many at a time as the executor reads.

        ``codes`` are ``(..., rows)``.
        """
        weights = _like(self.driver.pulses.weights, codes)
        few = max(1, CHUNK // (len(weights) * self.geometry.columns))
        chunks = torch.split(codes.reshape(-1, codes.shape[-1]), few)
        total = torch.cat([self._few(chunk, weights) for chunk in chunks])
        total = total.view(*codes.shape[:-1], self.geometry.columns)
        return total if start is None else total + start

    def _few(self, codes: Tensor, weights: Tensor) -> Tensor:
        stack = self.learned.driven(codes, 0, len(weights))
        total: Tensor | None = None
        for tile in self.tiles:
            total, _ = self._digital(tile, tile.select(codes), total, True)
            total = self._read(tile, tile.select(stack), weights, total, True, True)
        assert total is not None, "a layer has at least one row tile"
        return total

    def _read(
        self,
        tile: TileRead,
        drive: Tensor,
        weights: Tensor | None,
        total: Tensor | None,
        fresh: bool,
        ours: bool,
    ) -> Tensor:
        """Return the sum so far plus that of all lanes of one row tile; nothing is overwritten."""
        squares: Tensor | None = None
        for lane in tile.lanes:
            current = lane.product(drive)
            if lane.fluctuation is not None:
                if lane.fluctuation.needs_drive and squares is None:
                    squares = drive.square()
                lane.fluctuation.add(current, squares)
            codes = self._sensed(lane, current)
            codes = codes if weights is None else weighted(codes, weights)
            total = _sum(total, codes, lane.factor)
        assert total is not None, "a row tile has at least one lane"
        return total

    def _sensed(self, lane: LaneRead, current: Tensor) -> Tensor:
        """Return the codes of bit-line currents."""
        sensor = lane.sensor
        if sensor.bits is None:
            return current
        value = current * sensor.inv_lsb
        value = value if sensor.offset is None else value + sensor.offset
        return converted(value, sensor.bits, self.learned.rounding, signed=sensor.signed)


def _like(numbers: tuple[float, ...], codes: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=codes.dtype, device=codes.device)


def _sum(total: Tensor | None, codes: Tensor, factor: float | Tensor) -> Tensor:
    """Return ``total + codes * factor``, rounded as :func:`cimc.executor.sums.add` rounds it."""
    if total is None:
        return codes * factor
    if isinstance(factor, Tensor):
        return torch.addcmul(total, codes, factor)
    return torch.add(total, codes, alpha=factor)

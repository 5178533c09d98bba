"""The crossbars of one chip, layer by layer: what all chips share, and what is this one's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cimc.executor.cells import conductances_us, targets_us
from cimc.executor.column_sums import ideal_sums_us, with_totals
from cimc.executor.compensation import (
    after_programming,
    compensated,
    compensates,
    factor_of,
)
from cimc.executor.fluctuation_variance import variance_us2
from cimc.executor.idle import idle_us
from cimc.executor.known_faults import KnownCells, known_cells
from cimc.executor.matrices import Matrices, matrices
from cimc.executor.measured import Measured, cells_of
from cimc.executor.physics import Physics
from cimc.executor.wires import Solved, WiredArrays, same_cells, through_wires
from cimc.program.model import DeviceProgram, ProgramLayer

#: Conductance targets kept from chip to chip, at most [byte]; beyond, they are unpacked anew.
_KEPT = 1 << 30

#: Time after programming [s] and non-idealities: what the cells of a chip depend on.
Variant = tuple[float, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Wafer:
    """What all chips of a program share.

    Attributes:
        program: The program.
        physics: What is modelled.
        device: Where it is computed.
        known: What the fault map says of its cells.
        measured: Conductances read back from one chip, by layer [uS]; None: they are modelled.
        unpacked: Conductance targets by layer, kept where chips differ [uS].
        wired: What is seen through wires where the cells of all chips are the same.
    """

    program: DeviceProgram
    physics: Physics
    device: torch.device
    known: KnownCells
    measured: Measured | None = None
    unpacked: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    wired: dict[Variant, Solved] = field(default_factory=dict)

    def targets(self, name: str) -> tuple[Tensor, ...]:
        """Return the conductance targets of each plane of a layer [uS]."""
        found = self.unpacked.get(name)
        if found is None:
            planes = self.program.layers[name].cells.planes
            found = targets_us(self.program.layers[name].cells, self.device)
            if all(one is other for one, other in zip(found, planes, strict=True)):
                return found  # nothing was unpacked: there is nothing to keep
            held = sum(_bytes(planes) for planes in self.unpacked.values())
            if self.physics.random and held + _bytes(found) <= _KEPT:
                self.unpacked[name] = found
        return found


def wafer_of(
    program: DeviceProgram,
    physics: Physics,
    device: torch.device,
    measured: Measured | None = None,
    known: KnownCells | None = None,
) -> Wafer:
    """Return what the chips of a program share.

    Args:
        program: The program.
        physics: What is modelled.
        device: Where it is computed.
        measured: Conductances read back from one chip, by layer [uS]; None: they are modelled.
        known: What its fault map says of its cells; None: it is worked out.

    Raises:
        ProgramError: CIMC-P60, CIMC-P61, the measured conductances do not cover the program.
    """
    read_back = None if measured is None else cells_of(program, measured, device)
    known = known_cells(program) if known is None else known
    return Wafer(program, physics, device, known, read_back)


def _bytes(planes: tuple[Tensor, ...]) -> int:
    return sum(plane.numel() * plane.element_size() for plane in planes)


class Crossbars:
    """One chip's crossbars while operations are bound to them.

    A layer is worked out when the first operation asks for it and forgotten after the last, so
    that a large network is never held twice.
    """

    def __init__(self, wafer: Wafer, seed: int) -> None:
        self._wafer, self._seed = wafer, seed
        self._uses = Counter(
            reference[1:]
            for operation in wafer.program.operations
            for reference in operation.inputs
            if reference is not None and reference.startswith("#")
        )
        self._held: dict[str, Matrices] = {}
        self._wired: dict[Variant, WiredArrays] = {}

    def matrices(self, name: str) -> Matrices:
        """Return what the bit lines of a layer see; called once a use."""
        seen = self._held.pop(name, None) or self._work_out(name)
        self._uses[name] -= 1
        if self._uses[name] > 0:
            self._held[name] = seen
        return seen

    def _work_out(self, name: str) -> Matrices:
        layer, physics = self._wafer.program.layers[name], self._wafer.physics
        cells, planes = self._planes(name, physics)
        variances = through_wires(self._variances(layer, cells), cells, planes)
        seen = matrices(layer, planes, physics.target, variances)
        if physics.on("johnson"):
            seen = with_totals(seen, layer, cells)
        if physics.target.read.signed_inputs == "shift":
            seen = replace(seen, ideal_us=ideal_sums_us(self._ideal(name)))
        if self._wafer.measured is not None or not compensates(physics):
            return seen
        _, before = self._planes(name, after_programming(physics))
        return compensated(seen, factor_of(layer, before, planes, physics))

    def _ideal(self, name: str) -> Matrices:
        """Return what the bit lines of a layer would see with every cell at its target.

        Cells of the fault map are as it has them: the compiler knew.
        """
        wafer = self._wafer
        layer, stuck = wafer.program.layers[name], wafer.known.stuck.get(name, {})
        ideal = replace(wafer.physics, effects=frozenset())
        gains = wafer.known.gains_of(layer)
        targets = wafer.targets(name)
        planes = conductances_us(layer, targets, ideal, self._seed, stuck, gains=gains)
        return matrices(layer, planes, wafer.physics.target)

    def _planes(
        self, name: str, physics: Physics
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the conductances of each plane, and what it contributes to the currents [uS].

        They differ where wires resist.
        """
        if not physics.on("ir-drop"):
            cells = self._cells(name, physics)
            return cells, cells
        variant = physics.at_s, physics.effects
        if variant not in self._wired:
            wafer = self._wafer
            same = wafer.measured is not None or same_cells(physics)
            self._wired[variant] = WiredArrays(
                wafer.program,
                physics.target,
                lambda layer: self._cells(layer, physics),
                wafer.wired.setdefault(variant, {}) if same else None,
                lambda array: idle_us(physics, self._seed, array, wafer.device, wafer.known),
            )
        wired = self._wired[variant]
        return wired.planes(name), wired.effective(name)

    def _cells(self, name: str, physics: Physics) -> tuple[Tensor, ...]:
        """Return the conductances of each plane of a layer [uS]."""
        wafer = self._wafer
        layer = wafer.program.layers[name]
        return conductances_us(
            layer,
            wafer.targets(name),
            physics,
            self._seed,
            wafer.known.stuck.get(name, {}),
            None if wafer.measured is None else wafer.measured.get(name),
            wafer.known.gains_of(layer),
        )

    def _variances(
        self, layer: ProgramLayer, planes: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        """Return how each plane fluctuates from read to read [uS^2]; None: not at all."""
        found = [
            variance_us2(layer, number, plane, self._wafer.physics, self._seed)
            for number, plane in enumerate(planes)
        ]
        known = tuple(variance for variance in found if variance is not None)
        return known if len(known) == len(planes) else None

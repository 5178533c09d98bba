"""The conductance of every cell of a layer on one chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cimc.device.device_to_device import move_states
from cimc.device.states import look_up
from cimc.executor import ageing, writing
from cimc.executor.physics import Physics
from cimc.executor.site import Site
from cimc.ir.layer import Cells
from cimc.program.model import ProgramLayer

#: Changes conductances [uS] in place.
Effect = Callable[[Tensor, Site], Tensor]

_DEVICES: Final[tuple[tuple[str, Effect], ...]] = (("device-to-device", writing.vary),)
_BEFORE_FAULTS: Final[tuple[tuple[str, Effect], ...]] = (
    ("correlated", writing.vary_smoothly),
    ("relaxation", ageing.relax),
    ("drift", ageing.drift),
    ("stuck", ageing.stick_cells),
    ("lines", ageing.stick_lines),
)
_AFTER_FAULTS: Final[tuple[tuple[str, Effect], ...]] = (
    ("lines", ageing.cut_lines),
    ("temperature", ageing.heat),
    ("telegraph", ageing.trap),
)


@dataclass(frozen=True, slots=True)
class StuckCells:
    """Cells of one plane that a fault map sticks.

    Attributes:
        index: Position in the flattened plane, int64 ``(n,)``.
        g_us: Their conductances, float32 ``(n,)`` [uS].
    """

    index: Tensor
    g_us: Tensor


@dataclass(frozen=True, slots=True)
class CellGains:
    """How the end states of the cells of one plane were measured to differ from the mean.

    Attributes:
        lrs: Factor of the highest state, float32 in the shape of the plane, 1 where nothing was
            measured [-]; None: not measured.
        hrs: The same of the lowest state.
        known: Where it was measured, bool in the shape of the plane; None: everywhere.
    """

    lrs: Tensor | None
    hrs: Tensor | None
    known: Tensor | None

    @property
    def bytes(self) -> int:
        """What it takes [byte]."""
        held = (t for t in (self.lrs, self.hrs, self.known) if t is not None)
        return sum(t.numel() * t.element_size() for t in held)


def targets_us(cells: Cells, device: torch.device) -> tuple[Tensor, ...]:
    """Return the conductance targets of each plane, float32 [uS]; float planes are not copied."""
    if cells.states_us is None:
        return tuple(plane.to(device) for plane in cells.planes)
    states = cells.states_us.to(device)
    return tuple(look_up(states, plane.to(device)) for plane in cells.planes)


def conductances_us(
    layer: ProgramLayer,
    targets: tuple[Tensor, ...],
    physics: Physics,
    seed: int,
    faults: Mapping[int, StuckCells],
    measured: tuple[Tensor, ...] | None = None,
    gains: Mapping[int, CellGains] | None = None,
) -> tuple[Tensor, ...]:
    """Return the conductances a chip has when it is read, one float32 tensor a plane [uS].

    What writing leaves, then what time, faults and temperature make of it: the effects in the
    order they stand in above, the fault map in between, as docs/numerics.md has it.

    Args:
        layer: Whose cells.
        targets: What the cells are programmed to; returned as they are where nothing changes.
        physics: What is modelled.
        seed: The chip.
        faults: Known stuck cells by plane.
        measured: Conductances read back from the chip, in place of all this [uS].
        gains: Measured end states by plane; such cells have no random ones.
    """
    if measured is not None:
        return measured
    planes = []
    for number, target in enumerate(targets):
        site = Site(layer, number, physics, seed)
        plane = writing.program(target, site) if physics.on("programming") else target
        plane = _with_devices(plane, site, target, (gains or {}).get(number))
        plane = _chain(_BEFORE_FAULTS, plane, site, target)
        if number in faults:
            plane = _with_faults(plane.clone() if plane is target else plane, faults[number])
        planes.append(_chain(_AFTER_FAULTS, plane, site, target))
    return tuple(planes)


def _chain(
    effects: Sequence[tuple[str, Effect]], plane: Tensor, site: Site, target: Tensor
) -> Tensor:
    """Apply the effects that are modelled, in place; the targets are copied first."""
    for name, effect in effects:
        if site.physics.on(name):
            plane = effect(plane.clone() if plane is target else plane, site)
    return plane


def _with_devices(plane: Tensor, site: Site, target: Tensor, gains: CellGains | None) -> Tensor:
    """Move the end states of cells: those measured as they were, the others at random."""
    if gains is None:
        return _chain(_DEVICES, plane, site, target)
    cell = site.physics.target.cell
    hrs, lrs = (None if f is None else f.to(plane.device) for f in (gains.hrs, gains.lrs))
    moved = move_states(plane.clone(), cell.g_min_us, cell.g_max_us, hrs, lrs)
    if gains.known is None:
        return moved
    known = gains.known.to(plane.device)
    return torch.where(known, moved, _chain(_DEVICES, plane, site, target))


def _with_faults(plane: Tensor, known: StuckCells) -> Tensor:
    plane = plane.contiguous()
    plane.view(-1)[known.index.to(plane.device)] = known.g_us.to(plane.device)
    return plane

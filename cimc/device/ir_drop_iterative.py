"""IR drop of many arrays and inputs at once by iteration; for cells with a curved I-V too.

Every sweep solves all word lines, bit lines held, and then all bit lines, word lines held:
ladders, which take one pass along the line.  Alone that is slow where wires resist much; here
a sweep is the preconditioner of conjugate gradients on the bit-line voltages.  Curved cells are
linearized around their voltages (Newton), and a step that would not bring the currents closer to
the curves is halved at once.  The circuit has one solution, since currents rise with voltages.

For linear cells :func:`cimc.device.ir_drop.transfer_us` is exact and usually faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.device.ir_drop import MICRO, Wires
from cimc.errors import ProgramError

#: I-V curve: current against voltage, as shares of their values at the read voltage.
Curve = Callable[[Tensor], Tensor]

#: Distance over which the slope of a curve is taken; steps need not be exact, results are.
_DISTANCE = 1e-5
_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Ladders:
    """Lines of one direction with given conductances to ground, ready to be solved.

    The line is the first axis: ``(nodes, ...)``, from its driven end on.
    """

    ohms: tuple[float, ...]
    ratios: tuple[Tensor, ...]

    @classmethod
    def of(cls, g: Tensor, segment_ohm: float, end_ohm: float) -> Ladders:
        """Work out lines of conductances [S] and segments [ohm]."""
        ohms = (segment_ohm + end_ohm, *[segment_ohm] * (len(g) - 1))
        looking, ratios = torch.zeros_like(g[0]), []
        for cell, ohm in zip(reversed(g.unbind(0)), reversed(ohms), strict=True):
            looking = cell + looking
            ratios.append(1.0 / (1.0 + ohm * looking))
            looking = looking * ratios[-1]
        return cls(ohms, tuple(reversed(ratios)))

    def solve(self, current: Tensor, end: Tensor | float = 0.0) -> Tensor:
        """Return the voltages of all nodes.

        Args:
            current: Into each node [A], ``(nodes, ...)``.
            end: Voltage of the driven end [V].
        """
        sums, behind = [], torch.zeros_like(current[0])
        for into, ratio in zip(reversed(current.unbind(0)), reversed(self.ratios), strict=True):
            sums.append(into + behind)
            behind = sums[-1] * ratio
        voltages: list[Tensor] = []
        last: Tensor | float = end
        for total, ohm, ratio in zip(reversed(sums), self.ohms, self.ratios, strict=True):
            last = (last + ohm * total) * ratio
            voltages.append(last)
        return torch.stack(voltages)


@dataclass(frozen=True, slots=True)
class _Solution:
    """Voltages of word and bit lines, what is missing of the currents, and the sweeps taken."""

    word: Tensor
    bit: Tensor
    missing: Tensor
    sweeps: int


@dataclass
class _Linear:
    """All arrays and inputs with cells ``I = g V + c``; axes: rows, columns, arrays, inputs."""

    g: Tensor
    c: Tensor
    v: Tensor
    wires: Wires

    def __post_init__(self) -> None:
        wires = self.wires
        by_column = self.g.transpose(0, 1).contiguous()
        self._word = Ladders.of(by_column, wires.word_line_ohm, wires.driver_ohm)
        self._bit = Ladders.of(self.g.flip(0), wires.bit_line_ohm, wires.sense_ohm)

    def words(self, w: Tensor) -> Tensor:
        """Return the voltages of word lines, those of the bit lines given."""
        return self._words(self.g * w - self.c, self.v)

    def _words(self, current: Tensor, v: Tensor | float) -> Tensor:
        return self._word.solve(current.transpose(0, 1).contiguous(), v).transpose(0, 1)

    def bits(self, current: Tensor) -> Tensor:
        """Return the voltages of bit lines, the currents into their nodes [A] given."""
        return self._bit.solve(current.flip(0)).flip(0)

    def solve(self, w: Tensor, tolerance: float, sweeps: int) -> _Solution:
        """Solve by conjugate gradients.

        Args:
            w: Bit-line voltages to start from.
            tolerance: Largest current that may be missing at a node, as a share of the largest
                in a bit line.
            sweeps: Most sweeps.
        """
        drawn = self.g * self.words(w) + self.c
        w = self.bits(drawn)
        u = self.words(w)
        residual = self.g * u + self.c - drawn
        scale = (self.g * u + self.c).sum(0).abs().amax(0).clamp(min=1e-30)
        z = self.bits(residual)
        direction, carried = z, residual
        power = (z * residual).sum((0, 1))
        done = 1
        while done < sweeps and bool((_worst(residual) > tolerance * scale).any()):
            image = carried - self.g * self._words(self.g * direction, 0.0)
            step = _share(power, (direction * image).sum((0, 1)))
            w = w + step * direction
            residual = residual - step * image
            z = self.bits(residual)
            before, power = power, (z * residual).sum((0, 1))
            keep = _share(power, before)
            direction, carried = z + keep * direction, residual + keep * carried
            done += 1
        return _Solution(self.words(w), w, _worst(residual) / scale, done)


def _worst(x: Tensor) -> Tensor:
    return x.abs().amax((0, 1))


def _share(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a / b``; 0 where there is nothing left to divide."""
    return torch.where(b > 0, a / torch.where(b > 0, b, torch.ones_like(b)), torch.zeros_like(a))


def currents_us(
    g_us: Tensor,
    u: Tensor,
    wires: Wires,
    curve: Curve | None = None,
    *,
    tolerance: float = 1e-10,
    sweeps: int = 500,
) -> Tensor:
    """Return the currents into the sense amplifiers of many arrays for many inputs.

    Args:
        g_us: Conductances, ``(arrays, rows, columns)`` [uS].
        u: Inputs, ``(arrays or 1, inputs, rows)``, as shares of the read voltage [-].
        wires: Resistances, any of them 0.
        curve: I-V curve, rising and odd, ``f(1) = 1``; None: linear.
        tolerance: Largest error of a node's current, as a share of the largest bit-line current.
        sweeps: Most sweeps over all lines.

    Returns:
        float64 ``(arrays, inputs, columns)`` [uS]: currents over the read voltage.

    Raises:
        ProgramError: CIMC-P63, the currents do not meet the tolerance in that many sweeps.
    """
    g = g_us.to(torch.float64).permute(1, 2, 0)[..., None] * MICRO
    v = u.to(torch.float64).permute(2, 0, 1)
    v = v.expand(len(v), g.shape[2], v.shape[2])
    if not g.numel() or not v.numel():
        return torch.zeros(g.shape[2], v.shape[2], g.shape[1], dtype=torch.float64)
    if curve is None:
        cells = _linear_cells(g, v, wires, tolerance, sweeps)
    else:
        cells = _curved_cells(g, v, wires, curve, tolerance, sweeps)
    return cells.sum(0).permute(1, 2, 0) / MICRO


def _linear_cells(g: Tensor, v: Tensor, wires: Wires, tolerance: float, sweeps: int) -> Tensor:
    """Return the current of every cell [A], for linear cells."""
    zero = torch.zeros((), dtype=g.dtype, device=g.device)
    circuit = _Linear(g, zero, v, wires)
    start = torch.zeros(*g.shape[:2], *v.shape[1:], dtype=g.dtype, device=g.device)
    found = circuit.solve(start, tolerance, sweeps)
    _require(found.missing, tolerance, found.sweeps)
    return g * (found.word - found.bit)


def _curved_cells(
    g: Tensor, v: Tensor, wires: Wires, curve: Curve, tolerance: float, sweeps: int
) -> Tensor:
    """Return the current of every cell [A]: Newton's method on the voltages across cells.

    State are currents J and the voltages V the wires leave of the inputs when cells draw them;
    both are linear in the step, so every step keeps Kirchhoff's laws.
    """
    across = v[:, None].expand(*g.shape[:2], *v.shape[1:])
    flow, w = torch.zeros_like(across), torch.zeros_like(across)
    error = flow - g * curve(across)
    done = 0
    while True:
        scale = flow.sum(0).abs().amax(0).clamp(min=1e-30)
        worst = _worst(error) / scale
        if bool((worst <= tolerance).all()):
            return flow
        if done >= sweeps:
            _require(worst, tolerance, done)
        slope = g * _slope(curve, across)
        circuit = _Linear(slope, g * curve(across) - slope * across, v, wires)
        found = circuit.solve(w, tolerance / 10, sweeps - done)
        w, done = found.bit, done + found.sweeps
        to = found.word - w
        target = slope * (to - across) + g * curve(across)
        step, error = _damped(g, curve, (flow, across), (target, to), error)
        flow, across = flow + step * (target - flow), across + step * (to - across)


def _slope(curve: Curve, x: Tensor) -> Tensor:
    return (curve(x + _DISTANCE) - curve(x - _DISTANCE)) / (2 * _DISTANCE)


def _damped(
    g: Tensor,
    curve: Curve,
    here: tuple[Tensor, Tensor],
    there: tuple[Tensor, Tensor],
    error: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return how far to go from here to there, for each array and input, and the error then.

    The error of Newton's direction falls at first, so some step is short enough.
    """
    before = error.square().sum((0, 1))
    step = torch.ones_like(before)
    for _ in range(_HALVINGS):
        flow = here[0] + step * (there[0] - here[0])
        across = here[1] + step * (there[1] - here[1])
        found = flow - g * curve(across)
        worse = ~(found.square().sum((0, 1)) <= (1.0 - 1e-4 * step) * before)
        worse &= before > 0
        if not bool(worse.any()):
            break
        step = torch.where(worse, step / 2, step)
    return step, found


def _require(worst: Tensor, tolerance: float, sweeps: int) -> None:
    """Require that all arrays have converged.

    Raises:
        ProgramError: CIMC-P63, some have not.
    """
    missed = ~(worst <= tolerance)
    if not bool(missed.any()):
        return
    arrays = int(missed.any(1).sum())
    raise ProgramError(
        "CIMC-P63",
        f"IR drop of {arrays} of {len(worst)} arrays is not solved after {sweeps} sweeps: "
        f"currents are off by up to {float(worst[missed].max()):.2g} of the largest",
        hint="more sweeps, or wires that resist less",
    )

"""Small layers with random faults, what the device model makes of them, and brute force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from cimc.executor.cells import conductances_us, targets_us
from cimc.executor.known_faults import known_cells
from cimc.executor.matrices import matrices, weight
from cimc.executor.physics import Physics
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Cells, Encoding
from cimc.program.model import DeviceProgram, FaultRecord, ProgramLayer
from cimc.program.positions import positions
from cimc.remap.options import CellFaults
from cimc.targets import Target, load_target

G_MIN, G_MAX = 2.0, 18.0
CPU = torch.device("cpu")
ENCODINGS: dict[str, Encoding] = {
    "pair": "differential-pair",
    "offset": "offset-column",
    "digital": "bit-sliced",
    "conductance": "bit-sliced",
    "signed": "signed",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A layer of 2 groups of 3 x 4 weights on arrays of its own."""

    kind: str
    cells: Cells
    faults: CellFaults
    target: Target
    levels: Tensor | None
    column_tile: Tensor

    @property
    def encoding(self) -> Encoding:
        return ENCODINGS[self.kind]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.cells.planes[0].shape)

    def table(self, column: int) -> Tensor:
        """States of the cells of a column of weights [uS]."""
        states = self.cells.states_us
        return states if states.ndim == 1 else states[column]


def device(kind: str) -> Target:
    """An encoding on cells of 2 to 18 uS that hold anything, without noise."""
    if kind == "signed":
        return load_target("ideal")
    changes: dict[str, object] = {
        "cell.g_min": f"{G_MIN} uS",
        "cell.g_max": f"{G_MAX} uS",
        "cell.states": "analog",
        "noise.programming": None,
        "noise.read": None,
        "sources": {},
        "encoding": ENCODINGS[kind],
    }
    if ENCODINGS[kind] == "bit-sliced":
        changes |= {"slices.count": 3, "slices.multipliers": kind, "cell.default_levels": 8}
    return load_target("rram").changed(changes)


def case(
    kind: str,
    seed: int,
    *,
    own_states: bool = False,
    gains: str = "none",
    rate: float = 0.3,
    even: bool = False,
    states: int = 4,
    slices: int = 3,
) -> Case:
    """Return a random layer.

    Args:
        kind: Key of ENCODINGS.
        seed: Of everything.
        own_states: Every column has states (multipliers) and a gain of its own.
        gains: ``none``, ``mild`` or ``wild`` (factors that may be negative).
        rate: Share of stuck cells; a third each at G_min, at G_max, anywhere.
        even: States in equal steps: many differences are the same.
        states: Of a cell, but for slices.
        slices: Of a weight.
    """
    draw = torch.Generator().manual_seed(seed)
    groups, rows, columns = 2, 3, 4
    count = groups * columns if own_states else 1
    sliced = ENCODINGS[kind] == "bit-sliced"
    if kind == "signed":
        cells = Cells((torch.randn(groups, rows, columns, generator=draw),), None, torch.ones(1))
    elif sliced:
        cells = _sliced(kind, count, slices, (groups, rows, columns), draw)
    else:
        cells = _plain(kind, count, states, even, (groups, rows, columns), draw)
    shapes = [p.shape for p in cells.planes]
    stuck = tuple(_stuck(shape, rate, draw) for shape in shapes)
    spread = {"none": 0.0, "mild": 0.2, "wild": 1.0}[gains]
    lrs, hrs = (
        tuple(1.0 + spread * torch.randn(shape, generator=draw) for shape in shapes)
        for _ in range(2)
    )
    faults = CellFaults(stuck) if gains == "none" else CellFaults(stuck, lrs, hrs)
    tile = torch.tensor([0, 0, 0, 1]) if kind == "offset" else torch.zeros(4, dtype=torch.int64)
    return Case(kind, cells, faults, device(kind), _levels(kind, cells), tile)


def _plain(
    kind: str, count: int, s: int, even: bool, shape: tuple[int, int, int], draw: torch.Generator
) -> Cells:
    """Random states; offset columns have one table whatever the gains."""
    inner = torch.rand(count if kind == "pair" else 1, s - 2, generator=draw)
    inner = torch.linspace(0, 1, s)[1:-1].expand_as(inner) if even else inner
    ends = torch.tensor([G_MIN, G_MAX]).expand(len(inner), 2)
    table = torch.cat([ends, G_MIN + (G_MAX - G_MIN) * inner], 1).sort(1).values
    if len(table) > 1:  # the compiler puts the lowest first, then one of each level as they come
        mix = torch.randperm(s - 1, generator=draw)
        table = torch.cat([table[:, :1], table[:, 1:][:, mix]], 1)
    groups, rows, _ = shape
    own = torch.randint(0, s, shape, generator=draw).to(torch.uint8)
    other = torch.randint(0, s, shape, generator=draw).to(torch.uint8)
    if kind == "offset":
        other = torch.full((groups, rows, 2), s // 2, dtype=torch.uint8)
    gain = torch.randn(count, generator=draw) if kind == "pair" else 0.1 + torch.rand(count)
    return Cells((own, other), table[0] if len(table) == 1 else table, gain)


def _sliced(
    kind: str, count: int, n: int, shape: tuple[int, int, int], draw: torch.Generator
) -> Cells:
    planes = tuple(torch.randint(0, 2, shape, generator=draw).to(torch.uint8) for _ in range(n))
    gain = 0.1 + torch.rand(count, generator=draw)
    correction = 10 * torch.randn(count, generator=draw)
    factor = torch.rand(count, n, generator=draw).sort(1).values
    if kind == "digital":
        factors = factor.T if count > 1 else factor[0]
        return Cells(planes, torch.tensor([G_MIN, G_MAX]), gain, factors.contiguous(), correction)
    on = G_MIN + (G_MAX - G_MIN) * factor
    table = torch.cat([torch.full((count, 1), G_MIN), on], 1)
    planes = tuple(p * (k + 1) for k, p in enumerate(planes))
    return Cells(planes, table[0] if count == 1 else table, gain, None, correction)


def _levels(kind: str, cells: Cells) -> Tensor | None:
    """The first, third, ... state against the lowest (the middle) with both signs."""
    if kind not in ("pair", "offset"):
        return None
    table = cells.states_us.reshape(-1, cells.states_us.shape[-1])[:, ::2]
    if kind == "pair":
        delta = torch.cat([table - table[:, :1], table[:, :1] - table[:, 1:]], 1)
    else:
        delta = table - cells.states_us[cells.planes[1].reshape(-1)[0].long()]
    levels = (delta * cells.gain[:, None]).sort(1).values
    return levels[0] if len(levels) == 1 else levels


def _stuck(shape: torch.Size, rate: float, draw: torch.Generator) -> Tensor:
    which = torch.rand(shape, generator=draw) / max(rate, 1e-9)
    somewhere = 20.0 * torch.rand(shape, generator=draw)
    out = torch.full(shape, torch.nan)
    out = torch.where(which < 1, somewhere, out)
    out = torch.where(which < 2 / 3, G_MAX, out)
    return torch.where(which < 1 / 3, G_MIN, out)


def program(case: Case, cells: Cells) -> DeviceProgram:
    """The layer with these cells, as a program for the chip with these faults."""
    groups, rows, columns = case.shape
    first = [0, 3] if case.kind == "offset" else [0]
    last = [*first[1:], columns]
    ranges = [(c, e - c) for c, e in zip(first, last, strict=True)]
    tiles = [(g, 0, 0, rows, c, n) for g in range(groups) for c, n in ranges]
    table = np.array([(*t, k, 1, 2) for k, t in enumerate(tiles)], np.int32)
    geometry = Geometry("conv", groups, rows, columns, (1,))
    layer = ProgramLayer(
        "w", "w", geometry, case.encoding, cells, table, np.array([[0, rows]], np.int32), ()
    )
    return DeviceProgram(
        (), (), (), (), {}, {"w": layer}, case.target.plain(), len(tiles), {},
        faults=record(layer, case.faults, len(tiles)),
    )  # fmt: skip


def record(layer: ProgramLayer, faults: CellFaults, arrays: int) -> FaultRecord:
    """The faults where the cells lie."""
    cells, conductances = [], []
    gains = [np.ones((arrays, 8, 24), np.float32) for _ in range(2)]
    for plane, place in enumerate(positions(layer)):
        at = (place.array, place.word_line, place.bit_line)
        stuck = faults.stuck_us[plane].numpy()
        hit = ~np.isnan(stuck)
        state = np.where(stuck == G_MIN, 1, np.where(stuck == G_MAX, 2, 3))
        state = np.full_like(state, 3) if layer.encoding == "signed" else state
        cells.append(np.stack([*(a[hit] for a in at), state[hit]], 1))
        conductances.append(np.where(state == 3, stuck, 0)[hit])
        for gain, given in zip(gains, (faults.gain_lrs, faults.gain_hrs), strict=True):
            if given is not None:
                gain[at] = given[plane].numpy()
    table = np.concatenate(cells).astype(np.int32)
    measured = np.arange(arrays, dtype=np.int32) if faults.has_gains else None
    lrs, hrs = gains if faults.has_gains else (None, None)
    return FaultRecord(
        "chip", table, np.concatenate(conductances).astype(np.float32), measured, lrs, hrs
    )


def ideal_weight(case: Case, cells: Cells) -> Tensor:
    """The weights the executor has in ideal mode, ``(groups, rows, columns)``."""
    made = program(case, cells)
    layer, known = made.layers["w"], known_cells(made)
    ideal = Physics(case.target, frozenset())
    planes = conductances_us(
        layer, targets_us(cells, CPU), ideal, 0, known.stuck.get("w", {}),
        gains=known.gains_of(layer),
    )  # fmt: skip
    return layer.geometry.to_matrix(weight(layer, matrices(layer, planes, case.target)))


def conductance(case: Case, plane: int, at: tuple[int, ...], programmed: float) -> float:
    """What one cell has, from the formula of DESIGN's device model [uS]."""
    stuck = float(case.faults.stuck_us[plane][at])
    if not np.isnan(stuck):
        return stuck
    lrs, hrs = (
        1.0 if g is None else float(g[plane][at])
        for g in (case.faults.gain_lrs, case.faults.gain_hrs)
    )
    s = (programmed - G_MIN) / (G_MAX - G_MIN)
    return max(programmed + (1 - s) * G_MIN * (hrs - 1) + s * G_MAX * (lrs - 1), 0.0)


def reachable(case: Case, at: tuple[int, int, int], *, bits: bool = False) -> np.ndarray:
    """All weights that the cells of one weight can make, one state after the other.

    Args:
        case: The layer.
        at: Group, row, column.
        bits: Slices hold the lowest state or that of their own multiplier only.
    """
    group, _, j = at
    column = group * case.shape[2] + j
    table = case.table(column).tolist()

    def pick(value: Tensor) -> float:
        return float(value[column] if value.numel() > 1 else value)

    gain = pick(case.cells.gain)
    if case.kind == "pair":
        each = [[conductance(case, k, at, g) for g in table] for k in range(2)]
        return np.array([gain * (a - b) for a, b in product(*each)])
    if case.kind == "offset":
        place = (at[0], at[1], int(case.column_tile[j]))
        held = table[int(case.cells.planes[1][place])]
        offset = conductance(case, 1, place, held)
        return np.array([gain * (conductance(case, 0, at, g) - offset) for g in table])
    n = len(case.cells.planes)
    factors = case.cells.multipliers
    m = [1.0 if factors is None else pick(factors[k]) for k in range(n)]
    own = [[table[0], table[-1 if case.kind == "digital" else k + 1]] for k in range(n)]
    each = [[conductance(case, k, at, g) for g in (own[k] if bits else table)] for k in range(n)]
    correction = pick(case.cells.correction_us)
    sums = [sum(f * g for f, g in zip(m, some, strict=True)) for some in product(*each)]
    return gain * (np.array(sums) + correction)


def without_offsets(case: Case) -> Case:
    """The same with all offset cells healthy."""
    own, shared = case.faults.stuck_us
    healthy = torch.full_like(shared, torch.nan)
    return replace(case, faults=replace(case.faults, stuck_us=(own, healthy)))

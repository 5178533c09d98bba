"""Draw the fault map of a chip that does not exist."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cimc.device.seeding import bit_generator
from cimc.errors import FaultMapError
from cimc.faults.extent import Extent, extent_of, target_of
from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MAX, AT_G_MIN, FaultMap
from cimc.faults.points import clustered, scattered
from cimc.faults.rates import Clusters, Distribution, Rates, Spread
from cimc.faults.validity import require_chip_id
from cimc.program.model import DeviceProgram
from cimc.targets import Target

#: Called with what is being done and the share done, 0..1.
Progress = Callable[[str, float], None]


def _silent(what: str, share: float) -> None:
    """Report no progress."""


def sample(
    of: Target | DeviceProgram,
    *,
    rate: float = 0.0,
    lrs_share: float = 0.5,
    conductance_share: float = 0.0,
    conductance_us: tuple[float, float] | None = None,
    spread: Spread = "uniform",
    clusters: Clusters | None = None,
    row_rate: float = 0.0,
    column_rate: float = 0.0,
    sigma_lrs: float = 0.0,
    sigma_hrs: float = 0.0,
    distribution: Distribution = "normal",
    seed: int = 0,
    chip: str | None = None,
    arrays: npt.NDArray[np.int32] | None = None,
    progress: Progress = _silent,
) -> FaultMap:
    """Draw the faults of one chip.

    Args:
        of: A target, for all arrays of a chip; or a program, for the arrays it uses.  An array
            has the same faults either way.
        rate: See :class:`cimc.faults.rates.Rates`, for this and all that follow.
        lrs_share: Of the faulty.
        conductance_share: Of the faulty.
        conductance_us: Range of conductances of their own [uS].
        spread: Over that range.
        clusters: How faulty cells lie together.
        row_rate: Of broken word lines.
        column_rate: Of broken bit lines.
        sigma_lrs: Of the factor of the highest state.
        sigma_hrs: Of the factor of the lowest state.
        distribution: Of the factors.
        seed: The chip: the same seed gives the same map.
        chip: Its id; None: ``chip-<seed>``.
        arrays: Only these arrays, ascending, int32 ``(k,)``: of a program those it does not use
            too, to which its tiles may be moved.
        progress: Told how far the work is.

    Raises:
        UsageError: ``CIMC-U02``, a value is out of range.
        FaultMapError: ``CIMC-F06`` the chip id is not one; ``CIMC-F08`` there is no such array;
            ``CIMC-F13`` the target does not
            limit its arrays; ``CIMC-F14`` its cells have no conductances.
    """
    rates = Rates(
        rate, lrs_share, conductance_share, conductance_us, spread, clusters, row_rate,
        column_rate, sigma_lrs, sigma_hrs, distribution,
    )  # fmt: skip
    return sample_rates(of, rates, seed=seed, chip=chip, arrays=arrays, progress=progress)


def sample_rates(
    of: Target | DeviceProgram,
    rates: Rates,
    *,
    seed: int = 0,
    chip: str | None = None,
    arrays: npt.NDArray[np.int32] | None = None,
    progress: Progress = _silent,
) -> FaultMap:
    """Draw the faults of one chip, see :func:`sample`."""
    rates.check()
    chip = f"chip-{seed}" if chip is None else chip
    require_chip_id(chip)
    target = target_of(of)
    require_conductances(target)
    extent = extent_of(of, arrays)
    sizes = list(
        zip(extent.arrays.tolist(), extent.rows.tolist(), extent.columns.tolist(), strict=True)
    )
    cells, values = [np.zeros((0, 4), np.int32)], [np.zeros(0, np.float32)]
    for done, (array, rows, columns) in enumerate(sizes):
        if done % 64 == 0:
            progress("arrays", done / len(sizes))
        found = _array(target, rates, seed, array, rows, columns)
        cells.append(found[0])
        values.append(found[1])
    gains = _gains(rates, seed, extent)
    progress("arrays", 1.0)
    return FaultMap(
        chip,
        target.name,
        extent.arrays,
        np.concatenate(cells),
        np.concatenate(values),
        gain_arrays=extent.arrays if any(g is not None for g in gains) else None,
        gain_lrs=gains[0],
        gain_hrs=gains[1],
        array_rows=target.array.rows,
        array_columns=target.array.columns,
    )


def require_conductances(target: Target) -> None:
    """Refuse targets that compute with signed weights.

    Raises:
        FaultMapError: ``CIMC-F14``.
    """
    if target.encoding == "signed":
        raise FaultMapError(
            "CIMC-F14",
            f"target '{target.name}' computes with signed weights, its cells have no conductances",
            hint="a target of analog cells",
        )


def _array(
    target: Target, rates: Rates, seed: int, array: int, rows: int, columns: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the faulty cells of one array, sorted, and their conductances."""

    # A stream for each kind: what one rate is does not change what the others draw.
    def stream(kind: str) -> np.random.Generator:
        return np.random.Generator(bit_generator(seed, "faults", kind, array))

    places, states, values = [], [], []

    def add(found: npt.NDArray[np.int64], rng: np.random.Generator, repeats: int = 1) -> None:
        count = len(found) // repeats
        state, g_us = _states(rng, count, target, rates)
        places.append(found)
        states.append(np.repeat(state, repeats))
        values.append(np.repeat(g_us, repeats))

    rng = stream("cells")
    add(scattered(rng, rows * columns, rates.single), rng)
    if rates.clusters is not None:
        rng = stream("clusters")
        add(clustered(rng, rows, columns, rates.clustered, rates.clusters), rng)
    rng = stream("rows")
    line = scattered(rng, rows, rates.row_rate)
    add((line[:, None] * columns + np.arange(columns)).reshape(-1), rng, max(columns, 1))
    rng = stream("columns")
    line = scattered(rng, columns, rates.column_rate)
    add((line[:, None] + columns * np.arange(rows)).reshape(-1), rng, max(rows, 1))
    place, state, g_us = np.concatenate(places), np.concatenate(states), np.concatenate(values)
    if len(places[-1]) or sum(len(found) > 0 for found in places) > 1:
        # Sorted, and the last of equal places: lines stand over what else there is.
        place, index = np.unique(place[::-1], return_index=True)
        state, g_us = state[::-1][index], g_us[::-1][index]
    cells = np.empty((len(place), 4), np.int32)
    cells[:, 0] = array
    cells[:, 1], cells[:, 2] = np.divmod(place, max(columns, 1))
    cells[:, 3] = state
    return cells, g_us


def _states(
    rng: np.random.Generator, count: int, target: Target, rates: Rates
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return states, int32 ``(count,)``, and conductances, float32 ``(count,)`` [uS]."""
    draw = rng.random(count)
    state = np.full(count, AT_G_MIN, np.int32)
    state[draw < rates.lrs_share + rates.conductance_share] = AT_CONDUCTANCE
    state[draw < rates.lrs_share] = AT_G_MAX
    g_us = np.zeros(count, np.float32)
    own = state == AT_CONDUCTANCE
    if own.any():
        low, high = rates.conductance_us or (target.cell.g_min_us, target.cell.g_max_us)
        share = rng.random(int(own.sum()))
        if rates.spread == "loguniform":
            g_us[own] = low * np.exp(share * math.log(high / low))
        else:
            g_us[own] = low + share * (high - low)
    return state, g_us


def _gains(
    rates: Rates, seed: int, extent: Extent
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
    """Return factors of the highest and of the lowest state, float32 ``(k, rows, columns)``."""
    shape = (
        len(extent.arrays),
        int(extent.rows.max(initial=0)),
        int(extent.columns.max(initial=0)),
    )
    out: list[npt.NDArray[np.float32] | None] = []
    for name in ("lrs", "hrs"):
        sigma = getattr(rates, f"sigma_{name}")
        if sigma == 0:
            out.append(None)
            continue
        gain = np.empty(shape, np.float32)
        for array, factors in zip(extent.arrays.tolist(), gain, strict=True):
            rng = np.random.Generator(bit_generator(seed, "faults", f"gain_{name}", array))
            rng.standard_normal(dtype=np.float32, out=factors)
            _to_factors(factors, sigma, rates.distribution)
        out.append(gain)
    return out[0], out[1]


def _to_factors(z: npt.NDArray[np.float32], sigma: float, distribution: Distribution) -> None:
    """Turn normal numbers into factors of mean 1 and deviation ``sigma``, in place."""
    if distribution == "normal":
        z *= sigma
        z += 1.0
        np.maximum(z, 0.0, out=z)
    else:
        variance = math.log1p(sigma * sigma)
        z *= math.sqrt(variance)
        z -= variance / 2.0
        np.exp(z, out=z)

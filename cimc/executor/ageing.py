"""What happens to cells after they are written: time, faults, temperature, traps.

Every effect takes conductances [uS] and a site, and changes them in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from torch import Tensor

from cimc.device import drift as power_law
from cimc.device import lines, relaxation, seeding, telegraph, thermal
from cimc.device.stuck import stick
from cimc.executor.physics import Physics
from cimc.executor.site import Site


def relax(g_us: Tensor, site: Site) -> Tensor:
    """Let cells lose retention up to the time of the read; see :mod:`cimc.device.relaxation`."""
    cell, loss = site.physics.target.cell, site.physics.target.noise.relaxation
    assert loss is not None
    passed = relaxation.decades(site.physics.at_s, loss.t0_s)
    if passed == 0.0:
        return g_us
    rest = cell.g_min_us if loss.rest_us is None else loss.rest_us
    sigma = loss.sigma_relative * (cell.g_max_us - cell.g_min_us)
    return relaxation.relax(g_us, rest, loss.rate, sigma, passed, site.stream("relaxation"))


def drift(g_us: Tensor, site: Site) -> Tensor:
    """Let cells drift up to the time of the read; see :mod:`cimc.device.drift`."""
    law = site.physics.target.noise.drift
    assert law is not None
    return power_law.drift(
        g_us,
        site.physics.at_s / law.t0_s,
        site.physics.target.cell.g_max_us,
        power_law.OfState(law.nu, law.nu_slope, law.nu_limits),
        power_law.OfState(law.nu_sigma, law.nu_sigma_slope, law.nu_sigma_limits),
        site.stream("drift"),
    )


def stick_cells(g_us: Tensor, site: Site) -> Tensor:
    """Stick cells at the target's rates; see :mod:`cimc.device.stuck`."""
    cell, stuck = site.physics.target.cell, site.physics.target.stuck
    assert stuck is not None
    rates = (stuck.at_g_min, stuck.at_g_max)
    return stick(g_us, *rates, cell.g_min_us, cell.g_max_us, site.stream("stuck"))


def stick_lines(g_us: Tensor, site: Site) -> Tensor:
    """Stick the cells on stuck lines; see :mod:`cimc.device.lines`."""
    for cells, word, bit in _hit(g_us, site, attrgetter("stuck")):
        lines.stick_lines(cells, word, bit, site.physics.target.cell.g_max_us)
    return g_us


def cut_lines(g_us: Tensor, site: Site) -> Tensor:
    """Take the cells on open lines out of the circuit; see :mod:`cimc.device.lines`."""
    for cells, word, bit in _hit(g_us, site, attrgetter("open")):
        lines.cut_lines(cells, word, bit)
    return g_us


def broken_lines(
    physics: Physics, seed: int, array: int, rows: int, columns: int
) -> tuple[lines.BrokenLines, lines.BrokenLines]:
    """Return the broken word lines and bit lines of an array of a chip, of so many."""
    rates = physics.target.lines
    assert rates is not None
    word, bit = (
        seeding.generator(seed, f"broken {kind} lines", array) for kind in ("word", "bit")
    )
    return (
        lines.broken_lines(rows, rates.open_word_line, rates.stuck_word_line, word),
        lines.broken_lines(columns, rates.open_bit_line, rates.stuck_bit_line, bit),
    )


def _hit(
    g_us: Tensor, site: Site, broken: Callable[[lines.BrokenLines], Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield views of the blocks that broken lines hit, and which of their lines those are."""
    arrays: dict[int, tuple[Tensor, Tensor]] = {}
    for block in site.blocks():
        if block.array not in arrays:
            size = site.array_size(block.array)
            word, bit = broken_lines(site.physics, site.seed, block.array, *size)
            arrays[block.array] = broken(word), broken(bit)
        word_lines, bit_lines = arrays[block.array]
        rows, columns = word_lines[block.word_lines], bit_lines[block.bit_lines]
        if bool(rows.any()) or bool(columns.any()):
            yield g_us[block.cells], rows.to(g_us.device), columns.to(g_us.device)


def heat(g_us: Tensor, site: Site) -> Tensor:
    """Bring cells to the temperature of the read; see :mod:`cimc.device.thermal`."""
    return heated(g_us, site.physics)


def heated(g_us: Tensor, physics: Physics) -> Tensor:
    """Return conductances at the temperature of the read [uS]."""
    cell, t = physics.target.cell, physics.target.noise.thermal
    assert t is not None
    metallic = thermal.metallic_factor(t.temperature_k, t.reference_k, t.tc_lrs_per_k)
    activated = thermal.activated_factor(t.temperature_k, t.reference_k, t.ea_hrs_ev)
    return thermal.at_temperature(g_us, cell.g_min_us, cell.g_max_us, metallic, activated)


def trap(g_us: Tensor, site: Site) -> Tensor:
    """Lower cells with a trap to their mean; see :mod:`cimc.device.telegraph`."""
    noise = site.physics.target.noise.read
    assert noise is not None
    assert noise.telegraph is not None
    noisy = noise.telegraph
    trapped = telegraph.traps(g_us.shape, noisy.cells, site.stream("telegraph"))
    return telegraph.lower_by_traps(g_us, trapped, noisy.amplitude, noisy.occupancy)

"""What writing does to a cell: programming noise and the variation of devices.

Every effect takes conductances [uS] and a site, and changes them in place.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor

from cimc.device import correlated, programming, seeding
from cimc.device.device_to_device import vary_states
from cimc.errors import ProgramError
from cimc.executor.site import Site
from cimc.program.positions import Block
from cimc.targets.noise_sections import Correlated, ProgrammingNoise
from cimc.targets.sections import Cell

#: Arrays of a wafer lie on a square grid with sides of so many.
WAFER_SIDE = 1024


def program(target_us: Tensor, site: Site) -> Tensor:
    """Return what programming leaves, new; see :mod:`cimc.device.programming`."""
    noise = site.physics.target.noise.programming
    assert noise is not None
    write = _write(noise, site.physics.target.cell, site.stream("programming"))
    if noise.verify is None:
        return write(target_us)
    verify = noise.verify
    return programming.verified(target_us, write, verify.tolerance_us, verify.iterations)


def _write(noise: ProgrammingNoise, cell: Cell, stream: torch.Generator) -> programming.Write:
    if noise.sigma_log is not None:
        return partial(programming.programmed_lognormal, sigma=noise.sigma_log, generator=stream)
    return partial(programming.programmed, spread=_spread(noise, cell), generator=stream)


def _spread(noise: ProgrammingNoise, cell: Cell) -> programming.Spread:
    if noise.polynomial is not None:
        return programming.polynomial_spread(noise.polynomial, cell.g_max_us)
    if noise.sigma_us is not None:
        return noise.sigma_us
    return (noise.sigma_relative or 0.0) * (cell.g_max_us - cell.g_min_us)


def vary(g_us: Tensor, site: Site) -> Tensor:
    """Move cells with their own end states; see :mod:`cimc.device.device_to_device`."""
    cell, spread = site.physics.target.cell, site.physics.target.noise.device_to_device
    assert spread is not None
    return vary_states(
        g_us,
        cell.g_min_us,
        cell.g_max_us,
        spread.sigma_hrs,
        spread.sigma_lrs,
        spread.distribution,
        site.stream("device-to-device"),
    )


def vary_smoothly(g_us: Tensor, site: Site) -> Tensor:
    """Multiply by ``1 + sigma f + sigma_wafer f_wafer``, never below 0.

    ``f`` is a smooth field over every physical array, the same for all cells on it; ``f_wafer`` is
    one over the arrays of the chip, see :mod:`cimc.device.correlated`.
    """
    spread = site.physics.target.noise.correlated
    assert spread is not None
    fields: dict[int, Tensor] = {}
    for block in site.blocks():
        factor = torch.ones(())
        if spread.wafer_sigma_relative > 0:
            factor = 1.0 + spread.wafer_sigma_relative * _on_wafer(block, spread, site)
        if spread.sigma_relative > 0:
            factor = factor + spread.sigma_relative * _on_array(block, spread, site, fields)
        g_us[block.cells].mul_(factor.clamp(min=0).to(g_us.device))
    return g_us


def _on_array(block: Block, spread: Correlated, site: Site, drawn: dict[int, Tensor]) -> Tensor:
    """Return the field of a block's array at its cells."""
    rows, columns = site.array_size(block.array)
    if block.array not in drawn:
        stream = site.of_array("correlated", block.array)
        drawn[block.array] = correlated.nodes(rows, columns, spread.length, stream)
    return correlated.field(
        correlated.factor(rows, spread.length)[block.word_lines],
        drawn[block.array],
        correlated.factor(columns, spread.length)[block.bit_lines],
    )


def _on_wafer(block: Block, spread: Correlated, site: Site) -> Tensor:
    """Return the field of the chip's part of the wafer at a block's array, ``(1, 1)``."""
    row, column = correlated.grid_place(block.array)
    if max(row, column) >= WAFER_SIDE:
        raise ProgramError(
            "CIMC-P62",
            f"array {block.array} lies outside the wafer of {WAFER_SIDE} x {WAFER_SIDE} arrays",
            where=f"layer '{site.layer.name}'",
            hint="a target with larger arrays, or without noise.correlated.wafer_sigma_relative",
        )
    factor = correlated.factor(WAFER_SIDE, spread.wafer_length)
    nodes = _wafer(site.seed, spread.wafer_length)
    return correlated.field(factor[row : row + 1], nodes, factor[column : column + 1])


@lru_cache(maxsize=2)
@torch.inference_mode(mode=False)
def _wafer(seed: int, length: float) -> Tensor:
    """Return the normals of the field that a chip's arrays share."""
    stream = seeding.generator(seed, "wafer")
    return correlated.nodes(WAFER_SIDE, WAFER_SIDE, length, stream)

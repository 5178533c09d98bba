"""One word line as a ladder of resistances, for any resistances, zero included.

A ladder is: driver, segment, node, segment, node, ...; a cell hangs on every node.  It is solved
with admittances looking away from the driver and impedances looking towards it, so that nothing is
divided by a resistance.  All arrays and word lines are worked out at once; the loops run along the
line.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attenuation(g: Tensor, segment_ohm: float, driver_ohm: float) -> Tensor:
    """Return the voltage at each cell of driven word lines, per volt of the driver.

    Args:
        g: Conductances to ground, ``(..., columns)`` [S].
        segment_ohm: From node to node [ohm].
        driver_ohm: Before the first segment [ohm].
    """
    ratios, looking = _away(g, segment_ohm)
    first = 1.0 / (1.0 + (segment_ohm + driver_ohm) * looking[..., :1])
    return torch.cumprod(torch.cat([first, ratios], -1), -1)


def row_admittance(g: Tensor, segment_ohm: float, driver_ohm: float) -> Tensor:
    """Return ``sum_i K_i``: what bit lines at voltages w send back into all word lines.

    ``K_i = (diag(1 / g_i) + R)^-1`` with ``R_jk = driver + segment (1 + min(j, k))``.

    Args:
        g: Conductances, ``(batch, rows, columns)`` [S].
        segment_ohm: From node to node [ohm].
        driver_ohm: Before the first segment [ohm].

    Returns:
        ``(batch, columns, columns)`` [S].
    """
    ratios, looking = _away(g, segment_ohm)
    impedance = _towards(g, segment_ohm, driver_ohm)
    own = impedance / (1.0 + looking * impedance)
    log = torch.nn.functional.pad(torch.cumsum(torch.log(ratios), -1), (1, 0))
    total = torch.diag_embed(g.sum(1))
    for row in range(g.shape[1]):
        path = log[:, row]
        falls = torch.exp(-(path[:, :, None] - path[:, None, :]).abs())
        here = torch.triu(own[:, row, :, None] * falls)
        green = here + torch.triu(here, 1).transpose(1, 2)
        total = total - g[:, row, :, None] * green * g[:, row, None, :]
    return total


def _away(g: Tensor, segment_ohm: float) -> tuple[Tensor, Tensor]:
    """Return, looking away from the driver: voltage ratios and admittances.

    Returns:
        Voltage of each node over that of the one before, from the second on, and the admittance of
        each node with all that follows it.
    """
    cells = g.unbind(-1)
    looking = [cells[-1]]
    ratios: list[Tensor] = []
    for cell in reversed(cells[:-1]):
        ratio = 1.0 / (1.0 + segment_ohm * looking[-1])
        ratios.append(ratio)
        looking.append(cell + looking[-1] * ratio)
    empty = g[..., :0]
    stacked = torch.stack(ratios[::-1], -1) if ratios else empty
    return stacked, torch.stack(looking[::-1], -1)


def _towards(g: Tensor, segment_ohm: float, driver_ohm: float) -> Tensor:
    """Return the impedance of the line before each node, the driver at 0 V."""
    cells = g.unbind(-1)
    impedance = [torch.full_like(cells[0], segment_ohm + driver_ohm)]
    for cell in cells[:-1]:
        last = impedance[-1]
        impedance.append(segment_ohm + last / (1.0 + cell * last))
    return torch.stack(impedance, -1)

"""The projection of weights on their quantized values, which says whether they have drifted."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from cimc.training import nearest

#: Projection on levels that are all zero, of weights that are not: fit again, whatever T.
_FAR: Final = math.inf
#: Products summed at a time: few enough for the cache.
_CHUNK: Final = 1 << 16


def projection(held: Tensor, matrix: Tensor, *, by_column: bool) -> Tensor:
    """Return ``|held * matrix|_1 / |held * held|_1``, float64 ``(1,)`` or ``(groups * columns,)``.

    Where all of ``held`` is zero: 1 where ``matrix`` is too, infinite where it is not.
    """
    if by_column:
        found = torch.linalg.vector_norm(held * matrix, 1, 1).reshape(-1).double()
        power = torch.linalg.vector_norm(held, 2, 1).reshape(-1).double().square()
    else:
        found = torch.zeros(1, dtype=torch.float64, device=held.device)
        power = found.clone()
        for a, b in zip(*chunks(held, matrix), strict=True):
            found += torch.linalg.vector_norm(a * b, 1)
            power += torch.dot(a, a)
    ratio: Tensor = found / power
    if bool(power.all()):
        return ratio
    size = matrix.abs().amax(1).reshape(-1) if by_column else matrix.abs().amax().reshape(1)
    return torch.where(power > 0, ratio, torch.where(size > 0, _FAR, 1.0).double())


def chunks(*matrices: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the chunks of each, flat, all in the memory order of the first."""
    turned = nearest.dense(matrices[0]).turned
    flat = [(m.mT if turned else m).reshape(-1) for m in matrices]
    return [torch.split(f, _CHUNK) for f in flat]

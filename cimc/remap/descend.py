"""Descent over reachable values, few correlated rows at a time; the output error never grows.

Rows whose inputs are alike are best changed together: a block of them is fixed anew by nearest
plane, all other rows as they are, and each column takes what is found where that is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.quantizers.feedback import DAMP, damped, permuted
from cimc.remap.feedback import BLOCK, lost
from cimc.remap.feedback_rows import Choices, Floats, Rows, rows_of
from cimc.remap.options_types import Options

#: Rows changed together; a divisor of BLOCK.
TOGETHER: Final = 8
#: How often the damping of moments that are not definite may grow tenfold.
_TRIES: Final = 8
#: Less than this share is gained by a change that rounding made.
_BETTER: Final = np.float32(1.0 - 1e-6)


def descend(
    wanted: Tensor,
    options: Options,
    h: Tensor,
    choice: Tensor,
    *,
    sweeps: int = 4,
    gain: float = 0.005,
) -> tuple[Tensor, Tensor]:
    """Improve choices, some rows after others.

    Two sweeps, forwards and backwards, with one choice of blocks; then another.

    Args:
        wanted: Weights, float32 ``(groups, rows, columns)``.
        options: What each can reach, of that shape.
        h: Damped second moments, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        choice: Where to start, as ``options`` returns it.
        sweeps: At most this many passes over all rows.
        gain: Stop when two sweeps lower the error by less than this share.

    Returns:
        Values, float32, and choices, ``(groups, rows, columns)`` each.
    """
    error = torch.inf
    for sweep in range(0, sweeps, 2):
        order = alike(h, sweep // 2)
        part = permuted(h, order[None].expand(len(h), -1))
        walk = _Walk.of(wanted[:, order], options[:, order], part, choice[:, order])
        error = min(error, walk.error())
        for backward in (False, True)[: sweeps - sweep]:
            walk.sweep(backward=backward)
        choice = walk.choice[:, torch.argsort(order)]
        after = walk.error()
        if after >= error * (1.0 - gain):
            break
        error = after
    return options.values(choice), choice


def alike(h: Tensor, number: int = 0) -> Tensor:
    """Return an order of rows in which each block of :data:`TOGETHER` is most correlated.

    As they come where groups have second moments of their own.

    Args:
        h: Second moments, ``(groups, rows, rows)``.
        number: Which of several such orders: blocks are gathered around the rows with the largest
            moments first, or the least, or as they come.
    """
    rows = h.shape[1]
    if len(h) > 1 or rows <= TOGETHER:
        return torch.arange(rows)
    a = h[0].numpy()
    scale = 1.0 / np.sqrt(np.maximum(a.diagonal(), 1e-30))
    free, order = np.ones(rows, dtype=bool), list[Choices]()
    size = a.diagonal() * (-1.0, 1.0, 0.0)[number % 3]
    for seed in np.argsort(size, kind="stable"):
        if free[seed]:
            likeness = np.where(free, np.abs(a[seed]) * scale, -1.0)
            count = min(TOGETHER, int(free.sum()))
            found = np.argpartition(-likeness, count - 1)[:count]
            free[found] = False
            order.append(found[np.argsort(-a.diagonal()[found], kind="stable")])
    return torch.from_numpy(np.concatenate(order))


@dataclass(frozen=True, slots=True)
class _Block:
    """Second moments of rows changed together, in the order they are visited.

    Attributes:
        first: The lowest of them.
        rows: Which.
        inverse: Of the moments, float32 ``(groups, n, n)``.
        factor: What each row makes good of those before it, lower triangular, ``(groups, n, n)``.
        weight: What the error of each then costs, ``(n, groups, 1)``.
    """

    first: int
    rows: slice
    inverse: Floats
    factor: Floats
    weight: Floats


def _blocks(h: Tensor) -> tuple[list[_Block], list[_Block]]:
    """Return the blocks of all rows, visited forwards and backwards."""
    count = h.shape[1]
    found: tuple[list[_Block], list[_Block]] = ([], [])
    whole = count - count % TOGETHER
    starts = torch.arange(0, whole, TOGETHER)
    lots = [(starts, TOGETHER)] if whole else []
    if count > whole:
        lots.append((torch.tensor([whole]), count - whole))
    for first, size in lots:
        index = first[:, None] + torch.arange(size)
        part = h[:, index[:, :, None], index[:, None, :]].double().transpose(0, 1)
        for blocks, backward in zip(found, (False, True), strict=True):
            moments = part.flip(2, 3) if backward else part
            blocks += _factored(moments, first.tolist(), size, backward=backward)
    return found


def _factored(moments: Tensor, first: list[int], size: int, *, backward: bool) -> list[_Block]:
    """Return blocks from their moments, ``(blocks, groups, size, size)`` as visited."""
    lower, upper = _factors(moments)
    inverse = torch.cholesky_inverse(lower).to(torch.float32).numpy()
    diagonal = upper.diagonal(dim1=2, dim2=3)
    factor = (upper / diagonal[..., None]).to(torch.float32).numpy()
    weight = diagonal.square().to(torch.float32).permute(0, 2, 1)[..., None].numpy()
    blocks = []
    for k, start in enumerate(first):
        rows = slice(start, start + size)
        if backward:
            rows = slice(start + size - 1, start - 1 if start else None, -1)
        blocks.append(_Block(start, rows, inverse[k], factor[k], weight[k]))
    return blocks


def _factors(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower factor of blocks, and the upper one that nearest plane begins with.

    Blocks that rounding left indefinite are damped: what lowers the error with larger moments
    lowers it with those there are all the more.

    Raises:
        UsageError: CIMC-U34, no damping makes them definite.
    """
    for attempt in range(_TRIES):
        lower, one = torch.linalg.cholesky_ex(moments)
        # The first visited stands last where nearest plane begins, at the end of the factor.
        upper, two = torch.linalg.cholesky_ex(moments.flip(2, 3), upper=True)
        failed = (one > 0) | (two > 0)
        if not bool(failed.any()):
            return lower, upper.flip(2, 3)
        more = damped(moments.flatten(0, 1), DAMP * 10.0 ** (attempt - 2)).reshape(moments.shape)
        moments = torch.where(failed[..., None, None], more, moments)
    raise UsageError("CIMC-U34", "second moments are not positive semidefinite")


@dataclass(slots=True)
class _Walk:
    """Weights on their way: rows in the order they are visited."""

    wanted: Tensor
    rows: Rows
    h: Tensor
    choice: Tensor
    value: Tensor
    pull: Tensor
    blocks: tuple[list[_Block], list[_Block]]

    @classmethod
    def of(cls, wanted: Tensor, options: Options, h: Tensor, choice: Tensor) -> _Walk:
        """Begin with these choices."""
        wanted, value = wanted.contiguous(), options.values(choice).contiguous()
        h = h.to(wanted.dtype).contiguous()
        pull, choice = h @ (wanted - value), choice.contiguous()
        return cls(wanted, rows_of(options), h, choice, value.clone(), pull, _blocks(h))

    def error(self) -> float:
        """Return the energy of what the outputs are off by."""
        return float(((self.wanted - self.value) * self.pull).sum())

    def sweep(self, *, backward: bool) -> None:
        """Visit all rows, those of a block forwards or backwards."""
        count, per = self.wanted.shape[1], BLOCK // TOGETHER
        h = self.h.expand(len(self.wanted), -1, -1)
        for number, start in enumerate(range(0, count, BLOCK)):
            lot = slice(start, min(start + BLOCK, count))
            before = self.value[:, lot].clone()
            for block in self.blocks[backward][number * per : (number + 1) * per]:
                moved = self._settle(block)
                if moved is not None:
                    rows = slice(block.first, block.first + moved.shape[1])
                    step = torch.from_numpy(moved[:, ::-1].copy() if backward else moved)
                    self.pull[:, lot].baddbmm_(h[:, lot, rows], step, alpha=-1.0)
            step = self.value[:, lot] - before
            for rest in (slice(0, lot.start), slice(lot.stop, count)):
                if rest.stop > rest.start:
                    self.pull[:, rest].baddbmm_(h[:, rest, lot], step, alpha=-1.0)

    def _settle(self, block: _Block) -> Floats | None:
        """Fix some rows anew, and return by how much they move; None: nothing moves."""
        value = self.value.numpy()[:, block.rows]
        pull = self.pull.numpy()[:, block.rows]
        choice = self.choice.numpy()[:, block.rows]
        away = np.matmul(block.inverse, pull)
        goal, new = value + away, np.empty_like(value)
        chosen, left = np.empty_like(choice), np.empty_like(value)
        cost = np.zeros_like(value[:, 0])
        row, step = block.rows.start, block.rows.step or 1
        for place in range(value.shape[1]):
            target = goal[:, place]
            if place:
                target = target + lost(block.factor[:, place, :place], left[:, :place])
            new[:, place], chosen[:, place] = self.rows.nearest(row + step * place, target)
            left[:, place] = goal[:, place] - new[:, place]
            cost += block.weight[place] * (target - new[:, place]) ** 2
        better = cost < (away * pull).sum(1) * _BETTER
        moved = np.where(better[:, None], new - value, np.float32(0))
        if not moved.any():
            return None
        np.copyto(value, new, where=better[:, None])
        np.copyto(choice, chosen, where=better[:, None])
        return moved

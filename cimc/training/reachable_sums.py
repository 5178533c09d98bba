"""Sums of multipliers on the cells of one chip, learned with them [NM Eq. 4, 11, 12]."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from cimc.device.slices import conductance_slices, digital_slices
from cimc.errors import UsageError
from cimc.ir.layer import Cells
from cimc.remap.options import Options, to_cells
from cimc.training.nearest_sums import MOST_SUMS, NearestSums
from cimc.training.reachable_levels import KnownCells, ReachableLevels, nearest_of
from cimc.training.recipe import Recipe


class ReachableSums(ReachableLevels):
    """Values ``<var * r, S> + c`` [NM Eq. 12] whose ``r`` and ``c`` are learned.

    ``S`` are the bits a weight's own cells can hold; ``var`` is the measured gain of each, of
    HRS cells too, which contribute multipliers of their own.  Multipliers keep their cells: they
    are not sorted, and never negative (as :class:`~cimc.training.sum_levels.SumLevels` would
    make them, which exchanges the cells of bits).

    Args:
        known: Bit slices and their faults.
        recipe: ``levels``: ``step`` learns a common factor of the multipliers as they are at the
            start, ``multipliers`` each of them.
        start: Weights at the start, float32 ``(groups, rows, columns)``.
    """

    size: Tensor
    ratios: Tensor

    def __init__(self, known: KnownCells, recipe: Recipe, start: Tensor) -> None:
        super().__init__(known, recipe, start)
        r, c = multipliers_of(known)
        size = torch.maximum(c.abs(), (c + r.sum(-1)).abs())
        size = torch.where(size > 0, size, 1.0)
        step = recipe.levels == "step"
        self.register_buffer("size", size)
        self.register_buffer("ratios", r / size[..., None] if step else torch.ones_like(r))
        factors = torch.ones_like(r[..., :1]) if step else r / size[..., None]
        self.multipliers = nn.Parameter(factors)
        self.offset = nn.Parameter(c / size)
        self._of: tuple[int, int] | None = None
        self._base: Cells | None = None
        self._nearest: dict[bool, NearestSums] = {}

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return ``r``, ``(n,)`` or ``(columns, n)``, and ``c``, an axis less."""
        return self.multipliers * self.ratios * self.size[..., None], self.offset * self.size

    def _sliced(self, r: Tensor, c: Tensor) -> Cells:
        """Return cells with such multipliers, differentiable in them."""
        had, target = self._known.cells(), self._known.target
        assert target.slices is not None
        low, high = target.cell.g_min_us, target.cell.g_max_us
        offset = c.reshape(-1)
        if target.slices.multipliers == "digital":
            factor, gain, correction = digital_slices(r, offset, low, high)
            return replace(had, gain=gain, multipliers=factor, correction_us=correction)
        on, gain, correction = conductance_slices(r, offset, low, high)
        states = torch.cat([torch.full_like(on[..., :1], low), on], -1).sort(-1).values
        return replace(had, states_us=states, gain=gain, correction_us=correction)

    def _refresh(self) -> None:
        """Forget what was worked out for other multipliers."""
        version = self.multipliers._version, self.offset._version
        if version != self._of:
            self._of, self._base = version, None
            self._chosen = self._healthy = None

    def base(self) -> Cells:
        """Return cells with the multipliers as they are."""
        self._refresh()
        if self._base is None:
            with torch.no_grad():
                r, c = self.sums()
                self._base = _on_cpu(self._sliced(r, c))
        return self._base

    def options(self) -> Options:
        """Return what each weight's cells can be programmed to."""
        self._refresh()
        return super().options()

    def healthy(self) -> Options:
        """Return the same with no cell stuck."""
        self._refresh()
        return super().healthy()

    def forward(self, matrix: Tensor) -> Tensor:
        """Return the weights to compute with; gradients go to multipliers and offset too.

        Those are times ``alpha``, as in LSQ, and at fixed bits.
        """
        if self.regularized and self.training:
            return matrix
        if not torch.is_grad_enabled():
            return self.quantized(matrix)
        value = self._value(matrix)
        slow = value * self.alpha + (value * (1.0 - self.alpha)).detach()
        return slow + (matrix - matrix.detach())

    def penalty(self, matrix: Tensor) -> Tensor:
        """Return the loss of [NM Eq. 11], differentiable in multipliers and offset too."""
        faults, slices = self._faults_now(), self._known.target.slices
        # Where stuck cells hold a share of their multiplier and nothing is measured, bits and
        # values are found without the cells.
        r, c = self.sums()
        entries = r.numel() // r.shape[-1] << 2 * r.shape[-1]
        digital = slices is not None and slices.multipliers == "digital"
        if faults.has_gains or not digital or entries > MOST_SUMS:
            return self._penalty(matrix, self._value(matrix))
        blind = self.training and self._blind
        if blind not in self._nearest:
            cell = self._known.target.cell
            stuck = tuple(s.to(matrix.device) for s in faults.stuck_us)
            self._nearest[blind] = NearestSums(stuck, cell.g_min_us, cell.g_max_us)
        return self._penalty(matrix, self._nearest[blind](matrix, r, c))

    def _value(self, matrix: Tensor) -> Tensor:
        """Return the nearest values, differentiable in multipliers and offset."""
        options = self._now()
        _, self._choice = nearest_of(options, matrix)
        held = to_cells(self.base(), options, self._choice)
        cells = replace(self._sliced(*self.sums()), planes=held.planes)
        return self._known.weights(cells, self._faults_now()).to(matrix.device)

    @torch.no_grad()
    def after_step(self, matrix: Tensor) -> Tensor | None:
        """Keep multipliers from becoming negative; nothing is fitted."""
        self.multipliers.clamp_(min=0.0)
        return None


def multipliers_of(known: KnownCells) -> tuple[Tensor, Tensor]:
    """Return ``r``, in the order of their cells, and ``c`` of bit-sliced cells [NM Eq. 4].

    Returns:
        float32 ``(n,)`` and ``()``, or ``(columns, n)`` and ``(columns,)``.

    Raises:
        UsageError: CIMC-U71, cells are no bit slices, or there are not as many states as
            multipliers.
    """
    layer, cells, cell = known.layer, known.cells(), known.target.cell
    if layer.encoding != "bit-sliced" or cells.correction_us is None:
        raise UsageError(
            "CIMC-U71",
            f"multipliers are to be learned, and cells are no bit slices ({layer.encoding})",
            where=f"layer '{layer.name}'",
            hint="levels: fixed",
        )
    span, count = cell.g_max_us - cell.g_min_us, len(cells.planes)
    low = float(torch.tensor(cell.g_min_us))
    gain, correction = cells.gain.double(), cells.correction_us.double()
    if cells.multipliers is not None:
        shares = cells.multipliers.double().movedim(0, -1)
        leak = shares.sum(-1) * low
    else:
        states = cells.states_us
        if states is None or states.shape[-1] != count + 1:
            raise UsageError(
                "CIMC-U71",
                f"the {count} multipliers cannot be told from the states of its cells",
                where=f"layer '{layer.name}'",
                hint="levels: fixed",
            )
        shares = (states[..., 1:].double() - low) / span
        leak = torch.tensor(count * low).double()
    columns = max(gain.numel(), shares.numel() // count, correction.numel())
    if columns == 1:
        gain, correction = gain.reshape(()), correction.reshape(())
        shares, leak = shares.reshape(count), leak.reshape(())
    r = (shares * (gain * span)[..., None]).expand((count,) if columns == 1 else (columns, count))
    return r.float().contiguous(), (gain * (correction + leak)).float()


def _on_cpu(cells: Cells) -> Cells:
    moved = {
        name: value.detach().cpu()
        for name in ("gain", "states_us", "multipliers", "correction_us")
        if (value := getattr(cells, name)) is not None
    }
    return replace(cells, **moved)

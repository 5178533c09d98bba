"""One read of a crossbar layer: drive, currents, fluctuations, conversion, digital sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.device.converters import adc_codes
from cimc.executor.converters import Driver, Scale, Sensor
from cimc.executor.fluctuation import Fluctuation
from cimc.executor.products import Product, Select, by_group
from cimc.executor.sums import add, weighted
from cimc.executor.workspace import Workspace
from cimc.ir.geometry import Geometry

#: Most numbers in the drives of all phases of a read at once: 16 MiB.
STACK = 1 << 22
#: Currents of all phases of vectors that are converted at once, where inputs have phases: they
#: stay in the second-level cache from the product to the digital sum.
CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class LaneRead:
    """The read of one lane of one row tile.

    Attributes:
        product: Drive to the currents of all bit lines; a new tensor.
        sensor: Their conversion.
        fluctuation: What is random in them; None: nothing.
        factor: What a code adds to the output, broadcast against it; in units of the output where
            the scale of inputs is fixed, otherwise in those of an input code.
    """

    product: Product
    sensor: Sensor
    fluctuation: Fluctuation | None
    factor: float | Tensor


@dataclass(frozen=True, slots=True)
class TileRead:
    """The read of one row tile.

    Attributes:
        select: The whole input to the part on the tile's word lines.
        lanes: Its lanes.
        total: Codes to their digital sum, one output a group; None where it is not needed.
    """

    select: Select
    lanes: tuple[LaneRead, ...]
    total: Product | None


@dataclass(frozen=True, slots=True)
class Read:
    """How one operation reads one layer of one chip.

    Attributes:
        geometry: How the weight lies.
        driver: Word-line drive.
        tiles: Each row tile.
        correction: What the digital sum of the codes adds to the output, as a lane's ``factor``.
        shift: What shifted inputs add to the output and is taken off, likewise; None: nothing.
        pad: Puts the padding of a convolution around an input, where padding is driven; None:
            word lines of padding are not driven.
        workspace: Where codes are put.
    """

    geometry: Geometry
    driver: Driver
    tiles: tuple[TileRead, ...]
    correction: float | Tensor
    shift: Tensor | None
    pad: Callable[[Tensor], Tensor] | None
    workspace: Workspace

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x`` times the weight, as the crossbars and converters give it.

        Args:
            x: Input in the layout of the operator.
            bias: Added digitally, broadcast against the output.

        Returns:
            A new tensor.
        """
        scale = self.driver.scale(x)
        x = x if self.pad is None else self.pad(x)
        at_once = self._samples_at_once(x)
        fixed = not isinstance(scale.unit, Tensor)
        if at_once >= len(x):
            total = self._samples(x, scale, bias if fixed else None)
        else:
            cuts = [slice(n, n + at_once) for n in range(0, len(x), at_once)]
            total = torch.cat([self._samples(x[cut], scale.part(cut), None) for cut in cuts])
            total = total if bias is None or not fixed else total.add_(bias)
        if self.shift is not None:
            total.sub_(self.shift)
        if fixed:
            return total
        total.mul_(scale.unit)
        return total if bias is None else total.add_(bias)

    def _samples_at_once(self, x: Tensor) -> int:
        """Return how many samples are read together, so that their phases take bounded memory."""
        stacked = x.ndim < len(self.geometry.stack) + 3  # the first axis may be one of matrices
        if self.driver.plain or not x.numel() or (self.geometry.stack and stacked):
            return max(1, len(x))
        return max(1, STACK // (len(self.driver.pulses.weights) * self._largest(x[0])))

    def _largest(self, x: Tensor) -> int:
        """Return about how many numbers one phase takes: inputs, or currents if they are more."""
        geometry = self.geometry
        inputs = geometry.rows // (geometry.taps if geometry.kind == "conv" else 1)
        return max(1, x.numel(), x.numel() * geometry.columns // max(1, inputs))

    def _samples(self, x: Tensor, scale: Scale, start: Tensor | None) -> Tensor:
        """Return the output of some samples, on top of ``start``."""
        kind = self.geometry.kind
        if kind == "conv":
            # A convolution wants its channels dense, so tiles are converted one by one.
            return self._convolution(x, scale, start)
        codes = self.driver.codes(x, scale, self.workspace)
        if self.driver.plain:
            return self._whole(codes, start, ours=codes is not x)
        if kind in ("matrix", "recurrent") and not self.geometry.stack:
            return self._vectors(codes, start)
        return self._phases(codes, start)

    def _convolution(self, x: Tensor, scale: Scale, start: Tensor | None) -> Tensor:
        total, fresh = start, False
        for tile in self.tiles:
            part = tile.select(x)
            codes = self.driver.codes(part, scale, self.workspace)
            total, fresh = self._digital(tile, codes, total, fresh)
            if self.driver.plain:
                ours = codes is not part
                total, fresh = self._read(tile, codes, None, total, fresh, ours), True
                continue
            for drive, weights in self._drives(codes):
                stack = drive.flatten(0, 1)
                total, fresh = self._read(tile, stack, weights, total, fresh, True), True
        assert total is not None, "a layer has at least one row tile"
        return total

    def _whole(self, codes: Tensor, start: Tensor | None, *, ours: bool) -> Tensor:
        """Return the output where codes drive the word lines as they are."""
        total, fresh = start, False
        for tile in self.tiles:
            part = tile.select(codes)
            total, fresh = self._digital(tile, part, total, fresh)
            total, fresh = self._read(tile, part, None, total, fresh, ours), True
        assert total is not None, "a layer has at least one row tile"
        return total

    def _phases(self, codes: Tensor, start: Tensor | None) -> Tensor:
        """Return the output of a read in phases, for whatever has an axis of samples or none."""
        missing = 0
        if self.geometry.kind != "conv-transpose":
            missing = max(0, len(self.geometry.stack) + 3 - codes.ndim)
            codes = codes.reshape(*[1] * missing, *codes.shape)
        total, fresh = start, False
        for tile in self.tiles:
            total, fresh = self._digital(tile, tile.select(codes), total, fresh)
        for drive, weights in self._drives(codes):
            stack = drive.flatten(0, 1)
            for tile in self.tiles:
                part = tile.select(stack)
                total, fresh = self._read(tile, part, weights, total, fresh, True), True
        assert total is not None, "a layer has at least one row tile"
        return total.squeeze(0) if missing else total

    def _drives(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the drives of phases, ``(phases, *codes.shape)``, and the weights of each."""
        weights = self.driver.pulses.weights
        size = max(1, STACK // self._largest(codes))
        for first in range(0, len(weights), size):
            some = weights[first : first + size]
            out = self.workspace.stack(len(some), codes, "phases")
            drive = self.driver.drive(codes, first, first + len(some), out)
            yield drive, torch.tensor(some, device=codes.device)

    def _vectors(self, codes: Tensor, start: Tensor | None) -> Tensor:
        """Return the output of vectors read in phases, a few vectors at a time.

        ``codes`` are ``(..., rows)``.  Drives are laid out so that all phases of a few vectors
        are one matrix.
        """
        flat = codes.reshape(-1, codes.shape[-1])
        weights = torch.tensor(self.driver.pulses.weights, device=codes.device)
        columns, count = self.geometry.columns, len(weights)
        few = max(1, CHUNK // (count * columns))
        out = flat.new_empty(len(flat), columns)
        for block in _blocks(len(flat), few, max(1, STACK // (count * flat.shape[1]))):
            inputs = flat[block].view(-1, min(few, block.stop - block.start), flat.shape[1])
            shape = (inputs.shape[0], count, *inputs.shape[1:])
            stack = self.workspace.flat(shape, flat.device, "phases")
            self.driver.drive(inputs, 0, count, stack.transpose(0, 1))
            for some, drive, total in zip(
                inputs, stack, out[block].view(*inputs.shape[:2], columns), strict=True
            ):
                self._chunk(some, drive.flatten(0, 1), weights, total)
        total = out.view(*codes.shape[:-1], columns)
        return total if start is None else total.add_(start)

    def _chunk(self, codes: Tensor, stack: Tensor, weights: Tensor, out: Tensor) -> None:
        total: Tensor | None = None
        for tile in self.tiles:
            total, _ = self._digital(tile, tile.select(codes), total, True)
            total = self._read(tile, tile.select(stack), weights, total, True, True)
        assert total is not None, "a layer has at least one row tile"
        out.copy_(total)

    def _read(
        self,
        tile: TileRead,
        drive: Tensor,
        weights: Tensor | None,
        total: Tensor | None,
        fresh: bool,
        ours: bool,
    ) -> Tensor:
        """Return the sum so far plus that of all lanes of one row tile.

        Args:
            tile: Which.
            drive: What its word lines are driven with; phases one after the other along the
                first axis.
            weights: Of the phases; None: one phase, of weight 1.
            total: The sum so far.
            fresh: Whether it may be overwritten.
            ours: Whether the drive may be.
        """
        squares: Tensor | None = None
        for lane in tile.lanes:
            current, sensor = lane.product(drive), lane.sensor
            if lane.fluctuation is not None:
                if lane.fluctuation.needs_drive and squares is None:
                    squares = self._squares(drive, overwrite=ours and len(tile.lanes) == 1)
                lane.fluctuation.add(current, squares)
            if sensor.bits is not None:
                adc_codes(
                    current, sensor.inv_lsb, sensor.bits,
                    signed=sensor.signed, offset=sensor.offset,
                )  # fmt: skip
            codes = current if weights is None else weighted(current, weights)
            total, fresh = add(total, codes, lane.factor, fresh=fresh), True
        assert total is not None, "a row tile has at least one lane"
        return total

    def _squares(self, drive: Tensor, *, overwrite: bool) -> Tensor:
        if overwrite:
            return drive.square_()
        return torch.square(drive, out=self.workspace.like(drive, "squares"))

    def _digital(
        self, tile: TileRead, codes: Tensor, total: Tensor | None, fresh: bool
    ) -> tuple[Tensor | None, bool]:
        """Return the sum so far plus what the digital sum of a tile's codes adds; and if new."""
        if tile.total is None:
            return total, fresh
        part = self._every_column(tile.total(codes)) * self.correction
        return (part if total is None else part.add_(total)), True

    def _every_column(self, sums: Tensor) -> Tensor:
        """Return one value a group, broadcast to all of its columns."""
        geometry = self.geometry
        if geometry.kind in ("conv", "conv-transpose"):
            shape = (-1, -1, geometry.columns, *sums.shape[2:])
            return by_group(sums, geometry.groups).expand(shape).flatten(1, 2)
        wide = list(sums.shape)
        wide[-2 if geometry.kind == "matrix-left" else -1] = geometry.columns
        return sums.expand(wide)


def _blocks(total: int, chunk: int, most: int) -> Iterator[slice]:
    """Yield ranges of whole chunks, at most about ``most`` long, then one of what is left."""
    whole = total // chunk * chunk
    size = max(chunk, most // chunk * chunk)
    for first in range(0, whole, size):
        yield slice(first, min(first + size, whole))
    if whole < total:
        yield slice(whole, total)

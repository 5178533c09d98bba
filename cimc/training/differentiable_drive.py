"""The word-line drive of a read, written so that gradients pass to the input.

The values are those of :class:`cimc.executor.converters.Driver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.device.drives import phases
from cimc.executor.converters import SMALLEST_FULL_SCALE, Driver, Scale
from cimc.executor.workspace import Workspace
from cimc.training.differentiable_rounding import Rounding, bits_of, converted


@dataclass(frozen=True, slots=True)
class LearnedDriver(Driver):
    """Word-line drive of one use, differentiable.

    Attributes:
        rounding: Derivative of the input converter, and of pulses of bits.
    """

    rounding: Rounding

    def scale(self, x: Tensor) -> Scale:
        """Return the scale of an input; a sample of zeros has full scale 1.

        Found at run time it depends on the input: on the largest magnitude of a sample.
        """
        if self.static is not None or x.numel() == 0:
            return Driver.scale(self, x)
        axes = [x.ndim - 1] if self.per_vector or x.ndim == 1 else list(range(1, x.ndim))
        full = torch.maximum(x.amax(axes, keepdim=True), -x.amin(axes, keepdim=True))
        full = torch.where(full < SMALLEST_FULL_SCALE, torch.ones_like(full), full)
        return Scale(self.q / full, full / self.q)

    def codes(self, x: Tensor, scale: Scale, workspace: Workspace) -> Tensor:
        """Return the codes of (a part of) an input, new, images channels-last."""
        exact = self.bits is None
        if exact and not isinstance(scale.codes, Tensor) and scale.codes == 1.0:
            return x
        scaled = x * scale.codes
        if scaled.ndim == 4:
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        if self.bits is None:
            return scaled
        return converted(scaled, self.bits, self.rounding, signed=self.signed)

    def driven(self, codes: Tensor, first: int, last: int) -> Tensor:
        """Return the drive of some phases of a read, in codes, through the I-V curve, new.

        Args:
            codes: Any shape.
            first: First phase.
            last: One past the last.

        Returns:
            Phases one after the other along the first axis, ``((last - first) * n, ...)``; images
            channels-last.
        """
        if self.pulses.bits:
            return self._bits(codes, first, last)
        drive = self._whole(codes, first, last)
        curve, largest = self.circuit.curve, self.pulses.largest
        return drive if curve is None else curve(drive / largest) * largest

    def _whole(self, codes: Tensor, first: int, last: int) -> Tensor:
        how = self.pulses
        if how.shift:
            return codes + how.shift
        if not how.split:
            return codes
        # A code of 0 belongs to the positive phase: its derivative counts once.
        positive = codes >= 0
        zero = torch.zeros((), dtype=codes.dtype, device=codes.device)
        both = (torch.where(positive, codes, zero), torch.where(positive, zero, -codes))
        return torch.cat(both[first:last])

    def _bits(self, codes: Tensor, first: int, last: int) -> Tensor:
        """Return pulses of single bits, see :func:`bits_of`.

        They have full height or none, so there is no I-V curve with them.
        """
        drive = phases(codes.detach(), self.pulses, first, last)
        values = _channels_last(drive.flatten(0, 1))
        if self.rounding == "zero" or not codes.requires_grad:
            return values
        slopes = _slopes(self.pulses.weights, self.pulses.bits)[first:last]
        slopes = slopes.to(codes).reshape(-1, *[1] * codes.ndim)
        if self.pulses.split:
            positive = codes.detach() >= 0
            phase = torch.arange(first, last, device=codes.device).reshape(slopes.shape)
            slopes = slopes * torch.where(phase < self.pulses.bits, positive, ~positive)
        return bits_of(codes, values, slopes)


def _slopes(weights: Sequence[float], bits: int) -> Tensor:
    """Return the derivative of the pulse of each phase by the code, float64 ``(phases,)``."""
    return torch.tensor(weights, dtype=torch.float64) / sum(w * w for w in weights[:bits])


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()

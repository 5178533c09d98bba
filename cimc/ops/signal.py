"""Fourier transforms, windows and mel filters; complex numbers are pairs in the last axis."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator


def dft(
    x: Tensor,
    dft_length: Tensor | None = None,
    axis: Tensor | None = None,
    *,
    inverse: bool = False,
    onesided: bool = False,
) -> Tensor:
    """Return the discrete Fourier transform along one axis.

    Args:
        x: Real ``(..., 1)`` or complex ``(..., 2)`` signal.
        dft_length: Length of the transform; the signal is cut or padded with zeros to it.
        axis: One integer; -2 by default.  Not the last axis.
        inverse: The inverse transform, divided by its length.
        onesided: Of a real signal only the first half of the result; with inverse, x is such a
            half and the result is real.

    Returns:
        Complex ``(..., 2)``, or real ``(..., 1)`` of an inverse from one side.
    """
    where = (-2 if axis is None else int(axis.reshape(-1)[0])) % x.ndim
    if where == x.ndim - 1:
        raise ModelError("CIMC-M38", "the last axis holds the parts of numbers", where="DFT")
    length = x.shape[where]
    if inverse and onesided:
        length = 2 * (length - 1)
    if dft_length is not None:
        length = int(dft_length.reshape(-1)[0])
    signal = x.float() if x.dtype.itemsize < 4 else x
    z = signal[..., 0] if x.shape[-1] == 1 else torch.view_as_complex(signal.contiguous())
    if inverse and onesided:
        return _fourier("irfft", z, length, where).unsqueeze(-1).to(x.dtype)
    y = _fourier("ifft" if inverse else "fft", z, length, where)
    if onesided:
        y = y.narrow(where, 0, length // 2 + 1)
    return torch.view_as_real(y).to(x.dtype)


def _fourier(name: str, z: Tensor, length: int, axis: int) -> Tensor:
    """Transform along an axis with numpy, whose rounding is that of ONNX's own reference.

    The coefficients that should be 0 are rounding noise; torch's noise is another.  It is used
    where gradients are wanted or the tensor is not in main memory.
    """
    if z.requires_grad or z.device.type != "cpu":
        transformed: Tensor = getattr(torch.fft, name)(z, n=length, dim=axis)
        return transformed
    return torch.from_numpy(getattr(np.fft, name)(z.numpy(), n=length, axis=axis))


def stft(
    x: Tensor,
    frame_step: Tensor,
    window: Tensor | None = None,
    frame_length: Tensor | None = None,
    *,
    onesided: bool = True,
) -> Tensor:
    """Return the Fourier transforms of overlapping frames.

    Args:
        x: Real ``(batch, samples, 1)`` or complex ``(batch, samples, 2)``, or without last axis.
        frame_step: Samples from frame to frame, one integer.
        window: Factors of the samples of a frame, ``(frame_length,)``.
        frame_length: Samples of a frame; the window's length, else all, by default.
        onesided: Only the first half of each transform.

    Returns:
        ``(batch, frames, bins, 2)``.
    """
    signal = x if x.ndim == 3 else x.unsqueeze(-1)
    step = int(frame_step.reshape(-1)[0])
    if frame_length is not None:
        length = int(frame_length.reshape(-1)[0])
    else:
        length = signal.shape[1] if window is None else window.shape[0]
    frames = signal.unfold(1, length, step).transpose(2, 3)  # (batch, frames, length, parts)
    if window is not None:
        frames = frames * window[:, None]
    return dft(frames, onesided=onesided).to(x.dtype)


def hann_window(
    size: Tensor, *, output_datatype: str = "float32", periodic: bool = True
) -> Tensor:
    """Return ``sin(pi n / N) ** 2``; N is the size, or size - 1 of a symmetric window."""
    return _window(size, (0.5, -0.5), output_datatype, periodic)


def hamming_window(
    size: Tensor, *, output_datatype: str = "float32", periodic: bool = True
) -> Tensor:
    """Return ``25/46 - 21/46 cos(2 pi n / N)``; see :func:`hann_window`."""
    return _window(size, (25 / 46, -21 / 46), output_datatype, periodic)


def blackman_window(
    size: Tensor, *, output_datatype: str = "float32", periodic: bool = True
) -> Tensor:
    """Return ``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``; see :func:`hann_window`."""
    return _window(size, (0.42, -0.5, 0.08), output_datatype, periodic)


def _window(size: Tensor, terms: tuple[float, ...], dtype: str, periodic: bool) -> Tensor:
    """Return a sum of cosines of multiples of one turn."""
    count = int(size.reshape(-1)[0])
    turn = torch.arange(count, dtype=torch.float64, device=size.device) * (2 * math.pi)
    turn = turn / max(count if periodic else count - 1, 1)
    y = torch.zeros_like(turn)
    for k, factor in enumerate(terms):
        y = y + factor * torch.cos(k * turn)
    return y.to(DTYPES[dtype])


def mel_weight_matrix(
    num_mel_bins: Tensor,
    dft_length: Tensor,
    sample_rate: Tensor,
    lower_edge_hertz: Tensor,
    upper_edge_hertz: Tensor,
    *,
    output_datatype: str = "float32",
) -> Tensor:
    """Return triangular filters from spectrum to mel bins, ``(dft_length / 2 + 1, mel)``."""
    bins, length = int(num_mel_bins.reshape(-1)[0]), int(dft_length.reshape(-1)[0])
    low, high = (
        2595 * math.log10(1 + float(f) / 700) for f in (lower_edge_hertz, upper_edge_hertz)
    )
    mel = torch.arange(bins + 2, dtype=torch.float64) * ((high - low) / (bins + 2)) + low
    hertz = 700 * (10 ** (mel / 2595) - 1)
    edges = torch.floor((length + 1) * hertz / float(sample_rate))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    if bins and int(right.max()) > length // 2 + 1:
        raise ModelError(
            "CIMC-M38",
            f"the upper edge {float(upper_edge_hertz):g} Hz is above half the sample rate",
            where="MelWeightMatrix",
        )
    k = torch.arange(length // 2 + 1, dtype=torch.float64)[:, None]
    rising = torch.where(centre > left, (k - left) / (centre - left).clamp(min=1), 1.0)
    falling = (right - k) / (right - centre).clamp(min=1)
    y = torch.where((k >= left) & (k <= centre), rising, 0.0)
    y = torch.where((k >= centre) & (k < right), falling, y)
    return y.to(num_mel_bins.device, DTYPES[output_datatype])


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "dft": Operator("dft", dft, "DFT"),
    "stft": Operator("stft", stft, "STFT"),
    "hann_window": Operator("hann_window", hann_window, "HannWindow"),
    "hamming_window": Operator("hamming_window", hamming_window, "HammingWindow"),
    "blackman_window": Operator("blackman_window", blackman_window, "BlackmanWindow"),
    "mel_weight_matrix": Operator("mel_weight_matrix", mel_weight_matrix, "MelWeightMatrix"),
}

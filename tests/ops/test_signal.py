"""Fourier transforms, windows and mel filters against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.signal import dft, mel_weight_matrix
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("length", [9, 10])
@pytest.mark.parametrize("inverse", [0, 1])
def test_dft(parts, length, inverse):
    given = {"x": normal(2, length, parts)}
    agree("DFT", given, opset=17, axis=1, inverse=inverse, atol=1e-4)
    if parts == 1 and not inverse:
        agree("DFT", given, opset=17, axis=1, onesided=1, atol=1e-4)


@pytest.mark.parametrize("length", [6, 12])
def test_dft_cut_or_padded(length):
    agree("DFT", {"x": normal(2, 9, 2), "l": np.array(length)}, opset=17, axis=1, atol=1e-4)


def test_dft_of_the_newest_opset():
    given = {"x": normal(2, 3, 8, 1), "l": None, "a": np.array(-2)}
    agree("DFT", given, opset=20, atol=1e-4)


def test_the_inverse_from_one_side():
    x = torch.randn(3, 8, 1)
    half = dft(x, axis=torch.tensor(1), onesided=True)
    assert half.shape == (3, 5, 2)
    torch.testing.assert_close(
        dft(half, axis=torch.tensor(1), onesided=True, inverse=True), x, atol=1e-5, rtol=1e-4
    )


def test_gradients_go_another_way_to_the_same_values():
    x = torch.randn(2, 8, 1)
    torch.testing.assert_close(dft(x.requires_grad_()), dft(x.detach()), atol=1e-5, rtol=1e-4)
    dft(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_axis_of_parts():
    with pytest.raises(ModelError):
        dft(torch.zeros(2, 4, 2), axis=torch.tensor(-1))


def test_stft():
    signal, step = normal(2, 128, 1), np.array(16)
    window = np.hanning(32).astype(np.float32)
    agree("STFT", {"x": signal, "s": step, "w": window}, opset=17, atol=1e-4)
    given = {"x": signal, "s": step, "w": None, "l": np.array(32)}
    agree("STFT", given, opset=17, atol=1e-4)


@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("name", ["HannWindow", "HammingWindow", "BlackmanWindow"])
def test_windows(name, periodic):
    agree(name, {"s": np.array(10)}, periodic=periodic)
    agree(name, {"s": np.array(9)}, periodic=periodic, output_datatype=11)


def test_mel():
    numbers = {"m": np.array(8), "n": np.array(64), "r": np.array(16000)}
    agree("MelWeightMatrix", {**numbers, "l": np.float32(20), "h": np.float32(7000)})


def test_mel_above_half_the_sample_rate():
    numbers = [torch.tensor(n) for n in (8, 64, 16000, 20.0, 12000.0)]
    with pytest.raises(ModelError, match="12000 Hz"):
        mel_weight_matrix(*numbers)

"""Resize against onnxruntime: every mode, every way to map coordinates, growing and shrinking."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.resize import resize
from tests.ops.differential import agree

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
SHAPES = [
    ((4, 6), (8, 12)),
    ((5, 7), (3, 11)),
    ((8, 9), (4, 3)),
    ((10, 3), (3, 7)),
    ((4, 4), (1, 1)),
]


def image(*spatial):
    return np.random.default_rng(0).normal(size=(1, 2, *spatial)).astype(np.float32)


def inputs(old, new, by):
    x = image(*old)
    if by == "sizes":
        sizes = np.array([1, 2, *new], np.int64)
        return {"x": x, "roi": None, "scales": None, "sizes": sizes}
    factors = [1, 1, *(n / o for n, o in zip(new, old, strict=True))]
    return {"x": x, "roi": None, "scales": np.array(factors, np.float32)}


@pytest.mark.parametrize("by", ["sizes", "scales"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest(mode, coordinates, by):
    # Places that fall exactly on a sample: the last bit of an intermediate decides what is floor.
    tied = mode == "floor" and coordinates == "half_pixel_symmetric"
    for old, new in SHAPES[:1] if tied else SHAPES:
        agree(
            "Resize",
            inputs(old, new, by),
            mode="nearest",
            nearest_mode=mode,
            coordinate_transformation_mode=coordinates,
        )


@pytest.mark.parametrize("by", ["sizes", "scales"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("antialias", [0, 1])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_filters(mode, antialias, coordinates, by):
    for old, new in SHAPES[:-1] if antialias else SHAPES:
        agree(
            "Resize",
            inputs(old, new, by),
            atol=1e-4,
            mode=mode,
            antialias=antialias,
            coordinate_transformation_mode=coordinates,
        )


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_aspect_ratio(policy):
    sizes = np.array([9, 5], np.int64)
    agree(
        "Resize",
        {"x": image(4, 6), "roi": None, "scales": None, "sizes": sizes},
        mode="linear",
        axes=[2, 3],
        keep_aspect_ratio_policy=policy,
    )


def test_excluded_outside_and_coefficient():
    agree(
        "Resize",
        inputs((5, 7), (9, 12), "sizes"),
        mode="cubic",
        cubic_coeff_a=-0.5,
        exclude_outside=1,
        atol=1e-4,
    )


def test_crop_and_resize():
    roi = np.array([0, 0, 0.1, 0.3, 1, 1, 0.8, 1.2], np.float32)
    sizes = np.array([1, 2, 6, 5], np.int64)
    agree(
        "Resize",
        {"x": image(7, 8), "roi": roi, "scales": None, "sizes": sizes},
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=-3.0,
        atol=1e-4,
    )


@pytest.mark.parametrize("scales", [(2.0, 3.0), (0.6, 1.5)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_opset_10(mode, scales):
    given = {"x": image(5, 6), "scales": np.array([1, 1, *scales], np.float32)}
    agree("Resize", given, opset=10, mode=mode)


@pytest.mark.parametrize("opset", [7, 9])
def test_upsample(opset):
    scales = [1.0, 1.0, 2.0, 1.5]
    if opset == 7:
        agree("Upsample", {"x": image(4, 6)}, opset=7, mode="nearest", scales=scales)
    else:
        given = {"x": image(4, 6), "scales": np.array(scales, np.float32)}
        agree("Upsample", given, opset=9, mode="linear")


def test_integers_are_rounded_and_clamped():
    x = torch.tensor([[[[0, 255, 255, 10]]]], dtype=torch.uint8)
    sizes = torch.tensor([1, 1, 1, 8])
    y = resize(x, None, None, sizes, mode="cubic")
    exact = resize(x.double(), None, None, sizes, mode="cubic")
    assert y.dtype == torch.uint8
    assert float(exact.max()) > 255
    assert float(exact.min()) < 0
    assert torch.equal(y, exact.round().clamp(0, 255).to(torch.uint8))


def test_gradients():
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    resize(x, None, None, torch.tensor([1, 1, 8, 8]), mode="linear").sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 4.0))


def test_an_empty_axis():
    y = resize(torch.zeros(0, 1, 4, 4), None, torch.tensor([1.0, 1.0, 2.0, 2.0]))
    assert y.shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    "attributes",
    [{"mode": "magic"}, {"coordinate_transformation_mode": "magic"}, {"nearest_mode": "magic"}],
)
def test_unknown_modes_are_refused(attributes):
    with pytest.raises(ModelError, match="magic"):
        resize(torch.zeros(1, 1, 2, 2), None, None, torch.tensor([1, 1, 3, 3]), **attributes)


def test_neither_scales_nor_sizes():
    with pytest.raises(ModelError):
        resize(torch.zeros(1, 1, 2, 2))

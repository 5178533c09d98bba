"""Operators that read images, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.sampling import grid_sample, roi_align
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def grid(*shape):
    """Places inside and outside of the image."""
    return DRAW.uniform(-1.6, 1.6, size=shape).astype(np.float32)


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample(mode, padding, align_corners):
    attributes = {"padding_mode": padding, "align_corners": align_corners}
    given = {"x": normal(2, 3, 4, 5), "g": grid(2, 5, 6, 2)}
    agree("GridSample", given, mode=mode, **attributes)
    old = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    agree("GridSample", given, opset=16, mode=old, **attributes)
    if mode != "cubic":
        given = {"x": normal(1, 2, 3, 4, 5), "g": grid(1, 3, 4, 5, 3)}
        agree("GridSample", given, mode=mode, **attributes)


@pytest.mark.parametrize("align_corners", [0, 1])
def test_affine_grid(align_corners):
    flat = {"t": normal(2, 2, 3), "s": np.array([2, 3, 4, 5])}
    agree("AffineGrid", flat, align_corners=align_corners)
    deep = {"t": normal(2, 3, 4), "s": np.array([2, 3, 4, 5, 6])}
    agree("AffineGrid", deep, align_corners=align_corners)


def rois():
    boxes = np.array([[0, 0, 5, 6], [1.5, 2, 7.2, 7], [-1, -2, 3, 3]], np.float32)
    return {"x": normal(2, 3, 8, 8), "r": boxes, "b": np.array([0, 1, 1])}


@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_align(mode, ratio, coordinates):
    agree(
        "RoiAlign",
        rois(),
        opset=16,
        mode=mode,
        sampling_ratio=ratio,
        output_height=3,
        output_width=2,
        spatial_scale=0.9,
        coordinate_transformation_mode=coordinates,
    )


def test_roi_align_before_half_pixels():
    agree("RoiAlign", rois(), opset=10, output_height=2, output_width=2, sampling_ratio=2)


def test_no_rois():
    y = roi_align(torch.zeros(1, 3, 4, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert y.shape == (0, 3, 1, 1)


def test_deform_conv():
    given = {
        "x": normal(1, 4, 6, 6),
        "w": normal(6, 2, 3, 3),
        "o": normal(1, 36, 6, 6),
        "b": normal(6),
        "m": np.abs(normal(1, 18, 6, 6)),
    }
    agree("DeformConv", given, opset=19, group=2, offset_group=2, pads=[1, 1, 1, 1])


def test_deform_conv_without_offsets_is_a_convolution():
    given = {"x": normal(2, 3, 7, 6), "w": normal(4, 3, 3, 2), "o": np.zeros((2, 12, 3, 5))}
    given["o"] = given["o"].astype(np.float32)
    agree("DeformConv", given, opset=19, strides=[2, 1])


def test_an_unknown_mode():
    with pytest.raises(ModelError, match="magic"):
        grid_sample(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 2), mode="magic")

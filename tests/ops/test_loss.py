"""Losses against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.loss import negative_log_likelihood_loss
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("ignore", [None, 1, -1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (2, 4, 3, 2)])
def test_losses(reduction, ignore, weighted, shape):
    target = DRAW.integers(0, 4, size=(shape[0], *shape[2:]))
    if ignore is not None and ignore < 0:
        target.reshape(-1)[0] = ignore
    given = {"x": normal(*shape), "t": target, "w": np.abs(normal(4)) if weighted else None}
    attributes = {"reduction": reduction}
    if ignore is not None:
        attributes["ignore_index"] = ignore
    agree("NegativeLogLikelihoodLoss", given, opset=13, **attributes)
    agree("SoftmaxCrossEntropyLoss", given, outputs=2, opset=13, **attributes)


def test_a_target_that_is_no_class():
    with pytest.raises(ModelError) as error:
        negative_log_likelihood_loss(torch.zeros(2, 3), torch.tensor([0, 3]))
    assert error.value.code == "CIMC-M39"

"""Which axis holds the classes, over the shapes networks have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from cimc.errors import ModelError
from cimc.training.scores import (
    Scores,
    are_log_probabilities,
    are_probabilities,
    check_classes,
    class_axis,
    fitting_axes,
)


@pytest.mark.parametrize(
    ("labels", "output", "axis"),
    [
        ((8,), (8, 10), 1),
        ((10,), (10, 10), 1),  # as many samples as classes
        ((8, 1), (8, 10), 1),
        ((8,), (8, 10, 1, 1), 1),
        ((8, 20), (8, 20, 65), 2),
        ((8, 20), (8, 65, 20), 1),
        ((8, 14, 12), (8, 21, 14, 12), 1),
        ((1,), (1, 2), 1),
    ],
)
def test_the_axis_is_the_one_labels_lack(
    labels: tuple[int, ...], output: tuple[int, ...], axis: int
) -> None:
    found = class_axis(np.zeros(labels), np.zeros(output), "y", samples_first=True)
    assert found == axis


@pytest.mark.parametrize(
    ("labels", "output"),
    [((8, 20), (8, 20, 20)), ((8,), (8, 1)), ((8, 3), (8, 10)), ((8,), (8,)), ((4,), (8, 10))],
)
def test_none_or_several_axes_are_refused(
    labels: tuple[int, ...], output: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError) as caught:
        class_axis(np.zeros(labels), np.zeros(output), "y", samples_first=True)
    assert caught.value.code == "CIMC-M96"
    assert "'y'" in caught.value.message


@given(st.lists(st.integers(2, 5), min_size=2, max_size=5), st.data())
def test_the_true_axis_is_always_among_those_that_fit(
    shape: list[int], data: st.DataObject
) -> None:
    axis = data.draw(st.integers(1, len(shape) - 1))
    labels = [d for i, d in enumerate(shape) if i != axis]
    assert axis in fitting_axes(labels, shape, samples_first=True)


def test_softmax_is_recognized_and_nothing_else_is() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(50, 7, generator=draw)
    softmax = torch.softmax(logits, 1)
    assert are_probabilities(softmax.numpy(), 1)
    assert are_probabilities(softmax.half().numpy(), 1)
    assert not are_probabilities(logits.numpy(), 1)
    assert not are_probabilities(torch.sigmoid(logits).numpy(), 1)
    assert not are_probabilities(np.ones((5, 1)), 1)
    assert are_log_probabilities(softmax.log().numpy(), 1)
    assert not are_log_probabilities(-logits.abs().numpy(), 1)


def test_probabilities_give_the_loss_and_gradient_of_their_logits() -> None:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(7, (50,), generator=draw)
    gradients = []
    for probabilities in (False, True):
        logits = (
            10 * torch.randn(50, 7, generator=torch.Generator().manual_seed(2))
        ).requires_grad_()
        output = torch.softmax(logits, 1) if probabilities else logits
        loss = functional.cross_entropy(Scores(1, probabilities).log(output), labels)
        loss.backward()
        assert logits.grad is not None
        gradients.append((loss.detach(), logits.grad))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_a_probability_of_zero_is_a_large_loss_and_no_nan() -> None:
    output = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = functional.cross_entropy(Scores(1, True).log(output), torch.tensor([0]))
    loss.backward()
    assert 80.0 < float(loss.detach()) < 100.0
    assert output.grad is not None
    assert bool(torch.isfinite(output.grad).all())


def test_labels_beyond_the_classes_are_refused_but_for_the_ignored_one() -> None:
    check_classes(np.array([0, 9, -100]), 10)
    for wrong in (10, -1):
        with pytest.raises(ModelError) as caught:
            check_classes(np.array([3, wrong]), 10)
        assert caught.value.code == "CIMC-M77"
        assert str(wrong) in caught.value.message

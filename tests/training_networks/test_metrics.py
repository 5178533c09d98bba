"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training_networks import boxes, metrics
from tests.training_networks.boxes import Found
from tests.training_networks.metrics import Array


def test_top1_is_the_share_of_right_answers() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 4.0]])
    assert metrics.top1(logits, np.array([1, 0, 0, 1])) == 0.5


def test_cross_entropy_by_hand_with_an_ignored_character() -> None:
    # p(right) = 3/4 and 1/4; the third character would cost log 2 if it counted.
    logits = np.log([[[3.0, 1.0], [3.0, 1.0], [1.0, 1.0]]])
    labels = np.array([[0, 1, metrics.IGNORED]])
    expected = -(np.log(3 / 4) + np.log(1 / 4)) / 2
    assert metrics.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-12)
    found = metrics.score("gpt", logits, labels)
    assert found["perplexity"] == pytest.approx(np.sqrt(16 / 3), rel=1e-12)
    assert found["top1"] == 0.5
    assert next(iter(found)) == metrics.HEADLINE["gpt"]


def test_mean_iou_by_hand() -> None:
    # Labels 0 0 1 1 2, answers 0 1 1 1 1: IoU 1/2, 2/4, 0/1; class 3 never occurs.
    labels, answers = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 1])
    counts = metrics.confusion(answers, labels, 4)
    assert counts[0].tolist() == [1, 1, 0, 0]
    assert metrics.mean_iou(counts) == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)


def test_segmentation_scores_pixels() -> None:
    logits = np.zeros((1, 2, 2, 2))
    logits[0, 1, 0] = 1  # the upper row answers 1
    found = metrics.score("segmentation", logits, np.array([[[1, 0], [0, 0]]]))
    assert found["pixels"] == 0.75
    assert found["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_iou_by_hand() -> None:
    unit = np.array([[0.0, 0.0, 4.0, 4.0]])
    others = np.array([[2.0, 0.0, 6.0, 4.0], [4.0, 4.0, 5.0, 5.0], [0.0, 0.0, 4.0, 4.0]])
    assert boxes.iou(unit, others)[0] == pytest.approx([8 / 24, 0, 1])


def test_average_precision_by_hand() -> None:
    # Right, wrong, right; a third box is never found: 1/3 at precision 1, 1/3 at 2/3.
    assert boxes.average_precision(np.array([1, 0, 1]), 3) == pytest.approx(1 / 3 + 2 / 9)
    # A later, better precision lifts the earlier one: wrong, right, right of two.
    assert boxes.average_precision(np.array([0, 1, 1]), 2) == pytest.approx(2 / 3)
    assert boxes.average_precision(np.array([]), 2) == 0


def _labels() -> Array:
    """Two images: a 1 and a 2; another 1."""
    labels = np.zeros((2, 3, 5), np.int64)
    labels[0, 0] = 1, 0, 0, 10, 10
    labels[0, 1] = 2, 20, 20, 40, 40
    labels[1, 0] = 1, 0, 0, 10, 10
    return labels


def test_map_by_hand() -> None:
    found = Found(
        image=np.array([0, 0, 1, 0]),
        kind=np.array([1, 1, 1, 2]),
        score=np.array([0.9, 0.8, 0.7, 0.6]),
        # The second finds again what the first has taken; the third overlaps 6/10 of its box;
        # the fourth overlaps 1/3 only.
        box=np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 6], [20, 20, 30, 40.0]]) * 1.0,
    )
    found.box[3, 2] = 20 + 20 / 3
    # Class 1: right, wrong, right of 2: 1/2 + 1/2 * 2/3 = 5/6; class 2: nothing right.
    assert boxes.mean_average_precision(found, _labels()) == pytest.approx(5 / 12)


def test_an_item_of_another_image_or_class_is_no_hit() -> None:
    found = Found(
        image=np.array([1, 0]),
        kind=np.array([2, 1]),
        score=np.array([0.9, 0.8]),
        box=np.array([[20, 20, 40, 40], [20, 20, 40, 40.0]]),
    )
    assert boxes.mean_average_precision(found, _labels()) == 0


def test_suppression_keeps_the_surer_of_a_class() -> None:
    corners = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [30, 30, 40, 40.0]])
    assert boxes.keep(corners, np.array([1, 1, 2, 1])).tolist() == [0, 2, 3]

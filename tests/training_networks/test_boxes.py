"""Targets and decoding of the detection network undo each other."""

from __future__ import annotations

import numpy as np
import torch

from tests.training_networks import boxes
from tests.training_networks.losses import LOSSES
from tests.training_networks.metrics import score


def labels() -> torch.Tensor:
    found = torch.zeros(2, 3, 5, dtype=torch.long)
    found[0, 0] = torch.tensor([3, 1, 2, 20, 27])
    found[0, 1] = torch.tensor([10, 30, 25, 54, 50])
    found[1, 0] = torch.tensor([1, 28, 0, 56, 28])
    return found


def perfect_output() -> torch.Tensor:
    """What a network that knows the labels would say."""
    classes, offsets = boxes.targets(labels())
    logits = torch.nn.functional.one_hot(classes, 11).float() * 20
    return torch.cat((logits, offsets), -1)


def test_the_cell_of_the_centre_answers() -> None:
    classes, offsets = boxes.targets(labels())
    # Centre (10.5, 14.5): column 1, row 1; 0.5 + (10.5 - 8 - 4) / 8 of a cell.
    assert classes[0, 1 * boxes.GRID + 1] == 3
    assert int((classes > 0).sum()) == 3
    assert float(offsets[0, 8, 0]) == (10.5 - 12) / 8
    assert torch.equal(offsets[classes == 0], torch.zeros_like(offsets[classes == 0]))


def test_perfect_answers_decode_to_the_labels() -> None:
    found = boxes.detections(perfect_output().numpy())
    truth = labels()[labels()[..., 0] > 0].numpy()
    order = np.lexsort((found.box[:, 0], found.image))
    np.testing.assert_allclose(found.box[order], truth[:, 1:], atol=1e-4)
    assert found.kind[order].tolist() == truth[:, 0].tolist()
    assert score("detection", perfect_output().numpy(), labels().numpy()) == {"map50": 1.0}


def test_perfect_answers_cost_nothing_and_others_more() -> None:
    loss = LOSSES["detection"]
    perfect = perfect_output()
    assert float(loss({"output": perfect}, labels())) < 1e-4
    moved = perfect.clone()
    moved[0, 8, -4] += 0.5  # smooth L1: 0.5 * 0.25, over three items
    assert abs(float(loss({"output": moved}, labels())) - 0.125 / 3) < 1e-4

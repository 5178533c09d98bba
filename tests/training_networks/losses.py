"""Losses of the tasks, callable as :data:`cimc.training.settings.UserLoss`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

from tests.training_networks.boxes import targets
from tests.training_networks.networks import OUTPUT, Task

Loss = Callable[[Mapping[str, Tensor], Tensor | None], Tensor]


def classes_first(outputs: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
    """Cross-entropy of ``(n, classes)`` or ``(n, classes, h, w)``."""
    assert labels is not None
    return F.cross_entropy(outputs[OUTPUT], labels)


def classes_last(outputs: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
    """Cross-entropy of ``(n, length, classes)``; labels -100 do not count."""
    assert labels is not None
    return F.cross_entropy(outputs[OUTPUT].flatten(0, 1), labels.flatten(), ignore_index=-100)


def boxes_and_classes(outputs: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
    """Cross-entropy of every cell and smooth L1 of the boxes of items, for each item."""
    assert labels is not None
    output = outputs[OUTPUT]
    classes, offsets = targets(labels)
    items = classes > 0
    entropy = F.cross_entropy(output[..., :-4].flatten(0, 1), classes.flatten(), reduction="sum")
    distance = F.smooth_l1_loss(output[..., -4:][items], offsets[items], reduction="sum")
    return (entropy + distance) / items.sum().clamp(min=1)


LOSSES: dict[Task, Loss] = {
    "fashion": classes_first,
    "cifar10": classes_first,
    "segmentation": classes_first,
    "gpt": classes_last,
    "bert": classes_last,
    "detection": boxes_and_classes,
}

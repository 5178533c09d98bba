"""Losses of the tasks, callable as :data:`cimc.training.settings.UserLoss`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

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


LOSSES: dict[Task, Loss] = {
    "fashion": classes_first,
    "cifar10": classes_first,
    "segmentation": classes_first,
    "gpt": classes_last,
    "bert": classes_last,
}

"""Metrics of the tasks, from a network's output and the labels, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.training_networks.boxes import detections, mean_average_precision
from tests.training_networks.networks import Task

Array = npt.NDArray[Any]
#: The label of what does not count.
IGNORED = -100
#: The metric a table shows of each task; all but the cross-entropy are better when higher.
HEADLINE: dict[Task, str] = {
    "fashion": "top1",
    "cifar10": "top1",
    "gpt": "nats",
    "bert": "nats",
    "segmentation": "miou",
    "detection": "map50",
}


def top1(logits: Array, labels: Array) -> float:
    """Share of samples whose largest logit, of ``(n, classes)``, is the label's [0, 1]."""
    return float(np.mean(logits.argmax(1) == labels))


def cross_entropy(logits: Array, labels: Array) -> float:
    """Mean of -log p(label) over ``(n, length, classes)`` [nat a character]; -100 is ignored."""
    counted = labels != IGNORED
    scores = logits[counted].astype(np.float64)
    peak = scores.max(1, keepdims=True)
    normal = peak[:, 0] + np.log(np.exp(scores - peak).sum(1))
    right = np.take_along_axis(scores, labels[counted][:, None], 1)[:, 0]
    return float(np.mean(normal - right))


def confusion(answers: Array, labels: Array, classes: int) -> npt.NDArray[np.int64]:
    """Count pixels by label (row) and answer (column)."""
    pairs = labels.ravel().astype(np.int64) * classes + answers.ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def mean_iou(counts: npt.NDArray[np.int64]) -> float:
    """Mean over the classes that occur of intersection over union [0, 1]."""
    hits = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    return float(np.mean(hits[union > 0] / union[union > 0]))


def score(task: Task, output: Array, labels: Array) -> dict[str, float]:
    """Return every metric of a task, by name; the one of :data:`HEADLINE` comes first.

    Args:
        task: Which.
        output: The network's, of all samples.
        labels: As :func:`tests.training_networks.data.task_data` gives them.
    """
    if task in ("fashion", "cifar10"):
        return {"top1": top1(output, labels)}
    if task in ("gpt", "bert"):
        counted = labels != IGNORED
        hits = output.argmax(-1)[counted] == labels[counted]
        nats = cross_entropy(output, labels)
        return {"nats": nats, "perplexity": float(np.exp(nats)), "top1": float(hits.mean())}
    if task == "segmentation":
        counts = confusion(output.argmax(1), labels, output.shape[1])
        return {"miou": mean_iou(counts), "pixels": float(np.diag(counts).sum() / counts.sum())}
    return {"map50": mean_average_precision(detections(output), labels)}

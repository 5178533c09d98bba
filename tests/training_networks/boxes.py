"""Boxes of the detection network: targets, decoding, suppression and mAP at an IoU of 0.5."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

#: Cells along a side of a scene, their side [pixels], the side of the prior box [pixels].
GRID, CELL, PRIOR = 7, 8, 24.0
#: Candidates below this probability are dropped; of two that overlap more, the less sure one.
CONFIDENT, OVERLAP = 0.05, 0.45


class Found(NamedTuple):
    """Detections of many images.

    Attributes:
        image: Index of the image ``(k,)``.
        kind: Class, from 1 ``(k,)``.
        score: Probability ``(k,)``.
        box: x0, y0, x1, y1 ``(k, 4)`` [pixels].
    """

    image: Array
    kind: Array
    score: Array
    box: Array


def targets(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the network should answer at each cell.

    The cell that holds an item's centre answers for it.

    Args:
        labels: ``(n, items, 5)`` as in :class:`tests.training_networks.scenes.Scenes`.

    Returns:
        Classes ``(n, cells)``, 0 where there is none, and offsets ``(n, cells, 4)``: centre from
        the cell's centre [cells], log of width and height relative to the prior.
    """
    kind, corners = labels[..., 0], labels[..., 1:].float()
    centre = (corners[..., :2] + corners[..., 2:]) / 2
    size = (corners[..., 2:] - corners[..., :2]).clamp(min=1)
    column_row = (centre / CELL).long().clamp(0, GRID - 1)
    cell = column_row[..., 1] * GRID + column_row[..., 0]
    shift = centre / CELL - column_row - 0.5
    offsets = torch.cat((shift, torch.log(size / PRIOR)), -1)
    # Rows that hold no item go to a cell past the last, which is cut off.
    cell = torch.where(kind > 0, cell, GRID * GRID)
    n = len(labels)
    classes = torch.zeros(n, GRID * GRID + 1, dtype=torch.long, device=labels.device)
    answers = torch.zeros(n, GRID * GRID + 1, 4, device=labels.device)
    classes.scatter_(1, cell, kind)
    answers.scatter_(1, cell[..., None].expand(-1, -1, 4), offsets)
    return classes[:, :-1], answers[:, :-1]


def decode(offsets: Array) -> Array:
    """Return boxes ``(n, cells, 4)`` [pixels] of offsets as :func:`targets` makes them."""
    rows, columns = np.divmod(np.arange(GRID * GRID), GRID)
    centre = (offsets[..., :2] + np.stack((columns, rows), 1) + 0.5) * CELL
    half = np.exp(np.clip(offsets[..., 2:], -4, 4)) * PRIOR / 2
    corners: Array = np.concatenate((centre - half, centre + half), -1)
    return corners


def iou(boxes: Array, others: Array) -> Array:
    """Return intersection over union ``(a, b)`` of boxes ``(a, 4)`` with others ``(b, 4)``."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    share: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def keep(boxes: Array, kinds: Array) -> Array:
    """Return indices of boxes ``(k, 4)``, surest first, that no surer one of the class covers."""
    overlap = iou(boxes, boxes) > OVERLAP
    kept: list[int] = []
    for k in range(len(boxes)):
        if not any(overlap[k, j] and kinds[k] == kinds[j] for j in kept):
            kept.append(k)
    return np.array(kept, np.int64)


def detections(output: Array) -> Found:
    """Return the detections in a network's output ``(n, cells, classes + 4)``.

    Each cell answers with its likeliest class that is not the background.
    """
    logits = output[..., :-4].astype(np.float64)
    share = np.exp(logits - logits.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    kind, score = share[..., 1:].argmax(-1) + 1, share[..., 1:].max(-1)
    corners = decode(output[..., -4:].astype(np.float64))
    parts = []
    for image in range(len(output)):
        cells = np.flatnonzero(score[image] >= CONFIDENT)
        cells = cells[np.argsort(-score[image, cells], kind="stable")]
        cells = cells[keep(corners[image, cells], kind[image, cells])]
        parts.append((np.full(len(cells), image), cells))
    where = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    return Found(where[0], kind[where], score[where], corners[where])


def average_precision(hits: Array, truths: int) -> float:
    """Return the area under precision over recall, precision made non-increasing [0, 1].

    Args:
        hits: Whether each detection, surest first, is right ``(k,)``.
        truths: Boxes there were to be found.
    """
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best[hits.astype(bool)]) / truths)


def mean_average_precision(found: Found, labels: Array, threshold: float = 0.5) -> float:
    """Return the mean over classes of the average precision [Everingham et al. 2010] [0, 1].

    A detection is right when its IoU with a box of its class, in its image, that no surer
    detection has taken is at least the threshold.

    Args:
        found: Detections.
        labels: ``(n, items, 5)`` as in :class:`tests.training_networks.scenes.Scenes`.
        threshold: Of the IoU.
    """
    results = []
    for kind in np.unique(labels[..., 0][labels[..., 0] > 0]):
        of_kind = np.flatnonzero(found.kind == kind)
        of_kind = of_kind[np.argsort(-found.score[of_kind], kind="stable")]
        taken = labels[..., 0] != kind
        hits = np.zeros(len(of_kind))
        for k, index in enumerate(of_kind):
            image = found.image[index]
            overlap = iou(found.box[index][None], labels[image, :, 1:].astype(np.float64))[0]
            overlap[taken[image]] = -1
            best = int(overlap.argmax())
            if overlap[best] >= threshold:
                hits[k], taken[image, best] = 1, True
        results.append(average_precision(hits, int(np.sum(labels[..., 0] == kind))))
    return float(np.mean(results))

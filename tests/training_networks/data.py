"""Data of each task as ``cimc`` takes it: arrays by input name, and ``labels``.

The splits are disjoint and always the same: ``train``, ``calibration`` (converter ranges),
``validation`` (choosing settings) and ``test`` (reported figures only).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from tests.training_networks import characters, images, scenes
from tests.training_networks.images import Split
from tests.training_networks.networks import INPUT, NETWORKS, Task

Arrays = dict[str, npt.NDArray[Any]]
SPLITS: tuple[Split, ...] = ("train", "calibration", "validation", "test")


def task_data(task: Task, split: Split, samples: int | None = None) -> Arrays:
    """Return ``{"input": ..., "labels": ...}`` of a task, the first ``samples`` or all.

    * ``fashion``: ``(n, 1, 28, 28)`` float32, labels ``(n,)``; ``cifar10``: ``(n, 3, 32, 32)``.
    * ``gpt``: ``(n, 64)`` int64, labels ``(n, 64)``: the character after each.
    * ``bert``: the same, some characters masked; labels -100 (ignored) where they are not.
    * ``segmentation``: ``(n, 1, 56, 56)``, labels ``(n, 56, 56)``: 0 background, 1 + item.
    * ``detection``: ``(n, 1, 56, 56)``, labels ``(n, 3, 5)``: class (0: no item) and
      ``x0, y0, x1, y1`` of each item [pixels].

    Raises:
        MissingError: The data cannot be had here.
    """
    if task in ("fashion", "cifar10"):
        read = images.fashion_images if task == "fashion" else images.cifar_images
        pixels, classes = read(split)
        return {INPUT: pixels[:samples], "labels": classes[:samples]}
    if task in ("gpt", "bert"):
        found, labels = (characters.causal if task == "gpt" else characters.masked)(split)
        return {INPUT: found[:samples], "labels": labels[:samples]}
    made = scenes.scenes(split)
    labels = made.classes if task == "segmentation" else made.boxes
    return {INPUT: made.images[:samples], "labels": labels[:samples]}


def network_data(name: str, split: Split, samples: int | None = None) -> Arrays:
    """Return the data of a network by its name, see :func:`task_data`."""
    return task_data(NETWORKS[name].task, split, samples)

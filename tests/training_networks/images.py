"""Classification data: Fashion-MNIST, and the user's own CIFAR-10 by path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from cimc.device.seeding import bit_generator
from tests.zoo.cache import MissingError
from tests.zoo.fashion import fashion

Split = Literal["train", "calibration", "validation", "test"]
Images = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]

#: Images of the published training set that are never trained on.
CALIBRATION, VALIDATION = 1000, 5000
#: Names the folder of CIFAR-10's *binary version*: ``data_batch_1.bin`` ... ``test_batch.bin``.
CIFAR_VARIABLE = "CIMC_CIFAR10"
#: Of CIFAR-10's training images by colour, pixels scaled to [0, 1].
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_RECORD = 1 + 3 * 32 * 32


def members(total: int, split: Split) -> npt.NDArray[np.int64]:
    """Return which of ``total`` published training images belong to a split, the same always.

    The splits ``train``, ``validation`` and ``calibration`` are disjoint and together all;
    ``test`` is the published test set and has none of them.
    """
    drawn = np.random.Generator(bit_generator(0, "training-networks", "splits"))
    order = drawn.permutation(total).astype(np.int64)
    cuts = {
        "calibration": order[:CALIBRATION],
        "validation": order[CALIBRATION : CALIBRATION + VALIDATION],
        "train": order[CALIBRATION + VALIDATION :],
    }
    return cuts.get(split, order[:0])


def fashion_images(split: Split) -> Images:
    """Return images ``(n, 1, 28, 28)``, normalized, and labels ``(n,)`` of Fashion-MNIST.

    Train has 54,000 images, validation 5,000, calibration 1,000, test 10,000.
    """
    if split == "test":
        return fashion("t10k")
    images, labels = fashion("train")
    chosen = members(len(images), split)
    return images[chosen], labels[chosen]


def read_cifar(paths: Sequence[Path]) -> Images:
    """Read files of CIFAR-10's binary version: records of a label byte and 3,072 pixels.

    Returns:
        Images ``(n, 3, 32, 32)``, normalized by colour, and labels ``(n,)``.

    Raises:
        ValueError: A file is not whole records, or a label is above 9.
    """
    parts = []
    for path in paths:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        if not content.size or content.size % _RECORD:
            raise ValueError(f"{path} has {content.size} bytes, not records of {_RECORD}")
        parts.append(content.reshape(-1, _RECORD))
    records = np.concatenate(parts)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise ValueError(f"label {labels.max()} in {paths[0].parent}: not CIFAR-10")
    scaled = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (CIFAR_MEAN, CIFAR_STD))
    return ((scaled - mean) / std).astype(np.float32), labels


def cifar_images(split: Split) -> Images:
    """Return images ``(n, 3, 32, 32)`` and labels ``(n,)`` of the user's CIFAR-10.

    Raises:
        MissingError: ``CIMC_CIFAR10`` does not name a directory with the binary version.
    """
    folder = Path(os.environ.get(CIFAR_VARIABLE, ""))
    names = ["test_batch.bin"] if split == "test" else [f"data_batch_{k}.bin" for k in range(1, 6)]
    paths = [folder / name for name in names]
    if not os.environ.get(CIFAR_VARIABLE) or not all(path.is_file() for path in paths):
        raise MissingError(f"no CIFAR-10: set {CIFAR_VARIABLE} to the folder of {names[0]}")
    images, labels = read_cifar(paths)
    if split == "test":
        return images, labels
    chosen = members(len(images), split)
    return images[chosen], labels[chosen]

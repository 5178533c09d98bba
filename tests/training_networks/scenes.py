"""Scenes for segmentation and detection: Fashion-MNIST items on cluttered backgrounds.

Composed from real images with a fixed seed: each scene is 56 x 56 pixels with one to three items
of 20 to 28 pixels, smooth background, noise, and bars that are no items.  Scenes of a split use
items of the same split of Fashion-MNIST only.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional as F

from cimc.device.seeding import bit_generator
from tests.training_networks.images import Split, fashion_images
from tests.zoo.cache import CACHE
from tests.zoo.fashion import MEAN, STD
from tests.zoo.fetch import place

Pixels = npt.NDArray[np.float32]

SIDE, ITEMS, CELL = 56, 3, 8
COUNTS: dict[Split, int] = {"train": 12000, "calibration": 500, "validation": 500, "test": 1000}
#: Pixels of an item this bright, and the holes among them, belong to it [0, 1].
THRESHOLD = 0.1


class Scenes(NamedTuple):
    """Scenes of one split.

    Attributes:
        images: ``(n, 1, 56, 56)``, about zero mean.
        classes: Of each pixel ``(n, 56, 56)``: 0 background, 1 + class of the item.
        boxes: ``(n, 3, 5)``: class as above (0: no such item), x0, y0, x1, y1 [pixels]; x1 and y1
            are past the last pixel.
    """

    images: Pixels
    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]


def resized(image: Pixels, side: int) -> Pixels:
    """Return a square image at another size, bilinear."""
    scaled = F.interpolate(torch.from_numpy(image)[None, None], (side, side), mode="bilinear")
    return scaled[0, 0].numpy()


def background(drawn: np.random.Generator) -> Pixels:
    """Return a smooth background ``(56, 56)`` in about [0, 0.4] with up to four bars."""
    coarse = drawn.uniform(0, 0.4, (5, 5)).astype(np.float32)
    canvas = resized(coarse, SIDE)
    for _ in range(drawn.integers(1, 5)):
        height, width = drawn.integers(2, 5), drawn.integers(8, 24)
        if drawn.random() < 0.5:
            height, width = width, height
        y, x = drawn.integers(0, SIDE - height), drawn.integers(0, SIDE - width)
        canvas[y : y + height, x : x + width] = drawn.uniform(0.2, 1.0)
    return canvas


def free_place(
    drawn: np.random.Generator, side: int, taken: list[tuple[int, int, int]]
) -> tuple[int, int] | None:
    """Return a corner (y, x) at which an item overlaps no other by much; None: not found."""
    for _ in range(20):
        y, x = (int(v) for v in drawn.integers(0, SIDE - side + 1, 2))
        apart = (
            max(abs(y + side / 2 - v - s / 2), abs(x + side / 2 - u - s / 2)) >= 0.4 * (side + s)
            for v, u, s in taken
        )
        if all(apart):
            return y, x
    return None


def compose(items: Pixels, labels: npt.NDArray[np.int64], drawn: np.random.Generator) -> Scenes:
    """Return one scene, without the axis of samples, of some of the items ``(n, 28, 28)``."""
    canvas, classes = background(drawn), np.zeros((SIDE, SIDE), np.int64)
    boxes, taken = np.zeros((ITEMS, 5), np.int64), list[tuple[int, int, int]]()
    for _ in range(int(drawn.integers(1, ITEMS + 1))):
        chosen, side = int(drawn.integers(len(items))), int(drawn.integers(20, 29))
        place_ = free_place(drawn, side, taken)
        item = resized(items[chosen], side)
        mask = ndimage.binary_fill_holes(item > THRESHOLD)
        if place_ is None or not mask.any():
            continue
        y, x = place_
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        window = np.s_[y : y + side, x : x + side]
        canvas[window][mask] = item[mask]
        classes[window][mask] = 1 + labels[chosen]
        edges = x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1
        boxes[len(taken)] = 1 + labels[chosen], *edges
        taken.append((y, x, side))
    noisy = canvas + drawn.normal(0, 0.03, canvas.shape)
    return Scenes(((noisy - MEAN) / STD).astype(np.float32), classes, boxes)


def make(split: Split, count: int) -> Scenes:
    """Compose the first scenes of a split."""
    images, labels = fashion_images(split)
    items = np.clip(images[:, 0] * np.float32(STD) + np.float32(MEAN), 0, 1)
    made = [
        compose(
            items,
            labels,
            np.random.Generator(bit_generator(k, "training-networks", "scene", split)),
        )
        for k in range(count)
    ]
    pixels, classes, boxes = (np.stack(part) for part in zip(*made, strict=True))
    return Scenes(pixels[:, None], classes, boxes)


def scenes(split: Split) -> Scenes:
    """Return all scenes of a split, composed once and then read from the cache."""
    path = CACHE / "training" / f"scenes-{split}.npz"
    if not path.is_file():
        made, buffer = make(split, COUNTS[split]), io.BytesIO()
        small = made.images, made.classes.astype(np.uint8), made.boxes.astype(np.uint8)
        np.savez(buffer, images=small[0], classes=small[1], boxes=small[2])
        place(buffer.getvalue(), path)
    with np.load(path) as file:
        return Scenes(
            file["images"], file["classes"].astype(np.int64), file["boxes"].astype(np.int64)
        )

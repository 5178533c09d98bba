"""Fashion-MNIST (MIT), 60,000 + 10,000 grey images of 28 x 28 in 10 classes.

The files are those of Debian's package ``dataset-fashion-mnist``.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tests.zoo.cache import MissingError

FOLDER = Path("/usr/share/datasets/fashion-mnist")
#: Mean and standard deviation of the training images, pixels scaled to [0, 1].
MEAN, STD = 0.2860, 0.3530


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes.

    Raises:
        MissingError: There is no such file; the message names the package.
    """
    if not path.is_file():
        raise MissingError(f"{path} is not there; run: apt-get install dataset-fashion-mnist")
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def fashion(
    part: Literal["train", "t10k"],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return images ``(n, 1, 28, 28)``, normalized, and labels ``(n,)``."""
    images = read_idx(FOLDER / f"{part}-images-idx3-ubyte.gz")
    labels = read_idx(FOLDER / f"{part}-labels-idx1-ubyte.gz")
    pixels = ((images.astype(np.float32) / 255 - MEAN) / STD)[:, None]
    return pixels.astype(np.float32), labels.astype(np.int64)

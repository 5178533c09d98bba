"""What a training run is given besides the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimc.training.recipe import Recipe
from cimc.verification.data import Data

#: Outputs by name, and the labels of the batch (None without): a scalar to minimize.
UserLoss = Callable[[Mapping[str, Tensor], Tensor | None], Tensor]
#: Inputs by name to the outputs of the float network by name.
Teacher = Callable[[Mapping[str, npt.NDArray[np.generic]]], Mapping[str, npt.NDArray[np.generic]]]


def _nothing(history: object) -> None:
    """Keep no record."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training run.

    Attributes:
        data: Training inputs, with labels or without.
        recipe: How.
        loss: In place of the recipe's; None: the recipe's.
        checkpoint: Directory of checkpoints; None: none are written.
        resume: Go on from the last checkpoint there, if there is one.
        device: torch device that trains.
        done: Given the history of the run when it ends.
    """

    data: Data
    recipe: Recipe = field(default_factory=Recipe)
    loss: UserLoss | None = None
    checkpoint: Path | None = None
    resume: bool = False
    device: str = "cpu"
    done: Callable[[Any], None] = _nothing

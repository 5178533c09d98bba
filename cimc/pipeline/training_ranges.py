"""What the numbers of the section ``training`` of a recipe may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """Values a number may have: from ``low`` (itself not, where ``open``) to ``high``; or 0."""

    low: float
    high: float = math.inf
    open: bool = False
    or_zero: bool = False

    def __contains__(self, value: float) -> bool:
        if self.or_zero and value == 0:
            return True
        above = value > self.low if self.open else value >= self.low
        return above and value <= self.high

    def __str__(self) -> str:
        low = f"above {self.low:.10g}" if self.open else f"from {self.low:.10g}"
        high = "" if math.isinf(self.high) else f" to {self.high:.10g}"
        return ("0, or " if self.or_zero else "") + low + high


_COUNT, _COUNT_OR_NONE = Range(1, _MOST), Range(0, _MOST)
_POSITIVE, _NOT_NEGATIVE = Range(0, open=True), Range(0)
_BITS = Range(2, 8, or_zero=True)

#: What numbers may be; every number of the recipe is here.
RANGES: Final[Mapping[str, Range]] = {
    "epochs": _COUNT,
    "batch": _COUNT,
    "learning_rate": _POSITIVE,
    "momentum": Range(0, 0.9999),
    "weight_decay": _NOT_NEGATIVE,
    "milestones": _COUNT,
    "gamma": Range(0, 1, open=True),
    "clip_norm": _NOT_NEGATIVE,
    "temperature": _POSITIVE,
    "layer_weight": _NOT_NEGATIVE,
    "delta": Range(0, 1),
    "warm_up_epochs": _COUNT_OR_NONE,
    "threshold": _NOT_NEGATIVE,
    "level_learning_rate": _NOT_NEGATIVE,
    "lambda_start": _POSITIVE,
    "lambda_end": _POSITIVE,
    "lambda_epochs": _COUNT_OR_NONE,
    "activation_bits": _BITS,
    "first_last_bits": _BITS,
    "refit_epochs": _COUNT_OR_NONE,
    "validation": Range(0, 0.9),
    "validation_chips": _COUNT,
    "checkpoint_steps": _COUNT_OR_NONE,
    "seed": _NOT_NEGATIVE,
    "faults.snap_every": _COUNT_OR_NONE,
    "faults.delta": _POSITIVE,
}

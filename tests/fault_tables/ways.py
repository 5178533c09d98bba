"""What is done about faults, from nothing to everything, as rows and columns of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fault_tables.jobs import Base, Faults, Job, Method, Mode

#: Nothing but what is said beside it.
NOTHING: Final[dict[str, Any]] = {
    "arrays": False, "rows": False, "columns": False, "polarity": False, "feedback": False,
    "descent": False, "retarget": False, "gain": False, "bias": False, "rounds": 1,
}  # fmt: skip
_CODEBOOK: Final[dict[str, Any]] = {"cells": "codebook"}


@dataclass(frozen=True, slots=True)
class Way:
    """One method.

    Attributes:
        said: What tables call it.
        method: Of recompiling.
        settings: Of recompiling.
        training: Section ``training`` of a recipe; None: no training.
        samples: Training samples [-].
    """

    said: str
    method: Method
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    samples: int = 0

    def jobs(
        self, base: Base, faults: Faults, seeds: tuple[int, ...],
        modes: tuple[Mode, ...] = ("ideal", "chip"),
    ) -> list[Job]:  # fmt: skip
        """Return one job a fault map."""
        return [
            Job(base, faults, self.method, self.settings, self.training, self.samples, modes, seed)
            for seed in seeds
        ]


#: Fault-aware training of the table of methods: at most 3 epochs.  The best epoch is kept, the
#: program before training included, so no chip gets worse; chosen on validation samples.
TRAINING: Final[dict[str, Any]] = {
    "epochs": 3,
    "batch": 64,
    "learning_rate": 6e-3,
    "rates": "relative",
    "loss": "distillation",
    "temperature": 2.0,
    "noise": "none",
    "validation": 0.05,
}
TRAINING_SAMPLES: Final = 20_000

#: By name; those of the issue's sketch use levels of the codebook, as it does.
WAYS: Final[dict[str, Way]] = {
    "ignore": Way("ignore the faults", "ignore"),
    "nearest": Way("nearest", "nearest", _CODEBOOK),
    "rows": Way("+ row permutation", "feedback", {**_CODEBOOK, **NOTHING, "rows": True}),
    "error-feedback": Way(
        "error feedback", "feedback", {**_CODEBOOK, **NOTHING, "feedback": True, "bias": True}
    ),
    "rows-error-feedback": Way(
        "row permutation + error feedback",
        "feedback",
        {**_CODEBOOK, **NOTHING, "rows": True, "feedback": True, "bias": True},
    ),
    "all": Way("all, no training", "feedback"),
    "training": Way("all + training", "feedback", {}, TRAINING, TRAINING_SAMPLES),
}

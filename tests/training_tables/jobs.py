"""What a fine-tuning of the tables is, and the store that keeps its result.

A result is kept under a hash of everything it depends on, so tables share fine-tunings, and a run
that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.job_store import store
from tests.zoo.cache import CACHE

FOLDER: Final = CACHE / "training" / "jobs"
#: Part of every key; raised when code changes what results are.
VERSION: Final = 1
#: Chips of an evaluation; they share the test samples out among themselves.
CHIPS: Final = 20
#: Fine-tunings of each cell of a table.
SEEDS: Final = (0, 1, 2)

Row = store.Row


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the trained network is scored.

    Attributes:
        name: In the result.
        changes: Of the target it was compiled for, by dotted path.
        mode: ``ideal``, ``noise-free`` and ``chip`` as the executor has them; ``tester``: chips
            whose conductances an independent tester drew, see :mod:`tests.end_to_end.tester`.
        spread_us: Standard deviation of a cell of the tester's chips [uS].
        samples: Test samples: the first ones; None: all [-].
        effects: Of a chip: only these non-idealities, as ``cimc.targets.compatibility.SWITCHES``
            names them; None: all.  Without any that differ from chip to chip one chip is run.
    """

    name: str
    changes: Mapping[str, object] = field(default_factory=dict)
    mode: Literal["ideal", "noise-free", "chip", "tester"] = "chip"
    spread_us: float = 0.0
    samples: int | None = None
    effects: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One compilation, with fine-tuning or without, and its evaluations.

    Attributes:
        network: Name in :mod:`tests.training_networks`.
        target: Shipped name, or a file of this folder.
        changes: Of the target, by dotted path.
        options: Of :func:`cimc.compile`: levels, quantizer, per_column, digital, ...
        training: Section ``training`` of the recipe, without the seed; None: not trained.  A
            ``delta`` of ``matched`` is replaced by the spread of the target's own cells.
        samples: Training samples: the first ones [-].
        scratch: Start from random weights, not from the float network's.
        evaluations: Of the result.
        seed: Of training, and which chips it is evaluated on.
        split: Samples it is scored on: ``validation`` to choose settings, ``test`` for figures.
    """

    network: str
    target: str
    changes: Mapping[str, object]
    options: Mapping[str, Any]
    training: Mapping[str, Any] | None
    samples: int
    evaluations: tuple[Evaluation, ...]
    scratch: bool = False
    seed: int = 0
    split: Literal["test", "validation"] = "test"

    @property
    def key(self) -> str:
        """Hash of all that the result depends on."""
        return store.key_of(self, VERSION)

    @property
    def chips(self) -> range:
        """Seeds of the chips it is evaluated on; training draws its own above 2**62."""
        return range(CHIPS * self.seed, CHIPS * (self.seed + 1))

    def __str__(self) -> str:
        """Return what a progress line says."""
        trained = "not trained"
        if self.training is not None:
            keys = ("noise", "delta", "quantization", "levels", "loss", "learning_rate")
            trained = " ".join(str(self.training[k]) for k in keys if k in self.training)
        given = " ".join(str(v) for k, v in self.options.items() if k in ("levels", "quantizer"))
        changed = " ".join(f"{k.rsplit('.', 1)[-1]}={v}" for k, v in self.changes.items())
        start = "scratch " if self.scratch else ""
        return f"{self.network} {start}[{given}] {trained} ({changed}) seed {self.seed}"


class Store(store.Store[Job]):
    """Results of fine-tunings."""

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(folder)

    def scores(self, jobs: Sequence[Job], evaluation: str) -> list[list[float] | None]:
        """Return the scores of the chips in one evaluation, of each job; None where missing."""
        rows = [self.get(job) for job in jobs]
        return [None if row is None else row["scores"].get(evaluation) for row in rows]

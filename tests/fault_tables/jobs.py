"""What a recompilation of the tables is, and where its result is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.job_store import store
from tests.zoo.cache import CACHE

FOLDER: Final = CACHE / "faults" / "jobs"
#: Part of every key; raised when code changes what results are.
VERSION: Final = 2
#: Chips (fault maps) of each cell of a table: the same for all its rows.
MAPS: Final = (0, 1, 2, 3, 4)

Method = Literal["ignore", "nearest", "feedback"]
Mode = Literal["ideal", "chip", "inputs"]
Row = store.Row


@dataclass(frozen=True, slots=True)
class Faults:
    """How the faults of a chip are drawn; every cell on its own unless said otherwise.

    Attributes:
        rate: Share of cells that are stuck [-].
        lrs_share: Of these, how many at G_max [-].
        clustered: Share of the stuck cells that lie in clusters [-].
        sigma_lrs: Spread of the gain of the highest state of each cell [-].
        sigma_hrs: The same of the lowest state.
    """

    rate: float = 0.0
    lrs_share: float = 0.5
    clustered: float = 0.0
    sigma_lrs: float = 0.0
    sigma_hrs: float = 0.0


@dataclass(frozen=True, slots=True)
class Base:
    """A program that is not yet for a chip.

    Attributes:
        network: Name in :mod:`tests.fault_tables.networks`.
        target: Shipped name.
        changes: Of the target, by dotted path.
        options: Of :func:`cimc.compile`: levels, quantizer, per_column, digital, ...
        training: Section ``training`` of the recipe; None: quantized with calibration data only.
        samples: Training samples: the first ones [-].
        seed: Of compilation and training.
    """

    network: str
    target: str
    options: Mapping[str, Any]
    changes: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    samples: int = 0
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of all that the program depends on."""
        return store.key_of(self, VERSION)


@dataclass(frozen=True, slots=True)
class Job:
    """One chip: its faults, what is done about them, and how it is scored.

    Attributes:
        base: The program.
        faults: Of the chip.
        method: ``ignore``: the program stays as it is.
        settings: Of :class:`cimc.remap.settings.RemapSettings`, without the method.
        training: Section ``training`` of a recipe, for training with the faults; None: none.
        samples: Training samples: the first ones [-].
        modes: Of scoring: ``ideal``: no converters, no noise; ``chip``: all the target describes;
            ``inputs``: DACs alone, as [NM] has quantized activations.
        seed: Of the fault map, of the chip in mode ``chip``, and of training.
    """

    base: Base
    faults: Faults
    method: Method
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    samples: int = 0
    modes: tuple[Mode, ...] = ("ideal", "chip")
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of all that the result depends on."""
        return store.key_of(self, VERSION)

    def __str__(self) -> str:
        """Return what a progress line says."""
        options = " ".join(str(v) for k, v in self.base.options.items() if k == "levels")
        options += " per column" if self.base.options.get("per_column") else ""
        changed = [f"{k.rsplit('.', 1)[-1]}={v}" for k, v in self.base.changes.items()]
        given = [f"{k}={v}" for k, v in self.settings.items() if v is not False]
        trained = [] if self.training is None else [f"{self.training.get('epochs')} epochs"]
        parts = [self.base.network, self.base.target, options, *changed, self.method, *given]
        spread = f" sigma {self.faults.sigma_lrs:g}" if self.faults.sigma_lrs else ""
        where = f"{self.faults.rate:.0%}{spread} map {self.seed}"
        return " ".join([*filter(None, parts), *trained, where])


class Store(store.Store[Job]):
    """Results of recompilations."""

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(folder)

    def scores(self, jobs: list[Job], mode: str) -> list[list[float] | None]:
        """Return the score of each job in a mode, as lists of one; None where missing."""
        rows = [self.get(job) for job in jobs]
        return [
            None if r is None or mode not in r["scores"] else [r["scores"][mode]] for r in rows
        ]

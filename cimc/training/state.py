"""Where a training run is between two steps, in memory and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.training import checkpoint as checkpoints
from cimc.training.checkpoint import Checkpoint
from cimc.training.history import Evaluated, History
from cimc.training.parallel import Ranks
from cimc.training.settings import Training
from cimc.verification.data import digest_of_data
from cimc.version import __version__


class Stateful(Protocol):
    """What has a state in tensors."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that training changes."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """Take it back."""


class Stepping(Protocol):
    """What takes steps and has a state in tensors."""

    def state(self) -> dict[str, Tensor]:
        """Return it."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take it back."""


@dataclass(slots=True)
class Sums:
    """Of the epoch under way; exact in a checkpoint.

    Attributes:
        loss: Weighted sum of the losses of batches.
        weight: Sum of the weights.
        penalty: Sum of the penalties, times lambda.
        steps: Steps taken [-].
    """

    loss: float = 0.0
    weight: float = 0.0
    penalty: float = 0.0
    steps: int = 0

    def add(self, loss: float, weight: float, penalty: float) -> None:
        """Take in a step."""
        self.loss += loss * weight
        self.weight += weight
        self.penalty += penalty
        self.steps += 1

    @property
    def mean_loss(self) -> float:
        """Mean over what batches are of."""
        return self.loss / self.weight if self.weight else 0.0

    @property
    def mean_penalty(self) -> float:
        """Mean over steps."""
        return self.penalty / self.steps if self.steps else 0.0


@dataclass(slots=True)
class Place:
    """Where a run is.

    Attributes:
        step: Steps taken [-].
        epoch: Epochs finished [-].
        position: Batches of the epoch under way that are done [-].
        sums: Of that epoch.
        history: Of the finished ones.
        best: State of the best network so far; None where none is remembered.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    sums: Sums = field(default_factory=Sums)
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None

    def compare(self, found: Evaluated | None, network: Stateful, *, best: bool) -> None:
        """Keep the network as it is, unless an earlier one was better.

        Args:
            found: Its evaluation.
            network: Its state is copied where the best one is kept.
            best: The best one is kept, not the last.
        """
        had = self.history.validation
        by_figure = best and found is not None
        if by_figure and self.best is not None and had is not None:
            assert found is not None
            if found.worse_than(had):
                return
        self.history = replace(self.history, kept=self.epoch)
        if by_figure:
            state = network.state_dict().items()
            self.best = {n: t.detach().cpu().clone() for n, t in state}


class Keeper:
    """Writes the checkpoints of a run and finds the one to go on from."""

    def __init__(
        self, training: Training, network: Stateful, stepper: Stepping, ranks: Ranks
    ) -> None:
        """Find out whose run it is, before its first step.

        Args:
            training: Recipe, data, loss; where checkpoints are, None: nowhere.
            network: As training is given it.
            stepper: The optimizer.
            ranks: The first process writes.
        """
        self._folder: Path | None = training.checkpoint
        self._training, self._network = training, network
        self._stepper, self._ranks = stepper, ranks
        self._identity = {} if self._folder is None else _identity(training, network, ranks)

    def restored(self) -> Place | None:
        """Take up the newest checkpoint; None: there is none, or it is not asked for.

        Raises:
            ModelError: CIMC-M95, it is of another run, cannot be read, or is not what other
                processes see.
        """
        folder = self._folder
        if folder is None:
            return None
        found = checkpoints.newest(folder) if self._training.resume else None
        if not self._ranks.agree(found[0].step if found else -1):
            raise ModelError(
                "CIMC-M95",
                "the checkpoint cannot be gone on from: processes see different ones",
                where=str(folder),
                hint="a folder that all machines share",
            )
        if found is None:
            if not self._training.resume and self._ranks.first:
                checkpoints.clear(folder)
            self._ranks.barrier()
            return None
        had, notes = found
        checkpoints.same_run(had, self._identity, folder)
        self._network.load_state_dict(_part(had.tensors, "network/"))
        self._stepper.load(_part(had.tensors, "optimizer/"))
        data = had.progress
        history = History.from_dict(data["history"])
        history = replace(history, notes=(*history.notes, *notes))
        best = _part(had.tensors, "best/") or None
        return Place(
            had.step, data["epoch"], data["position"], Sums(**data["sums"]), history, best
        )

    def save(self, place: Place) -> None:
        """Write a checkpoint."""
        if self._folder is None:
            return
        if self._ranks.first:
            tensors = {f"network/{n}": t for n, t in self._network.state_dict().items()}
            tensors |= {f"optimizer/{n}": t for n, t in self._stepper.state().items()}
            tensors |= {f"best/{n}": t for n, t in (place.best or {}).items()}
            progress = {
                "epoch": place.epoch,
                "position": place.position,
                "sums": asdict(place.sums),
                "history": place.history.as_dict(),
            }
            checkpoints.write(
                self._folder, Checkpoint(place.step, self._identity, progress, tensors)
            )
        self._ranks.barrier()


def _identity(training: Training, network: Stateful, ranks: Ranks) -> dict[str, Any]:
    """Return what the bytes that a run ends with are a function of, as plain data."""
    loss = training.loss
    recipe = asdict(training.recipe)
    return {
        "cimc": __version__,
        "torch": torch.__version__,
        "device": torch.device(training.device).type,
        "processes": ranks.size,
        "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in recipe.items()},
        "network": checkpoints.digest_of_tensors(network.state_dict()),
        "data": digest_of_data(training.data),
        "loss": None if loss is None else getattr(loss, "__qualname__", type(loss).__name__),
    }


def _part(tensors: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
    return {n.removeprefix(before): t for n, t in tensors.items() if n.startswith(before)}

"""What a training run did, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

#: What an evaluation says: with labels, with a teacher, or with neither.
Figure = Literal["top1", "agreement", "loss"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The network on chips, on the held-out samples.

    Attributes:
        figure: What ``values`` are: ``top1`` share of right decisions, ``agreement`` share of
            decisions equal to the float network's, ``loss`` where outputs name no classes.
        values: One a chip.
        losses: Mean loss on each chip, without penalty.
        mean: Of ``values``.
        std: Of ``values``, over chips, with ``n - 1``; 0 for one chip.
        loss: Mean of ``losses``.
    """

    figure: Figure
    values: tuple[float, ...]
    losses: tuple[float, ...]
    mean: float
    std: float
    loss: float

    def worse_than(self, other: Evaluated) -> bool:
        """Whether another evaluation of the same figure is better."""
        return self.mean > other.mean if self.figure == "loss" else self.mean < other.mean


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of a history.

    Attributes:
        epoch: From 1.
        train_loss: Mean over the epoch's samples, without penalty.
        penalty: Mean of the penalty of levels, times its weight (lambda) [NM Eq. 6].
        learning_rate: Of the last step, without the scales of parameter groups.
        chips: Whether steps were taken on chips: False in warm-up epochs.
        validation: On held-out samples; None where none are.
        seconds: Time taken, evaluation included; of the last start only when it was resumed [s].
    """

    epoch: int
    train_loss: float
    penalty: float
    learning_rate: float
    chips: bool
    validation: Evaluated | None
    seconds: float


@dataclass(frozen=True, slots=True)
class History:
    """A training run.

    Attributes:
        epochs: Finished ones, in order.
        steps: Optimizer steps taken [-].
        before: Evaluation before the first step; None where no samples are held out.
        kept: Epoch whose network is returned; 0: the one before the first step.
        loss: What was minimized, in words.
        notes: What the user should know.
    """

    epochs: tuple[Epoch, ...] = ()
    steps: int = 0
    before: Evaluated | None = None
    kept: int = 0
    loss: str = ""
    notes: tuple[str, ...] = ()

    @property
    def validation(self) -> Evaluated | None:
        """The evaluation of the network that is returned; None without one."""
        return self.epochs[self.kept - 1].validation if self.kept else self.before

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: dictionaries, lists, numbers, strings."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> History:
        """Return what :meth:`as_dict` was called on.

        Raises:
            TypeError: The data are something else.
            KeyError: Likewise.
        """
        epochs = tuple(_epoch(row) for row in data["epochs"])
        return History(
            epochs,
            int(data["steps"]),
            _evaluated(data["before"]),
            int(data["kept"]),
            str(data["loss"]),
            tuple(data["notes"]),
        )


def _epoch(row: Mapping[str, Any]) -> Epoch:
    values = {field.name: row[field.name] for field in fields(Epoch)}
    return Epoch(**values | {"validation": _evaluated(row["validation"])})


def _evaluated(data: Mapping[str, Any] | None) -> Evaluated | None:
    if data is None:
        return None
    values = {field.name: data[field.name] for field in fields(Evaluated)}
    return Evaluated(**values | {k: tuple(data[k]) for k in ("values", "losses")})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value

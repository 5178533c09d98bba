"""What whoever watches a training run is told: epoch, loss, accuracy, time left."""

from __future__ import annotations

import time

from cimc.training.history import Evaluated
from cimc.verification.options import Progress

#: Least time between two messages [s].
_PAUSE = 0.1


class Telling:
    """Passes on how far a run is.

    What is told begins with ``fine-tune``; what follows the colon changes.
    """

    def __init__(self, progress: Progress, epochs: int, steps: int) -> None:
        """Say nothing yet.

        Args:
            progress: Told.
            epochs: Of the run [-].
            steps: Of an epoch [-].
        """
        self._progress, self._epochs, self._steps = progress, epochs, steps
        self._first, self._began, self._told = 0, time.monotonic(), 0.0
        self._validation = ""

    def teacher(self, share: float) -> None:
        """The float network has answered a share of the samples."""
        self._progress("float network", share)
        self._began = time.monotonic()

    def started_at(self, step: int) -> None:
        """The run goes on from here."""
        self._first, self._began = step, time.monotonic()

    def evaluated(self, validation: Evaluated | None) -> None:
        """An evaluation is done."""
        self._validation = "" if validation is None else f", val {_figure(validation)}"
        self._told = 0.0

    def step(self, step: int, epoch: int, loss: float) -> None:
        """Steps were taken, in an epoch (from 0) whose mean loss is so far."""
        now, total = time.monotonic(), self._epochs * self._steps
        if now - self._told < _PAUSE and step < total:
            return
        self._told = now
        left = (now - self._began) / max(1, step - self._first) * (total - step)
        what = f"epoch {epoch + 1}/{self._epochs}, loss {loss:.3g}{self._validation}"
        self._progress(f"fine-tune: {what}, {_clock(left)} left", step / total)


def _figure(validation: Evaluated) -> str:
    if validation.figure == "loss":
        return f"loss {validation.mean:.3g}"
    return f"{100 * validation.mean:.1f} %"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

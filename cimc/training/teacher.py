"""The float network's answers: computed once where memory allows, the same whenever computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops import arrays
from cimc.training.batches import Run, Samples
from cimc.training.settings import Teacher
from cimc.verification.batches import batch_size

Array = npt.NDArray[Any]

#: Answers that are kept [byte].
LIMIT = 512 << 20
#: Before the name of an operation's node: the teacher's value of a crossbar layer.
LAYER = "layer/"


class Answers:
    """What a teacher says to samples.

    Answers that fit in memory are computed beforehand, in blocks of consecutive samples; others
    are computed for each run.  Either way they depend on nothing but the run: not on what was
    asked before, so that a run that goes on from a checkpoint gets the same bits.

    Attributes:
        names: Outputs, and :data:`LAYER` with nodes, that are wanted.
    """

    def __init__(
        self,
        teacher: Teacher,
        samples: Samples,
        names: Sequence[str],
        *,
        device: torch.device | str = "cpu",
        limit: int = LIMIT,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        """Compute the answers, or find out that they are too large.

        Args:
            teacher: The float network.
            samples: All of the data.
            names: What is wanted.
            device: Where answers go.
            limit: Most memory for them [byte].
            progress: Told the share done.

        Raises:
            ModelError: CIMC-M97, the teacher has no such output or layer.
        """
        self.names = tuple(names)
        self._teacher, self._samples, self._device = teacher, samples, torch.device(device)
        self._kept: dict[str, Array] | list[dict[str, Array]] | None = None
        if self.names:
            self._keep(limit, progress)

    def of(self, run: Run) -> dict[str, Tensor]:
        """Return the answers to a run by name."""
        if not self.names:
            return {}
        if self._kept is None:
            found = self._ask(run.units)
        elif isinstance(self._kept, list):
            found = self._kept[run.units[0]]
        else:
            index = np.asarray(run.units)
            found = {name: kept[index] for name, kept in self._kept.items()}
        return {n: arrays.to_tensor(a).to(self._device) for n, a in found.items()}

    def _keep(self, limit: int, progress: Callable[[float], None]) -> None:
        samples = self._samples
        block = batch_size(samples.data) if samples.merged else 1
        parts: list[dict[str, Array]] = []
        whole: dict[str, Array] = {}
        for first in range(0, samples.units, block):
            units = range(first, min(first + block, samples.units))
            part = self._ask(units)
            if first == 0:
                size = sum(a.nbytes for a in part.values()) / len(units)
                if size * samples.units > limit:
                    return
                whole = {n: _room(a, samples.units) for n, a in part.items()}
            if not samples.merged:
                parts.append(part)
            elif all(_fits(a, whole[n], len(units)) for n, a in part.items()):
                for name, answer in part.items():
                    whole[name][first : units.stop] = answer
            else:
                return
            progress(units.stop / samples.units)
        self._kept = whole if samples.merged else parts

    def _ask(self, units: Sequence[int]) -> dict[str, Array]:
        with torch.no_grad():
            said = self._teacher(self._samples.feed(units))
        return _wanted(said, self.names)


def _wanted(said: Mapping[str, Any], names: Sequence[str]) -> dict[str, Array]:
    missing = [name for name in names if name not in said]
    if missing:
        raise ModelError(
            "CIMC-M97",
            f"the float network gives no {_described(missing[0])}, which the loss is of",
            where=f"its {len(said)} values",
            hint="another loss, or layer_weight 0",
        )
    return {name: np.asarray(said[name], order="C") for name in names}


def _room(first: Array, units: int) -> Array:
    """Return an array for the answers to all samples, one row each."""
    return np.empty((units, *first.shape[1:]), first.dtype)


def _fits(part: Array, whole: Array, units: int) -> bool:
    """Whether answers have one row a sample, of the shape of all others."""
    return part.ndim > 0 and len(part) == units and part.shape[1:] == whole.shape[1:]


def _described(name: str) -> str:
    layer = name.removeprefix(LAYER)
    return f"value of layer '{layer}'" if layer != name else f"output '{name}'"

"""A program and a chip small enough to know every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.ir.network import Signal
from cimc.program.model import DeviceProgram, Golden, Operation, ProgramLayer
from cimc.targets import load_target

Array = npt.NDArray[Any]
#: Scores of the float network: class = sign of the input.
WEIGHTS = np.array([[-1.0, 1.0]], dtype=np.float32)


def program(
    *, target: str = "rram", golden: bool = False, classes: int = 2, batched: bool = True
) -> DeviceProgram:
    """A program of one layer with one input ``x`` and one output ``y``."""
    made = DeviceProgram(
        inputs=(Signal("x", "float32", ("n", 1)),),
        outputs=(Signal("y", "float32", ("n", classes)),),
        results=("%y",),
        operations=(Operation("fc", "matmul", ("%x", "#fc"), {}, ("y",), source="fc_node"),),
        constants={},
        layers={"fc": SimpleNamespace()},  # type: ignore[dict-item]
        target=load_target(target).plain(),
        arrays=1,
        provenance={},
        batched=batched,
    )
    if not golden:
        return made
    x = np.array([[1.0], [-2.0]], dtype=np.float32)
    y = float_network({"x": x})["y"]
    return replace(made, golden=Golden({"x": x}, {"y": y}, {"fc": y}))


def float_network(inputs: Mapping[str, Array]) -> dict[str, Array]:
    return {"y": inputs["x"] @ WEIGHTS}


@dataclass
class FakeChip:
    """The float network whose decisions a chip flips for its own share of samples.

    ``flip[mode]`` is a share, or a function of the seed; sample i is flipped when ``i % 100`` is
    below 100 times the share.
    """

    mode: str
    seed: int
    flip: Any = 0.0
    runs: list[tuple[str, int, int]] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array], taps: bool = False) -> Any:
        x = inputs["x"]
        self.runs.append((self.mode, self.seed, len(x)))
        share = self.flip(self.mode, self.seed) if callable(self.flip) else self.flip
        y = x @ WEIGHTS
        flipped = (np.arange(len(x)) % 100) < round(100 * share)
        y[flipped] *= -1
        return SimpleNamespace(outputs={"y": y}, layers={"fc": y} if taps else {})

    def chip(self, seed: int) -> FakeChip:
        return FakeChip(self.mode, seed, self.flip, self.runs)


def factory(flip: Any, runs: list[tuple[str, int, int]] | None = None) -> Any:
    """An executor factory of fake chips."""
    log = [] if runs is None else runs
    return lambda made, mode, seed: FakeChip(mode, seed, flip, log)


def data(samples: int = 100, labels: bool = True, seed: int = 0) -> dict[str, Array]:
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((samples, 1)).astype(np.float32)
    arrays: dict[str, Array] = {"x": x}
    if labels:
        arrays["labels"] = (x[:, 0] > 0).astype(np.int64)
    return arrays


__all__ = ["FakeChip", "ProgramLayer", "data", "factory", "float_network", "program"]

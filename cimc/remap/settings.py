"""How a program is compiled around the faults of a chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RemapSettings:
    """What is done about faults; each ingredient can be left out.

    Attributes:
        method: ``nearest``: every weight takes the reachable value nearest to its own, nothing
            else; ``feedback``: all that follows.
        cells: What healthy cells may hold: ``codebook``: healthy weights only levels of the
            codebook, the partner of a stuck cell any state; ``states``: every cell any state of
            its table; ``analog``: any conductance, on targets whose cells take any.
        arrays: Exchange arrays, spare ones included.
        rows: Permute rows within tiles, spare word lines included.
        columns: Permute columns within tiles, spare bit lines included.
        polarity: Swap G+ and G- of columns where that is better.
        feedback: Spread the error of every weight over those not yet fixed.
        descent: Sweep over all weights again after that, each the best given the others.
        retarget: Aim at the outputs of the float network from the inputs there really are.
        gain: Correct the digital gain of every column.
        bias: Correct the mean of every output channel.
        healthy: Make layers anew that have no faults, and whose inputs are those of any chip, with
            the values that ``cells`` allows; otherwise they stay as they were compiled.
        rounds: Alternations of permutation and error feedback [-].
        samples: Most calibration samples used [-].
        vectors: Most input vectors a layer for the curvature [-].
        damp: Share of its mean added to the diagonal of the curvature [-].
        seed: Of the choice of vectors.
    """

    method: Literal["nearest", "feedback"] = "feedback"
    cells: Literal["codebook", "states", "analog"] = "states"
    arrays: bool = True
    rows: bool = True
    columns: bool = True
    polarity: bool = True
    feedback: bool = True
    descent: bool = True
    retarget: bool = True
    gain: bool = True
    bias: bool = True
    healthy: bool = False
    rounds: int = 1
    samples: int = 128
    vectors: int = 8192
    damp: float = 0.01
    seed: int = 0

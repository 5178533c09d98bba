"""Lloyd's quantizer: time against a sort of the same values, distortion against the optimum."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np

from cimc.quantizers import lloyd
from cimc.quantizers.optimal import partition
from tests.benchmarks.harness import Result, fastest

VALUES, LEVELS, REPEATS = 10_000_000, 8, 7
SAMPLE = 100_000
TIME_BAR, DISTORTION_BAR = 4.0, 1.001


def _gaussian(rng: np.random.Generator, n: int) -> Any:
    return rng.standard_normal(n)


def _pruned(rng: np.random.Generator, n: int) -> Any:
    return rng.standard_normal(n) * (rng.random(n) > 0.9)


def _four_modes(rng: np.random.Generator, n: int) -> Any:
    return rng.normal(0, 0.05, n) + rng.choice([-3, -1, 0.5, 2], n, p=[0.1, 0.2, 0.3, 0.4])


SETS = {"gaussian": _gaussian, "pruned": _pruned, "four_modes": _four_modes}


def _time_ratio(values: Any) -> tuple[float, float]:
    """Return the seconds of a quantization, codes included, and their ratio to a sort."""
    best = fastest(
        {"sort": lambda: np.sort(values), "fit": lambda: lloyd(values, LEVELS).codes(values)},
        REPEATS,
    )
    return best["fit"], best["fit"] / best["sort"]


def _distortion_ratio(values: Any) -> float:
    """Return the distortion as a multiple of the exact optimum (a bin for each distinct value)."""
    result = lloyd(values, LEVELS)
    got = np.square(values.astype(np.float64) - result.levels[result.codes(values)]).mean()
    distinct, count = np.unique(values.astype(np.float64), return_counts=True)
    edges = partition(count.astype(np.float64), count * distinct, LEVELS)
    parts = [slice(a, b) for a, b in pairwise(edges)]
    best = sum(
        count[p] @ (distinct[p] - np.average(distinct[p], weights=count[p])) ** 2 for p in parts
    )
    return float(got / (best / values.size))


def measure() -> Result:
    """Return the worst time of a quantization, codes included, over that of ``numpy.sort``."""
    config: dict[str, Any] = {"values": VALUES, "levels": LEVELS, "optimum_on": SAMPLE}
    ratios, distortions = [], []
    for name, draw in SETS.items():
        rng = np.random.default_rng(0)
        seconds, ratio = _time_ratio(draw(rng, VALUES).astype(np.float32))
        distortion = _distortion_ratio(draw(rng, SAMPLE).astype(np.float32))
        ratios.append(ratio)
        distortions.append(distortion)
        config[name] = {
            "seconds": round(seconds, 4),
            "sort_ratio": round(ratio, 3),
            "distortion_ratio": round(distortion, 6),
        }
    config["distortion_bar"] = DISTORTION_BAR
    exact = max(distortions) <= DISTORTION_BAR
    return Result("lloyd", max(ratios), "x numpy.sort", TIME_BAR, config, also=exact)


def run() -> dict[str, Any]:
    """Return the measurement as plain data."""
    result: dict[str, Any] = json.loads(measure().line())
    return result


if __name__ == "__main__":
    print(measure().line())

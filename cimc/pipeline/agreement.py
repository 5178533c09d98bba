"""Compare results with the oracle: onnxruntime on the original model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import InternalError
from cimc.ir import rewrite
from cimc.ir.network import Array, Network

#: Largest relative difference between the imported graph and onnxruntime: float32 sums of
#: different order through a deep network.
TOLERANCE = 1e-4
#: The same of a network that computes in half precision somewhere: onnxruntime and torch round
#: at different places.  bfloat16 has 8 bits, float16 has 11.
HALF_TOLERANCES = {"float16": 1e-2, "bfloat16": 8e-2}

#: Differences are taken relative to at least this much: onnxruntime computes sigmoid, tanh and
#: exp by approximations good to about 1e-7 absolute, which says nothing of outputs that are all
#: near zero.
SMALLEST_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near one set of outputs is to another.

    Attributes:
        relative: Largest ``max|got - expected| / max(max|expected|, SMALLEST_SCALE)`` over the
            outputs; NaN and infinities must be in the same places, or it is infinite.  0 when
            there is nothing to compare.
        snr_db: Signal-to-noise ratio over all floating-point outputs [dB]; infinite when equal.
        mismatches: Share of unequal elements of outputs that are not floating point.
    """

    relative: float
    snr_db: float
    mismatches: float


def compare(got: Mapping[str, Any], expected: Mapping[str, Any]) -> Agreement:
    """Compare outputs by name."""
    relative, signal, noise, unequal, discrete = 0.0, 0.0, 0.0, 0, 0
    for name, reference in expected.items():
        value = got[name]
        if not _is_float(reference):
            same, count = _discrete(value, reference)
            unequal, discrete = unequal + count - same, discrete + count
            continue
        relative = max(relative, _relative(value, reference))
        r, g = (_finite(np.asarray(v, np.float64)) for v in (reference, value))
        if r.shape == g.shape:
            signal += float((r**2).sum())
            noise += float(((g - r) ** 2).sum())
    return Agreement(relative, decibel(signal, noise), unequal / discrete if discrete else 0.0)


def tolerance_of(network: Network) -> float:
    """Return the largest relative difference to accept, from the element types of a network."""
    names = {signal.dtype for signal in (*network.inputs, *network.outputs)}
    names |= {
        str(tensor.dtype).removeprefix("torch.")
        for tensor in rewrite.attributes(network.graph).values()
    }
    names |= {str(node.kwargs.get("to")) for node in network.graph.graph.nodes}
    return max([TOLERANCE, *(t for name, t in HALF_TOLERANCES.items() if name in names)])


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return values with NaN and infinities, which say nothing of a ratio, as 0."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def decibel(signal: float, noise: float) -> float:
    """Return a power ratio in dB; infinite without noise, NaN where powers overflow."""
    if noise == 0:
        return math.inf
    if not math.isfinite(signal) or not math.isfinite(noise):
        return math.nan
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and (
        np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16"
    )


def _discrete(value: Any, reference: Any) -> tuple[int, int]:
    if isinstance(reference, np.ndarray):
        a = np.asarray(value)
        if a.shape != reference.shape:
            return 0, max(1, reference.size)
        return int((a == reference).sum()), reference.size
    if isinstance(reference, list | tuple):
        pairs = [_discrete(v, r) for v, r in zip(value, reference, strict=False)]
        missing = abs(len(value) - len(reference))
        return sum(s for s, _ in pairs), sum(c for _, c in pairs) + missing
    return int(value == reference), 1


def _relative(value: Any, reference: Array) -> float:
    got = np.asarray(value, dtype=np.float64)
    want = np.asarray(reference, dtype=np.float64)
    if got.shape != want.shape:
        return math.inf
    if not want.size:
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return math.inf
    if not finite.any():
        return 0.0
    difference = np.abs(got[finite] - want[finite]).max()
    scale = np.abs(want[finite]).max()
    if math.isnan(difference):
        return math.inf
    return float(difference / max(scale, SMALLEST_SCALE))


def require(agreement: Agreement, *, code: str, what: str, tolerance: float = TOLERANCE) -> None:
    """Refuse to go on with a network that does not compute what the model does.

    Raises:
        InternalError: With the given code.
    """
    # In half precision a discrete result may flip where values tie.
    flipped = agreement.mismatches > 0 and tolerance == TOLERANCE
    if agreement.relative > tolerance or flipped:
        raise InternalError(
            code,
            f"{what} differs from onnxruntime: relative error {agreement.relative:.3g} "
            f"(limit {tolerance:g}), {agreement.mismatches:.3%} of discrete results unequal",
            hint="reporting the model; nothing was written",
        )

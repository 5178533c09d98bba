"""Which layer hurts: signal-to-noise of every crossbar layer against the float network.

The float values are the inner values of the *original* model, run by onnxruntime; the program says
which node of it each operation came from (``Operation.source``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.program.model import DeviceProgram
from cimc.verification.batches import Feed, join
from cimc.verification.metrics import decibel, powers
from cimc.verification.scoring import Runner

Array = npt.NDArray[Any]
#: Outputs by operation name in each mode.
Taps = Mapping[str, Mapping[str, Array]]

MODES = ("ideal", "noise-free", "chip")


@dataclass(frozen=True, slots=True)
class LayerSnr:
    """Signal-to-noise of one crossbar layer's output against the float network.

    Attributes:
        operation: Operation of the program that reads the layer.
        source: Node of the source model.
        ideal_db: Cells at their targets, nothing else: what quantization costs, layers before
            included [dB].
        noise_free_db: With converters [dB].
        chip_db: With everything, one chip [dB].
    """

    operation: str
    source: str
    ideal_db: float
    noise_free_db: float
    chip_db: float


def layer_operations(program: DeviceProgram) -> dict[str, str]:
    """Return the operations that read a crossbar layer: name to node of the source model."""
    return {
        o.name: o.source
        for o in program.operations
        if any(ref is not None and ref.startswith("#") for ref in o.inputs)
    }


def tapped(runner: Runner, feeds: Sequence[Feed]) -> dict[str, Array]:
    """Return the output of every crossbar read, by operation name."""
    return join([dict(runner.run(feed, taps=True).layers) for feed in feeds])


class LayerTally:
    """Sums signal and noise energy of every layer over samples; keeps no outputs.

    Of several candidates for a layer's float output the one nearest to the ideal output is it: the
    others differ from it by a whole operator, which is far more than quantization does.
    """

    def __init__(self, operations: Mapping[str, str]) -> None:
        """Start without samples.

        Args:
            operations: Operation name to node of the source model.
        """
        self._operations = operations
        # By operation: signal and the noise of each mode, float64 (candidates, 1 + modes).
        self._energies: dict[str, npt.NDArray[np.float64]] = {}

    def add(self, reference: Mapping[str, Sequence[Array]], taps: Taps) -> None:
        """Take in some samples.

        Args:
            reference: Candidates by source node.
            taps: Outputs by mode and operation name.
        """
        for name, source in self._operations.items():
            candidates = reference.get(source, ())
            outputs = [taps[mode].get(name) for mode in MODES]
            if not candidates or any(o is None for o in outputs):
                continue
            energies = np.array([_energies(c, outputs) for c in candidates])
            self._energies[name] = self._energies.get(name, 0.0) + energies

    def result(self) -> tuple[list[LayerSnr], list[str]]:
        """Return every layer's ratios, and the operations that could not be matched."""
        found, unmatched = [], []
        for name, source in self._operations.items():
            energies = self._energies.get(name)
            if energies is None or not np.isfinite(energies[:, 0]).any():
                unmatched.append(name)
                continue
            ratios = [[decibel(signal, n) for n in noise] for signal, *noise in energies.tolist()]
            found.append(LayerSnr(name, source, *max(ratios)))
        return found, unmatched


def _energies(candidate: Array, outputs: Sequence[Array | None]) -> list[float]:
    """Return the signal energy of a candidate and the noise energy of each output.

    A candidate of another size is out of the question: its signal is infinite.
    """
    if any(o is None or o.size != candidate.size for o in outputs):
        return [np.inf] + [np.inf] * len(outputs)
    pairs = [powers(candidate, o) for o in outputs if o is not None]
    return [pairs[0][0], *(noise for _, noise in pairs)]

"""Which layer hurts: signal-to-noise of every crossbar layer against the float network.

The float values are the inner values of the *original* model, run by onnxruntime; the program says
which node of it each operation came from (``Operation.source``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.program.model import DeviceProgram
from cimc.verification.batches import Feed, join, split
from cimc.verification.data import Data
from cimc.verification.metrics import snr_db
from cimc.verification.reference import OnnxModel
from cimc.verification.scoring import Runner

Array = npt.NDArray[Any]

#: Operators that a pass may fold into the layer before them: the layer's output is then theirs.
_AFFINE = frozenset(("BatchNormalization", "Add", "Sub", "Mul", "Div"))
_SHAPE = frozenset(("Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"))
_LONGEST_CHAIN = 4


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


def float_values(
    path: str | Path, nodes: Iterable[str], data: Data, *, batched: bool, batch: int
) -> dict[str, list[Array]]:
    """Return what the float network computes at the nodes, by node name.

    A node that passes may have merged with what follows it has several candidates: its own first
    output, and those of the chain of affine and shape operators behind it.

    Args:
        path: The original ONNX file.
        nodes: Node names, or names of first outputs (for nodes without a name).
        data: Samples to run.
        batched: Samples are independent.
        batch: Samples a run.

    Returns:
        Candidates in order; nodes the file does not have are left out.
    """
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    chains = {name: chain for name in nodes if (chain := _chain(graph, name))}
    if not chains:
        return {}
    wanted = list(dict.fromkeys(v for chain in chains.values() for v in chain))
    model = OnnxModel(path, extra_outputs=wanted)
    feeds = split(data, model.signals, batched=batched, batch=batch)
    values = join([_only(model.run(feed), wanted) for feed in feeds])
    return {name: [values[v] for v in chain] for name, chain in chains.items()}


def layer_snr(
    operations: Mapping[str, str],
    reference: Mapping[str, Sequence[Array]],
    ideal: Mapping[str, Array],
    noise_free: Mapping[str, Array],
    chip: Mapping[str, Array],
) -> tuple[list[LayerSnr], list[str]]:
    """Return the signal-to-noise of every layer, and the operations that could not be matched.

    Of several candidates the one nearest to the ideal output is the layer's float output: the
    others differ from it by a whole operator, which is far more than quantization does.

    Args:
        operations: Operation name to source node.
        reference: Candidates by source node.
        ideal: Outputs by operation name.
        noise_free: Likewise.
        chip: Likewise.
    """
    found, unmatched = [], []
    for name, source in operations.items():
        candidates = [
            c.reshape(ideal[name].shape)
            for c in reference.get(source, ())
            if name in ideal and c.size == ideal[name].size
        ]
        if not candidates:
            unmatched.append(name)
            continue
        ratios = [snr_db(c, ideal[name]) for c in candidates]
        wanted = candidates[int(np.argmax(ratios))]
        values = (max(ratios), snr_db(wanted, noise_free[name]), snr_db(wanted, chip[name]))
        found.append(LayerSnr(name, source, *values))
    return found, unmatched


def _chain(graph: Any, name: str) -> list[str]:
    """Return the value a node computes and those that folding may have put in its place."""
    by_input: dict[str, list[Any]] = {}
    node = None
    for candidate in graph.node:
        if candidate.name == name or name in candidate.output[:1]:
            node = candidate
        for value in candidate.input:
            by_input.setdefault(value, []).append(candidate)
    chain: list[str] = []
    while node is not None and any(node.output[:1]) and len(chain) < _LONGEST_CHAIN:
        chain.append(node.output[0])
        readers = by_input.get(node.output[0], [])
        node = readers[0] if len(readers) == 1 and readers[0].op_type in _AFFINE | _SHAPE else None
    return chain


def _only(outputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    return {n: outputs[n] for n in names}

"""The network being compiled: one fx graph, its layer records, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.fx import GraphModule

from cimc.ir.folds import Fold
from cimc.ir.layer import CrossbarLayer

Array = npt.NDArray[np.generic]


class Stage(IntEnum):
    """How far a network has been lowered; each stage adds invariants."""

    IMPORTED = 0
    CANONICAL = 1
    PARTITIONED = 2
    CALIBRATED = 3
    QUANTIZED = 4
    TILED = 5
    PLACED = 6
    ASSIGNED = 7


@dataclass(frozen=True, slots=True)
class Signal:
    """One input or output of the network.

    Attributes:
        name: As in the source model; it keys user data files.
        dtype: numpy name of the element type (``float32``, ``int64``, ``bool``), or ``string``,
            ``sequence``, ``optional`` for values that only opaque operators handle.
        shape: One entry an axis: a size, or the name of a dynamic axis ('' when it has none);
            None: rank unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the network came from, and the independent oracle for it.

    Attributes:
        kind: ``onnx``, ``torch``.
        path: File, or '' for an object in memory.
        sha256: Of the model (with its external data), hex.
        oracle: Runs the *original* model in onnxruntime: inputs by name to outputs by name.
        release: Frees what the oracle holds; it can be called again all the same.
    """

    kind: str
    path: str
    sha256: str
    oracle: Callable[[Mapping[str, Array]], dict[str, Array]]
    release: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Network:
    """A network on its way to a device program.

    The graph's call targets are ``cimc.ops`` functions and ``operator.getitem`` only.  Tensor
    operands are positional, attributes are keyword arguments with literal values.  Constants and
    weights are ``get_attr`` nodes. ``node.meta['source']`` names the node of the source model,
    ``node.meta['operator']`` its operator.  Placeholders are in the order of ``inputs``; the
    output node holds a tuple in the order of ``outputs``.

    Attributes:
        graph: The computation; always executable with torch.
        inputs: In order of the graph's placeholders.
        outputs: In order of the graph's results.
        source: The original and its oracle.
        stage: How far it has been lowered.
        layers: Crossbar layers by name, in execution order of first use.
        parameter_names: Graph attribute to source parameter (initializer) name.
        folds: What was folded between a constant of the graph and the source parameters it comes
            from, by graph attribute; one without record is the parameter of ``parameter_names``.
        warnings: What the user should know, in order.
        batched: Whether samples along the first axis of every input are independent: set by
            ``canonicalize`` from a trial.
        float_graph: The computation before weights were quantized, kept where it is going to be
            trained: where training starts, and its teacher; None otherwise.
        float_constants: By name, the constants of the graph that quantization changed (biases), as
            they were in the float network.
    """

    graph: GraphModule
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    source: Source
    stage: Stage = Stage.IMPORTED
    layers: Mapping[str, CrossbarLayer] = field(default_factory=dict)
    parameter_names: Mapping[str, str] = field(default_factory=dict)
    folds: Mapping[str, Fold] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    batched: bool = False
    float_graph: GraphModule | None = None
    float_constants: Mapping[str, Tensor] = field(default_factory=dict)

    def warn(self, *messages: str) -> Network:
        """Return the network with more warnings."""
        return replace(self, warnings=self.warnings + messages)

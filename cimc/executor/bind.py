"""Bind the operations that read crossbars to the crossbars of one chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.errors import ProgramError
from cimc.executor import analog
from cimc.executor.circuit import Circuit, circuit_of
from cimc.executor.crossbars import Crossbars
from cimc.executor.matrices import weight
from cimc.executor.mismatch import mismatch_of
from cimc.executor.physics import Physics
from cimc.executor.prepare import Crossbar, read_of
from cimc.executor.workspace import Workspace
from cimc.ir.layer import Adc, Dac
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramLayer, ProgramUse

#: Exact weights are laid out for their operators up to this much in all; the others stay views of
#: their cells, so that a network of several GB is not held twice [byte].
_COPY_LIMIT = 1 << 28

_RECURRENT = ("lstm", "gru", "rnn")

#: Prepares how an operation reads a layer, as :func:`cimc.executor.prepare.read_of` does.
Reader = Callable[
    [Crossbar, Circuit, Mapping[str, Any], Normals | None, Workspace], analog.Reading
]


@dataclass(frozen=True, slots=True)
class Reads:
    """What operations need of the crossbars.

    Attributes:
        weights: Weight tensor by layer name, where a layer is exact.
        operations: By operation name, what runs instead of the operator's function.
        recurrent: By operation name and operand, the gate matrices of recurrent operations.
    """

    weights: Mapping[str, Tensor]
    operations: Mapping[str, Callable[..., Any]]
    recurrent: Mapping[str, Mapping[int, analog.RecurrentWeight]]


def bind(
    program: DeviceProgram,
    crossbars: Crossbars,
    physics: Physics,
    seed: int,
    normals: Normals | None,
    workspace: Workspace,
    reader: Reader = read_of,
) -> Reads:
    """Bind every operation that reads a layer.

    A layer without converters whose cells are linear and still is an exact product: its weight is
    worked out once, and the operator runs on it.  All others are read through crossbars.

    Args:
        program: What to run.
        crossbars: Of one chip.
        physics: What is modelled.
        seed: The chip.
        normals: Random numbers of reads; None where they are not random.
        workspace: Where codes are put.
        reader: How a read is prepared.

    Raises:
        ProgramError: CIMC-P41, an operation reads a layer it has no converter settings for, or
            one that its operator cannot read.
    """
    weights: dict[str, Tensor] = {}
    operations: dict[str, Callable[..., Any]] = {}
    recurrent: dict[str, Mapping[int, analog.RecurrentWeight]] = {}
    spent = 0
    circuit = circuit_of(physics)
    read_by = _ReadBy(circuit, normals, workspace, reader)
    for operation in program.operations:
        read = _layers_read(program, operation)
        settings = {
            position: _settings(layer, operation, position, physics)
            for position, layer in read.items()
        }
        exact = all(d.bits is None and a.bits is None for d, a in settings.values())
        if exact and (circuit.linear or all(v.encoding == "signed" for v in read.values())):
            for layer in read.values():
                seen = crossbars.matrices(layer.name)
                if layer.name not in weights:
                    whole = weight(layer, seen)
                    copied = _may_copy(layer, whole, spent)
                    spent += copied * whole.numel() * whole.element_size()
                    weights[layer.name] = _laid_out(whole) if copied else whole
        else:
            crossed = {
                position: _crossbar(layer, crossbars, circuit, physics, seed, settings[position])
                for position, layer in read.items()
            }
            if operation.op in _RECURRENT:
                gates = read_by.gates(operation, read, crossed)
                recurrent[operation.name] = gates
                operations[operation.name] = _recurrent(operation, gates)
            else:
                operations[operation.name] = read_by.bound(operation, read, crossed)
    return Reads(weights, operations, recurrent)


def _layers_read(program: DeviceProgram, operation: Operation) -> dict[int, ProgramLayer]:
    """Return the layers an operation reads, by operand position."""
    references = {p: r[1:] for p, r in enumerate(operation.inputs) if r and r.startswith("#")}
    return {p: program.layers[n] for p, n in references.items() if n in program.layers}


def _settings(
    layer: ProgramLayer, operation: Operation, position: int, physics: Physics
) -> tuple[Dac, Adc]:
    use = _use(layer, operation, position)
    # Inputs without converter are exact, but the ranges that follow are for the same full scale.
    dac = use.dac if physics.on("dac") else replace(use.dac, bits=None)
    return dac, use.adc if physics.on("adc") else Adc()


def _use(layer: ProgramLayer, operation: Operation, position: int) -> ProgramUse:
    for use in layer.uses:
        if (use.operation, use.operand) == (operation.name, position):
            return use
    raise ProgramError(
        "CIMC-P41",
        f"operand {position} reads layer '{layer.name}', which lists no such use",
        where=f"operation '{operation.name}'",
        hint="compiling the model again",
    )


def _may_copy(layer: ProgramLayer, tensor: Tensor, spent: int) -> bool:
    """Whether a weight may be laid out anew: it is no view, or there is room for a copy."""
    size = tensor.numel() * tensor.element_size()
    return layer.encoding != "signed" or spent + size <= _COPY_LIMIT


def _laid_out(tensor: Tensor) -> Tensor:
    if tensor.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.contiguous()


def _crossbar(
    layer: ProgramLayer,
    crossbars: Crossbars,
    circuit: Circuit,
    physics: Physics,
    seed: int,
    settings: tuple[Dac, Adc],
) -> Crossbar:
    seen = crossbars.matrices(layer.name)
    device = seen.lanes[0].delta_us.device
    tiles = [(int(first), int(size)) for first, size in layer.row_tiles]
    mismatch = mismatch_of(layer, circuit, physics, seed, device)
    dac, adc = settings
    ranges = None if adc.i_max_us is None else adc.i_max_us.to(device)
    return Crossbar(layer.geometry, tiles, seen, mismatch, dac, replace(adc, i_max_us=ranges))


@dataclass(frozen=True, slots=True)
class _ReadBy:
    """How all operations of a program read their layers."""

    circuit: Circuit
    normals: Normals | None
    workspace: Workspace
    reader: Reader

    def bound(
        self,
        operation: Operation,
        read: Mapping[int, ProgramLayer],
        seen: Mapping[int, Crossbar],
    ) -> Callable[..., Any]:
        """Return what runs instead of an operation that reads one layer."""
        ((position, layer),) = read.items()
        builder = _BUILDERS.get((operation.op, layer.geometry.kind, position))
        if builder is None:
            raise _cannot_read(operation, layer)
        return builder(self._read(seen[position], operation.attributes), operation.attributes)

    def gates(
        self,
        operation: Operation,
        read: Mapping[int, ProgramLayer],
        seen: Mapping[int, Crossbar],
    ) -> Mapping[int, analog.RecurrentWeight]:
        """Return the gate matrices of a recurrent operation by operand."""
        stationary = {}
        for position, layer in read.items():
            if layer.geometry.kind != "recurrent":
                raise _cannot_read(operation, layer)
            matrices = (seen[position].matrix(group) for group in range(layer.geometry.groups))
            stationary[position] = analog.RecurrentWeight(
                tuple(self._read(one, {}) for one in matrices)
            )
        return stationary

    def _read(self, crossbar: Crossbar, attributes: Mapping[str, Any]) -> analog.Reading:
        return self.reader(crossbar, self.circuit, attributes, self.normals, self.workspace)


#: What an operation does around its read, by operator, geometry and position of the weight.
_BUILDERS: dict[
    tuple[str, str, int], Callable[[analog.Reading, Mapping[str, Any]], Callable[..., Any]]
] = {
    ("conv", "conv", 1): analog.convolution,
    ("conv_transpose", "conv-transpose", 1): analog.transposed_convolution,
    ("gemm", "matrix", 1): analog.gemm,
    ("matmul", "matrix", 1): analog.right_product,
    ("matmul", "matrix-left", 0): analog.left_product,
}


def _cannot_read(operation: Operation, layer: ProgramLayer) -> ProgramError:
    return ProgramError(
        "CIMC-P41",
        f"operator '{operation.op}' cannot read layer '{layer.name}', a {layer.geometry.kind}",
        where=f"operation '{operation.name}'",
        hint="compiling the model again",
    )


def _recurrent(
    operation: Operation, gates: Mapping[int, analog.RecurrentWeight]
) -> Callable[..., Any]:
    """Return the recurrent operator with its gate matrices on crossbars."""
    function = OPERATORS[operation.op].function

    def run(*operands: Any) -> Any:
        whole = [gates.get(position, value) for position, value in enumerate(operands)]
        return function(*whole, **operation.attributes)

    return run

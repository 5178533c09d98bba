"""Digital operations that need no memory of their own, or no work at all.

Neither changes a result: an unsigned converter clamps negative inputs to code 0 as a ReLU does,
and an operation may write into an operand that nobody reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation

#: Operators whose result is never a view of an operand.
_NEW_MEMORY = frozenset({"relu", "add", "conv", "conv_transpose", "gemm", "matmul"})


def without_idle_relus(program: DeviceProgram) -> tuple[Operation, ...]:
    """Return the operations without the ReLUs whose every reader is an unsigned converter."""
    unsigned = {
        use.operation
        for layer in program.layers.values()
        for use in layer.uses
        if use.dac.bits is not None and not use.dac.signed and use.dac.policy == "static"
    }
    readers = _readers(program)
    renamed: dict[str, str] = {}
    kept = []
    for operation in program.operations:
        if operation.op == "relu" and operation.inputs[0] is not None:
            result = f"%{operation.outputs[0]}"
            read = readers.get(result, [])
            seen = result in program.results or not read
            if not seen and all(_drives(o, result, unsigned) for o in read):
                renamed[result] = renamed.get(operation.inputs[0], operation.inputs[0])
                continue
        inputs = tuple(None if r is None else renamed.get(r, r) for r in operation.inputs)
        kept.append(replace(operation, inputs=inputs))
    return tuple(kept)


def _drives(operation: Operation, reference: str, unsigned: set[str]) -> bool:
    """Whether an operation reads a value through an unsigned converter only."""
    if operation.name not in unsigned or operation.op not in _NEW_MEMORY:
        return False
    layers = [r for r in operation.inputs if r is not None and r.startswith("#")]
    others = [r for r in operation.inputs[2:] if r == reference]
    return len(layers) == 1 and not others


def _readers(program: DeviceProgram) -> dict[str, list[Operation]]:
    readers: dict[str, list[Operation]] = {}
    for operation in program.operations:
        for reference in operation.inputs:
            if reference is not None:
                readers.setdefault(reference, []).append(operation)
    return readers


def in_place(
    program: DeviceProgram,
    operations: tuple[Operation, ...],
    frees: Mapping[str, tuple[str, ...]],
) -> dict[str, Callable[..., Any]]:
    """Return, by operation name, ReLUs and sums that overwrite an operand.

    The operand is dead after the operation, and its memory is its own: it was made by an operator
    that returns new memory, and only operators read it that do.
    """
    made = {f"%{o.outputs[0]}" for o in operations if o.op in _NEW_MEMORY and o.outputs}
    seen_by_others = {
        r for o in operations if o.op not in _NEW_MEMORY for r in o.inputs if r is not None
    }
    own = made - seen_by_others - set(program.results)
    found: dict[str, Callable[..., Any]] = {}
    for operation in operations:
        free = set(frees[operation.name]) & own
        if operation.op == "relu" and operation.inputs[0] in free:
            found[operation.name] = torch.relu_
        elif operation.op == "add" and operation.inputs[0] != operation.inputs[1]:
            if operation.inputs[0] in free:
                found[operation.name] = _add_to_first
            elif operation.inputs[1] in free:
                found[operation.name] = _add_to_second
    return found


def _add_to_first(a: Tensor, b: Tensor) -> Tensor:
    if a.shape == b.shape and a.dtype == b.dtype and a.is_floating_point():
        return a.add_(b)
    result: Tensor = OPERATORS["add"].function(a, b)
    return result


def _add_to_second(a: Tensor, b: Tensor) -> Tensor:
    return _add_to_first(b, a)

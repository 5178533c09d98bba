"""Rules of who reads a crossbar layer: listed, able to, and with the same idea of its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cimc.errors import ProgramError
from cimc.ir.geometry import Geometry
from cimc.program.model import DeviceProgram, Operation

#: Geometry kinds by operator and position of the operand.
_KINDS: Final[Mapping[tuple[str, int], str]] = {
    ("conv", 1): "conv",
    ("conv_transpose", 1): "conv-transpose",
    ("gemm", 1): "matrix",
    ("matmul", 0): "matrix-left",
    ("matmul", 1): "matrix",
    **{(op, position): "recurrent" for op in ("lstm", "gru", "rnn") for position in (1, 2)},
}
#: Gates of a recurrent operator [-].
_GATES: Final = {"lstm": 4, "gru": 3, "rnn": 1}


def check_reads(program: DeviceProgram) -> None:
    """The uses of a layer are exactly the operands that read it, each able to.

    Raises:
        ProgramError: ``CIMC-P18``.
    """
    operations = {operation.name: operation for operation in program.operations}
    listed = [(u.operation, u.operand, x.name) for x in program.layers.values() for u in x.uses]
    read = [
        (operation.name, position, reference[1:])
        for operation in program.operations
        for position, reference in enumerate(operation.inputs)
        if reference is not None and reference.startswith("#")
    ]
    if sorted(listed) != sorted(read):
        first = (sorted(set(listed) ^ set(read)) or sorted(listed))[0]
        raise ProgramError(
            "CIMC-P18",
            "its uses are not the operands that read it",
            where=f"layer '{first[2][:80]}' in '{first[0][:80]}'",
        )
    unread = sorted(program.layers.keys() - {layer for _, _, layer in read})
    if unread:
        raise ProgramError("CIMC-P18", "nobody reads it", where=f"layer '{unread[0][:80]}'")
    for name, position, layer in read:
        problem = _problem(operations[name], position, program.layers[layer].geometry)
        if problem:
            where = f"layer '{layer[:80]}' in '{name[:80]}'"
            raise ProgramError("CIMC-P18", problem, where=where)


def _problem(operation: Operation, position: int, geometry: Geometry) -> str:
    """Return what an operation and a layer it reads do not agree on; '' when they do."""
    op, attributes = operation.op, operation.attributes
    if _KINDS.get((op, position)) != geometry.kind:
        return f"a {geometry.kind} cannot be operand {position} of {op}"
    expected: dict[str, tuple[Any, Any]] = {"stack": ((), geometry.stack)}
    if op in ("conv", "conv_transpose"):
        expected["groups"] = (attributes.get("group", 1), geometry.groups)
        kernel = attributes.get("kernel_shape")
        if kernel is not None:
            expected["kernel"] = (kernel, list(geometry.kernel))
    elif op == "gemm":
        expected["groups"] = (1, geometry.groups)
        expected["transposed"] = (bool(attributes.get("transB", False)), geometry.transposed)
    elif op == "matmul":
        del expected["stack"]
        expected["transposed"] = (False, geometry.transposed)
    else:
        expected |= _recurrent(op, position, attributes, geometry)
    for what, (wanted, got) in expected.items():
        if wanted != got:
            return f"{what} is {got}, not {wanted} as {op} has it"
    return ""


def _recurrent(
    op: str, position: int, attributes: Mapping[str, Any], geometry: Geometry
) -> dict[str, tuple[Any, Any]]:
    hidden = attributes.get("hidden_size", 0)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    expected = {
        "groups": (directions, geometry.groups),
        "columns": (_GATES[op] * hidden, geometry.columns),
    }
    if position == 2:
        expected["rows"] = (hidden, geometry.rows)
    return expected

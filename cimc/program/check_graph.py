"""Rules of the operations: what they read is there, what they are is known."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from cimc.errors import CimcError, ProgramError
from cimc.ir.network import Signal
from cimc.ops.opaque_model import check_opaque_model
from cimc.ops.table import OPERATORS, Operator
from cimc.program.check_signature import check_attributes, operand_bounds
from cimc.program.model import DeviceProgram, Operation

#: Element types of inputs and outputs; the last three only opaque operators handle.
VALUE_TYPES = frozenset(
    {
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("string", "sequence", "optional"),
    }
)
_LONGEST = 4096
_MAX_AXES = 64


def check_operations(program: DeviceProgram) -> None:
    """Apply every rule of this module.

    Raises:
        ProgramError: ``CIMC-P13``..``CIMC-P17``.
    """
    _check_signals(program.inputs, "input")
    _check_signals(program.outputs, "output")
    _check_constants(program)
    _check_references(program)
    for operation in program.operations:
        _check_operator(operation, program)
    _check_results(program)


def _check_signals(signals: Iterable[Signal], kind: str) -> None:
    """Inputs (outputs) have unique names, a known element type and a possible shape."""
    seen: set[str] = set()
    for signal in signals:
        where = f"{kind} '{signal.name[:80]}'"
        if signal.name in seen or not 0 < len(signal.name) <= _LONGEST:
            raise ProgramError("CIMC-P13", "its name is empty, too long or taken", where=where)
        seen.add(signal.name)
        if signal.dtype not in VALUE_TYPES and not _is_narrow(signal.dtype):
            raise ProgramError("CIMC-P13", f"unknown type {signal.dtype[:40]!r}", where=where)
        shape = signal.shape or ()
        if len(shape) > _MAX_AXES or any(
            not (isinstance(s, str) and len(s) <= _LONGEST)
            and not (type(s) is int and 0 <= s < 1 << 48)
            for s in shape
        ):
            raise ProgramError("CIMC-P13", f"impossible shape {str(shape)[:80]}", where=where)


def _is_narrow(dtype: str) -> bool:
    """Tell whether a type is one of ONNX's narrow ones, which only opaque operators handle."""
    return dtype.startswith(("float8", "float4", "int4", "uint4", "int2", "uint2"))


def _check_constants(program: DeviceProgram) -> None:
    """Every constant is read by an operation, or is a result."""
    read = {r for o in program.operations for r in o.inputs if r} | set(program.results)
    for name in program.constants:
        if f"@{name}" not in read:
            raise ProgramError("CIMC-P14", "nobody reads it", where=f"constant '{name[:80]}'")


def _check_references(program: DeviceProgram) -> None:
    """An operation reads what is defined before it, and defines names that are new."""
    defined = {f"%{s.name}" for s in program.inputs}
    fixed = {f"@{name}" for name in program.constants} | {f"#{name}" for name in program.layers}
    names: set[str] = set()
    for operation in program.operations:
        where = f"operation '{operation.name[:80]}'"
        if operation.name in names:
            raise ProgramError("CIMC-P14", "the name is there twice", where=where)
        names.add(operation.name)
        for reference in operation.inputs:
            if reference is not None and reference not in defined and reference not in fixed:
                raise ProgramError(
                    "CIMC-P14", f"reads {reference[:80]!r}, which is not defined", where=where
                )
        for value in operation.outputs:
            if not value or f"%{value}" in defined:
                raise ProgramError(
                    "CIMC-P14", f"defines {value[:80]!r}, empty or defined already", where=where
                )
            defined.add(f"%{value}")
    for output, result in zip(program.outputs, program.results, strict=False):
        if result not in defined and not (result.startswith("@") and result in fixed):
            raise ProgramError(
                "CIMC-P14",
                f"is {result[:80]!r}, which is not defined",
                where=f"output '{output.name[:80]}'",
            )


def _check_results(program: DeviceProgram) -> None:
    """Each output has a value."""
    if len(program.outputs) != len(program.results):
        raise ProgramError(
            "CIMC-P13", f"{len(program.outputs)} outputs, {len(program.results)} results"
        )


def _check_operator(operation: Operation, program: DeviceProgram) -> None:
    """The operator is known, and is called as its signature says."""
    where = f"operation '{operation.name[:80]}' ({operation.op[:40]})"
    operator = OPERATORS.get(operation.op)
    if operator is None:
        raise ProgramError(
            "CIMC-P15",
            "no such operator",
            where=where,
            hint="the version of cimc that compiled the program",
        )
    _check_operands(operation, operator, where)
    check_attributes(operator.function, operation.attributes, where)
    if operator.outputs is not None and len(operation.outputs) != operator.outputs:
        raise ProgramError(
            "CIMC-P15",
            f"defines {len(operation.outputs)} values, the operator gives {operator.outputs}",
            where=where,
        )
    if operator.name == "opaque":
        _check_opaque(operation, program, where)


def _check_operands(operation: Operation, operator: Operator, where: str) -> None:
    required, most = operand_bounds(operator.function)
    count = len(operation.inputs)
    if count < required or (most is not None and count > most):
        wanted = f"{required}" if most == required else f"{required} to {most or 'any number of'}"
        raise ProgramError("CIMC-P15", f"{count} operands, not {wanted}", where=where)
    for position, reference in enumerate(operation.inputs):
        if reference is None and position < required:
            raise ProgramError("CIMC-P15", f"operand {position} cannot be omitted", where=where)
        if (reference or "").startswith("#") and position not in operator.weights:
            raise ProgramError(
                "CIMC-P15", f"operand {position} cannot be a crossbar layer", where=where
            )


def _check_opaque(operation: Operation, program: DeviceProgram, where: str) -> None:
    """An opaque operator holds a model that stays inside the file and the ONNX standard."""
    reference = operation.inputs[0] or ""
    model = program.constants.get(reference[1:]) if reference.startswith("@") else None
    if model is None or model.dim() != 1 or not _is_bytes(model):
        raise ProgramError("CIMC-P17", "its model is not a constant of bytes", where=where)
    try:
        check_opaque_model(model.numpy().tobytes(), ProgramError)
    except CimcError as error:
        raise ProgramError("CIMC-P17", error.message, where=where) from error


def _is_bytes(tensor: Tensor) -> bool:
    return str(tensor.dtype) == "torch.uint8"

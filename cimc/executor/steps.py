"""The operation list of a program, bound to tensors: what runs, in which order, what is freed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from cimc.errors import CimcError, ProgramError
from cimc.executor import fusion
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation

#: Values by reference: ``%value``, ``@tensor``, ``#layer``.
Environment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, ready to run.

    Attributes:
        operation: What it does, for messages.
        run: Takes the operands.
        operands: References, None an omitted operand.
        results: References it defines.
        several: Whether ``run`` returns a tuple.
        frees: References nobody reads after it.
        layers: Crossbar layers it reads.
    """

    operation: Operation
    run: Callable[..., Any]
    operands: tuple[str | None, ...]
    results: tuple[str, ...]
    several: bool
    frees: tuple[str, ...]
    layers: tuple[str, ...]

    def __call__(self, environment: Environment, limit: int) -> Any:
        """Run the operation and put its results into the environment.

        Args:
            environment: The values so far.
            limit: Most bytes a result may stand for: a view of little memory (an Expand) takes
                whoever reads it as long as if it were that large.

        Raises:
            ProgramError: CIMC-P42, it fails; CIMC-P43, it needs more memory than there is.
        """
        operands = [None if r is None else environment[r] for r in self.operands]
        try:
            result = self.run(*operands)
            for value in result if self.several else (result,):
                _require_size(value, limit)
        except CimcError:
            raise
        except (MemoryError, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _failure(self.operation, error) from error
        if self.several:
            environment.update(zip(self.results, result, strict=False))
        else:
            environment[self.results[0]] = result
        for reference in self.frees:
            environment.pop(reference, None)
        return result


def _require_size(value: Any, limit: int) -> None:
    # In Python's integers: ``nbytes`` wraps around.
    if isinstance(value, Tensor) and value.numel() * value.element_size() > limit:
        raise MemoryError


def _failure(operation: Operation, error: Exception) -> ProgramError:
    """Return the error for an operation that failed, in the user's terms."""
    source = f" (from '{operation.source}')" if operation.source else ""
    where = f"operation '{operation.name}'{source}, {operation.op}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, MemoryError) or "alloc" in text.lower():
        return ProgramError(
            "CIMC-P43",
            "an operation needs more memory than the machine has available",
            where=where,
            hint="fewer samples at a time",
        )
    return ProgramError(
        "CIMC-P42",
        f"an operation fails: {text}",
        where=where,
        hint="inputs of the shapes the model was exported for",
    )


def steps_of(
    program: DeviceProgram, analog: Mapping[str, Callable[..., Any]], *, converters: bool
) -> tuple[Step, ...]:
    """Return the program's operations as steps.

    Args:
        program: What to run.
        analog: By operation name, what runs instead of the operator's function.
        converters: Whether DACs quantize.
    """
    operations = fusion.without_idle_relus(program) if converters else program.operations
    frees = _last_uses(operations, program.results)
    instead = {**fusion.in_place(program, operations, frees), **analog}
    return tuple(_step(o, frees[o.name], instead.get(o.name)) for o in operations)


def _step(
    operation: Operation, frees: tuple[str, ...], instead: Callable[..., Any] | None
) -> Step:
    operator = OPERATORS[operation.op]
    return Step(
        operation,
        instead or partial(operator.function, **operation.attributes),
        operation.inputs,
        tuple(f"%{name}" for name in operation.outputs),
        operator.outputs != 1,
        frees,
        tuple(r[1:] for r in operation.inputs if r is not None and r.startswith("#")),
    )


def _last_uses(
    operations: Sequence[Operation], results: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return, for each operation, the values nobody reads after it."""
    needed = set(results)
    frees = {}
    for operation in reversed(operations):
        touched = [r for r in operation.inputs if r is not None and r.startswith("%")]
        touched += [f"%{name}" for name in operation.outputs]
        frees[operation.name] = tuple(dict.fromkeys(r for r in touched if r not in needed))
        needed.update(touched)
    return frees


def check(program: DeviceProgram) -> None:
    """Require that every operation exists and reads what is defined before it.

    Raises:
        ProgramError: CIMC-P40, it does not.
    """
    defined = {f"%{signal.name}" for signal in program.inputs}
    defined |= {f"@{name}" for name in program.constants} | {f"#{n}" for n in program.layers}
    for operation in program.operations:
        where = f"operation '{operation.name}'"
        if operation.op not in OPERATORS:
            raise ProgramError(
                "CIMC-P40",
                f"the program calls the operator {operation.op!r}, which this cimc does not have",
                where=where,
                hint="the cimc version that compiled it, or compiling it again",
            )
        for reference in operation.inputs:
            if reference is not None and reference not in defined:
                raise _undefined(reference, where)
        defined.update(f"%{name}" for name in operation.outputs)
    for result in program.results:
        if result not in defined:
            raise _undefined(result, "the program's results")


def _undefined(reference: str, where: str) -> ProgramError:
    message = f"the program reads {reference!r} before it is defined"
    return ProgramError("CIMC-P40", message, where=where, hint="compiling the model again")

"""Run one case the whole way and say what became of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

import cimc
from cimc.errors import CimcError
from cimc.executor import Executor
from tests.conformance.cases import Case

Kind = Literal["native", "opaque", "refused", "wrong"]


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        case: Its name.
        operator: The operator it tests.
        kind: ``native`` right natively, ``opaque`` right through an opaque operator, ``refused``
            with a clear error, ``wrong`` a mismatch or anything else.
        float_only: All inputs and outputs are float32.
        crossbars: Weights that went to crossbars [-].
        reason: Of a refusal its message, of a wrong case what went wrong.
        code: Error code of a refusal.
    """

    case: str
    operator: str
    kind: Kind
    float_only: bool
    crossbars: int = 0
    reason: str = ""
    code: str = ""


def judge(case: Case) -> Verdict:
    """Compile a case for the ideal target, run the program, compare with what is expected."""
    try:
        program = cimc.compile(case.model, target="ideal")
        executor = Executor(program, mode="ideal")
        names = [signal.name for signal in program.inputs]
        for inputs, expected in case.data_sets:
            got = executor.run(dict(zip(names, inputs, strict=True))).outputs
            problem = compare(list(got.values()), expected, case)
            if problem:
                return _wrong(case, problem)
    except CimcError as error:
        if error.exit_code == 70 or not error.code:
            return _wrong(case, f"{error.code}: {error.message}")
        return Verdict(
            case.name, case.operator, "refused", case.float_only, 0, error.message, error.code
        )
    except Exception as error:  # noqa: BLE001 - whatever else comes out is a finding
        return _wrong(case, f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}")
    opaque = any(operation.op == "opaque" for operation in program.operations)
    kind: Kind = "opaque" if opaque else "native"
    return Verdict(case.name, case.operator, kind, case.float_only, len(program.layers))


def compare(got: list[Any], expected: list[Any], case: Case) -> str:
    """Return how outputs differ from what is expected; '' when they agree.

    Tolerances are those of the onnx backend test; shapes and element types must be equal.
    """
    if len(got) != len(expected):
        return f"{len(got)} outputs instead of {len(expected)}"
    for position, (a, b) in enumerate(zip(got, expected, strict=True)):
        problem = _differ(a, b, case)
        if problem:
            return f"output {position}: {problem}"
    return ""


def _differ(got: Any, expected: Any, case: Case) -> str:
    if expected is None or got is None:
        return "" if expected is got else f"{type(got).__name__} instead of {expected}"
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return f"a {type(got).__name__} instead of a sequence of {len(expected)}"
        return next(filter(None, (_differ(a, b, case) for a, b in zip(got, expected))), "")
    a, b = _array(got), np.asarray(expected)
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if b.dtype.kind in "OUT":
        return "" if a.astype(object).tolist() == b.astype(object).tolist() else "other strings"
    if a.dtype != b.dtype:
        return f"element type {a.dtype} instead of {b.dtype}"
    if b.dtype.kind not in "biufc":
        a, b = a.astype(np.float32), b.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if np.allclose(a, b, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return ""
        worst = np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)))
    return f"values differ by up to {worst:.3g}"


def _array(value: Any) -> np.ndarray:
    """Return an output as an array of the element type numpy has for it."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    if value.dtype == torch.bfloat16:
        import ml_dtypes

        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def _wrong(case: Case, reason: str) -> Verdict:
    return Verdict(case.name, case.operator, "wrong", case.float_only, 0, reason)

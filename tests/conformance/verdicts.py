"""Run one case the whole way and say what became of it."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from cimc.errors import CimcError
from cimc.executor import Executor
from cimc.frontends.onnx_import import import_onnx
from cimc.lowering.emit import emit
from cimc.ops.arrays import is_small_float
from cimc.passbase import PassContext
from cimc.pipeline.options import Options
from cimc.pipeline.runner import Runner
from cimc.program import read, write
from cimc.program.model import DeviceProgram
from cimc.targets import load_target
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


def build(model: onnx.ModelProto) -> DeviceProgram:
    """Take a model the whole way to a device program for the ideal target, written and read.

    This is what :func:`cimc.compile` does, less its comparison with onnxruntime: here the expected
    output of the case is the oracle, and onnxruntime may be wrong.
    """
    target = load_target("ideal")
    runner = Runner(PassContext(target), None, None, False)
    network = runner.run(Options().passes(target), import_onnx(model))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.cim"
        write(emit(network, target, {}), path)
        return read(path)


def judge(case: Case) -> Verdict:
    """Compile a case for the ideal target, run the program, compare with what is expected."""
    try:
        program = build(case.model)
        executor = Executor(program, mode="ideal")
        names = [signal.name for signal in program.inputs]
        for inputs, expected in case.data_sets:
            feeds = dict(zip(names, map(_feed, inputs), strict=True))
            got = executor.run(feeds).outputs
            problem = compare(list(got.values()), expected, case)
            if problem:
                return _wrong(case, problem)
    except CimcError as error:
        if error.exit_code == 70 or not error.code:
            return _wrong(case, f"{error.code}: {error.message}")
        return Verdict(
            case.name, case.operator, "refused", case.float_only, 0, error.message, error.code
        )
    except Exception as error:
        return _wrong(case, f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}")
    opaque = any(operation.op == "opaque" for operation in program.operations)
    kind: Kind = "opaque" if opaque else "native"
    return Verdict(case.name, case.operator, kind, case.float_only, len(program.layers))


def _feed(value: Any) -> Any:
    """Return an input as a program takes it."""
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":
        return value.astype(np.float32)  # either will do; this is the documented way
    return value


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
        return next(
            filter(None, (_differ(a, b, case) for a, b in zip(got, expected, strict=True))), ""
        )
    a, b = np.asarray(got), np.asarray(expected)
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if b.dtype.kind in "OUT":
        return "" if a.astype(object).tolist() == b.astype(object).tolist() else "other strings"
    if is_small_float(b.dtype.name):  # programs give these as float32
        b = b.astype(np.float32)
    if a.dtype != b.dtype:
        return f"element type {a.dtype} instead of {b.dtype}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if np.allclose(a, b, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return ""
        worst = np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)))
    return f"values differ by up to {worst:.3g}"


def _wrong(case: Case, reason: str) -> Verdict:
    return Verdict(case.name, case.operator, "wrong", case.float_only, 0, reason)

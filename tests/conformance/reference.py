"""Whether onnxruntime itself gives what a case expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from tests.conformance.cases import Case
from tests.conformance.verdicts import compare


def disagreement(case: Case) -> str | None:
    """Return how onnxruntime's outputs differ from what is expected.

    Returns:
        ``''`` where it agrees, None where it cannot run the case.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [argument.name for argument in session.get_inputs()]
        for inputs, expected in case.data_sets:
            feeds = {n: _feed(v) for n, v in zip(names, inputs, strict=True)}
            problem = compare(session.run(None, feeds), expected, case)
            if problem:
                return problem
    except Exception:
        return None
    return ""


def _feed(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "UT":
        return value.astype(object)
    return value

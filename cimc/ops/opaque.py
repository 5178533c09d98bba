"""The opaque digital operator: whatever has no native operator runs in onnxruntime."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cimc.errors import CimcError, ModelError, ProgramError
from cimc.ops.opaque_memory import bounded_memory
from cimc.ops.opaque_model import check_opaque_model
from cimc.ops.opaque_values import BIT_TYPES, from_ort, from_ort_value, to_feed, to_ort_value

if TYPE_CHECKING:
    import onnxruntime  # few programs hold such an operator, and importing it takes a while

#: Codes of a broken program, by those of a broken model.
PROGRAM_CODES = {
    "CIMC-M31": "CIMC-P55",
    "CIMC-M32": "CIMC-P56",
    "CIMC-M33": "CIMC-P57",
    "CIMC-M34": "CIMC-P58",
    "CIMC-M35": "CIMC-P59",
}
#: Sessions kept ready; the least recently used one is dropped first.
MAX_SESSIONS = 128


@dataclass(frozen=True, slots=True)
class OpaqueLimits:
    """What one run of an opaque operator may take.

    Attributes:
        seconds: Wall-clock time; looked at between nodes and loop iterations [s].
        mebibytes: Memory it may allocate, outputs included [MiB].
        error: Raised when the operator fails; an executor of programs asks for ``ProgramError``.
    """

    seconds: float = 120.0
    mebibytes: int = 4096
    error: type[CimcError] = ModelError

    def failure(self, code: str, message: str, *, where: str = "", hint: str = "") -> CimcError:
        """Return an error of the class asked for, with the code that goes with it."""
        if issubclass(self.error, ProgramError):
            code = PROGRAM_CODES[code]
        return self.error(code, message, where=where, hint=hint)


DEFAULT_LIMITS = OpaqueLimits()
_limits: ContextVar[OpaqueLimits] = ContextVar("opaque_limits", default=DEFAULT_LIMITS)


@contextmanager
def opaque_limits(
    *,
    seconds: float | None = None,
    mebibytes: int | None = None,
    error: type[CimcError] | None = None,
) -> Iterator[None]:
    """Change the limits of every opaque operator run inside the ``with`` block; None keeps one."""
    given = {"seconds": seconds, "mebibytes": mebibytes, "error": error}
    changed = {key: value for key, value in given.items() if value is not None}
    token = _limits.set(replace(_limits.get(), **changed))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _limits.reset(token)


class _Sessions:
    """Sessions by digest of their model; bounded, safe to use from several threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._sessions: OrderedDict[str, onnxruntime.InferenceSession] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: bytes) -> onnxruntime.InferenceSession:
        """Return the session of a model, made on first use.

        Raises:
            CimcError: The model is not one an opaque operator may hold, or has no kernel.
        """
        key = hashlib.sha256(model).hexdigest()
        with self._lock:
            found = self._sessions.get(key)
            if found is None:
                found = self._sessions[key] = open_session(model)
                if len(self._sessions) > self.capacity:
                    self._sessions.popitem(last=False)
            self._sessions.move_to_end(key)
        return found


_sessions = _Sessions(MAX_SESSIONS)


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Check an opaque operator's model and make an onnxruntime session of it.

    Graph optimizations are off: there is one node to run, and folding constants would do work
    before any limit holds.

    Raises:
        CimcError: ``CIMC-M31`` the model is not one an opaque operator may hold, ``CIMC-M32``
            onnxruntime has no kernel for it.
    """
    import onnxruntime

    limits = _limits.get()
    name = check_opaque_model(model, limits.failure)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False  # an arena would keep the peak of every operator
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        with bounded_memory(limits.mebibytes):
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (Exception, MemoryError) as error:
        raise limits.failure(
            "CIMC-M32",
            f"onnxruntime cannot run this operator: {_first_line(error)}",
            where=name,
            hint="replacing the operator in the model by others",
        ) from error


def prepare(model: bytes) -> None:
    """Check that a model can be run as an opaque operator and keep it ready.

    Raises:
        CimcError: See :func:`open_session`.
    """
    _sessions.get(model)


def opaque(model: Tensor, *inputs: Any, outputs: int) -> tuple[Any, ...]:
    """Run a serialized model as one digital operator in onnxruntime.

    The values need not be tensors: strings are numpy arrays of objects, sequences are lists,
    an empty optional is None.  There is no gradient.

    Args:
        model: A ``ModelProto``, uint8 ``(bytes,)``; usually a single node.
        *inputs: One value for each graph input of the model, in order.
        outputs: Graph outputs of the model [-].

    Returns:
        The outputs; a tuple even of one, because an output may be a list itself.

    Raises:
        CimcError: ``CIMC-M31`` not a model an opaque operator may hold, ``CIMC-M32`` no kernel for
            it, ``CIMC-M33`` the run failed, ``CIMC-M34`` it took too long or too much memory,
            ``CIMC-M35`` a value onnxruntime cannot be given.
    """
    session = _sessions.get(model.detach().cpu().numpy().tobytes())
    limits = _limits.get()
    name = session.get_modelmeta().graph_name
    declared = session.get_inputs()
    if len(declared) != len(inputs) or len(session.get_outputs()) != outputs:
        raise limits.failure(
            "CIMC-M31",
            f"the operator has {len(declared)} inputs and {len(session.get_outputs())} outputs, "
            f"the call {len(inputs)} and {outputs}",
            where=name,
        )
    bits = any(a.type in BIT_TYPES for a in (*declared, *session.get_outputs()))
    feeds = {}
    for position, (value, argument) in enumerate(zip(inputs, declared, strict=True)):
        try:
            feeds[argument.name] = (to_ort_value if bits else to_feed)(value, argument.type)
        except TypeError as error:
            raise limits.failure(
                "CIMC-M35",
                f"input {position} should be {argument.type}, got {error}",
                where=name,
            ) from error
    results = _run(session, feeds, limits, name, bits)
    device = next((v.device for v in inputs if isinstance(v, Tensor)), model.device)
    return tuple((from_ort_value if bits else from_ort)(r, device) for r in results)


def _run(
    session: onnxruntime.InferenceSession,
    feeds: dict[str, Any],
    limits: OpaqueLimits,
    name: str,
    bits: bool,
) -> Any:
    """Run a session within limits of time and memory, on OrtValues when ``bits``."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    watchdog = threading.Timer(limits.seconds, setattr, (options, "terminate", True))
    watchdog.daemon = True
    watchdog.start()
    try:
        with bounded_memory(limits.mebibytes):
            if bits:
                return session.run_with_ort_values(None, feeds, options)
            return session.run(None, feeds, options)
    except (Exception, MemoryError) as error:
        text = _first_line(error)
        if options.terminate or _is_out_of_memory(error, text):
            what = (
                f"took longer than {limits.seconds:g} s"
                if options.terminate
                else f"needs more than {limits.mebibytes} MiB of memory"
            )
            raise limits.failure(
                "CIMC-M34",
                f"the operator {what}",
                where=name,
                hint="a larger limit, if the operator can be trusted",
            ) from error
        raise limits.failure(
            "CIMC-M33", f"onnxruntime could not run the operator: {text}", where=name
        ) from error
    finally:
        watchdog.cancel()


def _first_line(error: BaseException) -> str:
    """Return what onnxruntime said, without its source locations."""
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    line = line.split("Status Message: ")[-1]
    line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line)
    line = re.sub(r"^(?:Exception during initialization: )?/\S+:\d+ .*\)(?: const)? ", "", line)
    return re.sub(r"^.* was false\. ?", "", line)[:300]


def _is_out_of_memory(error: BaseException, text: str) -> bool:
    """Whether onnxruntime failed for want of memory."""
    return isinstance(error, MemoryError) or any(
        word in text
        for word in (
            "bad_alloc",
            "bfc_arena",
            "ailed to allocate",
            "exceeds the supported maximum",
        )
    )

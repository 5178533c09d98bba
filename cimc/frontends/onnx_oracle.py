"""The independent oracle: onnxruntime on the original model."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from cimc.errors import ModelError
from cimc.ir.network import Array

#: Threads a session may use; verification runs several chips beside it.
THREADS = 2

#: Files beside each other that make a model large, its external data among them [byte].
LARGE_BYTES = 2**29


class Oracle:
    """Runs the original model; the session is made on first use and kept.

    Args:
        model: Path of the model, or the serialized model.
    """

    def __init__(self, model: Path | bytes) -> None:
        self._model = model
        self._session: Any = None
        self._lock = threading.Lock()

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name.

        Raises:
            ModelError: ``CIMC-M16``: onnxruntime cannot load or run the model on these inputs.
        """
        session = self._open()
        names = [output.name for output in session.get_outputs()]
        try:
            values = session.run(names, dict(inputs))
        except Exception as error:
            raise _refused(error) from error
        return dict(zip(names, values, strict=True))

    def close(self) -> None:
        """Free the session and the weights it holds; the next call makes a new one."""
        with self._lock:
            self._session = None

    def _open(self) -> Any:
        with self._lock:
            if self._session is None:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = THREADS
                options.inter_op_num_threads = 1
                options.log_severity_level = 4
                # Quantize-dequantize pairs mean what they say; no integer kernels instead of them.
                options.add_session_config_entry("session.disable_quant_qdq", "1")
                options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
                if _is_large(self._model):
                    # Packed copies of the weights would double the memory of a large model.
                    options.add_session_config_entry("session.disable_prepacking", "1")
                model = str(self._model) if isinstance(self._model, Path) else self._model
                try:
                    self._session = onnxruntime.InferenceSession(
                        model, options, providers=["CPUExecutionProvider"]
                    )
                except Exception as error:
                    raise _refused(error) from error
        return self._session


def _is_large(model: Path | bytes) -> bool:
    if not isinstance(model, Path):
        return len(model) > LARGE_BYTES
    return sum(p.stat().st_size for p in model.parent.iterdir() if p.is_file()) > LARGE_BYTES


def _refused(error: Exception) -> ModelError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(
        "CIMC-M16",
        f"onnxruntime, the float reference, refuses the model or these inputs: {lines[0]}",
        hint="running the model with onnxruntime alone first",
    )

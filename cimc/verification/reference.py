"""The float network: the original model, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.verification.batches import join, split
from cimc.verification.data import Data

Array = npt.NDArray[Any]
#: The original model as a path to an ONNX file, or as a function from inputs to outputs by name.
Reference = str | Path | Callable[[Mapping[str, Array]], Mapping[str, Array]]

_TYPES = {"float": "float32", "double": "float64"}


class OnnxModel:
    """An ONNX file opened in onnxruntime."""

    def __init__(self, path: str | Path, extra_outputs: Sequence[str] = ()) -> None:
        """Open the model.

        Args:
            path: ONNX file; external data are looked for beside it.
            extra_outputs: Inner values to return beside the model's outputs.

        Raises:
            ModelError: CIMC-M88, onnxruntime cannot load it.
        """
        import onnxruntime as ort

        self.path = Path(path)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        source: str | bytes = str(self.path)
        try:
            if extra_outputs:
                source = _with_outputs(self.path, extra_outputs)
                folder = str(self.path.resolve().parent)
                options.add_session_config_entry(
                    "session.model_external_initializers_file_folder_path", folder
                )
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime and protobuf share no base class of their own
            raise _cannot(self.path, "load", error) from error
        self.signals = tuple(
            Signal(i.name, _dtype(i.type), _shape(i.shape)) for i in self._session.get_inputs()
        )
        self.outputs = tuple(o.name for o in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name.

        Raises:
            ModelError: CIMC-M88, onnxruntime fails.
        """
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:
            raise _cannot(self.path, "run", error) from error
        return dict(zip(self.outputs, map(np.asarray, values), strict=True))

    def run_all(self, data: Data, *, batched: bool, batch: int) -> dict[str, Array]:
        """Return the outputs for a whole data set, one array an output.

        Raises:
            ModelError: CIMC-M89, the model takes other inputs than the data have.
        """
        self._check_names(data)
        feeds = split(data, self.signals, batched=batched, batch=batch)
        return join([self.run(feed) for feed in feeds])

    def _check_names(self, data: Data) -> None:
        missing = [s.name for s in self.signals if s.name not in data.inputs]
        if missing:
            raise ModelError(
                "CIMC-M89",
                f"the reference takes an input '{missing[0]}' the program does not have",
                where=str(self.path),
                hint="the model the program was compiled from",
            )


def reference_outputs(
    reference: Reference, data: Data, *, batched: bool, batch: int
) -> dict[str, Array]:
    """Return the outputs of the float network for a data set, one array an output."""
    if callable(reference):
        return {n: np.asarray(a) for n, a in reference(data.inputs).items()}
    return OnnxModel(reference).run_all(data, batched=batched, batch=batch)


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    """Return the model with inner values among its outputs; external weights stay outside."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    present = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    serialized: bytes = model.SerializeToString()
    return serialized


def _cannot(path: Path, what: str, error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    return ModelError(
        "CIMC-M88",
        f"onnxruntime cannot {what} the reference: {text[:300]}",
        where=str(path),
        hint="the ONNX file the program was compiled from",
    )


def _dtype(kind: str) -> str:
    inner = kind.removeprefix("tensor(").removesuffix(")")
    if not kind.startswith("tensor("):
        return "sequence"
    return _TYPES.get(inner, inner)


def _shape(shape: Sequence[int | str | None] | None) -> tuple[int | str, ...] | None:
    if shape is None:
        return None
    return tuple("" if d is None else d for d in shape)

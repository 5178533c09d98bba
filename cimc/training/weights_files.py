"""Write weights by the source's names: into a copy of the source ONNX file, or as safetensors.

A file appears under its name when it is complete: an interrupted run leaves the old one, or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper
from safetensors.numpy import save

from cimc.errors import ModelError, UsageError

#: Whatever the network was imported from.
OnnxModel = str | Path | bytes | onnx.ModelProto
Weights = Mapping[str, npt.NDArray[np.generic]]
#: External tensors start at multiples of this, as onnxruntime maps them [byte].
_ALIGNMENT = 4096
_CHUNK = 1 << 22


def write_safetensors(weights: Weights, out: str | Path) -> None:
    """Write weights as one safetensors file, the same bytes for the same weights.

    Raises:
        UsageError: CIMC-U07, it cannot be written.
    """
    content = save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)})
    _write(Path(out), lambda file: file.write(content))


def write_onnx(model: OnnxModel, weights: Weights, out: str | Path) -> None:
    """Write a copy of an ONNX model that has other weights.

    Initializers and the values of Constant nodes change, in branches too; everything else stays.
    Where the model keeps weights in files of their own, the copy has one such file beside it,
    ``NAME.<digest>.data``, that no older copy refers to.

    Args:
        model: Path, serialized model or ``ModelProto``; it is not changed.
        weights: By the names of initializers, or of the outputs of Constant nodes.
        out: The file to write; may be the model's own.

    Raises:
        ModelError: CIMC-M01 the model cannot be read; CIMC-M93 it has no weight of a name, or of
            another shape, or several.
        UsageError: CIMC-U07, the copy cannot be written.
    """
    proto, folder = _read(model)
    places = _places(proto.graph)
    for name, value in weights.items():
        _place(name, places)(np.asarray(value))
    external = [t for t in _tensors(proto.graph) if _is_external(t)]
    path = Path(out)
    if external:
        _write_external(path, external, folder)
    content = proto.SerializeToString(deterministic=True)
    _write(path, lambda file: file.write(content))


def _read(model: OnnxModel) -> tuple[onnx.ModelProto, Path]:
    """Return a model, its own, with external data left where they are, and their folder."""
    copied = onnx.ModelProto()
    if isinstance(model, onnx.ModelProto):
        copied.CopyFrom(model)
        return copied, Path()
    try:
        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        copied.ParseFromString(data)
    except (OSError, DecodeError, ValueError) as error:
        where = "the model" if isinstance(model, bytes) else str(model)
        raise ModelError("CIMC-M01", "cannot read the model", where=where) from error
    return copied, Path() if isinstance(model, bytes) else Path(model).parent


_Setter = Callable[[npt.NDArray[np.generic]], None]


def _places(graph: onnx.GraphProto) -> dict[str, list[_Setter]]:
    """Return what sets the constants of a graph and its branches, by name."""
    found: dict[str, list[_Setter]] = {}
    for inner in _graphs(graph):
        for tensor in inner.initializer:
            found.setdefault(tensor.name, []).append(_of_tensor(tensor, tensor.name))
        for node in inner.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                name = node.output[0]
                found.setdefault(name, []).extend(_of_constant(node, name))
    return found


def _place(name: str, places: Mapping[str, list[_Setter]]) -> _Setter:
    found = places.get(name, [])
    if len(found) == 1:
        return found[0]
    raise ModelError(
        "CIMC-M93",
        f"the model has {len(found) or 'no'} constants of the name {name!r}",
        hint="the model that was compiled" if not found else "giving them names of their own",
    )


def _of_tensor(tensor: onnx.TensorProto, name: str) -> _Setter:
    def put(value: npt.NDArray[np.generic]) -> None:
        _require_shape(name, value, tuple(tensor.dims))
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        own_name, doc, external = tensor.name, tensor.doc_string, _is_external(tensor)
        tensor.CopyFrom(numpy_helper.from_array(value.astype(kind), own_name))
        tensor.doc_string = doc
        if external:  # written out again by _write_external
            tensor.data_location = onnx.TensorProto.EXTERNAL

    return put


def _of_constant(node: onnx.NodeProto, name: str) -> Iterator[_Setter]:
    for attribute in node.attribute:
        if attribute.name == "value":
            yield _of_tensor(attribute.t, name)
        elif attribute.name == "value_float":
            yield _of_float(attribute, name)
        elif attribute.name == "value_floats":
            yield _of_floats(attribute, name)


def _of_float(attribute: onnx.AttributeProto, name: str) -> _Setter:
    def put(value: npt.NDArray[np.generic]) -> None:
        _require_shape(name, value, ())
        attribute.f = float(value.astype(np.float64))

    return put


def _of_floats(attribute: onnx.AttributeProto, name: str) -> _Setter:
    def put(value: npt.NDArray[np.generic]) -> None:
        _require_shape(name, value, (len(attribute.floats),))
        attribute.floats[:] = value.astype(np.float64).tolist()

    return put


def _require_shape(name: str, value: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ModelError(
            "CIMC-M93",
            f"the model's {name!r} has shape {shape}, the weight {value.shape}",
            hint="the model that was compiled",
        )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for inner in _graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _write_external(path: Path, tensors: list[onnx.TensorProto], folder: Path) -> None:
    """Write external tensors to one file beside the model, and let them refer to it."""
    digest = hashlib.sha256()
    spans: list[tuple[int, int]] = []

    def write(file: BinaryIO) -> None:
        for tensor in tensors:
            padding = bytes(-file.tell() % _ALIGNMENT)
            file.write(padding)
            start = file.tell()
            for chunk in _content(tensor, folder):
                file.write(chunk)
                digest.update(chunk)
            spans.append((start, file.tell() - start))

    def name() -> Path:
        return path.with_name(f"{path.name}.{digest.hexdigest()[:16]}.data")

    data = _write(path, write, name)
    for tensor, (offset, length) in zip(tensors, spans, strict=True):
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        for key, value in (("location", data.name), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))


def _content(tensor: onnx.TensorProto, folder: Path) -> Iterator[bytes]:
    """Yield the bytes of a tensor: its new ones, or those in its file."""
    if tensor.HasField("raw_data"):
        yield tensor.raw_data
        return
    entries = {e.key: e.value for e in tensor.external_data}
    try:
        with (folder / entries["location"]).open("rb") as file:
            file.seek(int(entries.get("offset", 0)))
            left = int(entries["length"]) if "length" in entries else None
            while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
                left = None if left is None else left - len(chunk)
                yield chunk
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(
            "CIMC-M02", "external data cannot be read", where=f"initializer {tensor.name!r}"
        ) from error


def _write(
    path: Path, content: Callable[[BinaryIO], object], name: Callable[[], Path] | None = None
) -> Path:
    """Write a file whole or not at all; returns where it is.

    Args:
        path: Where, unless ``name`` says.
        content: Writes it.
        name: Asked for the path when it is written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            content(file)
            file.flush()
            os.fsync(file.fileno())
        final = path if name is None else name()
        partial.replace(final)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise UsageError(
                "CIMC-U07", f"cannot write: {error.strerror}", where=str(path)
            ) from error
        raise
    return final

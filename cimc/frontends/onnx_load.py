"""Read an ONNX model, refuse what is broken, and hand it on as an ``onnx_ir`` model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir import external_data

from cimc.errors import ModelError, UsageError
from cimc.frontends.onnx_branches import take_known_branches
from cimc.frontends.onnx_expand import expand_functions
from cimc.frontends.onnx_oracle import Oracle
from cimc.frontends.onnx_shapes import fixed_shapes, fold_shapes
from cimc.frontends.onnx_structure import check_structure, first_line
from cimc.frontends.onnx_types import infer_types

#: Whatever can be imported as an ONNX model.
OnnxSource = str | Path | bytes | onnx.ModelProto | ir.Model

#: Oldest operator set read; older ones attach the meaning of operators to attributes that are
#: gone, and no current exporter writes them.
OLDEST_OPSET = 7
#: Oldest version of the file format read.
OLDEST_IR = 3
_CHUNK = 1 << 22
#: Serialized models beyond this cannot be handed around as bytes.
_MAX_PROTO_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that passed the structural checks.

    Attributes:
        model: Functions inlined, weights lazy.
        path: Its file, or ''.
        sha256: Digest of the file with its external data, or of the serialized model.
        oracle: Runs the original.
    """

    model: ir.Model
    path: str
    sha256: str
    oracle: Oracle


def load(source: OnnxSource) -> LoadedModel:
    """Read and check a model.

    Raises:
        ModelError: ``CIMC-M01`` it cannot be read, ``CIMC-M02`` its external data cannot,
            ``CIMC-M03`` ... ``CIMC-M08`` its graph or version is not valid.
        UsageError: ``CIMC-U29`` it is not something that can be imported.
    """
    if isinstance(source, str | Path):
        return _load_file(Path(source))
    if isinstance(source, bytes):
        return _load_proto(_parse(source, "the model"), source)
    if isinstance(source, onnx.ModelProto):
        return _load_proto(source, None)
    if isinstance(source, ir.Model):
        return _load_ir(source)
    raise UsageError(
        "CIMC-U29",
        f"a model is a path, bytes, ModelProto or onnx_ir.Model (got {type(source).__name__})",
    )


def _load_file(path: Path) -> LoadedModel:
    if path.is_dir():
        raise ModelError("CIMC-M01", "the model is a folder, not a file", where=str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "CIMC-M01", f"cannot read the model: {error.strerror}", where=str(path)
        ) from error
    proto = _parse(data, str(path))
    digest = hashlib.sha256(data)
    del data
    _check_versions(proto, str(path))
    check_structure(proto, path)
    model = _deserialize(expand_functions(proto))
    external_data.set_base_dir(model.graph, str(path.parent.resolve()))
    for location in _external_files(model):
        _add_file(digest, path.parent / location, location)
    return LoadedModel(model, str(path), digest.hexdigest(), Oracle(path.resolve()))


def _load_proto(proto: onnx.ModelProto, data: bytes | None) -> LoadedModel:
    _check_versions(proto, "")
    check_structure(proto, None)
    data = proto.SerializeToString(deterministic=True) if data is None else data
    model = _deserialize(expand_functions(proto))
    return LoadedModel(model, "", hashlib.sha256(data).hexdigest(), Oracle(data))


def _load_ir(model: ir.Model) -> LoadedModel:
    size = sum(v.const_value.nbytes for v in _initializers(model) if v.const_value is not None)
    if size > _MAX_PROTO_BYTES:
        raise ModelError(
            "CIMC-M01",
            f"a model of {size >> 20} MiB in memory; more than 2048 MiB must come from a file",
            hint="saving the model with external data and giving its path",
        )
    return _load_proto(ir.serde.serialize_model(model), None)


def _parse(data: bytes, where: str) -> onnx.ModelProto:
    try:
        proto = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError("CIMC-M01", "not an ONNX model", where=where) from error
    if not proto.ir_version and not proto.HasField("graph"):
        raise ModelError("CIMC-M01", "not an ONNX model", where=where)
    return proto


def _check_versions(proto: onnx.ModelProto, where: str) -> None:
    """Refuse formats and operator sets that are too old."""
    if proto.ir_version < OLDEST_IR:
        raise ModelError(
            "CIMC-M08",
            f"IR version {proto.ir_version}; the oldest supported is {OLDEST_IR}",
            where=where,
            hint="exporting the model again with a current exporter",
        )
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST_OPSET:
            raise ModelError(
                "CIMC-M07",
                f"opset {opset.version}; the oldest supported is {OLDEST_OPSET}",
                where=where,
                hint="converting the model with onnx.version_converter",
            )


def _deserialize(proto: onnx.ModelProto) -> ir.Model:
    """Return the model with local functions inlined and types inferred."""
    if proto.functions:
        try:
            proto = onnx.inliner.inline_local_functions(proto, convert_version=True)
        except Exception as error:
            raise ModelError(
                "CIMC-M18", f"local functions cannot be inlined: {first_line(error)}"
            ) from error
    infer_types(proto)
    sizes = fixed_shapes(proto)
    try:
        model = ir.serde.deserialize_model(proto)
    except Exception as error:
        raise ModelError("CIMC-M03", f"the graph is not valid: {first_line(error)}") from error
    if model.functions:
        names = ", ".join(sorted(function.name for function in model.functions.values()))
        raise ModelError("CIMC-M18", f"local functions cannot be inlined: {names}")
    fold_shapes(model, sizes)
    take_known_branches(model)
    return model


def _initializers(model: ir.Model) -> list[ir.Value]:
    return [value for graph in model.graphs() for value in graph.initializers.values()]


def _external_files(model: ir.Model) -> list[str]:
    """Return the external data files, each once, in name order."""
    tensors = (value.const_value for value in _initializers(model))
    return sorted({str(t.location) for t in tensors if isinstance(t, ir.ExternalTensor)})


def _add_file(digest: hashlib._Hash, path: Path, name: str) -> None:
    digest.update(name.encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)

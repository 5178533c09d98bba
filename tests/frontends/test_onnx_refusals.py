"""What is not imported, and with which error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cimc.errors import CimcError, ModelError, UsageError
from cimc.frontends import import_onnx
from tests.frontends.single_node import model

X = np.ones((1, 3, 4, 4), np.float32)
W = np.ones((2, 3, 3, 3), np.float32)


def conv(**attributes: object) -> onnx.ModelProto:
    return model("Conv", [X, W], 13, constants=(1,), **attributes)


def refused(made: object) -> CimcError:
    with pytest.raises(CimcError) as caught:
        import_onnx(made)  # type: ignore[arg-type]
    return caught.value


def test_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model at all")
    assert refused(path).code == "CIMC-M01"
    path.write_bytes(b"")
    assert refused(path).code == "CIMC-M01"
    assert refused(tmp_path / "missing.onnx").code == "CIMC-M01"
    assert refused(tmp_path).code == "CIMC-M01"
    assert isinstance(refused(17), UsageError)


def test_truncated_file_is_refused_everywhere(tmp_path: Path) -> None:
    data = conv().SerializeToString()
    for size in range(0, len(data), 7):
        assert isinstance(refused(data[:size]), ModelError)


def test_flipped_bytes_are_one_clear_error_or_harmless() -> None:
    data = conv().SerializeToString()
    rng = np.random.default_rng(0)
    codes = set()
    for position, value in zip(
        rng.integers(0, len(data), 250), rng.integers(0, 256, 250), strict=True
    ):
        broken = bytearray(data)
        broken[position] = value
        try:
            import_onnx(bytes(broken))
        except CimcError as error:
            codes.add(error.code)
    assert {"CIMC-M01", "CIMC-M06"} <= codes


def old_opset() -> onnx.ModelProto:
    made = conv()
    made.opset_import[0].version = 6
    return made


def old_ir() -> onnx.ModelProto:
    made = conv()
    made.ir_version = 2
    return made


def unknown_operator() -> onnx.ModelProto:
    made = conv()
    made.graph.node[0].op_type = "Convolve"
    return made


def missing_attribute() -> onnx.ModelProto:
    return model("MaxPool", [X], 13)


def twice() -> onnx.ModelProto:
    made = conv()
    made.graph.node.append(made.graph.node[0])
    return made


def initializer_twice() -> onnx.ModelProto:
    made = conv()
    made.graph.initializer.append(made.graph.initializer[0])
    return made


def output_twice() -> onnx.ModelProto:
    made = conv()
    made.graph.output.append(made.graph.output[0])
    return made


def undefined() -> onnx.ModelProto:
    made = conv()
    made.graph.node[0].input[0] = "nowhere"
    return made


def undefined_output() -> onnx.ModelProto:
    made = conv()
    made.graph.output[0].name = "nowhere"
    return made


def cycle() -> onnx.ModelProto:
    a = helper.make_node("Add", ["x", "q"], ["p"])
    b = helper.make_node("Relu", ["p"], ["q"])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [a, b],
        "g",
        [value("x", TensorProto.FLOAT, [1])],
        [value("q", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def flag_of_two() -> onnx.ModelProto:
    return model("ReduceSum", [X], 13, keepdims=2)


def no_such_type() -> onnx.ModelProto:
    made = model("Cast", [X], 13, to=1)
    made.graph.node[0].attribute[0].i = -3
    return made


def no_step() -> onnx.ModelProto:
    return conv(auto_pad="SAME_UPPER", strides=[1, 0])


def nan_weight() -> onnx.ModelProto:
    weight = W.copy()
    weight[0, 0, 0, 0] = np.nan
    weight[1, 0, 0, 0] = -np.inf
    return model("Conv", [X, weight], 13, constants=(1,))


def batch_statistics() -> onnx.ModelProto:
    c = np.ones(3, np.float32)
    return model(
        "BatchNormalization", [X, c, c, c, c], 15, outputs=3, constants=(1, 2), training_mode=1
    )


def old_batch_statistics() -> onnx.ModelProto:
    c = np.ones(3, np.float32)
    return model("BatchNormalization", [X, c, c, c, c], 9, outputs=5, constants=(1, 2))


def active_dropout() -> onnx.ModelProto:
    inputs = [X, np.array(0.5, np.float32), np.array(True)]
    return model("Dropout", inputs, 13, constants=(1, 2))


def switched_dropout() -> onnx.ModelProto:
    return model("Dropout", [X, np.array(0.5, np.float32), np.array(True)], 13)


@pytest.mark.parametrize(
    ("build", "code", "words"),
    [
        (old_opset, "CIMC-M07", ["opset 6", "version_converter"]),
        (old_ir, "CIMC-M08", ["IR version 2"]),
        (unknown_operator, "CIMC-M03", ["Convolve"]),
        (missing_attribute, "CIMC-M03", ["kernel_shape"]),
        (twice, "CIMC-M04", ["'y0'", "the_Conv"]),
        (initializer_twice, "CIMC-M04", ["'x1'"]),
        (output_twice, "CIMC-M04", ["'y0'", "graph outputs"]),
        (undefined, "CIMC-M06", ["'nowhere'", "the_Conv"]),
        (undefined_output, "CIMC-M06", ["'nowhere'", "graph outputs"]),
        (cycle, "CIMC-M05", ["cycle", "Add#0"]),
        (flag_of_two, "CIMC-M13", ["keepdims", "0 or 1"]),
        (no_such_type, "CIMC-M13", ["'to'", "-3"]),
        (no_step, "CIMC-M13", ["[1, 0]"]),
        (nan_weight, "CIMC-M11", ["'x1'", "2 values", "the_Conv"]),
        (batch_statistics, "CIMC-M09", ["training mode", "model.eval()", "the_BatchNorm"]),
        (old_batch_statistics, "CIMC-M09", ["training mode"]),
        (active_dropout, "CIMC-M10", ["active", "model.eval()"]),
        (switched_dropout, "CIMC-M10", ["switched by an input"]),
    ],
)
def test_refused(build: Callable[[], onnx.ModelProto], code: str, words: list[str]) -> None:
    error = refused(build())
    assert isinstance(error, ModelError)
    assert error.code == code
    text = str(error)
    assert all(word in text for word in words), text
    assert len(error.message.splitlines()) == 1


def test_dropout_that_does_nothing_is_imported() -> None:
    import_onnx(
        model("Dropout", [X, np.array(0, np.float32), np.array(True)], 13, constants=(1, 2))
    )
    import_onnx(model("Dropout", [X, np.array(0.5, np.float32)], 13, constants=(1,)))


def external(folder: Path, location: str) -> Path:
    """Return a model whose weight is external data at a location."""
    made = conv()
    tensor = made.graph.initializer[0]
    raw = numpy_helper.to_array(tensor).tobytes()
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=value)
    folder.mkdir(exist_ok=True)
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    (folder / "w.bin").write_bytes(raw)
    (folder.parent / "outside.bin").write_bytes(raw)
    return path


def test_external_data_is_read(tmp_path: Path) -> None:
    path = external(tmp_path / "m", "w.bin")
    network = import_onnx(path)
    first = network.source.sha256
    (tmp_path / "m" / "w.bin").write_bytes((W + 1).tobytes())
    assert import_onnx(path).source.sha256 != first


@pytest.mark.parametrize(
    "location", ["../outside.bin", "/etc/passwd", "missing.bin", "", "a/../w"]
)
def test_external_data_stays_in_its_folder(tmp_path: Path, location: str) -> None:
    assert refused(external(tmp_path / "m", location)).code == "CIMC-M02"


def test_external_data_behind_a_link(tmp_path: Path) -> None:
    path = external(tmp_path / "m", "link.bin")
    (tmp_path / "m" / "link.bin").symlink_to(tmp_path / "outside.bin")
    assert refused(path).code == "CIMC-M02"


def test_external_data_cut_short(tmp_path: Path) -> None:
    path = external(tmp_path / "m", "w.bin")
    data = (tmp_path / "m" / "w.bin").read_bytes()
    (tmp_path / "m" / "w.bin").write_bytes(data[:-1])
    assert refused(path).code == "CIMC-M02"


def test_external_data_without_a_file(tmp_path: Path) -> None:
    path = external(tmp_path / "m", "w.bin")
    assert refused(path.read_bytes()).code == "CIMC-M02"


def test_sparse_initializer() -> None:
    made = conv()
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    assert refused(made).code == "CIMC-M15"


def test_oracle_names_what_it_refuses() -> None:
    network = import_onnx(conv())
    with pytest.raises(ModelError) as caught:
        network.source.oracle({"x0": np.ones((1, 9, 4, 4), np.float32)})
    assert caught.value.code == "CIMC-M16"

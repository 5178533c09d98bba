import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.executor import Executor
from cimc.executor.values import to_array, to_tensor
from cimc.ir.network import Signal
from tests.executor.test_executor import images, small_network


def refused(inputs, mode: str = "chip") -> ModelError:
    with pytest.raises(ModelError) as caught:
        Executor(small_network(), mode).run(inputs)
    return caught.value


def test_names() -> None:
    assert refused({}).code == "CIMC-M80"
    assert "'x'" in refused({"y": images(1)}).message
    assert refused({"x": images(1), "z": images(1)}).code == "CIMC-M81"


def test_element_type() -> None:
    error = refused({"x": images(1).astype(np.float64)})
    assert error.code == "CIMC-M82"
    assert "float64" in error.message


@pytest.mark.parametrize("shape", [(1, 4, 6, 5), (3, 6, 5), ()])
def test_shape(shape: tuple[int, ...]) -> None:
    error = refused({"x": np.zeros(shape, dtype=np.float32)})
    assert error.code == "CIMC-M83"
    assert str(shape) in error.message
    assert "(n, 3, 6, 5)" in error.message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_converters_take_finite_numbers(bad: float) -> None:
    x = images(2)
    x[1, 0, 0, 0] = bad
    error = refused({"x": x}, "noise-free")
    assert error.code == "CIMC-M84"
    assert "1 of 180" in error.message
    y = Executor(small_network(), "ideal").run({"x": x}).outputs["y"]
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1]).all()


def test_a_sum_that_overflows_is_finite_data() -> None:
    x = np.full((1, 3, 6, 5), 3e38, dtype=np.float32)
    assert np.isfinite(Executor(small_network(), "noise-free").run({"x": x}).outputs["y"]).all()


def test_no_samples() -> None:
    y = Executor(small_network(), "noise-free").run({"x": images(0)}).outputs["y"]
    assert y.shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "uint8", "bfloat16"])
def test_there_and_back(dtype: str) -> None:
    array = np.array([[0, 1], [1, 1]], dtype="float32" if dtype == "bfloat16" else dtype)
    signal = Signal("x", dtype, (2, "n"))
    tensor = to_tensor(array, signal, torch.device("cpu"), finite=False)
    assert tensor.dtype == getattr(torch, dtype)
    back = to_array(tensor)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_arrays_torch_cannot_share() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    signal = Signal("x", "float32", None)
    read_only = array.copy()
    read_only.flags.writeable = False
    for odd in (read_only, array.T, array[:, ::-1], array.astype(">f4")):
        tensor = to_tensor(odd, signal, torch.device("cpu"), finite=True)
        np.testing.assert_array_equal(tensor.numpy(), odd)


def test_other_values_pass() -> None:
    words = np.array(["a", "b"], dtype=object)
    assert to_tensor(words, Signal("w", "string", (2,)), torch.device("cpu"), finite=True) is words
    assert to_array(words) is words

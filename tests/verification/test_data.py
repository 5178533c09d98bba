from collections.abc import Mapping

import numpy as np
import pytest

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.verification.data import check_data

IMAGE = Signal("x", "float32", ("n", 1, 4, 4))
STATE = Signal("h", "float32", (2, "n", 8))
IDS = Signal("ids", "int32", ("n", 5))


def refused(code: str, arrays: Mapping[str, np.ndarray], *signals: Signal) -> str:
    with pytest.raises(ModelError) as caught:
        check_data(arrays, signals)
    assert caught.value.code == code
    return str(caught.value)


def test_sets_labels_aside_and_counts_samples() -> None:
    data = check_data({"x": np.zeros((3, 1, 4, 4), np.float32), "labels": np.arange(3)}, [IMAGE])
    assert data.samples == 3
    assert set(data.inputs) == {"x"}
    assert data.labels is not None
    assert data.labels.dtype == np.int64


def test_an_input_called_labels_is_an_input() -> None:
    signal = Signal("labels", "int64", ("n",))
    data = check_data({"labels": np.arange(3)}, [signal])
    assert data.labels is None
    assert data.inputs["labels"].tolist() == [0, 1, 2]


def test_missing_and_unknown_arrays() -> None:
    x = np.zeros((1, 1, 4, 4), np.float32)
    assert refused("CIMC-M71", {"images": x}, IMAGE) == (
        "error[CIMC-M71]: no array for input 'x'\n"
        "  at the data, which hold 'images'\n"
        "  try one array for each of 'x'"
    )
    refused("CIMC-M78", {"x": x, "label": np.zeros(1)}, IMAGE)


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (3, 4, 4), (3, 1, 1, 1, 4, 4), ()])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    text = refused("CIMC-M72", {"x": np.zeros(shape, np.float32)}, IMAGE)
    assert "[n, 1, 4, 4]" in text
    assert str(list(shape)) in text


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.float16, np.bool_])
def test_types_that_become_float(dtype: type) -> None:
    data = check_data({"x": np.ones((2, 1, 4, 4), dtype)}, [IMAGE])
    assert data.inputs["x"].dtype == np.float32


def test_integers_must_survive() -> None:
    ids = np.zeros((2, 5), np.int64)
    assert check_data({"ids": ids}, [IDS]).inputs["ids"].dtype == np.int32
    ids[0, 0] = 2**40
    refused("CIMC-M73", {"ids": ids}, IDS)
    refused("CIMC-M73", {"ids": np.zeros((2, 5), np.float32)}, IDS)
    refused("CIMC-M73", {"x": np.full((1, 1, 4, 4), 1e300)}, IMAGE)
    refused("CIMC-M73", {"x": np.zeros((1, 1, 4, 4), np.complex64)}, IMAGE)


def test_extended_and_text_types() -> None:
    half = Signal("x", "bfloat16", ("n",))
    assert check_data({"x": np.zeros(2, np.float32)}, [half]).inputs["x"].dtype.name == "bfloat16"
    text = Signal("x", "string", ("n",))
    assert check_data({"x": np.array(["a", "b"])}, [text]).inputs["x"].dtype == object
    refused("CIMC-M73", {"x": np.zeros(2)}, text)
    refused("CIMC-M73", {"x": np.zeros(2)}, Signal("x", "sequence", ("n",)))


def test_sample_counts_must_agree() -> None:
    other = Signal("z", "float32", ("n", 2))
    arrays = {"x": np.zeros((3, 1, 4, 4), np.float32), "z": np.zeros((2, 2), np.float32)}
    refused("CIMC-M74", arrays, IMAGE, other)


def test_a_fixed_state_serves_all_samples() -> None:
    arrays = {"x": np.zeros((7, 1, 4, 4), np.float32), "h": np.zeros((2, 7, 8), np.float32)}
    assert check_data(arrays, [IMAGE, STATE]).samples == 7


def test_no_samples() -> None:
    refused("CIMC-M79", {"x": np.zeros((0, 1, 4, 4), np.float32)}, IMAGE)


@pytest.mark.parametrize(
    "labels", [np.zeros(2), np.array([0.5, 1, 2]), np.array(["a", "b", "c"]), np.array(1)]
)
def test_unusable_labels(labels: np.ndarray) -> None:
    refused("CIMC-M77", {"x": np.zeros((3, 1, 4, 4), np.float32), "labels": labels}, IMAGE)

import pytest

from cimc.errors import ModelError
from cimc.ir.made_up import made_up
from cimc.ir.network import Signal


@pytest.mark.parametrize(
    "shape", [("n", "a", "b", "c", "d"), (1, 2**20, 2**20), (2**62, 2**62, 4)]
)
def test_inputs_that_would_fill_the_memory_are_refused(shape):
    with pytest.raises(ModelError, match="CIMC-M53"):
        made_up([Signal("x", "float32", shape)], seed=0, trial=6)


def test_dynamic_axes_take_the_sizes_of_a_trial():
    found = made_up([Signal("x", "float32", ("n", 3, "h"))], seed=0, trial=2)
    assert found["x"].shape == (2, 3, 1)

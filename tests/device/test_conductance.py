import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.device.conductance import (
    differential_pair,
    middle_state,
    offset_column,
    offset_states,
)

G_MIN, G_MAX = 2.1, 17.85


def test_golden_of_the_paper() -> None:
    """[GDQ §4.4] prints these conductances for the first layer of its ResNet-18b."""
    delta = torch.tensor([-10.36, -0.57, 4.52, 15.75])

    plus, minus, gain = differential_pair(delta / 15.75 * 0.38, G_MIN, G_MAX)

    torch.testing.assert_close(plus, torch.tensor([2.1, 2.1, 6.62, 17.85]))
    torch.testing.assert_close(minus, torch.tensor([12.46, 2.67, 2.1, 2.1]))
    torch.testing.assert_close(gain, torch.tensor([0.38 / 15.75]))


@pytest.mark.parametrize("mapping", [differential_pair, offset_column])
@given(seed=st.integers(0, 2**16), size=st.integers(1, 40))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_gain_undoes_the_mapping(mapping, seed: int, size: int) -> None:
    weight = torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 10.0 ** (seed % 7)

    g, reference, gain = mapping(weight, G_MIN, G_MAX)

    torch.testing.assert_close(gain * (g - reference), weight, rtol=1e-5, atol=1e-6 * float(gain))
    for plane in (g, reference):
        assert plane.dtype == torch.float32
        assert float(plane.min()) >= torch.tensor(G_MIN)
        assert float(plane.max()) <= torch.tensor(G_MAX)


def test_offset_cells_stand_in_the_middle() -> None:
    _, offset, _ = offset_column(torch.tensor([-1.0, 0.25]), G_MIN, G_MAX)
    torch.testing.assert_close(offset, torch.tensor((G_MIN + G_MAX) / 2))


@pytest.mark.parametrize("mapping", [differential_pair, offset_column])
def test_scale_per_column(mapping) -> None:
    weight = torch.tensor([[0.1, -10.0], [-0.05, 5.0]])
    limit = weight.abs().amax(0, keepdim=True)

    g, reference, gain = mapping(weight, G_MIN, G_MAX, limit)

    assert gain.shape == (2,)
    torch.testing.assert_close(gain * (g - reference), weight)
    full = torch.maximum(g, reference.expand_as(g)) if mapping is differential_pair else g
    assert float(full.amax()) == pytest.approx(G_MAX)


@pytest.mark.parametrize("mapping", [differential_pair, offset_column])
@pytest.mark.parametrize("shape", [(3, 2), (0, 2)])
def test_no_weight_but_zero(mapping, shape) -> None:
    g, reference, gain = mapping(torch.zeros(shape), G_MIN, G_MAX)
    assert g.shape == shape
    assert gain.tolist() == [0.0]
    torch.testing.assert_close(g, reference.expand_as(g))


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_levels_of_offset_columns_name_their_states(seed: int, per_column: bool) -> None:
    """Any choice of states with the lowest or the highest among them is found again."""
    rng = np.random.default_rng(seed)
    states = tuple(np.cumsum(rng.uniform(0.5, 3.0, 7)).tolist())
    middle = middle_state(states)
    assert min(abs(s - (states[0] + states[-1]) / 2) for s in states) == abs(
        states[middle] - (states[0] + states[-1]) / 2
    )
    inner = rng.choice(np.arange(1, 6), 3, replace=False)
    ends = [[0], [6], [0, 6]][seed % 3]
    chosen = np.sort(np.concatenate([inner, ends]))
    differences = torch.tensor(states, dtype=torch.float64)[chosen] - states[middle]
    scale = torch.from_numpy(rng.uniform(0.01, 10, 4 if per_column else 1))
    levels = (scale[:, None] * differences).float()
    index, gain = offset_states(levels if per_column else levels[0], states)
    assert (index.reshape(-1, len(chosen)).numpy() == chosen).all()
    torch.testing.assert_close(gain, scale.float())


def test_a_column_of_zeros_stands_at_the_middle() -> None:
    index, gain = offset_states(torch.zeros(2, 3), (1.0, 3.0, 4.0, 9.0))
    assert index.tolist() == [[2] * 3] * 2
    assert gain.tolist() == [0.0, 0.0]

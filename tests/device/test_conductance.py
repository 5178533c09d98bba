import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.device.conductance import differential_pair, offset_column

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

import numpy as np
import pytest
import torch

from cimc.ir import rewrite
from cimc.targets import load_target
from tests.passes.networks import conv_net, lowered

RRAM = load_target("rram")


def planes(cells):
    """Conductances of each plane, cell by cell where columns have tables of their own."""
    states = cells.states_us
    if states is None:
        return list(cells.planes)
    if states.ndim == 1:
        return [states[p.long()] for p in cells.planes]
    found = []
    for plane in cells.planes:
        values = torch.empty(plane.shape)
        for (g, r, c), state in np.ndenumerate(plane.numpy()):
            values[g, r, c] = states[g * plane.shape[2] + c, state]
        found.append(values)
    return found


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
@pytest.mark.parametrize("per_column", [False, True])
def test_the_cells_hold_the_weights(encoding, per_column):
    target = RRAM.changed({"encoding": encoding})
    settings = {"quantize": {"levels": 8, "per_column": per_column}}
    net = lowered(conv_net(group=1), "assign-conductance", target, **settings)
    tensors = rewrite.attributes(net.graph)
    for layer in net.layers.values():
        first, second = planes(layer.cells)
        assert min(first.min(), second.min()) >= np.float32(2.1)
        assert max(first.max(), second.max()) <= np.float32(17.85)
        offset = second if encoding == "differential-pair" else second[:, :, :1]
        g, _, c = layer.geometry.shape
        gain = layer.cells.gain
        gain = gain if len(gain) == 1 else gain.reshape(g, 1, c)
        want = layer.geometry.to_matrix(tensors[layer.weight])
        torch.testing.assert_close(gain * (first - offset), want, rtol=1e-5, atol=1e-6)


def test_a_pair_has_one_cell_at_the_reference():
    net = lowered(conv_net(), "assign-conductance")
    for layer in net.layers.values():
        plus, minus = planes(layer.cells)
        assert (torch.minimum(plus, minus) == np.float32(2.1)).all()
        assert float(torch.maximum(plus, minus).max()) == pytest.approx(17.85)


def test_the_ideal_target_holds_the_weights_themselves():
    net = lowered(conv_net(), "assign-conductance", "ideal", quantize={"levels": None})
    tensors = rewrite.attributes(net.graph)
    for layer in net.layers.values():
        (plane,) = layer.cells.planes
        held = tensors[layer.weight]
        assert torch.equal(plane, layer.geometry.to_matrix(held))
        # A view: a large model is not held twice.
        assert plane.untyped_storage().data_ptr() == held.untyped_storage().data_ptr()


STATES = ["2 uS", "4 uS", "7 uS", "9 uS", "13 uS", "14 uS", "20 uS"]


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("levels", [3, 4, 7])
def test_offset_columns_of_fixed_states_hold_the_weights(per_column, levels):
    target = RRAM.changed({
        "encoding": "offset-column", "cell.states": STATES, "cell.g_min": "2 uS",
        "cell.g_max": "20 uS", "cell.default_levels": levels,
    })  # fmt: skip
    settings = {"quantize": {"levels": levels, "per_column": per_column}}
    net = lowered(conv_net(group=1), "assign-conductance", target, **settings)
    tensors = rewrite.attributes(net.graph)
    for layer in net.layers.values():
        assert layer.cells.states_us.tolist() == [2, 4, 7, 9, 13, 14, 20]
        cells, offset = planes(layer.cells)
        assert (offset == 9).all()  # nearer to 11 than 13 is? equally near: the lower
        assert len(cells.unique()) <= levels
        g, _, c = layer.geometry.shape
        gain = layer.cells.gain
        gain = gain if len(gain) == 1 else gain.reshape(g, 1, c)
        want = layer.geometry.to_matrix(tensors[layer.weight])
        torch.testing.assert_close(gain * (cells - offset[:, :, :1]), want, rtol=1e-5, atol=1e-6)


def sliced(multipliers, count=4, **changes):
    return RRAM.changed({
        "encoding": "bit-sliced", "slices": {"count": count, "multipliers": multipliers},
        "cell.default_levels": 2**count, **changes,
    })  # fmt: skip


@pytest.mark.parametrize("quantizer", ["n-multiplier", "uniform"])
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("multipliers", ["digital", "conductance"])
def test_bit_slices_hold_the_weights(multipliers, count, per_column, quantizer):
    settings = {"levels": 2**count, "per_column": per_column, "quantizer": quantizer}
    target = sliced(multipliers, count)
    net = lowered(conv_net(group=1), "assign-conductance", target, quantize=settings)
    tensors = rewrite.attributes(net.graph)
    for layer in net.layers.values():
        cells = layer.cells
        g, _, c = layer.geometry.shape
        found = planes(cells)
        assert len(found) == count

        def column(x, g=g, c=c):
            return x.expand(g * c).reshape(g, 1, c).double()

        digital = multipliers == "digital"
        assert (cells.multipliers is not None) == digital
        if digital:
            assert set(torch.stack(found).unique().tolist()) <= {
                np.float32(2.1),
                np.float32(17.85),
            }
        factors = cells.multipliers if digital else torch.ones(count)
        currents = sum(column(f) * p for f, p in zip(factors, found, strict=True))
        got = column(cells.gain) * (currents + column(cells.correction_us))
        want = layer.geometry.to_matrix(tensors[layer.weight])
        torch.testing.assert_close(got.float(), want, rtol=1e-5, atol=1e-5)


def test_a_slice_keeps_its_share_of_the_range():
    """The conductances of bit 1 are in the ratio of the multipliers, the largest at G_max."""
    settings = {"levels": 16, "quantizer": "uniform"}
    net = lowered(conv_net(), "assign-conductance", sliced("conductance"), quantize=settings)
    for layer in net.layers.values():
        on = [float(p.max()) - 2.1 for p in planes(layer.cells)]
        np.testing.assert_allclose(np.array(on) / on[0], [1, 2, 4, 8], rtol=1e-4)
        assert on[-1] == pytest.approx(15.75, rel=1e-6)


@pytest.mark.parametrize("quantizer", ["lloyd", "uniform"])
def test_columns_have_tables_of_their_own(quantizer):
    """A state a level and G_min: an index of 5 bits for 16 levels, instead of a float."""
    settings = {"levels": 16, "per_column": True, "quantizer": quantizer}
    net = lowered(conv_net(group=1), "assign-conductance", quantize=settings)
    for layer in net.layers.values():
        g, _, c = layer.geometry.shape
        states = layer.cells.states_us
        assert states.shape == (g * c, 17)
        assert (states[:, 0] == np.float32(2.1)).all()
        assert {p.dtype for p in layer.cells.planes} == {torch.uint8}


def test_more_levels_than_a_table_holds_are_floats():
    settings = {"levels": 256, "per_column": True}
    net = lowered(conv_net(group=1), "assign-conductance", quantize=settings)
    for layer in net.layers.values():
        assert layer.cells.states_us is None

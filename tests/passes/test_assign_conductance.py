import numpy as np
import pytest
import torch

from cimc.ir import rewrite
from cimc.targets import load_target
from tests.passes.networks import conv_net, lowered

RRAM = load_target("rram")


def planes(cells):
    return [p if cells.states_us is None else cells.states_us[p.long()] for p in cells.planes]


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

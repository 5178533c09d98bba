import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.errors import FitError
from cimc.ir.geometry import Geometry
from cimc.ir.layer import CrossbarLayer
from cimc.passes.place_tiles import PlaceTiles
from cimc.passes.tile_to_crossbars import TileToCrossbars
from cimc.targets import load_target
from tests.passes.networks import context, conv_net, lowered

RRAM = load_target("rram")


def place(geometries, target=RRAM):
    from dataclasses import replace

    net = lowered(conv_net(), "partition", target)
    layers = {f"l{i}": CrossbarLayer(f"l{i}", "w", g, ()) for i, g in enumerate(geometries)}
    where = context(target)
    return PlaceTiles().run(TileToCrossbars().run(replace(net, layers=layers), where), where)


def occupied(net, target, cells=2):
    tables = [layer.tiles for layer in net.layers.values()]
    arrays = 1 + max(int(t[:, 6].max()) for t in tables)
    count = np.zeros((arrays, target.array.rows, target.array.columns), int)
    for table in tables:
        for _, _, _, n, _, m, a, r, c in table:
            assert r + n <= target.array.rows
            assert c + cells * m <= target.array.columns
            count[a, r : r + n, c : c + cells * m] += 1
    return count


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 60), st.integers(1, 9), st.integers(1, 40)),
        min_size=1,
        max_size=6,
    )
)
def test_no_cell_is_given_twice(sizes):
    target = RRAM.changed({"array.rows": 32, "array.columns": 48})
    net = place([Geometry("conv", g, c * t, n, (t,)) for g, c, t, n in sizes], target)
    assert occupied(net, target).max() == 1


def test_depthwise_groups_lie_block_diagonally():
    net = place([Geometry("conv", 40, 9, 1, (3, 3))])
    table = net.layers["l0"].tiles
    # 28 groups of 9 word lines fill 252 of 256; the other 12 stand beside them.
    assert set(table[:, 6]) == {0}
    np.testing.assert_array_equal(table[:28, 7], np.arange(28) * 9)
    np.testing.assert_array_equal(table[:28, 8], np.arange(28) * 2)
    np.testing.assert_array_equal(table[28:, 7], np.arange(12) * 9)
    np.testing.assert_array_equal(table[28:, 8], 56 + np.arange(12) * 2)


def test_small_tiles_share_an_array():
    net = place([Geometry("matrix", 1, 60, 20)] * 8)
    assert {int(a) for x in net.layers.values() for a in x.tiles[:, 6]} == {0}


def test_a_network_larger_than_the_chip_is_refused_with_numbers():
    with pytest.raises(FitError) as e:
        place(
            [Geometry("matrix", 1, 128, 64), Geometry("matrix", 1, 1280, 64)],
            load_target("rram-tiny"),
        )
    assert str(e.value) == (
        "error[CIMC-S01]: needs 11 arrays, the target 'rram-tiny' has 8\n"
        "  at layer 'l1' is the first that does not fit\n"
        "  try a target with more arrays, or pinning layers digital (--digital PATTERN)"
    )
    assert e.value.exit_code == 5

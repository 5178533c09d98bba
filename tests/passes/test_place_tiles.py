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


def occupied(net, target, cells=2, extra=0, twins=1):
    tables = [layer.tiles for layer in net.layers.values()]
    arrays = twins + max(int(t[:, 6].max()) for t in tables)
    count = np.zeros((arrays, target.array.rows, target.array.columns), int)
    for table in tables:
        for _, _, _, n, _, m, a, r, c in table:
            assert r + n <= target.array.rows
            assert c + cells * m + extra <= target.array.columns
            count[a : a + twins, r : r + n, c : c + cells * m + extra] += 1
    return count


#: Changes of a target, and what a weight then takes: cells side by side, one more, arrays.
LAYOUTS = {
    "pair": ({}, (2, 0, 1)),
    "twin": ({"pair.placement": "twin-arrays"}, (1, 0, 2)),
    "offset": ({"encoding": "offset-column"}, (1, 1, 1)),
    "sliced": ({"encoding": "bit-sliced", "slices": {"count": 4}}, (4, 0, 1)),
    "summed": (
        {"encoding": "bit-sliced", "slices": {"count": 4, "multipliers": "conductance"}},
        (4, 0, 1),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 60), st.integers(1, 9), st.integers(1, 40)),
        min_size=1,
        max_size=6,
    )
)
def test_no_cell_is_given_twice(layout, sizes):
    changes, taken = LAYOUTS[layout]
    target = RRAM.changed({"array.rows": 32, "array.columns": 48, **changes})
    net = place([Geometry("conv", g, c * t, n, (t,)) for g, c, t, n in sizes], target)
    count = occupied(net, target, *taken)
    assert count.max() == 1
    # Both twins hold the same places, and no array is left out.
    assert np.array_equal(count[0 :: taken[2]], count[taken[2] - 1 :: taken[2]])
    assert count.any((1, 2)).all()
    weights = sum(g * c * t * n for g, c, t, n in sizes)
    extra = sum(int(x.tiles[:, 3].sum()) * taken[1] for x in net.layers.values())
    assert count.sum() == weights * taken[0] * taken[2] + extra


@pytest.mark.parametrize("layout", LAYOUTS)
def test_spare_lines_and_arrays_stay_free(layout):
    changes, taken = LAYOUTS[layout]
    size = {"array.rows": 32, "array.columns": 48, "chip.cores": 4, "chip.arrays_per_core": 64}
    spares = {"array.spare_rows": 5, "array.spare_columns": 7}
    target = RRAM.changed({**size, **spares, **changes})
    shapes = [(2, 9, 4, 3), (1, 30, 3, 17), (6, 2, 1, 2)]
    geometries = [Geometry("conv", g, c * t, n, (t,)) for g, c, t, n in shapes]
    count = occupied(place(geometries, target), target, *taken)
    assert count.max() == 1
    assert not count[:, 27:].any()
    assert not count[:, :, 41:].any()
    used = len(count)  # as many spare arrays as are left over, and one more
    assert len(occupied(place(geometries, target.changed({"chip.spare_arrays": 256 - used})),
                        target, *taken)) == used  # fmt: skip
    with pytest.raises(FitError, match=f"has {used - 1} and {257 - used} spare"):
        place(geometries, target.changed({"chip.spare_arrays": 257 - used}))


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


@pytest.mark.parametrize(("arrays", "fits"), [(8, False), (10, False), (11, False), (12, True)])
def test_twin_arrays_are_taken_two_by_two(arrays, fits):
    """Six tiles of a whole array each: 12 arrays; of 11 the last cannot be used."""
    changes = {"pair.placement": "twin-arrays", "chip.cores": 1, "chip.arrays_per_core": arrays}
    target = load_target("rram-tiny").changed(changes)
    rows, columns = target.array.rows, target.array.columns
    geometries = [
        Geometry("matrix", 1, 4 * rows, columns),
        Geometry("matrix", 1, 2 * rows, columns),
    ]
    if fits:
        net = place(geometries, target)
        used = sorted({int(a) for x in net.layers.values() for a in x.tiles[:, 6]})
        assert used == [0, 2, 4, 6, 8, 10]
        return
    with pytest.raises(
        FitError, match=f"needs 12 arrays, the target 'rram-tiny' has {arrays}"
    ) as e:
        place(geometries, target)
    assert "layer 'l1' is the first" in e.value.where


def test_a_weight_wider_than_the_array_is_refused():
    from cimc.targets.schema import Target

    target = RRAM.changed({"encoding": "bit-sliced", "slices": {"count": 4}})
    narrow = target.model_copy(update={"array": target.array.model_copy(update={"columns": 3})})
    assert isinstance(narrow, Target)
    with pytest.raises(FitError) as e:
        place([Geometry("matrix", 1, 4, 4)], narrow)
    assert e.value.code == "CIMC-S02"

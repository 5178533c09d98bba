"""Pictures: the same bytes, everything said in text, every fault a pixel."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.faults import FaultMap, sample
from cimc.faults import picture as module
from cimc.faults.picture import picture
from tests.faults.maps import chip_of, made

Kind = Literal["svg", "png"]


def few() -> FaultMap:
    return sample(chip_of(3), rate=0.05, conductance_share=0.2, row_rate=0.02, seed=1)


def test_few_arrays_are_drawn_cell_by_cell() -> None:
    fault_map = few()
    text = picture(fault_map).decode()
    for part in ("array 0:", "array 2:", "stuck at G_min:", "stuck at a conductance:",
                 "chip chip-1 of target rram", "word line (row)", "broken rows"):  # fmt: skip
        assert part in text


def test_many_arrays_are_an_overview_and_the_worst() -> None:
    fault_map = sample(chip_of(40, 16, 16), rate=0.05, seed=1)
    text = picture(fault_map).decode()
    worst = int(np.bincount(fault_map.cells[:, 0]).argmax())
    assert "every array of the chip" in text
    assert f"array {worst}:" in text
    assert text.count(">array ") == 4 + 1  # and the label of an axis


@pytest.mark.parametrize("kind", ["svg", "png"])
@pytest.mark.parametrize("array", [None, 1])
def test_the_same_map_gives_the_same_bytes(kind: Kind, array: int | None) -> None:
    assert picture(few(), kind, array=array) == picture(few(), kind, array=array)


def test_every_faulty_cell_is_seen() -> None:
    """The pixels of one array drawn alone, counted by colour."""
    from matplotlib.image import imread

    cells = [(0, 0, 0, 1), (0, 0, 63, 2), (0, 63, 0, 2), (0, 63, 63, 1), (0, 30, 31, 3)]
    fault_map = made(sorted(cells), own_us=(5.0,), array_rows=64, array_columns=64)
    pixels = imread(io.BytesIO(picture(fault_map, "png", array=0)))[..., :3]
    counts = {}
    for state, colour in enumerate(module._COLOURS):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        counts[state] = int((np.abs(pixels - rgb) < 0.02).all(axis=2).sum())
    cell = counts[0] / (64 * 64 - 5)  # pixels of one cell
    # A square of its colour in the legend comes with each state.
    assert cell > 50
    legend = [counts[s] - n * cell for s, n in ((1, 2), (2, 2), (3, 1))]
    assert max(legend) - min(legend) < 0.4 * cell
    assert min(legend) > 0


def test_a_pixel_of_several_cells_has_the_state_of_most_of_its_faults() -> None:
    cells: Any = [(0, 0, 0, 1), (0, 0, 1, 2), (0, 1, 0, 2), (0, 5, 5, 1)]
    fault_map = made(cells, array_rows=7, array_columns=6)
    states, block = module._states(fault_map, 0, 4)
    assert block == 2
    assert states.tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    "fault_map",
    [made(), made(arrays=(0,)), made(arrays=range(30)), made([(7, 0, 0, 1)], target="")],
    ids=["nothing", "one healthy array", "a healthy chip", "sizes unknown"],
)
def test_hardly_anything_to_draw(fault_map: FaultMap) -> None:
    assert picture(fault_map).startswith(b"<?xml")


def test_an_array_that_was_not_tested() -> None:
    with pytest.raises(UsageError, match="array 9 was not tested") as caught:
        picture(few(), array=9)
    assert caught.value.hint == "one of 0-2"


def test_numbers_far_apart_take_no_memory() -> None:
    text = picture(made(arrays=range(5, 2**31 - 1, 2**26))).decode()
    assert "every tested array, 6 a row" in text
    assert f">{5 + 6 * 2**26}<" in text

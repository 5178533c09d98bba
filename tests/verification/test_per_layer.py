import itertools

import numpy as np
import pytest

from cimc.verification.per_layer import MODES, LayerTally, layer_operations
from tests.verification.fakes import program


def modes(
    ideal: np.ndarray, noise_free: np.ndarray, chip: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    return {m: {"op": v} for m, v in zip(MODES, (ideal, noise_free, chip), strict=True)}


def test_operations_that_read_a_layer() -> None:
    assert layer_operations(program()) == {"fc": "fc_node"}


@pytest.mark.parametrize("cuts", [[0, 6], [0, 1, 4, 6]])
def test_the_nearest_candidate_is_the_layers_float_output(cuts: list[int]) -> None:
    wanted = np.random.default_rng(0).standard_normal((6, 8))
    tally = LayerTally({"op": "fc1", "lost": "fc9"})
    for a, b in itertools.pairwise(cuts):
        part = wanted[a:b]
        tally.add({"fc1": [part * 3, part]}, modes(part * 1.1, part * 1.1, part * 1.2))
    found, unmatched = tally.result()
    assert unmatched == ["lost"]
    assert found[0].ideal_db == pytest.approx(20.0)
    assert found[0].chip_db == pytest.approx(20 - 20 * np.log10(2))


def test_shapes_that_differ_only_by_reshape_are_matched() -> None:
    wanted = np.arange(12.0)
    tally = LayerTally({"op": "n"})
    tally.add({"n": [wanted.reshape(2, 6), np.zeros(5)]}, modes(*[wanted.reshape(3, 4)] * 3))
    found, unmatched = tally.result()
    assert unmatched == []
    assert found[0].chip_db == np.inf


def test_candidates_of_other_sizes_only_are_no_match() -> None:
    tally = LayerTally({"op": "n"})
    tally.add({"n": [np.zeros(5)]}, modes(*[np.ones((3, 4))] * 3))
    assert tally.result() == ([], ["op"])

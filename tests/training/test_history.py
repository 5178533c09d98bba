"""A history goes through JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cimc.training.history import Epoch, Evaluated, Figure, History

SEEN = Evaluated("top1", (0.5, 0.75), (1.0, 0.5), 0.625, 0.1767766952966369, 0.75)
HISTORY = History(
    (
        Epoch(1, 0.1 + 0.2, 0.0, 1e-3, False, SEEN, 1.5),
        Epoch(2, 1 / 3, 7.0, 5e-4, True, None, 1.25),
    ),
    20,
    SEEN,
    2,
    "cross-entropy",
    ("a note",),
)


def test_every_digit_survives_json() -> None:
    text = json.dumps(HISTORY.as_dict(), allow_nan=False)
    assert History.from_dict(json.loads(text)) == HISTORY


def test_the_evaluation_is_that_of_the_network_that_was_kept() -> None:
    assert HISTORY.validation is None
    assert replace(HISTORY, kept=1).validation == SEEN
    assert replace(HISTORY, kept=0).validation == SEEN
    assert History().validation is None


@pytest.mark.parametrize(("figure", "worse"), [("top1", 0.1), ("agreement", 0.1), ("loss", 0.9)])
def test_shares_should_be_large_and_losses_small(figure: Figure, worse: float) -> None:
    good, bad = (replace(SEEN, figure=figure, mean=mean) for mean in (0.5, worse))
    assert bad.worse_than(good)
    assert not good.worse_than(bad)
    assert not good.worse_than(good)

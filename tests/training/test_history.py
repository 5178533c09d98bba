"""A history goes through JSON and back."""

from __future__ import annotations

import json

from cimc.training.history import Epoch, Evaluated, History

SEEN = Evaluated("top1", (0.5, 0.75), (1.0, 0.5), 0.625, 0.1767766952966369, 0.75)
HISTORY = History(
    (
        Epoch(1, 0.1 + 0.2, 0.0, 1e-3, False, SEEN, 1.5),
        Epoch(2, 1 / 3, 7.0, 5e-4, True, None, 1.25),
    ),
    20,
    SEEN,
    "cross-entropy",
    ("a note",),
)


def test_every_digit_survives_json() -> None:
    text = json.dumps(HISTORY.as_dict(), allow_nan=False)
    assert History.from_dict(json.loads(text)) == HISTORY


def test_the_last_evaluation_is_that_of_the_last_epoch() -> None:
    assert HISTORY.validation is None
    assert History(HISTORY.epochs[:1]).validation == SEEN
    assert History().validation is None

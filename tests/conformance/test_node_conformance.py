"""ONNX node conformance: never wrong; right often enough.

A sample runs by default; ``-m slow`` runs every case (about two minutes).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from tests.conformance.cases import WEIGHTS, Case, frozen_cases, node_cases
from tests.conformance.verdicts import compare, judge

#: Every how many-th case runs by default; coprime to the sizes of the families of cases.
STRIDE = 17


def _sample() -> list[Case]:
    """Every case family is seen: the first case of each operator that has few, and every 17th."""
    return list(node_cases()[::STRIDE])


@pytest.mark.parametrize("case", _sample(), ids=lambda case: case.name)
def test_sampled_cases_are_right_or_refused(case):
    verdict = judge(case)
    assert verdict.kind != "wrong", verdict.reason


@pytest.mark.parametrize("case", list(frozen_cases()), ids=lambda case: case.name)
def test_frozen_weights_are_right_on_crossbars(case):
    verdict = judge(case)
    assert verdict.kind == "native", verdict.reason


def test_frozen_weights_go_to_crossbars():
    seen = {case.operator for case in frozen_cases() if judge(case).crossbars}
    assert seen == set(WEIGHTS)


@pytest.mark.slow
def test_every_case():
    verdicts = [judge(case) for case in node_cases()]
    wrong = [f"{v.case}: {v.reason}" for v in verdicts if v.kind == "wrong"]
    assert not wrong
    kinds = Counter(v.kind for v in verdicts if v.float_only)
    assert (kinds["native"] + kinds["opaque"]) / kinds.total() >= 0.95
    kinds = Counter(v.kind for v in verdicts)
    assert (kinds["native"] + kinds["opaque"]) / kinds.total() >= 0.90


@pytest.mark.parametrize("name", ["test_relu", "test_lstm_defaults", "test_top_k"])
def test_the_comparison_sees_a_wrong_value(name):
    """The harness itself: an output that is off, of another shape or type, is found."""
    case = next(c for c in node_cases() if c.name == name)
    expected = case.data_sets[0][1]
    assert compare(list(expected), expected, case) == ""
    first = np.asarray(expected[0])
    for broken in (first * 1.01 + 1, first[None], first.astype(np.float64), None):
        assert compare([broken, *expected[1:]], expected, case)
    assert compare(expected[:-1], expected, case)


def test_all_cases_are_there():
    assert len(node_cases()) == 1884 or onnx.__version__ != "1.23.2"

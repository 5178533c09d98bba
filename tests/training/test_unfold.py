"""Values of parameters found by undoing operators, against the operators themselves."""

from __future__ import annotations

import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.ir.folds import Affine, Computed, Constant, Parameter, Term
from cimc.ops.table import OPERATORS
from cimc.training.unfold import CannotUndoError, Unfolding, original


def call(name, *operands, **attributes):
    wrapped = tuple(Constant(o) if isinstance(o, torch.Tensor) else o for o in operands)
    return Computed(OPERATORS[name].function, name, wrapped, attributes)


def parameter(name="w", shape=(4, 6), seed=0, dtype=torch.float32):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Parameter(name, shape, dtype, value.to(dtype))


def undo(origin, value, wanted=None):
    unfolding = Unfolding()
    unfolding.put(origin, value, torch.ones_like(value, dtype=torch.bool))
    return unfolding


def ints(*values):
    return torch.tensor(values)


W = parameter()
#: Expressions of a (4, 6) parameter that hold all of its elements.
WHOLE = {
    "transpose": lambda w: call("transpose", w, perm=[1, 0]),
    "reshape": lambda w: call("reshape", w, ints(2, -1)),
    "unsqueeze": lambda w: call("unsqueeze", w, ints(0)),
    "gather": lambda w: call("gather", w, ints(3, 1, 0, 2), axis=0),
    "expand": lambda w: call("expand", w, ints(2, 4, 6)),
    "tile": lambda w: call("tile", w, ints(2, 1)),
    "pad": lambda w: call("pad", w, ints(0, 1, 1, 0), torch.tensor(9.0)),
    "gates": lambda w: call(
        "concat",
        call("slice", w, ints(2), ints(4), ints(0)),
        call("slice", w, ints(0), ints(2), ints(0)),
        axis=0,
    ),
    "scaled": lambda w: call("mul", torch.tensor([[2.0], [3.0], [-1.0], [0.5]]), w),
    "shifted": lambda w: call("sub", torch.tensor(1.0), call("div", w, torch.tensor(4.0))),
    "negated": lambda w: call("neg", call("add", w, torch.ones(6))),
    "cast": lambda w: call("cast", w, to="float32"),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(WHOLE)), min_size=1, max_size=3), st.integers(0, 99))
def test_a_chain_of_operators_is_undone(names, seed):
    """Whatever the parameter was, undoing the chain on its result gives it back."""
    new = parameter(seed=seed + 1)

    def chain(leaf):
        for name in names:
            leaf = WHOLE[name](leaf)
        return leaf

    try:
        value = original(chain(new))
    except Exception:  # shapes that do not fit: a (4, 6) expression of another shape
        return
    found = undo(chain(W), value).found["w"]
    torch.testing.assert_close(found, new.value, rtol=1e-5, atol=1e-5)


def test_split_parts_go_back_to_their_places():
    parts = call("split", W, ints(2, 4), axis=1)
    second = Computed(operator.getitem, "", (parts, 1))
    value = torch.arange(16.0).reshape(4, 4)
    found = undo(second, value).found["w"]
    assert torch.equal(found[:, 2:], value)
    assert torch.equal(found[:, :2], W.value[:, :2])


def test_a_sum_is_given_to_its_first_term_that_can_take_it():
    b, beta = parameter("b", (3,), 1), parameter("beta", (3,), 2)
    factors = torch.tensor([2.0, 0.0, 1e-9], dtype=torch.float64)
    one = torch.ones(3, dtype=torch.float64)
    fold = Affine((Term(b, factors), Term(beta, one)), torch.tensor([1.0, 2.0, 3.0]).double())
    unfolding = undo(fold, original(fold) + 0.5)
    change = {n: unfolding.found[n] - p.value for n, p in (("b", b), ("beta", beta))}
    torch.testing.assert_close(change["b"], torch.tensor([0.25, 0.0, 0.0]))
    torch.testing.assert_close(change["beta"], torch.tensor([0.0, 0.5, 0.5]))
    torch.testing.assert_close(unfolding.value(fold), original(fold) + 0.5)


def test_what_does_not_fit_the_element_type_is_kept_and_said():
    half = parameter("h", (2,), dtype=torch.float16)
    unfolding = undo(half, torch.tensor([1.0, 1e6]))
    assert unfolding.found["h"][0] == 1
    assert unfolding.found["h"][1] == half.value[1]
    assert unfolding.reasons == ["'h' would have to be infinite"]


def test_an_operator_that_cannot_be_undone_is_named():
    with pytest.raises(CannotUndoError, match="'exp'"):
        undo(call("exp", W), torch.ones(4, 6))
    with pytest.raises(CannotUndoError, match="1 divided by"):
        undo(call("div", torch.ones(6), W), torch.ones(4, 6))

"""What canonicalize writes down of constants, and that it survives the passes after it."""

from __future__ import annotations

import numpy as np
import torch
from onnx import helper

from cimc.ir import rewrite
from cimc.ir.folds import (
    NOT_IN_SOURCE,
    Affine,
    Computed,
    Parameter,
    origin_of,
    parameters,
    replaced,
)
from cimc.passes.canonicalize import Canonicalize
from cimc.verification.data import Data
from tests.passes.networks import context, conv_net, lowered, network, rng


def transposed(dtype=np.float32):
    r = rng()
    constants = {"w": r.standard_normal((6, 4)).astype(dtype), "shape": np.array([2, 12])}
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    return network(nodes, {"x": ["n", 4]}, {"y": ["n", 6]}, constants)


def test_a_folded_batch_norm_is_written_down_exactly():
    net = conv_net(norm=True)
    before = rewrite.attributes(net.graph)
    source = {net.parameter_names[k]: v for k, v in before.items()}
    after = Canonicalize().run(net, context())
    conv = next(n for n in after.graph.graph.nodes if rewrite.operator_name(n) == "conv")
    weight, bias = (str(a.target) for a in conv.args[1:3])
    scale = source["s"].double() / torch.sqrt(source["v"].double() + 1e-3)

    fold = after.folds[weight]
    assert isinstance(fold, Affine)
    (term,) = fold.terms
    torch.testing.assert_close(term.factor.reshape(-1), scale, rtol=1e-7, atol=0)
    assert fold.rest is None
    assert set(fold.fixed) == {"s", "m", "v"}
    # The graph has all of the weight; its value in the source need not be kept.
    assert isinstance(term.origin, Parameter)
    assert (term.origin.name, term.origin.value) == ("w", None)

    fold = after.folds[bias]
    assert isinstance(fold, Affine)
    assert [p.name for p in parameters(fold)] == ["b", "t"]
    torch.testing.assert_close(fold.terms[0].factor, scale, rtol=1e-7, atol=0)
    assert fold.terms[1].factor.tolist() == [1.0] * 4
    torch.testing.assert_close(fold.rest, -source["m"].double() * scale, rtol=1e-6, atol=1e-12)


def test_a_moved_weight_is_written_down():
    after = Canonicalize().run(transposed(), context())
    (attribute,) = rewrite.attributes(after.graph)
    fold = after.folds[attribute]
    assert isinstance(fold, Computed)
    (parameter,) = parameters(fold)
    assert (parameter.name, parameter.shape, parameter.value) == ("w", (6, 4), None)


def test_a_constant_that_stays_is_its_parameter():
    after = Canonicalize().run(conv_net(), context())
    assert after.folds == {}
    attribute = next(k for k, v in after.parameter_names.items() if v == "fw")
    origin = origin_of(attribute, after)
    assert isinstance(origin, Parameter)
    assert origin.value is rewrite.attributes(after.graph)[attribute]


def test_folds_survive_the_passes_and_corrections_keep_their_bias():
    net = conv_net(norm=True)
    x = rng().standard_normal((16, 3, 8, 8)).astype(np.float32)
    done = lowered(net, "fit-converters", data=Data({"x": x}, None, 16))
    tensors = rewrite.attributes(done.graph)
    origins = {k: origin_of(k, done) for k in tensors}
    names = {k: [p.name for p in parameters(o)] for k, o in origins.items() if o is not None}
    assert sorted(map(tuple, names.values())) == [("b", "t"), ("fb",), ("fw",), ("w",)]


def test_a_constant_that_replaces_none_is_not_of_the_source():
    after = Canonicalize().run(conv_net(), context())
    bias = next(k for k, v in after.parameter_names.items() if v == "fb")
    after = replaced(after, {"new": None, "other": bias})
    assert after.folds["new"] is NOT_IN_SOURCE
    assert [p.name for p in parameters(after.folds["other"])] == ["fb"]
    assert after.parameter_names["other"] == "fb"

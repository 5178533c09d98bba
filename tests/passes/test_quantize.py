import numpy as np
import pytest
import torch
from onnx import helper

from cimc.ir import rewrite
from cimc.ir.network import Stage
from cimc.passes.quantize import Quantize
from cimc.verification.data import check_data
from tests.passes.networks import context, conv_net, evaluate, lowered, network, rng


def data_for(net, samples=64, seed=3):
    shape = [samples, *(net.inputs[0].shape or ())[1:]]
    values = rng(seed).standard_normal(shape).astype(np.float32)
    return check_data({net.inputs[0].name: values}, net.inputs)


def decibel(got, want):
    return 10 * np.log10((want**2).sum() / ((got - want) ** 2).sum())


@pytest.mark.parametrize("levels", [2, 3, 8, 256])
@pytest.mark.parametrize("quantizer", ["lloyd", "uniform"])
@pytest.mark.parametrize("per_column", [False, True])
def test_every_weight_is_a_level(levels, quantizer, per_column):
    net = lowered(conv_net(group=1), "calibrate")
    after = Quantize(quantizer=quantizer, levels=levels, per_column=per_column).run(net, context())
    assert after.stage is Stage.QUANTIZED
    tensors = rewrite.attributes(after.graph)
    for layer in after.layers.values():
        book = layer.codebook
        assert book.levels.shape[-1] <= levels
        assert book.codes.shape == layer.geometry.shape
        matrix = layer.geometry.to_matrix(tensors[layer.weight])
        if per_column:
            g, r, c = layer.geometry.shape
            table = book.levels.reshape(g, 1, c, -1).expand(g, r, c, -1)
            expected = table.gather(3, book.codes.long()[..., None])[..., 0]
        else:
            expected = book.levels[book.codes.long()]
        assert torch.equal(matrix, expected)


def test_no_levels_leaves_float_weights():
    net = lowered(conv_net(), "calibrate")
    after = Quantize(levels=None).run(net, context())
    np.testing.assert_array_equal(evaluate(after)[0], evaluate(net)[0])


def test_more_levels_are_nearer():
    net = lowered(conv_net(), "calibrate")
    want = evaluate(net)[0]
    snr = [decibel(evaluate(Quantize(levels=v).run(net, context()))[0], want) for v in (4, 16, 64)]
    assert snr[0] < snr[1] < snr[2]
    assert snr[2] > 25


def test_data_make_the_outputs_better():
    net = lowered(conv_net(channels=8, filters=16), "calibrate")
    want = evaluate(net, seed=9)[0]
    blind = Quantize(levels=4).run(net, context())
    informed = Quantize(levels=4).run(net, context(data=data_for(net, 256)))
    assert decibel(evaluate(informed, 9)[0], want) > decibel(evaluate(blind, 9)[0], want) + 1


@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm"])
def test_output_means_are_those_of_the_float_network(op):
    r = rng()
    if op == "Conv":
        w, x, y = (6, 3, 3, 3), ["n", 3, 8, 8], ["n", 6, 6, 6]
    else:
        w, x, y = (12, 6), ["n", 12], ["n", 6]
    nodes = [helper.make_node(op, ["x", "w"], ["y"], name="product")]
    constants = {"w": r.standard_normal(w).astype(np.float32)}
    net = lowered(network(nodes, {"x": x}, {"y": y}, constants), "calibrate")
    values = (r.standard_normal([64, *x[1:]]) + 1).astype(np.float32)
    data = check_data({"x": values}, net.inputs)
    after = Quantize(levels=3).run(net, context(data=data))
    from cimc.ir.interpreter import interpret

    got, want = (interpret(n.graph, [torch.from_numpy(values)])[0] for n in (after, net))
    axes = (0, 2, 3) if op == "Conv" else (0,)
    assert not torch.allclose(got, want, atol=1e-2)
    torch.testing.assert_close(got.mean(axes), want.mean(axes), rtol=1e-4, atol=1e-4)


def test_a_shared_weight_has_one_codebook():
    w = rng().standard_normal((6, 6)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="m0"),
        helper.make_node("Relu", ["a"], ["b"], name="r"),
        helper.make_node("MatMul", ["b", "w"], ["y"], name="m1"),
    ]
    net = lowered(network(nodes, {"x": ["n", 6]}, {"y": ["n", 6]}, {"w": w}), "calibrate")
    after = Quantize(levels=4).run(net, context(data=data_for(net)))
    assert len(after.layers) == 1
    held = rewrite.attributes(after.graph)[after.layers["w"].weight]
    assert len(torch.unique(held)) <= 4


def test_an_all_zero_layer_stays_zero():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
    constants = {"w": np.zeros((6, 5), np.float32)}
    net = lowered(network(nodes, {"x": ["n", 6]}, {"y": ["n", 5]}, constants), "calibrate")
    for data in (None, data_for(net)):
        after = Quantize(levels=8).run(net, context(data=data))
        assert not evaluate(after)[0].any()

"""The recurrent operators against onnxruntime, and against themselves over a stationary matrix."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from cimc.errors import ModelError
from cimc.ops.recurrent import gru, lstm, rnn

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": lstm, "GRU": gru, "RNN": rnn}


class Matrix:
    """A weight that can only be multiplied by, as a crossbar."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight
        self.calls: list[tuple[int, ...]] = []

    def mvm(self, x: torch.Tensor, group: int) -> torch.Tensor:
        self.calls.append(tuple(x.shape))
        return x @ self.weight[group].T


def operands(kind, directions, *, batch=3, steps=5, inputs=4, hidden=3, seed=0, **have):
    """Random operands in ONNX order, None where not asked for."""
    draw = np.random.default_rng(seed)

    def normal(*shape):
        return draw.normal(0, 0.6, shape).astype(np.float32)

    g = GATES[kind]
    values = {
        "X": normal(steps, batch, inputs),
        "W": normal(directions, g * hidden, inputs),
        "R": normal(directions, g * hidden, hidden),
        "B": normal(directions, 2 * g * hidden) if have.get("bias", True) else None,
        "sequence_lens": have.get("lens"),
        "initial_h": normal(directions, batch, hidden) if have.get("state") else None,
    }
    if kind == "LSTM":
        values["initial_c"] = normal(directions, batch, hidden) if have.get("state") else None
        values["P"] = normal(directions, 3 * hidden) if have.get("peepholes") else None
    return values


def reference(kind, values, **attributes):
    """Run the operator in onnxruntime."""
    names = [name if value is not None else "" for name, value in values.items()]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, names, outputs, **attributes)
    given_values = {k: v for k, v in values.items() if v is not None}
    graph = helper.make_graph(
        [node],
        kind,
        [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in given_values.items()
        ],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, given_values)


def ours(kind, values, **attributes):
    tensors = [None if v is None else torch.from_numpy(v) for v in values.values()]
    return FUNCTIONS[kind](*tensors, **attributes)


def agree(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lens", [None, (5, 2, 3), (0, 1, 5)])
@pytest.mark.parametrize("full", [False, True])
def test_agrees_with_onnxruntime(kind, direction, lens, full):
    directions = 2 if direction == "bidirectional" else 1
    lengths = None if lens is None else np.array(lens, dtype=np.int32)
    values = operands(kind, directions, lens=lengths, state=full, peepholes=full, bias=full)
    attributes = {"hidden_size": 3, "direction": direction}
    agree(ours(kind, values, **attributes), reference(kind, values, **attributes))


@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_gru_reset_before_and_after(linear_before_reset):
    values = operands("GRU", 2, state=True)
    attributes = {
        "hidden_size": 3,
        "direction": "bidirectional",
        "linear_before_reset": linear_before_reset,
    }
    agree(ours("GRU", values, **attributes), reference("GRU", values, **attributes))


def test_lstm_coupled_forget_gate():
    values = operands("LSTM", 1, state=True)
    agree(
        ours("LSTM", values, hidden_size=3, input_forget=1),
        reference("LSTM", values, hidden_size=3, input_forget=1),
    )


@pytest.mark.parametrize("kind", GATES)
def test_clip_bounds_what_goes_into_an_activation(kind):
    values = operands(kind, 1, state=True, peepholes=True)
    agree(
        ours(kind, values, hidden_size=3, clip=0.3),
        reference(kind, values, hidden_size=3, clip=0.3),
    )


@pytest.mark.parametrize(
    "name",
    [
        "Relu",
        "Tanh",
        "Sigmoid",
        "Affine",
        "LeakyRelu",
        "ThresholdedRelu",
        "ScaledTanh",
        "HardSigmoid",
        "Elu",
        "Softsign",
        "Softplus",
    ],
)
def test_every_activation(name):
    values = operands("RNN", 1, state=True)
    attributes = {"hidden_size": 3, "activations": [name]}
    if name in {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}:
        attributes["activation_alpha"] = [0.3]
    if name in {"Affine", "ScaledTanh", "HardSigmoid"}:
        attributes["activation_beta"] = [0.7]
    agree(ours("RNN", values, **attributes), reference("RNN", values, **attributes))


def test_parameters_of_activations_are_consumed_in_order():
    values = operands("LSTM", 1, state=True)
    attributes = {
        "hidden_size": 3,
        "activations": ["HardSigmoid", "Tanh", "Affine"],
        "activation_alpha": [0.3, 0.9],
        "activation_beta": [0.6, 0.1],
    }
    agree(ours("LSTM", values, **attributes), reference("LSTM", values, **attributes))


@pytest.mark.parametrize("kind", GATES)
def test_layout_1_is_layout_0_with_the_batch_first(kind):
    values = operands(kind, 2, state=True)
    attributes = {"hidden_size": 3, "direction": "bidirectional"}
    y, *ends = ours(kind, values, **attributes)
    turned = dict(values)
    for name in ("X", "initial_h", "initial_c"):
        if turned.get(name) is not None:
            turned[name] = np.swapaxes(turned[name], 0, 1).copy()
    y_turned, *ends_turned = ours(kind, turned, layout=1, **attributes)
    torch.testing.assert_close(y_turned, y.permute(2, 0, 1, 3))
    for a, b in zip(ends_turned, ends, strict=True):
        torch.testing.assert_close(a, b.transpose(0, 1))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_a_stationary_matrix_gives_the_same(kind, linear_before_reset):
    if kind != "GRU" and linear_before_reset:
        pytest.skip("only GRU resets")
    values = operands(kind, 2, state=True, peepholes=True)
    attributes = {"hidden_size": 3, "direction": "bidirectional"}
    if kind == "GRU":
        attributes["linear_before_reset"] = linear_before_reset
    tensors = {k: None if v is None else torch.from_numpy(v) for k, v in values.items()}
    expected = FUNCTIONS[kind](*tensors.values(), **attributes)
    w, r = Matrix(tensors["W"]), Matrix(tensors["R"])
    got = FUNCTIONS[kind](*{**tensors, "W": w, "R": r}.values(), **attributes)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)
    assert w.calls == [(3, 5, 4)] * 2  # one product for all steps, the batch first
    assert len(r.calls) == 2 * 5 * (2 if kind == "GRU" and not linear_before_reset else 1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_steps_behind_the_end_of_a_sequence_do_not_matter(data):
    kind = data.draw(st.sampled_from(sorted(GATES)))
    lens = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    direction = data.draw(st.sampled_from(["forward", "reverse"]))
    values = operands(kind, 1, batch=len(lens), steps=4, lens=np.array(lens, np.int32))
    y, y_h, *_ = ours(kind, values, hidden_size=3, direction=direction)
    for n, length in enumerate(lens):
        alone = dict(values)
        alone["X"] = values["X"][:length, n : n + 1]
        alone["sequence_lens"] = None
        y_n, y_h_n, *_ = ours(kind, alone, hidden_size=3, direction=direction)
        torch.testing.assert_close(y[:length, :, n : n + 1], y_n)
        torch.testing.assert_close(y_h[:, n : n + 1], y_h_n)
        assert not y[length:, :, n].any()


@pytest.mark.parametrize(("kind", "shape"), list(itertools.product(GATES, [(0, 3), (5, 0)])))
def test_empty_input(kind, shape):
    steps, batch = shape
    values = operands(kind, 1, steps=steps, batch=batch)
    y, y_h, *_ = ours(kind, values, hidden_size=3)
    assert tuple(y.shape) == (steps, 1, batch, 3)
    assert tuple(y_h.shape) == (1, batch, 3)


def test_gradients_reach_every_weight():
    values = operands("LSTM", 1, peepholes=True)
    tensors = [
        None if v is None else torch.from_numpy(v).requires_grad_() for v in values.values()
    ]
    lstm(*tensors, hidden_size=3)[0].square().sum().backward()
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in tensors if t is not None)


def test_unknown_activation_is_refused():
    values = operands("RNN", 1)
    with pytest.raises(ModelError) as refused:
        ours("RNN", values, hidden_size=3, activations=["Swish"])
    assert refused.value.code == "CIMC-M37"
    assert "Swish" in refused.value.message


def test_unknown_direction_is_refused():
    with pytest.raises(ModelError, match="sideways"):
        ours("GRU", operands("GRU", 1), hidden_size=3, direction="sideways")


def test_the_onnx_checker_knows_the_attributes():
    """The keyword arguments are the attributes of the newest opset (output_sequence is gone)."""
    for kind, function in FUNCTIONS.items():
        schema = onnx.defs.get_schema(kind)
        assert set(schema.attributes) == set(function.__kwdefaults__ or {}) | {"hidden_size"}

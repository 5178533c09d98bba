"""Attention against onnxruntime, and its masks against themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.attention import attention
from cimc.ops.linear_attention import causal_conv_with_state, linear_attention
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mask", [None, "float", "bool"])
@pytest.mark.parametrize("attributes", [{}, {"is_causal": 1}, {"softcap": 2.0}, {"scale": 0.3}])
def test_four_axes(mask, attributes):
    masks = {"float": normal(5, 6), "bool": np.tri(5, 6, 2) > 0}
    given = {"q": normal(2, 4, 5, 8), "k": normal(2, 2, 6, 8), "v": normal(2, 2, 6, 7)}
    agree("Attention", {**given, "m": masks.get(mask)}, opset=23, **attributes)


def test_three_axes_with_grouped_heads():
    given = {"q": normal(2, 5, 32), "k": normal(2, 6, 16), "v": normal(2, 6, 16)}
    agree("Attention", given, opset=23, q_num_heads=4, kv_num_heads=2)


def test_three_axes_need_heads():
    with pytest.raises(ModelError, match="number of heads"):
        attention(*(torch.zeros(1, 2, 8) for _ in range(3)))


def test_a_query_that_sees_nothing_gets_zeros():
    mask = torch.tensor([[True, True], [False, False]])
    q = torch.randn(1, 1, 2, 4)
    y, *_ = attention(q, q, q, mask)
    assert not y.isnan().any()
    assert not y[0, 0, 1].any()


def test_the_cache_gives_what_all_steps_at_once_give():
    q, k, v = (torch.randn(1, 2, 6, 4) for _ in range(3))
    whole, *_ = attention(q, k, v, is_causal=True)
    first, keys, values, _ = attention(q[:, :, :4], k[:, :, :4], v[:, :, :4], is_causal=True)
    rest, keys, values, _ = attention(
        q[:, :, 4:], k[:, :, 4:], v[:, :, 4:], None, keys, values, is_causal=True
    )
    torch.testing.assert_close(torch.cat((first, rest), dim=2), whole)
    assert torch.equal(keys, k)
    assert torch.equal(values, v)


def test_a_window_is_a_band_of_the_mask():
    q, k, v = (torch.randn(1, 2, 6, 4) for _ in range(3))
    distance = torch.arange(6)[None, :] - torch.arange(6)[:, None]
    band = (distance >= -2) & (distance <= 1)
    windowed, *_ = attention(q, k, v, left_window_size=2, right_window_size=1)
    torch.testing.assert_close(windowed, attention(q, k, v, band)[0])


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("partial", [0, 4])
def test_rotary_embedding(interleaved, partial):
    half = (partial or 8) // 2
    given = {
        "x": normal(2, 3, 5, 8),
        "c": normal(10, half),
        "s": normal(10, half),
        "p": DRAW.integers(0, 10, size=(2, 5)),
    }
    attributes = {"interleaved": interleaved, "rotary_embedding_dim": partial}
    attributes |= {"num_heads": 3} if partial else {}
    agree("RotaryEmbedding", given, opset=23, **attributes)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_goes_on_from_its_state(rule):
    q, k, v = (torch.randn(2, 6, 8) for _ in range(3))
    decay = -torch.rand(2, 6, 2) if "gated" in rule else None
    beta = torch.rand(2, 6, 2) if "delta" in rule else None
    heads = {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": rule}

    def part(steps, state):
        d, b = (None if t is None else t[:, steps] for t in (decay, beta))
        return linear_attention(q[:, steps], k[:, steps], v[:, steps], state, d, b, **heads)

    whole, last = part(slice(0, 6), None)
    first, state = part(slice(0, 4), None)
    rest, end = part(slice(4, 6), state)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole)
    torch.testing.assert_close(end, last)


def test_a_rule_without_its_operands():
    x = torch.zeros(1, 2, 4)
    with pytest.raises(ModelError):
        linear_attention(x, x, x, q_num_heads=1, kv_num_heads=1, update_rule="gated")


def test_causal_convolution_goes_on_from_its_state():
    x, w = torch.randn(2, 3, 8), torch.randn(3, 1, 4)
    whole, _ = causal_conv_with_state(x, w, activation="silu")
    first, state = causal_conv_with_state(x[:, :, :5], w, activation="silu")
    rest, _ = causal_conv_with_state(x[:, :, 5:], w, None, state, activation="silu")
    torch.testing.assert_close(torch.cat((first, rest), dim=2), whole)

"""Attention with a recurrent state, and the causal convolution that goes with it."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.attention import split_heads
from cimc.ops.operator import Operator


def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    chunk_size: int = 64,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor]:
    """Linear attention: a state matrix per head is decayed, corrected, written and read each step.

    Args:
        query: ``(batch, steps, q_heads * key_size)``.
        key: ``(batch, steps, kv_heads * key_size)``.
        value: ``(batch, steps, kv_heads * value_size)``.
        past_state: ``(batch, kv_heads, key_size, value_size)``; zeros by default.
        decay: Logarithm of the decay, ``(batch, steps, kv_heads)`` or one for each key feature.
        beta: Rate of the correction, ``(batch, steps, kv_heads)`` or one for all heads.
        q_num_heads: Heads of the query, a multiple of kv_num_heads [-].
        kv_num_heads: Heads of key and value [-].
        chunk_size: A hint for kernels; does not change the result.
        scale: Factor of the output; 0: ``1 / sqrt(key_size)``.
        update_rule: ``linear``, ``gated`` (decay), ``delta`` (correction), ``gated_delta``.

    Returns:
        Output ``(batch, steps, q_heads * value_size)`` and the state after the last step.

    Raises:
        ModelError: ``CIMC-M38``: unknown rule, or an operand the rule needs is missing.
    """
    del chunk_size
    gated, corrected = "gated" in update_rule, "delta" in update_rule
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise ModelError(
            "CIMC-M38", f"unknown update rule {update_rule!r}", where="LinearAttention"
        )
    if gated != (decay is not None) or corrected != (beta is not None):
        raise ModelError(
            "CIMC-M38", f"operands do not fit the rule {update_rule!r}", where="LinearAttention"
        )
    q = split_heads(query.float(), q_num_heads)
    k = split_heads(key.float(), kv_num_heads)
    v = split_heads(value.float(), kv_num_heads)
    batch, steps, size = k.shape[0], k.shape[1], k.shape[3]
    q = q.reshape(batch, steps, kv_num_heads, q_num_heads // kv_num_heads, size)
    if past_state is None:
        state = k.new_zeros(batch, kv_num_heads, size, v.shape[3])
    else:
        state = past_state.float()
    factor = scale or 1 / math.sqrt(size)
    kept = None if decay is None else split_heads(decay.float().exp(), kv_num_heads)
    rate = None if beta is None else beta.float().unsqueeze(-1)
    outputs = []
    for t in range(steps):
        k_t, v_t = k[:, t], v[:, t]
        if kept is not None:
            state = state * kept[:, t].unsqueeze(-1)
        if rate is not None:
            v_t = rate[:, t] * (v_t - torch.einsum("bhdm,bhd->bhm", state, k_t))
        state = state + k_t.unsqueeze(-1) * v_t.unsqueeze(-2)
        outputs.append(factor * torch.einsum("bhgd,bhdm->bhgm", q[:, t], state))
    y = torch.stack(outputs, dim=1) if outputs else q.new_zeros(*q.shape[:4], v.shape[3])
    kind = query.dtype if past_state is None else past_state.dtype
    return y.flatten(2).to(query.dtype), state.to(kind)


def causal_conv_with_state(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past_state: Tensor | None = None,
    *,
    activation: str = "none",
) -> tuple[Tensor, Tensor]:
    """Convolve each channel with the past; hand over what the next call needs.

    Args:
        x: ``(batch, channels, steps)``.
        weight: ``(channels, 1, k)``.
        bias: ``(channels,)``.
        past_state: The ``k - 1`` values before x, ``(batch, channels, k - 1)``; zeros by default.
        activation: ``none``, ``silu`` or ``swish``.

    Returns:
        Output like x, and the last ``k - 1`` values.

    Raises:
        ModelError: ``CIMC-M38``: unknown activation.
    """
    if activation not in ("none", "silu", "swish"):
        raise ModelError(
            "CIMC-M38",
            f"unknown activation {activation!r}",
            where="CausalConvWithState, attribute 'activation'",
        )
    kept = weight.shape[2] - 1
    past = x.new_zeros(*x.shape[:2], kept) if past_state is None else past_state
    padded = torch.cat((past, x), dim=2)
    y = F.conv1d(padded, weight, bias, groups=x.shape[1])
    if activation != "none":
        y = F.silu(y.float()).to(y.dtype)
    return y, padded[:, :, padded.shape[2] - kept :]


def swi_glu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return ``a * sigmoid(alpha * a) * b``."""
    return a * torch.sigmoid(alpha * a) * b


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "linear_attention": Operator(
        "linear_attention", linear_attention, "LinearAttention", outputs=2
    ),
    "causal_conv_with_state": Operator(
        "causal_conv_with_state", causal_conv_with_state, "CausalConvWithState", outputs=2
    ),
    "swi_glu": Operator("swi_glu", swi_glu, "SwiGLU"),
}

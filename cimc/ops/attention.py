"""Scaled dot-product attention and rotary position embedding."""

from __future__ import annotations

import math
from functools import reduce
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator

_MINUS_INFINITY = -math.inf


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: bool = False,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Multi-head, grouped-query or multi-query attention with masks, windows and a cache.

    Args:
        q: Queries, ``(batch, heads, queries, size)``, or ``(batch, queries, heads * size)`` with
            ``q_num_heads``.
        k: Keys, ``(batch, kv_heads, keys, size)`` or ``(batch, keys, kv_heads * size)``.
        v: Values, like k, with a size of their own.
        attn_mask: Broadcastable to ``(batch, heads, queries, past + keys)``; boolean: True takes
            part; float: added to the scores.  What lies behind a short last axis is masked.
        past_key: Keys of earlier steps, ``(batch, kv_heads, past, size)``.
        past_value: Values of earlier steps.
        nonpad_kv_seqlen: Valid keys of each sample where k and v are whole caches, ``(batch,)``.
        is_causal: A query sees no key behind its own position.
        kv_num_heads: Heads of k and v, for inputs with three axes.
        left_window_size: Keys a query sees before its position; -1: all.
        q_num_heads: Heads of q, for inputs with three axes.
        qk_matmul_output_mode: What the last result holds: 0 the scores, 1 after the soft cap,
            2 after the mask, 3 after the softmax.
        right_window_size: Keys a query sees behind its position; -1: all.
        scale: Factor of the scores; ``1 / sqrt(size)`` by default.
        softcap: Scores become ``softcap * tanh(scores / softcap)``; 0: not.
        softmax_precision: Element type the softmax is computed in.

    Returns:
        The output, shaped like q; all keys; all values; the scores.
    """
    flat = q.ndim == 3
    q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = torch.cat((past_key, k), dim=2), torch.cat((past_value, v), dim=2)
    root = math.sqrt(scale if scale is not None else 1 / math.sqrt(q.shape[3]))
    root = float(torch.tensor(root, dtype=q.dtype))
    groups = q.shape[1] // k.shape[1]
    keys, values = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    shown = [torch.matmul(q * root, (keys * root).transpose(2, 3))]
    shown.append(softcap * torch.tanh(shown[0] / softcap) if softcap else shown[0])
    offset = torch.tensor(past, device=q.device)
    if nonpad_kv_seqlen is not None:
        offset = (nonpad_kv_seqlen - q.shape[2]).reshape(-1, 1, 1, 1)
    bias = _additive(attn_mask, keys.shape[2], q)
    allowed = _visible(
        q.shape[2], keys.shape[2], offset, is_causal, left_window_size, right_window_size
    )
    if nonpad_kv_seqlen is not None:
        positions = torch.arange(keys.shape[2], device=q.device)
        allowed = allowed & (positions < nonpad_kv_seqlen.reshape(-1, 1, 1, 1))
    bias = bias.masked_fill(~allowed, _MINUS_INFINITY)
    shown.append(shown[1] + bias)
    scores = shown[2]
    if softmax_precision is not None:
        scores = scores.to(DTYPES[softmax_precision])
    # A query that sees no key gets zeros, not NaN.
    blind = (bias == _MINUS_INFINITY).all(dim=-1, keepdim=True)
    weights = _softmax(scores.masked_fill(blind, 0.0)).masked_fill(blind, 0.0).to(q.dtype)
    shown.append(weights)
    y = torch.matmul(weights, values.to(q.dtype))
    if flat:
        y = y.transpose(1, 2).flatten(2)
    return y, k, v, shown[qk_matmul_output_mode]


def _softmax(x: Tensor) -> Tensor:
    """Return the softmax over the last axis; half precision is rounded after every step.

    A fused softmax is a bit more exact, but differs from what ONNX defines by a unit in the last
    place, which tests of half precision see.
    """
    if x.dtype not in (torch.float16, torch.bfloat16) or x.shape[-1] == 0:
        return torch.softmax(x, dim=-1)
    raised = torch.exp(x - x.amax(dim=-1, keepdim=True))
    if x.dtype == torch.float16:
        return raised / raised.sum(dim=-1, keepdim=True)
    return raised / reduce(torch.add, raised.unbind(-1)).unsqueeze(-1)


def _heads(x: Tensor, heads: int | None) -> Tensor:
    """Return a tensor as ``(batch, heads, steps, size)``."""
    if x.ndim != 3:
        return x
    if heads is None:
        raise ModelError(
            "CIMC-M38",
            f"an input of shape {tuple(x.shape)} needs a number of heads",
            where="Attention, attributes 'q_num_heads' and 'kv_num_heads'",
        )
    return split_heads(x, heads).transpose(1, 2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return ``(batch, steps, heads * size)`` as ``(batch, steps, heads, size)``."""
    return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads)


def _additive(mask: Tensor | None, keys: int, like: Tensor) -> Tensor:
    """Return a mask as what is added to the scores; short masks end in minus infinity."""
    if mask is None:
        return torch.zeros((1, 1, like.shape[2], keys), dtype=like.dtype, device=like.device)
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, _MINUS_INFINITY)
    missing = keys - mask.shape[-1]
    if missing > 0:
        mask = torch.nn.functional.pad(mask, (0, missing), value=_MINUS_INFINITY)
    return torch.zeros((1, 1, like.shape[2], keys), dtype=like.dtype, device=like.device) + mask


def _visible(
    queries: int, keys: int, offset: Tensor, causal: bool, left: int, right: int
) -> Tensor:
    """Return which key each query may see, broadcastable to ``(batch, heads, queries, keys)``."""
    positions = torch.arange(queries, device=offset.device)[:, None] + offset
    distance = torch.arange(keys, device=offset.device) - positions
    seen = torch.ones_like(distance, dtype=torch.bool)
    if causal:
        seen &= distance <= 0
    if left >= 0:
        seen &= distance >= -left
    if right >= 0:
        seen &= distance <= right
    return seen


def rotary_embedding(
    x: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    position_ids: Tensor | None = None,
    *,
    interleaved: bool = False,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """Rotate pairs of features by an angle that grows with the position (RoPE).

    Args:
        x: ``(batch, heads, steps, size)`` or ``(batch, steps, heads * size)``.
        cos_cache: ``(positions, dim / 2)``; without position_ids ``(batch, steps, dim / 2)``.
        sin_cache: Like cos_cache.
        position_ids: Position of each step, integer ``(batch, steps)``.
        interleaved: Pairs are neighbours; else the halves of the features.
        num_heads: Heads, for an input with three axes.
        rotary_embedding_dim: Leading features rotated; 0: all.

    Returns:
        A tensor like x.
    """
    steps_first = split_heads(x, num_heads) if x.ndim == 3 else x.transpose(1, 2)
    dim = rotary_embedding_dim or steps_first.shape[3]
    rotated, rest = steps_first[..., :dim], steps_first[..., dim:]
    if position_ids is not None:
        cos_cache, sin_cache = cos_cache[position_ids], sin_cache[position_ids]
    cos, sin = cos_cache.unsqueeze(2), sin_cache.unsqueeze(2)
    a, b = (rotated[..., 0::2], rotated[..., 1::2]) if interleaved else rotated.chunk(2, dim=-1)
    real, imaginary = cos * a - sin * b, sin * a + cos * b
    if interleaved:
        turned = torch.stack((real, imaginary), dim=-1).flatten(-2)
    else:
        turned = torch.cat((real, imaginary), dim=-1)
    y = torch.cat((turned, rest), dim=-1)
    return y.flatten(2) if x.ndim == 3 else y.transpose(1, 2)


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "attention": Operator("attention", attention, "Attention", outputs=4),
    "rotary_embedding": Operator("rotary_embedding", rotary_embedding, "RotaryEmbedding"),
}

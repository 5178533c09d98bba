"""Operators that arrange elements in another shape, and those that make or measure shapes."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator
from cimc.ops.reduction import normalize

#: Parts a tensor may be cut into [-].
MAX_PARTS = 1 << 16


def ints(x: Tensor) -> list[int]:
    """Return the elements of a tensor of integers."""
    return [int(v) for v in x.reshape(-1).tolist()]


def reshape(x: Tensor, shape: Tensor, *, allowzero: bool = False) -> Tensor:
    """Return x in another shape.

    Args:
        x: Any shape.
        shape: int64; one entry may be -1, what is left; 0 copies the axis of x.
        allowzero: 0 is a size of zero instead.

    Raises:
        ModelError: ``CIMC-M19``: the number of elements does not fit.
    """
    wanted = ints(shape)
    copied = [] if allowzero else [k for k, n in enumerate(wanted[: x.ndim]) if n == 0]
    for axis in copied:
        wanted[axis] = x.shape[axis]
    if wanted.count(-1) == 1:
        # Copied axes cancel, so that an empty batch stays one.
        known = math.prod(n for k, n in enumerate(wanted) if n != -1 and k not in copied)
        left = math.prod(n for k, n in enumerate(x.shape) if k not in copied)
        if known and left % known == 0:
            wanted[wanted.index(-1)] = left // known
    if min(wanted, default=0) < 0 or math.prod(wanted) != x.numel():
        raise ModelError("CIMC-M19", f"{tuple(x.shape)} cannot be reshaped to {ints(shape)}")
    return x.reshape(wanted)


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Return x as a matrix: the axes before ``axis`` become rows, the others columns."""
    split = axis + x.ndim if axis < 0 else axis
    if not 0 <= split <= x.ndim:
        raise ModelError("CIMC-M19", f"axis {axis} of a tensor with {x.ndim} axes")
    return x.reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))


def transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    """Return x with its axes in another order; None reverses it."""
    return x.permute(tuple(reversed(range(x.ndim))) if perm is None else tuple(perm))


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Remove axes of size 1; None removes all of them.

    Raises:
        ModelError: ``CIMC-M19``: an axis has another size.
    """
    if axes is None:
        return x.reshape([n for n in x.shape if n != 1])
    gone = normalize(ints(axes), x.ndim)
    if any(x.shape[a] != 1 for a in gone):
        raise ModelError("CIMC-M19", f"axes {list(gone)} of {tuple(x.shape)} are not all 1")
    return x.reshape([n for axis, n in enumerate(x.shape) if axis not in gone])


def unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    """Insert axes of size 1 at these places of the result."""
    rank = x.ndim + axes.numel()
    new, old = normalize(ints(axes), rank), iter(x.shape)
    return x.reshape([1 if axis in new else next(old) for axis in range(rank)])


def expand(x: Tensor, shape: Tensor) -> Tensor:
    """Broadcast x with a shape, int64; where the shape has 1, x keeps its size."""
    wanted = torch.broadcast_shapes(x.shape, tuple(ints(shape)))  # type: ignore[no-untyped-call]
    return x.expand(wanted)


def tile(x: Tensor, repeats: Tensor) -> Tensor:
    """Repeat x along each axis, int64 ``(rank,)``."""
    return x.repeat(ints(repeats))


def concat(*tensors: Tensor, axis: int) -> Tensor:
    """Join tensors along an existing axis."""
    # torch.cat skips empty vectors whatever the rank of the others; narrow that to equal ranks.
    if any(t.ndim != tensors[0].ndim for t in tensors):
        raise ModelError("CIMC-M19", f"ranks {[t.ndim for t in tensors]} cannot be joined")
    return torch.cat(tensors, axis)


def split(
    x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Tensor, ...]:
    """Cut x along an axis.

    Args:
        x: Any shape.
        sizes: Size of each part, int64.
        axis: Axis to cut.
        num_outputs: Number of equal parts when there are no sizes; the last may be smaller.

    Raises:
        ModelError: ``CIMC-M19``: the sizes do not add up.
    """
    total = x.shape[axis]
    if sizes is not None:
        parts = ints(sizes)
    elif num_outputs is not None and 0 < num_outputs <= MAX_PARTS:
        step = -(-total // num_outputs)
        parts = [max(min(step, total - k * step), 0) for k in range(num_outputs)]
    else:
        raise ModelError(
            "CIMC-M19", f"split needs sizes, or 1 to {MAX_PARTS} outputs (got {num_outputs})"
        )
    if sum(parts) != total or min(parts, default=0) < 0:
        raise ModelError("CIMC-M19", f"{total} elements cannot be split into {parts}")
    return torch.split(x, parts, axis)


def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move channels ``(n, c, h, w)`` into blocks of pixels.

    Args:
        x: Shape ``(n, c * blocksize**2, h, w)``.
        blocksize: Side of a block.
        mode: ``DCR``: the place in the block is the slow index of the channels, ``CRD``: the fast.

    Returns:
        Shape ``(n, c, h * blocksize, w * blocksize)``.
    """
    n, c, h, w = x.shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        y = x.reshape(n, b, b, depth, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, depth, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return y.reshape(n, depth, h * b, w * b)


def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of pixels into channels; undoes :func:`depth_to_space`."""
    n, c, h, w = x.shape
    b = blocksize
    y = x.reshape(n, c, h // b, b, w // b, b)
    y = y.permute(0, 3, 5, 1, 2, 4) if mode == "DCR" else y.permute(0, 1, 3, 5, 2, 4)
    return y.reshape(n, c * b * b, h // b, w // b)


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Return the sizes of the axes from start to end, int64."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64, device=x.device)


def size(x: Tensor) -> Tensor:
    """Return the number of elements, int64 without axes."""
    return torch.tensor(x.numel(), dtype=torch.int64, device=x.device)


def arange(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Return ``start, start + delta, ...`` before the limit, in the element type of start."""
    first, last, step = start.item(), limit.item(), delta.item()
    if step == 0:
        raise ModelError("CIMC-M19", "a range with step 0")
    count = max(math.ceil((last - first) / step), 0)
    steps = torch.arange(count, dtype=start.dtype, device=start.device)
    return steps * delta.reshape(()) + start.reshape(())


def constant_of_shape(shape: Tensor, *, value: float = 0.0, dtype: str = "float32") -> Tensor:
    """Return a tensor of a shape, int64, filled with a value."""
    return torch.full(ints(shape), value, dtype=DTYPES[dtype], device=shape.device)


def cast(x: Tensor, *, to: str) -> Tensor:
    """Return x in another element type (numpy name); floats are truncated to integers."""
    return x.to(DTYPES[to])


def cast_like(x: Tensor, like: Tensor) -> Tensor:
    """Return x in the element type of another tensor."""
    return x.to(like.dtype)


OPERATORS: Final[dict[str, Operator]] = {
    "reshape": Operator("reshape", reshape, "Reshape"),
    "flatten": Operator("flatten", flatten, "Flatten"),
    "transpose": Operator("transpose", transpose, "Transpose"),
    "squeeze": Operator("squeeze", squeeze, "Squeeze"),
    "unsqueeze": Operator("unsqueeze", unsqueeze, "Unsqueeze"),
    "expand": Operator("expand", expand, "Expand"),
    "tile": Operator("tile", tile, "Tile"),
    "concat": Operator("concat", concat, "Concat"),
    "split": Operator("split", split, "Split", outputs=None),
    "depth_to_space": Operator("depth_to_space", depth_to_space, "DepthToSpace"),
    "space_to_depth": Operator("space_to_depth", space_to_depth, "SpaceToDepth"),
    "shape": Operator("shape", shape, "Shape"),
    "size": Operator("size", size, "Size"),
    "range": Operator("range", arange, "Range"),
    "constant_of_shape": Operator("constant_of_shape", constant_of_shape, "ConstantOfShape"),
    "cast": Operator("cast", cast, "Cast"),
    "cast_like": Operator("cast_like", cast_like, "CastLike"),
}

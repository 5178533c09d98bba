"""What recurrent operators share: directions, layout, sequence lengths and the loop over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.recurrent_activations import Activation, activation_functions
from cimc.ops.stationary import Stationary

#: One time step: projected input ``(batch, gates)`` and state to the next state; the first entry
#: of a state is the hidden vector.
Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One call of a recurrent operator: its input and the attributes all three have."""

    x: Tensor
    sequence_lens: Tensor | None
    direction: str
    hidden_size: int
    layout: int
    operator: str

    @property
    def reversed(self) -> tuple[bool, ...]:
        """Whether each direction runs backwards."""
        known = {
            "forward": (False,),
            "reverse": (True,),
            "bidirectional": (False, True),
        }
        if self.direction not in known:
            raise ModelError(
                "CIMC-M37",
                f"unknown direction {self.direction!r}",
                where=f"{self.operator}, attribute 'direction'",
                hint="one of forward, reverse, bidirectional",
            )
        return known[self.direction]

    def activations(
        self,
        defaults: tuple[str, ...],
        names: Sequence[str] | None,
        alphas: Sequence[float] | None,
        betas: Sequence[float] | None,
    ) -> tuple[list[Activation], ...]:
        """Return for each place in ``defaults`` its function for every direction."""
        directions = len(self.reversed)
        chosen = list(names) if names else list(defaults) * directions
        if len(chosen) != len(defaults) * directions:
            raise ModelError(
                "CIMC-M37",
                f"{len(chosen)} activation functions, {len(defaults) * directions} are needed",
                where=f"{self.operator}, attribute 'activations'",
            )
        functions = activation_functions(chosen, alphas, betas, self.operator)
        return tuple(functions[k :: len(defaults)] for k in range(len(defaults)))

    def both(
        self,
        w: Tensor | Stationary,
        b: Tensor | None,
        gates: int,
        direction_step: Callable[[int], Step],
        initial: tuple[Tensor | None, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run every direction; return Y and the last states in the layout asked for."""
        x = self.x if self.layout else self.x.transpose(0, 1)  # (batch, steps, inputs)
        batch, steps = x.shape[:2]
        lens = None if self.sequence_lens is None else self.sequence_lens.to(x.device, torch.int64)
        outputs: list[Tensor] = []
        lasts: list[tuple[Tensor, ...]] = []
        for d, backwards in enumerate(self.reversed):
            order = _backwards_order(steps, batch, lens, x.device) if backwards else None
            input_bias = None if b is None else b[d, : gates * self.hidden_size]
            projected = product(_reordered(x, order), w, d, input_bias)
            state = tuple(self._initial(value, d, batch) for value in initial)
            y, last = _over_time(projected, lens, direction_step(d), state)
            outputs.append(_reordered(y, order))
            lasts.append(last)
        y = torch.stack(outputs, dim=2)  # (batch, steps, directions, hidden)
        if not self.layout:
            y = y.permute(1, 2, 0, 3)
        axis = 1 if self.layout else 0
        ends = tuple(torch.stack(states, dim=axis) for states in zip(*lasts, strict=True))
        return y, ends

    def _initial(self, value: Tensor | None, d: int, batch: int) -> Tensor:
        """Return an initial state of one direction, ``(batch, hidden)``."""
        if value is None:
            return self.x.new_zeros(batch, self.hidden_size)
        return value[:, d] if self.layout else value[d]


def _over_time(
    projected: Tensor, lens: Tensor | None, step: Step, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run the steps; behind the end of a sequence its state stays and its output is 0.

    The last state of a sequence without steps is 0 as in onnxruntime; ONNX does not say.
    """
    outputs: list[Tensor] = []
    for t in range(projected.shape[1]):
        following = step(projected[:, t], state)
        if lens is None:
            outputs.append(following[0])
            state = following
            continue
        alive = (t < lens)[:, None]
        outputs.append(torch.where(alive, following[0], torch.zeros_like(following[0])))
        state = tuple(
            torch.where(alive, new, old) for new, old in zip(following, state, strict=True)
        )
    if lens is not None:
        some = (lens > 0)[:, None]
        state = tuple(torch.where(some, last, torch.zeros_like(last)) for last in state)
    if not outputs:
        return state[0].new_zeros(state[0].shape[0], 0, state[0].shape[1]), state
    return torch.stack(outputs, dim=1), state


def _backwards_order(steps: int, batch: int, lens: Tensor | None, device: torch.device) -> Tensor:
    """Return the time index that reverses each sequence within its length, ``(batch, steps)``.

    The order is its own inverse.
    """
    time = torch.arange(steps, device=device).expand(batch, steps)
    if lens is None:
        return steps - 1 - time
    return torch.where(time < lens[:, None], lens[:, None] - 1 - time, time)


def _reordered(x: Tensor, order: Tensor | None) -> Tensor:
    """Return ``x`` ``(batch, steps, features)`` with its steps in another order."""
    if order is None:
        return x
    return x.gather(1, order[:, :, None].expand(*order.shape, x.shape[2]))


def product(x: Tensor, weight: Tensor | Stationary, d: int, bias: Tensor | None) -> Tensor:
    """Multiply ``(..., rows)`` by the matrix of a direction and add a bias digitally."""
    if isinstance(weight, Tensor):
        y = torch.matmul(x, weight[d].transpose(0, 1))
    else:
        y = weight.mvm(x, group=d)
    return y if bias is None else y + bias


def peephole(gate: Tensor, weights: Tensor | None, part: int, cell: Tensor) -> Tensor:
    """Add what a gate sees of the cell through its third of the peephole weights, if any."""
    if weights is None:
        return gate
    return gate + weights.chunk(3, dim=-1)[part] * cell


def clipper(clip: float | None) -> Activation:
    """Return the function that bounds what goes into an activation."""
    if not clip:
        return _unchanged
    return partial(torch.clamp, min=-clip, max=clip)


def _unchanged(x: Tensor) -> Tensor:
    return x

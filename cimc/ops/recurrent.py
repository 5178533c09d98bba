"""Recurrent operators: LSTM, GRU and RNN of ONNX, over constant or crossbar gate matrices.

The input projection of all steps is one product; only the recurrent product runs step by step.
Inside, sequences are batch-first, ``(batch, steps, features)``, because the first axis is the axis
of samples for a crossbar's converters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

from cimc.ops.operator import Operator
from cimc.ops.recurrent_run import Recurrence, Step, clipper, peephole, product
from cimc.ops.stationary import Stationary


def lstm(
    x: Tensor,
    w: Tensor | Stationary,
    r: Tensor | Stationary,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    hidden_size: int,
    direction: str = "forward",
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory, ONNX ``LSTM``.

    Args:
        x: Input, ``(steps, batch, inputs)``; ``(batch, steps, inputs)`` with ``layout=1``.
        w: Input weights of the gates i, o, f, c, ``(directions, 4 * hidden, inputs)``.
        r: Recurrent weights, ``(directions, 4 * hidden, hidden)``.
        b: Biases of w, then of r, ``(directions, 8 * hidden)``.
        sequence_lens: Steps of each sequence, integer ``(batch,)``; outputs behind them are 0.
        initial_h: ``(directions, batch, hidden)``, batch first with ``layout=1``.
        initial_c: Like initial_h.
        p: Peepholes of i, o, f, ``(directions, 3 * hidden)``.
        hidden_size: Size of the hidden vector [-].
        direction: ``forward``, ``reverse``, ``bidirectional``.
        activations: f, g, h for each direction; Sigmoid, Tanh, Tanh by default.
        activation_alpha: Parameters of the activations, consumed in order.
        activation_beta: Like activation_alpha.
        clip: Bound on the magnitude of a gate before its activation (not of the cell).
        input_forget: Nonzero: the forget gate is 1 - i.
        layout: 1: the batch axis comes first.

    Returns:
        Y ``(steps, directions, batch, hidden)`` (``(batch, steps, directions, hidden)`` with
        ``layout=1``), Y_h and Y_c like initial_h.

    Raises:
        ModelError: ``CIMC-M37`` unknown activation or direction.
    """
    run = Recurrence(x, sequence_lens, direction, hidden_size, layout, "LSTM")
    f, g, h = run.activations(
        ("Sigmoid", "Tanh", "Tanh"), activations, activation_alpha, activation_beta
    )
    bound = clipper(clip)

    def direction_step(d: int) -> Step:
        peeps = None if p is None else p[d]
        hidden_bias = None if b is None else b[d, 4 * hidden_size :]

        def step(projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, cell = state
            gates = projected + product(hidden, r, d, hidden_bias)
            in_gate, out_gate, forget_gate, candidate = gates.chunk(4, dim=-1)
            i = f[d](bound(peephole(in_gate, peeps, 0, cell)))
            forget = 1 - i if input_forget else f[d](bound(peephole(forget_gate, peeps, 2, cell)))
            cell = forget * cell + i * g[d](bound(candidate))
            o = f[d](bound(peephole(out_gate, peeps, 1, cell)))
            return o * h[d](cell), cell  # onnxruntime clips gates, not the cell

        return step

    y, (y_h, y_c) = run.both(w, b, 4, direction_step, (initial_h, initial_c))
    return y, y_h, y_c


def gru(
    x: Tensor,
    w: Tensor | Stationary,
    r: Tensor | Stationary,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    hidden_size: int,
    direction: str = "forward",
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    linear_before_reset: int = 0,
    layout: int = 0,
) -> tuple[Tensor, Tensor]:
    """Gated recurrent unit, ONNX ``GRU``; arguments as for :func:`lstm`, gates z, r, h.

    With ``linear_before_reset=0`` the candidate's recurrent matrix multiplies ``r * h`` instead of
    ``h``: the crossbar is read twice a step and the columns not wanted are dropped.

    Args:
        x: Input, ``(steps, batch, inputs)``.
        w: Input weights, ``(directions, 3 * hidden, inputs)``.
        r: Recurrent weights, ``(directions, 3 * hidden, hidden)``.
        b: Biases of w, then of r, ``(directions, 6 * hidden)``.
        sequence_lens: Steps of each sequence, integer ``(batch,)``.
        initial_h: ``(directions, batch, hidden)``.
        hidden_size: Size of the hidden vector [-].
        direction: ``forward``, ``reverse``, ``bidirectional``.
        activations: f, g for each direction; Sigmoid, Tanh by default.
        activation_alpha: Parameters of the activations, consumed in order.
        activation_beta: Like activation_alpha.
        clip: Bound on the magnitude of a gate before its activation (not of the cell).
        linear_before_reset: Nonzero: the reset gate is applied to the recurrent product.
        layout: 1: the batch axis comes first.

    Returns:
        Y and Y_h, as :func:`lstm`.

    Raises:
        ModelError: ``CIMC-M37`` unknown activation or direction.
    """
    run = Recurrence(x, sequence_lens, direction, hidden_size, layout, "GRU")
    f, g = run.activations(("Sigmoid", "Tanh"), activations, activation_alpha, activation_beta)
    bound = clipper(clip)

    def direction_step(d: int) -> Step:
        bias = None if b is None else b[d, 3 * hidden_size :]

        def step(projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (hidden,) = state
            x_update, x_reset, x_candidate = projected.chunk(3, dim=-1)
            recurrent = product(hidden, r, d, bias)
            h_update, h_reset, h_candidate = recurrent.chunk(3, dim=-1)
            update = f[d](bound(x_update + h_update))
            reset = f[d](bound(x_reset + h_reset))
            if linear_before_reset:
                gated = reset * h_candidate
            else:
                gated = product(reset * hidden, r, d, bias).chunk(3, dim=-1)[2]
            candidate = g[d](bound(x_candidate + gated))
            return ((1 - update) * candidate + update * hidden,)

        return step

    y, (y_h,) = run.both(w, b, 3, direction_step, (initial_h,))
    return y, y_h


def rnn(
    x: Tensor,
    w: Tensor | Stationary,
    r: Tensor | Stationary,
    b: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    hidden_size: int,
    direction: str = "forward",
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    layout: int = 0,
) -> tuple[Tensor, Tensor]:
    """Simple recurrent layer, ONNX ``RNN``; arguments as for :func:`lstm`.

    Args:
        x: Input, ``(steps, batch, inputs)``.
        w: Input weights, ``(directions, hidden, inputs)``.
        r: Recurrent weights, ``(directions, hidden, hidden)``.
        b: Biases of w, then of r, ``(directions, 2 * hidden)``.
        sequence_lens: Steps of each sequence, integer ``(batch,)``.
        initial_h: ``(directions, batch, hidden)``.
        hidden_size: Size of the hidden vector [-].
        direction: ``forward``, ``reverse``, ``bidirectional``.
        activations: One for each direction; Tanh by default.
        activation_alpha: Parameters of the activations, consumed in order.
        activation_beta: Like activation_alpha.
        clip: Bound on the magnitude of a gate before its activation (not of the cell).
        layout: 1: the batch axis comes first.

    Returns:
        Y and Y_h, as :func:`lstm`.

    Raises:
        ModelError: ``CIMC-M37`` unknown activation or direction.
    """
    run = Recurrence(x, sequence_lens, direction, hidden_size, layout, "RNN")
    (f,) = run.activations(("Tanh",), activations, activation_alpha, activation_beta)
    bound = clipper(clip)

    def direction_step(d: int) -> Step:
        bias = None if b is None else b[d, hidden_size:]

        def step(projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (f[d](bound(projected + product(state[0], r, d, bias))),)

        return step

    y, (y_h,) = run.both(w, b, 1, direction_step, (initial_h,))
    return y, y_h


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "lstm": Operator("lstm", lstm, "LSTM", weights=(1, 2), outputs=3),
    "gru": Operator("gru", gru, "GRU", weights=(1, 2), outputs=2),
    "rnn": Operator("rnn", rnn, "RNN", weights=(1, 2), outputs=2),
}

"""What may stand where an operator expects a constant weight."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Stationary(Protocol):
    """A stack of stationary matrices held by crossbars: it multiplies, it has no readable weight.

    Operators with a weight operand that runs step by step (``lstm``, ``gru``, ``rnn``) accept one
    in place of the weight tensor.
    """

    def mvm(self, x: Tensor, group: int) -> Tensor:
        """Multiply input vectors by one matrix of the stack.

        Args:
            x: Input vectors, shape ``(..., rows)``.
            group: Which matrix of the stack (direction of a recurrent layer, group of a grouped
                convolution).

        Returns:
            Output vectors, shape ``(..., columns)``.
        """
        ...

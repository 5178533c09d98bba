"""Broken word lines and bit lines of an array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BrokenLines:
    """Which of the word lines, or of the bit lines, of one array are broken.

    Attributes:
        open: Lines that carry no current, bool ``(lines,)``.
        stuck: Lines whose cells all stand at the highest conductance, bool ``(lines,)``.
    """

    open: Tensor
    stuck: Tensor


def broken_lines(
    count: int, open_rate: float, stuck_rate: float, generator: torch.Generator
) -> BrokenLines:
    """Draw which lines of an array are broken.

    Args:
        count: Lines [-]; the first of them are the same whatever their number.
        open_rate: Probability that a line is open.
        stuck_rate: Probability that its cells are stuck; with ``open_rate`` at most 1.
        generator: A CPU stream; one uniform number a line.
    """
    draw = torch.empty(count, dtype=torch.float32).uniform_(generator=generator)
    return BrokenLines(draw < open_rate, draw >= 1.0 - stuck_rate)


def stick_lines(g_us: Tensor, word_stuck: Tensor, bit_stuck: Tensor, g_max_us: float) -> Tensor:
    """Set all cells on stuck lines to the highest conductance, in place.

    Args:
        g_us: Conductances ``(rows, columns)`` [uS].
        word_stuck: Of the word line of each row, bool ``(rows,)``.
        bit_stuck: Of the bit line of each column, bool ``(columns,)``.
        g_max_us: Highest conductance [uS].

    Returns:
        ``g_us``.
    """
    g_us.masked_fill_(word_stuck[:, None], g_max_us)
    return g_us.masked_fill_(bit_stuck, g_max_us)


def cut_lines(g_us: Tensor, word_open: Tensor, bit_open: Tensor) -> Tensor:
    """Take all cells on open lines out of the circuit, in place: no current flows through them.

    Args:
        g_us: Conductances ``(rows, columns)`` [uS].
        word_open: Of the word line of each row, bool ``(rows,)``.
        bit_open: Of the bit line of each column, bool ``(columns,)``.

    Returns:
        ``g_us``.
    """
    g_us.masked_fill_(word_open[:, None], 0.0)
    return g_us.masked_fill_(bit_open, 0.0)

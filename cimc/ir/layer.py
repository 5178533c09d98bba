"""The record of one stationary matrix stack, filled in stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.geometry import Geometry

#: How the range of a DAC was found that training learned.
TRAINED = "trained"

Encoding = Literal["signed", "differential-pair", "offset-column", "bit-sliced"]


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """What calibration learned of the inputs of one use of a layer, in the float network.

    Attributes:
        x_min: Smallest input seen.
        x_max: Largest input seen.
        limit: Upper edge of the histogram, at least the largest magnitude seen.
        histogram: Counts of ``|x|`` in equal bins over ``[0, limit]``, int64 ``(bins,)``.
        power: Mean square of each input, float32 ``(groups, rows)``, from sampled vectors.
        output_mean: Mean output a channel, float32 ``(channels,)``; None for a recurrent operator.
        samples: Samples (first axis of the data) the figures rest on [-].
    """

    x_min: float
    x_max: float
    limit: float
    histogram: npt.NDArray[np.int64]
    power: Tensor
    output_mean: Tensor | None
    samples: int


@dataclass(frozen=True, slots=True)
class Dac:
    """Digital-to-analog conversion at the word lines for one use of a layer.

    Codes are ``clamp(round_half_even(x * q / x_max), -q or 0, q)`` with ``q = 2**(bits-1) - 1``
    signed, ``2**bits - 1`` unsigned.

    Attributes:
        bits: Resolution [bit]; None: no converter, the input is applied exactly.
        signed: Whether negative inputs exist.
        policy: ``static``: ``x_max`` is fixed; ``dynamic``: ``x_max`` is the largest magnitude
            of each sample (first axis), found digitally at run time.
        x_max: Full scale in units of the input; None when dynamic. Without converter it is what
            ADC ranges are for, and clips nothing.
    """

    bits: int | None = None
    signed: bool = True
    policy: Literal["static", "dynamic"] = "dynamic"
    x_max: float | None = None


@dataclass(frozen=True, slots=True)
class Adc:
    """Analog-to-digital conversion at the bit lines for one use of a layer.

    The normalized bit-line current of one phase of a read is ``i = sum_r u_r * G_r`` in µS, ``u``
    in [-1, 1] the word lines' drive in that phase; times the read voltage it is µA.  Codes are
    ``clamp(round_half_even(i * inv_lsb), -q or 0, q)`` with ``q = 2**(bits-1) - 1`` signed,
    ``2**bits - 1`` unsigned, ``lsb = i_max / q``.

    Attributes:
        bits: Resolution [bit]; None: no converter.
        i_max_us: Full scale, float32 ``(row_tiles, lanes, columns)`` [uS]: lanes are the currents
            of a weight column that are converted one by one (:mod:`cimc.targets.lanes`), columns
            1 or ``groups * columns``; None without converter.
        signed: Whether currents may be negative.
    """

    bits: int | None = None
    i_max_us: Tensor | None = None
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Fitted:
    """How the converter ranges of a use were found, and what they cut off.

    Shares are of the sampled calibration inputs, as the quantized network has them; None without
    data.

    Attributes:
        input_method: ``max``, ``percentile``, ``mse``, ``search``; ``trained``: learned with the
            weights; ``dynamic``: found at run time; None: no DAC.
        adc_method: The first four; ``full-scale``; ``weights``: from their statistics, without
            data; None: no ADC.
        inputs_clipped: Share of inputs beyond the range of the DAC, 0..1.
        conversions_clipped: Share of conversions beyond the range of the ADC, 0..1.
        snr_db: The layer's exact output against the error of both converters [dB].
    """

    input_method: str | None
    adc_method: str | None
    inputs_clipped: float | None = None
    conversions_clipped: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One place in the network where a layer is read.

    Attributes:
        node: Name of the graph node.
        operand: Position of the weight among its operands.
        statistics: Inputs seen there by calibration; None without data.
        dac: Input conversion.
        adc: Output conversion.
        fitted: How ranges were found; None before, and without converters.
    """

    node: str
    operand: int
    statistics: InputStatistics | None = None
    dac: Dac = field(default_factory=Dac)
    adc: Adc = field(default_factory=Adc)
    fitted: Fitted | None = None


@dataclass(frozen=True, slots=True)
class Codebook:
    """The values the weights of a layer may take.

    Attributes:
        levels: Ascending, float32 ``(v,)``, or ``(groups * columns, v)`` when every output column
            has its own.
        codes: Index of each weight's level, uint8 ``(groups, rows, columns)``.
        multipliers: ``r`` of [NM Eq. 4], none negative, float32 ``(n,)`` or
            ``(groups * columns, n)``: the levels are the ``2**n`` sums of some of them plus
            ``offset``.  None for levels that are not such sums.
        offset: ``c`` of [NM Eq. 4], float32 ``(1,)`` or ``(groups * columns,)``; None without
            multipliers.
    """

    levels: Tensor
    codes: Tensor
    multipliers: Tensor | None = None
    offset: Tensor | None = None

    def values(self) -> Tensor:
        """Return the weights the codes stand for, float32 ``(groups, rows, columns)``."""
        index = self.codes.to(torch.int64)
        if self.levels.ndim == 1:
            return self.levels[index]
        groups, _, columns = index.shape
        table = self.levels.reshape(groups, columns, -1)
        return torch.gather(table, 2, index.transpose(1, 2)).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Cells:
    """The conductances of a layer, as they are to be programmed.

    What the cells stand for:

    * differential pair: ``planes`` are G+ and G-, the weight is ``gain * (G+ - G-)``;
    * offset column: ``planes`` are G and the offset cells ``(groups, rows, column_tiles)``, the
      weight is ``gain * (G - G_offset)``;
    * bit-sliced, multiplied digitally: a plane a slice, the weight is
      ``gain * (sum_k multipliers[k] * G_k + correction)``;
    * bit-sliced, multipliers in the conductances: ``gain * (sum_k G_k + correction)``;
    * signed (the ideal target): one plane, float32, in weight units, gain 1.

    Attributes:
        planes: Per device plane either state indices, uint8 ``(groups, rows, columns)``, into
            ``states_us``, or float32 conductances [uS] when ``states_us`` is None.
        states_us: Conductance of each state, float32 ``(s,)``, or ``(groups * columns, s)`` where
            every column has its own (not with offset columns) [uS].
        gain: Weight units per uS, float32 ``(1,)`` or ``(groups * columns,)``.
        multipliers: Digital factor of the current of each slice, float32 ``(slices,)`` or
            ``(slices, groups * columns)``, the largest is 1 [-]; None: no slices, or their
            conductances hold the factors.
        correction_us: What each column adds a unit input, times the digital sum of the inputs,
            float32 ``(1,)`` or ``(groups * columns,)`` [uS]: the offset of the codebook less what
            HRS cells leak; None without slices.
    """

    planes: tuple[Tensor, ...]
    states_us: Tensor | None
    gain: Tensor
    multipliers: Tensor | None = None
    correction_us: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How the cells of a tile lie on arrays.

    A tile has ``columns * bit_lines + extra`` adjacent bit lines, on each of ``arrays`` arrays
    with consecutive numbers, at the same place.

    Attributes:
        bit_lines: Adjacent bit lines of a weight column on one array [-].
        extra: Bit lines of a tile besides, right of the others [-].
        arrays: Arrays of a tile: 2 for pairs in twin arrays [-].
    """

    bit_lines: int
    extra: int = 0
    arrays: int = 1

    def width(self, columns: Any) -> Any:
        """Return the bit lines of tiles of so many weight columns."""
        return columns * self.bit_lines + self.extra


#: Columns of a tile table.  ``row``/``column`` are logical, inside the matrix of ``group``;
#: ``array_row``/``array_column`` are the physical place of the tile's first cell.  Weight column
#: ``j`` of a tile lies on the bit lines (counted from ``array_column``):
#:
#: * differential pair: G+ on ``2 j``, G- on ``2 j + 1``; in twin arrays both on ``j``, G+ on
#:   ``array``, G- on ``array + 1``;
#: * offset column: ``j``, the offset cells on one more, right of the last;
#: * bit-sliced: slice ``k`` of ``n`` on ``n j + k``;
#: * signed: ``j``.
TILE_FIELDS = (
    "group",
    "row_tile",
    "row",
    "rows",
    "column",
    "columns",
    "array",
    "array_row",
    "array_column",
)


@dataclass(frozen=True, slots=True)
class CrossbarLayer:
    """One weight that stays on crossbars, whatever number of nodes read it.

    Attributes:
        name: Unique in the network; from the weight's source name.
        weight: Name of the parameter in the graph module.
        geometry: How the weight tensor maps to matrices.
        uses: Where it is read.
        codebook: Set by ``quantize``; None before, and for float weights (ideal target).
        tiles: Set by ``tile`` (array places -1) and ``place``; int32 ``(n, len(TILE_FIELDS))``.
        row_tiles: Row ranges shared by all groups, int32 ``(t, 2)``: first row, rows. Set by
            ``tile``.
        cells: Set by ``assign-conductance``.
        encoding: Set by ``assign-conductance``.
        float_matrix: The float weight, ``(groups, rows, columns)``, kept by ``quantize`` when
            there are calibration data (recompiling for a chip starts from it); None otherwise.
        layout: How its cells lie on arrays; set by ``tile-to-crossbars``.
        word_lines: Physical word line of every logical row of every tile; set by ``remap``, see
            :class:`cimc.program.model.ProgramLayer`; None: in order.
        bit_lines: The same of columns.
        remapped: Its cells and its weight in the graph are of one chip, set by ``remap``; the
            codebook is still that of healthy cells.
    """

    name: str
    weight: str
    geometry: Geometry
    uses: tuple[Use, ...]
    codebook: Codebook | None = None
    tiles: npt.NDArray[np.int32] | None = None
    row_tiles: npt.NDArray[np.int32] | None = None
    cells: Cells | None = None
    encoding: Encoding | None = None
    float_matrix: Tensor | None = None
    layout: Layout | None = None
    word_lines: npt.NDArray[np.int32] | None = None
    bit_lines: npt.NDArray[np.int32] | None = None
    remapped: bool = False

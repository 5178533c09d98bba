"""A device program in memory: what a chip is loaded with and what the executor runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Cells, Dac, Encoding, Fitted
from cimc.ir.network import Signal

#: What an operator attribute may be: literals and (nested) lists of them.
Attribute = bool | int | float | str | None | list["Attribute"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of the program, in execution order.

    Attributes:
        name: Unique in the program.
        op: Name of a ``cimc.ops`` operator.
        inputs: References: ``%value`` an earlier output or program input, ``@tensor`` a constant
            of the blob, ``#layer`` a crossbar layer; None an omitted optional operand.
        attributes: Keyword arguments of the operator.
        outputs: Names of the values it defines.
        source: Node of the source model, for messages.
    """

    name: str
    op: str
    inputs: tuple[str | None, ...]
    attributes: Mapping[str, Attribute]
    outputs: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class ProgramUse:
    """Converter settings where one operation reads one layer, and how ranges were found."""

    operation: str
    operand: int
    dac: Dac
    adc: Adc
    fitted: Fitted | None = None


@dataclass(frozen=True, slots=True)
class ProgramLayer:
    """One weight on crossbars.

    Attributes:
        name: Unique; ``#name`` refers to it.
        source: Parameter name in the source model.
        geometry: Stack of matrices.
        encoding: Cells per weight and their meaning, see :class:`cimc.ir.layer.Cells`.
        cells: Conductance targets.
        tiles: int32 ``(n, len(TILE_FIELDS))``.
        row_tiles: int32 ``(t, 2)``: first row, rows.
        uses: Converter settings per use.
        twin: Pairs lie in twin arrays: G+ on the array of the tile table, G- at the same place
            of the next.
        word_lines: Physical word line of every logical row of every tile, int32, the tiles of the
            table one after the other, ``rows`` numbers each; None: in order, from ``array_row``.
        bit_lines: First physical bit line of every logical column of every tile, likewise; the
            other cells of a weight lie right of it.  With the encoding ``offset-column`` a tile
            has one more number, of its offset cells.  None: in order, from ``array_column``.
        one_by_one: Its groups are driven one after the other, also where they share an array.
    """

    name: str
    source: str
    geometry: Geometry
    encoding: Encoding
    cells: Cells
    tiles: npt.NDArray[np.int32]
    row_tiles: npt.NDArray[np.int32]
    uses: tuple[ProgramUse, ...]
    twin: bool = False
    word_lines: npt.NDArray[np.int32] | None = None
    bit_lines: npt.NDArray[np.int32] | None = None
    one_by_one: bool = False


@dataclass(frozen=True, slots=True)
class Golden:
    """Bring-up vectors: inputs with the noise-free outputs, overall and per crossbar read.

    Attributes:
        inputs: By input name.
        outputs: By output name, noise-free (ideal plus converters).
        layers: By operation name: the noise-free output of each operation that reads a layer.
    """

    inputs: Mapping[str, npt.NDArray[Any]]
    outputs: Mapping[str, npt.NDArray[Any]]
    layers: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What recompiling for a chip needs without the model; holds user data.

    Attributes:
        inputs: A subsample of the calibration inputs, by input name.
        weights: Float weight matrices by layer name, float32 ``(groups, rows, columns)``.
        means: Float layer output means by operation name, float32 ``(groups * columns,)``.
        constants: By name, the digital constants that the compiler changed to make good what
            quantization does to means, as they were in the float network.
        originals: What a program made for one chip had before, see :mod:`cimc.remap.originals`:
            ``constant/NAME``, and ``plane0/LAYER``, ``gain/LAYER``, ``states/LAYER`` and so on;
            recompiling it for another chip starts from these.  Empty in other programs.
    """

    inputs: Mapping[str, npt.NDArray[Any]]
    weights: Mapping[str, Tensor]
    means: Mapping[str, Tensor]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    originals: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """The fault map of the one chip a program was compiled for.

    Attributes:
        chip: Its id.
        cells: int32 ``(n, 4)``: array, row, column, state (1 stuck at G_min, 2 at G_max, 3 at
            its conductance).
        conductance_us: Of cells in state 3, float32 ``(n,)`` [uS].
        gain_arrays: Arrays whose device-to-device variation was measured, int32 ``(m,)``.
        gain_lrs: Factor of the highest state of each cell of these [NM Eq. 12], float32
            ``(m, rows, columns)`` [-]; None: not measured.
        gain_hrs: The same of the lowest state.
    """

    chip: str
    cells: npt.NDArray[np.int32]
    conductance_us: npt.NDArray[np.float32]
    gain_arrays: npt.NDArray[np.int32] | None = None
    gain_lrs: npt.NDArray[np.float32] | None = None
    gain_hrs: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """Everything the executor may see.

    Attributes:
        inputs: Program inputs.
        outputs: Program outputs; ``results`` names the value of each.
        results: Value reference of each output (``%value``, ``@tensor``).
        operations: In execution order.
        constants: Digital tensors by name (weights of digital operators, opaque NodeProtos as
            uint8).
        layers: Crossbar layers by name.
        target: The target description as it was read: nested plain data, validated on load.
        arrays: Number of arrays used [-].
        provenance: cimc version, sha256 of model, target, fault map; seed; pipeline with every
            option.
        golden: Bring-up vectors.
        calibration: Kept when data was given.
        faults: Fault map the program was compiled for.
        sha256: Digest of the written program ('' before it is written).
        warnings: What the user should know, in order.
        batched: Whether samples along the first axis of every input are independent, so that a
            run may be split along it.
    """

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    results: tuple[str, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Tensor]
    layers: Mapping[str, ProgramLayer]
    target: Mapping[str, Any]
    arrays: int
    provenance: Mapping[str, Any]
    golden: Golden | None = None
    calibration: Calibration | None = None
    faults: FaultRecord | None = None
    sha256: str = ""
    warnings: tuple[str, ...] = field(default=())
    batched: bool = True

"""How a chip reads its layers, programmed anew whenever weights have moved.

The same functions as the executor's run every effect of the target: what training sees forward is
what verification will see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.executor.bind import Reader, Reads, bind
from cimc.executor.crossbars import Crossbars, wafer_of
from cimc.executor.known_faults import KnownCells, known_cells
from cimc.executor.packing import Packed, packed
from cimc.executor.physics import Physics
from cimc.executor.prepare import read_of
from cimc.executor.workspace import Workspace
from cimc.ir.layer import Adc, Cells, Dac
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramLayer
from cimc.training.straight_through import Limits

#: Converter settings by operation and operand.
Settings = Mapping[tuple[str, int], tuple[Dac, Adc]]
#: Input vectors and the number of a matrix of the stack to output vectors.
Gate = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, slots=True)
class ChipReads:
    """How operations read one chip.

    Attributes:
        operations: By operation name: takes the operands, None in place of weights.
        gates: By operation name and operand: the products of recurrent operations.
        limits: By operation name and operand: smallest and largest input that is not clipped.
    """

    operations: Mapping[str, Callable[..., Any]]
    gates: Mapping[str, Mapping[int, Gate]]
    limits: Mapping[tuple[str, int], Limits]


@dataclass(frozen=True, slots=True)
class ChipMaker:
    """Makes chips of a program whose cells change.

    Attributes:
        program: With its layers, tiles and operations; its cells are replaced.
        physics: What is modelled.
        device: Where it is computed.
        reader: How a read is prepared; the executor's, or a differentiable one.
        workspace: Where codes are put.
        known: What the program's fault map says of its cells, once it was worked out.
    """

    program: DeviceProgram
    physics: Physics
    device: torch.device
    reader: Reader
    workspace: Workspace
    known: list[KnownCells] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        program: DeviceProgram,
        physics: Physics,
        device: torch.device,
        reader: Reader = read_of,
    ) -> ChipMaker:
        """Return what makes chips of a program."""
        return cls(program, physics, device, reader, Workspace())

    def chip(self, cells: Mapping[str, Cells], settings: Settings, seed: int) -> ChipReads:
        """Program one chip.

        Args:
            cells: Of every layer, by name.
            settings: Of the converters of every use.
            seed: The chip.
        """
        layers = {
            name: _with(layer, cells[name], settings)
            for name, layer in self.program.layers.items()
        }
        whole = packed(replace(self.program, layers=layers), self.physics)
        if not self.known:
            self.known.append(known_cells(whole.program))
        wafer = wafer_of(whole.program, self.physics, self.device, known=self.known[0])
        normals = None
        if self.physics.fluctuates:
            normals = Normals(seed, "read", device=self.device)
        crossbars = Crossbars(wafer, seed)
        reads = bind(
            whole.program, crossbars, self.physics, seed, normals, self.workspace, self.reader
        )
        limits = _limits(settings) if self.physics.on("dac") else {}
        return _reads(whole, reads, limits)


def _limits(settings: Settings) -> dict[tuple[str, int], Limits]:
    return {
        place: (-dac.x_max if dac.signed else 0.0, dac.x_max)
        for place, (dac, _) in settings.items()
        if dac.bits is not None and dac.policy == "static" and dac.x_max is not None
    }


def _with(layer: ProgramLayer, cells: Cells, settings: Settings) -> ProgramLayer:
    uses = tuple(
        replace(use, dac=settings[use.operation, use.operand][0],
                adc=settings[use.operation, use.operand][1])
        for use in layer.uses
    )  # fmt: skip
    return replace(layer, cells=cells, uses=uses)


def _reads(whole: Packed, reads: Reads, limits: Mapping[tuple[str, int], Limits]) -> ChipReads:
    """Return how every operation reads, those whose layers are exact matrices included."""
    known = dict(reads.operations)
    gates: dict[str, Mapping[int, Gate]] = {
        name: {position: weight.mvm for position, weight in of.items()}
        for name, of in reads.recurrent.items()
    }
    for operation in whole.program.operations:
        exact = {
            position: reads.weights[reference[1:]]
            for position, reference in enumerate(operation.inputs)
            if reference is not None and reference.startswith("#")
        } if operation.name not in known else {}  # fmt: skip
        if not exact:
            continue
        known[operation.name] = _exact(operation, exact)
        if operation.op in ("lstm", "gru", "rnn"):
            gates[operation.name] = {k: partial(_gate, w) for k, w in exact.items()}
    return ChipReads(whole.operations(known), gates, limits)


def _exact(operation: Operation, weights: Mapping[int, Tensor]) -> Callable[..., Any]:
    function = OPERATORS[operation.op].function

    def run(*operands: Any) -> Any:
        whole = [weights.get(position, value) for position, value in enumerate(operands)]
        return function(*whole, **operation.attributes)

    return run


def _gate(weight: Tensor, x: Tensor, group: int) -> Tensor:
    """Multiply by one matrix of gate weights ``(groups, columns, rows)``."""
    return torch.matmul(x, weight[group].T)

"""Run a device program: ideal, through converters, or on one noisy chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cimc.device.normals import Normals
from cimc.errors import ModelError, UsageError
from cimc.executor import values
from cimc.executor.bind import Reads, bind
from cimc.executor.crossbars import Crossbars, Wafer, wafer_of
from cimc.executor.guard import guarded
from cimc.executor.measured import Measured, cells_of
from cimc.executor.packing import packed
from cimc.executor.physics import physics_of
from cimc.executor.steps import Environment, Step, check, steps_of
from cimc.executor.workspace import Workspace
from cimc.program.model import DeviceProgram

Array = npt.NDArray[Any]
#: Called with samples done and samples in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run computed.

    Attributes:
        outputs: By output name.
        layers: By operation name, the result of every operation that reads a crossbar layer;
            empty unless asked for.
    """

    outputs: dict[str, Array]
    layers: dict[str, Array]


class Executor:
    """One chip that runs one device program.

    Programming noise and stuck cells are drawn when the executor is made and depend on the seed
    only; read noise is new in every run, the same sequence of runs gives the same results.

    Attributes:
        program: What it runs.
        mode: ``ideal``, ``noise-free`` or ``chip``, see docs/numerics.md.
        seed: The chip.
    """

    def __init__(
        self,
        program: DeviceProgram,
        mode: str = "chip",
        seed: int = 0,
        device: str | torch.device = "cpu",
        batch: int | None = None,
        *,
        effects: AbstractSet[str] | None = None,
        at_s: float | None = None,
        measured: Measured | None = None,
    ) -> None:
        """Program the chip.

        Args:
            program: What to run.
            mode: ``ideal``: exact arithmetic; ``noise-free``: ideal plus converters; ``chip``:
                everything the target describes.
            seed: Which chip.
            device: Any torch device.
            batch: Most samples computed at once; None: all.
            effects: In mode ``chip``, model only these non-idealities, see
                ``cimc.targets.compatibility.SWITCHES``; None: all the target describes.
            at_s: Time after programming [s]; None: the target's ``read.at``.
            measured: Conductances read back from a chip, by layer name, one tensor a plane [uS]:
                in mode ``chip`` they stand for all that is modelled of its cells but wires and
                fluctuations.

        Raises:
            UsageError: CIMC-U45, no such mode; CIMC-U46, a batch below 1; CIMC-U47, no such
                non-ideality.
            ProgramError: CIMC-P40, CIMC-P41, the program contradicts itself; CIMC-P60, CIMC-P61,
                the measured conductances do not cover it.
        """
        if batch is not None and batch < 1:
            raise UsageError("CIMC-U46", f"a batch of {batch} samples", hint="1 or more")
        check(program)
        physics = physics_of(program, mode, effects, at_s)
        where = torch.device(device)
        with torch.inference_mode():
            self._constants = {f"@{n}": v.to(where) for n, v in program.constants.items()}
        self.program, self.mode, self._batch = program, mode, batch
        self._converted = _converted_inputs(program) if physics.converters else frozenset()
        self._packed = packed(program, physics)
        read_back = None
        if mode == "chip" and measured is not None:
            read_back = self._packed.measured(cells_of(program, measured, where), physics)
        wafer = wafer_of(self._packed.program, physics, where, read_back)
        self._program_chip(wafer, seed)

    def noise_free(self) -> Executor:
        """Return the program as it runs through converters; what is known of cells is not copied.

        Only of a program that runs exactly.
        """
        assert self.mode == "ideal", "cells of chips are not those of the program"
        physics = physics_of(self.program, "noise-free")
        other = copy(self)
        other.mode = "noise-free"
        other._converted = _converted_inputs(self.program) if physics.converters else frozenset()
        other._packed = packed(self.program, physics)
        same = other._packed.layers.keys() == self._packed.layers.keys()
        known = self._wafer.known if same else None
        wafer = wafer_of(other._packed.program, physics, self._wafer.device, known=known)
        other._program_chip(wafer, self.seed)
        return other

    def _program_chip(self, wafer: Wafer, seed: int) -> None:
        self.seed, self._wafer, self._workspace = seed, wafer, Workspace()
        physics = wafer.physics
        normals = Normals(seed, "read", device=wafer.device) if physics.fluctuates else None
        with torch.inference_mode():
            crossbars = Crossbars(wafer, seed)
            reads = bind(wafer.program, crossbars, physics, seed, normals, self._workspace)
        self._given = _given(self._constants, self.program, reads)
        self._kept = {values.memory_of(value) for value in self._given.values()}
        self._steps: tuple[Step, ...] = steps_of(
            wafer.program,
            self._packed.operations(reads.operations),
            converters=physics.on("dac"),
        )

    def chip(self, seed: int) -> Executor:
        """Return another chip that runs the same program; what chips share is not copied."""
        other = copy(self)
        other._program_chip(self._wafer, seed)
        return other

    def run(
        self,
        inputs: Mapping[str, Array],
        taps: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run the program once.

        Args:
            inputs: One array an input, by name.
            taps: Whether to return the result of every operation that reads a crossbar layer.
            progress: Called after every batch.

        Raises:
            ModelError: CIMC-M80..M85, the data are not what the program takes.
            ProgramError: CIMC-P42, an operation fails; CIMC-P43, it needs too much memory.
        """
        values.check_names(inputs, self.program.inputs)
        parts = []
        total, done = self._samples(inputs), 0
        for chunk in self._chunks(inputs, total):
            with torch.inference_mode(), guarded() as limit:
                parts.append(self._run(chunk, taps, limit))
            done += self._batch or total
            if progress is not None:
                progress(min(done, total), total)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _samples(self, inputs: Mapping[str, Array]) -> int:
        sizes = {values.samples(inputs[s.name]) for s in self.program.inputs}
        return (sizes.pop() if len(sizes) == 1 else None) or 1

    def _chunks(self, inputs: Mapping[str, Array], total: int) -> Iterator[Mapping[str, Array]]:
        """Yield the inputs of each computation."""
        size = self._batch
        if size is None or size >= total:
            yield inputs
            return
        if not self.program.batched:
            raise ModelError(
                "CIMC-M85",
                f"samples of this program are not independent, {total} of them cannot be run "
                f"{size} at a time",
                hint="no batch size",
            )
        for first in range(0, total, size):
            yield {name: value[first : first + size] for name, value in inputs.items()}

    def _run(self, inputs: Mapping[str, Array], taps: bool, limit: int) -> RunResult:
        environment = dict(self._given)
        for signal in self.program.inputs:
            finite = signal.name in self._converted
            environment[f"%{signal.name}"] = values.to_tensor(
                inputs[signal.name], signal, self._wafer.device, finite=finite
            )
        kept = self._kept | {values.memory_of(environment[f"%{name}"]) for name in inputs}
        tapped: dict[str, Array] = {}
        for step in self._steps:
            result = step(environment, limit)
            if taps and step.layers:
                first = result[0] if step.several else result
                tapped[step.operation.name] = values.to_array(first.clone())
        self._workspace.shrink()
        outputs = {
            signal.name: values.to_array(environment[reference], kept)
            for signal, reference in zip(self.program.outputs, self.program.results, strict=True)
        }
        return RunResult(outputs, tapped)


def _given(constants: Environment, program: DeviceProgram, reads: Reads) -> Environment:
    """Return the values that exist before a run."""
    crossbars: Environment = {f"#{name}": None for name in program.layers}
    exact = {f"#{name}": tensor for name, tensor in reads.weights.items()}
    return {**constants, **crossbars, **exact}


def _converted_inputs(program: DeviceProgram) -> frozenset[str]:
    """Return the inputs that an operation with a converter reads directly."""
    converted = {
        use.operation
        for layer in program.layers.values()
        for use in layer.uses
        if use.dac.bits is not None or use.adc.bits is not None
    }
    read = {r for o in program.operations if o.name in converted for r in o.inputs if r}
    return frozenset(s.name for s in program.inputs if f"%{s.name}" in read)


def _joined(parts: list[RunResult]) -> RunResult:
    """Return the results of several batches as one."""
    first = parts[0]
    return RunResult(
        {n: np.concatenate([p.outputs[n] for p in parts]) for n in first.outputs},
        {n: np.concatenate([p.layers[n] for p in parts]) for n in first.layers},
    )

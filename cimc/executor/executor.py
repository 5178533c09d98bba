"""Run a device program: ideal, through converters, or on one noisy chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.device import seeding
from cimc.errors import ModelError, UsageError
from cimc.executor import values
from cimc.executor.bind import Reads, bind
from cimc.executor.cells import StuckCells, conductances_us, targets_us
from cimc.executor.fluctuation import Noise
from cimc.executor.guard import guarded
from cimc.executor.known_faults import stuck_cells
from cimc.executor.matrices import Matrices, matrices
from cimc.executor.physics import Physics, physics_of
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


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all chips of a program share.

    Attributes:
        program: The program.
        physics: What is modelled.
        device: Where it is computed.
        targets: Conductance targets of each layer's planes [uS].
        faults: Known stuck cells by layer and plane.
        constants: Digital tensors by reference.
        converted: Inputs that a converter reads directly.
    """

    program: DeviceProgram
    physics: Physics
    device: torch.device
    targets: Mapping[str, tuple[Tensor, ...]]
    faults: Mapping[str, Mapping[int, StuckCells]]
    constants: Environment
    converted: frozenset[str]


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
    ) -> None:
        """Program the chip.

        Args:
            program: What to run.
            mode: ``ideal``: exact arithmetic; ``noise-free``: ideal plus converters; ``chip``:
                everything the target describes.
            seed: Which chip.
            device: Any torch device.
            batch: Most samples computed at once; None: all.

        Raises:
            UsageError: CIMC-U45, no such mode; CIMC-U46, a batch below 1.
            ProgramError: CIMC-P40, CIMC-P41, the program contradicts itself.
        """
        if batch is not None and batch < 1:
            raise UsageError("CIMC-U46", f"a batch of {batch} samples", hint="1 or more")
        check(program)
        physics = physics_of(program, mode)
        where = torch.device(device)
        with torch.inference_mode():
            targets = {n: targets_us(v.cells, where) for n, v in program.layers.items()}
            constants = {f"@{n}": v.to(where) for n, v in program.constants.items()}
        faults = stuck_cells(program)
        converted = _converted_inputs(program) if physics.converters else frozenset()
        self._set_up(
            _Shared(program, physics, where, targets, faults, constants, converted),
            mode,
            seed,
            batch,
        )

    def _set_up(self, shared: _Shared, mode: str, seed: int, batch: int | None) -> None:
        self.program, self.mode, self.seed = shared.program, mode, seed
        self._shared, self._batch = shared, batch
        physics = shared.physics
        self._workspace = Workspace()
        noise = None
        if physics.read_sigma:
            stream = seeding.generator(seed, "read", device=shared.device)
            noise = Noise(physics.read_sigma, stream)
        with torch.inference_mode():
            seen = self._matrices(read_noise=noise is not None)
            reads = bind(self.program, seen, physics, noise, self._workspace)
        self._constants = _environment(shared, reads)
        self._kept = {values.memory_of(value) for value in self._constants.values()}
        self._steps: tuple[Step, ...] = steps_of(
            self.program, reads.operations, converters=physics.converters
        )

    def _matrices(self, *, read_noise: bool) -> dict[str, Matrices]:
        """Return what the bit lines see on this chip."""
        shared = self._shared
        seen = {}
        for name, layer in self.program.layers.items():
            planes = conductances_us(
                layer, shared.targets[name], shared.physics, self.seed, shared.faults.get(name, {})
            )
            seen[name] = matrices(layer, planes, read_noise=read_noise)
        return seen

    def chip(self, seed: int) -> Executor:
        """Return another chip that runs the same program; what chips share is not copied."""
        other = object.__new__(Executor)
        other._set_up(self._shared, self.mode, seed, self._batch)
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
            with torch.inference_mode(), guarded():
                parts.append(self._run(chunk, taps))
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

    def _run(self, inputs: Mapping[str, Array], taps: bool) -> RunResult:
        shared = self._shared
        environment = dict(self._constants)
        for signal in self.program.inputs:
            finite = signal.name in shared.converted
            environment[f"%{signal.name}"] = values.to_tensor(
                inputs[signal.name], signal, shared.device, finite=finite
            )
        kept = self._kept | {values.memory_of(environment[f"%{name}"]) for name in inputs}
        tapped: dict[str, Array] = {}
        for step in self._steps:
            result = step(environment)
            if taps and step.layers:
                first = result[0] if step.several else result
                tapped[step.operation.name] = values.to_array(first.clone())
        self._workspace.shrink()
        outputs = {
            signal.name: values.to_array(environment[reference], kept)
            for signal, reference in zip(self.program.outputs, self.program.results, strict=True)
        }
        return RunResult(outputs, tapped)


def _environment(shared: _Shared, reads: Reads) -> Environment:
    """Return the values that exist before a run."""
    crossbars: Environment = {f"#{name}": None for name in shared.program.layers}
    exact = {f"#{name}": tensor for name, tensor in reads.weights.items()}
    return {**shared.constants, **crossbars, **exact}


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

"""From a program to the program for one chip: only what depends on the chip is done again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cimc.executor import Executor
from cimc.executor.one_by_one import made_for, notes
from cimc.faults import FaultMap, checked, load_fault_map
from cimc.ir.network import Array, Network
from cimc.lowering.converters import Sampling
from cimc.lowering.emit import emit
from cimc.lowering.lift import lift
from cimc.passbase import Progress, silent
from cimc.pipeline import samples
from cimc.pipeline.agreement import compare, require, tolerance_of
from cimc.pipeline.recompile_report import RecompileResult, report_of
from cimc.pipeline.recompile_settings import (
    MethodName,
    converter_method,
    require_provenance,
    settings_of,
)
from cimc.program import read, write
from cimc.program.model import Calibration, DeviceProgram, Golden
from cimc.program.replace import check_replaceable
from cimc.quantizers.threads import one_thread
from cimc.remap.converters import FEW_VECTORS, SAMPLES, VECTORS, fit_adcs
from cimc.remap.originals import originals_of, restored
from cimc.remap.physical import ChipFaults
from cimc.remap.remap import remap
from cimc.remap.settings import RemapSettings
from cimc.targets import Target
from cimc.verification.data import Data

if TYPE_CHECKING:  # training is imported when it is asked for
    from cimc.pipeline.recompile_training import ChipTraining, Trained
    from cimc.training.recipe import Recipe
    from cimc.training.settings import UserLoss

#: How far a program run exactly may be from the network it was made of, relative.
_TOLERANCE: Final = 1e-3


def recompile(
    program: DeviceProgram | str | Path,
    fault_map: FaultMap | str | Path,
    *,
    output: str | Path | None = None,
    method: MethodName | None = None,
    data: Mapping[str, Array] | str | Path | None = None,
    settings: RemapSettings | None = None,
    skip: Sequence[str] = (),
    train_data: Mapping[str, Array] | str | Path | None = None,
    recipe: Mapping[str, Any] | str | Path | None = None,
    training: Mapping[str, Any] | Recipe | None = None,
    loss: UserLoss | None = None,
    training_device: str = "cpu",
    resume: bool = False,
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
) -> RecompileResult:
    """Make a program for one chip, and train it for that chip where there are data to.

    Args:
        program: See :class:`Recompiler`, as for all that are not named here.
        fault_map: The chip's faults, or their file.
        output: Directory to write (``NAME.cim``); None: nothing is written.
        method: What is done before training.
        data: Calibration inputs.
        settings: Of remapping.
        skip: Ingredients to leave out.
        train_data: Inputs, with ``labels`` or without, or the path of an ``.npz``: the network is
            trained on them for this chip, see docs/training.md.
        recipe: A mapping or a YAML file with the section ``training``.
        training: Settings of that section, which win.
        loss: Of outputs by name and labels, in place of the recipe's.
        training_device: torch device that trains.
        resume: Go on from the last checkpoint, if there is one.
        checkpoint: Directory of checkpoints, kept; None: ``OUTPUT.training``, removed at the end.
        progress: Told what is being done and the share done.

    Raises:
        UsageError: CIMC-U54 to CIMC-U59, CIMC-U71 to CIMC-U73, training cannot be as asked for.
    """
    made = Recompiler(program, method=method, data=data, settings=settings, skip=skip)
    said = (train_data, recipe, training, loss, checkpoint)
    chip_training = None
    if resume or training_device != "cpu" or any(each is not None for each in said):
        from cimc.pipeline.recompile_training import ChipTraining
        from cimc.pipeline.training_run import TrainingRequest

        request = TrainingRequest(train_data, loss, training_device, resume, checkpoint)
        chip_training = ChipTraining.of(request, recipe, training, made.target, output=output)
    return made.for_chip(fault_map, output=output, training=chip_training, progress=progress)


class Recompiler:
    """Makes programs for chips of one program.

    What chips share is done once; nothing is carried from chip to chip, so a chip's program is
    the same whatever was made before it.

    Attributes:
        settings: What is done about faults.
        target: The device.
    """

    def __init__(
        self,
        program: DeviceProgram | str | Path,
        *,
        method: MethodName | None = None,
        data: Mapping[str, Array] | str | Path | None = None,
        settings: RemapSettings | None = None,
        skip: Sequence[str] = (),
    ) -> None:
        """Take a program.

        Args:
            program: Compiled for no chip; or for another one, with calibration data.
            method: ``nearest``: every weight takes the reachable value nearest to its own;
                ``feedback``: all there is, see docs/recompile.md.  None: ``feedback`` where there
                are calibration data.
            data: Calibration inputs in place of those in the program.
            settings: In place of the defaults; ``method`` and ``skip`` win.
            skip: Ingredients to leave out, see
                :data:`cimc.pipeline.recompile_settings.INGREDIENTS`.

        Raises:
            ProgramError: The program cannot be read; CIMC-P07, its provenance cannot be.
            FaultMapError: CIMC-F30, it was made for a chip and does not hold what it had before.
            UsageError: CIMC-U65, there is no such method or ingredient; CIMC-U66, ``feedback``
                without calibration data.
        """
        loaded = program if isinstance(program, DeviceProgram) else read(Path(program))
        require_provenance(loaded.provenance)
        self._golden = loaded.golden
        self._source = loaded.provenance.get("recompiled", {}).get("from", loaded.sha256)
        self._program = restored(loaded)
        self._network = lift(self._program)
        self.target = Target.from_plain(loaded.target, name="the program's target")
        self._data = _data(data, self._program, self._network)
        self.settings = settings_of(settings, method, skip, self._data)

    def for_chip(
        self,
        fault_map: FaultMap | str | Path,
        *,
        output: str | Path | None = None,
        training: ChipTraining | None = None,
        progress: Progress = silent,
    ) -> RecompileResult:
        """Return the program for a chip.

        Args:
            fault_map: Its faults, or their file.
            output: Directory to write (``NAME.cim``); None: nothing is written.
            training: How the network is trained for the chip; None: not at all.
            progress: Told what is being done and the share done.

        Raises:
            FaultMapError: See :func:`cimc.faults.load_fault_map`, :func:`cimc.faults.checked`.
        """
        start = time.perf_counter()
        if output is not None:
            check_replaceable(Path(output))
        given = fault_map if isinstance(fault_map, FaultMap) else load_fault_map(fault_map)
        faults, warnings = checked(given, self._program)
        progress("remap", 0.0)
        done = remap(
            self._network,
            self.target,
            faults,
            self.settings,
            self._data,
            lambda share: progress("remap", share),
        )
        trained = None
        if training is not None:
            trained = training.run(
                done.network,
                self.target,
                faults,
                use=self.settings.cells,
                method=converter_method(self._program.provenance),
                output=output,
                progress=progress,
            )
            warnings += trained.notes
        if trained is None or not trained.report.kept_epoch:
            network = self._fitted(done.network, faults, progress)
        else:
            network = trained.network
        made = emit(network, self.target, self._provenance(faults, trained))
        made = replace(made_for(made, faults.record()), warnings=self._program.warnings)
        warnings += notes(made)
        progress("verify", 0.0)
        made = self._with_golden(made, network)
        made = replace(made, calibration=self._kept(network))
        if output is not None:
            progress("write", 0.0)
            made = replace(made, sha256=write(made, Path(output)))
        if training is not None:
            training.done(output)
        report = replace(
            report_of(made, done, self.settings.method, output, warnings),
            seconds=time.perf_counter() - start,
            chip=faults.chip,
            training=None if trained is None else trained.report,
        )
        return RecompileResult(made, report)

    def _fitted(self, network: Network, faults: FaultMap, progress: Progress) -> Network:
        chip = ChipFaults(faults, self.target)
        seed = int(self._program.provenance.get("seed", 0))
        vectors = FEW_VECTORS if self.settings.method == "nearest" else VECTORS
        return fit_adcs(
            network,
            self.target,
            chip,
            converter_method(self._program.provenance),
            Sampling(self._data, SAMPLES, vectors, seed=seed),
            lambda share: progress("fit-converters", share),
        )

    def _provenance(self, faults: FaultMap, trained: Trained | None) -> dict[str, Any]:
        settings = asdict(self.settings)
        made: dict[str, Any] = {"from": self._source, "settings": settings}
        if trained is not None:
            made["training"] = dict(trained.provenance)
        fault_map = {"chip": faults.chip, "sha256": faults.sha256}
        return {**self._program.provenance, "fault_map": fault_map, "recompiled": made}

    def _with_golden(self, program: DeviceProgram, network: Network) -> DeviceProgram:
        """Run the program: exactly as a check of the compiler, noise-free for golden vectors."""
        if self._golden is None:
            return program
        with one_thread():  # few samples, many tiles: each step is small
            return self._with_vectors(program, network, self._golden.inputs)

    def _with_vectors(
        self, program: DeviceProgram, network: Network, inputs: Mapping[str, Array]
    ) -> DeviceProgram:
        exact = Executor(program, mode="ideal")
        require(
            compare(exact.run(inputs).outputs, samples.run_graph(network, inputs)),
            code="CIMC-I06",
            what="the device program, run exactly,",
            tolerance=max(tolerance_of(network), _TOLERANCE),
        )
        found = exact.noise_free().run(inputs, taps=True)
        return replace(program, golden=Golden(inputs, found.outputs, found.layers))

    def _kept(self, network: Network) -> Calibration | None:
        before = self._program.calibration
        if before is None:
            return None
        floats = network.float_constants
        return replace(
            before,
            weights={
                name: layer.float_matrix
                for name, layer in network.layers.items()
                if layer.float_matrix is not None
            },
            constants=dict(floats),
            originals=originals_of(self._program, floats),
        )


def _data(
    data: Mapping[str, Array] | str | Path | None, program: DeviceProgram, network: Network
) -> Data | None:
    if data is None and program.calibration is not None:
        data = program.calibration.inputs
    return samples.calibration(data, network)

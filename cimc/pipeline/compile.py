"""The way from a model to a device program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cimc.executor import Executor
from cimc.executor.one_by_one import made_for, notes
from cimc.faults import FaultMap, checked, load_fault_map
from cimc.frontends.dispatch import import_model
from cimc.ir.network import Array, Network
from cimc.lowering.emit import emit
from cimc.passbase import PassContext, Progress, silent
from cimc.pipeline import samples
from cimc.pipeline.agreement import compare, require, tolerance_of
from cimc.pipeline.options import Options
from cimc.pipeline.provenance import provenance
from cimc.pipeline.report import CompileResult
from cimc.pipeline.runner import Runner, check_order
from cimc.pipeline.summary import summarize
from cimc.pipeline.training_result import check_file, notes_of, report_of, save
from cimc.pipeline.training_run import TrainingRequest, TrainingRun
from cimc.program import write
from cimc.program.model import Calibration, DeviceProgram, Golden
from cimc.program.replace import check_replaceable
from cimc.remap.originals import originals_of
from cimc.targets import Target, load_target
from cimc.training.parallel import from_environment
from cimc.training.recipe import Recipe
from cimc.training.settings import UserLoss
from cimc.training.weights_back import source_weights
from cimc.verification.batches import subset
from cimc.verification.data import Data

#: Most calibration samples that a program keeps.
KEPT_SAMPLES = 128

#: How far a program run exactly may be from the network it was made of, relative.  A weight is a
#: difference of conductances that are float32 and share an offset, so a small weight beside a
#: large one has lost some bits, and a deep network amplifies that.
CELL_TOLERANCE = 1e-3


def compile_model(
    model: Any,
    *,
    target: str | Path | Target,
    output: str | Path | None = None,
    quantizer: str | None = None,
    levels: int | None = None,
    per_column: bool | None = None,
    data: Mapping[str, Array] | str | Path | None = None,
    digital: Sequence[str] = (),
    analog: Sequence[str] = (),
    seed: int | None = None,
    converters: str | Mapping[str, Any] | None = None,
    keep_calibration: bool = True,
    trust_input: bool = False,
    dump_passes: str | Path | None = None,
    check: bool = False,
    recipe: Mapping[str, Any] | str | Path | None = None,
    example_inputs: Any = None,
    dynamic_shapes: Any = None,
    train_data: Mapping[str, Array] | str | Path | None = None,
    training: Mapping[str, Any] | Recipe | None = None,
    loss: UserLoss | None = None,
    training_device: str = "cpu",
    resume: bool = False,
    checkpoint: str | Path | None = None,
    save_weights: str | Path | None = None,
    fault_map: FaultMap | str | Path | None = None,
    progress: Progress = silent,
) -> CompileResult:
    """Compile a trained network to a device program.

    Args:
        model: Path of an ONNX (or, trusted, ``.pt2``) file, an ONNX model in memory, a
            ``torch.nn.Module``, ``torch.fx.GraphModule`` or ``ExportedProgram``.
        target: Path or shipped name of a target, or a target.
        output: Directory to write (``NAME.cim``); None: nothing is written.
        quantizer: ``lloyd`` (default), ``n-multiplier`` (default for bit-sliced cells) or
            ``uniform``.
        levels: Weight levels, 2 to 256; None: the target's default.
        per_column: Give each output column its own levels; None: where cells are analog.
        data: Calibration inputs by input name, first axis = samples, or the path of an ``.npz``;
            an entry ``labels`` is ignored here.
        digital: Patterns of layers pinned digital.
        analog: Patterns of layers pinned analog.
        seed: Seed of everything drawn (default 0).
        converters: How converter ranges are found: a method for DACs and ADCs (``max``,
            ``percentile``, ``mse``, ``search``), or options of the pass ``fit-converters``.
        keep_calibration: Keep in the program what recompiling needs (holds user data).
        trust_input: Allow inputs that execute code when read (``.pt2``).
        dump_passes: Directory for the text form after each pass.
        check: Run the result of every pass against onnxruntime on sample inputs.
        recipe: Options by name, as a mapping or a YAML file; arguments given win.
        example_inputs: For a torch module: what to call it with.
        dynamic_shapes: For a torch module: as ``torch.export`` takes it.
        train_data: Inputs as ``data``, with ``labels`` (class numbers, -100: none) or without: the
            network is fine-tuned on them with the device in its forward pass, see
            docs/training.md.  Without ``data`` some of these samples are the calibration data.
        training: Settings of that, as in the recipe's section ``training``; these win.
        loss: Of outputs by name and labels, in place of the recipe's.
        training_device: torch device that trains.
        resume: Go on from the last checkpoint, if there is one.
        checkpoint: Directory of checkpoints, kept; None: ``OUTPUT.training``, removed at the end
            (without an output there are none).
        save_weights: File for the trained weights by their names in the model: ``.safetensors``,
            or ``.onnx`` for the model with them in it.
        fault_map: Faults of the one chip the program is for, or their file; training then is for
            that chip too.  The same as :func:`cimc.pipeline.recompile.recompile` afterwards.
        progress: Told what is being done and the share done.

    Returns:
        The program and a report.

    Raises:
        CimcError: See :mod:`cimc.errors`; nothing is written then.
    """
    start = time.perf_counter()
    options = Options.gather(
        recipe,
        quantizer=quantizer,
        levels=levels,
        per_column=per_column,
        digital=tuple(digital),
        analog=tuple(analog),
        seed=seed,
        converters=converters,
        training=training,
    )
    request = TrainingRequest(train_data, loss, training_device, resume, checkpoint, save_weights)
    request.check(options, output)
    check_file(save_weights, model)
    if output is not None:
        check_replaceable(Path(output))  # not after hours of work
    device = target if isinstance(target, Target) else load_target(target)
    faults = _faults(fault_map, device)
    passes = options.passes(device, trained=train_data is not None, for_chip=faults is not None)
    check_order(passes)
    progress("import", 0.0)
    network = import_model(
        model,
        example_inputs=example_inputs,
        dynamic_shapes=dynamic_shapes,
        trust_input=trust_input,
    )
    run = TrainingRun.of(request, network, options, output, calibrates=data is None)
    calibration = samples.calibration(data, network)
    if calibration is None and run is not None:
        calibration = run.calibration(network, options.seed)
    context = PassContext(
        device,
        calibration,
        options.seed,
        progress=progress,
        training=None if run is None else run.training,
        faults=faults,
    )
    trial, why = samples.trial_inputs(network, calibration, options.seed)
    network, import_error = _checked_import(network, trial, why)
    runner = Runner(context, trial, dump_passes, check)
    final = runner.run(passes, network)
    trained = None if run is None else run.provenance()
    origin = provenance(final, device, passes, options.seed, calibration, trained)
    if faults is not None:
        origin["fault_map"] = {"chip": faults.chip, "sha256": faults.sha256}
    program = emit(final, device, origin)
    any_chip = program if runner.unmapped is None else emit(runner.unmapped, device, origin)
    warnings: tuple[str, ...] = ()
    if faults is not None:
        _, warnings = checked(faults, any_chip)
        program = made_for(program, faults.record())
        warnings += notes(program)
    progress("verify", 0.0)
    program, snr_db = _with_golden(program, final, trial)
    if calibration is not None and keep_calibration:
        kept = _kept(final, calibration)
        if faults is not None:
            kept = replace(kept, originals=originals_of(any_chip, kept.constants))
        program = replace(program, calibration=kept)
    weights = None if run is None else source_weights(final)
    if from_environment().first:
        if weights is not None and save_weights is not None:
            save(save_weights, model, weights)
        if output is not None:
            progress("write", 0.0)
            program = replace(program, sha256=write(program, Path(output)))
        request.clean(output)
    report = summarize(
        program,
        final,
        output=output,
        seconds=time.perf_counter() - start,
        import_error=import_error,
        snr_db=snr_db,
        passes=runner.reports,
    )
    report = replace(report, warnings=report.warnings + warnings)
    if run is not None and weights is not None:
        warnings = report.warnings + notes_of(run, weights)
        report = replace(report, training=report_of(run, final), warnings=warnings)
    return CompileResult(program, report, weights)


def _faults(fault_map: FaultMap | str | Path | None, target: Target) -> FaultMap | None:
    """Return the faults of the chip compiled for, checked; None: for any chip."""
    if fault_map is None:
        return None
    given = fault_map if isinstance(fault_map, FaultMap) else load_fault_map(fault_map)
    return checked(given, target)[0]


def _checked_import(
    network: Network, trial: samples.Trial | None, why: str
) -> tuple[Network, float | None]:
    """Compare the imported network with onnxruntime; warn where no inputs are there to try."""
    if trial is None:
        message = (
            "the import was not checked against onnxruntime and there are no golden vectors: "
            f"no inputs could be made up; give --data{f' ({why})' if why else ''}"
        )
        return network.warn(message), None
    agreement = compare(trial.imported, trial.expected)
    require(
        agreement,
        code="CIMC-I02",
        what="the imported network",
        tolerance=tolerance_of(network),
    )
    return network, agreement.relative


def _with_golden(
    program: DeviceProgram, network: Network, trial: samples.Trial | None
) -> tuple[DeviceProgram, float | None]:
    """Run the program: exactly as a check of the compiler, noise-free for the golden vectors."""
    if trial is None:
        return program, None
    ideal = Executor(program, mode="ideal").run(trial.inputs)
    graph = compare(ideal.outputs, samples.run_graph(network, trial.inputs))
    require(
        graph,
        code="CIMC-I06",
        what="the device program, run exactly,",
        tolerance=max(tolerance_of(network), 0.0 if _exact(program) else CELL_TOLERANCE),
    )
    noise_free = Executor(program, mode="noise-free").run(trial.inputs, taps=True)
    golden = Golden(trial.inputs, noise_free.outputs, noise_free.layers)
    snr = compare(noise_free.outputs, trial.expected).snr_db
    return replace(program, golden=golden), snr


def _exact(program: DeviceProgram) -> bool:
    return all(layer.encoding == "signed" for layer in program.layers.values())


def _kept(network: Network, data: Data) -> Calibration:
    layers = network.layers.values()
    uses = [u for layer in layers for u in layer.uses]
    return Calibration(
        inputs=dict(subset(data, KEPT_SAMPLES).inputs),
        weights={
            layer.name: layer.float_matrix for layer in layers if layer.float_matrix is not None
        },
        means={
            u.node: u.statistics.output_mean
            for u in uses
            if u.statistics is not None and u.statistics.output_mean is not None
        },
        constants=dict(network.float_constants),
    )

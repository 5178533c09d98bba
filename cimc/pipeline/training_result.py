"""What comes of a training besides the program: a report, and weights for the source model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.ir.network import Network
from cimc.pipeline.report import TrainingReport
from cimc.pipeline.training_run import TrainingRun
from cimc.training.parameters import without_gradient
from cimc.training.weights_back import SourceWeights
from cimc.training.weights_files import write_onnx, write_safetensors

_TRY = "try another learning rate, more epochs or more data"


def report_of(run: TrainingRun, network: Network) -> TrainingReport:
    """Return what there is to say of a run that has ended.

    Args:
        run: The run.
        network: As it was trained.
    """
    history, request = run.history, run.request
    assert history is not None
    before, after = history.before, history.validation
    chips = 0 if before is None or run.training.recipe.noise == "none" else len(before.values)
    return TrainingReport(
        epochs=len(history.epochs),
        steps=history.steps,
        loss=history.loss,
        loss_first=history.epochs[0].train_loss,
        loss_last=history.epochs[-1].train_loss,
        metric=None if before is None else before.figure,
        validation_before=None if before is None else before.mean,
        validation_after=None if after is None else after.mean,
        kept_epoch=history.kept,
        chips=chips,
        samples=run.training.data.samples,
        seconds=sum(row.seconds for row in history.epochs),
        checkpoint=None if request.checkpoint is None else str(request.checkpoint),
        resumed=run.resumed,
        calibrates=run.calibrates,
        untrained=tuple(without_gradient(network)),
        saved_weights=None if request.save_weights is None else str(request.save_weights),
    )


def notes_of(run: TrainingRun, weights: SourceWeights) -> tuple[str, ...]:
    """Return what the user should know that is no property of the program.

    Args:
        run: The run, ended.
        weights: For the source model.
    """
    assert run.history is not None
    notes = list(run.history.notes)
    if run.request.resume and not run.resumed:
        notes.append(f"no checkpoint in {run.training.checkpoint}: training began anew")
    before, after = run.history.before, run.history.validation
    if run.history.kept == 0:
        notes.append(
            "no epoch was better on samples held out than the network before training, which was "
            f"kept; {_TRY}"
        )
    elif before is not None and after is not None and after.worse_than(before):
        notes.append(
            f"training made the network worse on samples held out: {before.figure} "
            f"{before.mean:.4g} before, {after.mean:.4g} after; {_TRY}"
        )
    if run.request.save_weights is not None:
        notes += (f"the saved weights leave out {item}" for item in weights.not_representable)
    return tuple(notes)


def check_file(path: str | Path | None, model: Any) -> None:
    """Refuse a file for weights before any work is done.

    Raises:
        UsageError: CIMC-U06, it is of no known kind, or an ONNX file and the model is none.
    """
    if path is None:
        return
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        return
    if suffix != ".onnx":
        raise UsageError(
            "CIMC-U06",
            f"weights are saved as .safetensors or .onnx, not {suffix or 'without a suffix'}",
            where=str(path),
            hint=f"{Path(path).with_suffix('.safetensors')}",
        )
    is_file = isinstance(model, str | Path) and Path(model).suffix != ".pt2"
    if not is_file and type(model).__name__ != "ModelProto":
        raise UsageError(
            "CIMC-U06",
            "weights can be put into an ONNX model only, and this is none",
            where=str(path),
            hint=f"{Path(path).with_suffix('.safetensors')}",
        )


def save(path: str | Path, model: Any, weights: SourceWeights) -> None:
    """Write trained weights by the names of the source: alone, or in the model.

    Args:
        path: ``.safetensors`` or ``.onnx``.
        model: The ONNX model they are of, or its path.
        weights: By name.
    """
    if Path(path).suffix == ".onnx":
        write_onnx(model, weights.weights, Path(path))
    else:
        write_safetensors(weights.weights, Path(path))

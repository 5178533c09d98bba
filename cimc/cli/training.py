"""What ``cimc compile --train-data`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cimc.pipeline.report import TrainingReport


@contextmanager
def going_on(train_data: str | None, checkpoints: str) -> Iterator[None]:
    """Say, when training is interrupted, how it goes on.

    Args:
        train_data: Samples it trains on; None: it does not.
        checkpoints: Where they are written.
    """
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        folder = Path(checkpoints)
        if train_data is not None and folder.is_dir() and any(folder.iterdir()):
            click.echo(f"training goes on from {folder} with --resume", err=True)
        raise


def is_first() -> bool:
    """Return whether this process reports: one of those that ``torchrun`` starts does."""
    from cimc.training.parallel import from_environment

    return from_environment().first


def show_training(report: TrainingReport) -> None:
    """Print what training did."""
    from cimc.cli.output import facts

    epochs = f"{report.epochs} epoch{'s' * (report.epochs != 1)}"
    pairs = [
        ("samples", _samples(report)),
        ("steps", f"{report.steps:,} in {epochs}, {report.seconds:.1f} s"),
        (
            "loss",
            f"{_figure(report.loss_first)} in the first epoch, {_figure(report.loss_last)} "
            "in the last",
        ),
    ]
    if report.metric is not None:
        chips = f"on {report.chips} chips"
        pairs.append(
            (
                f"validation, {_METRICS.get(report.metric, report.metric)}",
                f"{_value(report, report.validation_before)} before, "
                f"{_value(report, report.validation_after)} after; {chips}",
            )
        )
        kept = f"epoch {report.kept_epoch}" if report.kept_epoch else "what was compiled"
        pairs.append(("kept", kept))
    if report.checkpoint is not None:
        pairs.append(("checkpoints", report.checkpoint))
    if report.saved_weights is not None:
        pairs.append(("float weights", report.saved_weights))
    facts("trained for the device", pairs)


#: How a figure of an evaluation is called.
_METRICS = {"top1": "right", "agreement": "as the float network", "loss": "loss"}


def _samples(report: TrainingReport) -> str:
    also = "; some are the calibration data" if report.calibrates else ""
    return f"{report.samples:,}{also}"


def _value(report: TrainingReport, value: float | None) -> str:
    from cimc.cli.output import percent

    return _figure(value) if report.metric == "loss" else percent(value)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

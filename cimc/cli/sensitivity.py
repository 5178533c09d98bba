"""``cimc sensitivity``: what each non-ideality costs, or accuracy against one parameter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import at_option, json_option, seed_option

if TYPE_CHECKING:
    from cimc.pipeline.sensitivity_report import PointResult, SensitivityReport


@click.command(
    "sensitivity", short_help="Accuracy of PROGRAM against each non-ideality, or one parameter."
)
@click.argument("program")
@click.option("--reference", required=True, metavar="MODEL", help="The original ONNX file.")
@click.option(
    "--data", required=True, metavar="X.npz", help="Samples, one array per input; labels."
)
@click.option(
    "--sweep",
    metavar="NAME=V,...",
    help="One parameter: a path of the target (adc.bits=4,6,8), at, levels or quantizer.",
)
@click.option("-o", "--output", required=True, metavar="OUT.svg", help="Picture to write.")
@click.option(
    "--chips",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="Chips a point.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", help="Use the first N samples [all]."
)
@at_option
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="C",
    help="Of the intervals.",
)
@click.option(
    "--calibration",
    metavar="X.npz",
    help="Data to compile with again, where a parameter needs that [those the program keeps].",
)
@click.option("--resume", is_flag=True, help="Keep the points that are finished in OUT.json.")
@seed_option
@json_option
def sensitivity_command(as_json: bool, **given: Any) -> None:
    """Measure what each non-ideality of PROGRAM's target costs, alone and all but each.

    With --sweep: accuracy against one parameter. Finished points are kept in OUT.json.
    """
    from cimc.cli.output import check_output, emit_json, progress_bar
    from cimc.errors import UsageError

    output = Path(given["output"])
    if output.suffix.lower() != ".svg":
        raise UsageError(
            "CIMC-U06", f"{output.name!r} is no picture cimc writes", hint=f"-o {output.stem}.svg"
        )
    check_output(str(output))
    from cimc.pipeline.sensitivity import sensitivity
    from cimc.program import read
    from cimc.verification.options import Options

    names = ("chips", "samples", "confidence", "at", "calibration", "resume", "sweep")
    options = {name: given[name] for name in names}
    Options(**{n: options[n] for n in ("chips", "confidence", "at")}).check()
    program = read(given["program"])
    with progress_bar() as progress:
        report = sensitivity(
            program,
            reference=given["reference"],
            data=given["data"],
            output=output,
            seed=given["seed"] or 0,
            progress=progress,
            found=_line,
            **options,
        )
    _show(report, given["program"])
    if as_json:
        emit_json(report.to_json())


def _line(point: PointResult) -> None:
    """Say what a point gave as soon as it is known."""
    click.echo(f"{_called(point)}: mean {point.mean:.4f} of {point.chips} chips", err=True)


def _called(point: PointResult) -> str:
    return point.label if point.group in ("all", "sweep") else f"{point.group} {point.label}"


def _show(report: SensitivityReport, program: str) -> None:
    """Print what was found."""
    from cimc.cli.output import decibels, facts, percent, warn

    figure = decibels if report.metric == "snr_db" else percent
    facts(
        f"studied {program} on {report.samples:,} samples",
        [
            ("metric", f"{report.metric}, against {report.baseline}"),
            ("float", figure(report.reference)),
            ("ideal", figure(report.ideal)),
            ("noise-free", figure(report.noise_free)),
            ("points", f"{len(report.points)}, {report.resumed} of them measured before"),
            ("compiled", f"{report.compiled} times"),
            ("picture", report.picture or "none"),
            ("time", f"{report.seconds:.1f} s"),
        ],
    )
    _table(report)
    warn(report.warnings)


def _table(report: SensitivityReport) -> None:
    from cimc.cli.output import decibels, percent, table

    figure = decibels if report.metric == "snr_db" else percent
    interval = f"{100 * report.confidence:g} % interval"
    rows = [
        [
            _called(p),
            figure(p.mean),
            f"{figure(p.ci_low)} .. {figure(p.ci_high)}",
            figure(p.min),
            figure(p.noise_free) if report.parameter else _gain(p, report),
            str(p.chips),
        ]
        for p in report.points
    ]
    title = report.parameter or "non-idealities"
    last = "noise-free" if report.parameter else "gained over all"
    table(title, [title, "mean", interval, "worst", last, "chips"], rows)


def _gain(point: PointResult, report: SensitivityReport) -> str:
    """Return what leaving one non-ideality out gains, with its interval."""
    if point.gain is None:
        return "-"
    scale, unit = (1.0, "dB") if report.metric == "snr_db" else (100.0, "points")
    text = f"{scale * point.gain:+.2f}"
    if point.gain_low is not None and point.gain_high is not None:
        text += f" ({scale * point.gain_low:+.2f} .. {scale * point.gain_high:+.2f})"
    return f"{text} {unit}"

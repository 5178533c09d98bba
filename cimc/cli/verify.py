"""``cimc verify``: what accuracy chips will have, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import effect_options, fault_map_options, json_option, seed_option

if TYPE_CHECKING:
    from cimc.verification import VerifyReport

#: Layers shown; the JSON object has all.
_LAYERS_SHOWN = 60


@click.command("verify", short_help="Verify PROGRAM on many simulated chips; set the exit code.")
@click.argument("program")
@click.option("--reference", metavar="MODEL", help="The original ONNX file (the float network).")
@click.option("--data", metavar="X.npz", help="Samples, one array per input; optional labels.")
@click.option(
    "--chips",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="Chips to simulate at most.",
)
@click.option("--ideal", is_flag=True, help="Exact cells, no converters, no noise: one run.")
@effect_options
@fault_map_options
@click.option(
    "--measured",
    multiple=True,
    metavar="G",
    help="Conductances read back from a chip instead of simulated ones; repeatable, one a chip.",
)
@click.option(
    "--min-accuracy", type=float, metavar="A", help="Gate: the lower bound must reach A (0..1)."
)
@click.option(
    "--max-drop", type=float, metavar="D", help="Gate: at most D (0..1) below the float network."
)
@click.option(
    "--quantile", type=float, metavar="Q", help="Bound this chip quantile instead of the mean."
)
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="C",
    help="Of the interval and of the gates.",
)
@click.option(
    "--sequence",
    type=click.Choice(["bounded", "normal"]),
    default="bounded",
    show_default=True,
    help="What early decisions of a gate assume of the chips: nothing, or a normal distribution.",
)
@seed_option
@json_option
def verify_command(as_json: bool, **given: Any) -> int:
    """Verify PROGRAM on many simulated chips; exit code 1 when a gate is not passed.

    Without --data and --reference the program's golden vectors are checked.
    """
    from cimc.cli.output import emit_json, progress_bar
    from cimc.program import read
    from cimc.verification import load_data, verify
    from cimc.verification.options import Options

    options: dict[str, Any] = {
        "chips": given["chips"],
        "mode": "ideal" if given["ideal"] else "chip",
        "min_accuracy": given["min_accuracy"],
        "max_drop": given["max_drop"],
        "quantile": given["quantile"],
        "confidence": given["confidence"],
        "sequence": given["sequence"],
        "seed": given["seed"] or 0,
        "only": given["only"],
        "without": given["without"],
        "at": given["at"],
        "measured": given["measured"] or None,
        "fault_map": given["fault_map"],
        "any_chip": given["any_chip"],
    }
    Options(**options).check()  # before anything is read
    program = read(given["program"])
    data = None if given["data"] is None else load_data(given["data"])
    with progress_bar() as progress:
        report = verify(
            program, reference=given["reference"], data=data, progress=progress, **options
        )
    _show(report, given["program"], given["chips"])
    if as_json:
        emit_json(report.to_json())
    return 0 if report.passed else 1


def _show(report: VerifyReport, program: str, asked: int) -> None:
    """Print what was found."""
    from cimc.cli.output import decibels, facts, percent, warn

    figure = decibels if report.metric == "snr_db" else percent
    what = "mean" if report.quantile is None else f"{report.quantile:g} quantile"
    pairs = [
        ("metric", f"{report.metric}, against {report.baseline}"),
        ("float", figure(report.reference)),
        ("ideal", figure(report.ideal)),
        ("noise-free", figure(report.noise_free)),
        ("chips", _spread(report)),
        ("non-idealities", _effects(report)),
        *([("fault map", f"of chip {report.chip}")] if report.chip is not None else []),
        *([("measured", ", ".join(report.measured))] if report.measured else []),
        (
            f"{100 * report.confidence:g} % interval of the {what}",
            f"{figure(report.ci_low)} .. {figure(report.ci_high)}  ({report.interval})",
        ),
    ]
    if report.quantile is not None:
        pairs.append((f"{what} of these chips", figure(report.quantile_value)))
    if report.metric != "snr_db":
        pairs.append(("agreement, SNR", f"{percent(report.agreement)}, {decibels(report.snr_db)}"))
    pairs.append(("gate", _gate(report, asked)))
    pairs.append(("time", f"{report.seconds:.1f} s"))
    facts(f"verified {program} on {report.samples:,} samples", pairs)
    _show_layers(report)
    warn(report.warnings)


def _spread(report: VerifyReport) -> str:
    from cimc.cli.output import decibels, percent

    figure = decibels if report.metric == "snr_db" else percent
    text = f"{report.chips}: mean {figure(report.mean)}"
    if report.std is not None:
        digits = (
            f"{report.std:.2f} dB"
            if report.metric == "snr_db"
            else f"{100 * report.std:.2f} points"
        )
        text += f", std {digits}"
    return text + (
        f", worst {figure(report.min)} (seed {report.worst_chip}), best {figure(report.max)}"
    )


def _effects(report: VerifyReport) -> str:
    from cimc.verification.effects import time_text

    text = ", ".join(report.effects) or "none"
    if report.effects and not report.measured:
        text += f"; {time_text(report.at_s)} after programming"
    if report.effects_not_described:
        text += f"; not described by the target: {', '.join(report.effects_not_described)}"
    return text


def _gate(report: VerifyReport, asked: int) -> str:
    from cimc.cli.output import percent

    if report.decision is None:
        return "none" if report.passed else "FAILED: golden vectors are not reproduced"
    early = f" after {report.chips} of {asked} chips" if report.chips < asked else ""
    if report.decision == "passed":
        return (
            f"passed{early}: lower bound {percent(report.ci_low)} >= {percent(report.threshold)}"
        )
    if report.decision == "failed":
        return (
            f"FAILED{early}: upper bound {percent(report.ci_high)} < {percent(report.threshold)}"
        )
    return (
        f"NOT PASSED, undecided: {percent(report.threshold)} lies in the interval; "
        "more chips (--chips) may decide"
    )


def _show_layers(report: VerifyReport) -> None:
    from cimc.cli.output import decibels, table

    rows = [
        [
            x.operation,
            x.source,
            decibels(x.ideal_db),
            decibels(x.noise_free_db),
            decibels(x.chip_db),
        ]
        for x in report.per_layer[:_LAYERS_SHOWN]
    ]
    if rows:
        table(
            f"layers against {report.baseline}, first chip",
            ["operation", "source node", "ideal", "noise-free", "chip"],
            rows,
        )

"""``cimc fleet``: a directory of fault maps to a directory of programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cimc.cli.options import json_option, seed_option

if TYPE_CHECKING:
    from cimc.fleets.records import Record
    from cimc.fleets.report import FleetReport
    from cimc.fleets.run import Told
    from cimc.fleets.standing import Standing

#: How often a line says how far the work is where there is no terminal [s].
_LINE_S = 30.0
#: Failures shown; the results have all.
_FAILURES_SHOWN = 20


@click.command(
    "fleet", short_help="Recompile PROGRAM for every chip of a directory of fault maps."
)
@click.argument("program", required=False)
@click.option(
    "--fault-maps", metavar="DIR", help="Fault maps, one a chip: .safetensors and .csv files."
)
@click.option("-o", "--output", metavar="OUTDIR", help="Directory for CHIP.cim and fleet.sqlite.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes here [one a core]; 0: none but this one.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Workers of a Dask scheduler: tcp://host:port."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of a worker.",
)
@click.option(
    "--method",
    type=click.Choice(["nearest", "feedback"]),
    help="As 'cimc recompile' has it [feedback where there are calibration inputs].",
)
@click.option(
    "--cells",
    type=click.Choice(["codebook", "states", "analog"]),
    help="What healthy cells may hold [states].",
)
@click.option("--skip", metavar="NAME,...", help="Ingredients of 'cimc recompile' to leave out.")
@click.option("--healthy", is_flag=True, help="Make layers without faults anew too.")
@click.option("--data", metavar="X.npz", help="Calibration inputs [those the program keeps].")
@click.option("--train-data", metavar="X.npz", help="Train around the faults of every chip.")
@click.option("--recipe", metavar="R.yaml", help="Settings of training: its section 'training'.")
@click.option(
    "--verify-data",
    metavar="X.npz",
    help="Run every program on these samples; 'labels' are right answers.",
)
@click.option("--reference", metavar="MODEL", help="The original ONNX file to compare with.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="The first N of --verify-data [all].",
)
@click.option(
    "--mode",
    type=click.Choice(["ideal", "noise-free", "chip"]),
    default="ideal",
    show_default=True,
    help="In which programs are run.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="Runs of every program with --mode chip.",
)
@seed_option
@click.option("--min-accuracy", type=float, metavar="A", help="What a chip must reach (0..1).")
@click.option(
    "--min-yield", type=float, metavar="Y", help="Share of chips that must pass (0..1) [1]."
)
@click.option(
    "--keep-programs",
    type=click.Choice(["all", "none", "passing"]),
    default="all",
    show_default=True,
    help="Which programs stay.",
)
@click.option("--restart", is_flag=True, help="Forget what was done in OUTDIR; default: go on.")
@click.option(
    "--report",
    "report_of",
    metavar="OUTDIR",
    help="Show what was done there and draw the picture again, without work.",
)
@click.option("--csv", "table", metavar="F.csv", help="Write one row a chip.")
@json_option
def fleet_command(as_json: bool, **given: Any) -> int:
    """Recompile PROGRAM for every chip that DIR has a fault map of.

    Called again it goes on where it stopped, killed or not. Exit code 1 when a chip failed or
    missed --min-accuracy; with --min-yield, when too many did.
    """
    from cimc.cli.output import check_output, emit_json

    _check(given)
    table, seen = given.pop("table"), given.pop("report_of")
    if table is not None:
        check_output(table, option="--csv")
    gates = {name: given.pop(name) for name in ("min_accuracy", "min_yield")}
    if seen is not None:
        from cimc.fleets.fleet import report_of

        report = report_of(seen, **gates)
    else:
        report = _run(given, gates)
    if table is not None:
        _export(report, table)
    _show(report)
    if as_json:
        emit_json(report.to_json())
    return 0 if report.passed else 1


def _check(given: dict[str, Any]) -> None:
    """Either --report, or everything that work needs."""
    from cimc.errors import UsageError

    needed = {
        "PROGRAM": given["program"],
        "--fault-maps": given["fault_maps"],
        "-o": given["output"],
    }
    if given["report_of"] is not None:
        extra = [name for name, value in needed.items() if value is not None]
        if extra:
            raise UsageError(
                "CIMC-U06", f"both --report and {extra[0]} are given", hint="one of them"
            )
        return
    for name, value in needed.items():
        if value is None:
            raise UsageError(
                "CIMC-U01", f"Missing {name}.", hint="'cimc fleet --help'", where="cimc fleet"
            )
    if given["seeds"] > 1 and given["mode"] != "chip":
        raise UsageError(
            "CIMC-U06", f"--seeds is given with --mode {given['mode']}", hint="--mode chip"
        )


def _run(given: dict[str, Any], gates: dict[str, Any]) -> FleetReport:
    """Work on the fleet; say how to go on when it is interrupted."""
    from cimc.fleets.fleet import fleet

    given["seed"] = given["seed"] or 0
    given["skip"] = tuple(s.strip() for s in (given["skip"] or "").split(",") if s.strip())
    if gates["min_yield"] is None:
        gates["min_yield"] = 1.0
    told: list[Standing] = []
    try:
        with _progress() as show:

            def tell(record: Record | None, standing: Standing) -> None:
                told[:] = [standing]
                show(record, standing)

            return fleet(given.pop("program"), told=tell, **given, **gates)
    except KeyboardInterrupt:
        if told:
            done = f"{told[0].done:,} of {told[0].total:,} chips are done"
            click.echo(f"{done}; the same command goes on from there", err=True)
        raise


@contextmanager
def _progress() -> Iterator[Told]:
    """Show a bar with the time left and the accuracy so far; a line now and then elsewhere."""
    from cimc.cli.output import console

    out = console()
    if not out.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), console=out, transient=True
    )
    task = bar.add_task("starting workers", total=None)

    def show(record: Record | None, standing: Standing) -> None:
        if standing.finished > standing.before or record is not None:
            bar.update(task, description=_line(standing))
        bar.update(task, total=standing.total, completed=standing.finished)
        if record is not None and not record.done:
            out.print(f"{record.chip}: {record.error_message}", markup=False, soft_wrap=True)

    with bar:
        yield show


def _lines() -> Told:
    """Return what says how far the work is, a line now and then."""
    last = [0.0]

    def show(record: Record | None, standing: Standing) -> None:
        if standing.seconds - last[0] >= _LINE_S:
            last[0] = standing.seconds
            click.echo(_line(standing), err=True)

    return show


def _line(standing: Standing) -> str:
    """Return how far the work is."""
    parts = [f"{standing.finished:,} of {standing.total:,} chips"]
    if standing.failed:
        parts.append(f"{standing.failed:,} failed")
    if standing.accuracy is not None:
        parts.append(f"mean {standing.accuracy:.4g}")
    if standing.left_s is not None:
        minutes, seconds = divmod(round(standing.left_s), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left")
    return ", ".join(parts)


def _export(report: FleetReport, path: str) -> None:
    from pathlib import Path

    from cimc.fleets.report import write_csv
    from cimc.fleets.store import Store

    with Store(Path(report.results)) as results:
        write_csv(results.records(), Path(path))


def _show(report: FleetReport) -> None:
    """Print what the fleet has come to."""
    from cimc.cli.output import decibels, facts, percent, table, warn

    figure = decibels if report.metric == "snr_db" else percent
    pairs = [("compiled", f"{report.done:,} of {report.chips:,}, {report.before:,} before")]
    if report.metric is not None:
        against = (
            "the float network" if report.baseline == "float" else "the program without faults"
        )
        pairs += [
            ("metric", f"{report.metric}, against {against}, {report.samples:,} samples"),
            ("float", figure(report.reference)),
            ("without faults", figure(report.fault_free)),
            (
                "chips",
                f"mean {figure(report.mean)}, median {figure(report.median)}, "
                f"worst {figure(report.min)}, best {figure(report.max)}",
            ),
        ]
        pairs += [
            (f"reach {figure(y.accuracy)}", f"{percent(y.share)} of the chips")
            for y in report.yields
        ]
    verdict = "passed" if report.passed else "NOT PASSED"
    share = f"{percent(report.share)} of the chips pass, {percent(report.min_yield)} must"
    pairs.append(("yield", f"{verdict}: {share}"))
    if report.chip_seconds is not None:
        pairs.append(("a chip takes", f"{report.chip_seconds:.2f} s"))
    if report.seconds is not None:
        pairs.append(("time", f"{report.seconds:.1f} s"))
    pairs += [("results", report.results), ("picture", report.picture)]
    facts(f"fleet of {report.program}", pairs)
    rows = [
        [
            str(w["chip"]),
            figure(w["accuracy"]),
            percent(w["fault_rate"]),
            percent(w["output_error_after"]),
        ]
        for w in report.worst
    ]
    if rows:
        table("worst chips", ["chip", report.metric or "accuracy", "faulty", "output error"], rows)
    warn(
        [
            f"{f['chip']}: {f['error_code']}: {f['error_message']}"
            for f in report.failures[:_FAILURES_SHOWN]
        ]
    )
    if len(report.failures) > _FAILURES_SHOWN:
        warn([f"{len(report.failures) - _FAILURES_SHOWN} more failed, see {report.results}"])

"""``cimc run``: the outputs of one chip."""

from __future__ import annotations

from typing import Any, Literal

import click

from cimc.cli.options import effect_options, fault_map_options, seed_option


@click.command("run")
@click.argument("program")
@click.option("--data", required=True, metavar="X.npz", help="Samples, one array per input.")
@click.option(
    "-o", "--output", required=True, metavar="Y.npz", help="Outputs to write, by output name."
)
@click.option("--ideal", is_flag=True, help="Exact cells, no converters, no noise.")
@click.option("--noise-free", is_flag=True, help="Ideal plus converters.")
@effect_options
@fault_map_options
@seed_option
def run_command(**given: Any) -> None:
    """Run PROGRAM on one simulated chip (--seed names the chip)."""
    _check(given)
    from cimc.cli.output import check_output, facts, progress_bar, warn

    check_output(given["output"])
    from cimc.cli.save import save_npz
    from cimc.faults import laid_over
    from cimc.program import read
    from cimc.verification import load_data
    from cimc.verification.outputs import run_program

    mode: Literal["ideal", "noise-free", "chip"] = "chip"
    if given["ideal"] or given["noise_free"]:
        mode = "ideal" if given["ideal"] else "noise-free"
    program = read(given["program"])
    told: tuple[str, ...] = ()
    if given["fault_map"] is not None:
        program, told = laid_over(program, given["fault_map"], any_chip=given["any_chip"])
    data = load_data(given["data"])
    with progress_bar() as progress:
        outputs = run_program(
            program,
            data,
            mode=mode,
            seed=given["seed"] or 0,
            **{name: given[name] for name in ("only", "without", "at")},
            progress=progress,
        )
    save_npz(given["output"], outputs)
    what = f"chip {given['seed'] or 0}" if mode == "chip" else mode
    facts(
        f"wrote {given['output']} ({what})",
        [(name, f"{array.dtype} {list(array.shape)}") for name, array in outputs.items()],
    )
    warn(told)


def _check(given: dict[str, Any]) -> None:
    """Refuse options that exclude each other, before anything is read."""
    from cimc.faults import require_map_for_any_chip
    from cimc.verification.effects import names_of, require_one, seconds_of

    seconds_of(given["at"])
    require_map_for_any_chip(given["fault_map"], given["any_chip"])
    require_one(
        {
            "--ideal": given["ideal"],
            "--noise-free": given["noise_free"],
            "--only": names_of(given["only"]) is not None,
            "--without": names_of(given["without"]) is not None,
        }
    )

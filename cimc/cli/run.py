"""``cimc run``: the outputs of one chip."""

from __future__ import annotations

from typing import Any, Literal

import click

from cimc.cli.options import seed_option


@click.command("run")
@click.argument("program")
@click.option("--data", required=True, metavar="X.npz", help="Samples, one array per input.")
@click.option(
    "-o", "--output", required=True, metavar="Y.npz", help="Outputs to write, by output name."
)
@click.option("--ideal", is_flag=True, help="Exact cells, no converters, no noise.")
@click.option("--noise-free", is_flag=True, help="Ideal plus converters.")
@seed_option
def run_command(**given: Any) -> None:
    """Run PROGRAM on one simulated chip (--seed names the chip)."""
    if given["ideal"] and given["noise_free"]:
        from cimc.errors import UsageError

        raise UsageError(
            "CIMC-U06", "both --ideal and --noise-free are given", hint="one of them, or none"
        )
    from cimc.cli.output import check_output, facts, progress_bar

    check_output(given["output"])
    from cimc.cli.save import save_npz
    from cimc.program import read
    from cimc.verification import load_data
    from cimc.verification.outputs import run_program

    mode: Literal["ideal", "noise-free", "chip"] = "chip"
    if given["ideal"] or given["noise_free"]:
        mode = "ideal" if given["ideal"] else "noise-free"
    program = read(given["program"])
    data = load_data(given["data"])
    with progress_bar() as progress:
        outputs = run_program(program, data, mode=mode, seed=given["seed"] or 0, progress=progress)
    save_npz(given["output"], outputs)
    what = f"chip {given['seed'] or 0}" if mode == "chip" else mode
    facts(
        f"wrote {given['output']} ({what})",
        [(name, f"{array.dtype} {list(array.shape)}") for name, array in outputs.items()],
    )

"""Drift of phase-change memory over a month: ``python -m tests.end_to_end.drift --write``.

ResNet-8 is compiled once for the target ``pcm``.  Its cells are compared with the closed form of
the power law, and its accuracy is measured without and with drift compensation.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from typing import Final

import numpy as np
import torch

import cimc
from cimc.executor import Executor
from cimc.executor.cells import conductances_us, targets_us
from cimc.executor.physics import Physics
from cimc.program.model import DeviceProgram
from cimc.targets import Target, load_target
from tests.end_to_end.nonidealities import interval
from tests.zoo import cache
from tests.zoo.resnet8 import PATH
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array

TIMES: Final = {"1 s": 1.0, "1 h": 3600.0, "1 d": 86400.0, "30 d": 30 * 86400.0}
COMPENSATIONS: Final = ("none", "global", "per-column")


def exponents(g_us: Array, device: Target) -> tuple[Array, Array]:
    """Return mean and spread of the exponent at conductances, worked out on their own."""
    law = device.noise.drift
    assert law is not None
    state = np.log(np.maximum(g_us, 1e-9) / device.cell.g_max_us)
    nu = np.clip(law.nu + law.nu_slope * state, *law.nu_limits)
    return nu, np.clip(law.nu_sigma + law.nu_sigma_slope * state, *law.nu_sigma_limits)


def cells_us(program: DeviceProgram, device: Target, at_s: float) -> tuple[Array, Array]:
    """Return targets and drifted conductances of all cells of a chip with drift alone, float64."""
    physics = Physics(device, frozenset({"drift"}), at_s)
    before, after = [], []
    for layer in program.layers.values():
        targets = targets_us(layer.cells, torch.device("cpu"))
        drifted = conductances_us(layer, targets, physics, 0, {})
        before += [plane.flatten().double().numpy() for plane in targets]
        after += [plane.flatten().double().numpy() for plane in drifted]
    return np.concatenate(before), np.concatenate(after)


def against_closed_form(program: DeviceProgram, device: Target, at_s: float) -> tuple[str, ...]:
    """Return columns: cells without spread of exponents, and mean and deviation with it.

    Without, the largest relative error of a cell.  With, ``(ln(G / G(t0)) + nu L) / (sigma_nu L)``
    with ``L = ln(t / t0)`` has mean 0 and deviation 1 over all cells.
    """
    law = device.noise.drift
    assert law is not None
    steady = device.changed({"noise.drift.nu_sigma_limits": [0.0, 0.0]})
    log = math.log(max(at_s / law.t0_s, 1.0))
    g, drifted = cells_us(program, steady, at_s)
    held = g > 0
    nu, sigma = exponents(g[held], device)
    error = np.abs(drifted[held] / (g[held] * np.exp(-nu * log)) - 1).max()
    if log == 0.0:
        return f"{error:.1e}", "-", "-"
    _, spread = cells_us(program, device, at_s)
    z = (np.log(spread[held] / g[held]) + nu * log) / (sigma * log)
    return f"{error:.1e}", f"{z.mean():+.4f}", f"{z.std():.4f}"


def outputs(program: DeviceProgram, images: dict[str, Array], seed: int, at_s: float) -> Array:
    """Return the logits of one chip."""
    executor = Executor(program, seed=seed, at_s=at_s, batch=250)
    (out,) = executor.run(images).outputs.values()
    return out


def measure(images: int, chips: int, *, write: bool) -> None:
    """Measure the table and, if asked to, write it."""
    with np.load(cache.data("fashion-test.npz")) as file:
        given, labels = {"image": file["image"][:images]}, file["labels"][:images]
    device = load_target("pcm")
    program = cimc.compile(PATH, target=device, data=cache.data("fashion-calibration.npz"))
    (ideal,) = Executor(program, "ideal", batch=250).run(given).outputs.values()
    scale = float(np.std(ideal - ideal.mean(axis=1, keepdims=True)))
    cells = int((cells_us(program, device, 0.0)[0] > 0).sum())
    rows = []
    for name, at_s in TIMES.items():
        row = [name, *against_closed_form(program, device, at_s)]
        for kind in COMPENSATIONS:
            chosen = device.changed({"noise.drift.compensation": kind})
            drifting = replace(program, target=chosen.plain())
            outs = [outputs(drifting, given, seed, at_s) for seed in range(chips)]
            tops = [100.0 * float(np.mean(out.argmax(1) == labels)) for out in outs]
            error = np.mean([np.sqrt(np.mean((out - ideal) ** 2)) for out in outs]) / scale
            row += [interval(tops), f"{100 * error:.1f}"]
        rows.append(row)
        sys.stdout.write(table_row(row) + "\n")
        sys.stdout.flush()
    if write:
        header = ["time", "no spread: largest error", "spread: mean z", "deviation of z"]
        header += [f"{k}: {what}" for k in COMPENSATIONS for what in ("top-1", "error [%]")]
        top = 100.0 * float(np.mean(ideal.argmax(1) == labels))
        note = (
            f"ResNet-8 on {images:,} test images of Fashion-MNIST for the target `pcm` (exponents "
            f"refer to t0 = 20 s, so nothing has drifted after 1 s); ideal: {top:.2f} %. Left: "
            f"{cells:,} cells above 0 uS of one chip with drift alone against the closed form "
            "`G(t0) (t/t0)^-nu(G)`: the largest relative error of a cell without spread of "
            "exponents, float32 rounding; and with spread, `z = (ln(G/G(t0)) + nu L)/(sigma L)`, "
            "`L = ln(t/t0)`, which should have mean 0 and deviation 1 (standard errors "
            f"{1 / math.sqrt(cells):.4f} and {1 / math.sqrt(2 * cells):.4f}). Right: everything "
            f"the target describes, {chips} chips with seeds 0 to {chips - 1}, by the kind of "
            "drift compensation; ± is the half width of Student's 95 % interval over chips, the "
            "error the root mean square difference from the ideal logits relative to their spread."
        )
        command = "python -m tests.end_to_end.drift --write"
        write_table("drift", "Drift over a month", command, header, rows, note)


def main() -> int:
    """Measure the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.drift")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    measure(given.images, given.chips, write=given.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

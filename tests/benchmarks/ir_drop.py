"""IR drop of whole arrays, exact: cimc beside badcrossbar on the same arrays and inputs.

``python -m tests.benchmarks.ir_drop --write`` keeps the table in ``docs/results``, ``--store``
badcrossbar's currents for the tests.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cimc.device.ir_drop import Wires, transfer_us
from cimc.device.nodal import Nodal
from tests.benchmarks.harness import Result, rounded
from tests.zoo.cache import CACHE
from tests.zoo.results import write_table

SIZES, INPUTS, OHM = (64, 128, 256), (1, 16, 256), 1.0
#: Highest share of badcrossbar's time, and of its largest current the results may differ by.
TIME_BAR, AGREEMENT_BAR = 1.0, 1e-6
#: Turns the runs take, times rows times inputs.
TURNS = 1 << 13
STORED = Path(__file__).resolve().parents[1] / "device" / "data" / "badcrossbar.npz"
STORED_INPUTS = 2

Array = npt.NDArray[np.float64]
#: Resistances [ohm] and voltages ``(rows, inputs)`` [V] to currents ``(inputs, columns)`` [A].
Peer = Callable[[Array, Array], Array]


def array(size: int, inputs: int) -> tuple[Array, Array]:
    """Return resistances, log-uniform from 10 to 500 kohm, and inputs ``(inputs, rows)``."""
    rng = np.random.default_rng(0)
    ohms = np.exp(rng.uniform(np.log(10e3), np.log(500e3), (size, size)))
    return ohms, rng.uniform(0.0, 1.0, (inputs, size))


def peer() -> Peer | None:
    """Return badcrossbar; None where it is not installed.

    It is looked for in ``.cache/peers`` too: its wheel brings a package ``tests`` and wants cairo,
    so it is not for this environment (``pip install --no-deps --target .cache/peers badcrossbar
    pathvalidate sigfig``, and delete ``.cache/peers/tests``).
    """
    sys.path.append(str(CACHE / "peers"))
    try:
        with warnings.catch_warnings(record=True):  # its filter shows what is only ignored
            import badcrossbar  # type: ignore[import-not-found]
    except ImportError:
        return None
    finally:
        sys.path.remove(str(CACHE / "peers"))

    logging.getLogger("badcrossbar").setLevel(logging.WARNING)

    def currents(ohms: Array, volts: Array) -> Array:
        found = badcrossbar.compute(volts, ohms, OHM, node_voltages=False, all_currents=False)
        result: Array = found.currents.output
        return result

    return currents


def transfer(ohms: Array, volts: Array) -> Array:
    """Return the currents by the transfer matrix, as the executor finds them [A]."""
    t_us = transfer_us(torch.from_numpy(1e6 / ohms), Wires(OHM, OHM))
    return volts @ t_us.numpy() * 1e-6


def nodal(ohms: Array, volts: Array) -> Array:
    """Return the currents by one sparse factorization [A]."""
    return Nodal(1e6 / ohms, Wires(OHM, OHM)).currents(volts) * 1e-6


def measure() -> Result:
    """Return the worst ratio of times, of all sizes and numbers of inputs."""
    theirs = peer()
    if theirs is None:
        raise RuntimeError("badcrossbar is not installed; see tests.benchmarks.ir_drop.peer")
    config: dict[str, Any] = {"ohm": OHM, "threads": 1, "times": "processor s, least"}
    worst, apart = 0.0, 0.0
    with _one_thread():
        for size in SIZES:
            for inputs in INPUTS:
                ohms, volts = array(size, inputs)
                columns = np.ascontiguousarray(volts.T)
                runs: dict[str, Callable[[], Array]] = {
                    "transfer": lambda o=ohms, v=volts: transfer(o, v),  # type: ignore[misc]
                    "nodal": lambda o=ohms, v=volts: nodal(o, v),  # type: ignore[misc]
                    "badcrossbar": lambda o=ohms, v=columns: theirs(o, v),  # type: ignore[misc]
                }
                best, gap = _side_by_side(runs, max(1, TURNS // (size * max(inputs, 16))))
                ratio = best["transfer"] / best["badcrossbar"]
                config[f"{size}x{inputs}"] = {
                    **{name: float(f"{value:.3g}") for name, value in best.items()},
                    "ratio": round(ratio, 3),
                    "agreement": gap,
                }
                worst, apart = max(worst, ratio), max(apart, gap)
    config["agreement"] = apart
    return Result("ir-drop", worst, "x badcrossbar", TIME_BAR, config, also=apart <= AGREEMENT_BAR)


def _side_by_side(
    runs: Mapping[str, Callable[[], Array]], turns: int
) -> tuple[dict[str, float], float]:
    """Return the least processor time of each run [s], and the largest difference to badcrossbar.

    Processor time, one thread: a busy machine leaves it alone.
    """
    best, found = dict.fromkeys(runs, float("inf")), {}
    for _ in range(turns):
        for name, run in runs.items():
            start = time.process_time()
            found[name] = run()
            best[name] = min(best[name], time.process_time() - start)
    gaps = [_gap(found[name], found["badcrossbar"]) for name in ("transfer", "nodal")]
    return best, max(gaps)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _gap(found: Array, reference: Array) -> float:
    """Return the largest difference as a share of the largest current, to two digits."""
    return float(f"{abs(found - reference).max() / abs(reference).max():.2g}")


def store() -> None:
    """Keep badcrossbar's currents for the tests, which run without it."""
    theirs = peer()
    assert theirs is not None, "badcrossbar is not installed"
    found = {}
    for size in SIZES:
        ohms, volts = array(size, STORED_INPUTS)
        found[f"currents_{size}"] = theirs(ohms, np.ascontiguousarray(volts.T))
    STORED.parent.mkdir(exist_ok=True)
    np.savez(STORED, **found)


def write(result: Result) -> None:
    """Write ``docs/results/ir-drop-solvers.md``."""
    rows = []
    for size in SIZES:
        for inputs in INPUTS:
            c = result.config[f"{size}x{inputs}"]
            times = [
                f"{rounded(1e3 * c[name]):g}" for name in ("transfer", "nodal", "badcrossbar")
            ]
            figures = (*times, f"{1 / c['ratio']:.2g} x", f"{c['agreement']:.1e}")
            rows.append((f"{size} x {size}", str(inputs), *figures))
    header = ("array", "inputs", "transfer [ms]", "nodal [ms]", "badcrossbar 1.1.0 [ms]")
    header += ("faster", "difference")
    note = (
        f"Cells log-uniform from 10 to 500 kohm, {OHM:g} ohm a segment in word lines and bit "
        "lines; processor time, one thread, the least of turns side by side. *Transfer* is what "
        "the executor uses: the matrix by nested dissection, then a product. *Nodal* factors "
        "Kirchhoff's equations once and solves for each input. The difference is the largest, as "
        "a share of the largest current."
    )
    command = "python -m tests.benchmarks.ir_drop --write"
    write_table("ir-drop-solvers", "Solvers of IR drop", command, header, rows, note)


def main() -> None:
    """Measure, or store badcrossbar's currents."""
    if sys.argv[1:] == ["--store"]:
        store()
        return
    result = measure()
    sys.stdout.write(result.line() + "\n")
    if sys.argv[1:] == ["--write"]:
        write(result)


if __name__ == "__main__":
    main()

"""Run a compiled program beside the plain torch network it came from, and beside its peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import cimc
from cimc.executor import Executor
from cimc.targets import Target, load_target
from tests.benchmarks import peers
from tests.benchmarks.harness import Result, fastest, rounded

#: Threads of every measurement.
THREADS = 2


def measure(
    name: str,
    bar: float,
    network: nn.Module,
    plain: nn.Module,
    x: npt.NDArray[np.float32],
    times: int,
    target: Target | None = None,
) -> Result:
    """Compile a network for ``rram`` and time one run of one chip against the plain network.

    The plain network runs in the faster of torch's two memory layouts.  So does
    aihwkit-lightning, where it is installed, with its nearest settings.

    Args:
        name: Of the measurement.
        bar: Largest ratio that passes.
        network: What is compiled.
        plain: What it is compared with: the same function without BatchNorm.
        x: Inputs of one run; the calibration data too.
        times: Runs of each; the fastest counts.
        target: Another device than ``rram``.

    Returns:
        The ratio to the plain network; the peer's figures are in the ``config``.
    """
    with two_threads():
        compiled = cimc.compile(
            network,
            target=target or load_target("rram"),
            example_inputs=(torch.from_numpy(x[:2]),),
            data={"x": x},
        )
        chip = Executor(compiled, mode="chip")
        inputs: dict[str, Any] = {compiled.inputs[0].name: x}
        layouts = {"contiguous": torch.from_numpy(x)}
        if x.ndim == 4:
            layouts["channels_last"] = layouts["contiguous"].to(memory_format=torch.channels_last)
        networks = {name: _in_layout(plain, name) for name in layouts}
        with torch.inference_mode():
            runs = {k: lambda k=k: networks[k](layouts[k]) for k in layouts}  # type: ignore[misc]
            best = fastest({**runs, "executor": lambda: chip.run(inputs)}, times)
            settings = compiled.target
            layout = min(layouts, key=best.__getitem__)
            peer = _beside(plain, layouts, settings["array"]["rows"], times)
    return Result(
        name,
        best["executor"] / best[layout],
        "x plain torch",
        bar,
        {
            "batch": len(x),
            "target": settings["name"],
            "array": f"{settings['array']['rows']}x{settings['array']['columns']}",
            "dac_bits": settings["read"]["dac_bits"],
            "adc_bits": settings["adc"]["bits"],
            "programming_noise": settings["noise"]["programming"],
            "read_noise": settings["noise"]["read"],
            "threads": THREADS,
            "executor_ms": best["executor"] * 1e3,
            "torch_ms": best[layout] * 1e3,
            "torch_layout": layout,
            "peers": {"aihwkit-lightning": peer},
        },
    )


def _beside(
    plain: nn.Module, layouts: dict[str, torch.Tensor], tile: int, times: int
) -> dict[str, Any] | str:
    """Time aihwkit-lightning beside the plain network; return its figures."""
    found = peers.lightning(plain, tile)
    if found is None:
        return "not installed (make bench PEERS=1)"
    theirs, words = found
    runs = {f"torch {k}": lambda k=k: plain(layouts[k]) for k in layouts}  # type: ignore[misc]
    runs |= {k: lambda k=k: theirs(layouts[k]) for k in layouts}  # type: ignore[misc]
    best = fastest(runs, max(3, times // 10))
    mine = min(best[k] for k in layouts)
    return {
        "version": peers.version("aihwkit-lightning"),
        "ms": rounded(mine * 1e3),
        "x_torch": rounded(mine / min(best[f"torch {k}"] for k in layouts)),
        "settings": words,
    }


def _in_layout(network: nn.Module, layout: str) -> nn.Module:
    import copy

    network = copy.deepcopy(network)
    return network.to(memory_format=torch.channels_last) if layout == "channels_last" else network


@contextmanager
def two_threads() -> Iterator[None]:
    """Compute with two threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)

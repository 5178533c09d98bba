"""A noise-aware training step of ResNet-20 against a plain one, in time and in memory."""

from __future__ import annotations

from typing import Any

from cimc.targets import load_target
from cimc.training.recipe import Recipe
from tests.benchmarks import peers, step_memory, training_steps
from tests.benchmarks.harness import Result, fastest, rounded
from tests.benchmarks.side_by_side import THREADS, two_threads
from tests.benchmarks.ways import WAYS

BAR, MEMORY_BAR, TIMES, PEER_TIMES = 2.0, 1.4, 40, 3
PLAIN = ("plain", "plain-contiguous")
OURS = "straight-through"


def measure() -> Result:
    """Return the ratio of times; that of memory has a bar of its own."""
    with two_threads():
        best = fastest({name: WAYS[name]() for name in (*PLAIN, OURS)}, TIMES)
        peer = _beside()
    base = min(PLAIN, key=best.__getitem__)
    plain, ours = step_memory.measure(base), step_memory.measure(OURS)
    memory = ours.peak / plain.peak
    return Result(
        "train-step",
        best[OURS] / best[base],
        "x plain step",
        BAR,
        {
            **settings(),
            "threads": THREADS,
            "step_ms": best[OURS] * 1e3,
            "plain_ms": best[base] * 1e3,
            "plain_layout": "contiguous" if base.endswith("contiguous") else "channels_last",
            "memory_ratio": memory,
            "memory_bar": MEMORY_BAR,
            "peak_mib": ours.peak,
            "plain_peak_mib": plain.peak,
            "kept_mib": ours.kept,
            "plain_kept_mib": plain.kept,
            "peers": {"aihwkit-lightning": peer},
        },
        also=memory <= MEMORY_BAR,
    )


def settings() -> dict[str, Any]:
    """Return what every step on the device has in common."""
    target, recipe = load_target("rram"), Recipe()
    assert target.noise.programming is not None
    return {
        "network": "ResNet-20, 16-32-64 channels, 32x32, BatchNorms folded",
        "batch": training_steps.BATCH,
        "optimizer": "Adam",
        "target": target.name,
        "array": f"{target.array.rows}x{target.array.columns}",
        "dac_bits": target.read.dac_bits,
        "adc_bits": target.adc.bits,
        "levels": target.cell.default_levels,
        "programming_noise_us": target.noise.programming.sigma_us,
        "quantization": recipe.quantization,
        "new_chip": "every step",
    }


def _beside() -> dict[str, Any] | str:
    """Time a step of aihwkit-lightning beside a plain one; return its figures."""
    found = training_steps.lightning()
    if found is None:
        return "not installed (make bench PEERS=1)"
    step, words = found
    best = fastest({"plain": WAYS["plain"](), "theirs": step}, PEER_TIMES)
    memory = step_memory.measure("lightning").peak
    return {
        "version": peers.version("aihwkit-lightning"),
        "ms": rounded(best["theirs"] * 1e3),
        "x_torch": rounded(best["theirs"] / best["plain"]),
        "peak_mib": rounded(memory),
        "x_memory": rounded(memory / step_memory.measure("plain").peak),
        "settings": words,
    }

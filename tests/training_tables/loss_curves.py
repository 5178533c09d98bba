"""[STE] Fig. 1: the training loss with each way of differentiating the device, as a picture.

``python -m tests.training_tables.loss_curves --write`` works out what is missing, and writes
``docs/results/loss-curves.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from cimc.training.drawn import order, training_chip
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork
from cimc.verification.data import check_data
from tests.training_networks.data import network_data
from tests.training_tables.studied import PICTURES, chip, compiled, kept, loss_of, samples, there
from tests.zoo.results import write_table

#: Samples of a step, and how often converter ranges are fitted again [steps].
NETWORKS: Final = {"resnet8": 32, "gpt": 8}
REFIT: Final = 25
SEEDS: Final = (0, 1, 2)
STEPS: Final = 100
RATE: Final = 3e-3
LEVELS: Final = (2,)
#: Settings of the recipe by the name of the curve.
MODES: Final[dict[str, dict[str, Any]]] = {
    "no noise": {"noise": "none"},
    "straight-through": {"gradient": "straight-through"},
    "no_grad": {"gradient": "no-grad"},
    "detached": {"gradient": "detached"},
    "full gradient": {"gradient": "full"},
}
COMMAND: Final = "python -m tests.training_tables.loss_curves --write"
Curve = npt.NDArray[np.float64]

NOTE = """\
Chip: tests/training_tables/ste.yaml, as in [STE Table II] here; a level is 0.1 in the standard
deviation of ln G of a write. Random weights at first (BatchNorm folded), 16 Lloyd levels a layer,
Adam at {rate:g}, batches of {batches}, {steps} steps, norm of gradients clipped at 5, converter
ranges fitted again every {refit} steps, another chip every step. The picture shows the training
loss as training sees it, on the chip of the step: mean of 10 steps, mean of {seeds} seeds, the
band is their standard deviation. Table: mean loss of the last 20 steps ± standard deviation over
seeds. Straight-through, no_grad and detached are one gradient computed in three ways, so their
curves differ by rounding alone. *no noise* trains the same quantized network without a device."""


def curve(network: str, level: int, mode: str, seed: int) -> list[float]:
    """Return the loss of every step."""
    start = compiled(network, seed)
    recipe = Recipe(learning_rate=RATE, seed=seed, **MODES[mode])
    net = TrainableNetwork(start, chip(level), recipe)
    batch = NETWORKS[network]
    inputs, labels = samples(network, STEPS * batch)
    shuffled = torch.tensor(order(seed, 0, len(inputs)))
    given = network_data(network, "calibration", 128)
    del given["labels"]
    groups = [{**g, "lr": RATE * g["lr_scale"]} for g in net.groups()]
    optimizer = torch.optim.Adam(groups)
    losses = []
    for step in range(STEPS):
        taken = shuffled[step * batch : (step + 1) * batch]
        loss = loss_of(net([inputs[taken]], training_chip(seed, step)).outputs, labels[taken])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 5.0)
        optimizer.step()
        net.after_step()
        losses.append(float(loss.detach()))
        if (step + 1) % REFIT == 0:
            net.refit(check_data(given, start.inputs))
    return losses


def curves(network: str, level: int, mode: str) -> Curve:
    """Return the curves of every seed, ``(seeds, steps)``, found before or now."""
    found = []
    for seed in SEEDS:
        make = partial(curve, network, level, mode, seed)
        found.append(kept("loss-curves", _name(network, level, mode, seed), make))
    return np.array(found)


def _name(network: str, level: int, mode: str, seed: int) -> str:
    return f"{network}-{level}-{mode}-{seed}".replace(" ", "-")


def complete() -> list[tuple[str, int]]:
    """Return the networks and levels of which every curve is there."""
    return [
        (network, level)
        for network in NETWORKS
        for level in LEVELS
        if all(there("loss-curves", _name(network, level, m, s)) for m in MODES for s in SEEDS)
    ]


def draw(panels: Sequence[tuple[str, int]]) -> None:
    """Write the picture: a panel a network and level, a line a way."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "cimc"
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 3.8), squeeze=False)
    styles = ("-", "-", "--", ":", "-")
    for axis, (network, level) in zip(axes[0], panels, strict=True):
        for number, (mode, style) in enumerate(zip(MODES, styles, strict=True)):
            smooth = np.array([
                np.convolve(c, np.full(10, 0.1), "valid") for c in curves(network, level, mode)
            ])  # fmt: skip
            mean, sd = smooth.mean(0), smooth.std(0, ddof=1)
            x = np.arange(len(mean)) + 10
            axis.plot(x, mean, style, color=f"C{number}", label=mode, lw=1.4)
            axis.fill_between(x, mean - sd, mean + sd, color=f"C{number}", alpha=0.15, lw=0)
        axis.set(title=f"{network}, level {level}", xlabel="step")
        axis.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("training loss [nat]")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PICTURES / "loss-curves.svg", metadata={"Date": None})
    plt.close(figure)


def row(network: str, level: int) -> list[str]:
    """Return the loss at the end by way of differentiating."""
    ends = [curves(network, level, mode)[:, -20:].mean(1) for mode in MODES]
    return [network, str(level), *(f"{e.mean():.3f} ± {e.std(ddof=1):.3f}" for e in ends)]


def write() -> None:
    """Write the page and its picture."""
    panels = complete()
    draw(panels)
    note = NOTE.format(
        rate=RATE, steps=STEPS, refit=REFIT, seeds=len(SEEDS),
        batches=" and ".join(f"{b} ({n})" for n, b in NETWORKS.items()),
    )  # fmt: skip
    note += "\n\n![Training loss against steps](../pictures/loss-curves.svg)"
    rows = [row(network, level) for network, level in panels]
    header = ["network", "level", *MODES]
    title = "Training loss by way of differentiating [STE Fig. 1]"
    write_table("loss-curves", title, COMMAND, header, rows, note)


def main() -> None:
    """Work out what is missing; write the page."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--write", action="store_true", help="write docs/results/loss-curves.md")
    parser.add_argument("--there", action="store_true", help="of what is there")
    given = parser.parse_args()
    os.nice(5)
    torch.set_num_threads(1)
    for network in () if given.there else NETWORKS:
        for level in LEVELS:
            for mode in MODES:
                ends = curves(network, level, mode)[:, -20:].mean(1)
                sys.stdout.write(f"{network} level {level}, {mode}: {ends.round(3)}\n")
                sys.stdout.flush()
    if given.write:
        write()


if __name__ == "__main__":
    main()

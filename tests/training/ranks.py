"""``torchrun ... -m tests.training.ranks REPORT``: train the toy, each process its share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cimc.training.loop import fit
from cimc.training.parallel import from_environment
from tests.training import toy


def main() -> None:
    """Train; every process writes what it ended with."""
    report = Path(sys.argv[1])
    network, ranks = toy.Toy(), from_environment()
    # 181 samples train in batches of 20: the last holds one, so that a process has none.
    data = toy.data(201)
    assert data.labels is not None
    data.labels[:30] = -100
    recipe = toy.recipe(epochs=3, batch=20, validation=0.1, quantization="regularized")
    training = toy.training(recipe, data=data, checkpoint=report / "checkpoints")
    history = fit(network, training, signals_in=toy.INPUTS, signals_out=toy.OUTPUTS)
    values = {
        "losses": [row.train_loss for row in history.epochs],
        "validation": [row.validation and row.validation.loss for row in history.epochs],
        "top1": [row.validation and row.validation.mean for row in history.epochs],
        "final": toy.final(network).hex(),
        "chips": network.chips,
    }
    (report / f"{ranks.rank}.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()

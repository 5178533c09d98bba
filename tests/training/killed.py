"""``python -m tests.training.killed FOLDER COUNT SEED``: kill toy runs at random moments, resume.

A moment is a step, a synchronization with the disk or a renaming: the run is killed before it.
Prints, as JSON, the moments, the steps that were left to do, and whether final bytes are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cimc.training.loop import fit
from tests.training import toy

RECIPE = toy.recipe(epochs=3, checkpoint_steps=3, quantization="regularized", keep="best")


class Killer:
    """Kills this process before a given moment."""

    def __init__(self, moment: int | None) -> None:
        self.moments, self._kill = 0, moment

    def tick(self) -> None:
        if self.moments == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        self.moments += 1

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            self.tick()
            return function(*args, **options)

        return wrapped


def run(folder: Path, moment: int | None, report: Path) -> None:
    """Train, or go on; write what came out, unless killed."""
    killer = Killer(moment)
    os.fsync = killer.before(os.fsync)
    Path.replace = killer.before(Path.replace)  # type: ignore[method-assign]
    network = toy.Toy()
    network.after_step = killer.tick  # type: ignore[method-assign]
    training = toy.training(RECIPE, checkpoint=folder, resume=True)
    history = fit(network, training, signals_in=toy.INPUTS, signals_out=toy.OUTPUTS)
    rows = [[row.train_loss, row.penalty, row.learning_rate] for row in history.epochs]
    digest = hashlib.sha256(toy.final(network)).hexdigest()
    report.write_text(json.dumps([digest, rows, killer.moments, len(network.chips)]))


def forked(folder: Path, moment: int | None) -> Any:
    """Do it in a process of its own; None when it was killed."""
    report = folder.with_suffix(".json")
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        run(folder, moment, report)
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(report.read_text()) if report.exists() else None


def main() -> None:
    """Do it all."""
    torch.set_num_threads(1)
    folder, count, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    whole = forked(folder / "whole", None)
    results = []
    for number in range(count):
        moment, place = draw.randrange(whole[2]), folder / str(number)
        killed = forked(place, moment)
        resumed = forked(place, None)
        results.append(
            {
                "moment": moment,
                "killed": killed is None,
                "same": resumed[:2] == whole[:2],
                "forwards": resumed[3],
                "files": sorted(p.name for p in place.iterdir()),
            }
        )
    sys.stdout.write(json.dumps({"moments": whole[2], "forwards": whole[3], "runs": results}))


if __name__ == "__main__":
    main()

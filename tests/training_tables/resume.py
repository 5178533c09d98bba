"""Killed and resumed, and two processes: ``python -m tests.training_tables.resume --write``.

ResNet-8 is fine-tuned on Fashion-MNIST by ``cimc compile --train-data``, for a chip with every
non-ideality.  The command is killed (SIGKILL) at random moments and called again with
``--resume``: the program must have the same bytes as that of a run nobody killed.  Then two
processes under ``torchrun`` do what one did.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cimc.training.checkpoint import digest_of_tensors, listed, newest
from cimc.training.history import History
from tests.zoo import cache
from tests.zoo.cache import ROOT
from tests.zoo.fashion import fashion
from tests.zoo.resnet8 import PATH
from tests.zoo.results import table_row, write_table

TARGET: Final = ROOT / "tests" / "end_to_end" / "nonideal.yaml"
RECIPE: Final = """\
training:
  epochs: 3
  batch: 32
  learning_rate: 2.0e-2
  keep: last
  validation: 0.15
  checkpoint_steps: 1
"""
TORCHRUN: Final = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
#: Longest wait for anything [s].
_PATIENCE: Final = 3600.0


@dataclass(frozen=True)
class Job:
    """One call of ``cimc compile`` in a folder of its own.

    Attributes:
        folder: Where data, recipe and results are.
        images: Training images [-].
        target: What is compiled for.
    """

    folder: Path
    images: int
    target: str = str(TARGET)

    def prepare(self) -> None:
        """Write data and recipe."""
        self.folder.mkdir(parents=True, exist_ok=True)
        images, labels = fashion("train")
        data = {"image": images[: self.images], "labels": labels[: self.images]}
        np.savez(self.folder / "train.npz", **data)  # type: ignore[arg-type]
        (self.folder / "recipe.yaml").write_text(RECIPE, "utf-8")

    def start(self, name: str, *more: str, processes: int = 1) -> subprocess.Popen[bytes]:
        """Start the compilation to ``NAME.cim``."""
        program = self.folder / f"{name}.cim"
        words = ["cimc", "compile", str(cache.need(PATH)), "--target", self.target]
        words += ["--levels", "4", "--train-data", str(self.folder / "train.npz")]
        words += ["--recipe", str(self.folder / "recipe.yaml"), "-o", str(program)]
        words += ["--checkpoint", str(self.checkpoints(name)), *more]
        launcher = [*TORCHRUN, str(processes)] if processes > 1 else []
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *launcher, "-m", *words],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def run(self, name: str, *more: str, processes: int = 1) -> float:
        """Compile; return the seconds it took."""
        began = time.monotonic()
        code = self.start(name, *more, processes=processes).wait(_PATIENCE)
        if code:
            raise RuntimeError((self.folder / f"{name}.log").read_text()[-2000:])
        return time.monotonic() - began

    def checkpoints(self, name: str) -> Path:
        """Return where a run's checkpoints are."""
        return self.folder / f"{name}.checkpoints"

    def digest(self, name: str) -> str:
        """Return a digest of all files of a program, and of the last weights to the last bit."""
        digest = hashlib.sha256()
        for path in sorted((self.folder / f"{name}.cim").iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        found = newest(self.checkpoints(name))
        assert found is not None
        digest.update(digest_of_tensors(found[0].tensors).encode())
        return digest.hexdigest()

    def history(self, name: str) -> History:
        """Return the history of a finished run."""
        found = newest(self.checkpoints(name))
        assert found is not None
        return History.from_dict(found[0].progress["history"])


@dataclass(frozen=True)
class Killed:
    """A run that was killed.

    Attributes:
        step: Steps whose checkpoint was there when it was.
        delay: How long after that one appeared [s].
        same: The program has the bytes of the whole run's.
    """

    step: int
    delay: float
    same: bool


def kill_and_resume(job: Job, name: str, step: int, delay: float, whole: str) -> Killed:
    """Kill a run some time after a step, call it again, and compare.

    Args:
        job: What is run.
        name: Of this run.
        step: Whose checkpoint is waited for.
        delay: Between the checkpoint and the kill [s].
        whole: Digest of the program of a run nobody killed.
    """
    process = job.start(name)
    end = time.monotonic() + _PATIENCE
    try:
        while _last(job, name) < step:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((job.folder / f"{name}.log").read_text()[-2000:])
            time.sleep(0.01)
        time.sleep(delay)
    finally:
        process.kill()
        process.wait()
    last = _last(job, name)
    if (job.folder / f"{name}.cim").exists():
        raise RuntimeError("the run had ended before it was killed")
    job.run(name, "--resume")
    return Killed(last, delay, job.digest(name) == whole)


def _last(job: Job, name: str) -> int:
    found = listed(job.checkpoints(name))
    return int(found[-1].stem.removeprefix("step-")) if found else -1


def processes_agree(job: Job) -> list[list[str]]:
    """Train with one process and with two; return rows of losses, one an epoch."""
    job.run("one")
    job.run("two", processes=2)
    one, two = job.history("one"), job.history("two")
    rows = []
    for a, b in zip(one.epochs, two.epochs, strict=True):
        assert a.validation is not None
        assert b.validation is not None
        rows.append(
            [
                str(a.epoch),
                f"{a.train_loss:.6f}",
                f"{b.train_loss:.6f}",
                f"{abs(b.train_loss / a.train_loss - 1):.1e}",
                f"{100 * a.validation.mean:.2f}",
                f"{100 * b.validation.mean:.2f}",
            ]
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and, with ``--write``, write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="resume"))
    try:
        job = Job(folder, given.images)
        job.prepare()
        job.run("whole")
        whole, steps = job.digest("whole"), job.history("whole").steps
        draw = random.Random(2026)
        still = Job(folder / "processes", given.images, "rram")
        still.prepare()
        losses = processes_agree(still)
        sys.stderr.write(f"{losses}\n")
        rows: list[list[str]] = []
        for number in range(given.kills):
            step, delay = draw.randrange(steps), draw.uniform(0.0, 0.5)
            found = kill_and_resume(job, f"killed{number}", step, delay, whole)
            rows.append([str(number + 1), str(found.step), _verdict(found.same)])
            sys.stderr.write(f"{rows[-1]}\n")
            shutil.rmtree(job.checkpoints(f"killed{number}"))
            if given.write:  # what is there is there, should this one be killed
                _write(rows, losses, steps, whole, given.images)
    finally:
        shutil.rmtree(folder)
    return 0 if all(row[2] == _verdict(True) for row in rows) else 1


def _verdict(same: bool) -> str:
    return "same bytes" if same else "**differ**"


def _write(
    rows: Sequence[Sequence[str]],
    losses: Sequence[Sequence[str]],
    steps: int,
    whole: str,
    images: int,
) -> None:
    header = ("epoch", "loss, one", "loss, two", "relative difference", "val % one", "val % two")
    table = [header, ["---"] * len(header), *losses]
    note = (
        f"`cimc compile --train-data` of ResNet-8, {images} images of Fashion-MNIST, {steps} "
        "steps, target `tests/end_to_end/nonideal.yaml` (every non-ideality), 4 levels, a "
        "checkpoint a step.  The command was killed (SIGKILL) at random moments up to half a "
        "second after a random step, and called again with `--resume`.  *Same bytes*: all files "
        "of the program are those of a run nobody killed, and so are weights, ranges and state of "
        f"the optimizer after the last step (sha256 of all {whole[:16]}...).  The learning rate "
        "is far too large on purpose: codes change, and small differences would grow.\n\n"
        "Two processes under `torchrun` (gloo), each with half of every batch, against one, for "
        "the target `rram`, whose reads do not fluctuate (where they do, the second process's "
        "samples see other read noise than in one process).  The rest is rounding: sums of "
        "float32 in another order, and now and then a code of a converter next to it:\n\n"
        + "\n".join(map(table_row, table))
        + "\n\nThe killed runs:"
    )
    command = "python -m tests.training_tables.resume --write"
    write_table(
        "training-resume",
        "Training: killed and resumed, and in two processes",
        command,
        ("run", "steps of the last checkpoint when killed", "program after `--resume`"),
        rows,
        note,
    )


if __name__ == "__main__":
    raise SystemExit(main())

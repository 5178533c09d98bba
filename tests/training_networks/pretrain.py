"""Float training: ``python -m tests.training_networks.pretrain [NAME ...] [--seeds 3]``.

Each network and seed leaves ``NAME-seedS.onnx``, ``.safetensors`` and, last, ``.json`` in
``.cache/training``; what is there is not trained again, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from tests.training_networks.data import task_data
from tests.training_networks.images import Split
from tests.training_networks.losses import LOSSES
from tests.training_networks.metrics import score
from tests.training_networks.networks import FOLDER, INPUT, NETWORKS, OUTPUT, Task, network
from tests.zoo.cache import MissingError
from tests.zoo.exported import export
from tests.zoo.fetch import place

#: What is trained when nothing is named, in this order.
ORDER = (
    *("resnet8", "vgg8", "resnet20", "vgglike", "vgg11", "resnet18"),
    *("gpt", "bert", "segmentation", "detection"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is trained; the rate rises over a tenth of the steps, then falls (cosine)."""

    epochs: float = 3
    batch: int = 128
    rate: float = 0.1
    optimizer: str = "sgd"
    decay: float = 5e-4


SETTINGS: dict[Task, Settings] = {
    "fashion": Settings(),
    "cifar10": Settings(epochs=20),
    "gpt": Settings(1, 64, 3e-3, "adamw", 0.01),
    "bert": Settings(1.5, 64, 3e-3, "adamw", 0.01),
    "segmentation": Settings(4, 64, 3e-3, "adamw", 1e-4),
    "detection": Settings(5, 64, 3e-3, "adamw", 1e-4),
}
#: Splits whose metrics are noted.
SHOWN: tuple[Split, ...] = ("validation", "test")
#: The two smallest can have more.
BY_NAME = {"resnet8": Settings(6), "vgg8": Settings(6)}


def log(line: str) -> None:
    """Append a line with the time to the log and to stderr."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamped = f"{time.strftime('%H:%M:%S')} {line}\n"
    with (FOLDER / "log.txt").open("a") as file:
        file.write(stamped)
    sys.stderr.write(stamped)


def flipped(images: Tensor, draws: torch.Generator) -> Tensor:
    """Flip each image left to right with probability 1/2."""
    flip = torch.rand(len(images), generator=draws) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def optimizer_of(module: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            module.parameters(), settings.rate, weight_decay=settings.decay, betas=(0.9, 0.98)
        )
    return torch.optim.SGD(
        module.parameters(), settings.rate, 0.9, weight_decay=settings.decay, nesterov=True
    )


def arrange(module: nn.Module, layout: torch.memory_format) -> None:
    """Lay the kernels of a network out in memory; channels last trains faster."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def train(name: str, seed: int, settings: Settings) -> nn.Module:
    """Return a trained network in evaluation mode; the loss of each epoch goes to the log."""
    task = NETWORKS[name].task
    arrays = task_data(task, "train")
    inputs, labels = torch.from_numpy(arrays[INPUT]), torch.from_numpy(arrays["labels"])
    classifies = task in ("fashion", "cifar10")
    module = network(name, seed).train()
    if inputs.ndim == 4:
        arrange(module, torch.channels_last)
    optimizer = optimizer_of(module, settings)
    steps = int(settings.epochs * (len(inputs) // settings.batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, steps, pct_start=0.1, cycle_momentum=False
    )
    draws = torch.Generator().manual_seed(seed)
    done = 0
    while done < steps:
        order = torch.randperm(len(inputs), generator=draws)
        total = torch.zeros(())
        whole = order[: len(order) // settings.batch * settings.batch]
        batches = torch.split(whole, settings.batch)[: steps - done]
        for batch in batches:
            given = flipped(inputs[batch], draws) if classifies else inputs[batch]
            loss = LOSSES[task]({OUTPUT: module(given)}, labels[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += loss.detach()
            done += 1
        mean = float(total) / len(batches)
        log(f"{name} seed {seed}: step {done} of {steps}, loss {mean:.4f}")
    arrange(module, torch.contiguous_format)
    return module.eval()


def evaluate(module: nn.Module, name: str, split: Split) -> dict[str, float]:
    """Return the metrics of a network on all of a split."""
    task = NETWORKS[name].task
    arrays = task_data(task, split)
    with torch.no_grad():
        answers = [module(x) for x in torch.split(torch.from_numpy(arrays[INPUT]), 250)]
    return score(task, torch.cat(answers).numpy(), arrays["labels"])


def write(module: nn.Module, name: str, seed: int, notes: dict[str, object]) -> None:
    """Write the three files of a network; the JSON last, so that its presence says all are."""
    stem = FOLDER / f"{name}-seed{seed}"
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    place(safetensors.torch.save(state), stem.with_suffix(".safetensors"))
    stem.with_suffix(".onnx").unlink(missing_ok=True)
    example = torch.from_numpy(task_data(NETWORKS[name].task, "calibration", 2)[INPUT])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        export(module, stem.with_suffix(".onnx"), (example,), [INPUT], [OUTPUT])
    place(json.dumps(notes, indent=1).encode(), stem.with_suffix(".json"))


def pretrain(name: str, seed: int) -> str:
    """Train and write one network unless it is there; return what happened, for people."""
    if (FOLDER / f"{name}-seed{seed}.json").is_file():
        return f"{name} seed {seed}: there"
    settings = BY_NAME.get(name, SETTINGS[NETWORKS[name].task])
    began = time.perf_counter()
    try:
        module = train(name, seed, settings)
        seconds = time.perf_counter() - began
        metrics = {split: evaluate(module, name, split) for split in SHOWN}
    except MissingError as reason:
        return f"{name} seed {seed}: skipped: {reason}"
    weights = sum(p.numel() for p in module.parameters())
    notes: dict[str, object] = {"name": name, "seed": seed, "metrics": metrics["test"]}
    notes |= {"validation": metrics["validation"], "weights": weights}
    notes |= {"seconds": round(seconds, 1), "settings": asdict(settings)}
    write(module, name, seed, notes)
    return f"{name} seed {seed}: {metrics['test']}, {seconds:.0f} s"


def one_thread() -> None:
    """Set up a process of the pool; how nice it is, is for the caller to say."""
    torch.set_num_threads(1)


def main() -> int:
    """Train what is named, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: " + ", ".join(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    # One network of every kind first: tables can begin with those.
    jobs = [(name, seed) for seed in range(given.seeds) for name in given.names or ORDER]
    failed = 0
    with ProcessPoolExecutor(given.processes, context, one_thread) as pool:
        for future in as_completed([pool.submit(pretrain, *job) for job in jobs]):
            try:
                log(future.result())
            except Exception:
                failed = 1
                log(traceback.format_exc())
    return failed


if __name__ == "__main__":
    raise SystemExit(main())

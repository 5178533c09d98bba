"""Fine-tunings of [GDQ]: Lloyd levels of whole layers, trained with Eq. 6's noise and without."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from tests.training_tables.jobs import SEEDS, Evaluation, Job

Method = Literal["quantized", "plain", "noisy"]

LEVELS: Final = (3, 4, 8)
CLASSIFIERS: Final = ("resnet20", "vgglike", "resnet18")
METHODS: Final[dict[Method, str]] = {
    "quantized": "quantized, not trained",
    "plain": "trained without noise",
    "noisy": "trained with noise",
}
#: Noise on evaluation, as a share of the largest weight [%].
NOISES: Final = (1, 2, 3, 4)
#: Noise trained with [GDQ §4.1.2: 2 % in all experiments].
DELTA: Final = 0.02
#: Range of the cells [GDQ §4.4] [uS].
RANGE_US: Final = 17.85 - 2.1
#: No converters: [GDQ] has weights quantized and nothing else.
CONVERTERS: Final = {"adc.bits": None, "read.dac_bits": None}
EPOCHS: Final = 1
#: Of every fine-tuning; [GDQ Table 2] has Adam, T = 0.1.
RECIPE: Final[dict[str, Any]] = {
    "epochs": EPOCHS,
    "batch": 64,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "loss": "distillation",
    "schedule": "cosine",
    "threshold": 0.1,
    "validation": 0.0,
}
SAMPLES: Final = 20_000
#: Samples and epochs of longer training.
LONGER_TRAINING: Final = (40_000, 4)
#: From scratch there is more to learn, and no float network to learn it from.
SCRATCH: Final[dict[str, Any]] = {"epochs": 8, "learning_rate": 2e-3, "loss": "cross-entropy"}


def cell_sigma_us(delta: float) -> float:
    """Return the spread of a cell whose pair deviates by ``delta |W|max`` [uS]."""
    return delta * RANGE_US / math.sqrt(2.0)


def sigma(delta: float) -> dict[str, object]:
    """Return the programming noise of [GDQ] Eq. 6 as a change of a target."""
    return {"noise.programming": {"sigma": f"{cell_sigma_us(delta):.6f} uS"}}


EVALUATIONS: Final = (
    Evaluation("clean", mode="ideal"),
    *(Evaluation(f"noise-{percent}", sigma(percent / 100)) for percent in NOISES),
    # [GDQ §4.4]: measured spread of a pair 0.32 uS, about 2 % of the range.
    Evaluation("tester", mode="tester", spread_us=0.32 / math.sqrt(2.0)),
)


def training(method: Method, delta: float = DELTA, **changes: Any) -> dict[str, Any] | None:
    """Return the recipe of a method."""
    if method == "quantized":
        return None
    noise = {"noise": "gaussian", "delta": delta} if method == "noisy" else {"noise": "none"}
    return {**RECIPE, **noise, **changes}


def job(
    network: str,
    levels: int,
    method: Method,
    seed: int,
    *,
    delta: float = DELTA,
    pinned: bool = False,
    scratch: bool = False,
    labels: bool = False,
    longer: bool = False,
) -> Job:
    """Return one fine-tuning.

    Args:
        network: Name.
        levels: Of each layer [-].
        method: How it is trained.
        seed: Of training and chips.
        delta: Noise trained with, where it is.
        pinned: First and last layer digital, in full precision.
        scratch: From random weights.
        labels: Learn from labels, not from the float network.
        longer: Eight times as long, and from labels.
    """
    changes: dict[str, Any] = {"loss": "cross-entropy"} if labels or longer else {}
    if scratch:
        changes |= SCRATCH
    samples, epochs = LONGER_TRAINING if longer else (SAMPLES, changes.get("epochs", EPOCHS))
    changes["epochs"] = epochs
    options: dict[str, Any] = {"levels": levels, "quantizer": "lloyd", "per_column": False}
    if pinned:
        options["digital"] = "first-last"
    return Job(
        network,
        "rram",
        {**CONVERTERS, **sigma(DELTA)},
        options,
        training(method, delta, **changes),
        samples,
        EVALUATIONS,
        scratch,
        seed,
    )


def cells(network: str, levels: int, method: Method, **given: Any) -> list[Job]:
    """Return the fine-tunings of one cell of a table, one a seed."""
    seeds = SEEDS[:1] if method == "quantized" else SEEDS  # not trained: only chips differ
    return [job(network, levels, method, seed, **given) for seed in seeds]


def control(network: str, seed: int) -> Job:
    """Return the float network trained on, as long and as longer training is: no levels."""
    samples, epochs = LONGER_TRAINING
    recipe = {**RECIPE, "loss": "cross-entropy", "noise": "none", "epochs": epochs}
    return Job(network, "ideal", {}, {}, recipe, samples, EVALUATIONS[:1], seed=seed)

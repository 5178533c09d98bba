"""Other simulators, measured beside cimc in the same process where they are installed.

``make bench PEERS=1`` (``python -m tests.benchmarks.peers``) puts them into ``.cache/peers``,
without what they ask for: their requirements would bring another torch (or cairo, for plots
alone), and badcrossbar's wheel has a package ``tests``.  They use the torch, numpy and scipy of
this environment.  aihwkit is not among them: it has no wheel for this Python and builds for ten
minutes, with MKL, outside pip's isolation.
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.cache import CACHE

FOLDER = CACHE / "peers"
#: Packages of exactly these versions; the last three are needed to import the first two.
PACKAGES = (
    "aihwkit-lightning==2.1.0",
    "badcrossbar==1.1.0",
    "pathvalidate==3.3.1",
    "sigfig==1.4.0",
    "tqdm==4.67.1",
)


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Let peers be imported inside the block; their warnings and greetings are not shown."""
    sys.path.append(str(FOLDER))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path.remove(str(FOLDER))


def version(name: str) -> str | None:
    """Return the installed version of a peer; None where it is not installed."""
    found = [d.version for d in distributions(name=name, path=[str(FOLDER), *sys.path])]
    return found[0] if found else None


def lightning(plain: nn.Module, tile: int) -> tuple[Callable[[Tensor], Any], str] | None:
    """Return a network in aihwkit-lightning and its settings in words; None without it.

    The nearest it has to a chip of cimc: an 8-bit DAC with a static range, an 8-bit ADC, weights
    of 15 levels a channel.  It splits the inputs of a layer into tiles but not its outputs, and
    has no programming noise and no read noise outside training.

    Args:
        plain: The network, BatchNorms folded.
        tile: Word lines of an array.
    """
    if version("aihwkit-lightning") is None:
        return None
    network = _in_lightning(plain, tile, 0.0).eval()

    def run(x: Tensor) -> Any:
        with torch.inference_mode():
            return network(x)

    return run, f"eval, {_words(tile)}; no programming noise, no read noise"


def lightning_training(plain: nn.Module, tile: int, noise: float) -> tuple[nn.Module, str] | None:
    """Return the same network in training, with noise on its weights; None without it.

    New noise is drawn in every forward pass, and the backward pass goes through the noisy weights.

    Args:
        plain: The network, BatchNorms folded.
        tile: Word lines of an array.
        noise: Standard deviation, relative to the largest weight of a channel [-].
    """
    if version("aihwkit-lightning") is None:
        return None
    words = (
        f"train, {_words(tile)}, not learned; ADD_NORMAL_PER_CHANNEL {noise:.3g}; no read noise"
    )
    return _in_lightning(plain, tile, noise).train(), words


def _in_lightning(plain: nn.Module, tile: int, noise: float) -> nn.Module:
    with importable():
        from aihwkit_lightning.nn.conversion import (  # type: ignore[import-not-found]
            convert_to_analog,
        )
        from aihwkit_lightning.simulator.configs import (  # type: ignore[import-not-found]
            TorchInferenceRPUConfig,
        )
        from aihwkit_lightning.simulator.parameters.enums import (  # type: ignore[import-not-found]
            WeightNoiseInjectionType,
            WeightQuantizationType,
        )

        settings = TorchInferenceRPUConfig()
        settings.mapping.max_input_size = tile
        settings.forward.inp_res = settings.forward.out_res = 254
        settings.forward.out_bound = 10.0
        settings.modifier.quantization_type = WeightQuantizationType.DISCRETIZE_PER_CHANNEL
        settings.modifier.res = 14
        if noise > 0:
            settings.modifier.noise_type = WeightNoiseInjectionType.ADD_NORMAL_PER_CHANNEL
            settings.modifier.std_dev = noise
        given = settings.pre_post.input_range
        given.enable, given.learn_input_range = True, False
        given.init_value, given.init_from_data = 3.0, 0
        network: nn.Module = convert_to_analog(plain, settings)
    return network


def _words(tile: int) -> str:
    words = f"max_input_size {tile}, inp_res = out_res = 254, out_bound 10, static range 3, "
    return words + "15 levels a channel"


def processor() -> str:
    """Return what the system calls the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def main() -> int:
    """Install the peers; return pip's exit status."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    where = ["--no-deps", "--upgrade", "--target", str(FOLDER)]
    done = subprocess.run([*pip, *where, *PACKAGES], check=False)
    shutil.rmtree(FOLDER / "tests", ignore_errors=True)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())

"""The inputs a compilation works with: calibration data, and a few to try everything on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cimc.errors import CimcError, InternalError, ModelError
from cimc.ir.interpreter import interpret
from cimc.ir.made_up import made_up, trials
from cimc.ir.network import Array, Network
from cimc.ops.arrays import is_small_float, to_tensor
from cimc.verification.batches import split, subset
from cimc.verification.data import Data, check_data, load_data

#: Samples of the golden vectors; one where a sample is large (an image of 224 x 224 pixels).
TRIAL_SAMPLES = 2
LARGE_ELEMENTS = 50_000


@dataclass(frozen=True, slots=True)
class Trial:
    """A few inputs and what the original model makes of them.

    Attributes:
        inputs: By input name.
        expected: By output name, from onnxruntime.
        imported: By output name, from the graph as it was imported.
    """

    inputs: dict[str, Array]
    expected: dict[str, Array]
    imported: dict[str, Any]


def calibration(data: Mapping[str, Array] | str | Path | None, network: Network) -> Data | None:
    """Return checked calibration data; None without."""
    if data is None:
        return None
    arrays = load_data(data) if isinstance(data, str | Path) else dict(data)
    return check_data(arrays, network.inputs)


def trial_inputs(network: Network, data: Data | None, seed: int) -> tuple[Trial | None, str]:
    """Return inputs that the original model runs on, or None and why none can be made up.

    Raises:
        InternalError: CIMC-I08, onnxruntime runs the model on inputs on which the imported
        network fails.
    """
    if data is not None:
        count = _trial_samples(data.inputs)
        few = subset(data, count)
        first = split(few, network.inputs, batched=True, batch=count)[0]
        expected = network.source.oracle(first)
        network.source.release()  # a large model is not held twice
        return Trial(first, expected, run_graph(network, first)), ""
    failure = why = ""
    for number in trials():
        try:
            made = made_up(network.inputs, seed=seed, trial=number, samples=TRIAL_SAMPLES)
            if _trial_samples(made) == 1:
                made = made_up(network.inputs, seed=seed, trial=number, samples=1)
            expected = network.source.oracle(made)
        except CimcError as e:
            why = why or e.message
            continue
        if any(isinstance(v, np.ndarray) and not v.size for v in expected.values()):
            continue  # too small for what is inside; nothing could be compared
        network.source.release()
        try:
            imported = run_graph(network, made)
        except ModelError:
            continue  # made-up integers that the operators refuse, as axes given twice
        except (CimcError, RuntimeError, ValueError, IndexError, TypeError) as e:
            failure = str(e).splitlines()[0]
            continue
        return Trial(made, expected, imported), ""
    if failure:
        raise InternalError(
            "CIMC-I08",
            f"onnxruntime runs the model, the imported network fails: {failure}",
            hint="giving real inputs with --data; if that fails too, reporting the model",
        )
    return None, why


def _trial_samples(inputs: Mapping[str, Array]) -> int:
    elements = sum(math.prod(v.shape[1:]) for v in inputs.values())
    return 1 if elements > LARGE_ELEMENTS else TRIAL_SAMPLES


def run_graph(network: Network, inputs: Mapping[str, Array]) -> dict[str, Any]:
    """Run the network's graph in torch; outputs by name, tensors as numpy arrays."""
    values = [as_tensor(inputs[s.name]) for s in network.inputs]
    results = interpret(network.graph, values)
    return {s.name: as_array(v) for s, v in zip(network.outputs, results, strict=True)}


def as_tensor(value: Any) -> Any:
    """Return a numpy array as a tensor; other values (strings, sequences) as they are."""
    if isinstance(value, np.ndarray) and (
        value.dtype.kind in "biufc" or is_small_float(value.dtype.name)
    ):
        return to_tensor(value)
    return value


def as_array(value: Any) -> Any:
    """Return a tensor as a numpy array; other values as they are."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        small = is_small_float(str(value.dtype).removeprefix("torch."))
        return (value.float() if small else value).numpy()
    return value

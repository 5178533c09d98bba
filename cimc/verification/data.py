"""User data: one array per network input, by name, first axis = samples; labels beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.verification.npz import SIZE_LIMIT, read_npz

Array = npt.NDArray[Any]

#: Name of the array that holds the right answers.
LABELS = "labels"
#: Kinds of types a kind of input is converted from; V: types of ml_dtypes (bfloat16).
_CONVERTED = {"f": "buif", "V": "buif", "c": "buifc", "i": "bui", "u": "bui"}


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs a network accepts.

    Attributes:
        inputs: By input name, dtype and shape as the network wants them.
        labels: Right answers, int64, first axis samples; None without.
        samples: Length of the first axis [-].
    """

    inputs: Mapping[str, Array]
    labels: npt.NDArray[np.int64] | None
    samples: int


def load_data(path: str | Path, *, limit: int = SIZE_LIMIT) -> dict[str, Array]:
    """Read the arrays of an ``.npz`` file; see :func:`cimc.verification.npz.read_npz`."""
    return read_npz(path, limit=limit)


def check_data(arrays: Mapping[str, Array], signals: Sequence[Signal]) -> Data:
    """Return the arrays as a network's inputs, converted where nothing is lost.

    Args:
        arrays: By name; ``labels`` is set aside unless an input is called so.
        signals: The network's inputs.

    Raises:
        ModelError: CIMC-M71 an input is missing, CIMC-M72 its shape is wrong, CIMC-M73 its type
            is, CIMC-M74 numbers of samples differ, CIMC-M77 labels are unusable, CIMC-M78 an
            array belongs to no input, CIMC-M79 there are no samples.
    """
    names = [s.name for s in signals]
    missing = [n for n in names if n not in arrays]
    unknown = [n for n in arrays if n not in names and n != LABELS]
    if missing:
        raise ModelError(
            "CIMC-M71",
            f"no array for input '{missing[0]}'",
            where=f"the data, which hold {_listed(arrays)}",
            hint=f"one array for each of {_listed(names)}",
        )
    if unknown:
        raise ModelError(
            "CIMC-M78",
            f"array '{unknown[0]}' belongs to no input",
            where=f"the data; the network has {_listed(names)}",
            hint="leaving it out, or naming it as the input it is for",
        )
    inputs = {s.name: _cast(_shaped(arrays[s.name], s), s) for s in signals}
    samples = _samples(inputs, signals)
    labels = arrays.get(LABELS) if LABELS not in names else None
    return Data(inputs, None if labels is None else _labels(labels, samples), samples)


def _shaped(array: Array, signal: Signal) -> Array:
    """Check an array against a declared shape; the first axis counts samples and is free."""
    if signal.shape is None:
        return array
    fits = array.ndim == len(signal.shape) and all(
        not isinstance(wanted, int) or axis == 0 or wanted == had
        for axis, (wanted, had) in enumerate(zip(signal.shape, array.shape, strict=True))
    )
    stacked = array.ndim == len(signal.shape) + 1 and all(
        not isinstance(wanted, int) or wanted == had
        for wanted, had in zip(signal.shape, array.shape[1:], strict=True)
    )
    if not fits and not stacked:
        raise ModelError(
            "CIMC-M72",
            f"input '{signal.name}' takes shape {_shape_text(signal.shape)}, "
            f"the data have {list(array.shape)}",
            where=f"array '{signal.name}'",
            hint="the first axis counts samples, the others are the network's",
        )
    return array


def _cast(array: Array, signal: Signal) -> Array:
    """Convert to the input's type if every value survives (floats may be rounded)."""
    if signal.dtype == "string":
        if array.dtype.kind not in "UST":
            raise _wrong_type(array, signal)
        return array.astype(object)
    try:
        wanted = np.dtype(signal.dtype)
    except TypeError:
        wanted = _extended(signal, array)
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in _CONVERTED.get(wanted.kind, ""):
        raise _wrong_type(array, signal)
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(wanted)
    exact = wanted.kind not in "iu" or np.array_equal(result, array)
    if not exact or (np.isinf(result) & np.isfinite(array)).any():
        raise ModelError(
            "CIMC-M73",
            f"values of input '{signal.name}' do not fit {signal.dtype}",
            where=f"array '{signal.name}' of type {array.dtype}",
            hint=f"values in the range of {signal.dtype}",
        )
    return result


def _extended(signal: Signal, array: Array) -> np.dtype[Any]:
    """Return a type numpy does not know by name (bfloat16, float8, int4) from ml_dtypes."""
    import ml_dtypes

    kind = getattr(ml_dtypes, signal.dtype, None)
    if kind is None:
        raise _wrong_type(array, signal)
    found: np.dtype[Any] = np.dtype(kind)
    return found


def _samples(inputs: Mapping[str, Array], signals: Sequence[Signal]) -> int:
    """Return the number of samples: the first axes that count them agree on it.

    A first axis the network fixes, and an array of exactly that length, is not a count: the
    array serves all samples (a state, a table of anchors).
    """
    counts: dict[str, int] = {}
    for signal in signals:
        array = inputs[signal.name]
        if array.ndim == 0:
            continue
        fixed = signal.shape[0] if signal.shape else None
        if (
            isinstance(fixed, int)
            and array.shape[0] == fixed
            and array.ndim == len(signal.shape or ())
        ):
            continue
        counts[signal.name] = int(array.shape[0])
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{n}' has {c}" for n, c in counts.items())
        raise ModelError(
            "CIMC-M74",
            f"the inputs have different numbers of samples: {listed}",
            where="the data",
            hint="arrays with equally long first axes",
        )
    if counts:
        samples = next(iter(counts.values()))
    else:
        samples = max((int(a.shape[0]) for a in inputs.values() if a.ndim), default=1)
    if samples == 0:
        raise ModelError(
            "CIMC-M79", "the data hold no samples", where="the data", hint="at least one sample"
        )
    return samples


def _labels(labels: Array, samples: int) -> npt.NDArray[np.int64]:
    whole = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels))
    )
    if not whole or labels.ndim < 1 or labels.shape[0] != samples:
        raise ModelError(
            "CIMC-M77",
            f"labels of type {labels.dtype} and shape {list(labels.shape)} are not class numbers "
            f"of {samples} samples",
            where=f"array '{LABELS}'",
            hint="integers from 0, one for each sample (sequences, maps: each step, pixel)",
        )
    return labels.astype(np.int64)


def _wrong_type(array: Array, signal: Signal) -> ModelError:
    return ModelError(
        "CIMC-M73",
        f"input '{signal.name}' takes {signal.dtype}, the data are {array.dtype}",
        where=f"array '{signal.name}'",
        hint=f"converting the array to {signal.dtype}",
    )


def _shape_text(shape: Sequence[int | str]) -> str:
    return "[" + ", ".join(str(d) if d != "" else "?" for d in shape) + "]"


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names) or "no arrays"


def digest_of_data(data: Data) -> str:
    """Return a digest of inputs and labels."""
    digest = hashlib.sha256()
    arrays = dict(data.inputs)
    if data.labels is not None:
        arrays["labels"] = data.labels
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        content = np.ascontiguousarray(array)
        digest.update(repr(content.tolist()).encode() if array.dtype.hasobject else content.data)
    return digest.hexdigest()

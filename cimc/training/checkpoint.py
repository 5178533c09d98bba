"""Checkpoints of a training run: written whole or not at all, and never unpickled.

One file a checkpoint, ``step-00001234.safetensors``: the tensors of the network and of the
optimizer, and in its header, as JSON, everything else (step, history, whose run it is).  The
newest two are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cimc.errors import ModelError, UsageError

#: Version of the file.
VERSION: Final = 1
_KEPT: Final = 2
_KEY: Final = "cimc-checkpoint"
_NAME = re.compile(r"step-(\d{8,})\.safetensors")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run between two steps.

    Attributes:
        step: Steps taken [-].
        identity: Whose run it is, see :func:`same_run`; plain data.
        progress: Everything else that is not a tensor; plain data.
        tensors: By name.
    """

    step: int
    identity: Mapping[str, Any]
    progress: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and remove all but the one before it.

    It appears under its name when it is complete and on the disk.

    Args:
        folder: Where; made if need be.
        checkpoint: What.

    Raises:
        UsageError: CIMC-U07, it cannot be written.
    """
    head = {
        "version": VERSION,
        "step": checkpoint.step,
        "identity": checkpoint.identity,
        "progress": checkpoint.progress,
    }
    text = json.dumps(head, sort_keys=True, allow_nan=False)
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in checkpoint.tensors.items()}
    path = folder / f"step-{checkpoint.step:08d}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = listed(folder)
        _replace(path, save(tensors, {_KEY: text}))
        earlier = [p for p in before if p.name < path.name][-(_KEPT - 1) :]
        for old in {*before, *folder.glob(".step-*.partial")} - {path, *earlier}:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            "CIMC-U07",
            f"cannot write the checkpoint: {error.strerror or error}",
            where=str(path),
            hint="another folder for checkpoints, or more room there",
        ) from error
    return path


def newest(folder: Path) -> tuple[Checkpoint, tuple[str, ...]] | None:
    """Return the newest checkpoint that can be read, and what to tell the user.

    Returns:
        None when there is none at all.

    Raises:
        ModelError: CIMC-M95, there are some but none can be read.
    """
    problems: list[str] = []
    for path in reversed(listed(folder)):
        try:
            return read(path), tuple(problems)
        except ModelError as error:
            problems.append(f"{path.name} was passed over: {error.message}")
            last = error
    if problems:
        raise last
    return None


def listed(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return [p for _, p in sorted(found)]


def clear(folder: Path) -> None:
    """Remove all checkpoints of a folder: a new run begins."""
    for path in listed(folder):
        path.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelError: CIMC-M95, it is none.
    """
    try:
        with safe_open(path, "pt") as file:
            head = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if head["version"] != VERSION:
            raise _refused(f"its version is {head['version']!r}, not {VERSION}", path)
        return Checkpoint(int(head["step"]), head["identity"], head["progress"], tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refused(f"it cannot be read ({error})", path) from error


def same_run(checkpoint: Checkpoint, identity: Mapping[str, Any], folder: Path) -> None:
    """Refuse a checkpoint of another run: only the same one ends in the same bytes.

    Args:
        checkpoint: What was read.
        identity: Of this run: what its result is a function of, plain data.
        folder: Where it was.

    Raises:
        ModelError: CIMC-M95, naming the first thing that differs, and both values.
    """
    had, wanted = _flat(checkpoint.identity), _flat(identity)
    for key in [*wanted, *had]:
        if had.get(key) != wanted.get(key):
            raise _refused(
                f"it is of another run: {key} {_shown(had.get(key))}, now "
                f"{_shown(wanted.get(key))}",
                folder,
            )


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of tensors by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole: a temporary sibling takes its name once it is on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every system lets folders be synced
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    finally:
        temporary.unlink(missing_ok=True)


def _flat(identity: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in identity.items():
        name = f"{before}{key}"
        found.update(_flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:12] + '..."'


def _refused(why: str, where: Path) -> ModelError:
    return ModelError(
        "CIMC-M95",
        f"the checkpoint cannot be gone on from: {why}",
        where=str(where),
        hint="the settings, model and data it was written with; another folder for checkpoints; "
        "or leaving --resume out to start anew",
    )

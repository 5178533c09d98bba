"""Change a written program and sign it again: every checksum is right, the content is not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cimc.program import container_read, container_write, files, yamltext
from cimc.program.directory import sums_text
from cimc.program.writer import manifest_lines


class Forge:
    """The content of a program, to be changed at will.

    Attributes:
        manifest: Plain data of ``program.yaml``.
        blobs: Tensors by file.
        raw: Bytes written instead of a file's content.
        lie: Change the manifest after checksums were put in.
    """

    def __init__(self, source: Path) -> None:
        self.manifest: Any = yamltext.parse((source / files.MANIFEST).read_text(), where="")
        self.blobs: dict[str, dict[str, Tensor]] = {}
        self.raw: dict[str, bytes] = {}
        self.tensors_of: dict[str, dict[str, Any]] = {}
        for name in self.manifest["files"]:
            with (source / name).open("rb") as file:
                size = (source / name).stat().st_size
                entries, head = container_read.read_header(file, size, where=name)
                found = container_read.views(file, entries, head, where=name)
                self.blobs[name] = {n: t.clone() for n, t in found.items()}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors of ``program.safetensors``."""
        return self.blobs[files.PROGRAM]

    def layer(self, name: str) -> Any:
        return next(x for x in self.manifest["layers"] if x["name"] == name)

    def operation(self, name: str) -> Any:
        return next(x for x in self.manifest["operations"] if x["name"] == name)

    def save(self, path: Path, *, text: str | None = None) -> Path:
        """Write everything with matching checksums; ``text`` replaces the manifest."""
        path.mkdir()
        listed: dict[str, Any] = {}
        for name, tensors in self.blobs.items():
            with (path / name).open("wb") as file:
                sources = {n: container_write.of_tensor(t, where=n) for n, t in tensors.items()}
                record = container_write.write(file, sources)
            if name in self.raw:
                (path / name).write_bytes(self.raw[name])
            data = (path / name).read_bytes()
            table = {n: [t.dtype, list(t.shape), t.sha256] for n, t in record.tensors.items()}
            listed[name] = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "tensors": self.tensors_of.get(name, table),
            }
        if isinstance(self.manifest, dict) and "files" in self.manifest:
            self.manifest["files"] = listed
        content = manifest_lines(self.manifest) if text is None else text
        (path / files.MANIFEST).write_text(content)
        sign(path)
        return path


def sign(path: Path) -> None:
    """Make ``SHA256SUMS`` right again."""
    sums = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in path.iterdir()
        if p.name != files.SUMS
    }
    (path / files.SUMS).write_text(sums_text(sums))


def state_codes(*codes: int) -> Tensor:
    """Return bytes."""
    return torch.tensor(codes, dtype=torch.uint8)

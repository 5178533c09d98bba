"""Write a safetensors file in a stream: large tensors, or views of them, are not copied whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import torch
from torch import Tensor

from cimc.program import container
from cimc.program.container import BlobRecord, Bytes, dtype_name
from cimc.program.tally import Tally

#: Columns of a transposed view copied at a time [-].
_STRIP: Final = 256


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor to be written: its type and shape, and its bytes a block at a time."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[Bytes]]


def of_tensor(tensor: Tensor, *, where: str) -> Source:
    """Return a tensor, contiguous or not, as something to write."""
    tensor = tensor.detach()
    return Source(
        dtype_name(tensor.dtype, where=where), tuple(tensor.shape), lambda: _blocks(tensor)
    )


def _blocks(tensor: Tensor) -> Iterator[Bytes]:
    """Yield the bytes of a tensor in C order, about ``container.CHUNK`` at a time."""
    size = tensor.numel() * tensor.itemsize
    if size <= container.CHUNK or tensor.dim() == 0:
        if size:
            yield _bytes(tensor)
        return
    step = container.CHUNK * len(tensor) // size
    if step == 0:
        for part in tensor:
            yield from _blocks(part)
        return
    for start in range(0, len(tensor), step):
        yield _bytes(tensor[start : start + step])


def _bytes(part: Tensor) -> Bytes:
    """Return the bytes of a small tensor in C order."""
    if part.dim() > 1 and part.stride(-1) != 1:
        # A transposed view: copying in strips keeps the pages in reach, 2 x faster.
        whole = torch.empty(part.shape, dtype=part.dtype)
        for start in range(0, part.shape[-1], _STRIP):
            strip = slice(start, start + _STRIP)
            whole[..., strip] = part[..., strip]
        part = whole
    return part.contiguous().reshape(-1).view(torch.uint8).numpy()


def write(file: BinaryIO, sources: Mapping[str, Source]) -> BlobRecord:
    """Write tensors to an open file; return what was written."""
    entries = container.layout({name: (s.dtype, s.shape) for name, s in sources.items()})
    head = container.encode_header(entries)
    file.write(head)
    tally = Tally(head)
    for name, entry in entries.items():
        tally.begin(entry)
        for data in sources[name].blocks():
            file.write(data.data)
            tally.add(data)
        tally.end(name, entry)
    return tally.record()

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program import container, container_read, container_write

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def written(tensors: dict[str, torch.Tensor]) -> tuple[bytes, container.BlobRecord]:
    file = io.BytesIO()
    record = container_write.write(
        file, {n: container_write.of_tensor(t, where=n) for n, t in tensors.items()}
    )
    return file.getvalue(), record


def sample(dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 2, (3, 5), generator=generator)
    return values.to(dtype)


def test_bytes_are_those_of_the_safetensors_library():
    tensors = {f"t/{i} é": sample(d, i) for i, d in enumerate(container.DTYPES.values())}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.empty(0, 3)
    data, _ = written(tensors)
    assert data == safetensors.torch.save(tensors)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES.filter(lambda s: s != "__metadata__"), unique=True, max_size=5))
def test_any_name_is_read_back_by_the_library(names):
    tensors = {name: torch.full((2,), float(i)) for i, name in enumerate(names)}
    data, _ = written(tensors)
    loaded = safetensors.torch.load(data)
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[n], tensors[n]) for n in names)


def test_names_that_are_no_text():
    with pytest.raises(ProgramError, match="not Unicode"):
        written({"\ud800": torch.zeros(1)})


@pytest.mark.parametrize("chunk", [64, 4 << 20])
def test_views_are_written_in_blocks_as_if_contiguous(monkeypatch, chunk):
    monkeypatch.setattr(container, "CHUNK", chunk)
    base = torch.arange(3 * 40 * 7, dtype=torch.float32).reshape(3, 40, 7)
    views = {"t": base.transpose(1, 2), "s": base[:, ::3], "w": base.permute(2, 0, 1)}
    sizes = [
        b.size for v in views.values() for b in container_write.of_tensor(v, where="").blocks()
    ]
    assert max(sizes) <= max(chunk, 4)
    data, record = written(views)
    loaded = safetensors.torch.load(data)
    assert all(torch.equal(loaded[n], v) for n, v in views.items())
    assert record.ranges["t"] == (0.0, float(base.max()))


def test_range_of_a_tensor_with_nan_is_nan(monkeypatch):
    monkeypatch.setattr(container, "CHUNK", 16)
    values = torch.zeros(4, 4)
    values[1, 2] = torch.nan
    _, record = written({"t": values})
    assert all(np.isnan(record.ranges["t"]))


def test_scan_finds_what_write_wrote_and_views_are_equal(tmp_path: Path, monkeypatch):
    tensors = {"a": torch.randn(50, 3), "b": torch.tensor([True, False]), "c": torch.tensor(3)}
    data, record = written(tensors)
    path = tmp_path / "x"
    path.write_bytes(data)
    monkeypatch.setattr(container, "CHUNK", 64)
    with path.open("rb") as file:
        entries, head = container_read.read_header(file, len(data), where="x")
        assert container_read.scan(file, entries, head) == record
        found = container_read.views(file, entries, head, where="x")
    assert all(torch.equal(found[n], t) for n, t in tensors.items())
    found["a"].fill_(0)
    assert path.read_bytes() == data  # copy on write


def refused(data: bytes) -> str:
    with pytest.raises(ProgramError) as caught:
        container_read.read_header(io.BytesIO(data), len(data), where="x")
    assert caught.value.code in ("CIMC-P09", "CIMC-P26")
    return caught.value.message


def header(text: str, body: bytes = b"") -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(8, "little") + raw + body


@pytest.mark.parametrize(
    ("text", "body", "message"),
    [
        ("", b"", "not readable"),
        ("[" * 100000, b"", "not readable"),
        ("[]      ", b"", "not a mapping"),
        ("1" * 8000, b"", "not readable"),
        ("{}", b"", "canonical"),  # not padded
        ("{}      ", b"x", "tensors take 0 bytes"),
        ('{"a":1} ', b"", "exactly dtype"),
        ('{"a":{"dtype":"F99","shape":[],"data_offsets":[0,4]}}', b"", "not supported"),
        ('{"a":{"dtype":[],"shape":[],"data_offsets":[0,4]}}', b"", "not supported"),
        ('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"", "0 or more"),
        ('{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', b"", "0 or more"),
        ('{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', b"", "0 or more"),
        ('{"a":{"dtype":"F32","shape":[1e99],"data_offsets":[0,4]}}', b"", "0 or more"),
        ('{"a":{"dtype":"F32","shape":[281474976710656],"data_offsets":[0,4]}}', b"", "0 or more"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}', b"", "overlap"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"", "overlap"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":"x"}}', b"", "overlap"),
        (
            '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            '"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
            "overlap",
        ),
        (
            '{"a":{"dtype":"U8","shape":[0,281474976710655,281474976710655],"data_offsets":[0,1]}}',
            b"",
            "overlap",
        ),
        (
            '{"a":{"dtype":"U8","shape":[281474976710655,281474976710655],"data_offsets":[0,1]}}',
            b"",
            "overlap",
        ),
        ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} ', b"", "canonical"),
        ('{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"", "not Unicode"),
        ('{"a":{"dtype":"U8","shape":' + str([1] * 40) + ',"data_offsets":[0,1]}}', b"", "sizes"),
        (
            '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
            '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
            b"",
            "canonical",
        ),
    ],
)
def test_headers_refused(text, body, message):
    assert message in refused(header(text, body))


def test_lengths_refused():
    assert "header of" in refused((1 << 63).to_bytes(8, "little") + b"{}")
    assert "header of" in refused(b"")
    assert "header of" in refused(b"1234567")


def test_types_that_cannot_be_stored():
    with pytest.raises(ProgramError, match="complex64"):
        container_write.of_tensor(torch.zeros(1, dtype=torch.complex64), where="x")

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cimc.errors import ModelError
from cimc.verification.npz import read_npz


def refused(path: Path, code: str, **options: int) -> str:
    with pytest.raises(ModelError) as caught:
        read_npz(path, **options)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return str(caught.value)


def entry(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path: Path, save: object) -> None:
    wanted = {
        "x/1:0": np.arange(6, dtype=np.float16).reshape(2, 3),
        "labels": np.array([1, 2], dtype=np.uint8),
        "text": np.array(["a", "bc"]),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.float32(3.0),
    }
    path = tmp_path / "x.npz"
    save(path, **wanted)  # type: ignore[operator]
    got = read_npz(path)
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == np.asarray(array).dtype


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.npz", "CIMC-M70")


def test_a_folder_is_not_a_data_file(tmp_path: Path) -> None:
    refused(tmp_path, "CIMC-M70")


def test_other_formats(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    refused(tmp_path / "x.npy", "CIMC-M70")
    refused(archive(tmp_path / "x.zip", {"readme.txt": b"hello"}), "CIMC-M70")
    refused(archive(tmp_path / "y.zip", {"x.npy": b"not numpy"}), "CIMC-M70")


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    assert "pickled" in refused(path, "CIMC-M75")


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    honest = entry(np.zeros(8, np.float64))
    lie = honest.replace(b"(8,), }  ", b"(8" + b"0" * 2 + b",), }")
    assert len(lie) == len(honest)
    assert "truncated" in refused(archive(tmp_path / "x.npz", {"x.npy": lie}), "CIMC-M70")


def test_a_zip_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)))
    assert path.stat().st_size < 20_000
    assert "GiB" in refused(path, "CIMC-M76", limit=1_000_000)


def test_the_limit_is_on_the_sum(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(100), b=np.zeros(100))
    assert set(read_npz(path, limit=1600)) == {"a", "b"}
    refused(path, "CIMC-M76", limit=1599)


def test_the_same_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("x.npy", entry(np.zeros(1)))
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("x.npy", entry(np.ones(1)))
    assert "twice" in refused(path, "CIMC-M70")


@pytest.mark.parametrize("damage", range(0, 700, 37))
def test_damaged_files_are_one_clear_error_or_read_the_same(tmp_path: Path, damage: int) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(32, dtype=np.float32))
    content = bytearray(path.read_bytes())
    content[damage % len(content)] ^= 0xFF
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        np.testing.assert_array_equal(next(iter(read_npz(path).values())), np.arange(32))


@pytest.mark.parametrize("keep", [0, 1, 30, 100, 200])
def test_truncated_files(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(32, dtype=np.float32))
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "CIMC-M70")

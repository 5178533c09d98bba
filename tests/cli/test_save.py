from pathlib import Path

import numpy as np
import pytest

from cimc.cli.save import save_bytes, save_npz


def test_the_same_arrays_give_the_same_bytes_and_numpy_reads_them(tmp_path: Path) -> None:
    arrays = {"y": np.arange(6.0).reshape(2, 3).T, "text": np.array(["a", "bc"], dtype=object)}
    save_npz(tmp_path / "a.npz", arrays)
    save_npz(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as got:
        np.testing.assert_array_equal(got["y"], arrays["y"])
        assert got["text"].tolist() == ["a", "bc"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "y.npz"
    save_bytes(path, b"old")

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_os_error_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save_bytes(tmp_path / "none" / "y.npz", b"")

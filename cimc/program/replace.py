"""Put a complete directory in the place of an old one, or leave the old one alone."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cimc.errors import ProgramError
from cimc.program import files

try:
    import fcntl
except ImportError:  # not a POSIX system: remains of other writers are left alone
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the name ``path`` when the block ends well.

    It is a sibling until then; an exception, an interrupt included, removes it.  What a killed
    process left behind is removed by the next call for the same path.

    Raises:
        ProgramError: ``CIMC-P25``, ``path`` is not a program, or cannot be written.
    """
    path = Path(os.path.abspath(path))
    try:
        check_replaceable(path)
        _recover(path)
        temporary = _sibling(path, "partial")
        temporary.mkdir()
        with _held(temporary):
            try:
                yield temporary
                _sync_directory(temporary)
                _swap(temporary, path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    except OSError as error:
        raise ProgramError(
            "CIMC-P25", f"cannot be written: {error.strerror or error}", where=str(path)
        ) from error


def check_replaceable(path: Path) -> None:
    """Refuse a place that a program must not take.

    Raises:
        ProgramError: ``CIMC-P25``, something else is there.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise ProgramError("CIMC-P25", "exists and is not a directory", where=str(path))
    names = {entry.name for entry in path.iterdir()}
    if names and (not names <= files.ALLOWED or files.MANIFEST not in names):
        raise ProgramError(
            "CIMC-P25",
            "exists and is not a device program: it is not replaced",
            where=str(path),
            hint="another name, or removing the directory",
        )


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{os.getpid()}-{os.urandom(4).hex()}")


def _recover(path: Path) -> None:
    """Remove what killed writers left; bring back a program they had moved away."""
    for rest in sorted(path.parent.glob(f".{_escaped(path.name)}.replaced-*")):
        if not os.path.lexists(path):
            rest.rename(path)
        else:
            shutil.rmtree(rest, ignore_errors=True)
    for rest in sorted(path.parent.glob(f".{_escaped(path.name)}.partial-*")):
        if fcntl is None:
            continue
        with contextlib.suppress(OSError), _held(rest):
            shutil.rmtree(rest, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a lock on a directory, so that nobody takes it for abandoned.

    Raises:
        OSError: Somebody else holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _swap(temporary: Path, path: Path) -> None:
    """Give ``temporary`` the name ``path``; the old directory goes only afterwards."""
    old = None
    if path.exists():
        old = _sibling(path, "replaced")
        path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        if old is not None:
            old.rename(path)
        raise
    _sync_directory(path.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The output directory of a fleet: programs, results, and what only lives while it runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cimc.errors import UsageError
from cimc.fleets import store
from cimc.program import files
from cimc.program.replace import check_replaceable

try:
    import fcntl
except ImportError:  # not a POSIX system: nobody is kept from running two fleets in one place
    fcntl = None  # type: ignore[assignment]

#: Folder of everything that is not a result.
_INNER: Final = ".fleet"
PICTURE: Final = "yield.svg"


class Directory:
    """Where a fleet writes.

    Workers write programs into a staging folder of this run; only this process gives them their
    names, one after the other.  A worker that outlives the run it belongs to cannot touch a
    result.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the directory; :meth:`held` makes it."""
        self.path = Path(os.path.abspath(path))
        self._inner = self.path / _INNER
        self.staging = self._inner / f"staging-{os.getpid()}-{os.urandom(4).hex()}"

    @property
    def results(self) -> Path:
        """The file of results."""
        return self.path / store.NAME

    @property
    def samples(self) -> Path:
        """Folder of what programs are measured with."""
        return self._inner / "samples"

    @property
    def program(self) -> Path:
        """The program without faults, when it came from memory."""
        return self._inner / "program.cim"

    @property
    def log(self) -> Path:
        """What workers print."""
        return self._inner / "workers.log"

    @property
    def picture(self) -> Path:
        """The picture of the yield."""
        return self.path / PICTURE

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the directory and keep other fleets out of it; remove what killed ones left.

        Raises:
            UsageError: CIMC-U07 it cannot be written, CIMC-U78 another fleet works here.
        """
        try:
            self._inner.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._inner / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(
                "CIMC-U07",
                f"cannot read or write: {error.strerror or error}",
                where=str(error.filename or self.path),
                hint="another -o",
            ) from error
        try:
            self._lock(lock)
            try:  # not before: what lies here may be another's, who is still at work
                self._clean()
                self.log.write_bytes(b"")
                self.staging.mkdir()
                yield
            finally:
                self._clean()
        finally:
            os.close(lock)

    def _lock(self, descriptor: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                "CIMC-U78",
                "another 'cimc fleet' works here",
                where=str(self.path),
                hint="waiting for it, or another -o",
            ) from error

    def _clean(self) -> None:
        for rest in self._inner.glob("staging-*"):
            shutil.rmtree(rest, ignore_errors=True)

    def place(self, name: str) -> None:
        """Give a finished program its name; one that is there already goes.

        Raises:
            ProgramError: CIMC-P25, something that is not a program has the name.
            OSError: It cannot be done.
        """
        self.remove(name)
        (self.staging / name).rename(self.path / name)

    def discard(self, name: str) -> None:
        """Remove what a worker wrote."""
        shutil.rmtree(self.staging / name, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Remove a program that is to be made again, or is not kept, if there is one.

        Raises:
            ProgramError: CIMC-P25, something that is not a program has the name.
            OSError: It cannot be done.
        """
        path = self.path / name
        check_replaceable(path)
        if path.exists():
            # Out of sight at once: half a program would be taken for something else.
            away = self.staging / f"{name}.removed"
            path.rename(away)
            shutil.rmtree(away, ignore_errors=True)

    def digest(self, name: str) -> str | None:
        """Return the digest of a program in place; None: there is none, or it is not whole."""
        path = self.path / name
        with contextlib.suppress(OSError):
            if {entry.name for entry in os.scandir(path)} >= files.REQUIRED:
                return hashlib.sha256((path / files.SUMS).read_bytes()).hexdigest()
        return None

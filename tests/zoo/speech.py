"""silero-vad (MIT, 310 k weights): is there speech in this frame of 32 ms?

The sound is made by espeak-ng where it is installed: sentences in turn with noise.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave

import numpy as np
import numpy.typing as npt

from tests.zoo import cache
from tests.zoo.fetch import place
from tests.zoo.task import Array, Run, Task, percent

RATE, FRAME, CONTEXT, STATE = 16_000, 512, 64, 128
TEXT = (
    "The quick brown fox jumps over the lazy dog and runs away into the forest.",
    "Analog crossbars multiply a vector by a matrix in a single step.",
    "Every memory cell holds one weight as its electrical conductance.",
    "Please check the temperature of the chip before you start the measurement.",
)


def spoken(text: str) -> npt.NDArray[np.float32]:
    """Return a sentence at 16 kHz, ``(samples,)`` in [-1, 1].

    Raises:
        MissingError: espeak-ng is not installed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise cache.MissingError("espeak-ng is not there; run: apt-get install espeak-ng")
    sound = subprocess.run([program, "--stdout", text], capture_output=True, check=True).stdout
    # Into a pipe the header is written before the lengths are known: the sound is all the rest.
    start = sound.index(b"data") + 8
    with wave.open(io.BytesIO(sound)) as file:
        rate = file.getframerate()
    samples = np.frombuffer(sound[start : len(sound) // 2 * 2], "<i2") / 32768
    time = np.arange(0, len(samples) - 1, rate / RATE)
    return np.interp(time, np.arange(len(samples)), samples).astype(np.float32)


def make() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return frames ``(n, 576)``, each with the end of the one before, and where speech is.

    A frame counts as speech when it lies in a sentence and is louder than 5 % of the sentence's
    level: the pauses between words are noise.
    """
    generator = np.random.default_rng(0)
    parts, speech = [], []
    for text in TEXT:
        voice = spoken(text)
        voice = voice[: len(voice) // FRAME * FRAME]
        level = np.sqrt((voice.reshape(-1, FRAME) ** 2).mean(1))
        parts += [voice, np.zeros(FRAME * 60, np.float32)]
        speech += [level > 0.05 * level.max(), np.zeros(60, bool)]
    sound = np.concatenate(parts)
    sound += 0.003 * generator.standard_normal(len(sound)).astype(np.float32)
    before = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    frames = np.stack([before[k : k + CONTEXT + FRAME] for k in range(0, len(sound), FRAME)])
    return frames, np.concatenate(speech)


def sound() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return :func:`make`, kept in the cache so that every run hears the same."""
    path = cache.DATA / "speech.npz"
    if not path.is_file():
        frames, speech = make()
        buffer = io.BytesIO()
        np.savez(buffer, frames=frames, speech=speech)
        place(buffer.getvalue(), path)
    with np.load(path, allow_pickle=False) as file:
        return file["frames"], file["speech"]


def inputs(frames: Array) -> dict[str, Array]:
    """Return the network's inputs: a sequence of frames and the state before it, zero."""
    state = np.zeros((1, 1, STATE), np.float32)
    return {"input": frames, "h": state, "c": state}


def score(run: Run) -> float:
    """Share of frames told right [%]; the frame next to a change may be either."""
    frames, speech = sound()
    said = run(inputs(frames))["speech_probs"] > 0.5
    steady = np.ones(len(speech), bool)
    for shift in range(1, 4):
        steady[shift:] &= speech[shift:] == speech[:-shift]
        steady[:-shift] &= speech[shift:] == speech[:-shift]
    return percent((said == speech)[steady])


SPEECH = Task(
    "silero-vad",
    "frames right, speech or noise",
    lambda: cache.model("silero-vad.onnx"),
    lambda: inputs(sound()[0][20:84]),
    lambda: inputs(sound()[0][:256]),
    score,
    expected=90.0,
)

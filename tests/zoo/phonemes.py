"""g2p-en (Apache-2.0, 835 k weights): spelling to phonemes with a GRU encoder and decoder.

Encoder and twenty greedy decoder steps form one network, so that the decoder's weights are read by
twenty nodes each.  A word is right when it equals one of cmudict's pronunciations, stress aside.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tests.zoo import cache
from tests.zoo.exported import export
from tests.zoo.task import Array, Run, Task, percent

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
VOWELS = ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
#: In the order of the decoder's outputs.
_VOWELS = {v: tuple(f"{v}{stress}" for stress in range(3)) for v in VOWELS}
PHONEMES = (
    *("<pad>", "<unk>", "<s>", "</s>"),
    *(v for name in ("AA", "AE", "AH", "AO", "AW", "AY") for v in _VOWELS[name]),
    *("B", "CH", "D", "DH", *_VOWELS["EH"], *_VOWELS["ER"], *_VOWELS["EY"], "F", "G", "HH"),
    *(*_VOWELS["IH"], *_VOWELS["IY"], "JH", "K", "L", "M", "N", "NG", *_VOWELS["OW"]),
    *(*_VOWELS["OY"], "P", "R", "S", "SH", "T", "TH", *_VOWELS["UH"], "UW", *_VOWELS["UW"]),
    *("V", "W", "Y", "Z", "ZH"),
)
START, STOP = 2, 3
STEPS, LENGTH, HIDDEN = 20, 16, 256
WORDS = 1_000


class G2p(nn.Module):
    """Spelling ``(n, LENGTH)`` and the place of its end ``(n,)`` to logits ``(n, STEPS, 74)``."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), HIDDEN)
        self.encoder = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.phonemes = nn.Embedding(len(PHONEMES), HIDDEN)
        self.decoder = nn.GRUCell(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, len(PHONEMES))

    def forward(self, word: Tensor, end: Tensor) -> Tensor:
        states, _ = self.encoder(self.letters(word))
        state = states.gather(1, end[:, None, None].expand(-1, 1, HIDDEN))[:, 0]
        said = torch.full_like(end, START)
        logits = []
        for _ in range(STEPS):
            state = self.decoder(self.phonemes(said), state)
            logits.append(self.output(state))
            said = logits[-1].argmax(1)
        return torch.stack(logits, 1)


#: Name in the published file to name in the module.
NAMES = {
    "enc_emb": "letters.weight",
    "enc_w_ih": "encoder.weight_ih_l0",
    "enc_w_hh": "encoder.weight_hh_l0",
    "enc_b_ih": "encoder.bias_ih_l0",
    "enc_b_hh": "encoder.bias_hh_l0",
    "dec_emb": "phonemes.weight",
    "dec_w_ih": "decoder.weight_ih",
    "dec_w_hh": "decoder.weight_hh",
    "dec_b_ih": "decoder.bias_ih",
    "dec_b_hh": "decoder.bias_hh",
    "fc_w": "output.weight",
    "fc_b": "output.bias",
}


def network() -> nn.Module:
    """Return the network with its published weights."""
    module = G2p()
    with np.load(cache.model("g2p.npz"), allow_pickle=False) as file:
        state = {NAMES[name]: torch.from_numpy(file[name]) for name in file.files}
    module.load_state_dict(state)
    return module.eval()


def model() -> Path:
    """Return the ONNX file."""
    example = tuple(map(torch.from_numpy, spell(["tree", "house"])))
    return export(network(), cache.MODELS / "g2p.onnx", example, ["word", "end"], ["logits"])


def spell(words: list[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return letter codes ``(n, LENGTH)``, each word ended by ``</s>``, and its place."""
    codes = np.zeros((len(words), LENGTH), np.int64)
    for row, word in zip(codes, words, strict=True):
        row[: len(word) + 1] = [LETTERS.index(letter) for letter in word] + [2]
    return codes, np.array([len(word) for word in words], np.int64)


@functools.cache
def dictionary() -> dict[str, set[tuple[str, ...]]]:
    """Return every plain word of cmudict with its pronunciations, stress marks removed."""
    entries: dict[str, set[tuple[str, ...]]] = {}
    for line in cache.data("cmudict.dict").read_text(encoding="utf-8").splitlines():
        word, *said = line.split("#")[0].split()
        word = word.split("(")[0]
        if word.isascii() and word.isalpha() and 3 <= len(word) < LENGTH:
            entries.setdefault(word, set()).add(tuple(p.rstrip("012") for p in said))
    return entries


def words(count: int, seed: int) -> list[str]:
    """Return a seeded sample of the dictionary."""
    known = sorted(dictionary())
    return [known[k] for k in np.random.default_rng(seed).choice(len(known), count, replace=False)]


def say(logits: Array) -> list[tuple[str, ...]]:
    """Return the phonemes before the stop sign, stress marks removed."""
    answers = []
    for row in logits.argmax(2).tolist():
        row = row[: row.index(STOP)] if STOP in row else row
        answers.append(tuple(PHONEMES[k].rstrip("012") for k in row))
    return answers


def inputs(chosen: list[str]) -> dict[str, Array]:
    """Return the network's inputs for these words."""
    word, end = spell(chosen)
    return {"word": word, "end": end}


def score(run: Run) -> float:
    """Share of words said right [%]."""
    chosen = words(WORDS, seed=0)
    said = say(run(inputs(chosen))["logits"])
    known = dictionary()
    return percent(np.array([p in known[word] for word, p in zip(chosen, said, strict=True)]))


PHONES = Task(
    "g2p",
    f"words right, {WORDS}",
    model,
    lambda: inputs(words(8, seed=1)),
    lambda: inputs(words(256, seed=2)),
    score,
    expected=70.0,
)

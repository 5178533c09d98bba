"""Evaluations against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cimc.training.batches import Samples
from cimc.training.evaluate import evaluate, yardstick
from cimc.training.make_loss import Probe, make_objective
from cimc.training.teacher import Answers
from tests.training import toy

CHIPS = (11, 12, 13)


@pytest.mark.parametrize("labelled", [True, False])
def test_figures_are_those_by_hand(labelled: bool) -> None:
    data, network = toy.data(300, labels=labelled), toy.Toy(noise=0.3)
    samples = Samples(data, toy.INPUTS, batched=True)
    said = toy.teacher(data.inputs)["y"]
    objective = make_objective(
        toy.recipe(), toy.OUTPUTS, Probe({"y": said}, {}, data.labels, True), labels=data.labels
    )
    stick = yardstick(objective, labelled=labelled, taught=True, rank=2)
    assert stick.figure == ("top1" if labelled else "agreement")
    held = list(range(0, 300, 2))
    answers = Answers(toy.teacher, samples, ("y",))
    found = evaluate(network, samples, held, CHIPS, objective, answers, stick)
    values, losses = [], []
    wanted = torch.from_numpy(said.argmax(1) if data.labels is None else data.labels)[held]
    for chip in CHIPS:
        with torch.no_grad():
            y = network([torch.from_numpy(data.inputs["x"][held])], chip).outputs[0]
        values.append(float((y.argmax(1) == wanted).float().mean()))
        if labelled:
            losses.append(float(functional.cross_entropy(y, wanted)))
        else:
            error = (y - torch.from_numpy(said[held])).square().mean()
            losses.append(float(error) / float(np.square(said).mean()))
    assert found.values == pytest.approx(values)
    assert found.losses == pytest.approx(losses, rel=1e-5)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert len(set(found.losses)) == 3


def test_ignored_labels_are_neither_right_nor_wrong() -> None:
    data = toy.data(40)
    assert data.labels is not None
    data.labels[::2] = -100
    samples = Samples(data, toy.INPUTS, batched=True)
    said = toy.teacher(data.inputs)["y"]
    objective = make_objective(
        toy.recipe(), toy.OUTPUTS, Probe({"y": said}, {}, data.labels, True), labels=data.labels
    )
    stick = yardstick(objective, labelled=True, taught=False, rank=2)
    answers = Answers(toy.teacher, samples, ())
    found = evaluate(toy.Toy(), samples, range(40), [None], objective, answers, stick)
    right = said.argmax(1)[1::2] == data.labels[1::2]
    assert found.values == (float(np.mean(right)),)
    assert found.std == 0.0


def test_without_labels_and_teacher_the_loss_is_the_figure() -> None:
    objective = make_objective(
        toy.recipe(),
        toy.OUTPUTS,
        Probe({"y": np.zeros((4, 4), np.float32)}, {}, None, True),
        own=lambda outputs, labels: outputs["y"].square().mean(),
    )
    stick = yardstick(objective, labelled=False, taught=False, rank=2)
    samples = Samples(toy.data(40, labels=False), toy.INPUTS, batched=True)
    answers = Answers(toy.teacher, samples, ())
    found = evaluate(toy.Toy(), samples, range(40), [5], objective, answers, stick)
    assert found.figure == "loss"
    assert found.values == found.losses
    assert found.values[0] > 0.0

"""A loss that does not fit is named before a step, and a first loss that is NaN for what it is."""

import inspect
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import labkit as lk
from labkit.training.losses import OF_CLASSES

BATCHES = [(torch.rand(4, 3, 8, 8), torch.arange(4))] * 3
NAN = float("nan")


def network(*last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), *last)


def fit(model=None, batches=BATCHES, **options):
    return lk.fit(model or network(), batches, epochs=1, progress=False, **options)


def losses_of_torch():
    kinds = [getattr(nn, name) for name in dir(nn) if name.endswith("Loss")]
    kinds = [kind for kind in kinds if not issubclass(kind, OF_CLASSES)]
    return [kind for kind in kinds if "in_features" not in inspect.signature(kind).parameters]


@pytest.mark.parametrize("kind", losses_of_torch(), ids=lambda kind: kind.__name__)
def test_no_loss_of_torch_that_compares_numbers_is_let_through(kind):
    assert len(losses_of_torch()) > 15
    with pytest.raises(ValueError, match=f"{kind.__name__} compares numbers"):
        fit(criterion=kind())


class Focal(nn.CrossEntropyLoss):
    """A loss of one's own that takes the mean itself."""

    def __init__(self, mean=True):
        super().__init__(reduction="none")
        self.mean = mean

    def forward(self, logits, labels):
        losses = super().forward(logits, labels)
        return losses.mean() if self.mean else losses


class OfProbabilities(nn.MSELoss):
    """A loss of one's own that makes numbers of the classes."""

    def forward(self, logits, labels):
        return super().forward(logits.softmax(1), nn.functional.one_hot(labels, 8).float())


@pytest.mark.parametrize("criterion", [Focal(), OfProbabilities(), nn.MultiMarginLoss()])
def test_a_loss_of_ones_own_may_be_made_of_one_of_torchs(criterion):
    assert fit(criterion=criterion)[0]["train_loss"] > 0


def test_one_that_takes_no_mean_is_still_refused():
    with pytest.raises(ValueError, match=r"a loss of shape \(4,\)"):
        fit(criterion=Focal(mean=False))


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(5), "class weights of shape (5,), and the model gives 8 logits an image"),
        (torch.arange(8), "class weights of criterion are int64: give weight.float()"),
        (torch.tensor([1, NAN] * 4), "must be finite, at least 0"),
        (1 / torch.tensor([1.0, 0.0] * 4), "Has a class no image"),
        (torch.tensor([1.0, -1.0] * 4), "at least 0, and not all 0"),
        (torch.zeros(8), "not all 0"),
    ],
    ids=["too few", "whole", "nan", "inf", "negative", "zeros"],
)
def test_class_weights_that_are_none_are_named(kind, weight, message):
    model = network(nn.LogSoftmax(1))
    before = model[1].weight.clone()
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(model, criterion=kind(weight=weight))
    assert torch.equal(model[1].weight, before)


def test_class_weights_that_fit_are_let_through():
    weight = torch.as_tensor(np.linspace(0, 1, 8))
    assert len(fit(criterion=nn.CrossEntropyLoss(weight=weight))) == 1


class Broken(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels) * NAN


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"batches": [(torch.full((4, 3, 8, 8), NAN), torch.arange(4))]}, "The images hold"),
        ({"batches": [(torch.full((4, 3, 8, 8), 3e38), torch.arange(4))]}, "logits are NaN"),
        ({"criterion": Broken()}, "The logits are finite, so look at the criterion"),
        ({"criterion": nn.CrossEntropyLoss(ignore_index=0), "batches": "zeros"}, "the criterion"),
    ],
    ids=["images", "too large", "criterion", "all ignored"],
)
def test_a_first_loss_that_is_nan_is_no_fault_of_the_learning_rate(options, why):
    if options.get("batches") == "zeros":
        options["batches"] = [(torch.rand(4, 3, 8, 8), torch.zeros(4).long())]
    model = network()
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1, before a step") as error:
        fit(model, precision="fp32", **options)
    assert why in str(error.value) and "learning rate" not in str(error.value)
    assert model[2].running_mean.equal(torch.zeros(8))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("last", [nn.Sigmoid, nn.ReLU, nn.Tanh])
def test_a_last_step_that_limits_the_logits_is_said_once(recwarn, precision, last):
    warnings.simplefilter("always")
    fit(network(last()), precision=precision)
    (said,) = [str(w.message) for w in recwarn.list if "leave it out" in str(w.message)]
    assert f"ends with a {last.__name__}" in said
    fit(network(last(), nn.Linear(8, 8)), precision=precision)
    assert len(recwarn) == 1


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([0.05, 1, 20])),
        nn.CrossEntropyLoss(weight=torch.tensor([0.05, 1, 20]), label_smoothing=0.1),
        nn.CrossEntropyLoss(ignore_index=2),
        nn.CrossEntropyLoss(label_smoothing=0.1),
    ],
    ids=["weights", "weights, smoothed", "one left out", "smoothed"],
)
def test_the_loss_of_a_pass_does_not_depend_on_its_batches(criterion):
    images, labels = torch.rand(60, 3, 8, 8), torch.arange(60) % 7 % 3
    by_class = labels.argsort()
    model, found = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), []
    for order, size in ((by_class, 13), (by_class.flip(0), 25), (torch.arange(60), 60)):
        val = [(images[rows], labels[rows]) for rows in order.split(size)]
        val = [(x, y) for x, y in val if (y != criterion.ignore_index).any()]
        still = torch.optim.SGD(model.parameters(), lr=1e-30)
        options = {"optimizer": still, "criterion": criterion, "precision": "fp32"}
        history = lk.fit(model, val, val, epochs=1, progress=False, **options)
        found += [history[0]["train_loss"], history[0]["val_loss"]]
    with torch.no_grad():
        expected = criterion(model(images), labels).item()
    np.testing.assert_allclose(found, expected, rtol=1e-5)

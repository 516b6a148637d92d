import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from torch import nn

import labkit as lk
from labkit.training.engine import Engine, NotFiniteLossError, PassResult
from labkit.training.history import History
from labkit.training.run import Run

CPU = torch.device("cpu")


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def batches(sizes=(4, 4, 2), label_shape=(-1,)):
    generator = torch.Generator().manual_seed(1)
    for size in sizes:
        images = torch.randn(size, 3, 2, 2, generator=generator)
        yield images, (torch.arange(size) % 3).reshape(label_shape)


def one_pass(model, loader, criterion=None):
    """What `fit` makes of a validation loader."""
    engine, criterion = Engine(model, CPU, "fp32"), criterion or nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD([torch.zeros(1)])
    run = Run(engine, loader, loader, optimizer, criterion, None, None, None, History())
    return run.validation_pass().result()


@given(hnp.arrays(int, st.tuples(st.integers(1, 60), st.just(2)), elements=st.integers(0, 4)))
def test_matrix_metrics_are_those_of_scikit_learn(pairs):
    truth, predicted = pairs.T
    matrix = sk.confusion_matrix(truth, predicted, labels=range(5))
    result = PassResult(0.0, matrix, []).metrics()
    assert result["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted))
    options = {"labels": range(5), "average": "macro", "zero_division": 0}
    for name in ("precision", "recall", "f1"):
        expected = getattr(sk, f"{name}_score")(truth, predicted, **options)
        assert result[name] == pytest.approx(expected)


def test_the_loss_is_the_mean_over_images_not_over_batches():
    model = linear()
    result = one_pass(model, batches())
    images, labels = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    with torch.no_grad():
        expected = nn.functional.cross_entropy(model(images), labels).item()
    assert result.loss == pytest.approx(expected, abs=1e-6)
    assert abs(np.mean(result.batch_losses) - expected) > 1e-4
    predicted = model(images).argmax(1)
    assert (result.matrix == sk.confusion_matrix(labels, predicted, labels=range(3))).all()


def test_labels_may_be_a_column():
    plain, column = one_pass(linear(), batches()), one_pass(linear(), batches(label_shape=(-1, 1)))
    assert plain.batch_losses == column.batch_losses
    assert (plain.matrix == column.matrix).all()


def test_validation_neither_learns_nor_drops():
    model = nn.Sequential(nn.Dropout(0.9), linear())
    before = [p.clone() for p in model.parameters()]
    assert one_pass(model, batches()).loss == one_pass(model, batches()).loss
    assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_an_infinite_loss_names_its_batch():
    images = [torch.zeros(2, 3, 2, 2), torch.full((2, 3, 2, 2), torch.nan)]
    with pytest.raises(NotFiniteLossError, match="batch 2 of 2"):
        one_pass(linear(), [(part, torch.tensor([0, 1])) for part in images])


def test_an_empty_loader_is_named():
    with pytest.raises(ValueError, match="the split is empty"):
        one_pass(linear(), [])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Conv2d(3, 3, 1), r"output of shape \(4, 3, 2, 2\) for 4 images"),
        (nn.Flatten(0), r"output of shape \(48,\) for 4 images"),
    ],
)
def test_an_output_that_is_no_logits_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        one_pass(model, batches())


def test_a_wrong_number_of_logits_is_named(tiny):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(ValueError, match=r"3 logits an image, but the data have 8 classes.*8 outp"):
        one_pass(model, tiny.loaders()[0])


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("batch", [0, 1])
def test_labels_outside_the_classes_are_named_in_any_batch(label, batch):
    loader = [(images, labels.clone()) for images, labels in batches((2, 2))]
    loader[batch][1][0] = label
    with pytest.raises(ValueError, match="there are 3 classes, so they must lie in 0 … 2"):
        one_pass(linear(), loader)


def test_convolutional_models_run_channels_last():
    engine = Engine(nn.Sequential(nn.Conv2d(3, 3, 1)), CPU, "fp32")
    images, _ = next(engine.batches(batches()))
    assert images.is_contiguous(memory_format=torch.channels_last)
    images, _ = next(Engine(linear(), CPU, "fp32").batches(batches()))
    assert images.is_contiguous()


class Views(nn.Module):
    """As in most tutorials: `view` in place of `flatten`, behind layers that draw and count."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
        self.head = nn.Linear(4 * 36, 4)

    def forward(self, x):
        x = self.body(x)
        return self.head(x.view(x.size(0), -1))


@pytest.mark.parametrize("validates", [True, False])
def test_a_forward_with_view_trains_as_in_a_loop_of_ones_own(validates):
    batches = [(torch.rand(6, 3, 8, 8), torch.arange(6) % 4)] * 3
    torch.manual_seed(0)
    model, val = Views(), batches if validates else None
    lk.fit(model, batches, val, epochs=2, precision="fp32", device="cpu", progress=False)
    torch.manual_seed(0)
    other = Views()
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3)
    for images, labels in batches * 2:
        optimizer.zero_grad()
        nn.functional.cross_entropy(other(images), labels).backward()
        optimizer.step()
    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
    for one, same in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, same)
    lk.evaluate(model, batches)
    assert model.body[0].weight.is_contiguous()
    torch.nn.utils.parameters_to_vector(model.parameters())
    model(batches[0][0])


def test_a_network_with_a_parameter_of_five_axes_trains():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 1, 1, 1, 1))
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

        def forward(self, x):
            return self.head((self.conv(x) * self.scale[0]).mean((2, 3)))

    assert len(lk.fit(Deep(), [(torch.rand(4, 3, 8, 8), torch.arange(4))], progress=False)) == 10


def test_what_a_network_keeps_while_it_is_evaluated_can_be_trained_on():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.kept = nn.Linear(192, 4), None

        def forward(self, x):
            self.kept = torch.ones(192) * 2 if self.kept is None else self.kept
            return self.layer(x.flatten(1) * self.kept)

    batches, model = [(torch.rand(4, 3, 8, 8), torch.arange(4))], Keeps()
    lk.evaluate(model, batches)
    assert len(lk.fit(model, batches, epochs=1, progress=False)) == 1

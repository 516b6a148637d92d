"""The usual slips of a student get a hint before the first epoch, and change nothing."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labkit as lk
from labkit.training.fit import evaluate, fit

IMAGES, LABELS = torch.rand(49, 3, 4, 4), torch.arange(49) % 8


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), *layers)


def loader(images=IMAGES, labels=LABELS, batch_size=16):
    return DataLoader(TensorDataset(images[:48], labels[:48]), batch_size)


SLIPS = {
    "uint8": (loader((IMAGES * 255).byte()), ValueError, "images are uint8"),
    "float64": (loader(IMAGES.double()), ValueError, "images are float64"),
    "one-hot": (loader(labels=nn.functional.one_hot(LABELS, 8)), ValueError, "argmax(1)"),
    "float labels": (loader(labels=LABELS.float()), ValueError, "labels.long()"),
    "labels from 1": (loader(labels=LABELS + 1), ValueError, "labels from 1 to 8"),
    "two labels": (loader(labels=LABELS[:, None].expand(-1, 2)), ValueError, "shape (16, 2)"),
    "numpy batch": ([(IMAGES.numpy(), LABELS.numpy())], TypeError, "torch.as_tensor(images)"),
    "numpy arrays": ((IMAGES.numpy(), LABELS.numpy()), TypeError, "train is arrays"),
    "tensors": ([IMAGES, LABELS], TypeError, "train is arrays"),
    "a tensor": (IMAGES, TypeError, "train is arrays"),
    "images only": (DataLoader(IMAGES, 16), TypeError, "give (images, labels)"),
    "three parts": ([(IMAGES, LABELS, LABELS)], TypeError, "A batch has 3 parts"),
    "dataset": (TensorDataset(IMAGES, LABELS), TypeError, "one image at a time"),
    "name": ("bloodmnist", TypeError, "load_dataset"),
    "number": (64, TypeError, "of type int"),
}


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_slip_in_the_data_is_named_and_the_network_unchanged(slip, precision):
    data, kind, hint = SLIPS[slip]
    model = network()
    before = model[1].weight.clone()
    with pytest.raises(kind, match=re.escape(hint)):
        fit(model, data, epochs=1, precision=precision)
    assert torch.equal(model[1].weight, before)


def test_a_split_or_a_whole_data_set_instead_of_a_loader(tiny):
    for given in (tiny, tiny.train):
        with pytest.raises(TypeError, match=r"BatchLoader\(data.train, 64\)"):
            fit(network(), given)
        with pytest.raises(TypeError, match="loader is a"):
            evaluate(network(), given)
    with pytest.raises(TypeError, match="val is a split"):
        fit(network(), loader(), tiny.val)


@pytest.mark.parametrize("make", [lambda data: DataLoader(data, 16), lambda data: data])
def test_a_last_batch_of_one_image_is_named_with_batch_norm_only(make):
    batches = [(IMAGES[:48], LABELS[:48]), (IMAGES[48:], LABELS[48:])]
    data = make(TensorDataset(IMAGES, LABELS)) if make(batches) is not batches else batches
    with pytest.raises(ValueError, match="a single image"):
        fit(network(nn.BatchNorm1d(8)), data, epochs=1)
    assert len(fit(network(), data, epochs=1)) == 1
    dropped = DataLoader(TensorDataset(IMAGES, LABELS), 16, drop_last=True)
    assert len(fit(network(nn.BatchNorm1d(8)), dropped, epochs=1)) == 1


def test_a_part_of_a_split_counts_its_own_images(tiny):
    part = lk.BatchLoader(tiny.train, 16, indices=torch.arange(17))
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8))
    with pytest.raises(ValueError, match="With 17 images in batches of 16"):
        fit(model, part, epochs=1)


@pytest.mark.parametrize(
    ("callbacks", "hint"),
    [
        ([print], "would never be called"),
        ([lk.LivePlot], "call it"),
        (print, "give a list"),
        (lk.LivePlot(), "give a list"),
    ],
)
def test_a_callback_that_would_never_be_called_is_refused(callbacks, hint):
    with pytest.raises(TypeError, match=hint):
        fit(network(), loader(), callbacks=callbacks)


@pytest.mark.parametrize("epochs", [0, -1, 2.5, "3", None])
def test_epochs_are_a_whole_number(epochs):
    with pytest.raises((ValueError, TypeError), match="epochs is"):
        fit(network(), loader(), epochs=epochs)


def test_another_error_of_the_network_keeps_its_kind_and_says_the_shape():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        fit(network(), loader(torch.rand(49, 1, 4, 4)), epochs=1)
    assert "(16, 1, 4, 4)" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_evaluate_refuses_logits_that_predict_nothing(value):
    model = network()
    with torch.no_grad():
        model[1].bias.fill_(value)
    with pytest.raises(ValueError, match="48 of 48 images are NaN or infinite"):
        evaluate(model, loader())
    images = IMAGES.clone()
    images[5] = np.nan
    with pytest.raises(ValueError, match="1 of 48 images"):
        evaluate(network(), loader(images))

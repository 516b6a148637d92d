"""The usual slips of a student get a hint before the first epoch, and change nothing."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

import labkit as lk
from labkit.data.origin import Origin
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
    assert torch.equal(model[1].weight.cpu(), before)


def test_a_split_or_a_whole_data_set_instead_of_a_loader(tiny):
    for given in (tiny, tiny.train):
        with pytest.raises(TypeError, match=r"data\.train\.loader\(64\)"):
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
    for layers in ((), (nn.BatchNorm1d(8).requires_grad_(False).eval(),)):
        assert len(fit(network(*layers), data, epochs=1)) == 1
    dropped = DataLoader(TensorDataset(IMAGES, LABELS), 16, drop_last=True)
    assert len(fit(network(nn.BatchNorm1d(8)), dropped, epochs=1)) == 1


def sampled(count, size=16, **options):
    data = TensorDataset(IMAGES, LABELS)
    return DataLoader(data, size, sampler=SubsetRandomSampler(range(count)), **options)


def planned(sampler):
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_sampler=sampler)


@pytest.mark.parametrize(
    "right",
    [
        sampled(32),  # of 49 images
        sampled(33, drop_last=True),
        planned(BatchSampler(range(32), 16, drop_last=False)),
        planned([list(range(16)), [17, 18]]),
    ],
)
def test_the_images_that_a_sampler_draws_are_counted_and_no_others(right):
    model = network(nn.BatchNorm1d(8))
    assert len(fit(model, right, epochs=1)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        sampled(33),
        sampled(3, 1),
        planned(BatchSampler(range(33), 16, drop_last=False)),
        planned([list(range(16)), [17]]),
    ],
)
def test_a_sampler_that_leaves_a_single_image_is_named_before_a_step(wrong):
    model = network(nn.BatchNorm1d(8))
    before = model[1].weight.clone()
    with pytest.raises(ValueError, match="has a single image"):
        fit(model, wrong, epochs=1)
    assert torch.equal(model[1].weight.cpu(), before)


SLIPS_IN_VAL = {
    **{name: SLIPS[name] for name in ("uint8", "float64", "one-hot", "float labels", "two labels")},
    **{name: SLIPS[name] for name in ("numpy batch", "images only", "three parts")},
    "labels from 1": (loader(labels=LABELS + 1), ValueError, "labels from 1 to 8"),
    "colours last": (loader(IMAGES.permute(0, 2, 3, 1)[..., :2, :]), ValueError, "permute"),
    "a dict": ([{"image": IMAGES, "label": LABELS}], TypeError, "give (images, labels)"),
    "empty": ([], ValueError, "the split is empty"),
}


@pytest.mark.parametrize("slip", SLIPS_IN_VAL)
def test_a_slip_in_the_validation_data_is_named_before_a_step(slip):
    data, kind, hint = SLIPS_IN_VAL[slip]
    model = network()
    before = model[1].weight.clone()
    with pytest.raises(kind, match=re.escape(hint)) as caught:
        fit(model, loader(), data, epochs=1, precision="fp32")
    assert torch.equal(model[1].weight.cpu(), before) and model.training
    assert "This is about the validation data, val." in caught.value.__notes__


def test_the_look_at_the_validation_data_changes_no_number(monkeypatch):
    def train():
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(1)
        data = TensorDataset(IMAGES, LABELS)
        order = RandomSampler(data, generator=generator)
        val = DataLoader(data, 16, sampler=order)
        model = network(nn.BatchNorm1d(8), nn.Dropout(0.5))
        batches = DataLoader(data, 16, shuffle=True, drop_last=True)
        history = fit(model, batches, val, epochs=2)
        return history.batch_losses, model[2].running_mean, generator.get_state(), torch.rand(1)

    looked = train()
    monkeypatch.setattr("labkit.training.run.Run.look_at_validation", lambda run: None)
    losses, *tensors = train()
    assert losses == looked[0]
    assert all(map(torch.equal, tensors, looked[1:]))


def test_validation_data_that_can_be_gone_through_once_are_not_used_up():
    val = (batch for batch in [(IMAGES, LABELS)])
    history = fit(network(), loader(), val, epochs=1)
    assert history.confusion_matrices[0].sum() == 49


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


@pytest.mark.parametrize("epochs", [0, -1, 2.5, "3", None, True])
def test_epochs_are_a_whole_number(epochs):
    with pytest.raises((ValueError, TypeError), match="epochs is"):
        fit(network(), loader(), epochs=epochs)


def test_another_error_of_the_network_keeps_its_kind_and_says_the_shape():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        fit(network(), loader(torch.rand(49, 1, 4, 4)), epochs=1)
    assert "(16, 1, 4, 4)" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("model", "batches", "kind", "message"),
    [
        (nn.Flatten, loader(), TypeError, "model is the class Flatten"),
        ([network()], loader(), TypeError, r"type list; give a network: evaluate\(model, loader\)"),
        (nn.LazyLinear(3), loader(), ValueError, "lazy layers"),
        (network(), itertools.cycle([(IMAGES, LABELS)]), TypeError, "which never ends"),
    ],
    ids=["class", "list", "lazy", "endless"],
)
def test_evaluate_names_what_it_cannot_ask(model, batches, kind, message):
    with pytest.raises(kind, match=message):
        evaluate(model, batches)


def test_evaluate_warns_of_images_that_are_changed_at_random(tiny):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8))
    with pytest.warns(UserWarning, match="loader augments"):
        evaluate(model, tiny.train.loader(16, augment=lk.Augment(flip=True)))


def test_a_part_by_torch_knows_where_its_images_are_from(tiny):
    split = replace(tiny.val, origin=Origin("drawn", stand_in=True), answers=set())
    part = Subset(Subset(split, [9, 8, 7, 6, 5]), [4, 2, 0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8))
    result = evaluate(model, DataLoader(part, 2))
    assert result.indices.tolist() == [5, 7, 9]
    assert result.labels.tolist() == split.labels[[5, 7, 9]].tolist()
    assert result.origin.stand_in and split.times_judged == 1
    assert fit(model, DataLoader(part, 2), DataLoader(part, 2), epochs=1).origin.stand_in
    assert split.times_judged == 2


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


def test_validation_data_that_cannot_begin_again_lose_no_batch():
    class Once(torch.utils.data.IterableDataset):
        def __init__(self):
            self.items = iter(
                [(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)]
            )

        def __iter__(self):
            return self.items

    history = fit(network(), loader(), DataLoader(Once(), 8), epochs=1)
    assert history.confusion_matrices[-1].sum() == len(IMAGES)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4, "sampler": [5, 3, 1, 0]},
        {"batch_sampler": [[7, 8], [1, 2]]},
        {"batch_size": 4, "shuffle": True},
    ],
    ids=["list", "batches", "shuffle"],
)
def test_a_loader_that_chooses_its_rows_is_told_when_it_is_evaluated(options, recwarn):
    data = TensorDataset(IMAGES, LABELS)
    with pytest.warns(UserWarning, match="row i of the predictions is not image i"):
        evaluate(network(), DataLoader(data, **options))
    recwarn.clear()
    evaluate(network(), DataLoader(Subset(data, [5, 3]), 1))
    evaluate(
        network(),
        DataLoader(data, batch_size=None, collate_fn=lambda one: (one[0][None], one[1][None])),
    )
    assert not recwarn


def test_what_is_no_split_is_named_by_the_batch_loader():
    with pytest.raises(TypeError, match=r"dataset is of type Subset; .*split\.subset\(rows\)"):
        lk.BatchLoader(Subset(TensorDataset(IMAGES, LABELS), [1]))


def test_validation_images_that_are_augmented_are_told(tiny):
    loader = tiny.val.loader(8, augment=lk.Augment(flip=True))
    with pytest.warns(UserWarning, match="This loader augments"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(192, 8)), loader, loader, epochs=1)


@pytest.mark.parametrize("classes", [{"a", "b"}, {"b": 1, "a": 0}])
def test_names_without_an_order_name_no_class(classes):
    data = TensorDataset(IMAGES, LABELS)
    data.classes = classes
    assert evaluate(network(), DataLoader(data, 16)).classes == tuple(
        f"class {k}" for k in range(8)
    )

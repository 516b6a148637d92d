"""What cannot work is named before the first epoch, and the network is as it was."""

import itertools
import re
import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import labkit as lk
from labkit.training.history import EarlyStopping

BATCHES = [(torch.rand(4, 3, 8, 8), torch.arange(4))] * 3


def network(last=nn.Identity):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), last())


class Answer(nn.Module):
    """A network that returns something else than logits."""

    def __init__(self, make):
        super().__init__()
        self.layer, self.make = nn.Linear(192, 8), make

    def forward(self, images):
        return self.make(self.layer(images.flatten(1)))


def frozen():
    return network().requires_grad_(False)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def only_the_frozen(model):
    model[1].requires_grad_(False)
    model.append(nn.Linear(8, 8))
    return {"optimizer": torch.optim.SGD(model[1].parameters(), lr=0.1)}


def too_short(model):
    optimizer = sgd(model)
    return {"optimizer": optimizer, "scheduler": OneCycleLR(optimizer, 0.1, total_steps=5)}


def replaced(model):
    model.append(nn.Linear(8, 8))
    optimizer = sgd(model)
    model[3] = nn.Linear(8, 8)
    return {"optimizer": optimizer}


def astray():
    model = network()
    with torch.no_grad():
        model[1].bias[0] = float("inf")
    return model


def text_for_a_rate(model):
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = "0.1"
    return {"optimizer": optimizer}


def used_up(model):
    options = too_short(model)
    options["scheduler"] = plan = OneCycleLR(options["optimizer"], 0.1, total_steps=6)
    plan.last_epoch = 1
    return options


class Loss(nn.Module):
    """A loss of one's own."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, logits, labels):
        return self.of(nn.functional.cross_entropy(logits, labels, reduction="none"))


SLIPS = {
    "optimizer's name": (
        lambda m: {"optimizer": "adam"},
        TypeError,
        "optimizer is 'adam'; give one",
    ),
    "parameters": (lambda m: {"optimizer": m.parameters()}, TypeError, "optimizer is <generator"),
    "LBFGS": (
        lambda m: {"optimizer": torch.optim.LBFGS(m.parameters())},
        ValueError,
        "LBFGS needs the loss of a batch several times",
    ),
    "a layer replaced": (replaced, ValueError, "lacks 3.weight, 3.bias of the model, and holds 2"),
    "scheduler's name": (lambda m: {"scheduler": "cosine"}, TypeError, "scheduler is 'cosine'"),
    "scheduler class": (lambda m: {"scheduler": StepLR}, TypeError, "StepLR'>; give one that"),
    "used up": (used_up, ValueError, "6 steps and has taken 1 of them, but 2 epochs of 3"),
    "a loss an image": (
        lambda m: {"criterion": Loss(lambda losses: losses)},
        ValueError,
        "a loss of shape (4,); it must be a tensor of shape ()",
    ),
    "a loss in a list": (
        lambda m: {"criterion": Loss(lambda losses: losses.mean()[None])},
        ValueError,
        "a loss of shape (1,)",
    ),
    "a plain number": (
        lambda m: {"criterion": Loss(lambda losses: losses.mean().item())},
        ValueError,
        "a loss of type float",
    ),
    "no gradient": (
        lambda m: {"model": Answer(lambda y: y.detach())},
        ValueError,
        "cut the gradients, with detach",
    ),
    "logits for NLLLoss": (
        lambda m: {"criterion": nn.NLLLoss()},
        ValueError,
        "NLLLoss takes log-probabilities",
    ),
    "an empty batch": (
        lambda m: {"train": [(torch.rand(0, 3, 8, 8), torch.arange(0))]},
        ValueError,
        "A batch has no image",
    ),
    "checkpoint True": (lambda m: {"checkpoint": True}, TypeError, "checkpoint is True; give"),
    "no checkpoint": (lambda m: {"checkpoint": ""}, ValueError, "checkpoint is '', which is a"),
    "a folder": (lambda m: {"checkpoint": "/"}, ValueError, "checkpoint is '/', which is a folder"),
    "frozen": (lambda m: {"model": frozen()}, ValueError, "are all of them frozen"),
    "lazy": (
        lambda m: {"model": nn.Sequential(nn.Flatten(), nn.LazyLinear(4))},
        ValueError,
        "lazy layers, whose sizes are not known yet: send one batch",
    ),
    "a class": (lambda m: {"model": nn.Flatten}, TypeError, "model is the class Flatten: call it"),
    "swapped": (lambda m: {"model": BATCHES}, TypeError, "fit(model, train, val)"),
    "a tuple": (lambda m: {"model": Answer(lambda y: (y, 1))}, TypeError, "gives a tuple"),
    "a dict": (lambda m: {"model": Answer(lambda y: {"y": y})}, TypeError, "gives a dict"),
    "no return": (lambda m: {"model": Answer(lambda y: None)}, TypeError, "gives nothing"),
    "optimizer class": (
        lambda m: {"optimizer": torch.optim.SGD},
        TypeError,
        "SGD(model.parameters(), lr=…)",
    ),
    "frozen only": (only_the_frozen, ValueError, "optimizer's parameters are frozen"),
    "other scheduler": (
        lambda m: {"optimizer": sgd(m), "scheduler": StepLR(sgd(m), 1)},
        ValueError,
        "the learning rate would never change",
    ),
    "scheduler alone": (
        lambda m: {"scheduler": StepLR(sgd(m), 1)},
        ValueError,
        "give fit the optimizer that the scheduler was made with",
    ),
    "too short": (too_short, ValueError, "2 epochs of 3 batches are 6: give total_steps=6"),
    "loss class": (lambda m: {"criterion": nn.CrossEntropyLoss}, TypeError, "call it, with ()"),
    "loss function": (
        lambda m: {"criterion": nn.functional.cross_entropy},
        TypeError,
        "criterion is cross_entropy; give a loss, such as",
    ),
    "loss of numbers": (lambda m: {"criterion": nn.MSELoss()}, ValueError, "compares numbers"),
    "sum": (
        lambda m: {"criterion": nn.CrossEntropyLoss(reduction="sum")},
        ValueError,
        "reduction='sum'",
    ),
    "generator": (
        lambda m: {"train": (batch for batch in BATCHES)},
        TypeError,
        "used up after one epoch of 2",
    ),
    "generator for validation": (
        lambda m: {"val": iter(BATCHES)},
        TypeError,
        "val is a list_iterator",
    ),
    "a rule's name": (
        lambda m: {"early_stopping": "val_loss"},
        TypeError,
        'lk.EarlyStopping("val_loss", patience=5)',
    ),
    "a number to watch": (
        lambda m: {"early_stopping": EarlyStopping(5)},
        ValueError,
        "monitor is 5; choose one of",
    ),
    "nothing to keep": (lambda m: {"keep_best": ""}, ValueError, "keep_best is ''"),
    "weights of a training that went astray": (
        lambda m: {"model": astray()},
        ValueError,
        "weights that are NaN or infinite before it is trained",
    ),
    "rate 0": (
        lambda m: {"optimizer": torch.optim.SGD(m.parameters(), lr=0.0)},
        ValueError,
        "learning rate is 0, so nothing would be learnt",
    ),
    "rate NaN": (
        lambda m: {"optimizer": torch.optim.SGD(m.parameters(), lr=float("nan"))},
        ValueError,
        "learning rate is nan: give a number above 0",
    ),
    "a text for a rate": (text_for_a_rate, ValueError, "learning rate is '0.1'"),
    "a plateau of what rises": (
        lambda m: {"optimizer": (o := sgd(m)), "scheduler": ReduceLROnPlateau(o, mode="max")},
        ValueError,
        "mode='max', and fit gives it the loss",
    ),
    "without end": (
        lambda m: {"train": itertools.cycle(BATCHES), "epochs": 1},
        TypeError,
        "train is a cycle of itertools, which never ends",
    ),
    "one batch for ever": (
        lambda m: {"val": itertools.repeat(BATCHES[0]), "epochs": 1},
        TypeError,
        "val is a repeat of itertools, which never ends",
    ),
    "dropped": (
        lambda m: {"train": DataLoader(TensorDataset(*BATCHES[0]), 5, drop_last=True)},
        ValueError,
        "drop_last=True smaller than a batch",
    ),
    "colours last": (
        lambda m: {"train": [(torch.rand(4, 8, 9, 3), torch.arange(4))]},
        ValueError,
        "images.permute(0, 3, 1, 2)",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named_and_the_network_unchanged(slip):
    change, kind, hint = SLIPS[slip]
    model = network()
    before = model[1].weight.clone()
    options = {"model": model, "train": BATCHES, "epochs": 2, "progress": False} | change(model)
    with pytest.raises(kind, match=re.escape(hint)):
        lk.fit(**options)
    assert torch.equal(model[1].weight.cpu(), before)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_switched_off_are_named(off):
    with off(), pytest.raises(ValueError, match="call fit outside of it"):
        lk.fit(network(), BATCHES, progress=False)


def test_what_works_is_let_through():
    model = network()
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    one_epoch = (batch for batch in BATCHES)
    plan = OneCycleLR(optimizer, 0.1, total_steps=3)
    history = lk.fit(model, one_epoch, None, 1, optimizer=optimizer, scheduler=plan, progress=False)
    assert len(history) == 1


def test_a_schedule_may_begin_at_zero_and_a_rate_may_be_a_tensor():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.1))
    warm_up = LambdaLR(optimizer, lambda epoch: epoch / 2)
    options = {"optimizer": optimizer, "scheduler": warm_up, "progress": False}
    assert len(lk.fit(model, itertools.repeat(BATCHES[0], 3), epochs=1, **options)) == 1


class Stream(IterableDataset):
    """Images that come one after the other, nobody knows how many."""

    def __iter__(self):
        return ((torch.rand(3, 8, 8), number % 4) for number in range(8))


def test_a_stream_of_images_can_be_trained_on(tmp_path):
    model = network(lambda: nn.BatchNorm1d(8))
    optimizer = sgd(model)
    plan, file = StepLR(optimizer, 1), tmp_path / "a.pt"
    options = {"optimizer": optimizer, "scheduler": plan, "checkpoint": file, "progress": False}
    assert len(lk.fit(model, DataLoader(Stream(), 4), epochs=2, **options)) == 2
    assert file.exists()


@pytest.mark.parametrize("classes", [8, None])
def test_a_data_set_that_counts_its_classes_has_no_names_for_them(classes):
    class Cells(TensorDataset):
        pass

    data = Cells(*BATCHES[0])
    data.classes = classes
    assert lk.fit(network(), DataLoader(data, 2), epochs=1, progress=False).classes == ()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_softmax_too_many_is_said_once_and_one_in_its_place_is_not(recwarn, precision):
    options = {"progress": False, "precision": precision}
    warnings.simplefilter("always")
    for seed in range(1, 21):  # bf16 rounds the probabilities: their sums are not quite 1
        images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        batches = [(images, torch.arange(4))] * 3
        lk.fit(network(lambda: nn.Softmax(1)), batches, epochs=2, **options)
        said = ["leave the Softmax out" in str(w.message) for w in recwarn.list]
        assert said == [True] * seed
        right = network(lambda: nn.LogSoftmax(1))
        lk.fit(right, batches, epochs=1, criterion=nn.NLLLoss(), **options)
        assert len(recwarn) == seed


def test_layers_in_a_plain_list_are_told(recwarn):
    class Net(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.first, self.more = nn.Linear(48, 8), keep([nn.Linear(8, 8)])
            self.again = [self.first]  # one that PyTorch knows already

        def forward(self, x):
            return self.more[0](self.first(x.flatten(1)))

    batches = [(torch.rand(4, 3, 4, 4), torch.arange(4))]
    lk.fit(Net(nn.ModuleList), batches, epochs=1, progress=False)
    assert not recwarn
    for keep in (list, tuple, lambda layers: dict(enumerate(layers))):
        with pytest.warns(UserWarning, match=r"Net\.more is a plain \w+ of layers, which are not"):
            lk.fit(Net(keep), batches, epochs=1, progress=False)


def test_a_schedule_of_batches_within_another_counts_batches():
    batches = [(torch.rand(4, 3, 4, 4), torch.arange(4))] * 5
    rates = []
    for within in (False, True):
        model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        one = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=10)
        both = torch.optim.lr_scheduler.ChainedScheduler([one])
        options = {"optimizer": optimizer, "scheduler": both if within else one}
        rates.append(lk.fit(model, batches, epochs=2, progress=False, **options))
    assert rates[0].column("learning_rate") == rates[1].column("learning_rate")
    slow = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    mixed = torch.optim.lr_scheduler.ChainedScheduler([one, slow])
    with pytest.raises(ValueError, match="joins schedulers that step after each batch"):
        lk.fit(model, batches, epochs=1, optimizer=optimizer, scheduler=mixed, progress=False)
